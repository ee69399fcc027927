"""What is built from the checkout works without it."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
import tomllib
from importlib.metadata import distribution, packages_distributions
from pathlib import Path

import nbformat
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from workflow.project import Project

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
#: What a room needs beyond the measures: the extra of its name, or those that are listed.
NEEDS = {
    "adapters": ["onnx", "plot", "zoo"],
    "machine": ["plot"],
    "notebooks": ["onnx", "plot", "zoo"],
    "report": ["plot"],
    "zoo": ["zoo"],
}
ROOMS = [path.name for path in (ROOT / "baq").iterdir() if any(path.glob("*.py"))]


def named(lines):
    return {canonicalize_name(Requirement(line).name) for line in lines}


def declared(*extras):
    """What is installed with the package and some of its extras, but for what these require."""
    return named(PROJECT["dependencies"]).union(*(named(EXTRAS[extra]) for extra in extras))


def required(names):
    """Distributions and all that they require here."""
    found, todo = set(), list(names)
    while todo:
        if (name := canonicalize_name(todo.pop())) in found:
            continue
        found.add(name)
        for line in distribution(name).requires or []:
            one = Requirement(line)
            if one.marker is None or one.marker.evaluate({"extra": ""}):
                todo.append(one.name)
    return found


def run(*command, cwd, python=sys.executable, **environment):
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": "", **environment}
    done = subprocess.run(
        [python, *map(str, command)],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def imported(paths, late=True):
    """The packages that files import; without ``late`` only those that they import when imported."""
    names = set()
    for path in paths:
        tree = ast.parse(path.read_text("utf-8"))
        for node in ast.walk(tree) if late else tree.body:
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                names.add(node.module.partition(".")[0])
    return names - sys.stdlib_module_names - {"baq"}


def undeclared(packages, known):
    """The packages that belong to none of some distributions."""
    of = packages_distributions()
    return {name for name in packages if not known & {canonicalize_name(n) for n in of[name]}}


@pytest.mark.parametrize("room", [*ROOMS, "notebooks"])
def test_every_package_that_a_room_imports_is_declared_for_it(room):
    folder = ROOT / room if room == "notebooks" else ROOT / "baq" / room
    packages = imported(folder.rglob("*.py"))
    assert undeclared(packages, declared(*NEEDS.get(room, []))) == set()


def test_the_measures_import_what_comes_with_them_and_nothing_else():
    assert undeclared(imported((ROOT / "baq").glob("*.py")), declared()) == set()
    files = (
        path for room in ("adapters", "machine") for path in (ROOT / "baq" / room).glob("*.py")
    )
    early = imported((path for path in files if path.name != "yaml_core.py"), late=False)
    assert undeclared(early, declared()) == set()
    # Not so for a room that does need more.
    assert "matplotlib" in undeclared(imported((ROOT / "baq" / "report").glob("*.py")), declared())


def test_the_book_takes_the_extras_of_all_rooms():
    (held,) = (Requirement(line).extras for line in EXTRAS["book"] if line.startswith("baq["))
    assert held == {"onnx", "plot", "zoo"}
    assert {extra for needs in NEEDS.values() for extra in needs} == held


def built(kind, made):
    """A wheel of the checkout, or of its source archive."""
    source = ROOT
    if kind == "sdist":
        run("-m", "hatchling", "build", "-t", "sdist", "-d", made, cwd=ROOT)
        (archive,) = made.glob("*.tar.gz")
        run("-m", "tarfile", "-e", archive, made, cwd=made)
        (source,) = (path for path in made.iterdir() if path.is_dir())
    run("-m", "hatchling", "build", "-t", "wheel", "-d", made, cwd=source)
    (wheel,) = made.glob("*.whl")
    return wheel


def install(wheel, made):
    """A new environment that has the package alone: its Python, and the folder of its packages."""
    run("-m", "venv", made / "venv", cwd=made)
    python = made / "venv" / "bin" / "python"
    (site,) = (made / "venv").glob("lib/python3*/site-packages")
    run(
        "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", wheel, cwd=made, python=python
    )
    return python, site


@pytest.fixture(scope="module", params=["wheel", "sdist"])
def installed(request, tmp_path_factory):
    """The Python of a new environment with the package built from the checkout or its source archive.

    What the package requires is borrowed from this environment, but for the package itself.
    """
    made = tmp_path_factory.mktemp("made")
    python, site = install(built(request.param, made), made)
    # Of a folder named so, files such as that of the editable checkout are not followed.
    (site / "borrowed.pth").write_text(f"{Path(pytest.__file__).parents[1]}\n")
    return python


@pytest.fixture(scope="module", params=[(), ("onnx",), ("plot",)], ids=["bare", "onnx", "plot"])
def slim(request, tmp_path_factory):
    """The Python of a new environment that has what some extras bring, and nothing else; and these."""
    made = tmp_path_factory.mktemp("slim")
    python, site = install(built("wheel", made), made)
    for name in required(declared(*request.param)):
        for file in distribution(name).files:
            first = file.parts[0]
            if first not in ("..", "__pycache__") and not (site / first).exists():
                (site / first).symlink_to(distribution(name).locate_file(first))
    assert "No broken requirements" in run("-m", "pip", "check", cwd=made, python=python)
    return python, request.param


FACE = """
import json
import baq, baq.slices, baq.rounding, baq.report, baq.zoo
from baq.report.claims import claims
from baq.zoo import checkpoints
model = checkpoints.load("cnn", 0)
print(json.dumps([baq.__file__, len(claims()), len(checkpoints.manifest())]))
"""


@pytest.mark.slow
def test_the_public_face_claims_and_checkpoints_are_in_it(installed, tmp_path):
    place, claims, checkpoints = json.loads(
        run("-c", FACE, cwd=tmp_path, python=installed, BAQ_CHECKPOINTS="")
    )
    assert Path(place).is_relative_to(installed.parents[1])
    assert claims == 32
    assert checkpoints == len(json.loads((ROOT / "checkpoints" / "manifest.json").read_text()))


BARE = """
import importlib, json, pkgutil, sys
import torch
import baq, baq.adapters, baq.planning, baq.rounding, baq.slices
from baq import compare, ptq_w
torch.manual_seed(0)
torch.set_num_threads(1)
model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3)).eval()
x = torch.randn(50, 4)
candidates = {
    "nearest": ptq_w(model, 3),
    "adaround": baq.rounding.adaround(model, 3, x),
    "boundary": baq.rounding.boundary_metric(model, 3, x, exact=[0.0], points=40),
}
rows = compare(model, candidates, x, planes=baq.slices.pca_plane(x), n=21)
baq.planning.forecast(model, x, 3)
imported, absent = [], {}
for module in pkgutil.walk_packages(baq.__path__, "baq."):
    if module.name == "baq.__main__":
        continue
    try:
        importlib.import_module(module.name)
        imported.append(module.name)
    except ModuleNotFoundError as error:
        absent[module.name] = error.name
print(json.dumps([baq.__version__, rows.isna().sum().sum().item(), imported, absent]))
"""


@pytest.mark.slow
def test_with_no_more_than_its_extras_bring_the_package_measures(slim, tmp_path):
    python, extras = slim
    told = run("-c", BARE, cwd=tmp_path, python=python)
    version, unknown, came, absent = json.loads(told.splitlines()[-1])
    assert version == PROJECT["version"]
    assert unknown == 2 * 3  # the accuracies of three candidates, without labels
    may_lack = ("baq.zoo", "baq.report", "baq.machine.yaml_core", "baq.protocols")
    if "plot" in extras:
        may_lack = ("baq.zoo", "baq.protocols", "baq.report.protocols")
    assert {name for name in absent if not name.startswith(may_lack)} == set(), absent
    assert {"baq.adapters.classifiers", "baq.slices.curves", "baq.selection"} <= set(came)
    if not extras:  # a negative control: it is not this environment that is measured
        assert absent["baq.report.charts"] == "matplotlib"


SAVED = """
import torch, numpy
from torch import nn
torch.manual_seed(0)
model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3)).eval()
x = torch.randn(50, 4)
torch.jit.save(torch.jit.trace(model, x), "float.pt")
with torch.no_grad():
    model[0].weight += 0.3
torch.jit.save(torch.jit.trace(model, x), "moved.pt")
numpy.savez("x.npz", x=x.numpy())
"""


@pytest.mark.slow
def test_the_command_is_there_and_its_status_can_stop_a_release(slim, tmp_path):
    python, extras = slim
    command = python.with_name("baq")
    said = subprocess.run([command, "--version"], capture_output=True, text=True, check=True)
    assert said.stdout == f"baq {PROJECT['version']}\n"
    run("-W", "ignore", "-c", SAVED, cwd=tmp_path, python=python)
    for files, rate, status in (
        (("float.pt", "float.pt"), "0.1", 0),
        (("float.pt", "moved.pt"), "0.1", 1),
        (("float.pt", "absent.pt"), "0.1", 2),
    ):
        given = [command, "compare", *files, "--data", "x.npz", "--max-flip-rate", rate]
        done = subprocess.run(given, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == status, done.stderr
    if "onnx" not in extras:
        (tmp_path / "float.onnx").write_bytes(b"")
        given = [command, "compare", "float.onnx", "moved.pt", "--data", "x.npz"]
        done = subprocess.run(given, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1)
        assert "pip install 'baq[onnx]'" in done.stderr


@pytest.mark.slow
def test_types_are_shipped(installed, tmp_path):
    code = "import baq, pathlib; print((pathlib.Path(baq.__file__).parent / 'py.typed').is_file())"
    assert run("-c", code, cwd=tmp_path, python=installed) == "True\n"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["01-local-geometry", "06-cifar-full"])
def test_a_chapter_runs_with_it(installed, tmp_path, name):
    """As behind a launch button: the notebook, papermill, and nothing of the checkout."""
    project = Project(ROOT)
    if missing := project.missing_data(project.chapter(name).header.requires):
        pytest.skip("; ".join(missing.values()))
    (tmp_path / "given.yml").write_text(json.dumps(project.parameters("quick")[name]))
    nbformat.write(project.chapter(name).notebook, tmp_path / "in.ipynb")
    command = ("-m", "papermill", "in.ipynb", "out.ipynb", "-f", "given.yml")
    run(*command, cwd=tmp_path, python=installed)
    cells = nbformat.read(tmp_path / "out.ipynb", as_version=4).cells
    assert any(cell.get("outputs") for cell in cells)
