"""Compare candidates with a reference: one call, one tidy row of every measure for each."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from baq import local
from baq.arguments import check_choice
from baq.band import boundary_band
from baq.inference import Classifier, check_labels, check_points, labels, logits, place
from baq.slices import curves
from baq.slices.jaccard import SIDES, boundary_mask, grid_change, jaccard_distance
from baq.slices.junctions import junction_cells
from baq.slices.label_maps import WAYS, label_map
from baq.slices.planes import Plane

__all__ = ["compare", "compare_logits", "per_plane"]


def compare(
    reference: Classifier,
    candidates: Classifier | Mapping[Any, Classifier],
    x: Tensor,
    y: Tensor | None = None,
    *,
    planes: Plane | Sequence[Plane] = (),
    share: float = 0.2,
    n: int = 241,
    sides: str = "two",
    way: str = "auto",
    gradients: bool = True,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
    batch_size: int = 4096,
) -> pd.DataFrame:
    """Measure how each candidate's decisions differ from the reference's.

    The reference is evaluated once for all candidates. Columns of a row:

    * ``candidate``: its key; ``points``: N; ``share``: the band's share.
    * ``accuracy_reference``, ``accuracy``: NaN without ``y``.
    * ``flip_rate``, ``pair_flip_rate``, and both within the boundary band, ``band_flip_rate``,
      ``band_pair_flip_rate``: shares of the points.
    * ``margin``: median of the reference's, in logits. ``radius``: median of its all-class radius,
      ``shift`` and ``band_shift``: median absolute first-order displacement over all points and over
      the band, in input units; ``normal_angle``: median, in degrees. These need gradients and are
      NaN where reference or candidate is not a module.
    * With planes, the mean over them: ``jaccard``, ``grid_change``, ``boundary_length`` of the
      reference and ``mean_displacement`` in input units, ``triple`` and ``triple_reference``
      junction cells; and how they were taken: ``planes``, ``n``, ``cell`` (mean side in input
      units), ``sides``, and ``error_bound`` (the larger one of the two maps).

    Arguments:
        reference: module or any callable from inputs to logits.
        candidates: one classifier, or several by a key such as the bit width.
        x: inputs, shape (N, *).
        y: labels, shape (N,).
        planes: slices on which label maps are compared.
        share: share of the points that the boundary band holds.
        n: cells a side of the label maps.
        sides: see :func:`baq.slices.jaccard.boundary_mask`.
        way: see :func:`baq.slices.label_maps.label_map`.
        gradients: take ``radius``, the shifts and ``normal_angle`` too; they are most of the cost
            for a network with more than one hidden layer.
        dtype, device: where modules are measured, on a copy; their own where not given.
        batch_size: points per evaluation.

    Raises:
        ValueError: for empty or non-finite inputs or logits, or shapes that do not match.

    Example:
        >>> from baq import ptq_w
        >>> model = nn.Linear(2, 2, bias=False)
        >>> model.weight.data = torch.tensor([[1.0, 0.0], [0.0, 0.4]])
        >>> x = torch.tensor([[1.0, 0.5], [0.2, 1.0], [1.0, 2.1]])
        >>> rows = compare(model, {b: ptq_w(model, b) for b in (8, 2)}, x)
        >>> rows[["candidate", "flip_rate"]].round(3).to_dict("list")
        {'candidate': [8, 2], 'flip_rate': [0.0, 0.333]}
    """
    x = check_points(x)
    candidates, planes = _by_key(candidates), _as_planes(planes)
    check_choice(SIDES, sides=sides)
    check_choice(WAYS, way=way)
    reference = place(reference, dtype, device)
    candidates = {key: place(candidate, dtype, device) for key, candidate in candidates.items()}
    z = logits(reference, x, batch_size)
    y = None if y is None else check_labels(y, len(x), z.shape[1])
    band = boundary_band(local.margins(z), share)

    def accuracy(z: Tensor) -> float:
        return math.nan if y is None else _mean(labels(z) == y.to(z.device))

    common: dict[str, float] = {
        "points": len(x),
        "share": share,
        "accuracy_reference": accuracy(z),
        "margin": _median(local.margins(z)),
    }
    gap = None
    if gradients:
        common["radius"] = math.nan
    if gradients and isinstance(reference, nn.Module):
        gap = local.pair_gap(reference, x, batch_size=batch_size)
        common["radius"] = _median(local.radii(reference, x, min(batch_size, 1024))[0])

    rows = []
    for key, candidate in candidates.items():
        z_q = logits(candidate, x, batch_size)
        flip, pair_flip = local.flips(z, z_q), local.pair_flips(z, z_q)
        row: dict[str, object] = {
            "candidate": key,
            **common,
            "accuracy": accuracy(z_q),
            "flip_rate": _mean(flip),
            "band_flip_rate": _mean(flip[band]),
            "pair_flip_rate": _mean(pair_flip),
            "band_pair_flip_rate": _mean(pair_flip[band]),
        }
        if gradients:
            row |= dict.fromkeys(("shift", "band_shift", "normal_angle"), math.nan)
        if gap is not None and isinstance(candidate, nn.Module):
            gap_q = local.pair_gap(candidate, x, (gap.first, gap.second), batch_size)
            shift = local.displacement(gap, gap_q).abs()
            row |= {
                "shift": _median(shift),
                "band_shift": _median(shift[band]),
                "normal_angle": _median(local.normal_angle(gap, gap_q)),
            }
        rows.append(row)
    if planes:
        cut = per_plane(reference, candidates, planes, n, sides, way, batch_size, trace=True)
        for k, row in enumerate(rows):
            means = cut.iloc[k :: len(rows)].drop(columns=["candidate", "plane"]).mean()
            row |= means.to_dict() | {"planes": len(planes), "n": n, "sides": sides}
    return pd.DataFrame(rows)


def _mean(mask: Tensor) -> float:
    return float(mask.double().mean())


def _median(values: Tensor) -> float:
    """The median, of an even number the mean of the two in the middle; values that are NaN left out."""
    ordered = values[~values.isnan()].double().sort().values
    count = len(ordered)
    return float((ordered[(count - 1) // 2] + ordered[count // 2]) / 2) if count else math.nan


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
    """
    candidates, rows = _by_key(candidates), []
    for k, plane in enumerate(_as_planes(planes)):
        grid = label_map(reference, plane, n, way, batch_size)
        mask = boundary_mask(grid.labels, sides)
        length = curves.boundary_length(curves.crossings(reference, grid)) if trace else 0.0
        for key, candidate in candidates.items():
            grid_q = label_map(candidate, plane, n, way, batch_size)
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
            rows.append(row | {"error_bound": max(grid.error_bound, grid_q.error_bound)})
    return pd.DataFrame(rows)


def _by_key(candidates: Classifier | Mapping[Any, Classifier]) -> Mapping[Any, Classifier]:
    if not isinstance(candidates, Mapping):
        return {"candidate": candidates}
    if not candidates:
        raise ValueError("candidates are empty: allowed is one classifier or more")
    return candidates


def _as_planes(planes: Plane | Sequence[Plane] | None) -> list[Plane]:
    found = [planes] if isinstance(planes, Plane) else [] if planes is None else planes
    if not isinstance(found, Iterable):
        raise ValueError(f"planes is {planes!r}: allowed are slices, each a Plane")
    found = list(found)
    for plane in found:
        if not isinstance(plane, Plane):
            told = f"planes hold a {type(plane).__name__}: allowed are slices, each a Plane"
            raise ValueError(told)
    return found


def compare_logits(
    z: Tensor, candidates: Mapping[object, Tensor], y: Tensor | None = None, share: float = 0.2
) -> pd.DataFrame:
    """What :func:`baq.compare` measures without gradients and planes, from logits that are known.

    Arguments:
        z: logits of the reference, shape (N, K).
        candidates: logits of each candidate at the same points, shape (N, K), by a key.
        y: labels, shape (N,).
        share: share of the points that the boundary band holds.

    Raises:
        ValueError: as :func:`baq.compare`.
    """
    if not isinstance(candidates, Mapping):
        raise ValueError(
            f"candidates are a {type(candidates).__name__}: allowed is a map of logits"
        )
    known = {key: lambda _, z_q=z_q: z_q for key, z_q in candidates.items()}
    return compare(
        lambda _: z, known, z, y, share=share, gradients=False, batch_size=max(1, len(z))
    )
