"""The small classifier families of the companion, initialized by a seed."""

from __future__ import annotations

import torch
from torch import nn

__all__ = ["ACTIVATIONS", "mlp"]

ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "tanh": nn.Tanh}


def mlp(
    inputs: int, classes: int, hidden: int = 64, activation: str = "tanh", seed: int = 0
) -> nn.Sequential:
    """Multilayer perceptron with one hidden layer: Flatten, Linear, activation, Linear.

    Arguments:
        inputs: number of input values of one point.
        classes: number of classes K.
        hidden: width of the hidden layer.
        activation: a name in :data:`ACTIVATIONS`.
        seed: seed of the initialization; the global random state is left as it was.

    Raises:
        ValueError: for an unknown activation or a width below 1.
    """
    if activation not in ACTIVATIONS:
        raise ValueError(f"activation is {activation!r}: allowed are {', '.join(ACTIVATIONS)}")
    if min(inputs, hidden) < 1 or classes < 2:
        raise ValueError(
            f"inputs, hidden, classes are {inputs}, {hidden}, {classes}: "
            "allowed are 1 or more, 1 or more, 2 or more"
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Flatten(),
            nn.Linear(inputs, hidden),
            ACTIVATIONS[activation](),
            nn.Linear(hidden, classes),
        )
