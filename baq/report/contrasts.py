"""Sentences on paired differences, written from their table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd

__all__ = ["apart", "change_text", "contrasts", "enumerated"]


def apart(row: Any) -> bool:
    """Whether the interval of a difference, ``lo`` to ``hi``, excludes 0."""
    return bool(row.lo > 0 or row.hi < 0)


def change_text(row: Any) -> str:
    """A row of :func:`baq.report.stats.paired_differences`: ``-1 % against AdaRound (may be 0)``, by its interval."""
    share = "no share" if pd.isna(row.change) else f"{100 * row.change:+.0f} %"
    return f"{share} against {row.against}{'' if apart(row) else ' (may be 0)'}"


def enumerated(names: Iterable[str]) -> str:
    """Names as an enumeration, ``none`` where there are none."""
    return "; ".join(names) or "none"


def contrasts(differences: pd.DataFrame, by: Sequence[str]) -> tuple[list[str], list[str], int]:
    """Where one variant is below, and where above, all those that it is compared with.

    Arguments:
        differences: rows of :func:`baq.report.stats.paired_differences`, one for each compared variant.
        by: the columns that name a comparison.

    Returns:
        The names of comparisons in which all intervals are below 0, of those in which all are above 0,
        and the number of all comparisons.
    """
    ends = differences.groupby(list(by), sort=False).agg(hi=("hi", "max"), lo=("lo", "min"))
    names = [", ".join(map(str, key if isinstance(key, tuple) else (key,))) for key in ends.index]
    below, above = (
        [name for name, there in zip(names, where, strict=True) if there]
        for where in (ends["hi"] < 0, ends["lo"] > 0)
    )
    return below, above, len(ends)
