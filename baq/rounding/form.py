"""The boundary's displacement as a quadratic form in the change of the weights, in two shapes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from baq.arguments import check_share
from baq.inference import Classifier, batches, check_inputs, check_logits, evaluate, gradients
from baq.local import (
    PairGap,
    displacement_of,
    displacement_to,
    pair_gap,
    row_norms,
    slopes,
    traced_gap,
)
from baq.rounding.layers import (
    as_columns,
    in_order_of_use,
    matrix_layers,
    patches,
    recorded,
)
from baq.rounding.points import lowest_margins

__all__ = [
    "BoundaryForm",
    "boundary_form",
    "low_margin_displacement",
    "mean_square",
    "output_metrics",
]


@dataclass(frozen=True)
class BoundaryForm:
    """How the signed displacement at points changes with the weights of a network.

    With the gap ``g`` of the reference's top pair at a point and the candidate's gap ``g_q``, let
    ``e = (g_q - g) / ||grad_x g||``: minus the first-order displacement, in input units
    (:func:`baq.local.displacement`); or ``e = g_q - g``, in logits. For a change D of the weights, to
    first order, e grows by ``sum_l <rows_l, D_l>``.

    Points where ``grad_x g`` vanishes have no first-order displacement: they are left out of
    everything below, and ``left_out`` counts them.

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
    left_out: int = 0


@gradients()
def boundary_form(
    reference: nn.Module,
    candidate: nn.Module,
    x: Tensor,
    *,
    rows: bool = True,
    unit: str = "input",
    batch_size: int = 100,
    others: dict[str, str] | None = None,
) -> BoundaryForm:
    """The form at points: one forward and one backward pass through the candidate.

    A reference that is another network takes one more forward pass.

    Arguments:
        reference: the network whose boundary is to stay.
        candidate: the network whose weights are about to change; the reference itself to start with.
        x: points, shape (m, *).
        rows: take the gradients with respect to the weights too; they are m times the weights.
        unit: ``input`` or ``logit``, see :class:`BoundaryForm`.
        batch_size: points per pass.
        others: see :func:`baq.rounding.layers.matrix_layers`.

    Raises:
        ValueError: as :func:`baq.local.pair_gap` and :func:`baq.rounding.layers.matrix_layers`, for
            another unit, or where the gradient vanishes at every point.
    """
    if unit not in ("input", "logit"):
        raise ValueError(f"unit is {unit!r}: allowed are input, logit")
    layers = matrix_layers(candidate, others)
    in_order_of_use(candidate, check_inputs(candidate, x), others)
    at = None if candidate is reference else pair_gap(reference, x, batch_size=batch_size)
    found_rows: dict[str, Tensor] = {}
    for name, layer in layers.items() if rows else ():
        weight = layer.weight
        found_rows[name] = weight.new_zeros(weight[0].numel(), len(x), len(weight))
    outputs: dict[str, Tensor] = {
        name: layer.weight.new_zeros(len(layer.weight), len(layer.weight))
        for name, layer in layers.items()
    }
    offset, alive = [], []
    for k, batch in enumerate(batches(check_inputs(candidate, x), batch_size)):
        part = slice(k * batch_size, k * batch_size + len(batch))
        with recorded(candidate, others) as found:
            pair = None if at is None else (at.first[part], at.second[part])
            batch, gap, _ = traced_gap(candidate, batch, pair)
        found_slopes = slopes(gap, batch, *(y for _, y in found.values()))
        gradient = found_slopes[0].flatten(1) if at is None else at.gradient[part]
        length = row_norms(gradient) if unit == "input" else torch.ones_like(gap)
        here = length > 0
        alive.append(here)
        length = torch.where(here, length, torch.inf)  # a point left out adds nothing
        before = gap if at is None else at.gap[part]
        offset.append(((gap - before) / length).detach())
        for (name, (a, _)), slope in zip(found.items(), found_slopes[1:], strict=True):
            s = as_columns(layers[name], slope) / length[:, None, None]
            outputs[name] = outputs[name] + _squares(s) / len(x)
            if rows:
                a = patches(layers[name], a.detach())
                found_rows[name][:, part] = torch.einsum("nop,nip->ino", s, a)
    kept = torch.cat(alive)
    left_out = len(x) - int(kept.sum())
    if left_out == len(x):
        raise ValueError(
            "the gap has no gradient at any point: at least one point must have a gradient"
        )
    if left_out:
        found_rows = {name: row[:, kept] for name, row in found_rows.items()}
        outputs = {name: B * (len(x) / (len(x) - left_out)) for name, B in outputs.items()}
    return BoundaryForm(torch.cat(offset)[kept], found_rows, outputs, left_out)


@gradients()
def output_metrics(
    model: nn.Module,
    x: Tensor,
    kind: str,
    batch_size: int = 100,
    others: dict[str, str] | None = None,
) -> dict[str, Tensor]:
    """What each output of a layer counts for: ``B = sum_p E[s s'] / P``, (out, out), by layer.

    With s the gradient with respect to the layer's output at position p of

    ``boundary``
        the displacement e at a point, see :class:`BoundaryForm`: only the top pair's gap counts, in units
        of its slope
    ``logit``
        each logit: ``s s'`` is summed over all of them
    ``fisher``
        the logarithm of each class's likelihood: ``s s'`` is summed over the classes, each with the
        likelihood that the model gives it. This is the exact expectation over labels of the model's own, for which
        K-FAC draws them (Martens, Grosse 2015, arXiv:1503.05671).

    All three come from one network and its points, and differ in nothing else.

    Arguments:
        model: the network.
        x: points, shape (m, *).
        kind: one of the three.
        batch_size: points per pass.
        others: see :func:`baq.rounding.layers.matrix_layers`.

    Raises:
        ValueError: for another kind, or as :func:`boundary_form`.
    """
    if kind not in ("boundary", "logit", "fisher"):
        raise ValueError(f"kind is {kind!r}: allowed are boundary, logit, fisher")
    if kind == "boundary":
        how: dict[str, Any] = {"rows": False, "batch_size": batch_size, "others": others}
        return boundary_form(model, model, x, **how).outputs
    layers = matrix_layers(model, others)
    in_order_of_use(model, check_inputs(model, x), others)
    outputs = {
        name: layer.weight.new_zeros(len(layer.weight), len(layer.weight))
        for name, layer in layers.items()
    }
    for batch in batches(check_inputs(model, x), batch_size):
        with recorded(model, others) as found:
            batch = batch.detach().clone().requires_grad_()
            z = check_logits(evaluate(model, batch), len(batch))
        likelihood = z.detach().softmax(dim=1)
        for k in range(z.shape[1]):
            of_class = z[:, k]
            if kind == "fisher":
                of_class = likelihood[:, k].sqrt() * z.log_softmax(dim=1)[:, k]
            found_slopes = slopes(of_class, *(y for _, y in found.values()), again=True)
            for name, slope in zip(found, found_slopes, strict=True):
                outputs[name] += _squares(as_columns(layers[name], slope)) / len(x)
    return outputs


def _squares(s: Tensor) -> Tensor:
    """The sum of ``s s'`` over points and its mean over positions, of gradients (N, out, P)."""
    flat = s.transpose(0, 1).flatten(1)
    return flat @ flat.T / s.shape[2]


def mean_square(at: PairGap, candidate: Classifier, x: Tensor, batch_size: int = 100) -> float:
    """Mean squared first-order displacement of a boundary at points, in input units squared.

    Points where the reference's gradient vanishes have none and are left out.

    Arguments:
        at: the reference's gap at the points, :func:`baq.local.pair_gap`.
        candidate: any callable from inputs to logits: its gradients are not needed.
        x: the points, shape (N, *).
        batch_size: points per pass.

    Raises:
        ValueError: as :func:`baq.inference.logits`, or where the gradient vanishes at every point.
    """
    return _mean_square(at, displacement_to(at, candidate, x, batch_size))


def _mean_square(at: PairGap, displacement: Tensor) -> float:
    alive = at.gradient.any(dim=1)
    if not alive.any():
        raise ValueError(
            "the gap has no gradient at any point: allowed are points that are not all so"
        )
    return float(displacement[alive].square().mean())


def low_margin_displacement(
    reference: nn.Module,
    x: Tensor,
    z: Tensor,
    candidates: Mapping[Any, Tensor],
    share: float = 0.05,
    batch_size: int = 100,
) -> dict[object, float]:
    """How far each candidate moved the boundary, at the inputs that are nearest to it by margin.

    Arguments:
        reference: the network whose boundary it is.
        x: inputs, shape (N, *).
        z: its logits there, shape (N, K).
        candidates: logits of each candidate there, shape (N, K), by a key.
        share: share of the inputs that are taken, those of lowest margin: share N rounded down, or 1.
        batch_size: inputs per pass.

    Returns:
        By the same keys: the root of the mean squared first-order displacement there, in input units.

    Raises:
        ValueError: for a share outside (0, 1], or as :func:`mean_square`.
    """
    check_share(share=share)
    near = lowest_margins(z, max(1, int(share * len(x)))).to(x.device)
    at = pair_gap(reference, x[near], batch_size=batch_size)
    return {
        key: _mean_square(at, displacement_of(at, z_q[near])) ** 0.5
        for key, z_q in candidates.items()
    }
