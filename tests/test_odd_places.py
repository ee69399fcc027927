"""The workflow where its surroundings are odd: streams, folders, environments, others' files."""

import json
import os
import subprocess
import sys
import time

import pytest
from tiny_project import BODY, ROOT, command, contents, mounted, write_chapter

from workflow.compare import compare_runs
from workflow.project import Project, UserError
from workflow.runner import execute
from workflow.sweep import read

pytestmark = pytest.mark.slow  # nearly all of them start processes
FIGURE = """\
import matplotlib.pyplot as plt
_, axes = plt.subplots()
axes.plot([0, 1], [0, 1], label="a")
axes.legend()
plt.show()
"""


def shell(root, line, **variables):
    """A command line in a checkout, ``workflow`` standing for the command."""
    line = line.replace("workflow", f"{sys.executable} -m workflow", 1)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **variables}
    return subprocess.run(
        line, shell=True, cwd=root, env=environment, capture_output=True, text=True, check=False
    )


# Streams


@pytest.mark.parametrize("what", ["table", "book --dry-run", "run one --help", "--help"])
def test_a_full_output_is_told_in_one_line(root, what):
    done = shell(root, f"workflow {what} >/dev/full")
    assert (done.returncode, done.stderr) == (1, "error: No space left on device\n")


def test_closed_streams_are_no_files_of_ours(root):
    done = shell(root, "workflow run one --no-page <&- >&- 2>&-")
    assert done.returncode == 0
    assert [path.name for path in (root / "runs").glob("01-one-*")]
    for path in root.rglob("*.lock"):
        assert path.read_text().strip().isdigit()


# Folders


def test_a_file_in_place_of_the_build_folder_is_named(root):
    (root / "_build").write_text("mine")
    for what in ("book", "book -n", "run one"):
        done = command(root, *what.split())
        assert done.returncode == 1
        assert done.stderr.startswith("error: ") and "_build" in done.stderr
        assert done.stderr.count("\n") == 1, done.stderr
    assert (root / "_build").read_text() == "mine"


@pytest.mark.parametrize("options", ["size=8k", "size=1m,ro", "size=100k", "size=400k"])
def test_a_build_folder_without_room_is_told_in_lines(root, options):
    with mounted(root / "_build", options):
        for what in ("book", "book -n", "run one"):
            done = command(root, *what.split())
            if what == "book" or "ro" in options:
                assert done.returncode == 1
                assert "error: " in done.stderr
            lines = [line for line in done.stderr.splitlines() if line.startswith(("Trace", "  "))]
            assert not lines, done.stderr
            assert "Traceback" not in done.stderr
        assert not list((root / "book").glob("*.part"))
    assert not (root / "_build" / "html").exists()


def test_only_a_dead_kernels_last_words_are_shown(root):
    # To what the parent gave it, where the kernel's log goes too.
    aloud = "import sys\nprint('aloud', file=sys.__stderr__, flush=True)\n"
    write_chapter(root, "01-one", aloud + BODY)
    done = command(root, "execute", "one")
    assert done.returncode == 0
    assert "aloud" not in done.stderr
    abort = "import faulthandler, os, sys\nfaulthandler.enable(sys.__stderr__)\nos.abort()\n"
    write_chapter(root, "01-one", abort)
    done = command(root, "execute", "one")
    assert done.returncode == 1
    assert "Fatal Python error: Aborted" in done.stderr
    assert done.stderr.splitlines()[-1].startswith("error: 01-one cell 2/2: the kernel died")


def test_a_path_may_hold_braces_and_blanks(root, tmp_path_factory):
    odd = tmp_path_factory.mktemp("odd") / "a {x} b"
    root.rename(odd)
    done = command(odd, "book", "--dry-run")
    assert (done.returncode, done.stderr) == (0, "")
    assert set(done.stdout.split()) == {"01-one", "02-two", "render"}
    odd.rename(root)


# Environments


def test_nothing_of_the_users_environment_gets_into_a_chapter(root, tmp_path):
    warns = "import warnings\nimport seaborn\nwarnings.warn('odd', stacklevel=1)\n"
    write_chapter(root, "01-one", warns + FIGURE + BODY)
    (tmp_path / "users").mkdir()
    (tmp_path / "users" / "seaborn.py").write_text("raise ImportError('of the user')\n")
    home = tmp_path / "home"
    spec = home / ".local" / "share" / "jupyter" / "kernels" / "python3" / "kernel.json"
    spec.parent.mkdir(parents=True)
    spec.write_text(json.dumps({"argv": ["/bin/false"], "display_name": "x", "language": "python"}))
    profile = home / ".ipython" / "profile_default" / "startup"
    profile.mkdir(parents=True)
    (profile / "00.py").write_text("print('hello')")
    style = home / "matplotlibrc"
    style.write_text(
        "font.family: serif\nlines.linewidth: 5\ntext.usetex: True\nsvg.fonttype: none\n"
    )
    assert shell(root, "workflow execute one").returncode == 0
    before = contents(root / "book")
    long = tmp_path / ("t" * 90)
    long.mkdir()
    done = shell(
        root,
        "workflow execute one",
        HOME=str(home),
        MATPLOTLIBRC=str(style),
        MPLCONFIGDIR=str(tmp_path / "gone"),
        IPYTHONDIR=str(home / ".ipython"),
        JUPYTER_PATH=str(home / ".local" / "share" / "jupyter"),
        TMPDIR=str(long),
        OMP_SCHEDULE="dynamic",
        TORCH_LOGS="all",
        COLUMNS="20",
        BAQ_CHECKPOINTS="elsewhere",
        PYTHONPATH=os.pathsep.join((str(ROOT), str(tmp_path / "users"))),
    )
    assert done.returncode == 0, done.stderr
    after = contents(root / "book")
    for found in (before, after):
        found.pop("results/01-one/run.json")
    assert after == before


def test_a_relative_folder_of_data_is_the_same_for_a_chapter(root):
    body = "import os\nfrom pathlib import Path\n"
    body += "Path(os.environ['BAQ_RESULTS'], 'a.csv').write_text(os.environ['BAQ_DATA'])\n"
    write_chapter(root, "01-one", body)
    for place, told in (("some/data", root / "some" / "data"), ("~/data", root / "data")):
        done = shell(root, "workflow execute one", BAQ_DATA=place, HOME=str(root))
        assert done.returncode == 0, done.stderr
        assert (root / "book" / "results" / "01-one" / "a.csv").read_text() == str(told)


# What a chapter holds


def test_a_figure_that_was_recorded_must_be_there_again(root, project):
    write_chapter(root, "01-one", FIGURE + BODY)
    execute(project, project.chapter("one"), {}, root / "book")
    before = contents(root / "book")
    # The same cell, which draws no more: as with a backend that shows nothing.
    (root / "baq" / "__init__.py").write_text("import matplotlib.pyplot as p\np.show = p.close\n")
    path = root / "notebooks" / "01-one.py"
    path.write_text(path.read_text().replace("# %%\nimport", "# %%\nimport baq\n\n# %%\nimport"))
    project = Project(root)
    with pytest.raises(UserError, match="^01-one cell 3: the recorded figure is missing$"):
        execute(project, project.chapter("one"), {}, root / "book")
    assert contents(root / "book") == before
    write_chapter(root, "01-one", BODY)  # a figure that is no longer wanted
    execute(Project(root), Project(root).chapter("one"), {}, root / "book")


@pytest.mark.parametrize("word", ["copy", "cd", "ls", "cat", "man", "time", "who"])
def test_a_comment_is_no_command(root, word):
    body = f"# {word} of the weights\n{BODY}# {word}\n# %matplotlib inline\n"
    write_chapter(root, "01-one", body)
    code = Project(root).chapter("one").notebook.cells[-1].source
    assert code == body.strip()


@pytest.mark.parametrize("value", [2**31, 2**70, -(2**70)])
def test_no_int_is_beyond_all_loops(root, value):
    done = command(root, "run", "one", "-p", "rows", str(value))
    assert (done.returncode, done.stdout) == (1, "")
    told = f"error: 01-one: rows is {value}, allowed is an int, below 2^31 in size\n"
    assert done.stderr == told


# Runs and sweeps


def sweep_file(path, table="a", rows="[1, 2]"):
    path.parent.mkdir(exist_ok=True)
    path.write_text(
        f"chapter: one\ngiven: {{names: [a]}}\ngrid: {{rows: {rows}}}\ntable: {table}\n"
    )
    return path


def test_two_sweeps_of_one_name_do_not_share_a_table(root):
    first = sweep_file(root / "x" / "rows.yml", rows="[1]")
    other = sweep_file(root / "y" / "rows.yml", rows="[2]")
    assert command(root, "sweep", str(first)).returncode == 0
    before = contents(root / "runs")
    done = command(root, "sweep", str(other))
    told = "runs/sweeps/rows is that of x/rows.yml, allowed: a new name"
    assert done.returncode == 1 and done.stderr == f"error: sweep {other}: {told}\n"
    assert contents(root / "runs") == before
    first.rename(root / "x" / "moved.yml")
    assert read(Project(root), other).name == "rows"


def test_an_unknown_table_is_told_before_anything_runs(root):
    tables = root / "book" / "results" / "01-one"
    tables.mkdir(parents=True)
    (tables / "a.csv").write_text("i\n1\n")
    path = sweep_file(root / "s" / "rows.yml", table="b")
    done = command(root, "sweep", str(path))
    assert done.stderr == f"error: sweep {path}: table is 'b', allowed are a\n"
    assert not (root / "runs").exists()


def test_a_failed_sweep_names_no_page_of_all_runs(root):
    write_chapter(root, "01-one", BODY + "1 / (rows - 1)\n")
    done = command(root, "sweep", str(sweep_file(root / "s" / "rows.yml")))
    assert (done.returncode, done.stdout) == (1, "")
    assert "error: sweep rows: 1 of 2 runs to do, the others are in runs/sweeps/rows" in done.stderr
    assert "error: the sweep rows was not made, see above" in done.stderr
    assert "sweep rows  done" not in done.stderr


@pytest.mark.parametrize(
    "text", ['{"minutes": "long"}', '{"parameters": 5}', "[1]", '{"minutes": null}']
)
def test_a_damaged_record_is_no_record(root, text):
    results = root / "book" / "results" / "01-one"
    results.mkdir(parents=True)
    (results / "run.json").write_text(text)
    done = command(root, "run", "one", "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert "should take about 0.1 min" in done.stdout


def test_a_record_of_other_types_is_made_anew(root):
    record = root / "_build" / "full" / "runs" / "01-one.json"
    record.parent.mkdir(parents=True)
    good = {"chapter": "01-one", "notebook": "book/01-one.ipynb", "live": True, "reason": ""}
    for bad in ({"notebook": 5}, {"live": "perhaps"}, {"files": None}, {"reason": ["x"]}):
        record.write_text(json.dumps(good | {"files": ""} | bad))
        done = command(root, "book", "--dry-run")
        assert (done.returncode, done.stderr) == (0, "")
        assert "01-one" in done.stdout.split()
        assert "01-one   not executed" in command(root, "table").stdout


def test_a_run_that_another_process_makes_is_waited_for(root):
    write_chapter(root, "01-one", BODY + "import time\ntime.sleep(3)\n")
    begun = time.monotonic()
    child = subprocess.Popen(
        [sys.executable, "-m", "workflow", "run", "one", "--no-page"],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    while not list((root / "runs").glob(".work/*.lock")):
        assert time.monotonic() < begun + 60
        time.sleep(0.05)
    done = command(root, "run", "one", "--no-page")
    assert done.returncode == 0, done.stderr
    assert "is being executed by another process, waiting for it" in done.stderr
    assert "cell" not in done.stderr.replace("waiting", ""), "it was made once"
    assert child.communicate()[0] == done.stdout


def test_the_plan_of_many_runs_takes_no_minutes(root, project):
    path = sweep_file(root / "s" / "rows.yml", rows=str(list(range(1, 2001))))
    begun = time.monotonic()
    assert len(read(project, path).runs) == 2000
    # It took 18 ms a run; the bound is for machines ten times slower than where it takes 0.3.
    assert time.monotonic() - begun < 10


# Others' files


@pytest.mark.parametrize(
    ("profile", "told"),
    [
        ({"config.yaml": ""}, "config.yaml: allowed are lines of the form name: value"),
        ({"config.yaml": "cluster: qsub\n"}, "has cluster, which this Snakemake does not know"),
        ({"config.yaml": 'cluster: "qsub {threads}"\njobs: 1'}, "has cluster, which this"),
        ({"config.yaml": "jobs: [\n"}, "config.yaml: line 2: "),
        ({"config.yaml": "jobs: many\n"}, "no plan: "),
        ({}, "allowed is a folder with a Snakemake profile"),
    ],
)
def test_what_is_wrong_with_a_profile_is_told_in_one_line(root, profile, told):
    folder = root / "profile"
    folder.mkdir()
    for name, text in profile.items():
        (folder / name).write_text(text)
    done = command(root, "book", "--cluster", "profile")
    assert done.returncode == 1
    assert told in done.stderr and done.stderr.count("\n") == 1


def test_a_profile_for_this_snakemake_alone_is_taken(root):
    (root / "profile").mkdir()
    (root / "profile" / "config.v8+.yaml").write_text("jobs: 1\n")
    done = command(root, "book", "--dry-run", "--cluster", "profile")
    assert set(done.stdout.split()) == {"01-one", "02-two", "render"}


@pytest.mark.parametrize("text", ["", "[]", "null", "{}", '{"parameters": []}', "\x00"])
def test_a_record_of_others_is_named(root, project, text):
    folders = [root / "runs" / name for name in "ab"]
    for folder in folders:
        (folder / "results" / "01-one").mkdir(parents=True)
        (folder / "results" / "01-one" / "run.json").write_text(text)
    with pytest.raises(UserError, match="run.json: .* is .*, it was not written here$"):
        compare_runs(project, folders)


def test_a_table_without_columns_is_named(root, project):
    folders = []
    for name in "ab":
        tables = root / "runs" / name / "results" / "01-one"
        tables.mkdir(parents=True)
        (tables / "a.csv").write_text("")
        record = {"source": "s", "package": "p", "processor": "c", "minutes": 1}
        (tables / "run.json").write_text(json.dumps(record | {"parameters": {}, "versions": {}}))
        folders.append(root / "runs" / name)
    with pytest.raises(UserError, match=r"a\.csv: No columns to parse from file$"):
        compare_runs(project, folders, "a")
