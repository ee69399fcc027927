"""Coordinate descent over roundings: which of its two neighbours on the grid each weight goes to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from baq.quantization import weight_grid

__all__ = ["RoundedLayer", "descend", "neighbours", "rounded_layer"]


def neighbours(
    weight: Tensor, bits: int, *, per_channel: bool = False
) -> tuple[Tensor, Tensor, Tensor]:
    """The two values of a weight's grid around it, and the nearer one, each of the weight's shape.

    The grid is that of :func:`baq.quantization.weight_grid`, and the nearer value that of
    :func:`baq.quantization.quantize`. Where a weight is the grid's largest value, both neighbours
    are that value.
    """
    grid = weight_grid(weight, bits, per_channel=per_channel)
    weight = weight.detach()
    below = torch.floor(weight * (1 / grid.scale)).clamp(grid.low, grid.high)
    above = (below + 1).clamp(max=grid.high)
    return grid.values(below), grid.values(above), grid.values(grid.codes(weight))


@dataclass
class RoundedLayer:
    """One layer of the loss that :func:`descend` lowers, and where the descent stands.

    ``below`` and ``above`` are the neighbours of its weight, ``value`` the one taken, called V below,
    and ``step`` what a change to the other one adds, each (out, in). ``gram`` is A, (in, in);
    ``outputs`` is B, (out, out); ``slope`` is ``V A - T``, (out, in); ``rows`` holds the gradients of
    the exact shape, (in, m, out), and ``squares`` the sums of their squares, (out, in), or both None.
    ``apart`` says that B is diagonal.
    """

    below: np.ndarray
    above: np.ndarray
    value: np.ndarray
    step: np.ndarray
    gram: np.ndarray
    outputs: np.ndarray
    slope: np.ndarray
    rows: np.ndarray | None
    squares: np.ndarray | None

    def __post_init__(self) -> None:
        self.apart = bool((self.outputs == np.diag(self.outputs.diagonal())).all())

    def weight(self, like: Tensor) -> Tensor:
        """The rounded weight in the shape, dtype and place of another; each value is on the grid."""
        # The descent adds steps; this takes off what their sums lost in the last digits.
        low = np.abs(self.value - self.below) <= np.abs(self.value - self.above)
        value = torch.from_numpy(np.where(low, self.below, self.above))
        return value.to(like).reshape(like.shape)


def rounded_layer(
    weight: Tensor,
    start: Tensor,
    bits: int,
    gram: Tensor,
    target: Tensor,
    outputs: Tensor,
    *,
    per_channel: bool = False,
    rows: Tensor | None = None,
) -> RoundedLayer:
    """A layer of the loss, with its weight at a rounding to start from.

    Arguments:
        weight: the float weight, shape (out, ...), whose neighbours are allowed.
        start: a rounding of it, as :func:`neighbours` returns them.
        bits, per_channel: the grid.
        gram, target: A and T as :meth:`baq.rounding.statistics.Calibration.moments` returns them.
        outputs: B, shape (out, out).
        rows: see :class:`RoundedLayer`.
    """
    below, above, _ = neighbours(weight, bits, per_channel=per_channel)
    other = torch.where((start - below).abs() < (start - above).abs(), above, below)
    value = start.flatten(1)
    tensors = (below, above, start, other - start)
    flat = [t.detach().flatten(1).cpu().numpy().copy() for t in tensors]
    moments = [t.detach().cpu().numpy().copy() for t in (gram, outputs, value @ gram - target)]
    squares = None
    if rows is not None:
        rows = rows.cpu().numpy()
        squares = np.einsum("imo,imo->oi", rows, rows)
    return RoundedLayer(*flat, *moments, rows, squares)


def descend(
    layers: Sequence[RoundedLayer],
    offset: np.ndarray | None = None,
    exact: float = 0.0,
    sweeps: int = 20,
) -> None:
    """Lower a quadratic loss of the weights, one weight at a time.

    ``sum_l [tr(B V A V') - 2 tr(B V T')] + exact mean_n e_n^2``, where e, the offset, grows by
    ``sum_l <rows_l, change of V_l>``.

    Sweeps over the columns of every layer, from the second on over those in which some weight's other
    neighbour lowers the loss when the layer's turn comes. Within a column, the weight whose other
    neighbour lowers it most changes, until none would. The loss falls with each change, so this ends;
    ``sweeps`` bounds it all the same. Layers and offset change in place.

    Arguments:
        layers: the layers, each with ``rows`` where ``exact`` is above 0.
        offset: e, shape (m,).
        exact: weight of the second term.
        sweeps: the largest number of sweeps.
    """
    if exact:
        exact /= len(offset)
    for sweep in range(sweeps):
        changes = 0
        for layer in layers:
            every = np.arange(layer.step.shape[1])
            for j in _open(layer, offset, exact) if sweep else every:
                changes += _column(layer, j, offset, exact)
        if not changes:
            return


#: A gain below this share of what the squared step adds is less than the rounding errors of its sums.
_NO_GAIN = 1e-6


def _open(layer: RoundedLayer, offset: np.ndarray | None, exact: float) -> np.ndarray:
    """The columns in which some weight's other neighbour lowers the loss now."""
    gradient = 2 * (layer.outputs @ layer.slope)
    curvature = np.outer(layer.outputs.diagonal(), layer.gram.diagonal())
    if exact:
        gradient += 2 * exact * (offset @ layer.rows).T
        curvature += exact * layer.squares
    gain = layer.step * (gradient + layer.step * curvature)
    return np.flatnonzero((gain < -_NO_GAIN * layer.step**2 * curvature).any(axis=0))


def _column(layer: RoundedLayer, j: int, offset: np.ndarray | None, exact: float) -> int:
    """Round the weights of one column anew; returns how many changed."""
    step = layer.step[:, j]  # a view: changes go to the layer
    scale = layer.gram[j, j]
    diagonal, slope = layer.outputs.diagonal(), layer.slope[:, j]
    gradient = 2 * (diagonal * slope if layer.apart else layer.outputs @ slope)
    curvature = scale * diagonal
    if layer.apart and not exact:
        # No output knows of another, so that the order does not matter: all at once.
        gain = step * (gradient + step * curvature)
        k = np.flatnonzero(gain < -_NO_GAIN * step**2 * curvature)
        layer.slope[k] += step[k, None] * layer.gram[j]
        layer.value[k, j] += step[k]
        step[k] = -step[k]
        return len(k)
    if exact:
        rows = layer.rows[j]
        gradient += 2 * exact * (offset @ rows)
        curvature = curvature + exact * layer.squares[:, j]
    changes = 0
    while changes < 4 * len(step):
        gain = step * (gradient + step * curvature)
        k = int(gain.argmin())
        if gain[k] >= -_NO_GAIN * step[k] ** 2 * curvature[k]:
            break
        change = step[k]
        gradient += 2 * change * scale * layer.outputs[:, k]
        if exact:
            gradient += 2 * change * exact * (rows[:, k] @ rows)
            offset += change * rows[:, k]
        layer.slope[k] += change * layer.gram[j]
        layer.value[k, j] += change
        step[k] = -change
        changes += 1
    return changes
