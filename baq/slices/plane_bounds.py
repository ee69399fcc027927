"""The logits of a traced network on boxes of a plane, bounded."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

from baq.inference import place
from baq.slices.bounds import (
    RULES,
    STEPS,
    TINY,
    Accounts,
    Affine,
    Form,
    Line,
    Move,
    Sum,
    layer_rule,
)
from baq.slices.planes import Plane
from baq.structure import fold_batch_norm, runs_as_written

__all__ = ["Bounds", "NoRule", "PlaneBounds"]


class NoRule(ValueError):
    """A network cannot be bounded: it has a layer without a rule, or cannot be traced."""


def _max_pool(
    size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> nn.MaxPool2d:
    """The layer, with its arguments in the order of the function."""
    return nn.MaxPool2d(size, stride, padding, dilation, return_indices, ceil_mode)


#: Functions and methods that do what a layer does, with its arguments.
_LAYERS: dict[Any, Callable[..., nn.Module]] = {
    torch.relu: nn.ReLU,
    F.relu: nn.ReLU,
    "relu": nn.ReLU,
    torch.tanh: nn.Tanh,
    F.tanh: nn.Tanh,
    "tanh": nn.Tanh,
    torch.sigmoid: nn.Sigmoid,
    F.sigmoid: nn.Sigmoid,
    "sigmoid": nn.Sigmoid,
    F.gelu: nn.GELU,
    F.leaky_relu: nn.LeakyReLU,
    torch.flatten: nn.Flatten,
    "flatten": nn.Flatten,
    F.max_pool2d: _max_pool,
    F.avg_pool2d: nn.AvgPool2d,
    F.adaptive_avg_pool2d: nn.AdaptiveAvgPool2d,
}
#: Functions and methods that are known where they flatten.
_RESHAPES = "view", "reshape", torch.reshape
#: Points of a plane at which the bounds are compared with the network, and by how much of the largest logit they
#: may differ besides: folding a batch norm rounds, too.
_POINTS, _SAME = 16, 1e-9
_EPS = torch.finfo(torch.float64).eps


@dataclass(frozen=True)
class Bounds:
    """Bounds of the logits on N boxes."""

    logits: Form
    accounts: Accounts
    #: Bound on the relative error of a derivative, by the sizes of what was summed up for it.
    room: float

    def errors(self, top: Tensor, rival: Tensor) -> Tensor:
        """Bounds on the errors of the gaps between two logits of each box, (N,)."""
        z = self.logits

        def both(values: Tensor) -> Tensor:
            values = values.expand(len(top), -1)
            return (values.gather(1, top[:, None]) + values.gather(1, rival[:, None]))[:, 0]

        error = both(z.rest) * self.room
        if z.own is not None:
            error = error + both(z.own)
        if entries := self.accounts.entries:
            centres = [centre for centre, _ in entries]
            with _plain_sums():
                ends = z.centre.gather(1, torch.stack([top, rival], dim=1))
                gaps = (ends[:, 0] - ends[:, 1]).sum()
                slopes = torch.autograd.grad(gaps, centres, retain_graph=True, allow_unused=True)
            for slope, (_, own) in zip(slopes, entries, strict=True):
                if slope is not None:
                    total = slope.abs().mul_(own).flatten(1)
                    error = error + total.sum(1) * (1 + 2 * total.shape[1] * self.accounts.unit)
        return error * (1 + self.room) + TINY


@contextmanager
def _plain_sums() -> Iterator[None]:
    """No fast algorithm and no shorter format in a sum of products."""
    backend: Any = torch.backends.mkldnn
    settings = [getattr(backend, name) for name in ("conv", "matmul") if hasattr(backend, name)]
    before = [setting.fp32_precision for setting in settings]
    older = None if settings else torch.get_float32_matmul_precision()  # before torch 2.9
    try:
        for setting in settings:
            setting.fp32_precision = "ieee"
        if older:
            torch.set_float32_matmul_precision("highest")
        with (
            torch.backends.nnpack.flags(enabled=False),
            torch.autocast("cpu", enabled=False),
            torch.inference_mode(False),
            torch.enable_grad(),
        ):
            yield
    finally:
        for setting, precision in zip(settings, before, strict=True):
            setting.fp32_precision = precision
        if older:
            torch.set_float32_matmul_precision(older)


class PlaneBounds:
    """A network on a plane, to be bounded on boxes.

    The network is traced by ``torch.fx``. What it computes up to its first nonlinearities is affine on
    the plane, so it is computed once, in float64. The bounds are compared with the network itself at some
    points of the plane.

    Raises:
        NoRule: for a classifier that is not a module or cannot be traced, or computes something else than
            what was traced, and for a layer without a rule, naming it.
    """

    @torch.inference_mode(False)
    def __init__(
        self, classifier: object, plane: Plane, dtype: torch.dtype = torch.float32
    ) -> None:
        self.dtype, self.unit = dtype, torch.finfo(dtype).eps / 2
        a_min, a_max, b_min, b_max = plane.extent
        self.middle = (a_min + a_max) / 2, (b_min + b_max) / 2
        self.reach = (a_max - a_min) / 2, (b_max - b_min) / 2
        # Clones, since those made in inference mode would have no gradients.
        origin, u, v = (x.detach().cpu().double().clone() for x in (plane.origin, plane.u, plane.v))
        far = [abs(m) + r for m, r in zip(self.middle, self.reach, strict=True)]
        # Whoever evaluates the network rounds the coordinates, from the plane's own origin.
        room = (origin.abs() + far[0] * u.abs() + far[1] * v.abs()) * STEPS * _EPS
        ends = torch.tensor([1.0, *self.reach], dtype=torch.float64)
        origin = origin + self.middle[0] * u + self.middle[1] * v
        model = _placed(classifier)
        graph = _traced(model)
        draw = torch.Generator().manual_seed(0)
        at = 2 * torch.rand(2, _POINTS, generator=draw, dtype=torch.float64) - 1
        at = at * torch.tensor(self.reach, dtype=torch.float64)[:, None]
        a, b = at.reshape(2, -1, *[1] * origin.ndim)
        wanted = _evaluated(graph, model, origin + a * u + b * v)
        self.steps: list[tuple[fx.Node, Any, tuple[fx.Node, ...]]] = []
        self.start: dict[fx.Node, tuple[Tensor, Tensor]] = {}
        self.room = 0.0
        #: What may share its memory with which earlier node.
        self._aliases: dict[fx.Node, fx.Node] = {}
        lines: dict[fx.Node, Line] = {}
        for node in graph.graph.nodes:
            if node.op == "placeholder":
                if lines:
                    raise NoRule("the network takes several inputs: allowed is one")
                lines[node] = Line(torch.stack([origin, u, v])[:, None], room[None], ends)
            elif node.op == "output":
                self.output = node.args[0]
            else:
                if "shape" not in node.meta:  # a size, which a reshape takes
                    continue
                given = [k for k in node.args if isinstance(k, fx.Node)]
                inputs = tuple(k for k in given if "shape" in k.meta)
                rule = self._rule(node, inputs, len(given), graph)
                if isinstance(rule, Affine):
                    self.room += _backward_room(rule)
                on_plane = getattr(rule, "on_plane", None)
                if on_plane and all(k in lines for k in inputs):
                    lines[node] = on_plane(*(lines[k] for k in inputs))
                else:
                    self.steps.append((node, rule, inputs))
        if not isinstance(self.output, fx.Node):
            raise NoRule("the network has several outputs: allowed is one, its logits")
        used = {k for _, _, inputs in self.steps for k in inputs} | {self.output}
        for node in used & lines.keys():
            self.start[node] = self._rounded(lines[node])
        found = self(
            at + torch.tensor(self.middle, dtype=torch.float64)[:, None], (0.0, 0.0)
        ).logits
        off = (found.centre.detach() - wanted).abs()
        if (off > 4 * found.rest + _SAME * wanted.abs().max()).any():
            raise NoRule(
                f"{type(model).__name__} computes something else than torch.fx traces: in place, or outside its forward pass"
            )

    def _rounded(self, line: Line) -> tuple[Tensor, Tensor]:
        """Lines of a plane at the precision of the bounds, and room for their rounding."""
        room = line.room + line.size() * (STEPS * self.unit) + TINY
        lines = line.lines.to(self.dtype)
        if lines.ndim == 5:
            last = lines.flatten(0, 1).contiguous(memory_format=torch.channels_last)
            lines = last.unflatten(0, (3, 1))
        return lines, room.to(self.dtype) * (1 + 2 * self.unit)

    def _rule(
        self, node: fx.Node, inputs: tuple[fx.Node, ...], given: int, graph: fx.GraphModule
    ) -> Any:
        """What a node does to forms, by the tensors that it takes, of so many nodes that it is given."""
        single = len(inputs) == given == 1
        if node.op == "call_module":
            layer = graph.get_submodule(str(node.target))
            named = f"layer {node.target!r}, {type(layer).__name__}"
            if not single or not runs_as_written(layer):
                raise NoRule(
                    f"{named}, has hooks, several inputs or a forward pass of its own: it has no rule"
                )
        else:
            named = f"layer {node.name!r}, {getattr(node.target, '__name__', node.target)}"
            sums = node.target in (operator.add, torch.add, "add")
            if sums and len(inputs) == len(node.args) == 2 and not node.kwargs:
                return Sum()
            kind = _LAYERS.get(node.target)
            if node.target in _RESHAPES and len(inputs) == 1:
                layer = nn.Flatten()
                if node.meta["shape"] != layer(torch.empty(inputs[0].meta["shape"])).shape:
                    raise NoRule(
                        f"{named}, has a rule only where it flattens all but the first axis"
                    )
            elif kind is None or not single or (kind is nn.Flatten and len(node.args) == 1):
                raise NoRule(f"{named}, has no rule: allowed are {RULES}")
            else:
                layer = kind(*node.args[1:], **node.kwargs)
        if getattr(layer, "inplace", False) and _is_shared(inputs[0], self._aliases):
            raise NoRule(f"{named}, changes its input in place, which another layer takes too")
        rule = layer_rule(layer, inputs[0].meta["shape"], self.dtype)
        if rule is None:
            raise NoRule(f"{named}, has no rule, or none with these options: allowed are {RULES}")
        if isinstance(rule, Move):
            self._aliases[node] = inputs[0]
        return rule

    def _form(self, node: fx.Node, at: Tensor, half: tuple[float, float]) -> Form:
        lines, room = self.start[node]
        a, b = at.to(self.dtype).reshape(2, -1, *[1] * (lines.ndim - 2))
        centre = torch.addcmul(lines[0], a, lines[1]).addcmul(b, lines[2])
        sides = torch.tensor(half, dtype=self.dtype).reshape(2, *[1] * (lines.ndim - 1))
        return Form(centre, lines[1:] * sides, room, room)

    def __call__(self, at: Tensor, half: tuple[float, float]) -> Bounds:
        """Bounds of the logits on boxes.

        Arguments:
            at: coordinates of the boxes' centres, shape (2, N).
            half: half-sides of all boxes; the room for rounding is enough up to 3 times the plane's extent.
        """
        at = at.double() - torch.tensor(self.middle, dtype=torch.float64)[:, None]
        with _plain_sums():
            accounts = Accounts(self.unit)
            forms = {node: self._form(node, at, half) for node in self.start}
            for node, rule, inputs in self.steps:
                forms[node] = rule(*(forms[k] for k in inputs), accounts)
        return Bounds(forms[self.output], accounts, self.room)


def _backward_room(rule: Affine) -> float:
    """Relative room for the rounding of a derivative that passes a layer."""
    weight = rule.exact[0]
    terms = weight.numel() // weight.shape[1] if weight.ndim > 1 else 0
    return 4 * max(rule.room, rule.room / 4 + terms * torch.finfo(rule.weight.dtype).eps)


def _is_shared(node: fx.Node, aliases: dict[fx.Node, fx.Node]) -> bool:
    """Whether several layers take what a node puts out, or what shares its memory."""
    while len(node.users) == 1 and node in aliases:
        node = aliases[node]
    return len(node.users) > 1


def _placed(classifier: object) -> nn.Module:
    """The network in float64, as it is called."""
    if not isinstance(classifier, nn.Module):
        raise NoRule(f"the classifier is a {type(classifier).__name__}: it cannot be traced")
    try:
        model = place(classifier, torch.float64, "cpu")
    except Exception as error:  # of whatever cannot be copied
        reason = str(error).strip().partition("\n")[0]
        raise NoRule(f"{type(classifier).__name__} cannot be copied: {reason}") from None
    if model._forward_hooks or model._forward_pre_hooks:
        raise NoRule(f"{type(model).__name__} has hooks: it cannot be traced")
    return model


def _traced(model: nn.Module) -> fx.GraphModule:
    """The graph of a network, with batch norms folded where that is possible."""
    try:
        graph = fx.symbolic_trace(fold_batch_norm(model))
    except Exception as error:  # whatever the network's code does with a tracer's stand-in
        reason = str(error).partition("\n")[0]
        raise NoRule(f"{type(model).__name__} cannot be traced: {reason}") from None
    return graph.requires_grad_(False)


class _Shapes(fx.Interpreter):
    """Runs a graph, and notes the shape of every tensor at its node."""

    def run_node(self, n: fx.Node) -> Any:
        found = super().run_node(n)
        if isinstance(found, Tensor):
            n.meta["shape"] = found.shape
        return found


@torch.no_grad()
def _evaluated(graph: fx.GraphModule, model: nn.Module, points: Tensor) -> Tensor:
    """The network's logits at points; the shapes in its graph are noted there.

    Raises:
        NoRule: where it fails, or what it gives is not logits.
    """
    try:
        _Shapes(graph, garbage_collect_values=False).run(points[:1].clone())
        found, wanted = graph(points.clone()), model(points.clone())
    except Exception as error:  # of a network that cannot take float64, or a point at a time
        reason = str(error).strip().partition("\n")[0]
        raise NoRule(f"{type(model).__name__} fails in float64: {reason}") from None
    if not isinstance(found, Tensor) or not isinstance(wanted, Tensor):
        raise NoRule(f"the network gives a {type(wanted).__name__}: allowed are logits")
    if wanted.ndim != 2 or wanted.shape[1] < 2 or found.shape != wanted.shape:
        raise NoRule(
            f"the network gives outputs of shape {tuple(wanted.shape[1:])}: allowed are 2 or more logits"
        )
    return wanted
