"""Roundings as one bit a weight, and a key of all that decides them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from baq.inference import copied
from baq.quantization import Bits, bits_by_layer
from baq.rounding.descent import neighbours
from baq.rounding.layers import matrix_layers

__all__ = ["SEARCH", "key", "pack", "unpack"]

#: Raised when a change of this room changes what a search finds: it enters every key.
SEARCH = 1


def pack(
    reference: nn.Module, rounded: nn.Module, bits: Bits, *, per_channel: bool = False
) -> dict[str, Tensor]:
    """Which of its two neighbours each weight of a rounding is, a bit each.

    Arguments:
        reference: the float network.
        rounded: a rounding of it.
        bits, per_channel: its grid, as for :func:`baq.rounding.adaround`.

    Returns:
        By layer: 1 for the upper neighbour, packed into bytes (uint8), weights in their order.

    Raises:
        ValueError: for a network that is no rounding of the reference on that grid.
    """
    widths, layers = bits_by_layer(reference, bits), matrix_layers(rounded)
    packed = {}
    for name, layer in matrix_layers(reference).items():
        low, high, _ = neighbours(layer.weight, widths[name], per_channel=per_channel)
        value = layers[name].weight.detach() if name in layers else low.new_empty(0)
        if value.shape != low.shape or bool(((value != low) & (value != high)).any()):
            raise ValueError(
                f"layer {name!r} is no rounding of the reference's at {widths[name]} bits: allowed is what "
                "the functions of baq.rounding make of it"
            )
        packed[name] = torch.from_numpy(np.packbits((value == high).cpu().numpy().ravel()))
    return packed


def unpack(
    reference: nn.Module, packed: Mapping[str, Tensor], bits: Bits, *, per_channel: bool = False
) -> nn.Module:
    """The rounding that :func:`pack` was given, equal to the last bit.

    Raises:
        ValueError: for layers or sizes that are not the reference's.
    """
    rounded, widths = copied(reference), bits_by_layer(reference, bits)
    layers = matrix_layers(rounded)
    if layers.keys() != packed.keys():
        raise ValueError(
            f"layers are {', '.join(packed)}: allowed are those of the reference, {', '.join(layers)}"
        )
    for name, layer in layers.items():
        weight = layer.weight.detach()
        low, high, _ = neighbours(weight, widths[name], per_channel=per_channel)
        size = -(-weight.numel() // 8)
        if packed[name].dtype != torch.uint8 or packed[name].shape != (size,):
            raise ValueError(
                f"layer {name!r} has {tuple(packed[name].shape)} {packed[name].dtype}: allowed are "
                f"({size},) torch.uint8"
            )
        up = np.unpackbits(packed[name].numpy(), count=weight.numel())
        upper = torch.from_numpy(up.astype(bool)).reshape(weight.shape).to(weight.device)
        layer.weight.data.copy_(torch.where(upper, high, low))
    return rounded


def key(reference: nn.Module, x: Tensor, given: Mapping[str, Any]) -> str:
    """What decides a rounding, as a SHA-256: the network's values, the inputs, the options, :data:`SEARCH`.

    Arguments:
        reference: the float network.
        x: the inputs that it is rounded on.
        given: all else, in what JSON can hold.
    """
    digest = hashlib.sha256(json.dumps([SEARCH, given], sort_keys=True).encode())
    for name, value in [*sorted(reference.state_dict().items()), ("x", x)]:
        value = value.detach().cpu().contiguous()
        digest.update(f"{name} {tuple(value.shape)} {value.dtype}".encode())
        digest.update(value.flatten().view(torch.uint8).numpy())
    return digest.hexdigest()
