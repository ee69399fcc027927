"""How each chapter came out here: executed live, or shown as recorded elsewhere."""

from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from workflow.files import fingerprint, keep_while, read_json, run_record, write_json
from workflow.project import Chapter, Project, UserError
from workflow.runner import execute
from workflow.stamp import sources


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


_OUTCOME = TypeAdapter(Outcome)


def settle(project: Project, chapter: Chapter, profile: str) -> Outcome:
    """Execute a chapter for a profile where its data can be had, and record how it came out.

    Raises:
        UserError: when the execution fails, or data are missing and there is no recorded notebook.
    """
    given = project.given(profile, chapter)
    reasons = list(project.missing_data(chapter.requires(given)).values())
    if not reasons:
        notebook = execute(project, chapter, given, project.book(profile))
    else:
        notebook = project.root / "book" / f"{chapter.name}.ipynb"
        if not notebook.is_file():
            raise UserError(f"{chapter.name}: {reasons[0]}, and there is no recorded notebook")
        print(f"{chapter.name}  recorded: {reasons[0]}", flush=True)
    place, files = notebook.relative_to(project.root).as_posix(), files_of(project, notebook)
    outcome = Outcome(chapter.name, place, not reasons, "; ".join(reasons), files)
    write_json(project.record(profile, chapter.name), asdict(outcome))
    return outcome


def load(project: Project, chapter: Chapter, profile: str) -> Outcome | None:
    """The recorded outcome of a chapter, or None where there is none that can be read."""
    try:
        return _OUTCOME.validate_python(read_json(project.record(profile, chapter.name)))
    except ValidationError:
        return None


def forget_changed(project: Project, profile: str) -> None:
    """Set aside the records that are no longer true, so that their chapters are executed again.

    Times say nothing here, since copies keep old ones: a record is true as long as the bytes of
    the notebook and its tables are those that it names, and a live one as long as what they were
    made from has not changed. Executed notebooks are in git and are no outputs of a rule: a fresh
    clone must execute, and a failed execution must not remove them. So the records stand for them.
    """
    for chapter in project.notebooks:
        record = project.record(profile, chapter.name)
        keep_while(record, partial(_holds, project, chapter, profile))


def _holds(project: Project, chapter: Chapter, profile: str) -> bool:
    outcome = load(project, chapter, profile)
    notebook = project.root / outcome.notebook if outcome else project.root
    if outcome is None or outcome.files != files_of(project, notebook):
        return False
    given = project.given(profile, chapter)
    now = sources(project, chapter, given, notebook.parent) if outcome.live else {}
    return now.items() <= run_record(notebook).items()


def files_of(project: Project, notebook: Path) -> str:
    """The fingerprint of a notebook and its tables."""
    results = notebook.parent / "results" / notebook.stem
    return fingerprint((notebook, *results.glob("*")), project.root)
