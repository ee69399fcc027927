"""Roundings in a bit a weight, and in files that are taken only where they were made of the same."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from test_ways import NETWORK, X

from baq import local, ptq_w, rounding
from baq.inference import logits
from baq.quantization import quantized_layers
from baq.rounding import packing, trials
from baq.rounding.descent import neighbours
from baq.zoo import checkpoints, roundings
from baq.zoo.recipes import network_on

CONV = torch.nn.Sequential(
    torch.nn.Conv2d(2, 3, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(12, 5)
).eval()


def same(one, other):
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


@given(st.integers(2, 9), st.booleans(), st.integers(0, 2**31 - 1), st.booleans())
def test_what_was_packed_comes_back_to_the_last_bit(bits, per_channel, seed, conv):
    reference = CONV if conv else NETWORK
    drawn = ptq_w(reference, bits)
    generator = torch.Generator().manual_seed(seed)
    for name, layer in quantized_layers(drawn).items():
        weight = quantized_layers(reference)[name].weight
        low, high, _ = neighbours(weight, bits, per_channel=per_channel)
        up = torch.rand(weight.shape, generator=generator) < 0.5
        layer.weight.data = torch.where(up, high, low)
    packed = packing.pack(reference, drawn, bits, per_channel=per_channel)
    assert same(packing.unpack(reference, packed, bits, per_channel=per_channel), drawn)
    sizes = {k: -(-layer.weight.numel() // 8) for k, layer in quantized_layers(reference).items()}
    assert {name: len(value) for name, value in packed.items()} == sizes


def test_bits_stand_in_the_order_of_the_weights():
    layer = torch.nn.Linear(3, 1, bias=False)
    layer.weight.data = torch.tensor([[1.0, 0.4, -0.3]])  # at 2 bits the grid is -1, 0, 1
    up = ptq_w(layer, 2)
    up.weight.data = torch.tensor([[1.0, 1.0, -1.0]])
    assert packing.pack(layer, up, 2)[""].tolist() == [0b11000000]


def test_bits_by_layer_are_packed_too():
    bits = dict(zip(quantized_layers(NETWORK), (4, 3, 5), strict=True))
    made = ptq_w(NETWORK, bits)
    assert same(packing.unpack(NETWORK, packing.pack(NETWORK, made, bits), bits), made)


def test_what_is_no_rounding_is_refused():
    with pytest.raises(ValueError, match="layer '0' is no rounding of the reference's at 4 bits"):
        packing.pack(NETWORK, NETWORK, 4)
    packed = packing.pack(NETWORK, ptq_w(NETWORK, 4), 4)
    with pytest.raises(
        ValueError, match="layer '0' has \\(1,\\) torch.uint8: allowed are \\(12,\\)"
    ):
        packing.unpack(NETWORK, packed | {"0": torch.zeros(1, dtype=torch.uint8)}, 4)
    with pytest.raises(ValueError, match="layers are 0, 2: allowed are those of the reference"):
        packing.unpack(NETWORK, {k: packed[k] for k in ("0", "2")}, 4)


def test_a_key_holds_network_inputs_and_options():
    other = ptq_w(NETWORK, 8)
    keys = [
        packing.key(NETWORK, X, {"steps": 5}),
        packing.key(NETWORK, X, {"steps": 6}),
        packing.key(NETWORK, X[1:], {"steps": 5}),
        packing.key(NETWORK, X.double(), {"steps": 5}),
        packing.key(other, X, {"steps": 5}),
    ]
    assert len(set(keys)) == 5 and packing.key(NETWORK, X.clone(), {"steps": 5}) == keys[0]


GIVEN = {"counts": [10, 40], "steps": 5}


@pytest.fixture
def asked(monkeypatch):
    """How often a search was made."""
    calls = []

    def less_tuned(*what, **how):
        calls.append(1)
        return trials.less_tuned(*what, **how)

    def kept(folder, bits=3, **changed):
        known = rounding.Statistics(NETWORK, changed.pop("x", X))
        return roundings.kept("net/one", less_tuned, known, bits, GIVEN | changed, folder)

    kept.calls = calls
    return kept


def test_a_file_stands_for_its_search_and_for_no_other(asked, tmp_path, monkeypatch):
    first, again = asked(tmp_path), asked(tmp_path)
    assert len(asked.calls) == 1
    assert list(first.networks) == list(again.networks)  # one of them has a scale a channel
    assert all(same(first.networks[way], again.networks[way]) for way in first.networks)
    asked(tmp_path, steps=6), asked(tmp_path, bits=4), asked(tmp_path, x=X[:50])
    assert len(asked.calls) == 4
    asked(tmp_path, x=X[:50])
    assert len(asked.calls) == 4  # the last one took the file's place
    monkeypatch.setattr(packing, "SEARCH", packing.SEARCH + 1)
    asked(tmp_path, x=X[:50])
    assert len(asked.calls) == 5


def test_the_table_of_searches_comes_back(tmp_path):
    known = rounding.Statistics(NETWORK, X)
    given = "net/ways", rounding.ways.searched, known, 3, {"gap_weights": [0.1], "steps": 5}
    first, again = (roundings.kept(*given, tmp_path) for _ in range(2))
    assert first.seconds == again.seconds and first.searches.equals(again.searches)
    assert set(again.networks) >= {"nearest", "boundary gap, weight 0.1"}


def test_nothing_is_written_beside_what_ships(asked, tmp_path, monkeypatch):
    monkeypatch.setenv("BAQ_CHECKPOINTS", str(tmp_path))
    asked(""), asked("")
    assert len(asked.calls) == 2 and not list(tmp_path.iterdir())


def test_a_damaged_file_is_an_error_in_one_line(asked, tmp_path):
    asked(tmp_path)
    path = tmp_path / "net/one.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"one.safetensors is damaged: its bytes are not those"):
        asked(tmp_path)
    path.write_bytes(content[:20])
    with pytest.raises(ValueError, match=r"one.safetensors is damaged: .*; delete it to search"):
        asked(tmp_path)


@pytest.mark.slow
def test_what_ships_is_what_a_search_finds():
    """Parts of a network's roundings, searched anew, are as good.

    They need not be the same: on 30 images there are many ends of like loss, and the last digits of another processor
    lead to another one.
    """
    pytest.importorskip("torchvision")
    sizes = {"train": 1000, "calibration": checkpoints.CALIBRATION, "test": 2000}
    try:
        network, split = network_on("cifar10", 0, "cnn", **sizes)
    except FileNotFoundError:
        pytest.skip("CIFAR-10 is not there")
    known = rounding.Statistics(network, split.x_train[:30], positions=8)
    how = {"points": 2000, "steps": 100}

    def never(*_, **__):
        raise AssertionError("what ships was made otherwise")

    never.__name__ = "by_metric_or_part"
    given = {"parts": False} | how
    shipped = roundings.kept("cnn-0/30-images", never, known, 4, given).networks
    anew = trials.by_metric_or_part(known, 4, **given).networks
    assert list(shipped) == list(anew)
    z, nearest = logits(network, split.x_test), ptq_w(known.given, 4)

    def flipped(other):
        return float(local.flips(z, logits(other, split.x_test)).double().mean())

    for way, found in anew.items():
        one, other = flipped(found), flipped(shipped[way])
        assert abs(one - other) < 0.02, way
        assert max(one, other) < 0.3 * flipped(nearest), way
        assert not same(found, nearest)


def test_searched_has_a_table_by_default():
    made = rounding.ways.Searched({})
    assert list(made.per_channel) == []
    assert list(made.searches) == ["method", "layer", "weights", "steps", "converged"]
