"""Show the tables of a chapter, and save them where its runner wants them."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pandas as pd
from pandas.io.formats.style import Styler

from baq.report.stats import FEW

__all__ = [
    "HEADINGS",
    "audit_text",
    "interval_columns",
    "interval_table",
    "interval_text",
    "paired_cells",
    "save",
    "show",
    "show_intervals",
    "spread_text",
    "styled",
]

#: Headings of measures of :func:`baq.compare`, units included.
HEADINGS = {
    "bits": "bits per weight",
    "loss": "loss of accuracy",
    "flip_rate": "flip rate",
    "band_flip_rate": "flip rate in the band",
    "band_pair_flip_rate": "pair-order flips in the band",
    "radius": "median radius, input units",
    "shift": "median displacement, input units",
    "band_shift": "median displacement in the band",
    "normal_angle": "median angle of normals, degrees",
    "jaccard": "Jaccard distance J",
    "grid_change": "grid prediction change",
}


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
        shown: what is displayed in place of the table, such as :func:`interval_table` of it.
    """
    save(frame, name)
    return styled(frame if shown is None else shown, name, precision)


def styled(shown: pd.DataFrame, name: str, precision: int = 4) -> Styler:
    """A table for display as :func:`show` returns it, not saved; no other on the page has its name."""
    empty = [name for name in shown if len(shown) and (shown[name] == "").all()]
    styler = shown.style.hide(axis="index").hide(empty, axis="columns")
    return styler.format(precision=precision).set_uuid(name)


def interval_text(
    middle: float,
    lo: float,
    hi: float,
    precision: int | None = 4,
    *,
    signed: bool = False,
    form: Callable[[float], str] | None = None,
) -> str:
    """An estimate with its interval for display: ``0.0014 [0.0010, 0.0020]``.

    Numbers have ``precision`` decimals, or four significant digits where that is None, unless ``form``
    writes them. A NaN is a dash; an estimate without an interval, where lo or hi is NaN, stands alone.
    ``signed`` shows a plus too, as differences need it.
    """
    if math.isnan(middle):
        return "–"
    if form is None:
        digits = "4g" if precision is None else f"{precision}f"
        form = f"{{:{'+' if signed else ''}.{digits}}}".format
    if math.isnan(lo) or math.isnan(hi):
        return form(middle)
    return f"{form(middle)} [{form(lo)}, {form(hi)}]"


def spread_text(n: int, of: str = "seeds") -> str:
    """What a table of :func:`baq.report.stats.summarize` shows, such as ``Median and range of 3 seeds``."""
    return f"Median and {'90 % interval over' if n >= FEW else 'range of'} {n} {of}"


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


def paired_cells(differences: pd.DataFrame, names: Mapping[str, str]) -> pd.DataFrame:
    """Paired differences for display, each with its interval and its counts of falls and rises.

    Arguments:
        differences: as :func:`baq.report.stats.paired_differences` returns it.
        names: measure to the text shown.
    """
    shown = differences[["setting", "measure", "before", "after"]].replace({"measure": dict(names)})
    middles = differences[["difference", "lo", "hi"]].to_numpy(dtype=float)
    shown["difference"] = [interval_text(*row) for row in middles]
    counts = differences[["fall", "rise", "n"]].to_numpy()
    shown["fall, rise"] = [f"{fall}, {rise} of {n}" for fall, rise, n in counts]
    return shown


def interval_table(
    frame: pd.DataFrame,
    index: Sequence[str],
    columns: str = "measure",
    value: str = "median",
    ends: tuple[str, str] = ("lo", "hi"),
    precision: int | None = 4,
    *,
    signed: bool = False,
    headings: Mapping[str, str] | Sequence[str] | None = None,
    order: Sequence[object] | None = None,
) -> pd.DataFrame:
    """A tidy table of estimates spread out for display, each as :func:`interval_text`.

    Arguments:
        frame: a row an estimate, as :func:`baq.report.stats.summarize` returns them.
        index: the columns that name a row of the wide table.
        columns: the column whose values become headings.
        value, ends: the columns of the estimate and of its interval.
        precision: as for :func:`interval_text`.
        signed: show a plus too.
        headings: the values of ``columns`` that are shown and what stands above them, or measures that
            :data:`HEADINGS` names; all as they are where not given.
        order: values of the first column of ``index`` that are shown, from top to bottom. Where not
            given, rows keep the order in which they first appear.

    Returns:
        The columns of ``index`` and the headings; a dash where there is no estimate.

    Raises:
        ValueError: for two estimates in one cell, or a heading or a row without any estimate.
    """
    if headings is None:
        headings = {name: name for name in frame[columns]}
    elif not isinstance(headings, Mapping):
        headings = {measure: HEADINGS[measure] for measure in headings}
    given = frame[[*index, columns, value, *ends]].itertuples(index=False)
    rows: dict[tuple[object, ...], dict[str, str]] = {}
    for *key, name, middle, lo, hi in given:
        cells = rows.setdefault(tuple(key), {})
        if name in cells:
            raise ValueError(f"{tuple(key)} has {name} twice: allowed is one estimate a cell")
        cells[name] = interval_text(middle, lo, hi, precision, signed=signed)
    for asked, known in ((headings, frame[columns]), (order or (), frame[index[0]])):
        if lacking := [name for name in asked if name not in set(known)]:
            allowed = ", ".join(map(str, dict.fromkeys(known)))
            raise ValueError(f"no estimate of {lacking[0]}: allowed are {allowed}")
    if order is not None:
        place = {name: k for k, name in enumerate(order)}
        kept = [key for key in rows if key[0] in place]
        rows = {key: rows[key] for key in sorted(kept, key=lambda key: place[key[0]])}
    found = [[*key, *(cells.get(h, "–") for h in headings)] for key, cells in rows.items()]
    return pd.DataFrame(found, columns=[*index, *headings.values()])


def show_intervals(
    summary: pd.DataFrame,
    name: str,
    index: str,
    headings: Mapping[str, str] | Sequence[str],
    precision: int = 4,
    order: Sequence[object] | None = None,
) -> Styler:
    """Save a summary as numbers, and return its :func:`interval_table` for display.

    Arguments:
        summary: as :func:`baq.report.stats.summarize` returns it.
        name: as for :func:`show`.
        index: its column that names the rows.
        headings, precision, order: as for :func:`interval_table`.
    """
    wide = interval_table(summary, [index], precision=precision, headings=headings, order=order)
    return show(summary, name, shown=wide)


def interval_columns(
    frame: pd.DataFrame, index: Sequence[str], values: Mapping[str, str], precision: int = 4
) -> pd.DataFrame:
    """The rows of a table for display, each estimate with its interval in one cell.

    Arguments:
        frame: a row an entry, with columns such as ``r``, ``r_lo`` and ``r_hi``.
        index: the columns shown as they are.
        values: the columns of estimates to their headings.
        precision: decimals shown.
    """
    cells = {
        heading: [
            interval_text(middle, lo, hi, precision)
            for middle, lo, hi in frame[[v, f"{v}_lo", f"{v}_hi"]].to_numpy()
        ]
        for v, heading in values.items()
    }
    return frame[list(index)].assign(**cells)
