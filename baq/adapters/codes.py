"""What rounding returns as whole numbers: codes and scales of each layer, in memory and in a file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvTransposeNd

import baq
from baq.adapters.packages import needed
from baq.arguments import check_flag
from baq.inference import copied
from baq.machine import whole
from baq.quantization import Bits, bits_by_layer, quantized_layers, weight_grid

__all__ = ["CodedWeight", "coded_weights", "load_codes", "save_codes"]

#: The version of what :func:`save_codes` writes.
_FORMAT = "1"


@dataclass(frozen=True)
class CodedWeight:
    """The weight of a layer as whole numbers: ``(codes - zero_point) * scale``.

    ``codes`` has the weight's shape. ``scale``, in units of the weight, and ``zero_point`` have shape
    () or, with one of each for an output channel, (out,) along ``axis`` of the weight.

    Example:
        >>> coded = CodedWeight(torch.tensor([[-7, 3]]), torch.tensor(0.5), torch.tensor(0), bits=4)
        >>> coded.weight().tolist()
        [[-3.5, 1.5]]
    """

    codes: Tensor
    scale: Tensor
    zero_point: Tensor
    bits: int
    axis: int | None = None

    def weight(self) -> Tensor:
        """The weight that the codes stand for, in the dtype of the scale."""
        shape = [1] * self.codes.ndim
        if self.axis is not None:
            shape[self.axis] = -1
        scale, zero = self.scale.reshape(shape), self.zero_point.reshape(shape)
        return ((self.codes.to(scale) - zero.to(scale)) * scale).reshape(self.codes.shape)


def coded_weights(
    model: nn.Module,
    candidate: nn.Module,
    bits: Bits,
    *,
    per_channel: bool = False,
    symmetric: bool = True,
) -> dict[str, CodedWeight]:
    """Codes and scales of each layer of a network that :func:`baq.ptq_w` or rounding returned.

    Arguments:
        model: the float network.
        candidate: what was made of it; its weights are returned bit for bit by
            :meth:`CodedWeight.weight`.
        bits, per_channel, symmetric: as they were given when it was made.

    Returns:
        The coded weight of each of :func:`baq.quantization.quantized_layers`, by name.

    Raises:
        ValueError: for a candidate whose weights are not on the grids of these bits and options, for
            weights so small or large that their scale is no normal number, or for one scale per channel
            in a grouped transposed convolution, which no axis of its weight has; otherwise as :func:`baq.ptq_w`.

    Example:
        >>> from baq import ptq_w
        >>> model = nn.Linear(2, 1, bias=False)
        >>> model.weight.data = torch.tensor([[0.35, -0.7]])
        >>> coded = coded_weights(model, ptq_w(model, 4), 4)[""]
        >>> coded.codes.tolist(), round(coded.scale.item(), 3)
        ([[4, -7]], 0.1)
    """
    check_flag(per_channel=per_channel, symmetric=symmetric)
    widths, theirs = bits_by_layer(model, bits), quantized_layers(candidate)
    found = {}
    groups: Any
    for name, layer in quantized_layers(model).items():
        other = theirs.get(name)
        if other is None or other.weight.shape != layer.weight.shape:
            raise ValueError(f"the candidate has no layer {name!r} of the model's shape")
        transposed = isinstance(layer, _ConvTransposeNd)
        groups = getattr(layer, "groups", 1)
        if per_channel and transposed and groups > 1:
            raise ValueError(
                f"layer {name!r} is transposed and grouped: allowed is one scale for its tensor"
            )
        axis = (1 if transposed else 0) if per_channel else None
        weights = layer.weight.detach(), other.weight.detach()
        try:
            found[name] = _coded(*weights, widths[name], axis, symmetric)
        except ValueError as error:
            raise ValueError(f"layer {name!r}: {error}") from None
        if not torch.equal(found[name].weight().to(other.weight), other.weight):
            options = f"per_channel={per_channel}, symmetric={symmetric}"
            raise ValueError(
                f"layer {name!r} is not on the grid of {widths[name]} bits with {options}: allowed is "
                "what was made of this model with the same bits and options"
            )
    return found


def _coded(
    weight: Tensor, rounded: Tensor, bits: int, axis: int | None, symmetric: bool
) -> CodedWeight:
    first = 0 if axis is None else axis
    weight, rounded = weight.movedim(first, 0), rounded.movedim(first, 0)
    grid = weight_grid(weight, bits, per_channel=axis is not None, symmetric=symmetric)
    codes = grid.codes(rounded)
    scale = grid.scale * grid.unit
    if not ((scale >= torch.finfo(scale.dtype).tiny) & scale.isfinite()).all():
        raise ValueError("its scale is no normal number of its dtype: allowed are larger weights")
    narrow, wide = (torch.int8, torch.int16) if symmetric else (torch.uint8, torch.int32)
    kind = narrow if bits <= 8 else wide
    return CodedWeight(
        codes.movedim(0, first).to(kind).contiguous(),
        scale.flatten() if axis is not None else scale,
        (grid.zero_point.flatten() if axis is not None else grid.zero_point).to(kind),
        bits,
        axis,
    )


def save_codes(
    path: str | Path,
    model: nn.Module,
    candidate: nn.Module,
    bits: Bits,
    *,
    per_channel: bool = False,
    symmetric: bool = True,
) -> None:
    """Write codes and scales of each layer, and all else that the network holds, as safetensors.

    For a layer called NAME there are ``NAME.weight.codes``, ``NAME.weight.scale`` and
    ``NAME.weight.zero_point``; all other entries of ``state_dict`` are as they are. Codes are 8, 16 or
    32 bits wide; the file's metadata say how many of them are used, and along which axis scales stand.

    Arguments:
        path: the file, which is replaced as a whole.
        model, candidate, bits, per_channel, symmetric: as for :func:`coded_weights`.

    Raises:
        ValueError: as :func:`coded_weights`, or where safetensors is not installed.

    Example:
        >>> import tempfile
        >>> from baq import ptq_w
        >>> model, path = nn.Linear(3, 2), Path(tempfile.mkdtemp(), "four-bits.safetensors")
        >>> candidate = ptq_w(model, 4)
        >>> save_codes(path, model, candidate, 4)
        >>> torch.equal(load_codes(path, model).weight, candidate.weight)
        True
    """
    library = needed("safetensors.torch", "a safetensors file", "onnx")
    coded = coded_weights(model, candidate, bits, per_channel=per_channel, symmetric=symmetric)
    state = {name: value.detach() for name, value in candidate.state_dict().items()}
    layers: dict[str, dict[str, int | None]] = {}
    for name, one in coded.items():
        key = key_of(name)
        for same in _sharing(state, key):
            del state[same]
        parts = {"codes": one.codes, "scale": one.scale, "zero_point": one.zero_point}
        state |= {f"{key}.{part}": value for part, value in parts.items()}
        layers[key] = {"bits": one.bits, "axis": one.axis}
    # Other entries that share memory are written each by itself.
    tensors = {name: value.cpu().contiguous().clone() for name, value in state.items()}
    told = {"format": _FORMAT, "baq": baq.__version__, "layers": json.dumps(layers)}
    with whole(Path(path)) as part:
        part.write_bytes(library.save(tensors, metadata=told))


def load_codes(path: str | Path, model: nn.Module) -> nn.Module:
    """The network that :func:`save_codes` wrote, as a copy of the float one in evaluation mode.

    Arguments:
        path: the file.
        model: a network of the same shape; none of its values are kept.

    Raises:
        ValueError: for a file that is no such file, or that fits another network, or where safetensors
            is not installed.

    Example:
        >>> load_codes("absent.safetensors", nn.Linear(3, 2))
        Traceback (most recent call last):
        ValueError: absent.safetensors is no file of codes: No such file or directory
    """
    library = needed("safetensors", "a safetensors file", "onnx")
    try:
        with library.safe_open(path, "pt") as file:
            told = file.metadata() or {}
            names = file.keys()
            state = {name: file.get_tensor(name) for name in names}
        if told.get("format") != _FORMAT:
            raise ValueError(f"its format is {told.get('format')!r}, allowed is {_FORMAT!r}")
        layers = json.loads(told["layers"])
        for key, layer in layers.items():
            parts = {name: state.pop(f"{key}.{name}") for name in ("codes", "scale", "zero_point")}
            state[key] = CodedWeight(**parts, **layer).weight()
    except FileNotFoundError:
        raise ValueError(f"{path} is no file of codes: No such file or directory") from None
    except (
        OSError,
        KeyError,
        TypeError,
        ValueError,
        RuntimeError,
        library.SafetensorError,
    ) as error:
        raise ValueError(f"{path} is no file of codes: {' '.join(str(error).split())}") from None
    loaded = copied(model)
    own = loaded.state_dict()
    for key in layers:
        if key in own:
            state |= dict.fromkeys(_sharing(own, key), state[key])
    try:
        loaded.load_state_dict(state)
    except RuntimeError as error:
        lines = [line.strip() for line in str(error).splitlines()]
        raise ValueError(f"{path} fits another network: {' '.join(lines[1:])}") from None
    return loaded.eval()


def _sharing(state: Mapping[str, Tensor], key: str) -> list[str]:
    """The entries that are one tensor with that of a name, such as tied weights, itself among them."""
    return [name for name, value in state.items() if value.data_ptr() == state[key].data_ptr()]


def key_of(name: str) -> str:
    """What ``state_dict`` calls the weight of a layer."""
    return f"{name}.weight".removeprefix(".")
