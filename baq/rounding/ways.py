"""One network rounded in every way, with the choices that validation inputs make, for comparisons."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
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
    "Rounded",
    "by_metric",
    "chosen_gap",
    "parts_of_metric",
    "rounded",
]

#: Ways that weigh the outputs of a layer, and the kind of :func:`baq.rounding.output_metric` of each.
KINDS = {"logit metric": "logit", "Fisher metric": "fisher", "boundary metric": "boundary"}
#: Ways that differ only in what each output of a layer counts for, from all alike to the boundary's.
METRICS = ("AdaRound, propagated", *KINDS)
#: The ways of :func:`rounded`, from the plain one to the boundary metric.
WAYS = ("nearest", "AdaRound", "boundary gap", *METRICS)


@dataclass(frozen=True)
class Rounded:
    """What :func:`rounded` returns.

    ``networks`` and ``seconds`` have a network, and what it took to make it, for each of ``WAYS``;
    what several ways need is counted for the first of them. ``path`` is that of :func:`chosen_gap`.
    ``searches`` has a row for each way that searches layer by layer, and layer: ``method``, ``layer``,
    ``weights`` (their number), ``steps`` and ``converged``.
    """

    networks: dict[str, nn.Module]
    seconds: dict[str, float]
    path: pd.DataFrame
    searches: pd.DataFrame


def chosen_gap(
    known: Statistics,
    bits: int,
    validation: tuple[Tensor, Tensor],
    weights: Sequence[float],
    start: nn.Module,
    *,
    share: float = 0.2,
    steps: int = 200,
) -> tuple[nn.Module, pd.DataFrame]:
    """The boundary gap with the weight that flips the fewest top pairs in the band of validation inputs.

    Arguments:
        known: the network, and the inputs that it is rounded on.
        bits: bit width.
        validation: inputs, shape (N, *), none of them among those, and labels, shape (N,).
        weights: weights of the term to choose from; of equally good ones the first is chosen.
        start: what :func:`baq.rounding.adaround` makes of the network, the path's weight 0.
        share: share of the validation inputs that the boundary band holds.
        steps: steps of the search for each layer.

    Returns:
        The network of the weight chosen; and the path, the columns of :func:`baq.compare` on validation
        inputs with ``weight`` in place of the candidate, and ``chosen``.

    Raises:
        ValueError: as :func:`baq.rounding.boundary_gap` and :func:`baq.compare`.
    """
    networks = boundary_gap(known.given, bits, known, weights, start=start, steps=steps)
    candidates = {0.0: start, **networks}
    path = compare(
        known.given, candidates, *validation, share=share, gradients=False,
        batch_size=100,
    ).rename(columns={"candidate": "weight"})  # fmt: skip
    best = path.set_index("weight").loc[list(networks), "band_pair_flip_rate"].idxmin()
    return networks[best], path.assign(chosen=path["weight"] == best)


def rounded(
    known: Statistics,
    bits: int,
    validation: tuple[Tensor, Tensor],
    *,
    gap_weights: Sequence[float],
    exact: Sequence[float] = (0.0, 0.02, 0.1),
    points: int = 2000,
    share: float = 0.2,
    steps: int = 200,
) -> Rounded:
    """A network rounded in each of :data:`WAYS`, and the seconds that each took.

    Arguments:
        known, bits, validation, share, steps: as for :func:`chosen_gap`.
        gap_weights: weights of the boundary gap to choose from.
        exact, points: as for :func:`baq.rounding.boundary_metric`.

    Raises:
        ValueError: as the functions of :mod:`baq.rounding`.
    """
    networks, seconds = {}, {}
    searches: dict[str, dict[str, Search]] = {way: {} for way in WAYS}

    def timed(way: str, make: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        begun = time.perf_counter()
        made = make(*arguments, **options)
        seconds[way] = time.perf_counter() - begun
        return made

    given = known.given, bits, known
    options: dict[str, Any] = {"points": points, "steps": steps}
    nearest, alone, gap, chained, logit, fisher, metric = WAYS
    networks[nearest] = timed(nearest, ptq_w, known.given, bits)
    for way, propagate in ((alone, False), (chained, True)):
        log: dict[str, Any] = {"steps": steps, "searches": searches[way]}
        networks[way] = timed(way, adaround, *given, propagate=propagate, **log)
    for way in (logit, fisher):
        log = options | {"searches": searches[way]}
        networks[way] = timed(way, output_metric, *given, KINDS[way], **log)
    log = options | {"exact": exact, "searches": searches[metric]}
    networks[metric] = timed(metric, boundary_metric, *given, validation[0], **log)
    networks[gap], path = timed(
        gap, chosen_gap, known, bits, validation, gap_weights, networks[alone], share=share,
        steps=steps,
    )  # fmt: skip
    seconds[gap] += seconds[alone]  # it starts there
    return Rounded(_in_order(networks), _in_order(seconds), path, _table(searches))


def _in_order(by_way: Mapping[str, Any]) -> dict[str, Any]:
    return {way: by_way[way] for way in WAYS}


def _table(searches: Mapping[str, Mapping[str, Search]]) -> pd.DataFrame:
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
        known, bits, steps: as for :func:`chosen_gap`.
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
