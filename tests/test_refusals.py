"""What a measure cannot stand for is refused in one line, where it once gave a wrong number."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from baq import compare, local, ptq_w
from baq.band import band_curve, boundary_band
from baq.comparison import compare_logits, per_plane
from baq.inference import logits
from baq.quantization import interpolate
from baq.rounding import Statistics, adaround, boundary_gap, boundary_metric
from baq.rounding.descent import neighbours
from baq.rounding.points import boundary_points, low_margin_points
from baq.selection import accuracy_rule, pick_counts, picked
from baq.slices import Plane, junction_distance, label_map, pca_plane, rearrangement
from baq.slices.curves import mean_displacement
from baq.slices.grids import distance_summary, grid_reaching
from baq.slices.jaccard import jaccard_law
from baq.slices.paths import distances_along
from baq.structure import fold_batch_norm
from baq.zoo import models
from baq.zoo.training import Recipe, fit, fit_images

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
        ({"candidate": ["float", "6", "4"]}, "level is 'float': allowed are bit widths"),
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


# Rounding by a loss


def test_a_start_that_is_no_rounding_on_the_grid_is_refused():
    short = {"steps": 5}
    start = adaround(MODEL, 3, X, **short)
    expected = boundary_gap(MODEL, 3, X, [1.0], **short)[1.0]
    found = boundary_gap(MODEL, 3, X, [1.0], start=start, **short)[1.0]
    assert torch.equal(found[1].weight, expected[1].weight)
    for bad in (ptq_w(MODEL, 8), MODEL, models.mlp(4, 3, 9, "tanh"), nn.Linear(4, 3)):
        refused(
            lambda bad=bad: boundary_gap(MODEL, 3, X, [1.0], start=bad, **short),
            "start is no rounding of layer '1' at 3 bits: allowed is what adaround makes",
        )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_networks_of_half_precision_are_rounded_on_their_grid(dtype):
    model = models.mlp(4, 3, 8, "tanh").to(dtype)
    for found in (
        adaround(model, 3, X, propagate=True, steps=5),
        boundary_gap(model, 3, X, [1.0], steps=5)[1.0],
        boundary_metric(model, 3, X, exact=[0.1], points=9, steps=5),
    ):
        for k in (1, 3):
            low, high, _ = neighbours(model[k].weight, 3)
            assert found[k].weight.dtype == dtype
            assert ((found[k].weight == low) | (found[k].weight == high)).all()


@pytest.mark.parametrize("bad", [True, 2.5, "9"])
def test_numbers_of_a_rounding_are_whole(bad):
    message = f"is {bad!r}: allowed is [01] or more, a whole number"
    refused(lambda: adaround(MODEL, 3, X, steps=bad), message)
    refused(lambda: boundary_gap(MODEL, 3, X, [1.0], points=bad, steps=1), message)
    refused(lambda: boundary_metric(MODEL, 3, X, exact=[1.0], rows=bad, steps=1), message)
    refused(lambda: Statistics(MODEL, X, positions=bad), message)
    refused(lambda: low_margin_points(MODEL, X, bad), f"count is {bad!r}: allowed is 1 to 30")
    refused(lambda: boundary_points(MODEL, X, 3, steps=bad), message)


@pytest.mark.parametrize("bad", [[], [True], [math.nan], ["1"], "1", 1.0, [-1]])
def test_what_are_no_weights_of_a_term_is_named(bad):
    refused(lambda: boundary_gap(MODEL, 3, X, bad), "weights is .*: allowed are one or more")


def test_logits_of_other_inputs_are_not_taken_for_those_of_these():
    for measure in (low_margin_points, boundary_points):
        assert len(measure(MODEL, X, 3, z=Z)) == 3
        refused(lambda m=measure: m(MODEL, X, 3, z=Z[:5]), r"logits have shape \(5, 3\): allowed")
    at = local.pair_gap(MODEL, X)
    refused(lambda: local.displacement_to(at, CANDIDATE, X[:3]), r"logits have shape \(3, 3\)")
    refused(lambda: local.displacement_to(at, models.mlp(4, 2), X), r"logits have shape \(30, 2\)")


def test_whole_numbers_are_inputs_of_a_bisection():
    x = torch.arange(60).reshape(15, 4) % 7
    found = boundary_points(MODEL, x, 5, steps=20)
    assert torch.equal(found, boundary_points(MODEL, x.float(), 5, steps=20))


# Planes


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"origin": [0.0, 0.0]}, "origin is .*: allowed is a tensor of floats"),
        ({"u": torch.tensor([1, 0])}, "u is .*: allowed is a tensor of floats"),
        ({"origin": torch.tensor([0.0, math.nan])}, "origin is not finite"),
        ({"extent": (0, 1, 0)}, r"extent is \(0, 1, 0\): allowed are \(a_min"),
        ({"extent": ("0", 1, 0, 1)}, "extent is .*: allowed are"),
    ],
)
def test_what_is_no_plane_is_named(change, message):
    u, v = torch.eye(2)
    good = {"origin": torch.zeros(2), "u": u, "v": v, "extent": (0.0, 1.0, 0.0, 1.0)}
    Plane(**good)
    refused(lambda: Plane(**(good | change)), message)


def test_coordinates_and_inputs_of_a_plane_come_in_any_array():
    c = PLANE.project(X)
    assert torch.equal(PLANE.project(X.tolist()), c)
    assert torch.equal(PLANE.inputs(c.numpy()), PLANE.inputs(c))
    refused(lambda: PLANE.project(X[:, :3]), r"inputs have shape \(30, 3\): allowed is \(N, 4\)")
    refused(lambda: PLANE.inputs(X), r"coordinates have shape \(30, 4\): allowed is \(N, 2\)")
    refused(lambda: label_map(MODEL, None, 9), "the plane is a NoneType: allowed is a Plane")
    for way in ("certified", "dense"):
        hollow = models.mlp(4, 3).to("meta")
        refused(lambda w=way, h=hollow: label_map(h, PLANE, 9, w), "the model lies on 'meta'")


# Training


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_networks_are_trained_whatever_mode_the_caller_is_in(mode):
    y, images = torch.arange(30) % 3, torch.rand(30, 1, 4, 4)
    for train, x, inputs in (
        (lambda m, x, y: fit(m, x, y, epochs=2), X, 4),
        (lambda m, x, y: fit_images(m, x, y, Recipe(epochs=2, crop=1)), images, 16),
    ):
        expected = train(models.mlp(inputs, 3), x, y)
        model = models.mlp(inputs, 3)
        with mode():
            found = train(model, x.clone(), y.clone())
        assert torch.equal(found[1].weight, expected[1].weight)


def test_inputs_of_another_dtype_are_trained_on_as_they_are_measured():
    y = torch.arange(30) % 3
    x = torch.arange(120).reshape(30, 4) % 5
    expected = fit(models.mlp(4, 3), x.float(), y, epochs=2)
    for kind in (x, x.double(), x.tolist()):
        assert torch.equal(fit(models.mlp(4, 3), kind, y, epochs=2)[1].weight, expected[1].weight)


def test_what_cannot_be_trained_is_named(tmp_path):
    y, images = torch.arange(30) % 3, torch.rand(30, 1, 4, 4)
    refused(lambda: fit(lambda x: x, X, y), "the model is a function: allowed is a module")
    refused(lambda: fit(models.mlp(5, 3), X, y), r"fails on inputs of shape \(30, 4\)")
    refused(lambda: fit_images(models.mlp(4, 3), X, y), r"images have shape \(30, 4\): allowed is")
    refused(lambda: fit_images(models.mlp(16, 3), images, y), "more than 4 pixels a side")
    resume = tmp_path / "run"
    for write in (lambda: resume.write_bytes(b"junk"), lambda: torch.save([1], resume)):
        write()
        refused(
            lambda: fit_images(models.mlp(16, 3), images, y, Recipe(crop=1), resume=resume),
            "run holds no run .*: use fresh=True",
        )


# Words, flags and planes


@pytest.mark.parametrize("bad", ["False", 1, None])
def test_a_flag_is_true_or_false(bad):
    for name in ("per_channel", "symmetric"):
        refused(lambda name=name: ptq_w(MODEL, 4, **{name: bad}), f"{name} is {bad!r}: allowed are")
    assert ptq_w(MODEL, 4, per_channel=np.bool_(True)) is not None


@pytest.mark.parametrize("bad", ["both", ["one"], None, 2])
def test_words_are_checked_whether_they_are_used_or_not(bad):
    for planes in ((), PLANE):
        refused(
            lambda planes=planes: compare(MODEL, CANDIDATE, X, planes=planes, sides=bad), "sides is"
        )
        refused(
            lambda planes=planes: compare(MODEL, CANDIDATE, X, planes=planes, way=bad), "way is"
        )
    refused(lambda: models.mlp(4, 3, 8, bad), "activation is .*: allowed are relu, tanh")


def test_one_plane_and_one_candidate_need_no_list():
    one = per_plane(MODEL, CANDIDATE, PLANE, 9)
    assert one.equals(per_plane(MODEL, {"candidate": CANDIDATE}, [PLANE], 9))
    refused(lambda: per_plane(MODEL, {}, PLANE, 9), "candidates are empty")
    refused(lambda: per_plane(MODEL, CANDIDATE, ["plane"], 9), "planes hold a str")


def test_columns_that_picks_lack_are_named():
    refused(
        lambda: pick_counts(pd.DataFrame({"rule": ["a"]}), ["rule"]), "picks lack bits, satisfied"
    )


def test_logits_may_be_whole_numbers_and_not_complex():
    rows = compare(lambda x: (10 * MODEL(x)).round().long(), CANDIDATE, X, gradients=False)
    assert 0 <= rows["flip_rate"][0] <= 1
    refused(
        lambda: compare(lambda x: MODEL(x) + 0j, CANDIDATE, X, gradients=False),
        "complex64: allowed",
    )
    refused(lambda: logits(lambda x: ("a", "b"), X), "logits are a tuple that is no array")
