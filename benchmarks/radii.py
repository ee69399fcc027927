"""All-class radii against L2 DeepFool of foolbox (Rauber et al. 2017, arXiv:1707.04131)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from scipy.stats import spearmanr
from torch import Tensor, nn

from baq.local import radii
from baq.zoo import data
from benchmarks.maps import network
from benchmarks.race import Race, absent

__all__ = ["RANK", "deepfool", "floor", "floor_race", "races", "radius_race"]

#: The least Spearman correlation of the two radii.
RANK = 0.99


def deepfool(model: nn.Module, x: Tensor, batch: int) -> np.ndarray:
    """Length of the perturbation that L2 DeepFool with its defaults finds for each point.

    Raises:
        ImportError: where there is no foolbox.
    """
    from foolbox import PyTorchModel
    from foolbox.attacks import L2DeepFoolAttack

    # Bounds so wide that no perturbation is cut off: the radius asks for the nearest boundary.
    wrapped = PyTorchModel(model, bounds=(-1e3, 1e3), device="cpu")
    found = []
    for part in x.split(batch):
        with torch.no_grad():
            label = model(part).argmax(dim=1)
        found.append((L2DeepFoolAttack().run(wrapped, part, label) - part).flatten(1).norm(dim=1))
    return torch.cat(found).numpy()


def floor(model: nn.Module, x: Tensor, batch: int) -> None:
    """One forward and K retained backward passes, and nothing else."""
    for part in x.split(batch):
        part = part.detach().requires_grad_()
        z = model(part)
        for k in range(z.shape[1]):
            torch.autograd.grad(z[:, k].sum(), part, retain_graph=True)


def radius_race(
    model: nn.Module, x: Tensor, work: str, target: float, batch: int, repeats: int = 1
) -> Race:
    """Radii of all points by us and by DeepFool, which must rank the points alike.

    Raises:
        ImportError: where there is no foolbox.
    """
    import foolbox  # noqa: F401

    def agree(ours: Sequence[np.ndarray], peer: Sequence[np.ndarray]) -> tuple[str, bool]:
        rank = min(spearmanr(a, b).statistic for a, b in zip(ours, peer, strict=True))
        return f"Spearman {rank:.4f}", bool(rank >= RANK)

    return Race(
        work,
        f"{len(x)} points",
        target,
        lambda _: radii(model, x, batch)[0].numpy(),
        lambda _: deepfool(model, x, batch),
        agree,
        repeats,
    )


def floor_race(model: nn.Module, x: Tensor, work: str, batch: int, repeats: int = 1) -> Race:
    """Radii against the least that autograd can do: at most a tenth more."""
    return Race(
        work,
        f"{len(x)} points",
        1 / 1.1,
        lambda _: radii(model, x, batch),
        lambda _: floor(model, x, batch),
        lambda ours, peer: ("the floor has no answer", True),
        repeats,
    )


def races() -> Iterator[Race | dict[str, object]]:
    """Radii of an MLP on 10,000 images and of a CNN on 256, and of three families against the floor."""
    mnist, cifar = data.load("mnist", train=10).x_test, data.load("cifar10", train=10).x_test
    works = [
        ("MLP 784-64-10 relu", network("mlp", 64, "relu"), mnist, 50, 1000, 5),
        ("CIFAR-10 CNN", network("cnn"), cifar[:256], 8, 64, 1),
    ]
    for name, model, x, target, batch, repeats in works:
        work = f"all-class radii, {name} / foolbox L2 DeepFool"
        try:
            yield radius_race(model, x, work, target, batch, repeats)
        except ImportError as error:
            yield absent(work, f"{len(x)} points", target, error)
    works.append(("CIFAR-10 ResNet-8", network("resnet"), cifar[:256], 0, 64, 1))
    for name, model, x, _, batch, repeats in works:
        work = f"all-class radii, {name} / one forward and K backward passes"
        yield floor_race(model, x, work, batch, repeats)
