"""Label maps: a classifier's label at every cell of a grid on a plane."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from baq.arguments import check_choice
from baq.inference import Classifier, check_inputs, evaluate, labels, logits, place
from baq.slices.adaptive import adaptive_labels
from baq.slices.certified import certified_labels, plane_network
from baq.slices.certified_deep import boxes_pay, certified_deep_labels
from baq.slices.on_plane import on_plane
from baq.slices.plane_bounds import NoRule, PlaneBounds
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
#: Cells a side from which a map by the way ``auto`` need not evaluate all of them.
LARGE = 192


@dataclass(frozen=True, eq=False)
class LabelMap:
    """Top-1 labels at the centres of an n x n grid on a plane: ``labels[row, column]``, int32 (n, n).

    ``way`` is how they were found, ``evaluated`` how many boxes and cells that took. ``error_bound`` is
    an upper 95 % bound of the share of cells with a wrong label; 0 where every label is exact.

    Example:
        >>> axes = torch.eye(2)
        >>> plane = Plane(torch.zeros(2), axes[0], axes[1], (-1.0, 1.0, -1.0, 1.0))
        >>> grid = LabelMap(np.zeros((4, 4), dtype=int), plane, "dense", 16)
        >>> grid.n, grid.cell
        (4, (0.5, 0.5))
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
            ``certified`` evaluates only the cells that bounds leave in doubt, in float64, and gives the map
            that evaluating every centre in float64 would give (:mod:`baq.slices.certified` for networks with
            one hidden layer, :mod:`baq.slices.certified_deep` for others, of the layers that
            :mod:`baq.slices.bounds` knows); ``adaptive`` refines a coarse lattice where labels differ and
            audits the rest (:mod:`baq.slices.adaptive`), so it may miss an island, and bounds the share of such
            cells. ``auto`` is certified for one hidden layer; for others it is dense below
            :data:`LARGE` cells a side, from there on certified where a sample of boxes says that bounds pay
            (:func:`baq.slices.certified_deep.boxes_pay`), else adaptive. For deep networks an adaptive map may take
            a tenth of a certified one's time.
        batch_size: centres per evaluation.

    Raises:
        ValueError: for n below 2, another way, a network that the certified way does not know, naming
            the layer, or as :func:`baq.inference.logits`.

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
    if way in ("auto", "certified") and has_one_hidden_layer(classifier):
        network = plane_network(classifier, plane.origin, plane.u, plane.v)
        found, evaluated = certified_labels(network, plane.extent, n)
        return LabelMap(found, plane, "certified", evaluated)
    bounds = _deep_bounds(classifier, plane, n, way)
    if bounds is None:
        at = on_plane(classifier, plane)
    else:
        exact = Plane(plane.origin.double(), plane.u.double(), plane.v.double(), plane.extent)
        at = on_plane(place(classifier, torch.float64), exact)

    def label_of(points: Tensor) -> np.ndarray:
        return labels(logits(at, points, batch_size)).to("cpu", torch.int32).numpy()

    def label_cells(row: np.ndarray, column: np.ndarray) -> np.ndarray:
        return label_of(plane.centre(n, row, column))

    if bounds is not None:
        rough = PlaneBounds(classifier, plane)
        found, evaluated = certified_deep_labels(rough, bounds, label_cells, plane, n)
        return LabelMap(found, plane, "certified", evaluated)
    if way == "adaptive" or (way == "auto" and n >= LARGE):
        found, evaluated, bound = adaptive_labels(label_cells, n)
        return LabelMap(found, plane, "adaptive", evaluated, bound)
    return LabelMap(label_of(plane.centres(n).reshape(-1, 2)).reshape(n, n), plane, "dense", n * n)


def _deep_bounds(classifier: Classifier, plane: Plane, n: int, way: str) -> PlaneBounds | None:
    """What bounds the network, in float64, if its map is to be certified, else None."""
    if way not in ("auto", "certified") or (way == "auto" and n < LARGE):
        return None
    evaluate(classifier, check_inputs(classifier, plane.origin[None]))
    try:
        bounds = PlaneBounds(classifier, plane, torch.float64)
    except NoRule:
        if way == "certified":
            raise
        return None
    return bounds if way == "certified" or boxes_pay(bounds, plane, n) else None
