"""Rounding takes layers of many kinds, or names those that it leaves to the nearest value."""

import warnings

import pytest
import torch
from torch import nn

from baq import ptq_w
from baq.quantization import left_in_float, quantize, quantized_layers
from baq.rounding import adaround, boundary_gap, boundary_metric
from baq.rounding.methods import output_metric
from baq.rounding.ways import KINDS


def seeded(build):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = build().eval()
    for weight in model.parameters():
        weight.data *= 2 if weight.ndim > 1 else 0.1  # so that labels differ between inputs
    return model


def depthwise():
    layers = (
        nn.Conv2d(3, 6, 3, padding="same"),
        nn.ReLU(),
        nn.Conv2d(6, 6, 3, groups=6),
        nn.ReLU(),
    )
    return nn.Sequential(*layers, nn.Conv2d(6, 4, 1), nn.Flatten(), nn.Linear(64, 4))


def over_time():
    layers = (nn.Conv1d(3, 6, 3, padding=1, padding_mode="circular"), nn.ReLU())
    return nn.Sequential(
        *layers, nn.ConvTranspose1d(6, 4, 2, stride=2), nn.Flatten(), nn.Linear(48, 4)
    )


class Transformer(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(8, 2, 12, batch_first=True, dropout=0.0)
        self.last = nn.Linear(8, 4)

    def forward(self, x):
        return self.last(self.layer(x).mean(dim=1))


CASES = {
    "depthwise": (depthwise, (3, 6, 6), {"2": "Conv2d with groups=6"}, []),
    "over time": (over_time, (3, 6), {"2": "a ConvTranspose1d"}, []),
    "transformer": (
        Transformer,
        (5, 8),
        {"layer.self_attn.out_proj": "a projection that attention applies itself"},
        ["layer.self_attn.in_proj_weight"],
    ),
}
METHODS = {
    "adaround": lambda m, x: adaround(m, 3, x, propagate=True, steps=20),
    "logit": lambda m, x: output_metric(m, 3, x, KINDS["logit metric"], points=40, steps=20),
    "gap": lambda m, x: boundary_gap(m, 3, x, [1.0], steps=20)[1.0],
    "metric": lambda m, x: boundary_metric(m, 3, x, exact=[0.1], points=40, steps=20),
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("case", CASES)
def test_layers_are_rounded_or_named_and_left_to_the_nearest(case, method):
    build, shape, left, _ = CASES[case]
    model = seeded(build)
    x = torch.randn(80, *shape, generator=torch.Generator().manual_seed(0))
    with pytest.warns(UserWarning, match="left to nearest: ") as caught:
        rounded = METHODS[method](model, x)
    told = [str(w.message) for w in caught if "left to nearest" in str(w.message)]
    assert told == ["left to nearest: " + ", ".join(f"{n!r} ({w})" for n, w in left.items())]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        nearest = quantized_layers(ptq_w(model, 3))
    moved = 0
    for name, layer in quantized_layers(rounded).items():
        if name in left:
            assert torch.equal(layer.weight, nearest[name].weight)
        else:
            moved += int((layer.weight != nearest[name].weight).sum())
            # On the grid all the same.
            assert len(layer.weight.unique()) <= 7
    assert moved > 0
    if method == "adaround":
        with torch.no_grad():
            loss, before = ((m(x) - model(x)).square().mean() for m in (rounded, nearest_of(model)))
        assert loss < before


def nearest_of(model):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ptq_w(model, 3)


def test_what_is_left_in_float_is_named():
    class Mixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.table, self.lstm = nn.Embedding(9, 4), nn.LSTM(4, 3)
            self.norm, self.last = nn.LayerNorm((2, 3)), nn.Linear(3, 2)
            self.attention = nn.MultiheadAttention(4, 2)

    model = seeded(Mixed)
    left = ["table.weight", "lstm.weight_ih_l0", "lstm.weight_hh_l0", "attention.in_proj_weight"]
    assert left_in_float(model) == left
    with pytest.warns(UserWarning, match=f"left in float: {', '.join(left)}"):
        candidate = ptq_w(model, 4)
    before = dict(model.named_parameters())
    changed = [n for n, p in candidate.named_parameters() if not torch.equal(p, before[n])]
    assert changed == ["last.weight", "attention.out_proj.weight"]
    assert torch.equal(candidate.last.weight, quantize(model.last.weight, 4))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ptq_w(seeded(depthwise), 4)
    assert left_in_float(seeded(Transformer)) == CASES["transformer"][3]
