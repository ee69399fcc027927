"""The small classifier families of the companion, initialized by a seed."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from baq.arguments import check_choice, check_seed, check_whole

__all__ = ["ACTIVATIONS", "ResidualBlock", "cnn", "mlp", "resnet"]

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

    Example:
        >>> tuple(cnn(1, 10, width=4).eval()(torch.zeros(2, 1, 28, 28)).shape)
        (2, 10)
    """
    check_whole(channels=channels, width=width)
    check_whole(2, classes=classes)
    check_seed(seed=seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layers: list[nn.Module] = []
        for before, after, kernel in (
            (channels, width, 5),
            (width, 2 * width, 3),
            (2 * width, 4 * width, 3),
        ):
            # Batch norm adds the bias.
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

    Example:
        >>> mlp(4, 3, hidden=8)[1]
        Linear(in_features=4, out_features=8, bias=True)
    """
    check_choice(tuple(ACTIVATIONS), activation=activation)
    check_whole(inputs=inputs, hidden=hidden)
    check_whole(2, classes=classes)
    check_seed(seed=seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Flatten(),
            nn.Linear(inputs, hidden),
            ACTIVATIONS[activation](),
            nn.Linear(hidden, classes),
        )


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions with batch norm around a shortcut (He et al. 2016, arXiv:1512.03385).

    Where the number of channels or pixels changes, the shortcut is a 1 x 1 convolution with batch norm.

    Example:
        >>> tuple(ResidualBlock(4, 8, stride=2)(torch.zeros(2, 4, 8, 8)).shape)
        (2, 8, 4, 4)
    """

    #: Each convolution with the batch norm that follows it, for :func:`baq.structure.fold_batch_norm`.
    conv_norm_pairs = (("first", "first_norm"), ("second", "second_norm"))

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(before, after, 3, stride, 1, bias=False)
        self.first_norm = nn.BatchNorm2d(after)
        self.second = nn.Conv2d(after, after, 3, 1, 1, bias=False)
        self.second_norm = nn.BatchNorm2d(after)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or before != after:
            self.shortcut = nn.Sequential(
                nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after)
            )

    def forward(self, x: Tensor) -> Tensor:
        """Feature maps (N, before, H, W) to (N, after, H / stride, W / stride), rounded up."""
        # The shortcut comes first, so that a pass that ends at its layers skips the others.
        short = self.shortcut(x)
        y = torch.relu(self.first_norm(self.first(x)))
        return torch.relu(self.second_norm(self.second(y)) + short)


def resnet(channels: int, classes: int, width: int = 16, seed: int = 0) -> nn.Sequential:
    """Reduced residual network of the CIFAR family with 8 layers (He et al. 2016, arXiv:1512.03385).

    Inputs are centred and scaled by a batch norm without weights. A 3 x 3 convolution with 2 x 2
    maximum pooling is followed by three blocks (:class:`ResidualBlock`) of ``width``, ``2 width`` and
    ``4 width`` channels, the latter two with stride 2, and by the mean over pixels and a linear
    layer. Pooling at once, which the original does not do, makes a training affordable on a processor.

    Arguments:
        channels: channels of an image.
        classes: number of classes K.
        width: channels of the first block.
        seed: seed of the initialization; the global random state is left as it was.

    Raises:
        ValueError: for channels or width below 1, or fewer than 2 classes.

    Example:
        >>> tuple(resnet(3, 10, width=4).eval()(torch.zeros(2, 3, 32, 32)).shape)
        (2, 10)
    """
    check_whole(channels=channels, width=width)
    check_whole(2, classes=classes)
    check_seed(seed=seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = nn.Sequential(
            nn.BatchNorm2d(channels, affine=False),
            nn.Conv2d(channels, width, 3, 1, 1, bias=False),
            nn.MaxPool2d(2, ceil_mode=True),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            ResidualBlock(width, width, 1),
            ResidualBlock(width, 2 * width, 2),
            ResidualBlock(2 * width, 4 * width, 2),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(4 * width, classes),
        )
    return model.to(memory_format=torch.channels_last)
