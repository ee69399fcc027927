"""Verdicts on claims, by rules that are the same for every claim and were stated before any was judged.

A number of the paper is one run, or the mean of a few, so it is judged by where a mean of as many new runs
of ours would lie: the prediction interval of :func:`baq.report.stats.prediction_interval`. A sign or an
order is judged by the confidence interval of our mean.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Protocol

import pandas as pd
from scipy import stats

from baq.report.claims import WORDS, claims, limits, paper_parts, paper_text
from baq.report.stats import LEVEL, mean_interval, prediction_interval

__all__ = ["RULES", "expected", "judging_interval", "outlying", "same_sign", "standing", "verdict"]

#: Every verdict with its rule, in the order in which they are tried.
RULES = {
    "not testable": "no data of ours can answer the claim, for the reason given.",
    "not answered": "the chapter that answers the claim has no answer yet, or one seed alone.",
    "inside": (
        "more than half of the seeds have a value, and the paper's value, as rounded as it is printed, lies in our 90 % prediction interval: where the mean "
        "of as many new runs as the paper averaged would lie. Of a range, both ends lie in the 90 % interval "
        "of our networks, or our median lies in the range."
    ),
    "direction only": (
        "the value lies outside, or the paper gives none, but sign or order are the paper's: the 90 % "
        "confidence interval of our mean (paired) value lies on that side of zero. A statement must be true "
        "of 95 % of the seeds, or of any where the paper says no more than that it occurs."
    ),
    "not reproduced": (
        "none of these, or half of the seeds and more have no value, as where a rule finds nothing to pick."
    ),
}


class _Answer(Protocol):
    """A row of a table of answers."""

    claim: str
    part: str
    median: float
    lo: float
    hi: float
    mean: float
    std: float
    n: int
    of: int


def standing(claim: str, answers: pd.DataFrame, setting: str | None = None) -> pd.DataFrame:
    """The rows that answer a claim, without those of differences; empty if there is no answer yet.

    Arguments:
        claim: its id.
        answers: tables of :func:`baq.report.claims.answer`, one below the other, with texts where cells
            are empty.
        setting: another setting than the one that ``book/claims/`` names.
    """
    rows = _rows(claim, answers, setting)
    answered = rows["mean"].notna() & (rows["n"] > 1)  # tables of older books have no mean
    return rows[~rows["part"].str.startswith("less ") & answered]


def verdict(claim: str, answers: pd.DataFrame, setting: str | None = None) -> str:
    """The verdict on a claim, one of ``RULES``; arguments as :func:`standing`."""
    if "not_testable" in claims()[claim]:
        return "not testable"
    rows = standing(claim, answers, setting)
    if rows.empty:
        return "not answered"
    if (2 * rows["n"] <= rows["of"]).any():
        return "not reproduced"
    if all(_inside(row) for row in rows.itertuples()):
        return "inside"
    return "direction only" if same_sign(claim, answers, setting) else "not reproduced"


def same_sign(claim: str, answers: pd.DataFrame, setting: str | None = None) -> bool | None:
    """Whether a sign, an order or a statement of the paper on a claim is ours, None where there is none.

    Arguments as :func:`standing`.
    """
    found = list(_signs(claim, standing(claim, answers, setting), answers, setting))
    return any(found) if found else None


def judging_interval(row: _Answer) -> tuple[float, float]:
    """The interval that a row of answers is judged by.

    Where the mean of as many runs as the paper averaged will lie; for a range the central 90 % of ours; for a
    sign, a statement and a paired difference the confidence interval of the mean. Each is cut to what the
    measure can be.
    """
    if row.part.startswith("less "):
        return mean_interval(row.mean, row.std, row.n)
    lo, hi = _uncut_interval(row)
    least, most = limits(row.claim, row.part)
    return max(lo, least), min(hi, most)


def _uncut_interval(row: _Answer) -> tuple[float, float]:
    runs = claims()[row.claim].get("runs")
    if runs is not None:
        return prediction_interval(row.mean, row.std, row.n, runs)
    if " to " in paper_text(row.claim, next(iter(paper_parts(row.claim)))):
        return row.lo, row.hi
    return mean_interval(row.mean, row.std, row.n)


def expected(judged: pd.DataFrame) -> tuple[int, int, float, float]:
    """How far the numbers of the paper that lie outside our prediction intervals go beyond chance.

    Arguments:
        judged: the table of :func:`baq.report.answers.judged`.

    Returns:
        How many claims with a single number there are, without those that chose a convention; how many of them lie
        outside; how many would if the paper had run our protocol; and the probability of as many or more then,
        claims taken as independent.
    """
    numeric = {row.claim for row in _with_one_number(judged) if not row.chosen}
    outside = numeric & outlying(judged).keys()
    chance = stats.binom(len(numeric), 1 - LEVEL)
    return len(numeric), len(outside), float(chance.mean()), float(chance.sf(len(outside) - 1))


def outlying(judged: pd.DataFrame) -> dict[str, float]:
    """The claims with a single number that lies outside our prediction interval, and the probability of each.

    It is that of a number as far from our mean or farther, by Student's distribution, had the paper run our protocol.
    """
    found = {}
    for row in _with_one_number(judged):
        if not _within(row.paper, row.at_least, row.at_most):
            # One end may be cut to what the measure can be.
            half = max(row.at_most - row.mean, row.mean - row.at_least)
            far = min(abs(end - row.mean) for ends in _printed(row.paper) for end in ends)
            t = (far / half if half else math.inf) * stats.t.ppf((1 + LEVEL) / 2, row.n - 1)
            found[row.claim] = float(2 * stats.t.sf(t, row.n - 1))
    return found


def _with_one_number(judged: pd.DataFrame) -> list[Any]:
    rows = judged.dropna(subset="mean").itertuples()
    return [row for row in rows if "runs" in claims()[row.claim] and not row.part]


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


def _inside(row: _Answer) -> bool:
    text = paper_text(row.claim, row.part)
    if text in WORDS:
        return False
    ends = _printed(text)
    within = _within(text, *judging_interval(row))
    return within or (len(ends) > 1 and ends[0][0] <= row.median <= ends[-1][1])


def _within(text: str, lo: float, hi: float) -> bool:
    """Whether printed numbers lie in an interval."""
    ends = _printed(text)
    return lo <= ends[0][1] and ends[-1][0] <= hi


def _signs(
    claim: str, rows: pd.DataFrame, answers: pd.DataFrame, setting: str | None
) -> Iterator[bool]:
    """For each sign, order or statement of the paper on a claim, whether ours agrees."""
    for row in rows.itertuples():
        said = claims()[claim].get("sign", paper_text(claim, row.part))
        if said in ("falls", "rises"):
            yield _beyond_zero(row, 1 if said == "rises" else -1)
        elif said == "holds":
            yield row.lo >= 0.5
        elif said == "occurs":
            yield row.hi > 0
    partners = [other for other in claims() if claims()[other].get("after") == claim]
    pairs = [_rows(one, answers, setting) for one in (claim, *partners)]
    for row in pd.concat(pairs).itertuples():
        if row.part.startswith("less "):
            yield _beyond_zero(row, 1 if float(row.paper) > 0 else -1)


def _beyond_zero(row: _Answer, sign: int) -> bool:
    lo, hi = mean_interval(row.mean, row.std, row.n)
    return lo > 0 if sign > 0 else hi < 0
