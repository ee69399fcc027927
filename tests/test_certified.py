"""The certified label map equals the dense one, cell by cell, and misses no island."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from baq import slices
from baq.slices import certified
from baq.zoo import data, models, training

UNIT = slices.Plane(
    torch.zeros(2).double(),
    torch.tensor([1.0, 0]).double(),
    torch.tensor([0, 1.0]).double(),
    (-1.0, 1.0, -1.0, 1.0),
)


def random_network(seed, d, hidden, classes, act, spread):
    torch.manual_seed(seed)
    model = models.mlp(d, classes, hidden, act, seed).double()
    for weight in model.parameters():
        nn.init.normal_(weight, std=spread)
    return model


def random_plane(seed, d, size):
    torch.manual_seed(seed)
    axes, _ = torch.linalg.qr(torch.randn(d, 2).double())
    return slices.Plane(
        torch.randn(d).double(), axes[:, 0], axes[:, 1], (-size, size, -0.7 * size, 1.3 * size)
    )


@settings(max_examples=50, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    d=st.integers(2, 20),
    hidden=st.integers(1, 40),
    classes=st.integers(2, 12),
    act=st.sampled_from(["relu", "tanh"]),
    spread=st.sampled_from([0.1, 1.0, 3.0]),
    size=st.sampled_from([1e-3, 1.0, 1e3]),
    n=st.integers(2, 70),
)
def test_equals_the_dense_map_on_random_networks(seed, d, hidden, classes, act, spread, size, n):
    model, plane = (
        random_network(seed, d, hidden, classes, act, spread),
        random_plane(seed, d, size),
    )
    dense = slices.label_map(model, plane, n, way="dense")
    exact = slices.label_map(model, plane, n, way="certified")
    assert (exact.way, dense.way) == ("certified", "dense")
    np.testing.assert_array_equal(exact.labels, dense.labels)


@pytest.mark.parametrize("act", ["relu", "tanh"])
@pytest.mark.slow
def test_equals_the_dense_map_on_trained_networks_and_evaluates_little(act):
    for seed in range(5):
        split = data.load("digits", seed)
        x = split.x_train.double()
        model = training.fit(
            models.mlp(64, 10, 64, act, seed).double(), x, split.y_train, epochs=30
        )
        planes = [
            slices.pca_plane(x),
            slices.pca_plane(x, pad=20.0),
            slices.plane_through(x[:3]),
        ]
        for plane in planes:
            for n in (96, 129):
                dense = slices.label_map(model, plane, n, way="dense")
                exact = slices.label_map(model, plane, n)
                np.testing.assert_array_equal(exact.labels, dense.labels)
                assert exact.evaluated < 0.25 * dense.evaluated


def test_plane_inside_a_hinge_of_the_network():
    # Every point of the plane has 0 before the first ReLU.
    model = random_network(0, 3, 5, 4, "relu", 1.0)
    with torch.no_grad():
        model[1].weight[0], model[1].bias[0] = torch.tensor([0.0, 0.0, 1.0]), 0.0
    eye = torch.eye(3).double()
    plane = slices.Plane(torch.zeros(3).double(), eye[0], eye[1], (-3.0, 3.0, -3.0, 3.0))
    dense = slices.label_map(model, plane, 61, way="dense")
    np.testing.assert_array_equal(slices.label_map(model, plane, 61).labels, dense.labels)


def test_an_island_of_one_cell_is_found():
    # Class 1 leads only where four rectified units are all off, within a cell around (1/3, 1/3).
    n, at, r = 200, 1 / 3, 0.004
    model = models.mlp(2, 2, 4, "relu").double()
    with torch.no_grad():
        model[1].weight[:] = torch.tensor([[1.0, 0], [-1, 0], [0, 1], [0, -1]])
        model[1].bias[:] = torch.tensor([-at, at, -at, at])
        model[3].weight[:] = torch.tensor([[1.0, 1, 1, 1], [0, 0, 0, 0]])
        model[3].bias[:] = torch.tensor([0.0, r])
    found = slices.label_map(model, UNIT, n)
    dense = slices.label_map(model, UNIT, n, way="dense")
    assert found.way == "certified"
    assert 1 <= dense.labels.sum() <= 4
    np.testing.assert_array_equal(found.labels, dense.labels)


def test_a_bound_without_its_remainder_would_be_wrong(monkeypatch):
    """Negative control: the remainder is what makes the map exact."""
    monkeypatch.setitem(
        certified._ACTIVATIONS, "tanh", (np.tanh, lambda p, reach: np.zeros_like(p), False)
    )
    wrong = 0
    for seed in range(20):
        model, plane = random_network(seed, 4, 20, 5, "tanh", 3.0), random_plane(seed, 4, 3.0)
        dense = slices.label_map(model, plane, 97, way="dense")
        wrong += (slices.label_map(model, plane, 97).labels != dense.labels).sum()
    assert wrong > 0


@pytest.mark.parametrize("act", ["relu", "tanh"])
def test_a_gap_lies_between_its_bounds_everywhere_on_its_box(act):
    model, plane = random_network(3, 6, 25, 4, act, 1.0), random_plane(3, 6, 2.0)
    network = certified.plane_network(model, plane.origin, plane.u, plane.v)
    rng = np.random.default_rng(0)
    a, b = rng.uniform(-2, 2, (2, 300))
    half_a, half_b = 0.11, 0.07
    gaps = network.gaps(a, b, half_a, half_b)
    alone = gaps.rivals(half_a, half_b).sum(axis=1) == 0
    assert 0.1 < alone.mean() < 0.9
    for share_a, share_b in rng.uniform(-1, 1, (200, 2)):
        da, db = share_a * half_a, share_b * half_b
        points = plane.inputs(torch.from_numpy(np.stack([a + da, b + db], axis=1)))
        z = model(points).detach().numpy()
        gap = np.take_along_axis(z, gaps.top[:, None], axis=1) - z
        linear = gaps.gap + gaps.gap_a * da + gaps.gap_b * db
        assert (linear - gaps.below <= gap).all()
        assert (gap <= linear + gaps.above).all()
        assert (z.argmax(axis=1) == gaps.top)[alone].all()


@pytest.mark.parametrize("act", ["relu", "tanh"])
def test_remainder_bounds_the_linearization(act):
    value, bend, one_sided = certified._ACTIVATIONS[act]
    rng = np.random.default_rng(0)
    p, reach = rng.normal(scale=2, size=4000), rng.exponential(size=4000)
    slope = 1 - np.tanh(p) ** 2 if act == "tanh" else (p > 0).astype(float)
    off = bend(p, reach)
    worst = np.zeros_like(p)
    for s in np.linspace(-1, 1, 201):
        rest = value(p + s * reach) - value(p) - slope * s * reach
        assert (np.abs(rest) <= off + 1e-12).all()
        assert not one_sided or (rest >= -1e-12).all()
        worst = np.maximum(worst, np.abs(rest))
    assert np.median(worst[off > 1e-6] / off[off > 1e-6]) > 0.3  # and is not idle


def test_evaluations_grow_with_the_boundary_not_the_area():
    model, plane = random_network(1, 10, 30, 5, "tanh", 0.7), random_plane(1, 10, 3.0)
    counts = [slices.label_map(model, plane, n).evaluated for n in (64, 128, 256, 512)]
    slope = np.polyfit(np.log([64, 128, 256, 512]), np.log(counts), 1)[0]
    assert slope < 1.4


def test_equal_logits_go_to_the_lowest_label_as_in_the_dense_map():
    model, plane = random_network(5, 4, 12, 3, "relu", 1.0), random_plane(5, 4, 2.0)
    with torch.no_grad():
        model[3].weight[1:] = torch.stack([model[3].weight[0], -model[3].weight[0]])
        model[3].bias[:] = torch.tensor([0.3, 0.3, -0.3])
    exact = slices.label_map(model, plane, 65)
    assert set(np.unique(exact.labels)) == {0, 2}
    np.testing.assert_array_equal(exact.labels, slices.label_map(model, plane, 65, "dense").labels)


def test_other_models_bad_weights_and_other_ways_are_named():
    deep = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 2))
    with pytest.raises(ValueError, match="Linear, ReLU, Linear, ReLU, Linear: allowed is"):
        certified.plane_network(deep, UNIT.origin, UNIT.u, UNIT.v)
    model = models.mlp(2, 2, 4).double()
    model[3].bias.data[0] = torch.nan
    with pytest.raises(ValueError, match="not finite"):
        slices.label_map(model, UNIT, 8)
    with pytest.raises(
        ValueError, match="way is 'quick': allowed are auto, dense, certified, adaptive"
    ):
        slices.label_map(model, UNIT, 8, way="quick")


def test_inputs_and_planes_that_do_not_fit_are_named():
    model = models.mlp(3, 2, 4).double()
    with pytest.raises(ValueError, match="inputs have 2 values: allowed are 3"):
        slices.label_map(model, UNIT, 8)
    with pytest.raises(ValueError, match="n is 1: allowed is 2 or more"):
        slices.label_map(models.mlp(2, 2, 4).double(), UNIT, 1)
    single = nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 1)).double()
    with pytest.raises(ValueError, match="gives 1 logit: allowed are 2 or more"):
        slices.label_map(single, UNIT, 8)
    huge = slices.Plane(UNIT.origin, UNIT.u, UNIT.v, (-1e300, 1e300, -1e300, 1e300))
    model = random_network(0, 2, 4, 3, "relu", 1e10)
    with pytest.raises(ValueError, match="not finite: check the weights and the plane's extent"):
        slices.label_map(model, huge, 8)
