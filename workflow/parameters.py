"""Read a chapter's parameters cell, and check the values given for it by name and type."""

from __future__ import annotations

import ast
import math
import tokenize
from dataclasses import dataclass
from io import StringIO

import yaml

from workflow.project import Chapter, UserError

__all__ = ["Parameter", "check", "declared", "from_text"]

_SCALARS = {"int": int, "float": float, "str": str, "bool": bool}
_KINDS = ("int", "float", "str", "bool", "list[int]", "list[float]", "list[str]")


@dataclass(frozen=True)
class Parameter:
    """One line of a parameters cell: ``name: kind = default  # comment``."""

    name: str
    kind: str
    default: object
    comment: str


def declared(chapter: Chapter) -> dict[str, Parameter]:
    """The parameters of a chapter by name.

    Raises:
        UserError: when the chapter has not exactly one cell tagged ``parameters``, or the cell
            holds anything but annotated literals of the kinds allowed.
    """
    tagged = [
        cell.source
        for cell in chapter.notebook.cells
        if cell.cell_type == "code" and "parameters" in cell.metadata.get("tags", [])
    ]
    where = f"{chapter.source.name}: parameters cell"
    if len(tagged) != 1:
        raise UserError(f"{where}: found {len(tagged)}, allowed is exactly one")
    try:
        body = ast.parse(tagged[0]).body
    except SyntaxError as error:
        raise UserError(f"{where}: {error.msg}") from error
    comments = {
        token.start[0]: token.string.lstrip("# ")
        for token in tokenize.generate_tokens(StringIO(tagged[0]).readline)
        if token.type == tokenize.COMMENT
    }
    found: dict[str, Parameter] = {}
    for node in body:
        line = ast.unparse(node)
        if not (
            isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value
        ):
            raise UserError(f"{where}: {line!r} is not of the form name: type = literal")
        kind = ast.unparse(node.annotation)
        if kind not in _KINDS:
            raise UserError(f"{where}: type is {kind!r}, allowed are {', '.join(_KINDS)}")
        try:
            default = ast.literal_eval(node.value)
        except ValueError as error:
            raise UserError(f"{where}: {line!r} is not a literal") from error
        name = node.target.id
        default = _checked(chapter, name, kind, default)
        found[name] = Parameter(name, kind, default, comments.get(node.end_lineno, ""))
    return found


def check(chapter: Chapter, given: dict) -> dict[str, object]:
    """The values given, each checked against the chapter's declaration; ints become floats.

    Raises:
        UserError: for an unknown name, or a value that is not of the declared type.
    """
    known = declared(chapter)
    unknown = sorted(str(name) for name in given.keys() - known.keys())
    if unknown:
        raise UserError(
            f"{chapter.name} has no parameter {', '.join(unknown)}: known are {', '.join(known)}"
        )
    return {name: _checked(chapter, name, known[name].kind, given[name]) for name in given}


def from_text(chapter: Chapter, name: str, text: str) -> object:
    """The value of a parameter typed on the command line, read by its declared type."""
    known = declared(chapter).get(name)
    if known is None or known.kind == "str":
        return text
    if known.kind == "float":
        try:
            return float(text)
        except ValueError:
            return text
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return text


def _checked(chapter: Chapter, name: str, kind: str, value: object) -> object:
    if not kind.startswith("list["):
        result = _scalar(kind, value)
    elif isinstance(value, list):
        items = [_scalar(kind[5:-1], item) for item in value]
        result = None if None in items else items
    else:
        result = None
    if result is not None:
        return result
    hint = ""
    if isinstance(value, str) and kind != "str" and _is_number(value):
        hint = " (a string: write it without quotes, and 1e-4 as 1.0e-4)"
    raise UserError(f"{chapter.name}: {name} is {value!r}, allowed is {_article(kind)}{hint}")


def _scalar(kind: str, value: object) -> object | None:
    """The value as the kind asks, or None where it is something else."""
    if kind == "float" and type(value) is int:
        value = float(value)
    if type(value) is not _SCALARS[kind]:
        return None
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _article(kind: str) -> str:
    return {"int": "an int", "float": "a finite float"}.get(kind, f"a {kind}")
