"""What kind of network this is: its affine start, one hidden layer or more, batch norms to fold."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterable

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from baq.inference import Classifier

__all__ = [
    "affine_part",
    "fold_batch_norm",
    "has_one_hidden_layer",
    "without_flatten",
]

_PRODUCTS = nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d


# In evaluation mode, in which alone networks are measured.
_AFFINE = (*_PRODUCTS, nn.modules.batchnorm._BatchNorm, nn.Flatten, nn.Identity)


def affine_part(classifier: Classifier) -> int:
    """How many modules at the start of a ``nn.Sequential`` are together one affine map.

    Linear and convolution layers, batch norm and what only reshapes; 0 without a Linear or convolution
    among them, and for any other classifier.
    """
    if type(classifier) is not nn.Sequential:
        return 0
    modules = list(classifier)
    count = next((k for k, m in enumerate(modules) if not isinstance(m, _AFFINE)), len(modules))
    return count if any(isinstance(m, _PRODUCTS) for m in modules[:count]) else 0


def without_flatten(model: object) -> list[nn.Module]:
    """Layers of a ``Sequential`` without Flatten; empty for any other model."""
    layers = model if isinstance(model, nn.Sequential) else ()
    return [layer for layer in layers if not isinstance(layer, nn.Flatten)]


def has_one_hidden_layer(model: object) -> bool:
    """Whether a model is a ``Sequential`` of (Flatten,) Linear, ReLU or Tanh, Linear."""
    kinds = [type(layer) for layer in without_flatten(model)]
    return kinds in ([nn.Linear, nn.ReLU, nn.Linear], [nn.Linear, nn.Tanh, nn.Linear])


def fold_batch_norm(model: nn.Module) -> nn.Module:
    """A copy in which every batch norm right after a convolution is part of that convolution.

    In evaluation mode batch norm is affine for each channel, so the convolution takes its scale into
    the weights and its shift into the bias, and the network computes the same function (Jacob et al. 2018,
    arXiv:1712.05877, section 3.2). Pairs are found in ``Sequential`` and in
    modules that name
    theirs in ``conv_norm_pairs``; a batch norm elsewhere, for instance after pooling, stays, and so
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
        else:
            pairs = getattr(module, "conv_norm_pairs", ())
        for before, after in pairs:
            convolution, norm = getattr(module, before), getattr(module, after)
            # No subclass, whose forward pass or parameters may be others.
            plain = type(convolution) is nn.Conv2d and type(norm) is nn.BatchNorm2d
            if plain and norm.running_mean is not None:
                setattr(module, before, fuse_conv_bn_eval(convolution, norm))
                setattr(module, after, nn.Identity())
    return folded
