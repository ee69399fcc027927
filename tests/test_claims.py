"""The claims are those of the file, each with its value, and an answer stands beside the paper's."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from baq.report.claims import (
    COLUMNS,
    WORDS,
    answer,
    by_setting,
    claims,
    in_few_words,
    limits,
    paper_number,
    paper_parts,
    paper_text,
    paper_value,
)

ROOT = Path(__file__).parents[1]
FILES = sorted((ROOT / "book" / "claims").glob("*.yml"))
ALLOWED = {
    *("id", "statement", "work", "quantity", "paper", "after", "sign", "given"),
    *("chapter", "section", "setting", "why", "not_testable", "runs", "chose", "limits"),
}


def test_every_claim_is_whole_and_has_its_own_id():
    entries = []
    for path in FILES:
        group = yaml.safe_load(path.read_text("utf-8"))
        assert {entry["id"][0] for entry in group} == {path.name.partition("-")[0]}
        entries += group
    assert sorted(claims()) == sorted(entry["id"] for entry in entries)
    for entry in entries:
        assert claims()[entry["id"]] == entry
        assert entry.keys() <= ALLOWED
        for key in ("statement", "work", "quantity", "chapter"):
            assert entry[key].strip()
        assert ("setting" in entry) == ("why" in entry), "a setting needs its reason"
        assert entry.get("after") in (None, *claims())
        assert entry.get("sign") in (None, "falls", "rises")
        numbers = [paper_number(entry["id"], part) for part in paper_parts(entry["id"])]
        assert ("runs" in entry) == isinstance(numbers[0], float), "a number is a mean over runs"
        assert entry.get("runs", 1) >= 1


def test_what_the_paper_says_is_a_printed_number_or_one_of_few_words():
    for claim, entry in claims().items():
        parts = entry["paper"] if isinstance(entry["paper"], dict) else [""]
        for part in parts:
            text = paper_text(claim, part)
            assert text in WORDS or all(float(end) >= 0 for end in text.split(" to "))


def test_no_two_claims_are_the_same_in_few_words():
    told = [in_few_words(claim, part) for claim in claims() for part in paper_parts(claim)]
    assert len({(text[0], text.partition(" ")[2]) for text in told}) == len(told)
    assert in_few_words("S3") == "S3 held-out J, accuracy"
    assert in_few_words("R2") == "R2 J, with the boundary-gap term"
    assert in_few_words("D3") == "D3 test accuracy"
    assert in_few_words("C1", "accuracy rule") == "C1 bits picked, accuracy"


def test_the_digits_claims_have_the_values_of_the_abstract():
    values = {"D1": 0, "D2": 0.428, "D3": 0.9733, "D4": 0.970, "D5": 0.0290, "T1": 12, "T2": 34}
    assert {claim: paper_value(claim) for claim in values} == values
    assert isinstance(paper_value("D1"), float)
    assert paper_text("D4") == "0.970", "as the paper prints it"
    assert paper_value("C1", "boundary-aware rule") == 8
    assert paper_number("P1") == "0.947 to 0.994" and paper_number("S5") == "falls"


def test_shares_are_of_one():
    for claim, entry in claims().items():
        value = paper_number(claim) if isinstance(entry["paper"], str) else 0.0
        if isinstance(value, float) and "cells" not in entry["quantity"]:
            assert 0 <= value <= 1, claim


def test_an_answer_stands_beside_the_papers_value():
    j = pd.Series(np.linspace(0, 1, 21))
    table = answer({"D2": j, "D1": pd.Series([0.0, 0.0, 3.0])}, "as above")
    assert tuple(table) == COLUMNS
    assert table["claim"].tolist() == ["D2", "D1"]
    first, second = table.iloc[0], table.iloc[1]
    assert first["paper"] == 0.428 and first["work"] == claims()["D2"]["work"]
    assert first["setting"] == "as above" and first["part"] == ""
    np.testing.assert_allclose(first[["median", "lo", "hi"]].astype(float), [0.5, 0.05, 0.95])
    assert (first["n"], second["n"], second["median"]) == (21, 3, 0)


def test_a_comparison_gets_its_paired_difference():
    before, after = pd.Series([3.0, 1.0, 2.0], index=[7, 8, 9]), pd.Series([1.0, 0.0, 0.0])
    table = answer({"S1": before, "S2": after})
    assert table["part"].tolist() == ["", "", "less S1"]
    assert table["claim"].tolist() == ["S1", "S2", "S2"]
    last = table.iloc[-1]
    assert last["paper"] == -0.0072 and last["median"] == -2, "paired by place, not by index"
    assert answer({"S2": after})["part"].tolist() == [""]
    with pytest.raises(ValueError, match="claim S2 compares 2 with 3 seeds: allowed are equal"):
        answer({"S1": before[:2], "S2": after})


def test_the_parts_of_a_claim_are_rows_and_so_is_their_difference():
    bits = {"accuracy rule": pd.Series([5, 6]), "boundary-aware rule": pd.Series([8, 8])}
    table = answer({"C1": bits})
    assert table["part"].tolist() == [*bits, "less accuracy rule"]
    assert table["paper"].tolist() == [6, 8, 2]
    assert table["median"].tolist() == [5.5, 8, 2.5]
    with pytest.raises(ValueError, match="part of claim C1 is '': allowed are 'accuracy rule', "):
        answer({"C1": pd.Series([1.0])})


def test_words_take_differences_and_truth_values():
    table = answer({"S5": pd.Series([-0.2, -0.1]), "O2": pd.Series([False, True, True])})
    assert table["paper"].tolist() == ["falls", "occurs"]
    assert table["median"].tolist() == [pytest.approx(-0.15), 1]


@pytest.mark.parametrize("ask", [paper_value, lambda claim: answer({claim: pd.Series([1.0])})])
def test_unknown_claims_are_named(ask):
    with pytest.raises(ValueError, match="claim is 'Z9': allowed are D1, D2, D3"):
        ask("Z9")


@pytest.mark.parametrize("claim", ["S5", "P1"])
def test_claims_without_a_number_are_named(claim):
    with pytest.raises(ValueError, match=f"claim {claim} has no single number: the paper says"):
        paper_value(claim)


def test_a_setting_answers_a_claim_where_new_runs_could_have_the_papers_value():
    paper = paper_value("F2")
    frame = pd.DataFrame(
        {
            "setting": ["around"] * 2 + ["beyond"] * 2 + ["alone"],
            "flips": [paper - 0.01, paper + 0.03, paper + 0.0149, paper + 0.0151, paper],
        }
    )
    found = by_setting(frame, {"F2": "flips"})
    assert found["setting"].tolist() == ["around", "beyond", "alone"]
    assert found["within"].tolist() == [True, False, False], "one seed tells nothing"
    assert set(found["measure"]) == {"F2"} and set(found["paper"]) == {paper}
    np.testing.assert_allclose(found["median"], [paper + 0.01, paper + 0.015, paper])
    with pytest.raises(ValueError, match="claim O2 has no single number"):
        by_setting(frame, {"O2": "flips"})


def test_a_measure_has_limits():
    """Bits, losses and correlations that may be negative, counts without a largest, changes, else shares."""
    assert limits("C1", "accuracy rule") == (2, 8) and limits("T2") == (0, np.inf)
    assert limits("F1") == limits("P1") == limits("S5") == (-1, 1)
    assert limits("F2") == limits("D2") == limits("O2") == (0, 1)
