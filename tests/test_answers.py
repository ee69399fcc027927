"""The table of claims follows from the chapters' tables, whatever of them is there."""

import re

import numpy as np
import pandas as pd
import pytest
from workflow.answers import collect, counts, disagreements, judged, summary, write_table
from workflow.claims_page import (
    claims_table,
    counts_line,
    disagreement_list,
    interval_plot,
    settings,
)

from baq.report.claims import answer, claims, paper_value
from baq.report.verdicts import RULES
from workflow import markdown

RNG = np.random.default_rng(0)
TITLES = {"01-local-geometry": "Local", "05-cifar-subsets": "Subsets", "06-cifar-full": "Full"}


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
    return {chapter: tmp_path / chapter for chapter in [*tables, "empty"]}


def test_every_claim_has_a_row_and_a_verdict(folders):
    table = judged(collect(folders), {"01-local-geometry": "live"})
    assert table["claim"].drop_duplicates().tolist() == list(claims())
    verdicts = table.drop_duplicates("claim").set_index("claim")["verdict"]
    assert verdicts["D5"] == "inside" and verdicts["C1"] == "direction"
    assert verdicts["D3"] == verdicts["F2"] == "not reproduced"
    assert verdicts["D1"] == "not answered", "another chapter's answer is none"
    assert sum(counts(table).values()) == len(claims())
    assert counts(table)["not answered"] == len(claims()) - 4
    assert table.loc[table["claim"] == "C1", "part"].tolist() == list(claims()["C1"]["paper"])
    assert table.set_index("claim")["run"][["D5", "F2"]].tolist() == ["live", ""]


def test_without_any_table_nothing_is_answered():
    table = judged(collect({}), {})
    assert counts(table)["not answered"] == len(claims())
    assert claims_table(table, {}).count("a chapter to come") == len(claims())
    assert disagreement_list(collect({})) == "No claim's value lies outside our interval."


def test_tables_of_older_books_have_no_settings(folders):
    path = folders["01-local-geometry"] / "claims.csv"
    pd.read_csv(path).drop(columns=["setting", "part"]).to_csv(path, index=False)
    assert judged(collect(folders), {}).set_index("claim")["verdict"]["D5"] == "inside"


def test_the_largest_disagreement_comes_first(folders):
    found = disagreements(collect(folders))
    assert [claim for claim, _ in found] == ["D3", "C1", "F2"]
    assert found[0][1] == np.inf > found[2][1] > 5
    text = disagreement_list(collect(folders))
    assert text.count("\n") == 2 and text.startswith("* **D3**, digits, 4-bit weights")


def test_the_written_table_reads_back(folders, tmp_path):
    table = judged(collect(folders), {})
    write_table(table, tmp_path / "made" / "claims.csv")
    back = pd.read_csv(tmp_path / "made" / "claims.csv", dtype={"paper": str})
    assert list(back) == list(table) and len(back) == len(table)
    assert back.set_index("claim")["paper"]["D4"] == "0.970"
    assert [path.name for path in (tmp_path / "made").iterdir()] == ["claims.csv"]


def test_the_summary_names_every_claim_once(folders):
    text = summary(judged(collect(folders), {}))
    named = [word for word in text.split() if word in claims()]
    assert sorted(named) == sorted(claims())
    assert all(line.startswith(tuple(RULES)) for line in text.splitlines())


def test_the_page_links_every_claim_to_the_figure_that_answers_it(folders):
    table = judged(collect(folders), {"06-cifar-full": "recorded"})
    page = claims_table(table, TITLES)
    assert page.count("[Full](06-cifar-full.ipynb#beside-the-paper) (recorded)") == 3
    assert "[Full](06-cifar-full.ipynb#better-accuracy-other-decisions) (recorded)" in page
    assert all(f'id="claim-{claim.lower()}"' in page for claim in claims())
    assert page.count("<svg") == 5, "a plot for every answered row"
    assert counts_line(table).startswith("Of the paper's 32 claims: **28** not answered, **1** ")
    rows = settings(collect(folders)).splitlines()
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


@pytest.mark.parametrize("cell", ["a|b", "a\nb"])
def test_a_cell_that_breaks_a_table_is_refused(cell):
    assert markdown.table(["a"], [[0.123456]]).endswith("| 0.1235 |")
    with pytest.raises(ValueError, match="allowed is one line without pipes"):
        markdown.table(["a"], [[cell]])
