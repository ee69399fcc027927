"""Show two runs or more side by side: what they were given, and what came out."""

import json
from pathlib import Path

import pandas as pd

from workflow.files import read_json
from workflow.project import Project, UserError

#: The columns that say which row of a table this is; all others are what came out. Types do not tell
#: them apart: a whole number may be either.
KEYS = frozenset(
    (
        *("against", "bits", "candidate", "choice", "claim", "dataset", "eps", "family", "first"),
        *("kind", "level", "map", "measure", "method", "model", "n", "pair", "part", "plane"),
        *("quantity", "rounding", "row", "rule", "scheme", "scope", "seed", "setting", "share"),
        *("sides", "step", "t", "tau_f", "tau_j", "tenth", "transition", "way", "weight", "work"),
    )
)
#: Keys that are an outcome where another column stands: answers count by n, rules pick bits.
_OUTCOMES = {"n": "paper", "bits": "satisfied"}


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
    common = sorted(
        set.intersection(*({path.stem for path in f.glob("*.csv")} for f in folders.values()))
    )
    if table is not None and table not in common:
        raise UserError(f"table is {table!r}, allowed are {', '.join(common)}")
    shown = table or ("claims" if "claims" in common else None)
    if shown:
        lines += ["", f"values that differ in {shown}", *_text(_side_by_side(folders, shown))]
    if table is None:
        lines += ["", "tables against [1]"]
        lines += _text(pd.DataFrame({name: _verdict(folders, name) for name in common}).T)
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
    """A run's record, with all that is told of it."""
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


def _read(folder: Path, table: str) -> pd.DataFrame:
    """A table as text, indexed by its keys, and by a count where they repeat."""
    path = folder / f"{table}.csv"
    try:
        frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    except ValueError as error:
        raise UserError(f"{path}: {' '.join(str(error).split())}") from error
    keys = [name for name in frame if name in KEYS and _OUTCOMES.get(name) not in frame]
    frame["row"] = frame.groupby(keys).cumcount() if keys else range(len(frame))
    keys += ["row"] if frame["row"].any() or not keys else []
    return frame.drop(columns=[] if "row" in keys else ["row"]).set_index(keys)


def _side_by_side(folders: dict[str, Path], table: str) -> pd.DataFrame:
    """A line for each value of the table that is not the same in all runs."""
    stacked = {}
    for run, folder in folders.items():
        frame = _read(folder, table)
        stacked[run] = frame.rename_axis(columns="value").stack()
    wide = pd.concat(stacked, axis=1, sort=False)
    return wide[wide.nunique(axis=1, dropna=False) > 1].fillna("").reset_index()


def _verdict(folders: dict[str, Path], table: str) -> dict[str, str]:
    """By run, whether its table is the first run's, byte for byte."""
    contents = {run: (folder / f"{table}.csv").read_bytes() for run, folder in folders.items()}
    first, *others = contents
    return {run: "equal" if contents[run] == contents[first] else "differs" for run in others}


def _text(frame: pd.DataFrame) -> list[str]:
    if frame.empty:
        return ["none"]
    index = not isinstance(frame.index, pd.RangeIndex)
    text = frame.to_string(index=index, float_format=lambda value: f"{value:.6g}", na_rep="")
    return [line.rstrip() for line in text.splitlines()]
