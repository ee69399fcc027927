"""Points near the decision boundary and on it."""

from __future__ import annotations

import torch
from torch import Tensor

from baq.arguments import check_seed, check_share, check_whole
from baq.inference import (
    Classifier,
    as_tensor,
    bisect,
    check_logits,
    check_points,
    labels,
    logits,
    place,
)
from baq.local import margins

__all__ = [
    "boundary_points",
    "low_margin_points",
    "sample_boundary",
]


def sample_boundary(
    model: Classifier,
    x: Tensor,
    count: int,
    share: float = 0.5,
    seed: int = 0,
    *,
    z: Tensor | None = None,
) -> Tensor:
    """Points near the boundary and on it, one kind and then the other, shape (about count, *).

    Arguments:
        model: the classifier.
        x: inputs, shape (N, *).
        count: number of points; fewer where x holds fewer inputs of low margin.
        share: share of the points that :func:`boundary_points` finds; the others are the inputs with
            the lowest margins.
        seed: seed of the boundary points.
        z: the classifier's logits at x, if they have been computed already.

    Raises:
        ValueError: for a share outside 0..1, a count below 1, or as the two functions.
    """
    check_share(zero=True, share=share)
    check_whole(count=count)
    x, bisected = check_points(x), round(share * count)
    z = _known(model, x, 100, z)
    parts = []
    if count > bisected:
        parts.append(low_margin_points(model, x, min(count - bisected, len(x)), z=z))
    if bisected:
        parts.append(boundary_points(model, x, bisected, seed=seed, z=z))
    return torch.cat(parts)


def _known(model: Classifier, x: Tensor, batch_size: int, z: Tensor | None) -> Tensor:
    return (
        logits(model, x, batch_size) if z is None else check_logits(as_tensor(z, "logits"), len(x))
    )


def low_margin_points(
    model: Classifier, x: Tensor, count: int, batch_size: int = 100, *, z: Tensor | None = None
) -> Tensor:
    """The ``count`` inputs with the lowest margins, shape (count, *); ties go to the lower index.

    ``z`` are the classifier's logits at x, if they have been computed already.

    Raises:
        ValueError: for a count outside 1..N, or as :func:`baq.inference.logits`.
    """
    x = check_points(x)
    z = _known(model, x, batch_size, z)
    check_whole(1, len(x), count=count)
    return x[lowest_margins(z, count).to(x.device)]


def lowest_margins(z: Tensor, count: int) -> Tensor:
    """Indices of the lowest margins of logits (N, K), shape (count,); ties go to the lower index."""
    return margins(z).argsort(stable=True)[:count]


@torch.no_grad()
def boundary_points(
    model: Classifier,
    x: Tensor,
    count: int,
    *,
    steps: int = 10,
    seed: int = 0,
    batch_size: int = 100,
    z: Tensor | None = None,
) -> Tensor:
    """Points on the decision boundary, each by bisection between two inputs of different label.

    Arguments:
        model: the classifier.
        x: inputs, shape (N, *), of which the classifier gives at least two labels.
        count: number of points.
        steps: halvings; a point is within ``2^-(steps+1)`` of its pair's distance from a boundary.
        seed: seed of the draw of pairs.
        batch_size: inputs per pass.
        z: the classifier's logits at x, if they have been computed already.

    Returns:
        Points, shape (count, *).

    Raises:
        ValueError: for a count or steps below 1, or inputs that all have one label.
    """
    check_whole(count=count, steps=steps)
    check_seed(seed=seed)
    model, x = place(model), check_points(x)
    x = x if x.is_floating_point() else x.float()
    known = labels(_known(model, x, batch_size, z)).cpu()
    if len(known.unique()) < 2:
        raise ValueError("all inputs have one label: allowed are inputs of two labels or more")
    generator = torch.Generator().manual_seed(seed)
    first = torch.randint(len(x), (count,), generator=generator)
    second = first.clone()
    while (same := known[first] == known[second]).any():
        drawn = torch.randint(len(x), (int(same.sum()),), generator=generator)
        second[same] = drawn
    a, b = x[first], x[second]

    def at(position: Tensor) -> Tensor:
        weight = position.to(x).reshape(count, *(1,) * (x.ndim - 1))
        return torch.lerp(a, b, weight.expand_as(a))

    return at(bisect(model, at, known[first], steps, batch_size))
