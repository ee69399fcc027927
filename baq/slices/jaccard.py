"""Boundary masks of label maps, their Jaccard distance J and its law; grid prediction change."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from torch import Tensor

from baq.adapters.outputs import to_array
from baq.arguments import check_choice, is_real
from baq.slices.label_maps import LabelMap

__all__ = [
    "SIDES",
    "as_map",
    "boundary_mask",
    "check_maps",
    "grid_change",
    "jaccard_distance",
    "jaccard_law",
    "jaccard_shift",
]

#: The sides of a boundary that :func:`boundary_mask` may take.
SIDES = ("one", "two")


def as_map(grid: ArrayLike | Tensor | LabelMap) -> np.ndarray:
    """Labels of cells as an array (n, m), from an array, lists, a tensor, or a label map.

    Raises:
        ValueError: for values that are no whole numbers.
    """
    if isinstance(grid, LabelMap):
        return grid.labels
    if isinstance(grid, Tensor):
        grid = to_array(grid)
    try:
        found = np.asarray(grid)
    except ValueError as error:
        raise ValueError(f"the map is a {type(grid).__name__} that is no array: {error}") from None
    if found.dtype.kind not in "biu" and not (
        found.dtype.kind == "f" and (found == found.round()).all()
    ):
        raise ValueError(f"the map holds {found.dtype} values: allowed are whole numbers")
    return found


def as_mask(mask: ArrayLike | Tensor) -> np.ndarray:
    """A mask as a bool array (n, m), from an array, lists or a tensor.

    Raises:
        ValueError: for a label map, or values other than 0 and 1.
    """
    if isinstance(mask, LabelMap):
        raise ValueError("the mask is a LabelMap: allowed are masks, such as its boundary_mask")
    found = as_map(mask)
    if found.dtype != bool and not np.isin(found, (0, 1)).all():
        raise ValueError(
            f"the mask holds {found.min()} to {found.max()}: allowed are bool, 0 and 1"
        )
    return found.astype(bool)


def check_maps(*maps: np.ndarray) -> None:
    """Raise where maps are not label maps or masks of one shape, with at least 2 cells a side."""
    for a in maps:
        if a.shape != maps[0].shape or a.ndim != 2 or min(a.shape) < 2:
            raise ValueError(
                f"maps have shapes {', '.join(str(m.shape) for m in maps)}: "
                "allowed are equal ones with 2 or more cells a side"
            )


def boundary_mask(labels: ArrayLike | Tensor | LabelMap, sides: str = "two") -> np.ndarray:
    """Cells on the boundary of a label map, bool, same shape.

    Two-sided: cells with a 4-neighbour of another label, so that a line is two cells thick.
    One-sided: only the cells whose right or upper neighbour has another label, one cell thick.

    Raises:
        ValueError: for unknown sides, or a map with fewer than 2 cells a side.

    Example:
        >>> boundary_mask([[0, 0, 1, 1], [0, 0, 1, 1]]).astype(int).tolist()
        [[0, 1, 1, 0], [0, 1, 1, 0]]
    """
    check_choice(SIDES, sides=sides)
    labels = as_map(labels)
    check_maps(labels)
    across, along = labels[:, :-1] != labels[:, 1:], labels[:-1] != labels[1:]
    mask = np.zeros(labels.shape, dtype=bool)
    mask[:, :-1] |= across
    mask[:-1] |= along
    if sides == "two":
        mask[:, 1:] |= across
        mask[1:] |= along
    return mask


def jaccard_distance(a: ArrayLike | Tensor, b: ArrayLike | Tensor) -> float:
    """Boundary Jaccard distance ``J = 1 - |A and B| / |A or B|`` of two masks; 0 where both are empty.

    Raises:
        ValueError: if the masks differ in shape, or hold other values than 0 and 1.

    Example:
        >>> jaccard_distance([[1, 1, 0], [1, 1, 0]], [[0, 1, 1], [0, 1, 1]])
        0.6666666666666667
    """
    a, b = as_mask(a), as_mask(b)
    check_maps(a, b)
    union = np.count_nonzero(a | b)
    return float(1 - np.count_nonzero(a & b) / union) if union else 0.0


def jaccard_shift(jaccard: Any) -> Any:
    """The shift s in cells that :func:`jaccard_law` gives a Jaccard distance for: ``s = 2 J / (2 - J)``.

    At J = 1 that is two cells, and more cannot be told apart. Takes a number, an array or a column.

    Example:
        >>> jaccard_shift(1.0)
        2.0
    """
    return 2 * jaccard / (2 - jaccard)


def jaccard_law(displacement: np.ndarray | float, cell: float) -> float:
    """J of two boundaries a given displacement apart, with two-cell masks on cells of side h.

    Where the displacement is s cells, a stretch of boundary has ``2 + min(s, 2)`` cells in the union
    of the masks and ``2 - min(s, 2)`` in both. So ``J = 2 m / (2 + m)`` with m the mean of min(s, 2)
    along the boundary: ``2 s / (2 + s)`` for parallel boundaries, and 1 from s = 2.

    Arguments:
        displacement: one distance, or distances along the boundary, in input units.
        cell: side h of a cell, in input units.

    Raises:
        ValueError: for no distances, one that is NaN, or a side that is not above 0.

    Example:
        >>> [jaccard_law(shift, cell=1.0) for shift in (0.0, 0.5, 2.0, 9.0)]
        [0.0, 0.4, 1.0, 1.0]
    """
    displacement = np.asarray(displacement, dtype=float)
    if not is_real(cell) or not 0 < cell < np.inf:
        raise ValueError(f"cell is {cell!r}: allowed is above 0")
    if displacement.size == 0 or np.isnan(displacement).any():
        raise ValueError("displacements are empty or NaN: allowed are distances, one or more")
    m = float(np.minimum(np.abs(displacement) / cell, 2.0).mean())
    return 2 * m / (2 + m)


def grid_change(a: ArrayLike | Tensor | LabelMap, b: ArrayLike | Tensor | LabelMap) -> float:
    """Grid prediction change: share of cells whose label differs between two label maps.

    Raises:
        ValueError: if the maps differ in shape.

    Example:
        >>> grid_change([[0, 0], [1, 1]], [[0, 1], [1, 1]])
        0.25
    """
    a, b = as_map(a), as_map(b)
    check_maps(a, b)
    return float(np.mean(a != b))
