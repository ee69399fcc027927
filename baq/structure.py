"""What kind of network this is: its affine start, one hidden layer or more, batch norms to fold."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any, TypeGuard

from torch import fx, nn
from torch.nn.modules import module as torch_module
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_eval

from baq.inference import copied

__all__ = [
    "affine_part",
    "fold_batch_norm",
    "has_one_hidden_layer",
    "has_own_forward",
    "hidden_layer",
    "is_sequential",
    "runs_as_written",
]

_PRODUCTS = nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d


# In evaluation mode, the only one in which networks are measured.
_AFFINE = (*_PRODUCTS, _BatchNorm, nn.Flatten, nn.Identity)


def has_own_forward(module: nn.Module) -> bool:
    """Whether a call of a module is anything but the forward pass of a class of torch, hooks aside.

    Example:
        >>> class Doubled(nn.Linear):
        ...     def forward(self, x):
        ...         return 2 * super().forward(x)
        >>> has_own_forward(nn.Linear(2, 2)), has_own_forward(Doubled(2, 2))
        (False, True)
    """
    kind = type(module)
    return (
        "forward" in vars(module)
        or not kind.forward.__module__.startswith("torch.nn.")
        or kind.__call__ is not nn.Module.__call__
        or kind._call_impl is not nn.Module._call_impl
    )


def runs_as_written(module: nn.Module) -> bool:
    """Whether a call of a module is the forward pass of a class of torch, without hooks of any kind.

    Example:
        >>> layer = nn.Linear(2, 2)
        >>> handle = layer.register_forward_hook(lambda layer, inputs, output: 2 * output)
        >>> runs_as_written(nn.Linear(2, 2)), runs_as_written(layer)
        (True, False)
    """
    hooks = (
        module._forward_hooks,
        module._forward_pre_hooks,
        module._backward_hooks,
        module._backward_pre_hooks,
        # Those of register_module_forward_hook and its like, which run with every module.
        torch_module._global_forward_hooks,
        torch_module._global_forward_pre_hooks,
        torch_module._global_backward_hooks,
        torch_module._global_backward_pre_hooks,
    )
    return not has_own_forward(module) and not any(hooks)


def is_sequential(model: object) -> TypeGuard[nn.Sequential]:
    """Whether a model is a ``Sequential`` whose call is one child after the other and nothing else.

    Example:
        >>> is_sequential(nn.Sequential(nn.ReLU())), is_sequential(nn.ReLU())
        (True, False)
    """
    return (
        isinstance(model, nn.Sequential)
        and type(model).forward is nn.Sequential.forward
        and type(model).__iter__ is nn.Sequential.__iter__
        and runs_as_written(model)
    )


def affine_part(classifier: object) -> int:
    """How many modules at the start of a ``nn.Sequential`` are together one affine map.

    Linear and convolution layers, batch norm and what only reshapes; 0 without a Linear or convolution
    among them, and for any other classifier.

    Example:
        >>> affine_part(nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)))
        2
    """
    if not is_sequential(classifier):
        return 0
    modules = list(classifier)
    count = next((k for k, m in enumerate(modules) if not _is_affine(m)), len(modules))
    return count if any(isinstance(m, _PRODUCTS) for m in modules[:count]) else 0


def _is_affine(module: nn.Module) -> bool:
    # Without running statistics, a batch norm depends on the batch.
    fixed = not isinstance(module, _BatchNorm) or module.running_mean is not None
    return isinstance(module, _AFFINE) and runs_as_written(module) and fixed


def hidden_layer(model: object) -> tuple[nn.Linear, nn.Module, nn.Linear] | None:
    """First layer, activation and last layer of a network of one hidden layer; None for any other.

    Example:
        >>> first, activation, last = hidden_layer(nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2)))
        >>> activation, hidden_layer(nn.Linear(4, 2)) is None
        (Tanh(), True)
    """
    if not is_sequential(model):
        return None
    layers = list(model)
    if (
        layers
        and type(layers[0]) is nn.Flatten
        and layers[0].extra_repr() == nn.Flatten().extra_repr()
    ):
        if not runs_as_written(layers[0]):
            return None
        layers = layers[1:]
    if len(layers) != 3 or not all(runs_as_written(layer) for layer in layers):
        return None
    first, activation, last = layers
    if (
        type(first) is nn.Linear
        and type(activation) in (nn.ReLU, nn.Tanh)
        and type(last) is nn.Linear
    ):
        return first, activation, last
    return None


def has_one_hidden_layer(model: object) -> bool:
    """Whether a model is a ``Sequential`` of (Flatten,) Linear, ReLU or Tanh, Linear.

    Example:
        >>> has_one_hidden_layer(nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2)))
        True
    """
    return hidden_layer(model) is not None


def fold_batch_norm(model: nn.Module) -> nn.Module:
    """A copy in which every batch norm right after a convolution is part of that convolution.

    In evaluation mode batch norm is affine for each channel, so the convolution takes its scale into
    the weights and its shift into the bias, and the network computes the same function (Jacob et al.
    2018, arXiv:1712.05877, section 3.2). Pairs are found in ``Sequential`` and in modules that name
    theirs in ``conv_norm_pairs``. Other batch norms stay: those elsewhere, for instance after
    pooling, those without running statistics, those with hooks, and those of a ``Sequential`` whose
    parts are also called one by one. In a network that ``torch.fx`` cannot trace all stay. Its code
    must not look at the layers themselves, for instance at their type.

    Raises:
        ValueError: for a model in training mode, or as :func:`baq.inference.copied`.

    Example:
        >>> model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU()).eval()
        >>> [type(layer).__name__ for layer in fold_batch_norm(model)]
        ['Conv2d', 'Identity', 'ReLU']
    """
    if not isinstance(model, nn.Module):
        raise ValueError(f"the model is a {type(model).__name__}: allowed is a module")
    if any(module.training for module in model.modules()):
        raise ValueError("the model is in training mode: call .eval() first")
    folded = copied(model)
    apart = _used_apart(model)
    names = {module: name for name, module in folded.named_modules()}
    for module in folded.modules() if apart is not None else ():
        pairs: Iterable[tuple[str, str]] = ()
        if is_sequential(module):
            # named_children would skip a module that occurs twice.
            pairs = itertools.pairwise(list(module._modules))
        else:
            pairs = getattr(module, "conv_norm_pairs", ())
        for before, after in pairs:
            convolution, norm = getattr(module, before), getattr(module, after)
            # A subclass may have another forward pass or other parameters.
            plain = type(convolution) is nn.Conv2d and type(norm) is nn.BatchNorm2d
            if (
                plain
                and all(map(runs_as_written, (convolution, norm)))
                and norm.running_mean is not None
                and not {names.get(convolution), names.get(norm)} & (apart or set())
            ):
                setattr(module, before, fuse_conv_bn_eval(convolution, norm))
                setattr(module, after, nn.Identity())
    return folded


class _Calls(fx.Tracer):
    """Who calls which module, as pairs of both."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[object, nn.Module]] = []
        self._within: list[object] = [None]

    def call_module(self, m: nn.Module, forward: Any, args: Any, kwargs: Any) -> Any:
        self.calls.append((self._within[-1], m))
        self._within.append(m)
        try:
            # A slice of a Sequential is no part of the network by itself.
            known = any(m is module for module in self.root.modules())
            return (
                super().call_module(m, forward, args, kwargs) if known else forward(*args, **kwargs)
            )
        finally:
            self._within.pop()


def _used_apart(model: nn.Module) -> set[str] | None:
    """Names of modules that are called, or whose weights are read, from outside of the module that they are part of.

    None for a network that cannot be traced.
    """
    if "forward" in vars(model):
        return None
    tracer = _Calls()
    try:
        # A copy, since a forward pass may keep what it meets.
        graph = tracer.trace(copied(model))
    except Exception:  # whatever the network's code does with a tracer's stand-in
        return None
    names = {module: name for name, module in tracer.root.named_modules()}
    apart = {
        names[module]
        for holder, module in tracer.calls
        if module in names
        and not any(part is module for part in _holder(holder, names, tracer.root).children())
    }
    return apart | {str(n.target).rpartition(".")[0] for n in graph.nodes if n.op == "get_attr"}


def _holder(holder: object, names: dict[nn.Module, str], root: nn.Module) -> nn.Module:
    """Who called: the network itself, also where it is a slice of a ``Sequential`` that is no part of it."""
    return holder if isinstance(holder, nn.Module) and holder in names else root
