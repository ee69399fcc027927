"""The bit width of each layer, given for all at once or for each by name."""

from __future__ import annotations

import numbers
from collections.abc import Mapping

from torch import nn

from baq.quantization import quantized_layers

__all__ = ["Bits", "bits_by_layer"]

#: A bit width, or one for each layer by name.
Bits = int | Mapping[str, int]


def bits_by_layer(model: nn.Module, bits: Bits) -> dict[str, int]:
    """The bit width of each of :func:`baq.quantization.quantized_layers`, by name.

    Arguments:
        model: the network.
        bits: one bit width for all, or one for each layer by name.

    Raises:
        ValueError: for a bit width outside 2..16, names that are not just those of the layers, or as
            :func:`baq.quantization.quantized_layers`.
    """
    names = list(quantized_layers(model))
    each = bits if isinstance(bits, Mapping) else dict.fromkeys(names, bits)
    if unknown := [name for name in each if name not in names]:
        raise ValueError(
            f"bits name layer {unknown[0]!r}: allowed are {', '.join(map(repr, names))}"
        )
    if absent := [name for name in names if name not in each]:
        raise ValueError(f"bits lack layer {absent[0]!r}: allowed is one bit width for each layer")
    for width in each.values():
        if (
            isinstance(width, bool)
            or not isinstance(width, numbers.Integral)
            or not 2 <= int(width) <= 16
        ):
            raise ValueError(f"bits is {width!r}: allowed are the integers 2 to 16")
    return {name: each[name] for name in names}
