"""Read the chapters' tables again, and show some of their rows as Markdown."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pandas as pd
from IPython.display import Markdown

from baq.report.columns import heading
from baq.report.stats import summarize
from baq.report.tables import interval_table, written

__all__ = ["excerpt", "markdown_table", "read", "results"]

#: Columns of a summary that are not keys.
_MEASURED = {"measure", "median", "lo", "hi", "count", "paper", "within"}


def results() -> Path:
    """The folder with a folder of tables for each chapter: ``$BAQ_TABLES``, else the book's.

    Raises:
        FileNotFoundError: if the variable is not set and no ``book/results`` is found.
    """
    if named := os.environ.get("BAQ_TABLES"):
        return Path(named)
    for near in ("book/results", "results", "../book/results"):
        if Path(near).is_dir():
            return Path(near)
    raise FileNotFoundError("no book/results here: set BAQ_TABLES to the folder of the tables")


def read(table: str) -> pd.DataFrame | None:
    """A table such as ``02-slice-geometry/choices``; None where it has not been made."""
    path = results() / f"{table}.csv"
    return pd.read_csv(path) if path.is_file() else None


def markdown_table(
    header: Sequence[str], rows: Iterable[Sequence[object]], caption: str = "", classes: str = ""
) -> str:
    """A pipe table; cells may hold Markdown of one line, numbers keep four significant digits.

    With a caption, which a rendered page numbers, or with classes it is MyST's directive ``table``.

    Raises:
        ValueError: for a cell with a line break or a pipe, which would break the table.
    """
    lines = [list(header), ["---"] * len(header), *rows]
    cells = [[_cell(cell) for cell in line] for line in lines]
    table = "\n".join(f"| {' | '.join(line)} |" for line in cells)
    if not caption and not classes:
        return table
    options = f":class: {classes}\n" if classes else ""
    return f"```{{table}} {caption}".rstrip() + f"\n{options}\n{table}\n```"


def _cell(cell: object) -> str:
    text = f"{cell:.4g}" if isinstance(cell, float) else str(cell)
    if "\n" in text or "|" in text:
        raise ValueError(f"cell is {text!r}: allowed is one line without pipes")
    return text


def excerpt(
    table: str,
    rows: Sequence[str] = (),
    *,
    columns: Mapping[str, str] | None = None,
    by: Sequence[str] = (),
) -> Markdown:
    """Some rows of a chapter's table, with intervals in one cell; a sentence where it is not there.

    A table with a row for each measure is shown with a column for each measure.

    Arguments:
        table: as for :func:`read`.
        rows: values of the first column; all where none are given.
        columns: the columns that are shown, and their headings; all where not given.
        by: sum the other columns up for each setting of these, as median and 90 % interval.
    """
    frame, texts = read(table), columns or {}
    if frame is None:
        return Markdown(f"*The table {table} has not been made yet.*")
    if by:
        frame = summarize(frame, by, [name for name in columns or frame if name not in by])
    if {"measure", "median", "lo", "hi"} <= set(frame):
        keys = [name for name in frame if name not in _MEASURED and name in (columns or frame)]
        measures = {name: heading(name, texts.get(name)) for name in frame["measure"]}
        frame = interval_table(frame, keys, "measure", headings=measures)
        texts = {measures.get(n, n): measures.get(n, text) for n, text in texts.items()}
    if rows:
        frame = frame[frame.iloc[:, 0].isin(rows)]
    if texts:
        frame = frame[[name for name in texts if name in frame]]
    text = written(frame, headings=texts)
    return Markdown(markdown_table(list(text), text.itertuples(index=False)))
