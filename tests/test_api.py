"""The pages of the API name every function that a room offers, and each has an example that is run."""

import doctest
import importlib
import inspect
import re
import sys
from pathlib import Path

import pytest

import baq

ROOT = Path(__file__).parents[1]
PAGES = ROOT / "book" / "api"
#: Files on top of ``baq`` that are no measures.
_BEHIND = {"__main__", "arguments"}
#: Rooms that serve the book and the command line.
_SERVING = {"machine", "protocols", "report"}
MODULES = {
    "measures": [
        "baq",
        *(f"baq.{path.stem}" for path in sorted(Path(baq.__file__).parent.glob("[!_]*.py"))),
    ],
    **{
        path.parent.name: [f"baq.{path.parent.name}"]
        for path in Path(baq.__file__).parent.glob("*/__init__.py")
    },
}
MODULES["measures"] = [
    name for name in MODULES["measures"] if name.removeprefix("baq.") not in _BEHIND
]
for room in _SERVING:
    del MODULES[room]


def offered(modules):
    """Functions and classes that modules offer, each by the name under which it is offered."""
    found = {}
    for module in map(importlib.import_module, modules):
        for name in module.__all__:
            value = getattr(module, name)
            ours = getattr(value, "__module__", "").startswith("baq")
            if callable(value) and ours and value not in found.values():
                found[f"{module.__name__}.{name}"] = value
    return found


def on_page(text):
    """What a page documents: the names of its autofunction and autoclass directives."""
    found, module = [], ""
    for kind, name in re.findall(
        r"^\.\. (currentmodule|autofunction|autoclass):: (\S+)$", text, re.MULTILINE
    ):
        if kind == "currentmodule":
            module = name
        else:
            found.append(f"{module}.{name}")
    return found


def summarized(text):
    """What the tables of a page list."""
    tables = re.findall(
        r"^\.\. autosummary::\n   :nosignatures:\n\n((?:   \w+\n)+)", text, re.MULTILINE
    )
    return {name for table in tables for name in table.split()}


@pytest.mark.parametrize("room", MODULES)
def test_a_page_documents_what_its_room_offers_and_nothing_else(room):
    text = (PAGES / f"{room}.md").read_text("utf-8")
    documented = on_page(text)
    assert sorted(documented) == sorted(offered(MODULES[room]))
    names = [name.rpartition(".")[2] for name in documented]
    assert summarized(text) <= set(names)
    if len(MODULES[room]) == 1:
        assert summarized(text) == set(names)


@pytest.mark.parametrize("room", MODULES)
def test_a_page_is_in_the_book_and_in_the_list_of_pages(room):
    assert f"book/api/{room}\n" in (ROOT / "_toc.yml").read_text("utf-8")
    assert f"]({room})" in (PAGES / "index.md").read_text("utf-8")


@pytest.mark.parametrize(
    ("name", "value"),
    [pytest.param(*item, id=item[0]) for of in MODULES.values() for item in offered(of).items()],
)
def test_it_has_an_example_and_says_what_it_does(name, value):
    # `--doctest-modules` runs them all; here it is looked at that there is one.
    found = doctest.DocTestFinder(recurse=False).find(value, name)
    examples = [example for test in found for example in test.examples]
    assert examples, f"{name} has no example"
    if not inspect.isclass(value):  # an instance may come out of a function
        last = name.rpartition(".")[2]
        assert any(re.search(rf"\b{last}\b", example.source) for example in examples)
    assert any(example.want for example in examples), f"the example of {name} shows nothing"
    assert "+SKIP" not in "".join(example.source for example in examples)
    assert re.match(r"\S.*[.:]$", inspect.getdoc(value).partition("\n\n")[0].replace("\n", " "))


def test_pytest_runs_the_examples_of_the_package(request):
    assert request.config.getoption("--doctest-modules")
    assert "baq" in request.config.getini("testpaths")


def test_what_is_missing_is_found():
    text = "```{eval-rst}\n.. currentmodule:: baq\n\n.. autofunction:: compare\n```\n"
    assert on_page(text) == ["baq.compare"]
    assert "baq.ptq_w" in set(offered(["baq"])) - set(on_page(text))


@pytest.fixture
def api():
    sys.path.insert(0, str(ROOT / "book" / "_ext"))
    try:
        yield importlib.import_module("api")
    finally:
        sys.path.pop(0)


def test_a_function_is_found_under_each_of_its_names(api):
    class Environment:
        objects = dict.fromkeys(["baq.compare", "baq.slices.boundary_mask", "baq.local.flips"])
        domaindata = {"py": {"objects": objects}}  # noqa: RUF012

    for name, wanted in (
        ("baq.slices.boundary_mask", "baq.slices.boundary_mask"),
        ("baq.slices.jaccard.boundary_mask", "baq.slices.boundary_mask"),
        ("baq.comparison.compare", "baq.compare"),
        ("baq.band.flips", "baq.local.flips"),
        ("baq.slices.jaccard.as_map", None),
        ("baq.slices.jaccard.SIDES", None),
        ("baq.no.such", None),
        ("torch.nn.Linear", None),
    ):
        assert api.documented(Environment, name) == wanted


def test_what_a_page_calls_is_found(api):
    cells = [
        "from baq import compare, slices as s, ptq_w\nfrom baq.slices import pca_plane as p",
        "compare(s.label_map(x), p(x)); torch.no_grad()",
        "%pip install x",
        "def late():\n    from baq.local import flips\n    return flips",
        "from baqs import x; x(); flips2()",
    ]
    assert {name for name in api.called(cells) if name != "baq.slices"} == {
        "baq.compare",
        "baq.slices.label_map",
        "baq.slices.pca_plane",
        "baq.local.flips",
    }


def test_a_shape_begins_no_emphasis(api):
    lines = ["x: inputs (N, *), ``(B, *)``, *all* (3, *)", "(*, 2)"]
    api._escape_shapes(None, "", "", None, None, lines)
    assert lines == ["x: inputs (N, \\*), ``(B, *)``, *all* (3, \\*)", "(*, 2)"]
