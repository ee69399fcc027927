"""Simulated answers of all networks: made once, kept network by network, recorded as tables."""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import product
from pathlib import Path

import pandas as pd

from baq.machine import processor_name, whole
from baq.protocols import digits, natural
from baq.protocols.space import space

__all__ = ["SIMULATED", "cost", "read", "record", "simulate", "tasks"]

#: What is simulated, a name each.
SIMULATED = ("digits", "subsets", "full")
#: Seeds of each, where no other number is asked for.
_SEEDS = {"digits": 5, "subsets": 5, "full": 3}

Task = tuple[str, Callable[[], dict[str, pd.DataFrame]]]


def tasks(name: str, seeds: int | None = None) -> Iterator[Task]:
    """The networks of a simulation, a seed after the other: what each is called, and what measures it.

    Arguments:
        name: one of :data:`SIMULATED`.
        seeds: how many; on all of CIFAR-10 three at most, since so many networks ship.

    Raises:
        ValueError: for another name.
    """
    if name not in SIMULATED:
        raise ValueError(f"simulation is {name!r}: allowed are {', '.join(SIMULATED)}")
    choices = space().choices
    for seed in range(_SEEDS[name] if seeds is None else seeds):
        if name == "digits":
            recipe = ("hidden", "activation", "inputs")
            for values in product(*(choices[choice].values for choice in recipe)):
                called = "-".join(map(str, values))
                yield f"digits-{called}-{seed}", partial(digits.of_network, seed, *values)
        elif name == "subsets":
            for training in choices["training"].values:
                called = f"subsets-{training}-{seed}"
                yield called, partial(natural.subset_of, training, seed)
        else:
            for family in choices["family"].values:
                called = f"full-{family}-{seed}"
                yield called, partial(natural.full_network, family, seed)


def simulate(name: str, cache: Path, seeds: int | None = None) -> None:
    """Measure the networks of a simulation, each kept in ``cache``; those that are there are left alone."""
    for called, measure in tasks(name, seeds):
        if (cache / called / "done.json").exists():
            continue
        began = time.process_time()
        for table, rows in measure().items():
            with whole(cache / called / f"{table}.csv") as part:
                rows.to_csv(part, index=False, float_format="%.5g")
        spent = {"seconds": round(time.process_time() - began, 1), "processor": processor_name()}
        with whole(cache / called / "done.json") as part:
            part.write_text(json.dumps(spent), "utf-8")
        print(f"{called}: {spent['seconds']} processor seconds", flush=True)


def record(name: str, cache: Path, folder: Path, seeds: int | None = None) -> None:
    """Put what :func:`simulate` kept together: a packed table each, and what they cost.

    Raises:
        ValueError: where a network has not been measured.
    """
    parts: dict[str, list[pd.DataFrame]] = {}
    seconds, networks, processors = 0.0, 0, set()
    for called, _ in tasks(name, seeds):
        done = cache / called / "done.json"
        if not done.exists():
            raise ValueError(f"{called} is not in {cache}: run `simulate {name}` first")
        spent = json.loads(done.read_text("utf-8"))
        seconds, networks = seconds + spent["seconds"], networks + 1
        processors.add(spent["processor"])
        for path in sorted((cache / called).glob("*.csv")):
            parts.setdefault(path.stem, []).append(pd.read_csv(path, keep_default_na=False))
    for table, rows in parts.items():
        text = pd.concat(rows, ignore_index=True).to_csv(index=False, lineterminator="\n")
        with whole(folder / f"{table}.csv.gz") as part:
            part.write_bytes(gzip.compress(text.encode("utf-8"), 9, mtime=0))
    spent = {
        "networks": networks,
        "minutes": round(seconds / 60, 1),
        "processor": sorted(processors),
    }
    spent["seeds"] = len({called.rpartition("-")[2] for called, _ in tasks(name, seeds)})
    with whole(folder / f"{name}.json") as part:
        part.write_text(json.dumps(spent, indent=2) + "\n", "utf-8")


def cost(folder: Path) -> pd.DataFrame:
    """What the recorded simulations took: ``name``, ``networks``, ``seeds``, ``minutes`` of a processor core.

    Raises:
        FileNotFoundError: where one was not recorded.
    """
    rows = [
        {"name": name} | json.loads((folder / f"{name}.json").read_text("utf-8"))
        for name in SIMULATED
    ]
    return pd.DataFrame(rows)[["name", "networks", "seeds", "minutes"]]


def read(table: str, folder: Path) -> pd.DataFrame:
    """A recorded table.

    Raises:
        FileNotFoundError: where it was not recorded, with the command that makes it.
    """
    path = folder / f"{table}.csv.gz"
    if not path.exists():
        raise FileNotFoundError(
            f"no {path}: make it with `python -m baq.protocols`, which takes a processor's hour"
        )
    return pd.read_csv(path, keep_default_na=False)
