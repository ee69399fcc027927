"""Whole files, locks that go with their process, and one way to read YAML."""

from __future__ import annotations

import math
import subprocess
import sys

import pytest
from tiny_project import ROOT

from baq.machine import from_yaml, locked, read_yaml, whole


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
    with pytest.raises(ValueError, match="a.yml: "):
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
