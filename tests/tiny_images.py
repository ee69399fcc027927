"""A training on images small enough for tests, and when two networks are the same."""

import torch

from baq.zoo.training import Recipe

TINY = Recipe(epochs=3, batch_size=16, learning_rate=0.05, crop=2)


def images(count=48, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(count, 3, 12, 12, generator=generator)
    return x, (x[:, 0].mean((1, 2)) > x[:, 1].mean((1, 2))).long()


def same(a, b):
    a, b = a.state_dict(), b.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)
