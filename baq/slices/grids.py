"""How a comparison on a slice depends on the grid, and what in it does not."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

import numpy as np
import pandas as pd
from torch import nn

from baq.slices import curves
from baq.slices.jaccard import boundary_mask, grid_change, jaccard_distance, jaccard_law
from baq.slices.label_maps import label_map
from baq.slices.planes import Plane

__all__ = ["across_grids", "distance_summary", "grid_reaching"]


def distance_summary(distances: np.ndarray) -> dict[str, float]:
    """Distances along a curve summed up: ``mean``, ``median``, ``q95`` (95th percentile), ``largest``.

    In the unit of the distances; all are NaN without a boundary, where there are no distances.
    """
    if len(distances) == 0:
        return dict.fromkeys(("mean", "median", "q95", "largest"), float("nan"))
    return {
        "mean": float(np.mean(distances)),
        "median": float(np.median(distances)),
        "q95": _upper(distances, 0.95),
        "largest": float(np.max(distances)),
    }


def _upper(values: np.ndarray, share: float) -> float:
    # Between two infinite values NumPy interpolates to NaN.
    above = np.quantile(values, share, method="higher")
    return float(above if np.isinf(above) else np.quantile(values, share))


def across_grids(
    reference: nn.Module,
    candidates: Mapping[Hashable, nn.Module],
    plane: Plane,
    grids: Sequence[int],
    sides: str = "two",
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """One slice of a network and its candidates on several grids.

    Arguments:
        reference: the network that the candidates are compared with.
        candidates: by a key.
        plane: the slice.
        grids: cells a side, 2 or more each.
        sides: see :func:`baq.slices.jaccard.boundary_mask`.

    Returns:
        A row for each grid, from the finest on, and candidate: ``candidate``, ``n``, ``cell`` (mean
        side of a cell), ``jaccard``, ``law`` (:func:`baq.slices.jaccard.jaccard_law` of the distances on
        the finest grid), ``grid_change``, ``curve_distance`` (median distance from the reference's
        boundary to the candidate's). And a row for each candidate and way of measuring distances on the
        finest grid, from the reference's boundary to the candidate's, back, and to first order:
        ``candidate``, ``way``, and the columns of :func:`distance_summary`. Distances and cells are in
        input units.

    Raises:
        ValueError: for no grids, or as :func:`baq.slices.label_maps.label_map`.
    """
    if not isinstance(candidates, Mapping) or not candidates:
        raise ValueError("candidates are no map of one or more: allowed is one, by a key")
    if len(grids) == 0:
        raise ValueError("grids are empty: allowed is one number of cells or more")
    rows, ways = [], []
    finest: dict[Hashable, np.ndarray] = {}
    for n in sorted(grids, reverse=True):
        grid = label_map(reference, plane, n)
        curve = curves.crossings(reference, grid)
        mask, cell = boundary_mask(grid.labels, sides), float(np.mean(grid.cell))
        for key, candidate in candidates.items():
            grid_q = label_map(candidate, plane, n)
            curve_q = curves.crossings(candidate, grid_q)
            distance = curves.curve_distance(curve, curve_q)
            if key not in finest:
                finest[key] = distance
                found = {
                    "float to quantized": distance,
                    "quantized to float": curves.curve_distance(curve_q, curve),
                    "first order": curves.predicted_displacement(reference, candidate, grid, curve),
                }
                ways += [
                    {"candidate": key, "way": way, **distance_summary(distances)}
                    for way, distances in found.items()
                ]
            rows.append(
                {
                    "candidate": key,
                    "n": n,
                    "cell": cell,
                    "jaccard": jaccard_distance(mask, boundary_mask(grid_q.labels, sides)),
                    "law": jaccard_law(finest[key], cell) if len(finest[key]) else float("nan"),
                    "grid_change": grid_change(grid.labels, grid_q.labels),
                    "curve_distance": distance_summary(distance)["median"],
                }
            )
    return pd.DataFrame(rows), pd.DataFrame(ways)


def grid_reaching(n: Sequence[int], jaccard: Sequence[float], value: float) -> float:
    """The cells a side at which J, which rises with them, passes a value, interpolated in log n.

    Where J falls from one grid to the next, its largest value so far is taken.

    Arguments:
        n: cells a side of each grid, in any order.
        jaccard: J on each of them.
        value: J to pass, from 0 to 1.

    Returns:
        The cells a side, not rounded; NaN where J passes the value below or above all grids.

    Raises:
        ValueError: unless there are as many values as grids, one or more.
    """
    if len(n) != len(jaccard) or len(n) == 0:
        raise ValueError(
            f"{len(n)} grids and {len(jaccard)} values: allowed are equal numbers, 1 up"
        )
    if not np.isfinite([*n, *jaccard, value]).all() or min(n) < 1:
        raise ValueError("grids, J or the value are not finite, or a grid has no cells")
    order = np.argsort(np.asarray(n))
    rising = np.maximum.accumulate(np.asarray(jaccard, dtype=float)[order])
    sides = np.log(np.asarray(n, dtype=float)[order])
    return float(np.exp(np.interp(value, rising, sides, left=np.nan, right=np.nan)))
