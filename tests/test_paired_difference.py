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


def test_several_measures_and_settings_are_the_single_ones():
    index = pd.MultiIndex.from_tuples(
        [("s", 0), ("s", 1), ("s", 2), ("t", 0), ("t", 1), ("one", 0)]
    )
    columns = pd.MultiIndex.from_product([["j", "flips"], ["before", "after"]])
    pairs = pd.DataFrame(np.random.default_rng(0).random((6, 4)), index, columns)
    found = paired_differences(pairs, ["flips", "j"], ("before", "after"))
    assert found[["setting", "measure"]].values.tolist() == [
        [setting, measure] for setting in ("s", "t") for measure in ("flips", "j")
    ]
    for row in found.to_dict("records"):
        part = pairs.loc[row.pop("setting"), row.pop("measure")]
        assert row == paired_difference(part["before"], part["after"])
    alone = paired_differences(pairs.loc[["one"]], ["j"], ("before", "after"))
    assert alone.empty and list(alone) == list(found)
