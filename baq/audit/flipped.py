"""The inputs whose label changes: one by one, by margin, by class, and beside a noise floor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from baq.arguments import check_whole
from baq.audit.intervals import LEVEL, exact_interval, paired_p_value
from baq.band import boundary_band
from baq.inference import Classifier, as_tensor, check_labels, labels
from baq.local import flips, margins, radii

__all__ = [
    "against_floor",
    "by_class",
    "by_margin",
    "flip_rates",
    "flipped_inputs",
    "radii_at",
]


def flip_rates(
    z: Tensor, candidates: Mapping[Any, Tensor], share: float = 0.2, level: float = LEVEL
) -> pd.DataFrame:
    """How many labels each candidate changes, with exact intervals, and how many of them in the band.

    Arguments:
        z: logits of the reference, shape (N, K).
        candidates: logits of each candidate, shape (N, K), by a key.
        share: share of the points in the boundary band.
        level: confidence of the intervals.

    Returns:
        A row for each candidate: ``candidate``, ``points``, ``labels_changed``, ``flip_rate`` with
        ``flip_rate_lo`` and ``flip_rate_hi``, ``in_band`` (the flips among the points of the band) and ``share``.

    Raises:
        ValueError: as :func:`baq.local.flips` and :func:`baq.audit.exact_interval`.

    Example:
        >>> z = torch.tensor([[2.0, 1.0, 0.0], [0.0, 2.0, 0.0], [1.5, 1.0, 0.0]])
        >>> z_q = torch.tensor([[1.0, 3.0, 0.0], [0.0, 1.0, 0.0], [1.0, 0.5, 0.0]])
        >>> rows = flip_rates(z, {"int8": z_q})
        >>> rows[["candidate", "labels_changed", "points"]].to_dict("records")
        [{'candidate': 'int8', 'labels_changed': 1, 'points': 3}]
    """
    band, rows = boundary_band(margins(z), share), []
    for key, z_q in candidates.items():
        flip = flips(z, z_q)
        hits, points = int(flip.sum()), len(flip)
        lo, hi = exact_interval(hits, points, level)
        counts = {"points": points, "labels_changed": hits, "flip_rate": hits / points}
        ends = {
            "flip_rate_lo": lo,
            "flip_rate_hi": hi,
            "in_band": int((flip & band).sum()),
            "share": share,
        }
        rows.append({"candidate": key, **counts, **ends})
    return pd.DataFrame(rows)


def flipped_inputs(
    z: Tensor,
    z_q: Tensor,
    *,
    y: Tensor | None = None,
    names: Sequence[object] | None = None,
    radius: Tensor | None = None,
    share: float = 0.2,
) -> pd.DataFrame:
    """Every input whose label changes, the one of the largest margin first.

    Arguments:
        z, z_q: logits of the reference and of the candidate, shape (N, K).
        y: true labels, shape (N,).
        names: what each input is called, N of them.
        radius: the reference's radius at each input, shape (N,), in input units; NaN where it is not known.
        share: share of the points in the boundary band.

    Returns:
        A row for each flip: ``input`` (its index), ``name`` (where given), ``from`` and ``to`` (labels),
        ``truth`` (where given), ``margin`` of the reference and ``margin_candidate``, each of the model's own top
        pair, in logits, ``radius``, and ``in_band``.

    Raises:
        ValueError: as :func:`baq.local.flips`, or for labels, names or radii of another number.

    Example:
        >>> z = torch.tensor([[2.0, 1.0, 0.0], [0.0, 2.0, 0.0], [1.5, 1.0, 0.0]])
        >>> z_q = torch.tensor([[1.0, 3.0, 0.0], [0.0, 1.0, 0.0], [1.0, 0.5, 0.0]])
        >>> flipped_inputs(z, z_q)[["input", "from", "to", "margin"]].to_dict("records")
        [{'input': 0, 'from': 0, 'to': 1, 'margin': 1.0}]
    """
    z, z_q = as_tensor(z, "logits"), as_tensor(z_q, "logits")
    where = flips(z, z_q).nonzero()[:, 0]
    margin = margins(z)
    order = where[margin[where].argsort(descending=True, stable=True)]
    for what, values in (("names", names), ("radius", radius)):
        if values is not None and len(values) != len(z):
            raise ValueError(f"{what} holds {len(values)} values: allowed are {len(z)}")
    rows = order.tolist()
    found: dict[str, object] = {"input": rows}
    if names is not None:
        found["name"] = [str(names[k]) for k in rows]
    found |= {"from": labels(z)[order].tolist(), "to": labels(z_q)[order].tolist()}
    if y is not None:
        found["truth"] = check_labels(y, len(z)).cpu()[order.cpu()].tolist()
    of_input = torch.full((len(z),), torch.nan) if radius is None else as_tensor(radius, "radius")
    found["margin"] = margin[order].tolist()
    found["margin_candidate"] = margins(z_q)[order].tolist()
    found["radius"] = of_input.cpu()[order.cpu()].tolist()
    found["in_band"] = boundary_band(margin, share)[order].tolist()
    return pd.DataFrame(found)


def by_margin(z: Tensor, z_q: Tensor, groups: int = 10, level: float = LEVEL) -> pd.DataFrame:
    """Flip rates of groups of equal size, from the lowest margins of the reference to the highest.

    Arguments:
        z, z_q: logits of the reference and of the candidate, shape (N, K).
        groups: their number; with fewer points, each point is a group of its own.
        level: confidence of the intervals.

    Returns:
        A row for each group: ``group`` (1 has the lowest margins), ``margin_from`` and ``margin_to`` (the least
        and the largest in it), ``points``, ``labels_changed``, ``flip_rate`` and its ends
        ``flip_rate_lo``, ``flip_rate_hi``.

    Raises:
        ValueError: as :func:`baq.local.flips`, or for a number of groups below 1.

    Example:
        >>> z = torch.tensor([[2.0, 1.0, 0.0], [0.0, 2.0, 0.0], [1.5, 1.0, 0.0]])
        >>> z_q = torch.tensor([[1.0, 3.0, 0.0], [0.0, 1.0, 0.0], [1.0, 0.5, 0.0]])
        >>> by_margin(z, z_q, groups=3)[["margin_from", "labels_changed"]].values.tolist()
        [[0.5, 0.0], [1.0, 1.0], [2.0, 0.0]]
    """
    check_whole(groups=groups)
    margin, flip = margins(z).double().cpu().numpy(), flips(z, z_q).cpu().numpy()
    rows = []
    parts = np.array_split(np.argsort(margin, kind="stable"), min(groups, len(margin)))
    for k, part in enumerate(parts, start=1):
        hits = int(flip[part].sum())
        lo, hi = exact_interval(hits, len(part), level)
        ends = {"margin_from": float(margin[part[0]]), "margin_to": float(margin[part[-1]])}
        counts = {"points": len(part), "labels_changed": hits, "flip_rate": hits / len(part)}
        rows.append({"group": k, **ends, **counts, "flip_rate_lo": lo, "flip_rate_hi": hi})
    return pd.DataFrame(rows)


def by_class(z: Tensor, z_q: Tensor) -> pd.DataFrame:
    """How many labels change from which class to which, the most frequent change first.

    Arguments:
        z, z_q: logits of the reference and of the candidate, shape (N, K).

    Returns:
        A row for each change that occurs: ``from``, ``to``, ``labels_changed``, ``points`` (how many inputs the
        reference gives the first label) and ``flip_rate``, the share of them.

    Raises:
        ValueError: as :func:`baq.local.flips`.

    Example:
        >>> z = torch.tensor([[2.0, 1.0, 0.0], [0.0, 2.0, 0.0], [1.5, 1.0, 0.0]])
        >>> z_q = torch.tensor([[1.0, 3.0, 0.0], [0.0, 1.0, 0.0], [1.0, 0.5, 0.0]])
        >>> by_class(z, z_q)[["from", "to", "labels_changed", "points"]].values.tolist()
        [[0, 1, 1, 2]]
    """
    z, z_q = as_tensor(z, "logits"), as_tensor(z_q, "logits")
    before, after = labels(z)[flips(z, z_q)], labels(z_q)[flips(z, z_q)]
    sizes = labels(z).bincount(minlength=z.shape[1])
    changes, counts = torch.stack([before, after], 1).unique(dim=0, return_counts=True)
    rows = []
    for k in counts.argsort(descending=True, stable=True).tolist():
        (one, other), hits = changes[k].tolist(), int(counts[k])
        of = int(sizes[one])
        rows.append((one, other, hits, of, hits / of))
    return pd.DataFrame(rows, columns=["from", "to", "labels_changed", "points", "flip_rate"])


def against_floor(
    z: Tensor, candidates: Mapping[Any, Tensor], retrained: Tensor, level: float = LEVEL
) -> pd.DataFrame:
    """Whether candidates change fewer labels than another training of the reference does, on the same inputs.

    Arguments:
        z: logits of the reference, shape (N, K).
        candidates: logits of each candidate, shape (N, K), by a key.
        retrained: logits of the other training, shape (N, K).
        level: confidence of the intervals.

    Returns:
        A row for each candidate: ``candidate``, ``floor`` (share of labels that the other training changes)
        with ``floor_lo`` and ``floor_hi``, ``only_candidate`` and ``only_floor`` (labels that the one alone changes), and ``p``
        (:func:`baq.audit.paired_p_value`).

    Raises:
        ValueError: as :func:`baq.local.flips`.

    Example:
        >>> z = torch.tensor([[2.0, 1.0, 0.0], [0.0, 2.0, 0.0], [1.5, 1.0, 0.0]])
        >>> z_q = torch.tensor([[1.0, 3.0, 0.0], [0.0, 1.0, 0.0], [1.0, 0.5, 0.0]])
        >>> retrained = z.flip(1)
        >>> rows = against_floor(z, {"int8": z_q}, retrained)
        >>> rows[["floor", "only_candidate", "only_floor", "p"]].round(3).values.tolist()
        [[0.667, 0.0, 1.0, 1.0]]
    """
    other, rows = flips(z, retrained), []
    lo, hi = exact_interval(int(other.sum()), len(other), level)
    floor = {"floor": float(other.double().mean()), "floor_lo": lo, "floor_hi": hi}
    for key, z_q in candidates.items():
        flip = flips(z, z_q)
        alone = int((flip & ~other).sum()), int((other & ~flip).sum())
        counts = dict(zip(("only_candidate", "only_floor"), alone, strict=True))
        rows.append({"candidate": key, **floor, **counts, "p": paired_p_value(*alone)})
    return pd.DataFrame(rows)


def radii_at(
    reference: Classifier, x: Tensor, rows: Sequence[int], batch_size: int = 64
) -> tuple[Tensor, str]:
    """The reference's all-class radii at some inputs, where it has gradients.

    Arguments:
        reference: any callable from inputs to logits.
        x: inputs, shape (N, *).
        rows: which of them.
        batch_size: points per pass.

    Returns:
        Radii, shape (N,), in input units, NaN at all other inputs; and why there are none, empty where there
        are some.

    Example:
        >>> model = nn.Linear(2, 2, bias=False)
        >>> model.weight.data = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
        >>> found, why = radii_at(model, torch.tensor([[3.0, 1.0], [2.0, 5.0]]), [1])
        >>> found.tolist(), why
        ([nan, 2.0], '')
    """
    found = torch.full((len(x),), torch.nan, dtype=torch.double)
    if not isinstance(reference, nn.Module):
        return found, "the reference has no gradients"
    if not x.is_floating_point():
        return found, f"inputs are {x.dtype}, and have no gradients"
    if len(rows):
        try:
            found[list(rows)] = radii(reference, x[list(rows)], batch_size)[0].cpu().double()
        except ValueError as error:
            return found, str(error)
    return found, ""
