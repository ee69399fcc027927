"""The search for one layer's rounding, longer and longer until that no longer pays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from baq.rounding.descent import descend, descend_pairs, neighbours, rounded_layer

__all__ = ["Search", "round_layer"]

# All set by the loss alone.
_FIRST = 100  # steps of the first run
_WEIGHT = 0.02, 2.0  # of the pull to the roundings, at the first step and the last
_ENOUGH = 0.01  # share of the loss by which a run of twice the steps must lower it


@dataclass(frozen=True)
class Search:
    """What :func:`round_layer` returns.

    ``value`` is the rounded weight; ``loss`` its loss, less that of the best weights of any value, which
    is ``E|V a - W a|^2`` of a layer that sees the float network's inputs and keeps all outputs alike;
    ``steps`` those of the longest run, and ``converged`` whether it gained less than a hundredth over the
    one of half as many.
    """

    value: Tensor
    loss: float
    steps: int
    converged: bool


def round_layer(
    weight: Tensor, bits: int, gram: Tensor, target: Tensor, outputs: Tensor, *,
    per_channel: bool = False, steps: int = 200,
) -> Search:  # fmt: skip
    """Lower ``tr(B V A V') - 2 tr(B V T')`` over the roundings V of a weight.

    A run takes a number of steps (:class:`_Splitting`), then descends, so that no change of a weight helps,
    and hardly any of two of one output. Each further run takes twice as many steps, until one lowers the
    loss by less than a hundredth or the next would take more than ``steps``. The best of all runs is kept.

    Arguments:
        weight, bits, gram, target, outputs, per_channel: as for :func:`baq.rounding.descent.rounded_layer`.
        steps: the most steps of a run.
    """
    length, last = min(_FIRST, steps), None
    best = _best_weights(gram, target)
    near = tuple(w.flatten(1) for w in neighbours(weight, bits, per_channel=per_channel))
    splitting = _Splitting(near, best, gram, outputs)
    while True:
        start = splitting.run(length).reshape(weight.shape)
        layer = rounded_layer(weight, start, bits, gram, target, outputs, per_channel=per_channel)
        descend([layer])
        descend_pairs(layer)
        value = layer.weight(weight)
        loss = _loss(value.flatten(1) - best, gram, outputs)
        converged = last is not None and last.loss - loss < _ENOUGH * last.loss
        if last is not None and last.loss <= loss:
            value, loss = last.value, last.loss
        last = Search(value, loss, length, converged)
        if converged or 2 * length > steps:
            return last
        length *= 2


def _best_weights(gram: Tensor, target: Tensor) -> Tensor:
    """``T A^-1``, the weights of any value with the least loss, whatever B."""
    gram, target = gram.double(), target.double()
    pull = 1e-9 * gram.diagonal().mean().clamp(min=1e-300)
    gram = gram + pull * torch.eye(len(gram)).to(gram)
    factor, failed = torch.linalg.cholesky_ex(gram)
    if failed:  # rounding errors of the sums may leave a negative eigenvalue
        return torch.linalg.solve(gram, target.T).T
    return torch.cholesky_solve(target.T, factor).T


def _loss(change: Tensor, gram: Tensor, outputs: Tensor) -> float:
    return float(((outputs.to(change) @ change @ gram.to(change)) * change).sum())


class _Splitting:
    """The loss and the roundings, each minimized in turn: ADMM with a discrete set.

    As Takapoui, Moehle, Boyd, Bemporad 2017 (arXiv:1509.08416) have it for quadratic programs in integers. A
    step minimizes the loss plus a pull to the last roundings, over weights of any value, and rounds what it
    finds plus the sum of all changes that rounding made so far. The pull grows from step to step. In the
    eigenvectors of A and B, both scaled to a diagonal of 1, the first half of a step is a division.

    Arguments:
        near: the two neighbours of each weight and the nearer one, each of shape (out, in).
        best: the weights of any value with the least loss.
        gram, outputs: A and B.
    """

    def __init__(
        self, near: tuple[Tensor, ...], best: Tensor, gram: Tensor, outputs: Tensor
    ) -> None:
        dtype = torch.promote_types(gram.dtype, torch.float32)
        within, self._inputs, inputs = _eigen(gram.to(dtype))
        across, self._outputs, scale = _eigen(outputs.to(dtype))
        self._below, self._above, _ = near
        scale = scale[:, None] * inputs
        low, high, start = ((w - best).to(dtype) * scale for w in near)
        self._low, self._high, self._start, self._middle = low, high, start, (low + high) / 2
        self._curvature = across[:, None] * within
        self._back = tuple(None if q is None else q.T for q in (self._outputs, self._inputs))

    def run(self, steps: int) -> Tensor:
        """The roundings after a number of steps, shape (out, in); with none the nearest ones."""
        rounded, rest = self._start, torch.zeros_like(self._start)
        up = rounded == self._high
        for pull in np.geomspace(*_WEIGHT, steps):
            free = _turned(rounded - rest, self._outputs, self._inputs)
            free *= pull / (self._curvature + pull)
            free = _turned(free, *self._back) + rest
            up = free >= self._middle
            rounded = torch.where(up, self._high, self._low)
            rest = free - rounded
        return torch.where(up, self._above, self._below)


def _turned(x: Tensor, left: Tensor | None, right: Tensor | None) -> Tensor:
    """``left' x right``, None standing for the identity."""
    x = x if right is None else x @ right
    return x if left is None else left.T @ x


def _eigen(matrix: Tensor) -> tuple[Tensor, Tensor | None, Tensor]:
    """Eigenvalues and eigenvectors of a matrix scaled to a diagonal of 1, and the root of its diagonal.

    None stands for the eigenvectors of a diagonal matrix.
    """
    diagonal = matrix.diagonal()
    scale = torch.where(diagonal > 0, diagonal, 1).sqrt()
    matrix = matrix / scale[:, None] / scale
    if bool((matrix == torch.diag(matrix.diagonal())).all()):
        return matrix.diagonal(), None, scale
    values, vectors = torch.linalg.eigh(matrix)
    return values.clamp(min=0), vectors, scale
