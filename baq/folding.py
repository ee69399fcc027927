"""Batch norm folded into convolutions, as deployment does before it quantizes."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterable

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from baq.models import ResidualBlock

__all__ = ["fold_batch_norm"]


def fold_batch_norm(model: nn.Module) -> nn.Module:
    """A copy in which every batch norm right after a convolution is part of that convolution.

    In evaluation mode batch norm is affine for each channel, so the convolution takes its scale into
    the weights and its shift into the bias, and the network computes the same function (Jacob et al. 2018,
    arXiv:1712.05877, section 3.2). Pairs are found in ``Sequential`` and in
    :class:`baq.models.ResidualBlock`; a batch norm elsewhere, for instance after pooling, stays, and so
    does one without running statistics.

    Raises:
        ValueError: for a model in training mode.
    """
    if any(module.training for module in model.modules()):
        raise ValueError("the model is in training mode: call .eval() first")
    folded = copy.deepcopy(model)
    for module in folded.modules():
        pairs: Iterable[tuple[str, str]] = ()
        if type(module).forward is nn.Sequential.forward:
            # Not named_children, which leaves out a module that has stood before.
            pairs = itertools.pairwise(list(module._modules))
        elif isinstance(module, ResidualBlock):
            pairs = [("first", "first_norm"), ("second", "second_norm")]
        for before, after in pairs:
            convolution, norm = getattr(module, before), getattr(module, after)
            # No subclass, whose forward pass or parameters may be others.
            plain = type(convolution) is nn.Conv2d and type(norm) is nn.BatchNorm2d
            if plain and norm.running_mean is not None:
                setattr(module, before, fuse_conv_bn_eval(convolution, norm))
                setattr(module, after, nn.Identity())
    return folded
