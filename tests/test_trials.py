"""Roundings with less than one would give them, and with more, are those of the functions named."""

import itertools

import pytest
import torch
from test_ways import NETWORK, VALIDATION, WEIGHTS, X_TEST, X, weights_of

from baq import compare, ptq_w, rounding
from baq.inference import logits
from baq.rounding import trials
from baq.rounding.form import low_margin_displacement
from baq.rounding.relaxation import relaxed_layer
from baq.rounding.ways import METRICS, WAYS, by_metric, parts_of_metric

LABELS = VALIDATION[1]


def equal(one, other):
    return torch.equal(weights_of(one), weights_of(other))


def test_rows_are_those_of_compare_with_loss_and_displacement():
    copies = {b: ptq_w(NETWORK, b) for b in (4, 2)}
    rows = trials.on_images(NETWORK, copies, X_TEST, LABELS)
    plain = compare(NETWORK, copies, X_TEST, LABELS, gradients=False)
    assert rows["flip_rate"].tolist() == plain["flip_rate"].tolist()
    z, *z_q = (logits(one, X_TEST) for one in (NETWORK, *copies.values()))
    moved = low_margin_displacement(NETWORK, X_TEST, z, dict(zip(copies, z_q, strict=True)))
    assert dict(zip(rows["candidate"], rows["displacement"], strict=True)) == moved
    assert rows.equals(trials.on_images(NETWORK, copies, X_TEST, LABELS, z=z))
    assert (rows["loss"] == rows["accuracy_reference"] - rows["accuracy"]).all()


def test_the_metrics_or_all_parts_of_one():
    known = rounding.Statistics(NETWORK, X[:20])
    for parts, make in ((False, by_metric), (True, parts_of_metric)):
        made = trials.by_metric_or_part(known, 3, parts=parts, points=10, steps=5).networks
        expected = make(known, 3, points=10, steps=5)
        assert list(made) == list(expected)
        assert all(equal(made[way], expected[way]) for way in expected)


def test_less_tuning_is_fewer_inputs_one_step_or_another_grid():
    grids = trials.other_grids(NETWORK, 3)
    assert equal(grids["nearest, from least to largest weight"], ptq_w(NETWORK, 3, symmetric=False))
    assert equal(grids["nearest, a scale a channel"], ptq_w(NETWORK, 3, per_channel=True))
    known = rounding.Statistics(NETWORK, X)
    made = trials.less_tuned(known, 3, counts=[10, 40], steps=5).networks
    assert equal(made["AdaRound, 10 images"], rounding.adaround(NETWORK, 3, X[:10], steps=5))
    assert equal(made["AdaRound, one step"], rounding.adaround(NETWORK, 3, X[:40], steps=1))
    by_channel = rounding.adaround(NETWORK, 3, X[:40], per_channel=True, steps=5)
    assert equal(made["AdaRound, a scale a channel"], by_channel)
    assert len(made) == 4 and len(grids) == 3


def test_a_longer_search_is_that_way_with_more_steps():
    known, ways = rounding.Statistics(NETWORK, X), (WAYS[1], METRICS[0], METRICS[-1])
    made = trials.some_ways(known, 3, ways=ways, points=20, steps=600)
    rows = trials.with_ends(trials.on_images(NETWORK, made.networks, X_TEST, LABELS), made)
    assert rows["method"].tolist() == list(ways)
    copies = {
        ways[0]: rounding.adaround(NETWORK, 3, X, steps=600),
        ways[1]: rounding.adaround(NETWORK, 3, X, propagate=True, steps=600),
        ways[2]: rounding.output_metric(NETWORK, 3, X, "boundary", points=20, steps=600),
    }
    expected = trials.on_images(NETWORK, copies, X_TEST, LABELS)
    assert rows["displacement"].tolist() == expected["displacement"].tolist()
    assert rows["steps"].between(200, 400).all() and rows["converged"].between(0, 1).all()
    beside = trials.some_ways(
        known, 3, ways=(*ways, trials.RELAXED), points=20, steps=600, beside=200
    )
    assert list(beside.networks) == [*ways, trials.RELAXED, "AdaRound, 200 steps"]
    assert equal(
        beside.networks["AdaRound, 200 steps"], rounding.adaround(NETWORK, 3, X, steps=200)
    )
    left = trials.loss_left(known, beside.networks, ptq_w(NETWORK, 3))
    assert beside.searches[list(left)].equals(left)
    assert beside.searches["steps"].notna().sum() == 3 * len(ways)
    ends = trials.with_ends(rows[["method"]].rename(columns={"method": "candidate"}), beside)
    assert ends[["steps", "converged"]].equals(rows[["steps", "converged"]].astype(float))
    with pytest.raises(ValueError, match="way is 'nearest': allowed are AdaRound, AdaRound, prop"):
        trials.some_ways(known, 3, ways=["nearest"])


def naive_loss(value, weight, x):
    """``E |V a - W a|^2`` over inputs, straight from the formula."""
    errors = x.double() @ (value - weight).double().flatten(1).T
    return float(errors.square().sum(dim=1).mean())


def test_the_relaxation_finds_what_no_rounding_beats_where_all_can_be_tried():
    torch.manual_seed(0)
    weight, x = torch.randn(2, 5), torch.randn(40, 5) @ torch.randn(5, 5)
    gram = (x.T @ x).double() / len(x)
    low, high, near = rounding.descent.neighbours(weight, 2)
    made = relaxed_layer(weight, 2, gram, steps=2000)
    assert bool(((made == low) | (made == high)).all())
    best = 0.0
    for row in range(2):  # outputs do not touch each other
        ways = [
            torch.where(torch.tensor(up, dtype=torch.bool), high[row], low[row])
            for up in itertools.product((0, 1), repeat=5)
        ]
        best += min(naive_loss(way[None], weight[row : row + 1], x) for way in ways)
    found = naive_loss(made, weight, x)
    assert best <= found <= naive_loss(near, weight, x)
    assert found < 1.2 * best


def test_the_loss_left_is_that_of_the_formula():
    known, nearest = rounding.Statistics(NETWORK, X), ptq_w(NETWORK, 3)
    made = trials.some_ways(known, 3, ways=[WAYS[1], trials.RELAXED], steps=300)
    left = trials.loss_left(known, made.networks, nearest).set_index(["method", "layer"])["left"]
    name, layer = next(iter(known.layers.items()))
    x = X.flatten(1)
    for way, network in made.networks.items():
        value, weight = network.get_submodule(name).weight.detach(), layer.weight.detach()
        unit = naive_loss(nearest.get_submodule(name).weight.detach(), weight, x)
        assert left[way, name] == pytest.approx(naive_loss(value, weight, x) / unit, rel=1e-4)
    assert (left <= 1 + 1e-9).all() and len(left) == 2 * len(known.layers)
    assert left.loc[WAYS[1]].mean() < left.loc[trials.RELAXED].mean() * 1.1


def test_the_ways_that_search_tell_how(capsys):
    known = rounding.Statistics(NETWORK, X)
    made = rounding.ways.searched(known, 3, gap_weights=WEIGHTS, points=20, steps=150)
    assert set(made.searches["steps"]) == {100} and not made.searches["converged"].any()
