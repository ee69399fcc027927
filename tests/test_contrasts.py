"""Sentences on paired differences say what their rows say."""

import pandas as pd
import pytest

from baq.report.contrasts import apart, change_text, contrasts, enumerated
from baq.report.stats import paired_differences

ROWS = pd.DataFrame(
    {
        "bits": [4, 4, 3, 3, 2, 2],
        "against": ["a", "b"] * 3,
        "lo": [-3.0, -2.0, 1.0, 2.0, -1.0, -4.0],
        "hi": [-1.0, -1.0, 2.0, 3.0, 1.0, -1.0],
        "change": [-0.3, -0.25, 0.5, 0.125, 0.0, float("nan")],
    }
)


def test_a_change_is_told_with_its_interval():
    said = [change_text(row) for row in ROWS.itertuples()]
    assert said[0] == "-30 % against a"
    assert said[2] == "+50 % against a"
    assert said[4] == "+0 % against a (may be 0)"
    assert said[5] == "no share against b"
    assert [apart(row) for row in ROWS.itertuples()] == [True] * 4 + [False, True]


def test_a_contrast_takes_all_variants():
    assert contrasts(ROWS, ["bits"]) == (["4"], ["3"], 3)
    assert contrasts(ROWS, ["bits", "against"])[0] == ["4, a", "4, b", "2, b"]


def test_an_interval_that_ends_at_zero_holds_it():
    rows = ROWS.iloc[:2].assign(hi=0.0)
    assert contrasts(rows, ["bits"]) == ([], [], 1)
    assert not apart(next(rows.itertuples()))


def test_a_list_of_nothing_says_so():
    assert enumerated([]) == "none"
    assert enumerated(["a", "b"]) == "a; b"


@pytest.mark.parametrize(("size", "sign"), [(1.0, "+"), (-1.0, "-")])
def test_the_sign_is_that_of_the_variant_less_the_other(size, sign):
    frame = pd.DataFrame({"seed": [0, 1, 0, 1], "way": ["a", "a", "b", "b"], "set": 0})
    frame["flips"] = [10.0, 11.0, 10.0 + size, 11.0 + size]
    how = {"by": ["set"], "pair": ["seed"], "variant": "way", "of": ["b"], "against": ["a"]}
    (row,) = paired_differences(frame, ["flips"], **how).itertuples()
    assert change_text(row).startswith(sign)
