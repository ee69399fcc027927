"""Where a checkout keeps its chapters, and what each chapter's header asks for."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import jupytext
from nbformat import NotebookNode
from pydantic import BaseModel, PositiveFloat, PositiveInt, ValidationError

from baq.machine.yaml_core import read_yaml

#: ``full`` runs each chapter's own defaults into ``book``, ``quick`` small ones into ``_build``.
PROFILES = ("full", "quick")

#: By itself jupytext takes a comment such as ``# copy of the weights`` for a shell command.
_FORMAT = {"extension": ".py", "format_name": "percent", "comment_magics": False}


class UserError(Exception):
    """Something that whoever typed the command can put right; its text is one line."""


class Header(BaseModel, strict=True):
    """What a chapter says of itself: data sets, cost in minutes, threads of the processor.

    A page is made from the tables of all chapters, and says ``reads: tables``.
    """

    requires: list[str]
    minutes: PositiveFloat
    threads: PositiveInt
    reads: Literal["", "tables"] = ""


@dataclass(frozen=True, eq=False)  # two readings of one source may differ
class Chapter:
    """A notebook source in py:percent, such as ``notebooks/01-local-geometry.py``."""

    source: Path

    @property
    def name(self) -> str:
        """The chapter's full name, such as ``01-local-geometry``."""
        return self.source.stem

    @cached_property
    def notebook(self) -> NotebookNode:
        """The unexecuted notebook."""
        if not self.source.is_file():
            raise UserError(f"chapter {self.name} has no source: {self.source} is missing")
        return jupytext.read(self.source, fmt=_FORMAT)

    @property
    def title(self) -> str:
        """The first heading."""
        texts = (cell.source for cell in self.notebook.cells if cell.cell_type == "markdown")
        lines = (line for text in texts for line in text.splitlines() if line.startswith("# "))
        return next(lines, self.name).removeprefix("# ").strip()

    @cached_property
    def header(self) -> Header:
        """The entry ``baq`` of the notebook's metadata."""
        try:
            return Header.model_validate(dict(self.notebook.metadata.get("baq", {})))
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(("baq", *map(str, first["loc"])))
            told = f"header entry {where} is {first['input']!r}: {first['msg']}"
            raise UserError(f"{self.source.name}: {told}") from error

    @property
    def is_page(self) -> bool:
        """Whether this is a page made from the tables of all chapters."""
        return self.header.reads == "tables"

    def requires(self, given: Mapping[str, object]) -> list[str]:
        """The data sets of an execution: a given ``dataset`` or ``datasets``, else the header's."""
        if given.get("dataset"):
            return [given["dataset"]]
        return list(given.get("datasets", self.header.requires))


class Project:
    """A checkout: its chapters in the order of ``_toc.yml``, and the paths of what they make."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        if not (self.root / "_toc.yml").is_file():
            raise UserError(f"no _toc.yml in {self.root}: run this in the root of the checkout")

    @property
    def build(self) -> Path:
        """The folder of everything that is not in git."""
        return self.root / "_build"

    @property
    def runs(self) -> Path:
        """The folder of all runs with other parameters; it may lie on another file system."""
        return self.root / "runs"

    @cached_property
    def _listed(self) -> list[str]:
        """The names of all pages of the book, in reading order."""
        toc = entries(self.root / "_toc.yml")
        listed = [entry for part in toc.get("parts", [toc]) for entry in part.get("chapters", [])]
        return [Path(name).name for name in (toc["root"], *(entry["file"] for entry in listed))]

    @cached_property
    def chapters(self) -> list[Chapter]:
        """Every chapter, in reading order.

        Raises:
            UserError: when a notebook is not in ``_toc.yml``.
        """
        listed = self._listed
        sources = {path.stem: path for path in (self.root / "notebooks").glob("[0-9][0-9]-*.py")}
        unlisted = sorted(sources.keys() - set(listed))
        if unlisted:
            raise UserError(f"{', '.join(unlisted)}: in notebooks/ but not in _toc.yml")
        listed = [name for name in listed if name[:2].isdigit()]
        return [Chapter(self.root / "notebooks" / f"{name}.py") for name in listed]

    @cached_property
    def pages(self) -> list[Chapter]:
        """The notebooks of the book that are made from the tables of the chapters, in reading order."""
        found = [Chapter(self.root / "notebooks" / f"{name}.py") for name in self._listed]
        return [one for one in found if one.source.is_file() and not one.name[:2].isdigit()]

    @property
    def notebooks(self) -> list[Chapter]:
        """All chapters, and then all pages."""
        return self.chapters + self.pages

    def chapter(self, name: str) -> Chapter:
        """The chapter or page of a full name; a chapter also of its number, or of its name without."""
        full = {one.name: one for one in self.notebooks}
        short = {key: one for one in self.chapters for key in (one.name[:2], one.name[3:])}
        if name in (known := full | short):
            return known[name]
        raise UserError(f"chapter is {name!r}, allowed are {', '.join(full)}")

    def parameters(self, profile: str) -> dict[str, dict]:
        """The parameters that a profile gives to each chapter; ``full`` gives none."""
        if profile not in PROFILES:
            raise UserError(f"profile is {profile!r}, allowed are {', '.join(PROFILES)}")
        if profile == "full":
            return {}
        path = self.root / "workflow" / f"{profile}.yml"
        given = entries(path)
        unknown = sorted(given.keys() - {one.name for one in self.notebooks})
        if unknown:
            raise UserError(f"{path.name} names {', '.join(unknown)}: no such chapter")
        return given

    def given(self, profile: str, chapter: Chapter) -> dict:
        """The parameters that a profile gives to one chapter."""
        return self.parameters(profile).get(chapter.name, {})

    def book(self, profile: str) -> Path:
        """The folder that takes a profile's executed notebooks, with their tables below it."""
        return self.root / "book" if profile == "full" else self.build / profile / "book"

    def record(self, profile: str, chapter: str) -> Path:
        """The file that says how a chapter last came out here; fresh clones have none."""
        return self.build / profile / "runs" / f"{chapter}.json"

    def completion(self, run: str) -> Path:
        """The file that says that a run below ``runs`` is complete; it goes by the run's folder."""
        return self.build / "runs" / f"{run}.json"

    def rendered(self, profile: str) -> Path:
        """The file that says that a profile's site is up to date."""
        return self.build / profile / "rendered.json"

    def html(self, profile: str) -> Path:
        """The folder of a profile's rendered site."""
        return self.build / "html" if profile == "full" else self.build / profile / "html"

    def missing_data(self, names: Iterable[str]) -> dict[str, str]:
        """The named data sets that are not available here, each with a reason."""
        names = sorted(set(names))
        if not names:
            return {}
        from baq.zoo.data import missing  # slow to import, and seldom needed

        try:
            return missing(names)
        except ValueError as error:
            raise UserError(str(error)) from error


def entries(path: Path) -> dict:
    """The entries of a YAML file of the form ``name: value``.

    Raises:
        UserError: for a file that cannot be read, or holds anything else.
    """
    try:
        found = read_yaml(path)
    except ValueError as error:
        raise UserError(str(error)) from error
    if not isinstance(found, dict):
        raise UserError(f"{path}: allowed are lines of the form name: value")
    return found
