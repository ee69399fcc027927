"""AdaRound's relaxation, to hold the search against (Nagel et al. 2020, arXiv:2004.10568, equations 21 to 24)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from baq.arguments import check_whole
from baq.inference import gradients
from baq.rounding.descent import neighbours, squared_error

__all__ = ["relaxed_layer"]

_STRETCH = -0.1, 1.1  # zeta and gamma: the range of the sigmoid before it is cut to 0 and 1
_WARM = 0.2  # share of the steps before the penalty sets in
_POWER = 20.0, 2.0  # beta, from the first step with the penalty to the last


@gradients()
def relaxed_layer(
    weight: Tensor,
    bits: int,
    gram: Tensor,
    *,
    steps: int = 10000,
    penalties: Sequence[float] = (1.0, 10.0, 100.0),
    rate: float = 0.01,
) -> Tensor:
    """Lower ``tr((V - W) A (V - W)')`` over roundings V by weights between their neighbours, and Adam.

    Each weight is its lower neighbour plus a stretched sigmoid of a number times the step; a penalty on what
    lies between draws the sigmoids to 0 or 1. The paper draws batches; here A stands for all inputs, so that a
    step has the whole gradient. Of several weights of the penalty the one that ends lowest is kept.

    Arguments:
        weight: W, shape (out, ...).
        bits: of its grid, one scale for the tensor.
        gram: A, shape (in, in).
        steps: of Adam.
        penalties: weights of the penalty's mean, in units of the loss that the nearest values leave.
        rate: Adam's step size.

    Returns:
        The rounded weight, of W's shape.

    Example:
        >>> weight = torch.tensor([[1.0, 0.4]])
        >>> gram = torch.tensor([[1.0, 1.0], [1.0, 1.1]])
        >>> relaxed_layer(weight, 2, gram, steps=200).tolist()
        [[1.0, 0.0]]
    """
    check_whole(steps=steps)
    wanted = weight.detach().flatten(1)
    low, high, near = (w.flatten(1) for w in neighbours(weight, bits))
    gram, step = gram.to(wanted), high - low

    def loss(value: Tensor) -> Tensor:
        return squared_error(value - wanted, gram)

    unit, found = loss(near).clamp(min=1e-30), [near]
    share = torch.where(step > 0, (wanted - low) / step, 0.5).clamp(1e-4, 1 - 1e-4)
    start, stop = _STRETCH
    for penalty in penalties:
        number = torch.logit((share - start) / (stop - start)).requires_grad_()
        optimizer = torch.optim.Adam([number], lr=rate)

        def relaxed(number: Tensor) -> Tensor:
            return (torch.sigmoid(number) * (stop - start) + start).clamp(0, 1)

        for k in range(steps):
            up = relaxed(number)
            total = loss(low + step * up) / unit
            late = (k / steps - _WARM) / (1 - _WARM)
            if late >= 0:
                power = _POWER[0] + late * (_POWER[1] - _POWER[0])
                total = total + penalty * (1 - (2 * up - 1).abs() ** power).mean()
            optimizer.zero_grad()
            total.backward()
            optimizer.step()
        found.append(torch.where(relaxed(number.detach()) >= 0.5, high, low))
    return min(found, key=lambda value: float(loss(value))).reshape(weight.shape)
