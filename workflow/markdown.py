"""Tables in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

__all__ = ["table"]


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A pipe table; cells may hold Markdown of one line, numbers keep four significant digits.

    Raises:
        ValueError: for a cell with a line break or a pipe, which would break the table.
    """
    lines = [list(header), ["---"] * len(header), *rows]
    cells = [[_cell(cell) for cell in line] for line in lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)


def _cell(cell: object) -> str:
    text = f"{cell:.4g}" if isinstance(cell, float) else str(cell)
    if "\n" in text or "|" in text:
        raise ValueError(f"cell is {text!r}: allowed is one line without pipes")
    return text
