"""Execute the chapters anew, and say where their tables differ from those in the repository."""

from baq.report.differences import differences
from workflow.project import Chapter, Project
from workflow.runner import execute


def verify_chapter(project: Project, chapter: Chapter, given: dict | None = None) -> list[str]:
    """Execute a chapter into ``_build/verify``, and list where it differs from the one in ``book``.

    Arguments:
        project: the checkout.
        chapter: the chapter.
        given: parameters to shrink it by. Then only tables with a column ``seed`` are compared, and
            of them the rows of the seeds that were executed.

    Returns:
        One line a difference; none where all tables agree.
    """
    made = execute(project, chapter, given or {}, project.build / "verify")
    tables = made.parent / "results" / chapter.name
    return differences(project.root / "book" / "results" / chapter.name, tables, bool(given))
