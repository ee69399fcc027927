"""The least time of every chapter: its multiplications at the speed of the machine.

``BAQ_COUNTS=FOLDER make book`` counts, while chapters are executed, the multiplications of their passes through
convolutions and matrices, forward and backward. ``python -m benchmarks --floors FOLDER`` writes them beside the
minutes of the same executions. What is no such pass, such as training's other operations, searches for
roundings and figures, is not counted, so that a chapter may lie above its floor for good reason.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import torch

from baq.machine import processor_name
from benchmarks.counting import total

__all__ = ["floors", "multiplications_per_second"]


def multiplications_per_second(side: int = 2048, rounds: int = 20) -> float:
    """The rate at which all cores multiply square matrices in single precision, the best of some rounds."""
    a, b = torch.rand(2, side, side)
    best = min(_seconds(a, b) for _ in range(rounds))
    return float(side**3 / best)


def _seconds(a: torch.Tensor, b: torch.Tensor) -> float:
    begun = time.perf_counter()
    a @ b
    return time.perf_counter() - begun


def floors(counts: Path, results: Path) -> Iterator[dict[str, object]]:
    """A row for each chapter that was counted: ``chapter``, ``multiplications``, ``minutes``, ``floor`` in minutes.

    Arguments:
        counts: folder of the counts, one below it for each chapter.
        results: folder of the chapters' results, with their minutes.

    Raises:
        ValueError: for a folder without counts.
    """
    folders = sorted(path for path in counts.iterdir() if path.is_dir()) if counts.is_dir() else []
    if not folders:
        raise ValueError(f"{counts} holds no counts: `BAQ_COUNTS={counts} make book` makes them")
    rate = multiplications_per_second()
    for folder in folders:
        multiplications = total(folder)
        run = json.loads((results / folder.name / "run.json").read_text("utf-8"))
        yield {
            "chapter": folder.name,
            "multiplications": multiplications,
            "minutes": run["minutes"],
            "floor": multiplications / rate / 60,
            "rate": rate,
            "machine": f"{os.cpu_count()} cores, {processor_name()}",
        }
