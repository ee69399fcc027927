"""What a measure cannot stand for is refused in one line, where it once gave a wrong number."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from baq import compare, local, ptq_w
from baq.band import band_curve, boundary_band
from baq.comparison import compare_logits
from baq.inference import logits
from baq.quantization import interpolate
from baq.selection import accuracy_rule, picked
from baq.slices import junction_distance, label_map, pca_plane, rearrangement
from baq.slices.curves import mean_displacement
from baq.slices.grids import distance_summary, grid_reaching
from baq.slices.masks import jaccard_law
from baq.slices.paths import distances_along
from baq.structure import fold_batch_norm
from baq.zoo import models

X = torch.rand(30, 4, generator=torch.Generator().manual_seed(0))
MODEL = models.mlp(4, 3, 8, "tanh")
CANDIDATE = ptq_w(MODEL, 3)
Z, Z_Q = logits(MODEL, X), logits(CANDIDATE, X)
PLANE = pca_plane(X)
LEVELS = pd.DataFrame(
    {"candidate": [8, 6, 4], "accuracy": [0.95, 0.94, 0.8], "accuracy_reference": 0.95}
)


def refused(call, message):
    with pytest.raises(ValueError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)


# Logits and margins


@pytest.mark.parametrize("kind", [lambda z: z.numpy(), lambda z: z.tolist()])
def test_logits_come_in_any_array(kind):
    assert torch.equal(local.margins(kind(Z)), local.margins(Z))
    for measure in (local.flips, local.pair_flips):
        assert measure(Z, Z_Q).any()
        assert torch.equal(measure(kind(Z), kind(Z_Q)), measure(Z, Z_Q))
    assert compare_logits(kind(Z), {4: kind(Z_Q)}).equals(compare_logits(Z, {4: Z_Q}))
    margin, flip = local.margins(Z), local.flips(Z, Z_Q)
    assert torch.equal(boundary_band(kind(margin)), boundary_band(margin))
    assert band_curve(kind(margin), kind(flip), [0.3]) == band_curve(margin, flip, [0.3])


def test_whole_numbers_are_logits():
    assert local.margins([[1, 2, 5], [3, 1, 2]]).tolist() == [3, 1]


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (torch.rand(5), r"logits have shape \(5,\)"),
        (torch.rand(5, 1), r"logits have shape \(5, 1\)"),
        (torch.tensor([[math.nan, 1.0]]), "logits hold 1 values that are not finite"),
        (torch.rand(5, 2) + 1j, "logits are torch.complex64: allowed are real numbers"),
        ("text", "logits are a str that is no array"),
    ],
)
def test_what_are_no_logits_is_named(bad, message):
    refused(lambda: local.margins(bad), message)
    for measure in (local.flips, local.pair_flips):
        refused(lambda measure=measure: measure(bad, bad), message)


@pytest.mark.parametrize("bad", [[], [[0.1, 0.2]], [0.1, math.nan]])
def test_what_are_no_margins_is_named(bad):
    refused(lambda: boundary_band(bad), "margins have shape .* or are NaN: allowed is")


# Classifiers, inputs and planes


@pytest.mark.parametrize("bad", [None, "model", [CANDIDATE, CANDIDATE]])
def test_what_is_no_classifier_is_named(bad):
    message = f"is a {type(bad).__name__}: allowed is a "
    refused(lambda: logits(bad, X), message)
    refused(lambda: compare(bad, CANDIDATE, X), message)
    refused(lambda: compare(MODEL, bad, X), message)
    refused(lambda: compare_logits(Z, bad), "candidates are a .*: allowed is a map")
    for change in (lambda: ptq_w(bad, 4), lambda: fold_batch_norm(bad)):
        refused(change, message)


def test_kinds_of_inputs_without_a_meaning_are_named():
    refused(lambda: logits(MODEL, X + 1j), "inputs are torch.complex64: allowed are real")
    refused(lambda: logits(MODEL, X.to_sparse()), "inputs are torch.sparse_coo: allowed are")
    refused(lambda: logits(MODEL, X.to(torch.float8_e5m2)), "inputs are torch.float8_e5m2: allowed")


def test_planes_come_in_any_order_of_slices():
    expected = compare(MODEL, CANDIDATE, X, planes=[PLANE], n=9)
    for planes in (PLANE, (PLANE,), iter([PLANE])):
        assert compare(MODEL, CANDIDATE, X, planes=planes, n=9).equals(expected)
    assert "jaccard" not in compare(MODEL, CANDIDATE, X, planes=None)
    refused(lambda: compare(MODEL, CANDIDATE, X, planes=3), "planes is 3: allowed are slices")
    refused(lambda: compare(MODEL, CANDIDATE, X, planes=[3]), "planes hold a int: allowed are")


# Paths between levels, and maps


def test_a_path_whose_ends_differ_in_more_than_weights_is_refused():
    other = ptq_w(MODEL, 3)
    other[1].bias.data[0] += 1
    refused(lambda: interpolate(MODEL, other, 0.5), "the two models differ in 1.bias")
    tied = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 3))
    tied[2].weight = tied[0].weight
    found = interpolate(tied, ptq_w(tied, 2), 1)
    assert torch.equal(found[2].weight, ptq_w(tied, 2)[2].weight)


def test_maps_of_different_planes_are_not_compared():
    a, b = label_map(MODEL, PLANE, 9), label_map(MODEL, pca_plane(X, pad=1), 9)
    for measure in (
        lambda: rearrangement(a, b),
        lambda: distances_along([a, b], [0, 1]),
        lambda: mean_displacement(a, b, 1.0),
    ):
        refused(measure, "planes have extents .*: allowed are equal ones")
    refused(lambda: rearrangement(a, label_map(MODEL, PLANE, 8)), "maps have shapes")
    refused(lambda: junction_distance(a.labels), "the map is a ndarray: allowed is a LabelMap")


@pytest.mark.parametrize("edges", [[], [0], [0, math.nan], [1, 0], [0, 0]])
def test_edges_that_do_not_rise_are_named(edges):
    grid = label_map(MODEL, PLANE, 9)
    refused(lambda: distances_along([grid, grid], edges), "edges are .*: allowed are two finite")


@pytest.mark.parametrize("length", [math.nan, -1, "1", True])
def test_what_is_no_length_is_named(length):
    grid = label_map(MODEL, PLANE, 9)
    refused(lambda: mean_displacement(grid, grid, length), f"length is {length!r}: allowed is 0")


def test_infinite_distances_have_infinite_percentiles():
    assert distance_summary([math.inf] * 3) == dict.fromkeys(
        ("mean", "median", "q95", "largest"), math.inf
    )
    assert distance_summary([1.0] * 99 + [math.inf])["q95"] == 1
    values = np.random.default_rng(0).random(50)
    assert distance_summary(values)["q95"] == np.quantile(values, 0.95)


@pytest.mark.parametrize(
    ("n", "jaccard", "value"),
    [([0, 9], [0, 1], 0.5), ([3, 9], [0, math.nan], 0.5), ([3, 9], [0, 1], math.nan)],
)
def test_grids_that_J_cannot_be_read_on_are_named(n, jaccard, value):
    refused(lambda: grid_reaching(n, jaccard, value), "are not finite, or a grid has no cells")


@pytest.mark.parametrize(
    ("displacement", "cell"), [([], 1), (math.nan, 1), (1, 0), (1, -1), (1, True), (1, math.nan)]
)
def test_what_the_law_of_J_cannot_take_is_named(displacement, cell):
    refused(lambda: jaccard_law(displacement, cell), "allowed (is above 0|are distances)")


# Rules


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"candidate": [8.5, 6.5, 4.5]}, r"levels are \[8.5, 6.5, 4.5\]: allowed are whole"),
        ({"candidate": ["float", "6", "4"]}, "candidate of the levels is .*: allowed are finite"),
        ({"accuracy": [math.inf, 0.9, 0.8]}, "accuracy of the levels is .*: allowed are finite"),
        ({"accuracy": ["a", "b", "c"]}, "accuracy of the levels is .*: allowed are finite"),
    ],
)
def test_levels_that_are_no_numbers_are_named(change, message):
    refused(lambda: accuracy_rule(LEVELS.assign(**change), 0.02), message)


@pytest.mark.parametrize("eps", ["0.1", True, None, math.nan, -1])
def test_what_is_no_threshold_is_named(eps):
    refused(lambda: accuracy_rule(LEVELS, eps), f"eps is {eps!r}: allowed is 0 or more")


def test_numbers_in_a_column_of_objects_are_levels():
    assert accuracy_rule(LEVELS.astype(object), 0.02).bits == 6


def test_a_pick_has_the_row_of_its_own_network():
    def rule(levels):
        return accuracy_rule(levels, 0.02)

    test = LEVELS.assign(bits=LEVELS["candidate"], net=1.0)
    named, unnamed = LEVELS.assign(net=1.0), LEVELS.assign(net=math.nan)
    assert picked(named, test, rule, "net").equals(picked(named, test, rule, ["net"]))
    found = picked(unnamed, test.assign(net=math.nan), rule, ["net"])
    assert found["bits"].tolist() == [6]
    both = pd.concat([named, LEVELS.assign(net=2.0)])
    refused(lambda: picked(both, pd.concat([test, test]), rule, ["net"]), "2 networks have 2 rows")
    refused(lambda: picked(named, test, rule, ["no"]), r"columns \['no'\] are absent")
