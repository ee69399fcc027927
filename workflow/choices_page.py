"""The generated parts of the page *Choices*: what each alternative does to the claims, measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from baq.report.stats import summarize
from baq.report.tables import interval_cells
from workflow import markdown

__all__ = ["TABLES", "Extract", "choice_tables"]


@dataclass(frozen=True)
class Extract:
    """Some rows of a chapter's table, by the values of its first column; all of them where none.

    ``columns`` are those shown, and their headings. Where ``by`` names columns, the others are summed
    up for each setting of these, as median and 90 % interval over its rows.
    """

    chapter: str
    table: str
    rows: Sequence[str] = ()
    columns: Mapping[str, str] = field(default_factory=dict)
    by: Sequence[str] = ()


_ANSWER = {
    **{name: name for name in ("claim", "setting", "quantity", "part", "paper")},
    **{name: name for name in ("median", "lo", "hi", "n")},
}

#: The tables of the page, by the name of their snippet.
TABLES = {
    "quantizer-digits": Extract(
        "02-slice-geometry",
        "choices",
        ("as above", "one scale per output unit", "asymmetric levels"),
    ),
    "quantizer-cifar": Extract("06-cifar-full", "conventions"),
    "network-digits": Extract(
        "02-slice-geometry",
        "choices",
        ("as above", "32 hidden units", "128 hidden units", "ReLU", "standardized inputs"),
    ),
    "slice-digits": Extract(
        "02-slice-geometry",
        "choices",
        (
            *("as above", "one-sided masks", "slice without padding", "slice of the test images"),
            "plane through three test images",
        ),
    ),
    "grid-digits": Extract("02-slice-geometry", "grid-summary"),
    "subsets": Extract("05-cifar-subsets", "choices"),
    "junctions": Extract("03-interpolation-and-junctions", "readings"),
    "accuracy-rule": Extract("04-stopping", "accuracy-rule"),
    "thresholds": Extract("04-stopping", "thresholds-verdict"),
    "band": Extract("06-cifar-full", "law-of-paper"),
    "rounding": Extract("07-rounding", "claims", columns=_ANSWER),
    "gap-weight": Extract(
        "07-rounding",
        "gap-path",
        columns={
            "setting": "setting",
            "bits": "bits",
            "weight": "weight",
            "band_pair_flip_rate": "pair-order flips in the band",
            "accuracy": "accuracy",
        },
        by=("setting", "bits", "weight"),
    ),
    "calibration": Extract("08-calibration", "claims", columns=_ANSWER),
}


def choice_tables(folders: Mapping[str, Path]) -> dict[str, str]:
    """Every table of the page in Markdown, by the name of its snippet.

    Arguments:
        folders: chapter to the folder of its tables; a chapter may be lacking.
    """
    return {name: _extracted(extract, folders) for name, extract in TABLES.items()}


def _extracted(extract: Extract, folders: Mapping[str, Path]) -> str:
    path = folders.get(extract.chapter, Path()) / f"{extract.table}.csv"
    if not path.is_file():
        return f"*The chapter {extract.chapter} has no table {extract.table} yet.*"
    frame = pd.read_csv(path)
    if extract.table == "grid-summary":
        frame = _by_grid(frame)
    if extract.rows:
        frame = frame[frame.iloc[:, 0].isin(extract.rows)]
    if extract.by:
        frame = _summed(frame, extract)
    if extract.columns:
        frame = frame[list(extract.columns)].rename(columns=extract.columns)
    frame = frame.astype(object).where(frame.notna(), "")
    return markdown.table(list(frame), frame.itertuples(index=False))


def _summed(frame: pd.DataFrame, extract: Extract) -> pd.DataFrame:
    """A row for each setting, with its measures as ``median [lo, hi]``."""
    measures = [name for name in extract.columns if name not in extract.by]
    summary = summarize(frame, extract.by, measures)
    summary["cell"] = [
        f"{row.median:.4g} [{row.lo:.4g}, {row.hi:.4g}]" for row in summary.itertuples()
    ]
    wide = summary.pivot(index=list(extract.by), columns="measure", values="cell")
    return wide.reset_index()


def _by_grid(summary: pd.DataFrame) -> pd.DataFrame:
    """J on every grid, a column for each bit width."""
    rows = summary[summary["measure"] == "jaccard"]
    wide = [
        interval_cells(group, "n", {"jaccard": f"J at {bits} bits"}, 3).set_index("n")
        for bits, group in rows.groupby("bits")
    ]
    frame = pd.concat(wide[::-1], axis=1).sort_index().reset_index()
    return frame.rename(columns={"n": "cells a side, n"})
