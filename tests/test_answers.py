"""The table of claims follows from the chapters' tables, whatever of them is there."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from baq.report.answers import (
    agreement,
    chance_sentence,
    claims_table,
    collect,
    counts,
    counts_line,
    disagreement_list,
    experiment,
    experiments_table,
    foretold,
    judged,
    rules_list,
    settings_table,
    show_answers,
    summary,
)
from baq.report.claims import answer, claims, paper_value
from baq.report.excerpts import markdown_table
from baq.report.verdicts import RULES

RNG = np.random.default_rng(0)
EMPTY = collect(Path("nowhere"), "experiments")


@pytest.fixture
def folders(tmp_path):
    """Tables of two chapters: one inside, one far outside, one in parts, one in two settings."""
    near = pd.Series(paper_value("D5") + RNG.normal(0, 0.01, 20))
    tables = {
        "01-local-geometry": [answer({"D3": near * 0, "D5": near})],
        "05-cifar-subsets": [
            answer({"C1": {"accuracy rule": near * 0 + 5, "boundary-aware rule": near * 0 + 8}})
        ],
        "06-cifar-full": [
            answer({"F2": near + 0.5, "D1": near}, setting)
            for setting in (claims()["F2"]["setting"], "another")
        ],
    }
    for chapter, parts in tables.items():
        (tmp_path / chapter).mkdir()
        pd.concat(parts).to_csv(tmp_path / chapter / "claims.csv", index=False)
    (tmp_path / "empty").mkdir()
    return tmp_path


def test_every_claim_has_a_row_and_a_verdict(folders):
    table = judged(collect(folders))
    assert table["claim"].drop_duplicates().tolist() == list(claims())
    verdicts = table.drop_duplicates("claim").set_index("claim")["verdict"]
    assert verdicts["D5"] == "inside" and verdicts["C1"] == "direction only"
    assert verdicts["D3"] == verdicts["F2"] == "not reproduced"
    assert verdicts["D1"] == "not answered", "another chapter's answer is none"
    assert sum(counts(table).values()) == len(claims())
    assert counts(table)["not answered"] == len(claims()) - 4
    assert table.loc[table["claim"] == "C1", "part"].tolist() == list(claims()["C1"]["paper"])


def test_without_any_table_nothing_is_answered():
    table = judged(collect(Path("nowhere")))
    assert counts(table)["not answered"] == len(claims())
    assert claims_table(table, EMPTY).count("[not answered]") == len(table)
    assert disagreement_list(table).startswith("No number of the paper lies outside")
    assert experiments_table(EMPTY).startswith("*No experiment")


def test_tables_of_older_books_lack_columns(folders):
    path = folders / "01-local-geometry" / "claims.csv"
    table = pd.read_csv(path).drop(columns=["setting", "part"])
    table.to_csv(path, index=False)
    assert judged(collect(folders)).set_index("claim")["verdict"]["D5"] == "inside"
    table.drop(columns=["mean", "std", "of"]).to_csv(path, index=False)
    found = judged(collect(folders)).set_index("claim")
    assert found["verdict"]["D5"] == "not answered", "without a spread nothing is judged"
    for other in ("05-cifar-subsets", "06-cifar-full"):
        (folders / other / "claims.csv").unlink()
    assert counts(judged(collect(folders)))["not answered"] == len(claims())


def test_the_largest_ratio_comes_first_either_way(folders):
    table = judged(collect(folders))
    ratio = table.drop_duplicates("claim").set_index("claim")["ratio"]
    assert ratio["D3"] == 0 and ratio["F2"] == pytest.approx(0.53 / 0.053, rel=0.1)
    items = disagreement_list(table).splitlines()
    assert [item.split("**")[1] for item in items] == ["D3", "F2", "C1"], (
        "a tenth of it, tenfold, 5 for 6"
    )
    assert items[0].startswith("* **D3**, digits, 4-bit weights")
    assert disagreement_list(table, 1) == items[0]
    assert items[2].count("paper") == 4, "every part of a claim is told"


def test_the_ratio_of_a_range_a_word_and_zero_is_none(folders):
    near = pd.Series(RNG.normal(0.97, 0.01, 20))
    answers = pd.concat(
        [
            answer({"D1": near}),
            answer({"P1": near}, "all networks"),
            answer({"T4": near}, "changed cells"),
        ]
    )
    table = judged(answers).set_index("claim").loc[["D1", "P1", "T4"]]
    assert table["ratio"].isna().all()
    assert table["same_sign"].tolist() == [None, True, True]


def test_claims_that_a_convention_was_fitted_to_are_told(folders):
    table = judged(collect(folders))
    assert "D3, S1, S2, C2, C4, F2, F3, O1 were used to choose" in chance_sentence(table)
    assert claims_table(table, EMPTY).count("Chosen to fit it:") == 8


def test_an_experiment_stands_beside_its_claim(folders):
    row = experiment("D3", "a reason", True, "It was 0.5, not 0.7.", "a-section")
    row.to_csv(folders / "01-local-geometry" / "experiments.csv", index=False)
    experiment("F2", "another", False, "So it was.", "it").to_csv(
        folders / "06-cifar-full" / "experiments.csv", index=False
    )
    found = collect(folders, "experiments")
    assert found["claim"].tolist() == ["D3", "F2"] and found["refuted"].tolist() == [True, False]
    page = claims_table(judged(collect(folders)), found)
    assert "[a reason](01-local-geometry.ipynb#a-section): refuted" in page
    assert "[another](06-cifar-full.ipynb#it): not refuted" in page
    assert "It was 0.5, not 0.7." in experiments_table(found)
    with pytest.raises(ValueError, match="claim is 'X9': allowed are"):
        experiment("X9", "", True, "", "")


def test_a_part_that_only_some_seeds_answer_says_in_how_many():
    parts = {"accuracy rule": [6.0] * 4, "boundary-aware rule": [8.0, np.nan, 7.0, np.nan]}
    page = claims_table(judged(answer({"C1": {k: pd.Series(v) for k, v in parts.items()}})), EMPTY)
    assert page.count(" seeds |") == 1 and ", in 2 of 4 seeds |" in page


def test_answers_are_shown_with_what_judges_them(tmp_path, monkeypatch):
    monkeypatch.setenv("BAQ_RESULTS", str(tmp_path))
    far = pd.Series([0.9, 0.91, 0.92])
    given = pd.concat([answer({"S3": far, "S4": far - 0.1}), answer({"O2": far > 0.9}, "a")])
    shown = show_answers(given).data
    assert shown["verdict"].tolist() == ["direction only", "direction only", "", "direction only"]
    assert shown["our mean [interval]"].iloc[2] == "-0.100 [-0.100, -0.100]"
    assert shown["our mean [interval]"].iloc[3] == "2 of 3 seeds"
    saved = pd.read_csv(tmp_path / "claims.csv")
    assert saved["std"].iloc[0] == pytest.approx(0.01) and (saved["of"] == 3).all()
    unknown = show_answers(answer({"D2": pd.Series([np.nan, np.nan])})).data
    assert unknown["our mean [interval]"].tolist() == ["–"]


def test_the_summary_names_every_claim_once(folders):
    text = summary(judged(collect(folders)))
    named = [word for word in text.split() if word in claims()]
    assert sorted(named) == sorted(claims())
    assert all(line.startswith(tuple(RULES)) for line in text.splitlines())


def test_the_page_links_every_claim_to_the_figure_that_answers_it(folders):
    table = judged(collect(folders))
    page = claims_table(table, EMPTY)
    assert page.count("](06-cifar-full.ipynb#beside-the-paper)") == 3
    assert "[not answered](06-cifar-full.ipynb#better-accuracy-other-decisions)" in page
    assert all(f'id="claim-{claim.lower()}"' in page for claim in claims())
    assert counts_line(table).startswith(
        "Of 32 claims **1** come out within the scatter of new runs"
    )
    assert counts_line(table).endswith("**28** have no answer yet.")
    rows = settings_table(collect(folders)).splitlines()
    assert len(rows) == 8 and "**cnn, per tensor**, taken since" in rows[5]


def test_every_verdict_is_explained():
    assert [item.partition("\n")[0] for item in rules_list().split("\n\n")] == list(RULES)


@pytest.mark.parametrize("cell", ["a|b", "a\nb"])
def test_a_cell_that_breaks_a_table_is_refused(cell):
    assert markdown_table(["a"], [["b"]], "What", "c d") == (
        "```{table} What\n:class: c d\n\n| a |\n| --- |\n| b |\n```"
    )
    assert markdown_table(["a"], [[0.123456]]).endswith("| 0.1235 |")
    with pytest.raises(ValueError, match="allowed is one line without pipes"):
        markdown_table(["a"], [[cell]])


def test_a_grid_that_is_behind_one_claim_and_not_another_is_said_not_to_be_behind_both():
    reason = "the paper's grid is coarser than ours"
    rows = [("C3", reason, "5.5"), ("C5", reason, "4.1 5.5"), ("R1", "x", "2.0")]
    tried = pd.DataFrame(rows, columns=["claim", "mechanism", "inside_at"])
    assert agreement(tried).endswith(
        "5.5 times (C3), 4.1 or 5.5 times (C5); 5.5 times does for all."
    )
    tried.loc[0, "inside_at"] = ""
    assert agreement(tried).endswith(
        "no times (C3), 4.1 or 5.5 times (C5); none of these does for all, which refutes one grid of such "
        "planes behind all of them, and not a grid for each work."
    )
    assert agreement(tried[:1]) == agreement(EMPTY) == ""


@pytest.mark.parametrize(("law", "refuted"), [(0.172, False), (0.2, True)])
def test_a_law_is_refuted_outside_the_interval_of_our_values(law, refuted):
    values = pd.Series([0.171, 0.173, 0.175])
    row = foretold("O1", values, law, "a law", "It says so.", "here")
    half = stats.t.ppf(0.95, 2) * values.std() * (1 + 1 / 3) ** 0.5
    assert row["refuted"].tolist() == [refuted] == [abs(law - 0.173) > half]
    side = "outside" if refuted else "inside"
    assert row["result"].item().startswith("It says so. Ours are 0.173 [")
    assert row["result"].item().endswith(f": the law lies {side}.")
    assert foretold("O1", values[:1], law, "a law", "", "here").empty
