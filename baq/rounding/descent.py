"""Coordinate descent over roundings: each weight goes to one of its two neighbours on the grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from baq.adapters.outputs import to_array
from baq.quantization import weight_grid

__all__ = [
    "RoundedLayer",
    "array",
    "descend",
    "descend_pairs",
    "neighbours",
    "rounded_layer",
    "squared_error",
]


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
    below = torch.floor(grid.steps(weight)).clamp(grid.low, grid.high)
    codes = below, (below + 1).clamp(max=grid.high), grid.codes(weight)
    low, high, nearest = (grid.values(code) for code in codes)
    return low, high, nearest


def squared_error(change: Tensor, gram: Tensor) -> Tensor:
    """``tr(D A D')``, the mean squared change of a layer's outputs, for D (out, in) and A (in, in)."""
    return ((change @ gram) * change).sum()


def array(values: Tensor) -> np.ndarray:
    """A copy as a NumPy array, see :func:`baq.adapters.outputs.to_array`."""
    return to_array(values).copy()


@dataclass
class RoundedLayer:
    """One layer of the loss that :func:`descend` lowers, and the state of the descent.

    ``below`` and ``above`` are the neighbours of its weight, ``value`` the one taken, called V below,
    and ``step`` what a change to the other one adds, each (out, in). ``gram`` is A, (in, in);
    ``outputs`` is B, (out, out); ``slope`` is ``V A - T``, (out, in); ``rows`` holds the gradients of
    the exact shape, (in, m, out), with m = 0 where it is not taken, and ``squares`` the sums of their
    squares, (out, in).
    ``apart`` says that B is diagonal.
    """

    below: np.ndarray
    above: np.ndarray
    value: np.ndarray
    step: np.ndarray
    gram: np.ndarray
    outputs: np.ndarray
    slope: np.ndarray
    rows: np.ndarray
    squares: np.ndarray

    def __post_init__(self) -> None:
        self.apart = bool((self.outputs == np.diag(self.outputs.diagonal())).all())

    def weight(self, like: Tensor) -> Tensor:
        """The rounded weight in the shape, dtype and place of another; each value is on the grid."""
        # The descent adds steps; this removes their rounding errors.
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
        gram, target: A and T as :meth:`baq.rounding.statistics.Statistics.moments` returns them.
        outputs: B, shape (out, out).
        rows: see :class:`RoundedLayer`.
    """
    below, above, _ = neighbours(weight, bits, per_channel=per_channel)
    other = torch.where((start - below).abs() < (start - above).abs(), above, below)
    value = start.flatten(1)
    if rows is None:
        rows = value.new_zeros(value.shape[1], 0, len(value))

    gradients = array(rows)
    return RoundedLayer(
        below=array(below.flatten(1)),
        above=array(above.flatten(1)),
        value=array(value),
        step=array((other - start).flatten(1)),
        gram=array(gram),
        outputs=array(outputs),
        slope=array(value @ gram - target),
        rows=gradients,
        squares=np.einsum("imo,imo->oi", gradients, gradients),
    )


def descend(
    layers: Sequence[RoundedLayer],
    offset: np.ndarray | None = None,
    exact: float = 0.0,
    sweeps: int = 20,
) -> None:
    """Lower a quadratic loss of the weights, one weight at a time.

    ``sum_l [tr(B V A V') - 2 tr(B V T')] + exact mean_n e_n^2``, where e, the offset, grows by
    ``sum_l <rows_l, change of V_l>``.

    The first sweep takes every column of every layer; later ones only columns in which some weight's
    other neighbour lowers the loss when the layer's turn comes. Within a column, the weight whose other
    neighbour lowers it most changes, until none would. The loss falls with each change, so the descent ends;
    ``sweeps`` bounds it nevertheless. Layers and offset change in place.

    Arguments:
        layers: the layers, each with ``rows`` where ``exact`` is above 0.
        offset: e, shape (m,).
        exact: weight of the second term.
        sweeps: the largest number of sweeps.
    """
    errors = np.zeros(0) if offset is None else offset
    if exact:
        exact /= len(errors)
    for sweep in range(sweeps):
        changes = 0
        for layer in layers:
            every = np.arange(layer.step.shape[1])
            for j in _open(layer, errors, exact) if sweep else every:
                changes += _column(layer, int(j), errors, exact)
        if not changes:
            return


#: A gain below this share of the squared step's term is within the rounding errors of its sums.
_NO_GAIN = 1e-6


def _open(layer: RoundedLayer, offset: np.ndarray, exact: float) -> np.ndarray:
    """The columns in which some weight's other neighbour lowers the loss now."""
    gradient = 2 * (layer.outputs @ layer.slope)
    curvature = np.outer(layer.outputs.diagonal(), layer.gram.diagonal())
    if exact:
        gradient += 2 * exact * (offset @ layer.rows).T
        curvature += exact * layer.squares
    gain = layer.step * (gradient + layer.step * curvature)
    return np.flatnonzero((gain < -_NO_GAIN * layer.step**2 * curvature).any(axis=0))


def _column(layer: RoundedLayer, j: int, offset: np.ndarray, exact: float) -> int:
    """Round the weights of one column anew; returns the number that changed."""
    step = layer.step[:, j]  # a view: changes go to the layer
    scale = layer.gram[j, j]
    diagonal, slope = layer.outputs.diagonal(), layer.slope[:, j]
    gradient = 2 * (diagonal * slope if layer.apart else layer.outputs @ slope)
    curvature = scale * diagonal
    if layer.apart and not exact:
        # No output depends on another, so the order does not matter: all at once.
        gain = step * (gradient + step * curvature)
        better = np.flatnonzero(gain < -_NO_GAIN * step**2 * curvature)
        layer.slope[better] += step[better, None] * layer.gram[j]
        layer.value[better, j] += step[better]
        step[better] = -step[better]
        return len(better)
    rows = layer.rows[j]
    if exact:
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


#: How many weights of one output are paired: those whose own change costs least.
_PAIRED = 128
#: How often all outputs take their turn; where B is diagonal once is enough.
_TURNS = 2


def descend_pairs(layer: RoundedLayer) -> None:
    """Lower the quadratic loss of one layer further, by changes of one weight or two of one output.

    Inputs that go together leave roundings that no single change improves: one weight up and another
    down does. Outputs take turns, and within an output changes go from the best one on, until no
    weight alone and no pair among the ``128`` that cost least alone lowers the loss.
    """
    for _ in range(1 if layer.apart else _TURNS):
        if not sum(_pairs(layer, o) for o in range(len(layer.step))):
            return


def _pairs(layer: RoundedLayer, o: int) -> int:
    """Round the weights of one output anew; returns the number of changes."""
    step, gram, scale = layer.step[o], layer.gram, layer.outputs[o, o]  # changes go to the layer
    curvature = scale * gram.diagonal()
    alone = step * (2 * (layer.outputs[o] @ layer.slope) + step * curvature)
    alone[step == 0] = np.inf
    least = _NO_GAIN * step**2 * curvature

    def gain(i: int, j: int) -> float:
        return (
            alone[i] if i == j else alone[i] + alone[j] + 2 * scale * step[i] * step[j] * gram[i, j]
        )

    changes = 0
    while changes < 4 * len(step):
        near = np.argsort(alone, kind="stable")[:_PAIRED]
        both = (2 * scale * step[near])[:, None] * step[near] * gram[np.ix_(near, near)]
        both += alone[near][:, None] + alone[near]
        np.fill_diagonal(both, alone[near])
        partner, gains = near[both.argmin(axis=1)], both.min(axis=1)
        order = gains.argsort(kind="stable")
        order = order[gains[order] < 0]
        before = changes
        for i, j in zip(near[order], partner[order], strict=True):
            if gain(i, j) >= -least[i] - least[j]:  # a change before it may have spoiled it
                continue
            for k in {i, j}:
                here, change = alone[k], step[k]
                alone += 2 * scale * change * step * gram[k]
                alone[k], step[k] = -here, -change
                layer.slope[o] += change * gram[k]
                layer.value[o, k] += change
                changes += 1
        if changes == before:
            break
    return changes
