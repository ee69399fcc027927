"""Read a chapter's parameters cell, and check the values given for it by name, type and rule."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

import papermill
from pydantic import ConfigDict, TypeAdapter, ValidationError

from baq.machine import from_yaml
from workflow.project import Chapter, UserError

__all__ = ["Parameter", "check", "declared", "from_text", "in_force"]

_STRICT = ConfigDict(strict=True, allow_inf_nan=False)
_TYPES = {
    "int": TypeAdapter(int, config=_STRICT),
    "float": TypeAdapter(float, config=_STRICT),
    "str": TypeAdapter(str, config=_STRICT),
    "bool": TypeAdapter(bool, config=_STRICT),
    "list[int]": TypeAdapter(list[int], config=_STRICT),
    "list[float]": TypeAdapter(list[float], config=_STRICT),
    "list[str]": TypeAdapter(list[str], config=_STRICT),
}
_RULES = "A..B, A.., ..B, word | word, distinct, not empty, or some of these"


@dataclass(frozen=True)
class Parameter:
    """One line of a parameters cell: ``name: kind = default  # comment [rules]``.

    The rules, with commas between them, say what is allowed: ``A..B`` is a range for a number or for
    each number of a list, both ends included and each a number or a sum of parameters' names;
    ``word | word`` are choices, ``''`` for the empty one; lists may be ``distinct``, ``not empty``.
    ``some of these`` stands alone, for a choice of one or more of the default's words.
    """

    name: str
    kind: str
    default: object
    comment: str
    rules: tuple[str, ...]

    @property
    def allowed(self) -> str:
        """Type and rules, in words."""
        kind = {"int": "an int", "float": "a finite float"}.get(self.kind, f"a {self.kind}")
        return ", ".join((kind, *self.rules))


def declared(chapter: Chapter) -> dict[str, Parameter]:
    """The parameters of a chapter by name, as papermill reads them.

    Raises:
        UserError: when the chapter has not exactly one cell tagged ``parameters``, or the cell
            holds anything but annotated literals of the kinds allowed, or an unknown rule.
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
        lines = ast.parse(tagged[0]).body
    except SyntaxError as error:
        raise UserError(f"{where}: {error.msg}") from error
    read = papermill.inspect_notebook(chapter.notebook)
    # Papermill passes over what it cannot read, so every line must be among what it found.
    names = [getattr(getattr(line, "target", None), "id", "") for line in lines]
    for line, name in zip(lines, names, strict=True):
        if (
            name not in read
            or names.count(name) > 1
            or read[name]["inferred_type_name"] not in _TYPES
        ):
            raise UserError(
                f"{where}: {ast.unparse(line)!r} is not of the form name: type = literal, each name "
                f"once and of type {', '.join(_TYPES)}"
            )
    found = {}
    for name, entry in read.items():
        text, kind, comment = entry["default"], entry["inferred_type_name"], entry["help"]
        try:
            default = ast.literal_eval(text)
        except (ValueError, SyntaxError) as error:
            raise UserError(f"{where}: {name} is {text!r}, which is not a literal") from error
        rules = _rules(comment)
        if rules == ("some of these",):
            rules = (" | ".join(default), "distinct", "not empty")
        for rule in rules:
            if not (rule in ("distinct", "not empty") or ".." in rule or "|" in rule):
                raise UserError(f"{where}: {name} has the rule {rule!r}, allowed are {_RULES}")
        parameter = Parameter(name, kind, default, comment, rules)
        found[name] = replace(parameter, default=_typed(chapter, parameter, default))
    values = {name: parameter.default for name, parameter in found.items()}
    for parameter in found.values():
        _ruled(chapter, parameter, values)
    return found


def check(chapter: Chapter, given: Mapping) -> dict[str, object]:
    """The values given, each checked against the chapter's declaration; ints become floats.

    Raises:
        UserError: for an unknown name, or a value that is not of the declared type or breaks a rule.
    """
    return _checked(chapter, declared(chapter), given)


def in_force(chapter: Chapter, given: Mapping) -> dict[str, object]:
    """All parameters of an execution: the values given, checked, and the defaults of the others."""
    known = declared(chapter)
    defaults = {name: parameter.default for name, parameter in known.items()}
    return defaults | _checked(chapter, known, given)


def _checked(chapter: Chapter, known: Mapping[str, Parameter], given: Mapping) -> dict[str, object]:
    unknown = sorted(str(name) for name in given.keys() - known.keys())
    if unknown:
        raise UserError(
            f"{chapter.name} has no parameter {', '.join(unknown)}: known are {', '.join(known)}"
        )
    typed = {name: _typed(chapter, known[name], given[name]) for name in given}
    values = {name: parameter.default for name, parameter in known.items()} | typed
    for parameter in known.values():  # a bound may be another parameter, so none is left out
        _ruled(chapter, parameter, values)
    return typed


def from_text(chapter: Chapter, name: str, text: str) -> object:
    """The value of a parameter typed on the command line, read by its declared type."""
    known = declared(chapter).get(name)
    if known is None or known.kind == "str":
        return text
    try:
        return from_yaml(text)
    except ValueError:
        return text


def _rules(comment: str) -> tuple[str, ...]:
    brackets = re.search(r"\[([^\[\]]*)\]$", comment)
    return tuple(rule.strip() for rule in brackets[1].split(",")) if brackets else ()


def _typed(chapter: Chapter, parameter: Parameter, value: object) -> object:
    try:
        return _TYPES[parameter.kind].validate_python(value)
    except ValidationError as error:
        quoted = isinstance(value, str) and parameter.kind != "str" and _is_number(value)
        hint = " (a string: write it without quotes)" if quoted else ""
        raise _refused(chapter, parameter, value, hint) from error


def _ruled(chapter: Chapter, parameter: Parameter, values: dict[str, object]) -> None:
    """Raise a UserError unless a parameter's value keeps its rules, given all parameters' values."""
    value = values[parameter.name]
    items = value if isinstance(value, list) else [value]
    if parameter.kind == "list[str]" and len(set(items)) < len(items):
        raise _refused(chapter, parameter, value, ", each once")
    for rule in parameter.rules:
        if rule == "distinct":
            kept = len(set(items)) == len(items)
        elif rule == "not empty":
            kept = value not in ([], "")
        elif "|" in rule:
            kept = {*items} <= {word.strip().strip("'") for word in rule.split("|")}
        else:
            try:
                # Source of the chapter, like all of its code.
                low, high = (
                    eval(end, {"__builtins__": {}}, dict(values)) if end.strip() else None
                    for end in rule.split("..")
                )
                kept = all(
                    (low is None or low <= item) and (high is None or item <= high)
                    for item in items
                )
            except (SyntaxError, NameError, TypeError, ValueError) as error:
                raise UserError(
                    f"{chapter.source.name}: parameters cell: {parameter.name} has the rule "
                    f"{rule!r}, allowed are {_RULES}"
                ) from error
        if not kept:
            raise _refused(chapter, parameter, value)


def _refused(chapter: Chapter, parameter: Parameter, value: object, hint: str = "") -> UserError:
    return UserError(
        f"{chapter.name}: {parameter.name} is {value!r}, allowed is {parameter.allowed}{hint}"
    )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
