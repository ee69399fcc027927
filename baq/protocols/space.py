"""The space of protocols: every open choice with its values and prior weights, as written before any fit."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from baq.machine.yaml_core import read_yaml

__all__ = ["GROUPS", "Choice", "Space", "folder", "read_space", "space"]

#: The groups of claims, in the order of the book.
GROUPS = ("digits", "subsets", "full", "rounding")


@dataclass(frozen=True)
class Choice:
    """An open choice: its values, their prior probabilities, the groups that depend on it, and why."""

    name: str
    values: tuple[Any, ...]
    prior: tuple[float, ...]
    groups: tuple[str, ...]
    why: str


@dataclass(frozen=True)
class Space:
    """All choices by name, and what else was fixed before the first fit.

    ``stray``: the probability that a number is none of the protocol's. ``halves``: the numbers of each half of
    the held-out test. ``controls``: how many of each kind. ``kinds``: which numbers a control permutes.
    ``found``: from how many numbers inside a protocol is found.
    """

    choices: dict[str, Choice]
    stray: float
    halves: tuple[tuple[str, ...], ...]
    controls: int
    kinds: dict[str, tuple[str, ...]]
    found: int

    def of(self, group: str) -> dict[str, Choice]:
        """The choices that a group of claims depends on.

        Raises:
            ValueError: for another group.
        """
        if group not in GROUPS:
            raise ValueError(f"group is {group!r}: allowed are {', '.join(GROUPS)}")
        return {name: choice for name, choice in self.choices.items() if group in choice.groups}

    def log_prior(self) -> dict[str, np.ndarray]:
        """The logarithm of the prior probability of each value, by choice."""
        return {name: np.log(choice.prior) for name, choice in self.choices.items()}


def folder() -> Path:
    """Where the space and the simulated answers lie: in the installed package or the checkout."""
    here = Path(__file__).parent
    packaged, checkout = here / "recorded", here.parents[1] / "book" / "protocols"
    return packaged if packaged.exists() else checkout


def read_space(path: Path) -> Space:
    """A space from a file as ``book/protocols/space.yml``, which says what its keys mean.

    Raises:
        ValueError: for a file that is no YAML, a choice without values, weights that are not above 0, or an
            unknown group.
    """
    read = read_yaml(path)
    choices = {}
    for name, entry in read["choices"].items():
        weights = np.array(list(entry["values"].values()), dtype=float)
        if not len(weights) or not (weights > 0).all():
            raise ValueError(f"weights of {name} are {weights.tolist()}: allowed are some above 0")
        if unknown := set(entry["groups"]) - set(GROUPS):
            raise ValueError(
                f"{name} is of group {unknown.pop()!r}: allowed are {', '.join(GROUPS)}"
            )
        prior = tuple((weights / weights.sum()).tolist())
        choices[name] = Choice(
            name, tuple(entry["values"]), prior, tuple(entry["groups"]), entry["why"]
        )
    return Space(
        choices,
        read["stray"],
        tuple(tuple(half) for half in read["halves"]),
        read["controls"],
        {kind: tuple(names) for kind, names in read["kinds"].items()},
        read["found"],
    )


@cache
def space() -> Space:
    """The space of this book."""
    return read_space(folder() / "space.yml")
