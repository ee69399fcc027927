"""Show the tables of a chapter, and save them where its runner wants them."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from numbers import Integral, Real
from pathlib import Path
from typing import SupportsFloat

import numpy as np
import pandas as pd
from pandas.io.formats.style import Styler

from baq.report.columns import HEADINGS, alike, form, heading, number
from baq.report.stats import FEW

__all__ = [
    "HEADINGS",
    "audit_text",
    "interval_columns",
    "interval_table",
    "interval_text",
    "save",
    "show",
    "show_intervals",
    "spread_text",
    "styled",
    "written",
]

#: Estimates whose interval stands in the columns ``lo`` and ``hi``, and the heading of both together.
_MIDDLES = {"median": "median [interval]", "difference": "difference [90 % interval]"}
#: How tables keep floats.
_SAVED = "%.6g"
_NUMBER = re.compile(r"[-+<]?\d[\d,.×⁻⁰¹²³⁴⁵⁶⁷⁸⁹]*( \[.*\])?|–|")


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
        frame.to_csv(Path(folder) / f"{name}.csv", index=False, float_format=_SAVED)


def show(
    frame: pd.DataFrame,
    name: str,
    precision: int | None = None,
    *,
    shown: pd.DataFrame | None = None,
) -> Styler:
    """Save a tidy table and return it for display as :func:`written`.

    Arguments:
        frame: the table: a column a variable, numbers as numbers.
        name: as for :func:`save`; also the name of the table's elements in the page, so that equal
            tables give equal pages.
        precision: as for :func:`written`.
        shown: what is displayed in place of the table, such as :func:`interval_table` of it.
    """
    save(frame, name)
    return styled(frame if shown is None else shown, name, precision)


def styled(shown: pd.DataFrame, name: str, precision: int | None = None) -> Styler:
    """A table for display as :func:`show` returns it, not saved; no other on the page has its name."""
    text = written(shown, precision)
    styler = text.style.hide(axis="index").set_uuid(name)
    sides = {True: "text-align: right", False: "text-align: left"}
    return styler.set_table_styles(
        {
            column: [{"selector": "", "props": sides[all(map(_NUMBER.fullmatch, text[column]))]}]
            for column in text
        }
    )


def written(
    frame: pd.DataFrame,
    precision: int | None = None,
    *,
    headings: Mapping[str, str] | None = None,
) -> pd.DataFrame:
    """A table as a page has it: texts under headings with units, estimates with their intervals.

    Columns that :mod:`baq.report.columns` knows get its headings and its way to write numbers; others
    keep their names. A median or difference takes in its interval from ``lo`` and ``hi``, a quantity
    takes in ``part`` and ``work``, and columns without any text are left out.

    Arguments:
        frame: a row an entry; numbers as numbers or as text.
        precision: decimals of numbers in columns that are not known, else three significant digits.
        headings: column to a heading of its own, without the sign of a percentage.
    """
    texts = headings or {}
    digits = 4 if "claim" in frame else 3  # what the paper prints
    other = partial(number, digits=digits) if precision is None else f"{{:,.{precision}f}}".format
    frame, cells = frame.reset_index(drop=True), {}
    rows = [form(name) for name in frame.get("measure", [None] * len(frame))]
    for name in frame:
        if len(frame) and (frame[name].astype(object) == "").all():
            continue
        if name in _MIDDLES and {"lo", "hi"} <= set(frame):
            ends = frame[[name, "lo", "hi"]].to_numpy(dtype=float)
            signed = name == "difference"
            cells[_MIDDLES[name]] = [
                _told(row, how, precision, digits, signed)
                for row, how in zip(ends, rows, strict=True)
            ]
        elif name == "quantity":
            kept = frame[[c for c in ("quantity", "part", "work") if c in frame]].to_numpy()
            cells[name] = [
                ", ".join(w for w in words if isinstance(w, str) and w) for words in kept
            ]
        elif name == "measure":
            cells[name] = [heading(word) for word in frame[name]]
        elif not (
            (name in ("lo", "hi") and set(_MIDDLES) & set(frame))
            or (name in ("part", "work") and "quantity" in frame)
        ):
            cells[heading(name, texts.get(name))] = [
                _cell(value, form(name), other) for value in frame[name]
            ]
    return pd.DataFrame(cells, dtype=object)


def _cell(
    value: object, known: Callable[[float], str] | None, other: Callable[[float], str]
) -> str:
    """The text of one cell; whole numbers of unknown columns are counts."""
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if pd.isna(value):
        return "–"
    if isinstance(value, Integral) and not known:
        return f"{value:,}"
    return (known or other)(_saved(value)) if isinstance(value, Real) else str(value)


def _saved(value: SupportsFloat) -> float:
    """A number as its table has it, so that a page says the same whether it computed or read it."""
    return float(_SAVED % float(value))


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

    Numbers have ``precision`` decimals, or those of four significant digits of the estimate where that is None,
    unless ``form`` writes them. A NaN is a dash; an estimate without an interval, where lo or hi is NaN, stands alone.
    ``signed`` shows a plus too, as differences need it.
    """
    if math.isnan(middle):
        return "–"
    if form is None:
        form = alike((middle, lo, hi), 4) if precision is None else f"{{:.{precision}f}}".format
    ends = [lo, hi] if not math.isnan(lo + hi) else []
    told = [f"{'+' if signed and value > 0 else ''}{form(value)}" for value in (middle, *ends)]
    return f"{told[0]} [{told[1]}, {told[2]}]" if ends else told[0]


def _told(
    row: Sequence[float],
    how: Callable[[float], str] | None,
    precision: int | None = None,
    digits: int = 3,
    signed: bool = False,
) -> str:
    """An estimate with its interval, as its column writes it, or else with decimals or digits."""
    row = [_saved(value) for value in row]
    if how is None and not math.isnan(row[0]):
        how = alike(row, digits) if precision is None else f"{{:z.{precision}f}}".format
    middle, lo, hi = row
    return interval_text(middle, lo, hi, form=how, signed=signed)


def spread_text(n: int, of: str = "seeds") -> str:
    """What a table of :func:`baq.report.stats.summarize` shows, such as ``Median and range of 3 seeds``."""
    return f"Median and {'90 % interval over' if n >= FEW else 'range of'} {n} {of}"


def audit_text(error_bound: pd.Series) -> str:
    """A sentence on the reliability of label maps, from their error bounds, which are 0 where all labels are exact."""
    bound = error_bound.max()
    if not bound:
        return "All label maps are certified cell for cell."
    exact = int((error_bound == 0).sum())
    which = (
        f"Of {len(error_bound)} pairs of label maps {exact} are exact cell for cell. The others"
        if exact
        else "Label maps"
    )
    return (
        f"{which} are [refined around the boundary and audited](definitions.md#label-maps): with 95 % confidence at most "
        f"{bound:.2%} of the cells of each pair of maps are wrong."
    )


def interval_table(
    frame: pd.DataFrame,
    index: Sequence[str],
    columns: str = "measure",
    value: str = "median",
    ends: tuple[str, str] = ("lo", "hi"),
    precision: int | None = None,
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
        precision: decimals of measures that :mod:`baq.report.columns` does not know, else three
            significant digits. The measure is the value of ``columns``, or of a column ``measure``.
        signed: show a plus too.
        headings: the values of ``columns`` that are shown and what stands above them, or those with
            their own headings; all where not given. Shares get the sign of a percentage.
        order: values of the first column of ``index`` that are shown, from top to bottom. Where not
            given, rows keep the order in which they first appear.

    Returns:
        The columns of ``index`` and the headings; a dash where there is no estimate.

    Raises:
        ValueError: for two estimates in one cell, or a heading or a row without any estimate.
    """
    if not isinstance(headings, Mapping):
        headings = {name: heading(name) for name in (headings or frame[columns])}
    headings = {name: heading(name, text) for name, text in headings.items()}
    forms = [form(name) for name in frame.get("measure", frame[columns])]
    given = frame[[*index, columns, value, *ends]].itertuples(index=False)
    rows: dict[tuple[object, ...], dict[str, str]] = {}
    for how, (*key, name, middle, lo, hi) in zip(forms, given, strict=True):
        cells = rows.setdefault(tuple(key), {})
        if name in cells:
            raise ValueError(f"{tuple(key)} has {name} twice: allowed is one estimate a cell")
        cells[name] = _told((middle, lo, hi), how, precision, signed=signed)
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
    precision: int | None = None,
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
    frame: pd.DataFrame,
    index: Sequence[str],
    values: Mapping[str, str],
    precision: int | None = None,
) -> pd.DataFrame:
    """The rows of a table for display, each estimate with its interval in one cell.

    Arguments:
        frame: a row an entry, with columns such as ``r``, ``r_lo`` and ``r_hi``.
        index: the columns shown as they are.
        values: the columns of estimates to their headings.
        precision: as for :func:`interval_table`.
    """
    cells = {
        text: [
            _told(row, form(v), precision) for row in frame[[v, f"{v}_lo", f"{v}_hi"]].to_numpy()
        ]
        for v, text in values.items()
    }
    return frame[list(index)].assign(**cells)
