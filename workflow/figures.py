"""The figures of an executed chapter."""

from nbformat import NotebookNode


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
