"""Write the parts of pages that come from results, for the pages to include."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import yaml

from baq.report import answers
from workflow import status_page
from workflow.project import Chapter, Project

__all__ = ["citation", "titles", "verdicts", "write"]


def write(project: Project, profile: str, folder: Path) -> None:
    """Write every part into a folder, as ``NAME.md``."""
    table = verdicts(project, profile)
    names = titles(project)
    no_results = "" if profile == "full" else f" **The {profile} profile: these are no results.**"
    parts = {
        "claims-counts": answers.counts_line(table) + no_results,
        "claims-disagreements": answers.disagreement_list(table),
        "status": status_page.status(project, profile, names),
        "versions": status_page.versions(project, profile, names),
        "costs": status_page.costs(project, profile, names),
        "citation": citation(project),
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in parts.items():
        (folder / f"{name}.md").write_text(f"{text}\n", "utf-8")


def verdicts(project: Project, profile: str) -> pd.DataFrame:
    """The table of verdicts that the page *Claims* wrote."""
    path = project.book(profile) / "results" / "claims" / "verdicts.csv"
    words = dict.fromkeys(("part", "paper"), str)
    return pd.read_csv(path, dtype=words | {"n": "Int64"}).fillna({"part": ""})


def titles(project: Project) -> dict[str, str]:
    """The title of each chapter."""
    return {chapter.name: _title(chapter) for chapter in project.chapters}


def citation(project: Project) -> str:
    """The entry for a bibliography, from CITATION.cff."""
    cff = yaml.safe_load((project.root / "CITATION.cff").read_text("utf-8"))
    paper = cff["references"][0]
    people = [" ".join((p["given-names"], p["family-names"])) for p in paper["authors"]]
    number = paper["identifiers"][0]["value"].removeprefix("arXiv:")
    names = " and ".join(f"{{{person['name']}}}" for person in cff["authors"])
    return "\n".join(
        [
            "```bibtex",
            "@software{baq,",
            f"  title = {{{cff['title']}}},",
            f"  author = {{{names}}},",
            f"  version = {{{cff['version']}}},",
            f"  license = {{{cff['license']}}},",
            "}",
            f"@misc{{kiselev{paper['year']},",
            f"  title = {{{paper['title'].strip()}}},",
            f"  author = {{{' and '.join(people)}}},",
            f"  year = {{{paper['year']}}},",
            f"  eprint = {{{number}}},",
            "  archivePrefix = {arXiv},",
            f"  url = {{{paper['url']}}},",
            "}",
            "```",
        ]
    )


def _title(chapter: Chapter) -> str:
    for cell in chapter.notebook.cells:
        if cell.cell_type == "markdown" and cell.source.startswith("# "):
            return cell.source.partition("\n")[0].removeprefix("# ").strip()
    return chapter.name
