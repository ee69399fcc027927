"""Time two ways to one answer in turn, and check that the answers agree."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from baq.machine import processor_name
from baq.report.costs import MISSING, UNEQUAL
from baq.report.runs import threads

__all__ = ["COLUMNS", "Race", "absent", "machine", "run"]

COLUMNS = (
    "work",
    "size",
    "ours",
    "peer",
    "ratio_min",
    "ratio_median",
    "ratio_max",
    "agreement",
    "target",
    "machine",
)


@dataclass(frozen=True)
class Race:
    """One work, done by us and by a peer.

    ``ours`` and ``peer`` take the number of the round, so that rounds may differ in their inputs, and
    return an answer. ``agree`` takes the answers of all rounds, two sequences, and returns in words
    how far they agree, and whether that is enough. ``target`` is the least median ratio of the peer's
    time to ours. ``repeats`` runs of ours are timed together, so that short runs can be timed.
    """

    work: str
    size: str
    target: float
    ours: Callable[[int], object]
    peer: Callable[[int], object]
    agree: Callable[[Sequence, Sequence], tuple[str, bool]]
    repeats: int = 1
    threads: int = 1


def run(race: Race, rounds: int = 5) -> dict[str, object]:
    """Run a race: in each round both sides, in turn the one and the other first.

    Returns:
        A row with :data:`COLUMNS`; ``ours`` and ``peer`` are medians in seconds, ratios are those of
        single rounds.

    Raises:
        ValueError: for less than one round.
    """
    if rounds < 1:
        raise ValueError(f"rounds is {rounds}: allowed is 1 or more")
    sides = {"ours": (race.ours, race.repeats), "peer": (race.peer, 1)}
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    answers: dict[str, list[object]] = {name: [] for name in sides}
    with threads(race.threads), threadpool_limits(race.threads):
        race.ours(0)
        for k in range(rounds):
            for name in list(sides)[:: 1 if k % 2 == 0 else -1]:
                work, repeats = sides[name]
                start = time.perf_counter()
                for _ in range(repeats):
                    answer = work(k)
                seconds[name].append((time.perf_counter() - start) / repeats)
                answers[name].append(answer)
    ratios = np.array(seconds["peer"]) / np.array(seconds["ours"])
    words, enough = race.agree(answers["ours"], answers["peer"])
    return {
        "work": race.work,
        "size": race.size,
        "ours": float(np.median(seconds["ours"])),
        "peer": float(np.median(seconds["peer"])),
        "ratio_min": float(ratios.min()),
        "ratio_median": float(np.median(ratios)),
        "ratio_max": float(ratios.max()),
        "agreement": words if enough else UNEQUAL + words,
        "target": race.target,
        "machine": machine(race.threads),
    }


def absent(
    work: str, size: str, target: float, reason: object, begin: str = MISSING
) -> dict[str, object]:
    """The row of a race whose peer cannot be had here, or that ours cannot win, with the reason in one line."""
    row = dict.fromkeys(COLUMNS, np.nan) | {"work": work, "size": size, "target": target}
    return row | {"agreement": f"{begin}{' '.join(str(reason).split())}", "machine": machine(1)}


def machine(threads: int) -> str:
    """The processor, its cores, the threads used, and the versions that matter for speed."""
    return (
        f"{processor_name()}, {os.cpu_count()} cores, {threads} thread{'s' * (threads > 1)}, "
        f"Python {sys.version.split()[0]}, torch {torch.__version__}, numpy {np.__version__}"
    )
