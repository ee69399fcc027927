"""Verdicts follow from the stated rules, on answers made by hand to lie on either side of each."""

import math

import numpy as np
import pandas as pd
import pytest

from baq.report import verdicts
from baq.report.claims import answer, claims, paper_text, paper_value
from baq.report.verdicts import RULES, distance, standing, verdict


def around(value, half=0.01):
    """21 seeds spread evenly, so that the interval is value -+ 0.9 half."""
    return pd.Series(np.linspace(value - half, value + half, 21))


def test_a_value_counts_as_rounded_as_it_is_printed():
    # D4 is printed 0.970, so 0.9695 would be printed so too, and 0.9694 would not.
    assert paper_text("D4") == "0.970"
    assert verdict("D4", answer({"D4": around(0.9606)})) == "inside"
    assert verdict("D4", answer({"D4": around(0.9604)})) == "not reproduced"
    assert verdict("D4", answer({"D4": around(0.9794)})) == "inside"
    assert verdict("D4", answer({"D4": around(0.9796)})) == "not reproduced"


def test_a_count_is_exact():
    assert verdict("T1", answer({"T1": pd.Series([12.0] * 3)}, "largest on the path")) == "inside"
    near = answer({"T1": pd.Series([12.4] * 3)}, "largest on the path")
    assert verdict("T1", near) == "not reproduced"
    assert distance("T1", near) == math.inf


def test_an_order_needs_most_seeds_and_no_seed_past_zero():
    far = pd.Series(np.full(20, 0.9))
    less = answer({"S3": far, "S4": far - 0.1})
    assert verdict("S3", less) == verdict("S4", less) == "direction"
    equal = far.where(np.arange(20) < 11, far - 0.1)
    assert verdict("S4", answer({"S3": far, "S4": equal})) == "not reproduced"
    mostly = far.where(np.arange(20) < 9, far - 0.1)
    assert verdict("S4", answer({"S3": far, "S4": mostly})) == "direction"
    two_against = mostly.mask(np.arange(20) < 2, far + 0.1)
    assert verdict("S4", answer({"S3": far, "S4": two_against})) == "not reproduced"
    more = answer({"S3": far, "S4": far + 0.1})
    assert verdict("S3", more) == verdict("S4", more) == "not reproduced"


def test_a_value_inside_needs_no_order():
    s2 = around(paper_value("S2"), 1e-3)
    both = answer({"S1": s2, "S2": s2})
    assert verdict("S2", both) == "inside" and verdict("S1", both) == "not reproduced"


@pytest.mark.parametrize(("claim", "sign"), [("S5", -1), ("T4", 1)])
def test_a_sign_is_met_or_not(claim, sign):
    setting = claims()[claim]["setting"]
    for values, expected in [
        ([0.1, 0.2, 0.3], "direction"),
        ([0.0, 0.2, 0.3], "direction"),
        ([-0.1, 0.2, 0.3], "not reproduced"),
        ([0.0, 0.0, 0.3], "not reproduced"),
        ([-0.1, -0.2, -0.3], "not reproduced"),
    ]:
        answers = answer({claim: sign * pd.Series(values)}, setting)
        assert verdict(claim, answers) == expected, values
    # The last ones lie beyond zero: from 0.11 to 0.29 in the wrong direction.
    assert distance(claim, answers) == pytest.approx(0.11 / 0.18)


def test_a_statement_holds_for_most_seeds_and_occurs_for_one():
    few = pd.Series([True] + [False] * 19)
    assert verdict("O2", answer({"O2": few}, claims()["O2"]["setting"])) == "direction"
    never = answer({"O2": few & False}, claims()["O2"]["setting"])
    assert verdict("O2", never) == "not reproduced"
    assert verdict("R6", answer({"R6": few}, claims()["R6"]["setting"])) == "not reproduced"
    assert verdict("R6", answer({"R6": ~few}, claims()["R6"]["setting"])) == "direction"


def test_a_range_lies_around_ours_or_ours_around_it():
    assert verdict("P1", answer({"P1": around(0.97, 0.005)}, "all networks")) == "inside"
    assert verdict("P1", answer({"P1": around(0.9, 0.2)}, "all networks")) == "inside"
    assert verdict("P1", answer({"P1": around(0.9, 0.06)}, "all networks")) == "direction"
    assert verdict("P1", answer({"P1": around(0.0, 0.06)}, "all networks")) == "not reproduced"


def test_both_parts_must_lie_inside():
    def bits(accuracy, boundary):
        parts = ("accuracy rule", "boundary-aware rule")
        return answer(
            {
                "C1": {
                    p: pd.Series([v] * 5) for p, v in zip(parts, (accuracy, boundary), strict=True)
                }
            }
        )

    assert verdict("C1", bits(6, 8)) == "inside"
    assert verdict("C1", bits(5, 8)) == "direction"
    assert verdict("C1", bits(8, 8)) == "not reproduced"


def test_only_the_standing_setting_speaks_for_a_claim():
    good, bad = around(paper_value("F2")), around(0.5)
    setting = claims()["F2"]["setting"]
    both = pd.concat([answer({"F2": bad}, setting), answer({"F2": good}, "another")])
    assert verdict("F2", both) == "not reproduced"
    assert standing("F2", both)["setting"].tolist() == [setting]
    assert verdict("F2", both, "another") == "inside"
    assert distance("F2", both) == pytest.approx((0.491 - 0.0535) / 0.018)


def test_without_an_answer_there_is_no_verdict(monkeypatch):
    nothing = answer({})
    assert verdict("D1", nothing) == "not answered" and math.isnan(distance("D1", nothing))
    empty = answer({"D1": pd.Series([np.nan])})
    assert verdict("D1", empty) == "not answered"
    closed = {**claims(), "D1": claims()["D1"] | {"not_testable": "a reason"}}
    monkeypatch.setattr(verdicts, "claims", lambda: closed)
    assert verdict("D1", answer({"D1": pd.Series([0.0])})) == "not testable"


def test_every_verdict_has_its_rule():
    found = {verdict(claim, answer({})) for claim in claims()} | {
        *("inside", "direction", "not reproduced", "not testable"),
    }
    assert found == set(RULES)
