"""Named data sets, and their train, calibration and test splits."""

from __future__ import annotations

import argparse
import functools
import math
import pickle
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor

from baq.arguments import check_seed
from baq.zoo import sources

__all__ = ["CIFAR10", "NAMES", "Splits", "load", "main", "missing"]

#: The data sets that :func:`load` knows.
NAMES = ("digits", *sources.SOURCES)
#: What the labels of CIFAR-10 stand for.
CIFAR10 = ("airplane", "car", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


@dataclass(frozen=True)
class Splits:
    """Inputs x of shape (N, channels, height, width), scaled to [0, 1], and labels y of shape (N,).

    A split that was not asked for is empty.
    """

    x_train: Tensor
    y_train: Tensor
    x_calibration: Tensor
    y_calibration: Tensor
    x_test: Tensor
    y_test: Tensor


def missing(names: Sequence[str], download: bool = True) -> dict[str, str]:
    """The named data sets that are not available here, each with a one-line reason.

    Arguments:
        names: of :data:`NAMES`.
        download: fetch those that are absent, as :func:`load` would; otherwise only look.

    Raises:
        ValueError: for an unknown name.
    """
    reasons = {}
    for name in names:
        _check_name(name)
        try:
            _folder(name, download)
        except (FileNotFoundError, ValueError) as error:
            reasons[name] = str(error)
    return reasons


def load(
    name: str,
    seed: int = 0,
    *,
    train: float | None = None,
    calibration: float = 0.0,
    test: float | None = None,
) -> Splits:
    """Load a data set in splits drawn by a seed, stratified by label.

    ``digits`` are scikit-learn's 1797 images of 8 x 8 pixels with values 0 to 16 (Alpaydin, Kaynak
    1998), and have no official split: the test images are drawn from all. ``mnist`` (LeCun et al.
    1998), ``fashion-mnist`` (Xiao et al. 2017, arXiv:1708.07747) and ``cifar10`` (Krizhevsky 2009)
    have one: the test images are the official ones or a part of them, and calibration and train
    images are drawn from the official training set. They lie in ``$BAQ_DATA``, in torchvision's
    layout, or else in a per-user cache, and are fetched where they are absent.

    Sizes are counts where they are integers, and shares of the whole set, for digits, or of the
    official set that they are drawn from, rounded up, where they are floats.

    Arguments:
        name: one of :data:`NAMES`.
        seed: seed of the splits.
        train: size of the train split; all that calibration and test leave where not given.
        calibration: size of the calibration split; 0 leaves it empty.
        test: size of the test split; where not given 0.25 for digits, else the official test set.

    Raises:
        ValueError: for an unknown name, a seed that is none, sizes that do not fit, or a file that is partial or damaged.
        FileNotFoundError: for a data set that is absent and cannot be fetched.
    """
    _check_name(name)
    check_seed(seed=seed)
    images, target, official = _read(name)
    y = torch.from_numpy(target).long()
    if official is None:
        count = _count("test", 0.25 if test is None else test, len(y))
        pool, held_out = _draw(np.arange(len(y)), count, y, seed, "test")
        whole = len(y)
    else:
        pool, held_out = np.arange(official), np.arange(official, len(y))
        whole = official
        if test is not None:
            count = _count("test", test, len(held_out))
            held_out = _draw(held_out, count, y, seed, "test")[1]
    pool, tuning = _draw(
        pool, _count("calibration", calibration, whole), y, seed, "calibration", least=0
    )
    if train is not None:
        pool = _draw(pool, _count("train", train, whole), y, seed, "train")[1]
    if len(pool) == 0:
        raise ValueError(f"calibration {calibration} and test {test} leave no train images")
    scale = 16 if name == "digits" else 255
    parts = [
        (torch.from_numpy(images[p]).float().div_(scale), y[p]) for p in (pool, tuning, held_out)
    ]
    return Splits(*(tensor for part in parts for tensor in part))


def _check_name(name: str) -> None:
    if name not in NAMES:
        raise ValueError(f"data set is {name!r}: allowed are {', '.join(NAMES)}")


def _folder(name: str, download: bool) -> Path | None:
    """Root folder of a complete data set; None for digits, which scikit-learn has."""
    if name == "digits":
        return None
    try:
        sources.check(name)
    except FileNotFoundError:
        if not download:
            raise
        return sources.fetch(name)
    except ValueError as error:
        # Files that someone put there are replaced only on request.
        raise ValueError(f"{error}; replace it with: python -m baq.zoo.data fetch {name}") from None
    return sources.root()


def _read(name: str) -> tuple[np.ndarray, np.ndarray, int | None]:
    """Images (N, C, H, W) and labels (N,) as stored, and the size of the official training set."""
    folder = _folder(name, download=True)
    if folder is None:
        digits = load_digits()
        return digits.images[:, None], digits.target, None
    return _decoded(name, folder)


@functools.lru_cache(maxsize=1)
def _decoded(name: str, folder: Path) -> tuple[np.ndarray, np.ndarray, int]:
    """The content of a complete data set, see :func:`_read`; the last one is cached."""
    paths = [folder / path for path, _, _ in sources.SOURCES[name].files]
    # The files have been checked, pickles by their published sums.
    if name == "cifar10":
        batches = [pickle.loads(path.read_bytes(), encoding="latin1") for path in paths[:-1]]
        images = np.concatenate([batch["data"] for batch in batches]).reshape(-1, 3, 32, 32)
        target = np.concatenate([batch["labels"] for batch in batches])
        return images, target, len(images) - len(batches[-1]["labels"])
    # A header of 16 and 8 bytes, then one byte a value.
    x, x_test = (np.fromfile(path, np.uint8, offset=16) for path in paths[::2])
    y, y_test = (np.fromfile(path, np.uint8, offset=8) for path in paths[1::2])
    images = np.concatenate([x, x_test]).reshape(-1, 1, 28, 28)
    return images, np.concatenate([y, y_test]), len(y)


def _count(part: str, size: float, whole: int) -> int:
    """Points in a part: a count as it is, a share of the whole rounded up."""
    if isinstance(size, int) and not isinstance(size, bool) and 0 <= size <= whole:
        return size
    if isinstance(size, float) and 0 <= size <= 1:
        # Rounding first removes the error of the product, as in 0.07 * 100.
        return math.ceil(round(size * whole, 6))
    raise ValueError(
        f"{part} is {size!r}: allowed are a share from 0.0 to 1.0 or a count from 0 to {whole}"
    )


def _draw(
    rows: np.ndarray, count: int, y: Tensor, seed: int, part: str, least: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """Rows split in two: the second part has ``count`` rows and the label shares of all."""
    if count == 0 and least == 0:
        return rows, rows[:0]
    if count == len(rows):
        return rows[:0], rows
    classes = len(y[rows].unique())
    if not classes <= count <= len(rows) - classes:
        raise ValueError(
            f"{part} has {count} points of {len(rows)}: allowed are {classes} to "
            f"{len(rows) - classes}, one or more of each class on both sides"
        )
    first, second = train_test_split(rows, test_size=count, random_state=seed, stratify=y[rows])
    return first, second


def main(arguments: Sequence[str] | None = None) -> int:
    """List the data sets, or fetch some by name; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m baq.zoo.data", description=main.__doc__)
    commands = parser.add_subparsers(dest="command")
    commands.add_parser("list", help="each data set: state, size, and where it is or would be")
    fetch = commands.add_parser("fetch", help="download what is absent, replace what is damaged")
    fetch.add_argument("names", nargs="+", choices=list(sources.SOURCES), metavar="name")
    options = parser.parse_args(arguments)
    try:
        for name in options.names if options.command == "fetch" else ():
            print(f"{name}: whole in {sources.fetch(name)}")
    except FileNotFoundError as error:
        print(error, file=sys.stderr)
        return 1
    if options.command != "fetch":
        print(f"{'digits':14} {'whole':8} {'':9} with scikit-learn")
        for name, source in sources.SOURCES.items():
            lacks = missing([name], download=False)
            print(
                f"{name:14} {'lacking' if lacks else 'whole':8} {source.size / 1e6:6.1f} MB "
                f"{lacks.get(name, sources.root())}"
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
