"""The boundary's displacement as a quadratic form in the change of the weights, in two shapes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from baq.inference import Classifier, batches, check_inputs, check_logits, logits, top_pair
from baq.local import PairGap, displacement, pair_difference, pair_gap
from baq.rounding.layers import as_columns, matrix_layers, patches, recorded
from baq.rounding.points import low_margin_points

__all__ = [
    "BoundaryForm",
    "boundary_form",
    "low_margin_displacement",
    "mean_square",
]


@dataclass(frozen=True)
class BoundaryForm:
    """How the signed displacement at points moves with the weights of a network.

    With the gap ``g`` of the reference's top pair at a point and the candidate's gap ``g_q``, let
    ``e = (g_q - g) / ||grad_x g||``: minus the first-order displacement, in input units
    (:func:`baq.local.displacement`); or ``e = g_q - g``, in logits. For a change D of the weights, to
    first order, e grows by ``sum_l <rows_l, D_l>``.

    ``offset`` holds e, shape (m,). ``rows`` holds its gradients with respect to each layer's weight,
    (in, m, out): the exact shape of the form, ``mean e^2``, of rank m, over all layers at once.
    ``outputs`` holds for each layer ``B = sum_p E[s s'] / P``, (out, out), where s is the gradient of e
    with respect to the layer's output at position p: with the layer's Gram matrix A it gives the
    Kronecker shape, ``tr(B D A D')``, which takes gradients at different positions as uncorrelated, and
    as independent of the inputs there (Grosse, Martens 2016, arXiv:1602.01407).
    """

    offset: Tensor
    rows: dict[str, Tensor]
    outputs: dict[str, Tensor]


def boundary_form(
    reference: nn.Module,
    candidate: nn.Module,
    x: Tensor,
    *,
    rows: bool = True,
    unit: str = "input",
    batch_size: int = 100,
) -> BoundaryForm:
    """The form at points: one forward and one backward pass through each network that is not the other.

    Arguments:
        reference: the network whose boundary is to stay.
        candidate: the network whose weights are about to change; the reference itself to start with.
        x: points, shape (m, *).
        rows: take the gradients with respect to the weights too; they are m times the weights.
        unit: ``input`` or ``logit``, see :class:`BoundaryForm`.
        batch_size: points per pass.

    Raises:
        ValueError: as :func:`baq.inference.logits` and :func:`baq.rounding.layers.matrix_layers`, or for
            another unit.
    """
    if unit not in ("input", "logit"):
        raise ValueError(f"unit is {unit!r}: allowed are input, logit")
    layers = matrix_layers(candidate)
    at = None if candidate is reference else pair_gap(reference, x, batch_size=batch_size)
    found_rows = {}
    for name, layer in layers.items() if rows else ():
        weight = layer.weight
        found_rows[name] = weight.new_zeros(weight[0].numel(), len(x), len(weight))
    outputs: dict[str, Tensor | float] = dict.fromkeys(layers, 0.0)
    offset = []
    for k, batch in enumerate(batches(check_inputs(candidate, x), batch_size)):
        batch = batch.detach().requires_grad_()
        with recorded(candidate) as found:
            z = check_logits(candidate(batch), len(batch))
        part = slice(k * batch_size, k * batch_size + len(batch))
        pair = top_pair(z.detach()) if at is None else (at.first[part], at.second[part])
        gap = pair_difference(z, pair)
        slopes = torch.autograd.grad(gap.sum(), [batch, *(y for _, y in found.values())])
        gradient = slopes[0].flatten(1) if at is None else at.gradient[part]
        length = torch.ones_like(gap)
        if unit == "input":
            length = gradient.norm(dim=1).clamp(min=torch.finfo(gap.dtype).tiny)
        before = gap if at is None else at.gap[part]
        offset.append(((gap - before) / length).detach())
        for (name, (a, _)), slope in zip(found.items(), slopes[1:], strict=True):
            s = as_columns(layers[name], slope) / length[:, None, None]
            flat = s.transpose(0, 1).flatten(1)
            outputs[name] = outputs[name] + flat @ flat.T / (len(x) * s.shape[2])
            if rows:
                a = patches(layers[name], a.detach())
                found_rows[name][:, part] = torch.einsum("nop,nip->ino", s, a)
    return BoundaryForm(torch.cat(offset), found_rows, outputs)


def mean_square(at: PairGap, candidate: Classifier, x: Tensor, batch_size: int = 100) -> float:
    """Mean squared first-order displacement of a boundary at points, in input units squared.

    Arguments:
        at: the reference's gap at the points, :func:`baq.local.pair_gap`.
        candidate: any callable from inputs to logits: its gradients are not needed.
        x: the points, shape (N, *).
        batch_size: points per pass.

    Raises:
        ValueError: as :func:`baq.inference.logits`.
    """
    gap = pair_difference(logits(candidate, x, batch_size), (at.first, at.second))
    moved = PairGap(at.first, at.second, gap, at.gradient)
    return float(displacement(at, moved).square().mean())


def low_margin_displacement(
    reference: nn.Module,
    candidates: Mapping[object, Classifier],
    x: Tensor,
    share: float = 0.05,
    batch_size: int = 100,
) -> dict[object, float]:
    """How far each candidate moved the boundary, at the inputs that are nearest to it by margin.

    Arguments:
        reference: the network whose boundary it is.
        candidates: any callables from inputs to logits, by a key.
        x: inputs, shape (N, *).
        share: share of the inputs that are taken, those of lowest margin: share N rounded down, or 1.
        batch_size: inputs per pass.

    Returns:
        By the same keys: the root of the mean squared first-order displacement there, in input units.

    Raises:
        ValueError: for a share outside (0, 1], or as :func:`mean_square`.
    """
    if not 0 < share <= 1:
        raise ValueError(f"share is {share}: allowed is above 0 and up to 1")
    near = low_margin_points(reference, x, max(1, int(share * len(x))), batch_size)
    at = pair_gap(reference, near, batch_size=batch_size)
    return {
        key: mean_square(at, candidate, near, batch_size) ** 0.5
        for key, candidate in candidates.items()
    }
