"""Compare candidates with a reference: one call, one tidy row of every measure for each."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import pandas as pd
import torch
from torch import Tensor
from tqdm import tqdm

from baq import local
from baq.adapters.named import by_row, named
from baq.adapters.outputs import KINDS, as_logits, convert, kind_of
from baq.arguments import check_choice, check_whole
from baq.band import boundary_band
from baq.inference import (
    Classifier,
    as_tensor,
    batch_sizes,
    batches,
    check_labels,
    check_logits,
    check_points,
    evaluate,
    input_form,
    labels,
    passed,
    place,
    top_pair,
    watched,
)
from baq.inference import gradients as recording
from baq.slices import curves
from baq.slices.jaccard import SIDES, boundary_mask, grid_change, jaccard_distance
from baq.slices.junctions import junction_cells
from baq.slices.label_maps import WAYS, label_map
from baq.slices.planes import Plane, check_side

__all__ = ["compare", "compare_logits", "per_plane"]


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
        y: labels, shape (N,).
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
        ValueError: for empty or non-finite inputs or logits, or shapes that do not match.

    Example:
        >>> from baq import ptq_w
        >>> model = torch.nn.Linear(2, 2, bias=False)
        >>> model.weight.data = torch.tensor([[1.0, 0.0], [0.0, 0.4]])
        >>> x = torch.tensor([[1.0, 0.5], [0.2, 1.0], [1.0, 2.1]])
        >>> rows = compare(model, {b: ptq_w(model, b) for b in (8, 2)}, x)
        >>> rows[["candidate", "flip_rate"]].round(3).to_dict("list")
        {'candidate': [8, 2], 'flip_rate': [0.0, 0.333]}
    """
    candidates, planes = _by_key(candidates), _as_planes(planes)
    check_choice(SIDES, sides=sides)
    check_choice(WAYS, way=way)
    check_choice(("auto", *KINDS), outputs=outputs)
    check_side(n)
    first = _Measured(place(reference, dtype, device), outputs)
    others = {
        key: _Measured.placed(value, outputs, dtype, device) for key, value in candidates.items()
    }
    x = _as_points(x, first, others)
    if batch_size is None:
        sizes = batch_sizes(first.classifier, x)
    else:
        check_whole(batch_size=batch_size)
        sizes = batch_size, batch_size
    if y is not None:
        y = check_labels(y, len(x))

    cells = len(planes) * n**2 if planes else 0
    passes = (1 + (22 if gradients else 0)) * len(x) + cells
    with _bar(passes + (1 + 2 * gradients) * len(x) * len(others) + cells * len(others), progress):
        points = _over_points(first, others, x, y, gradients, sizes)
        band = boundary_band(points["margin"], share)
        if planes:
            working = {key: other.classifier for key, other in others.items() if not other.failed}
            try:
                options = (n, sides, way, sizes[0])
                cut = _per_plane(first.classifier, working, planes, *options, True, others)
            except Exception as error:  # one measure that fails must not lose the others
                cut = None
                for other in others.values():
                    other.missing[_MAPS] = _line(error)

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
        for row, (key, other) in zip(rows, others.items(), strict=True):
            row |= dict.fromkeys(_ON_PLANES, math.nan)
            if cut is not None and not other.failed and _MAPS not in other.missing:
                means = cut[cut["candidate"] == key].drop(columns=["candidate", "plane"]).mean()
                row |= means.to_dict()
            row |= {"planes": len(planes), "n": n, "sides": sides}
    frame = pd.DataFrame(rows)
    for name, texts in {
        "note": [_told(first, other) for other in others.values()],
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


class _Measured:
    """A classifier as it is measured: what its outputs are, and which measures are missing and why."""

    def __init__(self, classifier: Classifier, outputs: str) -> None:
        self.classifier, self._raw, self._outputs = classifier, classifier, outputs
        self.kind, self.failed, self.notes = "", False, ""
        self.error: Exception | None = None
        self.missing: dict[str, str] = {}

    @classmethod
    def placed(cls, classifier: Classifier, outputs: str, dtype: Any, device: Any) -> _Measured:
        found = cls(classifier, outputs)
        try:
            found.classifier = found._raw = place(classifier, dtype, device)
        except Exception as error:  # as any other failure of a candidate
            found.fail(error)
        return found

    def fail(self, error: Exception) -> None:
        self.failed, self.error = True, error
        self.missing = {"all": _line(error)}

    def reason(self) -> str:
        return "; ".join(f"{name}: {why}" for name, why in self.missing.items())

    def logits(self, batch: Tensor, like: _Measured | None = None, count: int = 0) -> Tensor:
        """Logits of a batch; the first one shows what the outputs are."""
        z = self._outputs_of(batch)
        if not self.kind:
            self._take(z, like, count)
        self.told.add(z)
        if self.told.kind == "softmax":
            z = evaluate(self.classifier, input_form(self.classifier)(batch))
        else:
            z = convert(z, self.kind)
        return check_logits(z, len(batch))

    def _outputs_of(self, batch: Tensor) -> Tensor:
        return evaluate(self._raw, input_form(self._raw)(batch))

    def _take(self, z: Tensor, like: _Measured | None, count: int) -> None:
        """Take outputs as what they are."""
        kind = self._outputs
        if kind == "auto":
            kind = kind_of(z, like.kind if like else "")
        if kind.startswith("one ") and like and count != 2:
            kind = "logits"  # which then do not fit, and are named
        self.kind = kind
        self.classifier, self.told = as_logits(self._raw, kind)


def _line(error: Exception) -> str:
    """An error in one line."""
    return " ".join(str(error).split())[:300] or type(error).__name__


def _told(first: _Measured, other: _Measured) -> str:
    """What was done with the outputs of a reference and a candidate, and how many radii were taken."""
    own = "" if other.failed else str(other.told)
    texts = [
        f"{who}: {text}"
        for who, text in (("reference", str(first.told)), ("candidate", own))
        if text
    ]
    return "; ".join([*texts, *([first.notes] if first.notes else [])])


def _as_points(x: Any, first: _Measured, others: Mapping[Any, _Measured]) -> Tensor:
    """Inputs as one tensor; several named ones as the numbers of their rows."""
    if not isinstance(x, Mapping):
        return check_points(x)
    if not x:
        raise ValueError("inputs are an empty dictionary: allowed is one array or more by name")
    data = {str(name): as_tensor(values, f"inputs {name!r}") for name, values in x.items()}
    counts = {name: len(values) if values.ndim else 0 for name, values in data.items()}
    if len(set(counts.values())) != 1:
        raise ValueError(f"inputs have {counts} rows: allowed are equal numbers")
    for values in data.values():
        check_points(values if values.ndim > 1 else values[:, None])
    for measured in (first, *others.values()):
        if not measured.failed:
            one = len(data) == 1
            taken = (
                named(measured.classifier, list(data)) if one else by_row(measured.classifier, data)
            )
            measured.classifier = measured._raw = taken
    if len(data) == 1:
        return check_points(next(iter(data.values())))
    return torch.arange(next(iter(counts.values())))[:, None]


def _over_points(
    first: _Measured,
    others: Mapping[Any, _Measured],
    x: Tensor,
    y: Tensor | None,
    gradients: bool,
    sizes: tuple[int, int],
) -> dict[Any, Any]:
    """What is known of every point, gathered batch by batch: of the reference, and by candidate."""
    found: dict[str, list[Tensor]] = {}
    of: dict[Any, dict[str, list[Tensor]]] = {key: {} for key in others}
    radius, slack = None, []

    def keep(where: dict[str, list[Tensor]], **values: Tensor) -> None:
        for name, value in values.items():
            where.setdefault(name, []).append(value)

    for start, batch in zip(range(0, len(x), sizes[0]), batches(x, sizes[0]), strict=True):
        with torch.no_grad():
            z = first.logits(batch)
        passed(len(batch))
        keep(found, margin=local.pair_difference(z, top_pair(z)))
        truth = None if y is None else y[start : start + len(batch)].to(z.device)
        if truth is not None:
            keep(found, correct=labels(z) == check_labels(truth, len(batch), z.shape[1]))
        gap = None
        if gradients and "gradients" not in first.missing:
            try:
                gap = local.pair_gap(first.classifier, batch, batch_size=sizes[1])
                radius = radius or local.radius_measure(first.classifier, len(x))
                put = input_form(first.classifier)
                with recording():
                    parts = [radius(put(b)) for b in batches(batch, min(sizes[1], 1024))]
                keep(found, radius=torch.cat([part.radius for part in parts]))
                slack += [part.slack for part in parts]
            except MemoryError:
                raise
            except Exception as error:  # what has no gradients is measured without them
                first.missing["gradients"] = _line(error)
        for key, other in others.items():
            if other.failed:
                continue
            try:
                keep(of[key], **_of_candidate(other, first, batch, z, gap, truth, gradients, sizes))
            except MemoryError:
                raise
            except Exception as error:  # one that fails must not lose the others
                other.fail(error)
    if all(other.failed for other in others.values()):
        raise next(other.error for other in others.values() if other.error)
    if gradients and "gradients" in first.missing:
        found.pop("radius", None)
        for other in others.values():
            if not other.failed:
                why = f"the reference has none, {first.missing['gradients']}"
                other.missing = {"radius, shift, normal_angle": why}
    first.notes = _radii_told(slack, first)
    whole: dict[Any, Any] = {name: torch.cat(parts) for name, parts in found.items()}
    for key, other in others.items():
        columns = {} if other.failed else of[key]
        if "gradients" in first.missing:
            columns = {
                name: v for name, v in columns.items() if name in ("flip", "pair", "correct")
            }
        if "normal_angle" in other.missing:
            columns.pop("angle", None)
        whole[key] = {name: torch.cat(parts) for name, parts in columns.items()}
    return whole


def _of_candidate(
    other: _Measured,
    first: _Measured,
    batch: Tensor,
    z: Tensor,
    gap: local.PairGap | None,
    truth: Tensor | None,
    gradients: bool,
    sizes: tuple[int, int],
) -> dict[str, Tensor]:
    """What is known of a candidate at the points of a batch."""
    with torch.no_grad():
        z_q = other.logits(batch, first, z.shape[1])
    passed(len(batch))
    found = {
        "flip": local.flips(z, z_q.to(z.device)),
        "pair": local.pair_flips(z, z_q.to(z.device)),
    }
    if truth is not None:
        found["correct"] = labels(z_q) == truth.to(z_q.device)
    if not gradients or gap is None:
        return found
    pair = gap.first, gap.second
    try:
        if "normal_angle" in other.missing:
            raise ValueError(other.missing["normal_angle"])
        gap_q = local.pair_gap(other.classifier, batch, pair, sizes[1])
        found["angle"] = local.normal_angle(gap, gap_q)
    except MemoryError:
        raise
    except Exception as error:  # the shift needs no gradient of a candidate
        other.missing["normal_angle"] = _line(error)
        known = local.pair_difference(z_q.to(gap.gap), pair)
        gap_q = local.PairGap(*pair, known, gap.gradient)
    return found | {"shift": local.displacement(gap, gap_q).abs()}


def _radii_told(slack: list[Tensor], first: _Measured) -> str:
    """How many classes radii were taken to, and what that can miss; empty where all of them were."""
    if not slack or "gradients" in first.missing:
        return ""
    values = torch.cat(slack)
    cut = values[~values.isinf()]
    if not len(cut):
        return ""
    return (
        f"radius: to the {local.NEAREST} classes of the smallest gaps; one left out is nearer only where "
        f"its gap is over S times as steep as the steepest of these: S is {float(cut.min()):.3g} at least, "
        f"{float(cut.median()):.3g} at the median"
    )


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
        >>> model = torch.nn.Linear(2, 3, bias=False)
        >>> model.weight.data = torch.tensor([[1.0, 0.1], [-0.6, 1.0], [-0.5, -0.9]])
        >>> axes = torch.eye(2)
        >>> plane = Plane(torch.zeros(2), axes[0], axes[1], (-1.0, 1.0, -1.0, 1.0))
        >>> from baq import ptq_w
        >>> rows = per_plane(model, {bits: ptq_w(model, bits) for bits in (8, 2)}, plane, n=21)
        >>> rows[["candidate", "jaccard"]].round(2).to_dict("list")
        {'candidate': [8, 2], 'jaccard': [0.06, 0.7]}
    """
    return _per_plane(
        reference, _by_key(candidates), _as_planes(planes), n, sides, way, batch_size, trace, None
    )


def _per_plane(
    reference: Classifier,
    candidates: Mapping[Any, Classifier],
    planes: Sequence[Plane],
    n: int,
    sides: str,
    way: str,
    batch_size: int,
    trace: bool,
    failing: Mapping[Any, _Measured] | None,
) -> pd.DataFrame:
    """:func:`per_plane`; where ``failing`` is given, a candidate that fails is told there and left out."""
    rows = []
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
                if failing is None:
                    raise
                failing[key].missing[_MAPS] = _line(error)
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
