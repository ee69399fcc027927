"""Pages show the tables of chapters: whole or some rows, summed up or wide, and say what is not there."""

import ast
from pathlib import Path

import pandas as pd
import pytest

from baq.report.excerpts import excerpt, read, results

ROOT = Path(__file__).parents[1]


@pytest.fixture
def tables(tmp_path, monkeypatch):
    """A folder of one chapter's tables, named to the page."""
    (tmp_path / "one").mkdir()
    monkeypatch.setenv("BAQ_TABLES", str(tmp_path))

    def save(name, **columns):
        pd.DataFrame(columns).to_csv(tmp_path / "one" / f"{name}.csv", index=False)

    return save


def lines(shown):
    return shown.data.splitlines()


def test_rows_are_chosen_by_the_first_column(tables):
    tables("choices", choice=["as above", "ReLU", "other"], D1=[0.5, 1.0, None])
    assert lines(excerpt("one/choices", ["as above", "other"])) == [
        "| choice | D1 |",
        "| --- | --- |",
        "| as above | 0.500 |",
        "| other | – |",
    ]


def test_a_row_a_measure_becomes_a_column_a_measure_in_the_order_of_the_table(tables):
    tables(
        "summary",
        choice=["b", "a", "b"],
        measure=["jaccard", "jaccard", "A"],
        median=[0.2, 0.123456, 3],
        lo=[0.1, 0, 2],
        hi=[0.3, 1, 4],
        count=5,
    )
    assert lines(excerpt("one/summary")) == [
        "| choice | Jaccard distance J | A |",
        "| --- | --- | --- |",
        "| b | 0.200 [0.100, 0.300] | 3 [2, 4] |",
        "| a | 0.123 [0.000, 1.000] | – |",
    ]


def test_seeds_are_summed_up_with_headings(tables):
    tables("path", setting=["a", "a", "b"], bits=4, flip_rate=[0.2, 0.4, 0.5], other=1)
    columns = {"setting": "setting", "bits": "bits per weight", "flip_rate": "flips"}
    found = excerpt("one/path", columns=columns, by=("setting", "bits"))
    assert lines(found) == [
        "| setting | bits per weight | flips, % |",
        "| --- | --- | --- |",
        "| a | 4 | 30.0 [20.0, 40.0] |",
        "| b | 4 | 50.0 [50.0, 50.0] |",
    ]


def test_what_is_not_there_is_said(tables, monkeypatch, tmp_path):
    assert read("one/none") is None
    assert lines(excerpt("one/none")) == ["*The table one/none has not been made yet.*"]
    monkeypatch.delenv("BAQ_TABLES")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match="set BAQ_TABLES to the folder of the tables"):
        results()


def test_the_rows_that_choices_name_are_in_the_books_table():
    path = ROOT / "book" / "results" / "02-slice-geometry" / "choices.csv"
    source = ast.parse((ROOT / "notebooks" / "choices.py").read_text("utf-8"))
    named = set()
    for node in ast.walk(source):
        of = getattr(node, "targets", [getattr(node, "target", None)])[0]
        if isinstance(of, ast.Name) and of.id in ("QUANTIZER", "NETWORKS", "SLICES"):
            named |= set(ast.literal_eval(node.value))
    table = pd.read_csv(path)
    assert {"as chosen", "ReLU", "one-sided masks"} <= named <= set(table["choice"])
