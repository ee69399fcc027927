"""Fit a classifier with one plain loop."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from tqdm import tqdm

from baq.inference import check_points

__all__ = ["fit"]


def fit(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    epochs: int = 200,
    learning_rate: float = 3e-3,
    batch_size: int = 128,
    decay: bool = False,
    seed: int = 0,
    progress: bool = False,
) -> nn.Module:
    """Minimize the cross-entropy with Adam (Kingma, Ba 2015, arXiv:1412.6980), in place.

    Arguments:
        model: a module from inputs to logits; it is returned in evaluation mode.
        x: training inputs, shape (N, *), on the model's device.
        y: training labels, shape (N,).
        epochs: passes over the training set.
        learning_rate: Adam's step size.
        batch_size: points per step; the last, smaller batch of an epoch is kept.
        decay: let the step size fall linearly to 0 over all steps, so that a few epochs suffice:
            the last, small steps average the noise of the batches out.
        seed: seed of the order in which batches are drawn.
        progress: show a bar over epochs.

    Raises:
        ValueError: for inputs that are empty or not finite, inputs and labels that differ in number,
            epochs or a batch size below 1, or a loss that is not finite at the end.
    """
    check_points(x)
    if len(x) != len(y):
        raise ValueError(f"{len(x)} inputs and {len(y)} labels: allowed are equal counts")
    if min(epochs, batch_size) < 1:
        raise ValueError(
            f"epochs and batch_size are {epochs} and {batch_size}: allowed are 1 or more"
        )
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=learning_rate, fused=True)
    steps = epochs * math.ceil(len(x) / batch_size)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: 1 - step / steps if decay else 1.0
    )
    model.train()
    loss = torch.tensor(0.0)
    for _ in tqdm(range(epochs), desc="epochs", disable=not progress):
        order = torch.randperm(len(x), generator=generator).to(x.device)
        for batch in order.split(batch_size):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(x[batch]), y[batch])
            loss.backward()
            optimizer.step()
            schedule.step()
    if not torch.isfinite(loss):
        raise ValueError(
            f"the loss is {loss.item()} after {epochs} epochs: lower the learning rate"
        )
    return model.eval()
