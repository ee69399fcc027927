"""Execute the chapters anew, and say where their tables differ from those in the repository."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd

from workflow.project import Chapter, Project
from workflow.runner import execute

__all__ = ["ABSOLUTE", "COUNTS", "RELATIVE", "differences", "verify_chapter"]

#: A value may differ by ABSOLUTE or by RELATIVE times its size, whichever is more, and a whole number
#: by COUNTS: another processor rounds otherwise, and after a training that may flip an image or two.
ABSOLUTE, RELATIVE, COUNTS = 0.01, 0.05, 2
#: What no two runs share.
_TIMES = re.compile(r"second|minute|time")
_NUMBER = re.compile(r"(?<![\w.-])[-+]?\d+\.?\d*(?:e[-+]?\d+)?%?")


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
        if _TIMES.search(str(column)):
            continue
        pairs = zip(old[column], new[column], strict=True)
        for row, (before, after) in enumerate(pairs):
            if not _close(before, after):
                return [f"{column} in row {row} is {after!r}, recorded is {before!r}"]
    return []


def _close(before: object, after: object) -> bool:
    if isinstance(before, str) and isinstance(after, str):
        if _NUMBER.sub("0", before) != _NUMBER.sub("0", after):
            return False
        pairs = zip(_NUMBER.findall(before), _NUMBER.findall(after), strict=True)
        return all(_close(_value(a), _value(b)) for a, b in pairs)
    if isinstance(before, str) or isinstance(after, str):
        return False
    if pd.isna(before) or pd.isna(after):
        return bool(pd.isna(before) and pd.isna(after))
    whole = float(before).is_integer() and float(after).is_integer()
    least = COUNTS if whole and max(abs(before), abs(after)) > 1 else ABSOLUTE
    return abs(after - before) <= max(least, RELATIVE * abs(before)) + 1e-12


def _value(text: str) -> float:
    return float(text.rstrip("%")) / (100 if text.endswith("%") else 1)
