"""Tables go where the runner wants them, whole and with six digits, and nowhere else."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from baq.report import columns, tables
from baq.report.stats import summarize

FRAME = pd.DataFrame({"bits": [8, 4], "jaccard": [1 / 3, 2e-7]})


def test_nothing_is_written_by_hand(tmp_path, monkeypatch):
    monkeypatch.delenv("BAQ_RESULTS", raising=False)
    monkeypatch.chdir(tmp_path)
    tables.save(FRAME, "name")
    assert not list(tmp_path.iterdir())


def test_a_saved_table_reads_back(tmp_path, monkeypatch):
    monkeypatch.setenv("BAQ_RESULTS", str(tmp_path))
    tables.save(FRAME, "by-bits")
    assert (tmp_path / "by-bits.csv").read_text() == "bits,jaccard\n8,0.333333\n4,2e-07\n"


@pytest.mark.parametrize("name", ["", "../up", "a b", "a.csv"])
def test_other_names_are_refused(name):
    with pytest.raises(ValueError, match="allowed are letters, digits and hyphens"):
        tables.save(FRAME, name)


def test_a_shown_table_is_equal_for_equal_content(tmp_path, monkeypatch):
    monkeypatch.setenv("BAQ_RESULTS", str(tmp_path))
    first, second = (tables.show(FRAME, "shown", precision=2).to_html() for _ in range(2))
    assert first == second
    assert ">0.333<" in first and ">Jaccard distance J<" in first
    assert (tmp_path / "shown.csv").exists()


def test_a_summary_is_spread_out_under_headings():
    frame = pd.DataFrame({"bits": [8, 8, 4, 4], "j": [0.25, 0.25, 0.0, 1.0], "k": 1.0})
    summary = summarize(frame, ["bits"], ["j", "k"])
    wide = tables.interval_table(summary, ["bits"], precision=2, headings={"j": "J"})
    assert wide.to_dict("list") == {"bits": [8, 4], "J": ["0.25 [0.25, 0.25]", "0.50 [0.00, 1.00]"]}


def test_columns_of_no_text_are_saved_and_not_shown(tmp_path, monkeypatch):
    monkeypatch.setenv("BAQ_RESULTS", str(tmp_path))
    shown = tables.show(FRAME.assign(setting=""), "shown").to_html()
    assert "setting" not in shown and "Jaccard" in shown
    assert "setting" in (tmp_path / "shown.csv").read_text()


def test_an_interval_table_follows_an_order():
    frame = pd.DataFrame({"name": ["b", "a", "c"], "j": [0.0, 0.5, 1.0]})
    summary = summarize(frame, ["name"], ["j"])
    form = {"precision": 1, "headings": {"j": "J"}}
    wide = tables.interval_table(summary, ["name"], order=["c", "a"], **form)
    assert wide["name"].tolist() == ["c", "a"]
    assert wide["J"].tolist() == ["1.0 [1.0, 1.0]", "0.5 [0.5, 0.5]"]
    with pytest.raises(ValueError, match="no estimate of d"):
        tables.interval_table(summary, ["name"], order=["c", "d"], **form)
    with pytest.raises(ValueError, match="no estimate of i"):
        tables.interval_table(summary, ["name"], headings={"i": "I"})


def test_intervals_are_shown_as_text_and_saved_as_numbers(tmp_path, monkeypatch):
    monkeypatch.setenv("BAQ_RESULTS", str(tmp_path))
    frame = pd.DataFrame({"bits": [8, 8, 4, 4], "j": [0.0, 0.5, 0.25, 0.75]})
    summary = summarize(frame, ["bits"], ["j"])
    shown = tables.show_intervals(summary, "j-by-bits", "bits", {"j": "J"}, 3).to_html()
    assert "0.250 [0.000, 0.500]" in shown and ">J<" in shown
    saved = pd.read_csv(tmp_path / "j-by-bits.csv")
    pd.testing.assert_frame_equal(saved, summary, check_dtype=False, rtol=1e-5)


def test_measures_of_the_comparison_have_headings_of_their_own():
    frame = pd.DataFrame({"bits": [8, 4], "jaccard": [0.5, 0.6], "flip_rate": [0.1, 0.2]})
    summary = summarize(frame, ["bits"], ["jaccard", "flip_rate"])
    shown = tables.show_intervals(summary, "by-bits", "bits", ["flip_rate", "jaccard"]).to_html()
    assert shown.index(">flip rate, %<") < shown.index(">Jaccard distance J<")


def test_an_estimate_shows_what_it_has():
    nan = float("nan")
    assert tables.interval_text(0.5, 0.25, 1, 2) == "0.50 [0.25, 1.00]"
    assert tables.interval_text(0.5, -0.25, 1, 2, signed=True) == "+0.50 [-0.25, +1.00]"
    assert tables.interval_text(0.5, nan, nan, 2) == "0.50"
    assert tables.interval_text(nan, nan, nan) == "–"


TIDY = pd.DataFrame(
    [("b", 4, "A", 0.5), ("b", 4, "flips", 1), ("a", 8, "flips", 0.25)],
    columns=["set", "bits", "measure", "median"],
).assign(lo=0.0, hi=1.0)


def test_an_interval_table_keeps_the_order_and_marks_what_lacks():
    wide = tables.interval_table(TIDY, ["set", "bits"], "measure", precision=2)
    assert wide.to_dict("split", index=False) == {
        "columns": ["set", "bits", "A", "flips"],
        "data": [
            ["b", 4, "0.50 [0.00, 1.00]", "1.00 [0.00, 1.00]"],
            ["a", 8, "–", "0.25 [0.00, 1.00]"],
        ],
    }
    assert list(tables.interval_table(TIDY[:0], ["set"], "measure")) == ["set"]


def test_two_estimates_for_a_cell_are_refused():
    with pytest.raises(ValueError, match=r"\('b',\) has flips twice"):
        tables.interval_table(pd.concat([TIDY, TIDY[1:2]])[1:], ["set"], "measure")


def test_interval_columns_stand_beside_their_keys():
    frame = pd.DataFrame({"k": [1], "q": [0.5], "q_lo": [0.0], "q_hi": [1.0], "other": [3]})
    shown = tables.interval_columns(frame, ["k"], {"q": "quotient"}, 1)
    assert shown.to_dict("records") == [{"k": 1, "quotient": "0.5 [0.0, 1.0]"}]


def test_a_styled_table_is_not_saved(tmp_path, monkeypatch):
    monkeypatch.setenv("BAQ_RESULTS", str(tmp_path))
    assert tables.styled(FRAME, "name").to_html() == tables.show(FRAME, "name").to_html()
    (tmp_path / "name.csv").unlink()
    tables.styled(FRAME, "name")
    assert not list(tmp_path.iterdir())


@given(st.floats(-1e9, 1e9), st.integers(1, 6))
def test_a_number_keeps_its_digits_and_shows_no_exponent(value, digits):
    text = columns.number(value, digits)
    assert "e" not in text and "nan" not in text
    if abs(value) >= 1e-4:
        written = float(text.replace(",", ""))
        assert written == pytest.approx(value, rel=0.51 * 10.0 ** (1 - digits), abs=0)


@given(st.tuples(*[st.floats(-1e6, 1e6)] * 3), st.integers(2, 4))
def test_an_estimate_and_its_interval_are_written_alike(values, digits):
    texts = list(map(columns.alike(values, digits), values))
    decimals = {len(t.partition(".")[2]) for t in texts if t != "0" and "×" not in t}
    assert len(decimals) <= 1
    if abs(values[0]) >= max(map(abs, values)) / 10 and abs(values[0]) >= 1e-4:
        assert float(texts[0].replace(",", "")) == pytest.approx(
            values[0], rel=0.51 * 10.0 ** (1 - digits)
        )


def test_small_numbers_have_a_power_of_ten():
    assert [columns.number(value) for value in (8e-05, -1.25e-12)] == ["8.0×10⁻⁵", "-1.2×10⁻¹²"]


@pytest.mark.parametrize("name", columns.COLUMNS)
def test_every_column_has_words_and_writes_its_numbers(name):
    assert "_" not in columns.heading(name)
    assert columns.form(name)(0.0) in ("0", "0.000")


def test_no_name_of_code_is_on_the_page_and_an_estimate_has_its_interval_beside_it():
    frame = pd.DataFrame(
        {
            "claim": ["C2", "D1"],
            "setting": "",
            "part": ["", "rule"],
            "work": "digits",
            "quantity": "flips",
            "paper": ["0.0367", "0"],
            "median": [0.03512, 0.0],
            "lo": [0.03, 0],
            "hi": [0.04, np.nan],
            "n": [20, 3],
        }
    )
    assert tables.written(frame).to_dict("list") == {
        "claim": ["C2", "D1"],
        "quantity": ["flips, digits", "flips, rule, digits"],
        "paper": ["0.0367", "0"],
        "median [interval]": ["0.03512 [0.03000, 0.04000]", "0"],
        "n": ["20", "3"],
    }


def test_numbers_are_written_by_what_they_count():
    frame = pd.DataFrame(
        {
            "bits": [4.0, 5.5],
            "flips_avoided": [0.943396, 1.0],
            "weights": [242362, 12],
            "other": [0.00123456, 81970.4],
            "whole": [1234, 5],
            "kept": [True, False],
            "lacking": [np.nan, 1.5],
            "text": ["a", None],
        }
    )
    assert tables.written(frame).to_dict("list") == {
        "bits": ["4", "5.5"],
        "flips avoided, %": ["94.3", "100"],
        "weights": ["242,362", "12"],
        "other": ["0.00123", "81,970"],
        "whole": ["1,234", "5"],
        "kept": ["yes", "no"],
        "lacking": ["–", "1.50"],
        "text": ["a", "–"],
    }


def test_a_measure_in_a_row_writes_that_row():
    frame = pd.DataFrame(
        {"measure": ["jaccard", "flip_rate"], "median": 0.5, "lo": 0.25, "hi": 1.0}
    )
    assert tables.written(frame).to_dict("list") == {
        "measure": ["Jaccard distance J", "flip rate, %"],
        "median [interval]": ["0.500 [0.250, 1.000]", "50.0 [25.0, 100]"],
    }


def test_numbers_stand_to_the_right_and_words_to_the_left():
    html = tables.styled(FRAME.assign(name="a"), "name").to_html()
    sides = {line.split(" .")[1].split(" ")[0] for line in html.splitlines() if line[:2] == "#T"}
    assert sides == {"col0", "col1", "col2"}
    assert html.count("text-align: right") == 2 and html.count("text-align: left") == 1


def test_the_spread_of_few_seeds_is_called_a_range():
    assert tables.spread_text(10) == "Median and 90 % interval over 10 seeds"
    assert tables.spread_text(9, "planes") == "Median and range of 9 planes"


def test_a_page_says_the_same_whether_it_computed_or_read_a_number(tmp_path, monkeypatch):
    monkeypatch.setenv("BAQ_RESULTS", str(tmp_path))
    frame = pd.DataFrame({"x": [62.5500004], "median": [1.0], "lo": [0.0], "hi": [62.5500004]})
    tables.save(frame, "saved")
    again = pd.read_csv(tmp_path / "saved.csv")
    assert (
        f"{frame['x'].item():.1f}" != f"{again['x'].item():.1f}"
    )  # the digits that are lost decide
    assert tables.written(frame, 1).equals(tables.written(again, 1))
