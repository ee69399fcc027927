"""Stage the book with each chapter's status, and render it."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import yaml

from workflow.files import fingerprint, keep_while, read_json, run_record, write_json
from workflow.gate import problems, stale
from workflow.outcome import Outcome, load
from workflow.project import Chapter, Project, UserError, entries
from workflow.stamp import package_files

_BRANCH = "main"


def render(project: Project, profile: str) -> Path:
    """Render the book, warnings being errors; only then replace the site, and return its first page.

    Raises:
        UserError: when the gate refuses, or for a warning, such as of a dead link; one line each.
    """
    if refused := problems(project, profile):
        raise UserError("\n".join(refused))
    made_from = site_sources(project, profile)
    site = stage(project, profile)
    output = project.build / profile / "sphinx"
    shutil.rmtree(output, ignore_errors=True)
    log = project.build / profile / "sphinx.log"
    if not jupyter_book(site, output, log, "-W", "--keep-going"):
        raise UserError(f"{_complaints(log, site)}\nthe book was not rendered, see {log}")
    html = project.html(profile)
    html.mkdir(parents=True, exist_ok=True)
    os.replace(html, output / "previous")
    os.replace(output / "_build" / "html", html)
    shutil.rmtree(output)
    made = {"sources": made_from, "pages": fingerprint(html.rglob("*"), html)}
    write_json(project.rendered(profile), made)
    return html / "index.html"


def print_pdf(project: Project, profile: str) -> Path:
    """Print the whole book as one PDF, render the site that offers it, and return the PDF.

    Raises:
        UserError: as :func:`render`, or where there is no Chromium.
    """
    output, log = project.build / profile / "print", project.build / profile / "print.log"
    site, pdf = stage(project, profile), project.build / profile / "book.pdf"
    printed = output / "_build" / "singlehtml" / pdf.name
    if not jupyter_book(site, output, log, "--builder", "singlehtml") or not printed.is_file():
        raise UserError(f"{_complaints(log, site)}\nthe book was not printed, see {log}")
    os.replace(printed, pdf)
    shutil.rmtree(output)
    write_json(pdf.with_suffix(".json"), {"sources": site_sources(project, profile)})
    render(project, profile)
    return project.html(profile) / "_static" / pdf.name


def forget_changed_site(project: Project, profile: str) -> None:
    """Set aside the record of a site whose sources or pages are no longer those that it names."""
    record, html = project.rendered(profile), project.html(profile)
    pages = fingerprint(html.rglob("*"), html)
    now = {"sources": site_sources(project, profile), "pages": pages}
    keep_while(record, lambda: read_json(record) == now)


def site_sources(project: Project, profile: str) -> str:
    """The fingerprint of everything that a site is rendered from."""
    files = {*prose(project), *package_files(project)}
    for chapter in project.notebooks:
        files |= {project.record(profile, chapter.name), chapter.source}
    return fingerprint(files, project.root)


def jupyter_book(site: Path, output: Path, log: Path, *options: str) -> bool:
    """Render a staged site into ``output/_build/html``; returns whether that succeeded."""
    command = [sys.executable, "-c", "from jupyter_book.cli.main import main; main()"]
    command += ["build", str(site), "--path-output", str(output), *options]
    with open(log, "w", encoding="utf-8") as file:
        streams = {"stdout": file, "stderr": subprocess.STDOUT}
        done = subprocess.run(command, **streams, env={**os.environ, "NO_COLOR": "1"}, check=False)
    return not done.returncode


def prose(project: Project) -> list[Path]:
    """The sources of the site that neither a chapter nor a build makes."""
    made = re.compile(r".*\.ipynb|results|__pycache__|\..*")
    found = [project.root / "_config.yml", project.root / "_toc.yml"]
    for path in sorted((project.root / "book").rglob("*")):
        parts = path.relative_to(project.root / "book").parts
        found += [path] if path.is_file() and not any(map(made.fullmatch, parts)) else []
    return found


def stage(project: Project, profile: str) -> Path:
    """Copy everything that is rendered into one folder, with what the results add to it."""
    from workflow import status  # slow to import, so where needed

    site = project.build / profile / "site"
    shutil.rmtree(site, ignore_errors=True)
    site.mkdir(parents=True)
    for path in prose(project):
        copy = site / path.relative_to(project.root)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)
    url = repository_url(project)
    config = entries(site / "_config.yml")
    (site / "_config.yml").write_text(yaml.safe_dump(_with_links(config, url)), "utf-8")
    for chapter in project.notebooks:
        outcome = load(project, chapter, profile)
        source = project.root / outcome.notebook
        notebook = nbformat.read(source, as_version=4)
        begin(notebook, _status(project, chapter, profile, outcome, url))
        results = source.parent / "results" / source.stem
        nbformat.write(notebook, site / "book" / source.name)
        for path, folder in ((source, "book/executed"), (chapter.source, "notebooks")):
            (site / folder).mkdir(exist_ok=True)
            shutil.copy(path, site / folder)
        if results.is_dir():
            shutil.copytree(results, site / "book" / "results" / source.stem)
    pdf = project.build / profile / "book.pdf"
    made_from = {"sources": site_sources(project, profile)}
    if pdf.is_file() and read_json(pdf.with_suffix(".json")) == made_from:
        shutil.copy(pdf, site / "book" / "_static")
    status.write(project, profile, site / "book" / "generated", url)
    return site


def repository_url(project: Project) -> str:
    """The public page of the repository, without credentials; empty where it is not known.

    ``$BAQ_REPOSITORY_URL`` decides, or else the git remote ``origin``.
    """
    url = os.environ.get("BAQ_REPOSITORY_URL")
    if url is None:
        command = ["git", "-C", str(project.root), "remote", "get-url", "origin"]
        url = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    match = re.fullmatch(
        r"(?:https?://(?:[^@/]*@)?|ssh://git@|git@)([\w.-]+)[:/]([\w./-]+?)(?:\.git)?/?", url
    )
    return f"https://{match[1]}/{match[2]}" if match else ""


def _with_links(config: dict, url: str) -> dict:
    """The configuration with the buttons that work for a repository, and with no others."""
    if not url:
        return config
    config["repository"] = {"url": url, "branch": _BRANCH}
    buttons = dict.fromkeys(("use_repository_button", "use_issues_button"), True)
    config["html"] = {**config.get("html", {}), **buttons}
    if url.startswith("https://github.com/"):
        config["launch_buttons"] = {
            "binderhub_url": "https://mybinder.org",
            "colab_url": "https://colab.research.google.com",
            "notebook_interface": "jupyterlab",
        }
    return config


def _status(project: Project, chapter: Chapter, profile: str, outcome: Outcome, url: str) -> str:
    """What stands below a title: when a chapter was executed, where its files are, what is no result."""
    small = f"The {profile} profile shrinks every parameter: these are no results."
    if chapter.is_page:
        return "" if profile == "full" else f":::{{warning}}\n{small}\n:::"
    run = run_record(project.root / outcome.notebook)
    date, name = run.get("date", "an unknown date"), chapter.name
    links = (
        f" Download the {{download}}`executed notebook <executed/{name}.ipynb>` or its "
        f"{{download}}`source <../notebooks/{name}.py>`."
    )
    if url:
        source = f"{url}/blob/{_BRANCH}/notebooks/{name}.py"
        tables = f"{url}/tree/{_BRANCH}/book/results/{name}"
        links += f" In the repository: [source]({source}), [tables]({tables})."
        if "launch_buttons" in _with_links({}, url):
            links += f' In Colab, begin with `%pip install "baq[onnx,plot,zoo] @ git+{url}"`.'
    if outcome.live:
        on = f"{run.get('threads', 1)} of {run.get('cores', 1)} cores"
        text = f"Executed on {date} in {run.get('minutes', 0):.1f} minutes on {on}.{links}"
        if profile == "full":
            return f":::{{container}} executed\n{text}\n:::"
        text += f" {small}"
    else:
        # The reason with its paths and addresses is for the terminal; a reader needs the gist.
        names = ", ".join(name for name in chapter.header.requires if name in outcome.reason)
        text = f"Recorded on {date}, not re-executed here for want of data ({names})."
        text += "".join(f" Note that {why}." for why in stale(project, chapter, profile)) + links
    return f":::{{warning}}\n{text}\n:::"


def begin(notebook: nbformat.NotebookNode, status: str) -> None:
    """Put the status below the title, at the foot of the box that a cell tagged `opening` wrote."""
    last = [cell for cell in notebook.cells if "opening" in cell.metadata.get("tags", [])]
    boxes = [o.data["text/markdown"].removesuffix("::::") for cell in last for o in cell.outputs]
    for cell in notebook.cells:
        if cell.cell_type == "markdown" and cell.source.startswith("# "):
            title, _, rest = cell.source.partition("\n")
            cell.source = "\n\n".join((title, *boxes, status, "::::" * len(boxes), rest))
            notebook.cells = [cell for cell in notebook.cells if cell not in last]
            return
    raise UserError("a notebook has no title: its first text must begin with '# '")


def _complaints(log: Path, site: Path) -> str:
    text = re.sub(r"\x1b\[[0-9;]*m", "", log.read_text("utf-8", errors="replace"))
    lines = [line.replace(f"{site}/", "") for line in text.splitlines() if line.strip("= ")]
    chosen = [line for line in lines if re.search(r"\b(WARNING|ERROR|exception):", line)]
    return "\n".join(chosen or lines[-3:])
