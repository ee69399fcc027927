"""Every figure of the book has words for who cannot see it, and names its data."""

from pathlib import Path

import jupytext
import nbformat
import pytest

from workflow.runner import figures

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "notebooks").glob("[0-9][0-9]-*.py"))
EXECUTED = sorted((ROOT / "book").glob("[0-9][0-9]-*.ipynb"))
DRAWS = ("charts.", "plt.", "fig = ", "stepper(", "label_maps(")


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_cells_that_draw_name_tables_that_the_chapter_saves(path):
    notebook = jupytext.read(path, fmt="py:percent")
    source = path.read_text("utf-8")
    named = [cell for cell in notebook.cells if "data" in cell.metadata]
    assert named, "a chapter without figures?"
    for cell in named:
        assert isinstance(cell.metadata["data"], list) and cell.metadata["data"]
        assert any(word in cell.source for word in DRAWS)
    for name in {name for cell in named for name in cell.metadata["data"]}:
        saved = f'"{name}"' in source or 'f"' + name.rpartition("-")[0] + "-{" in source
        assert saved, f"no table {name} is saved"
    for cell in notebook.cells:
        if "image" in cell.metadata.get("mystnb", {}):
            assert "data" in cell.metadata, cell.source[:200]


@pytest.mark.parametrize("path", EXECUTED, ids=lambda path: path.stem)
def test_every_executed_figure_has_alternative_text(path):
    found = figures(nbformat.read(path, as_version=4))
    assert found
    for cell in found:
        html = "".join(output.get("data", {}).get("text/html", "") for output in cell.outputs)
        alt = cell.metadata.get("mystnb", {}).get("image", {}).get("alt", "")
        assert len(alt) > 30 or ('alt="' in html and 'aria-label="' in html), cell.source[:200]
