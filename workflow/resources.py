"""What a chapter needs when it is one job among others: networks, memory and time."""

from __future__ import annotations

from pathlib import Path

from workflow.outcome import run_record
from workflow.parameters import declared
from workflow.project import Chapter, Project

__all__ = ["memory", "networks", "runtime"]


def networks(project: Project) -> list[Path]:
    """The trained networks that the chapters load, by their paths below the root.

    They are those of a chapter's parameters ``families`` and ``seeds``. All chapters wait for them,
    since the manifest of the checkpoints is part of what each is made from. Where the data to train
    them cannot be had, only those that are there.
    """
    found = []
    for chapter in project.chapters:
        known = declared(chapter)
        if {"families", "seeds"} <= known.keys():
            found += [
                Path("checkpoints") / f"{family}-{seed}.safetensors"
                for family in known["families"].default
                for seed in range(known["seeds"].default)
            ]
    if all((project.root / path).is_file() for path in found):
        return found
    if project.missing_data(["cifar10"]):
        return [path for path in found if (project.root / path).is_file()]
    return found


def memory(project: Project, chapter: Chapter) -> int:
    """MiB to ask for: twice what the recorded run took at most."""
    record = run_record(project.root / "book" / f"{chapter.name}.ipynb")
    return 2 * record.get("peak_memory_mib", 2000)


def runtime(chapter: Chapter) -> int:
    """Minutes after which a job may be stopped: ten times what the header says, and ten more."""
    return 10 + round(10 * chapter.header["minutes"])
