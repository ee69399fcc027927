"""One network rounded in every way, with the choices that validation inputs make, for comparisons."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
from torch import Tensor, nn

from baq.comparison import compare
from baq.quantization import ptq_w
from baq.rounding.methods import adaround, boundary_gap, boundary_metric, output_metric
from baq.rounding.search import Search
from baq.rounding.statistics import Statistics

__all__ = [
    "KINDS",
    "METRICS",
    "WAYS",
    "Searched",
    "by_metric",
    "chosen",
    "parts_of_metric",
    "searched",
    "table_of",
]

#: Ways that weigh the outputs of a layer, and the kind of :func:`baq.rounding.output_metric` of each.
KINDS = {"logit metric": "logit", "Fisher metric": "fisher", "boundary metric": "boundary"}
#: Ways that differ only in what each output of a layer counts for, from all alike to the boundary's.
METRICS = ("AdaRound, propagated", *KINDS)
#: The ways of :func:`searched`, from the plain one to the boundary metric.
WAYS = ("nearest", "AdaRound", "boundary gap", *METRICS)


@dataclass(frozen=True)
class Searched:
    """Networks rounded by searches, each under the name of its way, and what the searches took.

    ``seconds`` has those of each way on all processors, where they were taken; what several ways need is counted for the
    first of them. ``searches`` has a row for each way that searches layer by layer, and layer:
    ``method``, ``layer``, ``weights`` (their number), ``steps`` and ``converged``. ``per_channel`` names
    the ways with a scale for each channel.
    """

    networks: dict[str, nn.Module]
    seconds: dict[str, float] = field(default_factory=dict)
    searches: pd.DataFrame = field(default_factory=lambda: table_of({}))
    per_channel: Sequence[str] = ()


def _of_weight(weight: float) -> str:
    """The name of the boundary gap with a weight of its term."""
    return f"{WAYS[2]}, weight {weight:g}"


def searched(
    known: Statistics,
    bits: int,
    *,
    gap_weights: Sequence[float],
    points: int = 2000,
    steps: int = 200,
) -> Searched:
    """A network rounded in each of :data:`WAYS`, the boundary gap with each weight of its term.

    Arguments:
        known: the network, and the inputs that it is rounded on.
        bits: bit width.
        gap_weights: weights of the boundary gap, of which :func:`chosen` chooses.
        points: of the metrics, as for :func:`baq.rounding.boundary_metric`.
        steps: the most steps of the search for each layer.

    Raises:
        ValueError: as the functions of :mod:`baq.rounding`.
    """
    networks, seconds = {}, {}
    searches: dict[str, dict[str, Search]] = {way: {} for way in WAYS}

    def timed(way: str, make: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        begun = time.process_time()
        made = make(*arguments, **options)
        seconds[way] = time.process_time() - begun
        return made

    given = known.given, bits, known
    nearest, alone, gap, chained, *_ = WAYS
    networks[nearest] = timed(nearest, ptq_w, known.given, bits)
    for way, propagate in ((alone, False), (chained, True)):
        log: dict[str, Any] = {"steps": steps, "searches": searches[way]}
        networks[way] = timed(way, adaround, *given, propagate=propagate, **log)
    for way, kind in KINDS.items():
        log = {"points": points, "steps": steps, "searches": searches[way]}
        networks[way] = timed(way, output_metric, *given, kind, **log)
    start = networks[alone]
    gaps = timed(gap, boundary_gap, *given, gap_weights, start=start, steps=steps)
    networks |= {_of_weight(weight): network for weight, network in gaps.items()}
    seconds[gap] += seconds[alone]  # it starts there
    return Searched(networks, _in_order(seconds), table_of(searches))


def chosen(
    reference: nn.Module,
    found: Searched,
    gap_weights: Sequence[float],
    validation: tuple[Tensor, Tensor],
    share: float = 0.2,
) -> tuple[dict[str, nn.Module], pd.DataFrame]:
    """A network for each of :data:`WAYS`, the boundary gap with the weight that validation inputs choose.

    That is the one that flips the fewest top pairs in their boundary band.

    Arguments:
        reference: the float network.
        found: what :func:`searched` returns.
        gap_weights: weights to choose from; of equally good ones the first is chosen.
        validation: inputs, shape (N, *), none of them among those, and labels, shape (N,).
        share: share of the validation inputs that the boundary band holds.

    Returns:
        The networks; and the path, the columns of :func:`baq.compare` on validation inputs with ``weight`` in
        place of the candidate, where 0 is AdaRound, and ``chosen``.

    Raises:
        ValueError: as :func:`baq.compare`.
    """
    gaps = {float(weight): found.networks[_of_weight(weight)] for weight in gap_weights}
    path = compare(
        reference,
        {0.0: found.networks[WAYS[1]], **gaps},
        *validation,
        share=share,
        gradients=False,
    ).rename(columns={"candidate": "weight"})
    best = path.set_index("weight").loc[list(gaps), "band_pair_flip_rate"].idxmin()
    networks = _in_order(found.networks | {WAYS[2]: gaps[best]})
    return networks, path.assign(chosen=path["weight"] == best)


def _in_order(by_way: Mapping[str, Any]) -> dict[str, Any]:
    return {way: by_way[way] for way in WAYS}


def table_of(searches: Mapping[str, Mapping[str, Search]]) -> pd.DataFrame:
    """The ``searches`` of :class:`Searched`, by way and layer."""
    rows = [
        (way, name, found.value.numel(), found.steps, found.converged)
        for way, by_layer in searches.items()
        for name, found in by_layer.items()
    ]
    return pd.DataFrame(rows, columns=["method", "layer", "weights", "steps", "converged"])


def by_metric(
    known: Statistics, bits: int, *, points: int = 2000, steps: int = 200
) -> dict[str, nn.Module]:
    """A network rounded in each way of :data:`METRICS`, on the same inputs by the same search.

    Arguments:
        known, bits, steps: as for :func:`searched`.
        points: as for :func:`baq.rounding.boundary_metric`; at most twice the inputs are taken.
    """
    options: dict[str, Any] = {"points": min(points, 2 * len(known.x)), "steps": steps}
    return {METRICS[0]: adaround(known.given, bits, known, propagate=True, steps=steps)} | {
        way: output_metric(known.given, bits, known, kind, **options) for way, kind in KINDS.items()
    }


def parts_of_metric(
    known: Statistics, bits: int, *, points: int = 2000, steps: int = 200
) -> dict[str, nn.Module]:
    """The ways of :data:`METRICS`, and the last of them with one part changed at a time.

    Arguments:
        known, bits, points, steps: as for :func:`by_metric`.

    Returns:
        A network by its way or by what was changed.

    Raises:
        ValueError: as :func:`baq.rounding.boundary_metric`.
    """
    standard: dict[str, Any] = {"exact": [0.0], "steps": steps}
    standard["points"] = min(points, 2 * len(known.x))
    changes: dict[str, dict[str, Any]] = {
        "without the errors of layers before": {"propagate": False},
        "without ridge": {"ridge": 0.0},
        "images only": {"on_boundary": 0.0},
        "boundary points only": {"on_boundary": 1.0},
        "a quarter of the points": {"points": max(4, standard["points"] // 4)},
        "with the exact shape, weight 0.1": {"exact": [0.1]},
        "with the exact shape, weight 1": {"exact": [1.0]},
        "almost the exact shape alone": {"exact": [1000.0]},
    }
    plain: dict[str, Any] = {"points": len(known.x), "on_boundary": 0.0, "steps": steps}
    fisher = output_metric(known.given, bits, known, "fisher", **plain)
    return (
        by_metric(known, bits, points=points, steps=steps)
        | {"Fisher metric, images only": fisher}
        | {
            name: boundary_metric(known.given, bits, known, **(standard | change))
            for name, change in changes.items()
        }
    )
