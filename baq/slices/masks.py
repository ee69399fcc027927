"""Boundary masks of label maps, and what differs between two of them."""

from __future__ import annotations

import numpy as np

__all__ = [
    "boundary_mask",
    "check_maps",
    "grid_change",
    "jaccard_distance",
    "jaccard_law",
]


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
