"""The perceptron: its layers, its seed, its sizes."""

import pytest
import torch
from torch import nn

from baq.zoo import models


@pytest.mark.parametrize(("activation", "kind"), [("relu", nn.ReLU), ("tanh", nn.Tanh)])
def test_it_has_one_hidden_layer(activation, kind):
    model = models.mlp(64, 10, 32, activation)
    assert [type(layer) for layer in model] == [nn.Flatten, nn.Linear, kind, nn.Linear]
    assert model(torch.rand(5, 1, 8, 8)).shape == (5, 10)
    assert sum(weight.numel() for weight in model.parameters()) == 64 * 32 + 32 + 32 * 10 + 10


def test_a_seed_decides_and_the_global_state_stays():
    torch.manual_seed(1)
    before = torch.get_rng_state()
    a, same, other = (models.mlp(4, 3, seed=seed) for seed in (5, 5, 6))
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    again = models.mlp(4, 3, seed=5)
    for name, weight in a.state_dict().items():
        assert torch.equal(weight, same.state_dict()[name])
        assert torch.equal(weight, again.state_dict()[name])
        assert not torch.equal(weight, other.state_dict()[name])


def test_an_unknown_activation_is_named():
    with pytest.raises(ValueError, match="activation is 'gelu': allowed are relu, tanh"):
        models.mlp(4, 3, activation="gelu")


@pytest.mark.parametrize(
    ("bad", "least"),
    [
        *(({name: value}, 1) for name in ("inputs", "hidden") for value in (0, 4.0, True, "4")),
        *(({"classes": value}, 2) for value in (1, 3.0)),
        *(({"seed": value}, 0) for value in (-1, 1.5, True, None)),
    ],
)
def test_bad_sizes_and_seeds_are_named(bad, least):
    ((name, value),) = bad.items()
    with pytest.raises(ValueError, match=f"{name} is {value!r}: allowed is {least} "):
        models.mlp(**({"inputs": 4, "classes": 3} | bad))
