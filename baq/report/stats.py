"""Medians, intervals, paired differences and correlations over seeds."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from baq.arguments import check_inner, is_real

__all__ = [
    "FEW",
    "LEVEL",
    "both_correlations",
    "correlation",
    "interpolate_at",
    "mean_interval",
    "paired_difference",
    "paired_differences",
    "prediction_interval",
    "summarize",
]

#: Share of cases that an interval of this book covers.
LEVEL = 0.9
#: With fewer values than this, quantiles mean little, and an interval is the range of the values.
FEW = 10


def correlation(
    x: Sequence[float],
    y: Sequence[float],
    groups: Sequence[object],
    *,
    within: Sequence[object] | None = None,
    ranks: bool = False,
    level: float = LEVEL,
    resamples: int = 1000,
    seed: int = 0,
) -> dict[str, float]:
    """Pearson's or Spearman's correlation of rows, with a bootstrap interval over groups of rows.

    ``r = sum (x - mean x)(y - mean y) / sqrt(sum (x - mean x)^2 sum (y - mean y)^2)``; Spearman's is
    the r of the ranks, ties sharing their mean rank (Spearman 1904). Rows of one group, say of one
    network, are not independent, so each resample draws whole groups with replacement, as many as
    there are, and the interval lies between quantiles of r over the resamples (Efron 1979; Field,
    Welsh 2007). It is too narrow where groups are few.

    Arguments:
        x, y: one value a row each.
        groups: the group of each row, such as its seed.
        within: labels of finer groups, each inside one group; the mean of each is subtracted from
            x and y first, which leaves the variation inside it.
        ranks: Spearman's correlation instead of Pearson's.
        level: confidence of the interval.
        resamples: number of resamples; one in which r is not defined is left out.
        seed: seed of the resamples.

    Returns:
        ``r``, ``lo``, ``hi``, and ``n``, the number of groups. All but the last are NaN where x or y
        is constant, and the interval is NaN where there is one group, which says nothing of others.

    Raises:
        ValueError: for a level outside (0, 1), fewer than 1 resample, unequal numbers of rows, values
            that are not finite, or a group that is NaN or None.
    """
    check_inner(level=level)
    if resamples < 1:
        raise ValueError(f"resamples is {resamples}: allowed is 1 or more")
    frame = pd.DataFrame(_columns(x=x, y=y, groups=groups, within=within))
    # An array of texts would hold NaN and None as texts.
    given = {"groups": groups} | ({} if within is None else {"within": within})
    _check_keys(pd.DataFrame({k: list(labels) for k, labels in given.items()}, dtype=object), given)
    _check_keys(frame, [name for name in ("groups", "within") if name in frame])
    values = frame[["x", "y"]].to_numpy(dtype=float)
    if not np.isfinite(values).all():
        raise ValueError("some values are not finite: allowed are finite ones")
    rows = list(frame.groupby("groups", sort=False).indices.values())
    # Anything smaller is the rounding error of the means.
    least = 1e-12 * np.abs(values).max(axis=0)
    if within is not None:
        centred = frame[["x", "y"]].astype(float)
        values = (centred - centred.groupby(frame["within"]).transform("mean")).to_numpy()
    values = np.where(np.abs(values) <= least, 0.0, values)

    def r(counts: np.ndarray) -> np.ndarray:
        return _correlations(values, counts, ranks, least)

    whole = float(r(np.ones((1, len(values))))[0])
    if len(rows) == 1:
        return {"r": whole, "lo": np.nan, "hi": np.nan, "n": 1}
    rng, tail = np.random.default_rng(seed), (1 - level) / 2
    draws = rng.integers(len(rows), size=(resamples, len(rows)))
    drawn = np.array([np.bincount(draw, minlength=len(rows)) for draw in draws])
    counts = np.empty((resamples, len(values)))
    for k, where in enumerate(rows):
        counts[:, where] = drawn[:, [k]]
    found = r(counts)
    found = found[np.isfinite(found)]
    lo, hi = np.quantile(found, [tail, 1 - tail]) if len(found) else (np.nan, np.nan)
    return {"r": whole, "lo": lo, "hi": hi, "n": len(rows)}


def _correlations(
    values: np.ndarray, counts: np.ndarray, ranks: bool, least: np.ndarray
) -> np.ndarray:
    """r of rows ``values`` (N, 2) in R samples, in which row k comes ``counts[:, k]`` times, (R,).

    NaN where a column differs by no more than ``least``, (2,), within a sample.
    """
    total, centred = counts.sum(axis=1, keepdims=True), []
    undefined = np.zeros(len(counts), dtype=bool)
    for column, slack in zip(values.T, least, strict=True):
        drawn = np.where(counts > 0, column, np.nan)
        undefined |= np.nanmax(drawn, axis=1) - np.nanmin(drawn, axis=1) <= slack
        if ranks:  # ties share the mean of their places
            _, tie, alike = np.unique(column, return_inverse=True, return_counts=True)
            first = alike.cumsum() - alike
            equal = np.add.reduceat(counts[:, column.argsort()], first, axis=1)
            column = (equal.cumsum(axis=1) - (equal - 1) / 2)[:, tie]
        centred.append(column - (counts * column).sum(axis=1, keepdims=True) / total)
    a, b = centred
    with np.errstate(invalid="ignore", divide="ignore"):
        scale = np.sqrt((counts * a * a).sum(axis=1) * (counts * b * b).sum(axis=1))
        found = ((counts * a * b).sum(axis=1) / scale).clip(-1, 1)
    return np.where(undefined, np.nan, found)


def both_correlations(
    x: Sequence[float], y: Sequence[float], groups: Sequence[object], **options: Any
) -> dict[str, float]:
    """Pearson's and Spearman's :func:`correlation` of the same rows, with its other options.

    Returns:
        ``r``, ``r_lo``, ``r_hi`` (Pearson), ``rho``, ``rho_lo``, ``rho_hi`` (Spearman), and
        ``networks``, the number of groups.

    Raises:
        ValueError: as :func:`correlation`.
    """
    found: dict[str, float] = {}
    for name, ranks in (("r", False), ("rho", True)):
        one = correlation(x, y, groups, ranks=ranks, **options)
        found |= {name: one["r"], f"{name}_lo": one["lo"], f"{name}_hi": one["hi"]}
    return found | {"networks": one["n"]}


def _check_keys(frame: pd.DataFrame, by: Iterable[str]) -> None:
    """Raise if a row has no group, since pandas would drop it."""
    for name in by:
        if lacking := int(frame[name].isna().sum()):
            raise ValueError(f"{name} is NaN or None in {lacking} rows: allowed is a value in each")


def _columns(**columns: Sequence[object] | None) -> dict[str, np.ndarray]:
    """The columns that are given, each as an array; raises where they are unequal in length."""
    found = {name: np.asarray(c) for name, c in columns.items() if c is not None}
    sizes = [len(c) for c in found.values()]
    if len(set(sizes)) > 1 or not sizes[0]:
        raise ValueError(
            f"{', '.join(found)} have {', '.join(map(str, sizes))} rows: allowed are equal numbers, "
            "1 or more"
        )
    return found


def paired_difference(
    before: Sequence[float], after: Sequence[float], level: float = LEVEL
) -> dict[str, float]:
    """Mean difference ``after - before`` of paired values, with Student's t interval.

    The interval is ``mean +- t s / sqrt(n)`` with s the standard deviation of the differences and t
    the quantile for n - 1 degrees of freedom (Student 1908), so it is about the mean over more seeds
    of the same kind and assumes that differences are nearly normal.

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
    check_inner(level=level)
    a, b = np.asarray(before, dtype=float), np.asarray(after, dtype=float)
    if a.shape != b.shape or a.ndim != 1 or len(a) < 2:
        raise ValueError(f"{a.size} and {b.size} values: allowed are equal numbers, 2 or more")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ValueError("some values are not finite: allowed are finite ones")
    d = b - a
    lo, hi = mean_interval(d.mean(), d.std(ddof=1), len(d), level)
    return {
        "before": a.mean(),
        "after": b.mean(),
        "difference": d.mean(),
        "lo": lo,
        "hi": hi,
        "n": len(d),
        "fall": int((d < 0).sum()),
        "rise": int((d > 0).sum()),
    }


def mean_interval(mean: float, std: float, n: int, level: float = LEVEL) -> tuple[float, float]:
    """Student's confidence interval of a mean, ``mean +- t std / sqrt(n)`` (Student 1908).

    NaN where n is 1, which says nothing of the spread. Arguments as :func:`prediction_interval`.
    """
    return _t_interval(mean, std, n, 0.0, level)


def prediction_interval(
    mean: float, std: float, n: int, runs: int = 1, level: float = LEVEL
) -> tuple[float, float]:
    """Where the mean of new runs of the same kind will lie: ``mean +- t std sqrt(1/runs + 1/n)``.

    With t the quantile of Student's distribution for n - 1 degrees of freedom; exact where single runs
    are normal (Hahn, Meeker 1991, chapter 4), and their own scale is taken, not a logarithm. The central
    quantiles of few runs hold a new one far less often than their level: 46 % for 3 runs at 90 %.

    Arguments:
        mean, std: of the runs at hand, ``std`` with n - 1 degrees of freedom.
        n: their number; with 1 the interval is NaN.
        runs: over how many new ones the mean goes.
        level: share of such means in the interval.

    Raises:
        ValueError: for a level outside (0, 1), or runs below 1.
    """
    if not runs >= 1:
        raise ValueError(f"runs is {runs}: allowed is 1 or more")
    return _t_interval(mean, std, n, 1 / runs, level)


def _t_interval(mean: float, std: float, n: int, more: float, level: float) -> tuple[float, float]:
    """With the share of a run's variance that comes on top of the mean's; NaN for fewer than two runs."""
    check_inner(level=level)
    if n < 2:
        return math.nan, math.nan
    half = float(stats.t.ppf((1 + level) / 2, n - 1) * std * math.sqrt(more + 1 / n))
    return mean - half, mean + half


def paired_differences(
    frame: pd.DataFrame,
    measures: Sequence[str],
    *,
    by: Sequence[str],
    pair: Sequence[str],
    variant: str,
    of: Sequence[str],
    against: Sequence[str],
    level: float = LEVEL,
) -> pd.DataFrame:
    """Every :func:`paired_difference` between two variants, for each setting and measure.

    Arguments:
        frame: one row a setting, pair and variant.
        measures: the columns to compare.
        by: the columns that name a setting.
        pair: the columns that name what was measured in all variants, such as the seed.
        variant: the column that holds the variants.
        of, against: its values: each of the first less each of the second, none less itself.
        level: confidence of the intervals.

    Returns:
        One row a setting, variants and measure: the columns of ``by``, ``variant``, ``against``,
        ``measure``, the entries of :func:`paired_difference`, and ``change``, the difference as a share
        of the mean before, NaN where that is 0. A setting with one pair has no interval and no row.

    Raises:
        ValueError: for two rows of one pair and variant, a NaN in ``by``, and as
            :func:`paired_difference`.
    """
    _check_keys(frame, by)
    rows = []
    for key, part in frame.groupby(list(by), sort=False):
        wide = part.pivot(index=list(pair), columns=variant, values=list(measures))
        names = [(new, old) for new in of for old in against if new != old and len(wide) > 1]
        for (new, old), measure in product(names, measures):
            found = paired_difference(wide[measure][old], wide[measure][new], level)
            share = found["after"] / found["before"] - 1 if found["before"] else np.nan
            row = dict(zip(by, key, strict=True))
            row |= {variant: new, "against": old, "measure": measure}
            rows.append(row | found | {"change": share})
    numbers = ("before", "after", "difference", "lo", "hi", "n", "fall", "rise", "change")
    return pd.DataFrame(rows, columns=[*by, variant, "against", "measure", *numbers])


def summarize(
    frame: pd.DataFrame, by: Sequence[str], measures: Sequence[str], level: float = LEVEL
) -> pd.DataFrame:
    """Median and central interval of each measure over the rows of each group; of few rows, their range.

    Arguments:
        frame: one row a seed and setting.
        by: the columns that name a setting.
        measures: the columns to summarize.
        level: share of the rows between ``lo`` and ``hi``. For fewer rows than ``FEW`` these are the least
            and the largest value.

    Returns:
        One row a measure and group: ``measure``, the columns of ``by``, ``median``, ``lo``, ``hi``,
        and ``count``, the rows with a value, which NaN and None are not; quantiles are interpolated
        linearly.

    Raises:
        ValueError: for a level outside (0, 1), a column that the frame lacks, a NaN in ``by``, or a
            measure of other than numbers.
    """
    check_inner(level=level)
    if lacking := [name for name in (*by, *measures) if name not in frame]:
        raise ValueError(f"no column {lacking[0]!r}: allowed are {', '.join(map(str, frame))}")
    _check_keys(frame, by)
    tail = (1 - level) / 2
    frame = frame.copy()
    for name in measures:
        frame[name] = _numbers(frame[name])
    groups = frame.groupby(list(by), sort=False)
    parts = {
        name: groups[name].agg(
            median="median",
            lo=lambda values: _end(values, tail),
            hi=lambda values: _end(values, 1 - tail),
            count="count",
        )
        for name in measures
    }
    return pd.concat(parts, names=["measure"]).reset_index()


def interpolate_at(
    frame: pd.DataFrame, by: Sequence[str], rate: str, goal: float, measures: Sequence[str]
) -> pd.DataFrame:
    """Measures of each group where its rate reaches a goal, say the loss where a share of labels flips.

    Linear interpolation over the logarithm of the rate, between the rows of a group; rows of rate 0
    have no logarithm and are left out.

    Arguments:
        frame: one row a group and level.
        by: the columns that name a group.
        rate: the column that is to reach the goal, 0 or more.
        goal: its value, above 0, in the rate's unit.
        measures: the columns to interpolate.

    Returns:
        One row a group, in the order of the frame: the columns of ``by`` and ``measures``; NaN where
        the goal lies outside the group's rates.

    Raises:
        ValueError: for a goal that is not above 0, a column that the frame lacks, or a NaN in ``by``.
    """
    if not goal > 0:
        raise ValueError(f"goal is {goal}: allowed is above 0")
    if lacking := [name for name in (*by, rate, *measures) if name not in frame]:
        raise ValueError(f"no column {lacking[0]!r}: allowed are {', '.join(map(str, frame))}")
    _check_keys(frame, by)
    rows = []
    for key, group in frame.groupby(list(by), sort=False):
        group = group[group[rate] > 0].sort_values(rate)
        at = np.log(group[rate])
        row = dict(zip(by, key, strict=True))
        for name in measures:
            ends = {"left": np.nan, "right": np.nan}
            row[name] = np.interp(np.log(goal), at, group[name], **ends) if len(at) else np.nan
        rows.append(row)
    return pd.DataFrame(rows, columns=[*by, *measures])


def _numbers(values: pd.Series) -> pd.Series:
    """A column of numbers as it is, one of objects as numbers; raises where others are in it."""
    if pd.api.types.is_any_real_numeric_dtype(values):
        return values
    for value in values[values.notna()]:
        if not is_real(value):
            raise ValueError(f"{values.name} holds {value!r}: allowed are numbers")
    return values.map(lambda value: np.nan if pd.isna(value) else value).astype(float)


def _end(values: pd.Series, share: float) -> float:
    """The quantile, interpolated linearly, also where some values are infinite; of few values, their end."""
    if values.count() < FEW:
        return values.max() if share > 0.5 else values.min()
    if not np.isinf(values).any():
        return values.quantile(share)
    # Interpolation takes differences, and that of two infinities is not a number.
    ordered = np.sort(values.dropna().to_numpy())
    at = round(share * (len(ordered) - 1), 9)
    low, high = float(ordered[int(np.floor(at))]), float(ordered[int(np.ceil(at))])
    if low == high or math.isinf(low):
        return math.nan if low == -high else low
    return low + (high - low) * (at % 1)
