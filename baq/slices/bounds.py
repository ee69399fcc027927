"""Rules that bound what each layer of a network can compute on boxes of a plane, with room for rounding.

On a box, ``|s|, |t| <= 1``, every unit is written as

    value(s, t) = centre + slope_1 s + slope_2 t + error,    |error| <= rest,

as in DeepZ (Singh et al. 2018, *Fast and effective robustness certification*). An affine layer W maps
the centre and the slopes by W, and the rest by |W|. A nonlinear unit is replaced by a line, and what
the line leaves joins the rest.

By |W|, errors never cancel. So the rest grows with each layer, and serves only to bound the range of each
unit. The error of a gap between two logits is taken from the other end, as in CROWN (Zhang et al. 2018,
arXiv:1811.00866): the gap's derivative by each unit, of the network whose units are these lines, times
the error that this unit itself has added.

Rounding. A sum of k products is within ``k u`` times the sum of their sizes of the true one, in any
order and with or without fused steps (Jeannerod, Rump 2013, doi:10.1137/120894488), u being the unit
roundoff. Each affine layer leaves that room, and :data:`STEPS` roundings more, for all that is computed
unit by unit until the next layer. This takes convolutions to be sums of products, so that fast
algorithms must be off, and tanh, erf and exp to be right to 8 units in the last place.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = [
    "RULES",
    "STEPS",
    "TINY",
    "Accounts",
    "Affine",
    "Form",
    "Line",
    "Move",
    "Sum",
    "layer_rule",
]

#: Roundings of a unit that its affine layer leaves room for, besides those of its own sum.
STEPS = 64
#: Above what is lost where numbers are too small for float32.
TINY = 2.0**-110


@dataclass
class Form:
    """Bounds of one layer's units on N boxes.

    ``centre`` has shape (N, *), ``slopes`` (2, N or 1, *), ``rest`` (N or 1, *).
    ``own`` is the part of the rest that is on no account yet, None where there is none; ``size``, where
    it is known, is at least ``|centre| + |slope_1| + |slope_2| + rest``.
    """

    centre: Tensor
    slopes: Tensor
    rest: Tensor
    own: Tensor | None
    size: Tensor | None = None

    def span(self) -> Tensor:
        """How far the linear part moves from the centre."""
        return _span(self.slopes)

    def magnitude(self) -> Tensor:
        """At least the size of any value on the box, and of what is added up to it."""
        if self.size is None:
            self.size = self.centre.detach().abs() + self.span() + self.rest
        return self.size

    def map(self, change: Callable[[Tensor], Tensor]) -> Form:
        """The form with its units moved, for a change of tensors (N, *) that only moves values."""
        slopes = change(self.slopes.flatten(0, 1)).unflatten(0, self.slopes.shape[:2])
        own, size = (None if part is None else change(part) for part in (self.own, self.size))
        return Form(change(self.centre), slopes, change(self.rest), own, size)


@dataclass
class Line:
    """Units on a plane, in float64, as long as they are affine there.

    ``lines`` has shape (3, 1, *), of the middle and the two axes; ``room``, (1, *), is what rounding may take from
    or add to a value, there and where the network is evaluated in float64. ``ends`` are the largest coordinates,
    with a 1 for the middle.
    """

    lines: Tensor
    room: Tensor
    ends: Tensor

    def size(self) -> Tensor:
        """At least the size of a unit, and of what is added up to it, (1, *)."""
        return (self.lines.abs() * self.ends.reshape(3, *[1] * (self.lines.ndim - 1))).sum(0)


def _span(slopes: Tensor) -> Tensor:
    return slopes[0].abs() + slopes[1].abs()


def _columns(values: Tensor, like: Tensor) -> Tensor:
    """Values of each channel, for a tensor (N, channels, *)."""
    return values.reshape(-1, *[1] * (like.ndim - 2)) if values.ndim else values


def _hinge(centre: Tensor, reach: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The chord of ReLU within a reach: its upper end, its slope, and half its largest distance."""
    high = (centre + reach).clamp_(min=0)
    low = (reach - centre).clamp_(min=0)
    slope = high / (high + low).add_(TINY)
    return high, slope, low.mul_(slope).mul_(0.5)


class Affine:
    """``op(x, weight) + bias``; each output sums ``terms`` products, of all channels if it mixes them."""

    def __init__(
        self,
        op: Callable[[Tensor, Tensor], Tensor],
        weight: Tensor,
        bias: Tensor | None,
        terms: int,
        dtype: torch.dtype,
        groups: int = 1,
    ) -> None:
        self.op = op
        if bias is None:
            bias = weight.new_zeros(weight.shape[:1])
        self.exact = weight, bias
        # In float64 once more, for the rounding of the evaluation that the bounds are to agree with.
        roundings = (terms + STEPS) * (2 if dtype == torch.float64 else 1)
        self.exact_room = (terms + STEPS) * torch.finfo(torch.float64).eps * 1.01
        self.room = kappa = roundings * torch.finfo(dtype).eps / 2 * 1.01
        # At least what a conversion to float32 may lose of a weight, even of a tiny one.
        sizes, scale = weight.abs().clamp(min=2.0**-100), torch.ones_like(bias)
        common, total = sizes, sizes * terms
        if weight.ndim > 1:
            total = sizes.flatten(1).sum(1)
        if weight.ndim > 1 and groups == 1:
            # One shape for all outputs, times a scale of each, is above the weights and costs one output.
            scale = sizes.flatten(1).amax(1)
            common = (sizes / scale.reshape(-1, *[1] * (weight.ndim - 1))).amax(0, keepdim=True)
        ample = 1 + 4 * kappa

        def stored(values: Tensor) -> Tensor:
            values = values.to(dtype)
            # Convolutions on a processor are faster so.
            last = values.ndim == 4
            return values.contiguous(memory_format=torch.channels_last) if last else values

        self.weight, self.bias = stored(weight), bias.to(dtype)
        self.sizes, self.common = stored(sizes * ample), stored(common * ample)
        self.scale = (scale * kappa * ample).to(dtype)
        self.floor = (bias.abs() * kappa + (1 + total) * TINY).to(dtype)

    def on_plane(self, x: Line) -> Line:
        """The layer on a plane, in float64."""
        weight, bias = self.exact
        lines = self.op(x.lines.flatten(0, 1), weight).unflatten(0, (3, 1))
        bias = _columns(bias, lines[0])
        lines[0] += bias
        room, size = (self.op(part, weight.abs()) for part in (x.room, x.size()))
        return Line(lines, room + self.exact_room * (size + bias.abs()), x.ends)

    def __call__(self, x: Form, accounts: Accounts) -> Form:
        centre = self.op(x.centre, self.weight)
        centre = centre + _columns(self.bias, centre)
        slopes = self.op(x.slopes.flatten(0, 1), self.weight).unflatten(0, x.slopes.shape[:2])
        own = self.op(x.magnitude(), self.common)
        own = torch.addcmul(_columns(self.floor, own), own, _columns(self.scale, own))
        if x.own is not None:
            own = own + self.op(x.own, self.sizes)
        return Form(centre, slopes, self.op(x.rest, self.sizes) + own, own)


class Accounts:
    """Which error each unit has added itself."""

    def __init__(self, unit: float) -> None:
        self.unit = unit
        self.entries: list[tuple[Tensor, Tensor]] = []

    def settle(self, form: Form) -> Form:
        """Put what is a form's own on its account."""
        if form.own is not None:
            if not form.centre.requires_grad:
                form.centre = form.centre.detach().requires_grad_()
            self.entries.append((form.centre, form.own))
        form.own = None
        return form


def _lines(x: Form, slope: Tensor, shift: Tensor, error: Tensor, size: Tensor | None) -> Form:
    """Each unit replaced by ``slope value + shift``, within the error."""
    spread = slope.abs() if size is None else slope
    own = error if x.own is None else torch.addcmul(error, x.own, spread)
    rest = torch.addcmul(error, x.rest, spread)
    return Form(torch.addcmul(shift, x.centre, slope), x.slopes * slope, rest, own, size)


def _relu(x: Form, accounts: Accounts) -> Form:
    high, slope, error = _hinge(x.centre.detach(), x.span() + x.rest)
    return accounts.settle(_lines(x, slope, error, error, high))


def _leaky_relu(leak: float) -> Callable[[Form, Accounts], Form]:
    def rule(x: Form, accounts: Accounts) -> Form:
        _, slope, error = _hinge(x.centre.detach(), x.span() + x.rest)
        slope, error = leak + (1 - leak) * slope, (1 - leak) * error
        return accounts.settle(_lines(x, slope, error, error, None))

    return rule


@dataclass(frozen=True)
class _Curve:
    """A smooth unit: value, slope and bend (second derivative), where the bend turns, the lowest point."""

    value: Callable[[Tensor], Tensor]
    slope: Callable[[Tensor], Tensor]
    bend: Callable[[Tensor], Tensor]
    turns: tuple[float, ...]
    lowest: float = -math.inf

    def __call__(self, x: Form, accounts: Accounts) -> Form:
        """The tangent at the centre with the largest and least bend within the reach, or the mean of the range."""
        at, reach = x.centre.detach(), x.span() + x.rest
        low, high = at - reach, at + reach
        bends = [self.bend(low), self.bend(high)]
        bends += [self.bend(torch.clamp(low, turn).minimum(high)) for turn in self.turns]
        room = 16 * accounts.unit
        above = (torch.stack(bends).amax(0).clamp(min=0) + room) * reach.square() / 2
        below = (room - torch.stack(bends).amin(0).clamp(max=0)) * reach.square() / 2
        value, slope = self.value(at), self.slope(at)
        error = (above + below) / 2
        shift = value - slope * at + (above - below) / 2
        # All values lie between those at the two ends and the lowest.
        ends = torch.stack([self.value(low), self.value(high)])
        bottom = self.value(torch.clamp(low, self.lowest).minimum(high)).minimum(ends.amin(0))
        half = (ends.amax(0) - bottom) / 2
        flat = ~(half >= error + slope.abs() * x.rest)
        slope = torch.where(flat, 0.0, slope)
        shift = torch.where(flat, bottom + half, shift)
        error = torch.where(flat, half, error)
        error = error * (1 + room) + STEPS * accounts.unit * (1 + at.abs() + reach)
        return accounts.settle(_lines(x, slope, shift, error, None))


_TANH = _Curve(
    torch.tanh,
    lambda x: 1 - torch.tanh(x).square(),
    lambda x: -2 * torch.tanh(x) * (1 - torch.tanh(x).square()),
    (-math.atanh(1 / math.sqrt(3)), math.atanh(1 / math.sqrt(3))),
)
_SIGMOID = _Curve(
    torch.sigmoid,
    lambda x: torch.sigmoid(x) * torch.sigmoid(-x),
    lambda x: torch.sigmoid(x) * torch.sigmoid(-x) * (torch.sigmoid(-x) - torch.sigmoid(x)),
    (-math.log(2 + math.sqrt(3)), math.log(2 + math.sqrt(3))),
)


def _density(x: Tensor) -> Tensor:
    return torch.exp(-x.square() / 2) / math.sqrt(2 * math.pi)


_GELU = _Curve(
    F.gelu,
    lambda x: torch.special.ndtr(x) + x * _density(x),
    lambda x: _density(x) * (2 - x.square()),
    (-2.0, 0.0, 2.0),
    -0.7517915246935645,
)


def _maximum(x: Form, y: Form, unit: float) -> Form:
    """``max(x, y) = y + relu(x - y)``."""
    apart, differ = x.slopes - y.slopes, x.centre - y.centre
    _, slope, error = _hinge(differ.detach(), _span(apart) + (x.rest + y.rest))
    shift = error
    error = error + (x.magnitude() + y.magnitude()) * (STEPS * unit)
    mixed = torch.addcmul(error, x.rest, slope).addcmul(y.rest, 1 - slope)
    own = error
    for part, share in ((x.own, slope), (y.own, 1 - slope)):
        own = own if part is None else torch.addcmul(own, part, share)
    centre = torch.addcmul(y.centre + shift, differ, slope)
    return Form(centre, torch.addcmul(y.slopes, apart, slope), mixed, own)


def _max_pool(pool: nn.MaxPool2d) -> Callable[[Form, Accounts], Form]:
    sizes, steps, pads = (_pair(k) for k in (pool.kernel_size, pool.stride, pool.padding))

    def rule(x: Form, accounts: Accounts) -> Form:
        for axis in (-1, -2):
            size, step, pad = sizes[axis], steps[axis], pads[axis]
            length = x.centre.shape[axis]
            whole = (length + 2 * pad - size) / step
            count = (math.ceil if pool.ceil_mode else math.floor)(whole) + 1
            if (count - 1) * step >= length + pad:
                count -= 1
            # The outermost values once more: a window that they reach has them already.
            index = torch.arange(-pad, (count - 1) * step + size - pad).clamp(0, length - 1)
            first, *others = (
                x.map(partial(torch.index_select, dim=axis, index=at))
                for at in index.unfold(0, size, step).T
            )
            x = first
            for other in others:
                x = _maximum(x, other, accounts.unit)
        return accounts.settle(x)

    return rule


def _pair(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else tuple(value)


def _add(x: Form, y: Form, unit: float) -> Form:
    found = Form(x.centre + y.centre, x.slopes + y.slopes, x.rest + y.rest, None)
    own = found.magnitude() * (STEPS * unit)
    found.rest, found.size = found.rest + own, None
    for part in (x.own, y.own):
        own = own if part is None else own + part
    found.own = own
    return found


class Move:
    """A layer that only moves values."""

    def __init__(self, change: Callable[[Tensor], Tensor]) -> None:
        self.change = change

    def on_plane(self, x: Line) -> Line:
        lines = self.change(x.lines.flatten(0, 1)).unflatten(0, (3, 1))
        return Line(lines, self.change(x.room), x.ends)

    def __call__(self, x: Form, accounts: Accounts) -> Form:
        return x.map(self.change)


class Sum:
    """The sum of two layers."""

    def on_plane(self, x: Line, y: Line) -> Line:
        room = x.room + y.room + (x.size() + y.size()) * torch.finfo(torch.float64).eps
        return Line(x.lines + y.lines, room, x.ends)

    def __call__(self, x: Form, y: Form, accounts: Accounts) -> Form:
        return _add(x, y, accounts.unit)


#: The layers for which there is a rule.
RULES = (
    "Linear on one axis, Conv1d, Conv2d, BatchNorm, ReLU, LeakyReLU, Tanh, Sigmoid, GELU, MaxPool2d, AvgPool2d, "
    "AdaptiveAvgPool2d, Flatten, view and reshape that flatten, Identity, Dropout and sums"
)
_SAME = nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d


def layer_rule(layer: Any, shape: torch.Size, dtype: torch.dtype) -> Any:
    """The rule of a layer of torch on inputs of a shape; None where there is none."""
    kind = type(layer)
    if kind is nn.Linear and len(shape) == 2:
        return Affine(F.linear, layer.weight, layer.bias, layer.in_features, dtype)
    if kind in (nn.Conv1d, nn.Conv2d) and layer.padding_mode == "zeros":
        function = F.conv1d if kind is nn.Conv1d else F.conv2d
        options = layer.stride, layer.padding, layer.dilation, layer.groups
        return Affine(
            lambda x, weight: function(x, weight, None, *options),
            layer.weight,
            layer.bias,
            layer.weight[0].numel(),
            dtype,
            layer.groups,
        )
    if kind in (nn.BatchNorm1d, nn.BatchNorm2d) and layer.running_mean is not None:
        scale = torch.rsqrt(layer.running_var + layer.eps)
        scale = scale if layer.weight is None else scale * layer.weight
        bias = -layer.running_mean * scale
        bias = bias if layer.bias is None else bias + layer.bias
        return Affine(lambda x, weight: x * _columns(weight, x), scale, bias, 1, dtype)
    if kind is nn.AvgPool2d and (layer.divisor_override or 1) < 0:
        return None
    if kind in (nn.AvgPool2d, nn.AdaptiveAvgPool2d):
        one = torch.ones((), dtype=torch.float64)
        none = torch.zeros((), dtype=torch.float64)
        return Affine(lambda x, weight: layer(x) * weight, one, none, math.prod(shape[-2:]), dtype)
    if kind is nn.MaxPool2d and layer.dilation in (1, (1, 1)) and not layer.return_indices:
        return _max_pool(layer)
    if kind is nn.Flatten and layer.start_dim > 0:
        return Move(layer)
    if kind in _SAME:
        return Move(lambda x: x)
    if kind is nn.LeakyReLU and 0 <= layer.negative_slope <= 1:
        return _leaky_relu(layer.negative_slope)
    if kind is nn.GELU and layer.approximate == "none":
        return _GELU
    return {nn.ReLU: _relu, nn.Tanh: _TANH, nn.Sigmoid: _SIGMOID}.get(kind)
