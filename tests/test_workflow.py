"""The runner, the gate and the graph, on a project of two tiny chapters."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

import nbformat
import pytest
from tiny_project import BODY, MISSING, ROOT, command, contents, write_chapter

from workflow import outcome
from workflow.__main__ import main
from workflow.files import run_record, write_json
from workflow.gate import problems
from workflow.graph import plan
from workflow.parameters import check, declared, from_text
from workflow.project import Project, UserError
from workflow.runner import execute
from workflow.site import repository_url, stage
from workflow.stamp import sources
from workflow.status import table


def pretend(project: Project, profile: str = "full") -> None:
    """Give every chapter a stamped notebook and a record, without any execution."""
    for chapter in project.chapters:
        given = project.parameters(profile).get(chapter.name, {})
        stamp = sources(project, chapter, given)
        notebook = nbformat.from_dict(chapter.notebook.copy())
        notebook.metadata["baq"] = stamp
        book = project.book(profile)
        results = book / "results" / chapter.name
        results.mkdir(parents=True, exist_ok=True)
        run = {"date": "2026-01-02", "minutes": 0.5, "threads": 1, "peak_memory_mib": 9, **stamp}
        (results / "run.json").write_text(json.dumps(run))
        path = book / f"{chapter.name}.ipynb"
        nbformat.write(notebook, path)
        shown = path.relative_to(project.root).as_posix()
        made = outcome.Outcome(chapter.name, shown, live=True, reason="", files="")
        write_json(project.record(profile, chapter.name), asdict(made))


# Parameters


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"row": 1}, "no parameter row: known are rows, rate, names, deep, weights, word"),
        ({"rows": 1.0}, "rows is 1.0, allowed is an int"),
        ({"rows": True}, "rows is True, allowed is an int"),
        ({"rows": "1"}, "rows is '1', allowed is an int (a string"),
        ({"rate": "1e-4"}, "rate is '1e-4', allowed is a finite float (a string"),
        ({"rate": float("nan")}, "rate is nan, allowed is a finite float"),
        ({"names": "a"}, "names is 'a', allowed is a list[str]"),
        ({"names": [1]}, "names is [1], allowed is a list[str]"),
        ({"weights": ["1e-3"]}, "weights is ['1e-3'], allowed is a list[float]"),
        ({"deep": 1}, "deep is 1, allowed is a bool"),
        ({"word": None}, "word is None, allowed is a str"),
    ],
)
def test_parameters_that_do_not_fit_are_named(project, given, told):
    with pytest.raises(UserError) as caught:
        check(project.chapter("one"), given)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


RULED = """\
rows: int = 2  # rows [1..9]
rate: float = 0.5  # a rate [0.001..1]
names: list[str] = ["a", "b"]  # names of tables [a | b | c]
deep: bool = False  # a switch
weights: list[float] = [1.0, 2.0]  # numbers [..3, two or more]
word: str = ""  # a word [x | '']
shown: int = 0  # which row [0..rows - 1]
"""


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"rows": 9, "names": ["c"], "weights": [3, 1], "word": "x", "rate": 1}, ""),
        ({"rows": 0}, "rows is 0, allowed is an int, 1..9"),
        ({"rate": 1e-300}, "rate is 1e-300, allowed is a finite float, 0.001..1"),
        ({"names": ["a", "a"]}, "['a', 'a'], allowed is a list[str], a | b | c, each once"),
        ({"names": []}, "names is [], allowed is a list[str], a | b | c, each once, one at least"),
        ({"weights": []}, "weights is [], allowed is a list[float], ..3, two or more, each once"),
        ({"weights": [2]}, "weights is [2.0], allowed is a list[float], ..3, two or more, each"),
        ({"names": ["d"]}, "names is ['d'], allowed is a list[str], a | b | c"),
        (
            {"weights": [1.0, 4.0]},
            "weights is [1.0, 4.0], allowed is a list[float], ..3, two or more",
        ),
        ({"weights": [1, 1]}, "weights is [1.0, 1.0], allowed"),
        ({"word": "y"}, "word is 'y', allowed is a str, x | ''"),
        ({"shown": 2}, "shown is 2, allowed is an int, 0..rows - 1"),
        ({"rows": 3, "shown": 2}, ""),
        ({"shown": 1, "rows": 1}, "shown is 1, allowed is an int, 0..rows - 1"),
    ],
)
def test_what_is_allowed_stands_beside_a_parameter(root, given, told):
    path = root / "notebooks" / "01-one.py"
    head, _, rest = path.read_text().partition("rows: int")
    path.write_text(head + RULED + rest.partition("# a word\n")[2])
    chapter = Project(root).chapter("one")
    if not told:
        assert check(chapter, given) == given
        return
    with pytest.raises(UserError) as caught:
        check(chapter, given)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("given", [["b"], ["b", "a"], [], ["a", "a"], ["c"]])
def test_a_list_may_be_a_choice_of_its_default(root, given):
    path = root / "notebooks" / "01-one.py"
    line = 'names: list[str] = ["a", "b"]  # '
    path.write_text(path.read_text().replace(f"{line}names of tables", f"{line}[some]"))
    chapter = Project(root).chapter("one")
    if given in (["b"], ["b", "a"]):
        assert check(chapter, {"names": given}) == {"names": given}
        return
    with pytest.raises(UserError, match="allowed is a list.str., a . b, each once, one at least"):
        check(chapter, {"names": given})


@pytest.mark.parametrize("given", [{"names": ["a", "a"]}, {"weights": [1.0, 1]}, {"names": []}])
def test_a_list_holds_each_value_once_and_one_at_least(project, given):
    with pytest.raises(UserError, match=r"allowed is a list.*, each once, one at least$"):
        check(project.chapter("one"), given)


def test_an_int_is_a_float_where_a_float_is_asked(project):
    found = check(project.chapter("01"), {"rate": 1, "weights": [1, 2.5]})
    assert repr(found) == "{'rate': 1.0, 'weights': [1.0, 2.5]}"


def test_declared_parameters_have_kind_default_and_comment(project):
    rate = declared(project.chapter("01-one"))["rate"]
    assert (rate.kind, rate.default, rate.comment) == ("float", 0.5, "a rate")


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("rows", "3", 3),
        ("rows", "010", 10),
        ("rows", "0123", 123),
        ("rows", "1:30", "1:30"),
        ("rate", "1e-4", 1e-4),
        ("weights", "[1e-4, 2]", [1e-4, 2]),
        ("word", "3", "3"),
        ("names", "[a]", ["a"]),
    ],
)
def test_command_line_values_are_read_by_their_kind(project, name, text, value):
    assert from_text(project.chapter("one"), name, text) == value


@pytest.mark.parametrize(
    ("cell", "told"),
    [
        ("import os", "'import os' is not of the form"),
        ("rows = 2", "'rows = 2' is not of the form"),
        ("rows: int | None = 2", "'rows: int | None = 2' is not of the form"),
        ("rows: int = 2\nrows: int = 3", "each name once"),
        ("rows: int = 2\nrows = rows + 1", "is not of the form"),
        ("rows: int = 2  # rows [1..many]", "rows has the rule '1..many', allowed are A..B"),
        ("rows: int = 2  # rows [even]", "rows has the rule 'even', allowed are A..B"),
        (
            'kinds: list[str] = ["a"]  # [some, 1..2]',
            "kinds is ['a'], allowed is a list[str], a, 1..2",
        ),
        ("rows: int = 2  # rows [3..]", "rows is 2, allowed is an int, 3.."),
        ("rows: int = 1 + len('a')", "is not a literal"),
        ("rows: int = 1.5", "rows is 1.5, allowed is an int"),
    ],
)
def test_a_parameters_cell_holds_annotated_literals_only(root, cell, told):
    path = root / "notebooks" / "01-one.py"
    path.write_text(path.read_text().replace("rows: int = 2  # rows of the table", cell))
    with pytest.raises(UserError, match="01-one") as caught:
        declared(Project(root).chapter("one"))
    assert told in str(caught.value)


def test_an_unknown_chapter_names_the_known_ones(root):
    done = command(root, "run", "three")
    assert done.returncode == 1
    assert done.stderr == "error: chapter is 'three', allowed are 01-one, 02-two\n"


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("requires: []", "requires: x", "baq.requires is 'x': Input should be a valid list"),
        ("minutes: 0.1", "minutes: -1", "baq.minutes is -1: Input should be greater than 0"),
        ("threads: 1", "threads: true", "baq.threads is True: Input should be a valid integer"),
        (", threads: 1", "", "baq.threads is {'requires': [], 'minutes': 0.1}: Field required"),
        ("baq: {", "bad: {", "baq.requires is {}: Field required"),
    ],
)
def test_a_header_that_is_wrong_is_named(root, old, new, told):
    path = root / "notebooks" / "01-one.py"
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(UserError) as caught:
        Project(root).chapter("one").header  # noqa: B018
    assert str(caught.value) == f"01-one.py: header entry {told}"


def test_a_chapter_that_is_not_in_the_contents_is_an_error(root):
    write_chapter(root, "03-three")
    with pytest.raises(UserError, match="03-three: in notebooks/ but not in _toc.yml"):
        Project(root).chapters  # noqa: B018


# Execution


def test_executing_twice_gives_equal_bytes_and_no_old_tables(root, project):
    chapter = project.chapter("one")
    tables = root / "book" / "results" / "01-one"
    tables.mkdir(parents=True)
    (tables / "old.csv").write_text("from another time\n")
    runs = []
    for _ in range(2):
        execute(project, chapter, {}, root / "book")
        runs.append(contents(root / "book"))
        runs[-1].pop("results/01-one/run.json")
    assert runs[0] == runs[1]
    assert sorted(path.name for path in tables.iterdir()) == ["a.csv", "b.csv", "run.json"]
    notebook = nbformat.read(root / "book" / "01-one.ipynb", as_version=4)
    assert notebook.metadata["baq"]["parameters"]["rows"] == 2
    assert notebook.cells[-1].outputs[0].data["text/plain"] == "<object>"
    run = json.loads((tables / "run.json").read_text())
    assert run["peak_memory_mib"] > 0
    assert run["source"] == notebook.metadata["baq"]["source"]


def test_a_run_may_fill_a_folder_that_it_was_given_and_change_no_file(root):
    kept = root / "kept"
    kept.mkdir()
    (kept / "old").write_text("1")
    given = {"word": str(kept)}
    write_chapter(
        root, "01-one", "from pathlib import Path\n(Path(word) / 'new').write_text('2')\n"
    )
    project = Project(root)
    execute(project, project.chapter("one"), given, root / "book")
    assert run_record(root / "book" / "01-one.ipynb")["files"].keys() == {
        str(kept / name) for name in ("old", "new")
    }
    write_chapter(
        root, "01-one", "from pathlib import Path\n(Path(word) / 'old').write_text('2')\n"
    )
    project = Project(root)
    with pytest.raises(UserError, match="its sources changed while it ran"):
        execute(project, project.chapter("one"), given, root / "book")


def test_a_failing_cell_keeps_the_last_good_notebook(root, project):
    pretend(project)
    before = contents(root / "book")
    write_chapter(root, "01-one", BODY + "raise ValueError('first\\nlast')\n")
    with pytest.raises(UserError, match=r"01-one cell 2/2: last \(see _build/failed/01-one"):
        execute(Project(root), Project(root).chapter("one"), {}, root / "book")
    assert contents(root / "book") == before
    failed = nbformat.read(root / "_build" / "failed" / "01-one.ipynb", as_version=4)
    assert any(o.output_type == "error" for c in failed.cells for o in c.get("outputs", []))


def test_a_killed_run_leaves_what_was_and_the_next_one_succeeds(root, project):
    pretend(project)
    before = contents(root / "book")
    write_chapter(root, "01-one", BODY + "import time\ntime.sleep(60)\n")
    child = subprocess.Popen(
        [sys.executable, "-m", "workflow", "execute", "one"],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.DEVNULL,
    )
    tables = root / "_build" / "work" / "book--01-one" / "results"
    deadline = time.monotonic() + 30
    while not (tables / "b.csv").exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    busy = command(root, "execute", "one")
    assert busy.stderr == "error: book--01-one is being executed by another process\n"
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert contents(root / "book") == before
    write_chapter(root, "01-one")
    execute(Project(root), Project(root).chapter("one"), {}, root / "book")
    assert not tables.exists()


def test_a_run_killed_between_two_renames_gets_its_tables_back(root, project):
    pretend(project)
    work = root / "_build" / "work" / "book--01-one"
    work.mkdir(parents=True)
    before = contents(root / "book")
    os.replace(root / "book" / "results" / "01-one", work / "previous")
    write_chapter(root, "01-one", "1 / 0\n")
    with pytest.raises(UserError, match="ZeroDivisionError"):
        execute(Project(root), Project(root).chapter("one"), {}, root / "book")
    assert contents(root / "book") == before


@pytest.mark.slow
def test_other_parameters_go_to_a_folder_of_their_own(root):
    (root / "given.yml").write_text("rows: 3\nword: y\n")
    done = command(root, "run", "one", "-y", "given.yml", "-p", "rows", "4")
    assert done.returncode == 0, done.stderr
    path, page = map(Path, done.stdout.split())
    assert path.parent.parent == root / "runs"
    assert "tag_injected-parameters" in page.read_text()
    assert (path.parent.parent / "_static").is_dir()
    assert (path.parent / "results" / "01-one" / "a.csv").read_text() == "i\n1\n1\n1\n1\n"
    stamp = nbformat.read(path, as_version=4).metadata["baq"]
    assert (stamp["parameters"]["rows"], stamp["parameters"]["word"]) == (4, "y")
    assert not (root / "book" / "01-one.ipynb").exists()


def test_a_parameter_is_given_once(root, monkeypatch, capsys):
    write_chapter(root, "01-one")
    monkeypatch.chdir(root)
    assert main(["run", "one", "-p", "rows", "3", "-p", "rows", "4"]) == 1
    assert capsys.readouterr().err == "error: -p gives rows more than once: allowed is once\n"
    assert not (root / "runs").exists()


# Data that cannot be had


def test_a_chapter_without_its_data_is_shown_as_recorded(root, project, monkeypatch):
    missing = {"photos": "photos cannot be had"}
    monkeypatch.setattr(Project, "missing_data", lambda self, names: missing)
    with pytest.raises(UserError, match="photos cannot be had, and there is no recorded notebook"):
        outcome.settle(project, project.chapter("two"), "full")
    pretend(project)
    before = contents(root / "book")
    found = outcome.settle(project, project.chapter("two"), "full")
    assert (found.live, found.reason) == (False, "photos cannot be had")
    assert contents(root / "book") == before
    assert problems(project, "full") == []
    page = nbformat.read(stage(project, "full") / "book" / "02-two.ipynb", as_version=4)
    assert (
        "Recorded on 2026-01-02, not re-executed here for want of data (photos)"
        in page.cells[0].source
    )
    assert "changed" not in page.cells[0].source
    write_chapter(root, "02-two", BODY + "1\n", requires="photos")
    page = nbformat.read(stage(Project(root), "full") / "book" / "02-two.ipynb", as_version=4)
    assert "source has changed since it was executed" in page.cells[0].source
    assert "02-two   recorded  2026-01-02  0.50" in table(project, "full")


# The gate


def test_the_gate_lets_a_sound_book_pass(project):
    pretend(project)
    assert problems(project, "full") == []
    pretend(project, "quick")
    assert problems(project, "quick") == []


def test_the_gate_refuses_what_was_not_executed(project):
    assert problems(project, "full") == [
        "01-one: not executed, run `make book`",
        "02-two: not executed, run `make book`",
    ]


def test_the_gate_refuses_a_missing_notebook(root, project):
    pretend(project)
    (root / "book" / "01-one.ipynb").unlink()
    assert problems(project, "full") == ["01-one: book/01-one.ipynb is missing"]


def test_the_gate_refuses_an_error_output(root, project):
    pretend(project)
    path = root / "book" / "02-two.ipynb"
    notebook = nbformat.read(path, as_version=4)
    error = nbformat.v4.new_output("error", ename="KeyError", evalue="a", traceback=[])
    notebook.cells[-1].outputs = [error]
    nbformat.write(notebook, path)
    assert problems(project, "full") == ["02-two: cell 2 has the error KeyError"]


def test_the_gate_refuses_a_stale_stamp(root, project):
    pretend(project)
    write_chapter(root, "01-one", BODY + "1\n")
    stale = ["01-one: its source has changed since it was executed"]
    assert problems(Project(root), "full") == stale


def test_a_chapter_is_stale_if_a_module_that_it_uses_has_changed_and_no_other(root):
    write_chapter(root, "01-one", "def f():\n    from baq.slices import pca_plane\n")
    write_chapter(root, "02-two", "import baq.machine\n")
    pretend(Project(root))
    (root / "baq" / "slices" / "new.py").write_text("")
    assert problems(Project(root), "full") == []
    used = root / "baq" / "inference.py"  # by baq.slices.label_maps
    used.write_text(used.read_text() + "\n")
    stale = ["01-one: baq has changed since it was executed"]
    assert problems(Project(root), "full") == stale
    init = root / "baq" / "slices" / "__init__.py"
    init.write_text(init.read_text() + "from baq.slices import new\n")
    assert problems(Project(root), "full") == stale
    machine = root / "baq" / "machine" / "__init__.py"
    machine.write_text(machine.read_text() + "\n")
    assert len(problems(Project(root), "full")) == 2


@pytest.mark.parametrize("path", ["protocols/answers.csv", "claims/X.yml"])
def test_a_chapter_is_stale_if_what_ships_with_the_package_has_changed(root, path):
    pretend(Project(root))
    (root / "book" / path).parent.mkdir(exist_ok=True)
    (root / "book" / path).write_text("1")
    assert "01-one: baq has changed since it was executed" in problems(Project(root), "full")


def test_nothing_is_imported_by_a_name_that_the_stamps_cannot_see():
    """But for what ``baq`` hands on, which it imports for type checkers as well."""
    words = ("import_module", "__import__", "spec_from_file", "runpy", "exec(")
    found = {p for p in (ROOT / "baq").rglob("*.py") if any(w in p.read_text() for w in words)}
    hand_on = {"__init__.py", "adapters/__init__.py"}
    users = {"adapters/classifiers.py", "adapters/packages.py"}  # what a user names, or installs
    assert found == {ROOT / "baq" / name for name in hand_on | users}


def test_the_gate_refuses_other_parameters_and_tables_of_another_run(root, project):
    pretend(project, "quick")
    (root / "workflow" / "quick.yml").write_text("01-one: {rows: 3}\n")
    assert problems(project, "quick") == ["01-one: it was executed with other parameters"]
    pretend(project)
    run = root / "book" / "results" / "01-one" / "run.json"
    run.write_text(json.dumps({**json.loads(run.read_text()), "source": "other"}))
    told = "01-one: its tables and its notebook come from different runs (source)"
    assert problems(project, "full") == [told]


# The graph and the site


@pytest.mark.parametrize(
    ("url", "page"),
    [
        ("https://github.com/a/b.git", "https://github.com/a/b"),
        ("https://user:secret@github.com/a/b", "https://github.com/a/b"),
        ("git@github.com:a/b.git", "https://github.com/a/b"),
        ("/srv/git/b", ""),
        ("", ""),
    ],
)
def test_the_repository_is_named_only_where_it_has_a_page(project, monkeypatch, url, page):
    monkeypatch.setenv("BAQ_REPOSITORY_URL", url)
    assert repository_url(project) == page


def jobs(root: Path) -> set[str]:
    """The chapters that would be executed now."""
    done = command(root, "book", "--dry-run")
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


@pytest.mark.slow
def test_a_book_is_made_once_and_then_what_has_changed(root):
    assert jobs(root) == {"01-one", "02-two", "render"}
    done = command(root, "book")
    assert done.returncode == 0, done.stderr
    assert "01-one   live" in done.stdout
    page = (root / "_build" / "html" / "book" / "01-one.html").read_text()
    assert "Executed on" in page
    assert jobs(root) == set()
    before = contents(root / "book")
    assert command(root, "book").returncode == 0
    assert contents(root / "book") == before

    source = root / "notebooks" / "01-one.py"
    good = source.read_text()
    source.write_text(good + "1\n")
    assert jobs(root) == {"01-one", "render"}
    source.write_text(good)
    (root / "book" / "intro.md").write_text("# Intro\n\nMore.\n")
    assert jobs(root) == {"render"}
    (root / "baq" / "zoo" / "data.py").write_text(MISSING + "# more\n")
    assert jobs(root) == {"01-one", "02-two", "render"}
    (root / "baq" / "zoo" / "data.py").write_text(MISSING)
    (root / "gone").write_text("photos")
    assert jobs(root) == {"02-two", "render"}
    (root / "gone").unlink()
    (root / "book" / "02-two.ipynb").unlink()
    assert jobs(root) == {"02-two", "render"}

    write_chapter(root, "01-one", "1 / 0\n")
    done = command(root, "book")
    assert done.returncode == 1
    assert "error: 01-one cell 2/2: ZeroDivisionError: division by zero" in done.stderr
    assert (root / "book" / "01-one.ipynb").read_bytes() == before["01-one.ipynb"]
    assert (root / "_build" / "html" / "book" / "01-one.html").read_text() == page
    assert jobs(root) == {"01-one", "render"}


@pytest.mark.slow
def test_what_is_stale_is_decided_by_content_and_never_by_time(root):
    assert command(root, "book").returncode == 0
    source = root / "notebooks" / "01-one.py"
    good, then = source.read_text(), time.time() - 86400

    def write(path, text):
        path.write_text(text)
        os.utime(path, (then, then))

    source.touch()
    (root / "book" / "intro.md").touch()
    assert jobs(root) == set()
    write(source, good.replace("rows: int = 2", "rows: int = 3"))
    assert jobs(root) == {"01-one", "render"}
    write(source, good)
    package = root / "baq" / "zoo" / "data.py"
    write(package, MISSING + "# more\n")
    assert jobs(root) == {"01-one", "02-two", "render"}
    write(package, MISSING)
    assert jobs(root) == set()
    page = root / "_build" / "html" / "book" / "01-one.html"
    write(page, page.read_text().replace("Executed on", "Done on"))
    assert jobs(root) == {"render"}
    assert command(root, "book").returncode == 0
    assert "Executed on" in page.read_text()
    page.unlink()
    write(root / "book" / "intro.md", "# Other\n")
    assert jobs(root) == {"render"}
    record = root / "_build" / "full" / "runs" / "01-one.json"
    for damaged in ("", "[]", '{"chapter": "01-one", "other": 1}'):
        record.write_text(damaged)
        assert jobs(root) == {"01-one", "render"}


def test_the_gate_refuses_a_notebook_that_was_edited(root, project, monkeypatch):
    monkeypatch.setattr(Project, "missing_data", lambda self, names: {})
    for chapter in project.chapters:
        outcome.settle(project, chapter, "full")
    assert problems(project, "full") == []
    path = root / "book" / "01-one.ipynb"
    path.write_text(path.read_text().replace("<object>", "<subject>"))
    told = "01-one: its notebook is not the one that was executed"
    assert problems(project, "full") == [told]


@pytest.mark.slow
def test_networks_that_are_missing_are_trained_where_their_data_can_be_had(root):
    path = root / "notebooks" / "01-one.py"
    loads = 'families: list[str] = ["cnn"]  # families\nseeds: int = 2  # seeds\nword: str'
    path.write_text(path.read_text().replace("word: str", loads))
    (root / "checkpoints").mkdir()
    (root / "checkpoints" / "cnn-0.safetensors").touch()
    assert jobs(root) == {"cnn-1", "01-one", "02-two", "render"}
    (root / "gone").write_text("cifar10")
    assert jobs(root) == {"01-one", "02-two", "render"}


def test_a_graph_that_cannot_be_made_says_why():
    with pytest.raises(UserError, match="^no plan: no space left$"):
        plan([sys.executable, "-c", "raise SystemExit('many\\nwords\\nno space left')"])


@pytest.mark.slow
def test_a_warning_keeps_the_last_site(root, project):
    pretend(project)
    site = root / "_build" / "html"
    site.mkdir(parents=True)
    (site / "index.html").write_text("old")
    for text, told in (
        ("{ref}`nowhere`", "error: book/intro.md:3: WARNING: undefined label: 'nowhere'"),
        ('<a href="gone.html">there</a>', "WARNING: book/intro.html: gone.html is no file"),
    ):
        (root / "book" / "intro.md").write_text(f"# Intro\n\n{text}\n")
        done = command(root, "render")
        assert done.returncode == 1
        assert told in done.stderr
        assert contents(site) == {"index.html": b"old"}


def test_a_given_list_of_data_sets_is_what_an_execution_requires(project):
    chapter = project.chapter("two")
    assert chapter.requires({}) == ["photos"]
    assert chapter.requires({"rows": 1}) == ["photos"]
    assert chapter.requires({"datasets": ["digits"]}) == ["digits"]


@pytest.mark.parametrize(("cores", "threads"), [(2, []), (8, ["threads: 2"] * 2)])
def test_chapters_get_a_core_each_where_together_they_take_longer_than_the_longest(
    root, cores, threads
):
    for path in (root / "notebooks").glob("*.py"):
        path.write_text(path.read_text().replace("threads: 1", "threads: 2"))
    plan = [sys.executable, "-m", "snakemake", "-n", "-c", str(cores), "--directory", str(root)]
    plan += ["--snakefile", str(ROOT / "workflow" / "Snakefile")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        plan, capture_output=True, text=True, cwd=root, env=environment, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = [line.strip() for line in (done.stdout + done.stderr).splitlines()]
    assert [line for line in found if line.startswith("threads:")] == threads
