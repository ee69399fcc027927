"""Bits given for each layer: each layer as if the whole network had them, and names checked."""

import pytest
import torch
from torch import nn

from baq import ptq_w
from baq.quantization import bits_by_layer, quantize
from baq.rounding import Statistics, adaround, boundary_gap, boundary_metric, output_metric

X = torch.randn(60, 1, 6, 6, generator=torch.Generator().manual_seed(1))
BITS = {"0": 5, "3": 3}


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(48, 4))


WAYS = {
    "adaround": lambda m, bits, x: adaround(m, bits, x, steps=40),
    "propagated": lambda m, bits, x: adaround(m, bits, x, propagate=True, steps=40),
    "fisher": lambda m, bits, x: output_metric(m, bits, x, "fisher", points=40, steps=40),
    "metric": lambda m, bits, x: boundary_metric(m, bits, x, exact=[0.1], points=40, steps=40),
    "gap": lambda m, bits, x: boundary_gap(m, bits, x, [1.0], points=40, steps=40)[1.0],
}


def test_each_layer_goes_to_its_own_grid():
    model = network()
    made = ptq_w(model, BITS)
    for name, bits in BITS.items():
        weight = model.get_submodule(name).weight.detach()
        assert torch.equal(made.get_submodule(name).weight, quantize(weight, bits))


@pytest.mark.parametrize("way", WAYS)
def test_the_same_bits_for_all_layers_are_one_bit_width(way):
    model = network()
    made, plain = (WAYS[way](model, bits, X) for bits in (dict.fromkeys(BITS, 4), 4))
    for a, b in zip(made.parameters(), plain.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("way", WAYS)
def test_every_way_of_rounding_takes_bits_by_layer(way):
    model = network()
    made = WAYS[way](model, BITS, Statistics(model, X))
    for name, bits in BITS.items():
        values = made.get_submodule(name).weight.detach().unique()
        weight = model.get_submodule(name).weight.detach()
        step = weight.abs().max() / (2 ** (bits - 1) - 1)
        torch.testing.assert_close(values / step, (values / step).round(), rtol=0, atol=1e-4)
        assert len(values) <= 2**bits - 1


@pytest.mark.parametrize(
    ("bits", "told"),
    [
        ({"0": 4}, "bits lack layer '3'"),
        ({"0": 4, "3": 4, "5": 4}, "bits name layer '5': allowed are '0', '3'"),
        ({"0": 4, "3": 1}, "bits is 1: allowed are the integers 2 to 16"),
        ({}, "bits lack layer '0'"),
        ({"0": 4, "3": True}, "bits is True"),
        ([4, 4], "bits is [4, 4]"),
    ],
)
@pytest.mark.parametrize("way", [*WAYS, "nearest"])
def test_other_bits_are_told_in_a_line(way, bits, told):
    make = {"nearest": lambda m, bits, x: ptq_w(m, bits)} | WAYS
    with pytest.raises(ValueError) as caught:
        make[way](network(), bits, X)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_start_of_other_bits_is_refused():
    model = network()
    start = adaround(model, BITS, X, steps=40)
    with pytest.raises(ValueError, match="no rounding of layer '0' at 4 bits"):
        boundary_gap(model, {"0": 4, "3": 3}, X, [1.0], start=start)
    assert bits_by_layer(model, 6) == {"0": 6, "3": 6}
