"""The generated parts of pages say what the results say, and what is not there yet."""

import json
from dataclasses import asdict
from pathlib import Path

import nbformat
import pandas as pd
import pytest
import yaml

from workflow import generated, site
from workflow.files import write_json
from workflow.outcome import Outcome
from workflow.project import Project
from workflow.status_page import costs, status, versions

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
    settle(project, "01-one", **about, peak_memory_mib=1000, versions={"python": "3.11.7"})
    return project


def test_status_and_costs_have_a_row_a_chapter(settled):
    titles = generated.titles(settled)
    assert titles == {"01-one": "Tiny", "02-two": "Tiny"}
    rows = status(settled, "full", titles).splitlines()
    assert rows[2:] == [
        "| [Tiny](01-one.ipynb) | live | 2026-01-02 | 1.3 | A | 4 | 2 |",
        "| [Tiny](02-two.ipynb) | not executed |  |  |  |  |  |",
    ]
    assert versions(settled, "full", titles) == "* [Tiny](01-one.ipynb): python 3.11.7."
    rows = costs(settled, "full", titles).splitlines()
    assert rows[2] == "| [Tiny](01-one.ipynb) | none | 1.3 | 1 | 1.0 |  |"
    assert rows[3] == "| [Tiny](02-two.ipynb) | photos | about 0.1 | 1 |  |  |"


def test_every_part_is_written_before_any_chapter_is_executed(project, tmp_path):
    generated.write(project, "full", tmp_path / "parts")
    made = {path.stem: path.read_text() for path in (tmp_path / "parts").iterdir()}
    assert "**32** not answered" in made["claims-counts"]
    assert "has no table choices yet" in made["choices-quantizer-digits"]
    wanted = set()
    for page in (ROOT / "book").glob("*.md"):
        text = page.read_text("utf-8")
        wanted |= {
            line.split("generated/")[1][:-3]
            for line in text.splitlines()
            if line.startswith("```{include} generated/")
        }
    assert wanted == made.keys(), "each part is included somewhere, and each include is made"


def test_choices_take_their_rows_from_the_tables_of_the_chapters(tmp_path):
    table = pd.DataFrame({"choice": ["as above", "ReLU", "asymmetric levels"], "D1": [0.5, 1, 2]})
    table.to_csv(tmp_path / "choices.csv", index=False)
    summary = pd.DataFrame(
        {"measure": "jaccard", "bits": [4, 8, 8], "n": [65, 33, 65]}
        | {"median": [0.9, 0.1, 0.2], "lo": 0.0, "hi": 1.0}
    )
    summary[summary["n"] == 65].to_csv(tmp_path / "grid-summary.csv", index=False)
    made = choice_tables({"02-slice-geometry": tmp_path})
    assert made.keys() == TABLES.keys()
    assert made["quantizer-digits"].splitlines()[2:] == [
        "| as above | 0.5 |",
        "| asymmetric levels | 2 |",
    ]
    assert made["grid-digits"].splitlines()[2] == (
        "| 65 | 0.200 [0.000, 1.000] | 0.900 [0.000, 1.000] |"
    )
    assert "yet" in made["band"]
    path = pd.DataFrame(
        {"setting": ["a", "a", "b"], "bits": 4, "weight": [1.0, 1.0, 0.1], "chosen": True}
        | {"band_pair_flip_rate": [0.2, 0.4, 0.5], "accuracy": 0.75}
    )
    path.to_csv(tmp_path / "gap-path.csv", index=False)
    made = choice_tables({"07-rounding": tmp_path})
    assert made["gap-weight"].splitlines()[2:] == [
        "| a | 4 | 1 | 0.3 [0.21, 0.39] | 0.75 [0.75, 0.75] |",
        "| b | 4 | 0.1 | 0.5 [0.5, 0.5] | 0.75 [0.75, 0.75] |",
    ]


@pytest.mark.parametrize("name", TABLES)
def test_the_rows_that_choices_name_are_in_the_books_tables(name):
    extract = TABLES[name]
    folder = ROOT / "book" / "results" / extract.chapter
    if not folder.is_dir():
        pytest.skip(f"{extract.chapter} has not been executed yet")
    path = folder / f"{extract.table}.csv"
    assert set(extract.columns) <= set(pd.read_csv(path))
    assert set(extract.rows) <= set(pd.read_csv(path).iloc[:, 0].astype(str))


def test_the_citation_is_that_of_the_file():
    cff = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    text = generated.citation(BOOK)
    assert f"title = {{{cff['title']}}}" in text and "author = {{the baq authors}}" in text
    assert "author = {O. M. Kiselev}" in text and "eprint = {2607.01478}" in text


def test_launch_buttons_point_at_files_of_the_branch(monkeypatch):
    monkeypatch.setenv("BAQ_REPOSITORY_URL", "https://github.com/someone/baq")
    config = site._with_links({}, site.repository_url(BOOK))
    assert config["repository"] == {"url": "https://github.com/someone/baq", "branch": "main"}
    # A button opens the page's own path in the repository, so each chapter's notebook must be there.
    for entry in yaml.safe_load((ROOT / "_toc.yml").read_text("utf-8"))["chapters"]:
        if Path(entry["file"]).name[:2].isdigit():
            assert (ROOT / f"{entry['file']}.ipynb").is_file()
    monkeypatch.setenv("BAQ_REPOSITORY_URL", "")
    assert site._with_links({}, site.repository_url(BOOK)) == {}
