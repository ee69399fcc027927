"""The layers that rounding changes, each seen as a matrix that is applied to patches of its input."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.linear import NonDynamicallyQuantizableLinear

from baq.inference import evaluate
from baq.quantization import quantized_layers
from baq.structure import is_sequential, runs_as_written

__all__ = [
    "LayerInputs",
    "MatrixLayer",
    "as_columns",
    "in_order_of_use",
    "matrix_layers",
    "patches",
    "recorded",
]


#: A layer whose output is its weight, as a matrix, times patches of its input.
MatrixLayer = nn.Linear | nn.Conv1d | nn.Conv2d


def matrix_layers(model: nn.Module, others: dict[str, str] | None = None) -> dict[str, MatrixLayer]:
    """Linear layers and convolutions over one or two axes by name, in the order in which the model names them.

    Arguments:
        model: the network.
        others: is filled with the layers that are no such matrix, by name with the reason; where it is not
            given they are errors.

    Raises:
        ValueError: as :func:`baq.quantization.quantized_layers`; for a layer with hooks or a forward pass
            of its own, whose output may be another; for a convolution that is grouped, transposed or over
            three axes, or a projection that attention applies itself, since it is not one
            matrix over patches, unless ``others`` takes it and one layer at least is left; or for two
            layers that share a weight.
    """
    found: dict[str, MatrixLayer] = {}
    told = ""
    for name, layer in quantized_layers(model).items():
        if not isinstance(layer, MatrixLayer) or (why := _no_matrix(layer)):
            why = why if isinstance(layer, MatrixLayer) else f"a {type(layer).__name__}"
            if others is not None:
                others[name] = why
            told = told or (
                f"layer {name!r} is {layer}: allowed are Linear, and Conv1d and Conv2d with groups=1"
            )
            continue
        if not runs_as_written(layer):
            raise ValueError(
                f"layer {name!r} has hooks or a forward pass of its own: allowed are layers of torch "
                "that run as they are written"
            )
        found[name] = layer
    if told and (others is None or not found):
        raise ValueError(told)
    first = {id(layer.weight): name for name, layer in found.items()}
    for name, module in model.named_modules():
        weight = module._parameters.get("weight")
        if id(weight) in first and name not in found:
            raise ValueError(
                f"layers {first[id(weight)]!r} and {name!r} share a weight: allowed is one of its own"
            )
    return found


def _no_matrix(layer: MatrixLayer) -> str:
    """Why a layer is not one matrix over patches; empty if it is."""
    if isinstance(layer, NonDynamicallyQuantizableLinear):
        return "a projection that attention applies itself"
    if not isinstance(layer, nn.Linear) and layer.groups > 1:
        return f"{type(layer).__name__} with groups={layer.groups}"
    return ""


def patches(layer: MatrixLayer, x: Tensor, positions: Tensor | slice = slice(None)) -> Tensor:
    """Inputs of a layer as columns, shape (N, in, P): its output is the weight's matrix times them.

    ``in`` counts the values that one output is made of, and P the positions: pixels of a convolution's
    output, and 1 for a Linear layer on inputs (N, in). Where ``positions`` are given, only those.
    """
    if isinstance(layer, nn.Linear):
        return x.reshape(len(x), -1, x.shape[-1]).transpose(1, 2)[:, :, positions]
    x, (high, wide) = _padded(layer, x)
    kernels, strides, dilations = (
        (1, *given)[-2:] for given in (layer.kernel_size, layer.stride, layer.dilation)
    )
    if isinstance(positions, slice):
        columns = functional.unfold(x, kernels, dilations, (high, wide), strides)
        return columns[:, :, positions]
    # All patches are views of the padded input; only those named are copied.
    windows = functional.pad(x, (wide, wide, high, high))
    for axis, (kernel, stride, dilation) in enumerate(
        zip(kernels, strides, dilations, strict=True), 2
    ):
        windows = windows.unfold(axis, dilation * (kernel - 1) + 1, stride)
    windows = windows[..., :: dilations[0], :: dilations[1]]
    row, column = positions // windows.shape[3], positions % windows.shape[3]
    return windows[:, :, row, column].permute(0, 1, 3, 4, 2).flatten(1, 3)


def _padded(layer: nn.Conv1d | nn.Conv2d, x: Tensor) -> tuple[Tensor, tuple[int, int]]:
    """An input with two axes of pixels, and the zeros that are still to be put around them."""
    rest: tuple[int, ...] = 0, 0
    if isinstance(layer.padding, str) or layer.padding_mode != "zeros":
        mode = "constant" if layer.padding_mode == "zeros" else layer.padding_mode
        x = functional.pad(x, layer._reversed_padding_repeated_twice, mode)
    else:
        rest = (0, *layer.padding)[-2:]
    return (x if isinstance(layer, nn.Conv2d) else x[:, :, None]), (rest[0], rest[1])


def as_columns(layer: MatrixLayer, y: Tensor) -> Tensor:
    """Outputs of a layer, or gradients with respect to them, as columns, shape (N, out, P)."""
    if isinstance(layer, nn.Linear):
        return y.reshape(len(y), -1, y.shape[-1]).transpose(1, 2)
    return y.flatten(2)


@contextmanager
def recorded(
    model: nn.Module, others: dict[str, str] | None = None
) -> Iterator[dict[str, tuple[Tensor, Tensor]]]:
    """Within the context, a forward pass leaves input and output of every layer of :func:`matrix_layers`.

    Raises:
        ValueError: as :func:`matrix_layers`, or in the pass for a layer that it uses twice.
    """
    found: dict[str, tuple[Tensor, Tensor]] = {}

    def keep(name: str, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        if name in found:
            raise ValueError(
                f"layer {name!r} is used twice in a forward pass: allowed is once, or a copy for each use"
            )
        found[name] = inputs[0], output
        # If the next layer works in place, a gradient taken here would be that of its output.
        return output.clone()

    hooks = [
        layer.register_forward_hook(lambda _, inputs, output, name=name: keep(name, inputs, output))
        for name, layer in matrix_layers(model, others).items()
    ]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()


def in_order_of_use(model: nn.Module, x: Tensor, others: dict[str, str] | None = None) -> list[str]:
    """The layers of :func:`matrix_layers` in the order in which a forward pass uses them.

    Arguments:
        model: the network.
        x: inputs as it takes them, shape (N, *); the first is passed, alone and twice.
        others: as for :func:`matrix_layers`.

    Raises:
        ValueError: for a layer whose first axis is not that of the inputs, so that it cannot be told which row
            belongs to which.

    Example:
        >>> in_order_of_use(nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 2)), torch.zeros(1, 2))
        ['0', '1']
    """
    order: list[str] = []
    for count in (1, 2):
        with torch.no_grad(), recorded(model, others) as found:
            evaluate(model, x[:1].repeat_interleave(count, dim=0))
        order = list(found)
        for name, (a, _) in found.items():
            if len(a) != count:
                raise ValueError(
                    f"layer {name!r} takes {len(a)} rows for {count} input{'s' * (count > 1)}: allowed are layers "
                    "whose first axis is the inputs'"
                )
    return order


class _Reached(Exception):
    """Carries a layer's input out of a forward pass that ends there."""


class LayerInputs:
    """The inputs of a network's layers, one layer after the other, in passes that end there.

    Through a Sequential a pass starts at the child that holds the layer: what enters that child is
    kept, so that all layers together cost little more than one pass. The children before it must
    not change after that.

    Arguments:
        model: the network.
        batches: its inputs, each of shape (N, *).
    """

    def __init__(self, model: nn.Module, batches: Sequence[Tensor]) -> None:
        if is_sequential(model):
            self._model, self._prefix = model, ""
        else:
            self._model, self._prefix = nn.Sequential(model), "0."
        self._at, self._batches = 0, batches

    @torch.no_grad()
    def of(self, name: str) -> Iterator[Tensor]:
        """The inputs of a layer of :func:`matrix_layers`, batch by batch.

        Raises:
            ValueError: for a layer that the forward pass leaves out, or one in a child before that of
                the layer asked for last.
        """
        first, _, rest = (self._prefix + name).partition(".")
        child = self._model.get_submodule(first)
        at = next(k for k, module in enumerate(self._model) if module is child)
        if at < self._at:
            raise ValueError(
                f"layer {name!r} is before the layer asked for last: allowed are those from there on"
            )
        # Copies, since a module may work in place.
        if at > self._at:
            between = nn.Sequential(*list(self._model)[self._at : at])
            self._batches = [between(batch.clone()) for batch in self._batches]
            self._at = at
        layer = child.get_submodule(rest)
        for batch in self._batches:
            yield _reaching(layer, child, batch.clone())


def _reaching(layer: nn.Module, model: nn.Module, x: Tensor) -> Tensor:
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
