"""Medians and intervals over seeds."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

__all__ = ["summarize"]


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
