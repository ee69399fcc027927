"""The figures of an executed chapter: which cells have one, and what stands below it."""

from collections.abc import Iterable

import nbformat
from nbformat import NotebookNode


def link_figures(notebook: NotebookNode, chapter: str, tables: Iterable[str]) -> None:
    """Insert a line of links after each cell with a figure.

    A cell names the tables that its figure draws in its metadata, as ``data=["NAME"]``; those among
    ``tables``, which the chapter saved, are linked. The executed notebook is changed in place.
    """
    there = set(tables)
    source = f"{{download}}`notebook source <../notebooks/{chapter}.py>`"
    marked = {id(cell) for cell in figures(notebook)}
    cells = []
    for cell in notebook.cells:
        cells.append(cell)
        if id(cell) in marked:
            links = [
                f"{{download}}`{name}.csv <results/{chapter}/{name}.csv>`"
                for name in cell.metadata.get("data", [])
                if name in there
            ]
            data = f" Data: {', '.join(links)}." if links else ""
            text = f":::{{container}} figure-links\nFigure from the {source}.{data}\n:::"
            made = nbformat.v4.new_markdown_cell(text, id=f"links-{len(cells):03d}")
            cells.append(made)
    notebook.cells = cells


def lost_figures(recorded: NotebookNode, made: NotebookNode) -> list[int]:
    """The code cells, counted from 1, that drew a figure when they were recorded, and none now."""
    drew = {cell.source for cell in figures(recorded)}
    draw = {cell.source for cell in figures(made)}
    code = [cell.source for cell in made.cells if cell.cell_type == "code"]
    return [number for number, text in enumerate(code, start=1) if text in drew - draw]


def figures(notebook: NotebookNode) -> list[NotebookNode]:
    """The cells with a figure among their outputs: an image, or a ``figure`` element of HTML."""
    found = []
    for cell in (cell for cell in notebook.cells if cell.cell_type == "code"):
        shown = [output.get("data", {}) for output in cell.outputs]
        image = any(kind.startswith("image/") for data in shown for kind in data)
        found += [cell] if image or "<figure" in str(shown) else []
    return found
