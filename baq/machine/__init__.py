"""Operating-system helpers: whole files, locks, and the processor's name."""

from __future__ import annotations

import contextlib
import fcntl
import os
import platform
import secrets
from collections.abc import Iterator
from pathlib import Path

__all__ = ["locked", "processor_name", "whole"]


@contextlib.contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A file to write to, which takes the place of ``path`` when the block ends without an error.

    Raises:
        OSError: where the folder or the file cannot be written; ``path`` stays as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        yield part
        os.replace(part, path)
    finally:
        with contextlib.suppress(OSError):
            part.unlink()


@contextlib.contextmanager
def locked(path: Path, *, wait: bool = False) -> Iterator[int]:
    """Hold a file or a folder; the lock goes with the process, even when that is killed.

    A file is made where there is none, and names the process that holds it.

    Returns:
        The descriptor: a child that is passed it holds the lock too.

    Raises:
        BlockingIOError: when another process holds it and ``wait`` is false.
    """
    folder = path.is_dir()
    handle = os.open(path, os.O_RDONLY if folder else os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        if not folder:
            os.ftruncate(handle, 0)
            os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
        yield handle
    finally:
        os.close(handle)


def processor_name() -> str:
    """The name of the processor, as its maker gives it where the system tells."""
    with contextlib.suppress(OSError), open("/proc/cpuinfo", encoding="utf-8") as info:
        for line in info:
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
