"""The small files by which parts of the workflow tell each other what was done."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from baq.machine import whole

__all__ = ["digest", "keep_while", "read_json", "write_json"]


def digest(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def read_json(path: Path) -> dict[str, Any]:
    """The entries of a JSON file; none where it is missing, damaged or something else."""
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def write_json(path: Path, value: object) -> None:
    """Write a value as JSON, as a whole or not at all."""
    with whole(path) as part:
        part.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", "utf-8")


def keep_while(record: Path, holds: Callable[[], bool]) -> None:
    """Have a record in its place only while it holds; one set aside comes back when it does again."""
    aside = record.with_suffix(".aside")
    if not record.is_file() and aside.is_file():
        os.replace(aside, record)
    if record.is_file() and not holds():
        os.replace(record, aside)
