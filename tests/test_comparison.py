"""One call gives every measure: exactly 0 for equal models, known values for linear ones."""

import copy
import math

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from baq import compare, local, ptq_w, slices
from baq.adapters import load_classifier
from baq.audit import with_logits
from baq.band import boundary_band
from baq.comparison import compare_logits
from baq.inference import batch_sizes, labels, logits
from baq.slices import curves, junctions
from baq.zoo import models

N, D, K = 60, 6, 4
DIFFERENCES = [
    *("flip_rate", "band_flip_rate", "pair_flip_rate", "band_pair_flip_rate"),
    *("shift", "band_shift", "normal_angle", "jaccard", "grid_change", "mean_displacement"),
]
COLUMNS = {
    *("candidate", "points", "share", "accuracy_reference", "accuracy", "margin", "radius"),
    *("boundary_length", "triple", "triple_reference", "planes", "n", "cell", "sides"),
    "error_bound",
    *DIFFERENCES,
}
GRADIENTS = ["radius", "shift", "band_shift", "normal_angle"]


def points(seed=0):
    return torch.randn(N, D, generator=torch.Generator().manual_seed(seed)).double()


def truth(seed=0):
    return torch.randint(0, K, (N,), generator=torch.Generator().manual_seed(seed))


def network(seed=0, activation="tanh"):
    model = models.mlp(D, K, 8, activation, seed).double()
    for weight in model.parameters():
        weight.data *= 3
    return model


def deep(seed=0):
    torch.manual_seed(seed)
    layers = (nn.Conv1d(1, 3, 3), nn.BatchNorm1d(3), nn.ReLU(), nn.Flatten(), nn.Linear(12, K))
    return nn.Sequential(*layers).double().eval()


def half_planes(offset):
    """Label 0 where x_0 > offset, else 1: gap 3 (x_0 - offset)."""
    model = nn.Linear(D, 2).double()
    model.weight.data = torch.zeros(2, D).double()
    model.weight.data[0, 0] = 3
    model.bias.data = torch.tensor([-3.0 * offset, 0]).double()
    return model


@pytest.mark.parametrize("make", [network, lambda: network(activation="relu"), deep])
def test_equal_models_differ_by_exactly_nothing(make):
    reference, x = make(), points()
    if make is deep:
        x = x[:, None]
    planes = [slices.pca_plane(x), slices.plane_through(x[:3])]
    row = compare(reference, copy.deepcopy(reference), x, truth(), planes=planes, n=30).iloc[0]
    assert set(row.index) == COLUMNS
    assert (row[DIFFERENCES] == 0).all()
    assert row["accuracy"] == row["accuracy_reference"]
    assert row["triple"] == row["triple_reference"]
    assert row["boundary_length"] > 0 and row["radius"] > 0


def test_a_real_difference_is_seen_by_every_measure():
    """Negative control of the test above."""
    reference, x = network(), points()
    planes = slices.pca_plane(x)
    row = compare(reference, ptq_w(reference, 2), x, truth(), planes=planes, n=60).iloc[0]
    assert (row[DIFFERENCES] > 0).all()
    assert row["accuracy"] != row["accuracy_reference"]


def test_half_planes_have_the_known_values():
    x = points()
    eye = torch.eye(D).double()
    plane = slices.Plane(torch.zeros(D).double(), eye[0], eye[1], (-10.0, 10.0, -10.0, 10.0))
    shifts = {0: 0.0, "one cell": 1.0, "two cells": 2.0, "back": -1.0}
    rows = compare(
        half_planes(1.0),
        {key: half_planes(1.0 + shift) for key, shift in shifts.items()},
        x,
        (x[:, 0] <= 1.0).long(),
        planes=plane,
        n=20,
    ).set_index("candidate")
    assert list(rows.index) == list(shifts)
    for key, shift in shifts.items():
        row, s = rows.loc[key], min(abs(shift), 2.0)
        crossed = (x[:, 0] > 1.0) != (x[:, 0] > 1.0 + shift)
        assert (
            row["flip_rate"]
            == row["pair_flip_rate"]
            == pytest.approx(float(crossed.double().mean()))
        )
        assert row["accuracy_reference"] == 1
        assert row["accuracy"] == pytest.approx(1 - row["flip_rate"])
        assert row["margin"] == pytest.approx(np.median((3 * (x[:, 0] - 1)).abs()))
        assert row["radius"] == pytest.approx(row["margin"] / 3)
        assert row["shift"] == pytest.approx(abs(shift)) == pytest.approx(row["band_shift"])
        assert row["normal_angle"] == 0
        assert row["jaccard"] == pytest.approx(2 * s / (2 + s))
        assert row["grid_change"] == pytest.approx(abs(shift) / 20)
        # The length runs to the outermost centres, the changed area to the edge.
        assert row["boundary_length"] == pytest.approx(19)
        assert row["mean_displacement"] == pytest.approx(abs(shift) * 20 / 19)
        assert row["triple"] == row["triple_reference"] == 0
        assert row[["planes", "n", "cell", "sides", "points", "share"]].tolist() == [
            *(1, 20, 1.0, "two", N, 0.2)
        ]


def test_a_row_holds_what_the_single_functions_give():
    reference, x, y = network(1), points(1), truth(1)
    candidate = ptq_w(reference, 3)
    plane = slices.plane_through(x[:3])
    row = compare(reference, candidate, x, y, planes=plane, share=0.3, n=40, sides="one").iloc[0]
    z, z_q = logits(reference, x), logits(candidate, x)
    band = boundary_band(local.margins(z), 0.3)
    gap = local.pair_gap(reference, x)
    gap_q = local.pair_gap(candidate, x, (gap.first, gap.second))
    shift = local.displacement(gap, gap_q).abs()
    a, b = (slices.label_map(m, plane, 40) for m in (reference, candidate))
    length = curves.boundary_length(curves.crossings(reference, a))
    expected = {
        "accuracy": (labels(z_q) == y).double().mean(),
        "accuracy_reference": (labels(z) == y).double().mean(),
        "flip_rate": local.flips(z, z_q).double().mean(),
        "band_flip_rate": local.flips(z, z_q)[band].double().mean(),
        "pair_flip_rate": local.pair_flips(z, z_q).double().mean(),
        "band_pair_flip_rate": local.pair_flips(z, z_q)[band].double().mean(),
        "margin": np.median(local.margins(z)),
        "radius": np.median(local.radii(reference, x)[0]),
        "shift": np.median(shift),
        "band_shift": np.median(shift[band]),
        "normal_angle": np.median(local.normal_angle(gap, gap_q)),
        "jaccard": slices.jaccard_distance(
            *(slices.boundary_mask(m.labels, "one") for m in (a, b))
        ),
        "grid_change": slices.grid_change(a.labels, b.labels),
        "boundary_length": length,
        "mean_displacement": curves.mean_displacement(a, b, length),
        "triple": junctions.junction_cells(b.labels).sum(),
        "triple_reference": junctions.junction_cells(a.labels).sum(),
        "cell": sum(a.cell) / 2,
        "error_bound": 0.0,
    }
    for name, value in expected.items():
        assert row[name] == pytest.approx(float(value), rel=1e-12), name
    assert set(expected) | {"candidate", "points", "share", "planes", "n", "sides"} == COLUMNS


@pytest.mark.parametrize(("margins", "expected"), [((1, 3), 2), ((1, 3, 7), 3), ((1, 2, 4, 9), 3)])
def test_the_median_of_an_even_number_lies_between_the_middle_two(margins, expected):
    model = nn.Linear(1, 2, bias=False)
    model.weight.data = torch.tensor([[1.0], [0.0]])
    moved = nn.Sequential(copy.deepcopy(model))
    moved[0].bias = nn.Parameter(torch.tensor([1.0, 0.0]))
    row = compare(model, moved, torch.tensor(margins).float()[:, None], share=1).iloc[0]
    assert row[["margin", "radius", "shift", "band_shift"]].tolist() == [expected, expected, 1, 1]


def test_several_candidates_and_planes_are_those_one_by_one():
    reference, x = network(2), points(2)
    levels = {bits: ptq_w(reference, bits) for bits in (6, 3)}
    planes = [slices.pca_plane(x), slices.plane_through(x[:3])]
    together = compare(reference, levels, x, planes=planes, n=25)
    assert together["candidate"].tolist() == [6, 3] and (together["planes"] == 2).all()
    numbers = together.columns.drop(["candidate", "planes", "sides"])
    for k, level in enumerate(levels.values()):
        alone = [compare(reference, level, x, planes=p, n=25)[numbers].iloc[0] for p in planes]
        np.testing.assert_allclose(
            together[numbers].iloc[k].astype(float),
            np.mean([one.astype(float) for one in alone], axis=0),
            rtol=1e-12,
        )


@settings(max_examples=10)
@given(st.permutations(range(K)), st.integers(0, 1000))
def test_the_names_of_the_classes_do_not_matter(order, seed):
    reference, x, y = network(seed), points(seed), truth(seed)
    candidate = ptq_w(reference, 3)
    planes = slices.pca_plane(x)
    place = torch.tensor(order).argsort()

    def renamed(model):
        other = copy.deepcopy(model)
        other[3].weight.data = model[3].weight.data[list(order)]
        other[3].bias.data = model[3].bias.data[list(order)]
        return other

    before = compare(reference, candidate, x, y, planes=planes, n=20)
    after = compare(renamed(reference), renamed(candidate), x, place[y], planes=planes, n=20)
    numbers = before.columns.drop(["candidate", "sides"])
    np.testing.assert_allclose(
        after[numbers].astype(float), before[numbers].astype(float), rtol=1e-7, atol=1e-9
    )


@pytest.mark.parametrize("batch_size", [1, 7, N, 10_000])
def test_the_batch_size_does_not_matter(batch_size):
    reference, x = deep(), points()[:, None]
    numbers = [*DIFFERENCES, "margin", "radius", "boundary_length", "triple"]
    planes = slices.pca_plane(x)
    found, whole = (
        compare(reference, ptq_w(reference, 3), x, planes=planes, n=12, batch_size=size)[numbers]
        for size in (batch_size, 4096)
    )
    np.testing.assert_allclose(found.astype(float), whole.astype(float), rtol=1e-9)


def test_functions_are_measured_but_for_their_gradients():
    reference, x, y = network(3), points(3), truth(3)
    candidate = ptq_w(reference, 3)
    planes = slices.pca_plane(x)

    def as_numpy(model):
        return lambda x: model(x).detach().numpy()

    modules = compare(reference, candidate, x, y, planes=planes, n=20).iloc[0]
    functions = compare(as_numpy(reference), as_numpy(candidate), x, y, planes=planes, n=20).iloc[0]
    mixed = compare(reference, as_numpy(candidate), x, y, planes=planes, n=20).iloc[0]
    assert set(functions.index) == set(mixed.index) == COLUMNS | {"reason"}
    assert functions["reason"].startswith("radius, shift, normal_angle: the reference has none, ")
    assert mixed["reason"].startswith("normal_angle: ")
    assert functions[GRADIENTS].isna().all()
    assert mixed[GRADIENTS].isna().tolist() == [False, False, False, True]
    rest = modules.drop([*GRADIENTS, "sides", "candidate"]).astype(float)
    for row in (functions, mixed):
        np.testing.assert_allclose(row[rest.index].astype(float), rest, rtol=1e-9)


def test_a_classifier_of_scikit_learn_is_measured():
    from sklearn.linear_model import LogisticRegression

    x, y = points(4), truth(4)
    fine, coarse = (LogisticRegression(C=c).fit(x.numpy(), y.numpy()) for c in (10.0, 0.01))
    row = compare(
        lambda x: fine.decision_function(x.numpy()),
        lambda x: coarse.decision_function(x.numpy()),
        x,
        y,
        planes=slices.pca_plane(x),
        n=20,
    ).iloc[0]
    flips = float((fine.predict(x.numpy()) != coarse.predict(x.numpy())).mean())
    assert row["flip_rate"] == pytest.approx(flips) and flips > 0
    assert row["accuracy"] == pytest.approx(coarse.score(x.numpy(), y.numpy()))
    assert row["jaccard"] > 0


def test_without_labels_or_planes_the_rest_is_measured():
    row = compare(network(), ptq_w(network(), 3), points()).iloc[0]
    assert math.isnan(row["accuracy"]) and math.isnan(row["accuracy_reference"])
    assert "jaccard" not in row and row["flip_rate"] >= 0


def test_dtype_and_device_measure_a_copy():
    reference, x = models.mlp(D, K, 8), points().float()
    candidate = ptq_w(reference, 3).train()
    single = compare(reference, candidate, x).iloc[0]
    double = compare(reference, candidate, x, dtype=torch.float64, device="cpu").iloc[0]
    assert reference[1].weight.dtype == candidate[1].weight.dtype == torch.float32
    assert candidate.training
    assert double["shift"] == pytest.approx(single["shift"], rel=1e-4)
    assert double["shift"] != single["shift"]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
def test_cuda_measures_what_the_cpu_does():
    reference, x = deep(), points()[:, None]
    candidate, planes = ptq_w(reference, 3), slices.pca_plane(x)
    rows = [
        compare(reference, candidate, x, truth(), planes=planes, n=30, device=device)
        for device in ("cpu", "cuda")
    ]
    numbers = rows[0].columns.drop(["candidate", "sides"])
    cpu, cuda = (row[numbers].astype(float) for row in rows)
    np.testing.assert_allclose(cuda, cpu, rtol=1e-6)


def test_weights_and_the_random_state_stay():
    reference = deep()
    before = copy.deepcopy(reference.state_dict())
    torch.manual_seed(3)
    state = torch.get_rng_state()
    x = points()[:, None]
    compare(reference, ptq_w(reference, 3), x, planes=slices.pca_plane(x), n=10)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(v, before[k]) for k, v in reference.state_dict().items())
    assert all(weight.grad is None for weight in reference.parameters())


def test_a_model_in_training_mode_is_measured_in_evaluation_mode():
    reference, x = deep(), points()[:, None]
    training = copy.deepcopy(reference).train()
    assert (compare(reference, training, x)[["flip_rate", "shift"]] == 0).all(axis=None)
    assert training.training


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": points()[:0], "y": None}, r"inputs have shape \(0, 6\): allowed is \(N, ...\)"),
        ({"x": points() * torch.nan}, "inputs hold 360 values that are not finite: allowed"),
        ({"y": truth()[:5]}, r"labels have shape \(5,\): allowed is \(60,\)"),
        ({"y": truth()[:, None]}, r"labels have shape \(60, 1\): allowed is \(60,\)"),
        ({"candidates": {}}, "candidates are empty: allowed is one classifier or more"),
        ({"candidates": models.mlp(D, 5).double()}, r"shapes \(60, 4\) and \(60, 5\): allowed are"),
        ({"candidates": lambda x: x[:, 0]}, r"logits have shape \(60,\): allowed is \(60, K\)"),
        ({"candidates": lambda x: x * torch.nan}, "logits hold 360 values that are not finite"),
        ({"share": 0}, "share is 0: allowed is above 0 and up to 1"),
        ({"share": 1.5}, "share is 1.5: allowed is above 0 and up to 1"),
        ({"n": 1}, "n is 1: allowed is 2 or more"),
        ({"gradients": "no"}, "gradients is 'no': allowed are True and False"),
        ({"sides": "both"}, "sides is 'both': allowed are one, two"),
        ({"batch_size": 0}, "batch_size is 0: allowed is 1 or more"),
    ],
)
def test_bad_input_is_named(change, message):
    model = network()
    usual = {"candidates": ptq_w(model, 4), "x": points(), "y": truth(), "n": 5}
    with pytest.raises(ValueError, match=message):
        compare(model, planes=slices.pca_plane(points()), **(usual | change))


def test_a_bad_share_is_named_before_any_pass():
    def never(x):
        raise AssertionError("a pass")

    with pytest.raises(ValueError, match="share is 2: allowed is above 0 and up to 1"):
        compare(never, never, points(), share=2)


def test_the_way_of_the_maps_is_passed_on_and_its_bound_reported():
    reference, x = network(1), points(1)
    candidate, plane = ptq_w(reference, 4), slices.pca_plane(x)
    rows = {
        way: compare(reference, candidate, x, planes=plane, n=100, way=way).iloc[0]
        for way in ("dense", "certified", "adaptive")
    }
    assert rows["dense"]["error_bound"] == rows["certified"]["error_bound"] == 0
    assert 0 < rows["adaptive"]["error_bound"] < 0.01
    for way in ("certified", "adaptive"):
        assert rows[way]["jaccard"] == rows["dense"]["jaccard"]


def test_known_logits_give_the_rows_of_the_comparison():
    reference, x = network(1), points(1)
    candidates = {b: ptq_w(reference, b) for b in (6, 3)}
    y = torch.arange(len(x)) % 2
    expected = compare(reference, candidates, x, y, share=0.3, gradients=False)
    z_q = {b: candidate(x).detach() for b, candidate in candidates.items()}
    found = compare_logits(reference(x).detach(), z_q, y, share=0.3)
    pd.testing.assert_frame_equal(found, expected)
    assert 0 < found["flip_rate"].max() < 1
    with pytest.raises(ValueError, match=r"logits have shape \(59, 4\): allowed is \(60, K\)"):
        compare_logits(reference(x).detach(), {6: z_q[6][:-1]}, y)


@pytest.mark.parametrize("batch_size", [1, 3, 300])
def test_what_outputs_are_is_known_before_the_first_batch(batch_size):
    x = torch.randn(300, D, generator=torch.Generator().manual_seed(0))
    model = models.mlp(D, K, 8)
    soft = compare(model, lambda x: model(x).softmax(1), x, gradients=False, batch_size=batch_size)
    assert soft["note"][0] == "candidate: probabilities: their logarithm is taken"
    one = nn.Linear(D, 1)
    inside = (one(x)[:, 0] - 0.5).abs() < 0.5  # the first outputs look like probabilities
    given = torch.cat([x[inside], x[~inside]])
    rows = compare(
        one, lambda x: 0.9 * one(x), given, gradients=False, batch_size=min(batch_size, 3)
    )
    assert rows["flip_rate"][0] == 0 and "one logit" in rows["note"][0]


def test_later_outputs_of_another_kind_are_refused():
    def once(x):
        return x[:, :1]

    x = torch.cat([torch.rand(256, 2), torch.rand(50, 2) + 1])
    for size in (1, 100, 400):
        with pytest.raises(ValueError, match="taken for one probability and hold"):
            compare(once, once, x, batch_size=size, gradients=False)
    assert compare(once, once, x, outputs="one logit", gradients=False)["flip_rate"][0] == 0


def test_coarse_probabilities_are_taken_as_the_reference_s_are():
    model = models.mlp(D, 400, 8)
    x = torch.randn(300, D, generator=torch.Generator().manual_seed(0))

    def soft(x):
        return model(x).softmax(1)

    def coarse(x):
        return (soft(x) * 255).round() / 255

    found, stated = (
        compare(soft, coarse, x, outputs=outputs, gradients=False)
        for outputs in ("auto", "probabilities")
    )
    pd.testing.assert_frame_equal(found, stated)


def test_a_last_softmax_costs_no_pass():
    seen = []

    class Counted(nn.Linear):
        def forward(self, x):
            seen.append(len(x))
            return super().forward(x)

    soft = nn.Sequential(Counted(D, K), nn.Softmax(1))
    x = torch.randn(50, D)
    compare(soft, nn.Linear(D, K), x, batch_size=5, gradients=False)
    assert seen == [5] * 10


def test_attributes_of_a_user_s_module_are_its_own():
    class Own(nn.Linear):
        def __init__(self):
            super().__init__(D, K)
            self.classes, self.kind, self.note = ["cat", "dog"], 2, None
            self.batch = nn.BatchNorm1d(K)

        def forward(self, x):
            return self.batch(super().forward(x))

    model = Own().eval()
    rows = compare(model, copy.deepcopy(model), points().float(), truth())
    assert rows["flip_rate"][0] == 0 and "note" not in rows
    assert with_logits(model, {"same": model}, points().float())[2] == []


def test_what_an_adapter_knows_holds_for_inputs_by_name():
    from sklearn.svm import SVC

    x, y = points().numpy(), np.array(["no", "yes"])[truth() % 2]
    found = load_classifier(SVC().fit(x, y))
    rows = compare(found, found, {"x": x}, y, gradients=False)
    assert rows["flip_rate"][0] == 0 and "classes in the order no, yes" in rows["note"][0]


def test_batches_of_several_inputs_are_as_large_as_those_of_one():
    seen = []

    def sees(a, b):
        seen.append(len(a))
        return torch.cat([a, b], 1).flatten(1)[:, :K]

    a = torch.rand(200, 3, 32, 32)
    compare(sees, sees, {"a": a, "b": a}, gradients=False)
    assert max(seen) == batch_sizes(lambda x: x, torch.cat([a[:1], a[:1]], 1))[0] == 21
