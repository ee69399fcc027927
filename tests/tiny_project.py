"""A project of two tiny chapters, for tests of the workflow."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from workflow.project import Project

__all__ = [
    *("BODY", "MISSING", "ROOT", "command", "contents", "mounted", "project", "root"),
    "write_chapter",
]

ROOT = Path(__file__).parent.parent
HEADER = """\
# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
#   baq: {{requires: [{requires}], minutes: 0.1, threads: 1}}
# ---

# %% [markdown]
# # Tiny

# %% tags=["parameters"]
rows: int = 2  # rows of the table
rate: float = 0.5  # a rate
names: list[str] = ["a", "b"]  # names of tables
deep: bool = False  # a switch
weights: list[float] = [1.0, 2.0]  # numbers
word: str = "x"  # a word

# %%
"""
BODY = """\
import os
from pathlib import Path
import baq.zoo.data
folder = Path(os.environ.get("BAQ_RESULTS", "."))
for name in names:
    (folder / f"{name}.csv").write_text("i\\n" + "1\\n" * rows)
object()
"""
MISSING = """\
from pathlib import Path


def missing(names):
    gone = Path("gone").read_text().split() if Path("gone").exists() else []
    return {name: f"{name} cannot be had" for name in names if name in gone}
"""


def write_chapter(root: Path, name: str, body: str = BODY, requires: str = "") -> None:
    """Write a chapter's source."""
    text = HEADER.format(requires=requires) + body
    (root / "notebooks" / f"{name}.py").write_text(text)


@pytest.fixture
def root(tmp_path):
    """A checkout of two tiny chapters."""
    for folder in ("notebooks", "book", "workflow"):
        (tmp_path / folder).mkdir()
    toc = "format: jb-book\nroot: book/intro\nchapters:\n"
    toc += "  - file: book/01-one\n  - file: book/02-two\n"
    (tmp_path / "_toc.yml").write_text(toc)
    shutil.copy(ROOT / "_config.yml", tmp_path)
    for folder in ("_static", "_ext", "claims"):
        shutil.copytree(ROOT / "book" / folder, tmp_path / "book" / folder)
    (tmp_path / "book" / "intro.md").write_text("# Intro\n")
    (tmp_path / "book" / "references.bib").write_text("")
    shutil.copy(ROOT / "CITATION.cff", tmp_path)
    # The pages are made with the real package, but for the data.
    shutil.copytree(ROOT / "baq", tmp_path / "baq", ignore=shutil.ignore_patterns("__pycache__"))
    for room in ("", "zoo"):
        (tmp_path / "baq" / room / "__init__.py").write_text("")
    (tmp_path / "baq" / "zoo" / "data.py").write_text(MISSING)
    shutil.copy(ROOT / "notebooks" / "sweep.py", tmp_path / "notebooks")
    (tmp_path / "workflow" / "quick.yml").write_text("01-one: {rows: 1}\n")
    write_chapter(tmp_path, "01-one")
    write_chapter(tmp_path, "02-two", requires="photos")
    return tmp_path


@pytest.fixture
def project(root):
    """The same as a project."""
    return Project(root)


def command(root: Path, *arguments: str) -> subprocess.CompletedProcess:
    """``python -m workflow`` in a checkout, with its output."""
    return subprocess.run(
        [sys.executable, "-m", "workflow", *arguments],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, by its path there."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@contextlib.contextmanager
def mounted(folder: Path, options: str) -> Iterator[Path]:
    """A small file system in memory at a folder; the test is skipped where none can be mounted."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no small file system can be mounted here: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
