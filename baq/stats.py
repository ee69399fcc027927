"""Medians, intervals and paired differences over seeds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import stats

__all__ = ["paired_difference", "summarize"]


def paired_difference(
    before: Sequence[float], after: Sequence[float], level: float = 0.9
) -> dict[str, float]:
    """Mean difference ``after - before`` of paired values, with Student's t interval.

    The interval is ``mean +- t s / sqrt(n)`` with s the standard deviation of the differences and t
    the quantile for n - 1 degrees of freedom (Student 1908), so it is about the mean over more seeds
    of the same kind and takes the differences as near normal.

    Arguments:
        before, after: one value a seed each, in the same order.
        level: confidence of the interval.

    Returns:
        ``before`` and ``after``, the means; ``difference``, ``lo``, ``hi``; ``n``; and the number of
        pairs with a ``fall`` and with a ``rise``.

    Raises:
        ValueError: for a level outside (0, 1), other than equal numbers of 2 values or more, or
            values that are not finite.
    """
    if not 0 < level < 1:
        raise ValueError(f"level is {level}: allowed is above 0 and below 1")
    a, b = np.asarray(before, dtype=float), np.asarray(after, dtype=float)
    if a.shape != b.shape or a.ndim != 1 or len(a) < 2:
        raise ValueError(f"{a.size} and {b.size} values: allowed are equal numbers, 2 or more")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ValueError("some values are not finite: allowed are finite ones")
    d = b - a
    half = stats.t.ppf((1 + level) / 2, len(d) - 1) * d.std(ddof=1) / np.sqrt(len(d))
    return {
        "before": a.mean(),
        "after": b.mean(),
        "difference": d.mean(),
        "lo": d.mean() - half,
        "hi": d.mean() + half,
        "n": len(d),
        "fall": int((d < 0).sum()),
        "rise": int((d > 0).sum()),
    }


def summarize(
    frame: pd.DataFrame, by: Sequence[str], measures: Sequence[str], level: float = 0.9
) -> pd.DataFrame:
    """Median and central interval of each measure over the rows of each group.

    Arguments:
        frame: one row a seed and setting.
        by: the columns that name a setting.
        measures: the columns to summarize.
        level: share of the rows between ``lo`` and ``hi``.

    Returns:
        One row a measure and group: ``measure``, the columns of ``by``, ``median``, ``lo``, ``hi``,
        and ``count``, the rows with a value; quantiles are interpolated linearly.

    Raises:
        ValueError: for a level outside (0, 1) or a column that the frame lacks.
    """
    if not 0 < level < 1:
        raise ValueError(f"level is {level}: allowed is above 0 and below 1")
    if lacking := [name for name in (*by, *measures) if name not in frame]:
        raise ValueError(f"no column {lacking[0]!r}: allowed are {', '.join(map(str, frame))}")
    tail = (1 - level) / 2
    groups = frame.groupby(list(by), sort=False)
    parts = {
        name: groups[name].agg(
            median="median",
            lo=lambda values: values.quantile(tail),
            hi=lambda values: values.quantile(1 - tail),
            count="count",
        )
        for name in measures
    }
    return pd.concat(parts, names=["measure"]).reset_index()
