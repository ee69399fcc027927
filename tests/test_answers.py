"""The table of claims follows from the chapters' tables, whatever of them is there."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from baq.report.answers import (
    claims_table,
    collect,
    counts,
    counts_line,
    disagreement_list,
    interval_plot,
    judged,
    rules_list,
    settings_table,
    summary,
)
from baq.report.claims import answer, claims, paper_value
from baq.report.excerpts import markdown_table
from baq.report.verdicts import RULES

RNG = np.random.default_rng(0)


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
    assert verdicts["D5"] == "inside" and verdicts["C1"] == "direction"
    assert verdicts["D3"] == verdicts["F2"] == "not reproduced"
    assert verdicts["D1"] == "not answered", "another chapter's answer is none"
    assert sum(counts(table).values()) == len(claims())
    assert counts(table)["not answered"] == len(claims()) - 4
    assert table.loc[table["claim"] == "C1", "part"].tolist() == list(claims()["C1"]["paper"])


def test_without_any_table_nothing_is_answered():
    table = judged(collect(Path("nowhere")))
    assert counts(table)["not answered"] == len(claims())
    assert claims_table(table).count("**not answered**") == len(claims())
    assert disagreement_list(table) == "No claim's value lies outside our interval."


def test_tables_of_older_books_have_no_settings(folders):
    path = folders / "01-local-geometry" / "claims.csv"
    pd.read_csv(path).drop(columns=["setting", "part"]).to_csv(path, index=False)
    assert judged(collect(folders)).set_index("claim")["verdict"]["D5"] == "inside"


def test_the_largest_disagreement_comes_first(folders):
    table = judged(collect(folders))
    beyond = table.drop_duplicates("claim").set_index("claim")["distance"]
    assert beyond["D3"] == beyond["C1"] == np.inf > beyond["F2"] > 5
    items = disagreement_list(table).splitlines()
    assert [item.split("**")[1] for item in items] == ["D3", "C1", "F2"]
    assert items[0].startswith("* **D3**, digits, 4-bit weights")
    assert disagreement_list(table, 1) == items[0]
    assert items[1].count("paper") == 2, "every part of a claim is told"


def test_the_summary_names_every_claim_once(folders):
    text = summary(judged(collect(folders)))
    named = [word for word in text.split() if word in claims()]
    assert sorted(named) == sorted(claims())
    assert all(line.startswith(tuple(RULES)) for line in text.splitlines())


def test_the_page_links_every_claim_to_the_figure_that_answers_it(folders):
    table = judged(collect(folders))
    page = claims_table(table)
    assert page.count("[chapter 06](06-cifar-full.ipynb#beside-the-paper)") == 3
    assert "[chapter 06](06-cifar-full.ipynb#better-accuracy-other-decisions)" in page
    assert all(f'id="claim-{claim.lower()}"' in page for claim in claims())
    assert page.count("<svg") == 5, "a plot for every answered row"
    assert counts_line(table).startswith("Of the paper's 32 claims: **28** not answered, **1** ")
    rows = settings_table(collect(folders)).splitlines()
    assert len(rows) == 8 and "**cnn, per tensor**, taken since" in rows[5]


def test_a_plot_has_its_marks_in_order_and_words_for_who_cannot_see_it():
    plot = interval_plot("0.5", 0.2, 0.1, 0.3, 'paper "0.5" & ours')
    assert 'role="img" aria-label="paper &quot;0.5&quot; &amp; ours"' in plot
    bar, median, paper = (float(x) for x in re.findall(r'd="M([\d.]+) ', plot)[1:])
    assert bar < median < paper
    assert "stroke-dasharray" in interval_plot("falls", -1, -2, 0.5, "")
    assert interval_plot("0.9 to 0.99", 0.95, 0.9, 0.99, "").count("l6 6-6 6-6-6z") == 2
    flat = interval_plot("1", 1, 1, 1, "")
    assert "nan" not in flat and "inf" not in flat


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
