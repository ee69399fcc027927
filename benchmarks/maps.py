"""Label maps against the dense loop over plane points (Somepalli et al. 2022, arXiv:2203.08124)."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import nn

from baq.inference import logits, place
from baq.machine import whole
from baq.report.costs import HOPELESS
from baq.slices import LabelMap, Plane, label_map, pca_plane, random_planes
from baq.slices.certified_deep import boxes_pay, settled_share
from baq.slices.plane_bounds import PlaneBounds
from baq.zoo import checkpoints, data, models, training
from benchmarks.race import Race, absent

__all__ = ["audit", "costs", "dense_loop", "map_race", "mnist", "network", "races", "wrong_cells"]

#: Inputs that a network evaluates at a time: what is fastest for the dense loop on a processor.
BATCHES = {"mlp": 1024, "cnn": 100, "resnet": 100}
#: Cells a side of the maps whose cost is plotted.
SIZES = {"certified": (129, 257, 513, 1025, 2049), "adaptive": (65, 129, 257, 513)}
#: The ways that pay for each network.
WAYS = {"mlp": ("certified",), "cnn": ("certified", "adaptive"), "resnet": ("adaptive",)}
#: Cells a side of certified maps of deep networks, and how much faster than the dense loop they should be.
DEEP_TARGETS = {"cnn": {513: 4, 1025: 8}, "resnet": {513: 2, 1025: 4}}
IMAGE_CELLS = 513
#: Peers of the certified maps that cannot be raced.
ABSENT = {
    "bounds by auto_LiRPA": "its newest release as a package, 0.3, needs torch below 1.13",
    "exact partition by SplineCAM": "it is published as sources alone, without a package",
}
DENSE_SIZES = {"mlp": (65, 129, 257, 513), "cnn": (17, 33, 65, 129), "resnet": (17, 33, 65, 129)}


@torch.no_grad()
def dense_loop(model: nn.Module, plane: Plane, n: int, batch: int) -> np.ndarray:
    """Labels of all cells of an n x n grid, each by an evaluation, (n, n)."""
    axes = torch.stack([plane.u.flatten(), plane.v.flatten()])
    found = [
        model((plane.origin.flatten() + c @ axes).reshape(-1, *plane.origin.shape)).argmax(dim=1)
        for c in plane.centres(n).reshape(-1, 2).to(axes).split(batch)
    ]
    return torch.cat(found).reshape(n, n).short().numpy()


@cache
def network(family: str, hidden: int = 0, activation: str = "relu") -> nn.Module:
    """A trained network: for ``mlp`` one hidden layer on MNIST, else the shipped one on CIFAR-10."""
    if family != "mlp":
        return checkpoints.load(family, 0)
    split = mnist()
    return training.fit(
        models.mlp(784, 10, hidden, activation),
        split.x_train,
        split.y_train,
        epochs=5,
        batch_size=256,
        decay=True,
    )


@cache
def mnist() -> data.Splits:
    """MNIST with 10,000 training images."""
    return data.load("mnist", train=10000)


@cache
def _image_planes() -> list[Plane]:
    """20 planes through three test images of CIFAR-10 of three classes."""
    split = data.load("cifar10", train=10)
    return random_planes(split.x_test, split.y_test, 20)


def wrong_cells(model: nn.Module, ours: LabelMap, peer: np.ndarray) -> tuple[int, int]:
    """Cells with another label than the peer's, and those of them that are wrong in float64 too.

    A map of a network in float32 cannot tell two logits apart that are the same number there, so that
    either label is right.
    """
    row, column = np.nonzero(ours.labels != peer)
    if len(row) == 0:
        return 0, 0
    cut = ours.plane
    exact = Plane(cut.origin.double(), cut.u.double(), cut.v.double(), cut.extent)
    x = exact.inputs(cut.centres(ours.n)[row, column])
    z = logits(place(model, torch.float64), x)
    leading = z.amax(dim=1)
    own = z[torch.arange(len(z)), torch.from_numpy(ours.labels[row, column].astype(np.int64))]
    precision = torch.float64 if ours.way == "certified" else next(model.parameters()).dtype
    return len(row), int((leading - own > torch.finfo(precision).eps * leading.abs()).sum())


def map_race(
    model: nn.Module,
    planes: Sequence[Plane],
    n: int,
    way: str,
    *,
    work: str,
    target: float,
    batch: int,
    threads: int = 1,
    repeats: int = 1,
) -> Race:
    """A label map of a network, by the way named and by the dense loop; round k takes plane k."""

    def agree(ours: Sequence[LabelMap], peer: Sequence[np.ndarray]) -> tuple[str, bool]:
        found = [wrong_cells(model, *pair) for pair in zip(ours, peer, strict=True)]
        other, wrong = (sum(k) for k in zip(*found, strict=True))
        count = len({id(planes[k % len(planes)]) for k in range(len(ours))})
        words = f"{wrong} wrong cells on {count} plane{'s' * (count > 1)}"
        if other > wrong:
            words += f" ({other - wrong} where float32 itself differs from float64)"
        return words, wrong == 0

    return Race(
        work,
        f"{n} x {n}",
        target,
        lambda k: label_map(model, planes[k % len(planes)], n, way, batch),
        lambda k: dense_loop(model, planes[k % len(planes)], n, batch),
        agree,
        repeats,
        threads,
    )


def races() -> Iterator[Race | dict[str, object]]:
    """The races of label maps; the networks are made when their turn comes."""
    plane = pca_plane(mnist().x_train[:3000])
    for n, hidden, target in ((513, 64, 100), (1025, 64, 200), (1025, 256, 100)):
        for activation in ("relu", "tanh"):
            yield map_race(
                network("mlp", hidden, activation),
                [plane],
                n,
                "certified",
                work=f"label map, MLP 784-{hidden}-10 {activation}, certified / dense loop",
                target=target,
                batch=BATCHES["mlp"],
                repeats=10,
            )
    for family, name in (("cnn", "CNN"), ("resnet", "ResNet-8")):
        yield map_race(
            network(family),
            _image_planes(),
            IMAGE_CELLS,
            "adaptive",
            work=f"label map, CIFAR-10 {name}, adaptive / dense loop",
            target=10,
            batch=BATCHES[family],
            threads=2,
        )
        for n, target in DEEP_TARGETS[family].items():
            work = f"label map, CIFAR-10 {name}, certified / dense loop"
            yield _certified_race(network(family), n, work, target, BATCHES[family])
    for peer, reason in ABSENT.items():
        yield absent(f"label map, CIFAR-10 CNN, certified / {peer}", "513 x 513", 1, reason)


def _certified_race(
    model: nn.Module, n: int, work: str, target: float, batch: int
) -> Race | dict[str, object]:
    """The race of certified maps of a deep network; a row with the reason where bounds settle too little."""
    planes = _image_planes()
    if boxes_pay(PlaneBounds(model, planes[0], torch.float64), planes[0], n):
        return map_race(
            model, planes, n, "certified", work=work, target=target, batch=batch, threads=2
        )
    shares = [settled_share(PlaneBounds(model, plane, torch.float64), plane, n) for plane in planes]
    reason = f"bounds settle {min(shares):.0%} to {max(shares):.0%} of the cells in boxes of 4 x 4"
    return absent(work, f"{n} x {n}", target, f"{reason} on {len(planes)} planes", HOPELESS)


def audit(planes: int, cache: Path) -> Iterator[dict[str, object]]:
    """Compare maps with dense ones, cell by cell, on several planes: a row for each plane and way.

    A dense map takes up to minutes; it is kept in ``cache`` under its network's checksum.
    """
    cache.mkdir(parents=True, exist_ok=True)
    for family, name in (("cnn", "CNN"), ("resnet", "ResNet-8")):
        model, entry = network(family), checkpoints.manifest()[f"{family}-0"]
        for k, plane in enumerate(_image_planes()[:planes]):
            path = cache / f"{family}-{entry['sha256'][:12]}-{k}.npy"
            if not path.exists():
                with whole(path) as part, open(part, "wb") as file:
                    np.save(file, dense_loop(model, plane, IMAGE_CELLS, BATCHES[family]))
            for way in WAYS[family]:
                grid = label_map(model, plane, IMAGE_CELLS, way, BATCHES[family])
                yield {
                    "network": f"CIFAR-10 {name}",
                    "way": way,
                    "plane": k,
                    "n": grid.n,
                    "evaluated": grid.evaluated / grid.n**2,
                    "wrong": wrong_cells(model, grid, np.load(path))[1],
                    "error_bound": grid.error_bound,
                }


def _sizes(family: str) -> list[tuple[str, int]]:
    return [(way, n) for way in WAYS[family] for n in SIZES[way]]


def costs() -> list[dict[str, object]]:
    """Seconds and evaluations of one map against its size, for the plot and its exponents."""
    plane = pca_plane(mnist().x_train[:3000])
    works = [
        (f"MLP, {hidden} {activation}", "mlp", network("mlp", hidden, activation), plane)
        for hidden in (64, 256)
        for activation in ("relu", "tanh")
    ]
    works += [
        (name, family, network(family), _image_planes()[0])
        for family, name in (("cnn", "CNN"), ("resnet", "ResNet-8"))
    ]
    rows = []
    for name, family, model, cut in works:
        repeats, batch = 5 if family == "mlp" else 1, BATCHES[family]
        for way, n in _sizes(family):
            grid, seconds = None, []
            for _ in range(repeats):
                start = time.perf_counter()
                grid = label_map(model, cut, n, way, batch)
                seconds.append(time.perf_counter() - start)
            rows.append((name, way, n, min(seconds), grid.evaluated))
        for n in DENSE_SIZES[family]:
            start = time.perf_counter()
            dense_loop(model, cut, n, batch)
            rows.append((name, "dense", n, time.perf_counter() - start, n * n))
    columns = ("network", "way", "n", "seconds", "evaluated")
    return [dict(zip(columns, row, strict=True)) for row in rows]
