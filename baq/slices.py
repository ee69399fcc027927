"""Slice geometry: planes through input space, label maps, boundary masks, Jaccard, junctions."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from scipy import ndimage
from scipy.spatial import cKDTree
from torch import Tensor

from baq.inference import Classifier, labels, logits

__all__ = [
    "Crossings",
    "LabelMap",
    "Plane",
    "boundary_length",
    "boundary_mask",
    "boundary_segments",
    "crossings",
    "curve_distance",
    "grid_change",
    "jaccard_distance",
    "jaccard_law",
    "junction_distance",
    "junctions",
    "label_map",
    "mean_displacement",
    "pca_plane",
    "plane_through",
    "vanished_regions",
]


@dataclass(frozen=True)
class Plane:
    """A rectangle in the plane ``x0 + a u + b v``, with orthonormal u and v.

    ``origin``, ``u``, ``v`` have the shape of one input; ``extent`` is (a_min, a_max, b_min, b_max)
    in input units.
    """

    origin: Tensor
    u: Tensor
    v: Tensor
    extent: tuple[float, float, float, float]

    def __post_init__(self) -> None:
        axes = torch.stack([self.u.flatten(), self.v.flatten()]).double()
        error = float((axes @ axes.T - torch.eye(2, device=axes.device).double()).abs().max())
        if not error < 1e-4:
            raise ValueError(f"axes are off orthonormal by {error:.2g}: allowed is below 1e-4")
        a_min, a_max, b_min, b_max = self.extent
        if not (math.isfinite(sum(self.extent)) and a_min < a_max and b_min < b_max):
            raise ValueError(f"extent is {self.extent}: allowed are finite, increasing ranges")

    def inputs(self, coordinates: Tensor) -> Tensor:
        """Inputs at plane coordinates (N, 2), shape (N, *)."""
        c = coordinates.to(self.origin)
        axes = torch.stack([self.u.flatten(), self.v.flatten()])
        return (self.origin.flatten() + c @ axes).reshape(-1, *self.origin.shape)

    def project(self, x: Tensor) -> Tensor:
        """Plane coordinates of the orthogonal projections of inputs (N, *), shape (N, 2)."""
        axes = torch.stack([self.u.flatten(), self.v.flatten()])
        return (x.to(self.origin) - self.origin).flatten(1) @ axes.T

    def cell(self, n: int) -> tuple[float, float]:
        """Width and height (h_a, h_b) of a cell of the n x n grid, in input units."""
        a_min, a_max, b_min, b_max = self.extent
        return (a_max - a_min) / n, (b_max - b_min) / n

    def centres(self, n: int) -> Tensor:
        """Coordinates of the centres of the n x n cells, shape (n, n, 2), float64.

        Rows follow b and columns follow a, both upward.

        Raises:
            ValueError: for n below 2: one cell has no neighbour, so no boundary.
        """
        if n < 2:
            raise ValueError(f"n is {n}: allowed is 2 or more cells a side")
        steps = torch.arange(n, dtype=torch.float64) + 0.5
        (h_a, h_b), (a_min, _, b_min, _) = self.cell(n), self.extent
        b, a = torch.meshgrid(b_min + h_b * steps, a_min + h_a * steps, indexing="ij")
        return torch.stack([a, b], dim=-1)


def _spanned(origin: Tensor, u: Tensor, v: Tensor, x: Tensor, pad: float) -> Plane:
    """The plane with the extent of the projections of ``x``, widened by the factor 1 + pad."""
    if not pad >= 0:
        raise ValueError(f"pad is {pad}: allowed is 0 or more")
    c = Plane(origin, u, v, (0.0, 1.0, 0.0, 1.0)).project(x).double()
    middle, half = (c.amax(0) + c.amin(0)) / 2, (c.amax(0) - c.amin(0)) / 2 * (1 + pad)
    (a_min, b_min), (a_max, b_max) = (middle - half).tolist(), (middle + half).tolist()
    return Plane(origin, u, v, (a_min, a_max, b_min, b_max))


def pca_plane(x: Tensor, pad: float = 0.1) -> Plane:
    """The plane of the two leading principal components of a named set, over its projected range.

    Each axis points so that its largest entry is positive, hence the plane does not depend on the
    decomposition's choice of sign.

    Arguments:
        x: inputs, shape (N, *).
        pad: share added to the projected range.

    Raises:
        ValueError: if the points span less than a plane.
    """
    flat = x.flatten(1).double()
    mean = flat.mean(dim=0)
    # The eigenvectors of the d x d or the N x N product, whichever is smaller.
    _, s, axes = torch.linalg.svd(flat - mean, full_matrices=False)
    if len(s) < 2 or s[1] <= 1e-9 * s[0] or s[0] == 0:
        raise ValueError(
            f"{len(x)} points span a line at most: allowed are points that span a plane"
        )
    axes = axes[:2]
    pivot = axes.gather(1, axes.abs().argmax(dim=1, keepdim=True))
    axes = (axes * pivot.sign()).to(x).reshape(2, *x.shape[1:])
    return _spanned(mean.to(x).reshape(x.shape[1:]), axes[0], axes[1], x, pad)


def plane_through(x: Tensor, pad: float = 0.1) -> Plane:
    """The plane through three inputs (3, *), over their range (Somepalli et al. 2022, arXiv:2203.08124).

    The first input is the origin, and u points to the second.

    Raises:
        ValueError: if there are not three points, or if they lie on a line.
    """
    if len(x) != 3:
        raise ValueError(f"{len(x)} points: allowed are 3")
    side, other = (x[1:] - x[0]).flatten(1).double()
    u = side / side.norm()
    v = other - (other @ u) * u
    if not v.norm() > 1e-6 * other.norm():
        raise ValueError("the three points lie on a line: allowed are points that span a plane")
    v = v / v.norm()
    return _spanned(x[0], *(axis.to(x).reshape(x.shape[1:]) for axis in (u, v)), x, pad)


@dataclass(frozen=True)
class LabelMap:
    """Top-1 labels at the centres of an n x n grid on a plane: ``labels[row, column]``, int16 (n, n)."""

    labels: np.ndarray
    plane: Plane

    @property
    def n(self) -> int:
        """Cells a side."""
        return len(self.labels)

    @property
    def cell(self) -> tuple[float, float]:
        """Width and height of a cell, in input units."""
        return self.plane.cell(self.n)


def label_map(
    classifier: Classifier, plane: Plane, n: int = 241, batch_size: int = 8192
) -> LabelMap:
    """Label every cell of an n x n grid on a plane by the classifier's label at its centre.

    Raises:
        ValueError: for n below 2, or as :func:`baq.inference.logits`.
    """
    found = [
        labels(logits(classifier, plane.inputs(batch), batch_size)).to("cpu", torch.int16)
        for batch in plane.centres(n).reshape(-1, 2).split(batch_size)
    ]
    return LabelMap(torch.cat(found).reshape(n, n).numpy(), plane)


def _check_maps(*maps: np.ndarray) -> None:
    """Raise where maps are not square label maps of one size, with at least 2 cells a side."""
    for a in maps:
        if a.shape != maps[0].shape or a.ndim != 2 or min(a.shape) < 2:
            raise ValueError(
                f"maps have shapes {', '.join(str(m.shape) for m in maps)}: "
                "allowed are equal ones with 2 or more cells a side"
            )


def boundary_mask(labels: np.ndarray, sides: str = "two") -> np.ndarray:
    """Cells on the boundary of a label map, bool, same shape.

    Two-sided: cells with a 4-neighbour of another label, so that a line is two cells thick.
    One-sided: only the cells whose right or upper neighbour has another label, one cell thick.

    Raises:
        ValueError: for another name of the sides, or a map with fewer than 2 cells a side.
    """
    if sides not in ("one", "two"):
        raise ValueError(f"sides is {sides!r}: allowed are 'one' and 'two'")
    _check_maps(labels)
    across, along = labels[:, :-1] != labels[:, 1:], labels[:-1] != labels[1:]
    mask = np.zeros(labels.shape, dtype=bool)
    mask[:, :-1] |= across
    mask[:-1] |= along
    if sides == "two":
        mask[:, 1:] |= across
        mask[1:] |= along
    return mask


def jaccard_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Boundary Jaccard distance ``J = 1 - |A and B| / |A or B|`` of two masks; 0 where both are empty.

    Raises:
        ValueError: if the masks differ in shape.
    """
    _check_maps(a, b)
    union = np.count_nonzero(a | b)
    return 1 - np.count_nonzero(a & b) / union if union else 0.0


def jaccard_law(displacement: np.ndarray | float, cell: float) -> float:
    """J of two boundaries a given displacement apart, with two-cell masks on cells of side h.

    Where the displacement is s cells, a stretch of boundary has ``2 + min(s, 2)`` cells in the union
    of the masks and ``2 - min(s, 2)`` in both. So ``J = 2 m / (2 + m)`` with m the mean of min(s, 2)
    along the boundary: ``2 s / (2 + s)`` for parallel boundaries, and 1 from s = 2.

    Arguments:
        displacement: one distance, or distances along the boundary, in input units.
        cell: side h of a cell, in input units.
    """
    m = float(np.minimum(np.abs(displacement) / cell, 2.0).mean())
    return 2 * m / (2 + m)


def grid_change(a: np.ndarray, b: np.ndarray) -> float:
    """Grid prediction change: share of cells whose label differs between two label maps.

    Raises:
        ValueError: if the maps differ in shape.
    """
    _check_maps(a, b)
    return float(np.mean(a != b))


def junctions(labels: np.ndarray, order: int = 3, block: int = 2) -> np.ndarray:
    """Junction cells: ``block x block`` windows with at least ``order`` different labels.

    Order 3 gives triple and order 4 quadruple junctions. Returns a mask of shape
    (n - block + 1, n - block + 1), indexed by each window's lowest row and column.

    Raises:
        ValueError: for an order below 2, or a block below 2 or above the map's side.
    """
    if order < 2:
        raise ValueError(f"order is {order}: allowed is 2 or more labels")
    if not 2 <= block <= min(labels.shape):
        raise ValueError(f"block is {block}: allowed is 2 to the map's side, {min(labels.shape)}")
    windows = np.lib.stride_tricks.sliding_window_view(labels, (block, block))
    ordered = np.sort(windows.reshape(*windows.shape[:2], -1), axis=2)
    return 1 + (np.diff(ordered, axis=2) != 0).sum(axis=2) >= order


def junction_distance(grid: LabelMap, order: int = 3, block: int = 2) -> np.ndarray:
    """Distance from each cell to the nearest junction cell of a label map, in input units (n, n).

    Cells inside a junction block are at distance 0. Without a junction all distances are infinite.
    """
    found = junctions(grid.labels, order, block)
    inside = np.zeros(grid.labels.shape, dtype=bool)
    rows, columns = found.shape
    for i in range(block):
        for j in range(block):
            inside[i : i + rows, j : j + columns] |= found
    if not inside.any():
        return np.full(inside.shape, np.inf)
    return ndimage.distance_transform_edt(~inside, sampling=grid.cell[::-1])


def vanished_regions(a: np.ndarray, b: np.ndarray) -> list[np.ndarray]:
    """Regions of label map ``a`` that map ``b`` lacks: a mask (n, n) for each.

    A region is a 4-connected set of cells of one label; it has vanished if none of its cells keeps
    its label. The regions that appear are those of ``b`` that vanish towards ``a``.
    """
    _check_maps(a, b)
    gone = []
    for label in np.unique(a):
        regions, count = ndimage.label(a == label)
        kept = np.unique(regions[(b == label) & (regions > 0)])
        gone += [regions == k for k in np.setdiff1d(np.arange(1, count + 1), kept)]
    return gone


@dataclass(frozen=True)
class Crossings:
    """Where a classifier's boundary crosses the edges between centres of neighbouring cells.

    ``across`` has shape (n, n - 1) for edges along a, ``along`` (n - 1, n) for edges along b: the
    position on the edge from 0 to 1, NaN where the two cells have the same label.
    """

    across: np.ndarray
    along: np.ndarray
    plane: Plane


def crossings(classifier: Classifier, grid: LabelMap, tolerance: float = 1e-6) -> Crossings:
    """Locate a label map's boundary between cell centres by bisection.

    On each edge between neighbouring cells of different label, the end of the first cell's label is
    enclosed until the bracket is below ``tolerance`` times the plane's extent. Only edges on the
    boundary are evaluated. Where the label changes more than once on an edge, one change is found.

    Arguments:
        classifier: the callable that the map was made of.
        grid: its label map.
        tolerance: bracket over extent.

    Raises:
        ValueError: for a tolerance outside (0, 1), or as :func:`baq.inference.logits`.
    """
    if not 0 < tolerance < 1:
        raise ValueError(f"tolerance is {tolerance}: allowed is above 0 and below 1")
    centres = grid.plane.centres(grid.n)
    found = []
    for axis in (1, 0):
        values = np.moveaxis(grid.labels, axis, 0)
        ends = centres.movedim(axis, 0)
        edge = torch.from_numpy(values[:-1] != values[1:])
        position = torch.full(edge.shape, torch.nan, dtype=torch.float64)
        if edge.any():
            start, stop = ends[:-1][edge], ends[1:][edge]
            label = torch.from_numpy(values[:-1])[edge]
            low, high = torch.zeros(len(start)).double(), torch.ones(len(start)).double()
            for _ in range(max(1, math.ceil(math.log2(1 / (grid.n * tolerance))))):
                middle = (low + high) / 2
                points = grid.plane.inputs(start + middle[:, None] * (stop - start))
                same = labels(logits(classifier, points)).cpu() == label
                low, high = torch.where(same, middle, low), torch.where(same, high, middle)
            position[edge] = (low + high) / 2
        found.append(position.movedim(0, axis).numpy())
    return Crossings(*found, grid.plane)


def boundary_segments(crossed: Crossings) -> np.ndarray:
    """The boundary as straight segments in plane coordinates, shape (M, 2, 2): segment, end, (a, b).

    In each square between four neighbouring centres it runs from every crossing to their mean: with
    two crossings that is the chord, with three or four the spokes of a junction. So it is exact for
    straight boundaries away from junctions, and off by O(h^2) for smooth ones.
    """
    n = len(crossed.across)
    low, high = crossed.across[:-1], crossed.across[1:]
    left, right = crossed.along[:, :-1], crossed.along[:, 1:]
    # Crossings of the four sides of each square, in cells; 0 * x keeps NaN where a side has none.
    sides = np.stack(
        [
            np.stack([low, high, 0 * left, 0 * right + 1]),
            np.stack([0 * low, 0 * high + 1, left, right]),
        ],
        axis=-1,
    )
    row, column = np.nonzero(np.isfinite(sides).any(axis=(0, 3)))
    sides = sides[:, row, column]
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
    nearest middles are tried. It is empty where the first has no boundary, and infinite where only the
    second has none.

    Raises:
        ValueError: if the two lie on planes of different extent.
    """
    if crossed.plane.extent != other.plane.extent:
        raise ValueError(
            f"planes have extents {crossed.plane.extent} and {other.plane.extent}: "
            "allowed are equal ones"
        )
    points, goal = boundary_segments(crossed)[:, 0], boundary_segments(other)
    if len(goal) == 0:
        return np.full(len(points), np.inf)
    tree = cKDTree(goal.mean(axis=1))
    _, nearest = tree.query(points, k=min(neighbours, len(goal)))
    start, end = np.moveaxis(goal[nearest.reshape(len(points), -1)], 2, 0)
    along = end - start
    position = ((points[:, None] - start) * along).sum(axis=2) / (along**2).sum(axis=2).clip(1e-300)
    foot = start + position.clip(0, 1)[..., None] * along
    return np.linalg.norm(points[:, None] - foot, axis=2).min(axis=1)


def mean_displacement(a: LabelMap, b: LabelMap, length: float) -> float:
    """Changed area between two label maps over the length of the first's boundary, in input units.

    For boundaries that shift a little this is their mean distance, whatever the grid. Where the first
    map has no boundary it is 0 if nothing changed and infinite otherwise.
    """
    area = grid_change(a.labels, b.labels) * a.n**2 * math.prod(a.cell)
    return area / length if length > 0 else (math.inf if area > 0 else 0.0)
