"""Write the parts of pages that come from results, for the pages to include."""

from __future__ import annotations

from pathlib import Path

import yaml

from workflow import choices_page, claims_page, performance_page, scaling_page, status_page
from workflow.answers import folders, gathered, judged
from workflow.project import Chapter, Project

__all__ = ["citation", "titles", "write"]


def write(project: Project, profile: str, folder: Path) -> None:
    """Write every part into a folder, as ``NAME.md``."""
    answers, runs = gathered(project, profile)
    table = judged(answers, runs)
    names = titles(project)
    no_results = "" if profile == "full" else f" **The {profile} profile: these are no results.**"
    parts = {
        "claims-counts": claims_page.counts_line(table) + no_results,
        "claims-disagreements": claims_page.disagreement_list(answers),
        "claims-table": claims_page.claims_table(table, names),
        "claims-settings": claims_page.settings(answers),
        "claims-rules": claims_page.rules(),
        "status": status_page.status(project, profile, names),
        "versions": status_page.versions(project, profile, names),
        "costs": status_page.costs(project, profile, names),
        "citation": citation(project),
    }
    tables = choices_page.choice_tables(folders(project, profile))
    parts |= {f"choices-{name}": text for name, text in tables.items()}
    parts |= scaling_page.parts(project, names)
    parts |= performance_page.parts(project, folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in parts.items():
        (folder / f"{name}.md").write_text(f"{text}\n", "utf-8")


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
