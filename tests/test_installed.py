"""What is built from the checkout works without it."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import nbformat
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from workflow.project import Project

ROOT = Path(__file__).parent.parent
DEPENDENCIES = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"][
    "dependencies"
]
NAMES = {canonicalize_name(Requirement(line).name) for line in DEPENDENCIES}


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


def imported(folder):
    """The packages that the files of a folder import."""
    names = set()
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                names.add(node.module.partition(".")[0])
    return names - sys.stdlib_module_names - {"baq"}


@pytest.mark.parametrize("folder", ["baq", "notebooks"])
def test_every_package_that_is_imported_is_declared(folder):
    known = packages_distributions()
    for name in imported(ROOT / folder):
        assert NAMES & {canonicalize_name(one) for one in known[name]}, name


@pytest.fixture(scope="module", params=["wheel", "sdist"])
def installed(request, tmp_path_factory):
    """The Python of a new environment with the package built from the checkout or its source archive.

    What the package requires is borrowed from this environment, but for the package itself.
    """
    source, made = ROOT, tmp_path_factory.mktemp("made")
    if request.param == "sdist":
        run("-m", "hatchling", "build", "-t", "sdist", "-d", made, cwd=ROOT)
        (archive,) = made.glob("*.tar.gz")
        run("-m", "tarfile", "-e", archive, made, cwd=made)
        (source,) = (path for path in made.iterdir() if path.is_dir())
    run("-m", "hatchling", "build", "-t", "wheel", "-d", made, cwd=source)
    (wheel,) = made.glob("*.whl")
    run("-m", "venv", made / "venv", cwd=made)
    python = made / "venv" / "bin" / "python"
    (site,) = (made / "venv").glob("lib/python3*/site-packages")
    # Of a folder named so, files such as that of the editable checkout are not followed.
    (site / "borrowed.pth").write_text(f"{Path(pytest.__file__).parents[1]}\n")
    run(
        "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", wheel, cwd=made, python=python
    )
    return python


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
