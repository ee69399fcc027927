"""Gather the complete runs of a sweep into one table, and show it as a notebook."""

from pathlib import Path

import pandas as pd

from baq.machine import whole
from workflow.files import run_record, write_json
from workflow.project import Chapter, Project, UserError
from workflow.run_page import run_page
from workflow.runner import execute
from workflow.sweep import Sweep, cell, failures


def gather(project: Project, sweep: Sweep) -> None:
    """Write ``table.csv`` and ``runs.csv`` of :func:`gathered_tables` into the sweep's folder.

    Raises:
        UserError: as :func:`gathered_tables`, or for a disk that is full.
    """
    folder = sweep.folder(project)
    try:
        for name, made in gathered_tables(project, sweep).items():
            with whole(folder / f"{name}.csv") as part:
                made.to_csv(part, index=False)
        write_json(folder / "sweep.json", {"file": sweep.file})
    except OSError as error:
        raise UserError(f"sweep {sweep.name}: {error.strerror} ({folder})") from error


def sweep_page(project: Project, sweep: Sweep) -> Path:
    """Execute ``notebooks/sweep.py`` on a sweep's gathered tables; returns its page beside them."""
    told = ", ".join(f"{name} = {cell(value)}" for name, value in sweep.given.items())
    given = {"name": sweep.name, "chapter": sweep.chapter.name, "given": told}
    notebook = Chapter(project.root / "notebooks" / "sweep.py")
    return run_page(project, execute(project, notebook, given, sweep.folder(project)))


def gathered_tables(project: Project, sweep: Sweep) -> dict[str, pd.DataFrame]:
    """``table``, the complete runs' tables below each other, and ``runs``, how each run came out.

    Both have run and grid as columns before the others. A column of the table that has a parameter's
    name is renamed, such as ``claims.n``.

    Raises:
        UserError: for a run without the table.
    """
    parts, rows, said = [], [], failures(project, sweep)
    names = list(next(iter(sweep.runs.values())))
    for run, point in sweep.runs.items():
        place = {"run": run, **{name: cell(value) for name, value in point.items()}}
        notebook = project.runs / run / f"{sweep.chapter.name}.ipynb"
        record = {} if run in said else run_record(notebook)
        cost = {key: record.get(key, "") for key in ("minutes", "date")}
        state = "to do" if run in said else "complete"
        rows.append({**place, "state": state, "said": said.get(run, ""), **cost})
        if run in said:
            continue
        tables = notebook.parent / "results" / sweep.chapter.name
        path = tables / f"{sweep.table}.csv"
        if not path.is_file():
            known = ", ".join(sorted(other.stem for other in tables.glob("*.csv"))) or "none"
            raise UserError(f"{run}: table is {sweep.table!r}, allowed are {known}")
        part = pd.read_csv(path, dtype=str, keep_default_na=False)
        part = part.rename(columns={name: f"{sweep.table}.{name}" for name in ("run", *names)})
        for index, (name, value) in enumerate(place.items()):
            part.insert(index, name, value)
        parts.append(part)
    table = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=["run", *names])
    return {"table": table, "runs": pd.DataFrame(rows)}
