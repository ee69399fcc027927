"""Roundings to compare with: from few inputs, less tuned, or searched for longer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd
from torch import Tensor, nn

from baq.comparison import compare
from baq.inference import Classifier
from baq.quantization import ptq_w
from baq.rounding.form import low_margin_displacement
from baq.rounding.methods import adaround, output_metric
from baq.rounding.search import Search
from baq.rounding.statistics import Statistics
from baq.rounding.ways import KINDS, METRICS, WAYS, by_metric, parts_of_metric

__all__ = ["less_tuned", "on_images", "searched_longer", "with_few_images"]


def on_images(
    reference: nn.Module,
    copies: Mapping[Any, Classifier],
    x: Tensor,
    y: Tensor,
    *,
    share: float = 0.2,
    batch_size: int = 100,
) -> pd.DataFrame:
    """The rows of :func:`baq.compare` on images, with ``loss`` of accuracy and ``displacement``.

    The displacement is that of :func:`baq.rounding.form.low_margin_displacement`.
    """
    rows = compare(reference, copies, x, y, share=share, gradients=False, batch_size=batch_size)
    moved = low_margin_displacement(reference, copies, x, batch_size=batch_size)
    loss = rows["accuracy_reference"] - rows["accuracy"]
    return rows.assign(loss=loss, displacement=list(moved.values()))


def with_few_images(
    reference: nn.Module,
    x: Tensor,
    counts: Sequence[int],
    bits: int,
    *,
    positions: int = 64,
    points: int = 2000,
    steps: int = 200,
) -> Iterator[tuple[int, dict[str, nn.Module]]]:
    """For each count, the networks of :func:`baq.rounding.ways.by_metric` rounded on the first that many inputs.

    For the largest count, those of :func:`baq.rounding.ways.parts_of_metric`.
    """
    for count in counts:
        known = Statistics(reference, x[:count], positions=positions)
        make = parts_of_metric if count == max(counts) else by_metric
        yield count, make(known, bits, points=points, steps=steps)


def less_tuned(
    reference: nn.Module, x: Tensor, counts: Sequence[int], bits: int, *, steps: int = 200
) -> dict[str, nn.Module]:
    """AdaRound with few inputs or one step, and rounding to nearest, on several kinds of grids.

    Arguments:
        reference: the network.
        x: inputs.
        counts: numbers of inputs to run AdaRound on, a network for each.
        bits: bit width.
        steps: the most steps of its search.
    """
    most = x[: max(counts)]
    return {
        "nearest": ptq_w(reference, bits),
        "nearest, from least to largest weight": ptq_w(reference, bits, symmetric=False),
        "nearest, a scale a channel": ptq_w(reference, bits, per_channel=True),
        "AdaRound, a scale a channel": adaround(
            reference, bits, most, per_channel=True, steps=steps
        ),
        "AdaRound, one step": adaround(reference, bits, most, steps=1),
    } | {
        f"AdaRound, {count} images": adaround(reference, bits, x[:count], steps=steps)
        for count in counts
    }


def searched_longer(
    known: Statistics,
    bits: int,
    ways: Sequence[str],
    test: tuple[Tensor, Tensor],
    *,
    points: int = 2000,
    steps: int = 800,
) -> pd.DataFrame:
    """AdaRound or ways of ``METRICS`` with a larger bound on the steps, on images.

    Returns:
        A row a way of :func:`on_images`, with ``method``, and ``steps`` of the last run and ``converged``
        as means over its layers.

    Raises:
        ValueError: for another way.
    """
    copies, ended = {}, []
    for way in ways:
        log: dict[str, Search] = {}
        given: dict[str, Any] = {"steps": steps, "searches": log}
        if way in KINDS:
            given["points"] = points
            copies[way] = output_metric(known.given, bits, known, KINDS[way], **given)
        elif way in (WAYS[1], METRICS[0]):
            given["propagate"] = way == METRICS[0]
            copies[way] = adaround(known.given, bits, known, **given)
        else:
            raise ValueError(f"way is {way!r}: allowed are {', '.join((WAYS[1], *METRICS))}")
        searched = pd.DataFrame([(found.steps, found.converged) for found in log.values()])
        ended.append(searched.mean())
    rows = on_images(known.given, copies, *test).rename(columns={"candidate": "method"})
    rows[["steps", "converged"]] = pd.DataFrame(ended).to_numpy()
    return rows
