"""Simulated answers on CIFAR-10: one network under every convention of quantizing and reading it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from baq.band import boundary_band
from baq.inference import logits
from baq.local import flips, margins, pair_flips
from baq.protocols.digits import quantized, quantizers
from baq.protocols.readings import MASKS, coarser, low_margin_jaccard, mask, mask_jaccard
from baq.protocols.space import space
from baq.rounding import Statistics, adaround, boundary_gap
from baq.slices.jaccard import jaccard_distance
from baq.slices.on_plane import on_plane
from baq.slices.planes import Plane, pca_plane, random_planes
from baq.structure import fold_batch_norm
from baq.zoo import checkpoints, data
from baq.zoo.recipes import subset_network

__all__ = ["SHARES", "full_network", "subset_of"]

#: Shares of the sets of low margin, and of the boundary band.
SHARES = (0.1, 0.2, 0.3)
#: Cells a side of the slices that all others are read off.
_FINE = 41
#: The pad of a slice.
_PAD = 0.1
#: Levels that the rules walk down on subsets, and those measured on all of CIFAR-10.
_WALKED, _MEASURED = (8, 7, 6, 5, 4, 3), (8, 6, 5, 4)
#: Planes through three images.
_PLANES = 2
#: Test images of a network on all of CIFAR-10, and images that it is rounded on.
_IMAGES, _ROUNDED = 2000, 1000


def _networks(network: nn.Module) -> dict[str, nn.Module]:
    return {"no": network, "yes": fold_batch_norm(network)}


def _shares(kind: str, values: Sequence[float]) -> dict[str, float]:
    return {f"{kind} {share}": value for share, value in zip(SHARES, values, strict=True)}


@dataclass(frozen=True)
class _Slice:
    """A network on a slice: labels (N, N) and margins (N, N) of its cells."""

    labels: np.ndarray
    margins: np.ndarray

    def masks(self, n: int) -> list[np.ndarray]:
        cells = coarser(self.labels, n, _PAD, _PAD)
        return [mask(cells, rule) for rule in MASKS]

    def low(self, n: int) -> list[np.ndarray]:
        cells = coarser(self.margins, n, _PAD, _PAD)
        return [_lowest(cells, share) for share in SHARES]


def _lowest(cells: np.ndarray, share: float) -> np.ndarray:
    return boundary_band(torch.from_numpy(cells.ravel()), share).numpy().reshape(cells.shape)


def _cut(network: nn.Module, plane: Plane) -> _Slice:
    at = on_plane(network, plane)
    z = logits(at, plane.centres(_FINE).reshape(-1, 2))
    side = (_FINE, _FINE)
    return _Slice(z.argmax(1).numpy().reshape(side), margins(z).numpy().reshape(side))


def _on_slice(reference: _Slice, candidate: _Slice, n: int) -> dict[str, float]:
    """J of masks by each rule, and of the sets of cells of low margin."""
    of_masks = mask_jaccard(reference.masks(n), candidate.masks(n))
    of_cells = [
        jaccard_distance(a, b) for a, b in zip(reference.low(n), candidate.low(n), strict=True)
    ]
    return dict(zip(MASKS, of_masks, strict=True)) | _shares("low cells", of_cells)


def _on_slices(
    cuts: Mapping[str, Sequence[_Slice]], network: nn.Module, planes: Mapping[str, Sequence[Plane]]
) -> list[dict[str, Any]]:
    """A row for each kind of plane and grid, the mean over the planes of the kind."""
    rows = []
    for kind, spanned in planes.items():
        found = [_cut(network, plane) for plane in spanned]
        for n in space().choices["natural_n"].values:
            pairs = [_on_slice(a, b, n) for a, b in zip(cuts[kind], found, strict=True)]
            rows.append({"plane": kind, "n": n} | pd.DataFrame(pairs).mean().to_dict())
    return rows


def subset_of(training: int, seed: int) -> dict[str, pd.DataFrame]:
    """What the claims C and P read from the network of one seed on a CIFAR-10 subset, by table.

    Returns:
        ``subsets-inputs``: accuracy, flips and J of inputs of low margin; ``subsets-slices``: J on slices.
        Each has the conventions of the quantizer, the bits and the part (calibration or test).
    """
    network, split = subset_network(seed, train=training)
    parts = {
        "calibration": (split.x_calibration, split.y_calibration),
        "test": (split.x_test, split.y_test),
    }
    networks = _networks(network)
    inputs, on_slices = [], []
    for part, (x, y) in parts.items():
        z = logits(network, x)
        planes = {"pca": [pca_plane(x, _PAD)], "three": random_planes(x, y, _PLANES, seed)}
        cuts = {kind: [_cut(network, plane) for plane in some] for kind, some in planes.items()}
        for how, folded, b in product(quantizers(), networks, _WALKED):
            copy = quantized(networks[folded], b, **how)
            here = how | {"folded": folded, "part": part, "bits": b}
            z_q = logits(copy, x)
            for images in space().choices["images"].values:
                known, found, right = z[:images], z_q[:images], y[:images]
                row = {
                    "images": images,
                    "accuracy_reference": _mean(known.argmax(1) == right),
                    "accuracy": _mean(found.argmax(1) == right),
                    "flip_rate": _mean(flips(known, found)),
                }
                row |= _shares(
                    "low inputs", [low_margin_jaccard(known, found, share) for share in SHARES]
                )
                inputs.append(here | row)
            on_slices += [here | row for row in _on_slices(cuts, copy, planes)]
    name = {"training": training, "seed": seed}
    return {
        "subsets-inputs": pd.DataFrame([name | row for row in inputs]),
        "subsets-slices": pd.DataFrame([name | row for row in on_slices]),
    }


def _mean(found: Tensor) -> float:
    return float(found.double().mean())


def full_network(family: str, seed: int) -> dict[str, pd.DataFrame]:
    """What the claims F, O and R read from one network on all of CIFAR-10, by table.

    Returns:
        ``full-inputs``: loss of accuracy and flips, overall and in bands, by quantizer and bits;
        ``rounding-inputs`` and ``rounding-slices``: at 4 bits, flips of the top pair in bands, J of inputs of
        low margin and J on slices, by scale, search, and weight of the gap term (0: without).
    """
    split = data.load("cifar10", seed, train=_ROUNDED, calibration=checkpoints.CALIBRATION)
    test = data.load("cifar10", train=10, test=_IMAGES)
    x, y = test.x_test, test.y_test
    network = checkpoints.load(family, seed)
    z, networks = logits(network, x), _networks(network)
    name = {"family": family, "seed": seed}
    inputs = []
    for how, folded, b in product(quantizers(), networks, _MEASURED):
        z_q = logits(quantized(networks[folded], b, **how), x)
        row = {"loss": _mean(z.argmax(1) == y) - _mean(z_q.argmax(1) == y)}
        row["flip_rate"] = _mean(flips(z, z_q))
        row |= _shares("band", _in_bands(z, flips(z, z_q)))
        inputs.append(name | how | {"folded": folded, "bits": b} | row)
    planes = {"pca": [pca_plane(x, _PAD)], "three": random_planes(x, y, 1, seed)}
    cuts = {kind: [_cut(network, plane) for plane in some] for kind, some in planes.items()}
    of_inputs, of_slices = [], []
    for scale in space().choices["scale"].values:
        for search, gap, copy in _rounded(network, scale, split.x_train):
            here = name | {"scale": scale, "search": search, "gap": gap}
            z_q = logits(copy, x)
            row = _shares("band pairs", _in_bands(z, pair_flips(z, z_q)))
            row |= _shares("low inputs", [low_margin_jaccard(z, z_q, s) for s in SHARES])
            of_inputs.append(here | row)
            of_slices += [here | row for row in _on_slices(cuts, copy, planes)]
    return {
        "full-inputs": pd.DataFrame(inputs),
        "rounding-inputs": pd.DataFrame(of_inputs),
        "rounding-slices": pd.DataFrame(of_slices),
    }


def _in_bands(z: Tensor, changed: Tensor) -> list[float]:
    return [_mean(changed[boundary_band(margins(z), share)]) for share in SHARES]


def _rounded(network: nn.Module, scale: str, x: Tensor) -> list[tuple[str, float, nn.Module]]:
    """The network at 4 bits, by search and weight of the gap term, 0 for without."""
    known, per_channel = Statistics(network, x), scale == "channel"
    starts = {
        "nearest": quantized(network, 4, scale, "symmetric"),
        "AdaRound": adaround(network, 4, known, per_channel=per_channel, steps=20),
    }
    weights, found = space().choices["gap"].values, []
    for search, start in starts.items():
        with_gap = boundary_gap(
            network, 4, known, weights, start=start, per_channel=per_channel, steps=20
        )
        found += [(search, w, copy) for w, copy in {0.0: start, **with_gap}.items()]
    return found
