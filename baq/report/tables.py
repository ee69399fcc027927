"""Show the tables of a chapter, and save them where its runner wants them."""

from __future__ import annotations

import math
import os
from pathlib import Path

import pandas as pd
from pandas.io.formats.style import Styler

__all__ = ["audit_text", "interval_cells", "interval_text", "save", "show"]


def save(frame: pd.DataFrame, name: str) -> None:
    """Write a tidy table as ``name.csv`` into the folder that ``$BAQ_RESULTS`` names.

    Nothing is written where the variable is not set, so that a notebook run by hand leaves no files
    but its own. Floats keep six significant digits.

    Raises:
        ValueError: for a name that is not a plain file name.
    """
    if not name.replace("-", "").isalnum():
        raise ValueError(f"table name is {name!r}: allowed are letters, digits and hyphens")
    folder = os.environ.get("BAQ_RESULTS")
    if folder:
        frame.to_csv(Path(folder) / f"{name}.csv", index=False, float_format="%.6g")


def show(
    frame: pd.DataFrame, name: str, precision: int = 4, *, shown: pd.DataFrame | None = None
) -> Styler:
    """Save a tidy table and return it for display, without its index and without empty columns.

    Arguments:
        frame: the table: a column a variable, numbers as numbers.
        name: as for :func:`save`; also the name of the table's elements in the page, so that equal
            tables give equal pages.
        precision: decimals shown.
        shown: what is displayed in place of the table, such as :func:`interval_cells` of it.
    """
    save(frame, name)
    shown = frame if shown is None else shown
    empty = [name for name in shown if len(shown) and (shown[name] == "").all()]
    styler = shown.style.hide(axis="index").hide(empty, axis="columns")
    return styler.format(precision=precision).set_uuid(name)


def interval_text(middle: float, lo: float, hi: float, precision: int = 4) -> str:
    """An estimate with its interval for display: ``0.0014 [0.0010, 0.0020]``; a dash for NaN."""
    if math.isnan(middle):
        return "–"
    return f"{middle:.{precision}f} [{lo:.{precision}f}, {hi:.{precision}f}]"


def audit_text(error_bound: pd.Series) -> str:
    """A sentence on the reliability of a chapter's label maps, from their error bounds."""
    bound = error_bound.max()
    if not bound:
        return "All label maps are certified cell for cell."
    return (
        "Label maps of networks with one hidden layer are certified cell for cell; others are refined "
        "around the boundary, and their audit by a random sample bounds the share of wrong cells, with "
        f"95 % confidence for each pair of maps, by {bound:.2%} or less."
    )


def interval_cells(
    summary: pd.DataFrame, index: str, columns: dict[str, str], precision: int = 4
) -> pd.DataFrame:
    """A wide table of ``median [lo, hi]`` out of a summary, a row for each value of ``index``.

    Arguments:
        summary: as :func:`baq.report.stats.summarize` returns it.
        index: its column that names the rows; larger values come first.
        columns: measure to heading, unit included.
        precision: decimals shown.
    """
    cells = [
        interval_text(middle, lo, hi, precision)
        for middle, lo, hi in summary[["median", "lo", "hi"]].to_numpy()
    ]
    wide = summary.assign(cell=cells).pivot(index=index, columns="measure", values="cell")
    wide = wide.sort_index(ascending=False)[list(columns)].rename(columns=columns)
    return wide.rename_axis(columns=None).reset_index()
