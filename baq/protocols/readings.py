"""What one map, one film or one set of logits says under every convention of reading it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from baq.band import boundary_band
from baq.local import margins
from baq.slices.jaccard import boundary_mask, jaccard_distance

__all__ = [
    "COUNTED",
    "MASKS",
    "coarser",
    "junction_counts",
    "low_margin_jaccard",
    "mask",
    "mask_jaccard",
]

#: Rules of a boundary mask: on one side, on both, and both with their eight neighbours.
MASKS = ("one", "two", "thick")
#: Where the junctions of a transition may be counted.
COUNTED = ("start", "end", "largest", "anywhere", "changed")


def coarser(cells: np.ndarray, n: int, pad: float, fine_pad: float) -> np.ndarray:
    """A map of n cells a side and a smaller margin, read off a finer one of the same plane.

    Each cell takes the fine cell that its centre lies in, so that it is read at most half a fine cell off its
    centre; the two maps of a comparison are read at the same points.

    Arguments:
        cells: values of N x N cells of a slice that is wider than its data by the share ``fine_pad``.
        n, pad: cells and share of the map that is asked for.
        fine_pad: at least ``pad``.

    Raises:
        ValueError: for a pad above ``fine_pad``, or more cells than the fine map has there.
    """
    side = len(cells)
    if not pad <= fine_pad:
        raise ValueError(f"pad is {pad}: allowed is up to that of the fine map, {fine_pad}")
    width = (1 + pad) / (1 + fine_pad)
    if n > side * width + 1e-9:
        raise ValueError(f"n is {n}: allowed is up to {side * width:.0f} cells of the fine map")
    centre = ((np.arange(n) + 0.5) / n * 2 - 1) * width
    # A centre on the edge of two fine cells takes the upper one, whatever its rounding.
    at = np.floor((centre + 1) / 2 * side + 1e-9).astype(int)
    return cells.take(at, axis=0).take(at, axis=1)


def mask(labels: np.ndarray, rule: str) -> np.ndarray:
    """The boundary mask of a label map by one of :data:`MASKS`."""
    if rule != "thick":
        return boundary_mask(labels, rule)
    found = boundary_mask(labels)
    for axis in (0, 1):
        found = np.moveaxis(found, axis, 0)
        wide = found.copy()
        wide[1:] |= found[:-1]
        wide[:-1] |= found[1:]
        found = np.moveaxis(wide, 0, axis)
    return found


def mask_jaccard(a: Sequence[np.ndarray], b: Sequence[np.ndarray]) -> list[float]:
    """J of the masks of two maps, a pair for each rule."""
    return [jaccard_distance(one, other) for one, other in zip(a, b, strict=True)]


def low_margin_jaccard(z: Tensor, z_q: Tensor, share: float) -> float:
    """Jaccard distance of the sets of lowest margin: ``1 - |A and B| / |A or B|``.

    A holds the points in the boundary band of the reference (:func:`baq.band.boundary_band`), B those in the
    candidate's own. With k points each and c in both, J = 2 (k - c) / (2 k - c).

    Arguments:
        z, z_q: logits of reference and candidate at the same points, shape (N, K).
        share: share of the points in each set.
    """
    a, b = (boundary_band(margins(logits), share) for logits in (z, z_q))
    return jaccard_distance(a[None].repeat(2, 1), b[None].repeat(2, 1))


def junction_counts(film: Sequence[np.ndarray], block: int) -> dict[str, int]:
    """Triple-junction cells of a transition, by each way of :data:`COUNTED`.

    A junction cell is a window of ``block x block`` cells with three labels or more, as for
    :func:`baq.slices.junctions.junction_cells`, which this equals for up to 16 labels.

    Arguments:
        film: label maps (n, n) along the transition, two or more, labels from 0 to 15.
        block: 2 or more.
    """
    triple = [np.bitwise_count(_seen(labels, block)) >= 3 for labels in film]
    moved = _any(film[0] != film[-1], block)
    counts = [int(found.sum()) for found in triple]
    return {
        "start": counts[0],
        "end": counts[-1],
        "largest": max(counts),
        "anywhere": int(np.any(triple, axis=0).sum()),
        "changed": int(((triple[0] | triple[-1]) & moved).sum()),
    }


def _seen(labels: np.ndarray, block: int) -> np.ndarray:
    """The labels in each window, a bit each."""
    # In bytes the bits of labels 8 and above would be lost.
    return _any(np.left_shift(np.uint16(1), labels.astype(np.uint16)), block)


def _any(cells: np.ndarray, block: int) -> np.ndarray:
    """The union of the bits of all cells of each window, first along rows and then along columns."""
    for axis in (0, 1):
        cells = np.moveaxis(cells, axis, 0)
        rows = len(cells) - block + 1
        found = cells[:rows].copy()
        for k in range(1, block):
            found |= cells[k : k + rows]
        cells = np.moveaxis(found, 0, axis)
    return cells
