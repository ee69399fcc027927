"""Medians and intervals over seeds are numpy's, for each group and measure on its own."""

import numpy as np
import pandas as pd
import pytest

from baq.report.stats import summarize


def frame(seeds=21):
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        [
            {"seed": seed, "bits": bits, "way": way, "j": rng.random(), "flips": rng.normal()}
            for seed in range(seeds)
            for bits in (8, 4)
            for way in ("a", "b")
        ]
    )


@pytest.mark.parametrize("level", [0.5, 0.9])
def test_every_group_has_its_own_quantiles(level):
    table = frame()
    found = summarize(table, ["bits", "way"], ["j", "flips"], level)
    assert list(found) == ["measure", "bits", "way", "median", "lo", "hi", "count"]
    assert len(found) == 8
    for row in found.itertuples():
        values = table.loc[(table.bits == row.bits) & (table.way == row.way), row.measure]
        tail = (1 - level) / 2
        expected = np.quantile(values, [0.5, tail, 1 - tail])
        np.testing.assert_allclose([row.median, row.lo, row.hi], expected, rtol=1e-12)
        assert row.count == 21


def test_groups_and_measures_keep_their_order():
    found = summarize(frame(), ["bits"], ["flips", "j"])
    assert found.measure.tolist() == ["flips", "flips", "j", "j"]
    assert found.bits.tolist() == [8, 4, 8, 4]


def test_ninety_percent_of_the_seeds_lie_in_the_interval():
    values = pd.DataFrame({"bits": 4, "j": np.arange(101.0)})
    row = summarize(values, ["bits"], ["j"]).iloc[0]
    assert (row["lo"], row["median"], row["hi"]) == (pytest.approx(5), 50, pytest.approx(95))


def test_missing_values_are_left_out_and_not_counted():
    values = pd.DataFrame({"bits": 4, "j": [1.0, 2.0, 3.0, np.nan]})
    row = summarize(values, ["bits"], ["j"]).iloc[0]
    assert (row["median"], row["count"]) == (2.0, 3)


@pytest.mark.parametrize("level", [0, 1, 1.5, -0.1, float("nan")])
def test_bad_levels_are_named(level):
    with pytest.raises(ValueError, match=f"level is {level}: allowed is above 0 and below 1"):
        summarize(frame(), ["bits"], ["j"], level)


@pytest.mark.parametrize(("by", "measures"), [(["depth"], ["j"]), (["bits"], ["depth"])])
def test_columns_that_lack_are_named(by, measures):
    with pytest.raises(
        ValueError, match="no column 'depth': allowed are seed, bits, way, j, flips"
    ):
        summarize(frame(), by, measures)
