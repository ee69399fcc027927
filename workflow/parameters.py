"""Read a chapter's parameters cell, and check the values given for it by name, type and rule."""

import ast
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Annotated

import papermill
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from baq.machine.yaml_core import from_yaml
from workflow.project import Chapter, UserError

#: Larger ones are typing errors: no such loop would end.
_Int = Annotated[int, Field(gt=-(2**31), lt=2**31)]
_TYPES = {
    text: TypeAdapter(kind, config=ConfigDict(strict=True, allow_inf_nan=False))
    for text, kind in {
        "int": _Int,
        "float": float,
        "str": str,
        "bool": bool,
        "list[int]": list[_Int],
        "list[float]": list[float],
        "list[str]": list[str],
    }.items()
}
_RULES = "A..B, A.., ..B, word | word, some, two or more"


@dataclass(frozen=True)
class Parameter:
    """One line of a parameters cell: ``name: kind = default  # comment [rules]``.

    The rules, with commas between them, say what is allowed: ``A..B`` is a range for a number or for
    each number of a list, both ends included and each a number or a sum of parameters' names;
    ``word | word`` are choices, ``''`` for the empty one; ``some`` allows some of the default's words.
    A list is never empty, and has nothing twice; it may have to hold ``two or more``.
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
        rules = self.rules + ("each once, one at least",) * kind.startswith("a list")
        return ", ".join((kind, *rules))


@cache  # a sweep asks for each of its runs
def declared(chapter: Chapter) -> Mapping[str, Parameter]:
    """The parameters of a chapter by name, as papermill reads them.

    Raises:
        UserError: when the chapter has not exactly one cell tagged ``parameters``, or the cell
            holds anything but annotated literals of the kinds allowed, or an unknown rule.
    """
    tagged = [
        cell for cell in chapter.notebook.cells if "parameters" in cell.metadata.get("tags", [])
    ]
    where = f"{chapter.source.name}: parameters cell"
    if len(tagged) != 1:
        raise UserError(f"{where}: found {len(tagged)}, allowed is exactly one")
    try:
        lines = ast.parse(tagged[0].source).body
    except SyntaxError as error:
        raise UserError(f"{where}: {error.msg}") from error
    read = papermill.inspect_notebook(chapter.notebook)
    # Papermill passes over what it cannot read, so every line must be among what it found.
    names = [getattr(getattr(line, "target", None), "id", "") for line in lines]
    for line, name in zip(lines, names, strict=True):
        kind = read.get(name, {}).get("inferred_type_name")
        if kind not in _TYPES or names.count(name) > 1:
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
        brackets = re.search(r"\[([^\[\]]*)\]$", comment)
        rules = tuple(rule.strip() for rule in brackets[1].split(",")) if brackets else ()
        rules = tuple(" | ".join(default) if rule == "some" else rule for rule in rules)
        found[name] = Parameter(name, kind, default, comment, rules)
    _checked(chapter, found, {name: parameter.default for name, parameter in found.items()})
    return found


def check(chapter: Chapter, given: Mapping) -> dict[str, object]:
    """The values given, each checked against the chapter's declaration; ints become floats.

    Raises:
        UserError: for an unknown name, or a value that is not of the declared type or breaks a rule.
    """
    return _checked(chapter, declared(chapter), given)


def in_force(chapter: Chapter, given: Mapping) -> dict[str, object]:
    """All parameters of an execution: the values given, checked, and the defaults of the others."""
    defaults = {name: parameter.default for name, parameter in declared(chapter).items()}
    return check(chapter, defaults | dict(given))


def from_text(chapter: Chapter, name: str, text: str) -> object:
    """The value of a parameter typed on the command line, read by its declared type."""
    known = declared(chapter).get(name)
    if known is None or known.kind == "str":
        return text
    try:
        return from_yaml(text)
    except ValueError:
        return text


def _checked(chapter: Chapter, known: Mapping[str, Parameter], given: Mapping) -> dict[str, object]:
    unknown = sorted(str(name) for name in given.keys() - known.keys())
    if unknown:
        raise UserError(
            f"{chapter.name} has no parameter {', '.join(unknown)}: known are {', '.join(known)}"
        )
    typed = {name: _typed(chapter, known[name], given[name]) for name in given}
    values = {name: parameter.default for name, parameter in known.items()} | typed
    for parameter in known.values():  # a bound may be another parameter, so none is left out
        _keep_rules(chapter, parameter, values)
    return typed


def _typed(chapter: Chapter, parameter: Parameter, value: object) -> object:
    try:
        return _TYPES[parameter.kind].validate_python(value)
    except ValidationError as error:
        hint = ""
        if isinstance(value, str) and re.fullmatch(r"[-+.\deE]+", value):
            hint = " (a string: write it without quotes)"
        if isinstance(value, int) and abs(value) >= 2**31:
            hint = ", below 2^31 in size"
        raise _refused(chapter, parameter, value, hint) from error


def _keep_rules(chapter: Chapter, parameter: Parameter, values: dict[str, object]) -> None:
    """Raise a UserError unless a parameter's value keeps its rules, given all parameters' values."""
    value = values[parameter.name]
    items = value if isinstance(value, list) else [value]
    if not 0 < len(set(items)) == len(items):
        raise _refused(chapter, parameter, value)
    for rule in parameter.rules:
        if rule == "two or more":
            kept = len(items) > 1
        elif "|" in rule or parameter.kind == "list[str]":
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
