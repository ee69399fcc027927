"""Uniform weight quantization without retraining (PTQ-W), and paths between levels."""

from __future__ import annotations

import numbers
import warnings
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd
from torch.nn.utils import parametrize

from baq.arguments import check_flag, check_share
from baq.inference import as_tensor, copied
from baq.structure import has_own_forward

__all__ = [
    "Bits",
    "WeightGrid",
    "bits_by_layer",
    "interpolate",
    "left_in_float",
    "ptq_w",
    "quantize",
    "quantize_layer",
    "quantized_layers",
    "quantized_weights",
    "weight_grid",
]


#: A bit width, or one for each layer by name.
Bits = int | Mapping[str, int]


@dataclass(frozen=True)
class WeightGrid:
    """The values that a quantized weight tensor may take: ``unit * scale * (code - zero_point)``.

    ``unit``, ``scale`` and ``zero_point`` broadcast against the weight: shape () per tensor, and
    (out, 1, ...) per channel. The unit is 1, or a power of 2 where a scale in units of 1 would under-
    or overflow. Codes run from ``low`` to ``high``; values have the weight's ``dtype``, and what is
    beyond its range is its largest number.

    Example:
        >>> grid = weight_grid(torch.tensor([0.5, -3.5]), 4)
        >>> grid.codes(torch.tensor([0.7, -3.5])).tolist(), grid.values(torch.tensor([1.0, -7.0])).tolist()
        ([1.0, -7.0], [0.5, -3.5])
    """

    scale: Tensor
    zero_point: Tensor
    low: int
    high: int
    unit: Tensor
    dtype: torch.dtype

    def steps(self, weight: Tensor) -> Tensor:
        """A weight in steps of the grid, neither rounded nor shifted; its shape, the grid's dtype."""
        # Multiplying by the reciprocal, as torch's kernels do, keeps the codes equal bit for bit.
        return weight.to(self.scale.dtype) / self.unit * (1 / self.scale)

    def codes(self, weight: Tensor) -> Tensor:
        """Nearest codes of a weight, ties to even, clipped to the grid; its shape, the grid's dtype."""
        return (torch.round(self.steps(weight)) + self.zero_point).clamp(self.low, self.high)

    def values(self, codes: Tensor) -> Tensor:
        """Weights that codes stand for."""
        most = torch.finfo(self.dtype).max
        values = (codes - self.zero_point) * self.scale * self.unit
        return values.clamp(-most, most).to(self.dtype)


def weight_grid(
    weight: Tensor, bits: int, *, per_channel: bool = False, symmetric: bool = True
) -> WeightGrid:
    """The uniform grid that covers a weight's range without clipping.

    Symmetric grids are narrow: codes ``-(2^(b-1)-1) ... 2^(b-1)-1``, zero point 0, scale
    ``max|w| / (2^(b-1)-1)``. Asymmetric grids have codes ``0 ... 2^b-1`` over the range from
    ``min(w, 0)`` to ``max(w, 0)``, so that 0 stays exact (Jacob et al. 2018, arXiv:1712.05877;
    Nagel et al. 2021, arXiv:2106.08295, sections 2.2 and 2.3).

    Arguments:
        weight: shape (out, ...).
        bits: bit width b, from 2 to 16.
        per_channel: one scale for each index of the first axis instead of one for the tensor.
        symmetric: see above.

    Returns:
        The grid, in float32 for a weight of half precision, else in the weight's dtype.

    Raises:
        ValueError: for a bit width outside 2..16, or a weight that is empty, not finite or of a dtype
            other than float16, bfloat16, float32 and float64.

    Example:
        >>> weight = torch.tensor([[0.3, -0.7], [0.1, 0.06]])
        >>> grid = weight_grid(weight, 4)
        >>> grid.low, grid.high, round(float(grid.scale), 4)
        (-7, 7, 0.1)
    """
    weight = as_tensor(weight, "the weights")
    check_flag(per_channel=per_channel, symmetric=symmetric)
    _check_bits(bits)
    if weight.dtype not in _DTYPES:
        allowed = ", ".join(map(str, _DTYPES))
        raise ValueError(f"weight is {weight.dtype}: allowed are floating dtypes, {allowed}")
    if weight.numel() == 0 or not torch.isfinite(weight).all():
        bad = int((~torch.isfinite(weight)).sum())
        raise ValueError(
            f"weight of shape {tuple(weight.shape)} is empty or has {bad} values that "
            "are not finite: allowed are finite weights"
        )
    if per_channel and weight.ndim < 1:
        raise ValueError("weight is a single number: allowed per channel are one axis or more")
    # In half precision, scales would be below its smallest normal number.
    wide = weight.detach().to(torch.promote_types(weight.dtype, torch.float32))
    rows = wide.reshape(len(wide), -1) if per_channel else wide.reshape(1, -1)
    low, high = (-(2 ** (bits - 1) - 1), 2 ** (bits - 1) - 1) if symmetric else (0, 2**bits - 1)

    def scales(rows: Tensor) -> Tensor:
        if symmetric:
            return rows.abs().amax(dim=1) / high
        return (rows.amax(dim=1).clamp(min=0) - rows.amin(dim=1).clamp(max=0)) / high

    scale = scales(rows)
    unit = torch.ones_like(scale)
    unit[scale < torch.finfo(scale.dtype).tiny] = 2.0**-100
    unit[scale.isinf()] = 2.0**100
    rows = rows / unit[:, None]
    scale = scales(rows)
    # Where all weights are zero there is one value, 0, whatever the scale; in so small a unit also for
    # what rounding up adds.
    scale = torch.where(scale == 0, 1.0, scale)
    zero_point = torch.zeros_like(scale)
    if not symmetric:
        zero_point = (-torch.round(rows.amin(dim=1).clamp(max=0) / scale)).clamp(low, high)
    shape = (-1, *(1,) * (weight.ndim - 1)) if per_channel else ()
    scale, zero_point, unit = (values.reshape(shape) for values in (scale, zero_point, unit))
    return WeightGrid(scale, zero_point, low, high, unit, weight.dtype)


def _check_bits(bits: object) -> None:
    if isinstance(bits, bool) or not isinstance(bits, numbers.Integral) or not 2 <= int(bits) <= 16:
        raise ValueError(f"bits is {bits!r}: allowed are the integers 2 to 16")


_DTYPES = torch.float16, torch.bfloat16, torch.float32, torch.float64


def quantize(
    weight: Tensor, bits: int, *, per_channel: bool = False, symmetric: bool = True
) -> Tensor:
    """Round a weight to the nearest value of its :func:`weight_grid`.

    For float32 and float64 weights equal, bit for bit, to ``torch.fake_quantize_per_tensor_affine`` and
    ``torch.fake_quantize_per_channel_affine`` with the grid's scale and zero point. For half precision
    it is the value for the weight in float32, rounded to the weight's dtype.

    Example:
        >>> weight = torch.tensor([[0.3, -0.7], [0.1, 0.06]])
        >>> quantize(weight, 4)
        tensor([[ 0.3000, -0.7000],
                [ 0.1000,  0.1000]])
    """
    weight = as_tensor(weight, "the weights")
    grid = weight_grid(weight, bits, per_channel=per_channel, symmetric=symmetric)
    return grid.values(grid.codes(weight.detach()))


def quantized_layers(model: nn.Module) -> dict[str, nn.Linear | _ConvNd]:
    """The layers whose weights PTQ-W changes, by name: Linear and convolutions.

    Of layers that share one weight, only the first is listed.

    Raises:
        ValueError: if the model has none, or one whose weight is computed from other parameters, as
            ``weight_norm`` and pruning do, or that has a forward pass of its own, so that a new weight
            might not be used.

    Example:
        >>> model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(8, 2))
        >>> list(quantized_layers(model))
        ['0', '3']
    """
    if not isinstance(model, nn.Module):
        raise ValueError(f"the model is a {type(model).__name__}: allowed is a module")
    found: dict[str, nn.Linear | _ConvNd] = {}
    weights: set[int] = set()
    for name, layer in model.named_modules():
        if not isinstance(layer, (nn.Linear, _ConvNd)):
            continue
        if parametrize.is_parametrized(layer, "weight") or "weight" not in layer._parameters:
            raise ValueError(
                f"layer {name!r} computes its weight from others: allowed is a stored weight, see "
                "parametrize.remove_parametrizations, remove_weight_norm and prune.remove of torch.nn.utils"
            )
        if has_own_forward(layer):
            raise ValueError(
                f"layer {name!r}, a {type(layer).__name__}, has a forward pass of its own, which may use "
                "another weight: allowed are torch's own layers"
            )
        if id(layer.weight) not in weights:
            weights.add(id(layer.weight))
            found[name] = layer
    if not found:
        raise ValueError(f"{type(model).__name__} has no Linear or convolution layer to quantize")
    return found


def bits_by_layer(model: nn.Module, bits: Bits) -> dict[str, int]:
    """The bit width of each of :func:`quantized_layers`, by name.

    Arguments:
        model: the network.
        bits: one bit width for all, or one for each layer by name.

    Raises:
        ValueError: for a bit width outside 2..16, names that are not just those of the layers, or as
            :func:`quantized_layers`.

    Example:
        >>> model = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
        >>> bits_by_layer(model, 4), bits_by_layer(model, {"2": 8, "0": 3})
        ({'0': 4, '2': 4}, {'0': 3, '2': 8})
    """
    names = list(quantized_layers(model))
    if not isinstance(bits, Mapping):
        _check_bits(bits)
        return dict.fromkeys(names, bits)
    if unknown := [name for name in bits if name not in names]:
        raise ValueError(
            f"bits name layer {unknown[0]!r}: allowed are {', '.join(map(repr, names))}"
        )
    if absent := [name for name in names if name not in bits]:
        raise ValueError(f"bits lack layer {absent[0]!r}: allowed is one bit width for each layer")
    for width in bits.values():
        _check_bits(width)
    return {name: bits[name] for name in names}


def quantized_weights(model: nn.Module) -> dict[str, Tensor]:
    """The weights of :func:`quantized_layers`, each once, by name; errors as there.

    Example:
        >>> model = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
        >>> {name: tuple(weight.shape) for name, weight in quantized_weights(model).items()}
        {'0.weight': (3, 4), '2.weight': (2, 3)}
    """
    layers = quantized_layers(model)
    return {f"{name}.weight".removeprefix("."): layer.weight for name, layer in layers.items()}


def by_output(layer: nn.Linear | _ConvNd, weight: Tensor) -> Tensor:
    """A weight of a layer with its output channels first, and back if called again.

    That of a transposed convolution is (in, out / groups, ...), all others are as they should be.
    """
    if not isinstance(layer, _ConvTransposeNd):
        return weight
    return weight.unflatten(0, (layer.groups, -1)).transpose(1, 2).flatten(0, 1)


@torch.inference_mode(False)  # so that gradients can be taken of the copy
def ptq_w(
    model: nn.Module, bits: Bits, *, per_channel: bool = False, symmetric: bool = True
) -> nn.Module:
    """A copy of the model with quantized weights: PTQ-W, post-training quantization of weights.

    Weights of Linear and convolution layers go to the nearest value of their grid; biases and
    normalization layers stay in float, and nothing is retrained. Bits are the same for all layers, or
    given for each by name. Per channel means per output channel, also in transposed convolutions. A
    warning names the matrices of weights that other layers keep in float (:func:`left_in_float`).

    Raises:
        ValueError: as :func:`weight_grid`, naming the weight, or :func:`bits_by_layer`.

    Example:
        >>> model = nn.Linear(2, 1)
        >>> model.weight.data = torch.tensor([[0.3, -0.7]])
        >>> ptq_w(model, 2).weight.tolist()[0] == [0.0, model.weight[0, 1].item()]
        True
    """
    widths = bits_by_layer(model, bits)  # names what cannot be copied, too
    if left := left_in_float(model):
        warnings.warn(f"left in float: {', '.join(left)}", stacklevel=2)
    candidate = copied(model)
    for name, layer in quantized_layers(candidate).items():
        try:
            quantize_layer(layer, widths[name], per_channel=per_channel, symmetric=symmetric)
        except ValueError as error:
            raise ValueError(f"{f'{name}.weight'.removeprefix('.')}: {error}") from None
    return candidate


def quantize_layer(
    layer: nn.Linear | _ConvNd, bits: int, *, per_channel: bool = False, symmetric: bool = True
) -> None:
    """Put the weight of one layer on its grid, as :func:`ptq_w` does, in place; errors as there.

    Example:
        >>> layer = nn.Linear(2, 1)
        >>> layer.weight.data = torch.tensor([[0.25, -0.5]])
        >>> quantize_layer(layer, 2)
        >>> layer.weight.tolist()
        [[0.0, -0.5]]
    """
    weight = by_output(layer, layer.weight.detach())
    weight = quantize(weight, bits, per_channel=per_channel, symmetric=symmetric)
    layer.weight.data = by_output(layer, weight)


def left_in_float(model: nn.Module) -> list[str]:
    """The matrices of weights that :func:`ptq_w` does not change, by name: those of other layers.

    They are in recurrent layers, embeddings and the inputs of attention, for instance. Biases and what
    normalization layers scale by have one axis, and are not listed.

    Raises:
        ValueError: as :func:`quantized_layers`.

    Example:
        >>> left_in_float(nn.Sequential(nn.Embedding(9, 4), nn.Linear(4, 2)))
        ['0.weight']
    """
    changed = {id(layer.weight) for layer in quantized_layers(model).values()}
    normal = (nn.LayerNorm, nn.RMSNorm)  # over several axes
    own = {id(p) for m in model.modules() if isinstance(m, normal) for p in m.parameters()}
    return [
        name
        for name, value in model.named_parameters()
        if value.ndim > 1 and id(value) not in changed | own
    ]


@torch.inference_mode(False)
def interpolate(start: nn.Module, end: nn.Module, t: float) -> nn.Module:
    """A copy of ``start`` with quantized weights at ``W(t) = (1-t) W_start + t W_end``.

    Arguments:
        start, end: two levels of the same model, so that they differ in these weights alone.
        t: position on the path, from 0 (start) to 1 (end).

    Raises:
        ValueError: for t outside [0, 1], or models whose weights differ in name or shape, or that
            differ in other values.

    Example:
        >>> model = nn.Linear(2, 1, bias=False)
        >>> model.weight.data = torch.tensor([[1.0, 0.25]])
        >>> interpolate(ptq_w(model, 2), ptq_w(model, 8), 0.5).weight.round(decimals=3).tolist()
        [[1.0, 0.12600000202655792]]
    """
    check_share(t=t, zero=True)
    quantized_layers(start)
    path, goal = copied(start), quantized_weights(end)
    shapes = {name: weight.shape for name, weight in quantized_weights(path).items()}
    if shapes != {name: weight.shape for name, weight in goal.items()}:
        raise ValueError("the two models have weights of different names or shapes")
    others = dict([*end.named_parameters(), *end.named_buffers()])
    for name, value in [*path.named_parameters(), *path.named_buffers()]:
        if name not in shapes and not torch.equal(value, others.get(name, value).to(value)):
            raise ValueError(f"the two models differ in {name}: allowed are differences in weights")
    for name, weight in quantized_weights(path).items():
        weight.data = (1 - t) * weight.data + t * goal[name].data
    return path
