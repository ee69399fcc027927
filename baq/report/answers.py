"""Every claim with its answer and its verdict, from the chapters' tables: as a table and in Markdown.

A claim is answered in the chapter that ``book/claims/`` names, which saves the answer in its table
``claims``. Here these tables come together, for the page that ``notebooks/claims.py`` makes.
"""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from baq.report.claims import COLUMNS, WORDS, claims, paper_text
from baq.report.excerpts import markdown_table
from baq.report.tables import interval_text
from baq.report.verdicts import RULES, distance, standing, verdict

__all__ = [
    "JUDGED",
    "claims_table",
    "collect",
    "counts",
    "counts_line",
    "disagreement_list",
    "interval_plot",
    "judged",
    "rules_list",
    "settings_table",
    "summary",
]

#: The columns of the table of verdicts.
JUDGED = (
    *("claim", "part", "quantity", "paper", "median", "lo", "hi", "n"),
    *("verdict", "distance", "chapter"),
)
_WIDTH, _HEIGHT, _PAD = 150, 22, 8  # of a plot in a cell, in pixels


def collect(results: Path) -> pd.DataFrame:
    """The answers of all chapters, each to its own claims, with a column ``chapter``.

    Arguments:
        results: the folder with a folder of tables for each chapter.
    """
    found = []
    for path in sorted(results.glob("*/claims.csv")):
        chapter = path.parent.name
        table = pd.read_csv(path, dtype={"setting": str, "part": str, "paper": str})
        for name in ("setting", "part"):
            table[name] = table[name].fillna("") if name in table else ""
        own = [claims().get(claim, {}).get("chapter") == chapter for claim in table["claim"]]
        found.append(table[own].assign(chapter=chapter))
    empty = pd.DataFrame(columns=[*COLUMNS, "chapter"])
    return pd.concat(found, ignore_index=True) if found else empty


def judged(answers: pd.DataFrame) -> pd.DataFrame:
    """One row a claim, or a part of one, in the order of ``book/claims/``: columns ``JUDGED``."""
    rows = []
    for claim, entry in claims().items():
        shared = {
            "claim": claim,
            "quantity": entry["quantity"],
            "verdict": verdict(claim, answers),
            "distance": distance(claim, answers),
            "chapter": entry["chapter"],
        }
        found = standing(claim, answers)
        for row in found.itertuples():
            ours = {name: getattr(row, name) for name in ("part", "median", "lo", "hi", "n")}
            rows.append(shared | ours | {"paper": paper_text(claim, row.part)})
        if found.empty:
            paper = entry["paper"]
            parts = paper if isinstance(paper, dict) else [""]
            rows += [shared | {"part": p, "paper": paper_text(claim, p)} for p in parts]
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
    """How many claims have which verdict, in a sentence of Markdown."""
    number = table["claim"].nunique()
    found = [f"**{k}** {name}" for name, k in counts(table).items() if k]
    return f"Of the paper's {number} claims: {', '.join(found)}."


def disagreement_list(table: pd.DataFrame, most: int = 3) -> str:
    """The largest disagreements as a list in Markdown, or a sentence where there is none."""
    beyond = table[table["distance"] > 0].sort_values("distance", ascending=False, kind="stable")
    items = []
    for claim in beyond["claim"].unique()[:most]:
        entry, rows = claims()[claim], beyond[beyond["claim"] == claim]
        ours = "; ".join(f"paper {row.paper}, ours {_numbers(row)}" for row in rows.itertuples())
        widths = rows["distance"].iloc[0]
        far = f"{widths:.1f} widths of our interval" if math.isfinite(widths) else "any width"
        items.append(
            f"* **{claim}**, {entry['work']}, {entry['quantity']}: {ours}; {far} outside. "
            f"[How it was found]({_place(entry)})."
        )
    return "\n".join(items) or "No claim's value lies outside our interval."


def rules_list() -> str:
    """The verdicts and what each one means, as a definition list in Markdown."""
    return "\n\n".join(f"{name}\n: {text[0].upper()}{text[1:]}" for name, text in RULES.items())


def claims_table(table: pd.DataFrame) -> str:
    """Every claim with the paper's value, ours, both as a plot, and the verdict, in Markdown.

    Arguments:
        table: as :func:`judged` returns it.
    """
    lines: list[tuple[str, ...]] = []
    seen: set[str] = set()
    for row in table.itertuples():
        entry = claims()[row.claim]
        subject = f"{entry['work']}: {row.quantity}{f', {row.part}' if row.part else ''}"
        if row.claim in seen:
            lines.append(("", f"*{subject}*", row.paper, _ours(row), ""))
            continue
        seen.add(row.claim)
        reason = f": {entry['not_testable']}" if "not_testable" in entry else ""
        lines.append(
            (
                f'<span id="claim-{row.claim.lower()}">**{row.claim}**</span>',
                f"{entry['statement']} *{subject}*",
                row.paper,
                _ours(row),
                f"**{row.verdict}**{reason}<br>[chapter {entry['chapter'][:2]}]({_place(entry)})",
            )
        )
    return _table("claims verdicts", ("id", "claim", "paper", "ours", "verdict"), lines)


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
                shown = row._replace(paper=paper_text(claim, row.part))
                name = f"**{setting}**, taken since {entry['why']}" if stands else setting
                lines.append((claim, name, _ours(shown), verdict(claim, answers, setting)))
    return _table("claims", ("id", "setting", "ours", "verdict"), lines)


def interval_plot(paper: str, median: float, lo: float, hi: float, words: str) -> str:
    """A small SVG: our interval as a bar, the median as a tick, the paper's value as a diamond.

    Where the paper says that something falls or rises, a dashed line marks zero instead.

    Arguments:
        paper: the number, range or word of the paper.
        median, lo, hi: our answer.
        words: the alternative text.
    """
    if paper in WORDS:
        marks = [0.0] if paper in ("falls", "rises") else []
    else:
        marks = [float(end) for end in paper.split(" to ")]
    low, high = min(lo, *marks) if marks else lo, max(hi, *marks) if marks else hi
    middle = _HEIGHT / 2

    def at(value: float) -> float:
        inner = _WIDTH - 2 * _PAD
        return round(_PAD + inner * ((value - low) / (high - low) if high > low else 0.5), 1)

    drawn = [
        f'<path d="M{_PAD} {middle}H{_WIDTH - _PAD}" stroke="currentColor" opacity=".3"/>',
        f'<path d="M{at(lo)} {middle}H{max(at(hi), at(lo) + 1)}" stroke="#0072b2" stroke-width="7"/>',
        f'<path d="M{at(median)} {middle - 8}v16" stroke="currentColor" stroke-width="2.5"/>',
    ]
    for value in marks:
        if paper in WORDS:
            drawn.append(
                f'<path d="M{at(value)} 1v{_HEIGHT - 2}" stroke="currentColor" stroke-dasharray="2"/>'
            )
        else:
            drawn.append(
                f'<path d="M{at(value)} {middle - 6}l6 6-6 6-6-6z" fill="#fff" stroke="#000" '
                'stroke-width="1.5"/>'
            )
    return (
        f'<svg class="interval" role="img" aria-label="{html.escape(words)}" width="{_WIDTH}" '
        f'height="{_HEIGHT}" viewBox="0 0 {_WIDTH} {_HEIGHT}">{"".join(drawn)}</svg>'
    )


def _table(classes: str, header: Sequence[str], lines: Sequence[Sequence[object]]) -> str:
    return f"```{{table}}\n:class: {classes}\n\n{markdown_table(header, lines)}\n```"


def _ours(row: Any) -> str:
    """Our numbers, with their plot below."""
    if pd.isna(row.median):
        return ""
    words = f"paper {row.paper}, ours {row.median:.4g}, from {row.lo:.4g} to {row.hi:.4g}"
    plot = interval_plot(row.paper, row.median, row.lo, row.hi, words)
    return f"{_numbers(row)}, n = {row.n}<br>{plot}"


def _numbers(row: Any) -> str:
    return interval_text(row.median, row.lo, row.hi, None)


def _place(entry: Mapping[str, Any]) -> str:
    return f"{entry['chapter']}.ipynb#{entry.get('section', 'beside-the-paper')}"
