"""Junctions of a label map, and how far from them a map changes."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy import ndimage
from torch import Tensor

from baq.arguments import check_whole
from baq.slices.jaccard import as_map, boundary_mask, check_maps
from baq.slices.label_maps import LabelMap, check_label_maps
from baq.slices.planes import check_same_extent

__all__ = [
    "junction_cells",
    "junction_distance",
    "rearrangement",
    "region_events",
    "vanished_regions",
]


def junction_cells(
    labels: ArrayLike | Tensor | LabelMap, order: int = 3, block: int = 2
) -> np.ndarray:
    """Junction cells: ``block x block`` windows with at least ``order`` different labels.

    Order 3 gives triple and order 4 quadruple junctions. Returns a mask of shape
    (n - block + 1, n - block + 1), indexed by each window's lowest row and column.

    Raises:
        ValueError: for an order below 2, or a block below 2 or above the map's side.

    Example:
        >>> junction_cells([[0, 0, 1], [0, 2, 1], [2, 2, 1]]).astype(int).tolist()
        [[0, 1], [0, 0]]
    """
    labels = as_map(labels)
    check_maps(labels)
    check_whole(2, order=order)
    check_whole(2, min(labels.shape), block=block)
    rows, columns = (side - block + 1 for side in labels.shape)
    cells = [labels[i : i + rows, j : j + columns] for i in range(block) for j in range(block)]
    # A cell adds a label to its window if it differs from all cells before it.
    count = np.ones((rows, columns), dtype=np.int32)
    for k, cell in enumerate(cells[1:], start=1):
        new = cell != cells[0]
        for other in cells[1:k]:
            new &= cell != other
        count += new
    return count >= order


def junction_distance(grid: LabelMap, order: int = 3, block: int = 2) -> np.ndarray:
    """Distance from each cell to the nearest junction cell of a label map, in input units (n, n).

    Cells inside a junction block are at distance 0. Without a junction all distances are infinite.

    Example:
        >>> import torch
        >>> from baq.slices import Plane
        >>> axes = torch.eye(2)
        >>> plane = Plane(torch.zeros(2), axes[0], axes[1], (0.0, 4.0, 0.0, 2.0))
        >>> labels = np.array([[0, 1, 1, 1], [2, 1, 1, 1]])
        >>> junction_distance(LabelMap(labels, plane, "dense", 8)).tolist()
        [[0.0, 0.0, 2.0, 4.0], [0.0, 0.0, 2.0, 4.0]]
    """
    check_label_maps(grid)
    found = junction_cells(grid.labels, order, block)
    inside = np.zeros(grid.labels.shape, dtype=bool)
    rows, columns = found.shape
    for i in range(block):
        for j in range(block):
            inside[i : i + rows, j : j + columns] |= found
    if not inside.any():
        return np.full(inside.shape, np.inf)
    return ndimage.distance_transform_edt(~inside, sampling=grid.cell[::-1])


def vanished_regions(
    a: ArrayLike | Tensor | LabelMap, b: ArrayLike | Tensor | LabelMap
) -> list[np.ndarray]:
    """Regions of label map ``a`` that map ``b`` lacks: a mask (n, n) for each.

    A region is a 4-connected set of cells of one label; it has vanished if none of its cells keeps
    its label. The regions that appear are those of ``b`` that vanish towards ``a``.

    Example:
        >>> [region.astype(int).tolist() for region in vanished_regions([[0, 1, 0]] * 2, [[0, 0, 0]] * 2)]
        [[[0, 1, 0], [0, 1, 0]]]
    """
    a, b = as_map(a), as_map(b)
    check_maps(a, b)
    gone: list[np.ndarray] = []
    for label in np.unique(a):
        regions, count = ndimage.label(a == label)
        kept = np.unique(regions[(b == label) & (regions > 0)])
        gone += [regions == k for k in np.setdiff1d(np.arange(1, count + 1), kept)]
    return gone


def region_events(
    before: ArrayLike | Tensor | LabelMap, after: ArrayLike | Tensor | LabelMap
) -> dict[str, int]:
    """How the regions of two label maps follow from one another, by which cells keep their label.

    A region, a 4-connected set of cells of one label, *dies* without a successor that shares a cell with
    it and is *born* without a predecessor; it *splits* where it has several successors, and several
    predecessors *merge* into one. A split into k regions counts k - 1 times, and so does a merger.

    Returns:
        ``births``, ``deaths``, ``merges``, ``splits``; ``inner``, the births and deaths of regions that
        do not touch the edge of the map, beyond which they may go on.

    Raises:
        ValueError: for maps of unequal sides, or what is no map.

    Example:
        >>> region_events([[0, 1, 0]] * 2, [[0, 0, 0]] * 2)
        {'births': 0, 'deaths': 1, 'merges': 1, 'splits': 0, 'inner': 0}
    """
    a, b = as_map(before), as_map(after)
    check_maps(a, b)
    found = dict.fromkeys(("births", "deaths", "merges", "splits", "inner"), 0)
    for label in np.union1d(np.unique(a), np.unique(b)):
        (old, olds), (new, news) = (ndimage.label(grid == label) for grid in (a, b))
        shared = np.zeros((olds + 1, news + 1), dtype=bool)
        shared[old[(old > 0) & (new > 0)], new[(old > 0) & (new > 0)]] = True
        for name, several, grid, kin in (
            ("deaths", "splits", old, shared[1:].sum(axis=1)),
            ("births", "merges", new, shared[:, 1:].sum(axis=0)),
        ):
            edge = np.unique(np.concatenate([grid[0], grid[-1], grid[:, 0], grid[:, -1]]))
            alone = np.flatnonzero(kin == 0) + 1
            found[name] += len(alone)
            found["inner"] += len(np.setdiff1d(alone, edge))
            found[several] += int((kin - 1).clip(min=0).sum())
    return found


def rearrangement(before: LabelMap, after: LabelMap) -> dict[str, np.ndarray]:
    """Distances to the nearest junction of what changes between two label maps, and of two controls.

    Returns:
        Distances in input units: of the ``changed cells``, of the ``boundary cells`` and of ``all
        cells`` of the map before, to the junctions of the map before; and of the ``regions`` that
        vanish or appear, to the junctions of the map that lacks them. A region's distance is the
        median over its cells, so that a large region does not count as near because of its size.

    Raises:
        ValueError: if the maps differ in cells a side, or lie on planes of different extent.

    Example:
        >>> import torch
        >>> from baq.slices import Plane
        >>> axes = torch.eye(2)
        >>> plane = Plane(torch.zeros(2), axes[0], axes[1], (0.0, 4.0, 0.0, 2.0))
        >>> before = LabelMap(np.array([[0, 1, 1, 1], [2, 1, 1, 1]]), plane, "dense", 8)
        >>> after = LabelMap(np.array([[0, 1, 1, 1], [2, 2, 1, 1]]), plane, "dense", 8)
        >>> rearrangement(before, after)["changed cells"].tolist()
        [0.0]
    """
    check_label_maps(before, after)
    check_same_extent(before.plane, after.plane)
    check_maps(before.labels, after.labels)
    distance, distance_after = junction_distance(before), junction_distance(after)
    regions = [
        np.median(lacking[region])
        for lacking, here, there in (
            (distance_after, before, after),
            (distance, after, before),
        )
        for region in vanished_regions(here.labels, there.labels)
    ]
    return {
        "changed cells": distance[before.labels != after.labels],
        "boundary cells": distance[boundary_mask(before.labels)],
        "all cells": distance.ravel(),
        "regions": np.array(regions),
    }
