"""Count the multiplications of passes through networks, in files that outlive the process."""

import os
import time
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook

__all__ = ["start", "total"]


def start(folder: Path) -> None:
    """Count from now on, in a file of this process, which is right even when the process is killed."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{os.getpid()}-{time.time_ns()}.count"
    counted = np.memmap(path, np.float64, "w+", shape=(1,))

    def count(module: nn.Module, given: tuple[Any, ...], output: Any) -> None:
        if not isinstance(module, nn.Conv2d | nn.Linear):
            return
        # A backward pass multiplies as often for the gradient of the inputs, and for that of the weights.
        passes = 1
        if isinstance(output, Tensor) and output.requires_grad:
            passes += int(module.weight.requires_grad) + int(given[0].requires_grad)
        counted[0] += float(passes * output.numel() * module.weight[0].numel())

    register_module_forward_hook(count)


def total(folder: Path) -> float:
    """Multiplications that all processes counted."""
    return float(sum(np.fromfile(path, np.float64)[0] for path in folder.glob("*.count")))
