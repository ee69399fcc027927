"""Bits by layer: each layer gets as many as its rounding errors turn decisions."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import ndtr
from torch import Tensor, nn

from baq.arguments import check_inner, check_whole, is_real
from baq.planning.sensitivity import Sensitivity, as_sensitivity
from baq.quantization import Bits, bits_by_layer, by_output, quantized_layers

__all__ = ["CHOICES", "Allocation", "allocate", "allocate_by", "stored_bytes"]

#: Bit widths that a layer may have.
CHOICES = (2, 3, 4, 5, 6, 7, 8)


@dataclass(frozen=True)
class Allocation:
    """Bits for each layer by name, their mean over weights, and the flip rate that is forecast for them.

    Example:
        >>> Allocation({"0": 4, "2": 6}, mean_bits=4.5, flip_rate=0.01).bits["2"]
        6
    """

    bits: dict[str, int]
    mean_bits: float
    flip_rate: float


def allocate(
    network: nn.Module | Sensitivity,
    x: Tensor | None = None,
    *,
    mean_bits: float | None = None,
    max_flip_rate: float | None = None,
    choices: Sequence[int] = CHOICES,
) -> Allocation:
    """Bits for each layer, so that the fewest decisions change for the size, or the size is least for so few.

    To first order the variance of a gap is a sum over layers (:class:`baq.planning.Sensitivity`), and the flip
    rate is the mean over inputs of ``Phi(-gap / sqrt(variance))``: any assignment of bits is forecast without
    trying it. From several starts, the layer gets more bits that lowers the forecast most for each bit of size; the
    best end is taken. Equal bits everywhere are among the starts, so that these are never better.

    Arguments:
        network: the float network, or what :func:`baq.planning.sensitivity` says of it.
        x: inputs without labels, shape (N, *); None with a sensitivity.
        mean_bits: bits of a weight in the mean that are not passed; or
        max_flip_rate: the forecast flip rate that is reached; one of the two is given.
        choices: bit widths that a layer may have, two or more.

    Raises:
        ValueError: where not just one of the two is given, for fewer choices or ones outside 2..16, or for a mean
            or rate that no assignment reaches.

    Example:
        >>> import torch
        >>> _ = torch.manual_seed(0)
        >>> model, x = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3)), torch.randn(64, 4)
        >>> found = allocate(model, x, mean_bits=4)
        >>> list(found.bits), found.mean_bits <= 4
        (['0', '2'], True)
    """
    if (mean_bits is None) == (max_flip_rate is None):
        raise ValueError("mean_bits and max_flip_rate are both given or both not: allowed is one")
    widths = _widths(choices)
    if max_flip_rate is None:
        _check_mean(mean_bits, widths)
    else:
        check_inner(max_flip_rate=max_flip_rate)
    known = as_sensitivity(network, x, draws=1)
    gap, spread = (part.double().cpu().numpy() for part in (known.gaps[:, 0], known.variances))
    squares = np.array([known.steps(b).square().cpu().numpy() for b in widths])  # (choices, L)
    layers = np.arange(len(known.layers))

    def rate(at: np.ndarray) -> float:
        deviation = np.sqrt(squares[at, layers] @ spread)
        moved = deviation > 0  # without a spread no label changes
        return float(ndtr(-gap[moved] / deviation[moved]).sum() / len(gap))

    at, least = _best(rate, known.weights, widths, mean_bits or math.inf, max_flip_rate or 0.0)
    if max_flip_rate is not None and least > max_flip_rate:
        raise ValueError(
            f"max_flip_rate is {max_flip_rate!r}: with {widths[-1]} bits everywhere {least:.2g} is forecast"
        )
    each = np.array(widths)[at]
    bits = dict(zip(known.layers, each.tolist(), strict=True))
    return Allocation(bits, known.mean_bits(bits), least)


def allocate_by(network: nn.Module, scores: pd.DataFrame, mean_bits: float) -> dict[str, int]:
    """Bits for each layer that lower a sum of scores most, by the same steps as :func:`allocate`.

    Arguments:
        network: the float network.
        scores: a row for each layer by name, and a column for each bit width that it may have, as in
            :mod:`baq.planning.rivals`.
        mean_bits: bits of a weight in the mean that are not passed.

    Raises:
        ValueError: for rows other than the layers, columns other than bit widths, scores that are not finite, or a
            mean below all of them.

    Example:
        >>> model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4))
        >>> scores = pd.DataFrame({2: [9.0, 2.0], 4: [1.0, 1.0]}, index=["0", "2"])
        >>> allocate_by(model, scores, mean_bits=3)
        {'0': 4, '2': 2}
    """
    layers = quantized_layers(network)
    if list(scores.index) != list(layers):
        raise ValueError(f"scores are of {list(scores.index)}: allowed are {list(layers)}")
    widths = _widths(list(scores))
    _check_mean(mean_bits, widths)
    table, rows = scores[widths].to_numpy(dtype=float), np.arange(len(layers))
    if not np.isfinite(table).all():
        raise ValueError(f"scores hold {table[~np.isfinite(table)][0]}: allowed are finite numbers")
    weights = [layer.weight.numel() for layer in layers.values()]
    at, _ = _best(lambda at: float(table[rows, at].sum()), weights, widths, mean_bits, -math.inf)
    return dict(zip(layers, np.array(widths)[at].tolist(), strict=True))


def stored_bytes(network: nn.Module, bits: Bits, *, per_channel: bool = False) -> float:
    """Bytes of the quantized weights, and of their scales in four bytes each; all else stays as it is.

    Arguments:
        network: the float network.
        bits: one bit width, or one for each layer by name.
        per_channel: one scale for each output channel, else one for each layer.

    Raises:
        ValueError: as :func:`baq.quantization.bits_by_layer`.

    Example:
        >>> stored_bytes(nn.Linear(100, 10), 4), stored_bytes(nn.Linear(100, 10), 4, per_channel=True)
        (504.0, 540.0)
    """
    widths, layers = bits_by_layer(network, bits), quantized_layers(network)
    sizes = [
        widths[name] * layer.weight.numel() / 8
        + 4 * (len(by_output(layer, layer.weight)) if per_channel else 1)
        for name, layer in layers.items()
    ]
    return float(sum(sizes))


def _widths(choices: Sequence[int]) -> list[int]:
    listed = isinstance(choices, Sequence) and not isinstance(choices, str)
    widths = sorted(set(choices)) if listed else []
    if not listed or len(widths) < max(2, len(choices)):
        raise ValueError(f"choices are {choices!r}: allowed are two bit widths or more, each once")
    for width in widths:
        check_whole(2, 16, choices=width)
    return [int(width) for width in widths]


def _check_mean(mean_bits: float | None, widths: Sequence[int]) -> None:
    if not is_real(mean_bits) or not mean_bits >= widths[0]:  # type: ignore[operator]
        raise ValueError(
            f"mean_bits is {mean_bits!r}: the choices reach {widths[0]} to {widths[-1]}"
        )


def _best(
    total: Callable[[np.ndarray], float],
    weights: Sequence[int],
    widths: Sequence[int],
    mean_bits: float,
    goal: float,
) -> tuple[np.ndarray, float]:
    """Places of the layers' bits among the widths, and the total there: the best of :func:`_greedy`'s ends.

    It starts at equal bits everywhere, as many as fit; and with those of the largest layer alone, which small layers
    must not take the room from. Of ends that reach the goal the smallest is best, of others the least total.
    """
    size = np.array(weights, dtype=float)
    most, each = mean_bits * size.sum() + 1e-9, np.array(widths)
    starts = [np.full(len(size), k) for k in range(len(widths))]
    starts += [np.where(np.arange(len(size)) == size.argmax(), k, 0) for k in range(1, len(widths))]
    ends = [
        _greedy(total, size, each, start, most, goal)
        for start in starts
        if each[start] @ size <= most
    ]

    def order(end: tuple[np.ndarray, float]) -> tuple[bool, float, float]:
        at, now = end
        bits = float(each[at] @ size)
        return (False, bits, now) if now <= goal else (True, now, bits)

    return min(ends, key=order)


def _greedy(
    total: Callable[[np.ndarray], float],
    size: np.ndarray,
    widths: np.ndarray,
    at: np.ndarray,
    most: float,
    goal: float,
) -> tuple[np.ndarray, float]:
    """From a start the layer takes the step that lowers the total most for each bit of size.

    Until none fits into the most bits, or the total has reached the goal. A step may have to be several widths long
    to pay.
    """
    room, now = most - widths[at] @ size, total(at)
    while now > goal:
        best = None
        for k in range(len(size)):
            for up in range(at[k] + 1, len(widths)):
                cost = (widths[up] - widths[at[k]]) * size[k]
                if cost > room:
                    break
                moved = at.copy()
                moved[k] = up
                found = total(moved)
                if best is None or (now - found) / cost > best[0]:
                    best = (now - found) / cost, moved, found, cost
        if best is None or best[0] <= 0:
            break
        _, at, now, cost = best
        room -= cost
    return at, now
