"""The digits networks compared under other conventions, one changed at a time, and with controls."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, partial
from typing import Any

import pandas as pd
from torch import nn

from baq.comparison import compare
from baq.quantization import ptq_w
from baq.slices.planes import Plane, pca_plane, plane_through
from baq.zoo import data
from baq.zoo.recipes import digits_network

__all__ = ["CHOICES", "ITSELF", "digits_choices", "digits_controls"]

#: What each choice changes: the network, its levels, the slice's padding or images, or the masks.
CHOICES: dict[str, dict[str, Any]] = {
    "as chosen": {},
    "32 hidden units": {"network": {"hidden": 32}},
    "128 hidden units": {"network": {"hidden": 128}},
    "ReLU": {"network": {"activation": "relu"}},
    "standardized inputs": {"standardized": True},
    "one scale per output unit": {"levels": {"per_channel": True}},
    "asymmetric levels": {"levels": {"symmetric": False}},
    "one-sided masks": {"sides": "one"},
    "slice without padding": {"pad": 0.0},
    "slice of the test images": {"slice": "test"},
    "plane through three test images": {"slice": "three"},
}
#: The control that must be all zero.
ITSELF = "float against itself"


def digits_choices(
    seed: int, recipe: Mapping[str, Any], *, n: int = 241, pad: float = 0.1, sides: str = "two"
) -> pd.DataFrame:
    """A digits network at 8 and 4 bits on its slice, under each of :data:`CHOICES`.

    Standardized inputs have mean 0 and deviation 1 over all pixels of the training images of seed 0.

    Arguments:
        seed: seed of the splits and the network.
        recipe: arguments of :func:`baq.zoo.recipes.digits_network`, ``test`` among them.
        n: cells a side of the label maps.
        pad: share by which the slice is wider than its images.
        sides: see :func:`baq.slices.jaccard.boundary_mask`.

    Returns:
        Rows of :func:`baq.compare` on the test images, with ``choice`` and ``seed``.
    """
    trained, rows = cache(partial(digits_network, seed)), []
    pixels = data.load("digits", 0, test=recipe["test"]).x_train
    standard = {"shift": pixels.mean().item(), "scale": pixels.std().item()}
    for name, choice in CHOICES.items():
        changed = standard if "standardized" in choice else choice.get("network", {})
        reference, split = trained(**{**recipe, **changed})
        if choice.get("slice") == "three":
            plane = plane_through(split.x_test[:3], pad)
        else:
            spanning = split.x_test if "slice" in choice else split.x_train
            plane = pca_plane(spanning, choice.get("pad", pad))
        found = compare(
            reference,
            {bits: ptq_w(reference, bits, **choice.get("levels", {})) for bits in (8, 4)},
            split.x_test,
            split.y_test,
            planes=plane,
            n=n,
            sides=choice.get("sides", sides),
        )
        rows.append(found.assign(choice=name, seed=seed))
    return pd.concat(rows, ignore_index=True)


def digits_controls(
    seed: int,
    reference: nn.Module,
    copies: Mapping[int, nn.Module],
    plane: Plane,
    recipe: Mapping[str, Any],
    *,
    n: int = 241,
    sides: str = "two",
) -> pd.DataFrame:
    """A digits network against itself, its quantized copies and another training; and a control.

    Another training has the same images and another start. The control is a network trained on the
    labels in random order, which is compared with its own copies.

    Arguments:
        seed: seed of the reference.
        reference: its network.
        copies: bit width to quantized copy, in the order of the rows.
        plane: the slice.
        recipe: arguments of :func:`baq.zoo.recipes.digits_network` that gave the reference.
        n: cells a side of the label maps.
        sides: see :func:`baq.slices.jaccard.boundary_mask`.

    Returns:
        Rows of :func:`baq.compare` on the test images, ``candidate`` the pair's name, with ``seed``.
    """
    another, split = digits_network(seed, start=seed + 1000, **recipe)
    shuffled, _ = digits_network(seed, shuffled=True, **recipe)
    pairs = [
        (ITSELF, reference, reference),
        *((f"{bits} bits", reference, copy) for bits, copy in copies.items()),
        ("another training", reference, another),
        *((f"shuffled labels, {bits} bits", shuffled, ptq_w(shuffled, bits)) for bits in copies),
    ]
    rows = [
        compare(one, {name: other}, split.x_test, split.y_test, planes=plane, n=n, sides=sides)
        for name, one, other in pairs
    ]
    return pd.concat(rows, ignore_index=True).assign(seed=seed)
