"""The generated parts of pages say what the results say, and what is not there yet."""

import json
from dataclasses import asdict
from pathlib import Path

import nbformat
import pytest
import yaml

from workflow import site
from workflow.files import write_json
from workflow.outcome import Outcome
from workflow.project import Project
from workflow.status import citation, costs, status, versions, write

ROOT = Path(__file__).parents[1]
BOOK = Project(ROOT)


def settle(project, name, live=True, **run):
    """Pretend that a chapter came out so."""
    notebook = project.root / "book" / f"{name}.ipynb"
    nbformat.write(nbformat.v4.new_notebook(), notebook)
    results = project.root / "book" / "results" / name
    results.mkdir(parents=True)
    (results / "run.json").write_text(json.dumps(run))
    made = Outcome(name, f"book/{name}.ipynb", live=live, reason="", files="")
    write_json(project.record("full", name), asdict(made))


@pytest.fixture
def settled(project):
    """One chapter live, the other one not executed."""
    about = {"date": "2026-01-02", "minutes": 1.26, "processor": "A", "cores": 4, "threads": 2}
    settle(
        project,
        "01-one",
        **about,
        peak_memory_mib=1000,
        parameters={"seeds": 3},
        versions={"python": "3.11.7"},
    )
    return project


def test_status_and_costs_have_a_row_a_chapter(settled):
    rows = status(settled, "full").splitlines()
    assert rows[0] == "```{table} When and where each chapter was executed."
    assert rows[4:-1] == [
        "| [Tiny](01-one.ipynb) | live | 2026-01-02 | 1.3 | A | 4 | 2 |",
        "| [Tiny](02-two.ipynb) | not executed |  |  |  |  |  |",
    ]
    assert versions(settled, "full") == "* [Tiny](01-one.ipynb): python 3.11.7."
    rows = costs(settled, "full").splitlines()
    assert rows[4] == "| [Tiny](01-one.ipynb) | none | 3 | 1.3 | 2 | 1.0 |  |"
    assert rows[5] == "| [Tiny](02-two.ipynb) | photos |  | about 0.1 | 1 |  |  |"


def test_every_part_is_written_before_any_chapter_is_executed(project, tmp_path):
    write(project, "full", tmp_path / "parts")
    made = {path.stem: path.read_text() for path in (tmp_path / "parts").iterdir()}
    wanted = set()
    for page in (ROOT / "book").glob("*.md"):
        text = page.read_text("utf-8")
        wanted |= {
            line.split("generated/")[1][:-3]
            for line in text.splitlines()
            if line.startswith("```{include} generated/")
        }
    assert wanted == made.keys(), "each part is included somewhere, and each include is made"


def test_the_citation_is_that_of_the_file():
    cff = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    text = citation(BOOK)
    assert f"title = {{{cff['title']}}}" in text and "author = {{the baq authors}}" in text
    assert "year = {2026}" in text.partition("@misc")[0] and "url" not in text.partition("@misc")[0]
    assert "url = {https://a.b/c}" in citation(BOOK, "https://a.b/c").partition("@misc")[0]
    assert "author = {O. M. Kiselev}" in text and "eprint = {2607.01478}" in text


def test_launch_buttons_point_at_files_of_the_branch(monkeypatch):
    monkeypatch.setenv("BAQ_REPOSITORY_URL", "https://github.com/someone/baq")
    config = site._with_links({}, site.repository_url(BOOK))
    assert config["repository"] == {"url": "https://github.com/someone/baq", "branch": "main"}
    # A button opens the page's own path in the repository, so each chapter's notebook must be there.
    for chapter in BOOK.chapters:
        assert (ROOT / "book" / f"{chapter.name}.ipynb").is_file()
    monkeypatch.setenv("BAQ_REPOSITORY_URL", "")
    assert site._with_links({}, site.repository_url(BOOK)) == {}
