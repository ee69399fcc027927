"""The book's few figure types, in one style: charts here, label maps and style beside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from baq.report.claims import WORDS, claims, paper_text, paper_value
from baq.report.maps import boundary_overlay, label_maps, map_runs, stepper
from baq.report.style import DASHES, MARKERS, PAPER, WIDTH, use_style

__all__ = [
    "DASHES",
    "MARKERS",
    "PAPER",
    "WIDTH",
    "against_paper",
    "bit_axis",
    "boundary_overlay",
    "by_bits",
    "claims_over_grid",
    "interval_lines",
    "interval_rows",
    "label_maps",
    "map_runs",
    "stepper",
    "use_style",
]


def bit_axis(ax: Axes, bits: Sequence[int]) -> None:
    """Bit widths as evenly spaced ticks, from many bits to few."""
    ax.set_xticks([-b for b in bits], [str(b) for b in bits])
    ax.set_xlabel("bits per weight")


def interval_lines(
    ax: Axes,
    summary: pd.DataFrame,
    x: str,
    labels: Mapping[str, str],
    sign: int = 1,
    first: int = 0,
) -> None:
    """Draw each measure of a summary as its median line within its interval.

    Arguments:
        ax: where to draw.
        summary: as :func:`baq.report.stats.summarize` returns it.
        x: its column along the axis.
        labels: measure to legend text, in drawing order.
        sign: -1 draws the axis from large to small.
        first: place of the first line in the order of colours and markers.
    """
    for k, (measure, label) in enumerate(labels.items(), first):
        rows = summary[summary["measure"] == measure].sort_values(x)
        at = sign * rows[x].astype(float)
        marker, dash = MARKERS[k % len(MARKERS)], DASHES[k % len(DASHES)]
        ax.plot(at, rows["median"], marker=marker, ls=dash, label=label, color=f"C{k}")
        ax.fill_between(at, rows["lo"], rows["hi"], color=f"C{k}", alpha=0.2, lw=0)


def by_bits(
    summary: pd.DataFrame,
    panels: Mapping[str, Mapping[str, str]],
    log: Sequence[str] = (),
    paper: Mapping[str, Sequence[tuple[int, str]]] | None = None,
) -> Figure:
    """Measures against the bit width: a panel for each unit, a line for each measure.

    Arguments:
        summary: as :func:`baq.report.stats.summarize` returns it, with a column ``bits``.
        panels: axis label, unit included, to measures and their legend texts.
        log: the axis labels drawn on a logarithmic axis.
        paper: axis label to (bits, claim) pairs, drawn as the paper's values.
    """
    rows = -(-len(panels) // 2)
    figure, axes = plt.subplots(
        rows, min(2, len(panels)), figsize=(WIDTH, 2.7 * rows), squeeze=False
    )
    for ax in axes.flat[len(panels) :]:
        ax.set_axis_off()
    for ax, (unit, labels) in zip(axes.flat, panels.items(), strict=False):
        interval_lines(ax, summary, "bits", labels, sign=-1)
        for bits, claim in (paper or {}).get(unit, ()):
            ax.plot(-bits, paper_value(claim), label=f"paper, {claim}", **PAPER)
        if unit in log:
            ax.set_yscale("log")
        bit_axis(ax, sorted(summary["bits"].unique()))
        ax.set_ylabel(unit)
        if len(labels) > 1 or (paper or {}).get(unit):
            ax.legend()
    return figure


def against_paper(values: Mapping[str, pd.Series], level: float = 0.9) -> Figure:
    """Our distribution over seeds for each claim, with the paper's value marked.

    A dot is a seed, the bar holds the central share ``level`` of them, the tick is the median. Where
    the paper says that something falls or rises, a dotted line marks zero.

    Arguments:
        values: claim id to one value a seed, as :func:`baq.report.claims.answer` takes it, without parts.
        level: share of the seeds within the bar.
    """
    figure, axes = plt.subplots(
        len(values), 1, figsize=(WIDTH, 0.4 + 1.05 * len(values)), squeeze=False
    )
    tail = (1 - level) / 2
    for ax, (claim, series) in zip(axes.flat, values.items(), strict=True):
        series = series.dropna().sort_values()
        colour = sns.color_palette()[0]
        # Dots that would cover each other are stacked.
        bins = pd.cut(series, 60, labels=False) if series.nunique() > 1 else series
        rank = series.groupby(bins).cumcount()
        ax.plot(series, 0.08 + 0.4 * rank / max(4, rank.max()), "o", ms=4, color=colour, mew=0)
        ax.hlines(-0.1, *series.quantile([tail, 1 - tail]), lw=5, color=colour, alpha=0.5)
        ax.plot(series.median(), -0.1, "|", ms=14, mew=2.5, color=colour)
        title = f"{claim}  {claims()[claim]['work']}: {claims()[claim]['quantity']}"
        if (said := paper_text(claim)) in WORDS:
            title += f" ({said})"
            ax.axvline(0, color="black", ls=":", zorder=0)
        else:
            ends = [float(end) for end in said.split(" to ")]
            ax.plot(ends, [-0.1] * len(ends), zorder=3, **PAPER)
        ax.set_title(title, loc="left")
        ax.set(yticks=[], ylim=(-0.35, 0.5))
        ax.spines["left"].set_visible(False)
        ax.margins(x=0.08)
        ax.xaxis.set_major_locator(MaxNLocator(6, integer=pd.api.types.is_integer_dtype(series)))
    handles = [
        plt.Line2D([], [], marker="o", ls="none", color=colour, label="a seed"),
        plt.Line2D([], [], lw=5, alpha=0.5, color=colour, label=f"{level:.0%} interval, median"),
        plt.Line2D([], [], label="paper", **PAPER),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3)
    return figure


def interval_rows(summary: pd.DataFrame, by: str, panels: Mapping[str, str]) -> Figure:
    """Medians within their intervals, a row for each setting and a panel for each measure.

    Arguments:
        summary: as :func:`baq.report.stats.summarize` returns it, settings from top to bottom.
        by: its column that names the rows.
        panels: measure to axis label, unit included.
    """
    names = list(dict.fromkeys(summary[by]))
    figure, axes = plt.subplots(
        1, len(panels), figsize=(WIDTH, 0.9 + 0.33 * len(names)), squeeze=False, sharey=True
    )
    for ax, (measure, label) in zip(axes.flat, panels.items(), strict=True):
        rows = summary[summary["measure"] == measure].set_index(by).loc[names]
        at = range(len(names))
        ax.hlines(at, rows["lo"], rows["hi"], lw=5, alpha=0.5)
        ax.plot(rows["median"], at, "|", ms=13, mew=2.5, color="black")
        ax.set(xlabel=label, xlim=(0, None))
        ax.set_yticks(at, names)
    axes.flat[0].invert_yaxis()
    return figure


def claims_over_grid(answers: pd.DataFrame, axes: Sequence[str]) -> Figure:
    """Medians of claims against the first axis of a grid of runs that is no seed, a panel for each claim.

    Lines join the medians over seeds and what else the grid varies, and bands span it; the second axis
    has a colour for each value.

    Arguments:
        answers: rows of :func:`baq.report.claims.answer` with the columns ``axes``.
        axes: the parameters that the grid varies.
    """
    named = [name for name in ("setting", "quantity") if name in answers]
    words = answers[["claim", *named]].fillna("").astype(str).to_numpy()
    frame = answers.assign(claim=["\n".join(filter(None, row)) for row in words])
    # Seeds are repetitions: they make the bands.
    x, *others = sorted(axes, key=lambda name: name.endswith("seed"))
    others = [name for name in others if not name.endswith("seed")]
    with plt.rc_context({"figure.constrained_layout.use": False}):  # seaborn lays facets out
        grid = sns.relplot(
            frame,
            x=x,
            y="median",
            hue=others[0] if others else None,
            palette="colorblind" if others else None,
            col="claim",
            col_wrap=min(4, frame["claim"].nunique()),
            kind="line",
            marker="o",
            estimator="median",
            errorbar=("pi", 100),
            height=2.4,
            aspect=1.2,
            facet_kws={"sharey": False},
        )
    grid.set_titles("{col_name}")
    return grid.figure
