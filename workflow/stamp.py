"""Stamps: what an executed notebook was made from."""

import contextlib
import platform
from collections.abc import Iterable
from functools import cache
from importlib.metadata import version
from modulefinder import ModuleFinder
from pathlib import Path

from workflow.files import digest, fingerprint
from workflow.parameters import in_force
from workflow.project import Chapter, Project

_LIBRARIES = ("matplotlib", "numpy", "pandas", "scikit-learn", "scipy", "torch")


def package_files(project: Project) -> list[Path]:
    """The files of ``baq``, and what ships with it: claims, protocols, the manifest of checkpoints."""
    parts = "baq/**/*.py", "book/claims/*.yml", "book/protocols/*", "checkpoints/manifest.json"
    return [path for part in parts for path in project.root.glob(part)]


@cache
def _imported(source: Path, root: Path, _contents: tuple[str, str]) -> frozenset[Path]:
    """What a notebook imports below ``root``, directly or not; cached while contents stay the same."""
    finder = ModuleFinder([str(root)])
    with contextlib.suppress(SyntaxError):  # the run will tell of it
        finder.run_script(str(source))
    return frozenset(Path(module.__file__) for module in finder.modules.values() if module.__file__)


def tables_of(folder: Path) -> str:
    """The fingerprint of the tables in a folder."""
    return fingerprint(folder.glob("*.csv"), folder)


def tables_read(project: Project, chapter: Chapter, book: Path) -> dict[str, Path]:
    """What a page finds in the folder of tables, by name: a folder for each chapter, and files.

    A chapter that has no tables in ``book`` is shown as recorded, so its recorded tables are taken; a
    sweep's page reads those beside it. Chapters read nothing.
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


def files_named(values: Iterable[object]) -> dict[str, str]:
    """SHA-256 of the files and ``module:function`` that texts among values name, of a folder all below it."""
    listed = (text for value in values for text in (value if isinstance(value, list) else [value]))
    texts = {text for text in listed if isinstance(text, str) and text}
    texts |= {f"{t.partition(':')[0].replace('.', '/')}.py" for t in texts if ":" in t}
    named = [Path(text) for text in texts if Path(text).exists()]
    found = sorted(path for one in named for path in (one, *one.rglob("*")))
    return {str(path): digest(path) for path in found if path.is_file()}


def sources(
    project: Project, chapter: Chapter, given: dict, book: Path | None = None
) -> dict[str, object]:
    """What decides a chapter's results: its source, what it imports of ``baq``, parameters, files."""
    package, source = package_files(project), digest(chapter.source)
    used = _imported(chapter.source, project.root, (source, fingerprint(package, project.root)))
    package = [path for path in package if path.suffix != ".py" or path in used]
    found = {
        "source": source,
        "package": fingerprint(package, project.root),
        "parameters": in_force(chapter, given),
    }
    if files := files_named(found["parameters"].values()):
        found["files"] = files
    if chapter.is_page:
        read = tables_read(project, chapter, book or project.root / "book").values()
        files = [file for path in read for file in (path, *path.glob("*.csv"))]
        found["read"] = fingerprint(files, project.root)
    return found


def versions() -> dict[str, str]:
    """The versions of Python and of the libraries that results depend on."""
    return {"python": platform.python_version(), **{name: version(name) for name in _LIBRARIES}}
