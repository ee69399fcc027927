"""Gather the complete runs of a sweep into one table."""

from __future__ import annotations

import pandas as pd

from baq.machine import whole
from workflow.project import Project, UserError
from workflow.sweep import Sweep, cell, complete

__all__ = ["gather"]


def gather(project: Project, sweep: Sweep) -> pd.DataFrame:
    """One tidy table of the complete runs: run and grid as columns before those of their tables.

    A column of the table that has a parameter's name is renamed, such as ``claims.n``. It is written
    to ``table.csv`` in the sweep's folder, beside ``runs.csv``, which lists all runs.

    Raises:
        UserError: for a run without the table, or a disk that is full.
    """
    parts, rows, runs = [], [], complete(project, sweep)
    names = list(next(iter(sweep.runs.values())))
    for run, point in sweep.runs.items():
        place = {"run": run, **{name: cell(value) for name, value in point.items()}}
        rows.append({**place, "complete": run in runs})
        if run not in runs:
            continue
        tables = project.runs / run / "results" / sweep.chapter.name
        path = tables / f"{sweep.table}.csv"
        if not path.is_file():
            known = ", ".join(sorted(other.stem for other in tables.glob("*.csv"))) or "none"
            raise UserError(f"{run}: table is {sweep.table!r}, allowed are {known}")
        part = pd.read_csv(path, dtype=str, keep_default_na=False)
        part = part.rename(columns={name: f"{sweep.table}.{name}" for name in ("run", *names)})
        for index, (name, value) in enumerate(place.items()):
            part.insert(index, name, value)
        parts.append(part)
    frame = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=["run", *names])
    folder = sweep.folder(project)
    try:
        for made, name in ((frame, "table"), (pd.DataFrame(rows), "runs")):
            with whole(folder / f"{name}.csv") as part:
                made.to_csv(part, index=False)
    except OSError as error:
        raise UserError(f"sweep {sweep.name}: {error.strerror} ({folder})") from error
    return frame
