"""The tables in the repository are those that their chapters wrote, and write again."""

import io
import json
import shutil
from pathlib import Path

import nbformat
import pandas as pd
import pytest

from baq.report.answers import collect, judged
from baq.report.claims import claims
from baq.report.differences import differences, side_by_side
from baq.zoo import data
from workflow.compare import verify_chapter
from workflow.project import Project
from workflow.stamp import tables_of

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "book" / "results"
FOLDERS = {path.parent.name: path.parent for path in sorted(RESULTS.glob("*/run.json"))}


@pytest.mark.parametrize("name", FOLDERS)
def test_no_table_was_changed_after_its_chapter_wrote_it(name):
    run = json.loads((FOLDERS[name] / "run.json").read_text("utf-8"))
    assert run["tables"] == tables_of(FOLDERS[name]), "execute the chapter, do not edit its tables"


def test_a_changed_value_is_noticed(tmp_path):
    name = next(iter(FOLDERS))
    copy = tmp_path / name
    shutil.copytree(FOLDERS[name], copy)
    table = pd.read_csv(copy / "by-seed.csv")
    table.loc[3, "accuracy"] += 0.002
    table.to_csv(copy / "by-seed.csv", index=False, float_format="%.6g")
    assert tables_of(copy) != tables_of(FOLDERS[name])


def test_the_table_of_claims_follows_from_those_of_the_chapters():
    path = RESULTS / "claims" / "verdicts.csv"
    if not path.is_file():
        pytest.skip("the book has not been rendered yet")
    written = pd.read_csv(path, dtype={"paper": str, "part": str})
    assert written["claim"].drop_duplicates().tolist() == list(claims())
    assert written["chapter"].map(lambda name: name in FOLDERS).any()
    text = io.StringIO(
        judged(collect(RESULTS)).to_csv(index=False)
    )  # None and "" become empty cells
    again = pd.read_csv(text, dtype={"paper": str, "part": str})
    pd.testing.assert_frame_equal(written, again, check_dtype=False, rtol=1e-5)


@pytest.mark.parametrize("path", sorted((ROOT / "book").glob("[0-9]*.ipynb")), ids=lambda p: p.stem)
def test_no_warning_is_published(path):
    for cell in nbformat.read(path, as_version=4).cells:
        for output in cell.get("outputs", []):
            assert output.get("name") != "stderr", output["text"]


def test_controls_are_what_they_must_be():
    path = RESULTS / "02-slice-geometry" / "controls.csv"
    if not path.is_file():
        pytest.skip("the chapter with the controls has not been executed yet")
    pairs = dict(list(pd.read_csv(path).groupby("pair")))
    measures = ["jaccard", "flip_rate", "band_flip_rate", "grid_change", "shift"]
    assert (pairs["float against itself"][measures] == 0).all(axis=None)
    assert (pairs["another training"][measures] > 0).any(axis=0).all()
    guessed = pairs["shuffled labels, 8 bits"]["accuracy"]
    assert abs(guessed.mean() - 0.1) < 0.05, "ten classes: guessing is right one time in ten"


@pytest.fixture
def checkout(tmp_path):
    """What it takes to execute a chapter anew, away from the working tree."""
    for folder in ("baq", "book/claims", "book/results", "notebooks"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    shutil.copy(ROOT / "_toc.yml", tmp_path)
    return Project(tmp_path)


@pytest.mark.slow
@pytest.mark.skipif(bool(data.missing(["digits"])), reason="digits are not here")
def test_the_first_seeds_come_out_as_recorded(checkout):
    name = "01-local-geometry"
    assert verify_chapter(checkout, checkout.chapter(name), {"seeds": 2}) == []
    path = checkout.root / "book" / "results" / name / "by-seed.csv"
    table = pd.read_csv(path)
    column = table.columns[table.dtypes.eq("float64")][-1]
    table.loc[table["seed"] == 1, column] += 1
    table.to_csv(path, index=False)
    made = checkout.build / "verify" / "results" / name
    (found,) = differences(path.parent, made, part=True)
    assert found.startswith(f"by-seed.csv: {column} in row ")


def tables(folder, **columns):
    folder.mkdir(exist_ok=True)
    pd.DataFrame(columns).to_csv(folder / "a.csv", index=False)
    return folder


@pytest.mark.parametrize(
    ("before", "after", "close"),
    [
        (0.5, 0.5099, True),
        (0.009, 0.0, False),
        (0.0001, 0.001, True),
        (0.5, 0.55, False),
        (100.0, 104.9, True),
        (30, 32, True),
        (30, 33, False),
        (0, 1, False),
        ("cnn-1", "cnn-1", True),
        ("cnn-1", "cnn-2", False),
        (None, 0.5, False),
        (None, None, True),
    ],
)
def test_values_agree_within_the_tolerance(tmp_path, before, after, close):
    other = 50 if isinstance(before, int) and before > 1 else 0.25
    old = tables(tmp_path / "old", a=[other, before])
    new = tables(tmp_path / "new", a=[other, after])
    assert (differences(old, new) == []) is close


@pytest.mark.parametrize("name", FOLDERS)
def test_small_values_set_to_zero_are_found(tmp_path, name):
    for path in FOLDERS[name].glob("*.csv"):
        table = pd.read_csv(path)
        for column in table.select_dtypes("float"):
            small = (table[column].abs() < 0.0099) & (table[column] != 0)
            if not small.any() or any(word in column for word in ("second", "minute", "time")):
                continue
            old = tables(tmp_path / "old", **{column: table[column]})
            new = tables(tmp_path / "new", **{column: table[column].mask(small, 0)})
            assert differences(old, new), (path.name, column)


def test_other_shapes_and_lacking_tables_differ_and_times_do_not(tmp_path):
    old = tables(tmp_path / "old", a=[1.5, 2.5], minutes=[1.0, 2.0])
    new = tables(tmp_path / "new", a=[1.5, 2.5], minutes=[9.0, 9.0])
    assert differences(old, new) == []
    assert differences(old, tables(tmp_path / "one", a=[1.5], minutes=[1.0])) == [
        "a.csv: has (1, 2) rows and columns, or other names, in place of (2, 2)"
    ]
    (tmp_path / "none").mkdir()
    assert differences(old, tmp_path / "none") == ["a.csv is not in both"]
    assert differences(old, tmp_path / "none", part=True) == []


MAPS = {"map": ["8 bits"] * 3, "row": [8, 8, 9], "first": [0, 40, 0], "last": [39, 99, 99]}


@pytest.mark.parametrize("column", ["row", "label"])
def test_names_that_are_numbers_are_equal_or_not(tmp_path, column):
    old = MAPS | {"label": [3, 5, 5]}
    new = old | {column: [k + 1 for k in old[column]]}
    recorded, made = tables(tmp_path / "old", **old), tables(tmp_path / "new", **new)
    assert differences(recorded, recorded) == []
    (found,) = differences(recorded, made)
    assert found.startswith(f"a.csv: {column} in row 0 is")


def test_a_column_that_only_sounds_like_time_is_compared(tmp_path):
    for name, told in (("sometimes", 1), ("seconds_median", 0), ("minutes", 0), ("time", 0)):
        recorded = tables(tmp_path / "old", **{name: [0.5]})
        assert len(differences(recorded, tables(tmp_path / "new", **{name: [0.9]}))) == told


@pytest.mark.parametrize(
    ("old", "new", "count"),
    [
        (MAPS | {"label": [3, 5, 5]}, MAPS | {"label": [3, 5, 7]}, 1),
        ({"row": [8, 8], "j": [1, 2]}, {"row": [8, 8], "j": [1, 3]}, 1),
        ({"#": [8, 8], "j": [1, 2]}, {"#": [8, 8], "j": [1, 3]}, 1),
        ({"bits": [8, 6], "share": [0.1, 0.2]}, {"bits": [8, 5], "share": [0.1, 0.2]}, 2),
        ({"bits": [8, 8]}, {"bits": [8, 8]}, 0),
        ({"t": ["0", "0.5"], "j": [1, 2]}, {"t": ["0.0", "0.50"], "j": [1, 2]}, 0),
    ],
)
def test_rows_of_any_table_are_put_side_by_side(tmp_path, old, new, count):
    folders = {"a": tables(tmp_path / "old", **old), "b": tables(tmp_path / "new", **new)}
    assert len(side_by_side(folders, "a")) == count


def test_the_words_of_a_sentence_are_compared_and_not_its_numbers(tmp_path):
    def differ(before, after):
        for name, text in (("old", before), ("new", after)):
            (tmp_path / name).mkdir(exist_ok=True)
            table = pd.DataFrame({"claim": ["C2"], "result": [text]})
            table.to_csv(tmp_path / name / "experiments.csv", index=False)
        return differences(tmp_path / "old", tmp_path / "new")

    text = "At 6 bits it is 0.048 [-0.03, 6e-05], 12.5% of all; it lies outside."
    assert not differ(text, text.replace("0.048", "0.0481").replace("12.5%", "1%"))
    assert "result in row 0" in differ(text, text.replace("outside", "inside"))[0]
