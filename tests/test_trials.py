"""Roundings with less than one would give them, and with more, are those of the functions named."""

import pytest
import torch
from test_ways import NETWORK, VALIDATION, WEIGHTS, X_TEST, X, weights_of

from baq import compare, ptq_w, rounding
from baq.rounding import trials
from baq.rounding.form import low_margin_displacement
from baq.rounding.ways import METRICS, WAYS, by_metric, parts_of_metric

LABELS = VALIDATION[1]


def equal(one, other):
    return torch.equal(weights_of(one), weights_of(other))


def test_rows_are_those_of_compare_with_loss_and_displacement():
    copies = {b: ptq_w(NETWORK, b) for b in (4, 2)}
    rows = trials.on_images(NETWORK, copies, X_TEST, LABELS)
    plain = compare(NETWORK, copies, X_TEST, LABELS, gradients=False)
    assert rows["flip_rate"].tolist() == plain["flip_rate"].tolist()
    moved = low_margin_displacement(NETWORK, copies, X_TEST)
    assert dict(zip(rows["candidate"], rows["displacement"], strict=True)) == moved
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
    with pytest.raises(ValueError, match="way is 'nearest': allowed are AdaRound, AdaRound, prop"):
        trials.some_ways(known, 3, ways=["nearest"])


def test_the_ways_that_search_tell_how(capsys):
    known = rounding.Statistics(NETWORK, X)
    made = rounding.ways.searched(known, 3, gap_weights=WEIGHTS, points=20, steps=150)
    assert set(made.searches["steps"]) == {100} and not made.searches["converged"].any()
