"""Certified label maps of deep networks, by a tree of boxes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from baq.slices.plane_bounds import Bounds, PlaneBounds
from baq.slices.planes import Plane

__all__ = ["boxes_pay", "certified_deep_labels", "settled_share"]

#: Boxes that are bounded at a time, and in the sample of :func:`settled_share`.
_BATCH, _SAMPLE = 64, 16
#: Cells a side up to which boxes are bounded in float64: float32's room is soon as wide as a cell.
_FINE = 8
#: Rivals of a box, the nearest ones, whose errors are bounded by a derivative.
_RIVALS = 12


def settled_share(bounds: PlaneBounds, plane: Plane, n: int) -> float:
    """Share of cells that bounds in float64 settle in 16 boxes of 4 x 4 cells, drawn at random."""
    size = min(4, n)
    corners = np.random.default_rng(0).integers(0, n - size + 1, (2, _SAMPLE))
    _, leads = _leaders(_bounded(bounds, plane, n, size, *corners), None, size)
    return float((leads >= 0).mean())


def boxes_pay(bounds: PlaneBounds, plane: Plane, n: int) -> bool:
    """Whether bounds settle at least 3/4 of the cells of small boxes (:func:`settled_share`).

    With each layer bounds grow looser. Where small boxes leave more cells in doubt, to bound them costs
    more than it saves.
    """
    return settled_share(bounds, plane, n) >= 3 / 4


def _bounded(
    bounds: PlaneBounds, plane: Plane, n: int, size: int, row: np.ndarray, column: np.ndarray
) -> Bounds:
    """Bounds on boxes of size x size cells, named by the row and column of their first cells."""
    h_a, h_b = plane.cell(n)
    a_min, _, b_min, _ = plane.extent
    at = np.stack([a_min + h_a * (column + size / 2), b_min + h_b * (row + size / 2)])
    return bounds(torch.from_numpy(at), (h_a * (size - 1) / 2, h_b * (size - 1) / 2))


def certified_deep_labels(
    rough: PlaneBounds,
    fine: PlaneBounds,
    label_of: Callable[[np.ndarray, np.ndarray], np.ndarray],
    plane: Plane,
    n: int,
    largest: int = 32,
    few: int = 4,
) -> tuple[np.ndarray, int]:
    """Label all cells of an n x n grid: equal to evaluating every centre in float64.

    On each box the gaps between the classes are linear, within an error. A cell gets the class that
    leads there by more than the error. Quarters of a box with more than a few cells in doubt are
    bounded in turn; all other cells in doubt are evaluated.

    Arguments:
        rough, fine: the network on the plane, in float32 for large boxes and in float64 for small ones.
        label_of: labels at rows and columns, each (M,), to (M,), by the network in float64.
        plane: the plane.
        n: cells a side.
        largest: bound on the cells a side of the first boxes.
        few: cells in doubt that are not worth another box.

    Returns:
        Labels, int32 (n, n), and the number of boxes and cells evaluated.
    """
    size = 2 ** int(np.log2(min(largest, n)))
    count = -(-n // size)
    # Boxes may stick out of the grid, where nothing is in doubt.
    painted = np.zeros((count * size, count * size), dtype=np.int32)
    painted[:n, :n] = -1
    row, column = (k.ravel() for k in np.indices((count, count)))
    classes: Tensor | None = None
    evaluated = 0
    while size > 1 and len(row):
        bounds = fine if size <= _FINE else rough
        blocks = painted.reshape(len(painted) // size, size, -1, size).swapaxes(1, 2)
        parts = []
        for start in range(0, len(row), _BATCH):
            some = slice(start, start + _BATCH)
            r, c = row[some], column[some]
            evaluated += len(r)
            found = _bounded(bounds, plane, n, size, r * size, c * size)
            left, leads = _leaders(found, None if classes is None else classes[some], size)
            now = blocks[r, c]
            now = np.where(now < 0, leads, now)
            blocks[r, c] = now
            doubt = (now < 0).reshape(len(r), 2, size // 2, 2, size // 2).sum((2, 4))
            box, i, j = np.nonzero(doubt > few)
            parts.append((2 * r[box] + i, 2 * c[box] + j, left[box]))
        row, column = (np.concatenate([part[k] for part in parts]) for k in (0, 1))
        classes = torch.cat([part[2] for part in parts])
        size //= 2
    row, column = np.nonzero(painted < 0)
    if len(row):
        painted[row, column] = label_of(row, column)
    return painted[:n, :n].copy(), evaluated + len(row)


def _leaders(bounds: Bounds, classes: Tensor | None, size: int) -> tuple[Tensor, np.ndarray]:
    """Which class leads on the cells of each box.

    Arguments:
        bounds: the logits of N boxes.
        classes: those that may lead on each box, bool (N, K); None for all.
        size: cells a side of a box.

    Returns:
        The classes that may still lead, bool (N, K), and the leading class of each cell, int32
        (N, size, size), -1 where it is in doubt.
    """
    z = bounds.logits
    centre = z.centre.detach().double()
    rivals = torch.ones_like(centre, dtype=torch.bool) if classes is None else classes.clone()
    top = centre.masked_fill(~rivals, -torch.inf).argmax(1)
    rivals.scatter_(1, top[:, None], False)

    def gaps(values: Tensor) -> Tensor:
        return values.gather(-1, top[:, None].expand(*values.shape[:-1], 1)) - values

    gap, slopes = gaps(centre), gaps(z.slopes.double().expand(-1, *centre.shape))
    apart = gap - slopes.abs().sum(0)
    error = bounds.logits.rest.double().expand(centre.shape)
    error = error + error.gather(1, top[:, None])
    # Written so that a NaN counts as doubt.
    rivals &= ~(apart > error)
    order = apart.masked_fill(~rivals, torch.inf).argsort(1)
    for rank in range(min(_RIVALS, int(rivals.sum(1).max()))):
        rival = order[:, rank]
        finer = bounds.errors(top, rival).double()[:, None]
        error.scatter_(1, rival[:, None], finer)
    rivals &= ~(apart > error)

    # The top class and its rivals, at each cell.
    most = int(rivals.sum(1).max())
    order = apart.masked_fill(~rivals, torch.inf).argsort(1)[:, :most]
    counts = rivals.gather(1, order)
    step = torch.linspace(-1, 1, size, dtype=torch.float64)
    gap, along_a, along_b, error = (
        values.gather(1, order)[..., None, None] for values in (gap, *slopes, error)
    )
    gap = gap + along_a * step + along_b * step[:, None]
    counts = counts[..., None, None]
    gap = torch.where(counts, gap, torch.inf)
    error = torch.where(counts, error, 0.0)
    zero = torch.zeros(len(top), 1, size, size, dtype=torch.float64)
    gap, error = torch.cat([zero, gap], 1), torch.cat([zero[..., :1, :1], error], 1)
    first = gap.argmin(1, keepdim=True)
    above = (gap + error).gather(1, first)
    others = (gap - error).scatter(1, first, torch.inf).amin(1, keepdim=True)
    named = torch.cat([top[:, None], order], 1)[..., None, None].expand(-1, -1, size, size)
    leads = torch.where(others > above, named.gather(1, first), -1)[:, 0]
    rivals.scatter_(1, top[:, None], True)
    return rivals, leads.int().numpy()
