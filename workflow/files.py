"""JSON records and checksums that the parts of the workflow share."""

import hashlib
import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from baq.machine import whole


def digest(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fingerprint(paths: Iterable[Path], root: Path) -> str:
    """SHA-256 over the names and bytes of files, in the order of their names."""
    found = hashlib.sha256()
    for path in sorted(path for path in paths if path.is_file()):
        content = path.read_bytes()
        found.update(f"{path.relative_to(root).as_posix()} {len(content)}\n".encode())
        found.update(content)
    return found.hexdigest()


def read_json(path: Path) -> dict[str, Any]:
    """The entries of a JSON file; none where it is missing, damaged or something else."""
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def run_record(notebook: Path) -> dict:
    """The run.json beside a notebook's tables; empty where it is missing or damaged."""
    found = read_json(notebook.parent / "results" / notebook.stem / "run.json")
    return found if isinstance(found.get("minutes"), int | float) else {}


def write_json(path: Path, value: object) -> None:
    """Write a value as JSON, as a whole or not at all."""
    with whole(path) as part:
        part.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", "utf-8")


def keep_while(record: Path, holds: Callable[[], bool]) -> None:
    """Leave a record in place only while it is true; one set aside returns when it is true again."""
    aside = record.with_suffix(".aside")
    if not record.is_file() and aside.is_file():
        os.replace(aside, record)
    if record.is_file() and not holds():
        os.replace(record, aside)
