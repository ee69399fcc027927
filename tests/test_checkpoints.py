"""Checkpoints come back bit for bit, or with an error; the shipped ones are what the manifest says."""

import hashlib
import json
import math
import re
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from functools import partial

import pytest
import torch
from tiny_images import TINY, images, same

from baq.inference import logits
from baq.zoo import checkpoints, data, models, training


@pytest.fixture
def shipped(tmp_path):
    """A folder with one checkpoint of an untrained network."""
    model = models.cnn(3, 10, 2, seed=4).eval()
    checkpoints.save(model, "cnn", 4, {"width": 2, "accuracy": 0.1}, tmp_path)
    return tmp_path, model


def test_a_checkpoint_comes_back_bit_for_bit(shipped):
    where, model = shipped
    loaded = checkpoints.load("cnn", 4, where)
    assert same(loaded, model)
    assert not loaded.training
    assert same(checkpoints.load_or_train("cnn", 4, where), model)
    assert sorted(path.name for path in where.iterdir()) == ["cnn-4.safetensors", "manifest.json"]


def test_a_wrong_byte_is_an_error(shipped):
    where, _ = shipped
    path = where / "cnn-4.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    for fetch in (checkpoints.load, checkpoints.load_or_train):
        with pytest.raises(ValueError, match="sha256 .* the manifest says"):
            fetch("cnn", 4, where)


def test_a_truncated_file_is_an_error(shipped):
    where, _ = shipped
    path = where / "cnn-4.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match="truncated or another file"):
        checkpoints.load("cnn", 4, where)


def test_another_architecture_is_an_error(shipped):
    where, _ = shipped
    entries = json.loads((where / "manifest.json").read_text())
    entries["cnn-4"]["width"] = 3
    (where / "manifest.json").write_text(json.dumps(entries))
    with pytest.raises(ValueError, match="holds no cnn of width 3"):
        checkpoints.load("cnn", 4, where)


def test_a_file_that_is_no_safetensors_is_an_error_even_with_its_own_hash(shipped):
    where, _ = shipped
    junk = b"x" * 64
    (where / "cnn-4.safetensors").write_bytes(junk)
    entries = json.loads((where / "manifest.json").read_text())
    entries["cnn-4"] |= {"bytes": 64, "sha256": hashlib.sha256(junk).hexdigest()}
    (where / "manifest.json").write_text(json.dumps(entries))
    with pytest.raises(ValueError, match="holds no cnn"):
        checkpoints.load("cnn", 4, where)


def test_unknown_family_absent_checkpoint_and_broken_manifest_are_named(shipped):
    where, _ = shipped
    for fetch in (checkpoints.load, checkpoints.load_or_train, checkpoints.train):
        with pytest.raises(
            ValueError, match="family is 'vgg': allowed are cnn, resnet, subset-cnn"
        ):
            fetch("vgg", 0, where)
    with pytest.raises(FileNotFoundError, match="no checkpoint cnn-5 .* there are cnn-4; train it"):
        checkpoints.load("cnn", 5, where)
    (where / "manifest.json").write_text("{")
    with pytest.raises(ValueError, match="is no manifest"):
        checkpoints.manifest(where)


@pytest.mark.parametrize("seed", ["0", None, True, -1, 4.0])
def test_what_is_no_seed_is_named(shipped, seed):
    for fetch in (checkpoints.load, checkpoints.load_or_train, checkpoints.train):
        with pytest.raises(ValueError, match=f"seed is {seed!r}: allowed is 0 to"):
            fetch("cnn", seed, shipped[0])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "holds a list: allowed is a map"),
        ('"x"', "holds a str: allowed is a map"),
        ("null", "holds a NoneType: allowed is a map"),
        ("[" * 100_000, "is no manifest"),
        ('{"cnn-4": 5}', "cnn-4 is 5: allowed is a map"),
        ('{"cnn-4": {}}', "family of cnn-4 is absent: allowed is a text"),
    ],
)
def test_a_manifest_of_another_kind_is_named(shipped, text, message):
    where, _ = shipped
    (where / "manifest.json").write_text(text)
    for fetch in (checkpoints.load, checkpoints.load_or_train):
        with pytest.raises(ValueError, match=message) as caught:
            fetch("cnn", 4, where)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("key", ["family", "seed", "width", "bytes", "sha256"])
@pytest.mark.parametrize("value", [None, True, [1], "absent"])
def test_a_faulty_entry_of_a_manifest_is_named(shipped, key, value, capsys):
    where, _ = shipped
    entries = json.loads((where / "manifest.json").read_text())
    if value == "absent":
        del entries["cnn-4"][key]
    else:
        entries["cnn-4"][key] = value
    (where / "manifest.json").write_text(json.dumps(entries))
    found = "absent" if value == "absent" else repr(value)
    with pytest.raises(ValueError) as caught:
        checkpoints.load("cnn", 4, where)
    assert f"{key} of cnn-4 is {found}: allowed is a " in str(caught.value)
    assert checkpoints.main(["--folder", str(where), "list"]) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("name", ["0.weight", "1.running_var"])
def test_a_network_that_is_not_finite_is_not_saved(shipped, name, value):
    where, model = shipped
    before = {path.name: path.read_bytes() for path in where.iterdir()}
    model.state_dict()[name][(0,) * model.state_dict()[name].ndim] = value
    for seed in (4, 5):
        with pytest.raises(ValueError, match=f"{name} of cnn-{seed} holds values that are not"):
            checkpoints.save(model, "cnn", seed, {"width": 2}, where)
    assert {path.name: path.read_bytes() for path in where.iterdir()} == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"width": ...}, "width of cnn-5 is absent: allowed is a number"),
        ({"width": "2"}, "width of cnn-5 is '2': allowed is a number"),
        ({"width": math.nan}, "width of cnn-5 is nan: allowed is a number"),
        ({"width": torch.tensor(2)}, "width of cnn-5 is tensor(2): allowed is a number"),
        ({"family": None}, "family of cnn-5 is None: allowed is a text"),
        ({"family": "vgg"}, "family of cnn-5 is 'vgg': allowed is 'cnn'"),
        ({"seed": 4}, "seed of cnn-5 is 4: allowed is 5"),
        ({"minutes": "1"}, "minutes of cnn-5 is '1': allowed is a number"),
        ({"accuracy": math.nan}, "accuracy of cnn-5 is nan: allowed are finite numbers, texts"),
        ({"accuracy": torch.ones(2, 2)}, "accuracy of cnn-5 is tensor([[1., 1.], [1., 1.]]): all"),
        ({"recipe": {"crop": math.inf}}, "recipe of cnn-5 is {'crop': inf}: allowed are finite"),
        ({"note": torch.ones(3, 1)}, "note of cnn-5 is tensor([[1.], [1.], [1.]]): allowed are"),
        (None, "the entry of cnn-5 is None: allowed is a map"),
    ],
)
def test_an_entry_that_no_manifest_may_hold_is_not_saved(shipped, change, message):
    where, model = shipped
    entry = change and {k: v for k, v in ({"width": 2} | change).items() if v is not ...}
    before = {path.name: path.read_bytes() for path in where.iterdir()}
    for place in (where, where / "new"):
        with pytest.raises(ValueError, match=f"^{re.escape(message)}") as caught:
            checkpoints.save(model, "cnn", 5, entry, place)
        assert "\n" not in str(caught.value)
    assert {path.name: path.read_bytes() for path in where.iterdir()} == before
    assert list(checkpoints.manifest(where)) == ["cnn-4"]


def test_a_network_without_values_or_with_shared_ones_is_not_saved(tmp_path):
    with torch.device("meta"):
        empty = torch.nn.Linear(2, 2)
    shared = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 2))
    shared[1].weight = shared[0].weight
    for model, message in (
        (empty, "weight of cnn-5 is on meta: allowed are tensors with values"),
        (shared, r"cnn-5 cannot be stored: .*share memory.*0\.weight"),
    ):
        with pytest.raises(ValueError, match=f"^{message}") as caught:
            checkpoints.save(model, "cnn", 5, {"width": 2}, tmp_path / "new")
        assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_the_command_lists_and_fails_with_one_line(shipped, capsys):
    where, model = shipped
    entry = {"width": 2, "accuracy": 0.1, "minutes": 1.0, "threads": 1, "processor": "some"}
    checkpoints.save(model, "cnn", 4, entry, where)
    assert checkpoints.main(["--folder", str(where), "list"]) == 0
    assert "accuracy 0.1000" in capsys.readouterr().out
    (where / "cnn-4.safetensors").write_bytes(b"")
    assert checkpoints.main(["--folder", str(where), "list"]) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_networks_saved_side_by_side_are_all_in_the_manifest(tmp_path):
    model = models.cnn(3, 10, 2, 0)
    with ThreadPoolExecutor(8) as pool:
        saved = [
            pool.submit(checkpoints.save, model, "cnn", seed, {"width": 2}, tmp_path)
            for seed in range(24)
        ]
    assert [one.result() for one in saved] == [None] * 24
    assert len(checkpoints.manifest(tmp_path)) == 24


def test_a_network_is_trained_and_saved_where_there_is_none(tmp_path, monkeypatch):
    x, y = images(40)
    split = data.Splits(x, y, x[:10], y[:10], x[:20], y[:20])
    monkeypatch.setattr(checkpoints.data, "load", lambda *_, **__: split)
    family = checkpoints.Family(partial(models.resnet, 3, 10), 8, TINY)
    monkeypatch.setitem(checkpoints.FAMILIES, "resnet", family)
    one = checkpoints.load_or_train("resnet", 1, tmp_path)
    entry = checkpoints.manifest(tmp_path)["resnet-1"]
    assert entry["recipe"]["epochs"] == 3
    z = logits(one, x[:20])
    assert entry["accuracy"] == float((z.argmax(1) == y[:20]).double().mean())
    before = (tmp_path / "resnet-1.safetensors").stat().st_mtime_ns
    assert same(checkpoints.load_or_train("resnet", 1, tmp_path), one)
    assert (tmp_path / "resnet-1.safetensors").stat().st_mtime_ns == before
    assert same(checkpoints.load_or_train("resnet", 1, tmp_path, fresh=True), one)
    assert (tmp_path / "resnet-1.safetensors").stat().st_mtime_ns > before
    (tmp_path / "resnet-1.safetensors").unlink()
    assert same(checkpoints.load_or_train("resnet", 1, tmp_path), one)
    assert same(checkpoints.load("resnet", 1, tmp_path), one)


def test_a_network_of_mnist_is_trained_by_adam_as_its_family_says(tmp_path, monkeypatch):
    x, y = (
        torch.rand(60, 1, 28, 28, generator=torch.Generator().manual_seed(0)),
        torch.arange(60) % 10,
    )
    asked = []

    def load(*names, **sizes):
        asked.append((names, sizes))
        return data.Splits(x, y, x[:10], y[:10], x[:20], y[:20])

    monkeypatch.setattr(checkpoints.data, "load", load)
    monkeypatch.setattr(checkpoints, "default_device", lambda: x.device)
    kind = replace(checkpoints.FAMILIES["mnist-mlp"], width=4)
    monkeypatch.setitem(checkpoints.FAMILIES, "mnist-mlp", kind)
    made = checkpoints.train("mnist-mlp", 3, tmp_path)
    assert asked == [(("mnist", 3), {"calibration": 0.1})]
    given = {"epochs": 15, "learning_rate": 3e-3, "batch_size": 256, "decay": True, "seed": 3}
    assert same(made, training.fit(models.mlp(784, 10, 4, "relu", 3), x, y, **given))
    assert same(checkpoints.load("mnist-mlp", 3, tmp_path), made)
    shorter = checkpoints.fitted("mnist-mlp", 3, x, y, epochs=1, width=5)
    given["epochs"] = 1
    assert same(shorter, training.fit(models.mlp(784, 10, 5, "relu", 3), x, y, **given))


def test_shipped_checkpoints_are_whole_and_few_megabytes():
    entries = checkpoints.manifest()
    count = Counter(entry["family"] for entry in entries.values())
    kinds = ("mlp", "mlp-15000", "cnn")
    images = {f"{name}-{kind}": 5 for name in ("mnist", "fashion-mnist") for kind in kinds}
    digits = {"digits-mlp": 30, "digits-mlp-calibrated": 20, "digits-mlp-forecast": 20}
    assert count == {"cnn": 3, "resnet": 3, "subset-cnn": 10} | digits | images
    for name, entry in entries.items():
        kind = checkpoints.FAMILIES[entry["family"]]
        assert (entry["width"], entry["recipe"]) == (kind.width, asdict(kind.recipe)), name
        checkpoints.load(entry["family"], entry["seed"])
    assert sum(entry["bytes"] for entry in entries.values()) < 32e6


@pytest.mark.slow
def test_shipped_checkpoints_have_the_accuracy_that_the_manifest_says():
    sets = {kind.dataset for kind in checkpoints.FAMILIES.values()}
    if lacking := data.missing(sorted(sets), download=False):
        pytest.skip(next(iter(lacking.values())))
    splits = {name: data.load(name, test=500) for name in sets if name != "digits"}
    for name, entry in checkpoints.manifest().items():
        kind = checkpoints.FAMILIES[entry["family"]]
        if kind.dataset == "digits":  # whose test images are drawn by the seed
            continue
        split = splits[kind.dataset]
        model = checkpoints.load(entry["family"], entry["seed"])
        hits = (logits(model, split.x_test, 250).argmax(1) == split.y_test).double()
        # Five standard deviations of a share of 500 images.
        spread = 5 * math.sqrt(entry["accuracy"] * (1 - entry["accuracy"]) / 500)
        assert float(hits.mean()) == pytest.approx(entry["accuracy"], abs=spread), name


def test_the_overview_counts_every_weight_and_names_a_network_that_is_not_there(shipped):
    where, model = shipped
    table = checkpoints.overview([("cnn", 4)], where)
    count = sum(math.prod(parameter.shape) for parameter in model.parameters())
    columns = ["family", "seed", "width", "weights", "accuracy"]
    assert table.loc[0, columns].tolist() == ["cnn", 4, 2, count, 0.1]
    with pytest.raises(FileNotFoundError, match="no checkpoint cnn-5 in .*: there are cnn-4"):
        checkpoints.overview([("cnn", 4), ("cnn", 5)], where)
