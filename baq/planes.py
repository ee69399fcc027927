"""Many planes through images, and the slice measures on each of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd
import torch
from torch import Tensor

from baq.inference import Classifier
from baq.slices import (
    Plane,
    boundary_mask,
    grid_change,
    jaccard_distance,
    label_map,
    plane_through,
)

__all__ = ["per_plane", "random_planes"]


def random_planes(x: Tensor, y: Tensor, count: int, seed: int = 0) -> list[Plane]:
    """Planes through three inputs of three classes each, drawn by a seed.

    Arguments:
        x: inputs, shape (N, *).
        y: labels, shape (N,).
        count: number of planes, 1 or more.
        seed: seed of the draw.

    Raises:
        ValueError: for a count below 1, labels of another shape, or fewer than three classes.
    """
    if count < 1 or y.shape != x.shape[:1] or len(y.unique()) < 3:
        raise ValueError(
            f"count is {count}, and {len(x)} inputs have {len(y)} labels of {len(y.unique())} "
            "classes: allowed are 1 or more, as many labels, and 3 classes or more"
        )
    generator = torch.Generator().manual_seed(seed)
    planes: list[Plane] = []
    while len(planes) < count:
        rows = torch.randperm(len(x), generator=generator)[:3]
        if len(y[rows].unique()) == 3:
            planes.append(plane_through(x[rows]))
    return planes


def per_plane(
    reference: Classifier,
    candidates: Mapping[object, Classifier],
    planes: Sequence[Plane],
    n: int = 61,
    sides: str = "two",
    way: str = "auto",
    batch_size: int = 8192,
) -> pd.DataFrame:
    """Boundary Jaccard distance and grid prediction change of every candidate on every plane.

    What :func:`baq.compare` averages over planes, but cheaper, since no curve is traced.

    Arguments:
        reference, candidates: any callables from inputs to logits; candidates by a key.
        planes: the slices.
        n: cells a side of the label maps.
        sides: see :func:`baq.slices.boundary_mask`.
        way: see :func:`baq.slices.label_map`.
        batch_size: cells per evaluation.

    Returns:
        One row a plane and candidate: ``candidate``, ``plane`` (its index), ``jaccard``,
        ``grid_change``, ``error_bound`` (the larger one of the two maps).

    Raises:
        ValueError: as :func:`baq.slices.label_map`.
    """
    rows = []
    for k, plane in enumerate(planes):
        grid = label_map(reference, plane, n, way, batch_size)
        mask = boundary_mask(grid.labels, sides)
        for key, candidate in candidates.items():
            grid_q = label_map(candidate, plane, n, way, batch_size)
            row = {
                "candidate": key,
                "plane": k,
                "jaccard": jaccard_distance(mask, boundary_mask(grid_q.labels, sides)),
                "grid_change": grid_change(grid.labels, grid_q.labels),
                "error_bound": max(grid.error_bound, grid_q.error_bound),
            }
            rows.append(row)
    return pd.DataFrame(rows)
