"""Simulate the answers of all protocols, and record them: ``python -m baq.protocols``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from baq.protocols.simulation import SIMULATED, record, simulate
from baq.protocols.space import folder

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Simulate the answers of all protocols, and record them."""
    parser = argparse.ArgumentParser(prog="python -m baq.protocols", description=main.__doc__)
    parser.add_argument(
        "--only", choices=SIMULATED, help="one of them; several may run side by side"
    )
    parser.add_argument("--seeds", type=int, help="seeds of it, where others than the usual number")
    parser.add_argument(
        "--cache", type=Path, default=Path("_build/protocols"),
        help="folder of what is measured network by network; a run goes on from there",
    )  # fmt: skip
    parser.add_argument("--results", type=Path, default=folder(), help="folder of the tables")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    for name in [options.only] if options.only else SIMULATED:
        simulate(name, options.cache, options.seeds)
        record(name, options.cache, options.results, options.seeds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
