"""Local decision geometry: margins, radii, first-order displacement and normals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from baq.arguments import check_whole
from baq.inference import (
    Classifier,
    as_tensor,
    batch_sizes,
    batches,
    check_labels,
    check_logits,
    check_points,
    evaluate,
    gradients,
    input_form,
    labels,
    logits,
    passed,
    top_pair,
)
from baq.structure import fold_batch_norm, hidden_layer

__all__ = [
    "NEAREST",
    "PairGap",
    "Radii",
    "displacement",
    "displacement_to",
    "flips",
    "margins",
    "nearest_radii",
    "normal_angle",
    "pair_difference",
    "pair_flips",
    "pair_gap",
    "radii",
    "radius_measure",
    "row_norms",
    "slopes",
    "traced_gap",
]

#: How many classes radii are taken to where not told: those with the smallest gaps.
NEAREST = 20


@dataclass(frozen=True)
class PairGap:
    """The gap g = f_i - f_j of one pair of classes at each point, and its gradient.

    ``first`` and ``second`` hold i and j, shape (N,); ``gap`` has shape (N,), in logits;
    ``gradient`` has shape (N, d), in logits per input unit. Where the pair is the classifier's
    own top two, the gap is the margin.

    Example:
        >>> one = torch.tensor([0]), torch.tensor([1])
        >>> PairGap(*one, gap=torch.tensor([10.0]), gradient=torch.tensor([[3.0, 4.0]])).radius.tolist()
        [2.0]
    """

    first: Tensor
    second: Tensor
    gap: Tensor
    gradient: Tensor

    @property
    def radius(self) -> Tensor:
        """First-order distance ``|g| / ||grad g||`` to this pair's boundary, in input units (N,).

        It is infinite where the gradient vanishes. Moosavi-Dezfooli et al. 2016 (DeepFool),
        arXiv:1511.04599, equation 6, for the pair alone.
        """
        return _ratio(self.gap.abs(), row_norms(self.gradient))


def row_norms(rows: Tensor) -> Tensor:
    """Euclidean norm of each row (N, d), shape (N,), also where squares would under- or overflow.

    Example:
        >>> row_norms(torch.tensor([[3.0, 4.0], [3e30, 4e30]])).tolist()[0]
        5.0
    """
    length = rows.norm(dim=1)
    limits = torch.finfo(rows.dtype)
    off = ~((length > (limits.tiny / limits.eps) ** 0.5) & (length < torch.inf))
    if off.any():
        size = rows[off].abs().amax(dim=1, keepdim=True)
        size = torch.where(size > 0, size, 1)
        length[off] = (rows[off] / size).norm(dim=1) * size[:, 0]
    return length


def _ratio(numerator: Tensor, denominator: Tensor) -> Tensor:
    """``numerator / denominator``; 0 where the numerator is 0, else infinite over 0, and NaN over NaN."""
    value = torch.where(denominator == 0, torch.inf, numerator / denominator)
    return torch.where((numerator == 0) & ~value.isnan(), torch.zeros_like(value), value)


def _checked(z: Tensor) -> Tensor:
    """Logits, which may be an array or lists, as a tensor of floats."""
    z = as_tensor(z, "logits")
    return check_logits(z, len(z) if z.ndim else 0)


def margins(z: Tensor) -> Tensor:
    """Difference of the two largest logits, ``m = f_(1) - f_(2)``, shape (N,), in logits.

    Example:
        >>> margins(torch.tensor([[0.5, 2.0, 1.0], [1.0, 1.0, 0.0]])).tolist()
        [1.0, 0.0]
    """
    z = _checked(z)
    return pair_difference(z, top_pair(z))


def flips(z: Tensor, z_q: Tensor) -> Tensor:
    """Points whose top-1 label differs between two sets of logits ``(N, K)``: a mask (N,).

    The share of flips is also called churn (Milani Fard et al. 2016, "Launch and iterate").

    Raises:
        ValueError: if the two differ in shape, or are no logits.

    Example:
        >>> flips(torch.tensor([[2.0, 1.0], [2.0, 1.0]]), torch.tensor([[2.0, 1.5], [1.0, 2.0]])).tolist()
        [False, True]
    """
    z, z_q = _checked(z), _checked(z_q)
    _check_same_shape(z, z_q)
    return labels(z) != labels(z_q)


def pair_flips(z: Tensor, z_q: Tensor) -> Tensor:
    """Points where the candidate orders the reference's top pair otherwise: a mask (N,).

    Orders as :func:`baq.inference.labels` does: of two equal logits the lower index comes first.

    Raises:
        ValueError: if the two differ in shape, or are no logits.

    Example:
        >>> z, z_q = torch.tensor([[2.0, 1.0, 0.0]]), torch.tensor([[1.0, 2.0, 3.0]])
        >>> pair_flips(z, z_q).tolist()
        [True]
    """
    z, z_q = _checked(z), _checked(z_q)
    _check_same_shape(z, z_q)
    first, second = top_pair(z)
    gap = pair_difference(z_q, (first, second))
    return (gap < 0) | ((gap == 0) & (second < first))


def pair_difference(z: Tensor, pair: tuple[Tensor, Tensor]) -> Tensor:
    """``z_i - z_j`` of logits (N, K) at a pair of classes for each point, each (N,).

    Example:
        >>> z = torch.tensor([[2.0, 1.5, 0.0]])
        >>> pair_difference(z, (torch.tensor([0]), torch.tensor([2]))).tolist()
        [2.0]
    """
    first, second = pair
    return (z.gather(1, first[:, None]) - z.gather(1, second[:, None])).squeeze(1)


def traced_gap(
    classifier: Classifier, batch: Tensor, pair: tuple[Tensor, Tensor] | None = None
) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor]]:
    """One forward pass that gradients of the gap can be taken of, see :func:`slopes`.

    Returns:
        The inputs (N, *), the gap of the pair at each of them (N,), and the pair: the classifier's own
        top two where not given.

    Raises:
        ValueError: as :func:`baq.inference.logits`, or for classes that the classifier does not have.

    Example:
        >>> x, gap, (first, second) = traced_gap(nn.Identity(), torch.tensor([[2.0, 0.5, 1.0]]))
        >>> gap.item(), first.item(), second.item(), x.requires_grad
        (1.0, 0, 2, True)
    """
    batch = leaf(batch)
    z = check_logits(evaluate(classifier, batch), len(batch))
    if pair is None:
        pair = top_pair(z.detach())
    else:
        first, second = (classes.to(z.device) for classes in pair)
        pair = first, second
        lowest = min(int(first.min()), int(second.min()))
        highest = max(int(first.max()), int(second.max()))
        if lowest < 0 or highest >= z.shape[1]:
            raise ValueError(
                f"pair holds classes {lowest} to {highest}: allowed are 0 to {z.shape[1] - 1}"
            )
    return batch, pair_difference(z, pair), pair


def leaf(batch: Tensor) -> Tensor:
    """A batch that gradients can be taken with respect to."""
    if not batch.is_floating_point():
        raise ValueError(
            f"inputs are {batch.dtype}: there are no gradients with respect to whole numbers"
        )
    return (batch.detach().clone() if batch.is_inference() else batch.detach()).requires_grad_()


def slopes(gap: Tensor, *inputs: Tensor, again: bool = False) -> tuple[Tensor, ...]:
    """Gradients of the sum of a gap with respect to inputs, each of an input's shape.

    Raises:
        ValueError: where the gap does not depend on an input through differentiable steps.

    Example:
        >>> x, gap, _ = traced_gap(nn.Identity(), torch.tensor([[2.0, 0.5, 1.0]]))
        >>> slopes(gap, x)[0].tolist()
        [[1.0, 0.0, -1.0]]
    """
    message = "the classifier's logits have no gradient: allowed is a differentiable one"
    if not gap.requires_grad:
        raise ValueError(message)
    found = torch.autograd.grad(gap.sum(), inputs, retain_graph=again, allow_unused=True)
    if any(gradient is None for gradient in found):
        raise ValueError(message)
    return found


def _check_pair(pair: Any, count: int) -> tuple[Tensor, Tensor]:
    """The two classes of each point, from arrays (N,) or numbers."""
    try:
        first, second = pair
    except (TypeError, ValueError):
        raise ValueError(
            f"pair is a {type(pair).__name__}: allowed are two classes, (i, j)"
        ) from None
    first, second = (as_tensor(classes, "classes of the pair") for classes in (first, second))
    first, second = (c.expand(count) if c.ndim == 0 else c for c in (first, second))
    if not (first.shape == second.shape == (count,)):
        raise ValueError(
            f"pair has shapes {tuple(first.shape)} and {tuple(second.shape)}: "
            f"allowed is ({count},) for both"
        )
    return check_labels(first, count), check_labels(second, count)


@gradients()
def pair_gap(
    classifier: Classifier,
    x: Tensor,
    pair: tuple[Tensor | int, Tensor | int] | None = None,
    batch_size: int | None = None,
) -> PairGap:
    """Gap of a pair of classes and its input gradient: one forward and one backward pass.

    Arguments:
        classifier: differentiable; each row of logits may depend on its own input only.
        x: inputs, shape (N, *).
        pair: the classes (i, j) of each point, each of shape (N,), or one number for all points; the
            classifier's own top two where not given.
        batch_size: points per pass, by default as :func:`baq.inference.batch_sizes` has it.

    Raises:
        ValueError: as :func:`traced_gap` and :func:`slopes`, or for what is no pair of classes.

    Example:
        >>> gap = pair_gap(nn.Identity(), torch.tensor([[2.0, 0.5, 1.0]]))
        >>> gap.gap.tolist(), gap.gradient.tolist(), round(gap.radius.item(), 4)
        ([1.0], [[1.0, 0.0, -1.0]], 0.7071)
    """
    x, put = check_points(x), input_form(classifier)
    pair = None if pair is None else _check_pair(pair, len(x))
    batch_size = batch_sizes(classifier, x)[1] if batch_size is None else batch_size
    parts = []
    for k, batch in enumerate(batches(x, batch_size)):
        rows = slice(k * batch_size, k * batch_size + len(batch))
        given = None if pair is None else (pair[0][rows], pair[1][rows])
        batch, gap, (first, second) = traced_gap(classifier, put(batch), given)
        (gradient,) = slopes(gap, batch)
        passed(2 * len(batch))
        parts.append((first, second, gap.detach(), gradient.flatten(1)))
    return PairGap(*(torch.cat(column) for column in zip(*parts, strict=True)))


def radii(
    classifier: Classifier, x: Tensor, batch_size: int | None = None, nearest: int | None = NEAREST
) -> tuple[Tensor, Tensor]:
    """First-order distance to the nearest of all boundaries, and the class behind that boundary.

    ``r(x) = min over k != c of (f_c - f_k) / ||grad(f_c - f_k)||``, c the top-1 label: one DeepFool
    step (Moosavi-Dezfooli et al. 2016, arXiv:1511.04599, equation 8). The top pair's own distance,
    :attr:`PairGap.radius`, is never smaller, since the nearest boundary may be another class's.
    Costs one forward pass and a backward pass for each gap, through a network whose batch norms are
    folded where possible, and a fraction of that for a network with one hidden layer, whose gradients
    are known in closed form. So of many classes those with the smallest gaps are tried;
    :func:`nearest_radii` says what that can miss.

    Arguments:
        classifier: differentiable; each row of logits may depend on its own input only.
        x: inputs, shape (N, *).
        batch_size: points per pass, by default as :func:`baq.inference.batch_sizes` has it; the
            intermediate values of that many are held at once.
        nearest: how many classes are tried, those of the smallest gaps; all of them if None.

    Returns:
        Radii, shape (N,), in input units, and classes, shape (N,).

    Raises:
        ValueError: as :func:`baq.inference.logits` and :func:`slopes`.

    Example:
        >>> model = nn.Linear(2, 3, bias=False)
        >>> model.weight.data = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
        >>> radius, behind = radii(model, torch.tensor([[3.0, 1.0]]))
        >>> round(radius.item(), 4), behind.item()
        (1.4142, 1)
    """
    found = nearest_radii(classifier, x, batch_size, nearest)
    return found.radius, found.behind


@dataclass(frozen=True)
class Radii:
    """Radii (N,) in input units, the classes behind the nearest boundaries (N,), and the ``slack`` (N,).

    A class that was not tried lies nearer only where its gap is more than ``slack`` times as steep as
    the steepest of those tried, since its gap is no smaller than the first one left out. It is infinite
    where all classes were tried.

    Example:
        >>> model = nn.Linear(2, 3, bias=False)
        >>> model.weight.data = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
        >>> found = nearest_radii(model, torch.tensor([[3.0, 1.0]]), nearest=1)
        >>> found.behind.tolist(), found.slack.item() > 1
        ([1], True)
    """

    radius: Tensor
    behind: Tensor
    slack: Tensor


@gradients()
def nearest_radii(
    classifier: Classifier, x: Tensor, batch_size: int | None = None, nearest: int | None = NEAREST
) -> Radii:
    """:func:`radii`, and how far they are from what the classes that were not tried could change.

    Example:
        >>> model = nn.Linear(2, 3, bias=False)
        >>> model.weight.data = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
        >>> found = nearest_radii(model, torch.tensor([[3.0, 1.0]]))
        >>> round(found.radius.item(), 4), found.behind.item(), found.slack.item()
        (1.4142, 1, inf)
    """
    x, put = check_points(x), input_form(classifier)
    batch_size = batch_sizes(classifier, x)[1] if batch_size is None else batch_size
    measure = radius_measure(classifier, len(x), nearest)
    parts = [measure(put(batch)) for batch in batches(x, batch_size)]
    columns = zip(*((p.radius, p.behind, p.slack) for p in parts), strict=True)
    return Radii(*(torch.cat(column) for column in columns))


def radius_measure(
    classifier: Classifier, count: int, nearest: int | None = NEAREST
) -> Callable[[Tensor], Radii]:
    """:func:`nearest_radii` of one batch after the other, for ``count`` inputs in all.

    Batches are to be put as :func:`baq.inference.input_form` does, with :func:`baq.inference.gradients`.

    Example:
        >>> model = nn.Linear(2, 3, bias=False)
        >>> model.weight.data = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
        >>> of = radius_measure(model, count=2)
        >>> [of(batch).behind.tolist() for batch in torch.tensor([[[3.0, 1.0]], [[-3.0, 1.0]]])]
        [[1], [1]]
    """
    if nearest is not None:
        check_whole(nearest=nearest)
    measure = _hidden_layer_norms(classifier, count) or _gradient_norms(classifier, nearest)

    def of(batch: Tensor) -> Radii:
        z, top, norms = measure(batch)
        gaps = z.gather(1, top) - z
        left_out = norms.isnan()
        distance = _ratio(gaps, norms).masked_fill(left_out, torch.inf).scatter(1, top, torch.inf)
        radius, behind = distance.min(dim=1)
        known = (~left_out).sum(dim=1) > 1  # more than the own class, whose norm is 0
        radius = torch.where(known, radius, torch.nan)
        beyond = gaps.masked_fill(~left_out, torch.inf).amin(dim=1)
        steepest = norms.nan_to_num(0).amax(dim=1)
        reach = (radius * steepest).nan_to_num(0, posinf=torch.inf)
        slack = torch.where(beyond.isinf(), torch.inf, _ratio(beyond, reach))
        return Radii(radius, behind, slack)

    return of


#: From a batch to its logits, (B, K), their top-1 labels c, (B, 1), and ``||grad(f_c - f_k)||``, (B, K),
#: NaN for classes that were not tried.
_Norms = Callable[[Tensor], tuple[Tensor, Tensor, Tensor]]


def _gradient_norms(classifier: Classifier, nearest: int | None) -> _Norms:
    """By one forward pass and a backward pass for each class tried, of one gap each."""
    if isinstance(classifier, nn.Module):
        modules = list(classifier.modules())
        foldable = any(isinstance(m, nn.BatchNorm2d) for m in modules)
        if foldable and not any(m.training for m in modules):
            classifier = fold_batch_norm(classifier)

    def measure(batch: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        batch = leaf(batch)
        z = check_logits(evaluate(classifier, batch), len(batch))
        order = z.detach().argsort(dim=1, descending=True, stable=True)
        ordered = z.gather(1, order)
        tried = z.shape[1] - 1 if nearest is None else min(nearest, z.shape[1] - 1)
        norms = torch.full_like(z.detach(), torch.nan).scatter_(1, order[:, :1], 0)
        passed(len(batch))
        for k in range(1, 1 + tried):
            (gradient,) = slopes(ordered[:, 0] - ordered[:, k], batch, again=k < tried)
            passed(len(batch))
            norms.scatter_(1, order[:, k : k + 1], row_norms(gradient.flatten(1))[:, None])
        return z.detach(), order[:, :1], norms

    return measure


@torch.no_grad()
def _hidden_layer_norms(classifier: Classifier, count: int) -> _Norms | None:
    """In closed form for ``z = V act(W x + b) + c``; None for any other classifier.

    There ``grad(f_c - f_k) = W^T s`` with ``s = act'(W x + b) (V_c - V_k)``, and ``||W^T s|| = ||R s||``
    for the triangular factor R of W^T, which is smaller and pays from some thousand inputs on.
    """
    layers = hidden_layer(classifier)
    if layers is None:
        return None
    first, activation, last = layers
    hidden = nn.Sequential(nn.Flatten(), first, activation)
    W, V = first.weight, last.weight
    few = len(W) < W.shape[1] and 4 * len(W) <= count
    wide = torch.promote_types(W.dtype, torch.float32)  # there is no QR in half precision
    factor = torch.linalg.qr(W.T.to(wide), mode="r").R.T.to(W) if few else W

    @torch.no_grad()
    def measure(batch: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        t = evaluate(hidden, batch)
        z = check_logits(evaluate(last, t), len(batch))
        top = labels(z)
        slope = 1 - t**2 if isinstance(activation, nn.Tanh) else t.sign()
        own = V.index_select(0, top)
        # One class at a time, in one buffer: memory that does not fit the cache takes longer to fetch than
        # to compute. Differences come first: they are exact where two classes are much alike.
        s, g = torch.empty_like(own), own.new_empty(len(own), factor.shape[1])
        differences = (torch.mm(torch.sub(own, v, out=s).mul_(slope), factor, out=g) for v in V)
        return z, top[:, None], torch.stack([row_norms(found) for found in differences], dim=1)

    return measure


def displacement(reference: PairGap, candidate: PairGap) -> Tensor:
    """First-order displacement of the reference's boundary at each point, in input units (N,).

    ``-(g_q - g) / ||grad g||``, signed along the normal ``grad g``, from the implicit function
    theorem; its absolute value is the local shift. It is infinite where the gradient vanishes and
    the gap does not stay the same.

    Arguments:
        reference: the reference's gap at its own top pair.
        candidate: the candidate's gap at the same points and the same pair.

    Raises:
        ValueError: if the two were taken at different pairs.

    Example:
        >>> x = torch.tensor([[2.0, 1.0]])
        >>> gap = pair_gap(nn.Identity(), x)
        >>> moved = pair_gap(lambda x: x + torch.tensor([0.0, 0.5]), x, (gap.first, gap.second))
        >>> round(displacement(gap, moved).item(), 4)
        0.3536
    """
    _check_same_pair(reference, candidate)
    change = candidate.gap - reference.gap
    return -torch.sign(change) * _ratio(change.abs(), row_norms(reference.gradient))


def displacement_to(
    reference: PairGap, candidate: Classifier, x: Tensor, batch_size: int = 4096
) -> Tensor:
    """:func:`displacement` by a candidate, from its logits alone, (N,).

    Arguments:
        reference: the reference's gap at the points.
        candidate: any callable from inputs to logits.
        x: the points, shape (N, *).
        batch_size: points per pass.

    Raises:
        ValueError: as :func:`baq.inference.logits`.

    Example:
        >>> x = torch.tensor([[2.0, 1.0]])
        >>> gap = pair_gap(nn.Identity(), x)
        >>> lower = lambda x: x + torch.tensor([0.0, 0.5])
        >>> round(displacement_to(gap, lower, x).item(), 4)
        0.3536
    """
    return displacement_of(reference, logits(candidate, x, batch_size))


def displacement_of(reference: PairGap, z: Tensor) -> Tensor:
    """:func:`displacement_to` by a candidate whose logits at the points are known, (N, K)."""
    pair, z = (reference.first, reference.second), z.to(reference.gap)
    most = int(torch.stack(pair).max())
    if len(z) != len(reference.gap) or most >= z.shape[1]:
        raise ValueError(
            f"the candidate's logits have shape {tuple(z.shape)}: allowed is ({len(reference.gap)}, K) "
            f"with K > {most}, as the reference has"
        )
    gap = pair_difference(z, pair)
    return displacement(reference, PairGap(*pair, gap, reference.gradient))


def normal_angle(reference: PairGap, candidate: PairGap) -> Tensor:
    """Angle between the two boundary normals ``grad g`` and ``grad g_q`` at each point, degrees (N,).

    Written with the tangent of the half angle, so that equal normals give exactly 0 and small angles
    keep their digits (Kahan 2006). It is NaN where exactly one gradient vanishes.

    Raises:
        ValueError: if the two were taken at different pairs.

    Example:
        >>> x = torch.tensor([[2.0, 1.0]])
        >>> gap = pair_gap(nn.Identity(), x)
        >>> turned = pair_gap(lambda x: x * torch.tensor([1.0, 0.0]), x, (gap.first, gap.second))
        >>> normal_angle(gap, turned).round(decimals=2).tolist()
        [45.0]
    """
    _check_same_pair(reference, candidate)
    a, b = (
        gradient / row_norms(gradient)[:, None]
        for gradient in (reference.gradient, candidate.gradient)
    )
    angle = 2 * torch.atan2((a - b).norm(dim=1), (a + b).norm(dim=1))
    same = (reference.gradient == candidate.gradient).all(dim=1)
    return torch.rad2deg(torch.where(same, torch.zeros_like(angle), angle))


def _check_same_shape(z: Tensor, z_q: Tensor) -> None:
    if z.shape != z_q.shape:
        raise ValueError(
            f"logits have shapes {tuple(z.shape)} and {tuple(z_q.shape)}: allowed are equal ones"
        )


def _check_same_pair(reference: PairGap, candidate: PairGap) -> None:
    same = reference.gap.shape == candidate.gap.shape and bool(
        (reference.first == candidate.first).all() and (reference.second == candidate.second).all()
    )
    if not same:
        raise ValueError(
            "reference and candidate gaps belong to different points or class pairs: "
            "take the candidate's at the reference's pair"
        )
