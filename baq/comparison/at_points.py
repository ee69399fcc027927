"""What is known of every input: of the reference once for all candidates, batch by batch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from baq import local
from baq.comparison.measured import Measured, one_line
from baq.inference import batches, check_labels, input_form, labels, passed, top_pair
from baq.inference import gradients as recording

__all__ = ["over_points"]


def over_points(
    first: Measured,
    others: Mapping[Any, Measured],
    x: Tensor,
    y: Tensor | None,
    gradients: bool,
    sizes: tuple[int, int],
) -> dict[Any, Any]:
    """What is known of every point, gathered batch by batch: of the reference, and by candidate.

    Arguments:
        first, others: the reference, and the candidates by key.
        x, y: inputs, shape (N, *), and labels, shape (N,), if known.
        gradients: take radii, shifts and angles too.
        sizes: points per evaluation, and per gradient.

    Returns:
        ``margin``, ``correct`` and ``radius`` of the reference, each of shape (N,), as far as known; and for each
        key such values of the candidate: ``flip``, ``pair``, ``correct``, ``shift``, ``angle``.

    Raises:
        ValueError: for labels that do not fit; or what the reference, or the last candidate left, raises.
    """
    found: dict[str, list[Tensor]] = {}
    of: dict[Any, dict[str, list[Tensor]]] = {key: {} for key in others}
    radius, slack = None, []

    def keep(where: dict[str, list[Tensor]], **values: Tensor) -> None:
        for name, value in values.items():
            where.setdefault(name, []).append(value)

    first.take(x, sizes[0])
    for start, batch in zip(range(0, len(x), sizes[0]), batches(x, sizes[0]), strict=True):
        with torch.no_grad():
            z = first.logits(batch)
        passed(len(batch))
        if y is not None and not found:  # now that the classes are known
            y = check_labels(y, len(x), z.shape[1])
        keep(found, margin=local.pair_difference(z, top_pair(z)))
        truth = None if y is None else y[start : start + len(batch)].to(z.device)
        if truth is not None:
            keep(found, correct=labels(z) == truth)
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
                first.missing["gradients"] = one_line(error)
        for key, other in others.items():
            if other.failed:
                continue
            try:
                if not other.kind:
                    other.take(x, sizes[0], first, z.shape[1])
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
    whole: dict[Any, Any] = {name: torch.cat(parts) for name, parts in found.items()}
    if "radius" in whole:
        first.notes = _radii_told(slack, z.shape[1])
        if whole["radius"].isnan().all():
            for other in others.values():
                other.missing |= {"radius, shift, normal_angle": _SATURATED}
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
    other: Measured,
    first: Measured,
    batch: Tensor,
    z: Tensor,
    gap: local.PairGap | None,
    truth: Tensor | None,
    gradients: bool,
    sizes: tuple[int, int],
) -> dict[str, Tensor]:
    """What is known of a candidate at the points of a batch."""
    with torch.no_grad():
        z_q = other.logits(batch)
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
        other.missing["normal_angle"] = one_line(error)
        known = local.pair_difference(z_q.to(gap.gap), pair)
        gap_q = local.PairGap(*pair, known, gap.gradient)
    shift = local.displacement(gap, gap_q).abs()
    return found | {
        "shift": shift.masked_fill(other.vanished(z_q, pair).to(shift.device), torch.nan)
    }


#: Why nothing is known of distances where all rows are such.
_SATURATED = "the second probability of every input is 0"


def _radii_told(slack: list[Tensor], classes: int) -> str:
    """How many classes radii were taken to, and what that can miss; empty where all of them were."""
    if classes - 1 <= local.NEAREST:
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
