"""Bounds of layers hold everywhere on a box, for every kind of layer, and are not idle."""

import threading

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from baq import slices
from baq.inference import place
from baq.slices import bounds, plane_bounds
from baq.slices.on_plane import on_plane
from baq.slices.plane_bounds import NoRule, PlaneBounds
from baq.zoo import models

SIDE = 6


def convolutional(*layers, features):
    """Layers between a convolution of 2 to 4 channels and two linear layers; the 4 x 4 images are 4 channels."""
    return nn.Sequential(
        nn.Conv2d(2, 4, 3),
        *layers,
        nn.Flatten(),
        nn.Linear(features, 6),
        nn.ReLU(),
        nn.Linear(6, 3),
    )


class Functions(nn.Module):
    """Layers as functions and methods, and a sum of two paths."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(2, 4, 3), nn.Conv2d(4, 4, 3, padding="same")
        self.last = nn.Linear(16, 3)

    def forward(self, x):
        y = F.relu(self.first(x))
        y = torch.add(F.leaky_relu(self.second(y), 0.3), y).tanh() + F.gelu(y)
        return self.last(torch.flatten(F.max_pool2d(y, 2, 2), 1).sigmoid())


class Sequences(nn.Module):
    """Convolutions of one dimension, with a batch norm."""

    def __init__(self):
        super().__init__()
        self.lines = nn.Flatten(2)
        self.body = nn.Sequential(
            nn.Conv1d(2, 4, 5, stride=3), nn.ReLU(), nn.BatchNorm1d(4), nn.Conv1d(4, 4, 3, groups=2)
        )
        self.last = nn.Linear(36, 3)

    def forward(self, x):
        return self.last(torch.tanh(self.body(self.lines(x))).flatten(1))


KINDS = {
    "relu": lambda: convolutional(nn.ReLU(), nn.Dropout(), nn.Conv2d(4, 4, 3), features=16),
    "leaky relu": lambda: convolutional(nn.LeakyReLU(0.2), features=64),
    "tanh": lambda: convolutional(nn.Tanh(), nn.Conv2d(4, 4, 3), nn.Tanh(), features=16),
    "sigmoid": lambda: convolutional(nn.Sigmoid(), nn.Conv2d(4, 4, 3), nn.Sigmoid(), features=16),
    "gelu": lambda: convolutional(nn.GELU(), nn.Conv2d(4, 4, 3), nn.GELU(), features=16),
    "maximum": lambda: convolutional(nn.MaxPool2d(2), nn.ReLU(), features=16),
    "maximum of overlaps": lambda: convolutional(
        nn.ReLU(), nn.MaxPool2d(3, 2, 1, ceil_mode=True), features=36
    ),
    "mean": lambda: convolutional(
        nn.ReLU(), nn.AvgPool2d(3, 2, 1), nn.Tanh(), nn.AdaptiveAvgPool2d((1, 2)), features=8
    ),
    "batch norm": lambda: convolutional(
        nn.BatchNorm2d(4), nn.MaxPool2d(2), nn.BatchNorm2d(4), nn.ReLU(), features=16
    ),
    "residual": lambda: convolutional(
        nn.ReLU(), models.ResidualBlock(4, 4, 1), models.ResidualBlock(4, 6, 2), features=24
    ),
    "functions": Functions,
    "sequences": Sequences,
    "affine": lambda: nn.Sequential(nn.Flatten(), nn.Linear(72, 5), nn.Linear(5, 3)),
}


def random_case(kind, seed, spread=1.0):
    """A random network of a kind, with all its statistics random, and a plane through three inputs."""
    torch.manual_seed(seed)
    model = KINDS[kind]().eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.3, 2)
            nn.init.normal_(module.weight)  # of either sign
        if isinstance(module, nn.Linear | nn.Conv1d | nn.Conv2d):
            nn.init.normal_(module.weight, std=spread * (2 / module.weight[0].numel()) ** 0.5)
            nn.init.normal_(module.bias, std=0.3 * spread) if module.bias is not None else None
    x = torch.randn(3, 2, SIDE, SIDE)
    return model, slices.plane_through(x, pad=0.5)


def exact(model, plane):
    """The network in float64 on the plane, at coordinates (N, 2)."""
    wide = slices.Plane(plane.origin.double(), plane.u.double(), plane.v.double(), plane.extent)
    at = on_plane(place(model, torch.float64), wide)
    return lambda points: at(points).detach()


def random_boxes(plane, seed, share, count=24):
    """Centres (2, N) and half-sides of boxes inside the plane."""
    rng = np.random.default_rng(seed)
    a_min, a_max, b_min, b_max = plane.extent
    half = np.array([a_max - a_min, b_max - b_min]) / 2 * share
    middle = np.array([a_min + a_max, b_min + b_max]) / 2
    inside = np.array([a_max - a_min, b_max - b_min]) / 2 - half
    at = middle[:, None] + rng.uniform(-1, 1, (2, count)) * inside[:, None]
    return torch.from_numpy(at), (float(half[0]), float(half[1]))


def excess(model, plane, seed, share, dtype=torch.float32):
    """Largest error of a gap over its bound, and of a logit over its rest, on sampled points of boxes."""
    at, half = random_boxes(plane, seed, share)
    found = PlaneBounds(model, plane, dtype)(at, half)
    z, network = found.logits, exact(model, plane)
    top, rival = slices_of_two(z.centre.detach())
    error, rest = found.errors(top, rival).double(), z.rest.double()
    gap_excess, logit_excess = 0.0, 0.0
    corners = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0]).double()] * 2)
    for moved in [*corners, *(torch.rand(60, 2).double() * 2 - 1)]:
        points = at.T + moved * torch.tensor(half, dtype=torch.float64)
        true = network(points)
        line = z.centre.detach().double() + moved[0] * z.slopes[0] + moved[1] * z.slopes[1]
        off = true - line
        gap = off.gather(1, top[:, None])[:, 0] - off.gather(1, rival[:, None])[:, 0]
        gap_excess = max(gap_excess, float((gap.abs() / error).max()))
        logit_excess = max(logit_excess, float((off.abs() / rest).max()))
    return gap_excess, logit_excess


def slices_of_two(z):
    first, second = z.topk(2, dim=1).indices.T
    return first, second


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=10, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    share=st.sampled_from([1e-4, 1e-2, 0.1, 0.5, 1.0]),
    dtype=st.sampled_from([torch.float32, torch.float64]),
    far=st.sampled_from([0.0, 57.7, 1e6 + 1 / 3]),
)
def test_bounds_hold_inside_boxes(kind, seed, share, dtype, far):
    model, plane = random_case(kind, seed)
    gap, logit = excess(model, moved(plane, far), seed, share, dtype)
    assert gap <= 1
    assert logit <= 1


def moved(plane, far):
    """The same plane in float64, with its own origin elsewhere, so that all coordinates are far from 0."""
    origin, u, v = (x.double() for x in (plane.origin, plane.u, plane.v))
    a_min, a_max, b_min, b_max = plane.extent
    extent = (a_min + far, a_max + far, b_min - far, b_max - far)
    return slices.Plane(origin - far * u + far * v, u, v, extent)


@pytest.mark.parametrize("kind", [k for k in KINDS if k != "affine"])
def test_bounds_are_not_idle(kind):
    model, plane = random_case(kind, 1)
    assert excess(model, plane, 1, 0.1, torch.float64)[0] > 0.02


def test_errors_of_gaps_are_far_below_the_sum_of_rests():
    model, plane = random_case("residual", 0)
    at, half = random_boxes(plane, 0, 0.02)
    found = PlaneBounds(model, plane)(at, half)
    top, rival = slices_of_two(found.logits.centre.detach())
    rest = found.logits.rest
    rough = rest.gather(1, top[:, None]) + rest.gather(1, rival[:, None])
    assert (found.errors(top, rival) < 0.7 * rough[:, 0]).all()


@pytest.mark.parametrize("curve", ["_TANH", "_SIGMOID", "_GELU"])
def test_curves_have_their_slope_their_bend_and_its_turns(curve):
    curve = getattr(bounds, curve)
    x = torch.linspace(-6, 6, 4001, dtype=torch.float64, requires_grad=True)
    slope = torch.autograd.grad(curve.value(x).sum(), x, create_graph=True)[0]
    bend = torch.autograd.grad(slope.sum(), x)[0]
    torch.testing.assert_close(curve.slope(x), slope)
    torch.testing.assert_close(curve.bend(x).detach(), bend)
    steps = curve.bend(x.detach()).diff().sign()
    at = x.detach()[1:-1][steps[1:] != steps[:-1]]
    torch.testing.assert_close(at, torch.tensor(curve.turns).double(), atol=0.004, rtol=0)
    if np.isfinite(curve.lowest):
        assert float(x.detach()[curve.value(x).argmin()]) == pytest.approx(curve.lowest, abs=0.003)


def test_the_chord_of_relu_is_the_least_line_above():
    """Analytic: on [-1, 3] the chord is 3/4 (x + 1), and ReLU lies up to 3/4 below it."""
    high, slope, error = bounds._hinge(torch.tensor([1.0]), torch.tensor([2.0]))
    assert (float(high), float(slope), float(error)) == (3.0, 0.75, 0.375)


def test_a_box_on_which_no_unit_bends_has_rounding_as_its_only_error():
    model = nn.Sequential(nn.Flatten(), nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 4), nn.ReLU())
    model.append(nn.Linear(4, 3))
    with torch.no_grad():
        for weight in model.parameters():
            weight.uniform_(0.5, 1)
    eye = torch.eye(2)
    plane = slices.Plane(torch.ones(2), eye[0], eye[1], (0.0, 1.0, 0.0, 1.0))
    found = PlaneBounds(model, plane)(torch.full((2, 1), 0.5).double(), (0.5, 0.5))
    size = float(found.logits.centre.detach().max())
    error = float(found.errors(torch.tensor([0]), torch.tensor([1])))
    assert 0 < error < 1e-4 * size
    points = torch.rand(100, 2).double()
    line = found.logits.centre.detach() + (2 * points - 1) @ found.logits.slopes[:, 0].double()
    torch.testing.assert_close(line, exact(model, plane)(points), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_rounding_alone_stays_within_its_room(kind):
    """At points float32 differs from float64 by at most the room, and not by 0."""
    model, plane = random_case(kind, 3)
    at, _ = random_boxes(plane, 3, 0.0, count=200)
    found = PlaneBounds(model, plane)(at, (0.0, 0.0))
    z = found.logits.centre.detach().double()
    top, rival = slices_of_two(z)
    off = z - exact(model, plane)(at.T)
    gap = (off.gather(1, top[:, None]) - off.gather(1, rival[:, None]))[:, 0].abs()
    assert gap.max() > 0
    assert (gap <= found.errors(top, rival)).all()
    assert (off.abs() <= found.logits.rest).all()


def test_a_chord_without_its_error_would_be_wrong(monkeypatch):
    """Negative control: what a line leaves is what makes the bounds hold."""
    model, plane = random_case("relu", 0)
    plain = bounds._hinge
    monkeypatch.setattr(
        bounds, "_hinge", lambda centre, reach: (*plain(centre, reach)[:2], 0 * centre)
    )
    assert excess(model, plane, 0, 0.1)[0] > 1


class Doubled(nn.Linear):
    def forward(self, x):
        return 2 * super().forward(x)


class InPlace(nn.Module):
    def __init__(self):
        super().__init__()
        self.flat, self.relu = nn.Flatten(), nn.ReLU(inplace=True)
        self.last = nn.Linear(72, 3)

    def forward(self, x):
        y = self.flat(x)
        return self.last(self.relu(y) + y)


class InPlaceByAnotherName(InPlace):
    """In evaluation mode dropout returns its input itself, which ReLU then changes for both."""

    def __init__(self):
        super().__init__()
        self.drop = nn.Dropout()

    def forward(self, x):
        y = self.flat(x)
        return self.last(self.relu(self.drop(y)) + y)


class AddedInPlace(InPlace):
    """A trace has no in-place sum: it takes ``y`` as it was for the second layer, too."""

    def forward(self, x):
        y = z = 1 * self.flat(x) if isinstance(x, torch.Tensor) else self.flat(x)
        z += y
        return self.last(F.relu(z) + y)


class CalledOtherwise(InPlace):
    def __call__(self, x):
        return -super().__call__(x)

    def forward(self, x):
        return self.last(self.flat(x))


class TwoOutputs(InPlace):
    def forward(self, x):
        return self.last(self.flat(x)), x


class InSingle(InPlace):
    def forward(self, x):
        return self.last(self.flat(x.float()))


class Reshaped(nn.Module):
    """As many networks flatten; ``sides`` is the shape of what it does not flatten."""

    def __init__(self, *sides):
        super().__init__()
        self.sides, self.last = sides, nn.Linear(sides[-1] if sides else 72, 3)

    def forward(self, x):
        y = x.view(x.size(0), *(self.sides or (-1,))).relu()
        return self.last(y if len(self.sides) < 2 else y.mean(1))


def with_a_lock():
    model = after_flatten(nn.Linear(72, 3))
    model.lock = threading.Lock()
    return model


def with_another_forward():
    model = after_flatten(nn.Linear(72, 3)).double()
    model.forward = lambda x: -nn.Sequential.forward(model, x)
    return model


class Branching(nn.Module):
    def forward(self, x):
        return x.flatten(1) if x.sum() > 0 else -x.flatten(1)


def after_flatten(*layers):
    return nn.Sequential(nn.Flatten(), *layers)


def hooked():
    model = after_flatten(nn.Linear(72, 3), nn.ReLU(), nn.Linear(3, 3))
    model[1].register_forward_hook(lambda module, inputs, output: output + 1)
    return model


@pytest.mark.parametrize(
    ("model", "words"),
    {
        "no rule": (after_flatten(nn.Linear(72, 3), nn.Softplus()), "layer '2', Softplus, has no"),
        "options": (
            after_flatten(nn.LeakyReLU(2.0)),
            "layer '1', LeakyReLU, has no rule, or none with",
        ),
        "own forward pass": (
            after_flatten(Doubled(72, 3)),
            "layer '_1_weight', 1.weight, has no rule",
        ),
        "hook": (hooked(), "layer '1', Linear, has hooks, several inputs or"),
        "in place": (InPlace(), "layer 'relu', ReLU, changes its input in place"),
        "in place by another name": (
            InPlaceByAnotherName(),
            "layer 'relu', ReLU, changes its input in place",
        ),
        "in-place sum": (AddedInPlace(), "AddedInPlace computes something else than"),
        "another call": (CalledOtherwise(), "CalledOtherwise computes something else than"),
        "another forward": (with_another_forward(), "Sequential computes something else than"),
        "two outputs": (TwoOutputs(), "the network gives a tuple: allowed are logits"),
        "in single precision": (InSingle(), "InSingle fails in float64: mat1 and mat2"),
        "several axes": (
            nn.Sequential(nn.Linear(6, 6), nn.ReLU(), nn.Flatten(), nn.Linear(72, 3)),
            "layer '0', Linear, has no rule, or none with",
        ),
        "no copy": (with_a_lock(), "Sequential cannot be copied: cannot pickle"),
        "reshaped": (Reshaped(36, 2), "layer 'view', view, has a rule only where it flattens"),
        "divisor": (
            convolutional(nn.AvgPool2d(2, divisor_override=-2), features=16),
            "layer '1', AvgPool2d, has no rule, or none with",
        ),
        "control flow": (Branching(), "Branching cannot be traced: symbolically traced variables"),
        "no module": (lambda x: x.flatten(1), "the classifier is a function: it cannot be traced"),
        "one logit": (after_flatten(nn.Linear(72, 1)), r"outputs of shape \(1,\): allowed are 2"),
    }.values(),
)
def test_what_has_no_rule_is_named_in_one_line(model, words):
    _, plane = random_case("relu", 0)
    with pytest.raises(NoRule, match=words) as raised:
        PlaneBounds(model if not isinstance(model, nn.Module) else model.eval(), plane)
    assert "\n" not in str(raised.value)


def test_a_rule_that_is_wrong_is_found_by_the_network(monkeypatch):
    """Negative control: bounds that do not hold at points of the plane are no bounds."""
    model, plane = random_case("relu", 0)
    plain = bounds.Affine.__call__

    def shifted(self, x, accounts):
        found = plain(self, x, accounts)
        found.centre = found.centre + 0.01
        return found

    PlaneBounds(model, plane, torch.float64)
    monkeypatch.setattr(bounds.Affine, "__call__", shifted)
    with pytest.raises(NoRule, match="computes something else"):
        PlaneBounds(model, plane, torch.float64)


def test_logits_near_0_of_an_origin_far_away_are_bounded_too():
    model, plane = random_case("batch norm", 1)
    plane = slices.Plane(
        1e6 * plane.origin.double(), plane.u.double(), plane.v.double(), plane.extent
    )
    with torch.no_grad():
        model[-1].bias -= place(model, torch.float64)(plane.origin[None])[0].float()
    assert max(excess(model, plane, 1, 0.1, torch.float64)) <= 1


@pytest.mark.parametrize("sides", [(), (72,)])
def test_reshapes_that_flatten_are_bounded(sides):
    torch.manual_seed(0)
    model, (_, plane) = Reshaped(*sides).eval(), random_case("relu", 0)
    assert max(excess(model, plane, 0, 0.1)) <= 1


def test_settings_of_torch_come_back_and_fast_sums_are_off_meanwhile():
    with plane_bounds._plain_sums():
        assert not torch.backends.nnpack.is_available() or not torch._C._get_nnpack_enabled()
        assert torch.backends.mkldnn.conv.fp32_precision == "ieee"
    assert torch.backends.mkldnn.conv.fp32_precision == "none"
