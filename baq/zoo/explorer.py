"""The networks that the explorer in the page runs: how they are made, written, and read again."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import math
import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load as read_tensors
from safetensors.torch import save as write_tensors
from torch import Tensor, nn

from baq.arguments import check_choice, check_whole
from baq.inference import copied
from baq.quantization import Bits, bits_by_layer, quantized_layers
from baq.rounding import Statistics, adaround, boundary_metric
from baq.rounding.descent import neighbours
from baq.rounding.ways import Searched
from baq.slices.planes import Plane, pca_plane
from baq.structure import hidden_layer
from baq.zoo import models
from baq.zoo.recipes import digits_network, mnist_network
from baq.zoo.roundings import kept

__all__ = ["ROUNDINGS", "Shown", "load", "made", "on_each_grid", "save"]

#: The ways to round that are shipped, beside rounding to nearest.
ROUNDINGS = ("adaround", "boundary metric")
_SCALES = {"digits": 16, "mnist": 255, "fashion-mnist": 255}


@dataclass(frozen=True)
class Shown:
    """A network with one hidden layer, test images (N, 1, side, side) in [0, 1], labels (N,), and a plane.

    ``up`` says for each way to round, bit width, grid and layer which weights go up, bool of the
    weight's shape: its keys are such as ``adaround/4/channel/1``.
    """

    network: nn.Module
    x: Tensor
    y: Tensor
    plane: Plane
    up: Mapping[str, Tensor]

    def rounded(self, way: str, bits: Bits, *, per_channel: bool = False) -> nn.Module:
        """A copy of the network, each weight rounded up or down as shipped.

        AdaRound rounds each layer by itself, so that layers may have bits of their own. The boundary
        metric lets the second layer make up for the first: there both have the same.

        Arguments:
            way: one of :data:`ROUNDINGS`.
            bits: as for :func:`baq.quantization.ptq_w`.
            per_channel: one scale for each unit of a layer.

        Raises:
            ValueError: for bits that are not shipped, or unequal ones for the boundary metric.
        """
        check_choice(ROUNDINGS, way=way)
        widths = bits_by_layer(self.network, bits)
        if way == "boundary metric" and len(set(widths.values())) > 1:
            raise ValueError(f"bits are {widths}: allowed is one number for the boundary metric")
        found = copied(self.network)
        for name, layer in quantized_layers(found).items():
            key = _key(way, widths[name], per_channel, name)
            if key not in self.up:
                known = sorted({int(k.split("/")[1]) for k in self.up})
                allowed = ", ".join(map(str, known))
                raise ValueError(f"bits are {widths[name]}: allowed are {allowed}")
            low, high, _ = neighbours(layer.weight, widths[name], per_channel=per_channel)
            layer.weight.data = torch.where(self.up[key], high, low)
        return found


def _key(way: str, bits: int, per_channel: bool, layer: str) -> str:
    return f"{way}/{bits}/{'channel' if per_channel else 'tensor'}/{layer}"


def on_each_grid(known: Statistics, bits: int, *, steps: int) -> Searched:
    """A network rounded in the ways of :data:`ROUNDINGS`, each with one scale a layer and a scale a channel."""
    networks = {}
    for per_channel, grid in ((False, ""), (True, ", per channel")):
        given: dict[str, Any] = {"per_channel": per_channel, "steps": steps}
        networks[ROUNDINGS[0] + grid] = adaround(known.given, bits, known, **given)
        given["exact"] = [0.0]
        networks[ROUNDINGS[1] + grid] = boundary_metric(known.given, bits, known, **given)
    return Searched(networks, per_channel=[f"{way}, per channel" for way in ROUNDINGS])


def made(
    dataset: str,
    seed: int,
    activation: str,
    *,
    hidden: int,
    epochs: int,
    test: float,
    bits: Sequence[int],
    images: int,
    steps: int,
    folder: str | Path = "",
) -> Shown:
    """Train a network for the page, and round it in the ways of :data:`ROUNDINGS`.

    Networks on digits are those of :func:`baq.zoo.recipes.digits_network`, those on MNIST and
    Fashion-MNIST of :func:`baq.zoo.recipes.mnist_network`.

    Arguments:
        dataset: ``digits``, ``mnist`` or ``fashion-mnist``.
        seed: of the splits and the training.
        activation: on digits a name in :data:`baq.zoo.models.ACTIVATIONS`, else ``relu``.
        hidden: hidden units.
        epochs: passes over the training images.
        test: size of the test split, see :func:`baq.zoo.data.load`.
        bits: bit widths that are rounded by a loss.
        images: training images, the first of them, to round on.
        steps: see :func:`baq.rounding.adaround`.
        folder: of roundings, see :func:`baq.zoo.roundings.kept`.

    Raises:
        ValueError: for another data set or activation, or as the functions named.
    """
    check_choice(tuple(_SCALES), dataset=dataset)
    check_whole(images=images)
    network: nn.Module
    if dataset == "digits":
        network, split = digits_network(seed, hidden, activation, epochs, test=test)
    else:
        check_choice(("relu",), activation=activation)
        network, split = mnist_network(dataset, seed, epochs=epochs, test=test, hidden=hidden)
    known = Statistics(network, split.x_train[:images])
    up = {}
    for width in bits:
        name = f"explorer/{dataset}-{activation}-{seed}/{width}-bits"
        found = kept(name, on_each_grid, known, width, {"steps": steps}, folder)
        for way, rounded in found.networks.items():
            layers, per_channel = quantized_layers(rounded), way in found.per_channel
            for layer, float_one in quantized_layers(network).items():
                low = neighbours(float_one.weight, width, per_channel=per_channel)[0]
                key = _key(way.partition(",")[0], width, per_channel, layer)
                up[key] = layers[layer].weight.detach() > low
    return Shown(network, split.x_test, split.y_test, pca_plane(split.x_train), up)


def save(path: Path, dataset: str, networks: Mapping[str, Shown]) -> str:
    """Write networks as a script that hands them to the page, and return the SHA-256 of its content.

    A page that is opened from a file may load scripts and nothing else. The script holds, as base64 of
    zlib's format, a safetensors file: float32 weights, planes with float64 extents, images in whole
    grey levels, and one bit for each weight and rounding, the first in the lowest bit of a byte.

    Arguments:
        path: the script.
        dataset: what all networks are trained on.
        networks: by name.

    Raises:
        ValueError: for a network without just one hidden layer, or images that are no whole levels.
    """
    scale, tensors, about = _SCALES[dataset], {}, {}
    for name, shown in networks.items():
        layers = hidden_layer(shown.network)
        if layers is None:
            raise ValueError(
                f"network {name!r} has not one hidden layer: allowed are such networks"
            )
        first, activation, last = layers
        parts = {"W": first.weight, "b": first.bias, "V": last.weight, "c": last.bias}
        parts |= {"origin": shown.plane.origin, "u": shown.plane.u, "v": shown.plane.v}
        for part, values in parts.items():
            tensors[f"{name}/{part}"] = values.detach().float().contiguous()
        tensors[f"{name}/extent"] = torch.tensor(shown.plane.extent, dtype=torch.float64)
        levels = shown.x * scale
        if not torch.equal(levels.round() / scale, shown.x):
            raise ValueError(f"images of {name!r} are no multiples of 1/{scale}: allowed are such")
        tensors[f"{name}/images"] = levels.round().byte()
        tensors[f"{name}/labels"] = shown.y.byte()
        for key, up in shown.up.items():
            packed = np.packbits(up.numpy().ravel(), bitorder="little")
            tensors[f"{name}/up/{key}"] = torch.from_numpy(packed)
        about[name] = {"act": type(activation).__name__.lower(), "scale": scale}
        about[name]["bits"] = sorted({int(key.split("/")[1]) for key in shown.up})
    # One entry, since the order of several is left to chance.
    content = write_tensors(tensors, {"about": json.dumps(about)})
    text = base64.b64encode(zlib.compress(content, 9)).decode()
    path.write_text(f'explore.receive("{dataset}", "{text}");\n', "utf-8")
    return hashlib.sha256(content).hexdigest()


def load(path: Path | str) -> dict[str, Shown]:
    """The networks that :func:`save` wrote, by name.

    Raises:
        FileNotFoundError: where there is no such file; it says what to do.
        ValueError: for one that is damaged, or is none of these scripts.
    """
    path = Path(path)
    if not path.is_file():
        told = "start Python in the folder of the book, or give the path of what its page Explore wrote"
        raise FileNotFoundError(f"no file {str(path)!r}: {told}")
    match = re.fullmatch(r'explore\.receive\("[\w-]+", "(.*)"\);\n', path.read_text("utf-8"))
    try:
        content = zlib.decompress(base64.b64decode(match[1], validate=True) if match else b"")
        tensors = read_tensors(content)
        size = int.from_bytes(content[:8], "little")
        about = json.loads(json.loads(content[8 : 8 + size])["__metadata__"]["about"])
    except (binascii.Error, zlib.error, SafetensorError, KeyError) as error:
        told = "allowed is what the chapter Explore wrote"
        raise ValueError(f"{path.name} is damaged or no file of networks: {told}") from error
    return {name: _shown(name, entry, tensors) for name, entry in about.items()}


def _shown(name: str, entry: dict, tensors: dict[str, Tensor]) -> Shown:
    mine = {k.removeprefix(f"{name}/"): v for k, v in tensors.items() if k.startswith(f"{name}/")}
    hidden, inputs = mine["W"].shape
    network = models.mlp(inputs, len(mine["V"]), hidden, entry["act"]).eval()
    network.load_state_dict(
        {"1.weight": mine["W"], "1.bias": mine["b"], "3.weight": mine["V"], "3.bias": mine["c"]}
    )
    plane = Plane(mine["origin"], mine["u"], mine["v"], tuple(mine["extent"].tolist()))
    up = {}
    for key, packed in mine.items():
        if key.startswith("up/"):
            shape = mine["W" if key.endswith("/1") else "V"].shape
            bits = np.unpackbits(packed.numpy(), count=math.prod(shape), bitorder="little")
            up[key.removeprefix("up/")] = torch.from_numpy(bits).bool().reshape(shape)
    return Shown(network, mine["images"].float() / entry["scale"], mine["labels"].long(), plane, up)
