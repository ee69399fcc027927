"""Runs of chapters that take files and have a gate; and the audit itself, from files that are sound or not."""

import json
from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch
from tiny_project import ROOT, command, write_chapter
from torch import nn

from baq import ptq_w
from workflow.project import Project
from workflow.runs import run, run_name

GATE = """
import json, os
from pathlib import Path
here = Path(os.environ["BAQ_FOLDER"])
passed = deep or rows < 3
told = [] if passed else [f"{rows} rows, allowed are 2"]
text = json.dumps({"gate": {"passed": passed, "told": told}})
(Path(os.environ["BAQ_RESULTS"]) / "01-one.json").write_text(text)
(Path(os.environ["BAQ_RESULTS"]) / "a.csv").write_text((here / word).read_text() if word != "x" else "i\\n1\\n")
"""


@pytest.mark.parametrize(
    ("given", "status", "told"),
    [
        ([], 0, ""),
        (["-p", "rows", "3"], 1, "error: 3 rows, allowed are 2\n"),
        (["--max-flip-rate", "x"], 2, "Invalid value for '--max-flip-rate'"),
        (["--max-flip-rate", "2"], 2, "not in the range 0<=x<=1"),
        (["--max-flip-rate", "0.1"], 1, "error: 01-one has no parameter max_flip_rate"),
    ],
)
def test_a_gate_decides_the_status(root, given, status, told):
    write_chapter(root, "01-one", GATE)
    done = command(root, "run", "one", "--no-page", *given)
    assert done.returncode == status, done.stderr
    assert told in done.stderr


def test_a_run_is_named_after_what_its_files_hold(root, monkeypatch):
    monkeypatch.chdir(root)
    write_chapter(root, "01-one", GATE)
    chapter = Project(root).chapter("one")
    absent = run_name(chapter, {"word": "mine.csv"})
    names = []
    for text in ("i\n5\n", "i\n6\n", "i\n5\n"):
        (root / "mine.csv").write_text(text)
        notebook = run(Project(root), chapter, {"word": "mine.csv"})
        assert (notebook.parent / "results" / "01-one" / "a.csv").read_text() == text
        names.append(notebook.parent.name)
    assert names[0] == names[2] and len({absent, *names}) == 3
    stamp = nbformat.read(notebook, as_version=4).metadata["baq"]
    assert list(stamp["files"]) == ["mine.csv"]
    plain = run(Project(root), chapter, {})
    assert "files" not in nbformat.read(plain, as_version=4).metadata["baq"]


def test_a_folder_is_known_by_all_files_below_it(root, monkeypatch):
    monkeypatch.chdir(root)
    chapter = Project(root).chapter("one")
    (root / "photos" / "cat").mkdir(parents=True)
    names = [run_name(chapter, {"names": ["photos", "b"]})]
    for text in ("1", "2"):
        (root / "photos" / "cat" / "1.txt").write_text(text)
        names.append(run_name(chapter, {"names": ["photos", "b"]}))
    assert len(set(names)) == 3


def small():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3)).eval()


@pytest.fixture
def files(tmp_path):
    """A float network and its 3 bits as programs, inputs, and files that are none of these."""
    x = torch.randn(200, 6, generator=torch.Generator().manual_seed(1))
    for name, model in (("float", small()), ("int3", ptq_w(small(), 3))):
        batch = torch.export.Dim("n")
        program = torch.export.export(model, (x[:4],), dynamic_shapes=({0: batch},))
        torch.export.save(program, tmp_path / f"{name}.pt2")
    np.savez(tmp_path / "x.npz", x=x.numpy(), y=small()(x).argmax(dim=1).numpy())
    (tmp_path / "text.pt2").write_text("no program\n")
    np.savez(tmp_path / "wide.npz", x=np.zeros((9, 7), "float32"))
    np.savez(tmp_path / "nan.npz", x=np.full((20, 6), np.nan, "float32"))
    np.savez(tmp_path / "labels.npz", x=x.numpy(), y=np.full(200, 3))
    np.save(tmp_path / "pickle.npy", np.array([{}], dtype=object), allow_pickle=True)
    return tmp_path


QUICK = ["-p", "n", "17", "-p", "planes", "1", "--no-page"]


def audited(files: Path, *more: str, **given: str):
    given = {"reference": "float.pt2", "candidates": "int3.pt2", "data": "x.npz"} | given
    words = ["-p", "candidates", json.dumps([str(files / given.pop("candidates"))])]
    for name, value in given.items():
        words += ["-p", name, str(files / value)]
    return command(ROOT, "run", "audit", *words, *QUICK, *more)


@pytest.mark.slow
def test_an_audit_of_two_files_ends_with_tables_a_record_and_a_status(files):
    done = audited(files, "--max-flip-rate", "0.0001")
    assert done.returncode == 1, done.stderr
    assert "int3.pt2 changes" in done.stderr and "allowed are 0.01%" in done.stderr
    results = Path(done.stdout.split()[-1]).parent / "results" / "audit"
    made = json.loads((results / "audit.json").read_text("utf-8"))
    with np.load(files / "x.npz") as given:
        x = torch.from_numpy(given["x"])
    flips = int((small()(x).argmax(1) != ptq_w(small(), 3)(x).argmax(1)).sum())
    assert flips == made["rates"][0]["labels_changed"] == len(made["flipped"]) > 0
    assert made["measures"][0]["accuracy_reference"] == 1
    assert {row["way"] for row in made["blame"]} == {"exact"}
    tables = {path.stem for path in results.glob("*.csv")}
    assert {"rates", "flipped", "by-class", "by-margin", "planes", "local", "blame"} <= tables


@pytest.mark.slow
def test_a_candidate_that_cannot_be_loaded_loses_no_other_and_does_not_pass(files):
    sources = json.dumps([str(files / name) for name in ("text.pt2", "int3.pt2")])
    words = ["-p", "reference", str(files / "float.pt2"), "-p", "data", str(files / "x.npz")]
    done = command(
        ROOT, "run", "audit", *words, "-p", "candidates", sources, *QUICK, "--max-flip-rate", "1"
    )
    assert done.returncode == 1
    assert "error: text.pt2 could not be evaluated, and does not pass" in done.stderr
    results = Path(done.stdout.split()[-1]).parent / "results" / "audit"
    made = json.loads((results / "audit.json").read_text("utf-8"))
    assert made["left_out"] == ["text.pt2"] and made["candidates"] == ["int3.pt2"]
    assert "**Not evaluated**: text.pt2." in made["verdict"]


@pytest.mark.slow
def test_with_a_gate_a_wrong_file_has_a_status_of_its_own(files):
    assert audited(files, "--max-flip-rate", "0.5", data="nan.npz").returncode == 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"reference": "none.onnx"}, "none.onnx is absent"),
        ({"reference": "text.pt2"}, "text.pt2"),
        ({"data": "wide.npz"}, "(9, 7)"),
        ({"data": "nan.npz"}, "finite"),
        ({"data": "labels.npz"}, "labels hold 3"),
        ({"data": "pickle.npy"}, "pickle"),
    ],
)
def test_a_wrong_file_ends_in_one_line_and_leaves_nothing(files, given, told):
    before = set((ROOT / "runs").glob("audit-*/audit.*"))
    done = audited(files, **given)
    assert done.returncode == 1 and told in done.stderr
    errors = [line for line in done.stderr.splitlines() if not line.startswith("audit  ")]
    assert len(errors) == 1 and errors[0].startswith("error: audit cell")
    new = set((ROOT / "runs").glob("audit-*/audit.*")) - before  # other tests make runs meanwhile
    assert not [path for path in new if str(files) in path.read_text("utf-8")]
