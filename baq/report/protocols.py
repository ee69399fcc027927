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
from baq.report.claims import claims, in_few_words, limits
from baq.report.excerpts import markdown_table
from baq.report.stats import LEVEL
from baq.report.style import MARKERS, WIDTH
from baq.report.tables import interval_text

__all__ = [
    "COVERED",
    "LEAST",
    "WORDS",
    "against_best",
    "apart_line",
    "beside",
    "best_line",
    "compared",
    "controls_figure",
    "controls_line",
    "controls_table",
    "decided",
    "decided_table",
    "firm",
    "found_table",
    "held_line",
    "hits_table",
    "how_sure",
    "likely",
    "numbers_table",
    "open_ones",
    "pattern_line",
    "percent",
    "placed",
    "posterior_bars",
    "rest_table",
    "space_table",
    "tops_line",
]

#: The hidden control passes where sets with 90 % of a posterior hold at least this share of the hidden values.
COVERED = 0.85
#: From so many bits over the prior on a choice is spoken of.
LEAST = 0.2
#: What each choice is called on the page.
WORDS = {
    "scale": "what shares a scale", "zero": "range of the quantizer", "folded": "batch norm folded",
    "share": "share of the band", "mask": "boundary mask", "eps": "largest loss ε",
    "tau_f": "largest flip rate τ", "tau_j": "largest J", "levels": "bit widths walked down",
    "hidden": "hidden units", "activation": "activation", "inputs": "input scaling",
    "digits_j": "what J compares (digits)", "digits_plane": "points of the PCA plane (digits)",
    "digits_n": "cells a side (digits)", "pad": "pad", "shift": "shift over",
    "transitions": "transitions", "block": "junction window", "counted": "junctions counted",
    "training": "training images", "images": "test images",
    "natural_j": "what J compares (CIFAR-10)", "natural_plane": "plane (CIFAR-10)",
    "natural_n": "cells a side (CIFAR-10)", "family": "network", "search": "rounding before the gap term",
    "gap": "weight of the gap term",
}  # fmt: skip
#: How a choice that was made is told; a value is put in. What a phrase needs no value for has one for each.
_DID = {
    "scale": "one scale for each {}", "zero": "{} range of the quantizer", "folded": "batch norm folded: {}",
    "share": "a band of {} of the inputs", "mask": "boundary masks of {}",
    "eps": "an accuracy loss of at most {}", "tau_f": "a flip rate of at most {}", "tau_j": "a J of at most {}",
    "levels": "bit widths walked down: {}", "hidden": "{} hidden units", "activation": "{} units",
    "inputs": "{} inputs", "digits_j": "J of {} on digits", "digits_plane": "PCA plane of: {}",
    "digits_n": "{} cells a side", "pad": "a pad of {}", "shift": "shift over: {}",
    "transitions": "transitions: {}", "block": "junction windows of {} cells a side",
    "counted": "junctions counted: {}", "training": "{} training images of CIFAR-10", "images": "{} test images of CIFAR-10",
    "natural_j": "J of {} on CIFAR-10", "natural_plane": "planes: {}", "natural_n": "{} cells a side, if on a slice",
    "family": "a {} network", "search": "{} rounding before the gap term", "gap": "a gap term of weight {}",
}  # fmt: skip
_SAID = {
    ("scale", "tensor"): "weight tensor", ("scale", "channel"): "output channel",
    ("inputs", "unit"): "pixels from 0 to 1 as", ("mask", "one"): "one side",
    ("mask", "two"): "both sides", ("mask", "thick"): "both sides and their neighbours",
    ("digits_j", "masks"): "boundary masks", ("natural_j", "masks"): "boundary masks",
    ("family", "cnn"): "small convolutional",
}  # fmt: skip


def percent(p: float) -> str:
    """A probability in whole percent; below what counts as decided, and below 1, it is not rounded up to that."""
    if p >= 0.995:
        return ">99%"
    return f"{p:.0%}" if p >= DECIDED else f"{min(p, DECIDED - 0.01):.0%}"


def _told(row: object) -> str:
    """A value of a choice, from a row of :func:`decided`, in words."""
    choice, value = row.choice, row.value  # type: ignore[attr-defined]
    return _DID[choice].format(_SAID.get((choice, value), value))


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
        that the posterior has gained on the prior), ``apart``, whether the numbers of some group alone decide
        another value of the choice than all together find most probable, and ``decided``, never where that is so.
    """
    rows = []
    for (choice, group), part in posterior.groupby(["choice", "group"], sort=False):
        top = part.loc[part["posterior"].idxmax()]
        p = part["posterior"].clip(lower=1e-300)
        gained = float((part["posterior"] * np.log2(p / part["prior"])).sum())
        rows.append((choice, group, top["value"], top["prior"], top["posterior"], gained))
    columns = ["choice", "group", "value", "prior", "posterior", "bits"]
    found = pd.DataFrame(rows, columns=columns)
    common = found[found["group"] == "together"].set_index("choice")["value"]
    common = found["choice"].map(common).fillna(found["value"])
    odd = (found["posterior"] >= level) & (found["value"] != common)
    found["apart"] = found["choice"].isin(found.loc[odd, "choice"])
    return found.assign(decided=(found["posterior"] >= level) & ~found["apart"])


def decided_table(found: pd.DataFrame, level: float = DECIDED) -> pd.DataFrame:
    """Values as probable as a decided one, for display, with what one number less, or other groups, make of them.

    Arguments:
        found: as :func:`decided` returns it, with ``least`` and ``without`` as
            :meth:`baq.protocols.judging.Inference.left_out` has them.
        level: as for :func:`decided`.
    """
    part = found[(found["posterior"] >= level) & (found["bits"] > LEAST)]
    part = part.sort_values("group", key=lambda group: group != "together", kind="stable")
    rows = [
        {
            "numbers of": r.group,
            "choice": WORDS.get(r.choice, r.choice),
            "value": r.value,
            "probability": percent(r.posterior),
            "least without one number": f"{percent(r.least)} ({r.without})",
            "decided": "no" if r.apart else "whichever is left out" if r.least >= level else "yes",
        }
        for r in part.itertuples()
    ]
    return pd.DataFrame(rows)


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
    ax.set(xlim=(0, 1), ylim=(len(names) - 0.4, -0.6))
    # At the left, where a phone shows it.
    ax.set_xlabel("probability; thin bars: the prior", loc="left")
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
    ax.set_yticks(
        range(len(shown)), [in_few_words(*name.split(" ", 1)) for name in shown["number"]]
    )
    far = min(4, max(1.5, answers["place"].abs().max()))
    cut = "; cut at 4" if answers["place"].abs().max() > 4 else ""
    ax.set(xlim=(-far - 0.2, far + 0.2))
    ax.set_xlabel(f"the paper's number in half widths of the interval{cut}", loc="right")
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
                "best protocol of its group": _interval(
                    own.number, own.paper, (own.mean, own.lo, own.hi)
                ),
                "inside": own.inside,
                "one protocol for all": _interval(
                    common.number, common.paper, (common.mean, common.lo, common.hi)
                ),
                "inside too": common.inside,
            }
        )
    return pd.DataFrame(rows)


def _interval(name: str, paper: str, ends: Sequence[float]) -> str:
    """Mean, lower and upper end, cut to the range of the number's measure: what lies beyond cannot be observed."""
    mean, lo, hi = map(float, np.clip(ends, *limits(name.partition(" ")[0])))
    return interval_text(mean, lo, hi, 3 if abs(mean) < 2 else 1)


def best_line(
    found: pd.DataFrame, best: Mapping[str, str], shares: Mapping[str, tuple[float, int]]
) -> str:
    """How probable the most probable protocols are, and where the one for all is not what its choices tell alone.

    Arguments:
        found: as :func:`decided` returns it.
        best: the values of the most probable protocol for all.
        shares: by group, or ``together``, the probability of the most probable protocol, and of how many it is one.
    """
    told = [f"{group} {size:,}, the best with {p:.2%}" for group, (p, size) in shares.items()]
    common = found[found["group"] == "together"].set_index("choice")["value"]
    odd = [f"{WORDS[name]} ({value})" for name, value in best.items() if common[name] != value]
    text = (
        "So many protocols can be told apart by the numbers, and so much of the probability has the best of them: "
        f"{'; '.join(told)}. None is *the* protocol."
    )
    if odd:
        text += (
            " The one for all is the most probable combination. A choice alone, summed over all others, may have another most "
            f"probable value; so it is here with {', '.join(odd)}."
        )
    return text


def pattern_line(answers: pd.DataFrame) -> str:
    """Whether one protocol's means go the paper's way, where the paper compares two numbers or more.

    Arguments:
        answers: rows of :meth:`baq.protocols.judging.Inference.judged`.
    """
    mean, paper = answers.set_index("number")["mean"], answers.set_index("number")["paper"]
    pairs = [(entry["after"], name) for name, entry in claims().items() if "after" in entry]
    pairs = [(a, b) for a, b in pairs if a in mean and b in mean]
    odd = [
        f"{a} to {b} (paper {paper[a]} to {paper[b]}, here {mean[a]:.3f} to {mean[b]:.3f})"
        for a, b in pairs
        if (mean[b] - mean[a]) * (float(paper[b]) - float(paper[a])) <= 0
    ]
    text = f"of {len(pairs)} pairs of numbers that the paper compares the means move its way in {len(pairs) - len(odd)}"
    text += f", and not in {'; '.join(odd)}" if odd else ""
    counts = [name for name in mean.index if name.startswith("T")]
    ours, theirs = mean[counts], paper[counts].astype(float)
    if counts:
        same = (ours.to_numpy().argsort() == theirs.to_numpy().argsort()).all()
        text += (
            f". The largest of its junction counts ({', '.join(paper[counts])}) is {theirs.max() / theirs.min():.1f} times the least; here "
            f"({', '.join(f'{v:.1f}' for v in ours)}) {ours.max() / ours.min():.1f} times, {'in the same' if same else 'and not in the same'} order"
        )
    return text


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
            ("prior", "inside, prior alone"),
            ("hit", "inside, mixture"),
            ("best", "inside, best protocol"),
        ):
            row[words] = f"{part[column].sum()} of {len(part)}"
        rows.append(row | {"bits gained": f"{part['gain'].sum():z.1f}"})
    return pd.DataFrame(rows)


def held_line(held_out: pd.DataFrame, asked: float) -> str:
    """What the held-out numbers say, in sentences; arguments as for :func:`hits_table`, and the share asked for."""
    total, gained = len(held_out), held_out.groupby("group", sort=False)["gain"].sum()
    missed = ", ".join(dict.fromkeys(held_out.loc[~held_out["hit"], "number"])) or "none"

    def told(column: str) -> str:
        hits = int(held_out[column].sum())
        return f"{hits} of {total} inside ({hits / total:.0%}: {'reached' if hits >= asked * total else 'missed'})"

    text = (
        f"Asked for beforehand were {asked:.0%} inside. The mixture has {told('hit')}, the most probable protocol alone {told('best')}. But the "
        f"prior alone has {int(held_out['prior'].sum())}, since what it expects is wide: hits are no evidence. Bits are: the fitted halves gain "
        f"{gained.sum():z.1f} on the held-out ones ({', '.join(f'{g} {bits:z.1f}' for g, bits in gained.items())})."
    )
    if nothing := [group for group, bits in gained.items() if bits < 1]:
        text += f" Of {' and '.join(map(str, nothing))}, with less than one, half of the numbers says nothing of the other."
    return f"{text} Missed by the mixture: {missed}."


#: What is compared between the paper's numbers and the controls, with its words.
_COMPARED = {
    "inside": "inside",
    "hit": "held out, mixture",
    "best": "held out, best",
    "gain": "held out, bits",
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
                "counted": words,
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


def found_table(controls: pd.DataFrame) -> pd.DataFrame:
    """How much of the hidden protocols was found, by group, for display.

    Arguments:
        controls: rows of :func:`baq.protocols.judging.control_rows`.
    """
    hidden = controls[controls["kind"] == "hidden"]
    columns = ["choices", "equal", "guess", "covered", "decided", "right"]
    total = hidden.groupby("group", sort=False)[columns].sum()
    total.loc["all"] = total.sum()
    share = total.div(total["choices"], axis=0)
    return pd.DataFrame(
        {
            "claims on": total.index,
            "choices": [f"{v:.0f}" for v in total["choices"]],
            "as in the best protocol": [f"{p:.0%}" for p in share["equal"]],
            "by guessing": [f"{p:.0%}" for p in share["guess"]],
            "in the 90 % set": [f"{p:.0%}" for p in share["covered"]],
            "right where decided": [
                f"{r.right:.0f} of {r.decided:.0f}" for r in total.itertuples()
            ],
        }
    )


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
                "best protocol": _interval(row.number, row.paper, (row.mean, row.lo, row.hi)),
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
        f"{'The hidden control passes' if passes else 'The hidden control does not pass'}: at least {found} numbers lie inside in "
        f"{again} of {len(hidden)}, and the sets that hold 90 % of a posterior hold {covered:.0%} of the hidden values. That is a fit, not "
        f"the hidden protocol: of its choices the most probable one has {here['equal'].sum() / here['choices'].sum():.0%} right, and the prior's "
        f"most probable values would have {here['guess'].sum() / here['choices'].sum():.0%}. "
        f"{'The shuffled control passes' if none == 0 else 'The shuffled control does not pass'}: so many lie inside in {none} of {len(shuffled)}. "
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


def likely(found: pd.DataFrame, groups: Mapping[str, Sequence[str]]) -> str:
    """The most probable conventions, in a paragraph, from all numbers together.

    Of choices that gain less than :data:`LEAST` bits on the prior nothing is said. One that is not decided is open where
    a group that gains as much has another most probable value.

    Arguments:
        found: as :func:`decided` returns it.
        groups: the groups that each choice is one of.
    """
    where: dict[tuple[str, ...], str] = {
        ("digits",): "On digits", ("subsets",): "On subsets of CIFAR-10", ("full",): "On all of CIFAR-10",
        ("rounding",): "In rounding",
    }  # fmt: skip
    part = found[(found["group"] == "together") & (found["bits"] > LEAST) & ~found["apart"]]
    part = part[part["posterior"] >= 0.5].sort_values("posterior", ascending=False)
    unlike = found[found["bits"] > LEAST].groupby("choice")["value"].nunique() > 1
    unlike = ~part["decided"] & part["choice"].map(unlike)
    still, part = part[unlike], part[~unlike]
    place = part["choice"].map(lambda name: where.get(tuple(groups[name]), "In several works"))
    lines = []
    for name in (*where.values(), "In several works"):
        sure, rest = (
            ", ".join(f"{_told(r)} ({percent(r.posterior)})" for r in some.itertuples())
            for some in (
                part[(place == name) & (part["decided"] == is_so)] for is_so in (True, False)
            )
        )
        told = "; ".join([sure] * bool(sure) + [f"perhaps {rest}"] * bool(rest))
        lines += [f"{name}: {told}."] if told else []
    lines += [line] if (line := apart_line(found)) else []
    if len(still):
        names = "; ".join(WORDS[name] for name in still["choice"])
        lines.append(f"Open, since the groups lean to different values: {names}.")
    return " ".join(lines) or "Nothing that the prior does not say."


def firm(found: pd.DataFrame) -> str:
    """The choices that all numbers together decide, and still do when any one number is left out, in words."""
    part = found[(found["group"] == "together") & found["decided"] & (found["bits"] > LEAST)]
    part = part[part["least"] >= DECIDED].sort_values("posterior", ascending=False)
    return ", ".join(f"{_told(r)} ({percent(r.posterior)})" for r in part.itertuples())


def apart_line(found: pd.DataFrame) -> str:
    """The choices on which a group's numbers alone and all together disagree, in a sentence, or nothing."""
    common = found[found["group"] == "together"].set_index("choice")
    odd = found[found["apart"] & (found["posterior"] >= DECIDED)]
    told = [
        f"{WORDS.get(r.choice, r.choice)} ({r.group} alone: {r.value}, {percent(r.posterior)}; all together: "
        f"{common.loc[r.choice, 'value']}, {percent(common.loc[r.choice, 'posterior'])})"
        for r in odd.itertuples()
        if r.value != common.loc[r.choice, "value"]
    ]
    return f"Undecided, since they disagree: {'; '.join(told)}." if told else ""


def tops_line(found: pd.DataFrame, choice: str) -> str:
    """The most probable value of a choice by the numbers of each group, and of all together, in words."""
    part = found[found["choice"] == choice]
    return ", ".join(f"{r.group}: {r.value} ({percent(r.posterior)})" for r in part.itertuples())


def how_sure(controls: pd.DataFrame, pull: float) -> str:
    """How sure that is: how often the method was right on hidden protocols, and what one protocol for all costs.

    Arguments:
        controls: rows of :func:`baq.protocols.judging.control_rows`.
        pull: by how many bits all numbers are more probable under one protocol than with one for each group.
    """
    hidden = controls[controls["kind"] == "hidden"]
    right, of = int(hidden["right"].sum()), int(hidden["decided"].sum())
    kept = f"{right} of {of} values ({right / of:.0%})" if of else "no value"
    return (
        "In brackets stand posterior probabilities, given this space. Of hidden protocols, whose values we know, "
        f"{kept} to which a group's numbers gave at least {DECIDED:.0%} were the hidden ones. Do the groups pull apart? Under one protocol the "
        f"paper's numbers are {2 ** abs(pull):.1f} times {'less' if pull < 0 else 'more'} probable than under one for each group ({pull:z.1f} bits)."
    )


def open_ones(found: pd.DataFrame) -> str:
    """The choices that all numbers together do not decide, in words.

    Arguments:
        found: as :func:`decided` returns it.
    """
    left = found[(found["group"] == "together") & ~found["decided"]]
    return "; ".join(WORDS.get(name, name) for name in left["choice"]) or "nothing"


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
            ours = _interval(name, other.paper, (row.mean, row.at_least, row.at_most))
        rows.append(
            (
                name,
                row.quantity,
                other.paper,
                ours,
                row.verdict,
                _interval(other.number, other.paper, (other.mean, other.lo, other.hi)),
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
