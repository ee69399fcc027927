"""Read a sweep from its file, and tell which of its runs are complete."""

import json
import os
import re
import shutil
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from workflow.files import keep_while, read_json, run_record
from workflow.outcome import files_of
from workflow.parameters import check, in_force
from workflow.project import Chapter, Project, UserError, entries
from workflow.runs import run_name
from workflow.stamp import files_named, sources

_KEYS = ("chapter", "given", "grid", "table")
_NAME = r"[a-zA-Z0-9][\w-]*"
_ROOM = 2**16  # bytes; with less a log may have lost its last words


@dataclass(frozen=True)
class Sweep:
    """A chapter, and one run for each combination of the grid's values.

    ``file`` is the path of its file from the root, ``given`` holds what all runs share, ``runs`` the
    name of each run and its place in the grid, ``table`` the name of the table that is gathered.
    """

    name: str
    file: str
    chapter: Chapter
    given: dict[str, object]
    runs: dict[str, dict[str, object]]
    table: str

    def parameters(self, run: str) -> dict[str, object]:
        """Everything that a run is given."""
        return {**self.given, **self.runs[run]}

    def folder(self, project: Project) -> Path:
        """Where the gathered table and the page go."""
        return project.runs / "sweeps" / self.name


def read(project: Project, path: Path) -> Sweep:
    """The sweep that a YAML file describes, by the keys ``chapter``, ``given``, ``grid``, ``table``.

    Raises:
        UserError: for a file that cannot be read, another key, a value that does not fit its
            parameter, a table that the recorded chapter has not, two equal runs, or a name that
            another file's sweep has.
    """
    where = f"sweep {path}"
    if not re.fullmatch(_NAME, path.stem):
        raise UserError(f"{where}: its name may have letters, digits, hyphens and underscores")
    found = entries(path)
    if unknown := sorted(map(str, found.keys() - set(_KEYS))):
        raise UserError(f"{where}: has {', '.join(unknown)}, allowed are {', '.join(_KEYS)}")
    if not isinstance(found.get("chapter"), str):
        raise UserError(f"{where}: chapter is {found.get('chapter')!r}, allowed is a name")
    chapter = project.chapter(found["chapter"])
    given, grid, table = (
        default if found.get(key) is None else found[key]
        for key, default in (("given", {}), ("grid", {}), ("table", "claims"))
    )
    if not isinstance(table, str) or not re.fullmatch(_NAME, table):
        raise UserError(f"{where}: table is {table!r}, allowed are letters, digits and hyphens")
    known = sorted(p.stem for p in project.root.glob(f"book/results/{chapter.name}/*.csv"))
    if known and table not in known:
        raise UserError(f"{where}: table is {table!r}, allowed are {', '.join(known)}")
    if not isinstance(given, dict):
        raise UserError(f"{where}: given is {given!r}, allowed are lines of the form name: value")
    if not (isinstance(grid, dict) and grid and all(isinstance(v, list) for v in grid.values())):
        raise UserError(f"{where}: grid is {grid!r}, allowed are lines of the form name: [values]")
    if both := sorted(map(str, given.keys() & grid.keys())):
        raise UserError(f"{where}: {', '.join(both)} stands in given and in grid")
    runs: dict[str, dict[str, object]] = {}
    for values in product(*grid.values()):
        point = check(chapter, {**given, **dict(zip(grid, values, strict=True))})
        name = run_name(chapter, point)
        point = {name: point[name] for name in grid}
        if name in runs:
            raise UserError(f"{where}: the grid has {_told(point)} twice")
        runs[name] = point
    if not runs:
        raise UserError(f"{where}: the grid is empty, allowed is one value or more for each name")
    place = os.path.relpath(path.resolve(), project.root)
    sweep = Sweep(path.stem, place, chapter, check(chapter, given), runs, table)
    other = read_json(sweep.folder(project) / "sweep.json").get("file", place)
    if other != place and (project.root / other).is_file():
        raise UserError(f"{where}: runs/sweeps/{path.stem} is that of {other}, allowed: a new name")
    return sweep


def run_log(project: Project, run: str) -> Path:
    """What a run of a sweep said."""
    return project.runs / "logs" / f"{run}.log"


def complete(project: Project, sweep: Sweep) -> set[str]:
    """The runs that were made, from the chapter and the package as they are now."""
    now = sources(project, sweep.chapter, {})
    return {run for run in sweep.runs if _current(project, sweep, run, now)}


def forget_changed_runs(project: Project, sweep: Sweep) -> None:
    """Set aside the records of runs that are not what would be made now, whatever the files' times."""
    current = complete(project, sweep)
    for run in sweep.runs:

        def holds(run: str = run) -> bool:
            now = files_of(project, project.runs / run / f"{sweep.chapter.name}.ipynb")
            return run in current and read_json(project.completion(run)).get("files") == now

        keep_while(project.completion(run), holds)


def _current(project: Project, sweep: Sweep, run: str, now: dict[str, object]) -> bool:
    made = run_record(project.runs / run / f"{sweep.chapter.name}.ipynb")
    named = files_named(in_force(sweep.chapter, sweep.parameters(run)).values())
    same = made.get("files", {}) == named and project.completion(run).is_file()
    return same and all(made.get(key) == now[key] for key in ("source", "package"))


def failures(project: Project, sweep: Sweep) -> dict[str, str]:
    """For each run that is not complete, by name: its place in the grid, what it said, its log."""
    done = complete(project, sweep)
    return {
        run: f"{run} ({_told(point)}): {_said(project, run)}"
        for run, point in sweep.runs.items()
        if run not in done
    }


def _said(project: Project, run: str) -> str:
    log = run_log(project, run)
    if project.completion(run).is_file():
        return "its sources have changed since it ran"
    if not log.is_file():
        return "has not run"
    lines = log.read_text("utf-8", errors="replace").splitlines()
    errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    said = errors[-1] if errors else "stopped without a message, as if killed"
    if not errors and shutil.disk_usage(project.runs).free < _ROOM:
        said = f"stopped without a message, and no space is left for {project.runs.name}/"
    # Why a job of a cluster did not start is in the cluster's own log.
    logs = [log, *sorted((project.root / ".snakemake/slurm_logs/rule_run" / run).glob("*.log"))]
    shown = [str(path.relative_to(project.root)) for path in (logs[:1] if errors else logs)]
    return f"{said}, see {' and '.join(shown)}"


def cell(value: object) -> object:
    """A parameter's value as a table holds it: lists as JSON."""
    return json.dumps(value) if isinstance(value, list) else value


def _told(point: dict[str, object]) -> str:
    return ", ".join(f"{name} = {cell(value)}" for name, value in point.items())
