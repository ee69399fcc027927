"""The sentences and tables of the chapter on which protocol, from rows that are counted by hand."""

import pandas as pd
import pytest

from baq.report import protocols as report

CHOICES = {
    "hidden": {"choices": 4, "equal": 3, "guess": 2.5, "covered": 4, "decided": 2, "right": 1},
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
    first = shown[shown["counted"] == "inside"]
    last = first.set_index("claims on").loc["all"]
    assert last["the paper's numbers"] == "3"
    assert last["shuffled"] == "2.0 (1 to 3)"


def test_what_the_controls_say(controls, rows):
    """Found from three on: both hidden ones are, and of the shuffles one, which no method should."""
    said = report.controls_line(controls, rows, 3)
    assert "hidden control passes" in said and "in 2 of 2" in said and "hold 100%" in said
    assert "shuffled control does not pass: so many lie inside in 1 of 2" in said
    assert "the most probable one has 75% right" in said and "would have 62%" in said
    # Inside, held out and bits: the second shuffle reaches the paper's 3, 2 and 0.5.
    assert "1 have as many" in said and "1 as many held-out" in said and "1 gain as many" in said
    assert "shuffled control passes" in report.controls_line(controls, rows, 4)
    # The hidden protocols gain 6 bits each, the paper's numbers 0.5.
    assert "less than 2 of 2 of them: they agree with one another less" in said
    lost = controls.assign(covered=controls["covered"] - 1)
    assert "hidden control does not pass" in report.controls_line(lost, rows, 3)


def test_what_of_the_hidden_protocols_was_found(controls):
    shown = report.found_table(controls).set_index("claims on")
    assert shown.loc["all"].tolist() == ["16", "75%", "62%", "100%", "4 of 8"]
    assert shown.loc["full", "right where decided"] == "2 of 4"


@pytest.fixture
def found():
    """Two groups and all numbers: mask is decided, scale too but for the group full, pad is open, zero follows the prior."""
    rows = [
        *(("mask", "two", g, 0.5, p) for g, p in (("digits", 0.7), ("together", 0.9))),
        *(("mask", "one", g, 0.5, p) for g, p in (("digits", 0.3), ("together", 0.1))),
        *(("scale", "tensor", g, 0.5, p) for g, p in (("full", 0.9), ("together", 0.04))),
        *(("scale", "channel", g, 0.5, p) for g, p in (("full", 0.1), ("together", 0.96))),
        *(("pad", v, "together", 0.5, p) for v, p in (("0.0", 0.796), ("0.1", 0.204))),
        *(("zero", v, "together", p, p) for v, p in (("symmetric", 0.85), ("asymmetric", 0.15))),
    ]
    columns = ["choice", "value", "group", "prior", "posterior"]
    table = report.decided(pd.DataFrame(rows, columns=columns))
    return table.assign(least=[0.6, 0.85, 0.85, 0.9, 0.7, 0.85], without="D2")


def test_a_value_is_decided_where_probable_and_no_group_decides_another(found):
    """Of two equal values 0.9 and 0.1 the gain is 1 - H(0.9) = 0.531 bits."""
    rows = found.set_index(["choice", "group"])
    assert rows.loc[("mask", "together"), "bits"] == pytest.approx(0.531, abs=1e-3)
    assert rows.loc[("zero", "together"), "bits"] == pytest.approx(0)
    assert rows.index[rows["decided"]].tolist() == [("mask", "together"), ("zero", "together")]
    assert rows.index[rows["apart"]].tolist() == [("scale", "full"), ("scale", "together")]
    assert report.open_ones(found) == f"{report.WORDS['scale']}; {report.WORDS['pad']}"
    shown = report.decided_table(found)
    assert shown["choice"].tolist() == [report.WORDS[n] for n in ("mask", "scale", "scale")]
    assert shown["numbers of"].tolist() == ["together", "together", "full"]
    assert shown["decided"].tolist() == ["whichever is left out", "no", "no"]
    assert shown["least without one number"].tolist()[0] == "85% (D2)"
    # A group whose favourite is another value, and not probable, decides nothing.
    mild = pd.DataFrame(
        [("mask", v, g, 0.5, p) for g, q in (("digits", 0.7), ("together", 0.1)) for v, p in (("one", q), ("two", 1 - q))],
        columns=["choice", "value", "group", "prior", "posterior"],
    )  # fmt: skip
    assert report.decided(mild)["decided"].tolist() == [False, True]


def test_what_the_author_did_is_said_from_all_numbers(found):
    """Values that groups disagree on are undecided; of choices that gained nothing nothing is said."""
    groups = {"mask": ["digits"], "scale": ["digits", "full"], "pad": ["digits"], "zero": ["full"]}
    said = report.likely(found, groups)
    assert said.startswith(
        "On digits: boundary masks of both sides (90%); perhaps a pad of 0.0 (79%). "
    )
    assert "full alone: tensor, 90%; all together: channel, 96%" in said
    assert "one scale for each output channel" not in said and "symmetric" not in said
    lean = found.iloc[[-2]].assign(group="digits", value="0.1", bits=0.3)
    assert lean["choice"].tolist() == ["pad"]
    said = report.likely(pd.concat([found, lean]), groups)
    assert "perhaps" not in said and said.endswith("lean to different values: pad.")
    assert report.firm(found) == "boundary masks of both sides (90%)"
    assert report.tops_line(found, "scale") == "full: tensor (90%), together: channel (96%)"
    assert report.firm(found.assign(least=0.5)) == ""


@pytest.mark.parametrize(
    ("p", "text"), [(0.996, ">99%"), (0.799, "79%"), (0.8, "80%"), (0.994, "99%"), (0.31, "31%")]
)
def test_a_percentage_says_no_more_than_the_probability(p, text):
    assert report.percent(p) == text


def test_how_sure_that_is(controls):
    sure = report.how_sure(controls, -2.0)
    assert (
        "4 of 8 values (50%)" in sure and "4.0 times less probable" in sure and "-2.0 bits" in sure
    )
    assert "2.0 times more probable" in report.how_sure(controls, 1.0)


def test_held_out_numbers_are_told_with_what_the_prior_alone_has():
    held = pd.DataFrame({"group": ["digits", "digits", "full", "full"], "number": list("abcd")})
    held = held.assign(hit=[True, True, True, False], best=[True, False, False, False], prior=True)
    held["gain"] = [2.0, 0.5, 0.4, -0.5]
    said = report.held_line(held, 0.7)
    assert "mixture has 3 of 4 inside (75%: reached)" in said
    assert "alone 1 of 4 inside (25%: missed)" in said
    assert "prior alone has 4" in said and "(digits 2.5, full -0.1)" in said
    assert "Of full, with less than one," in said and said.endswith("mixture: d.")


def test_the_order_of_pairs_and_counts_is_told():
    """R1 to R2 falls in the paper and rises here; S1 to S2 falls in both; T2 is largest in the paper alone."""
    paper = {
        "R1": "0.457",
        "R2": "0.435",
        "S1": "0.0094",
        "S2": "0.0022",
        "T1": "12",
        "T2": "34",
        "T3": "17",
    }
    rows = pd.DataFrame({"number": list(paper), "paper": list(paper.values())})
    rows["mean"] = [0.3, 0.4, 0.01, 0.005, 20.0, 10.0, 15.0]
    said = report.pattern_line(rows)
    assert "of 2 pairs" in said and "its way in 1, and not in R1 to R2" in said
    assert (
        "(12, 34, 17) is 2.8 times the least" in said
        and "2.0 times, and not in the same order" in said
    )


def test_an_interval_is_shown_within_the_range_of_its_measure():
    """Counts are not below 0, and J is not above 1."""
    rows = pd.DataFrame({"number": ["D1", "S3"], "paper": ["0", "0.825"], "mean": [0.4, 0.84]})
    rows = rows.assign(lo=[-0.9, 0.5], hi=[1.7, 1.2], inside=True)
    shown = report.numbers_table(rows, rows)["best protocol of its group"].tolist()
    assert shown == ["0.400 [0.000, 1.700]", "0.840 [0.500, 1.000]"]


def test_how_probable_the_best_protocol_is(found):
    said = report.best_line(found, {"mask": "two", "scale": "tensor"}, {"together": (0.0125, 4000)})
    assert (
        "together 4,000, the best with 1.25%" in said
        and "so it is here with what shares a scale (tensor)" in said
    )
    assert "combination" not in report.best_line(found, {"mask": "two"}, {})


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
