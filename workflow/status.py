"""The parts of pages that belong to a build: what is live, with which versions, and how to cite it."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import pandas as pd

from baq.machine.yaml_core import read_yaml
from baq.report import answers
from baq.report.excerpts import markdown_table
from baq.zoo.sources import SOURCES
from workflow.files import run_record
from workflow.gate import stale
from workflow.outcome import Outcome, load
from workflow.project import Chapter, Project


@dataclass(frozen=True)
class Shown:
    """What a book shows of a chapter: how it came out, and its run.json; nothing before that."""

    chapter: Chapter
    outcome: Outcome | None
    run: dict

    @classmethod
    def all(cls, project: Project, profile: str, chapters: Iterable[Chapter]) -> list[Self]:
        """The chapters as a profile's book shows them."""
        found = {one: load(project, one, profile) for one in chapters}
        runs = {k: run_record(project.root / made.notebook) for k, made in found.items() if made}
        return [cls(one, made, runs.get(one, {})) for one, made in found.items()]

    @property
    def state(self) -> str:
        """``live``, ``recorded`` or ``not executed``."""
        return "not executed" if not self.outcome else "live" if self.outcome.live else "recorded"

    @property
    def link(self) -> str:
        """A link to the chapter's page, in Markdown."""
        return f"[{self.chapter.title}]({self.chapter.name}.ipynb)"

    def minutes(self, digits: int = 1) -> str:
        """What the execution took."""
        return f"{self.run['minutes']:.{digits}f}" if self.run else ""


def write(project: Project, profile: str, folder: Path, url: str = "") -> None:
    """Write every part into a folder, as ``NAME.md``."""
    folder.mkdir(parents=True, exist_ok=True)
    parts = {part.__name__: part(project, profile) for part in (status, versions, costs)}
    for name, text in (parts | {"citation": citation(project, url)}).items():
        (folder / f"{name}.md").write_text(f"{text}\n", "utf-8")


def verdicts(project: Project, profile: str) -> pd.DataFrame:
    """The table of verdicts, from the answers of a profile's chapters as they are now."""
    return answers.judged(answers.collect(project.book(profile) / "results"))


def citation(project: Project, url: str = "") -> str:
    """The entries for a bibliography, from CITATION.cff and the address of the repository."""
    cff = read_yaml(project.root / "CITATION.cff")
    paper = cff["references"][0]
    number = paper["identifiers"][0]["value"].removeprefix("arXiv:")
    ours = {
        "title": cff["title"],
        "author": " and ".join(f"{{{one['name']}}}" for one in cff["authors"]),
        "year": str(cff["date-released"])[:4],
        **{key: cff[key] for key in ("version", "license")} | ({"url": url} if url else {}),
    }
    theirs = {
        "title": paper["title"].strip(),
        "author": " and ".join(f"{p['given-names']} {p['family-names']}" for p in paper["authors"]),
        "year": paper["year"],
        "eprint": number,
        "archivePrefix": "arXiv",
        "url": paper["url"],
    }
    lines = ["```bibtex"]
    for kind, entry in (("software{baq", ours), (f"misc{{kiselev{paper['year']}", theirs)):
        lines += [f"@{kind},", *(f"  {key} = {{{value}}}," for key, value in entry.items()), "}"]
    return "\n".join([*lines, "```"])


def table(project: Project, profile: str) -> str:
    """Every chapter and page with its state, the date and the minutes of its execution, as text."""
    shown = Shown.all(project, profile, project.notebooks)
    rows = [("chapter", "", "date", "minutes")]
    rows += [(s.chapter.name, s.state, s.run.get("date", ""), s.minutes(2)) for s in shown]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    reasons = {s.chapter.name: s.outcome.reason for s in shown if s.state == "recorded"}
    lines += [f"{name} was not re-executed here: {why}" for name, why in reasons.items()]
    return "\n".join(lines)


def status(project: Project, profile: str) -> str:
    """Every chapter: live or recorded, when, minutes, processor, cores, as a table."""
    rows = []
    for shown in Shown.all(project, profile, project.chapters):
        changed = stale(project, shown.chapter, profile) if shown.state == "recorded" else []
        state = ", and ".join([shown.state, *(["; ".join(changed)] if changed else [])])
        about = (shown.run.get(key, "") for key in ("processor", "cores", "threads"))
        rows.append((shown.link, state, shown.run.get("date", ""), shown.minutes(), *about))
    header = ("chapter", "state", "executed on", "minutes", "processor", "cores", "of which used")
    return markdown_table(header, rows, "When and where each chapter was executed.")


def versions(project: Project, profile: str) -> str:
    """The versions that the chapters ran with: an item for each set of versions."""
    found: dict[str, list[str]] = {}
    for shown in Shown.all(project, profile, project.chapters):
        used = [f"{name} {version}" for name, version in shown.run.get("versions", {}).items()]
        if used:
            found.setdefault(", ".join(used), []).append(shown.link)
    items = [f"* {', '.join(chapters)}: {used}." for used, chapters in found.items()]
    return "\n".join(items) or "No chapter has been executed."


def costs(project: Project, profile: str) -> str:
    """What each chapter takes: data with their size, seeds, minutes, cores and memory, as a table."""
    rows = []
    for shown in Shown.all(project, profile, project.chapters):
        header, run = shown.chapter.header, shown.run
        needs, used = header.requires, run.get("parameters", {})
        seeds = ", ".join(f"{used[key]}" for key in used if key in ("seeds_digits", "seeds"))
        minutes = shown.minutes() or f"about {header.minutes}"
        memory = f"{run['peak_memory_mib'] * 2**20 / 1e9:.1f}" if "peak_memory_mib" in run else ""
        size = sum(SOURCES[name].size for name in needs if name in SOURCES)
        data = f"{size / 1e9:.2f}" if size else "in scikit-learn" if "digits" in needs else ""
        needed, cores = ", ".join(needs) or "none", run.get("threads", header.threads)
        rows.append((shown.link, needed, seeds, minutes, cores, memory, data))
    header = ("chapter", "data", "seeds", "minutes", "cores", "memory, GB", "data, GB")
    return markdown_table(header, rows, "What each chapter takes.")
