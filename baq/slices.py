"""Slice geometry: planes through input space, label maps, boundary masks, Jaccard, junctions."""

from __future__ import annotations

import math
import numbers
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from baq.adaptive import adaptive_labels
from baq.certified import certified_labels, has_one_hidden_layer, plane_network
from baq.inference import Classifier, check_points, labels, logits
from baq.on_plane import on_plane

__all__ = [
    "WAYS",
    "LabelMap",
    "Plane",
    "boundary_mask",
    "grid_change",
    "jaccard_distance",
    "jaccard_law",
    "label_map",
    "pca_plane",
    "plane_through",
]


#: The ways of :func:`label_map`.
WAYS = ("auto", "dense", "certified", "adaptive")


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
        shapes = [tuple(axis.shape) for axis in (self.origin, self.u, self.v)]
        if len(set(shapes)) > 1:
            raise ValueError(f"origin, u, v have shapes {shapes}: allowed are equal ones")
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
            ValueError: for n below 2, or not an integer: one cell has no neighbour, so no boundary.
        """
        _check_side(n)
        return self.centre(n, *np.indices((n, n)).reshape(2, -1)).reshape(n, n, 2)

    def centre(self, n: int, row: np.ndarray, column: np.ndarray) -> Tensor:
        """Coordinates of the centres of some of the n x n cells, shape (N, 2), float64.

        Arguments:
            n: cells a side.
            row, column: the cells, each (N,).
        """
        (h_a, h_b), (a_min, _, b_min, _) = self.cell(n), self.extent
        at = np.stack([a_min + h_a * (column + 0.5), b_min + h_b * (row + 0.5)], axis=1)
        return torch.from_numpy(at)


def _check_side(n: int) -> None:
    if not isinstance(n, numbers.Integral) or n < 2:
        raise ValueError(f"n is {n}: allowed is 2 or more whole cells a side")


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
        ValueError: if the points span less than a plane, or are not finite.
    """
    check_points(x)
    flat = x.flatten(1).double()
    mean = flat.mean(dim=0)
    s, axes = _principal_axes(flat - mean)
    if len(s) < 2 or s[1] <= 1e-6 * s[0] or s[0] == 0:
        raise ValueError(
            f"{len(x)} points span a line at most: allowed are points that span a plane"
        )
    axes = axes[:2]
    pivot = axes.gather(1, axes.abs().argmax(dim=1, keepdim=True))
    axes = (axes * pivot.sign()).to(x).reshape(2, *x.shape[1:])
    return _spanned(mean.to(x).reshape(x.shape[1:]), axes[0], axes[1], x, pad)


def _principal_axes(flat: Tensor) -> tuple[Tensor, Tensor]:
    """Singular values and right singular vectors of centred points (N, d), the largest first."""
    if len(flat) <= flat.shape[1]:
        return torch.linalg.svd(flat, full_matrices=False)[1:]
    # Six times as fast for many points; it halves the digits, of which float64 has enough.
    squares, axes = torch.linalg.eigh(flat.T @ flat)
    return squares.clamp(min=0).sqrt().flip(0), axes.T.flip(0)


def plane_through(x: Tensor, pad: float = 0.1) -> Plane:
    """The plane through three inputs (3, *), over their range (Somepalli et al. 2022, arXiv:2203.08124).

    The first input is the origin, and u points to the second.

    Raises:
        ValueError: if there are not three points, or if they lie on a line or are not finite.
    """
    check_points(x)
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
    """Top-1 labels at the centres of an n x n grid on a plane: ``labels[row, column]``, int16 (n, n).

    ``way`` is how they were found, ``evaluated`` how many boxes and cells that took. ``error_bound`` is
    an upper 95 % bound of the share of cells with a wrong label; 0 where every label is exact.
    """

    labels: np.ndarray
    plane: Plane
    way: str
    evaluated: int
    error_bound: float = 0.0

    @property
    def n(self) -> int:
        """Cells a side."""
        return len(self.labels)

    @property
    def cell(self) -> tuple[float, float]:
        """Width and height of a cell, in input units."""
        return self.plane.cell(self.n)


def label_map(
    classifier: Classifier,
    plane: Plane,
    n: int = 241,
    way: str = "auto",
    batch_size: int = 8192,
) -> LabelMap:
    """Label every cell of an n x n grid on a plane by the classifier's label at its centre.

    Arguments:
        classifier: any callable from inputs to logits.
        plane: the slice.
        n: cells a side.
        way: ``dense`` evaluates every centre, at the classifier's own precision (:mod:`baq.on_plane`);
            ``certified``, for networks with one hidden layer, evaluates only what
            :mod:`baq.certified` cannot bound, in float64, and gives the same map; ``adaptive`` refines
            a coarse lattice where labels differ and audits the rest (:mod:`baq.adaptive`), so it may
            miss an island and bounds what it missed; ``auto`` is certified where it can be, else
            dense.
        batch_size: centres per evaluation.

    Raises:
        ValueError: for n below 2, another way, a network that the certified way does not know, or as
            :func:`baq.inference.logits`.
    """
    if way not in WAYS:
        raise ValueError(f"way is {way!r}: allowed are {', '.join(WAYS)}")
    _check_side(n)
    if way == "certified" or (way == "auto" and has_one_hidden_layer(classifier)):
        network = plane_network(classifier, plane.origin, plane.u, plane.v)
        found, evaluated = certified_labels(network, plane.extent, n)
        return LabelMap(found, plane, "certified", evaluated)

    at = on_plane(classifier, plane)

    def label_of(points: Tensor) -> np.ndarray:
        return labels(logits(at, points, batch_size)).to("cpu", torch.int16).numpy()

    if way == "adaptive":
        found, evaluated, bound = adaptive_labels(
            lambda row, column: label_of(plane.centre(n, row, column)), n
        )
        return LabelMap(found, plane, "adaptive", evaluated, bound)
    return LabelMap(label_of(plane.centres(n).reshape(-1, 2)).reshape(n, n), plane, "dense", n * n)


def check_maps(*maps: np.ndarray) -> None:
    """Raise where maps are not label maps or masks of one shape, with at least 2 cells a side."""
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
    check_maps(labels)
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
    check_maps(a, b)
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
    check_maps(a, b)
    return float(np.mean(a != b))
