"""Runs with parameters of their own, many of them, and what tells them apart."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from tiny_project import BODY, ROOT, command, contents, mounted, write_chapter

from workflow.compare import compare_runs
from workflow.gather import gather, sweep_page
from workflow.project import Project, UserError
from workflow.run_page import run_page
from workflow.runs import arguments, run, run_name
from workflow.sweep import failures, read, run_log

SWEEP = """\
chapter: one
given: {names: [a]}
grid:
  rows: [1, 2]
  word: [x, y]
table: a
"""
BROKEN = BODY + "if rows == 2 and word == 'y':\n    raise ValueError('no such pair')\n"


def words(page):
    """What a page says, without its tags."""
    return " ".join(re.sub(r"<[^>]+>", "", page.read_text()).split())


@pytest.fixture
def file(root):
    path = root / "pairs.yml"
    path.write_text(SWEEP)
    return path


def runs(root: Path) -> set[str]:
    """What a sweep would execute now."""
    done = command(root, "sweep", "pairs.yml", "--dry-run")
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


# The file


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("chapter: one", "chapter: three", "chapter is 'three', allowed are 01-one, 02-two"),
        ("chapter: one", "chapter: [1]", "chapter is [1], allowed is a name"),
        ("given: {names: [a]}", "giving: 1", "has giving, allowed are chapter, given, grid, table"),
        ("given: {names: [a]}", "given: 1", "given is 1, allowed are lines of the form"),
        ("{names: [a]}", "{name: [a]}", "no parameter name: known are rows"),
        ("{names: [a]}", "{rows: 3}", "rows stands in given and in grid"),
        ("rows: [1, 2]", "rows: [1, 2.5]", "rows is 2.5, allowed is an int"),
        ("rows: [1, 2]", "rows: 1", "allowed are lines of the form name: [values]"),
        ("rows: [1, 2]", "rows: []", "the grid is empty"),
        ("rows: [1, 2]", "rows: [1, 1]", "the grid has rows = 1, word = x twice"),
        ("table: a", "table: 1", "table is 1, allowed are letters, digits and hyphens"),
        ("table: a", "table: ../a", "table is '../a', allowed are letters, digits and hyphens"),
        ("rows: [1, 2]", "rows: [1]\n  rows: [2]", "line 5: key 'rows' stands twice"),
        ("chapter: one", "chapter: [", "pairs.yml: line 3: expected"),
    ],
)
def test_what_is_wrong_with_a_sweep_is_named(file, project, old, new, told):
    file.write_text(SWEEP.replace(old, new))
    with pytest.raises(UserError) as caught:
        read(project, file)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["...yml", "{x}.yml", ".yml", "a b.yml"])
def test_a_sweep_is_a_plain_name(root, project, name):
    (root / name).write_text(SWEEP)
    with pytest.raises(UserError, match="its name may have letters, digits"):
        read(project, root / name)


def test_a_run_is_named_by_64_bits(project):
    # In the first chapter first_seed 86274 and 135224 did.
    name = run_name(project.chapter("one"), {})
    assert len(name.rpartition("-")[2]) == 16


def test_equal_parameters_share_a_folder_however_they_are_given(project):
    chapter = project.chapter("one")
    assert run_name(chapter, {}) == run_name(chapter, {"rows": 2, "rate": 0.5})
    assert run_name(chapter, {}) != run_name(chapter, {"rows": 3})


def test_arguments_say_again_what_was_given(project):
    given = {"rows": 3, "rate": 1e-5, "weights": [1e-5, 2.0], "names": ["a"], "word": "1"}
    words = arguments(project.chapter("one"), given | {"deep": True})
    assert words[:2] == ["run", "01-one"]
    typed = dict(zip(words[3::3], words[4::3], strict=True))
    assert typed["weights"] == "[1e-05, 2.0]"
    assert (typed["rate"], typed["word"], typed["deep"]) == ("1e-05", "1", "true")


# Sweeps


@pytest.mark.slow
def test_a_sweep_does_what_is_missing_and_lists_what_failed(root, file):
    write_chapter(root, "01-one", BROKEN)
    file.write_text(SWEEP.replace("[1, 2]", "[2]"))
    done = command(root, "sweep", "pairs.yml")
    assert done.returncode == 1
    (line,) = [x for x in done.stderr.splitlines() if "no such pair" in x]
    name = line.removeprefix("error: ").partition(" ")[0]
    log = f"runs/logs/{name}.log"
    assert "(rows = 2, word = y): 01-one cell 3/3: ValueError: no such pair" in line
    assert line.endswith(f"see {log}")
    assert "ValueError: no such pair" in (root / log).read_text()
    assert "error: sweep pairs: 1 of 2 runs to do" in done.stderr
    table = pd.read_csv(root / "runs" / "sweeps" / "pairs" / "table.csv")
    assert list(table) == ["run", "rows", "word", "i"]
    assert table.groupby(["rows", "word"]).size().to_dict() == {(2, "x"): 2}
    page = words(root / "runs" / "sweeps" / "pairs" / "sweep.html")
    assert "1 of 2 runs complete" in page
    assert "no such pair" in page
    assert not list((root / "book").glob("*.ipynb"))

    file.write_text(SWEEP.replace("[x, y]", "[x]").replace("[1, 2]", "[2, 3]"))
    (new,) = runs(root) - {"summary"}
    before = contents(root / "runs")
    done = command(root, "sweep", "pairs.yml")
    assert done.returncode == 0, done.stderr
    assert runs(root) == set()
    after = contents(root / "runs")
    changed = {path for path in after if after[path] != before.get(path)}
    shared = {".work", "_sources", "searchindex.js"}  # of all pages
    assert {path.split("/")[0] for path in changed} - shared == {new, "logs", "sweeps"}
    assert set(pd.read_csv(root / "runs" / "sweeps" / "pairs" / "table.csv")["rows"]) == {2, 3}

    write_chapter(root, "01-one", BROKEN + "1\n")
    changed = failures(Project(root), read(Project(root), file))
    assert len(changed) == 2
    told = "its sources have changed since it ran"
    assert all(line.endswith(told) for line in changed.values())
    write_chapter(root, "01-one", BROKEN)
    (root / "runs" / new / "results" / "01-one" / "a.csv").write_text("i\n")
    assert runs(root) == {new, "summary"}


@pytest.mark.slow
def test_an_interrupted_sweep_goes_on_where_it_was(root, project, file):
    file.write_text(SWEEP.replace("[1, 2]", "[1]"))
    slow = "import time\ntime.sleep(60 * (word == 'y' and not Path('go').exists()))\n"
    write_chapter(root, "01-one", BODY + slow.replace("'go'", repr(str(root / "go"))))
    child = subprocess.Popen(
        [sys.executable, "-m", "workflow", "sweep", "pairs.yml", "--cores", "2"],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    records = root / "_build" / "runs"
    deadline = time.monotonic() + 240
    while not list(records.glob("*.json")):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    busy = command(root, "sweep", "pairs.yml")
    told = "error: another sweep pairs is at work in this checkout (process "
    assert busy.stderr.startswith(told)
    os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    kept = {path: path.stat().st_mtime_ns for path in records.glob("*.json")}
    assert len(kept) == 1
    (told,) = failures(project, read(project, file)).values()
    assert "(rows = 1, word = y): stopped without a message, as if killed, see runs/logs/" in told
    (root / "go").touch()
    done = command(root, "sweep", "pairs.yml")
    assert done.returncode == 0, done.stderr
    assert len(list(records.glob("*.json"))) == 2
    assert {path: path.stat().st_mtime_ns for path in kept} == kept


def test_a_table_that_runs_do_not_have_is_named(root, project, file):
    file.write_text(
        SWEEP.replace("table: a", "table: b").replace("[1, 2]", "[1]").replace("[x, y]", "[x]")
    )
    sweep = read(project, file)
    for name in sweep.runs:
        run(project, sweep.chapter, sweep.parameters(name))
    with pytest.raises(UserError, match="table is 'b', allowed are a$"):
        gather(project, sweep)


@pytest.mark.slow
def test_medians_of_claims_are_drawn_against_the_grid(project, file):
    sweep = read(project, file)
    folder = sweep.folder(project)
    folder.mkdir(parents=True)
    gather(project, sweep)
    runs = pd.read_csv(folder / "runs.csv")
    assert runs["said"].str.contains("has not run").all() and len(runs) == len(sweep.runs)
    page = sweep_page(project, sweep)
    assert page == folder / "sweep.html"
    assert words(page).count("has not run") == len(sweep.runs)
    assert "image/svg+xml" not in (folder / "sweep.ipynb").read_text(), "no answers, no figure"
    runs.loc[0, "state"] = "complete"
    runs.to_csv(folder / "runs.csv", index=False)
    place = {"run": "r", "rows": 1, "word": "x|<y>", "claim": "D1"}
    table = pd.DataFrame([{**place, "rows": rows, "median": rows} for rows in (1, 2)])
    table.to_csv(folder / "table.csv", index=False)
    text = sweep_page(project, sweep).read_text()
    assert "x|&lt;y&gt;" in text
    assert (folder / "sweep.ipynb").read_text().count('"image/svg+xml"') == 1


# Runs side by side


def test_runs_are_compared_by_parameters_and_tables(root, project):
    chapter = project.chapter("one")
    made = [run(project, chapter, {"rows": rows, "word": "y"}) for rows in (1, 3)]
    shown = compare_runs(project, [made[0], made[1].parent], "a").splitlines()
    assert shown[0] == f"[1] {made[0]}"
    assert shown[1] == f"[2] {made[1].parent}"
    (rows,) = [line.split() for line in shown if line.startswith("rows")]
    assert rows == ["rows", "1", "3"]
    assert not any(line.startswith("word") for line in shown)
    every = compare_runs(project, made)
    assert [line.split() for line in every.splitlines()][-2:] == [
        ["a", "differs"],
        ["b", "differs"],
    ]
    (root / "runs" / made[1].parent.name / "results" / "01-one" / "a.csv").write_text("i\n1\n")
    assert compare_runs(project, made).splitlines()[-2].split() == ["a", "equal"]
    with pytest.raises(UserError, match="table is 'c', allowed are a, b"):
        compare_runs(project, made, "c")
    with pytest.raises(
        UserError, match=f"runs/none is no run, .*there are .*{made[0].parent.name}"
    ):
        compare_runs(project, [made[0], Path("runs/none")])
    with pytest.raises(UserError, match="a run is named twice"):
        compare_runs(project, [made[0], made[0]])
    with pytest.raises(UserError, match="runs are 1, allowed are 2 or more"):
        compare_runs(project, made[:1])


@pytest.mark.parametrize(
    ("first", "second", "told"),
    [
        ("bits,jaccard\n8,0\n4,1\n", "bits,jaccard\n8,0\n4,0\n", ["4 jaccard 1 0"]),
        ("bits,jaccard\n8,0\n4,1\n", "bits,jaccard\n4,1\n8,0\n", ["none"]),
        ("seed,t,count\n0,0.5,3\n", "seed,t,count\n0,0.5,4\n", ["0 0.5 count 3 4"]),
        ("n,count\n33,3\n65,3\n", "n,count\n33,3\n65,4\n", ["65 count 3 4"]),
        ("rule,bits,satisfied\na,6,True\n", "rule,bits,satisfied\na,5,True\n", ["a bits 6 5"]),
        (
            "claim,setting,part,work,quantity,paper,median,lo,hi,n\nD1,,,,,0.4,0.5,0.5,0.5,1\n",
            "claim,setting,part,work,quantity,paper,median,lo,hi,n\nD1,,,,,0.4,0.6,0.5,0.7,2\n",
            ["D1 median 0.5 0.6", "D1 hi 0.5 0.7", "D1 n 1 2"],
        ),
    ],
)
def test_rows_of_runs_are_matched_by_declared_keys(root, project, first, second, told):
    for name, text in (("x", first), ("y", second)):
        folder = root / "runs" / name / "results" / "01-one"
        folder.mkdir(parents=True)
        (folder / "a.csv").write_text(text)
        record = {"parameters": {}, "versions": {}, "source": "", "package": "", "processor": ""}
        (folder / "run.json").write_text(json.dumps({**record, "minutes": 1}))
    shown = compare_runs(project, [root / "runs" / "x", root / "runs" / "y"], "a").splitlines()
    lines = shown[shown.index("values that differ in a") + 1 :]
    assert [" ".join(line.split()) for line in lines if "[1]" not in line] == told


# What a disk or a cluster does


@pytest.fixture
def small_disk(root):
    """A file system of a quarter of a MiB for the runs; the tables of two runs fit."""
    with mounted(root / "runs", "size=256k") as folder:
        yield folder


@pytest.mark.slow
def test_a_full_disk_is_named_and_loses_no_run(root, project, small_disk):
    chapter = project.chapter("one")
    first = run(project, chapter, {"rows": 1})
    before = contents(small_disk)
    with pytest.raises(UserError, match="01-one.*No space left on device") as caught:
        run(project, chapter, {"rows": 200_000})
    assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match="the page of .* was not made: No space left on device"):
        run_page(project, first)
    assert {path: contents(small_disk)[path] for path in before} == before
    assert not project.completion(run_name(chapter, {"rows": 200_000})).exists()
    assert run(project, chapter, {"rows": 2}).is_file()


def test_a_run_whose_last_words_found_no_room_says_so(project, file, small_disk):
    sweep = read(project, file)
    (small_disk / "logs").mkdir()
    for name in sweep.runs:
        run_log(project, name).touch()
    assert all("as if killed" in line for line in failures(project, sweep).values())
    with pytest.raises(OSError, match="No space left"):
        (small_disk / "rest").write_bytes(bytes(2**20))
    told = "stopped without a message, and no space is left for runs/, see runs/logs/"
    assert all(told in line for line in failures(project, sweep).values())
    with pytest.raises(UserError, match=r"sweep pairs: No space left on device"):
        gather(project, sweep)


@pytest.mark.slow
def test_a_cluster_that_is_not_there_is_an_error_of_one_line(root, file, tmp_path):
    done = command(root, "sweep", "pairs.yml", "--cluster", "nowhere")
    assert done.returncode == 1
    assert done.stderr.startswith(
        "error: cluster is 'nowhere', allowed is a folder with a Snakemake"
    )
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "workflow",
            "sweep",
            "pairs.yml",
            "--cluster",
            ROOT / "profiles/slurm",
        ],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "needs Slurm: sbatch and squeue cannot be found here" in done.stderr
    assert done.stderr.count("\n") == 1
