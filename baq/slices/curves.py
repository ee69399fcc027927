"""The boundary on a slice as a curve: where it runs, how long it is, how far another one is."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor

from baq.arguments import check_inner, check_whole, is_real
from baq.inference import Classifier, batch_in_cache, batches, bisect, input_form
from baq.local import PairGap, displacement_to, pair_gap
from baq.slices.jaccard import grid_change
from baq.slices.label_maps import LabelMap, check_label_maps
from baq.slices.planes import Plane, check_same_extent

__all__ = [
    "Crossings",
    "boundary_length",
    "boundary_segments",
    "crossings",
    "curve_distance",
    "mean_displacement",
    "predicted_displacement",
]

#: Steps in row and column from a cell to its neighbour along a and along b.
_NEIGHBOURS = ((0, 1), (1, 0))


@dataclass(frozen=True)
class Crossings:
    """Where a classifier's boundary crosses the edges between centres of neighbouring cells.

    ``across`` has shape (n, n - 1) for edges along a, ``along`` (n - 1, n) for edges along b: the
    position on the edge from 0 to 1, NaN where the two cells have the same label.
    """

    across: np.ndarray
    along: np.ndarray
    plane: Plane


def crossings(
    classifier: Classifier, grid: LabelMap, tolerance: float = 1e-6, batch_size: int = 8192
) -> Crossings:
    """Locate a label map's boundary between cell centres by bisection.

    On each edge between neighbouring cells of different label, the end of the first cell's label is
    enclosed until the bracket is below ``tolerance`` times the plane's extent. Only edges on the
    boundary are evaluated. Where the label changes more than once on an edge, one change is found.

    Arguments:
        classifier: the callable that the map was made of.
        grid: its label map.
        tolerance: bracket over extent.
        batch_size: points per evaluation.

    Raises:
        ValueError: for a tolerance outside (0, 1), or as :func:`baq.inference.logits`.
    """
    check_inner(tolerance=tolerance)
    check_label_maps(grid)
    halvings = max(1, math.ceil(math.log2(1 / (grid.n * tolerance))))
    found = []
    for up, right in _NEIGHBOURS:
        first = grid.labels[: grid.n - up, : grid.n - right]
        row, column = np.nonzero(first != grid.labels[up:, right:])
        position = np.full(first.shape, np.nan)
        if len(row):
            ends = (row, column), (row + up, column + right)
            position[row, column] = _change(classifier, grid, *ends, halvings, batch_size)
        found.append(position)
    across, along = found
    return Crossings(across, along, grid.plane)


def _along(
    plane: Plane,
    n: int,
    cells: tuple[np.ndarray, np.ndarray],
    others: tuple[np.ndarray, np.ndarray],
) -> Callable[[Tensor], Tensor]:
    """Plane coordinates (N, 2) at positions (N,) between the centres of cells and of others."""
    start, stop = plane.centre(n, *cells), plane.centre(n, *others)
    return lambda position: start + position[:, None] * (stop - start)


def _change(
    classifier: Classifier,
    grid: LabelMap,
    cells: tuple[np.ndarray, np.ndarray],
    others: tuple[np.ndarray, np.ndarray],
    halvings: int,
    batch_size: int,
) -> Tensor:
    """Positions (N,) between cells and others where the label changes from that of the cells."""
    at = _along(grid.plane, grid.n, cells, others)
    first = torch.from_numpy(grid.labels[cells])
    put = input_form(classifier)
    # Inputs are made in batches: those of all edges at once may not fit in memory.
    batch_size = min(batch_size, batch_in_cache(classifier, put(grid.plane.origin[None])))

    def on_plane(coordinates: Tensor) -> Tensor:
        return classifier(put(grid.plane.inputs(coordinates)))

    return bisect(on_plane, at, first, halvings, batch_size)


def boundary_segments(crossed: Crossings) -> np.ndarray:
    """The boundary as straight segments in plane coordinates, shape (M, 2, 2): segment, end, (a, b).

    In each square between four neighbouring centres it runs from every crossing to their mean: with
    two crossings that is the chord, with three or four the spokes of a junction. So it is exact for
    straight boundaries away from junctions, and off by O(h^2) for smooth ones.
    """
    n = len(crossed.across)
    met = np.isfinite(crossed.across), np.isfinite(crossed.along)
    row, column = np.nonzero(met[0][:-1] | met[0][1:] | met[1][:, :-1] | met[1][:, 1:])
    low, high = crossed.across[row, column], crossed.across[row + 1, column]
    left, right = crossed.along[row, column], crossed.along[row, column + 1]
    # Crossings of the four sides of each square, in cells; 0 * x keeps NaN where a side has none.
    sides = np.stack(
        [
            np.stack([low, high, 0 * left, 0 * right + 1]),
            np.stack([0 * low, 0 * high + 1, left, right]),
        ],
        axis=-1,
    )
    hubs = np.broadcast_to(np.nanmean(sides, axis=0), sides.shape)
    spokes = np.stack([sides, hubs], axis=2) + np.stack([column, row], axis=1)[:, None] + 0.5
    spokes = spokes[np.isfinite(sides).all(axis=2)]
    (a_min, _, b_min, _), cell = crossed.plane.extent, crossed.plane.cell(n)
    return np.array([a_min, b_min]) + spokes * cell


def boundary_length(crossed: Crossings) -> float:
    """Length of the boundary between the outermost cell centres, in input units."""
    ends = boundary_segments(crossed)
    return float(np.linalg.norm(ends[:, 1] - ends[:, 0], axis=1).sum())


def curve_distance(crossed: Crossings, other: Crossings, neighbours: int = 8) -> np.ndarray:
    """Distance from each boundary point to the nearest point of another boundary, in input units.

    The boundary points are the crossings of ``crossed``, about one a cell side, so their mean is a
    mean along the curve; the other boundary is its segments, of which the ``neighbours`` with the
    nearest middles are tried. Empty where the first has no boundary; infinite where the first has one
    and the second has none.

    Raises:
        ValueError: if the two lie on planes of different extent.
    """
    check_whole(neighbours=neighbours)
    check_same_extent(crossed.plane, other.plane)
    points, goal = boundary_segments(crossed)[:, 0], boundary_segments(other)
    if len(points) == 0 or len(goal) == 0:
        return np.full(len(points), np.inf)
    tree = cKDTree(goal.mean(axis=1))
    _, nearest = tree.query(points, k=min(neighbours, len(goal)))
    start, end = np.moveaxis(goal[nearest.reshape(len(points), -1)], 2, 0)
    along = end - start
    position = ((points[:, None] - start) * along).sum(axis=2) / (along**2).sum(axis=2).clip(1e-300)
    foot = start + position.clip(0, 1)[..., None] * along
    return np.linalg.norm(points[:, None] - foot, axis=2).min(axis=1)


def predicted_displacement(
    reference: Classifier,
    candidate: Classifier,
    grid: LabelMap,
    crossed: Crossings,
    batch_size: int = 4096,
) -> np.ndarray:
    """First-order distance to the candidate's boundary at each crossing of the reference's, within the plane.

    ``|g_q - g| / ||P grad g||`` with g the gap of the two labels that meet there and P the projection
    on the plane: :func:`baq.local.displacement` for a boundary that can move within the plane only.

    Arguments:
        reference: the network that the map and its crossings are of.
        candidate: any callable.
        grid, crossed: the reference's label map, and its :func:`crossings`.
        batch_size: points per evaluation.

    Returns:
        Distances in input units, a value for each crossing: first those along a, then those along b.
    """
    plane, n = grid.plane, grid.n
    points, pairs = [], []
    for (up, right), position in zip(_NEIGHBOURS, (crossed.across, crossed.along), strict=True):
        row, column = np.nonzero(np.isfinite(position))
        at = _along(plane, n, (row, column), (row + up, column + right))
        points.append(at(torch.from_numpy(position[row, column])))
        pairs.append([grid.labels[row, column], grid.labels[row + up, column + right]])
    found = torch.cat(points)
    if len(found) == 0:
        return np.empty(0)
    both = torch.from_numpy(np.concatenate(pairs, axis=1)).long().T
    parts = []
    for some, pair in zip(batches(found, batch_size), batches(both, batch_size), strict=True):
        x = plane.inputs(some)
        gap = pair_gap(reference, x, (pair[:, 0], pair[:, 1]), batch_size)
        axes = torch.stack([plane.u.flatten(), plane.v.flatten()]).to(gap.gradient)
        within = PairGap(gap.first, gap.second, gap.gap, gap.gradient @ axes.T)
        parts.append(displacement_to(within, candidate, x, batch_size).abs().cpu())
    return torch.cat(parts).numpy()


def mean_displacement(a: LabelMap, b: LabelMap, length: float) -> float:
    """Changed area between two label maps over the length of the first's boundary, in input units.

    For boundaries that shift a little this is their mean distance, whatever the grid. Where the first
    map has no boundary it is 0 if nothing changed and infinite otherwise.

    Raises:
        ValueError: if the maps differ in cells a side, or lie on planes of different extent, or for a
            length below 0.
    """
    check_label_maps(a, b)
    check_same_extent(a.plane, b.plane)
    if not is_real(length) or not length >= 0:
        raise ValueError(f"length is {length!r}: allowed is 0 or more")
    area = grid_change(a.labels, b.labels) * a.n**2 * math.prod(a.cell)
    return area / length if length > 0 else (math.inf if area > 0 else 0.0)
