"""Run a chapter with parameters of its own, into a folder that is named after them."""

import hashlib
import json
from pathlib import Path

from workflow.files import write_json
from workflow.outcome import files_of
from workflow.parameters import check, in_force
from workflow.project import Chapter, Project, UserError
from workflow.runner import execute
from workflow.stamp import files_named


def run_name(chapter: Chapter, given: dict) -> str:
    """The chapter's name and a hash of all parameters in force and of the files that they name."""
    used = in_force(chapter, given)
    used = json.dumps(used | files_named(used.values()), sort_keys=True)
    return f"{chapter.name}-{hashlib.sha256(used.encode()).hexdigest()[:16]}"


def run(project: Project, chapter: Chapter, given: dict) -> Path:
    """Execute a chapter into its run's folder, record that it is complete, and return its notebook.

    Raises:
        UserError: as :func:`workflow.runner.execute`, and for data that cannot be had.
    """
    given = check(chapter, given)
    for name, reason in project.missing_data(chapter.requires(given)).items():
        raise UserError(f"{chapter.name} requires {name}: {reason}")
    name = run_name(chapter, given)
    notebook = execute(project, chapter, given, project.runs / name)
    write_json(project.completion(name), {"files": files_of(project, notebook)})
    return notebook


def arguments(chapter: Chapter, given: dict) -> list[str]:
    """What to type after ``python -m workflow`` for a run with these parameters."""
    words = ["run", chapter.name]
    for name, value in given.items():
        words += ["-p", name, value if isinstance(value, str) else json.dumps(value)]
    return words
