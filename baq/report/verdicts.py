"""Verdicts on claims, by rules that are the same for every claim."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Protocol

import pandas as pd

from baq.report.claims import WORDS, claims, paper_text

__all__ = ["RULES", "distance", "standing", "verdict"]

#: Every verdict with its rule, in the order in which they are tried.
RULES = {
    "not testable": "no data of ours can answer the claim, for the reason given.",
    "not answered": "the chapter that answers the claim has no answer yet.",
    "inside": (
        "the paper's value, as rounded as it is printed, lies in our 90 % interval. Of a range, both "
        "ends do, or our median lies in the range."
    ),
    "direction": (
        "the value lies outside, or the paper gives none, but sign or order are the paper's: more than "
        "half of the seeds have it, and the 90 % interval of the (paired) values does not reach past "
        "zero. A statement must be true of that many seeds, or of any where the paper says no more "
        "than that it occurs."
    ),
    "not reproduced": "none of these.",
}


class _Answer(Protocol):
    """A row of a table of answers."""

    median: float
    lo: float
    hi: float


def standing(claim: str, answers: pd.DataFrame, setting: str | None = None) -> pd.DataFrame:
    """The rows that answer a claim, without those of differences; empty if there is no answer yet.

    Arguments:
        claim: its id.
        answers: tables of :func:`baq.report.claims.answer`, one below the other, with texts where cells
            are empty.
        setting: another setting than the one that ``book/claims/`` names.
    """
    rows = _rows(claim, answers, setting)
    return rows[~rows["part"].str.startswith("less ") & rows["median"].notna()]


def verdict(claim: str, answers: pd.DataFrame, setting: str | None = None) -> str:
    """The verdict on a claim, one of ``RULES``; arguments as :func:`standing`."""
    if "not_testable" in claims()[claim]:
        return "not testable"
    rows = standing(claim, answers, setting)
    if rows.empty:
        return "not answered"
    if all(_inside(paper_text(claim, row.part), row) for row in rows.itertuples()):
        return "inside"
    return "direction" if any(_signs(claim, rows, answers, setting)) else "not reproduced"


def distance(claim: str, answers: pd.DataFrame) -> float:
    """Distance of the paper's value from our interval, in widths of that interval.

    For a sign, that is how far our interval lies beyond zero. 0 where they touch, infinite for an
    interval without width, NaN without an answer; the largest of a claim with parts. Arguments as
    :func:`standing`.
    """
    found = []
    for row in standing(claim, answers).itertuples():
        gap = _gap(paper_text(claim, row.part), row)
        width = row.hi - row.lo
        found.append(gap / width if width > 0 else (math.inf if gap > 0 else 0.0))
    return max(found, default=math.nan)


def _rows(claim: str, answers: pd.DataFrame, setting: str | None = None) -> pd.DataFrame:
    if setting is None:
        setting = claims()[claim].get("setting", "")
    return answers[(answers["claim"] == claim) & (answers["setting"] == setting)]


def _printed(text: str) -> list[tuple[float, float]]:
    """The range that each printed number covers: 0.970 is 0.9695 to 0.9705, a count is exact."""
    ends = []
    for number in text.split(" to "):
        decimals = len(number.partition(".")[2])
        half = 0.5 * 10.0**-decimals if decimals else 0.0
        ends.append((float(number) - half, float(number) + half))
    return ends


def _inside(text: str, row: _Answer) -> bool:
    if text in WORDS:
        return False
    ends = _printed(text)
    return _gap(text, row) == 0 or (len(ends) > 1 and ends[0][0] <= row.median <= ends[-1][1])


def _gap(text: str, row: _Answer) -> float:
    if text == "falls":
        return max(row.lo, 0.0)
    if text == "rises":
        return max(-row.hi, 0.0)
    if text in WORDS:
        return 1 - row.hi
    return max(max(row.lo - high, low - row.hi, 0.0) for low, high in _printed(text))


def _signs(
    claim: str, rows: pd.DataFrame, answers: pd.DataFrame, setting: str | None
) -> Iterator[bool]:
    """For each sign, order or statement of the paper on a claim, whether ours agrees."""
    for row in rows.itertuples():
        said = claims()[claim].get("sign", paper_text(claim, row.part))
        if said in ("falls", "rises"):
            yield _beyond_zero(row, 1 if said == "rises" else -1)
        elif said == "holds":
            yield row.median > 0.5 and row.lo >= 0.5
        elif said == "occurs":
            yield row.hi > 0
    partners = [other for other in claims() if claims()[other].get("after") == claim]
    pairs = [_rows(one, answers, setting) for one in (claim, *partners)]
    for row in pd.concat(pairs).itertuples():
        if row.part.startswith("less "):
            yield _beyond_zero(row, 1 if float(row.paper) > 0 else -1)


def _beyond_zero(row: _Answer, sign: int) -> bool:
    return sign * row.median > 0 and (row.lo >= 0 if sign > 0 else row.hi <= 0)
