"""The search for one layer's rounding, longer and longer until that no longer pays."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from baq.rounding.descent import descend, descend_pairs, neighbours, rounded_layer

__all__ = ["Search", "round_layer"]

# All set by the loss alone.
_RATE = 0.1  # step size of Adam; a weight's two neighbours are 2 apart
_BETAS = 0.9, 0.9  # of Adam: a short memory of squares keeps its steps large, and finds more
_CONCAVE = 0.75  # share of the curvature that is gone in the end
_FIRST = 250  # steps of the first run
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
    per_channel: bool = False, steps: int = 500,
) -> Search:  # fmt: skip
    """Lower ``tr(B V A V') - 2 tr(B V T')`` over the roundings V of a weight.

    A run takes a number of steps; each further run takes twice as many, until one lowers the loss by less
    than a hundredth or the next would take more than ``steps``. The best of all runs is kept.

    Arguments:
        weight, bits, gram, target, outputs, per_channel: as for :func:`baq.rounding.descent.rounded_layer`.
        steps: the most steps of a run.
    """
    length, last = min(_FIRST, steps), None
    best = _best_weights(gram, target)
    while True:
        value = _run(weight, bits, gram, target, outputs, per_channel, length)
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


def _run(
    weight: Tensor, bits: int, gram: Tensor, target: Tensor, outputs: Tensor, per_channel: bool,
    steps: int,
) -> Tensor:  # fmt: skip
    """One run of the search, from the float weight.

    Graduated non-convexity (Blake, Zisserman 1987). Each weight lies between its neighbours, at -1 to
    1, and a growing share of the loss's curvature along each weight is taken away: with none taken the
    loss is convex, with all taken every minimum is a rounding. Adam follows the minimum with all
    weights at once. Descent comes last, so that no change of a weight helps, and hardly any of two of
    one output.
    """
    below, above = (w.flatten(1) for w in neighbours(weight, bits, per_channel=per_channel)[:2])
    half, middle = (above - below) / 2, (above + below) / 2
    curvature = 2 * half.square() * torch.outer(outputs.diagonal(), gram.diagonal())
    # Some weights have one neighbour only, and some inputs are always 0: nothing moves those.
    curvature = torch.where(curvature > 0, curvature, 1)
    x = torch.where(half > 0, (weight.flatten(1) - middle) / half, 0).clamp_(-1, 1)
    # The fused Adam takes gradients by their place in memory, and the weights of a convolution may lie
    # there with the channels last.
    x, unit = x.contiguous(), 2 * half / curvature
    apart = bool((outputs == torch.diag(outputs.diagonal())).all())
    optimizer = torch.optim.Adam([x], _RATE, _BETAS, eps=1e-3, fused=True)
    for step in range(steps):
        slope = torch.addmm(target, torch.addcmul(middle, half, x), gram, beta=-1)
        slope = outputs.diagonal()[:, None] * slope if apart else outputs @ slope
        x.grad = slope.mul_(unit).sub_(x, alpha=_CONCAVE * step / steps).contiguous()
        optimizer.step()
        x.clamp_(-1, 1)
    start = torch.where(x < 0, below, above).reshape(weight.shape)
    layer = rounded_layer(weight, start, bits, gram, target, outputs, per_channel=per_channel)
    descend([layer])
    descend_pairs(layer)
    return layer.weight(weight)
