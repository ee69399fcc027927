"""The layers that rounding changes, each seen as a matrix that is applied to patches of its input."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional

from baq.inference import batches
from baq.quantization import quantized_weights

__all__ = ["matrix_layers", "patches", "recorded", "second_moments"]


def matrix_layers(model: nn.Module) -> dict[str, nn.Module]:
    """Linear and convolution layers by name, in the order in which the model names them.

    Raises:
        ValueError: if the model has none, or a convolution that is grouped, transposed, not over two
            axes or padded by other values than zeros, none of which is one matrix over patches.
    """
    found = {
        name.removesuffix("weight").removesuffix("."): None for name in quantized_weights(model)
    }
    modules = dict(model.named_modules())
    for name in found:
        layer = found[name] = modules[name]
        plain = isinstance(layer, nn.Conv2d) and layer.groups == 1 and layer.padding_mode == "zeros"
        if not (isinstance(layer, nn.Linear) or (plain and not isinstance(layer.padding, str))):
            raise ValueError(
                f"layer {name!r} is {layer}: allowed are Linear, and Conv2d with groups=1 and zero "
                "padding given by numbers"
            )
    return found


def patches(layer: nn.Module, x: Tensor) -> Tensor:
    """Inputs of a layer as columns, shape (N, in, P): its output is the weight's matrix times them.

    ``in`` counts the values that one output is made of, and P the positions: pixels of a convolution's
    output, and 1 for a Linear layer on inputs (N, in).
    """
    if isinstance(layer, nn.Linear):
        return x.reshape(len(x), -1, x.shape[-1]).transpose(1, 2)
    return functional.unfold(x, layer.kernel_size, layer.dilation, layer.padding, layer.stride)


def as_columns(layer: nn.Module, y: Tensor) -> Tensor:
    """Outputs of a layer, or gradients with respect to them, as columns, shape (N, out, P)."""
    if isinstance(layer, nn.Linear):
        return y.reshape(len(y), -1, y.shape[-1]).transpose(1, 2)
    return y.flatten(2)


@contextmanager
def recorded(model: nn.Module) -> Iterator[dict[str, tuple[Tensor, Tensor]]]:
    """Within the context, a forward pass leaves input and output of every layer, by name.

    Raises:
        ValueError: as :func:`matrix_layers`.
    """
    found: dict[str, tuple[Tensor, Tensor]] = {}

    def keep(name: str, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        found[name] = inputs[0], output
        # The next layer may work in place: a gradient taken here would then be that of its result.
        return output.clone()

    hooks = [
        layer.register_forward_hook(lambda _, inputs, output, name=name: keep(name, inputs, output))
        for name, layer in matrix_layers(model).items()
    ]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()


class _Reached(Exception):
    """Carries a layer's input out of a forward pass whose rest is not needed."""


def _input(model: nn.Module, layer: nn.Module, x: Tensor) -> Tensor:
    def stop(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        raise _Reached(inputs[0])

    hook = layer.register_forward_pre_hook(stop)
    try:
        model(x)
    except _Reached as reached:
        return reached.args[0]
    finally:
        hook.remove()
    raise ValueError(f"layer {layer} takes no part in the model's forward pass")


@torch.no_grad()
def second_moments(
    reference: nn.Module,
    candidate: nn.Module,
    name: str,
    x: Tensor,
    *,
    positions: int = 64,
    seed: int = 0,
    batch_size: int = 200,
) -> tuple[Tensor, Tensor]:
    """What a layer's quadratic loss needs to know of the data, per input of the network.

    With the reference's weight W and patch a, the candidate's patch ``a_q``, which carries the errors
    of the layers before, and any weight V, the mean squared error of the layer's output is
    ``E|V a_q - W a|^2 = tr(V A V') - 2 tr(V T') + const`` with ``A = sum_p E[a_q a_q']``, the Gram
    matrix, and ``T = sum_p E[(W a) a_q']``.

    Arguments:
        reference, candidate: two networks of the same shape.
        name: a key of :func:`matrix_layers`.
        x: inputs of the networks, shape (N, *).
        positions: neighbouring positions say much the same, so of more than these a sample of this
            many is drawn for each batch and stands for all of them.
        seed: seed of that draw.
        batch_size: inputs per pass.

    Returns:
        ``A`` of shape (in, in) and ``T`` of shape (out, in).
    """
    layer, layer_q = matrix_layers(reference)[name], matrix_layers(candidate)[name]
    weight = layer.weight.flatten(1)
    generator = torch.Generator().manual_seed(seed)
    gram, target = 0.0, 0.0
    for batch in batches(x, batch_size):
        a_q = patches(layer_q, _input(candidate, layer_q, batch))
        count = a_q.shape[2]
        drawn = slice(None)
        if count > positions:
            drawn = torch.randperm(count, generator=generator)[:positions].to(a_q.device)
        share = min(1.0, positions / count) * len(x)
        a_q = a_q[:, :, drawn].transpose(0, 1).flatten(1)
        gram = gram + a_q @ a_q.T / share
        if candidate is not reference:
            a = patches(layer, _input(reference, layer, batch))[:, :, drawn]
            target = target + weight @ a.transpose(0, 1).flatten(1) @ a_q.T / share
    return gram, weight @ gram if candidate is reference else target
