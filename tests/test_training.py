"""Training learns the digits, bit for bit alike for a seed, and says where it fails."""

import pytest
import torch

from baq.inference import labels, logits
from baq.zoo import data, models, training


@pytest.fixture(scope="module")
def split():
    return data.load("digits", 0)


def trained(split, seed=0, **options):
    model = models.mlp(64, 10, 64, "tanh", seed=4)
    return training.fit(model, split.x_train, split.y_train, epochs=15, seed=seed, **options)


def test_it_learns_the_digits(split):
    untrained = labels(logits(models.mlp(64, 10, 64, "tanh", seed=4), split.x_test))
    assert (untrained == split.y_test).double().mean() < 0.3
    model = trained(split)
    assert not model.training
    assert (labels(logits(model, split.x_test)) == split.y_test).double().mean() > 0.95


def test_a_seed_decides_every_bit_and_the_global_state_stays(split):
    torch.manual_seed(1)
    before = torch.get_rng_state()
    a = trained(split).state_dict()
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    same, other = trained(split).state_dict(), trained(split, seed=1).state_dict()
    for name, weight in a.items():
        assert torch.equal(weight, same[name])
        assert not torch.equal(weight, other[name])


def test_one_full_batch_takes_the_first_step_of_adam():
    """Adam's first step is the step size times the sign of the gradient."""
    x, y = torch.rand(20, 3, generator=torch.Generator().manual_seed(0)), torch.arange(20) % 2
    model = models.mlp(3, 2, 4)
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    torch.nn.functional.cross_entropy(model(x), y).backward()
    signs = {name: weight.grad.sign() for name, weight in model.named_parameters()}
    training.fit(model, x, y, epochs=1, batch_size=20, learning_rate=0.01)
    for name, weight in model.state_dict().items():
        torch.testing.assert_close(weight - before[name], -0.01 * signs[name], rtol=1e-3, atol=1e-6)


def test_the_last_small_batch_of_an_epoch_is_kept():
    seen = []
    model = models.mlp(3, 2, 4)
    model.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    x = torch.arange(30.0).reshape(10, 3)
    training.fit(model, x, torch.arange(10) % 2, epochs=2, batch_size=4)
    assert [len(batch) for batch in seen] == [4, 4, 2, 4, 4, 2]
    for epoch in (seen[:3], seen[3:]):
        assert torch.equal(torch.cat(epoch).sort(dim=0).values, x)
    assert not torch.equal(torch.cat(seen[:3]), torch.cat(seen[3:]))


def test_a_loss_that_is_not_finite_is_named():
    x, y = torch.rand(8, 3), torch.arange(8) % 2
    with pytest.raises(ValueError, match="the loss is nan after 4 epochs: lower the learning rate"):
        training.fit(models.mlp(3, 2), x, y, epochs=4, learning_rate=1e38)


@pytest.mark.parametrize(
    ("x", "targets", "options", "message"),
    [
        (torch.rand(8, 3), 7, {}, "8 inputs and 7 labels: allowed are equal counts"),
        (torch.rand(7, 3), 8, {}, "7 inputs and 8 labels: allowed are equal counts"),
        (torch.rand(0, 3), 0, {}, r"inputs have shape \(0, 3\): allowed"),
        (torch.full((8, 3), torch.nan), 8, {}, "inputs hold 24 values that are not finite"),
        (torch.rand(8, 3), 8, {"epochs": 0}, "epochs is 0: allowed is 1 or more"),
        (torch.rand(8, 3), 8, {"batch_size": 0}, "batch_size is 0: allowed is 1 or more"),
        (torch.rand(8, 3), 8, {"epochs": True}, "epochs is True: allowed is 1 or more, a whole"),
        (torch.rand(8, 3), 8, {"batch_size": True}, "batch_size is True: allowed is 1 or more"),
        (torch.rand(8, 3), 8, {"batch_size": 2.0}, "batch_size is 2.0: allowed is 1 or more"),
        (torch.rand(8, 3), 8, {"seed": -1}, "seed is -1: allowed is 0 to 4294967295"),
        (torch.rand(8, 3), 8, {"learning_rate": "1"}, "learning_rate is '1': allowed is above 0"),
    ],
)
def test_bad_input_is_named(x, targets, options, message):
    with pytest.raises(ValueError, match=message):
        training.fit(models.mlp(3, 2), x, torch.zeros(targets).long(), **options)


def test_a_bar_is_shown_only_where_asked_for(capsys):
    for progress in (False, True):
        x, y = torch.rand(8, 3), torch.arange(8) % 2
        training.fit(models.mlp(3, 2), x, y, epochs=2, progress=progress)
        assert ("epochs" in capsys.readouterr().err) == progress
