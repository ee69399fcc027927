"""A recipe is what its parts say, and its controls control."""

import pytest
import torch
from tiny_images import same

from baq.inference import labels, logits
from baq.zoo import checkpoints, data, models, training
from baq.zoo.recipes import digits_network, mnist_network, network_on, subset_network


def test_the_digits_network_is_the_plain_training():
    network, split = digits_network(3, 8, "relu", 2, test=0.2, calibration=0.2)
    plain = data.load("digits", 3, calibration=0.2, test=0.2)
    by_hand = models.mlp(64, 10, 8, "relu", 3)
    training.fit(by_hand, plain.x_train, plain.y_train, epochs=2, seed=3)
    assert same(network, by_hand)
    assert not network.training
    for part in vars(plain):
        assert torch.equal(getattr(split, part), getattr(plain, part))


def test_another_start_keeps_the_splits_alone():
    one, split = digits_network(0, 8, epochs=1)
    other, again = digits_network(0, 8, epochs=1, start=7)
    assert torch.equal(split.x_train, again.x_train)
    assert not same(one, other)
    by_hand = models.mlp(64, 10, 8, "tanh", 7)
    training.fit(by_hand, split.x_train, split.y_train, epochs=1, seed=7)
    assert same(other, by_hand)


def test_inputs_are_shifted_and_scaled_in_every_split():
    _, split = digits_network(0, 4, epochs=1, calibration=0.2, shift=0.5, scale=0.25)
    plain = data.load("digits", 0, calibration=0.2)
    for part in ("x_train", "x_calibration", "x_test"):
        assert torch.equal(getattr(split, part), (getattr(plain, part) - 0.5) * 4)
    with pytest.raises(ValueError, match="scale is 0.0"):
        digits_network(0, scale=0.0)


def test_shuffled_labels_teach_nothing():
    network, split = digits_network(0, epochs=20, shuffled=True)
    plain = data.load("digits", 0)
    assert torch.equal(split.y_train.bincount(), plain.y_train.bincount())
    assert torch.equal(split.y_test, plain.y_test)
    assert (split.y_train == plain.y_train).double().mean() < 0.2
    right = (labels(logits(network, split.x_test)) == split.y_test).double().mean()
    assert right < 0.25


@pytest.mark.parametrize(("family", "given"), [
    ("digits-mlp", {}),
    ("digits-mlp-calibrated", {"test": 0.2, "calibration": 0.2}),
    ("digits-mlp-forecast", {"test": 0.2, "calibration": 0.4}),
])  # fmt: skip
def test_a_network_on_digits_that_ships_was_trained_as_it_would_be_now(family, given):
    """On another processor the digits of its weights may differ, and hardly a label."""
    network, split = digits_network(2, **given)
    shipped = checkpoints.load(family, 2)
    assert all(
        torch.equal(a, b) for a, b in zip(network.parameters(), shipped.parameters(), strict=True)
    )
    anew, again = digits_network(2, **given, anew=True)
    assert torch.equal(split.x_test, again.x_test)
    first, second = (logits(model, split.x_test).argmax(dim=1) for model in (network, anew))
    assert (first == second).double().mean() > 0.98
    hits = (first == split.y_test).double().mean()
    assert float(hits) == checkpoints.manifest()[f"{family}-2"]["accuracy"]


@pytest.mark.parametrize("given", [
    {"hidden": 8}, {"epochs": 2}, {"start": 7}, {"scale": 2.0}, {"test": 0.3}, {"activation": "relu"},
    {"shuffled": True}, {"shift": 0.5}, {"calibration": 0.1},
])  # fmt: skip
def test_a_network_on_digits_of_another_kind_is_trained(monkeypatch, given):
    def load(*_):
        raise AssertionError("loaded")

    monkeypatch.setattr(checkpoints, "load", load)
    monkeypatch.setattr(training, "fit", lambda model, *_, **__: model.eval())
    digits_network(2, **given)
    with pytest.raises(AssertionError, match="loaded"):
        digits_network(2)


@pytest.mark.parametrize(
    "family, rate, hidden", [("mlp", 3e-3, None), ("mlp", 3e-3, 12), ("cnn", 1e-2, None)]
)
def test_the_mnist_network_is_the_plain_training(monkeypatch, family, rate, hidden):
    generator = torch.Generator().manual_seed(0)
    x, y = torch.rand(300, 1, 28, 28, generator=generator), torch.arange(300) % 10
    asked = []

    def load(*names, **sizes):
        asked.append((names, sizes))
        return data.Splits(x, y, x[:0], y[:0], x[:0], y[:0])

    monkeypatch.setattr(data, "load", load)
    network, _ = mnist_network("mnist", 2, family, 2, calibration=0.2, hidden=hidden)
    assert asked == [(("mnist", 2), {"train": None, "calibration": 0.2, "test": None})]
    plain = {"mlp": models.mlp(784, 10, hidden or 256, "relu", 2), "cnn": models.cnn(1, 10, 16, 2)}
    recipe = {"epochs": 2, "learning_rate": rate, "batch_size": 256, "decay": True, "seed": 2}
    assert same(network, training.fit(plain[family], x, y, **recipe))


@pytest.mark.parametrize(
    ("make", "alike"),
    [
        (lambda: mnist_network("mnist", 4, "cnn"), True),
        (lambda: mnist_network("mnist", 4, "cnn", 5, test=50), True),
        (lambda: mnist_network("mnist", 4, "cnn", anew=True), False),
        (lambda: mnist_network("mnist", 4, "cnn", 6), False),
        (lambda: mnist_network("mnist", 4, "cnn", calibration=0.2), False),
        (lambda: mnist_network("mnist", 4, "cnn", train=200), False),
        (lambda: mnist_network("mnist", 4, train=15000, calibration=2000, test=50), True),
        (lambda: mnist_network("mnist", 4, train=15000), False),
        (lambda: mnist_network("mnist", 5, "cnn"), False),
        (lambda: mnist_network("mnist", 4, hidden=256), True),
        (lambda: mnist_network("mnist", 4, hidden=32), False),
        (lambda: subset_network(4), True),
        (lambda: subset_network(4, test=50, epochs=20), True),
        (lambda: network_on("cifar10-subset", 4, "cnn"), True),
        (lambda: subset_network(4, width=8), False),
        (lambda: subset_network(4, train=4000), False),
        (lambda: subset_network(4, anew=True), False),
    ],
)
def test_a_network_that_ships_is_loaded_where_it_was_trained_alike(monkeypatch, make, alike):
    empty = torch.zeros(0)
    monkeypatch.setattr(data, "load", lambda *_, **__: data.Splits(*[empty] * 6))
    monkeypatch.setattr(checkpoints, "shipped", lambda family, seed: seed == 4)
    monkeypatch.setattr(checkpoints, "load", lambda family, seed: ("loaded", family, seed))
    monkeypatch.setattr(
        checkpoints, "fitted", lambda family, seed, *_, **__: ("fitted", family, seed)
    )
    network, _ = make()
    assert network[0] == ("loaded" if alike else "fitted")
    assert network[1] in ("mnist-cnn", "mnist-mlp", "mnist-mlp-15000", "subset-cnn")


def test_other_names_are_refused_before_anything_is_loaded():
    with pytest.raises(ValueError, match="data set is 'digits': allowed are mnist"):
        mnist_network("digits", 0)
    with pytest.raises(ValueError, match="family is 'vgg': allowed are mlp, cnn"):
        mnist_network("mnist", 0, "vgg")
    with pytest.raises(ValueError, match="hidden is 8: allowed for cnn is None"):
        mnist_network("mnist", 0, "cnn", hidden=8)


def test_the_network_on_a_data_set_is_that_of_its_own_function(monkeypatch):
    given = {"epochs": 1, "calibration": 0.2, "test": 0.2}
    network, split = network_on("digits", 1, **given)
    other, again = digits_network(1, **given)
    assert same(network, other)
    assert torch.equal(split.x_test, again.x_test)
    monkeypatch.setattr(checkpoints, "load", lambda *names: names)
    monkeypatch.setattr(data, "load", lambda *names, **sizes: (names, sizes))
    assert network_on("cifar10", 2, "cnn", test=50) == (("cnn", 2), (("cifar10", 2), {"test": 50}))
    with pytest.raises(ValueError, match="family is 'cnn': allowed on digits is mlp"):
        network_on("digits", 0, "cnn")
    with pytest.raises(ValueError, match="family is 'mlp': allowed on cifar10-subset is cnn"):
        network_on("cifar10-subset", 0)
    with pytest.raises(ValueError, match="data set is 'svhn'"):
        network_on("svhn", 0)
