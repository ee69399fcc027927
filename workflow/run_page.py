"""The HTML page of one run, beside its notebook."""

import errno
import filecmp
import os
import shutil
from pathlib import Path

import nbformat
import yaml

from baq.machine import whole
from workflow.project import Project, UserError
from workflow.site import begin, jupyter_book


def run_page(project: Project, notebook: Path) -> Path:
    """Render the notebook of a run below ``runs`` as a page in the book's style.

    Style, formulas' fonts and figures are shared by all pages of ``runs``, so that a page costs
    little more than its notebook. ``runs/index.html`` is the latest one.

    Returns:
        The page, in the notebook's folder.

    Raises:
        UserError: when it cannot be rendered or written; the notebook is not touched.
    """
    place = notebook.relative_to(project.runs)
    work = project.build / "pages" / place.parent
    try:
        shutil.rmtree(work, ignore_errors=True)
        site, log = work / "site", work / "sphinx.log"
        _stage(project, notebook, site)
        if not jupyter_book(site, work, log):
            raise UserError(f"{place}: the page was not rendered, see {log}")
        _merge(work / "_build" / "html", project.runs)
        shutil.rmtree(work)
    except OSError as error:
        where = error.filename or project.runs.name
        raise UserError(f"the page of {place} was not made: {error.strerror} ({where})") from error
    return notebook.with_suffix(".html")


def _stage(project: Project, notebook: Path, site: Path) -> None:
    place = notebook.relative_to(project.runs)
    (site / place.parent).mkdir(parents=True)
    shutil.copy(project.root / "_config.yml", site)
    toc = {"format": "jb-book", "root": place.with_suffix("").as_posix()}
    (site / "_toc.yml").write_text(yaml.safe_dump(toc), "utf-8")
    (site / "book").mkdir()
    shutil.copy(project.root / "book" / "references.bib", site / "book")
    for folder in ("_static", "_ext"):
        shutil.copytree(project.root / "book" / folder, site / "book" / folder)
    if (exercises := project.root / "book" / "exercises").is_dir():
        shutil.copytree(exercises, site / place.parent / "exercises")
    made = nbformat.read(notebook, as_version=4)
    begin(made, "")
    references = "## References\n\n```{bibliography}\n:style: unsrtalpha\n```"
    made.cells.append(nbformat.v4.new_markdown_cell(references, id="references"))
    nbformat.write(made, site / place)


def _merge(html: Path, runs: Path) -> None:
    """Put a site's files among those that are there, each as a whole, if all have room."""
    files = [path for path in sorted(html.rglob("*")) if path.is_file()]
    pairs = [(path, runs / path.relative_to(html)) for path in files]
    new = [(s, t) for s, t in pairs if not t.is_file() or not filecmp.cmp(s, t, shallow=False)]
    if sum(source.stat().st_size for source, _ in new) > shutil.disk_usage(runs).free:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    for source, target in new:
        with whole(target) as part:
            shutil.copy(source, part)
