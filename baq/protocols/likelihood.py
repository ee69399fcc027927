"""How probable a printed number is under a protocol, from the answers of a few simulated runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from scipy import special, stats

from baq.protocols.posterior import Factor
from baq.report.stats import LEVEL

__all__ = ["Answers", "Number", "below", "inside", "log_likelihood", "printed"]


@dataclass(frozen=True)
class Number:
    """A number of the paper: its claim and part, as printed, and over how many runs it is the mean.

    A range has two numbers, each taken for one run.
    """

    name: str
    text: str
    runs: int

    @property
    def claim(self) -> str:
        return self.name.partition(" ")[0]

    @property
    def values(self) -> tuple[float, ...]:
        return tuple(map(float, self.text.split(" to ")))


@dataclass(frozen=True)
class Answers:
    """What simulated runs answer to one number under every protocol that it depends on.

    ``mean`` and ``std`` over the runs, an axis for each choice in ``over``; ``n``, how many runs have a value.
    ``step`` is the least change that the measure can show, and ``span`` the length of the range of a stray
    number. A correlation is taken to its ``arctanh`` where ``fisher`` is true.
    """

    over: tuple[str, ...]
    mean: np.ndarray
    std: np.ndarray
    n: np.ndarray
    step: float
    span: float
    fisher: bool = False

    @classmethod
    def of(
        cls, over: Sequence[str], values: np.ndarray, step: float, span: float = 1.0,
        fisher: bool = False,
    ) -> Answers:  # fmt: skip
        """From values with the runs as the last axis; NaN where a run has none."""
        if fisher:
            values = np.arctanh(np.clip(values, -1 + 1e-6, 1 - 1e-6))
        there = ~np.isnan(values)
        n = there.sum(axis=-1)
        filled = np.where(there, values, 0.0)
        mean = filled.sum(axis=-1) / np.maximum(n, 1)
        square = np.where(there, (values - mean[..., None]) ** 2, 0.0).sum(axis=-1)
        std = np.sqrt(square / np.maximum(n - 1, 1))
        single = np.float32
        return cls(
            tuple(over), mean.astype(single), std.astype(single), n.astype(np.int8), step, span, fisher
        )  # fmt: skip

    def at(self, known: Mapping[str, int]) -> Answers:
        """The answers under one protocol, by the index of each choice: its arrays have no axes."""
        where = tuple(known[name] for name in self.over)
        return replace(self, over=(), mean=self.mean[where], std=self.std[where], n=self.n[where])

    @cached_property
    def distinct(self) -> tuple[Answers, np.ndarray]:
        """The answers that differ, and which of them each protocol has: often a few of millions."""
        each = np.stack([self.mean, self.std, self.n.astype(np.float32)], axis=-1)
        rows = np.ascontiguousarray(each).view(np.dtype((np.void, each.itemsize * 3)))[..., 0]
        _, first, which = np.unique(rows, return_index=True, return_inverse=True)
        mean, std, n = (values.ravel()[first] for values in (self.mean, self.std, self.n))
        return replace(self, over=("answer",), mean=mean, std=std, n=n), which.reshape(rows.shape)

    def scale(self, runs: int) -> np.ndarray:
        """The standard deviation of a mean of new runs less ours; a spread below half a step counts as that."""
        n = np.maximum(self.n, 1).astype(np.float32)
        least = 0.0 if self.fisher else self.step / 2
        return np.maximum(self.std, least) * np.sqrt(np.float32(1 / runs) + 1 / n)


def printed(text: str) -> list[tuple[float, float]]:
    """The range that each printed number covers: 0.970 is 0.9695 to 0.9705, a count half of one either way."""
    ends = []
    for number in text.split(" to "):
        half = 0.5 * 10.0 ** -len(number.partition(".")[2])
        ends.append((float(number) - half, float(number) + half))
    return ends


def log_likelihood(number: Number, answers: Answers, stray: float) -> Factor:
    """The logarithm of the probability of a printed number under every protocol.

    With mean m, standard deviation s and n runs of ours, the mean of r new runs is Student's t of n - 1 degrees
    of freedom around m, in units of ``s sqrt(1/r + 1/n)``: where a prediction interval comes from
    (:func:`baq.report.stats.prediction_interval`). The probability is its density there times the width that the
    printed number covers. With probability ``stray`` the number has nothing to do with the protocol and is
    equally likely in all its range; so it is where fewer than two runs have a value.

    Arguments:
        number: as printed.
        answers: of our runs.
        stray: from 0 to 1.
    """
    few, which = answers.distinct
    return Factor(answers.over, _log_density(number, few, stray)[which])


def _log_density(number: Number, answers: Answers, stray: float) -> np.ndarray:
    runs = number.runs if len(number.values) == 1 else 1
    scale, df = answers.scale(runs), np.maximum(answers.n - 1, 1).astype(np.float32)
    total = np.zeros(answers.mean.shape, dtype=np.float32)
    for low, high in printed(number.text):
        middle, width = (low + high) / 2, high - low
        off = np.log(stray * min(width / answers.span, 1.0)) if stray else -np.inf
        if answers.fisher:
            width = float(np.arctanh(high) - np.arctanh(low))
            middle = float(np.arctanh(middle))
        z = (np.float32(middle) - answers.mean) / scale
        log = special.gammaln((df + 1) / 2) - special.gammaln(df / 2) - np.log(df * np.pi) / 2
        log = log - np.log(scale) - (df + 1) / 2 * np.log1p(z * z / df) + np.log(width)
        # No more than all of the probability lies in the width.
        log = np.where(answers.n > 1, np.minimum(log, 0.0), -np.inf) + np.log1p(-stray)
        total += np.logaddexp(log, np.float32(off)).astype(np.float32)
    return total


def below(number: Number, answers: Answers, value: float) -> np.ndarray:
    """The probability under every protocol that the mean of new runs is at most a value; 1/2 where unknown."""
    runs = number.runs if len(number.values) == 1 else 1
    value = float(np.arctanh(value)) if answers.fisher else value
    z = (value - answers.mean) / answers.scale(runs)
    found = special.stdtr(np.maximum(answers.n - 1, 1), z)
    return np.where(answers.n > 1, found, 0.5)


def inside(number: Number, mean: Any, std: Any, n: Any, fisher: bool = False) -> Any:
    """Whether a printed number lies in the 90 % prediction interval; of a range, both ends or its middle.

    The interval has no least spread: it is that of the page of claims. Takes numbers or arrays; False where fewer
    than two runs have a value.
    """
    n = np.asarray(n)
    runs = number.runs if len(number.values) == 1 else 1
    quantile = stats.t.ppf((1 + LEVEL) / 2, np.maximum(n - 1, 1))
    half = quantile * std * np.sqrt(1 / runs + 1 / np.maximum(n, 1))
    ends = printed(number.text)
    if "." not in number.text:
        ends = [(value, value) for value in number.values]
    if fisher:
        ends = [(float(np.arctanh(low)), float(np.arctanh(high))) for low, high in ends]
    slack = 1e-6  # of single precision
    within = (mean - half - slack <= ends[0][1]) & (ends[-1][0] <= mean + half + slack)
    if len(ends) > 1:
        within = within | ((ends[0][0] <= mean) & (mean <= ends[-1][1]))
    found = within & (n > 1)
    return found if np.ndim(found) else bool(found)
