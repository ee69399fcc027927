"""Correlations and their bootstrap by group, against known cases, scipy and their own promise."""

import numpy as np
import pytest
from scipy import stats

from baq.report.stats import both_correlations, correlation

RNG = np.random.default_rng(0)


def rows(groups=20, size=5, between=0.0, rng=RNG):
    """x and y without any relation but for what a group adds to both; and the groups."""
    label = np.repeat(np.arange(groups), size)
    shared = between * rng.normal(size=(2, groups))
    x, y = (rng.normal(size=len(label)) + shared[k][label] for k in range(2))
    return x, y, label


@pytest.mark.parametrize("ranks", [False, True])
def test_it_is_scipys(ranks):
    x, y, label = rows()
    y = y + x
    theirs = stats.spearmanr(x, y) if ranks else stats.pearsonr(x, y)
    found = correlation(x, y, label, ranks=ranks, resamples=1)
    assert found["r"] == pytest.approx(theirs.statistic, abs=1e-12) and found["n"] == 20


@pytest.mark.parametrize("slope", [2.0, -0.1])
def test_a_line_is_one_and_so_is_every_resample(slope):
    x, _, label = rows()
    found = correlation(x, 3 + slope * x, label)
    np.testing.assert_allclose([found["r"], found["lo"], found["hi"]], np.sign(slope), atol=1e-12)


def test_a_monotone_curve_has_rank_correlation_one_only():
    x, _, label = rows()
    assert correlation(x, np.exp(3 * x), label, ranks=True)["lo"] == pytest.approx(1)
    assert correlation(x, np.exp(3 * x), label)["hi"] < 0.99


def test_the_interval_is_scipys_where_a_group_is_a_row():
    x, y, label = rows(100, 1)
    y = y + x
    ours = correlation(x, y, label, resamples=4000)
    theirs = stats.bootstrap(
        (x, y), lambda a, b: np.corrcoef(a, b)[0, 1], n_resamples=4000, confidence_level=0.9,
        method="percentile", paired=True, vectorized=False, random_state=1,
    ).confidence_interval  # fmt: skip
    # Two draws of 4000 resamples: the quantiles' standard error is about 0.002.
    assert ours["lo"] == pytest.approx(theirs.low, abs=0.012)
    assert ours["hi"] == pytest.approx(theirs.high, abs=0.012)


@pytest.mark.parametrize("ranks", [False, True])
def test_resamples_are_of_the_rows_of_the_groups_drawn(ranks):
    label = RNG.permutation(np.repeat(range(6), [1, 2, 3, 4, 5, 6]))
    x, y = RNG.integers(0, 5, size=(2, len(label))).astype(float)  # ties, and groups of all sizes
    found = correlation(x, y, label, ranks=ranks, resamples=50, seed=3, level=0.5)
    groups = [np.flatnonzero(label == k) for k in dict.fromkeys(label)]
    naive = []
    for draw in np.random.default_rng(3).integers(6, size=(50, 6)):
        drawn = np.concatenate([groups[k] for k in draw])
        a, b = (stats.rankdata(v[drawn]) if ranks else v[drawn] for v in (x, y))
        if np.ptp(a) and np.ptp(b):
            naive.append(np.corrcoef(a, b)[0, 1])
    ends = np.quantile(naive, [0.25, 0.75])
    np.testing.assert_allclose([found["lo"], found["hi"]], ends, atol=1e-12)


@pytest.mark.slow
def test_rows_without_relation_have_zero_inside_about_as_often_as_said():
    inside = 0
    rng = np.random.default_rng(1)
    for _ in range(200):
        found = correlation(*rows(between=0.5, rng=rng), resamples=200)
        inside += found["lo"] <= 0 <= found["hi"]
    # Percentile intervals of 20 groups are somewhat narrow; three standard deviations on either side.
    assert 0.9 - 0.04 - 3 * 0.021 < inside / 200 < 0.9 + 3 * 0.021


def test_repeated_rows_say_nothing_new():
    x, y, _ = rows(20, 1)
    x, y, label = (np.repeat(values, 10) for values in (x, y, np.arange(20)))

    def width(groups):
        found = correlation(x, y, groups)
        return found["hi"] - found["lo"]

    once = correlation(x[::10], y[::10], label[::10])
    assert width(label) == pytest.approx(once["hi"] - once["lo"])
    assert width(label) > 2 * width(np.arange(len(x)))


def test_within_takes_off_what_the_finer_groups_share():
    x, y, label = rows()
    level = 100.0 * label
    plain = correlation(x + level, -y + level, label)
    assert plain["r"] > 0.99
    inside = correlation(x + level, -y + level, label, within=label)
    centred = [v - np.array([v[label == k].mean() for k in label]) for v in (x, -y)]
    assert inside["r"] == pytest.approx(np.corrcoef(*centred)[0, 1], abs=1e-9)


@pytest.mark.parametrize("constant", [0.0, 1 / 3])
def test_what_is_constant_has_no_correlation(constant):
    x, y, label = rows()
    found = correlation(x * 0 + constant, y, label)
    assert np.isnan([found["r"], found["lo"], found["hi"]]).all() and found["n"] == 20
    # Constant within each finer group, up to the rounding of its mean.
    inside = correlation(constant + label * 0.1, y, label, within=label)
    assert np.isnan(inside["r"])


def test_resamples_without_a_correlation_are_left_out():
    x = np.array([0.0, 0.0, 1.0, 2.0])
    found = correlation(x, x, [0, 0, 1, 1])
    assert found["r"] == found["lo"] == found["hi"] == pytest.approx(1)


def test_one_group_has_a_correlation_and_no_interval():
    x, y, label = rows()
    found = correlation(x, y, label * 0)
    assert found["r"] == pytest.approx(stats.pearsonr(x, y).statistic, abs=1e-12)
    assert np.isnan([found["lo"], found["hi"]]).all() and found["n"] == 1


def test_both_are_pearsons_and_spearmans():
    x, y, label = rows()
    y, options = np.exp(x + 0.1 * y), {"within": label, "resamples": 20}
    found = both_correlations(x, y, label, **options)
    for name, ranks in (("r", False), ("rho", True)):
        one = correlation(x, y, label, ranks=ranks, **options)
        assert [found[name], found[f"{name}_lo"], found[f"{name}_hi"]] == [
            one[key] for key in ("r", "lo", "hi")
        ]
    assert found["networks"] == 20 and found["r"] != found["rho"]


@pytest.mark.parametrize("lacking", [None, float("nan"), np.nan])
def test_a_missing_group_among_texts_is_no_text(lacking):
    for labels in (["a", "a", "b", lacking], np.array(["a", "a", "b", lacking], dtype=object)):
        with pytest.raises(ValueError, match="^groups is NaN or None in 1 rows: allowed is a val"):
            correlation([1, 2, 3, 4], [1, 2, 3, 0], labels)
        with pytest.raises(ValueError, match="^within is NaN or None in 1 rows"):
            both_correlations([1, 2, 3, 4], [1, 2, 3, 0], [0, 0, 1, 1], within=labels)


def test_a_group_may_be_called_nan():
    x, y = [1, 2, 3, 5], [1, 2, 4, 3]
    named = correlation(x, y, ["a", "a", "nan", "None"])
    assert named == correlation(x, y, [0, 0, 1, 2]) and named["n"] == 3


def test_a_seed_fixes_the_resamples():
    x, y, label = rows()
    assert correlation(x, y, label) == correlation(x, y, label)
    assert correlation(x, y, label)["lo"] != correlation(x, y, label, seed=1)["lo"]


@pytest.mark.parametrize(
    ("x", "y", "groups", "options", "message"),
    [
        ([1, 2], [1, 2], [0, 1], {"level": 1.0}, "level is 1.0: allowed is above 0 and below 1"),
        ([1, 2], [1, 2], [0, 1], {"resamples": 0}, "resamples is 0: allowed is 1 or more"),
        ([1, 2], [1, 2, 3], [0, 1], {}, "x, y, groups have 2, 3, 2 rows: allowed are equal"),
        ([1, 2], [1, 2], [0, 1], {"within": [0]}, "within have 2, 2, 2, 1 rows"),
        ([], [], [], {}, "have 0, 0, 0 rows: allowed are equal numbers, 1 or more"),
        ([1, np.nan], [1, 2], [0, 1], {}, "not finite"),
    ],
)
def test_bad_input_is_named(x, y, groups, options, message):
    with pytest.raises(ValueError, match=message):
        correlation(x, y, groups, **options)
