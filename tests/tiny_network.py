"""A small network in float64, and numbers drawn by a seed."""

import torch
from torch import nn


def normal(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def network(seed=0):
    """Convolution, batch norm and Linear in float64, in evaluation mode."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return (
            nn.Sequential(
                nn.Conv2d(2, 3, 3, padding=1),
                nn.BatchNorm2d(3),
                nn.ReLU(),
                nn.Conv2d(3, 4, 2, stride=2),
                nn.Tanh(),
                nn.Flatten(),
                nn.Linear(16, 3),
            )
            .double()
            .eval()
        )


class Half(nn.Module):
    """A network that leaves one of its layers out."""

    def __init__(self):
        super().__init__()
        self.used, self.unused = nn.Linear(3, 2), nn.Linear(3, 5)

    def forward(self, x):
        return self.used(x)
