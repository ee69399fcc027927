"""Roundings to compare with: from few inputs, less tuned, or searched for longer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from torch import Tensor, nn

from baq.comparison import compare_logits, per_plane
from baq.inference import Classifier, copied, logits
from baq.quantization import ptq_w
from baq.rounding.descent import squared_error
from baq.rounding.form import low_margin_displacement
from baq.rounding.layers import matrix_layers
from baq.rounding.methods import adaround, output_metric
from baq.rounding.relaxation import relaxed_layer
from baq.rounding.search import Search
from baq.rounding.statistics import Statistics
from baq.rounding.ways import (
    KINDS,
    METRICS,
    WAYS,
    Searched,
    by_metric,
    parts_of_metric,
    table_of,
)
from baq.slices.planes import Plane

__all__ = [
    "RELAXED",
    "by_metric_or_part",
    "less_tuned",
    "loss_left",
    "on_images",
    "on_planes",
    "other_grids",
    "some_ways",
    "with_ends",
]

#: AdaRound by the relaxation of its paper (:func:`baq.rounding.relaxation.relaxed_layer`), each layer by itself.
RELAXED = "AdaRound, relaxation"


def loss_left(
    known: Statistics, networks: Mapping[str, nn.Module], nearest: nn.Module
) -> pd.DataFrame:
    """AdaRound's loss of each layer, ``tr((V - W) A (V - W)')``, as a share of what the nearest values leave.

    Arguments:
        known: the float network, and the inputs that it is rounded on.
        networks: roundings of it, by the name of their way.
        nearest: the rounding to the nearest values.

    Returns:
        ``method``, ``layer``, ``weights`` (their number) and ``left``.
    """
    ways = {name: matrix_layers(network, {}) for name, network in networks.items()}
    near, rows = matrix_layers(nearest, {}), []
    for name, layer in known.layers.items():
        gram, wanted = known.moments(name)[0].double(), layer.weight.detach().double().flatten(1)

        def loss(value: Tensor, gram: Tensor = gram, wanted: Tensor = wanted) -> float:
            return float(squared_error(value.detach().double().flatten(1) - wanted, gram))

        unit, count = loss(near[name].weight), wanted.numel()
        rows += [(way, name, count, loss(its[name].weight) / unit) for way, its in ways.items()]
    return pd.DataFrame(rows, columns=["method", "layer", "weights", "left"])


def on_images(
    reference: nn.Module,
    copies: Mapping[Any, Classifier],
    x: Tensor,
    y: Tensor,
    share: float = 0.2,
    z: Tensor | None = None,
) -> pd.DataFrame:
    """The rows of :func:`baq.compare` on images, with ``loss`` of accuracy and ``displacement``.

    The displacement is that of :func:`baq.rounding.form.low_margin_displacement`. Keys that are pairs become
    ``bits`` and ``method`` in place of ``candidate``. ``z`` are the reference's logits at x, if they are known.
    """
    z = logits(reference, x) if z is None else z
    z_q = {key: logits(copy, x) for key, copy in copies.items()}
    rows = compare_logits(z, z_q, y, share)
    moved = low_margin_displacement(reference, x, z, z_q)
    loss = rows["accuracy_reference"] - rows["accuracy"]
    return _by_bits(rows.assign(loss=loss, displacement=list(moved.values())))


def on_planes(
    reference: nn.Module,
    copies: Mapping[tuple[int, str], Classifier],
    planes: Sequence[Plane],
    n: int,
    way: str,
) -> pd.DataFrame:
    """The rows of :func:`baq.comparison.per_plane` with ``n``, and ``bits`` and ``method`` out of the keys."""
    maps = per_plane(reference, copies, planes, n, way=way)
    return _by_bits(maps).assign(n=n)


def _by_bits(rows: pd.DataFrame) -> pd.DataFrame:
    if isinstance(rows["candidate"].iloc[0], tuple):
        rows["bits"], rows["method"] = zip(*rows.pop("candidate"), strict=True)
    return rows


def by_metric_or_part(
    known: Statistics, bits: int, *, parts: bool = False, points: int = 2000, steps: int = 200
) -> Searched:
    """The networks of :func:`baq.rounding.ways.by_metric`; with ``parts`` those of ``parts_of_metric``."""
    make = parts_of_metric if parts else by_metric
    return Searched(make(known, bits, points=points, steps=steps))


def with_ends(rows: pd.DataFrame, found: Searched) -> pd.DataFrame:
    """Rows of :func:`on_images` by ``method``, with ``steps`` and ``converged``, means over its layers."""
    searches = found.searches.dropna(subset="steps").set_index("method")
    ended = searches[["steps", "converged"]].astype(float).groupby("method").mean()
    return rows.rename(columns={"candidate": "method"}).join(ended, on="method")


def other_grids(reference: nn.Module, bits: int) -> dict[str, nn.Module]:
    """Rounding to nearest on several kinds of grids."""
    return {
        "nearest": ptq_w(reference, bits),
        "nearest, from least to largest weight": ptq_w(reference, bits, symmetric=False),
        "nearest, a scale a channel": ptq_w(reference, bits, per_channel=True),
    }


def less_tuned(
    known: Statistics, bits: int, *, counts: Sequence[int], steps: int = 200
) -> Searched:
    """AdaRound with few inputs, with one step, or with a scale a channel.

    Arguments:
        known: the network, and its inputs.
        bits: bit width.
        counts: numbers of inputs to run AdaRound on, the first of those, a network for each.
        steps: the most steps of its search.
    """
    reference, x = known.given, known.x
    most = x[: max(counts)]
    by_channel = adaround(reference, bits, most, per_channel=True, steps=steps)
    channel = "AdaRound, a scale a channel"
    networks = {
        channel: by_channel,
        "AdaRound, one step": adaround(reference, bits, most, steps=1),
    }
    return Searched(
        networks
        | {
            f"AdaRound, {count} images": adaround(reference, bits, x[:count], steps=steps)
            for count in counts
        },
        per_channel=[channel],
    )


def some_ways(
    known: Statistics,
    bits: int,
    *,
    ways: Sequence[str],
    points: int = 2000,
    steps: int = 800,
    beside: int = 0,
) -> Searched:
    """AdaRound, ways of ``METRICS``, or :data:`RELAXED`, which takes all ``steps``, the others at most as many.

    Where ``beside`` is given, AdaRound with so many steps at most, ``AdaRound, 200 steps``, comes too, and the
    searches have what :func:`loss_left` says of every way and layer.

    Raises:
        ValueError: for another way.
    """
    copies: dict[str, nn.Module] = {}
    logs: dict[str, dict[str, Search]] = {}
    for way in ways:
        if way == RELAXED:
            copies[way] = copied(known.given)
            layers = matrix_layers(copies[way], {})
            for name, layer in layers.items():
                gram, _ = known.moments(name)
                layer.weight.data = relaxed_layer(layer.weight, bits, gram, steps=steps)
            continue
        log = logs[way] = dict[str, Search]()
        given: dict[str, Any] = {"steps": steps, "searches": log}
        if way in KINDS:
            given["points"] = points
            copies[way] = output_metric(known.given, bits, known, KINDS[way], **given)
        elif way in (WAYS[1], METRICS[0]):
            given["propagate"] = way == METRICS[0]
            copies[way] = adaround(known.given, bits, known, **given)
        else:
            allowed = ", ".join((WAYS[1], *METRICS, RELAXED))
            raise ValueError(f"way is {way!r}: allowed are {allowed}")
    table = table_of(logs)
    if beside:
        copies[f"{WAYS[1]}, {beside} steps"] = adaround(known.given, bits, known, steps=beside)
        left = loss_left(known, copies, ptq_w(known.given, bits))
        table = left.merge(table, how="left", on=["method", "layer", "weights"])
    return Searched(copies, searches=table)
