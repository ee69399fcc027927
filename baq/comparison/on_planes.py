"""What is known on slices: a row of measures for every plane and candidate."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from baq.inference import Classifier
from baq.slices import curves
from baq.slices.jaccard import boundary_mask, grid_change, jaccard_distance
from baq.slices.junctions import junction_cells
from baq.slices.label_maps import label_map
from baq.slices.planes import Plane

__all__ = ["as_planes", "by_key", "per_plane", "rows_by_plane"]


def per_plane(
    reference: Classifier,
    candidates: Classifier | Mapping[Any, Classifier],
    planes: Plane | Sequence[Plane],
    n: int = 61,
    sides: str = "two",
    way: str = "auto",
    batch_size: int = 8192,
    *,
    trace: bool = False,
) -> pd.DataFrame:
    """The slice measures of every candidate on every plane, which :func:`compare` averages over planes.

    Arguments:
        reference, candidates: any callables from inputs to logits; candidates by a key.
        planes: the slices.
        n: cells a side of the label maps.
        sides: see :func:`baq.slices.jaccard.boundary_mask`.
        way: see :func:`baq.slices.label_maps.label_map`.
        batch_size: cells per evaluation.
        trace: trace the reference's boundary as a curve too, for its length and what follows from it.

    Returns:
        One row a plane and candidate, candidates of a plane together: ``candidate``, ``plane`` (its
        index), ``jaccard``, ``grid_change``, ``error_bound`` (the larger one of the two maps); with
        ``trace`` also ``boundary_length``, ``mean_displacement``, ``triple``, ``triple_reference`` and
        ``cell``, as :func:`compare` has them.

    Raises:
        ValueError: for no candidates, planes that are none, or as :func:`label_map`.

    Example:
        >>> import torch
        >>> model = torch.nn.Linear(2, 3, bias=False)
        >>> model.weight.data = torch.tensor([[1.0, 0.1], [-0.6, 1.0], [-0.5, -0.9]])
        >>> axes = torch.eye(2)
        >>> plane = Plane(torch.zeros(2), axes[0], axes[1], (-1.0, 1.0, -1.0, 1.0))
        >>> from baq import ptq_w
        >>> rows = per_plane(model, {bits: ptq_w(model, bits) for bits in (8, 2)}, plane, n=21)
        >>> rows[["candidate", "jaccard"]].round(2).to_dict("list")
        {'candidate': [8, 2], 'jaccard': [0.06, 0.7]}
    """
    found = rows_by_plane(
        reference, by_key(candidates), as_planes(planes), n, sides, way, batch_size, trace=trace
    )
    return pd.DataFrame(found)


def rows_by_plane(
    reference: Classifier,
    candidates: Mapping[Any, Classifier],
    planes: Sequence[Plane],
    n: int,
    sides: str,
    way: str,
    batch_size: int,
    *,
    trace: bool,
    failed: Callable[[Any, Exception], None] | None = None,
) -> Iterator[dict[str, Any]]:
    """The rows of :func:`per_plane`; where ``failed`` is given, it is told of a candidate that fails."""
    for k, plane in enumerate(planes):
        grid = label_map(reference, plane, n, way, batch_size)
        mask = boundary_mask(grid.labels, sides)
        length = 0.0
        if trace:
            crossed = curves.crossings(reference, grid, batch_size=batch_size)
            length = curves.boundary_length(crossed)
        for key, candidate in candidates.items():
            try:
                grid_q = label_map(candidate, plane, n, way, batch_size)
            except Exception as error:  # one that fails must not lose the others
                if failed is None:
                    raise
                failed(key, error)
                continue
            row = {
                "candidate": key,
                "plane": k,
                "jaccard": jaccard_distance(mask, boundary_mask(grid_q.labels, sides)),
                "grid_change": grid_change(grid.labels, grid_q.labels),
            }
            if trace:
                row |= {
                    "boundary_length": length,
                    "mean_displacement": curves.mean_displacement(grid, grid_q, length),
                    "triple_reference": junction_cells(grid.labels).sum(),
                    "triple": junction_cells(grid_q.labels).sum(),
                    "cell": sum(grid.cell) / 2,
                }
            yield row | {"error_bound": max(grid.error_bound, grid_q.error_bound)}


def by_key(candidates: Classifier | Mapping[Any, Classifier]) -> Mapping[Any, Classifier]:
    """Candidates by a key, of which a single one has the name ``candidate``.

    Raises:
        ValueError: for none.
    """
    if not isinstance(candidates, Mapping):
        return {"candidate": candidates}
    if not candidates:
        raise ValueError("candidates are empty: allowed is one classifier or more")
    return candidates


def as_planes(planes: Plane | Sequence[Plane] | None) -> list[Plane]:
    """Slices as a list, which is empty for none.

    Raises:
        ValueError: for what is no :class:`Plane`.
    """
    found = [planes] if isinstance(planes, Plane) else [] if planes is None else planes
    if not isinstance(found, Iterable):
        raise ValueError(f"planes is {planes!r}: allowed are slices, each a Plane")
    found = list(found)
    for plane in found:
        if not isinstance(plane, Plane):
            told = f"planes hold a {type(plane).__name__}: allowed are slices, each a Plane"
            raise ValueError(told)
    return found
