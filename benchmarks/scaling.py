"""Measure how costs grow with seeds, grids, points, classes and weights, for the page *Scaling*."""

from __future__ import annotations

import io
import resource
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr
from dataclasses import dataclass
from functools import partial

import pandas as pd
import torch
import torchvision
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from baq import local, ptq_w, slices
from baq.inference import logits
from baq.machine import processor_name
from baq.report.runs import threads
from baq.zoo import data, models, training
from workflow.project import Project
from workflow.runner import execute

__all__ = ["measure", "multiply_adds", "reference_models"]

_CHAPTERS: dict[str, dict[str, object]] = {
    "01-local-geometry": {},
    "03-interpolation-and-junctions": {"steps": 10, "n": 129},
}
_SEEDS = (1, 5, 10, 20)
_WIDTHS = (32, 64, 128, 256)
_POINTS = (200, 400, 800, 1600, 3200)
_CLASSES = (4, 8, 16, 32, 64)
_GRIDS = {"dense": (33, 65, 129), "adaptive": (65, 129, 257, 513)}
_HIDDEN = (100, 300, 1000, 3000)
_REPEATS = 3
# Networks for ImageNet; the first is timed on smaller images, and all on their own ones for a check.
_IMAGENET = ("resnet18", "resnet50", "vit_b_16")
_SIDES = (64, 96, 128, 160)


@dataclass(frozen=True)
class Cost:
    """One kind of work at one size: ``units`` pieces of it are timed together."""

    work: str
    variable: str
    value: float
    units: int
    do: Callable[[], object]


def measure(project: Project) -> pd.DataFrame:
    """Time every kind of work at every size, on one thread, and tell which.

    Returns:
        A row for each repeat: ``work``, ``variable``, ``value``, ``repeat``, ``seconds`` of a core for
        one unit of work, ``processor``.
    """
    with threads(1):
        rows = list(_rows(project))
    return pd.DataFrame(rows).assign(processor=processor_name())


def _rows(project: Project) -> Iterator[dict[str, object]]:
    for cost in _costs():
        _tell(f"{cost.work}, {cost.value:g} {cost.variable}")
        cost.do()  # the first call pays for what later ones find done
        for repeat in range(_REPEATS):
            yield _row(cost, repeat, _seconds(cost.do))
    place = project.build / "scaling"
    for name, given in _CHAPTERS.items():
        chapter = project.chapter(name)
        for seeds in _SEEDS:
            _tell(f"chapter {name}, {seeds} seeds")
            do = partial(execute, project, chapter, {**given, "seeds": seeds}, place)
            with redirect_stderr(io.StringIO()):
                seconds = _seconds(do)
            yield _row(Cost(f"chapter {name}", "seeds", seeds, 1, do), 0, seconds)
    shutil.rmtree(place)


def _costs() -> Iterator[Cost]:
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(3200, 3, 32, 32, generator=generator)
    answers = torch.randint(10, (8,), generator=generator)
    for width in _WIDTHS:
        network = models.cnn(3, 10, width, 0).eval()
        size = multiply_adds(network, images[:1])
        yield Cost("evaluation", "multiply-adds", size, 200, _evaluation(network, images[:200]))
    first = _IMAGENET[0]
    network = torchvision.models.get_model(first, weights=None)
    for side in _SIDES:
        x = torch.rand(8, 3, side, side, generator=generator)
        size = multiply_adds(network.eval(), x[:1])
        yield Cost(f"evaluation of {first}", "multiply-adds", size, 8, _evaluation(network, x))
        fit = partial(training.fit, network, x, answers, epochs=1, batch_size=8)
        yield Cost(f"training of {first}", "multiply-adds", size, 8, fit)
    for name in _IMAGENET:
        network = torchvision.models.get_model(name, weights=None).eval()
        x = torch.rand(4, 3, 224, 224, generator=generator)
        size = multiply_adds(network, x[:1])
        yield Cost(f"check of {name}", "multiply-adds", size, 4, _evaluation(network, x))
    small = models.cnn(3, 10, 16, 0).eval()
    for count in _POINTS:
        yield Cost("labels of a set", "points", count, 1, _evaluation(small, images[:count]))
    for classes in _CLASSES:
        network = models.cnn(3, classes, 16, 0).eval()
        yield Cost("radii", "classes", classes, 50, partial(local.radii, network, images[:50]))
        yield Cost(
            "evaluation for radii", "classes", classes, 200, _evaluation(network, images[:200])
        )
    split = data.load("digits", 0, test=0.25)
    x = split.x_train.reshape(-1, 1, 8, 8).repeat_interleave(4, 2).repeat_interleave(4, 3)
    drawn = training.fit(models.cnn(1, 10, 16, 0), x, split.y_train, epochs=5, seed=0)
    plane = slices.pca_plane(x)
    for way, sides in _GRIDS.items():
        for n in sides:
            yield Cost(
                f"label map, {way}",
                "cells a side",
                n,
                1,
                partial(slices.label_map, drawn, plane, n, way),
            )
    yield Cost("evaluation for maps", "points", len(x), len(x), _evaluation(drawn, x))
    for hidden in _HIDDEN:
        network = models.mlp(1000, 1000, hidden, "relu", 0)
        weights = sum(p.numel() for p in network.parameters() if p.dim() > 1)
        yield Cost("rounding", "weights", weights, 1, partial(ptq_w, network, 4))


def _evaluation(network: nn.Module, x: torch.Tensor) -> Callable[[], object]:
    return partial(logits, network, x, 100)


def _seconds(do: Callable[[], object]) -> float:
    """Of processor time, ours and our children's, which other work on the machine changes little."""
    before = _spent()
    do()
    return _spent() - before


def _spent() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def _row(cost: Cost, repeat: int, seconds: float) -> dict[str, object]:
    place = {"work": cost.work, "variable": cost.variable, "value": cost.value}
    return {**place, "repeat": repeat, "seconds": seconds / cost.units}


def multiply_adds(network: nn.Module, x: torch.Tensor) -> int:
    """Multiplications with an addition that an evaluation of ``x`` takes, shape (N, *)."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(x)
    return counter.get_total_flops() // 2


def reference_models() -> pd.DataFrame:
    """ImageNet-size networks: ``model``, ``weights``, ``multiply_adds`` for an image, ``classes``.

    They are built without storage, so that no weights are needed.
    """
    rows = []
    with torch.device("meta"):
        for name in _IMAGENET:
            network = torchvision.models.get_model(name, weights=None).eval()
            size = multiply_adds(network, torch.rand(1, 3, 224, 224))
            weights = sum(p.numel() for p in network.parameters())
            rows.append({"model": name, "weights": weights, "multiply_adds": size, "classes": 1000})
    return pd.DataFrame(rows)


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
