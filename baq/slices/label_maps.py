"""Label maps: a classifier's label at every cell of a grid on a plane."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from baq.arguments import check_choice
from baq.inference import Classifier, check_inputs, labels, logits
from baq.slices.adaptive import adaptive_labels
from baq.slices.certified import certified_labels, plane_network
from baq.slices.on_plane import on_plane
from baq.slices.planes import Plane, check_side
from baq.structure import has_one_hidden_layer

__all__ = [
    "WAYS",
    "LabelMap",
    "check_label_maps",
    "label_map",
]

#: The ways of :func:`label_map`.
WAYS = ("auto", "dense", "certified", "adaptive")


@dataclass(frozen=True)
class LabelMap:
    """Top-1 labels at the centres of an n x n grid on a plane: ``labels[row, column]``, int32 (n, n).

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


def check_label_maps(*maps: LabelMap) -> None:
    """Raise where a map has no plane."""
    for grid in maps:
        if not isinstance(grid, LabelMap):
            raise ValueError(f"the map is a {type(grid).__name__}: allowed is a LabelMap")


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
        way: ``dense`` evaluates every centre, at the classifier's own precision (:mod:`baq.slices.on_plane`);
            ``certified``, for networks with one hidden layer, evaluates only the cells that
            :mod:`baq.slices.certified` cannot bound, in float64, and gives the same map; ``adaptive`` refines
            a coarse lattice where labels differ and audits the rest (:mod:`baq.slices.adaptive`), so it may
            miss an island, and bounds the share of such cells; ``auto`` is certified where it can be, else
            dense.
        batch_size: centres per evaluation.

    Raises:
        ValueError: for n below 2, another way, a network that the certified way does not know, or as
            :func:`baq.inference.logits`.

    Example:
        >>> plane = Plane(torch.zeros(2), torch.eye(2)[0], torch.eye(2)[1], (-1.0, 1.0, -1.0, 1.0))
        >>> label_map(lambda x: torch.stack([x[:, 0], -x[:, 0]], dim=1), plane, 4).labels.tolist()[0]
        [1, 1, 0, 0]
    """
    check_choice(WAYS, way=way)
    check_side(n)
    if not isinstance(plane, Plane):
        raise ValueError(f"the plane is a {type(plane).__name__}: allowed is a Plane")
    check_inputs(classifier, plane.origin[None])
    if way == "certified" or (way == "auto" and has_one_hidden_layer(classifier)):
        network = plane_network(classifier, plane.origin, plane.u, plane.v)
        found, evaluated = certified_labels(network, plane.extent, n)
        return LabelMap(found, plane, "certified", evaluated)

    at = on_plane(classifier, plane)

    def label_of(points: Tensor) -> np.ndarray:
        return labels(logits(at, points, batch_size)).to("cpu", torch.int32).numpy()

    if way == "adaptive":
        found, evaluated, bound = adaptive_labels(
            lambda row, column: label_of(plane.centre(n, row, column)), n
        )
        return LabelMap(found, plane, "adaptive", evaluated, bound)
    return LabelMap(label_of(plane.centres(n).reshape(-1, 2)).reshape(n, n), plane, "dense", n * n)
