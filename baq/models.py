"""The small classifier families of the companion, initialized by a seed."""

from __future__ import annotations

import torch
from torch import nn

__all__ = ["ACTIVATIONS", "cnn", "mlp"]

ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "tanh": nn.Tanh}


def cnn(channels: int, classes: int, width: int = 16, seed: int = 0) -> nn.Sequential:
    """Small convolutional network for images of 25 to 32 pixels a side.

    Three times convolution with stride 2, batch norm (Ioffe, Szegedy 2015, arXiv:1502.03167) and
    ReLU, with ``width``, ``2 width`` and ``4 width`` channels, which leaves 4 x 4 pixels for a linear
    layer. Strides instead of pooling make it cheap enough for label maps of many cells.

    Arguments:
        channels: channels of an image.
        classes: number of classes K.
        width: channels of the first convolution.
        seed: seed of the initialization; the global random state is left as it was.

    Raises:
        ValueError: for channels or width below 1, or fewer than 2 classes.
    """
    if min(channels, width) < 1 or classes < 2:
        raise ValueError(
            f"channels, width, classes are {channels}, {width}, {classes}: "
            "allowed are 1 or more, 1 or more, 2 or more"
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layers: list[nn.Module] = []
        for before, after, kernel in (
            (channels, width, 5),
            (width, 2 * width, 3),
            (2 * width, 4 * width, 3),
        ):
            # Batch norm brings the bias.
            convolution = nn.Conv2d(before, after, kernel, 2, kernel // 2, bias=False)
            layers += [convolution, nn.BatchNorm2d(after), nn.ReLU()]
        model = nn.Sequential(*layers, nn.Flatten(), nn.Linear(64 * width, classes))
    # Convolutions on a processor are faster with the channels of a pixel side by side.
    return model.to(memory_format=torch.channels_last)


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
