"""What is asked of the machine below: whole files, locks, YAML, and the processor's name."""

from __future__ import annotations

import contextlib
import fcntl
import os
import platform
import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import yaml

__all__ = ["from_yaml", "locked", "processor_name", "read_yaml", "whole"]


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


class _Loader(yaml.SafeLoader):
    """YAML by the core rules of version 1.2, and no key twice.

    Source: YAML 1.2.2, section 10.3.2. PyYAML reads 1.1: ``010`` is 8, ``1:30`` 90, ``no`` false, and
    ``1e-4`` a string.
    """

    yaml_implicit_resolvers: ClassVar[dict[str, list[tuple[str, re.Pattern[str]]]]] = {}

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if key.tag == "tag:yaml.org,2002:str" and key.value in seen:
                raise yaml.constructor.ConstructorError(
                    problem=f"key {key.value!r} stands twice", problem_mark=key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)

    def read_int(self, node: yaml.ScalarNode) -> int:
        text = self.construct_scalar(node)
        base = {"0o": 8, "0x": 16}.get(text[:2], 10)
        return int(text[2:] if base != 10 else text, base)

    def read_float(self, node: yaml.ScalarNode) -> float:
        return float(
            self.construct_scalar(node).lower().replace(".inf", "inf").replace(".nan", "nan")
        )


for _tag, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", list("-+0123456789")),
    (
        "float",
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        list("-+.0123456789"),
    ),
):
    _Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), _first
    )
_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.read_int)
_Loader.add_constructor("tag:yaml.org,2002:float", _Loader.read_float)


def from_yaml(text: str) -> Any:
    """The value of a YAML text, by the core rules of YAML 1.2.

    Raises:
        ValueError: for a text that is no YAML or has a key twice; one line that names the line.
    """
    try:
        return yaml.load(text, _Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or " ".join(str(error).split())
        line = f"line {mark.line + 1}: " if mark else ""
        raise ValueError(f"{line}{problem}") from error


def read_yaml(path: Path) -> Any:
    """The value of a YAML file, as :func:`from_yaml`.

    Raises:
        ValueError: for a file that cannot be read, or is no YAML; one line with the file and the line.
    """
    try:
        return from_yaml(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: {getattr(error, 'strerror', None) or error}") from error
