"""Where executions differ: runs side by side, and a new execution from the recorded one."""

import filecmp
import json
from pathlib import Path

import pandas as pd

from baq.report.differences import differences, side_by_side
from workflow.files import read_json
from workflow.project import Chapter, Project, UserError
from workflow.runner import execute


def verify_chapter(project: Project, chapter: Chapter, given: dict | None = None) -> list[str]:
    """Execute a chapter into ``_build/verify``, and list where it differs from the one in ``book``.

    Arguments:
        project: the checkout.
        chapter: the chapter.
        given: parameters to shrink it by. Then only tables with a column ``seed`` are compared, and
            of them the rows of the seeds that were executed.

    Returns:
        One line a difference; none where all tables agree.
    """
    made = execute(project, chapter, given or {}, project.build / "verify")
    tables = made.parent / "results" / chapter.name
    return differences(project.root / "book" / "results" / chapter.name, tables, bool(given))


def compare_runs(project: Project, paths: list[Path], table: str | None = None) -> str:
    """The parameters in which runs of a chapter differ, and their tables side by side.

    Each path is a run's folder or notebook, below ``runs`` or in ``book``. Without a table's name
    the claims are shown where the chapter has any, and every other table is only said to be equal
    or different.

    Raises:
        UserError: for a path that is no run, runs of different chapters, or an unknown table.
    """
    if len(paths) < 2:
        raise UserError(f"runs are {len(paths)}, allowed are 2 or more")
    found = {str(path): _tables(project, path) for path in paths}
    if len(found) < len(paths):
        raise UserError("a run is named twice")
    chapters = sorted({tables.name for tables in found.values()})
    if len(chapters) > 1:
        raise UserError(f"the runs are of {' and '.join(chapters)}, allowed is one chapter")
    names = [f"[{index}]" for index in range(1, len(paths) + 1)]
    folders = dict(zip(names, found.values(), strict=True))
    records = {name: _record(folder) for name, folder in folders.items()}
    lines = [f"{name} {path}" for name, path in zip(names, found, strict=True)]
    lines += ["", "parameters that differ", *_text(_settings(records))]
    tables = [{path.stem for path in folder.glob("*.csv")} for folder in folders.values()]
    common = sorted(set.intersection(*tables))
    if table is not None and table not in common:
        raise UserError(f"table is {table!r}, allowed are {', '.join(common)}")
    shown = table or ("claims" if "claims" in common else None)
    if shown:
        try:
            values = side_by_side(folders, shown)
        except ValueError as error:
            raise UserError(str(error)) from error
        lines += ["", f"values that differ in {shown}", *_text(values)]
    if table is None:
        lines += ["", "tables against [1]"]
        first, *others = folders.values()
        files = [f"{name}.csv" for name in common]
        same = [[filecmp.cmp(first / f, one / f, shallow=False) for f in files] for one in others]
        frame = pd.DataFrame(dict(zip(names[1:], same, strict=True)), common)
        lines += _text(frame.replace({True: "equal", False: "differs"}))
    return "\n".join(lines)


def _tables(project: Project, path: Path) -> Path:
    """The folder of a run's tables."""
    if path.suffix == ".ipynb":
        candidates = [path.parent / "results" / path.stem]
    else:
        candidates = [run.parent for run in sorted((path / "results").glob("*/run.json"))]
        candidates += [path] if (path / "run.json").is_file() else []
    if len(candidates) == 1 and (candidates[0] / "run.json").is_file():
        return candidates[0]
    known = sorted(run.parents[2].name for run in project.runs.glob("*/results/*/run.json"))
    listed = f": there are {', '.join(f'runs/{name}' for name in known)}" if known else ""
    raise UserError(f"{path} is no run, allowed is a folder below runs/ or a notebook{listed}")


def _record(folder: Path) -> dict:
    """A run's record, with every entry that is shown."""
    path = folder / "run.json"
    record = read_json(path)
    kinds = dict.fromkeys(("source", "package", "processor"), str) | {"minutes": (int, float)}
    for key, kind in (kinds | {"parameters": dict, "versions": dict}).items():
        if not isinstance(record.get(key), kind):
            raise UserError(f"{path}: {key} is {record.get(key)!r}, it was not written here")
    return record


def _settings(records: dict[str, dict]) -> pd.DataFrame:
    """What was given and used, a row for each name on which the runs do not agree."""
    known = {name for record in records.values() for name in record["parameters"]}
    columns = {}
    for run, record in records.items():
        values = {name: record["parameters"].get(name) for name in sorted(known)}
        values |= {f"version of {name}": value for name, value in record["versions"].items()}
        values |= {key: record[key][:8] for key in ("source", "package")}
        values["processor"] = record["processor"]
        columns[run] = {name: json.dumps(value) for name, value in values.items()}
    frame = pd.DataFrame(columns)
    frame = frame[frame.nunique(axis=1, dropna=False) > 1]
    minutes = pd.DataFrame({run: {"minutes": f"{r['minutes']:.2f}"} for run, r in records.items()})
    return pd.concat([frame, minutes])


def _text(frame: pd.DataFrame) -> list[str]:
    if frame.empty:
        return ["none"]
    index = not isinstance(frame.index, pd.RangeIndex)
    text = frame.to_string(index=index, float_format=lambda value: f"{value:.6g}", na_rep="")
    return [line.rstrip() for line in text.splitlines()]
