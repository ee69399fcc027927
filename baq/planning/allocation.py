"""Bits by layer: each layer gets as many as its rounding errors turn decisions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr
from torch import Tensor, nn

from baq.arguments import check_whole, is_real
from baq.planning.sensitivity import Sensitivity, sensitivity

__all__ = ["Allocation", "allocate"]


@dataclass(frozen=True)
class Allocation:
    """Bits for each layer by name, their mean over weights, and the flip rate that is forecast for them."""

    bits: dict[str, int]
    mean_bits: float
    flip_rate: float


def allocate(
    network: nn.Module | Sensitivity,
    x: Tensor | None = None,
    *,
    mean_bits: float | None = None,
    max_flip_rate: float | None = None,
    choices: Sequence[int] = (2, 3, 4, 5, 6, 7, 8),
) -> Allocation:
    """Bits for each layer, so that the fewest decisions change for the size, or the size is least for so few.

    To first order the variance of a gap is a sum over layers (:class:`baq.planning.Sensitivity`), and the flip
    rate is the mean over inputs of ``Phi(-gap / sqrt(variance))``: any assignment of bits is forecast without
    trying it. All layers start at the fewest bits; then the layer gets its next choice that lowers the
    forecast most for each bit of size.

    Arguments:
        network: the float network, or what :func:`baq.planning.sensitivity` says of it.
        x: inputs without labels, shape (N, *); None with a sensitivity.
        mean_bits: bits of a weight in the mean that are not passed; or
        max_flip_rate: the forecast flip rate that is reached; one of the two is given.
        choices: bit widths that a layer may have.

    Raises:
        ValueError: where not just one of the two is given, for no choices or ones outside 2..16, or for a mean
            or rate that no assignment reaches.
    """
    if (mean_bits is None) == (max_flip_rate is None):
        raise ValueError("mean_bits and max_flip_rate are both given or both not: allowed is one")
    widths = sorted(set(choices)) if len(choices) else []
    if not widths or len(widths) < len(choices):
        raise ValueError(f"choices are {list(choices)}: allowed are bit widths, each once")
    for width in widths:
        check_whole(2, 16, choices=width)
    for name, value in {"mean_bits": mean_bits, "max_flip_rate": max_flip_rate}.items():
        if value is not None and (not is_real(value) or not value > 0):
            raise ValueError(f"{name} is {value!r}: allowed is above 0")
    if isinstance(network, Sensitivity):
        known = network
    else:
        if x is None:
            raise ValueError("x is None: allowed are inputs, or a sensitivity")
        known = sensitivity(network, x, draws=1)
    if mean_bits is not None and mean_bits < widths[0]:
        raise ValueError(
            f"mean_bits is {mean_bits!r}: the choices reach {widths[0]} to {widths[-1]}"
        )
    gap, spread = known.gaps[:, 0].cpu().numpy(), known.variances.cpu().numpy()
    factor = {b: 1 / (2.0 ** (b - 1) - 1) ** 2 for b in widths}
    size = np.array(known.weights, dtype=float)
    at = np.zeros(len(size), dtype=int)  # place of each layer's bits among the choices
    room = np.inf if mean_bits is None else mean_bits * size.sum()

    def rate(variance: np.ndarray) -> float:
        return float(ndtr(-gap / np.sqrt(np.maximum(variance, 1e-300))).mean())

    variance = sum(factor[widths[0]] * row for row in spread)
    now, used = rate(variance), widths[0] * size.sum()
    while max_flip_rate is None or now > max_flip_rate:
        best = None
        for k in np.flatnonzero(at < len(widths) - 1):
            # A step may have to be several choices long to pay.
            for up in range(at[k] + 1, len(widths)):
                cost = (widths[up] - widths[at[k]]) * size[k]
                if used + cost > room + 1e-9:
                    break
                moved = variance + (factor[widths[up]] - factor[widths[at[k]]]) * spread[k]
                found = rate(moved)
                gain = (now - found) / cost
                if best is None or gain > best[0]:
                    best = gain, k, up, moved, found, cost
        if best is None or (best[0] <= 0 and max_flip_rate is not None):
            break
        _, k, up, variance, now, cost = best
        at[k], used = up, used + cost
    if max_flip_rate is not None and now > max_flip_rate:
        raise ValueError(
            f"max_flip_rate is {max_flip_rate!r}: with {widths[-1]} bits everywhere {now:.2g} is forecast"
        )
    bits = {name: widths[a] for name, a in zip(known.layers, at, strict=True)}
    return Allocation(bits, float(used / size.sum()), now)
