"""Uniform weight quantization without retraining (PTQ-W), and paths between levels."""

from __future__ import annotations

import copy
import numbers
from dataclasses import dataclass

import torch
from torch import Tensor, nn

__all__ = ["WeightGrid", "interpolate", "ptq_w", "quantize", "quantized_weights", "weight_grid"]


@dataclass(frozen=True)
class WeightGrid:
    """The values that a quantized weight tensor may take: ``scale * (code - zero_point)``.

    ``scale`` and ``zero_point`` broadcast against the weight: shape () per tensor, and
    (out, 1, ...) per channel. Codes run from ``low`` to ``high``.
    """

    scale: Tensor
    zero_point: Tensor
    low: int
    high: int

    def codes(self, weight: Tensor) -> Tensor:
        """Nearest codes of a weight, ties to even, clipped to the grid; same shape and dtype."""
        # Multiplying by the reciprocal, as torch's kernels do, keeps the codes equal bit for bit.
        return (torch.round(weight * (1 / self.scale)) + self.zero_point).clamp(self.low, self.high)

    def values(self, codes: Tensor) -> Tensor:
        """Weights that codes stand for."""
        return (codes - self.zero_point) * self.scale


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

    Raises:
        ValueError: for a bit width outside 2..16, or an empty or non-finite weight.
    """
    if isinstance(bits, bool) or not isinstance(bits, numbers.Integral) or not 2 <= bits <= 16:
        raise ValueError(f"bits is {bits!r}: allowed are the integers 2 to 16")
    if weight.numel() == 0 or not torch.isfinite(weight).all():
        bad = int((~torch.isfinite(weight)).sum())
        raise ValueError(
            f"weight of shape {tuple(weight.shape)} is empty or has {bad} values that "
            "are not finite: allowed are finite weights"
        )
    rows = weight.detach().flatten(1) if per_channel else weight.detach().reshape(1, -1)
    if symmetric:
        low, high = -(2 ** (bits - 1) - 1), 2 ** (bits - 1) - 1
        scale = rows.abs().amax(dim=1) / high
    else:
        low, high = 0, 2**bits - 1
        scale = (rows.amax(dim=1).clamp(min=0) - rows.amin(dim=1).clamp(max=0)) / high
    # A range too small to divide by (all weights zero) has one value, 0, whatever the scale.
    scale = torch.where(scale < torch.finfo(scale.dtype).tiny, 1.0, scale)
    zero_point = torch.zeros_like(scale)
    if not symmetric:
        zero_point = (-torch.round(rows.amin(dim=1).clamp(max=0) / scale)).clamp(low, high)
    shape = (-1, *(1,) * (weight.ndim - 1)) if per_channel else ()
    return WeightGrid(scale.reshape(shape), zero_point.reshape(shape), low, high)


def quantize(
    weight: Tensor, bits: int, *, per_channel: bool = False, symmetric: bool = True
) -> Tensor:
    """Round a weight to the nearest value of its :func:`weight_grid`.

    Equal, bit for bit, to ``torch.fake_quantize_per_tensor_affine`` and
    ``torch.fake_quantize_per_channel_affine`` with the grid's scale and zero point.
    """
    grid = weight_grid(weight, bits, per_channel=per_channel, symmetric=symmetric)
    return grid.values(grid.codes(weight.detach()))


def quantized_weights(model: nn.Module) -> dict[str, nn.Parameter]:
    """The weights that PTQ-W changes, by name: those of Linear and convolution layers.

    Raises:
        ValueError: if the model has none.
    """
    kinds = (nn.Linear, nn.modules.conv._ConvNd)
    found = {
        f"{name}.weight".removeprefix("."): module.weight
        for name, module in model.named_modules()
        if isinstance(module, kinds)
    }
    if not found:
        raise ValueError(f"{type(model).__name__} has no Linear or convolution layer to quantize")
    return found


def ptq_w(
    model: nn.Module, bits: int, *, per_channel: bool = False, symmetric: bool = True
) -> nn.Module:
    """A copy of the model with quantized weights: PTQ-W, post-training quantization of weights.

    Weights of Linear and convolution layers go to the nearest value of their grid; biases and
    normalization layers stay in float, and nothing is retrained.

    Raises:
        ValueError: as :func:`weight_grid`, naming the weight.
    """
    candidate = copy.deepcopy(model)
    for name, weight in quantized_weights(candidate).items():
        try:
            weight.data = quantize(weight, bits, per_channel=per_channel, symmetric=symmetric)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
    return candidate


def interpolate(start: nn.Module, end: nn.Module, t: float) -> nn.Module:
    """A copy of ``start`` with quantized weights at ``W(t) = (1-t) W_start + t W_end``.

    Arguments:
        start, end: two levels of the same model, so that they differ in these weights alone.
        t: position on the path, from 0 (start) to 1 (end).

    Raises:
        ValueError: for t outside [0, 1], or models whose weights differ in name or shape.
    """
    if not 0 <= t <= 1:
        raise ValueError(f"t is {t}: allowed is 0 to 1")
    path, goal = copy.deepcopy(start), quantized_weights(end)
    shapes = {name: weight.shape for name, weight in quantized_weights(path).items()}
    if shapes != {name: weight.shape for name, weight in goal.items()}:
        raise ValueError("the two models have weights of different names or shapes")
    for name, weight in quantized_weights(path).items():
        weight.data = (1 - t) * weight.data + t * goal[name].data
    return path
