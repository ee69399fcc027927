"""The rooms of ``baq`` import one way: no measure knows of data, reports or the workflow."""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import jupytext
import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "baq"
CHAPTERS = sorted((ROOT / "notebooks").glob("[0-9][0-9]-*.py"))
#: What each room must never import; the measures are the files on top.
NEVER = {
    "command": ("baq.zoo", "baq.report", "workflow"),
    "machine": ("baq.adapters", "baq.zoo", "baq.report", "torch", "workflow"),
    "measures": ("baq.zoo", "baq.report", "workflow"),
    "slices": ("baq.zoo", "baq.report", "baq.rounding", "baq.comparison", "workflow"),
    "comparison": ("baq.zoo", "baq.report", "baq.rounding", "baq.planning", "workflow"),
    "rounding": ("baq.zoo", "baq.report", "workflow"),
    "planning": ("baq.zoo", "baq.report", "workflow"),
    "protocols": ("workflow",),
    "adapters": ("baq.zoo", "baq.report", "baq.slices", "baq.rounding", "baq.planning", "workflow"),
    "audit": ("baq.zoo", "baq.report", "workflow"),
    "zoo": ("baq.report", "workflow"),
    "report": ("workflow",),
}


def modules():
    """Every module of the package by its dotted name."""
    return {
        ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(
            ".__init__"
        ): path
        for path in PACKAGE.rglob("*.py")
    }


def imported(source, known):
    """What a source imports, each as a module where it is one of the package: also inside functions."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports name the whole path"
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                found.add(name if name in known else node.module)
    return found


def room(module):
    parts = module.split(".")
    if parts[1:] == ["__main__"]:
        return "command"
    return parts[1] if len(parts) > 1 and (PACKAGE / parts[1]).is_dir() else "measures"


def forbidden(module, imports):
    return sorted(
        name
        for name in imports
        for never in NEVER[room(module)]
        if name == never or name.startswith(f"{never}.")
    )


def circle(graph):
    """The modules of a circle of imports; none where there is no circle."""
    try:
        list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        return error.args[1]
    return []


def graph():
    known = modules()
    return {name: imported(path.read_text("utf-8"), known) for name, path in known.items()}


def test_no_room_imports_what_it_must_not_know():
    assert {
        name: found for name, needs in graph().items() if (found := forbidden(name, needs))
    } == {}


def test_imports_go_in_no_circle():
    assert (
        circle({name: {n for n in needs if n in modules()} for name, needs in graph().items()})
        == []
    )


def test_the_top_folder_stays_small():
    assert len(list(PACKAGE.glob("*.py"))) <= 10
    assert {path.name for path in PACKAGE.iterdir() if any(path.glob("*.py"))} == NEVER.keys() - {
        "measures",
        "command",
    }


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("baq.local", "from baq.zoo import models"),
        ("baq.local", "def late():\n    import baq.report.stats"),
        ("baq.slices.jaccard", "from baq import zoo"),
        ("baq.slices.jaccard", "from baq.rounding.points import sample_boundary"),
        ("baq.rounding.form", "import workflow.project"),
        ("baq.__main__", "from baq.zoo import data"),
        ("baq.machine.yaml_core", "import torch"),
        ("baq.report.claims", "from workflow import project"),
    ],
)
def test_a_forbidden_import_is_found(module, source):
    assert forbidden(module, imported(source, modules()))
    assert not forbidden(module, imported("from baq.inference import logits", modules()))


def test_a_circle_is_found():
    assert set(circle({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}})) == {"a", "b", "c"}


def test_the_house_stays_small():
    """A file that grows past its room is a sign that something in it belongs elsewhere."""
    files = list((ROOT / "workflow").glob("*.py"))
    assert len(files) <= 23
    assert sum(len(path.read_text("utf-8").splitlines()) for path in files) <= 2300


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_a_chapter_can_be_read_in_one_go(path):
    assert len(path.read_text("utf-8").splitlines()) <= 400
    cells = jupytext.read(path, fmt="py:percent").cells
    assert max(len(c.source.splitlines()) for c in cells if c.cell_type == "code") <= 40
