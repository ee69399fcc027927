"""The generated parts of the page *Claims* and of the front page."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence

import pandas as pd

from baq.report.claims import WORDS, claims, paper_text
from baq.report.verdicts import RULES, standing, verdict
from workflow import markdown
from workflow.answers import counts, disagreements

__all__ = ["claims_table", "counts_line", "disagreement_list", "interval_plot", "rules", "settings"]

_WIDTH, _HEIGHT, _PAD = 150, 22, 8


def claims_table(table: pd.DataFrame, titles: Mapping[str, str]) -> str:
    """Every claim with the paper's value, ours, both as a plot, and the verdict, in Markdown.

    Arguments:
        table: as :func:`workflow.answers.judged` returns it.
        titles: title of every chapter of the book, by name.
    """
    lines, seen = [], set()
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
                f"**{row.verdict}**{reason}<br>{_chapter(entry, row.run, titles)}",
            )
        )
    return _table("claims verdicts", ("id", "claim", "paper", "ours", "verdict"), lines)


def settings(answers: pd.DataFrame) -> str:
    """The claims that have answers in several settings: every one with the verdict it would give."""
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


def rules() -> str:
    """The verdicts and what each one means, as a definition list in Markdown."""
    return "\n\n".join(f"{name}\n: {text[0].upper()}{text[1:]}" for name, text in RULES.items())


def counts_line(table: pd.DataFrame) -> str:
    """How many claims have which verdict, in a sentence of Markdown."""
    number = table["claim"].nunique()
    found = [f"**{k}** {name}" for name, k in counts(table).items() if k]
    return f"Of the paper's {number} claims: {', '.join(found)}."


def disagreement_list(answers: pd.DataFrame) -> str:
    """The three largest disagreements as a list in Markdown, or a sentence where there is none."""
    items = []
    for claim, widths in disagreements(answers):
        entry = claims()[claim]
        rows = [
            row._replace(paper=paper_text(claim, row.part))
            for row in standing(claim, answers).itertuples()
        ]
        ours = "; ".join(f"paper {row.paper}, ours {_numbers(row)}" for row in rows)
        far = f"{widths:.1f} widths of our interval" if math.isfinite(widths) else "any width"
        items.append(
            f"* **{claim}**, {entry['work']}, {entry['quantity']}: {ours}; {far} outside. "
            f"[How it was found]({_place(entry)})."
        )
    return "\n".join(items) or "No claim's value lies outside our interval."


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


def _table(classes: str, header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    return f"```{{table}}\n:class: {classes}\n\n{markdown.table(header, lines)}\n```"


def _ours(row: object) -> str:
    """Our numbers, with their plot below."""
    if pd.isna(row.median):
        return ""
    words = f"paper {row.paper}, ours {row.median:.4g}, from {row.lo:.4g} to {row.hi:.4g}"
    plot = interval_plot(row.paper, row.median, row.lo, row.hi, words)
    return f"{_numbers(row)}, n = {row.n}<br>{plot}"


def _numbers(row: object) -> str:
    return f"{row.median:.4g} [{row.lo:.4g}, {row.hi:.4g}]"


def _chapter(entry: Mapping[str, object], run: str, titles: Mapping[str, str]) -> str:
    if entry["chapter"] not in titles:
        return "a chapter to come"
    state = f" ({run})" if run else ""
    return f"[{titles[entry['chapter']]}]({_place(entry)}){state}"


def _place(entry: Mapping[str, object]) -> str:
    return f"{entry['chapter']}.ipynb#{entry.get('section', 'beside-the-paper')}"
