"""Tables go where the runner wants them, whole and with six digits, and nowhere else."""

import pandas as pd
import pytest

from baq.report import tables
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
    assert "0.33" in first
    assert "0.333" not in first
    assert (tmp_path / "shown.csv").exists()


def test_a_summary_is_spread_out_under_headings():
    frame = pd.DataFrame({"bits": [8, 8, 4, 4], "j": [0.25, 0.25, 0.0, 1.0], "k": 1.0})
    summary = summarize(frame, ["bits"], ["j", "k"])
    wide = tables.interval_table(summary, ["bits"], precision=2, headings={"j": "J"})
    assert wide.to_dict("list") == {"bits": [8, 4], "J": ["0.25 [0.25, 0.25]", "0.50 [0.00, 1.00]"]}


def test_columns_of_no_text_are_saved_and_not_shown(tmp_path, monkeypatch):
    monkeypatch.setenv("BAQ_RESULTS", str(tmp_path))
    shown = tables.show(FRAME.assign(setting=""), "shown").to_html()
    assert "setting" not in shown and "jaccard" in shown
    assert "setting" in (tmp_path / "shown.csv").read_text()


def test_paired_differences_are_shown_with_interval_and_counts():
    frame = pd.DataFrame(
        [("s", "j", 0.5, 0.25, -0.25, -0.5, 0.0, 3, 2, 1)],
        columns=[
            "setting",
            "measure",
            *["before", "after", "difference", "lo", "hi", "n", "fall", "rise"],
        ],
    )
    assert tables.paired_cells(frame, {"j": "J"}).to_dict("list") == {
        "setting": ["s"],
        "measure": ["J"],
        "before": [0.5],
        "after": [0.25],
        "difference": ["-0.2500 [-0.5000, 0.0000]"],
        "fall, rise": ["2, 1 of 3"],
    }
    assert tables.paired_cells(frame[:0], {}).empty


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
    assert shown.index(">flip rate<") < shown.index(">Jaccard distance J<")


def test_an_estimate_shows_what_it_has():
    nan = float("nan")
    assert tables.interval_text(0.5, 0.25, 1, 2) == "0.50 [0.25, 1.00]"
    assert tables.interval_text(0.5, -0.25, 1, 2, signed=True) == "+0.50 [-0.25, +1.00]"
    assert tables.interval_text(0.5, nan, nan, 2) == "0.50"
    assert tables.interval_text(nan, nan, nan) == "–"


TIDY = pd.DataFrame(
    [("b", 4, "J", 0.5), ("b", 4, "flips", 1), ("a", 8, "flips", 0.25)],
    columns=["set", "bits", "measure", "median"],
).assign(lo=0.0, hi=1.0)


def test_an_interval_table_keeps_the_order_and_marks_what_lacks():
    wide = tables.interval_table(TIDY, ["set", "bits"], "measure", precision=2)
    assert wide.to_dict("split", index=False) == {
        "columns": ["set", "bits", "J", "flips"],
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
    frame = pd.DataFrame({"k": [1], "r": [0.5], "r_lo": [0.0], "r_hi": [1.0], "other": [3]})
    shown = tables.interval_columns(frame, ["k"], {"r": "r, Pearson"}, 1)
    assert shown.to_dict("records") == [{"k": 1, "r, Pearson": "0.5 [0.0, 1.0]"}]


def test_a_styled_table_is_not_saved(tmp_path, monkeypatch):
    monkeypatch.setenv("BAQ_RESULTS", str(tmp_path))
    assert tables.styled(FRAME, "name").to_html() == tables.show(FRAME, "name").to_html()
    (tmp_path / "name.csv").unlink()
    tables.styled(FRAME, "name")
    assert not list(tmp_path.iterdir())


def test_the_spread_of_few_seeds_is_called_a_range():
    assert tables.spread_text(10) == "Median and 90 % interval over 10 seeds"
    assert tables.spread_text(9, "planes") == "Median and range of 9 planes"
