"""The chapter on which protocol: its figures, tables and sentences, from its tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from baq.protocols.judging import DECIDED
from baq.report.excerpts import markdown_table
from baq.report.stats import LEVEL
from baq.report.style import MARKERS, WIDTH
from baq.report.tables import interval_text

__all__ = [
    "COVERED",
    "LEAST",
    "WORDS",
    "against_best",
    "beside",
    "compared",
    "controls_figure",
    "controls_line",
    "controls_table",
    "decided",
    "decided_line",
    "hits_table",
    "how_sure",
    "likely",
    "numbers_table",
    "open_ones",
    "placed",
    "posterior_bars",
    "rest_table",
    "space_table",
]

#: The hidden control passes where sets with 90 % of a posterior hold at least this share of the hidden values.
COVERED = 0.85
#: From so many bits over the prior on a choice is spoken of.
LEAST = 0.2
#: What each choice is called on the page.
WORDS = {
    "scale": "one scale for each", "zero": "levels", "folded": "batch norm folded",
    "share": "share of the band", "mask": "boundary mask", "eps": "largest loss ε",
    "tau_f": "largest flip rate τ", "tau_j": "largest J", "levels": "bits walked down",
    "hidden": "hidden units", "activation": "activation", "inputs": "input scaling",
    "digits_j": "what J compares (digits)", "digits_plane": "points of the PCA plane (digits)",
    "digits_n": "cells a side (digits)", "pad": "pad", "shift": "shift over",
    "transitions": "transitions", "block": "junction window", "counted": "junctions counted",
    "training": "training images", "images": "test images",
    "natural_j": "what J compares (CIFAR-10)", "natural_plane": "plane (CIFAR-10)",
    "natural_n": "cells a side (CIFAR-10)", "family": "network", "search": "rounding before the gap term",
    "gap": "weight of the gap term",
}  # fmt: skip


def space_table(
    choices: Mapping[str, tuple[Sequence[str], Sequence[float], Sequence[str], str]],
) -> str:
    """The space as a Markdown table.

    Arguments:
        choices: by name, the values, their prior probabilities, the groups, and why.
    """
    rows = []
    for name, (values, prior, groups, why) in choices.items():
        told = ", ".join(f"{value} ({p:.2f})" for value, p in zip(values, prior, strict=True))
        rows.append((WORDS.get(name, name), told, ", ".join(groups), why))
    header = ("choice", "values (prior)", "claims on", "why")
    return markdown_table(header, rows)


def decided(posterior: pd.DataFrame, level: float = DECIDED) -> pd.DataFrame:
    """The most probable value of every choice in every group.

    Arguments:
        posterior: as :meth:`baq.protocols.judging.Inference.posterior` returns it.
        level: from this probability on it is decided.

    Returns:
        ``choice``, ``group``, ``value``, ``prior``, ``posterior``, ``bits`` (Kullback and Leibler's information
        that the posterior has gained on the prior) and ``decided``.
    """
    rows = []
    for (choice, group), part in posterior.groupby(["choice", "group"], sort=False):
        top = part.loc[part["posterior"].idxmax()]
        p = part["posterior"].clip(lower=1e-300)
        gained = float((part["posterior"] * np.log2(p / part["prior"])).sum())
        rows.append((choice, group, top["value"], top["prior"], top["posterior"], gained))
    columns = ["choice", "group", "value", "prior", "posterior", "bits"]
    found = pd.DataFrame(rows, columns=columns)
    return found.assign(decided=found["posterior"] >= level)


def posterior_bars(posterior: pd.DataFrame) -> Figure:
    """The probability of every value: a bar a choice, in it a part for each value, in its order.

    Parts of a twentieth and more carry their value. A frame marks the parts of the prior below each bar.

    Arguments:
        posterior: ``choice``, ``value``, ``prior``, ``posterior``, one group for each choice.
    """
    names = list(dict.fromkeys(posterior["choice"]))
    figure, ax = plt.subplots(figsize=(WIDTH, 0.6 + 0.34 * len(names)))
    for k, name in enumerate(names):
        part, left, before = posterior[posterior["choice"] == name], 0.0, 0.0
        shades = sns.color_palette("Blues", len(part) + 2)[1:]
        for shade, row in zip(shades, part.itertuples(), strict=False):
            ax.barh(
                k, row.posterior, left=left, height=0.56, color=shade, edgecolor="white", lw=0.5
            )
            ax.barh(
                k + 0.36, row.prior, left=before, height=0.1, color=shade, edgecolor="white", lw=0.5
            )
            text = row.value.replace("low ", "")
            if row.posterior >= max(0.05, 0.0125 * len(text)):
                dark = sum(shade[:3]) < 1.5
                colour = "white" if dark else "black"
                ax.text(
                    left + row.posterior / 2,
                    k,
                    text,
                    ha="center",
                    va="center",
                    fontsize=7,
                    color=colour,
                )
            left, before = left + row.posterior, before + row.prior
    ax.set_yticks(range(len(names)), [WORDS.get(name, name) for name in names])
    ax.set(xlim=(0, 1), xlabel="probability; thin bars: the prior", ylim=(len(names) - 0.4, -0.6))
    ax.tick_params(axis="y", length=0)
    return figure


def against_best(answers: pd.DataFrame) -> Figure:
    """Every number of the paper in units of the best protocol's interval, from -1 at its lower to 1 at its upper end.

    Arguments:
        answers: rows of :meth:`baq.protocols.judging.Inference.judged` of one protocol a group, with ``ratio``
            as :func:`placed` gives it.
    """
    figure, ax = plt.subplots(figsize=(WIDTH, 0.6 + 0.24 * len(answers)))
    shown = answers.iloc[::-1].reset_index(drop=True)
    colours = sns.color_palette()
    ax.axvspan(-1, 1, color=colours[0], alpha=0.2, lw=0)
    ax.axvline(0, color=colours[0], lw=1)
    for within, colour, marker in ((True, colours[0], MARKERS[0]), (False, colours[3], MARKERS[1])):
        part = shown[shown["inside"] == within]
        ax.plot(part["place"].clip(-4, 4), part.index, marker, color=colour, ms=5)
    ax.set_yticks(range(len(shown)), shown["number"])
    ax.set(xlim=(-4.2, 4.2), xlabel="the paper's number in half widths of the interval; cut at 4")
    ax.margins(y=0.02)
    return figure


def placed(answers: pd.DataFrame) -> pd.DataFrame:
    """Answers with ``place``: the paper's number less the middle of the interval, over its half width."""
    paper = answers["paper"].map(lambda text: np.mean([float(v) for v in text.split(" to ")]))
    middle, half = (answers["lo"] + answers["hi"]) / 2, (answers["hi"] - answers["lo"]) / 2
    off = paper - middle
    return answers.assign(place=np.where(half > 0, off / half.where(half > 0, 1), np.sign(off) * 9))


def numbers_table(answers: pd.DataFrame, together: pd.DataFrame) -> pd.DataFrame:
    """Every number for display: the paper's, that of the best protocol of its group and of the one for all.

    Arguments:
        answers, together: rows of :meth:`baq.protocols.judging.Inference.judged`, in the same order.
    """
    rows = []
    for own, common in zip(answers.itertuples(), together.itertuples(), strict=True):
        rows.append(
            {
                "number": own.number,
                "paper": own.paper,
                "best protocol of its group": _interval(own),
                "inside": own.inside,
                "one protocol for all": _interval(common),
                "inside too": common.inside,
            }
        )
    return pd.DataFrame(rows)


def _interval(row: object) -> str:
    ends = (row.mean, row.lo, row.hi)  # type: ignore[attr-defined]
    return interval_text(*ends, 3 if abs(row.mean) < 2 else 1)  # type: ignore[attr-defined]


def hits_table(held_out: pd.DataFrame) -> pd.DataFrame:
    """How often a held-out number lies inside, by group and way, for display.

    Arguments:
        held_out: as :meth:`baq.protocols.judging.Inference.held_out` returns it, with ``prior``, whether the
            mixture by the prior has the number inside.
    """
    rows = []
    for (group, fitted), part in held_out.groupby(["group", "fitted"], sort=False):
        row = {"claims on": group, "fitted on half": str(fitted)}
        for column, words in (
            ("prior", "inside by the prior alone"),
            ("hit", "inside the mixture"),
            ("best", "inside the best protocol"),
        ):
            row[words] = f"{part[column].sum()} of {len(part)}"
        rows.append(row | {"bits gained": f"{part['gain'].sum():z.1f}"})
    return pd.DataFrame(rows)


#: What is compared between the paper's numbers and the controls, with its words.
_COMPARED = {
    "inside": "inside the best protocol of all",
    "hit": "held out, inside the mixture",
    "best": "held out, inside the best protocol",
    "gain": "held out, bits gained",
}


def compared(judged: pd.DataFrame, held_out: pd.DataFrame, controls: pd.DataFrame) -> pd.DataFrame:
    """The paper's numbers and the controls side by side, a row a group and control, and for all groups.

    Arguments:
        judged: rows of :meth:`baq.protocols.judging.Inference.judged`, with ``group``.
        held_out: as :meth:`baq.protocols.judging.Inference.held_out` returns it.
        controls: rows of :func:`baq.protocols.judging.control_rows`.

    Returns:
        ``kind`` (``paper``, ``hidden``, ``shuffled``), ``seed`` (0 for the paper), ``group`` (or ``all``),
        ``numbers``, and how many are ``inside``, held out a ``hit`` or in ``best``, and ``gain``.
    """
    columns = ["numbers", *_COMPARED]
    own = judged.groupby("group", sort=False)["inside"].agg(numbers="count", inside="sum")
    own = own.join(held_out.groupby("group")[["hit", "best", "gain"]].sum()).reset_index()
    rows = pd.concat([own.assign(kind="paper", seed=0), controls])
    rows = rows[["kind", "seed", "group", *columns]]
    total = rows.groupby(["kind", "seed"], sort=False)[columns].sum().reset_index()
    return pd.concat([rows, total.assign(group="all")], ignore_index=True)


def controls_table(rows: pd.DataFrame) -> pd.DataFrame:
    """The paper's numbers beside the controls, mean and range over these, for display.

    Arguments:
        rows: as :func:`compared` returns them.
    """
    shown = []
    for name, words in _COMPARED.items():
        for group in dict.fromkeys(rows["group"]):
            part = rows[rows["group"] == group].set_index("kind")
            row = {
                "what is counted": words,
                "claims on": group,
                "numbers": str(part["numbers"].iloc[0]),
            }
            for kind, values in part.groupby(level=0, sort=False)[name]:
                digits = 1 if name == "gain" else 0
                text = f"{values.mean():z.1f} ({values.min():z.{digits}f} to {values.max():z.{digits}f})"
                row[kind] = text if len(values) > 1 else f"{values.iloc[0]:z.{digits}f}"
            shown.append(row)
    return pd.DataFrame(shown).rename(columns={"paper": "the paper's numbers"})


def controls_figure(rows: pd.DataFrame) -> Figure:
    """The paper's numbers, hidden protocols and shuffles on one axis a measure, a dot each.

    Arguments:
        rows: as :func:`compared` returns them.
    """
    rows = rows[rows["group"] == "all"]
    figure, axes = plt.subplots(1, len(_COMPARED), figsize=(WIDTH, 2.6), layout="constrained")
    kinds, colours = ("hidden", "paper", "shuffled"), sns.color_palette()
    for ax, (name, words) in zip(axes, _COMPARED.items(), strict=True):
        for k, kind in enumerate(kinds):
            values = np.sort(rows.loc[rows["kind"] == kind, name].to_numpy(dtype=float))
            # Equal values side by side.
            nth = np.arange(len(values)) - np.searchsorted(values, values)
            many = np.searchsorted(values, values, side="right") - np.searchsorted(values, values)
            ax.plot(k + 0.14 * (nth - (many - 1) / 2), values, MARKERS[k], color=colours[k], ms=5)
        ax.set_xticks(range(len(kinds)), kinds, rotation=35, ha="right")
        ax.set(xlim=(-0.7, len(kinds) - 0.3), title=words.replace(", ", ",\n"))
        ax.title.set_fontsize(8)
        if name != "gain":
            ax.set_ylim(bottom=0, top=rows["numbers"].max() * 1.04)
    return figure


def rest_table(
    outside: pd.DataFrame, reached: Mapping[str, tuple[float, float, float]]
) -> pd.DataFrame:
    """Numbers that the best protocol leaves outside, for display.

    Arguments:
        outside: rows of :meth:`baq.protocols.judging.Inference.judged`.
        reached: of each number the share of the prior, and of the posterior, on protocols that have it inside, and
            the part of the posterior's prediction that lies below it.
    """
    rows = []
    for row in outside.itertuples():
        prior, posterior, below = reached[row.number]
        rows.append(
            {
                "number": row.number,
                "paper": row.paper,
                "best protocol": _interval(row),
                "protocols with it inside, prior": f"{prior:.1%}",
                "the same, posterior": f"{posterior:.1%}",
                "of the prediction below it": f"{below:.1%}",
            }
        )
    return pd.DataFrame(rows)


def controls_line(controls: pd.DataFrame, rows: pd.DataFrame, found: int) -> str:
    """What the controls say of the method, and of the result on the paper's own numbers, in sentences.

    Arguments:
        controls: rows of :func:`baq.protocols.judging.control_rows`.
        rows: as :func:`compared` returns them.
        found: from how many numbers inside a protocol is found.
    """
    every = rows[rows["group"] == "all"].set_index("kind")
    paper, hidden, shuffled = every.loc["paper"], every.loc[["hidden"]], every.loc[["shuffled"]]
    here = controls[controls["kind"] == "hidden"]
    covered = here["covered"].sum() / here["choices"].sum()
    again, none = (hidden["inside"] >= found).sum(), (shuffled["inside"] >= found).sum()
    passes = again == len(hidden) and covered >= COVERED
    above = {name: int((shuffled[name] >= paper[name]).sum()) for name in _COMPARED}
    return (
        f"{'The hidden control passes' if passes else 'The hidden control does not pass'}: a protocol is found, with at least {found} "
        f"numbers inside, in {again} of {len(hidden)}, and the sets that hold 90 % of a posterior hold {covered:.0%} of the hidden values. "
        f"{'The shuffled control passes' if none == 0 else 'The shuffled control does not pass'}: one is found in {none} of {len(shuffled)}. "
        f"Of the shuffles {above['inside']} have as many numbers inside as the paper's own, {above['hit']} as many held-out ones, and "
        f"{above['gain']} gain as many bits on these. {_beside_hidden(float(paper['gain']), hidden['gain'])}"
    )


def _beside_hidden(own: float, hidden: pd.Series) -> str:
    """Whether the paper's numbers gain as many bits as numbers of a protocol that is in the space."""
    below = int((hidden > own).sum())
    text = f"Hidden protocols gain {hidden.mean():z.1f} bits in the mean, the paper's numbers {own:z.1f}, less than {below} of {len(hidden)} of them"
    if below > (1 + LEVEL) / 2 * len(hidden):
        return f"{text}: they agree with one another less than numbers of a protocol in this space would."
    return f"{text}."


#: What an author did, by choice, in words that a value is put into.
_DID = {
    "scale": "one scale for each {}", "zero": "{} levels", "folded": "batch norm folded: {}",
    "share": "a band of {} of the inputs", "mask": "boundary masks: {}", "eps": "a loss of at most {}",
    "tau_f": "a flip rate of at most {}", "tau_j": "a J of at most {}", "levels": "bits walked down: {}",
    "hidden": "{} hidden units", "activation": "{} units", "inputs": "{} inputs", "digits_j": "J of {}",
    "digits_plane": "PCA plane of: {}", "digits_n": "{} cells a side", "pad": "a pad of {}",
    "shift": "shift over: {}", "transitions": "transitions: {}", "block": "junction windows of {} cells a side",
    "counted": "junctions counted: {}", "training": "{} training images", "images": "{} test images",
    "natural_j": "J of {}", "natural_plane": "planes: {}", "natural_n": "{} cells a side, if on a slice",
    "family": "a {} network", "search": "{} before the gap term", "gap": "a gap term of weight {}",
}  # fmt: skip
_WHERE = {
    "digits": "On digits", "subsets": "On subsets of CIFAR-10", "full": "On all of CIFAR-10", "rounding": "In rounding",
}  # fmt: skip


def likely(found: pd.DataFrame) -> str:
    """What the author most likely did, in a paragraph, with the probability of each choice.

    Of choices that gain less than :data:`LEAST` bits on the prior nothing is said.

    Arguments:
        found: as :func:`decided` returns it.
    """
    lines = []
    for group, where in _WHERE.items():
        part = found[(found["group"] == group) & (found["bits"] > LEAST)]
        part = part.sort_values("posterior", ascending=False)
        said = {
            row.choice: f"{_DID[row.choice].format(row.value)} ({row.posterior:.0%})"
            for row in part.itertuples()
            if row.posterior >= 0.5
        }
        sure = [
            text for choice, text in said.items() if part.set_index("choice")["decided"][choice]
        ]
        rest = [text for text in said.values() if text not in sure]
        told = [", ".join(sure)] if sure else []
        told += ["perhaps " + ", ".join(rest)] if rest else []
        lines.append(f"{where}: {'; '.join(told) or 'nothing that the prior does not say'}.")
    return " ".join(lines)


def how_sure(found: pd.DataFrame, controls: pd.DataFrame) -> str:
    """How sure that is: how often the method was right on hidden protocols, and where groups and all disagree.

    Arguments:
        found: as :func:`decided` returns it.
        controls: rows of :func:`baq.protocols.judging.control_rows`.
    """
    hidden = controls[controls["kind"] == "hidden"]
    right, of = int(hidden["right"].sum()), int(hidden["decided"].sum())
    kept = f"{right} of {of} values ({right / of:.0%})" if of else "no value"
    text = (
        "In brackets stand posterior probabilities, given this space. Of hidden protocols, whose values we know, "
        f"{kept} with at least {DECIDED:.0%} were the hidden ones."
    )
    common = found[found["group"] == "together"].set_index("choice")
    odd = [
        f"{WORDS[row.choice]} ({row.group}: {row.value}, together: {common.loc[row.choice, 'value']})"
        for row in found[(found["group"] != "together") & found["decided"]].itertuples()
        if common.loc[row.choice, "decided"] and common.loc[row.choice, "value"] != row.value
    ]
    if odd:
        text += (
            " A group alone and all together decide differently on "
            + "; ".join(odd)
            + ": there the groups pull apart, and neither value is to be trusted."
        )
    return text


def open_ones(found: pd.DataFrame, groups: Mapping[str, str]) -> str:
    """The choices that no numbers decide, in words.

    Arguments:
        found: as :func:`decided` returns it.
        groups: the group that each choice is read in.
    """
    here = found[found["group"] == found["choice"].map(groups)]
    names = [WORDS.get(name, name) for name in here.loc[~here["decided"], "choice"]]
    return "; ".join(names) or "nothing"


def decided_line(found: pd.DataFrame, group: str) -> str:
    """The choices of a group that its numbers decide, each with its value and probability."""
    part = found[(found["group"] == group) & found["decided"] & (found["bits"] > LEAST)]
    part = part.sort_values("bits", ascending=False)
    told = [
        f"{WORDS.get(r.choice, r.choice)}: {r.value} ({r.posterior:.0%})" for r in part.itertuples()
    ]
    return "; ".join(told) or "nothing"


def beside(verdicts: pd.DataFrame, inferred: Path) -> str:
    """Every number of the paper, ours as the chapters chose it, and beside it the inferred protocol's, in Markdown.

    Arguments:
        verdicts: the table of :func:`baq.report.answers.judged`.
        inferred: the table ``answers`` of the chapter; where it is not there a sentence says so.
    """
    if not inferred.is_file():
        return "*The chapter has not been executed.*"
    table = pd.read_csv(inferred, dtype={"paper": str})
    known = {row.number: row for row in table.itertuples()}
    rows = []
    for row in verdicts.itertuples():
        part = "" if pd.isna(row.part) else row.part
        name = f"{row.claim} {part}".strip()
        if name not in known:
            continue
        other = known[name]
        ours = "–"
        if not pd.isna(row.mean):
            ours = interval_text(row.mean, row.at_least, row.at_most, 3 if abs(row.mean) < 2 else 1)
        own = row.verdict if not part else "inside" if _within(row) else "outside"
        rows.append(
            (
                name,
                row.quantity,
                other.paper,
                ours,
                own,
                _interval(other),
                "inside" if other.inside else "outside",
            )
        )
    header = (
        "claim",
        "quantity",
        "paper",
        "ours",
        "verdict",
        "under the inferred protocol",
        "it lies",
    )
    return markdown_table(header, rows)


def _within(row: object) -> bool:
    paper = float(row.paper)  # type: ignore[attr-defined]
    return bool(row.at_least <= paper <= row.at_most)  # type: ignore[attr-defined]
