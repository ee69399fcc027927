"""Scores that other work gives bits by, against plain references; bits by a sum of scores against brute force."""

import itertools

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from torch.nn import functional

from baq import ptq_w
from baq.planning import allocate_by, stored_bytes
from baq.planning.rivals import hessian_trace, hutchinson, output_error, weight_error
from baq.quantization import quantize

WIDTHS = (2, 4, 8)


def network(seed=0):
    torch.manual_seed(seed)
    layers = nn.Conv2d(1, 3, 2), nn.Tanh(), nn.Flatten(), nn.Linear(12, 5), nn.Tanh()
    return nn.Sequential(*layers, nn.Linear(5, 3)).double()


X = torch.randn(9, 1, 3, 3, generator=torch.Generator().manual_seed(0)).double()
Y = torch.arange(9) % 3
LAYERS = ("0", "3", "5")


def error(layer, bits):
    return quantize(layer.weight.detach(), bits) - layer.weight.detach()


def test_the_weight_error_is_the_squared_distance_to_the_quantized_network():
    model, scores = network(), weight_error(network(), WIDTHS)
    for bits in WIDTHS:
        made = ptq_w(model, bits)
        for name in LAYERS:
            moved = made.get_submodule(name).weight - model.get_submodule(name).weight
            assert scores.loc[name, bits] == pytest.approx(float(moved.detach().square().sum()))


def test_the_output_error_is_that_of_the_layer_alone():
    model, scores = network(), output_error(network(), X, WIDTHS)
    for name, before in (("0", model[:0]), ("3", model[:3]), ("5", model[:5])):
        layer, a = model.get_submodule(name), before(X)
        apply = functional.conv2d if name == "0" else functional.linear
        added = apply(a, error(layer, 4)).square().sum() / apply(a, layer.weight).square().sum()
        assert scores.loc[name, 4] == pytest.approx(float(added.detach()))


def exact_traces(model):
    """The diagonal of the Hessian, entry by entry."""
    found = {}
    for name in LAYERS:
        weight = model.get_submodule(name).weight
        (slope,) = torch.autograd.grad(
            functional.cross_entropy(model(X), Y), weight, create_graph=True
        )
        seconds = [torch.autograd.grad(s, weight, retain_graph=True)[0] for s in slope.flatten()]
        found[name] = sum(float(s.flatten()[k]) for k, s in enumerate(seconds))
    return found


def test_hutchinsons_traces_are_those_of_the_whole_hessian():
    exact = exact_traces(network())
    found = hutchinson(network(), X, Y, probes=4000, batch_size=4)
    assert list(found) == list(LAYERS)
    for name in LAYERS:
        assert found[name] == pytest.approx(exact[name], rel=0.1)


def test_the_hessians_score_is_the_mean_trace_times_the_weight_error():
    model, traces = network(), hutchinson(network(), X, Y, probes=3, seed=5)
    scores = hessian_trace(model, X, Y, WIDTHS, probes=3, seed=5)
    for name in LAYERS:
        layer = model.get_submodule(name)
        mean = traces[name] / layer.weight.numel()
        plain = mean * float(error(layer, 2).square().sum())
        assert scores.loc[name, 2] == pytest.approx(plain)


@pytest.mark.parametrize("mean", [2, 3.3, 5, 8])
def test_bits_by_scores_come_near_to_the_best_of_all_assignments(mean):
    model = network()
    sizes = np.array([model.get_submodule(name).weight.numel() for name in LAYERS])
    scores = weight_error(model)
    bits = allocate_by(model, scores, mean)
    assert np.dot(list(bits.values()), sizes) <= mean * sizes.sum() + 1e-9
    found = sum(scores.loc[name, b] for name, b in bits.items())
    best = min(
        sum(scores.loc[name, b] for name, b in zip(LAYERS, each, strict=True))
        for each in itertools.product(scores.columns, repeat=3)
        if np.dot(each, sizes) <= mean * sizes.sum() + 1e-9
    )
    assert best <= found * (1 + 1e-12)
    assert found <= 1.3 * best


def test_bytes_are_those_of_codes_and_scales():
    model = network()  # 12, 60 and 15 weights; 3, 5 and 3 outputs
    assert stored_bytes(model, 8) == 87 + 3 * 4
    assert stored_bytes(model, 4, per_channel=True) == 87 / 2 + 11 * 4
    assert stored_bytes(model, {"0": 2, "3": 4, "5": 8}) == 3 + 30 + 15 + 12


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda m: allocate_by(m, weight_error(m), 1), "mean_bits is 1: the choices reach 2 to 8"),
        (lambda m: allocate_by(m, weight_error(m).iloc[::-1], 4), "scores are of ['5', '3', '0']"),
        (lambda m: allocate_by(m, pd.DataFrame(index=LAYERS), 4), "choices are []"),
        (lambda m: weight_error(m, [1]), "bits is 1: allowed are the integers 2 to 16"),
        (lambda m: output_error(m, X[:0]), "inputs"),
        (lambda m: hessian_trace(m, X, Y[:3]), "labels"),
        (lambda m: hessian_trace(m, X, Y, probes=0), "probes is 0"),
        (lambda m: stored_bytes(m, {"0": 4}), "bits lack layer '3'"),
    ],
)
def test_bad_input_is_told_in_a_line(call, told):
    with pytest.raises(ValueError) as caught:
        call(network())
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("mean_bits", [2, 4, 6, 8])
def test_scores_below_zero_are_lowered_too(mean_bits):
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4))
    scores = pd.DataFrame({2: [-1.0, 1.0], 4: [-9.0, 0.5], 8: [-12.0, 0.1]}, index=["0", "2"])
    found = allocate_by(model, scores, mean_bits=mean_bits)
    fitting = [
        pair for pair in itertools.product((2, 4, 8), repeat=2) if sum(pair) <= 2 * mean_bits
    ]
    least = min(scores[a]["0"] + scores[b]["2"] for a, b in fitting)
    assert scores[found["0"]]["0"] + scores[found["2"]]["2"] == least


def test_scores_and_labels_that_tell_nothing_are_refused():
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4))
    scores = pd.DataFrame({2: [np.nan, 1.0], 4: [0.0, 0.5]}, index=["0", "2"])
    with pytest.raises(ValueError, match="scores hold nan: allowed are finite numbers"):
        allocate_by(model, scores, mean_bits=4)
    with pytest.raises(ValueError, match="labels hold 9: allowed are whole numbers, 0 to 3"):
        hessian_trace(model, torch.randn(5, 4), torch.full((5,), 9), [4])
