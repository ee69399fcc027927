"""Planes through inputs whose label changes, and every boundary on them, with the grid and its law."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from torch import Tensor

from baq.arguments import check_whole
from baq.inference import Classifier
from baq.local import flips, margins
from baq.slices import curves
from baq.slices.jaccard import boundary_mask, grid_change, jaccard_distance, jaccard_law
from baq.slices.label_maps import LabelMap, label_map
from baq.slices.planes import Plane, plane_through

__all__ = ["compared_on", "flipped_first", "planes_through"]


def planes_through(x: Tensor, order: Sequence[int], count: int) -> list[tuple[Plane, list[int]]]:
    """Planes through three inputs each, taken in an order; no input serves twice.

    Three inputs on one line span no plane: then the last of them waits for the next plane.

    Arguments:
        x: inputs, shape (N, *), floats.
        order: rows of inputs, those to show first in front.
        count: the most planes.

    Returns:
        Planes with their rows; fewer than asked for where the inputs run out.

    Raises:
        ValueError: for a count below 0, or inputs that are not finite.

    Example:
        >>> import torch
        >>> [rows for _, rows in planes_through(torch.eye(7), [4, 0, 6, 1, 2, 3], count=5)]
        [[4, 0, 6], [1, 2, 3]]
    """
    check_whole(0, count=count)
    left = list(dict.fromkeys(order))
    found: list[tuple[Plane, list[int]]] = []
    while len(found) < count and len(left) >= 3:
        for rows in combinations(left[:10], 3):
            try:
                found.append((plane_through(x[list(rows)]), list(rows)))
            except ValueError:
                continue
            left = [row for row in left if row not in rows]
            break
        else:
            left = left[10:]
    return found


def flipped_first(z: Tensor, candidates: Mapping[Any, Tensor]) -> list[int]:
    """All inputs in the order in which planes take them.

    First those whose label changes: those that the most candidates change, and of them those with the largest
    margins. Then all others, those with the lowest margins in front.

    Arguments:
        z: logits of the reference, shape (N, K).
        candidates: logits of each candidate, shape (N, K), by a key.

    Raises:
        ValueError: as :func:`baq.local.flips`.

    Example:
        >>> import torch
        >>> z = torch.tensor([[2.0, 1.0], [0.0, 2.0], [1.5, 1.0]])
        >>> flipped_first(z, {"int8": torch.tensor([[1.0, 3.0], [0.0, 1.0], [1.0, 0.5]])})
        [0, 2, 1]
    """
    margin = margins(z).double().cpu().numpy()
    times = sum(flips(z, z_q).long() for z_q in candidates.values())
    count = np.zeros(len(z)) if isinstance(times, int) else times.cpu().numpy()
    size = np.where(count > 0, -margin, margin)
    return np.lexsort((size, -count)).tolist()


def compared_on(
    reference: Classifier,
    candidates: Mapping[Any, Classifier],
    plane: Plane,
    n: int = 129,
    way: str = "auto",
    batch_size: int = 8192,
) -> tuple[pd.DataFrame, dict[Any, LabelMap]]:
    """The boundaries of candidates beside the reference's on one plane.

    Arguments:
        reference, candidates: any callables from inputs to logits; candidates by a key.
        plane: the slice.
        n: cells a side of the label maps.
        way: see :func:`baq.slices.label_maps.label_map`.
        batch_size: cells per evaluation.

    Returns:
        A row for each candidate: ``candidate``, ``n``, ``cell`` (mean side, input units), ``jaccard``, ``law``
        (:func:`baq.slices.jaccard_law` of the distances from the reference's boundary to the candidate's; NaN
        without a boundary), ``curve_distance`` (their median, input units), ``grid_change`` and ``error_bound``.
        And the label maps by key, the reference's first, under None.

    Raises:
        ValueError: as :func:`baq.slices.label_maps.label_map`.

    Example:
        >>> import torch
        >>> u, v = torch.eye(2)
        >>> plane = Plane(torch.zeros(2), u, v, (-1.0, 1.0, -1.0, 1.0))
        >>> def halves(x):
        ...     return torch.stack([x[:, 0], -x[:, 0]], dim=1)
        >>> rows, maps = compared_on(halves, {"same": halves}, plane, n=8)
        >>> rows["jaccard"].item(), list(maps)
        (0.0, [None, 'same'])
    """
    grid = label_map(reference, plane, n, way, batch_size)
    curve, cell = curves.crossings(reference, grid), float(np.mean(grid.cell))
    maps, rows = {None: grid}, []
    for key, candidate in candidates.items():
        grid_q = maps[key] = label_map(candidate, plane, n, way, batch_size)
        distance = curves.curve_distance(curve, curves.crossings(candidate, grid_q))
        masks = boundary_mask(grid.labels), boundary_mask(grid_q.labels)
        row = {"candidate": key, "n": n, "cell": cell, "jaccard": jaccard_distance(*masks)}
        row["law"] = jaccard_law(distance, cell) if len(distance) else np.nan
        row["curve_distance"] = float(np.median(distance)) if len(distance) else np.nan
        row["grid_change"] = grid_change(grid, grid_q)
        rows.append(row | {"error_bound": max(grid.error_bound, grid_q.error_bound)})
    return pd.DataFrame(rows), maps
