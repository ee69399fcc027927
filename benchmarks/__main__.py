"""Run every race, and write what the page *Performance* shows: ``python -m benchmarks``."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd
from threadpoolctl import threadpool_limits

from baq.machine import whole
from baq.report.runs import threads
from baq.zoo import data
from benchmarks import maps, masks, radii, rounding, scaling, tools
from benchmarks.race import COLUMNS, Race, run
from workflow.project import Project

__all__ = ["main", "write"]

ROOT = Path(__file__).resolve().parents[1]
RESULTS, CACHE = ROOT / "book" / "results", ROOT / "_build" / "benchmarks"
#: What is raced, by the name on the command line.
WORKS = {"maps": maps, "radii": radii, "rounding": rounding, "masks": masks}


def write(rows: Iterable[dict[str, object]] | pd.DataFrame, path: Path, digits: int = 4) -> None:
    """Write a table in one step, so that no half of it is ever there; floats to significant digits."""
    with whole(path) as part:
        pd.DataFrame(rows).to_csv(part, index=False, float_format=f"%.{digits}g")


def main(arguments: Sequence[str] | None = None) -> int:
    """Race the costly parts against what a user would pick, and write the results."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=main.__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each race")
    parser.add_argument(
        "--only", choices=WORKS, help="one kind of work; its results are shown only"
    )
    parser.add_argument(
        "--results", type=Path, default=RESULTS, help="folder of benchmarks.csv and the costs"
    )
    parser.add_argument(
        "--planes",
        type=int,
        help="no race: maps against dense ones on this many planes, 1 to 20; it takes an "
        "hour, may be stopped, and goes on where it was",
    )
    parser.add_argument(
        "--scaling", action="store_true", help="no race: how costs grow, for the page Scaling"
    )
    parser.add_argument(
        "--tools",
        action="store_true",
        help="no race: what tools that debug quantization say of one pair; it needs those of "
        "benchmarks/tools.txt",
    )
    options = parser.parse_args(arguments)
    if options.scaling:
        write(scaling.measure(Project(ROOT)), options.results / "scaling.csv", 6)
        write(scaling.reference_models(), options.results / "scaling-models.csv", 6)
        return 0
    if options.tools:
        with tempfile.TemporaryDirectory() as folder, threadpool_limits(1), threads(1):
            write(tools.entries(Path(folder)), options.results / "benchmarks-tools.csv")
        return 0
    if options.rounds < 1:
        parser.error(f"--rounds is {options.rounds}: allowed is 1 or more")
    if options.planes is not None and not 1 <= options.planes <= 20:
        parser.error(f"--planes is {options.planes}: allowed are 1 to 20")
    if lacks := data.missing(["mnist", "cifar10"]):
        name, reason = next(iter(lacks.items()))
        print(f"the races need {name}: {reason}", file=sys.stderr)
        return 1
    start, rows = time.monotonic(), []
    if options.planes:
        for row in maps.audit(options.planes, CACHE):
            rows.append(row)
            write(rows, options.results / "benchmarks-planes.csv")
            text = "{network}, {way}, plane {plane}: {wrong} wrong of {n} x {n} cells"
            print(text.format(**row), flush=True)
        return 0
    for name in [options.only] if options.only else WORKS:
        for entry in WORKS[name].races():
            row = run(entry, options.rounds) if isinstance(entry, Race) else entry
            rows.append({column: row[column] for column in COLUMNS})
            print(
                f"{row['ratio_median']:8.1f} x  (target {row['target']:g})  {row['work']}, "
                f"{row['size']}: {row['agreement']}",
                flush=True,
            )
    if not options.only:
        with threadpool_limits(1), threads(1):
            write(maps.costs(), options.results / "benchmarks-costs.csv")
        write(rows, options.results / "benchmarks.csv")
    print(f"{len(rows)} races in {(time.monotonic() - start) / 60:.1f} minutes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
