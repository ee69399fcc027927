"""Compare candidates with a reference: one call, one tidy row of every measure for each."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import pandas as pd
import torch
from torch import Tensor
from tqdm import tqdm

from baq.adapters.outputs import KINDS
from baq.arguments import check_choice, check_flag, check_share, check_whole
from baq.band import boundary_band
from baq.comparison.at_points import over_points
from baq.comparison.measured import Measured, as_places, as_points, one_line, told
from baq.comparison.on_planes import as_planes, by_key, rows_by_plane
from baq.inference import Classifier, batch_sizes, place, watched
from baq.slices.jaccard import SIDES
from baq.slices.label_maps import WAYS
from baq.slices.planes import Plane, check_side

__all__ = ["compare", "compare_logits"]


def compare(
    reference: Classifier,
    candidates: Classifier | Mapping[Any, Classifier],
    x: Tensor | Mapping[str, Tensor],
    y: Tensor | None = None,
    *,
    planes: Plane | Sequence[Plane] = (),
    share: float = 0.2,
    n: int = 241,
    sides: str = "two",
    way: str = "auto",
    gradients: bool = True,
    outputs: str = "auto",
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
    batch_size: int | None = None,
    progress: bool | None = None,
) -> pd.DataFrame:
    """Measure how each candidate's decisions differ from the reference's.

    The reference is evaluated once for all candidates, and all of them batch by batch, so that memory
    does not grow with the number of inputs. Columns of a row:

    * ``candidate``: its key; ``points``: N; ``share``: the band's share.
    * ``accuracy_reference``, ``accuracy``: NaN without ``y``.
    * ``flip_rate``, ``pair_flip_rate``, and both within the boundary band, ``band_flip_rate``,
      ``band_pair_flip_rate``: shares of the points.
    * ``margin``: median of the reference's, in logits. ``radius``: median of its all-class radius,
      ``shift`` and ``band_shift``: median absolute first-order displacement over all points and over
      the band, in input units; these need gradients of the reference. ``normal_angle``: median, in
      degrees, which needs those of the candidate too.
    * With planes, the mean over them: ``jaccard``, ``grid_change``, ``boundary_length`` of the
      reference and ``mean_displacement`` in input units, ``triple`` and ``triple_reference``
      junction cells; and how they were taken: ``planes``, ``n``, ``cell`` (mean side in input
      units), ``sides``, and ``error_bound`` (the larger one of the two maps).
    * ``note``, where there is one: what was done with outputs that are no logits, and how many classes
      radii were taken to.
    * ``reason``, where a measure is missing: NaN stands for it, and this tells which and why. A candidate
      that fails loses no row of another; if all of them do, the first one's error is raised.

    Arguments:
        reference: module or any callable from inputs to logits, or to what holds them; probabilities
            and a single logit are recognized, see :mod:`baq.adapters.outputs`.
        candidates: one classifier, or several by a key such as the bit width.
        x: inputs, shape (N, *), also an array that stays on the disk; or several by the names by which
            the classifiers take them.
        y: labels, shape (N,); of an estimator those that it was fitted on.
        planes: slices on which label maps are compared.
        share: share of the points that the boundary band holds.
        n: cells a side of the label maps.
        sides: see :func:`baq.slices.jaccard.boundary_mask`.
        way: see :func:`baq.slices.label_maps.label_map`.
        gradients: take ``radius``, the shifts and ``normal_angle`` too; they are most of the cost
            for a network with more than one hidden layer.
        outputs: what the classifiers return, one of :data:`baq.adapters.outputs.KINDS`; recognized if
            ``auto``.
        dtype, device: where modules are measured, on a copy; their own where not given.
        batch_size: points per evaluation; as many as keep memory bounded where not given.
        progress: show progress and the time left; only in a terminal where not given.

    Raises:
        ValueError: for empty or non-finite inputs or logits, shapes that do not match, or another option
            than is allowed.

    Example:
        >>> from baq import ptq_w
        >>> model = torch.nn.Linear(2, 2, bias=False)
        >>> model.weight.data = torch.tensor([[1.0, 0.0], [0.0, 0.4]])
        >>> x = torch.tensor([[1.0, 0.5], [0.2, 1.0], [1.0, 2.1]])
        >>> rows = compare(model, {b: ptq_w(model, b) for b in (8, 2)}, x)
        >>> rows[["candidate", "flip_rate"]].round(3).to_dict("list")
        {'candidate': [8, 2], 'flip_rate': [0.0, 0.333]}
    """
    candidates, planes = by_key(candidates), as_planes(planes)
    check_choice(SIDES, sides=sides)
    check_choice(WAYS, way=way)
    check_choice(("auto", *KINDS), outputs=outputs)
    check_flag(gradients=gradients)
    check_share(share=share)
    check_side(n)
    first = Measured(place(reference, dtype, device), outputs)
    others = {
        key: Measured.placed(value, outputs, dtype, device) for key, value in candidates.items()
    }
    x, y = as_points(x, first, others), as_places(y, reference)
    if batch_size is None:
        sizes = batch_sizes(first.classifier, x)
    else:
        check_whole(batch_size=batch_size)
        sizes = batch_size, batch_size

    cells = len(planes) * n**2 if planes else 0
    passes = (1 + (22 if gradients else 0)) * len(x) + cells
    with _bar(passes + (1 + 2 * gradients) * len(x) * len(others) + cells * len(others), progress):
        points = over_points(first, others, x, y, gradients, sizes)
        band = boundary_band(points["margin"], share)
        cut = _on_planes(first, others, planes, n, sides, way, sizes[0])

    common: dict[str, Any] = {"points": len(x), "share": share}
    common["accuracy_reference"] = math.nan if y is None else _mean(points["correct"])
    common["margin"] = _median(points["margin"])
    if gradients:
        common["radius"] = _median(points["radius"]) if "radius" in points else math.nan
    rows = [
        {"candidate": key, **common, **_row(points[key], band, y is not None, gradients)}
        for key in others
    ]
    if planes:
        for row in rows:
            row |= dict.fromkeys(_ON_PLANES, math.nan) | cut.get(row["candidate"], {})
            row |= {"planes": len(planes), "n": n, "sides": sides}
    frame = pd.DataFrame(rows)
    for name, texts in {
        "note": [told(first, other) for other in others.values()],
        "reason": [other.reason() for other in others.values()],
    }.items():
        if any(texts):
            frame[name] = texts
    return frame


#: Columns that need label maps, and what a reason calls them.
_ON_PLANES = (
    *("jaccard", "grid_change", "boundary_length", "mean_displacement"),
    *("triple_reference", "triple", "cell", "error_bound"),
)
_MAPS = "the maps"


def _on_planes(
    first: Measured,
    others: Mapping[Any, Measured],
    planes: Sequence[Plane],
    n: int,
    sides: str,
    way: str,
    batch_size: int,
) -> dict[Any, dict[str, float]]:
    """Means over planes by candidate, of those that have maps on all of them; the others are told why not."""

    def failed(key: Any, error: Exception) -> None:
        others[key].missing[_MAPS] = one_line(error)

    working = {key: other.classifier for key, other in others.items() if not other.failed}
    options = (n, sides, way, batch_size)
    found: dict[Any, list[dict[str, float]]] = {key: [] for key in others}
    try:
        for row in rows_by_plane(
            first.classifier, working, planes, *options, trace=True, failed=failed
        ):
            found[row.pop("candidate")].append(row)
    except Exception as error:  # one measure that fails must not lose the others
        for key in others:
            failed(key, error)
    return {
        key: pd.DataFrame(rows).drop(columns="plane").mean().to_dict()
        for key, rows in found.items()
        if rows and _MAPS not in others[key].missing
    }


def _row(
    points: Mapping[str, Tensor], band: Tensor, truth: bool, gradients: bool
) -> dict[str, float]:
    """The numbers of a candidate from what is known of it at every point; NaN for what is not."""

    def mean(name: str, within: Tensor | None = None) -> float:
        if name not in points:
            return math.nan
        values = points[name]
        return _mean(values if within is None else values[within.to(values.device)])

    def median(name: str, within: Tensor | None = None) -> float:
        if name not in points:
            return math.nan
        values = points[name]
        return _median(values if within is None else values[within.to(values.device)])

    row = {
        "accuracy": mean("correct") if truth else math.nan,
        "flip_rate": mean("flip"),
        "band_flip_rate": mean("flip", band),
        "pair_flip_rate": mean("pair"),
        "band_pair_flip_rate": mean("pair", band),
    }
    if gradients:
        row |= {
            "shift": median("shift"),
            "band_shift": median("shift", band),
            "normal_angle": median("angle"),
        }
    return row


@contextmanager
def _bar(total: int, progress: bool | None) -> Iterator[None]:
    """Progress by passes of an input forward or backward, and the time left at most."""
    hidden = None if progress is None else not progress
    with (
        tqdm(total=total, desc="compare", unit="pass", delay=2, leave=False, disable=hidden) as bar,
        watched(bar.update),
    ):
        yield


def _mean(mask: Tensor) -> float:
    return float(mask.double().mean())


def _median(values: Tensor) -> float:
    """The median, of an even number the mean of the two in the middle; values that are NaN left out."""
    ordered = values[~values.isnan()].double().sort().values
    count = len(ordered)
    return float((ordered[(count - 1) // 2] + ordered[count // 2]) / 2) if count else math.nan


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

    Example:
        >>> z = torch.tensor([[2.0, 1.0], [1.1, 1.0], [0.0, 3.0]])
        >>> rows = compare_logits(z, {"int8": z + torch.tensor([0.0, 0.2])}, torch.tensor([0, 0, 1]))
        >>> rows[["candidate", "accuracy_reference", "flip_rate"]].round(3).to_dict("list")
        {'candidate': ['int8'], 'accuracy_reference': [1.0], 'flip_rate': [0.333]}
    """
    if not isinstance(candidates, Mapping):
        raise ValueError(
            f"candidates are a {type(candidates).__name__}: allowed is a map of logits"
        )
    known = {key: lambda _, z_q=z_q: z_q for key, z_q in candidates.items()}
    options: dict[str, Any] = {"gradients": False, "outputs": "logits"}
    return compare(lambda _: z, known, z, y, share=share, batch_size=max(1, len(z)), **options)
