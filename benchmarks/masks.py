"""Boundary Jaccard distance and junction counts of label maps against scikit-image and scipy."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
from scipy import ndimage
from scipy.spatial import distance

from baq.quantization import ptq_w
from baq.slices import boundary_mask, jaccard_distance, label_map, pca_plane
from baq.slices.junctions import junction_cells
from benchmarks.maps import mnist, network
from benchmarks.race import Race, absent

__all__ = ["junction_race", "mask_race", "races", "scipy_junctions"]


def mask_race(a: np.ndarray, b: np.ndarray, repeats: int = 10) -> Race:
    """J of two label maps, from the labels to the number.

    Raises:
        ImportError: where there is no scikit-image.
    """
    from skimage.segmentation import find_boundaries

    return Race(
        "boundary Jaccard distance of two maps / scikit-image masks and scipy's distance",
        f"{len(a)} x {len(a)}",
        1.0,
        lambda _: jaccard_distance(boundary_mask(a), boundary_mask(b)),
        lambda _: distance.jaccard(*(find_boundaries(k, mode="thick").ravel() for k in (a, b))),
        _equal,
        repeats,
    )


def junction_race(a: np.ndarray, repeats: int = 10) -> Race:
    """Triple-junction cells of a label map."""
    return Race(
        "triple-junction cells of a map / scipy filters",
        f"{len(a)} x {len(a)}",
        1.0,
        lambda _: int(junction_cells(a).sum()),
        lambda _: scipy_junctions(a),
        _equal,
        repeats,
    )


def scipy_junctions(labels: np.ndarray) -> int:
    """2 x 2 windows with 3 labels or more: the labels present are counted by a filter for each."""
    count = sum(
        ndimage.maximum_filter((labels == k).astype(np.uint8), size=2) for k in np.unique(labels)
    )
    return int((count[1:, 1:] >= 3).sum())


def _equal(ours: Sequence[float], peer: Sequence[float]) -> tuple[str, bool]:
    same = all(math.isclose(a, b, rel_tol=1e-12) for a, b in zip(ours, peer, strict=True))
    return f"{ours[0]:.6g} and {peer[0]:.6g}", same


def races() -> Iterator[Race | dict[str, object]]:
    """The races on the maps of an MLP and of its 4-bit copy."""
    model, plane = network("mlp", 64, "tanh"), pca_plane(mnist().x_train[:3000])
    a, b = (label_map(m, plane, 1025).labels for m in (model, ptq_w(model, 4)))
    try:
        yield mask_race(a, b)
    except ImportError as error:
        yield absent("boundary Jaccard distance of two maps", "1025 x 1025", 1.0, error)
    yield junction_race(a)
