"""Whole files, locks that go with their process, and one way to read YAML."""

from __future__ import annotations

import math
import subprocess
import sys

import pytest
from tiny_project import ROOT

from baq.machine import locked, whole
from baq.machine.yaml_core import from_yaml, read_yaml


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("010", 10),
        ("0123", 123),
        ("0o17", 15),
        ("0x1F", 31),
        ("1:30", "1:30"),
        ("1_000", "1_000"),
        ("1e-4", 1e-4),
        ("1e5", 1e5),
        ("-.5", -0.5),
        ("-.inf", -math.inf),
        ("no", "no"),
        ("On", "On"),
        ("true", True),
        ("2026-01-02", "2026-01-02"),
        ("", None),
        ("~", None),
        ("{a: [1, 2.0, x], b: null}", {"a": [1, 2.0, "x"], "b": None}),
    ],
)
def test_yaml_is_read_by_the_core_rules_of_1_2(text, value):
    assert repr(from_yaml(text)) == repr(value)


def test_what_is_wrong_with_yaml_is_told_with_file_and_line(tmp_path):
    path = tmp_path / "a.yml"
    path.write_text("grid:\n  hidden: [4]\n  hidden: [8]\n")
    with pytest.raises(ValueError, match=r"a.yml: line 3: key 'hidden' stands twice$"):
        read_yaml(path)
    path.write_text("a: 1\nb: [\n")
    with pytest.raises(ValueError, match=r"a.yml: line 3: ") as caught:
        read_yaml(path)
    assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match=r"none.yml: No such file or directory$"):
        read_yaml(tmp_path / "none.yml")
    path.write_bytes(b"\xff\xfe\xfd")
    with pytest.raises(ValueError, match="a.yml: line 1: invalid start byte, this is no UTF-8"):
        read_yaml(path)


def test_a_file_is_replaced_as_a_whole_or_not_at_all(tmp_path):
    path = tmp_path / "deep" / "a.txt"
    with whole(path) as part:
        part.write_text("one")
        assert not path.exists()
    with pytest.raises(RuntimeError), whole(path) as part:
        part.write_text("half")
        raise RuntimeError
    assert path.read_text() == "one"
    assert [found.name for found in path.parent.iterdir()] == ["a.txt"]


@pytest.mark.parametrize("name", ["a.lock", "."])
def test_a_lock_keeps_others_out_until_its_process_ends(tmp_path, name):
    path = tmp_path / name
    code = f"""
import sys, pathlib
sys.path.insert(0, {str(ROOT)!r})
from baq.machine import locked
with locked(pathlib.Path({str(path)!r})):
    print("held", flush=True)
    sys.stdin.read()
"""
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout.readline() == "held\n"
        with pytest.raises(BlockingIOError), locked(path):
            pass
        if path.is_file():
            assert path.read_text() == f"{child.pid}\n"
        child.kill()
        child.wait()
    with locked(path):
        pass


def test_files_and_locks_do_without_torch():
    code = "import sys, baq.machine; assert 'torch' not in sys.modules; from baq import compare"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("1: a\n1: b", "line 2: key 1 stands twice"),
        ("1: a\n0x1: b", "line 2: key 1 stands twice"),
        ("a: 1\n? [a]\n: 2", "line 2: a list is a key: allowed are texts and numbers"),
        ("a: !!timestamp 5", "line 1: could not determine a constructor for the tag"),
        ("a: 1\nb: !!int x", "line 2: 'x' is no int"),
        ("!!bool maybe", "line 1: 'maybe' is no bool"),
        ("a: 1\nb: " + "9" * 5000, "line 2: '9{40}' is no int"),
        ("a:\n  " + "[" * 3000, "line 2: lists or maps stand too deep"),
        ("a:\n- " + "{b: " * 3000, "line 2: lists or maps stand too deep"),
        ("&a [*a]", "line 1: found unconstructable recursive node"),
        ("a: 1\nb: &c\n  d: *c", "line 2: found unconstructable recursive node"),
        ("a: 1\nb: \x00", "line 2: character 0x0 is not allowed"),
        ("a: 1\n---\nb: 2", "line 2: but found another document"),
    ],
)
def test_what_is_wrong_with_yaml_is_told_in_one_line(tmp_path, text, problem):
    path = tmp_path / "a.yml"
    path.write_text(text)
    with pytest.raises(ValueError, match=f"a.yml: {problem}") as caught:
        read_yaml(path)
    assert "\n" not in str(caught.value)


def test_a_node_may_stand_in_two_places():
    assert from_yaml("a: &x [1]\nb: *x\n2: *x") == {"a": [1], "b": [1], 2: [1]}
