"""How each chapter came out here: executed live, or shown as recorded elsewhere."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from workflow.project import Chapter, Project, UserError, write_json
from workflow.runner import execute
from workflow.stamp import fingerprint

__all__ = ["Outcome", "files_of", "forget_changed", "load", "run_record", "settle", "table"]


@dataclass(frozen=True)
class Outcome:
    """A chapter's place in a rendered book; ``reason`` says why it is not live.

    ``files`` is the fingerprint of the notebook and its tables.
    """

    chapter: str
    notebook: str
    live: bool
    reason: str
    files: str


def settle(project: Project, chapter: Chapter, profile: str) -> Outcome:
    """Execute a chapter for a profile where its data can be had, and record how it came out.

    Raises:
        UserError: when the execution fails, or data are missing and there is no recorded notebook.
    """
    given = project.parameters(profile).get(chapter.name, {})
    reasons = list(project.missing_data(chapter.requires(given)).values())
    if not reasons:
        notebook = execute(project, chapter, given, project.book(profile))
    else:
        notebook = project.root / "book" / f"{chapter.name}.ipynb"
        if not notebook.is_file():
            raise UserError(f"{chapter.name}: {reasons[0]}, and there is no recorded notebook")
        print(f"{chapter.name}  recorded: {reasons[0]}", flush=True)
    outcome = Outcome(
        chapter=chapter.name,
        notebook=notebook.relative_to(project.root).as_posix(),
        live=not reasons,
        reason="; ".join(reasons),
        files=files_of(project, notebook),
    )
    write_json(project.record(profile, chapter.name), asdict(outcome))
    return outcome


def load(project: Project, chapter: Chapter, profile: str) -> Outcome | None:
    """The recorded outcome of a chapter, or None where there is none."""
    path = project.record(profile, chapter.name)
    if not path.is_file():
        return None
    return Outcome(**json.loads(path.read_text("utf-8")))


def forget_changed(project: Project, profile: str) -> None:
    """Drop the records whose notebook or tables are gone or changed, so that they are made again.

    Executed notebooks are in git and are no outputs of a rule: a fresh clone must execute, and a
    failed execution must not remove them. So the records stand for them.
    """
    for chapter in project.notebooks:
        outcome = load(project, chapter, profile)
        if outcome and outcome.files != files_of(project, project.root / outcome.notebook):
            project.record(profile, chapter.name).unlink()
    if not (project.html(profile) / "index.html").is_file():
        project.rendered(profile).unlink(missing_ok=True)


def run_record(notebook: Path) -> dict:
    """The run.json beside a notebook's tables; empty where it is missing."""
    path = notebook.parent / "results" / notebook.stem / "run.json"
    return json.loads(path.read_text("utf-8")) if path.is_file() else {}


def table(project: Project, profile: str) -> str:
    """Every chapter with ``live`` or ``recorded``, the date and the minutes of its execution."""
    rows = [("chapter", "", "date", "minutes")]
    reasons = []
    for chapter in project.notebooks:
        outcome = load(project, chapter, profile)
        if outcome is None:
            rows.append((chapter.name, "not executed", "", ""))
            continue
        run = run_record(project.root / outcome.notebook)
        minutes = f"{run['minutes']:.2f}" if run else ""
        state = "live" if outcome.live else "recorded"
        rows.append((chapter.name, state, run.get("date", ""), minutes))
        if not outcome.live:
            reasons.append(f"{chapter.name} was not re-executed here: {outcome.reason}")
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    return "\n".join([*lines, *reasons])


def files_of(project: Project, notebook: Path) -> str:
    """The fingerprint of a notebook and its tables."""
    results = notebook.parent / "results" / notebook.stem
    files = [path for path in (notebook, *results.glob("*")) if path.is_file()]
    return fingerprint(files, project.root)
