"""The sentences and tables of the chapter on which protocol, from rows that are counted by hand."""

import pandas as pd
import pytest

from baq.report import protocols as report

CHOICES = {
    "hidden": {"choices": 4, "equal": 3, "covered": 4, "decided": 2, "right": 1},
    "shuffled": {},
}


def control(kind, seed, group, inside, hit=1, gain=0.0):
    row = {"kind": kind, "seed": seed, "group": group, "numbers": 2, "inside": inside}
    return row | {"hit": hit, "best": 1, "gain": gain} | CHOICES[kind]


@pytest.fixture
def controls():
    """Two groups of two numbers; hidden ones have all inside, shuffled ones one or three of four."""
    rows = [control("hidden", s, g, 2, 2, 3.0) for s in (0, 1) for g in ("digits", "full")]
    rows += [control("shuffled", 0, g, n, 0, -1.0) for g, n in (("digits", 1), ("full", 0))]
    rows += [control("shuffled", 1, g, n, 2, 1.0) for g, n in (("digits", 2), ("full", 1))]
    return pd.DataFrame(rows)


@pytest.fixture
def rows(controls):
    groups = ["digits", "digits", "full", "full"]
    judged = pd.DataFrame({"group": groups, "inside": [True, True, True, False]})
    held = pd.DataFrame({"group": groups, "hit": [True, True, False, False], "best": False})
    held["gain"] = [1.0, 0.5, 0.0, -1.0]
    return report.compared(judged, held, controls)


def test_controls_stand_beside_the_paper_s_numbers(rows):
    every = rows[rows["group"] == "all"].set_index(["kind", "seed"])
    assert every.loc[("paper", 0), ["numbers", "inside", "hit", "best"]].tolist() == [4, 3, 2, 0]
    assert every.loc[("paper", 0), "gain"] == pytest.approx(0.5)
    assert every["inside"].tolist() == [3, 4, 4, 1, 3]
    shown = report.controls_table(rows)
    first = shown[shown["what is counted"] == "inside the best protocol of all"]
    last = first.set_index("claims on").loc["all"]
    assert last["the paper's numbers"] == "3"
    assert last["shuffled"] == "2.0 (1 to 3)"


def test_what_the_controls_say(controls, rows):
    """Found from three on: both hidden ones are, and of the shuffles one, which no method should."""
    said = report.controls_line(controls, rows, 3)
    assert "hidden control passes" in said and "in 2 of 2" in said and "hold 100%" in said
    assert "shuffled control does not pass: one is found in 1 of 2" in said
    # Inside, held out and bits: the second shuffle reaches the paper's 3, 2 and 0.5.
    assert "1 have as many" in said and "1 as many held-out" in said and "1 gain as many" in said
    assert "shuffled control passes" in report.controls_line(controls, rows, 4)
    # The hidden protocols gain 6 bits each, the paper's numbers 0.5.
    assert "less than 2 of 2 of them: they agree with one another less" in said
    lost = controls.assign(covered=controls["covered"] - 1)
    assert "hidden control does not pass" in report.controls_line(lost, rows, 3)


def test_a_value_is_decided_from_a_probability_on():
    """Of two equal values 0.9 and 0.1 the gain is 1 - H(0.9) = 0.531 bits."""
    rows = [("mask", v, "digits", 0.5, p) for v, p in (("one", 0.9), ("two", 0.1))]
    rows += [("scale", v, "digits", 0.5, 0.5) for v in ("tensor", "channel")]
    table = pd.DataFrame(rows, columns=["choice", "value", "group", "prior", "posterior"])
    found = report.decided(table).set_index("choice")
    assert found.loc["mask", "value"] == "one" and found.loc["mask", "decided"]
    assert found.loc["mask", "bits"] == pytest.approx(0.531, abs=1e-3)
    assert not found.loc["scale", "decided"] and found.loc["scale", "bits"] == pytest.approx(0)
    groups = {"mask": "digits", "scale": "digits"}
    assert report.open_ones(found.reset_index(), groups) == report.WORDS["scale"]
    assert report.decided_line(found.reset_index(), "digits") == "boundary mask: one (90%)"


def test_what_the_author_did_is_said_with_how_sure_it_is(controls):
    """Of choices that gained nothing nothing is said; half of what was decided of hidden protocols was right."""
    rows = [
        ("activation", "digits", "tanh", 0.5, 0.97, 0.8),
        ("hidden", "digits", "64", 0.5, 0.76, 0.3),
    ]
    rows += [
        ("zero", "digits", "symmetric", 0.75, 0.81, 0.02),
        ("pad", "digits", "0.1", 0.5, 0.4, 0.5),
    ]
    columns = ["choice", "group", "value", "prior", "posterior", "bits"]
    found = pd.DataFrame(rows, columns=columns)
    both = found.assign(group="together", value=["relu", "64", "symmetric", "0.1"])
    found = pd.concat([found, both])
    found = found.assign(decided=found["posterior"] >= 0.8)
    said = report.likely(found)
    assert said.startswith("On digits: tanh units (97%); perhaps 64 hidden units (76%). ")
    assert "In rounding: nothing that the prior does not say." in said
    assert "symmetric" not in said and "pad" not in said
    sure = report.how_sure(found, controls)
    assert "4 of 8 values (50%) with at least 80%" in sure
    assert "decide differently on activation (digits: tanh, together: relu): " in sure
    assert "activation" not in report.how_sure(found[found["choice"] != "activation"], controls)


def test_numbers_are_placed_in_their_interval():
    table = pd.DataFrame({"paper": ["0.5", "2 to 4"], "lo": [0.3, 1.0], "hi": [0.5, 2.0]})
    assert report.placed(table)["place"].tolist() == pytest.approx([1.0, 3.0])


def test_the_page_of_claims_has_the_inferred_protocol_beside_ours(tmp_path):
    """One number in both, outside under ours and inside under the inferred; one that was not inferred."""
    assert "not been executed" in report.beside(pd.DataFrame(), tmp_path / "answers.csv")
    inferred = {"number": ["T2"], "paper": ["34"], "mean": [19.4], "lo": [2.7], "hi": [36.0]}
    pd.DataFrame(inferred | {"inside": [True]}).to_csv(tmp_path / "answers.csv", index=False)
    ours = {"claim": ["T2", "T4"], "part": None, "quantity": "cells", "paper": ["34", "x"]}
    ours |= {"mean": 8.0, "at_least": 5.0, "at_most": 11.0, "verdict": "outside"}
    lines = report.beside(pd.DataFrame(ours), tmp_path / "answers.csv").splitlines()
    (row,) = [line for line in lines if "T2" in line]
    assert not [line for line in lines if "T4" in line]
    assert [cell.strip() for cell in row.split("|")][3:6:2] == ["34", "outside"]
    assert "19.4" in row and row.rstrip(" |").endswith("inside")
