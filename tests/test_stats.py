"""Medians and intervals over seeds are numpy's, for each group and measure on its own."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from baq.report.stats import (
    correlation,
    interpolate_at,
    mean_interval,
    prediction_interval,
    summarize,
)


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


def test_the_interval_of_fewer_than_ten_is_their_range():
    values = np.arange(10.0)
    for n, expected in ((2, (0, 1)), (9, (0, 8)), (10, (0.45, 8.55))):
        row = summarize(pd.DataFrame({"bits": 4, "j": values[:n]}), ["bits"], ["j"]).iloc[0]
        assert (row["lo"], row["hi"]) == pytest.approx(expected)


def covered(n, runs, interval, cases=40_000):
    """The share of cases in which the mean of new normal runs lies in the interval of n others."""
    rng = np.random.default_rng(n)
    ours, theirs = rng.normal(size=(cases, n)), rng.normal(size=(cases, runs)).mean(axis=1)
    lo, hi = interval(ours)
    return ((lo <= theirs) & (theirs <= hi)).mean()


@pytest.mark.parametrize(("n", "runs"), [(3, 1), (3, 3), (5, 5), (10, 3), (20, 1), (20, 5)])
@pytest.mark.parametrize("level", [0.9])
def test_a_prediction_interval_holds_new_runs_as_often_as_it_says(n, runs, level):
    def interval(values):
        ends = [
            prediction_interval(m, s, n, runs, level)
            for m, s in zip(values.mean(axis=1), values.std(axis=1, ddof=1), strict=True)
        ]
        return np.array(ends).T

    assert covered(n, runs, interval, 8_000) == pytest.approx(level, abs=0.016)


@pytest.mark.parametrize(("n", "share"), [(3, 0.46), (10, 0.76), (20, 0.82)])
def test_quantiles_of_few_runs_do_not(n, share):
    found = covered(n, 1, lambda values: np.quantile(values, [0.05, 0.95], axis=1))
    assert found == pytest.approx(share, abs=0.01)


def test_intervals_of_a_mean_are_students():
    values = np.array([1.0, 2, 4, 7])
    found = mean_interval(values.mean(), values.std(ddof=1), 4, 0.8)
    right = stats.t.interval(0.8, 3, values.mean(), stats.sem(values))
    assert found == pytest.approx(right)
    many = prediction_interval(values.mean(), values.std(ddof=1), 4, 10**12, 0.8)
    assert many == pytest.approx(right), "the mean of endless runs is the mean"
    for n in (0, 1):
        assert np.isnan(mean_interval(1.0, np.nan, n)).all()
        assert np.isnan(prediction_interval(1.0, np.nan, n, 3)).all()
    for runs in (0, -1, np.nan):
        with pytest.raises(ValueError, match=f"runs is {runs}: allowed is 1 or more"):
            prediction_interval(0, 1, 3, runs)
    with pytest.raises(ValueError, match="level is 1: allowed is above 0 and below 1"):
        prediction_interval(0, 1, 3, 1, 1)


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


def test_measures_are_read_where_a_rate_reaches_its_goal():
    # Flips of 10^-bits: the bits are linear in their logarithm, so interpolation is exact.
    bits = np.array([4.0, 2.0, 3.0])
    table = pd.DataFrame({"net": "a", "bits": bits, "flips": 10**-bits, "loss": 5 * bits})
    table = pd.concat([table, table.assign(net="b", flips=1e-9), table.assign(net="c", flips=0.0)])
    found = interpolate_at(table, ["net"], "flips", 10**-2.25, ["bits", "loss"])
    assert list(found) == ["net", "bits", "loss"]
    assert found["net"].tolist() == ["a", "b", "c"]
    np.testing.assert_allclose(found.loc[0, ["bits", "loss"]].astype(float), [2.25, 11.25])
    # A goal out of a group's reach, and a group without any flip.
    assert found.loc[1:, ["bits", "loss"]].isna().all(axis=None)


def test_a_rate_of_zero_is_left_out_and_a_level_itself_is_read():
    table = pd.DataFrame({"net": "a", "bits": [8, 6, 4], "flips": [0.0, 0.01, 0.1]})
    found = interpolate_at(table, ["net"], "flips", 0.01, ["bits"])
    assert found["bits"].tolist() == [6.0]


@pytest.mark.parametrize("goal", [0, -0.1, float("nan")])
def test_bad_goals_and_columns_are_named(goal):
    with pytest.raises(ValueError, match=f"goal is {goal}: allowed is above 0"):
        interpolate_at(frame(), ["seed"], "j", goal, ["bits"])
    with pytest.raises(ValueError, match="no column 'rate': allowed are seed, bits"):
        interpolate_at(frame(), ["seed"], "rate", 0.1, ["bits"])


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1, np.inf, np.inf] * 4, (np.inf, 1, np.inf)),
        ([-np.inf, 1, 2], (1, -np.inf, 2)),
        ([-np.inf, 1, 2] * 4, (1, -np.inf, 2)),
        ([np.inf] * 3, (np.inf, np.inf, np.inf)),
        ([*range(20), np.inf], (10, 1, 19)),
    ],
)
def test_infinite_values_have_quantiles(values, expected):
    row = summarize(pd.DataFrame({"bits": 4, "j": values}), ["bits"], ["j"]).iloc[0]
    found = row["median"], row["lo"], row["hi"]
    # A quantile beside an infinite value is infinite, between finite ones it is numpy's.
    for value, right in zip(found, expected, strict=True):
        assert value == right or value == pytest.approx(right, abs=0.2)


def test_rows_without_a_group_are_named():
    table = pd.DataFrame({"bits": [4, 4, np.nan], "j": 1.0})
    with pytest.raises(ValueError, match="bits is NaN or None in 1 rows"):
        summarize(table, ["bits"], ["j"])
    with pytest.raises(ValueError, match="groups is NaN or None in 1 rows"):
        correlation([1, 2, 3, 4], [1, 2, 3, 0], [0, 0, 1, np.nan])
    with pytest.raises(ValueError, match="within is NaN or None in 2 rows"):
        correlation([1, 2, 3, 4], [1, 2, 3, 0], [0, 0, 1, 1], within=["a", "b", None, None])
    with pytest.raises(ValueError, match="bits is NaN or None in 1 rows"):
        interpolate_at(table, ["bits"], "j", 0.5, ["j"])


@pytest.mark.parametrize("values", [[3, None, 1.0, 2], [3.0, 1, np.nan, 2.0], [1, 2, 3, pd.NA]])
def test_none_in_a_column_of_objects_is_no_value(values):
    table = pd.DataFrame({"bits": 4, "j": pd.Series(values, dtype=object)})
    row = summarize(table, ["bits"], ["j"], 0.5).iloc[0]
    assert row[["median", "lo", "hi", "count"]].tolist() == [2.0, 1.0, 3.0, 3]
    assert table["j"].dtype == object  # the caller's table stays as it was


def test_a_measure_without_any_value_has_no_quantiles():
    table = pd.DataFrame({"bits": 4, "j": pd.Series([None, None], dtype=object)})
    row = summarize(table, ["bits"], ["j"]).iloc[0]
    assert row[["median", "lo", "hi"]].isna().all() and row["count"] == 0


@pytest.mark.parametrize("value", ["x", "3", True])
def test_measures_that_are_no_numbers_are_named(value):
    for values in ([value] * 2, pd.Series([1.0, value], dtype=object)):
        with pytest.raises(ValueError, match=f"^j holds {value!r}: allowed are numbers$"):
            summarize(pd.DataFrame({"bits": 4, "j": values}), ["bits"], ["j"])
