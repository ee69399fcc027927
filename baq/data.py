"""Named data sets, and their train, calibration and test splits."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor

__all__ = ["NAMES", "Splits", "load", "missing"]

#: The data sets that :func:`load` knows.
NAMES = ("digits",)


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


def missing(names: list[str]) -> dict[str, str]:
    """Those of the data sets named that cannot be had here, each with a one-line reason.

    Raises:
        ValueError: for an unknown name.
    """
    for name in names:
        if name not in NAMES:
            raise ValueError(f"data set is {name!r}: allowed are {', '.join(NAMES)}")
    return {}


def load(name: str, seed: int = 0, *, calibration: float = 0.0, test: float = 0.25) -> Splits:
    """Load a data set in splits drawn by a seed, stratified by label.

    ``digits`` are scikit-learn's 1797 images of 8 x 8 pixels with values 0 to 16 (Alpaydin, Kaynak
    1998), and have no official split.

    Arguments:
        name: one of :data:`NAMES`.
        seed: seed of the split.
        calibration: share of all points in the calibration split.
        test: share of all points in the test split.

    Raises:
        ValueError: for an unknown name, or shares that leave no training points.
    """
    missing([name])
    if not (0 <= calibration and 0 < test and calibration + test < 1):
        raise ValueError(
            f"calibration and test shares are {calibration} and {test}: allowed are 0 or "
            "more and above 0, with a sum below 1"
        )
    digits = load_digits()
    x = torch.from_numpy(digits.images).float()[:, None] / 16
    y = torch.from_numpy(digits.target)
    pool, held_out = train_test_split(range(len(y)), test_size=test, random_state=seed, stratify=y)
    tuning: list[int] = []
    if calibration:
        pool, tuning = train_test_split(
            pool, test_size=round(calibration * len(y)), random_state=seed, stratify=y[pool]
        )
    parts = [(x[rows], y[rows]) for rows in (pool, tuning, held_out)]
    return Splits(*(tensor for part in parts for tensor in part))
