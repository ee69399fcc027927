"""Fingerprints: what an executed notebook was made from."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path

from workflow.parameters import in_force
from workflow.project import Chapter, Project

__all__ = ["fingerprint", "package_files", "sources", "tables_of", "versions"]

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


def sources(project: Project, chapter: Chapter, given: dict) -> dict[str, object]:
    """What decides a chapter's results: its source, ``baq`` and the parameters in force."""
    return {
        "source": hashlib.sha256(chapter.source.read_bytes()).hexdigest(),
        "package": fingerprint(package_files(project), project.root),
        "parameters": in_force(chapter, given),
    }


def versions() -> dict[str, str]:
    """The versions of Python and of the libraries that results depend on."""
    found = {name: version(name) for name in _LIBRARIES}
    return {"python": platform.python_version(), **found}
