"""The residual family, and the training of image networks: augmentation, seeds, kills, bad input."""

import math

import pytest
import torch
from tiny_images import TINY, images, same
from torch import nn

from baq.inference import logits
from baq.zoo import models, training
from baq.zoo.training import Recipe, augment, fit_images


def tiny(seed=0):
    # Below 8 channels in, torch 2.14.1 corrupts memory in a 1 x 1 convolution of stride 2 on processors
    # with AVX2 alone.
    return models.resnet(3, 2, width=8, seed=seed)


# Families


@pytest.mark.parametrize(("side", "channels"), [(32, 3), (28, 1), (9, 2)])
def test_resnet_gives_finite_logits_of_its_shape(side, channels):
    model = models.resnet(channels, 7, width=9).eval()
    assert logits(model, torch.rand(5, channels, side, side)).shape == (5, 7)


def test_resnet_has_eight_layers_besides_the_shortcuts_and_309k_weights_at_width_32():
    model = models.resnet(3, 10, width=32)
    layers = [m for m in model.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    shortcuts = [m for m in layers if isinstance(m, nn.Conv2d) and m.kernel_size == (1, 1)]
    assert len(layers) - len(shortcuts) == 8
    assert sum(p.numel() for p in model.parameters()) == 308_650


def test_a_seed_decides_the_initialization_and_the_global_state_stays():
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    one, two, other = tiny(1), tiny(1), tiny(2)
    assert torch.rand(1) == expected
    assert same(one, two)
    assert not same(one, other)


@pytest.mark.parametrize("bad", [(0, 10, 4), (3, 1, 4), (3, 10, 0)])
def test_resnet_names_bad_sizes(bad):
    with pytest.raises(
        ValueError, match=r"(channels|width|classes) is [01]: allowed is [12] or more"
    ):
        models.resnet(*bad)


# Training


def test_augmentation_mirrors_and_shifts_and_nothing_else():
    x = torch.rand(64, 3, 8, 8)
    padded = nn.functional.pad(x, (2,) * 4, mode="reflect")
    found = set()
    for image, large in zip(augment(x, 2, torch.Generator().manual_seed(0)), padded, strict=True):
        hits = [
            (flip, dy, dx)
            for flip, source in ((False, large), (True, large.flip(2)))
            for dy in range(5)
            for dx in range(5)
            if torch.equal(image, source[:, dy : dy + 8, dx : dx + 8])
        ]
        assert hits
        found.update(hits)
    assert len(found) > 25
    assert {flip for flip, _, _ in found} == {False, True}


def test_no_crop_only_mirrors():
    x = torch.rand(20, 1, 4, 4)
    y = augment(x, 0, torch.Generator().manual_seed(1))
    mirrored = (y == x.flip(3)).flatten(1).all(1)
    assert (mirrored | (y == x).flatten(1).all(1)).all()
    assert 0 < mirrored.sum() < 20


def test_training_lowers_the_error_and_is_equal_for_equal_seeds():
    x, y = images(256)
    recipe = Recipe(epochs=12, batch_size=32, learning_rate=0.1, crop=1)
    one = fit_images(models.resnet(3, 2, 8), x, y, recipe, seed=3)
    two = fit_images(models.resnet(3, 2, 8), x, y, recipe, seed=3)
    other = fit_images(models.resnet(3, 2, 8), x, y, recipe, seed=4)
    assert same(one, two)
    assert not same(one, other)
    assert not one.training
    assert (logits(one, x).argmax(1) == y).double().mean() > 0.85


class Killed(Exception):
    """Stands for the end of a process."""


@pytest.mark.parametrize("steps", [4, 7, 8])
def test_a_killed_run_ends_with_the_weights_of_an_uninterrupted_one(tmp_path, monkeypatch, steps):
    x, y = images()
    whole = fit_images(tiny(), x, y, TINY, seed=1)
    resume, calls = tmp_path / "run.resume", 0
    honest = training.augment

    def dying(*arguments):
        nonlocal calls
        calls += 1
        if calls > steps:
            raise Killed
        return honest(*arguments)

    monkeypatch.setattr(training, "augment", dying)
    with pytest.raises(Killed):
        fit_images(tiny(), x, y, TINY, seed=1, resume=resume)
    calls = -100
    model = fit_images(tiny(), x, y, TINY, seed=1, resume=resume)
    # Three steps an epoch: whole epochs done before the kill are not done again.
    assert calls == -100 + 9 - 3 * (steps // 3)
    assert same(model, whole)
    assert list(tmp_path.iterdir()) == []


def killed_after_one_epoch(monkeypatch, resume, x, y):
    keep = training._keep

    def keep_and_die(*arguments):
        keep(*arguments)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(training, "_keep", keep_and_die)
        with pytest.raises(Killed):
            fit_images(tiny(), x, y, TINY, resume=resume)


def test_a_resume_file_of_another_run_is_refused_unless_fresh(tmp_path, monkeypatch):
    x, y = images()
    resume = tmp_path / "run.resume"
    killed_after_one_epoch(monkeypatch, resume, x, y)
    with pytest.raises(ValueError, match="start anew with fresh=True"):
        fit_images(tiny(), x, y, TINY, seed=9, resume=resume)
    with pytest.raises(ValueError, match="holds another model"):
        fit_images(models.resnet(3, 2, width=9), x, y, TINY, resume=resume)
    anew = fit_images(tiny(), x, y, TINY, seed=9, resume=resume, fresh=True)
    assert same(anew, fit_images(tiny(), x, y, TINY, seed=9))


@pytest.mark.parametrize(
    ("name", "bad"),
    [
        *(("epochs", value) for value in (0, True, 1.5)),
        *(("batch_size", value) for value in (0, "8")),
        *(("crop", value) for value in (-1, 0.5)),
        *(("learning_rate", value) for value in (0, float("nan"), float("inf"))),
        *(("momentum", value) for value in (-0.1, 1.1)),
        *(("warmup", value) for value in (-0.1, None)),
        *(("weight_decay", value) for value in (-1e-4, float("inf"))),
    ],
)
def test_recipe_names_bad_values(name, bad):
    with pytest.raises(ValueError, match=f"{name} is {bad!r}: allowed is "):
        Recipe(**{name: bad})


def test_training_names_sets_that_do_not_fit():
    x, y = images()
    for inputs, labels, message in [
        (x[:0], y[:0], r"inputs have shape \(0, .*: allowed is \(N, ...\) with N >= 1"),
        (x, y[:-1], f"{len(x)} inputs and {len(x) - 1} labels: allowed are equal counts"),
        (x * math.inf, y, "values that are not finite"),
    ]:
        with pytest.raises(ValueError, match=message):
            fit_images(tiny(), inputs, labels, TINY)


def test_training_names_a_loss_that_is_not_finite():
    x, y = images()
    with pytest.raises(ValueError, match="in epoch 1: lower the learning rate"):
        fit_images(tiny(), x * 3e38, y, TINY)


class Greedy(nn.Module):
    """Asks for more memory than any machine has."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, x):
        return torch.empty(2**58) * self.weight


def test_a_batch_too_large_for_the_memory_is_named():
    x, y = images()
    with pytest.raises(ValueError, match="batch_size is 16: too much for this machine's memory"):
        fit_images(Greedy(), x, y, TINY)
