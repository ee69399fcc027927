"""Keep stale, edited and failed results from being rendered."""

from pathlib import Path

import nbformat

from workflow.files import digest, run_record
from workflow.outcome import load
from workflow.project import Chapter, Project
from workflow.stamp import sources, tables_of


def problems(project: Project, profile: str) -> list[str]:
    """One line for each reason not to render the book; none where all is well.

    Each chapter needs an outcome and a notebook without error outputs. Where it was executed
    here, its stamp and its tables' must match the present sources and the profile's parameters.
    Neither notebook nor tables may have been changed since, wherever that was.
    """
    found = []
    for chapter in project.notebooks:
        outcome = load(project, chapter, profile)
        if outcome is None:
            found.append(f"{chapter.name}: not executed, run `make book`")
            continue
        path = project.root / outcome.notebook
        if not path.is_file():
            found.append(f"{chapter.name}: {outcome.notebook} is missing")
            continue
        notebook = nbformat.read(path, as_version=4)
        code = [cell for cell in notebook.cells if cell.cell_type == "code"]
        for number, cell in enumerate(code, start=1):
            for output in cell.outputs:
                if output.output_type == "error":
                    found.append(f"{chapter.name}: cell {number} has the error {output.ename}")
        found += [f"{chapter.name}: {text}" for text in _edited(path)]
        if outcome.live:
            found += [f"{chapter.name}: {text}" for text in stale(project, chapter, profile)]
    return found


def stale(project: Project, chapter: Chapter, profile: str) -> list[str]:
    """What has changed since a chapter's notebook was executed; none where it is current.

    A notebook that is shown as recorded is compared with the chapter's own defaults.
    """
    outcome = load(project, chapter, profile)
    path = project.root / outcome.notebook
    given = project.given(profile, chapter) if outcome.live else {}
    stamp = nbformat.read(path, as_version=4).metadata.get("baq", {})
    run = run_record(path)
    found = []
    for key, value in sources(project, chapter, given, path.parent).items():
        if stamp.get(key) != value:
            found.append(_CHANGED[key])
        elif run.get(key) != value:
            found.append(f"its tables and its notebook come from different runs ({key})")
    return found


def _edited(path: Path) -> list[str]:
    """What was changed by hand after an execution, here or elsewhere."""
    run, found = run_record(path), []
    if "tables" in run and run["tables"] != tables_of(path.parent / "results" / path.stem):
        found.append("its tables are not those that it wrote")
    if "notebook" in run and run["notebook"] != digest(path):
        found.append("its notebook is not the one that was executed")
    return found


_CHANGED = {
    "source": "its source has changed since it was executed",
    "package": "baq has changed since it was executed",
    "parameters": "it was executed with other parameters",
    "files": "the files that it was given have changed since it was executed",
    "read": "the tables that it reads have changed since it was executed",
}
