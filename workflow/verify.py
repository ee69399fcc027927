"""Execute the chapters anew, and say where their tables differ from those in the repository."""

from pathlib import Path

import numpy as np
import pandas as pd
from pandas.api.types import is_bool_dtype, is_numeric_dtype

from workflow.project import Chapter, Project
from workflow.runner import execute

#: A value may differ by RELATIVE times its size or by SMALL times the median of its column, whichever
#: is more, and a whole number by COUNTS: another processor rounds otherwise, and after a training
#: that may flip an image or two.
RELATIVE, SMALL, COUNTS = 0.05, 0.01, 2
#: What no two runs share.
_TIMES = ("second", "minute", "time")


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
        if any(word in str(column) for word in _TIMES):
            continue
        far = ~_close(old[column], new[column])
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
    # However small a share is, it must not vanish.
    return close if whole else close & ~((after == 0) & (before != 0))
