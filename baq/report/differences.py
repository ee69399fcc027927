"""Where the tables of two executions differ: side by side, or beyond a tolerance."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from pandas.api.types import is_bool_dtype, is_numeric_dtype

__all__ = ["COUNTS", "KEYS", "RELATIVE", "SMALL", "differences", "side_by_side"]

#: The columns that say which row of a table this is; all others are what came out. Types do not tell
#: them apart: a whole number may be either.
KEYS = frozenset(
    (
        *("above", "against", "band", "bits", "candidate", "choice", "claim", "dataset", "eps"),
        *("family", "first", "images", "kind", "layer", "level", "map", "measure", "mechanism"),
        *("method", "model", "n", "pair", "part", "path", "plane", "quantity", "rounding", "row"),
        *("rule", "scheme", "scope", "section", "seed", "setting", "share", "sides", "step", "t"),
        *("tau_f", "tau_j", "tenth", "transition", "up_to", "way", "weight", "work"),
        *("fitted", "group", "number"),
    )
)
#: Keys that are an outcome where another column stands: answers count by n, rules pick bits.
_OUTCOMES = {"n": "paper", "bits": "satisfied"}
#: A value may differ by RELATIVE times its size or by SMALL times the median of its column, whichever
#: is more, and a whole number by COUNTS: another processor rounds otherwise, and after a training
#: that may flip an image or two.
RELATIVE, SMALL, COUNTS = 0.05, 0.01, 2
_NUMBER = r"[-+]?\d[\d.,%]*(?:e[-+]\d+)?"
#: Words in the names of columns that differ between any two runs.
_TIMES = {"second", "seconds", "minute", "minutes", "time", "times"}
#: Whole numbers that name something, and count nothing, are equal or not; cells of a map are counted.
_NAMES = KEYS - {"first"} | {"label"}


def side_by_side(folders: Mapping[str, Path], table: str) -> pd.DataFrame:
    """The values of a table that differ between folders: a row a value, a column a folder.

    Raises:
        ValueError: for a file that is no table.
    """
    stacked = {
        name: _by_keys(folder / f"{table}.csv").rename_axis(columns="value").stack()
        for name, folder in folders.items()
    }
    wide = pd.concat(stacked, axis=1, sort=False)
    return wide[wide.nunique(axis=1, dropna=False) > 1].fillna("").reset_index()


def _by_keys(path: Path) -> pd.DataFrame:
    """A table as text, indexed by its keys, and by a count where they repeat."""
    try:
        frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    except ValueError as error:
        raise ValueError(f"{path}: {' '.join(str(error).split())}") from error
    keys = [name for name in frame if name in KEYS and _OUTCOMES.get(name) not in frame]
    for name in keys:  # 0 and 0.0 name one row
        numbers = pd.to_numeric(frame[name], errors="coerce")
        frame[name] = frame[name].where(numbers.isna(), numbers.map("{:.12g}".format))
    count = frame.groupby(keys).cumcount() if keys else pd.Series(range(len(frame)))
    if len(keys) == frame.shape[1]:
        frame = frame.assign(**{"#row": "present"})  # keys alone: a row is there or not
    repeated = [count.rename("#")] if count.any() or not keys else []
    return frame.set_index([*keys, *repeated])


def differences(recorded: Path, made: Path, part: bool = False) -> list[str]:
    """Where two folders of tables differ by more than the tolerance, a line for each table.

    Arguments:
        recorded: the folder in the repository.
        made: the folder of another execution.
        part: whether ``made`` has only some of the seeds.
    """
    names = sorted({path.name for folder in (recorded, made) for path in folder.glob("*.csv")})
    found = []
    for name in names:
        if not all((folder / name).is_file() for folder in (recorded, made)):
            found += [] if part else [f"{name} is not in both"]
            continue
        old, new = (pd.read_csv(folder / name) for folder in (recorded, made))
        if part:
            if "seed" not in new:
                continue
            old = old[old["seed"].isin(new["seed"])].reset_index(drop=True)
        found += [f"{name}: {text}" for text in _differing(old, new)]
    return found


def _differing(old: pd.DataFrame, new: pd.DataFrame) -> list[str]:
    if list(old) != list(new) or len(old) != len(new):
        return [f"has {new.shape} rows and columns, or other names, in place of {old.shape}"]
    for column in old:
        if _TIMES & set(re.findall("[a-z]+", str(column))):
            continue
        if column == "result":  # a sentence, of which the numbers stand in other tables
            old, new = (t.replace({column: {_NUMBER: "#"}}, regex=True) for t in (old, new))
        exact = column in _NAMES
        same = old[column].eq(new[column]) | (old[column].isna() & new[column].isna())
        far = ~(same.to_numpy() if exact else _close(old[column], new[column]))
        if far.any():
            row = int(far.argmax())
            before, after = old[column][row], new[column][row]
            return [f"{column} in row {row} is {after!r}, recorded is {before!r}"]
    return []


def _close(old: pd.Series, new: pd.Series) -> np.ndarray:
    """Whether each value of a column is that of another execution, within the tolerance."""
    if not all(is_numeric_dtype(column) and not is_bool_dtype(column) for column in (old, new)):
        return (old.eq(new) | (old.isna() & new.isna())).to_numpy()
    before, after = old.to_numpy(float), new.to_numpy(float)
    sizes = np.abs(before[np.isfinite(before) & (before != 0)])
    whole = sizes.size and (sizes % 1 == 0).all() and sizes.max() > 1
    least = COUNTS if whole else SMALL * np.median(sizes) if sizes.size else 0
    close = np.isclose(after, before, rtol=RELATIVE, atol=0, equal_nan=True)
    close |= np.isclose(after, before, rtol=0, atol=least + 1e-12)
    # A share may be small, but must not turn into 0.
    return close if whole else close & ~((after == 0) & (before != 0))
