"""A layer's quadratic loss is known by two moments, and what is known is not computed again."""

import pytest
import torch
from tiny_network import Half, network, normal
from torch import nn

from baq.rounding import Statistics, adaround, boundary_gap, boundary_metric, output_metric
from baq.rounding.form import boundary_form, output_metrics
from baq.rounding.layers import matrix_layers, recorded
from baq.rounding.points import low_margin_points, sample_boundary


def disturbed(model, size=0.1):
    """A network of the same shape with other weights."""
    candidate = network()
    candidate.load_state_dict(model.state_dict())
    for k, layer in enumerate(matrix_layers(candidate).values()):
        layer.weight.data += size * normal(*layer.weight.shape, seed=90 + k)
    return candidate


def columns(model, x, name):
    """Patches of a layer by a plain loop: each input's positions in turn, a column (in,) each."""
    layer = matrix_layers(model)[name]
    with recorded(model) as found:
        model(x)
    a = found[name][0].detach()
    if isinstance(layer, nn.Linear):
        return list(a)
    (kh, kw), (sh, sw), (ph, pw) = layer.kernel_size, layer.stride, layer.padding
    a = nn.functional.pad(a, (pw, pw, ph, ph))
    height, width = a.shape[2:]
    return [
        image[:, i : i + kh, j : j + kw].flatten()
        for image in a
        for i in range(0, height - kh + 1, sh)
        for j in range(0, width - kw + 1, sw)
    ]


def second_moments(reference, candidate, name, x, **options):
    known = Statistics(reference, x, **options)
    return known.moments(name, None if candidate is reference else known.passed_through(candidate))


@pytest.mark.parametrize("same", [True, False])
@pytest.mark.parametrize("name", ["0", "3", "6"])
def test_moments_equal_the_plain_average(name, same):
    reference, x = network(), normal(7, 2, 4, 4, seed=3)
    candidate = reference if same else disturbed(reference)
    weight = matrix_layers(reference)[name].weight.detach().flatten(1)
    gram, target = 0.0, 0.0
    for a, a_q in zip(columns(reference, x, name), columns(candidate, x, name), strict=True):
        gram = gram + torch.outer(a_q, a_q) / len(x)
        target = target + torch.outer(weight @ a, a_q) / len(x)
    found = second_moments(reference, candidate, name, x, batch_size=3)
    assert torch.allclose(found[0], gram, rtol=1e-12, atol=1e-12)
    assert torch.allclose(found[1], target, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ["0", "3", "6"])
def test_the_output_error_is_quadratic_with_these_moments(name):
    """E|V a_q - W a|^2 = tr(V A V') - 2 tr(V T') + const, const = E|W a|^2, for any V."""
    reference, x = network(), normal(6, 2, 4, 4, seed=4)
    candidate = disturbed(reference)
    gram, target = second_moments(reference, candidate, name, x)
    weight = matrix_layers(reference)[name].weight.detach().flatten(1)
    mine, theirs = columns(reference, x, name), columns(candidate, x, name)
    for seed in range(3):
        v = weight + 0.3 * normal(*weight.shape, seed=seed)
        error = constant = 0.0
        for a, a_q in zip(mine, theirs, strict=True):
            error += float((v @ a_q - weight @ a).square().sum()) / len(x)
            constant += float((weight @ a).square().sum()) / len(x)
        form = float((v @ gram * v).sum() - 2 * (v * target).sum()) + constant
        assert form == pytest.approx(error, rel=1e-11)


def test_drawn_positions_stand_for_all_without_bias():
    """Over many seeds the mean meets the full moments within its own standard error."""
    reference, x = network(), normal(5, 2, 4, 4, seed=5)
    candidate = disturbed(reference)
    full = second_moments(reference, candidate, "0", x)
    drawn = [
        second_moments(reference, candidate, "0", x, positions=5, seed=seed, batch_size=2)
        for seed in range(200)
    ]
    for expected, parts in zip(full, zip(*drawn, strict=True), strict=True):
        values = torch.stack(parts)
        error = values.std(dim=0) / len(values) ** 0.5
        assert (error > 0).all()
        assert ((values.mean(dim=0) - expected).abs() <= 4.5 * error).all()
        # The check can fail: ten per cent more or less would be seen.
        assert ((values.mean(dim=0) - 1.1 * expected).abs() > 4.5 * error).any()


def test_drawn_positions_follow_the_seed():
    model, x = network(), normal(5, 2, 4, 4, seed=6)
    one, again, other = (
        second_moments(model, model, "0", x, positions=4, seed=seed)[0] for seed in (0, 0, 1)
    )
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    every = second_moments(model, model, "0", x, positions=16, seed=0)[0]
    assert torch.equal(every, second_moments(model, model, "0", x, seed=1)[0])


@pytest.mark.parametrize("positions", [3, 64])
def test_a_copy_has_the_moments_of_the_model_itself(positions):
    """Both ways draw the same positions, so a candidate that differs in nothing gives the same."""
    model, x = network(), normal(7, 2, 4, 4, seed=7)
    known = Statistics(model, x, positions=positions, batch_size=3)
    inputs = known.passed_through(network())
    for name in known.layers:
        for own, copied in zip(known.moments(name), known.moments(name, inputs), strict=True):
            assert torch.allclose(own, copied, rtol=1e-12, atol=1e-12)


def test_the_boundary_is_that_of_the_two_functions():
    model, x = network(), normal(30, 2, 4, 4, seed=8)
    known = Statistics(model, x)
    points, outputs = known.metrics("boundary", 20, 0.5, 3)
    assert torch.equal(points, sample_boundary(model, x, 20, 0.5, 3))
    expected = boundary_form(model, model, points, rows=False).outputs
    assert all(torch.equal(outputs[name], expected[name]) for name in known.layers)
    assert known.metrics("boundary", 20, 0.5, 3)[0] is points
    assert known.metrics("fisher", 20, 0.5, 3)[0] is points
    assert not torch.equal(known.metrics("boundary", 20, 0.5, 4)[0], points)
    assert torch.equal(known.low_margin(7), low_margin_points(model, x, 7))


ROUNDINGS = {
    "AdaRound": lambda m, b, x: adaround(m, b, x, steps=20),
    "AdaRound, propagated": lambda m, b, x: adaround(m, b, x, propagate=True, steps=20),
    "boundary gap": lambda m, b, x: boundary_gap(m, b, x, [1.0], points=10, steps=20)[1.0],
    "boundary metric": lambda m, b, x: boundary_metric(
        m, b, x, exact=[0.1], points=20, rows=10, steps=20
    ),
    "logit metric": lambda m, b, x: output_metric(m, b, x, "logit", points=20, steps=20),
}


def test_all_ways_and_bits_share_one_calibration(monkeypatch):
    """The results are those of separate calls, and the network is passed through once for each kind."""
    model, x = network(), normal(30, 2, 4, 4, seed=9)
    alone = {(w, b): way(model, b, x) for w, way in ROUNDINGS.items() for b in (4, 3)}
    passes = []
    monkeypatch.setattr(
        Statistics, "_passes", lambda self, own=Statistics._passes: passes.append(1) or own(self)
    )
    forms = []
    monkeypatch.setattr(
        "baq.rounding.statistics.output_metrics",
        lambda *a, **k: forms.append(1) or output_metrics(*a, **k),
    )
    known = Statistics(model, x)
    for (name, bits), expected in alone.items():
        found = ROUNDINGS[name](model, bits, known)
        for p, q in zip(found.parameters(), expected.parameters(), strict=True):
            assert torch.equal(p, q), (name, bits)
    assert (len(passes), len(forms)) == (2, 2)
    started = boundary_gap(model, 4, known, [1.0], start=alone["AdaRound", 4], points=10, steps=20)[
        1.0
    ]
    for p, q in zip(started.parameters(), alone["boundary gap", 4].parameters(), strict=True):
        assert torch.equal(p, q)


def test_what_statistics_cannot_take_is_named():
    model, x = network(), normal(8, 2, 4, 4)
    with pytest.raises(ValueError, match="x holds statistics of another network"):
        adaround(network(), 4, Statistics(model, x))
    with pytest.raises(ValueError, match="not finite"):
        Statistics(model, x / 0)
    with pytest.raises(ValueError, match="batch_size is 0: allowed is 1 or more"):
        Statistics(model, x, batch_size=0)
    with pytest.raises(ValueError, match="positions is 0: allowed is 1 or more"):
        Statistics(model, x, positions=0)

    half = Half().eval()
    known = Statistics(half, torch.ones(4, 3))
    for inputs in (None, known.passed_through(half)):
        with pytest.raises(ValueError, match="layer 'unused', Linear.* takes no part"):
            known.moments("unused", inputs)


def test_a_network_that_works_in_place_leaves_the_inputs():
    x = torch.randn(20, 3, generator=torch.Generator().manual_seed(0))
    before = x.clone()
    linear = nn.Linear(3, 2)
    moments, _ = Statistics(nn.Sequential(nn.ReLU(inplace=True), linear).eval(), x).moments("1")
    assert torch.equal(x, before)
    torch.testing.assert_close(moments, before.relu().T @ before.relu() / 20)
