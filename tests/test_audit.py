"""Audits: against cases solved by hand, plain loops, exact sums of binomials, and laws."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from baq import ptq_w
from baq.audit import (
    against_floor,
    blamed,
    by_class,
    by_margin,
    compared_on,
    exact_interval,
    flip_rates,
    flipped_first,
    flipped_inputs,
    forecast_blame,
    gate,
    layer_blame,
    named,
    paired_p_value,
    planes_through,
    radii_at,
    users_folder,
    with_logits,
)
from baq.audit.given import depends_on_batch
from baq.inference import labels, logits
from baq.planning import sensitivity
from baq.slices import Plane, jaccard_law
from baq.zoo.models import cnn

# Labels 0, 1, 0, 2, 1 with margins 1, 2, 0.5, 3, 0.25; the candidate changes the inputs 0, 2 and 3.
Z = torch.tensor(
    [[2.0, 1.0, 0.0], [0.0, 2.0, 0.0], [1.5, 1.0, 0.0], [0.0, 0.0, 3.0], [0.75, 1.0, 0.0]]
)
Q = torch.tensor(
    [[1.0, 3.0, 0.0], [0.0, 1.0, 0.0], [1.0, 1.5, 0.0], [4.0, 0.0, 3.0], [0.5, 1.0, 0.0]]
)


def network(seed=0, features=5, classes=3):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(features, 8), nn.Tanh(), nn.Linear(8, classes)).double()


def inputs(count=200, features=5, seed=1):
    return torch.randn(count, features, generator=torch.Generator().manual_seed(seed)).double()


def upper_tail(hits, points, rate):
    return sum(
        math.comb(points, k) * rate**k * (1 - rate) ** (points - k) for k in range(hits, points + 1)
    )


@given(st.integers(1, 40), st.data(), st.sampled_from([0.5, 0.9, 0.99]))
def test_the_ends_of_an_interval_have_the_tails_that_they_are_named_by(points, data, level):
    hits = data.draw(st.integers(0, points))
    low, high = exact_interval(hits, points, level)
    assert 0 <= low <= hits / points <= high <= 1
    tail = (1 - level) / 2
    if hits:
        assert upper_tail(hits, points, low) == pytest.approx(tail, abs=1e-9)
    if hits < points:
        assert 1 - upper_tail(hits + 1, points, high) == pytest.approx(tail, abs=1e-9)


@pytest.mark.parametrize("rate", [0.02, 0.3])
def test_an_interval_covers_at_least_as_often_as_it_says(rate):
    """By the exact sum over all outcomes, no simulation."""
    points, covered = 30, 0.0
    for hits in range(points + 1):
        low, high = exact_interval(hits, points, 0.9)
        chance = math.comb(points, hits) * rate**hits * (1 - rate) ** (points - hits)
        covered += chance * (low <= rate <= high)
    assert covered >= 0.9


def test_without_a_flip_the_upper_end_is_in_closed_form():
    assert exact_interval(0, 100, 0.9) == (0.0, pytest.approx(1 - 0.05**0.01))
    assert exact_interval(100, 100, 0.9) == (pytest.approx(0.05**0.01), 1.0)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((0, 0), "points is 0"),
        ((3, 2), "hits is 3"),
        ((1, 2, 1.0), "level is 1.0"),
    ],
)
def test_an_interval_of_nothing_is_refused(arguments, told):
    with pytest.raises(ValueError, match=told):
        exact_interval(*arguments)


@given(st.integers(0, 12), st.integers(0, 12))
def test_the_paired_test_sums_the_coin_tosses_that_are_no_likelier(first, second):
    tosses = first + second
    chances = [math.comb(tosses, k) / 2**tosses for k in range(tosses + 1)]
    expected = sum(c for c in chances if c <= chances[first] * (1 + 1e-9))
    assert paired_p_value(first, second) == pytest.approx(expected)


def test_rates_count_flips_and_those_in_the_band():
    (row,) = flip_rates(Z, {"a": Q}, share=0.4).itertuples()  # the band holds the inputs 4 and 2
    assert (row.labels_changed, row.points, row.in_band, row.flip_rate) == (3, 5, 1, 0.6)
    assert (row.flip_rate_lo, row.flip_rate_hi) == exact_interval(3, 5)
    same = flip_rates(Z, {"a": Z}).loc[0]
    assert (same["labels_changed"], same["flip_rate_lo"]) == (0, 0)


def test_flipped_inputs_are_listed_by_margin():
    radius = torch.tensor([0.1, 0.2, 0.3, 0.4, 0.5])
    rows = flipped_inputs(
        Z, Q, y=torch.tensor([0, 1, 1, 2, 1]), names=list("abcde"), radius=radius, share=0.4
    )
    assert rows["input"].tolist() == [3, 0, 2] and rows["name"].tolist() == ["d", "a", "c"]
    assert rows["from"].tolist() == [2, 0, 0] and rows["to"].tolist() == [0, 1, 1]
    assert rows["truth"].tolist() == [2, 0, 1]
    assert rows["margin"].tolist() == [3.0, 1.0, 0.5]
    assert rows["margin_candidate"].tolist() == [1.0, 2.0, 0.5]
    np.testing.assert_allclose(rows["radius"], [0.4, 0.1, 0.3], rtol=1e-6)
    assert rows["in_band"].tolist() == [False, False, True]
    bare = flipped_inputs(Z, Q)
    assert bare["radius"].isna().all() and not {"name", "truth"} & set(bare)
    assert len(flipped_inputs(Z, Z)) == 0
    with pytest.raises(ValueError, match="names holds 2 values: allowed are 5"):
        flipped_inputs(Z, Q, names=["a", "b"])


def test_groups_by_margin_have_equal_sizes_and_all_flips():
    rows = by_margin(Z, Q, groups=2)
    assert rows["points"].tolist() == [3, 2] and rows["labels_changed"].tolist() == [2, 1]
    assert rows["margin_from"].tolist() == [0.25, 2.0]
    assert rows["margin_to"].tolist() == [1.0, 3.0]
    assert len(by_margin(Z, Q, groups=10)) == 5


@given(st.integers(1, 12), st.integers(0, 1000))
def test_groups_sum_up_to_the_whole(groups, seed):
    generator = torch.Generator().manual_seed(seed)
    z, z_q = (torch.randn(30, 4, generator=generator) for _ in range(2))
    rows, changes = by_margin(z, z_q, groups), by_class(z, z_q)
    whole = flip_rates(z, {0: z_q}).loc[0, "labels_changed"]
    assert rows["labels_changed"].sum() == whole == changes["labels_changed"].sum()
    assert rows["points"].sum() == 30 and rows["points"].max() - rows["points"].min() <= 1
    assert rows["margin_from"].is_monotonic_increasing


def test_changes_are_counted_from_class_to_class():
    rows = by_class(Z, Q)
    assert rows[["from", "to", "labels_changed", "points"]].to_numpy().tolist() == [
        [0, 1, 2, 2],
        [2, 0, 1, 1],
    ]
    assert rows["flip_rate"].tolist() == [1.0, 1.0]
    assert len(by_class(Z, Z)) == 0


def test_the_floor_is_compared_on_the_same_inputs():
    other = Z.flip(1)  # changes the labels of all but the inputs of class 1
    (row,) = against_floor(Z, {"a": Q}, other).itertuples()
    assert row.floor == 0.6 and (row.only_candidate, row.only_floor, row.p) == (0, 0, 1.0)
    many = against_floor(Z.repeat(4, 1), {"same": Z.repeat(4, 1)}, other.repeat(4, 1)).loc[0]
    assert (many["only_candidate"], many["only_floor"]) == (0, 12)
    assert many["p"] == pytest.approx(2 * 0.5**12)


@pytest.mark.parametrize("make", [network, lambda: cnn(1, 3, 4)], ids=["mlp", "cnn"])
def test_blame_is_that_of_networks_mixed_by_hand(make):
    model = make().eval()
    x = inputs() if isinstance(model[0], nn.Linear) else torch.randn(60, 1, 28, 28)
    rough = ptq_w(model, 2)
    before = labels(logits(model, x))
    rows = layer_blame(model, rough, x).set_index("layer")
    assert len(rows) == sum(isinstance(m, nn.Linear | nn.Conv2d) for m in model)
    for name in rows.index:
        by_hand = {}
        for what, base, part in (("alone", model, rough), ("rest", rough, model)):
            mixed = nn.Sequential(
                *(part[k] if str(k) == name else base[k] for k in range(len(base)))
            )
            by_hand[what] = float((labels(logits(mixed, x)) != before).double().mean())
        assert rows.loc[name, ["alone", "rest"]].to_dict() == by_hand
    assert rows["alone"].max() > 0


def test_blame_leaves_both_networks_as_they_were():
    model, rough = network(), ptq_w(network(), 3)
    copies = [{k: v.clone() for k, v in m.state_dict().items()} for m in (model, rough)]
    layer_blame(model, rough, inputs())
    for module, state in zip((model, rough), copies, strict=True):
        assert all(value.equal(state[key]) for key, value in module.state_dict().items())


def test_a_layer_that_is_the_same_is_not_blamed():
    model, other = network(), network()
    other[2].weight.data *= -1
    assert layer_blame(model, other, inputs())["layer"].tolist() == ["2"]
    assert layer_blame(model, network(), inputs()).empty


def test_networks_that_cannot_be_mixed_are_refused():
    model, x = network(), inputs()
    with pytest.raises(ValueError, match="cannot be mixed: allowed are two torch modules"):
        layer_blame(model, lambda x: model(x), x)
    with pytest.raises(ValueError, match="one shows no weights"):
        layer_blame(model, nn.Flatten(), x)
    with pytest.raises(ValueError, match="differ in shape"):
        layer_blame(model, network(classes=4), x)
    wider = nn.Sequential(*network(), nn.Softmin(dim=1))  # the same weights, another computation
    with pytest.raises(ValueError, match="gives other labels"):
        layer_blame(model, wider, x)


def test_the_forecast_blames_each_layer_by_the_variance_that_it_adds():
    model, x = network(), inputs()
    known = sensitivity(model, x, rivals=1, draws=400)
    rows = forecast_blame(known, 4)
    assert rows["layer"].tolist() == ["0", "2"] and rows["weights"].tolist() == [40, 24]
    steps = known.steps(4)
    for k in range(2):  # a loop over inputs, from the definition
        for what, layer in (("alone", k), ("rest", 1 - k)):
            total = 0.0
            for i in range(len(x)):
                spread = (steps[layer] ** 2 * known.variances[layer, i]).sqrt()
                total += float(torch.special.ndtr(-known.gaps[i, 0] / spread))
            assert rows.loc[k, what] == pytest.approx(total / len(x))
            drawn = (known.gaps[:, :1] + steps[layer] * known.changes[layer, :, 0]) < 0
            assert rows.loc[k, what] == pytest.approx(float(drawn.double().mean()), abs=0.004)
    one = sensitivity(nn.Sequential(network()[0]), x)
    assert forecast_blame(one, 4).loc[0, "rest"] == 0


def test_planes_take_inputs_in_order_and_none_twice():
    x = torch.eye(7)
    found = planes_through(x, [4, 0, 6, 1, 2, 3], 5)
    assert [rows for _, rows in found] == [[4, 0, 6], [1, 2, 3]]
    plane, rows = found[0]
    np.testing.assert_allclose(plane.inputs(plane.project(x[rows])), x[rows], atol=1e-6)
    assert planes_through(x, [1, 2], 3) == [] and planes_through(x, range(7), 0) == []


def test_inputs_on_a_line_wait_for_another_plane():
    x = torch.tensor([[0.0, 0.0], [1.0, 0.0], [2.0, 0.0], [0.0, 1.0], [3.0, 1.0], [4.0, 7.0]])
    assert [rows for _, rows in planes_through(x, range(6), 2)] == [[0, 1, 3], [2, 4, 5]]
    assert planes_through(x[:3], range(3), 1) == []


class Half(nn.Module):
    """Two classes with a straight boundary at a = ``at``."""

    def __init__(self, at):
        super().__init__()
        self.at = at

    def forward(self, x):
        return torch.stack([x[:, 0] - self.at, self.at - x[:, 0]], dim=1)


def test_a_boundary_that_moves_by_half_a_cell_follows_the_law():
    u, v = torch.eye(2, dtype=torch.double)
    plane = Plane(torch.zeros(2).double(), u, v, (-1.0, 1.0, -1.0, 1.0))
    n, cell = 20, 0.1
    rows, maps = compared_on(Half(0.0), {"half": Half(cell / 2), "none": Half(0.0)}, plane, n)
    half, none = rows.itertuples()
    assert half.cell == pytest.approx(cell)
    assert half.law == pytest.approx(jaccard_law(cell / 2, cell), rel=1e-3)
    assert half.curve_distance == pytest.approx(cell / 2, rel=1e-3)
    assert none.jaccard == none.law == none.grid_change == 0 or none.curve_distance < 1e-6
    assert list(maps) == [None, "half", "none"]
    flat, _ = compared_on(Half(9.0), {"a": Half(9.0)}, plane, n)
    assert np.isnan(flat.loc[0, "law"]) and flat.loc[0, "jaccard"] == 0


def test_the_gate_goes_by_the_upper_bound():
    z = torch.tensor([[1.0, 0.0]]).repeat(100, 1)
    one = z.clone()
    one[0] = one[0].flip(0)
    rates = flip_rates(z, {"same": z, "one": one})
    open_ = gate(rates, 1.0)
    assert open_["passed"] and open_["told"] == []
    lost = gate(rates, 1.0, ["c"])
    assert not lost["passed"] and lost["told"] == ["c could not be evaluated, and does not pass"]
    shut = gate(rates, 0.04)
    assert not shut["passed"] and len(shut["told"]) == 1
    assert shut["told"][0].startswith("one changes 1 of 100 labels, up to 4.66% by the upper")
    assert shut["upper_bounds"] == {
        "same": rates.loc[0, "flip_rate_hi"],
        "one": rates.loc[1, "flip_rate_hi"],
    }
    with pytest.raises(ValueError, match="max_flip_rate is 1.5"):
        gate(rates, 1.5)


def test_planes_begin_with_inputs_that_most_candidates_flip():
    some = Z.clone()
    some[3] = Q[3]
    assert flipped_first(Z, {"a": Q, "b": some}) == [3, 0, 2, 4, 1]
    assert flipped_first(Z, {"a": Z}) == [4, 2, 0, 1, 3]


def test_radii_are_known_where_there_are_gradients():
    model, x = nn.Linear(2, 2, bias=False), torch.tensor([[3.0, 0.0], [9.0, 9.0], [0.0, 1.0]])
    model.weight.data = torch.eye(2)
    found, why = radii_at(model, x, [0, 2])
    assert why == "" and found[1].isnan()
    np.testing.assert_allclose(found[[0, 2]], [3 / 2**0.5, 1 / 2**0.5], rtol=1e-6)
    found, why = radii_at(lambda x: model(x), x, [0])
    assert found.isnan().all() and why == "the reference has no gradients"
    assert radii_at(model, x.long(), [0])[1].startswith("inputs are torch.int64")
    assert radii_at(nn.Sequential(model, Frozen()), x, [0])[1].startswith("the classifier's logits")


class Frozen(nn.Module):
    def forward(self, z):
        return z.detach()


def test_paths_lead_from_where_the_command_was_typed(tmp_path, monkeypatch):
    here = Path.cwd()
    with users_folder():
        assert Path.cwd() == here
    monkeypatch.setenv("BAQ_FOLDER", str(tmp_path))
    with users_folder():
        assert Path.cwd() == tmp_path
    assert Path.cwd() == here


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ([], "allowed are texts, one or more"),
        (["a", ""], "allowed are texts"),
        (["a", "a"], "each once"),
        ('["a"', "no list"),
    ],
)
def test_candidates_that_are_none_are_told_of(given, told):
    with pytest.raises(ValueError, match=told):
        named(given)


def test_candidates_are_called_by_their_last_part():
    assert named("x/int8.onnx") == named(["x/int8.onnx"]) == {"int8.onnx": "x/int8.onnx"}


class Outside(nn.Module):
    """A classifier whose weights do not show, with a copy of itself that has gradients."""

    def __init__(self, model):
        super().__init__()
        object.__setattr__(self, "torch_copy", model)

    def forward(self, x):
        return self.torch_copy(x)


def test_blame_is_exact_where_networks_mix_and_a_forecast_elsewhere():
    model, x = network(), inputs()
    rough = ptq_w(model, 3)
    rows, notes = blamed(model, {"mixed": rough, "function": lambda x: rough(x)}, x, 3, 100)
    exact, told = (rows[rows["candidate"] == name] for name in ("mixed", "function"))
    columns = ["layer", "weights", "alone", "rest"]
    assert exact[columns].equals(layer_blame(model, rough, x)) and (exact["way"] == "exact").all()
    forecast = forecast_blame(sensitivity(model, x[:100]), 3)
    assert told[columns].reset_index(drop=True).equals(forecast)
    assert (told["way"] == "forecast").all()
    assert notes == [
        "function: a forecast for weights of 3 bits; reference and candidate cannot be mixed: allowed are two "
        "torch modules"
    ]
    outside, _ = blamed(Outside(model), {"a": lambda x: rough(x)}, x, 3, 100)
    assert outside[columns].equals(forecast)
    copies, notes = blamed(Outside(model), {"a": Outside(rough)}, x, 3, 100)
    assert copies[columns].equals(layer_blame(model, rough, x)) and notes == []


def test_no_layer_is_blamed_without_gradients():
    model, x = network(), inputs()
    rows, notes = blamed(lambda x: model(x), {"a": ptq_w(model, 3)}, x)
    assert rows.empty and notes[0].endswith("and the reference has no gradients to forecast from")


def test_outputs_of_all_kinds_become_logits_with_a_note():
    model, x = network(), inputs()
    soft = nn.Sequential(*model, nn.Softmax(dim=1))
    ours, found, notes = with_logits(model, {"soft": lambda x: soft(x), "same": model}, x)
    assert ours is model and list(found) == ["soft", "same"]
    shifted = logits(found["soft"], x) - torch.log_softmax(logits(model, x), dim=1)
    assert shifted.abs().max() < 1e-6
    assert len(notes) == 1 and notes[0].startswith("soft: probabilities: their logarithm is taken")


def test_a_candidate_that_fails_is_left_out_and_told_of():
    model, x = network(), inputs()
    _, found, notes = with_logits(model, {"narrow": network(features=4), "good": model}, x)
    assert list(found) == ["good"] and notes[0].startswith("narrow: left out: the classifier fails")
    with pytest.raises(ValueError, match="fails on inputs"):
        with_logits(model, {"narrow": network(features=4)}, x)
    with pytest.raises(ValueError, match="fails on inputs"):
        with_logits(network(features=4), {"good": model}, x)


def test_a_weight_that_layers_share_is_changed_in_all_of_them():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 5), nn.Tanh(), nn.Linear(5, 5)).double()
    model[2].weight = model[0].weight
    rough, x = ptq_w(model, 2), inputs()
    (row,) = layer_blame(model, rough, x).itertuples()
    changed = float((labels(logits(rough, x)) != labels(logits(model, x))).double().mean())
    assert (row.layer, row.weights, row.alone, row.rest) == ("0", 30, changed, 0.0)
    assert changed > 0


def test_logits_of_numpy_are_tabled_as_tensors_are():
    z, z_q, radius = Z.numpy(), Q.numpy(), np.arange(5.0)
    assert by_class(z, z_q).equals(by_class(Z, Q))
    found = flipped_inputs(z, z_q, radius=radius)
    assert found.equals(flipped_inputs(Z, Q, radius=torch.from_numpy(radius)))


def test_logits_in_bfloat16_are_tabled():
    z, z_q = Z.bfloat16(), Q.bfloat16()
    assert by_margin(z, z_q).equals(by_margin(Z, Q))
    assert flipped_first(z, {"q": z_q}) == flipped_first(Z, {"q": Q})


def test_a_single_output_may_lack_the_axis_of_the_batch():
    x = inputs(8)
    assert depends_on_batch(lambda x: x.squeeze(), x) == ""
    assert depends_on_batch(lambda x: x[:, 0].squeeze(), x) == ""
    assert depends_on_batch(lambda x: (x / x.abs().max()).squeeze(), x).startswith("its outputs")

    def several(x):
        return x if len(x) > 1 else x[5]

    told = depends_on_batch(several, x)
    assert told.startswith(
        "whether its outputs depend on which inputs are evaluated together is not"
    )


class Noted(nn.Linear):
    """A layer whose state holds more than tensors, as torch's kernels of whole numbers do."""

    def get_extra_state(self):
        return {"bits": 8}

    def set_extra_state(self, state):
        pass


def test_a_state_of_other_than_tensors_cannot_be_taken_apart():
    with pytest.raises(ValueError, match="cannot be mixed: 0._extra_state is a dict, no tensor"):
        layer_blame(*(nn.Sequential(Noted(6, 3)) for _ in range(2)), torch.randn(9, 6))
