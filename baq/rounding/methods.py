"""Optimized rounding at a given number of bits: AdaRound, the boundary gap, metrics of outputs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from baq.arguments import check_whole, is_real
from baq.inference import copied
from baq.local import pair_gap
from baq.quantization import Bits, bits_by_layer, quantize_layer, quantized_layers
from baq.rounding.descent import array, descend, neighbours, rounded_layer, squared_error
from baq.rounding.form import BoundaryForm, boundary_form, mean_square
from baq.rounding.layers import matrix_layers
from baq.rounding.points import low_margin_points
from baq.rounding.search import Search, round_layer
from baq.rounding.statistics import Statistics

__all__ = ["adaround", "boundary_gap", "boundary_metric", "output_metric"]

_SWEEPS = 8  # of the descent over all layers: later ones gain a hundredth of the first


def _statistics(model: nn.Module, x: Tensor | Statistics) -> Statistics:
    if not isinstance(x, Statistics):
        return Statistics(model, x)
    x.check_model(model)
    return x


def _layer_by_layer(
    known: Statistics, bits: Bits, outputs: Mapping[str, Tensor] | None,
    per_channel: bool, propagate: bool, ridge: float, steps: int, bar: str | None,
    searches: dict[str, Search] | None = None,
) -> tuple[nn.Module, dict[str, tuple[Tensor, Tensor]]]:  # fmt: skip
    """The rounded network, and each layer's moments A and T."""
    widths = bits_by_layer(known.model, bits)
    rounded = copied(known.model)
    layers, moments = matrix_layers(rounded, {}), {}
    for name, layer in quantized_layers(rounded).items():
        if name in known.left:
            quantize_layer(layer, widths[name], per_channel=per_channel)
    check_whole(0, steps=steps)
    inputs = known.passed_through(rounded) if propagate else None
    unused = [name for name in layers if name not in known.order]  # which is told there
    for name in tqdm([*unused, *known.order], bar, disable=bar is None, leave=False):
        weight = layers[name].weight.detach()
        gram, target = known.moments(name, inputs)
        pull = ridge * gram.diagonal().mean()
        gram = gram + pull * torch.eye(len(gram)).to(gram)
        moments[name] = gram, target + pull * weight.flatten(1)
        metric = torch.eye(len(weight)).to(gram) if outputs is None else outputs[name]
        found = round_layer(
            weight, widths[name], *moments[name], metric, per_channel=per_channel, steps=steps
        )
        layers[name].weight.data.copy_(found.value)
        if searches is not None:
            searches[name] = found
    return rounded, moments


def _refined(
    model: nn.Module,
    start: nn.Module,
    bits: Bits,
    moments: Mapping[str, tuple[Tensor, Tensor]],
    outputs: Mapping[str, Tensor],
    form: BoundaryForm,
    exact: float,
    per_channel: bool,
) -> nn.Module:
    """Descend from a rounded network under both shapes, over all layers at once."""
    refined, widths = copied(start), bits_by_layer(model, bits)
    weights = {name: layer.weight.detach() for name, layer in matrix_layers(model, {}).items()}
    layers = matrix_layers(refined, {})
    states = {
        name: rounded_layer(
            weights[name], layer.weight.detach(), widths[name], *moments[name], outputs[name],
            per_channel=per_channel, rows=form.rows[name],
        )
        for name, layer in layers.items()
    }  # fmt: skip
    descend(list(states.values()), array(form.offset), exact, _SWEEPS)
    for name, state in states.items():
        layers[name].weight.data.copy_(state.weight(weights[name]))
    return refined


def _bar(name: str, bits: Bits, progress: bool) -> str | None:
    """What a bar says, and None where none is shown."""
    told = "bits by layer" if isinstance(bits, Mapping) else f"{bits} bits"
    return f"{name}, {told}" if progress else None


def _check_rounding(start: nn.Module, known: Statistics, bits: Bits, per_channel: bool) -> None:
    """Raise if ``start`` is no rounding of the model, on its grid."""
    layers, widths = matrix_layers(start, {}), bits_by_layer(known.model, bits)
    for name, layer in known.layers.items():
        below, above, _ = neighbours(layer.weight, widths[name], per_channel=per_channel)
        found = layers[name].weight if name in layers else None
        if (
            found is None
            or found.shape != below.shape
            or bool(((found != below) & (found != above)).any())
        ):
            raise ValueError(
                f"start is no rounding of layer {name!r} at {widths[name]} bits: allowed is what adaround "
                "makes of the same arguments"
            )


def _check_weights(name: str, weights: Sequence[float]) -> None:
    listed = isinstance(weights, Sequence | np.ndarray) and not isinstance(weights, str)
    if not listed or len(weights) == 0 or not all(map(_is_weight, weights)):
        raise ValueError(f"{name} is {weights!r}: allowed are one or more numbers, each 0 or more")


def _check_ridge(ridge: float) -> None:
    if not _is_weight(ridge):
        raise ValueError(f"ridge is {ridge!r}: allowed is 0 or more")


def _is_weight(value: Any) -> bool:
    return is_real(value) and 0 <= value < math.inf


def adaround(
    model: nn.Module,
    bits: Bits,
    x: Tensor | Statistics,
    *,
    per_channel: bool = False,
    propagate: bool = False,
    steps: int = 200,
    progress: bool = False,
    searches: dict[str, Search] | None = None,
) -> nn.Module:
    """AdaRound: layer by layer, the rounding that keeps the layer's outputs.

    Minimizes ``E|V a - W a|^2`` over the roundings V of a layer's weight W, with a its inputs
    (Nagel et al. 2020, arXiv:2004.10568, equation 21; with ``propagate`` equation 25 without its
    activation). The loss is quadratic, so the Gram matrix of the inputs stands for the data: each step
    uses all of it, and none depends on chance. The paper's relaxation by a sigmoid
    (:func:`baq.rounding.relaxation.relaxed_layer`) is replaced by :func:`baq.rounding.search.round_layer`, which
    ends at a lower loss after fewer steps.

    Arguments:
        model: the network; a copy is returned, in which only weights of Linear and convolutions differ.
            Those that are no matrix over patches, such as grouped and transposed convolutions, go to the
            nearest value, and a warning names them.
        bits: bit width, or one for each layer by name; the scales are those of
            :func:`baq.quantization.ptq_w`.
        x: inputs to round on, shape (N, *); or the :class:`baq.rounding.statistics.Statistics` of the
            model on them, so that several ways of rounding and bit widths share them.
        per_channel: one scale for each output channel.
        propagate: each layer sees the errors of the layers before it, and corrects them.
        steps: the most steps of the search for each layer, which ends before where it has converged
            (:func:`baq.rounding.search.round_layer`).
        progress: show a bar.
        searches: is filled with how each layer's search ended.

    Raises:
        ValueError: as :func:`baq.rounding.layers.matrix_layers` and :func:`baq.quantization.weight_grid`, for
            inputs that are empty or not finite, or statistics of another model.

    Example:
        >>> model = nn.Linear(2, 1, bias=False)
        >>> model.weight.data = torch.tensor([[1.0, 0.4]])
        >>> x = torch.tensor([[1.0, 1.0], [1.0, 1.1]])
        >>> adaround(model, 2, x).weight.tolist()
        [[1.0, 0.0]]
    """
    bar = _bar("AdaRound", bits, progress)
    known = _statistics(model, x)
    given = known, bits, None, per_channel, propagate, 0.0, steps, bar
    return _layer_by_layer(*given, searches)[0]


def output_metric(
    model: nn.Module,
    bits: Bits,
    x: Tensor | Statistics,
    kind: str,
    *,
    points: int = 2000,
    on_boundary: float = 0.5,
    propagate: bool = True,
    ridge: float = 0.1,
    per_channel: bool = False,
    steps: int = 200,
    seed: int = 0,
    progress: bool = False,
    searches: dict[str, Search] | None = None,
) -> nn.Module:
    """AdaRound with the outputs of a layer weighed by a metric B: ``tr(B D A D')`` in place of ``tr(D A D')``.

    Layer by layer, as :func:`adaround`. The kinds of B, each ``E[s s']`` over points and positions for
    gradients s at the layer's output (:func:`baq.rounding.form.output_metrics`): ``boundary``, of the
    boundary's displacement; ``logit``, of all logits; ``fisher``, of the logarithm of the likelihood, which
    is K-FAC's (Martens, Grosse 2015, arXiv:1503.05671).

    Arguments:
        model, bits, x, propagate, per_channel, steps, progress, searches: as for :func:`adaround`.
        kind: ``boundary``, ``logit`` or ``fisher``.
        points, on_boundary, ridge, seed: as for :func:`boundary_metric`.

    Raises:
        ValueError: as :func:`adaround`, or for another kind or a negative ridge.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> model, x = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3)), torch.randn(64, 4)
        >>> rounded = output_metric(model, 3, x, "logit", points=40)
        >>> len(rounded[0].weight.unique()) <= 7  # values of a grid of 3 bits
        True
    """
    check_whole(points=points)
    _check_ridge(ridge)
    known = _statistics(model, x)
    bar = _bar(kind + " metric", bits, progress)
    metric = known.metrics(kind, points, on_boundary, seed)[1]
    given = known, bits, metric, per_channel, propagate, ridge, steps, bar
    return _layer_by_layer(*given, searches)[0]


def boundary_gap(
    model: nn.Module,
    bits: Bits,
    x: Tensor | Statistics,
    weights: Sequence[float],
    *,
    start: nn.Module | None = None,
    points: int = 500,
    per_channel: bool = False,
    steps: int = 200,
    progress: bool = False,
) -> dict[float, nn.Module]:
    """AdaRound with a boundary-gap term, at each of several weights of the term.

    Adds ``weight mean_n ((q_i - q_j) - (f_i - f_j))^2`` over the inputs with the lowest margins, (i, j) the
    float network's top pair, to the sum of all layers' reconstruction errors. The first is taken in
    units of its value under AdaRound, and each of the others in units of rounding to nearest, so that a
    weight has the same meaning for every network. One Gauss-Newton step from AdaRound's rounding: the gap's
    change is linear in the weights' there, and coordinate descent does the rest. This is our reading
    of the surrogate in Kiselev 2026, arXiv:2607.01478, whose formula the abstract does not give.

    Arguments:
        model, bits, x, per_channel, steps, progress: as for :func:`adaround`.
        weights: weights of the term, 0 or more.
        start: what :func:`adaround` makes of the same arguments, if it has been computed already.
        points: how many of the inputs, those with the lowest margins, enter the term.

    Returns:
        A network for each weight.

    Raises:
        ValueError: as :func:`adaround`, for a negative weight, or a start that is no rounding of the
            network on the same grid.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> model, x = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3)), torch.randn(64, 4)
        >>> rounded = boundary_gap(model, 3, x, weights=[0.0, 1.0], points=20)
        >>> list(rounded), type(rounded[1.0]).__name__
        ([0.0, 1.0], 'Sequential')
    """
    _check_weights("weights", weights)
    check_whole(points=points)
    known = _statistics(model, x)
    model = known.model
    bar = _bar("boundary gap", bits, progress)
    if start is None:
        start = _layer_by_layer(known, bits, None, per_channel, False, 0.0, steps, bar)[0]
    _check_rounding(start, known, bits, per_channel)
    low = known.low_margin(min(points, len(known.x)))
    form = boundary_form(model, start, low, unit="logit", others={})
    moments, metric, widths = {}, {}, bits_by_layer(model, bits)
    for name, layer in known.layers.items():
        weight = layer.weight.detach()
        moments[name] = known.moments(name)
        change = (neighbours(weight, widths[name], per_channel=per_channel)[2] - weight).flatten(1)
        added = squared_error(change, moments[name][0])
        metric[name] = torch.eye(len(weight)).to(weight) / added.clamp(min=1e-30)
    unit = float(form.offset.square().mean().clamp(min=1e-30))
    return {
        w: _refined(model, start, bits, moments, metric, form, w / unit, per_channel)
        for w in tqdm(weights, bar, disable=bar is None, leave=False)
    }


def boundary_metric(
    model: nn.Module,
    bits: Bits,
    x: Tensor | Statistics,
    validation: Tensor | None = None,
    *,
    exact: Sequence[float] = (0.0, 0.02, 0.1),
    points: int = 2000,
    on_boundary: float = 0.5,
    rows: int = 500,
    propagate: bool = True,
    ridge: float = 0.1,
    per_channel: bool = False,
    steps: int = 200,
    seed: int = 0,
    progress: bool = False,
    searches: dict[str, Search] | None = None,
) -> nn.Module:
    """The rounding that keeps the decision boundary: its mean squared displacement is least.

    To first order the displacement at a point is linear in the change of the weights
    (:class:`baq.rounding.form.BoundaryForm`), so its mean square is a quadratic form. First each layer
    is rounded under the Kronecker shape, with the errors of the layers before it in its inputs, so
    that it corrects them; then all layers at once under both shapes, with the form recomputed at
    the rounded network. Of several weights of the exact shape, the one with the least displacement on
    validation inputs is kept. Where two roundings are nearly as good, which is taken hangs on the last digits of sums, and so
    on the number of threads.

    Arguments:
        model, bits, x, per_channel, steps, progress, searches: as for :func:`adaround`.
        validation: inputs to choose the weight of the exact shape, shape (N, *), none of them in x;
            only needed for more than one weight.
        exact: weights of the exact shape against 1 for the Kronecker shape; 0 leaves it out.
        points: points that the form is taken at.
        on_boundary: the share of them that is bisected on the boundary; the others are the inputs
            with the lowest margins.
        rows: how many of them, evenly out of both kinds, enter the exact shape.
        propagate: each layer sees the errors of the layers before it.
        ridge: pull of every weight to its float value, in units of the layer's mean squared input.
        seed: seed of the boundary points.

    Raises:
        ValueError: as :func:`adaround`, for a negative weight, or several without validation inputs.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> model, x = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3)), torch.randn(64, 4)
        >>> rounded = boundary_metric(model, 3, x, exact=[0.0], points=40)
        >>> from baq import compare, ptq_w
        >>> rows = compare(model, {"nearest": ptq_w(model, 3), "boundary metric": rounded}, x)
        >>> rows["band_shift"].iloc[1] < rows["band_shift"].iloc[0]
        np.True_
    """
    _check_weights("exact", exact)
    check_whole(points=points, rows=rows)
    _check_ridge(ridge)
    if len(exact) > 1 and validation is None:
        raise ValueError(
            f"exact has {len(exact)} weights: one is allowed without validation inputs"
        )
    known = _statistics(model, x)
    model = known.model
    bar = _bar("boundary metric", bits, progress)
    drawn, metric = known.metrics("boundary", points, on_boundary, seed)
    start, moments = _layer_by_layer(
        known, bits, metric, per_channel, propagate, ridge, steps, bar, searches
    )
    found = [start] if 0 in exact else []
    if any(exact):
        part = drawn[torch.linspace(0, len(drawn) - 1, min(rows, len(drawn))).long()]
        form = boundary_form(model, start, part, others={})
        found += [
            _refined(model, start, bits, moments, metric, form, weight, per_channel)
            for weight in exact
            if weight
        ]
    if len(found) == 1 or validation is None:
        return found[0]
    near = low_margin_points(model, validation, max(1, len(validation) // 3))
    at = pair_gap(model, near, batch_size=100)
    return min(found, key=lambda q: mean_square(at, q, near))
