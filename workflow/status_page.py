"""The generated parts of the pages *Status* and *How to reproduce*."""

from __future__ import annotations

from collections.abc import Mapping

from baq.report.excerpts import markdown_table
from baq.zoo.sources import SOURCES
from workflow.gate import stale
from workflow.outcome import load, run_record
from workflow.project import Chapter, Project

__all__ = ["costs", "status", "versions"]


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
    """What each chapter takes: data with their size, minutes, threads and memory, as a table."""
    header = ("chapter", "data", "minutes", "threads", "memory, GB", "data, GB")
    rows = []
    for chapter in project.chapters:
        outcome = load(project, chapter, profile)
        run = run_record(project.root / outcome.notebook) if outcome else {}
        needs = chapter.header["requires"]
        size = sum(SOURCES[name].size for name in needs if name in SOURCES)
        rows.append(
            (
                _link(chapter, titles),
                ", ".join(needs) or "none",
                f"{run['minutes']:.1f}" if run else f"about {chapter.header['minutes']}",
                chapter.header["threads"],
                f"{run['peak_memory_mib'] * 2**20 / 1e9:.1f}" if "peak_memory_mib" in run else "",
                f"{size / 1e9:.2f}" if size else "in scikit-learn" if "digits" in needs else "",
            )
        )
    return markdown_table(header, rows)


def _link(chapter: Chapter, titles: Mapping[str, str]) -> str:
    return f"[{titles[chapter.name]}]({chapter.name}.ipynb)"
