"""Optimized rounding of one layer against AdaRound by mini-batches (Nagel et al. 2020, arXiv:2004.10568)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from baq.quantization import weight_grid
from baq.rounding import adaround
from baq.rounding.layers import patches
from baq.zoo import data
from benchmarks.maps import network
from benchmarks.race import Race

__all__ = ["minibatch_adaround", "objective", "races", "rounding_race"]

#: Bits, and by how much our objective may be worse.
BITS, WORSE = 4, 0.02


def objective(weight: Tensor, rounded: Tensor, x: Tensor) -> float:
    """Mean over inputs of ``||x (W - Q)^T||^2``: what AdaRound of a layer minimizes, equation 21."""
    return float((x.double() @ (weight - rounded).double().T).square().sum(dim=1).mean())


def minibatch_adaround(
    weight: Tensor,
    x: Tensor,
    scale: Tensor | float,
    limit: int,
    iterations: int = 2000,
    batch: int = 256,
    share: float = 0.01,
    seed: int = 0,
) -> Tensor:
    """AdaRound as the paper has it: Adam on batches of a layer's inputs, equations 21 to 25.

    Arguments:
        weight: (outputs, inputs).
        x: the layer's inputs on calibration data, (N, inputs).
        scale: quantization step.
        limit: largest level; levels are symmetric.
        iterations, batch: steps and points a step; a step size of 0.01, the regularizer's exponent
            from 20 to 2 after a warm-up of a fifth, as the authors do.
        share: weight of the regularizer. The authors' 0.01 suits outputs of size 1; larger ones ask
            for more.
        seed: seed of the batches.

    Returns:
        The rounded weights, of the shape of ``weight``.
    """
    zeta, gamma = 1.1, -0.1
    low = (weight / scale).floor()
    rest = (weight / scale - low).clamp(1e-4, 1 - 1e-4)
    v = torch.logit((rest - gamma) / (zeta - gamma)).requires_grad_()
    optimizer = torch.optim.Adam([v], lr=1e-2)
    generator = torch.Generator().manual_seed(seed)
    wanted = x @ weight.T
    warm = iterations // 5
    for step in range(iterations):
        rows = torch.randint(len(x), (batch,), generator=generator)
        h = (torch.sigmoid(v) * (zeta - gamma) + gamma).clamp(0, 1)
        q = scale * (low + h).clamp(-limit, limit)
        loss = (x[rows] @ q.T - wanted[rows]).square().sum(dim=1).mean()
        if step >= warm:
            beta = 2 + 18 * (1 - (step - warm) / (iterations - warm))
            loss = loss + share * (1 - (2 * h - 1).abs() ** beta).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    up = (torch.sigmoid(v.detach()) * (zeta - gamma) + gamma) >= 0.5
    return scale * (low + up).clamp(-limit, limit)


def rounding_race(layer: nn.Module, a: Tensor, work: str, iterations: int = 2000) -> Race:
    """One convolution or Linear layer at 4 bits, given its inputs ``a`` on calibration data."""
    x = patches(layer, a).transpose(1, 2).flatten(0, 1).contiguous()
    weight = layer.weight.detach().flatten(1)
    grid = weight_grid(layer.weight, BITS)

    def agree(ours: Sequence[nn.Module], peer: Sequence[Tensor]) -> tuple[str, bool]:
        share = max(
            objective(weight, one[0].weight.detach().flatten(1), x) / objective(weight, other, x)
            for one, other in zip(ours, peer, strict=True)
        )
        return f"objective {share:.3f} of the peer's", share <= 1 + WORSE

    return Race(
        work,
        f"{' x '.join(map(str, weight.shape))}, {len(a)} images",
        5,
        lambda _: adaround(nn.Sequential(layer), BITS, a),
        lambda k: minibatch_adaround(
            weight, x, grid.scale, int(grid.high), iterations, batch=32 * len(x) // len(a), seed=k
        ),
        agree,
    )


def races() -> Iterator[Race]:
    """The second convolution of the CNN on CIFAR-10."""
    model, images = network("cnn"), data.load("cifar10", train=256).x_train
    place = next(k for k, layer in enumerate(model) if k and isinstance(layer, nn.Conv2d))
    with torch.no_grad():
        a = model[:place](images)
    work = "AdaRound of one layer, 4 bits / by mini-batches of 32 images, 2000 steps"
    yield rounding_race(model[place], a, work)
