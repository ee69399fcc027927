"""Inputs and labels from files: arrays, folders of images, and data sets of torchvision."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from baq.adapters.packages import needed
from baq.arguments import check_whole

__all__ = ["Inputs", "load_inputs"]

#: Names that hold inputs and labels in files of several arrays, in the order in which they are tried.
_INPUTS = ("x", "inputs", "images", "x_test", "data", "features", "input_ids")
_LABELS = ("y", "labels", "label", "y_test", "targets", "target")
#: Endings of images that are read from folders.
_IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".pgm", ".ppm")
_FILES = ".npz, .npy, .safetensors, a folder of images, torchvision:NAME"


@dataclass(frozen=True)
class Inputs:
    """Inputs x of shape (N, *), labels y of shape (N,) or None, and the names of the classes.

    ``x`` is a tensor, or an array that stays on the disk; several named ones are a dictionary.
    ``names`` is empty where the classes have none. ``source`` is where they come from.

    Example:
        >>> data = Inputs(torch.zeros(5, 2), torch.tensor([0, 1, 0, 1, 1]), names=("no", "yes"))
        >>> len(data), data.names[data.y[1]]
        (5, 'yes')
    """

    x: Tensor | np.ndarray | dict[str, Tensor | np.ndarray]
    y: Tensor | None
    names: tuple[str, ...] = ()
    source: str = ""

    def __len__(self) -> int:
        return len(next(iter(self.x.values())) if isinstance(self.x, dict) else self.x)


def load_inputs(
    source: str | Path,
    *,
    key: str | Sequence[str] | None = None,
    labels: str | Path | None = None,
    limit: int | None = None,
    fetch: Callable[[str], tuple[Tensor, Tensor, Sequence[str]]] | None = None,
) -> Inputs:
    """Read inputs, and labels where there are some.

    * ``.npy``: the inputs, left on the disk and read batch by batch.
    * ``.npz``, ``.safetensors``: ``key`` names the inputs, or several of them; if not given, the only
      array, or one called x, inputs, images, x_test, data, features or input_ids. Labels are called
      y, labels, label, y_test, targets or target.
    * a folder: images of one size in a folder for each class, by name, or without classes; values from
      0 to 1, shape (N, channels, height, width).
    * ``torchvision:NAME``: its test images, from 0 to 1.

    Arguments:
        source: one of these.
        key: see above.
        labels: a ``.npy`` or ``.txt`` file of labels, or the name of an array in ``source``.
        limit: take the first of them only.
        fetch: from a name that torchvision knows to inputs, labels and names of classes; torchvision's
            own test set, in the folder ``$BAQ_DATA``, if not given.

    Raises:
        ValueError: for a source that is none of these, that holds no array of that name, pickled
            objects or values that are not finite, for a key where arrays have no names, for images of
            several sizes or of more than 16 bits, labels that are not one whole number from 0 for each
            input, or a package that is absent.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp(), "test.npz")
        >>> np.savez(path, x=np.zeros((5, 2)), y=[0, 1, 0, 1, 1])
        >>> data = load_inputs(path, limit=3)
        >>> tuple(data.x.shape), data.y.tolist()
        ((3, 2), [0, 1, 0])
    """
    if limit is not None:
        check_whole(limit=limit)
    text = str(source)
    if key is not None and Path(text).suffix.lower() not in (".npz", ".safetensors"):
        raise ValueError(
            f"key is {key!r}: {text} has no arrays by name, as .npz and .safetensors have"
        )
    if text.startswith("torchvision:"):
        x, y, names = (fetch or _torchvision)(text.partition(":")[2])
    else:
        path = Path(source).expanduser()
        if not path.exists():
            raise ValueError(f"{path} is absent: allowed are {_FILES}")
        x, y, names = _read(path, key, labels)
    found = _checked(text, x, y, limit)
    return Inputs(*found, tuple(names), text)


def _read(
    path: Path, key: str | Sequence[str] | None, labels: str | Path | None
) -> tuple[Any, Any, Sequence[str]]:
    if path.is_dir():
        return _folder(path)
    ending = path.suffix.lower()
    if ending == ".npy":
        x, y, names = _npy(path), None, ()
    elif ending in (".npz", ".safetensors"):
        arrays = _npz(path) if ending == ".npz" else _safetensors(path)
        x, y, names = *_chosen(path, arrays, key, labels), ()
        if y is not None:
            return x, y, names
    else:
        raise ValueError(f"{path} ends in {ending!r}: allowed are {_FILES}")
    if labels is not None:
        file = Path(labels).expanduser()
        if not file.is_file():
            raise ValueError(f"labels are {str(labels)!r}, which is absent: allowed is a file")
        y = _npy(file) if file.suffix == ".npy" else _text(file)
    return x, y, names


def _npy(path: Path) -> np.ndarray:
    try:
        # Writable in memory alone, which torch asks for.
        return np.load(path, mmap_mode="c", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise ValueError(_unreadable(path, error)) from None


def _unreadable(path: Path, error: Exception) -> str:
    if "allow_pickle" in str(error) or "Python objects" in str(error):
        return f"{path} holds pickled objects: allowed are arrays of numbers"
    return f"{path} is no {path.suffix[1:]} file that can be read: {' '.join(str(error).split())}"


def _text(path: Path) -> np.ndarray:
    try:
        with warnings.catch_warnings():
            # A file without numbers is told of where they are counted.
            warnings.simplefilter("ignore")
            return np.loadtxt(path, ndmin=1)
    except ValueError as error:
        raise ValueError(_unreadable(path, error)) from None


def _npz(path: Path) -> dict[str, np.ndarray]:
    import zipfile

    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(_unreadable(path, error)) from None


def _safetensors(path: Path) -> dict[str, Tensor]:
    library = needed("safetensors.torch", "a safetensors file")
    try:
        return library.load_file(path)
    except Exception as error:  # the library's own error has no base of its own
        raise ValueError(_unreadable(path, error)) from None


def _chosen(
    path: Path, arrays: dict[str, Any], key: str | Sequence[str] | None, labels: str | Path | None
) -> tuple[Any, Any]:
    """Inputs and labels among named arrays."""

    def get(name: str) -> Any:
        if name not in arrays:
            raise ValueError(f"{path} has no array {name!r}: allowed are {', '.join(arrays)}")
        return arrays[name]

    inside = labels is not None and (str(labels) in arrays or not Path(labels).exists())
    name = str(labels) if inside else next((n for n in _LABELS if n in arrays), None)
    y = get(name) if name is not None and (labels is None or inside) else None
    if isinstance(key, str):
        return get(key), y
    if key is not None:
        return {name: get(name) for name in key}, y
    others = [n for n in arrays if n != name]
    first = next((n for n in _INPUTS if n in arrays), others[0] if len(others) == 1 else None)
    if not others:
        raise ValueError(f"{path} has no array of inputs: allowed is one or more")
    if first is None:
        raise ValueError(
            f"{path} has arrays {', '.join(arrays)}: name the one that holds the inputs by key, several if the "
            "network takes several, or call it x"
        )
    return arrays[first], y


def _folder(path: Path) -> tuple[Tensor, Tensor | None, Sequence[str]]:
    """Images of a folder, sorted by name; a folder for each class where it has folders."""
    image = needed("PIL.Image", "a folder of images", "plot")
    classes = sorted(p.name for p in path.iterdir() if p.is_dir() and not p.name.startswith("."))
    files = [
        (file, k)
        for k, folder in enumerate(classes or ["."])
        for file in sorted((path / folder).iterdir())
        if file.suffix.lower() in _IMAGES
    ]
    if not files:
        raise ValueError(f"{path} holds no images: allowed are {', '.join(_IMAGES)}")
    images, size = [], None
    for file, _ in files:
        try:
            with image.open(file) as opened:
                mode = opened.mode
                deep, gray = mode.startswith("I;16"), mode in ("1", "L")
                pixels = np.asarray(opened if deep else opened.convert("L" if gray else "RGB"))
        except (OSError, SyntaxError) as error:
            raise ValueError(f"{file} is no image that can be read: {error}") from None
        if mode in ("I", "F"):
            raise ValueError(f"{file} has mode {mode!r}: allowed are 8 bits, or gray of 16 bits")
        if deep:  # the largest number becomes 255
            pixels = pixels / np.float32(257)
        pixels = pixels[None] if gray or deep else pixels.transpose(2, 0, 1)
        size = size or pixels.shape
        if pixels.shape != size:
            raise ValueError(
                f"{file} has shape {pixels.shape}: allowed is {size}, as the first has"
            )
        images.append(pixels)
    x = torch.from_numpy(np.stack(images)).float().div_(255)
    y = torch.tensor([k for _, k in files]) if classes else None
    return x, y, classes


def _torchvision(name: str) -> tuple[Tensor, Tensor, Sequence[str]]:
    """The test images of one of torchvision's data sets that is in ``$BAQ_DATA`` already."""
    import os

    sets = needed("torchvision.datasets", "a data set of torchvision", "book")
    known = {kind.lower().replace("-", ""): kind for kind in sets.__all__}
    wanted = name.lower().replace("-", "")
    if wanted not in known:
        raise ValueError(f"torchvision has no data set {name!r}: allowed are names such as MNIST")
    folder = os.environ.get("BAQ_DATA", ".")
    try:
        found = getattr(sets, known[wanted])(folder, train=False)
        images = torch.stack([torch.from_numpy(_pixels(image)) for image, _ in found])
    except Exception as error:  # each set fails in its own way
        reason = " ".join(str(error).split())
        raise ValueError(f"torchvision's {known[wanted]} is not in {folder}: {reason}") from None
    y = torch.tensor([label for _, label in found])
    return images.float().div_(255), y, tuple(getattr(found, "classes", ()))


def _pixels(image: Any) -> np.ndarray:
    pixels = np.array(image)
    return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)


def _checked(source: str, x: Any, y: Any, limit: int | None) -> tuple[Any, Tensor | None]:
    if isinstance(x, dict):
        counts = {name: len(part) for name, part in x.items()}
        if len(set(counts.values())) != 1:
            raise ValueError(f"{source}: inputs have {counts} rows: allowed are equal numbers")
        x = {name: _finite(source, part[:limit]) for name, part in x.items()}
        count = len(next(iter(x.values())))
    else:
        x = _finite(source, x[:limit] if getattr(x, "ndim", 0) else x)
        count = len(x)
    if y is None:
        return x, None
    try:
        whole = torch.as_tensor(np.array(y) if not isinstance(y, Tensor) else y)[:limit]
    except (TypeError, IndexError):
        kind = getattr(y, "dtype", type(y).__name__)
        raise ValueError(f"{source}: labels are {kind}: allowed are whole numbers from 0") from None
    if whole.ndim == 2 and whole.shape[1] == 1:
        whole = whole[:, 0]
    if whole.shape != (count,):
        raise ValueError(f"{source}: labels have shape {tuple(whole.shape)}: allowed is ({count},)")
    wrong = (whole != whole.long()) | (whole < 0)
    if wrong.any():
        raise ValueError(
            f"{source}: labels hold {whole[wrong][0].item()}: allowed are whole numbers from 0"
        )
    return x, whole.long()


def _finite(source: str, x: Any) -> Any:
    """Inputs if they are numbers, all finite; an array on the disk is read part by part and stays there."""
    if getattr(x, "ndim", 0) < 2 or 0 in x.shape:
        shape = tuple(getattr(x, "shape", ()))
        raise ValueError(f"{source}: inputs have shape {shape}: allowed is (N, ...) with N >= 1")
    if isinstance(x, np.ndarray):
        if x.dtype.kind not in "fiub" or x.dtype.itemsize > 8:
            raise ValueError(f"{source}: inputs are {x.dtype}: allowed are real numbers")
        if not x.dtype.isnative:
            x = x.astype(x.dtype.newbyteorder("="))
    step = max(1, 2**24 // max(1, int(np.prod(x.shape[1:]))))
    bad = 0
    for start in range(0, len(x), step):
        part = torch.as_tensor(x[start : start + step])
        bad += int((~torch.isfinite(part)).sum()) if part.is_floating_point() else 0
    if bad:
        raise ValueError(
            f"{source}: inputs hold {bad} values that are not finite: allowed are finite"
        )
    return x if isinstance(x, (np.memmap, Tensor)) else torch.as_tensor(x)
