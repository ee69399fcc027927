"""Every claim with its answer, its verdict and its experiment, from the chapters' tables.

A claim is answered in the chapter that ``book/claims/`` names, which saves the answer in its table
``claims``. Where the paper's value is not ours, the chapter tries the suspected reason by an experiment that
could refute it, and saves what came out in its table ``experiments`` (:func:`experiment`). Here these tables
come together, for the page that ``notebooks/claims.py`` makes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from IPython.display import Markdown
from pandas.io.formats.style import Styler

from baq.report.claims import (
    COLUMNS,
    answer,
    claims,
    paper_number,
    paper_parts,
    paper_text,
    paper_value,
)
from baq.report.columns import alike
from baq.report.excerpts import markdown_table
from baq.report.tables import interval_text, save, show
from baq.report.verdicts import (
    RULES,
    expected,
    judging_interval,
    outlying,
    same_sign,
    standing,
    verdict,
)
from baq.slices.grids import grid_reaching

__all__ = [
    "EXPERIMENT",
    "JUDGED",
    "agreement",
    "chance_sentence",
    "claims_table",
    "collect",
    "counts",
    "counts_line",
    "disagreement_list",
    "experiment",
    "experiments_table",
    "foretold",
    "judged",
    "list_experiments",
    "retried",
    "retried_on_grid",
    "rules_list",
    "settings_table",
    "show_answers",
    "summary",
]

#: The columns of the table of verdicts.
JUDGED = (
    *("claim", "part", "quantity", "paper", "median", "lo", "hi", "n"),
    *("mean", "at_least", "at_most", "ratio", "same_sign", "verdict", "chosen", "chapter"),
)
#: The columns of a chapter's table of experiments.
EXPERIMENT = ("claim", "mechanism", "refuted", "result", "section", "inside_at")
#: The reason suspected where J is larger than the paper's.
_COARSER = "the paper's grid is coarser than ours"


def collect(results: Path, name: str = "claims") -> pd.DataFrame:
    """The answers of all chapters, each to its own claims, with a column ``chapter``.

    Arguments:
        results: the folder with a folder of tables for each chapter.
        name: ``claims``, or ``experiments`` for the tables of those.
    """
    columns = COLUMNS if name == "claims" else EXPERIMENT
    found = []
    for path in sorted(results.glob(f"*/{name}.csv")):
        chapter = path.parent.name
        table = pd.read_csv(
            path, dtype=dict.fromkeys(("setting", "part", "paper", "inside_at"), str)
        )
        table = table.reindex(columns=list(columns))  # those of older books lack some
        for key in {"setting", "part", "inside_at"} & set(columns):
            table[key] = table[key].astype(object).fillna("")
        own = [claims().get(claim, {}).get("chapter") == chapter for claim in table["claim"]]
        found.append(table[own].assign(chapter=chapter))
    empty = pd.DataFrame(columns=[*columns, "chapter"])
    return pd.concat(found, ignore_index=True) if found else empty


def experiment(
    claim: str, mechanism: str, refuted: bool, result: str, section: str, inside_at: str = ""
) -> pd.DataFrame:
    """One row of a chapter's table ``experiments``: why our value is not the paper's, tried.

    Arguments:
        claim: the id of a claim that the chapter answers.
        mechanism: the suspected reason, in a clause that needs no number.
        refuted: whether the experiment speaks against it.
        result: what came out, in a sentence written from the experiment's numbers.
        section: of the chapter that shows it, as a link names it.
        inside_at: the settings tried at which the paper's number lies inside, between spaces.

    Raises:
        ValueError: for an unknown claim.
    """
    paper_parts(claim)
    row = (claim, mechanism, bool(refuted), result, section, inside_at)
    return pd.DataFrame([row], columns=list(EXPERIMENT))


def retried(
    claim: str, values: pd.Series, mechanism: str, where: str, section: str
) -> pd.DataFrame:
    """An experiment that answers a claim again under the condition that is suspected to explain the difference.

    The suspicion is refuted if the paper's number lies outside the prediction interval there too.

    Arguments:
        claim, mechanism, section: as for :func:`experiment`; a claim with a single number.
        values: one a seed.
        where: what is different, as the beginning of a sentence: ``At 6 bits the flip rate is``.

    Returns:
        The row of the experiment; no row for fewer than two values, which have no interval.
    """
    if values.count() < 2:
        return pd.DataFrame(columns=list(EXPERIMENT))
    row = answer({claim: values}, claims()[claim].get("setting", ""))
    (found,) = row.itertuples()
    inside = verdict(claim, row) == "inside"
    result = (
        f"{where} {_ours(found, *judging_interval(found))}; the paper's {paper_text(claim)} lies "
        f"{'inside' if inside else 'outside'}."
    )
    return experiment(claim, mechanism, not inside, result, section)


def foretold(
    claim: str, values: pd.Series, expected: float, mechanism: str, told: str, section: str
) -> pd.DataFrame:
    """An experiment on a law that gives a claim's number without us: whether it gives ours as well.

    It is refuted if what the law gives lies outside the prediction interval of our values.

    Arguments:
        claim, values, mechanism, section: as for :func:`retried`.
        expected: what the law gives.
        told: sentences that come first in the result.

    Returns:
        The row of the experiment; no row for fewer than two values.
    """
    if values.count() < 2:
        return pd.DataFrame(columns=list(EXPERIMENT))
    (found,) = answer({claim: values}, claims()[claim].get("setting", "")).itertuples()
    lo, hi = judging_interval(found)
    inside = lo <= expected <= hi
    result = (
        f"{told} Ours are {_ours(found, lo, hi)}: the law lies {'inside' if inside else 'outside'}."
    )
    return experiment(claim, mechanism, not inside, result, section)


def retried_on_grid(claim: str, jaccards: pd.Series, n: int, section: str) -> pd.DataFrame:
    """A claim on J tried on coarser grids than ours: on which the paper's number lies inside.

    Arguments:
        claim, section: as for :func:`experiment`.
        jaccards: J by ``n``, the cells a side, and ``seed``.
        n: ours.

    Returns:
        The row of the experiment, refuted if there is no such grid; ``inside_at`` has by how much those are
        coarser than ours. No row without a coarser grid on which there are two seeds or more.
    """
    setting, paper = claims()[claim].get("setting", ""), paper_value(claim)
    found = {}
    for cells, values in jaccards.dropna().groupby("n"):
        if cells < n and len(values) > 1:
            found[int(cells)] = answer({claim: values.droplevel("n")}, setting)
    if not found:
        return pd.DataFrame(columns=list(EXPERIMENT))
    inside = [cells for cells, row in found.items() if verdict(claim, row) == "inside"]
    means = {cells: float(row["mean"].iloc[0]) for cells, row in found.items()}
    told = {}
    for cells, row in found.items():
        (one,) = row.itertuples()
        told[cells] = f"{cells} (J {_ours(one, *judging_interval(one))})"
    near = min(means, key=lambda cells: abs(means[cells] - paper))
    result = (
        f"With {_listed(found)} cells a side, where ours are {n}, the paper's {paper_text(claim)} lies inside with "
        f"{_listed(told[cells] for cells in inside) or f'none, the nearest being {told[near]}'}."
    )
    passes = grid_reaching(list(means), list(means.values()), paper)
    if not math.isnan(passes):
        result += f" In the mean it passes the paper's at {passes:.0f} cells."
    factors = " ".join(f"{n / cells:.1f}" for cells in reversed(inside))
    return experiment(claim, _COARSER, not inside, result, section, factors)


def list_experiments(found: Sequence[pd.DataFrame]) -> Markdown:
    """Save a chapter's experiments as its table ``experiments``, and return what came out as a list."""
    table = pd.concat(found, ignore_index=True)
    if len(table):
        save(table, "experiments")
    lines = [
        f"* **{row.claim}**: {row.mechanism}. *{_outcome(row.refuted).capitalize()}.* {row.result}"
        for row in table.itertuples()
    ]
    return Markdown("\n".join(lines) or "*Too few seeds for an experiment.*")


def show_answers(answers: pd.DataFrame) -> Styler:
    """Save a chapter's answers as its table ``claims``, and return them with their verdicts for display."""
    lines = []
    for (claim, setting), rows in answers.groupby(["claim", "setting"], sort=False):
        for row in rows.itertuples():
            lo, hi = judging_interval(row)
            lines.append(
                {
                    "claim": claim,
                    "setting": setting,
                    "part": row.part,
                    "quantity": row.quantity,
                    "paper": _said(row),
                    "our mean [interval]": _ours(row, lo, hi),
                    "seeds": row.n,
                    "verdict": "" if row.part else verdict(claim, answers, setting),
                }
            )
    return show(answers, "claims", shown=pd.DataFrame(lines))


def judged(answers: pd.DataFrame) -> pd.DataFrame:
    """One row a claim, or a part of one: columns ``JUDGED``.

    ``ratio`` is that of our mean to the paper's number, where it gives one other than 0; ``same_sign`` tells
    whether a sign, an order or a statement of the paper is ours, where it makes one; ``chosen`` what we chose
    to fit the claim, which therefore is no evidence.
    """
    rows = []
    for claim, entry in claims().items():
        shared = {
            "claim": claim,
            "quantity": entry["quantity"],
            "verdict": verdict(claim, answers),
            "same_sign": same_sign(claim, answers),
            "chosen": entry.get("chose", ""),
            "chapter": entry["chapter"],
        }
        found = standing(claim, answers)
        for row in found.itertuples():
            ours = {
                name: getattr(row, name) for name in ("part", "median", "lo", "hi", "n", "mean")
            }
            ours |= dict(zip(("at_least", "at_most"), judging_interval(row), strict=True))
            paper = paper_number(claim, row.part)
            ours["ratio"] = row.mean / paper if isinstance(paper, float) and paper else math.nan
            rows.append(shared | ours | {"paper": paper_text(claim, row.part)})
        if found.empty:
            rows += [
                shared | {"part": p, "paper": paper_text(claim, p)} for p in paper_parts(claim)
            ]
    return pd.DataFrame(rows, columns=list(JUDGED)).astype({"n": "Int64"})


def counts(table: pd.DataFrame) -> dict[str, int]:
    """How many claims have each verdict, in the order of ``RULES``."""
    of = table.drop_duplicates("claim")["verdict"].value_counts()
    return {name: int(of.get(name, 0)) for name in RULES}


def summary(table: pd.DataFrame) -> str:
    """Every verdict with its number of claims and their ids, for a terminal."""
    first = table.drop_duplicates("claim")
    lines = []
    for name, number in counts(table).items():
        if number:
            ids = " ".join(first.loc[first["verdict"] == name, "claim"])
            lines.append(f"{name:<15}{number:>3}  {ids}")
    return "\n".join(lines)


def counts_line(table: pd.DataFrame) -> str:
    """How many claims came out how, in sentences of Markdown that need no definitions."""
    number, of = table["claim"].nunique(), counts(table)
    words = {
        "inside": "come out within the scatter of new runs",
        "direction only": "agree in sign or order",
        "not reproduced": "did not come out",
        "not testable": "cannot be tested",
        "not answered": "have no answer yet",
    }
    fitted = table.loc[(table["chosen"] != "") & (table["verdict"] == "inside"), "claim"].nunique()
    if fitted:
        words["inside"] += f" ({fitted} of these were used to choose a convention)"
    said = pd.to_numeric(table["paper"], errors="coerce").isna()
    whole = table.loc[said & (table["verdict"] == "direction only"), "claim"].nunique()
    if whole:
        words["direction only"] += f" (which in {whole} of these is all that the paper says)"
    found = [f"**{of[name]}** {text}" for name, text in words.items() if of[name]]
    return f"Of {number} claims {', '.join(found)}."


def chance_sentence(table: pd.DataFrame) -> str:
    """How many numbers lie outside, how many would by chance, and which were used to choose."""
    numeric, outside, chance, p = expected(table)
    chosen = table.loc[table["chosen"] != "", "claim"].drop_duplicates().tolist()
    others = "other claims" if chosen else "claims"
    text = (
        f"Of {numeric} {others} with a single number, {outside} lie outside the prediction interval. Had the paper run "
        f"the protocol of this book, {chance:.1f} would; were the claims independent, {outside} or more would lie outside with a "
        f"probability of {_rare(p)}."
    )
    if far := {claim: p for claim, p in outlying(table).items() if claim not in chosen}:
        each = ", ".join(f"{claim} ({_rare(p)})" for claim, p in far.items())
        text += f" Outside, with the probability that a new mean lies as far from ours: {each}."
    if chosen:
        text = f"{', '.join(chosen)} were used to choose a convention, so their agreement is no evidence. {text}"
    return text


def _rare(p: float) -> str:
    """A probability as a percentage, one below a hundredth as one in so many."""
    return f"{p:.1%}" if p >= 0.01 else f"one in {float(f'{1 / max(p, 1e-12):.2g}'):,.0f}"


def disagreement_list(table: pd.DataFrame, most: int = 3) -> str:
    """The claims outside with the largest ratios, either way, as a list in Markdown."""
    beyond = table[(table["verdict"] != "inside") & table["ratio"].notna()]
    far = beyond["ratio"].where(beyond["ratio"] > 0, math.nan).apply(np.log).abs()
    order = far.fillna(math.inf).sort_values(ascending=False, kind="stable").index
    items = []
    for claim in beyond.loc[order, "claim"].unique()[:most]:
        entry, rows = claims()[claim], beyond[beyond["claim"] == claim]
        ours = "; ".join(
            f"paper {row.paper}, ours {_predicted(row)}, {_ratio(row.ratio)} the paper's"
            for row in rows.itertuples()
        )
        items.append(
            f"* **{claim}**, {entry['work']}, {entry['quantity']}: {ours}. "
            f"[How it was found]({_place(entry)})."
        )
    return "\n".join(items) or "No number of the paper lies outside our prediction interval."


def rules_list() -> str:
    """The verdicts and what each one means, as a definition list in Markdown."""
    return "\n\n".join(f"{name}\n: {text[0].upper()}{text[1:]}" for name, text in RULES.items())


def claims_table(table: pd.DataFrame, experiments: pd.DataFrame) -> str:
    """Every claim in a line: the paper's value, ours, their ratio, the verdict and the reason, in Markdown.

    Arguments:
        table: as :func:`judged` returns it.
        experiments: as :func:`collect` returns those of all chapters.
    """
    tried = experiments.drop_duplicates("claim").set_index("claim")
    lines: list[tuple[str, ...]] = []
    for row in table.itertuples():
        entry = claims()[row.claim]
        again = bool(lines) and lines[-1][0].endswith(f"**{row.claim}**")
        anchor = "" if again else f'<span id="claim-{row.claim.lower()}"></span>'
        said = f"{entry['statement']}{f' ({row.part})' if row.part else ''}"
        said += f" *Chosen to fit it: {row.chosen}.*" if row.chosen else ""
        most = table.loc[table["claim"] == row.claim, "n"].max()
        some = pd.notna(row.n) and 0 < row.n < most
        fewer = f", in {row.n} of {most} seeds" if some else ""
        why = entry.get("not_testable", "")
        if row.claim in tried.index:
            one = tried.loc[row.claim]
            why = f"[{one['mechanism']}]({row.chapter}.ipynb#{one['section']}): "
            why += _outcome(one["refuted"])
        lines.append(
            (
                f"{anchor}**{row.claim}**",
                said,
                row.paper,
                _predicted(row) + fewer,
                _ratio(row.ratio),
                _sign(row.same_sign),
                f"[{row.verdict}]({_place(entry)})",
                why,
            )
        )
    header = ("id", "claim", "paper", "ours", "ratio", "sign", "verdict", "why")
    return _table("claims verdicts", header, lines)


def experiments_table(experiments: pd.DataFrame) -> str:
    """Every experiment on why we differ, in Markdown; a sentence where there is none."""
    lines = [
        (
            f"**{row.claim}**",
            f"[{row.mechanism}]({row.chapter}.ipynb#{row.section})",
            _outcome(row.refuted),
            row.result,
        )
        for row in experiments.itertuples()
    ]
    if not lines:
        return "*No experiment has been made yet.*"
    return _table("claims", ("id", "suspected reason", "outcome", "what came out"), lines)


def agreement(experiments: pd.DataFrame) -> str:
    """Whether one coarser grid is behind all claims that one is suspected for; nothing where none is.

    Arguments:
        experiments: as :func:`experiments_table` takes them.
    """
    tried = experiments[experiments["mechanism"] == _COARSER].set_index("claim")["inside_at"]
    if len(tried) < 2:
        return ""
    of = {claim: text.split() for claim, text in tried.items()}
    told = [f"{' or '.join(f) if f else 'no'} times ({claim})" for claim, f in of.items()]
    common = sorted(set.intersection(*map(set, of.values())), key=float)
    end = (
        f"{_listed(common)} times does for all"
        if common
        else "none of these does for all, which refutes one grid of such planes behind all of them, and not a grid for each work"
    )
    return f"By how much a grid is coarser on which the paper's number lies inside: {_listed(told)}; {end}."


def _listed(items: Iterable[object]) -> str:
    return ", ".join(map(str, items))


def settings_table(answers: pd.DataFrame) -> str:
    """Claims answered in several settings, each setting with the verdict it would give."""
    lines = []
    for claim, entry in claims().items():
        own = answers.loc[answers["claim"] == claim, "setting"].unique()
        if len(own) < 2:
            continue
        for setting in own:
            stands = setting == entry.get("setting")
            for row in standing(claim, answers, setting).itertuples():
                name = f"**{setting}**, taken since {entry['why']}" if stands else setting
                ours = f"{_ours(row, *judging_interval(row))}, n = {row.n}"
                judged = verdict(claim, answers, setting)
                lines.append((claim, name, _said(row), ours, judged))
    return _table("claims", ("id", "setting", "paper", "ours", "verdict"), lines)


def _table(classes: str, header: Sequence[str], lines: Sequence[Sequence[object]]) -> str:
    return f"```{{table}}\n:class: {classes}\n\n{markdown_table(header, lines)}\n```"


def _said(row: Any) -> str:
    """The paper's value of a row of answers as it prints it, a difference of two as a number."""
    return str(row.paper) if row.part.startswith("less ") else paper_text(row.claim, row.part)


def _predicted(row: Any) -> str:
    """A row of the table of verdicts: our mean with the interval that it is judged by."""
    return _ours(row, row.at_least, row.at_most)


def _ours(row: Any, lo: float, hi: float) -> str:
    if pd.isna(row.mean):
        return "–"
    if row.paper in ("holds", "occurs"):
        return f"{row.mean * row.n:.0f} of {row.n} seeds"
    return interval_text(row.mean, lo, hi, form=alike((row.mean, lo, hi)))


def _outcome(refuted: bool) -> str:
    return "refuted" if refuted else "not refuted"


def _ratio(ratio: float) -> str:
    return "" if pd.isna(ratio) else f"{ratio:.2g} ×"


def _sign(same: bool | None) -> str:
    """Whether a sign or an order of the paper is ours; nothing where it states none."""
    return "" if same is None else "✓" if same else "✗"


def _place(entry: Mapping[str, Any]) -> str:
    return f"{entry['chapter']}.ipynb#{entry.get('section', 'beside-the-paper')}"
