"""YAML by the core rules of version 1.2."""

from __future__ import annotations

import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any, ClassVar

import yaml

__all__ = ["from_yaml", "read_yaml"]


def _fault(problem: str, node: yaml.Node) -> yaml.constructor.ConstructorError:
    return yaml.constructor.ConstructorError(problem=problem, problem_mark=node.start_mark)


class _Loader(yaml.SafeLoader):
    """YAML by the core rules of version 1.2, no key twice, and nothing that holds itself.

    Source: YAML 1.2.2, section 10.3.2. PyYAML reads 1.1: ``010`` is 8, ``1:30`` 90, ``no`` false, and
    ``1e-4`` a string.
    """

    yaml_implicit_resolvers: ClassVar[dict[str, list[tuple[str, re.Pattern[str]]]]] = {}
    yaml_constructors: ClassVar[dict[str | None, Any]] = {
        tag: make
        for tag, make in yaml.SafeLoader.yaml_constructors.items()
        if tag is None or tag.rpartition(":")[2] in ("null", "bool", "str", "seq", "map")
    }

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.deep_construct = True  # only so are nodes found that hold themselves

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except (KeyError, ValueError):
            kind = node.tag.rpartition(":")[2]
            raise _fault(f"{str(node.value)[:40]!r} is no {kind}", node) from None

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for part, _ in node.value:
            key = self.construct_object(part, deep=True)
            if not isinstance(key, Hashable):
                raise _fault(
                    f"a {type(key).__name__} is a key: allowed are texts and numbers", part
                )
            if key in seen:
                raise _fault(f"key {key!r} stands twice", part)
            seen.add(key)
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
        ValueError: for a text that is no YAML, has a key twice or holds itself; one line that names the
            line.
    """
    try:
        loader = _Loader(text)
        try:
            return loader.get_single_data()
        except RecursionError:
            raise ValueError(f"line {loader.line + 1}: lists or maps stand too deep") from None
    except yaml.reader.ReaderError as error:
        before = text[: error.position].count("\n")
        raise ValueError(
            f"line {before + 1}: character {error.character:#x} is not allowed"
        ) from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f"line {mark.line + 1}: " if mark else ""
        raise ValueError(f"{line}{' '.join(str(error.problem).split())}") from error


def read_yaml(path: Path) -> Any:
    """The value of a YAML file, as :func:`from_yaml`.

    Raises:
        ValueError: for a file that cannot be read, or is no YAML; one line with the file and the line.
    """
    try:
        return from_yaml(path.read_text("utf-8"))
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise ValueError(f"{path}: line {line}: {error.reason}, this is no UTF-8") from error
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: {getattr(error, 'strerror', None) or error}") from error
