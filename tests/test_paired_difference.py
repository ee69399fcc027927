"""The interval of a paired difference, against scipy's and against its own promise."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from baq.report.stats import paired_difference, paired_differences


@pytest.mark.parametrize("n", [2, 5, 20])
@pytest.mark.parametrize("level", [0.5, 0.9, 0.99])
def test_it_is_the_interval_of_the_paired_t_test(n, level):
    before, after = np.random.default_rng(n).normal(size=(2, n))
    ours = paired_difference(before, after, level)
    theirs = stats.ttest_rel(after, before).confidence_interval(level)
    assert ours["lo"] == pytest.approx(theirs.low) and ours["hi"] == pytest.approx(theirs.high)
    assert ours["difference"] == pytest.approx(after.mean() - before.mean())
    assert (ours["before"], ours["after"]) == (before.mean(), after.mean())
    assert ours["fall"] + ours["rise"] == ours["n"] == n


def test_it_holds_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(0)
    inside = 0
    for _ in range(2000):
        found = paired_difference(np.zeros(5), rng.normal(0.3, 1.0, 5), 0.9)
        inside += found["lo"] <= 0.3 <= found["hi"]
    # Five standard deviations of the binomial.
    assert abs(inside / 2000 - 0.9) < 5 * np.sqrt(0.9 * 0.1 / 2000)


def test_equal_values_differ_by_exactly_nothing():
    found = paired_difference([0.1, 0.2, 0.3], [0.1, 0.2, 0.3])
    assert found["lo"] == found["difference"] == found["hi"] == 0
    assert found["fall"] == found["rise"] == 0


@pytest.mark.parametrize(
    ("before", "after", "level", "message"),
    [
        ([1, 2], [1, 2], 1.0, "level is 1.0: allowed is above 0 and below 1"),
        ([1, 2, 3], [1, 2], 0.9, "3 and 2 values: allowed are equal numbers, 2 or more"),
        ([1], [1], 0.9, "1 and 1 values"),
        ([1, np.nan], [1, 2], 0.9, "not finite"),
    ],
)
def test_bad_input_is_named(before, after, level, message):
    with pytest.raises(ValueError, match=message):
        paired_difference(before, after, level)


ROWS = pd.DataFrame(
    [
        {
            "bits": bits,
            "seed": seed,
            "way": way,
            "flips": k + seed * (k + 1) / 10 + bits,
            "zero": 0.0,
        }
        for bits in (8, 4)
        for seed in range(3)
        for k, way in enumerate("abc")
    ]
)
ASKED = {
    "by": ["bits"],
    "pair": ["seed"],
    "variant": "way",
    "of": ["c"],
    "against": ["a", "b", "c"],
}


def test_every_setting_is_compared_pair_by_pair_whatever_the_order():
    found = paired_differences(ROWS.sample(frac=1, random_state=1), ["flips", "zero"], **ASKED)
    assert len(found) == 2 * 2 * 2  # bits, ways but its own, measures
    for row in found.itertuples():
        part = ROWS[ROWS["bits"] == row.bits].set_index("seed")
        before, after = (
            part.loc[part["way"] == way, row.measure] for way in (row.against, row.way)
        )
        one = paired_difference(before, after)
        assert {name: getattr(row, name) for name in one} == pytest.approx(one)
        if row.measure == "zero":
            assert np.isnan(row.change)
        else:
            assert row.change == pytest.approx(after.mean() / before.mean() - 1)


def test_one_pair_has_no_row():
    found = paired_differences(ROWS[(ROWS["seed"] == 0) | (ROWS["bits"] == 8)], ["flips"], **ASKED)
    assert set(found["bits"]) == {8}
    none = paired_differences(ROWS[ROWS["seed"] == 0], ["flips"], **ASKED)
    assert len(none) == 0 and list(none) == list(found)


@pytest.mark.parametrize("lacking", [None, np.nan])
def test_rows_without_a_setting_are_named(lacking):
    rows = ROWS.assign(bits=ROWS["bits"].where(ROWS["bits"] == 8, lacking))
    with pytest.raises(ValueError, match="^bits is NaN or None in 9 rows: allowed is a value in"):
        paired_differences(rows, ["flips"], **ASKED)
