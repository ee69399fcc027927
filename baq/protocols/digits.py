"""Simulated answers on digits: one network under every convention of quantizing and reading it."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from baq import local
from baq.band import boundary_band
from baq.inference import logits
from baq.protocols.readings import (
    COUNTED,
    MASKS,
    coarser,
    junction_counts,
    low_margin_jaccard,
    mask,
    mask_jaccard,
)
from baq.protocols.space import space
from baq.quantization import interpolate, ptq_w
from baq.slices.label_maps import label_map
from baq.slices.planes import Plane, pca_plane
from baq.zoo import data, models, training

__all__ = ["FINE", "LEVELS", "LOW", "TRANSITIONS", "of_network", "quantizers"]

#: Cells a side and pad of the maps that all others are read off.
FINE = 481, 0.1
#: The levels that the rules walk down.
LEVELS = (8, 7, 6, 5, 4, 3, 2)
#: Shares of the sets of cells of low margin.
LOW = (0.05, 0.1, 0.2, 0.3)
#: Transitions between levels.
TRANSITIONS = ((8, 6), (6, 4), (4, 3), (5, 4), (3, 2))
#: Cells a side of the slice whose cells of low margin are compared.
_CELLS = 61


def quantizers() -> list[dict[str, str]]:
    """Every scale and zero of the space."""
    choices = space().choices
    return [
        {"scale": scale, "zero": zero}
        for scale, zero in product(choices["scale"].values, choices["zero"].values)
    ]


def quantized(network: nn.Module, bits: int, scale: str, zero: str) -> nn.Module:
    """PTQ-W under named conventions."""
    return ptq_w(network, bits, per_channel=scale == "channel", symmetric=zero == "symmetric")


def of_network(seed: int, hidden: int, activation: str, inputs: str) -> dict[str, pd.DataFrame]:
    """What the claims on digits read from the networks of one seed, by table.

    One network is trained without a quarter of the images, for the claims D and T, and one on 60 % of them,
    with 20 % for calibration and 20 % for the test, for S.

    Returns:
        ``digits-inputs``, ``digits-slices`` and ``digits-cells`` for D and T: flips at 8 bits, accuracy and
        shifts at 4; J and junction cells on slices; J of cells of low margin. ``stopping-inputs``,
        ``stopping-slices`` and ``stopping-cells`` for S, the same with a column for each level.
    """
    network, split = _trained(seed, hidden, activation, inputs, test=0.25)
    tables = _once(network, split)
    network, split = _trained(seed, hidden, activation, inputs, calibration=0.2, test=0.2)
    tables |= _stopping(network, split)
    name = {"hidden": hidden, "activation": activation, "inputs": inputs, "seed": seed}
    for key, rows in tables.items():
        tables[key] = pd.DataFrame([name | row for row in rows])
    return tables


def _trained(
    seed: int, hidden: int, activation: str, inputs: str, **sizes: float
) -> tuple[nn.Module, data.Splits]:
    split = data.load("digits", seed, **sizes)
    if inputs == "standardized":
        mean, deviation = split.x_train.mean(0), split.x_train.std(0)
        deviation = torch.where(deviation > 0, deviation, 1)
        parts = ("x_train", "x_calibration", "x_test")
        split = replace(split, **{p: (getattr(split, p) - mean) / deviation for p in parts})
    network = models.mlp(64, 10, hidden, activation, seed)
    training.fit(network, split.x_train, split.y_train, seed=seed)
    return network, split


def _fine(network: nn.Module, plane: Plane) -> np.ndarray:
    return label_map(network, plane, FINE[0]).labels.astype(np.uint8)


def _on_cells(network: nn.Module, plane: Plane) -> Tensor:
    return logits(network, plane.inputs(plane.centres(_CELLS).reshape(-1, 2)))


def _grids() -> list[dict[str, Any]]:
    choices = space().choices
    return [
        {"pad": pad, "n": n}
        for pad, n in product(choices["pad"].values, choices["digits_n"].values)
    ]


def _once(network: nn.Module, split: data.Splits) -> dict[str, list[dict[str, Any]]]:
    """Rows for the claims D and T."""
    x, y = split.x_test, split.y_test
    z, gap = logits(network, x), local.pair_gap(network, x)
    band = boundary_band(local.margins(z), 0.2)
    spanned = {"train": split.x_train, "own": x}
    planes = {name: pca_plane(points, FINE[1]) for name, points in spanned.items()}
    floats = {name: (_fine(network, p), _on_cells(network, p)) for name, p in planes.items()}
    widths = sorted({b for pair in TRANSITIONS for b in pair}, reverse=True)
    inputs, on_slices, on_cells = [], [], []
    for how in quantizers():
        copies = {b: quantized(network, b, **how) for b in widths}
        shift = local.displacement_to(gap, copies[4], x).abs()
        inputs.append(
            how
            | {
                "changed": int(local.flips(z, logits(copies[8], x)).sum()),
                "accuracy": float((logits(copies[4], x).argmax(1) == y).double().mean()),
                "shift all": float(np.median(shift)),
                "shift band": float(np.median(shift[band])),
            }
        )
        for name, plane in planes.items():
            here = how | {"plane": name}
            known, z_cells = floats[name]
            maps = {b: _fine(copy, plane) for b, copy in copies.items()}
            films = {
                (b, c): [maps[b], _fine(interpolate(copies[b], copies[c], 0.5), plane), maps[c]]
                for b, c in TRANSITIONS
            }
            on_slices += [here | grid | _read(known, maps, films, **grid) for grid in _grids()]
            z_copies = {b: _on_cells(copies[b], plane) for b in (8, 4)}
            for share in LOW:
                row = here | {"share": share}
                for b in (8, 4):
                    row[f"J {b}"] = low_margin_jaccard(z_cells, z_copies[b], share)
                on_cells.append(row)
    return {"digits-inputs": inputs, "digits-slices": on_slices, "digits-cells": on_cells}


def _read(
    known: np.ndarray,
    maps: dict[int, np.ndarray],
    films: dict[tuple[int, int], list[np.ndarray]],
    pad: float,
    n: int,
) -> dict[str, float]:
    """J and junction cells on one grid under every rule."""
    row: dict[str, float] = {}
    float_masks = [mask(coarser(known, n, pad, FINE[1]), rule) for rule in MASKS]
    for b in (8, 4):
        cells = coarser(maps[b], n, pad, FINE[1])
        found = mask_jaccard(float_masks, [mask(cells, rule) for rule in MASKS])
        row |= {f"J {b} {rule}": j for rule, j in zip(MASKS, found, strict=True)}
    for (b, c), film in films.items():
        read = [coarser(cells, n, pad, FINE[1]) for cells in film]
        for block in (2, 3):
            counts = junction_counts(read, block)
            row |= {f"{b} to {c}, {block}, {way}": counts[way] for way in COUNTED}
    return row


def _stopping(network: nn.Module, split: data.Splits) -> dict[str, list[dict[str, Any]]]:
    """Rows for the claims S."""
    parts = {
        "calibration": (split.x_calibration, split.y_calibration),
        "test": (split.x_test, split.y_test),
    }
    z = {part: logits(network, x) for part, (x, _) in parts.items()}
    slices = {("train", "both"): split.x_train}
    slices |= {("own", part): x for part, (x, _) in parts.items()}
    planes = {key: pca_plane(x, FINE[1]) for key, x in slices.items()}
    floats = {key: (_fine(network, p), _on_cells(network, p)) for key, p in planes.items()}
    masks = {
        (key, *grid.values()): [
            mask(coarser(known, grid["n"], grid["pad"], FINE[1]), rule) for rule in MASKS
        ]
        for key, (known, _) in floats.items()
        for grid in _grids()
    }
    inputs: list[dict[str, Any]] = []
    on_slices: dict[tuple[Any, ...], dict[str, Any]] = {}
    on_cells: dict[tuple[Any, ...], dict[str, Any]] = {}
    for how, b in product(quantizers(), LEVELS):
        copy = quantized(network, b, **how)
        for part, (x, y) in parts.items():
            z_q = logits(copy, x)
            inputs.append(
                how
                | {
                    "part": part,
                    "bits": b,
                    "accuracy_reference": float((z[part].argmax(1) == y).double().mean()),
                    "accuracy": float((z_q.argmax(1) == y).double().mean()),
                    "flip_rate": float(local.flips(z[part], z_q).double().mean()),
                }
            )
        for key, plane in planes.items():
            here = how | dict(zip(("plane", "part"), key, strict=True))
            maps = _fine(copy, plane)
            for grid in _grids():
                cells = coarser(maps, grid["n"], grid["pad"], FINE[1])
                found = mask_jaccard(
                    masks[(key, *grid.values())], [mask(cells, rule) for rule in MASKS]
                )
                for rule, j in zip(MASKS, found, strict=True):
                    name = here | grid | {"mask": rule}
                    on_slices.setdefault(tuple(name.values()), name)[f"J {b}"] = j
            z_cells = _on_cells(copy, plane)
            for share in LOW:
                name = here | {"share": share}
                j = low_margin_jaccard(floats[key][1], z_cells, share)
                on_cells.setdefault(tuple(name.values()), name)[f"J {b}"] = j
    return {
        "stopping-inputs": inputs,
        "stopping-slices": list(on_slices.values()),
        "stopping-cells": list(on_cells.values()),
    }
