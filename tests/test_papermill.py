"""Plain papermill reads every chapter's parameters, and runs a chapter from its source."""

import subprocess
import sys
from pathlib import Path

import jupytext
import nbformat
import papermill
import pytest
from tiny_project import ROOT

from workflow.parameters import declared
from workflow.project import Project

CHAPTERS = {chapter.name: chapter for chapter in Project(ROOT).chapters}


@pytest.mark.parametrize("name", CHAPTERS)
def test_every_parameter_has_its_type_and_a_sentence_for_papermill(name, tmp_path):
    path = tmp_path / f"{name}.ipynb"
    jupytext.write(CHAPTERS[name].notebook, path)
    found = papermill.inspect_notebook(path)
    known = declared(CHAPTERS[name])
    assert list(found) == list(known)
    for parameter in known.values():
        assert len(parameter.comment.split()) > 1, parameter.name
        assert found[parameter.name]["help"] == parameter.comment
        assert found[parameter.name]["inferred_type_name"] == parameter.kind


@pytest.mark.parametrize(
    ("given", "needed"),
    [
        ({}, ["digits", "mnist", "fashion-mnist"]),
        ({"dataset": "fashion-mnist"}, ["fashion-mnist"]),
        ({"dataset": ""}, ["digits", "mnist", "fashion-mnist"]),
        ({"dataset": "digits", "datasets": ["mnist"]}, ["digits"]),
    ],
)
def test_one_data_set_alone_is_all_that_stopping_requires(given, needed):
    assert CHAPTERS["04-stopping"].requires(given) == needed


def test_a_source_is_piped_through_papermill(root):
    folder = Path(sys.executable).parent
    made = subprocess.run(
        f"{folder}/jupytext --to ipynb --output - notebooks/01-one.py"
        f" | {folder}/papermill - out.ipynb -p rows 4",
        cwd=root,
        shell=True,
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stderr
    assert (root / "a.csv").read_text() == "i\n" + 4 * "1\n"
    (cell,) = [
        cell
        for cell in nbformat.read(root / "out.ipynb", as_version=4).cells
        if "injected-parameters" in cell.metadata.get("tags", [])
    ]
    assert "rows = 4" in cell.source
