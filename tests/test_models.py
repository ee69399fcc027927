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


@pytest.mark.parametrize(("inputs", "hidden", "classes"), [(0, 4, 3), (4, 0, 3), (4, 4, 1)])
def test_bad_sizes_are_named(inputs, hidden, classes):
    with pytest.raises(ValueError, match=f"are {inputs}, {hidden}, {classes}: allowed are 1 or"):
        models.mlp(inputs, classes, hidden)
