"""The claims are those of the file, each with its value, and an answer stands beside the paper's."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from baq.claims import answer, claims, paper_value

FILE = Path(__file__).parents[1] / "book" / "claims.yml"


def test_every_claim_is_whole_and_has_its_own_id():
    entries = yaml.safe_load(FILE.read_text("utf-8"))
    assert list(claims()) == [entry["id"] for entry in entries]
    assert len(claims()) == len(entries)
    for entry in entries:
        assert list(entry) == ["id", "work", "quantity", "paper"]
        assert isinstance(entry["paper"], (int, float, str)) and str(entry["paper"]).strip()
        assert entry["work"].strip() and entry["quantity"].strip()
        assert claims()[entry["id"]] == entry


def test_the_digits_claims_have_the_values_of_the_abstract():
    values = {"D1": 0, "D2": 0.428, "D3": 0.9733, "D4": 0.970, "D5": 0.0290, "T1": 12, "T2": 34}
    assert {claim: paper_value(claim) for claim in values} == values
    assert isinstance(paper_value("D1"), float)


def test_shares_are_of_one():
    for claim, entry in claims().items():
        value = entry["paper"]
        if isinstance(value, (int, float)) and "cells" not in entry["quantity"]:
            assert 0 <= value <= 1, claim


def test_an_answer_stands_beside_the_papers_value():
    j = pd.Series(np.linspace(0, 1, 21))
    table = answer({"D2": j, "D1": pd.Series([0.0, 0.0, 3.0])})
    assert list(table) == [
        *("claim", "work", "quantity", "paper"),
        *("median", "lo", "hi", "n"),
    ]
    assert table["claim"].tolist() == ["D2", "D1"]
    first, second = table.iloc[0], table.iloc[1]
    assert first["paper"] == 0.428 and first["work"] == claims()["D2"]["work"]
    np.testing.assert_allclose(first[["median", "lo", "hi"]].astype(float), [0.5, 0.05, 0.95])
    assert (first["n"], second["n"], second["median"]) == (21, 3, 0)


@pytest.mark.parametrize("ask", [paper_value, lambda claim: answer({claim: pd.Series([1.0])})])
def test_unknown_claims_and_claims_in_words_are_named(ask):
    with pytest.raises(ValueError, match="claim is 'Z9': allowed are D1, D2, D3"):
        ask("Z9")
    with pytest.raises(ValueError, match="claim T4 has no number: the paper says 'at multiclass"):
        ask("T4")
