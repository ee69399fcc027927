"""Fingerprints: what an executed notebook was made from."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path

from workflow.files import digest
from workflow.parameters import in_force
from workflow.project import Chapter, Project

__all__ = ["fingerprint", "package_files", "sources", "tables_of", "tables_read", "versions"]

_LIBRARIES = ("matplotlib", "numpy", "pandas", "scikit-learn", "scipy", "torch")


def fingerprint(paths: Iterable[Path], root: Path) -> str:
    """SHA-256 over the names and bytes of files, in the order of their names."""
    digest = hashlib.sha256()
    for path in sorted(paths):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(root).as_posix()} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()


def package_files(project: Project) -> list[Path]:
    """The files of ``baq``, the claims that ship with it, and the manifest of its checkpoints."""
    files = [*(project.root / "baq").rglob("*.py"), project.root / "book" / "claims.yml"]
    files.append(project.root / "checkpoints" / "manifest.json")
    return sorted(path for path in files if path.is_file())


def tables_of(folder: Path) -> str:
    """The fingerprint of the tables in a folder."""
    return fingerprint(folder.glob("*.csv"), folder)


def tables_read(project: Project, chapter: Chapter, book: Path) -> dict[str, Path]:
    """What a page finds in the folder of tables, by name: a folder for each chapter, and files.

    A chapter that has no tables in ``book`` is shown as recorded, so its recorded tables are taken; a
    sweep's page reads those beside it.

    Arguments:
        project: the checkout.
        chapter: a chapter reads nothing; a page what its header names.
        book: the folder that takes the executed page.
    """
    if not chapter.is_page:
        return {}
    if project.runs / "sweeps" in book.parents:
        return {path.name: path for path in book.glob("*.csv")}
    recorded = project.root / "book" / "results"
    found = {path.name: path for path in recorded.glob("*.csv")}
    for one in project.chapters:
        folders = (book / "results" / one.name, recorded / one.name)
        found |= {path.name: path for path in folders[::-1] if path.is_dir()}
    return found


def sources(
    project: Project, chapter: Chapter, given: dict, book: Path | None = None
) -> dict[str, object]:
    """What decides a chapter's results: its source, ``baq``, the parameters and the tables it reads."""
    found = {
        "source": digest(chapter.source),
        "package": fingerprint(package_files(project), project.root),
        "parameters": in_force(chapter, given),
    }
    if chapter.is_page:
        read = tables_read(project, chapter, book or project.root / "book").values()
        files = [
            file for path in read for file in (path.glob("*.csv") if path.is_dir() else [path])
        ]
        found["read"] = fingerprint(files, project.root)
    return found


def versions() -> dict[str, str]:
    """The versions of Python and of the libraries that results depend on."""
    found = {name: version(name) for name in _LIBRARIES}
    return {"python": platform.python_version(), **found}
