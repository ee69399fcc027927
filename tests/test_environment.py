"""pyproject.toml, requirements.lock and environment.yml say the same."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
LOCK = (ROOT / "requirements.lock").read_text("utf-8")
CONDA = yaml.safe_load((ROOT / "environment.yml").read_text("utf-8"))
CONDA_NAMES = {"pytorch": "torch"}


def declared() -> dict[str, Requirement]:
    extras = PYPROJECT["project"]["optional-dependencies"].values()
    lines = PYPROJECT["project"]["dependencies"] + [line for extra in extras for line in extra]
    made: dict[str, Requirement] = {}
    for one in map(Requirement, lines):
        if one.name != "baq":  # an extra that holds others
            bounds = made.setdefault(canonicalize_name(one.name), one).specifier
            assert bounds == one.specifier, f"{one.name} has two bounds"
    return made


def locked() -> list[Requirement]:
    return [Requirement(line) for line in LOCK.splitlines() if line[:1].isalnum()]


def conda() -> dict[str, Requirement]:
    (pip,) = (entry["pip"] for entry in CONDA["dependencies"] if isinstance(entry, dict))
    plain = [line for line in CONDA["dependencies"] if isinstance(line, str)]
    made = map(Requirement, plain + [line for line in pip if not line.startswith("-e")])
    return {CONDA_NAMES.get(one.name, canonicalize_name(one.name)): one for one in made}


def test_environment_has_the_names_and_bounds_of_pyproject():
    found = conda()
    assert found.pop("pip")
    python = found.pop("python")
    assert str(python.specifier) == str(
        Requirement(f"x{PYPROJECT['project']['requires-python']}").specifier
    )
    assert {name: one.specifier for name, one in found.items()} == {
        name: one.specifier for name, one in declared().items()
    }


@pytest.mark.parametrize("name", declared())
def test_lock_meets_the_bounds(name):
    pins = [one for one in locked() if canonicalize_name(one.name) == name]
    assert pins, f"{name} is not locked: run `make lock`"
    for pin in pins:
        (exact,) = pin.specifier
        assert exact.version in declared()[name].specifier


def test_lock_is_exact_and_names_no_place():
    for pin in locked():
        assert [one.operator for one in pin.specifier] == ["=="], pin
    assert len(locked()) == sum(bool(re.match(r"\S", x)) for x in LOCK.splitlines() if x[:1] != "#")
    assert not re.search(r"://|--[a-z]|\b[\w-]+\.(org|com|net|io)\b", LOCK)


def test_lock_holds_one_matching_pair_of_torch_and_torchvision():
    pair = {"torch", "torchvision"}
    pins = {one.name: str(one.specifier) for one in locked() if one.name in pair}
    constraints = PYPROJECT["tool"]["uv"]["constraint-dependencies"]
    assert [f"{name}{version}" for name, version in sorted(pins.items())] == sorted(constraints)
