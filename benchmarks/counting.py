"""Count the multiplications of passes through networks, in files that outlive the process."""

import os
import time
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["start", "total"]


def start(folder: Path) -> None:
    """Count those of ``conv2d`` and ``linear`` from now on, in a file of this process.

    The file is right even when the process is killed. The functions are replaced where layers call them: a
    hook on layers would be seen by code that takes only layers without hooks.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{os.getpid()}-{time.time_ns()}.count"
    counted = np.memmap(path, np.float64, "w+", shape=(1,))

    def counting(call: Callable[..., Tensor]) -> Callable[..., Tensor]:
        @wraps(call)
        def counts(x: Tensor, weight: Tensor, *arguments: Any, **options: Any) -> Tensor:
            output = call(x, weight, *arguments, **options)
            # A backward pass multiplies as often for the gradient of the inputs, and for that of the weights.
            passes = 1
            if torch.is_grad_enabled():
                passes += int(x.requires_grad) + int(weight.requires_grad)
            counted[0] += float(passes * output.numel() * weight[0].numel())
            return output

        return counts

    for name in ("conv2d", "linear"):
        setattr(functional, name, counting(getattr(functional, name)))


def total(folder: Path) -> float:
    """Multiplications that all processes counted."""
    return float(sum(np.fromfile(path, np.float64)[0] for path in folder.glob("*.count")))
