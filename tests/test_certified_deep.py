"""Certified maps of deep networks equal the dense float64 map, cell by cell, and miss no island."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from baq import slices
from baq.inference import place
from baq.slices import bounds, label_maps
from baq.slices.certified_deep import boxes_pay
from baq.slices.plane_bounds import NoRule, PlaneBounds
from baq.zoo import models
from tests.test_bounds import KINDS, random_case

EYE = torch.eye(2)
UNIT = slices.Plane(torch.zeros(2), EYE[0], EYE[1], (-1.0, 1.0, -1.0, 1.0))


def dense(model, plane, n):
    """Labels of every cell by an evaluation in float64."""
    wide = slices.Plane(plane.origin.double(), plane.u.double(), plane.v.double(), plane.extent)
    return slices.label_map(place(model, torch.float64), wide, n, "dense").labels


def assert_equals_dense(model, plane, n):
    found = slices.label_map(model, plane, n, "certified")
    assert (found.way, found.error_bound) == ("certified", 0.0)
    np.testing.assert_array_equal(found.labels, dense(model, plane, n))
    return found


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=50, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    n=st.integers(2, 45),
    spread=st.sampled_from([1e-12, 1e-3, 1.0, 3.0, 1e12]),
    dead=st.booleans(),
    tie=st.booleans(),
)
def test_equals_the_dense_map_on_random_networks(kind, seed, n, spread, dead, tie):
    model, plane = random_case(kind, seed, spread)
    with torch.no_grad():
        layers = [m for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
        if dead:  # one unit or channel of each hidden layer is off everywhere
            for layer in layers[:-1]:
                if layer.bias is not None:
                    layer.bias[0] = -1e3 * layer.weight.abs().sum()
        if tie:
            layers[-1].weight[1], layers[-1].bias[1] = layers[-1].weight[0], layers[-1].bias[0]
    try:
        assert_equals_dense(model, plane, n)
    except NoRule:
        # Numbers that single precision cannot hold are refused: its bounds are compared with the network, too.
        assert spread == 1e12


@pytest.mark.parametrize("kind", KINDS)
def test_equals_the_dense_map(kind):
    for seed in range(3):
        model, plane = random_case(kind, seed, 1.5)
        assert_equals_dense(model, plane, 70)


def deep(*layers):
    """Layers of a network of two inputs and two hidden layers of ReLU."""
    first, second, last = layers
    return nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), last)


def linear(weight, bias):
    layer = nn.Linear(len(weight[0]), len(weight))
    with torch.no_grad():
        layer.weight[:], layer.bias[:] = torch.tensor(weight), torch.tensor(bias)
    return layer


def test_an_island_of_one_cell_is_found():
    # Class 1 leads only within 0.004 of (1/3, 1/3) in the sum of both distances, by two hidden layers.
    at = 1 / 3
    model = deep(
        linear([[1.0, 0], [-1, 0], [0, 1], [0, -1]], [-at, at, -at, at]),
        linear([[1.0, 1, 1, 1]], [0.0]),
        linear([[1.0], [0.0]], [0.0, 0.004]),
    )
    found = assert_equals_dense(model, UNIT, 200)
    assert 1 <= found.labels.sum() <= 4
    assert found.evaluated < 2000
    # Negative control: adaptive refinement passes it by.
    assert slices.label_map(model, UNIT, 200, "adaptive").labels.sum() == 0


def test_a_plane_inside_a_hinge_of_the_network():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 4))
    with torch.no_grad():
        model[0].weight[0], model[0].bias[0] = torch.tensor([0.0, 0.0, 1.0]), 0.0
    eye = torch.eye(3)
    plane = slices.Plane(torch.zeros(3), eye[0], eye[1], (-3.0, 3.0, -3.0, 3.0))
    assert_equals_dense(model, plane, 61)


def test_classes_that_are_equal_everywhere_are_evaluated_and_go_to_the_lowest():
    model, plane = random_case("relu", 4)
    with torch.no_grad():
        model[-1].weight[2], model[-1].bias[2] = model[-1].weight[0], model[-1].bias[0]
    found = assert_equals_dense(model, plane, 40)
    assert 2 not in np.unique(found.labels)


def test_bounds_without_their_errors_would_be_wrong(monkeypatch):
    """Negative control: what the lines leave is what makes the map exact."""
    monkeypatch.setattr(bounds, "_hinge", _without_error(bounds._hinge))
    wrong = 0
    for seed in range(10):
        model, plane = random_case("relu", seed, 1.5)
        found = slices.label_map(model, plane, 97, "certified")
        wrong += (found.labels != dense(model, plane, 97)).sum()
    assert wrong > 0


def _without_error(hinge):
    return lambda centre, reach: (*hinge(centre, reach)[:2], torch.zeros_like(centre))


def test_most_cells_are_settled_and_cost_grows_with_the_boundary_not_the_area():
    model, plane = random_case("relu", 1, 1.5)
    sides = np.array([64, 128, 256, 512])
    counts = [slices.label_map(model, plane, int(n), "certified").evaluated for n in sides]
    assert counts[-1] < 0.02 * sides[-1] ** 2
    assert np.polyfit(np.log(sides), np.log(counts), 1)[0] < 1.3


def test_a_network_in_float64_has_the_same_map_as_in_float32():
    model, plane = random_case("maximum", 2)
    narrow = slices.label_map(model, plane, 80, "certified")
    wide = slices.label_map(place(model, torch.float64), plane, 80, "certified")
    np.testing.assert_array_equal(narrow.labels, wide.labels)


def test_auto_is_certified_where_bounds_pay_and_adaptive_where_they_do_not():
    n = label_maps.LARGE
    model, plane = random_case("relu", 1)
    assert slices.label_map(model, plane, n).way == "certified"
    assert slices.label_map(model, plane, n - 1).way == "dense"
    # With each layer the rest grows: 40 random layers leave every box in doubt.
    torch.manual_seed(0)
    layers = [layer for _ in range(40) for layer in (nn.Linear(64, 64), nn.ReLU())]
    long = nn.Sequential(nn.Linear(2, 64), nn.ReLU(), *layers, nn.Linear(64, 3))
    for weight in long.parameters():
        nn.init.normal_(weight, std=(2 / 64) ** 0.5)
    assert not boxes_pay(PlaneBounds(long, UNIT, torch.float64), UNIT, n)
    assert slices.label_map(long, UNIT, n).way == "adaptive"
    assert slices.label_map(lambda x: long(x), UNIT, n).way == "adaptive"


def test_a_layer_without_a_rule_is_an_error_only_for_certified():
    model = nn.Sequential(nn.Linear(2, 4), nn.Softplus(), nn.Linear(4, 3))
    with pytest.raises(ValueError, match="layer '1', Softplus, has no rule"):
        slices.label_map(model, UNIT, 8, "certified")
    assert slices.label_map(model, UNIT, label_maps.LARGE).way == "adaptive"
    rows = nn.Sequential(nn.Linear(5, 7), nn.ReLU(), nn.Flatten(), nn.Linear(28, 3))
    axes = torch.eye(20).reshape(20, 4, 5)
    plane = slices.Plane(torch.zeros(4, 5), axes[0], axes[1], UNIT.extent)
    assert slices.label_map(rows, plane, label_maps.LARGE).way == "adaptive"
    with pytest.raises(ValueError, match=r"fails on inputs of shape \(1, 2\)"):
        slices.label_map(models.cnn(3, 4, 2).eval(), UNIT, 8, "certified")


@pytest.mark.parametrize(("middle", "half"), [(57.7, 1e-3), (1000.3, 1e-3), (0.7, 1e-6)])
def test_a_plane_far_from_its_own_origin_is_as_exact(middle, half):
    """Coordinates of such a plane need all digits of float64: the boundary crosses its middle."""
    at = torch.tensor([0.3123, 0.1], dtype=torch.float64)
    u, v = EYE.double()
    extent = (middle - half, middle + half, -half, half)
    plane = slices.Plane(at - middle * u, u, v, extent)
    met = 0
    for seed in range(5):
        torch.manual_seed(seed)
        model = deep(nn.Linear(2, 16), nn.Linear(16, 16), nn.Linear(16, 3))
        with torch.no_grad():
            model[-1].bias -= place(model, torch.float64)(at[None])[0].float()
        met += len(np.unique(assert_equals_dense(model, plane, 129).labels)) > 1
    assert met


def test_networks_are_certified_in_inference_mode():
    with torch.inference_mode():
        model, plane = random_case("residual", 0)
        assert_equals_dense(model, plane, 40)


class Tapped(nn.Module):
    """Takes what a convolution puts out before its batch norm, too."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
        self.last = nn.Linear(64, 4)

    def forward(self, x):
        taps = []
        for layer in self.body:
            x = layer(x)
            taps.append(x)
        return self.last((taps[0] + taps[-1]).flatten(1))


def test_batch_norm_is_not_folded_into_a_convolution_that_others_take():
    for seed in range(3):
        _, plane = random_case("batch norm", seed)
        model = Tapped().eval()
        model.body[1].running_mean.normal_()
        model.body[1].running_var.uniform_(0.3, 2)
        assert_equals_dense(model, plane, 40)


def test_weights_that_are_not_finite_are_named():
    model, plane = random_case("relu", 0)
    model[-1].bias.data[0] = torch.nan
    with pytest.raises(ValueError, match="not finite"):
        slices.label_map(model, plane, 16, "certified")
