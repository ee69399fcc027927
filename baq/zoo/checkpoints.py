"""Trained networks: shipped as safetensors, checked when loaded, trained anew on request."""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import math
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from safetensors import SafetensorError
from safetensors.torch import load as read_tensors
from safetensors.torch import save as write_tensors
from torch import nn

from baq.arguments import check_seed
from baq.inference import default_device, labels, logits
from baq.machine import locked, processor_name, whole
from baq.zoo import data, models
from baq.zoo.training import Adam, Recipe, fit, fit_images

__all__ = [
    "CALIBRATION",
    "FAMILIES",
    "Family",
    "fitted",
    "folder",
    "load",
    "load_or_train",
    "main",
    "manifest",
    "overview",
    "save",
    "shipped",
    "train",
]

#: Training images that every network on all of CIFAR-10 is trained without, for calibration.
CALIBRATION = 2000


@dataclasses.dataclass(frozen=True)
class Family:
    """How the networks of a family are built and trained, their width, their data set and its splits.

    ``build`` takes a width and a seed; ``sizes`` are those of :func:`baq.zoo.data.load`.
    """

    build: Callable[..., nn.Module]
    width: int
    recipe: Recipe | Adam
    dataset: str = "cifar10"
    sizes: Mapping[str, float] = dataclasses.field(
        default_factory=lambda: {"calibration": CALIBRATION}
    )


#: Widths and recipes were chosen on training images alone, by cost, for an accuracy usual for the kind.
FAMILIES = {
    "cnn": Family(partial(models.cnn, 3, 10), 48, Recipe(epochs=16, learning_rate=0.1, crop=2)),
    "resnet": Family(
        partial(models.resnet, 3, 10), 40, Recipe(epochs=18, learning_rate=0.2, crop=4)
    ),
    "subset-cnn": Family(
        partial(models.cnn, 3, 10),
        16,
        Recipe(epochs=20, batch_size=64, learning_rate=0.05, crop=2),
        sizes={"train": 5000, "calibration": 600, "test": 600},
    ),
}
for _set in ("mnist", "fashion-mnist"):
    # The second one is trained on fewer images.
    for _kind, _sizes in (
        ("mlp", {"calibration": 0.1}),
        ("mlp-15000", {"train": 15000, "calibration": 2000}),
    ):
        FAMILIES[f"{_set}-{_kind}"] = Family(
            partial(models.mlp, 784, 10, activation="relu"),
            256,
            Adam(epochs=15, learning_rate=3e-3),
            _set,
            _sizes,
        )
    FAMILIES[f"{_set}-cnn"] = Family(
        partial(models.cnn, 1, 10),
        16,
        Adam(epochs=5, learning_rate=1e-2),
        _set,
        {"calibration": 0.1},
    )
#: Digits have no official test images; with calibration images the network is another.
for _kind, _sizes in (
    ("digits-mlp", {"calibration": 0.0, "test": 0.25}),
    ("digits-mlp-calibrated", {"calibration": 0.2, "test": 0.2}),
    ("digits-mlp-forecast", {"calibration": 0.4, "test": 0.2}),
):
    FAMILIES[_kind] = Family(
        partial(models.mlp, 64, 10),
        64,
        Adam(epochs=200, learning_rate=3e-3, batch_size=128, decay=False),
        "digits",
        _sizes,
    )


def folder() -> Path:
    """Where checkpoints lie: ``$BAQ_CHECKPOINTS``, else in the installed package or the checkout."""
    if named := os.environ.get("BAQ_CHECKPOINTS"):
        return Path(named).expanduser()
    package = Path(__file__).parents[1]
    packaged, checkout = package / "checkpoints", package.parent / "checkpoints"
    return packaged if packaged.is_dir() else checkout


def manifest(where: Path | None = None) -> dict[str, dict[str, Any]]:
    """The entry of every checkpoint in a folder, by name; empty where there is no manifest.

    An entry holds ``family``, ``width``, ``seed``, ``recipe``, ``sha256``, ``bytes``, ``accuracy`` on the
    test images and, where there are some, ``calibration_accuracy``, both in float32, and its cost: ``minutes`` on the
    clock and ``processor_minutes``, both since the last start where a training was resumed, ``threads``,
    ``processor``, ``torch``.

    Raises:
        ValueError: for a manifest that cannot be read, or an entry that lacks a field that
            :func:`load` needs, or has one of another type.
    """
    path = (where or folder()) / "manifest.json"
    try:
        entries = json.loads(path.read_text("utf-8")) if path.exists() else {}
    except (OSError, RecursionError, ValueError) as error:
        raise ValueError(f"{path} is no manifest: {error}") from None
    if not isinstance(entries, dict):
        raise ValueError(f"{path} holds a {type(entries).__name__}: allowed is a map of entries")
    for name, entry in entries.items():
        try:
            _check_entry(name, entry)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None
    return entries


#: The fields of an entry that are used here: type, and whether loading needs it.
_ENTRY: dict[str, tuple[Any, bool]] = {
    **dict.fromkeys(("family", "sha256"), (str, True)),
    **dict.fromkeys(("seed", "width", "bytes"), (int, True)),
    **dict.fromkeys(("accuracy", "minutes", "processor_minutes"), ((int, float), False)),
    "threads": (int, False),
    "processor": (str, False),
}


def _check_entry(name: str, entry: Any) -> None:
    """Raise where an entry is no map, or lacks a field that is used here, or has one of another type."""
    if not isinstance(entry, dict):
        raise ValueError(f"{name} is {_shown(entry)}: allowed is a map")
    for key, (kind, needed) in _ENTRY.items():
        value = entry.get(key)
        absent = key not in entry
        if needed if absent else isinstance(value, bool) or not isinstance(value, kind):
            allowed = "a text" if kind is str else "a number"
            found = "absent" if absent else _shown(value)
            raise ValueError(f"{key} of {name} is {found}: allowed is {allowed}")


def _shown(value: object) -> str:
    """A value in one line."""
    return " ".join(repr(value).split())[:200]


def _name(family: str, seed: int) -> str:
    if family not in FAMILIES:
        raise ValueError(f"family is {family!r}: allowed are {', '.join(FAMILIES)}")
    check_seed(seed=seed)
    return f"{family}-{seed}"


def _build(family: str, width: int, seed: int) -> nn.Module:
    return FAMILIES[family].build(width, seed=seed)


def shipped(family: str, seed: int, where: Path | None = None) -> bool:
    """Whether there is a checkpoint; arguments as for :func:`load`."""
    name, where = _name(family, seed), where or folder()
    return name in manifest(where) and (where / f"{name}.safetensors").is_file()


def fitted(
    family: str,
    seed: int,
    x: torch.Tensor,
    y: torch.Tensor,
    *,
    width: int | None = None,
    epochs: int | None = None,
    **running: Any,
) -> nn.Module:
    """A network of a family, trained on the device of the images as its recipe says; nothing is saved.

    Arguments:
        family, seed: as for :func:`load`.
        x, y: training images and labels.
        width, epochs: others than the family's.
        running: ``progress``, and for :func:`baq.zoo.training.fit_images` ``resume`` and ``fresh``.

    Raises:
        ValueError: for an unknown family, or as :func:`baq.zoo.training.fit` and ``fit_images``.
    """
    _name(family, seed)
    kind = FAMILIES[family]
    recipe = kind.recipe if epochs is None else dataclasses.replace(kind.recipe, epochs=epochs)
    model = _build(family, kind.width if width is None else width, seed).to(x.device)
    if isinstance(recipe, Recipe):
        return fit_images(model, x, y, recipe, seed=seed, **running)
    return fit(model, x, y, **dataclasses.asdict(recipe), seed=seed, **running)


def load(family: str, seed: int, where: Path | None = None) -> nn.Module:
    """A trained network, in evaluation mode, after its file was checked against the manifest.

    Arguments:
        family: a key of :data:`FAMILIES`.
        seed: seed of split, initialization and training.
        where: the folder; :func:`folder` where not given.

    Raises:
        ValueError: for an unknown family, or a file that is truncated, is not the one that the
            manifest names, or holds another architecture.
        FileNotFoundError: for a missing checkpoint.
    """
    name, where = _name(family, seed), where or folder()
    path, entry = where / f"{name}.safetensors", manifest(where).get(name)
    if entry is None or not path.is_file():
        known = ", ".join(manifest(where)) or "none"
        raise FileNotFoundError(
            f"no checkpoint {name} in {where}: there are {known}; "
            f"train it with: python -m baq.zoo.checkpoints train {family} {seed}"
        )
    content = path.read_bytes()
    if len(content) != entry["bytes"]:
        raise ValueError(
            f"{path} has {len(content)} bytes, the manifest says {entry['bytes']}: it is truncated "
            "or another file"
        )
    if (found := hashlib.sha256(content).hexdigest()) != entry["sha256"]:
        raise ValueError(f"{path} has sha256 {found}, the manifest says {entry['sha256']}")
    model = _build(family, entry["width"], seed)
    try:
        model.load_state_dict(read_tensors(content))
    except (RuntimeError, SafetensorError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(
            f"{path} holds no {family} of width {entry['width']}, as the manifest says: {reason}"
        ) from None
    return model.eval()


def overview(networks: Sequence[tuple[str, int]], where: Path | None = None) -> pd.DataFrame:
    """A row for each trained network: its entry in the manifest and its number of weights.

    Arguments:
        networks: family and seed of each, all checked as :func:`load` does.
        where: the folder; :func:`folder` where not given.

    Returns:
        ``family``, ``seed``, ``width``, ``weights`` (all parameters), and of :func:`manifest`
        ``accuracy``, ``minutes``, ``processor_minutes`` and ``processor``.

    Raises:
        ValueError, FileNotFoundError: as :func:`load`.
    """
    rows = []
    for family, seed in networks:
        model = load(family, seed, where)
        weights = sum(parameter.numel() for parameter in model.parameters())
        rows.append(manifest(where)[_name(family, seed)] | {"weights": weights})
    columns = ["family", "seed", "width", "weights", "accuracy"]
    return pd.DataFrame(rows, columns=[*columns, "minutes", "processor_minutes", "processor"])


def save(
    model: nn.Module, family: str, seed: int, entry: dict[str, object], where: Path | None = None
) -> None:
    """Write a network and its entry in the manifest, each whole or not at all.

    Arguments:
        model: the network.
        family, seed: as for :func:`load`.
        entry: its entry, see :func:`manifest`; hash and size are added.
        where: the folder; :func:`folder` where not given.

    Raises:
        ValueError: for an unknown family, a network with values that are not finite, are on ``meta``
            or share memory, an entry that :func:`manifest` would refuse, is of another family or seed,
            or cannot be written as JSON, or a manifest as :func:`manifest`; nothing is written.
    """
    name, where = _name(family, seed), where or folder()
    for key, value in model.state_dict().items():
        if not isinstance(value, torch.Tensor) or value.is_meta:
            found = "on meta" if isinstance(value, torch.Tensor) else _shown(value)
            raise ValueError(f"{key} of {name} is {found}: allowed are tensors with values")
        if not torch.isfinite(value).all():
            raise ValueError(
                f"{key} of {name} holds values that are not finite: allowed are finite"
            )
    state = {key: value.cpu().contiguous() for key, value in model.state_dict().items()}
    try:
        content = write_tensors(state)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(f"{name} cannot be stored: {reason}") from None
    digest = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    own = {"family": family, "seed": int(seed)}
    if not isinstance(entry, dict):
        raise ValueError(f"the entry of {name} is {_shown(entry)}: allowed is a map")
    full = own | entry | digest
    _check_entry(name, full)
    for key, value in full.items():
        if key in own and value != own[key]:
            raise ValueError(f"{key} of {name} is {value!r}: allowed is {own[key]!r}")
        try:
            json.dumps(value, allow_nan=False)
        except (RecursionError, TypeError, ValueError):
            raise ValueError(
                f"{key} of {name} is {_shown(value)}: allowed are finite numbers, texts, and lists "
                "and maps of them"
            ) from None
    where.mkdir(parents=True, exist_ok=True)
    with locked(where, wait=True):  # networks are trained side by side
        entries = manifest(where) | {name: full}
        text = json.dumps(dict(sorted(entries.items())), indent=2) + "\n"
        with whole(where / f"{name}.safetensors") as part:
            part.write_bytes(content)
        with whole(where / "manifest.json") as part:
            part.write_text(text, "utf-8")


def train(
    family: str,
    seed: int,
    where: Path | None = None,
    *,
    fresh: bool = False,
    progress: bool = False,
    batch_size: int = 500,
) -> nn.Module:
    """Train a network on its data set without its calibration images, and save it.

    On CIFAR-10 a run that was killed goes on from its last epoch, and CUDA is used where it is present.

    Arguments:
        family, seed, where: as for :func:`load`.
        fresh: do not resume a run that was killed.
        progress: show a bar.
        batch_size: images per evaluation of the accuracy.

    Raises:
        ValueError: as :func:`fitted`.
        FileNotFoundError: where the data set cannot be had.
    """
    name, where = _name(family, seed), where or folder()
    kind = FAMILIES[family]
    split = data.load(kind.dataset, seed, **kind.sizes)
    device = default_device()
    running: dict[str, Any] = {"progress": progress}
    if isinstance(kind.recipe, Recipe):
        running |= {"resume": where / f"{name}.resume", "fresh": fresh}
    clock, processor = time.monotonic(), time.process_time()
    model = fitted(family, seed, split.x_train.to(device), split.y_train.to(device), **running)
    took = (time.monotonic() - clock) / 60, (time.process_time() - processor) / 60
    model = model.cpu()
    accuracy = {
        part: float((labels(logits(model, x, batch_size)) == y).double().mean())
        for part, x, y in [
            ("accuracy", split.x_test, split.y_test),
            ("calibration_accuracy", split.x_calibration, split.y_calibration),
        ]
        if len(x)
    }
    entry = {
        "width": kind.width,
        "recipe": dataclasses.asdict(kind.recipe),
        **accuracy,
        "minutes": round(took[0], 2),
        "processor_minutes": round(took[1], 2),
        "threads": torch.get_num_threads(),
        "processor": (torch.cuda.get_device_name() if device.type == "cuda" else processor_name()),
        "torch": str(torch.__version__),
    }
    save(model, family, seed, entry, where)
    return model


def load_or_train(
    family: str,
    seed: int,
    where: Path | None = None,
    *,
    fresh: bool = False,
    progress: bool = False,
) -> nn.Module:
    """The checkpoint if its file exists, else a network trained and saved now.

    Arguments:
        family, seed, where: as for :func:`load`.
        fresh: train anew, even if there is a checkpoint.
        progress: show a bar over a training.

    Raises:
        ValueError, FileNotFoundError: as :func:`load` and :func:`train`; a damaged file is an error,
            and is replaced only on request.
    """
    if not fresh and shipped(family, seed, where):
        return load(family, seed, where)
    return train(family, seed, where, fresh=fresh, progress=progress)


def main(arguments: Sequence[str] | None = None) -> int:
    """List the checkpoints, check them, or train one; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m baq.zoo.checkpoints", description=main.__doc__)
    parser.add_argument("--folder", type=Path, default=None, help="instead of the shipped ones")
    commands = parser.add_subparsers(dest="command")
    commands.add_parser("list", help="each checkpoint, checked")
    one = commands.add_parser("train", help="train a network, or go on with a training")
    one.add_argument("family", choices=list(FAMILIES))
    one.add_argument("seed", type=int)
    one.add_argument("--fresh", action="store_true", help="start anew whatever is there")
    options = parser.parse_args(arguments)
    where = options.folder or folder()
    try:
        if options.command == "train":
            load_or_train(options.family, options.seed, where, fresh=options.fresh, progress=True)
        for name, entry in manifest(where).items():
            load(entry["family"], entry["seed"], where)
            print(
                f"{name:20} accuracy {entry.get('accuracy', math.nan):.4f}  "
                f"{entry['bytes'] / 1e6:.2f} MB  {entry.get('minutes', math.nan):.1f} minutes on "
                f"{entry.get('threads', '?')} threads of {entry.get('processor', '?')}"
            )
    except (FileNotFoundError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
