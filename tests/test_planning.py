"""Forecasts, promises and bits by layer: against finite differences, Monte Carlo, enumeration, brute force."""

import copy
import itertools
import math

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm
from torch import nn

from baq import ptq_w
from baq.inference import labels, logits
from baq.planning import (
    allocate,
    evidence,
    forecast,
    forecast_jaccard,
    inputs_needed,
    promised_rule,
    sensitivity,
)
from baq.planning.allocation import Allocation
from baq.planning.promise import Promise, mean_p_value, rate_p_value
from baq.planning.redraws import broken_promises
from baq.planning.sensitivity import noise_pass, with_noise
from baq.slices import Plane, boundary_mask, jaccard_distance, jaccard_law, label_map


def network(seed=0, features=6, classes=4):
    torch.manual_seed(seed)
    layers = nn.Linear(features, 12), nn.Tanh(), nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, classes)
    return nn.Sequential(*layers).double()


def convolutional(seed=0):
    torch.manual_seed(seed)
    layers = nn.Conv2d(2, 3, 3, padding=1), nn.Tanh(), nn.Conv2d(3, 4, 2, stride=2), nn.Tanh()
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(16, 3)).double()


def inputs(count=40, shape=(6,), seed=1):
    return torch.randn(count, *shape, generator=torch.Generator().manual_seed(seed)).double()


class Crossed(nn.Module):
    """Uses its layers in another order than it names them in."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.last, self.first = nn.Linear(9, 3).double(), nn.Linear(6, 9).double()

    def forward(self, x):
        return self.last(torch.tanh(self.first(x)))


CASES = {
    "dense": (network, (6,)),
    "convolutional": (convolutional, (2, 4, 4)),
    "crossed": (Crossed, (6,)),
}


# Sensitivity


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("name", CASES)
def test_changes_are_the_derivatives_along_the_noise(name, per_channel):
    make, shape = CASES[name]
    model, x = make(), inputs(7, shape)
    known = sensitivity(model, x, draws=3, per_channel=per_channel, batch_size=3)
    order = logits(model, x).argsort(dim=1, descending=True)[:, :3]

    def gaps(draw, bits):
        z = logits(with_noise(known, bits, draw), x).gather(1, order)
        return z[:, :1] - z[:, 1:]

    for draw in range(3):
        # At 16 bits the step is so small that the difference is the derivative.
        change = (gaps(draw, 16) - known.gaps) * (2**15 - 1)
        first = known.change(16)[..., draw] * (2**15 - 1)
        torch.testing.assert_close(change, first, rtol=1e-3, atol=1e-4)
    lengths = sensitivity(model, x, draws=1, along=torch.eye(shape[0]) if len(shape) == 1 else None)
    torch.testing.assert_close(lengths.lengths, known.lengths)


@pytest.mark.parametrize("name", CASES)
def test_variances_are_those_of_many_draws_and_of_the_plain_formula(name):
    make, shape = CASES[name]
    model, x = make(), inputs(5, shape)
    known = sensitivity(model, x, draws=4000)
    sampled = known.change(4)[:, 0].var(dim=1)
    torch.testing.assert_close(sampled, known.variance(4), rtol=0.12, atol=0)
    for n, one in enumerate(x):
        z = model(one[None])[0]
        first, second = z.argsort(descending=True)[:2]
        weights = [p for name, p in model.named_parameters() if name.endswith("weight")]
        slope = torch.autograd.grad(z[first] - z[second], weights)
        step = [w.detach().abs().max() / 7 for w in weights]
        plain = sum(s**2 / 12 * g.square().sum() for s, g in zip(step, slope, strict=True))
        torch.testing.assert_close(known.variance(4)[n], plain)


def test_no_layer_draws_for_one_seed_what_another_does_for_another():
    model = nn.Sequential(nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 6)).double()
    noise = [
        (layer.weight - of.weight) / of.weight.abs().max()
        for seed in (0, 1)
        for layer, of in zip(
            with_noise(sensitivity(model, inputs(2), draws=1, seed=seed), 4), model, strict=True
        )
        if isinstance(of, nn.Linear)
    ]
    assert not any(torch.allclose(*pair) for pair in itertools.combinations(noise, 2))


def test_the_noise_has_the_size_of_rounding_errors():
    model = network()
    known = sensitivity(model, inputs(2), draws=1)
    weight = model[0].weight.detach()
    for bits in (8, 4):
        noise = with_noise(known, bits)[0].weight.detach() - weight
        step = weight.abs().max() / (2 ** (bits - 1) - 1)
        assert noise.abs().max() <= step / 2
        error = ptq_w(model, bits)[0].weight.detach() - weight
        assert 0.5 < float(noise.square().mean() / error.square().mean()) < 2


def test_a_first_order_network_is_explained_wholly_and_a_bent_one_less_with_fewer_bits():
    linear = nn.Sequential(nn.Linear(6, 3)).double()
    assert noise_pass(sensitivity(linear, inputs()), 2)[1] == pytest.approx(1)
    bent = sensitivity(network(), inputs())
    found = [noise_pass(bent, bits)[1] for bits in (12, 8, 4, 2)]
    assert found[0] > 0.999
    assert found == sorted(found, reverse=True)


def test_the_noisy_rate_is_that_of_a_network_with_the_first_draw_of_noise():
    model, x = network(), inputs(200)
    known = sensitivity(model, x, draws=5)
    flips = labels(logits(with_noise(known, 3), x)) != labels(logits(model, x))
    assert torch.equal(noise_pass(known, 3)[0], flips)
    assert forecast(known, None, 3)["noisy"][0] == float(flips.double().mean()) > 0


def test_a_layer_without_a_part_in_the_pass_is_named():
    model = Crossed()
    model.idle = nn.Linear(2, 2).double()
    with pytest.raises(ValueError, match="layer 'idle' takes no part in the forward pass"):
        sensitivity(model, inputs())


def test_weights_of_zero_change_nothing_and_are_explained():
    model = nn.Sequential(nn.Linear(6, 3)).double()
    model[0].weight.data.zero_()
    row = forecast(model, inputs(), 4).iloc[0]
    assert (row["flip_rate"], row["shift"], row["explained"]) == (0, 0, 1)


# Forecast


def test_the_forecast_is_the_rate_over_many_noisy_networks():
    model, x = network(), inputs(300)
    known = sensitivity(model, x, rivals=3, draws=400)
    row = forecast(known, None, 7).iloc[0]
    before = labels(logits(model, x))
    rates = [
        float((labels(logits(with_noise(known, 7, draw), x)) != before).double().mean())
        for draw in range(400)
    ]
    assert row["flip_rate"] == pytest.approx(np.mean(rates), rel=0.05)
    assert row["flip_rate_lo"] < np.mean(rates) < row["flip_rate_hi"]


def test_with_one_rival_the_forecast_is_the_mean_of_the_normal_tail():
    x = inputs(500, (3,))
    model = nn.Sequential(nn.Linear(3, 2)).double()
    known = sensitivity(model, x, draws=3000)
    exact = norm.cdf(-known.gaps[:, 0] / known.variance(4).sqrt()).mean()
    assert forecast(known, None, 4)["flip_rate"][0] == pytest.approx(exact, rel=0.1)


def test_intervals_hold_the_flips_of_single_roundings_of_other_inputs():
    """Of 90 % intervals, over random networks, each rounded once for real and measured on new inputs."""
    held = []
    for seed in range(60):
        model = network(seed)
        row = forecast(model, inputs(200, seed=seed + 100), 6, count=200).iloc[0]
        x = inputs(200, seed=seed + 500)
        flips = labels(logits(model, x)) != labels(logits(ptq_w(model, 6), x))
        held.append(row["flip_rate_lo"] <= float(flips.double().mean()) <= row["flip_rate_hi"])
    assert np.mean(held) >= 0.8


def test_band_and_shift_follow_their_definitions():
    model, x = network(), inputs(100)
    known = sensitivity(model, x, draws=500)
    row = forecast(known, None, [8, 5], share=0.2)
    assert (row["band_flip_rate"] >= row["flip_rate"]).all()
    change = known.change(5)[:, 0].abs() / known.lengths[:, None]
    assert row["shift"][1] == pytest.approx(float(change.median(dim=0).values.mean()), rel=0.05)
    assert list(row["bits"]) == [8, 5]


def test_jaccard_is_forecast_where_the_boundary_moves_less_than_two_cells():
    plane = Plane(torch.zeros(2), torch.eye(2)[0], torch.eye(2)[1], (-2.0, 2.0, -2.0, 2.0))
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 3))
    grid = label_map(model, plane, 61)
    rows = forecast_jaccard(model, grid, [9, 7, 6]).set_index("bits")
    assert (rows["jaccard_lo"] <= rows["jaccard"]).all()
    known = sensitivity(model, torch.zeros(1, 2), draws=40)
    for bits in (9, 7):
        noisy = [label_map(with_noise(known, bits, k), plane, 61) for k in range(40)]
        found = [jaccard_distance(boundary_mask(grid), boundary_mask(one)) for one in noisy]
        assert rows["jaccard"][bits] == pytest.approx(np.mean(found), rel=0.3)
    flat = nn.Sequential(nn.Linear(2, 2))
    flat[0].weight.data.zero_()
    flat[0].bias.data = torch.tensor([1.0, 0.0])
    assert forecast_jaccard(flat, label_map(flat, plane, 9), 4)["jaccard"].tolist() == [0.0]


def test_where_input_gradients_vanish_the_shift_is_infinite():
    model = nn.Sequential(nn.Linear(6, 4), nn.Hardtanh(), nn.Linear(4, 3))
    model[0].bias.data.fill_(100)
    row = forecast(model, inputs().float(), 4).iloc[0]
    assert (row[["shift", "shift_lo", "shift_hi"]] == math.inf).all()


def test_a_network_in_bfloat16_is_forecast():
    model, x = network().float(), inputs().float()
    plane = Plane(torch.zeros(6), *torch.eye(2, 6), (-2.0, 2.0, -2.0, 2.0))
    grid = label_map(model, plane, 21)
    narrow = copy.deepcopy(model).bfloat16()
    for told, wanted, name in (
        (forecast(narrow, x, 4), forecast(model, x, 4), "flip_rate"),
        (forecast_jaccard(narrow, grid, 4), forecast_jaccard(model, grid, 4), "jaccard"),
    ):
        assert told[name][0] == pytest.approx(wanted[name][0], rel=0.2)


def test_the_forecast_takes_the_mean_side_of_cells_as_the_comparison_does():
    plane = Plane(torch.zeros(2), *torch.eye(2), (-8.0, 8.0, -0.5, 0.5))
    model = nn.Sequential(nn.Linear(2, 2))
    model[0].weight.data, model[0].bias.data = torch.tensor([[1.0, 0], [-1, 0]]), torch.zeros(2)
    grid = label_map(model, plane, 40)
    row = forecast_jaccard(model, grid, 8).iloc[0]
    known = sensitivity(
        model, plane.inputs(plane.centre(40, *boundary_mask(grid).nonzero())), rivals=1
    )
    moved = known.change(8)[:, 0].abs() / 2
    wanted = np.mean([jaccard_law(one.numpy(), np.mean(grid.cell)) for one in moved.T])
    assert row["jaccard"] == pytest.approx(wanted, rel=1e-6)


# Promise


@pytest.mark.parametrize(("hits", "points", "tau"), [(0, 5, 0.3), (2, 5, 0.3), (5, 5, 0.9)])
def test_the_rates_p_value_is_the_binomial_tail_by_enumeration(hits, points, tau):
    total = sum(
        math.prod(tau if hit else 1 - tau for hit in outcome)
        for outcome in itertools.product((0, 1), repeat=points)
        if sum(outcome) <= hits
    )
    assert rate_p_value(hits, points, tau) == pytest.approx(total)


@given(st.floats(0.005, 0.5), st.floats(0.01, 0.3))
def test_inputs_needed_is_where_no_hit_first_rejects(tau, delta):
    n = inputs_needed(tau, delta)
    assert rate_p_value(0, n, tau) <= delta * (1 + 1e-9)
    assert n == 1 or rate_p_value(0, n - 1, tau) > delta * (1 - 1e-9)


@pytest.mark.parametrize("mean", [0.3, 0.05])
def test_the_means_p_value_is_small_seldom_where_the_mean_is_the_threshold(mean):
    generator = np.random.default_rng(0)
    draws = {
        "bernoulli": generator.binomial(1, mean, (2000, 200)),
        "beta": generator.beta(2 * mean, 2 * (1 - mean), (2000, 200)),
    }
    for values in draws.values():
        p = np.array([mean_p_value(row, mean) for row in values])
        for delta in (0.1, 0.05):
            assert (p <= delta).mean() <= delta + 3 * math.sqrt(delta * (1 - delta) / 2000)
        below = np.array([mean_p_value(row, min(3 * mean, 0.9)) for row in values])
        assert (below <= 0.1).mean() > 0.9


def level(flips, n=400):
    z = torch.zeros(n, 2)
    z[:, 0] = 1
    z_q = z.clone()
    z_q[:flips] = torch.tensor([0.0, 1.0])
    return z, z_q


def test_the_rule_walks_down_and_stops_at_the_first_level_that_fails():
    z = level(0)[0]
    candidates = {8: level(0)[1], 6: level(30)[1], 4: level(0)[1]}
    rows = evidence(z, candidates, tau_f=0.02)
    assert promised_rule(rows) == Promise(8, satisfied=True)
    few = promised_rule(evidence(z[:50], {8: z[:50], 4: z[:50]}, tau_f=0.02))
    assert few == Promise(8, False, "nothing can be promised with 50 inputs: n >= 114 is allowed")
    flipped = promised_rule(evidence(z, {8: z.flip(1), 4: z}, tau_f=0.02))
    assert flipped == Promise(
        8, False, "nothing can be promised: at level 8 flip_rate may break its threshold"
    )
    assert inputs_needed(0.02, 0.1) > 50


def test_levels_by_name_are_walked_by_their_number():
    levels = pd.DataFrame(
        {"candidate": ["int8", "int16", "int4"], "p_flip_rate": [0.04, 0.001, 0.6]}
    )
    assert promised_rule(levels) == Promise(8, satisfied=True)
    nothing = promised_rule(levels.assign(p_flip_rate=0.5))
    assert nothing.bits == 16 and "at level 16 " in nothing.reason


def test_evidence_reads_logits_of_numpy():
    (z, z_q), y = level(2), torch.zeros(400, dtype=torch.long)
    rows = evidence(z.numpy(), {8: z_q.numpy()}, y.numpy(), tau_f=0.05, eps=0.05)
    assert rows.equals(evidence(z, {8: z_q}, y, tau_f=0.05, eps=0.05))


def test_all_thresholds_are_kept_at_once():
    z, z_q = level(2)
    y = torch.zeros(len(z), dtype=torch.long)
    given = {"tau_f": 0.05, "eps": 0.05, "tau_j": 0.5}
    good = evidence(z, {8: z_q, 4: z_q}, y, {8: [0.1] * 40, 4: [0.9] * 40}, **given)
    assert promised_rule(good).satisfied
    bad = evidence(z, {8: z_q, 4: z_q}, y, {8: [0.49] * 40, 4: [0.9] * 40}, **given)
    assert not promised_rule(bad).satisfied


def test_the_promise_holds_over_redrawn_calibration_sets_and_not_for_other_inputs():
    """Levels with known rates, calibration inputs drawn 300 times; and drawn where fewer flip."""
    generator = np.random.default_rng(1)
    rates = {8: 0.005, 6: 0.021, 4: 0.2}
    tau, delta, n = 0.02, 0.1, 500

    def broken(shrunk):
        count = 0
        for _ in range(300):
            hits = {b: generator.binomial(n, rate * shrunk) for b, rate in rates.items()}
            p = [rate_p_value(k, n, tau) for k in hits.values()]
            levels = pd.DataFrame({"candidate": list(rates), "p_flip_rate": p})
            pick = promised_rule(levels, delta)
            count += pick.satisfied and rates[pick.bits] > tau
        return count / 300

    assert broken(1) <= delta + 3 * math.sqrt(delta * (1 - delta) / 300)
    assert broken(0.3) > 0.5, "the control: calibration inputs of another distribution"


# Bits by layer


def brute(known, mean_bits, choices):
    size = np.array(known.weights)
    best = math.inf
    for bits in itertools.product(choices, repeat=len(size)):
        if np.dot(bits, size) <= mean_bits * size.sum() + 1e-9:
            variance = known.variance(dict(zip(known.layers, bits, strict=True)))
            rate = float(norm.cdf(-known.gaps[:, 0] / variance.sqrt()).mean())
            best = min(best, rate)
    return best


@pytest.mark.parametrize("seed", range(4))
def test_bits_by_layer_come_near_to_the_best_of_all_assignments(seed):
    known = sensitivity(network(seed), inputs(200), draws=1)
    choices = (2, 3, 4, 5, 6, 7, 8)
    for mean in (3, 4, 5.5):
        found = allocate(known, mean_bits=mean, choices=choices)
        assert found.mean_bits <= mean
        least = brute(known, mean, choices)
        assert least <= found.flip_rate * (1 + 1e-9)
        assert found.flip_rate <= 1.1 * least + 1e-6
        uniform = brute(known, mean, [int(mean)] * 1)
        assert found.flip_rate <= uniform + 1e-6


@pytest.mark.parametrize("mean", [3, 4, 4.03, 5, 6, 7.5])
def test_no_small_layer_takes_the_room_that_a_large_one_needs(mean):
    """With almost all weights in one layer, equal bits are hard to beat, and easy to fall behind."""
    torch.manual_seed(0)
    layers = nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 200), nn.ReLU(), nn.Linear(200, 3)
    model = nn.Sequential(*layers).double()
    known = sensitivity(model, inputs(200), draws=1)
    found = allocate(known, mean_bits=mean)
    assert found.mean_bits <= mean + 1e-9
    assert found.flip_rate <= brute(known, mean, [int(mean)]) * (1 + 1e-9)
    assert found.flip_rate <= 1.1 * brute(known, mean, (2, 3, 4, 5, 6, 7, 8))
    least = allocate(known, max_flip_rate=found.flip_rate * (1 + 1e-9))
    assert least.mean_bits <= found.mean_bits + 1e-9


def test_a_rate_is_reached_with_bits_that_a_smaller_mean_does_not_reach():
    known = sensitivity(network(), inputs(200), draws=1)
    found = allocate(known, max_flip_rate=0.02)
    assert isinstance(found, Allocation)
    assert found.flip_rate <= 0.02
    fewer = allocate(known, mean_bits=found.mean_bits - 0.7)
    assert fewer.flip_rate > 0.02


# Bad input


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda m, x: forecast(m, x[:0], 8), "inputs"),
        (lambda m, x: forecast(m, x, []), "bits is []"),
        (lambda m, x: forecast(m, x, 1), "bits is 1: allowed are the integers 2 to 16"),
        (lambda m, x: forecast(m, x, {"0": 4}), "bits lack layer '2'"),
        (lambda m, x: forecast(m, None, 8), "x is None"),
        (lambda m, x: forecast(sensitivity(m, x), x, 8), "x is given with a sensitivity"),
        (lambda m, x: forecast(m, x, 8, count=0), "count is 0"),
        (lambda m, x: sensitivity(m, x, draws=0), "draws is 0"),
        (
            lambda m, x: sensitivity(
                nn.Sequential(nn.Embedding(9, 4), nn.Flatten(), nn.Linear(8, 3)), x[:, :2].long()
            ),
            "inputs are torch.int64: there are no gradients with respect to whole numbers",
        ),
        (lambda m, x: allocate(m, x), "allowed is one"),
        (lambda m, x: allocate(m, x, mean_bits=1.5), "mean_bits is 1.5: the choices reach 2 to 8"),
        (lambda m, x: allocate(m, x, max_flip_rate=1e-300), "max_flip_rate is 1e-300"),
        (lambda m, x: allocate(m, x, mean_bits=4, choices=[]), "choices are []"),
        (lambda m, x: allocate(m, x, mean_bits=4, choices=[4]), "choices are [4]: allowed are two"),
        (
            lambda m, x: allocate(m, x, max_flip_rate=2),
            "max_flip_rate is 2: allowed is above 0 and",
        ),
        (lambda m, x: allocate(m, None, mean_bits=4), "x is None"),
        (lambda m, x: allocate(sensitivity(m, x), x, mean_bits=4), "x is given with a sensitivity"),
        (lambda m, x: allocate(m, x, mean_bits=None, max_flip_rate="a"), "max_flip_rate is 'a'"),
        (lambda m, x: inputs_needed(0, 0.1), "tau is 0: allowed is above 0 and below 1"),
        (lambda m, x: evidence(m(x), {}, tau_f=0.1), "there are no levels"),
        (lambda m, x: evidence(m(x), {8: m(x)}, tau_f=0.1, eps=0.1), "y is None"),
        (lambda m, x: evidence(m(x), {8: m(x)}, tau_f=0.1, tau_j=0.1), "jaccards lack level 8"),
        (lambda m, x: promised_rule(pd.DataFrame({"candidate": [8]})), "no p-values"),
        (lambda m, x: mean_p_value([2.0], 0.5), "beyond 0 to 1"),
        (lambda m, x: mean_p_value([], 0.5), "are none"),
        (lambda m, x: mean_p_value([0.5], 1.5), "tau is 1.5"),
    ],
)
def test_bad_input_is_told_in_a_line(call, told):
    with pytest.raises(ValueError) as caught:
        call(network(), inputs())
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


# Redrawn calibration sets


def test_redraws_break_the_promise_seldom_and_the_plug_in_rule_often():
    generator = np.random.default_rng(3)
    ranks = generator.random((3, 4000)).argsort(axis=1).argsort(axis=1)
    flips = ranks < 4000 * np.array([[0.004], [0.023], [0.3]])
    found = broken_promises(flips, [8, 6, 4], 0.02, count=800, redraws=2000)
    found = found.set_index(["rule", "delta"])
    for delta in (0.1, 0.05):
        row = found.loc[("promise", delta)]
        assert row["broken"] <= delta + 3 * math.sqrt(delta * (1 - delta) / 2000)
        assert row["bits"] > 6
    assert found["broken"].iloc[0] > 0.2
    easy = np.zeros(4000, dtype=bool)
    easy[~flips[1]] = True  # calibration inputs that never flip at 6 bits: another distribution
    control = broken_promises(flips, [8, 6, 4], 0.02, count=800, redraws=200, among=easy)
    assert (control["broken"] > 0.9).all()


def test_redraws_equal_a_loop_over_the_rule():
    generator = np.random.default_rng(5)
    flips = generator.random((2, 300)) < np.array([[0.01], [0.06]])
    found = broken_promises(flips, [8, 4], 0.05, count=100, redraws=50, deltas=[0.2], seed=4)
    again, broken, picks = np.random.default_rng(4), 0, []
    for _ in range(50):
        drawn = again.choice(300, 100, replace=False)
        rest = np.setdiff1d(np.arange(300), drawn)
        p = [rate_p_value(int(level[drawn].sum()), 100, 0.05) for level in flips]
        pick = promised_rule(pd.DataFrame({"candidate": [8, 4], "p_flip_rate": p}), 0.2)
        if pick.satisfied:
            picks.append(pick.bits)
            broken += flips[[8, 4].index(pick.bits)][rest].mean() > 0.05
    row = found[found["rule"] == "promise"].iloc[0]
    assert (row["broken"], row["picked"]) == (broken / 50, len(picks) / 50)
    assert row["bits"] == pytest.approx(np.mean(picks))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"flips": np.zeros((3, 9))}, "flips have shape (3, 9): allowed is (2, N)"),
        ({"bits": [4, 8]}, "bits are [4, 8]: allowed are levels that fall"),
        ({"count": 9}, "count is 9: allowed is 1 to 8"),
        ({"redraws": 0}, "redraws is 0"),
    ],
)
def test_redraws_refuse_what_does_not_fit(change, told):
    given = {"flips": np.zeros((2, 9)), "bits": [8, 4], "tau": 0.1, "count": 3} | change
    with pytest.raises(ValueError) as caught:
        broken_promises(given.pop("flips"), given.pop("bits"), given.pop("tau"), **given)
    assert told in str(caught.value)


def test_an_input_without_a_spread_changes_no_label():
    torch.manual_seed(0)
    x, scores = torch.randn(200, 4), []
    model = nn.Sequential(nn.Linear(4, 8, bias=False), nn.ReLU(), nn.Linear(8, 3, bias=False))
    for blank in (False, True):
        x[0] *= not blank
        found = allocate(model, x, max_flip_rate=0.01)
        known = sensitivity(model, x, draws=1)
        variance = sum(
            known.steps(bits).double()[k] ** 2 * known.variances.double()[k]
            for k, bits in enumerate(found.bits.values())
        )
        gap = known.gaps[:, 0].double()
        each = norm.cdf(-gap / variance.sqrt())[variance > 0]
        assert found.flip_rate == pytest.approx(each.sum() / 200, rel=1e-4)
        scores.append(found.flip_rate)
    assert 0 < scores[1] < 0.01 and (variance[0], variance[1] > 0) == (0, True)


@pytest.mark.parametrize("bits", [[99], [4, "x"], [4.5]])
def test_bits_of_a_forecast_are_checked_where_no_boundary_is(bits):
    model = nn.Linear(2, 2).double()
    model.bias.data = torch.tensor([1e3, 0.0]).double()
    plane = Plane(torch.zeros(2), torch.eye(2)[0], torch.eye(2)[1], (-1.0, 1.0, -1.0, 1.0))
    with pytest.raises(ValueError, match="bits is"):
        forecast_jaccard(model, label_map(model, plane, 9), bits)


def test_a_promise_names_a_level_that_was_tested():
    levels = pd.DataFrame({"candidate": [8.0, 4.5], "p_flip_rate": [0.001, 0.01]})
    with pytest.raises(ValueError, match="allowed are whole numbers of bits"):
        promised_rule(levels)
