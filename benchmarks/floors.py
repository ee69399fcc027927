"""The least time of every chapter: its multiplications at the speed of the cores that it had.

``BAQ_COUNTS=FOLDER make book`` counts, while chapters are executed, the multiplications of their passes through
convolutions and matrices, forward and backward. ``python -m benchmarks --floors FOLDER`` writes them beside the
minutes of the same executions. What is no such pass, such as training's other operations, searches for
roundings and figures, is not counted, so that a chapter may lie above its floor for good reason.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import torch

from baq.machine import processor_name
from benchmarks.counting import total

__all__ = ["floors", "multiplications_per_second"]


@torch.no_grad()
def multiplications_per_second(rounds: int = 20) -> float:
    """The best rate at which all cores multiply in single precision: square matrices, and convolutions of 3 x 3.

    They are computed by different libraries, of which one may know less of the processor's instructions.
    """
    a, b = torch.rand(2, 1024, 1024)
    rates = [1024**3 / min(_seconds(torch.mm, a, b) for _ in range(rounds))]
    for channels, side, count in ((32, 32, 64), (64, 16, 128), (128, 16, 64), (256, 16, 32)):
        form = torch.channels_last
        x = torch.rand(count, channels, side, side).contiguous(memory_format=form)
        w = torch.rand(channels, channels, 3, 3).contiguous(memory_format=form)
        convolve = partial(torch.conv2d, padding=1)
        best = min(_seconds(convolve, x, w) for _ in range(rounds))
        rates.append(count * side**2 * channels**2 * 9 / best)
    return float(max(rates))


def _seconds(act: Callable[..., object], *given: torch.Tensor) -> float:
    begun = time.perf_counter()
    act(*given)
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
            "floor": multiplications / rate / 60 * (os.cpu_count() or 1) / run["threads"],
            "rate": rate,
            "machine": f"{os.cpu_count()} cores, {processor_name()}",
        }
