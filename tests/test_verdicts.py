"""Verdicts follow from the stated rules, on answers made by hand to lie on either side of each."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from baq.report import verdicts
from baq.report.answers import judged
from baq.report.claims import answer, claims, paper_text, paper_value
from baq.report.verdicts import (
    RULES,
    expected,
    judging_interval,
    outlying,
    same_sign,
    standing,
    verdict,
)


def around(value, half=0.01):
    """Four seeds with the given mean, of which the prediction interval of one new run is value -+ half."""
    values = np.array([-1.0, -1, 1, 1])
    values /= stats.t.ppf(0.95, 3) * values.std(ddof=1) * math.sqrt(1 + 1 / 4)
    return pd.Series(value + half * values)


def for_runs(claim, half):
    """The half width for which the interval of a claim has the half width asked for."""
    return half * math.sqrt((1 + 1 / 4) / (1 / claims()[claim]["runs"] + 1 / 4))


def test_a_value_counts_as_rounded_as_it_is_printed():
    # D4 is printed 0.970, so 0.9695 would be printed so too, and 0.9694 would not.
    assert paper_text("D4") == "0.970"
    assert verdict("D4", answer({"D4": around(0.9596)})) == "inside"
    assert verdict("D4", answer({"D4": around(0.9594)})) == "not reproduced"
    assert verdict("D4", answer({"D4": around(0.9804)})) == "inside"
    assert verdict("D4", answer({"D4": around(0.9806)})) == "not reproduced"


def test_a_mean_of_more_runs_has_a_narrower_interval():
    assert [claims()[claim]["runs"] for claim in ("D4", "S3", "F2")] == [1, 5, 3]
    for claim in ("D4", "S3", "F2"):
        values = around(0.5, for_runs(claim, 0.1))
        (row,) = answer({claim: values}).itertuples()
        assert judging_interval(row) == pytest.approx((0.4, 0.6))


def test_an_interval_ends_where_the_measure_does():
    low = answer({"D1": pd.Series([0, 0, 1.0]), "F2": pd.Series([0.01, 0.02, 0.09])})
    lost = answer({"F1": pd.Series([-0.01, 0.02, 0.05])})
    bits = answer(
        {
            "C1": {
                "accuracy rule": pd.Series([7.0, 8, 8]),
                "boundary-aware rule": pd.Series([2.0, 2, 3]),
            }
        }
    )
    count, rate, accuracy, high, few, change = map(
        judging_interval, pd.concat([low, lost, bits]).itertuples()
    )
    assert count[0] == rate[0] == 0 and accuracy[0] < 0
    assert high[1] == 8 and few[0] == 2 and change[0] < -4
    assert count[1] > 1 and rate[1] > 0.09


def test_a_count_is_exact():
    assert verdict("T1", answer({"T1": pd.Series([12.0] * 3)}, "largest on the path")) == "inside"
    near = answer({"T1": pd.Series([12.4] * 3)}, "largest on the path")
    assert verdict("T1", near) == "not reproduced"


def test_an_order_needs_a_mean_difference_that_is_not_chance():
    far = pd.Series(np.full(20, 0.9))
    less = answer({"S3": far, "S4": far - 0.1})
    assert verdict("S3", less) == verdict("S4", less) == "direction only"
    assert same_sign("S3", less) is True
    # A share of .15 of the seeds falls: t = mean / (s / sqrt n) = -1.83, and the quantile is 1.73.
    some = far.where(np.arange(20) > 2, far - 0.1)
    assert verdict("S4", answer({"S3": far, "S4": some})) == "direction only"
    fewer = far.where(np.arange(20) > 1, far - 0.1)
    assert verdict("S4", answer({"S3": far, "S4": fewer})) == "not reproduced"
    more = answer({"S3": far, "S4": far + 0.1})
    assert verdict("S3", more) == verdict("S4", more) == "not reproduced"
    assert same_sign("S3", more) is False and same_sign("D4", more) is None


def test_a_value_inside_needs_no_order():
    s2 = around(paper_value("S2"), 1e-3)
    both = answer({"S1": s2, "S2": s2})
    assert verdict("S2", both) == "inside" and verdict("S1", both) == "not reproduced"


@pytest.mark.parametrize(("claim", "sign"), [("S5", -1), ("T4", 1)])
def test_a_sign_is_met_or_not(claim, sign):
    setting = claims()[claim]["setting"]
    for values, found in [
        ([0.1, 0.2, 0.3], "direction only"),
        ([-0.1, 0.2, 0.3], "not reproduced"),
        ([0.0, 0.0, 0.3], "not reproduced"),
        ([-0.1, -0.2, -0.3], "not reproduced"),
    ]:
        answers = answer({claim: sign * pd.Series(values)}, setting)
        assert verdict(claim, answers) == found, values


def test_a_statement_holds_for_most_seeds_and_occurs_for_one():
    few = pd.Series([True] + [False] * 19)
    assert verdict("O2", answer({"O2": few}, claims()["O2"]["setting"])) == "direction only"
    never = answer({"O2": few & False}, claims()["O2"]["setting"])
    assert verdict("O2", never) == "not reproduced"
    assert verdict("R6", answer({"R6": few}, claims()["R6"]["setting"])) == "not reproduced"
    assert verdict("R6", answer({"R6": ~few}, claims()["R6"]["setting"])) == "direction only"
    two_of_three = answer({"R6": pd.Series([True, True, False])}, claims()["R6"]["setting"])
    assert verdict("R6", two_of_three) == "not reproduced"


def test_a_range_lies_around_ours_or_ours_around_it():
    def spread(value, half):
        return pd.Series(np.linspace(value - half, value + half, 21))

    assert verdict("P1", answer({"P1": spread(0.97, 0.005)}, "all networks")) == "inside"
    assert verdict("P1", answer({"P1": spread(0.9, 0.2)}, "all networks")) == "inside"
    assert verdict("P1", answer({"P1": spread(0.9, 0.06)}, "all networks")) == "direction only"
    assert verdict("P1", answer({"P1": spread(0.0, 0.06)}, "all networks")) == "not reproduced"


def bits(accuracy, boundary):
    parts = ("accuracy rule", "boundary-aware rule")
    return answer({"C1": dict(zip(parts, map(pd.Series, (accuracy, boundary)), strict=True))})


def test_both_parts_must_lie_inside():
    assert verdict("C1", bits([6.0] * 5, [8.0] * 5)) == "inside"
    assert verdict("C1", bits([5.0] * 5, [8.0] * 5)) == "direction only"
    assert verdict("C1", bits([8.0] * 5, [8.0] * 5)) == "not reproduced"


def test_picks_of_half_the_seeds_are_no_success():
    nothing = [np.nan] * 5
    assert verdict("C1", bits([6.0] * 10, [8.0] * 5 + nothing)) == "not reproduced"
    assert verdict("C1", bits([6.0] * 10, [8.0] * 6 + nothing[1:])) == "inside"


def test_only_the_standing_setting_speaks_for_a_claim():
    good, bad = around(paper_value("F2")), around(0.5)
    setting = claims()["F2"]["setting"]
    both = pd.concat([answer({"F2": bad}, setting), answer({"F2": good}, "another")])
    assert verdict("F2", both) == "not reproduced"
    assert standing("F2", both)["setting"].tolist() == [setting]
    assert verdict("F2", both, "another") == "inside"


def test_without_an_answer_there_is_no_verdict(monkeypatch):
    assert verdict("D1", answer({})) == "not answered"
    for values in ([np.nan], [0.0], [0.0, np.nan]):  # one seed tells nothing of the others
        assert verdict("D1", answer({"D1": pd.Series(values)})) == "not answered"
    assert verdict("D1", answer({"D1": pd.Series([0.0, 0.0])})) == "inside"
    closed = {**claims(), "D1": claims()["D1"] | {"not_testable": "a reason"}}
    monkeypatch.setattr(verdicts, "claims", lambda: closed)
    assert verdict("D1", answer({"D1": pd.Series([0.0])})) == "not testable"


def test_what_lies_outside_is_compared_with_chance():
    good = [answer({c: around(paper_value(c), 0.1)}) for c in ("D2", "D3", "D4")]
    bad = [answer({"D5": around(9.0)})]
    table = judged(pd.concat([*good, *bad]))
    numeric, outside, chance, p = expected(table)
    assert (numeric, outside) == (3, 1), "D3 chose a convention"
    assert chance == pytest.approx(0.3) and p == pytest.approx(1 - 0.9**3)
    values, runs = around(9.0), claims()["D5"]["runs"]
    n, spread = len(values), values.std(ddof=1)
    away = 9.0 - paper_value("D5") - 0.00005  # to the end of what 0.0290 may be rounded from
    t = away / (spread * (1 / runs + 1 / n) ** 0.5)
    assert outlying(table) == {"D5": pytest.approx(2 * stats.t.sf(t, n - 1))}
    half = judged(bits([6.0] * 10, [8.0] * 5 + [np.nan] * 5))
    assert set(half["verdict"].dropna()) == {"not answered", "not reproduced"}
    assert expected(half)[:2] == (0, 0), "a claim with two numbers is none with a single one"


def test_every_verdict_has_its_rule():
    found = {verdict(claim, answer({})) for claim in claims()} | {
        *("inside", "direction only", "not reproduced", "not testable"),
    }
    assert found == set(RULES)
