"""What other work gives bits to layers by: errors of weights, a Hessian's trace, errors of outputs.

Each is a table of scores for :func:`baq.planning.allocation.allocate_by`: a row for each layer, and a column for
each bit width.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pandas as pd
import torch
from torch import Tensor, nn

from baq.arguments import check_seed, check_whole
from baq.inference import batches, check_inputs, check_labels, evaluate, gradients, place
from baq.planning.allocation import CHOICES
from baq.quantization import quantize
from baq.rounding.layers import MatrixLayer, matrix_layers
from baq.rounding.statistics import Statistics

__all__ = ["hessian_trace", "output_error", "weight_error"]


def weight_error(network: nn.Module, widths: Sequence[int] = CHOICES) -> pd.DataFrame:
    """Sum of the squared rounding errors of a layer's weights.

    Raises:
        ValueError: as :func:`baq.rounding.layers.matrix_layers`, or for bit widths outside 2..16.
    """
    return _scores(network, widths, lambda name, layer, error: float(error.square().sum()))


def output_error(
    network: nn.Module, x: Tensor, widths: Sequence[int] = CHOICES, *, positions: int = 64
) -> pd.DataFrame:
    """Mean squared error of a layer's output where its weights alone are rounded, over its mean square.

    Arguments:
        network: the float network.
        x: inputs without labels, shape (N, *).
        widths: bit widths.
        positions: the most positions of a convolution's output that are looked at
            (:class:`baq.rounding.statistics.Statistics`).

    Raises:
        ValueError: as :func:`weight_error`, or for inputs that are empty or not finite.
    """
    known = Statistics(network, x, positions=positions)

    def score(name: str, layer: MatrixLayer, error: Tensor) -> float:
        gram = known.moments(name)[0]
        added, whole = (
            float(((w.flatten(1) @ gram) * w.flatten(1)).sum()) for w in (error, layer.weight)
        )
        return added / max(whole, 1e-30)

    return _scores(network, widths, score)


def hessian_trace(
    network: nn.Module,
    x: Tensor,
    y: Tensor,
    widths: Sequence[int] = CHOICES,
    *,
    probes: int = 8,
    seed: int = 0,
    batch_size: int = 100,
) -> pd.DataFrame:
    """Mean trace of the loss's Hessian in a layer's weights, times the sum of their squared rounding errors.

    The score of HAWQ-V2 (Dong et al. 2019, arXiv:1911.03852); the loss is the mean cross-entropy. Traces are
    Hutchinson's: the mean of ``v' H v`` over vectors v of random signs, one for all layers at once, whose
    parts in different layers are independent.

    Arguments:
        network: the float network.
        x, y: inputs, shape (N, *), and their labels, (N,).
        widths: bit widths.
        probes: vectors v.
        seed: of their signs.
        batch_size: inputs per pass.

    Raises:
        ValueError: as :func:`weight_error`, for inputs that are empty or not finite, labels that do not match,
            or counts below 1.
    """
    traces = hutchinson(network, x, y, probes=probes, seed=seed, batch_size=batch_size)
    return _scores(
        network,
        widths,
        lambda name, layer, error: (
            traces[name] / layer.weight.numel() * float(error.square().sum())
        ),
    )


@gradients()
def hutchinson(
    network: nn.Module, x: Tensor, y: Tensor, *, probes: int, seed: int = 0, batch_size: int = 100
) -> dict[str, float]:
    """Estimated trace of the Hessian of the mean cross-entropy in each layer's weight; see :func:`hessian_trace`."""
    check_whole(probes=probes)
    check_seed(seed=seed)
    model = place(network)
    x = check_inputs(model, x)
    classes = evaluate(model, x[:1]).shape[1]
    y = check_labels(y, len(x), classes).to(x.device)
    weights = {name: layer.weight for name, layer in matrix_layers(model).items()}
    generator = torch.Generator().manual_seed(seed)
    signs = [
        [(2 * torch.randint(2, w.shape, generator=generator) - 1).to(w) for w in weights.values()]
        for _ in range(probes)
    ]
    sums = torch.zeros(len(weights), dtype=torch.double)
    for part, truth in zip(batches(x, batch_size), batches(y, batch_size), strict=True):
        loss = nn.functional.cross_entropy(evaluate(model, part), truth, reduction="sum")
        slopes = torch.autograd.grad(loss, list(weights.values()), create_graph=True)
        for v in signs:
            along = torch.stack([(s * one).sum() for s, one in zip(slopes, v, strict=True)]).sum()
            curved = torch.autograd.grad(along, list(weights.values()), retain_graph=True)
            sums += torch.stack([(c * one).sum() for c, one in zip(curved, v, strict=True)]).cpu()
    return dict(zip(weights, (sums / probes / len(x)).tolist(), strict=True))


def _scores(
    network: nn.Module,
    widths: Sequence[int],
    score: Callable[[str, MatrixLayer, Tensor], float],
) -> pd.DataFrame:
    rows = {}
    with torch.no_grad():
        for name, layer in matrix_layers(network).items():
            weight = layer.weight.detach()
            rows[name] = {b: score(name, layer, quantize(weight, b) - weight) for b in widths}
    return pd.DataFrame.from_dict(rows, orient="index")
