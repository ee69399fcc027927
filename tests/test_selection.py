"""The rules on hand-made tables, and the laws that they obey on any table."""

import math
from functools import partial

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from baq.selection import Pick, accuracy_rule, boundary_aware_rule, pick_counts, picked

#: Bits, accuracy of 0.95 in float, flip rate, J: what a typical walk looks like.
WALK = pd.DataFrame(
    [
        (8, 0.950, 0.001, 0.40),
        (7, 0.951, 0.004, 0.65),
        (6, 0.948, 0.009, 0.80),
        (5, 0.945, 0.020, 0.90),
        (4, 0.930, 0.050, 0.97),
        (3, 0.700, 0.300, 0.99),
    ],
    columns=["candidate", "accuracy", "flip_rate", "jaccard"],
).assign(accuracy_reference=0.95)


def test_each_rule_walks_down_to_the_last_level_that_keeps_its_thresholds():
    assert accuracy_rule(WALK, 0.01) == Pick(5, True)
    assert boundary_aware_rule(WALK, 0.01, 0.01, 1.0) == Pick(6, True)
    assert boundary_aware_rule(WALK, 0.01, 0.01, 2 / 3) == Pick(7, True)
    assert boundary_aware_rule(WALK, 0.01, 0.002, 2 / 3) == Pick(8, True)


def test_thresholds_are_met_by_equal_values_in_spite_of_rounding():
    assert 0.97 - 0.96 > 0.01
    levels = WALK.head(1).assign(accuracy=0.96, accuracy_reference=0.97, flip_rate=0.1 + 0.2)
    assert boundary_aware_rule(levels, 0.01, 0.3, 0.4).satisfied


def test_where_no_level_keeps_them_the_highest_stays_and_says_so():
    assert boundary_aware_rule(WALK, 0.01, 0.0, 0.0) == Pick(8, False)
    assert accuracy_rule(WALK.assign(accuracy_reference=0.99), 0.01) == Pick(8, False)


def test_a_gain_in_accuracy_is_no_loss():
    assert accuracy_rule(WALK.assign(accuracy=0.99), 0.0) == Pick(3, True)


def test_the_two_readings_differ_where_a_level_above_fails():
    bumpy = WALK.assign(flip_rate=[0.001, 0.02, 0.009, 0.02, 0.05, 0.3])
    assert boundary_aware_rule(bumpy, 0.01, 0.01, 1.0) == Pick(6, True)
    assert boundary_aware_rule(bumpy, 0.01, 0.01, 1.0, stop_early=True) == Pick(8, True)


def test_levels_may_have_names_with_their_bits():
    named = WALK.assign(candidate=[f"int{bits} of one tool" for bits in WALK["candidate"]])
    assert boundary_aware_rule(named, 0.01, 0.01, 2 / 3) == Pick(7, True)
    for name in ("int8 of 2 tools", "half"):
        message = f"level is '{name}': allowed are bit widths, or names with one number"
        with pytest.raises(ValueError, match=message):
            accuracy_rule(WALK.head(1).assign(candidate=[name]), 0.01)


def test_the_order_of_the_rows_does_not_matter():
    assert boundary_aware_rule(WALK[::-1], 0.01, 0.01, 2 / 3) == Pick(7, True)


@pytest.mark.parametrize(
    ("levels", "thresholds", "message"),
    [
        (WALK, (-0.1, 1, 1), "eps is -0.1: allowed is 0 or more"),
        (WALK, (0.1, math.nan, 1), "tau_f is nan"),
        (WALK, (0.1, 1, -1), "tau_j is -1"),
        (WALK.head(0), (0.1, 1, 1), r"levels are \[\]"),
        (pd.concat([WALK, WALK.tail(1)]), (0.1, 1, 1), r"levels are \[8, 7, 6, 5, 4, 3, 3\]"),
        (WALK.drop(columns="jaccard"), (0.1, 1, 1), "no jaccard"),
        (WALK.assign(accuracy=math.nan), (0.1, 1, 1), "no accuracy in some row"),
    ],
)
def test_bad_input_is_named(levels, thresholds, message):
    with pytest.raises(ValueError, match=message):
        boundary_aware_rule(levels, *thresholds)


share = st.floats(0, 1)


@st.composite
def walks(draw):
    bits = draw(st.lists(st.integers(2, 16), min_size=1, max_size=8, unique=True))
    columns = {
        name: draw(st.lists(share, min_size=len(bits), max_size=len(bits)))
        for name in ("accuracy", "flip_rate", "jaccard")
    }
    return pd.DataFrame({"candidate": bits} | columns).assign(accuracy_reference=draw(share))


@given(walks(), st.tuples(share, share, share), st.tuples(share, share, share), st.booleans())
def test_looser_thresholds_never_pick_more_bits(levels, tight, slack, early):
    loose = [t + s for t, s in zip(tight, slack, strict=True)]
    a = boundary_aware_rule(levels, *tight, stop_early=early)
    b = boundary_aware_rule(levels, *loose, stop_early=early)
    assert b.bits <= a.bits and b.satisfied >= a.satisfied


@given(walks(), share, share, share, st.booleans())
def test_the_boundary_aware_rule_never_picks_fewer_bits(levels, eps, tau_f, tau_j, early):
    accuracy = accuracy_rule(levels, eps, stop_early=early)
    aware = boundary_aware_rule(levels, eps, tau_f, tau_j, stop_early=early)
    assert aware.bits >= accuracy.bits and aware.satisfied <= accuracy.satisfied


@given(walks(), share, share, share)
def test_the_pick_is_the_least_level_that_a_plain_loop_finds(levels, eps, tau_f, tau_j):
    good = [
        row.candidate
        for row in levels.itertuples()
        if row.accuracy_reference - row.accuracy <= eps + 1e-9
        and row.flip_rate <= tau_f + 1e-9
        and row.jaccard <= tau_j + 1e-9
    ]
    expected = Pick(min(good), True) if good else Pick(int(levels["candidate"].max()), False)
    assert boundary_aware_rule(levels, eps, tau_f, tau_j) == expected
    early = boundary_aware_rule(levels, eps, tau_f, tau_j, stop_early=True)
    assert early.bits >= expected.bits


def two_networks(part):
    """Levels 8 and 4 of networks 0 and 1; on calibration data 4 bits fail for network 1 alone."""
    rows = [(seed, bits) for seed in (1, 0) for bits in (4, 8)]
    frame = pd.DataFrame(rows, columns=["seed", "candidate"])
    bad = (frame["seed"] == 1) & (frame["candidate"] == 4)
    frame = frame.assign(
        accuracy_reference=0.9, accuracy=0.9 - 0.5 * bad, flip_rate=0.5 * bad, jaccard=0.1
    )
    if part == "test":
        frame["flip_rate"] = 0.01 * frame["candidate"] + frame["seed"]
        return frame.rename(columns={"candidate": "bits"})
    return frame


def test_what_is_picked_on_calibration_data_is_read_on_test_data():
    found = picked(
        two_networks("calibration"),
        two_networks("test"),
        lambda r: accuracy_rule(r, 0.01),
        ["seed"],
    )
    assert found[["seed", "bits", "satisfied"]].values.tolist() == [[1, 8, True], [0, 4, True]]
    assert found["flip_rate"].tolist() == pytest.approx([1.08, 0.04])


def test_a_pick_without_its_one_row_of_test_is_refused():
    calibration, test = two_networks("calibration"), two_networks("test")
    for broken in (test[test["bits"] != 8], pd.concat([test, test])):
        with pytest.raises(ValueError, match="2 networks have . rows of test"):
            picked(calibration, broken, lambda r: accuracy_rule(r, 0.01), ["seed"])


def test_picks_are_counted_from_the_most_bits_to_the_fewest():
    picks = pd.DataFrame(
        {
            "rule": ["a", "a", "a", "b", "b"],
            "bits": [4, 4, 8, 8, 8],
            "satisfied": [True, True, False, True, False],
        }
    )
    assert pick_counts(picks.assign(setting="s"), ["setting", "rule"]).to_dict("list") == {
        "setting": ["s", "s"],
        "rule": ["a", "b"],
        "8 bits": [1, 2],
        "4 bits": [2, 0],
        "not satisfied": [1, 1],
    }


def test_a_pick_says_itself_whether_it_is_satisfied():
    calibration = pd.DataFrame({"seed": 0, "candidate": [8], "accuracy": [0.5]})
    test = pd.DataFrame({"seed": [0], "bits": [8], "satisfied": [True]})
    rule = partial(accuracy_rule, eps=0.01)
    rows = picked(calibration.assign(accuracy_reference=0.9), test, rule, ["seed"])
    assert rows.to_dict("list") == {"seed": [0], "bits": [8], "satisfied": [False]}
