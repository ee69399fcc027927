"""Exact Bayesian inference over discrete choices, by sums and maxima over a graph of factors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["Factor", "belief", "best", "eliminate", "given", "marginals"]


@dataclass(frozen=True)
class Factor:
    """A function of some choices as the logarithm of its values: an axis of ``log`` for each name in ``over``."""

    over: tuple[str, ...]
    log: np.ndarray

    def __post_init__(self) -> None:
        if self.log.ndim != len(self.over) or len(set(self.over)) != len(self.over):
            raise ValueError(
                f"factor over {', '.join(self.over)} has {self.log.ndim} axes: allowed is one for each name"
            )


def _product(factors: Sequence[Factor], over: Sequence[str] | None = None) -> Factor:
    """The product of factors, over the names of all of them, or over given ones that hold these."""
    names = list(dict.fromkeys(name for f in factors for name in f.over))
    names = list(over) if over is not None else names
    total: Any = 0.0
    # Small ones first, so that large sums are made once.
    for factor in sorted(factors, key=lambda f: f.log.size):
        order = sorted(range(len(factor.over)), key=lambda k: names.index(factor.over[k]))
        shape = [1] * len(names)
        for k in order:
            shape[names.index(factor.over[k])] = factor.log.shape[k]
        total = total + factor.log.transpose(order).reshape(shape)
    sizes = _sizes(factors)
    full = tuple(sizes[name] for name in names)
    return Factor(tuple(names), np.broadcast_to(total, full))


def _sizes(factors: Sequence[Factor]) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for factor in factors:
        for name, size in zip(factor.over, factor.log.shape, strict=True):
            if sizes.setdefault(name, size) != size:
                raise ValueError(
                    f"{name} has {sizes[name]} and {size} values: allowed is one number of them"
                )
    return sizes


def _reduced(factor: Factor, names: Sequence[str], largest: bool) -> Factor:
    axes = tuple(k for k, name in enumerate(factor.over) if name in names)
    if not axes:
        return factor
    top = factor.log.max(axis=axes, keepdims=True)
    over = tuple(name for name in factor.over if name not in names)
    if largest:
        return Factor(over, top.squeeze(axes))
    total = np.exp(factor.log - top).sum(axis=axes)
    return Factor(over, np.log(total) + top.squeeze(axes))


def eliminate(factors: Sequence[Factor], keep: Sequence[str], *, largest: bool = False) -> Factor:
    """The product of factors, summed over all choices but those to keep, or its largest value over them.

    Choices go one after the other, the one whose factors have the smallest product first: variable
    elimination (Koller, Friedman 2009, chapter 9). The sum is exact.

    Arguments:
        factors: whose product is the joint probability, up to a constant.
        keep: choices, of which the result has an axis each, in this order.
        largest: take the largest value in place of the sum.

    Raises:
        ValueError: for a choice to keep that no factor has, or factors that differ in the number of its values.
    """
    sizes = _sizes(factors)
    if unknown := [name for name in keep if name not in sizes]:
        raise ValueError(f"choice is {unknown[0]!r}: allowed are {', '.join(sizes)}")
    left, rest = list(factors), [name for name in sizes if name not in keep]

    def size(name: str) -> int:
        met = {other for factor in left if name in factor.over for other in factor.over}
        return int(np.prod([sizes[other] for other in met], dtype=float))

    while rest:
        name = min(rest, key=size)
        with_it = [factor for factor in left if name in factor.over]
        joint = _product(with_it)
        # What no other factor knows goes at once.
        others = {n for factor in left if name not in factor.over for n in factor.over} | set(keep)
        gone = [n for n in joint.over if n not in others]
        left = [factor for factor in left if name not in factor.over]
        left.append(_reduced(joint, gone, largest))
        rest = [n for n in rest if n not in gone]
    found = _product(left, keep)
    return Factor(tuple(keep), np.array(found.log))


def belief(factors: Sequence[Factor], over: Sequence[str]) -> np.ndarray:
    """The posterior probability of each combination of some choices; sums to 1."""
    log = eliminate(factors, over).log
    found = np.exp(log - log.max())
    return found / found.sum()


def marginals(factors: Sequence[Factor]) -> dict[str, np.ndarray]:
    """The posterior probability of each value of every choice.

    One factor after the other, the largest first, gives those of its choices; what is left of it is small.
    """
    found: dict[str, np.ndarray] = {}
    left = list(factors)
    while new := [factor for factor in left if not found.keys() >= set(factor.over)]:
        core = max(new, key=lambda factor: factor.log.size).over
        joint = belief(left, core)
        for axis, name in enumerate(core):
            if name not in found:
                found[name] = joint.sum(axis=tuple(k for k in range(len(core)) if k != axis))
        inside = [factor for factor in left if set(factor.over) <= set(core)]
        outside = [factor for factor in left if not set(factor.over) <= set(core)]
        shared = [name for name in core if any(name in factor.over for factor in outside)]
        left = [eliminate(inside, shared), *outside]
    return found


def given(factors: Sequence[Factor], known: Mapping[str, int]) -> list[Factor]:
    """The factors where some choices are known, by the index of their value; they have no axis any more."""
    fixed = []
    for factor in factors:
        at = tuple(known.get(name, slice(None)) for name in factor.over)
        over = tuple(name for name in factor.over if name not in known)
        fixed.append(Factor(over, np.asarray(factor.log[at])))
    return fixed


def best(factors: Sequence[Factor]) -> dict[str, int]:
    """The most probable combination of all choices, by the index of each value; of equal ones the first."""
    known: dict[str, int] = {}
    while left := set(_sizes(given(factors, known))):
        now = given(factors, known)
        core = max(now, key=lambda factor: factor.log.size).over or (min(left),)
        log = eliminate(now, core, largest=True).log
        at = np.unravel_index(int(log.argmax()), log.shape)
        known |= {name: int(k) for name, k in zip(core, at, strict=True)}
    return known
