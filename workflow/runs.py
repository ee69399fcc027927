"""Run a chapter with parameters of its own, into a folder that is named after them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

import yaml

from workflow.outcome import files_of
from workflow.parameters import check, declared
from workflow.project import Chapter, Project, UserError, write_json
from workflow.runner import execute

__all__ = ["arguments", "forget_changed_runs", "parameter_file", "run", "run_name"]


def run_name(chapter: Chapter, given: dict) -> str:
    """The chapter's name and a hash of all parameters in force: equal ones share a folder."""
    defaults = {name: parameter.default for name, parameter in declared(chapter).items()}
    used = json.dumps({**defaults, **check(chapter, given)}, sort_keys=True)
    return f"{chapter.name}-{hashlib.sha256(used.encode()).hexdigest()[:8]}"


def run(project: Project, chapter: Chapter, given: dict) -> Path:
    """Execute a chapter into its run's folder, and record that the run is complete.

    Returns:
        The path of the executed notebook.

    Raises:
        UserError: as :func:`workflow.runner.execute`, and for data that cannot be had.
    """
    given = check(chapter, given)
    for name, reason in project.missing_data(chapter.requires(given)).items():
        raise UserError(f"{chapter.name} requires {name}: {reason}")
    name = run_name(chapter, given)
    notebook = execute(project, chapter, given, project.runs / name)
    write_json(project.run_record(name), {"files": files_of(project, notebook)})
    return notebook


def forget_changed_runs(project: Project, names: Iterable[str]) -> None:
    """Drop the records of runs whose notebook or tables are gone or changed."""
    for name in names:
        record = project.run_record(name)
        chapter, _, _ = name.rpartition("-")
        notebook = project.runs / name / f"{chapter}.ipynb"
        if record.is_file() and (
            json.loads(record.read_text("utf-8"))["files"] != files_of(project, notebook)
        ):
            record.unlink()


def arguments(chapter: Chapter, given: dict) -> list[str]:
    """What to type after ``python -m workflow`` for a run with these parameters."""
    words = ["run", chapter.name]
    for name, value in given.items():
        # Not JSON: YAML takes its 1e-05 for a string.
        text = yaml.safe_dump([value], default_flow_style=True, width=float("inf")).strip()[1:-1]
        words += ["-p", name, value if isinstance(value, str) else text]
    return words


def parameter_file(path: Path) -> dict:
    """The entries of a YAML file of the form ``name: value``.

    Raises:
        UserError: for a file that cannot be read, or holds anything else.
    """
    try:
        found = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"parameter file {path}: {' '.join(str(error).split())}") from error
    if not isinstance(found, dict):
        raise UserError(f"parameter file {path}: allowed are lines of the form name: value")
    return found
