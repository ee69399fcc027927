"""Label maps of any classifier by refinement where labels differ, audited by a random sample."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import ndimage

from baq.arguments import check_seed, check_whole
from baq.shares import share_bound

__all__ = ["adaptive_labels"]


def adaptive_labels(
    label_of: Callable[[np.ndarray, np.ndarray], np.ndarray],
    n: int,
    stride: int | None = None,
    audit: int = 500,
    seed: int = 0,
) -> tuple[np.ndarray, int, float]:
    """Label an n x n grid from a coarse lattice, refined around its boundary.

    Squares of the lattice whose corners differ are halved until they are single cells; the rest is
    painted. Painted cells that then touch another label are evaluated too, until none is left. So a
    boundary that the lattice sees is followed to its end, also where it bends out of these squares. An
    island between the lattice's points is missed; only the audit can find it.

    Arguments:
        label_of: labels at rows and columns, each (M,), to (M,).
        n: cells a side.
        stride: cells between points of the first lattice, a power of 2; 8 at most and as many as leave 15
            squares a side where not given.
        audit: painted cells that are evaluated as a random sample. The wrong ones among them are
            mended, and their islands followed.
        seed: seed of the sample.

    Returns:
        Labels, int32 (n, n); how many were evaluated; and the upper 95 % bound, from the sample, of the
        share of the map's cells that were painted wrong.

    Raises:
        ValueError: for a stride that is not a power of 2, an audit without cells, or an invalid
            seed.
    """
    check_whole(audit=audit)
    check_whole(2, n=n)
    check_seed(seed=seed)
    if stride is None:
        stride = 2 ** min(3, max(0, (int(n - 1) // 15).bit_length() - 1))
    check_whole(stride=stride)
    if stride & (stride - 1):
        raise ValueError(f"stride is {stride}: allowed is a power of 2")
    known = np.zeros((n, n), dtype=bool)
    labels = np.full((n, n), -1, dtype=np.int32)

    def evaluate(cells: np.ndarray) -> None:
        row, column = np.nonzero(cells & ~known)
        if len(row):
            labels[row, column] = label_of(row, column)
            known[row, column] = True

    def follow() -> None:
        """Evaluate painted cells beside another label, until none is left."""
        while True:
            beside = _beside_another(labels) & ~known
            if not beside.any():
                return
            evaluate(beside)

    # Rows and columns of the lattice; the last cell always belongs to it.
    at = np.unique(np.append(np.arange(0, n, stride), n - 1))
    cells = np.zeros((n, n), dtype=bool)
    cells[np.ix_(at, at)] = True
    evaluate(cells)
    while len(at) < n:
        corners = labels[np.ix_(at, at)]
        low, high = corners[:-1], corners[1:]
        differ = (low[:, :-1] != low[:, 1:]) | (high[:, :-1] != high[:, 1:])
        differ |= low[:, :-1] != high[:, :-1]
        # The square and the lattice point that each cell belongs to.
        square = np.minimum(np.searchsorted(at, np.arange(n), side="right") - 1, len(at) - 2)
        refine = differ[np.ix_(square, square)]
        painted = labels[np.ix_(at[square], at[square])]
        labels = np.where(known, labels, painted)
        finer = np.unique(np.concatenate([at, (at[:-1] + at[1:]) // 2]))
        cells = np.zeros((n, n), dtype=bool)
        cells[np.ix_(finer, finer)] = True
        evaluate(cells & refine)
        at = finer
    follow()
    painted = np.flatnonzero(~known)
    if len(painted) == 0:
        return labels, n * n, 0.0
    sample = np.random.default_rng(seed).choice(painted, min(audit, len(painted)), replace=False)
    before = labels.ravel()[sample]
    cells = np.zeros((n, n), dtype=bool)
    cells.flat[sample] = True
    evaluate(cells)
    wrong = int((labels.ravel()[sample] != before).sum())
    follow()
    bound = share_bound(wrong, len(sample)) if len(sample) < len(painted) else 0.0
    return labels, int(known.sum()), bound * len(painted) / n**2


def _beside_another(labels: np.ndarray) -> np.ndarray:
    """Cells with one of their eight neighbours of another label."""
    return ndimage.maximum_filter(labels, 3) != ndimage.minimum_filter(labels, 3)
