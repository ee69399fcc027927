"""Checks of arguments that many functions share: whole numbers, shares, seeds, words and flags."""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from typing import Any

import numpy as np

__all__ = [
    "check_choice",
    "check_flag",
    "check_inner",
    "check_seed",
    "check_share",
    "check_whole",
    "is_real",
]


def is_real(value: Any) -> bool:
    """Whether a value is a real number, of Python or NumPy, and no bool."""
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def check_whole(least: int = 1, most: int | None = None, **named: Any) -> None:
    """Raise a ValueError for an argument that is no whole number from ``least`` to ``most``."""
    for name, value in named.items():
        whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
        if not whole or value < least or (most is not None and value > most):
            end = "or more" if most is None else f"to {most}"
            raise ValueError(f"{name} is {value!r}: allowed is {least} {end}, a whole number")


def check_flag(**named: Any) -> None:
    """Raise a ValueError for an argument that is neither True nor False."""
    for name, value in named.items():
        if not isinstance(value, (bool, np.bool_)):
            raise ValueError(f"{name} is {value!r}: allowed are True and False")


def check_choice(allowed: Sequence[str], **named: Any) -> None:
    """Raise a ValueError for an argument that is none of the words allowed."""
    for name, value in named.items():
        if not isinstance(value, str) or value not in allowed:
            raise ValueError(f"{name} is {value!r}: allowed are {', '.join(allowed)}")


def check_seed(**named: Any) -> None:
    """Raise a ValueError for a seed that some random generators reject."""
    check_whole(0, 2**32 - 1, **named)


def check_share(*, zero: bool = False, **named: Any) -> None:
    """Raise a ValueError for an argument outside (0, 1]; with ``zero``, outside [0, 1]."""
    for name, value in named.items():
        if not is_real(value) or not (0 <= value <= 1 if zero else 0 < value <= 1):
            allowed = "0 to 1" if zero else "above 0 and up to 1"
            raise ValueError(f"{name} is {value!r}: allowed is {allowed}")


def check_inner(**named: Any) -> None:
    """Raise a ValueError for an argument outside (0, 1)."""
    for name, value in named.items():
        if not is_real(value) or not 0 < value < 1:
            raise ValueError(f"{name} is {value!r}: allowed is above 0 and below 1")
