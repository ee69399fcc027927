"""Roundings that ship: searched once, checked when loaded, searched anew where anything differs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as write_tensors
from torch import Tensor, nn

from baq.machine import processor_name, whole
from baq.quantization import Bits
from baq.rounding.packing import key, pack, unpack
from baq.rounding.statistics import Statistics
from baq.rounding.ways import Searched
from baq.zoo import checkpoints

__all__ = ["kept"]


def kept(
    name: str,
    search: Callable[..., Searched],
    known: Statistics,
    bits: Bits,
    given: Mapping[str, Any],
    folder: str | Path = "",
) -> Searched:
    """What a search finds, from a file where it was made of the same network, inputs and options.

    Arguments:
        name: of the file in the folder, without its ending.
        search: searches now, called as ``search(known, bits, **given)``.
        known, bits, given: what decides the result (:func:`baq.rounding.packing.key`): the network and its
            inputs, the bits by which every network is rounded, and options.
        folder: filled with what is searched; if empty the roundings that ship are read, which nothing is
            added to: ``roundings`` in :func:`baq.zoo.checkpoints.folder`.

    Raises:
        ValueError: for a file that is damaged; what was made otherwise is no error, and not taken.
    """
    reference = known.given
    decides = {"search": search.__name__, "bits": bits, "positions": known.positions, **given}
    wanted = key(reference, known.x, decides)
    where = Path(folder).expanduser() if folder else checkpoints.folder() / "roundings"
    path = where / f"{name}.safetensors"
    if path.is_file() and (found := _load(path, wanted, reference, bits)):
        return found
    found = search(known, bits, **given)
    if folder:
        _save(path, wanted, found, reference, bits)
    return found


def _digest(tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name, value in sorted(tensors.items()):
        digest.update(name.encode() + value.numpy().tobytes())
    return digest.hexdigest()


def _save(path: Path, made_of: str, found: Searched, reference: nn.Module, bits: Bits) -> None:
    tensors: dict[str, Tensor] = {}
    per_channel = []
    for way, network in found.networks.items():
        try:
            packed = pack(reference, network, bits)
        except ValueError:
            packed = pack(reference, network, bits, per_channel=True)
            per_channel.append(way)
        tensors |= {f"{way}/{layer}": value for layer, value in packed.items()}
    about = {
        "key": made_of,
        "sha256": _digest(tensors),
        "ways": json.dumps(list(found.networks)),
        "per_channel": json.dumps(per_channel),
        "seconds": json.dumps(found.seconds),
        "searches": found.searches.to_json(orient="split", index=False),
        "processor": processor_name(),
        "torch": str(torch.__version__),
    }
    with whole(path) as part:
        part.write_bytes(write_tensors(tensors, about))


def _load(path: Path, wanted: str, reference: nn.Module, bits: Bits) -> Searched | None:
    """What a file holds; None where it was made of something else."""
    try:
        with safe_open(path, "pt") as file:
            about = file.metadata() or {}
            if about.get("key") != wanted:
                return None
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if about["sha256"] != _digest(tensors):
            raise ValueError("its bytes are not those that were written")
        per_channel = json.loads(about["per_channel"])
        networks = {}
        for way in json.loads(about["ways"]):
            packed = {
                name.removeprefix(f"{way}/"): value
                for name, value in tensors.items()
                if name.startswith(f"{way}/")
            }
            networks[way] = unpack(reference, packed, bits, per_channel=way in per_channel)
        searches = pd.DataFrame(**json.loads(about["searches"]))
        return Searched(networks, json.loads(about["seconds"]), searches)
    except (KeyError, OSError, SafetensorError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(f"{path} is damaged: {reason}; delete it to search anew") from None
