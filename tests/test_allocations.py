"""Bits by layer side by side, the smallest network that keeps a promise, and what the chapter says of both."""

import matplotlib.pyplot as plt
import pandas as pd
import pytest
import torch
from torch import nn

from baq.inference import labels, logits
from baq.planning import allocate, sensitivity, stored_bytes, trials
from baq.quantization import ptq_w
from baq.report import allocations, style
from baq.rounding import boundary_metric

X = torch.randn(400, 6, generator=torch.Generator().manual_seed(0))


def network(seed=0):
    torch.manual_seed(seed)
    layers = nn.Linear(6, 32), nn.Tanh(), nn.Linear(32, 8), nn.ReLU(), nn.Linear(8, 3)
    return nn.Sequential(*layers)


def flips(model, made, x):
    return float((labels(logits(made, x)) != labels(logits(model, x))).double().mean())


def test_ways_are_those_networks_quantized_and_counted_one_by_one():
    model = network()
    known = sensitivity(model, X[:200])
    rows = trials.by_ways(known, X[:50], labels(logits(model, X[:50])), X[200:], [3, 5], probes=2)
    assert list(rows["way"]) == list(trials.WAYS) * 2
    rows = rows.set_index(["way", "mean"])
    for mean in (3, 5):
        bits = allocate(known, mean_bits=mean).bits
        assert rows.loc[("forecast", mean), "flip_rate"] == flips(
            model, ptq_w(model, bits), X[200:]
        )
        assert rows.loc[("forecast", mean), "bytes"] == stored_bytes(model, bits)
        fine = ptq_w(model, mean, per_channel=True)
        row = rows.loc[("uniform, per channel", mean)]
        assert row["flip_rate"] == flips(model, fine, X[200:])
        assert row["bytes"] == stored_bytes(model, mean, per_channel=True)
    sizes = rows["bytes"].unstack("way")
    for way in ("weight error", "Hessian trace", "output error", "forecast"):
        assert (sizes[way] <= sizes["uniform"]).all()


def test_rounding_on_top_lowers_the_flips_of_both_ways():
    model = network()
    known = sensitivity(model, X[:200])
    asked = []

    def rounded(name, bits):
        asked.append(name)
        return boundary_metric(model, bits, X[:200], exact=[0.0], points=100, steps=50)

    rows = trials.on_top(known, X[200:], [3], rounded).set_index("way")
    assert asked == ["uniform-3-bits", "forecast-3-bits"]
    bits = {"uniform": 3, "forecast": allocate(known, mean_bits=3).bits}
    for way, given in bits.items():
        assert rows.loc[way, "flip_rate"] < flips(model, ptq_w(model, given), X[200:])
        assert rows.loc[way, "bytes"] == stored_bytes(model, given)


def test_the_smallest_network_kept_is_promised_on_held_out_inputs_and_no_smaller_one_passes():
    model = network()
    known = sensitivity(model, X[:100])
    row = trials.smallest_kept(known, X[100:], X[100:], 0.1).iloc[0]
    assert row["promised"]
    assert row["forecast"] <= 0.1
    assert row["flip_rate"] == row["came"] <= 0.1
    wider = trials.smallest_kept(known, X[100:], X[100:], 0.2).iloc[0]
    assert wider["bytes"] < row["bytes"]
    # Too few inputs promise nothing, and the network with the most bits is told.
    few = trials.smallest_kept(known, X[:3], X[100:], 0.1).iloc[0]
    assert not few["promised"]
    assert few["bytes"] == round(stored_bytes(model, allocate(known, mean_bits=8).bits))


def test_a_transposed_convolution_stores_a_scale_for_each_output_channel():
    layer = nn.ConvTranspose2d(3, 64, 4)
    assert stored_bytes(layer, 4, per_channel=True) == layer.weight.numel() / 2 + 4 * 64


def test_bits_are_given_to_a_network_in_bfloat16():
    found = allocate(network().bfloat16(), X[:50], mean_bits=4)
    assert found.mean_bits <= 4


def curves():
    rates = {"uniform": [0.2, 0.22, 0.1, 0.1], "forecast": [0.1, 0.1, 0.05, 0.05]}
    rows = [
        {
            "setting": "a",
            "way": way,
            "mean": mean,
            "seed": seed,
            "bytes": 1000 * mean,
            "flip_rate": r,
        }
        for way, values in rates.items()
        for (mean, seed), r in zip(((3, 0), (3, 1), (4, 0), (4, 1)), values, strict=True)
    ]
    return pd.DataFrame(rows)


def test_differences_and_sentences_follow_from_the_curves():
    found = allocations.against(curves(), [("forecast", "uniform")])
    assert found["change"].tolist() == pytest.approx([0.1 / 0.21 - 1, -0.5])
    told = allocations.fewer(found, 4)
    assert told == "a 50% fewer (from 10.00% to 5.00%)"
    assert "holds 0" in allocations.fewer(found.assign(hi=0.01), 3)
    assert allocations.fewer(found.assign(change=0.25), 4).startswith("a 25% more (")
    shown = allocations.differing(found)
    assert shown["bits in the mean"].tolist() == [3, 4]
    assert shown["difference"].tolist() == pytest.approx([-0.11, -0.05])
    assert allocations.where_lowest(curves(), "forecast", ["uniform"]) == (2, 0, 2)
    tied = curves().assign(flip_rate=0.1)
    assert allocations.where_lowest(tied, "forecast", ["uniform"]) == (0, 2, 2)
    told = allocations.on_top(curves(), 9)
    assert (
        "a, 3 bits: 21.00% flips with uniform bits, 10.00% with bits by the forecast (-52%, "
        in told
    )
    assert told.endswith("(-50%, interval excludes 0).")
    one = allocations.on_top(curves()[curves()["seed"] == 0], 9)
    assert one.endswith("(-50%, one network has no interval).")


def test_the_decision_names_what_fits_what_is_too_large_and_what_has_no_promise():
    rows = pd.DataFrame(
        {
            "setting": ["a", "b", "c"],
            "promised": [True, True, False],
            "bits": [3.5, 4.0, 8.0],
            "bytes": [30_000, 50_000, 20_000],
            "came": [0.01, 0.03, 0.5],
        }
    )
    assert allocations.decided(rows, 40, 0.02) == (
        "With 40 kB and at most 2% flips: a takes 3.50 bits in the mean, 30.0 kB.",
        "Too large with that promise: b 50 kB. Nothing can be promised for c. "
        "On test images 1 of 2 promises were broken.",
    )
    assert "nothing fits" in allocations.decided(rows, 10, 0.02)[0]
    assert allocations.decided(rows[:1], 40, 0.02)[1].startswith("On test images 0 of 1")


def test_the_figure_has_a_line_for_each_way():
    style.use_style()
    (ax,) = allocations.against_bytes(curves()).axes
    assert [line.get_label() for line in ax.lines] == ["uniform", "forecast"]
    assert ax.lines[1].get_ydata() == pytest.approx([0.1, 0.05])
    plt.close("all")
