"""The paper's numbers, each by the id of its claim, and the table that answers them.

The entry of a claim in ``book/claims/`` (a file for each letter) names the chapter that answers it with
:func:`answer`; :mod:`baq.report.verdicts` judges the answer. Its keys:

statement
    what is claimed, in our words; ``work`` and ``quantity``: of what and which
paper
    a number, in quotes with the decimals that the paper prints; [lowest, highest] of a range; a mapping of two
    named parts; or a word: falls, rises (the sign of a paired difference), holds (a statement, true of a seed
    or not), occurs (the same, and one seed is enough). Shares are of 1
runs
    the number of runs that the paper's number is the mean of, as stated or as its digits imply; else 1
after
    the claim that the paper compares this one with, so that the order of the two can be judged
sign
    rises or falls, where the sign of the number is itself a finding
given
    what the paper states with the number, and the answer adopts
chose
    a convention of ours that was chosen to fit this number, which makes it no evidence of its own
chapter
    whose table ``claims`` holds the answer
section
    of the chapter with the figure that shows it, as a link names it; ``beside-the-paper`` where none is given
limits
    the least and the largest value that the measure can have, where they are not those of :func:`limits`
setting
    the row of that table that stands for the claim where there are several; ``why`` it was taken, a reason
    that is no result
not_testable
    why no data of ours can answer it
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from baq.machine.yaml_core import read_yaml
from baq.report.stats import prediction_interval, summarize

__all__ = [
    "COLUMNS",
    "WORDS",
    "answer",
    "by_setting",
    "claims",
    "in_few_words",
    "limits",
    "paper_number",
    "paper_parts",
    "paper_text",
    "paper_value",
]

#: What the paper says about a claim for which it gives no number.
WORDS = ("falls", "rises", "holds", "occurs")
#: The columns of every table of answers.
COLUMNS = (
    *("claim", "setting", "part", "work", "quantity"),
    *("paper", "median", "lo", "hi", "mean", "std", "n", "of"),
)


@cache
def claims() -> dict[str, dict[str, Any]]:
    """All claims by id, in the order of the chapters that answer them; the module says what the keys mean.

    Source: O. M. Kiselev 2026, arXiv:2607.01478, abstract.
    """
    here = Path(__file__).parent
    packaged, checkout = here.parent / "claims", here.parents[1] / "book" / "claims"
    source = packaged if packaged.exists() else checkout
    groups = sorted(map(read_yaml, source.glob("*.yml")), key=lambda group: group[0]["chapter"])
    return {claim["id"]: claim for group in groups for claim in group}


def in_few_words(claim: str, part: str = "") -> str:
    """A claim's id and what it is about, as an axis has room for: ``S3 held-out J, accuracy``.

    Where claims of one letter are about the same quantity, what tells them apart comes too.
    """
    own = _entry(claim)
    about = own["quantity"].partition(",")[0]
    alike = [
        one["work"].split(", ")
        for name, one in claims().items()
        if name[0] == claim[0] and one["quantity"].partition(",")[0] == about
    ]
    if len(alike) > 1 and not part:
        words = own["work"].split(", ")
        part = next((word for word in words if sum(word in one for one in alike) == 1), "")
    return f"{claim} {about}{part and ', ' + part.removesuffix(' rule')}"


def paper_text(claim: str, part: str = "") -> str:
    """The paper's words or numbers for a claim, or for a part of it, as printed.

    Raises:
        ValueError: for an unknown id or part.
    """
    paper = _entry(claim)["paper"]
    parts = paper if isinstance(paper, dict) else {"": paper}
    if part not in parts:
        allowed = ", ".join(repr(name) for name in parts)
        raise ValueError(f"part of claim {claim} is {part!r}: allowed are {allowed}")
    said = parts[part]
    return " to ".join(said) if isinstance(said, list) else said


def paper_parts(claim: str) -> list[str]:
    """The names of a claim's parts, one empty name where it has none.

    Raises:
        ValueError: for an unknown id.
    """
    paper = _entry(claim)["paper"]
    return list(paper) if isinstance(paper, dict) else [""]


def paper_value(claim: str, part: str = "") -> float:
    """The number that the paper gives for a claim, or for a part of it.

    Raises:
        ValueError: for an unknown id or part, or a claim without a single number.
    """
    value = paper_number(claim, part)
    if isinstance(value, str):
        raise ValueError(f"claim {claim} has no single number: the paper says {value!r}")
    return value


def paper_number(claim: str, part: str = "") -> float | str:
    """The paper's number where it gives a single one, else its words; errors as `paper_text`."""
    text = paper_text(claim, part)
    try:
        return float(text)
    except ValueError:
        return text


def limits(claim: str, part: str = "") -> tuple[float, float]:
    """The least and the largest value that the measure of a claim, or of a part of it, can have.

    A share, printed with decimals or a statement, is 0 to 1, a change of one -1 to 1, and a count 0 or
    more, where the entry of the claim has no ``limits``.

    Raises:
        ValueError: for an unknown id or part.
    """
    if given := _entry(claim).get("limits"):
        lowest, highest = given
        return lowest, highest
    text = paper_text(claim, part)
    if text in ("falls", "rises"):
        return -1.0, 1.0
    return 0.0, 1.0 if "." in text or text in WORDS else np.inf


def answer(
    values: Mapping[str, pd.Series | Mapping[str, pd.Series]], setting: str = ""
) -> pd.DataFrame:
    """The table that answers claims: the paper's value beside our distribution over seeds.

    Arguments:
        values: claim id to one value a seed, always in the same order of seeds; for a claim with
            parts, part to such values. A claim that ``falls`` or ``rises`` takes the paired
            differences over seeds, one that ``holds`` or ``occurs`` takes truth values.
        setting: which of several conventions gave the values; the one that ``book/claims/``
            names stands for the claim.

    Returns:
        The columns ``COLUMNS``, with ``paper`` as a number or in words; ``median``, ``lo`` and ``hi``
        (the central 90 % of the seeds), ``mean`` and standard deviation ``std`` over the ``n`` seeds that
        have a value; ``of``, the number of all seeds. Where ``values`` hold both claims of a comparison,
        or both parts of a claim, a further row has their paired difference and the part ``less ...``.

    Raises:
        ValueError: for an unknown id or part, or a comparison of unequal numbers of seeds.
    """
    rows = []
    for claim, given in values.items():
        start = _entry(claim).get("after")
        parts = given if isinstance(given, Mapping) else {"": given}
        for part, series in parts.items():
            rows.append(_row(claim, setting, part, paper_number(claim, part), series))
        if len(parts) == 2:
            (first, before), (second, after) = parts.items()
            paper = paper_value(claim, second) - paper_value(claim, first)
        elif start is not None and start in values:
            first, before, after = start, values[start], given
            paper = paper_value(claim) - paper_value(start)
        else:
            continue
        change = _difference(claim, before, after)
        rows.append(_row(claim, setting, f"less {first}", round(paper, 6), change))
    numbers = dict.fromkeys(("median", "lo", "hi", "mean", "std"), float) | {"n": int, "of": int}
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype(numbers)


def by_setting(frame: pd.DataFrame, measures: Mapping[str, str]) -> pd.DataFrame:
    """Which settings give the paper's numbers: each claim's measure over the seeds of each setting.

    Arguments:
        frame: one row a seed and setting, with a column ``setting``.
        measures: claim id to the column that answers it; claims with a single number.

    Returns:
        :func:`baq.report.stats.summarize` by setting, with the claim as ``measure``; the ``paper``'s
        value; and whether it lies ``within`` the prediction interval for as many runs as the paper's.

    Raises:
        ValueError: for an unknown id, a claim without a single number, or a column that the frame lacks.
    """
    paper = {claim: paper_value(claim) for claim in measures}
    parts = []
    for claim, column in measures.items():
        part = summarize(frame, ["setting"], [column]).assign(measure=claim, paper=paper[claim])
        runs, within = claims()[claim].get("runs", 1), {}
        for setting, seeds in frame.groupby("setting", sort=False)[column]:
            lo, hi = prediction_interval(seeds.mean(), seeds.std(), seeds.count(), runs)
            within[setting] = lo <= paper[claim] <= hi
        parts.append(part.assign(within=part["setting"].map(within)))
    return pd.concat(parts, ignore_index=True)


def _entry(claim: str) -> dict[str, Any]:
    if claim not in claims():
        raise ValueError(f"claim is {claim!r}: allowed are {', '.join(claims())}")
    return claims()[claim]


def _row(claim: str, setting: str, part: str, paper: float | str, series: pd.Series) -> dict:
    frame = pd.DataFrame({"claim": claim, "value": np.asarray(series, dtype=float)})
    ours = summarize(frame, ["claim"], ["value"]).iloc[0]
    return {
        "claim": claim,
        "setting": setting,
        "part": part,
        "work": claims()[claim]["work"],
        "quantity": claims()[claim]["quantity"],
        "paper": paper,
        **ours[["median", "lo", "hi"]],
        "mean": frame["value"].mean(),
        "std": frame["value"].std(),
        "n": ours["count"],
        "of": len(frame),
    }


def _difference(claim: str, before: pd.Series, after: pd.Series) -> np.ndarray:
    first, second = np.asarray(before, dtype=float), np.asarray(after, dtype=float)
    if first.shape != second.shape:
        raise ValueError(
            f"claim {claim} compares {first.size} with {second.size} seeds: allowed are equal numbers"
        )
    return second - first
