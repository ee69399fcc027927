"""The parts of pages that belong to a build: what is live, with which versions, and how to cite it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from baq.machine import read_yaml
from baq.report import answers
from baq.report.excerpts import markdown_table
from baq.zoo.sources import SOURCES
from workflow.gate import stale
from workflow.outcome import load, run_record
from workflow.project import Chapter, Project

__all__ = ["citation", "costs", "status", "titles", "verdicts", "versions", "write"]


def write(project: Project, profile: str, folder: Path) -> None:
    """Write every part into a folder, as ``NAME.md``."""
    table = verdicts(project, profile)
    names = titles(project)
    no_results = "" if profile == "full" else f" **The {profile} profile: these are no results.**"
    parts = {
        "claims-counts": answers.counts_line(table) + no_results,
        "claims-disagreements": answers.disagreement_list(table),
        "status": status(project, profile, names),
        "versions": versions(project, profile, names),
        "costs": costs(project, profile, names),
        "citation": citation(project),
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in parts.items():
        (folder / f"{name}.md").write_text(f"{text}\n", "utf-8")


def verdicts(project: Project, profile: str) -> pd.DataFrame:
    """The table of verdicts that the page *Claims* wrote, or would write now."""
    path = project.book(profile) / "results" / "claims" / "verdicts.csv"
    if not path.is_file():
        return answers.judged(answers.collect(project.book(profile) / "results"))
    words = dict.fromkeys(("part", "paper"), str)
    return pd.read_csv(path, dtype=words | {"n": "Int64"}).fillna({"part": ""})


def titles(project: Project) -> dict[str, str]:
    """The title of each chapter."""
    return {chapter.name: _title(chapter) for chapter in project.chapters}


def citation(project: Project) -> str:
    """The entry for a bibliography, from CITATION.cff."""
    cff = read_yaml(project.root / "CITATION.cff")
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


def status(project: Project, profile: str, titles: Mapping[str, str]) -> str:
    """Every chapter: live or recorded, when, minutes, processor, threads, as a table."""
    header = ("chapter", "state", "executed on", "minutes", "processor", "cores", "threads")
    rows = []
    for chapter in project.chapters:
        outcome = load(project, chapter, profile)
        if outcome is None:
            rows.append((_link(chapter, titles), "not executed", "", "", "", "", ""))
            continue
        run = run_record(project.root / outcome.notebook)
        state = "live" if outcome.live else "recorded"
        if not outcome.live and (changed := stale(project, chapter, profile)):
            state += f", and {'; '.join(changed)}"
        minutes = f"{run['minutes']:.1f}" if run else ""
        about = (run.get(key, "") for key in ("processor", "cores", "threads"))
        rows.append((_link(chapter, titles), state, run.get("date", ""), minutes, *about))
    return markdown_table(header, rows)


def versions(project: Project, profile: str, titles: Mapping[str, str]) -> str:
    """The versions that the chapters ran with: an item for each set of versions."""
    found: dict[str, list[str]] = {}
    for chapter in project.chapters:
        outcome = load(project, chapter, profile)
        run = run_record(project.root / outcome.notebook) if outcome else {}
        used = [f"{name} {version}" for name, version in run.get("versions", {}).items()]
        if used:
            found.setdefault(", ".join(used), []).append(_link(chapter, titles))
    items = [f"* {', '.join(chapters)}: {used}." for used, chapters in found.items()]
    return "\n".join(items) or "No chapter has been executed."


def costs(project: Project, profile: str, titles: Mapping[str, str]) -> str:
    """What each chapter takes: data with their size, seeds, minutes, threads and memory, as a table."""
    header = ("chapter", "data", "seeds", "minutes", "threads", "memory, GB", "data, GB")
    rows = []
    for chapter in project.chapters:
        outcome = load(project, chapter, profile)
        run = run_record(project.root / outcome.notebook) if outcome else {}
        needs = chapter.header["requires"]
        used = run.get("parameters", {})
        seeds = ", ".join(f"{used[key]}" for key in used if key in ("seeds_digits", "seeds"))
        size = sum(SOURCES[name].size for name in needs if name in SOURCES)
        rows.append(
            (
                _link(chapter, titles),
                ", ".join(needs) or "none",
                seeds,
                f"{run['minutes']:.1f}" if run else f"about {chapter.header['minutes']}",
                chapter.header["threads"],
                f"{run['peak_memory_mib'] * 2**20 / 1e9:.1f}" if "peak_memory_mib" in run else "",
                f"{size / 1e9:.2f}" if size else "in scikit-learn" if "digits" in needs else "",
            )
        )
    return markdown_table(header, rows)


def _link(chapter: Chapter, titles: Mapping[str, str]) -> str:
    return f"[{titles[chapter.name]}]({chapter.name}.ipynb)"
