"""Planes through input space: of principal components, through three inputs, many at random."""

from __future__ import annotations

import math
import numbers
from dataclasses import dataclass

import numpy as np
import torch
from scipy.linalg import eigh
from torch import Tensor

from baq.arguments import check_seed, check_whole, is_real
from baq.inference import as_tensor, check_labels, check_points

__all__ = [
    "Plane",
    "check_same_extent",
    "check_side",
    "pca_plane",
    "plane_through",
    "random_planes",
]


@dataclass(frozen=True, eq=False)
class Plane:
    """A rectangle in the plane ``x0 + a u + b v``, with orthonormal u and v.

    ``origin``, ``u``, ``v`` have the shape of one input; ``extent`` is (a_min, a_max, b_min, b_max)
    in input units.

    Example:
        >>> axes = torch.eye(2)
        >>> plane = Plane(torch.zeros(2), axes[0], axes[1], (-1.0, 1.0, -1.0, 1.0))
        >>> plane.inputs(torch.tensor([[0.5, -1.0]])).tolist(), plane.cell(4)
        ([[0.5, -1.0]], (0.5, 0.5))
    """

    origin: Tensor
    u: Tensor
    v: Tensor
    extent: tuple[float, float, float, float]

    def __post_init__(self) -> None:
        for name in ("origin", "u", "v"):
            values = getattr(self, name)
            if not isinstance(values, Tensor) or not values.is_floating_point():
                raise ValueError(f"{name} is {values!r:.60}: allowed is a tensor of floats")
        if not torch.isfinite(self.origin).all():
            raise ValueError("origin is not finite: allowed is a finite input")
        shapes = [tuple(axis.shape) for axis in (self.origin, self.u, self.v)]
        if len(set(shapes)) > 1:
            raise ValueError(f"origin, u, v have shapes {shapes}: allowed are equal ones")
        axes = torch.stack([self.u.flatten(), self.v.flatten()]).double()
        error = float((axes @ axes.T - torch.eye(2, device=axes.device).double()).abs().max())
        if not error < 1e-4:
            raise ValueError(f"axes are off orthonormal by {error:.2g}: allowed is below 1e-4")
        if len(self.extent) != 4 or not all(map(is_real, self.extent)):
            raise ValueError(f"extent is {self.extent}: allowed are (a_min, a_max, b_min, b_max)")
        a_min, a_max, b_min, b_max = self.extent
        widths = a_max - a_min, b_max - b_min
        if not (all(map(math.isfinite, widths)) and min(widths) > 0):
            raise ValueError(f"extent is {self.extent}: allowed are finite, increasing ranges")

    def inputs(self, coordinates: Tensor) -> Tensor:
        """Inputs at plane coordinates (N, 2), shape (N, *)."""
        c = as_tensor(coordinates, "coordinates").to(self.origin)
        if c.ndim != 2 or c.shape[1] != 2:
            raise ValueError(f"coordinates have shape {tuple(c.shape)}: allowed is (N, 2)")
        axes = torch.stack([self.u.flatten(), self.v.flatten()])
        return (self.origin.flatten() + c @ axes).reshape(-1, *self.origin.shape)

    def project(self, x: Tensor) -> Tensor:
        """Plane coordinates of the orthogonal projections of inputs (N, *), shape (N, 2)."""
        x = as_tensor(x, "inputs")
        if x.shape[1:] != self.origin.shape:
            shape = ", ".join(map(str, self.origin.shape))
            raise ValueError(f"inputs have shape {tuple(x.shape)}: allowed is (N, {shape})")
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
        check_side(n)
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


def check_same_extent(a: Plane, b: Plane) -> None:
    """Raise where two planes have different extents."""
    if a.extent != b.extent:
        raise ValueError(f"planes have extents {a.extent} and {b.extent}: allowed are equal ones")


def check_side(n: int) -> None:
    if not isinstance(n, numbers.Integral) or isinstance(n, bool) or n < 2:
        raise ValueError(f"n is {n!r}: allowed is 2 or more whole cells a side")


def _spanned(origin: Tensor, u: Tensor, v: Tensor, x: Tensor, pad: float) -> Plane:
    """The plane with the extent of the projections of ``x``, widened by the factor 1 + pad."""
    if not is_real(pad) or not 0 <= pad < math.inf:
        raise ValueError(f"pad is {pad!r}: allowed is 0 or more")
    c = Plane(origin, u, v, (0.0, 1.0, 0.0, 1.0)).project(x).double()
    middle, half = (c.amax(0) + c.amin(0)) / 2, (c.amax(0) - c.amin(0)) / 2 * (1 + pad)
    (a_min, b_min), (a_max, b_max) = (middle - half).tolist(), (middle + half).tolist()
    return Plane(origin, u, v, (a_min, a_max, b_min, b_max))


def _floats(x: Tensor) -> Tensor:
    """Inputs as floats of which axes can be made: half precision would leave them off orthonormal."""
    x = check_points(x)
    return x if x.is_floating_point() and x.itemsize > 2 else x.float()


def pca_plane(x: Tensor, pad: float = 0.1) -> Plane:
    """The plane of the two leading principal components of a named set, over its projected range.

    Each axis points so that its largest entry is positive, hence the plane does not depend on the
    decomposition's choice of sign.

    Arguments:
        x: inputs, shape (N, *).
        pad: share added to the projected range.

    Raises:
        ValueError: if the points span less than a plane, or are not finite.

    Example:
        >>> x = torch.tensor([[0.0, 0.0, 1.0], [4.0, 0.0, 1.0], [2.0, 1.0, 1.0], [2.0, -1.0, 1.0]])
        >>> plane = pca_plane(x, pad=0)
        >>> plane.u.round(decimals=4).tolist(), [round(end, 4) for end in plane.extent]
        ([1.0, 0.0, 0.0], [-2.0, 2.0, -1.0, 1.0])
    """
    x = _floats(x).detach()
    flat = x.flatten(1).to(torch.double, copy=True)  # the only copy, which is changed in place
    mean = flat.mean(dim=0)
    s, axes = _principal_axes(flat.sub_(mean))
    del flat
    if len(s) < 2 or s[1] <= 1e-6 * s[0] or s[0] == 0:
        raise ValueError(
            f"{len(x)} points span a line at most: allowed are points that span a plane"
        )
    pivot = axes.gather(1, axes.abs().argmax(dim=1, keepdim=True))
    axes = (axes * pivot.sign()).to(x).reshape(2, *x.shape[1:])
    return _spanned(mean.to(x).reshape(x.shape[1:]), axes[0], axes[1], x, pad)


def _principal_axes(flat: Tensor) -> tuple[Tensor, Tensor]:
    """The two largest singular values and right singular vectors of centred points (N, d), the largest first.

    From the smaller matrix of products, and of that the two leading eigenvectors alone, which takes a sixth of
    the time of a decomposition of the points. It halves the digits, and float64 has enough of them. The points
    are scaled in place.
    """
    largest = torch.stack(flat.aminmax()).abs().max().clamp(min=1e-300)
    flat, few = flat.div_(largest), len(flat) < flat.shape[1]
    products = flat @ flat.T if few else flat.T @ flat
    last = len(products) - 1
    squares, axes = eigh(products.cpu().numpy(), subset_by_index=[max(0, last - 1), last])
    axes = torch.from_numpy(axes.T[::-1].copy()).to(flat)
    if few:
        axes = axes @ flat
        axes /= axes.norm(dim=1, keepdim=True).clamp(min=1e-300)
    return torch.from_numpy(squares[::-1].copy()).to(flat).clamp(min=0).sqrt() * largest, axes


def plane_through(x: Tensor, pad: float = 0.1) -> Plane:
    """The plane through three inputs (3, *), over their range (Somepalli et al. 2022, arXiv:2203.08124).

    The first input is the origin, and u points to the second.

    Raises:
        ValueError: if there are not three points, or if they lie on a line or are not finite.

    Example:
        >>> plane = plane_through(torch.tensor([[0.0, 0.0, 1.0], [2.0, 0.0, 1.0], [0.0, 4.0, 1.0]]), pad=0)
        >>> plane.u.tolist(), plane.v.tolist(), plane.extent
        ([1.0, 0.0, 0.0], [0.0, 1.0, 0.0], (0.0, 2.0, 0.0, 4.0))
    """
    x = _floats(x)
    if len(x) != 3:
        raise ValueError(f"{len(x)} points: allowed are 3")
    side, other = (x[1:] - x[0]).flatten(1).double()
    u = side / side.norm()
    v = other - (other @ u) * u
    if not v.norm() > 1e-6 * other.norm():
        raise ValueError("the three points lie on a line: allowed are points that span a plane")
    v = v / v.norm()
    u, v = (axis.to(x).reshape(x.shape[1:]) for axis in (u, v))
    return _spanned(x[0], u, v, x, pad)


def random_planes(x: Tensor, y: Tensor, count: int, seed: int = 0) -> list[Plane]:
    """Planes through three inputs of three classes each, drawn by a seed.

    Arguments:
        x: inputs, shape (N, *).
        y: labels, shape (N,).
        count: number of planes, 1 or more.
        seed: seed of the draw.

    Raises:
        ValueError: for a count below 1, labels of another shape, fewer than three classes, or if no
            three inputs of three classes were found that span a plane.

    Example:
        >>> x, y = torch.eye(3).repeat(4, 1), torch.arange(3).repeat(4)
        >>> planes = random_planes(x, y, count=2)
        >>> [tuple(plane.origin.shape) for plane in planes]
        [(3,), (3,)]
    """
    x = _floats(x)
    y = check_labels(y, len(x)).cpu()
    check_whole(count=count)
    check_seed(seed=seed)
    if (classes := len(y.unique())) < 3:
        raise ValueError(f"the labels have {classes} classes: allowed are 3 or more")
    generator = torch.Generator().manual_seed(seed)
    planes: list[Plane] = []
    misses = flat = 0
    while len(planes) < count:
        patient = misses < _MISSES
        rows = (
            torch.randperm(len(x), generator=generator)[:3]
            if patient
            else _of_three_classes(y, generator)
        )
        if len(y[rows].unique()) < 3:
            misses += 1
            continue
        try:
            planes.append(plane_through(x[rows]))
        except ValueError as error:
            flat += 1
            if flat < _MISSES:
                continue
            once = _first_of_copies(x, y)
            if len(once) == len(x):
                raise ValueError(
                    f"of {_MISSES} draws of three inputs of three classes none spans a plane: {error}"
                ) from None
            x, y, flat = x[once.to(x.device)], y[once], 0
            continue
        misses, flat = 0 if patient else misses, 0
    return planes


#: Draws in a row without three classes after which the classes are drawn first, and draws in a row
#: that span no plane after which only the first of equal inputs is drawn.
_MISSES = 1000


def _first_of_copies(x: Tensor, y: Tensor) -> Tensor:
    """Rows of the inputs that differ from all before them in value or label."""
    both = np.concatenate([x.flatten(1).cpu().double().numpy(), y[:, None].numpy()], axis=1)
    return torch.from_numpy(np.sort(np.unique(both, axis=0, return_index=True)[1]))


def _of_three_classes(y: Tensor, generator: torch.Generator) -> Tensor:
    """Rows of three inputs of different classes; all such triples are equally likely."""
    classes, counts = y.unique(return_counts=True)
    left = counts.double()
    rows = []
    for more in (2, 1, 0):
        # How many ways there are to choose the classes that are still to come.
        rest = left.sum() - left
        ways = (torch.ones_like(left), rest, rest.square() - (left.square().sum() - left.square()))
        chosen = torch.multinomial(left * ways[more], 1, generator=generator)
        members = (y == classes[chosen]).nonzero()[:, 0]
        rows.append(members[torch.randint(len(members), (1,), generator=generator)])
        left[chosen] = 0
    return torch.cat(rows)
