"""The book's charts, all in one style."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import cycle
from textwrap import fill
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogFormatter, MaxNLocator

from baq.band import band_flip_law
from baq.report.claims import WORDS, answer, claims, in_few_words, paper_text, paper_value
from baq.report.columns import COLUMNS
from baq.report.maps import boundary_overlay, label_maps, map_runs, stepper
from baq.report.stats import summarize
from baq.report.style import DASHES, MARKERS, PAPER, WIDTH, use_style
from baq.report.verdicts import judging_interval
from baq.slices.jaccard import jaccard_shift

__all__ = [
    "DASHES",
    "MARKERS",
    "PAPER",
    "WIDTH",
    "against_grids",
    "against_paper",
    "against_thresholds",
    "band_law",
    "band_widths",
    "bit_axis",
    "boundary_overlay",
    "by_bits",
    "by_bits_and_group",
    "claims_over_grid",
    "claims_overview",
    "costs_of_size",
    "dodged_intervals",
    "frontier",
    "interval_lines",
    "interval_panels",
    "interval_rows",
    "junctions_along",
    "label_maps",
    "map_runs",
    "paired_dots",
    "scatter_panels",
    "share_axis",
    "shares_within",
    "shifts_by_step",
    "stepper",
    "threshold_maps",
    "use_style",
]


def bit_axis(ax: Axes, bits: Sequence[int]) -> None:
    """Bit widths as evenly spaced ticks, from many bits to few."""
    ax.set_xticks([-b for b in bits], [str(b) for b in bits])
    ax.set_xlabel("bits per weight")


class _LogShare(LogFormatter):
    """Percentages, at those ticks of a logarithmic axis that have room for a number."""

    def __call__(self, x: float, pos: int | None = None) -> str:
        return f"{100 * x:.4g}%" if super().__call__(x, pos) else ""


def share_axis(axis: Axis) -> None:
    """Write the ticks of an axis of shares as percentages, once its scale is set."""
    if axis.get_scale() == "log":
        axis.set_major_formatter(_LogShare())
        axis.set_minor_formatter(_LogShare(minor_thresholds=(1, 0.4)))
    else:
        axis.set_major_formatter(FuncFormatter(lambda x, _: f"{100 * x:.4g}%"))


def _measure_axis(axis: Axis, *measures: str) -> None:
    """Percentages where all measures along an axis are shares."""
    if all(name in COLUMNS and COLUMNS[name].kind == "share" for name in measures):
        share_axis(axis)


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
        if unit in log and (summary.loc[summary["measure"].isin(labels), "hi"] > 0).any():
            ax.set_yscale("log")
        _measure_axis(ax.yaxis, *labels)
        bit_axis(ax, sorted(summary["bits"].unique()))
        ax.set_ylabel(unit)
        if len(labels) > 1 or (paper or {}).get(unit):
            ax.legend()
    return figure


def against_paper(values: Mapping[str, pd.Series]) -> Figure:
    """Our distribution over seeds for each claim, with the paper's value marked.

    A dot is a seed, the tick the mean. The bar is what the claim is judged by
    (:func:`baq.report.verdicts.judging_interval`). Where the paper says that something falls or rises, a
    dotted line marks zero.

    Arguments:
        values: claim id to one value a seed, as :func:`baq.report.claims.answer` takes it, without parts.
    """
    figure, axes = plt.subplots(
        len(values), 1, figsize=(WIDTH, 0.4 + 1.05 * len(values)), squeeze=False
    )
    for ax, (claim, series) in zip(axes.flat, values.items(), strict=True):
        series = series.dropna().sort_values()
        colour = sns.color_palette()[0]
        # Dots that would cover each other are stacked.
        bins = pd.cut(series, 60, labels=False) if series.nunique() > 1 else series
        rank = series.groupby(bins).cumcount()
        ax.plot(series, 0.08 + 0.4 * rank / max(4, rank.max()), "o", ms=4, color=colour, mew=0)
        (row,) = answer({claim: series}).itertuples()
        ax.hlines(-0.1, *judging_interval(row), lw=5, color=colour, alpha=0.5)
        ax.plot(row.mean, -0.1, "|", ms=14, mew=2.5, color=colour)
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
        plt.Line2D([], [], lw=5, alpha=0.5, color=colour, label="interval judged by, mean"),
        plt.Line2D([], [], label="paper", **PAPER),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3)
    return figure


def claims_overview(judged: pd.DataFrame) -> Figure:
    """Every claim: our mean and prediction interval as multiples of the paper's number, or the verdict alone.

    Arguments:
        judged: the table of :func:`baq.report.answers.judged`. A claim in words, or of which the paper's number
            is 0 or ours is below it, has no place on a logarithmic axis: its mark stands at the left, hollow,
            with what the paper says.
    """
    several = ~judged.duplicated("claim") | (judged["ratio"] > 0)
    table = (
        judged[several]
        .sort_values("ratio", key=lambda ratio: ~(ratio > 0), kind="stable")
        .iloc[::-1]
    )
    alone = ~(table["ratio"] > 0).to_numpy()
    # So narrow that a phone shows all of it.
    figure, ax = plt.subplots(figsize=(0.7 * WIDTH, 1 + 0.24 * max(len(table), 1)))
    low, high = 0.1, 10.0
    for k, (name, marker) in enumerate(
        zip(("inside", "direction only", "not reproduced"), "os^", strict=True)
    ):
        place = np.flatnonzero((table["verdict"] == name) & ~alone)
        part, colour = table.iloc[place], sns.color_palette()[(0, 1, 3)[k]]
        for at in map(int, np.flatnonzero((table["verdict"] == name) & alone)):
            ax.plot(1.2 * low, at, marker, color=colour, mfc="none", ms=6)
            ax.text(1.5 * low, at, f"paper: {table['paper'].iloc[at]}", va="center", fontsize=7)
        paper = part["mean"] / part["ratio"]
        ends = (part[end] / paper for end in ("at_least", "at_most"))
        ax.hlines(place, *(np.clip(end, low, high) for end in ends), color=colour, lw=4, alpha=0.4)
        ax.plot(part["ratio"].clip(low, high), place, marker, color=colour, ms=6, label=name)
    ax.axvline(1, color="black", lw=1, zorder=0)
    names = map(in_few_words, table["claim"], table["part"])
    ax.set_yticks(range(len(table)), [fill(name, 38) for name in names], fontsize=7)
    ax.set(xscale="log", xlim=(low, high))
    ax.set_xlabel("ours, as a multiple of the paper's value", loc="right")
    ax.set_xticks([0.1, 0.2, 0.5, 1, 2, 5, 10], ["0.1", "0.2", "0.5", "1", "2", "5", "10"])
    ax.minorticks_off()
    ax.margins(y=0.02)
    figure.legend(loc="outside lower center", ncols=3)
    return figure


def junctions_along(summary: pd.DataFrame, claimed: Mapping[str, str]) -> Figure:
    """Triple-junction cells against t, a panel for each transition, with the paper's count where it has one.

    Arguments:
        summary: :func:`baq.report.stats.summarize` of the counts by ``transition`` and ``t``.
        claimed: transition to the claim that counts its junctions.
    """
    figure, axes = _panels_of(summary["transition"].unique(), 3)
    for ax, (transition, rows) in zip(axes, summary.groupby("transition", sort=False), strict=True):
        ax.plot(rows["t"], rows["median"], label="median over seeds")
        ax.fill_between(rows["t"], rows["lo"], rows["hi"], alpha=0.2, lw=0, label="90 % of them")
        if claim := claimed.get(str(transition)):
            ax.axhline(paper_value(claim), color="black", ls=":", label="paper")
            ax.set_title(f"{transition} ({claim})")
        ax.set_xlabel("t")
    top = max([summary["hi"].max(), *map(paper_value, claimed.values())])
    axes[0].set(ylim=(0, 1.08 * top), ylabel="triple-junction cells of a map")
    _one_legend(figure, axes, 3)
    return figure


def shares_within(distances: pd.DataFrame, near: float) -> Figure:
    """Share of cells and regions within a distance of the nearest junction, a panel for each transition.

    Arguments:
        distances: a row a bin, with ``transition``, ``kind``, ``distance`` (its upper edge; the last is open)
            and ``count``.
        near: the distance that counts as near, marked.
    """
    counts = distances.groupby(["transition", "kind", "distance"], sort=False)["count"].sum()
    shares = counts.groupby(level=["transition", "kind"], sort=False).transform(
        lambda k: k.cumsum() / k.sum()
    )
    figure, axes = _panels_of(distances["transition"].unique(), 3.2)
    kinds = ("changed cells", "boundary cells", "all cells", "regions")
    for ax, transition in zip(axes, distances["transition"].unique(), strict=True):
        for kind, dash in zip(kinds, DASHES, strict=True):
            curve = shares[transition, kind].iloc[:-1]
            ax.plot(curve.index, curve, ls=dash, label=kind)
        ax.axvline(near, color="0.6", lw=0.8, zorder=0)
        ax.set(xlabel="distance,\nshare of width", ylim=(0, 1.02))
    axes[0].set_ylabel("share within the distance")
    share_axis(axes[0].yaxis)
    _one_legend(figure, axes, 4)
    return figure


def _panels_of(titles: Sequence[str], height: float) -> tuple[Figure, list[Axes]]:
    """Panels side by side with one vertical axis."""
    figure, axes = plt.subplots(1, len(titles), figsize=(WIDTH, height), sharey=True, squeeze=False)
    for ax, title in zip(axes.flat, titles, strict=True):
        ax.set_title(title)
    return figure, list(axes.flat)


def _one_legend(figure: Figure, axes: Sequence[Axes], columns: int) -> None:
    """A legend below all panels that has each name once."""
    pairs = (pair for ax in axes for pair in zip(*ax.get_legend_handles_labels(), strict=True))
    handles = {name: handle for handle, name in pairs}
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=columns)


def shifts_by_step(ours: pd.Series, paper: Mapping[int, str]) -> Figure:
    """Shift of the boundary in cells, from J, against the step between two levels of a weight.

    The shift is that of :func:`baq.slices.jaccard_shift`; the step is ``1 / (2^(bits - 1) - 1)`` of the
    largest weight.

    Arguments:
        ours: J by bits.
        paper: bits to the claim with the paper's J.
    """
    figure, ax = plt.subplots()
    theirs = pd.Series({b: paper_value(claim) for b, claim in paper.items()})
    parts = [pd.DataFrame({"j": j, "step": 1 / (2.0 ** (j.index - 1) - 1)}) for j in (ours, theirs)]
    own, other = (part.assign(shift=jaccard_shift(part["j"])) for part in parts)
    ax.plot(own["step"], own["shift"], "o", label="ours, mean J over seeds")
    line = (own["shift"] / own["step"]).loc[own["step"].idxmin()] * own["step"]
    ax.plot(own["step"], line, "C0--", lw=1, label="proportional to the step")
    ax.plot(other["step"], other["shift"], label="paper", **PAPER)
    for row in own.itertuples():
        at, offset = (row.step, row.shift), (6, -10)
        ax.annotate(f"{row.Index} bits", at, offset, textcoords="offset points", fontsize=9)
    ax.set(xscale="log", yscale="log", xlabel="step / largest weight", ylabel="shift, cells")
    ax.legend()
    return figure


def costs_of_size(sizes: pd.DataFrame, retrained: pd.DataFrame) -> Figure:
    """Flips, flips in the band and loss of accuracy against the size of the weights, a panel for each family.

    Arguments:
        sizes: a row a family and bit width, with ``family``, ``bits``, ``kilobytes`` and the three measures.
        retrained: by family, the flips between two trainings in columns of the same names, each drawn as a thin
            line in the colour of its measure.
    """
    figure, axes = _panels_of(sizes["family"].unique(), 3.4)
    lines = {
        "band_flip_rate": "flips in the band",
        "flip_rate": "flips",
        "loss": "loss of accuracy",
    }
    for ax, (family, rows) in zip(axes, sizes.groupby("family", sort=False), strict=True):
        for (measure, name), marker, dash in zip(lines.items(), MARKERS, DASHES, strict=False):
            shown = rows[rows[measure] > 0]  # the axis is logarithmic
            (line,) = ax.plot(
                shown["kilobytes"], shown[measure], marker=marker, ls=dash, label=name
            )
            if family in retrained.index and measure in retrained:
                at, text = float(retrained.loc[family, measure]), f"{name}, another training"
                ax.axhline(at, color=line.get_color(), ls=dash, lw=0.8, label=text)
        ax.set_xticks(
            rows["kilobytes"],
            [f"{k:,.0f}\n{b} bits" for k, b in zip(rows["kilobytes"], rows["bits"], strict=True)],
        )
        ax.set(yscale="log", xlabel="weights, kB")
    axes[0].set_ylabel("share of test images")
    share_axis(axes[0].yaxis)
    _one_legend(figure, axes, 2)
    return figure


def interval_rows(summary: pd.DataFrame, by: str, panels: Mapping[str, str]) -> Figure:
    """Medians within their intervals, a row for each setting and a panel for each measure.

    Where the largest end is far above most of them, the axis goes by the square root, so that small ones can be
    told apart.

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
        if rows["hi"].max() > 10 * rows["hi"].median():
            ax.set_xscale("function", functions=(lambda x: np.sqrt(np.abs(x)), np.square))
            ax.xaxis.set_major_locator(FixedLocator(_root_ticks(rows["hi"].max())))
            label += " (root scale)"
        ax.set(xlabel=fill(label, 18), xlim=(0, None))
        _measure_axis(ax.xaxis, measure)
        ax.set_yticks(at, names)
    axes.flat[0].invert_yaxis()
    return figure


def _root_ticks(most: float) -> list[float]:
    """0 and a few round values up to a largest one, apart on an axis that goes by the square root."""
    power = 10.0 ** np.floor(np.log10(most))
    return [0, *(tick for tick in (power, 4 * power) if tick <= most)]


def against_grids(summary: pd.DataFrame, claimed: Mapping[str, int]) -> Figure:
    """J, its law, grid prediction change and distance of the curves against the cells a side.

    Arguments:
        summary: as :func:`baq.report.stats.summarize` returns it by ``bits`` and ``n``, with the
            measures of :func:`baq.slices.grids.across_grids`; distances are in input units.
        claimed: claims about J to the bit widths that they are about; those present are drawn as lines.
    """
    figure, axes = plt.subplot_mosaic("AA;BC", figsize=(WIDTH, 6))
    for k, (bits, group) in enumerate(summary.groupby("bits")):
        name = f"{bits} bits"
        panels = {
            "A": {"jaccard": f"{name}, measured", "law": f"{name}, law"},
            "B": {"grid_change": name},
            "C": {"curve_distance": name},
        }
        for panel, lines in panels.items():
            interval_lines(axes[panel], group, "n", lines, first=2 * k)
    grids = sorted(summary["n"].unique())
    for claim, bits in claimed.items():
        if bits in summary["bits"].to_numpy():
            at = paper_value(claim)
            axes["A"].axhline(at, color="0.4", lw=0.8, zorder=0)
            axes["A"].annotate(f"paper, {claim}", (grids[0], at), va="bottom", fontsize=9)
    axes["A"].set(ylabel="Jaccard distance J", ylim=(0, 1.08))
    axes["B"].set(ylabel="grid prediction change", ylim=(0, None))
    share_axis(axes["B"].yaxis)
    axes["C"].set(ylabel="median distance of the curves,\ninput units")
    if (summary.loc[summary["measure"] == "curve_distance", "hi"] > 0).any():
        axes["C"].set_yscale("log")
    for panel, ax in axes.items():
        ax.set(xlabel="cells a side, n", xscale="log")
        ax.set_xticks(grids, [str(n) for n in grids], rotation=0 if panel == "A" else 45)
        ax.minorticks_off()
    for panel in "BC":
        axes[panel].legend()
    axes["A"].legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=4, columnspacing=1)
    return figure


def against_thresholds(
    levels: pd.DataFrame, panels: Mapping[str, tuple[str, float]], by: str = "setting"
) -> Figure:
    """Measures against the bit width, a panel each with a dashed line at the threshold.

    Arguments:
        levels: rows with the bit width in ``candidate``; their means are drawn, a line for each ``by``.
        panels: measure to axis label and threshold; all but J are drawn on an axis that is logarithmic
            above 0.001.
        by: the column that names the lines.
    """
    figure, axes = plt.subplots(len(panels), 1, figsize=(WIDTH, 2.5 * len(panels)), sharex=True)
    for ax, (measure, (label, threshold)) in zip(axes, panels.items(), strict=True):
        for k, (name, rows) in enumerate(levels.groupby(by, sort=False)):
            mean = rows.groupby("candidate")[measure].mean()
            look = {"marker": MARKERS[k % len(MARKERS)], "ls": DASHES[k % len(DASHES)]}
            ax.plot(-mean.index.to_numpy(), mean, label=name, **look)
        ax.axhline(threshold, color="black", ls="--", lw=1)
        ax.set_ylabel(label)
        if measure != "jaccard":
            ax.set_yscale("symlog", linthresh=1e-3)
            ax.set_ylim(0, 1)
        _measure_axis(ax.yaxis, measure)
        bit_axis(ax, list(levels["candidate"].unique()))
    for ax in axes[:-1]:
        ax.set_xlabel("")
    lines = axes[0].get_legend_handles_labels()
    figure.legend(*lines, loc="outside lower center", ncols=3)
    return figure


def paired_dots(pairs: pd.DataFrame, panels: Mapping[str, str], ends: tuple[str, str]) -> Figure:
    """From a hollow dot to a filled one for each network, a panel for each measure.

    Arguments:
        pairs: columns (measure, end) by rows whose first index level names the setting.
        panels: measure to axis label, two columns of them.
        ends: of the hollow and of the filled dots.
    """
    settings = list(pairs.index.get_level_values(0).unique())
    size = (WIDTH, 1.6 + 0.8 * len(settings))
    figure, axes = plt.subplots(-(-len(panels) // 2), 2, figsize=size, sharey=True, squeeze=False)
    for ax in axes.flat[len(panels) :]:
        ax.set_axis_off()
    for ax, (measure, label) in zip(axes.flat, panels.items(), strict=False):
        for k, setting in enumerate(settings):
            rows = pairs.loc[setting][measure]  # a pair of keys would be looked for among the rows
            at = k + np.linspace(-0.3, 0.3, len(rows))
            start, stop = (rows[end] for end in ends)
            ax.hlines(at, start, stop, color=f"C{k}", lw=1)
            ax.plot(start, at, "o", ms=4, color=f"C{k}", markerfacecolor="white")
            ax.plot(stop, at, "o", ms=4, color=f"C{k}")
        _measure_axis(ax.xaxis, measure)
        ax.set_xlabel(label)
        ax.set_yticks(range(len(settings)), settings)
    axes[0, 0].invert_yaxis()
    return figure


def threshold_maps(study: pd.DataFrame, own: tuple[float, float]) -> Figure:
    """A heat map for each setting over two thresholds: mean bits in a cell, flips as its shade.

    Arguments:
        study: rows with ``setting``, ``tau_f``, ``tau_j``, ``bits``, ``flip_rate`` (a share).
        own: (tau_f, tau_j) of the cell that is framed.
    """
    settings = list(study["setting"].unique())
    rows = -(-len(settings) // 2)
    figure, axes = plt.subplots(rows, 2, figsize=(WIDTH, 2.5 * rows), squeeze=False)
    for ax in axes.flat[len(settings) :]:
        ax.set_axis_off()
    top = 100 * study["flip_rate"].max()
    for ax, setting in zip(axes.flat, settings, strict=False):
        part = study[study["setting"] == setting]
        bits, flips = (
            part.pivot(index="tau_f", columns="tau_j", values=value)
            for value in ("bits", "flip_rate")
        )
        sns.heatmap(
            100 * flips,
            annot=bits,
            fmt=".1f",
            annot_kws={"fontsize": 8},
            cmap="Blues",
            vmin=0,
            vmax=top,
            cbar=ax is axes.flat[len(settings) - 1],
            cbar_kws={"label": "held-out flips, %"},
            ax=ax,
        )
        corner = flips.columns.get_loc(own[1]), flips.index.get_loc(own[0])
        ax.add_patch(plt.Rectangle(corner, 1, 1, fill=False, ec="black", lw=2))
        ax.set(title=setting, xlabel=r"$\tau_J$", ylabel=r"$\tau_f$")
        ax.tick_params(axis="y", rotation=0)
        ax.tick_params(axis="x", rotation=45)
    return figure


def frontier(points: pd.DataFrame, x: str, y: str, labels: tuple[str, str]) -> Figure:
    """What is gained against what it costs: a line joins the best points of each setting.

    Arguments:
        points: rows with ``setting``, ``kind`` (``own`` is marked large), and the columns ``x`` and ``y``.
        x: the column of the cost.
        y: the column of the gain.
        labels: of the two axes, units included.
    """
    figure, ax = plt.subplots(figsize=(WIDTH, 4))
    for k, (setting, rows) in enumerate(points.groupby("setting", sort=False)):
        best = rows.sort_values([x, y]).groupby(x)[y].max().cummax()
        look: dict[str, Any] = {"marker": MARKERS[k % len(MARKERS)], "color": f"C{k}"}
        ax.plot(best.index, best, ls=DASHES[k % len(DASHES)], label=setting, ms=4, **look)
        own = rows[rows["kind"] == "own"]
        ax.plot(own[x], own[y], ms=11, mec="black", ls="none", **look)
    ax.set(xlabel=labels[0], ylabel=labels[1])
    _measure_axis(ax.yaxis, y)
    ax.legend()
    return figure


def by_bits_and_group(
    summary: pd.DataFrame,
    group: str,
    line: str,
    rows: Mapping[str, str],
    paper: Mapping[str, tuple[int, str]],
    signed: Sequence[str] = (),
) -> Figure:
    """Measures against the bit width: a row for each measure, a column for each group of networks.

    Arguments:
        summary: as :func:`baq.report.stats.summarize` returns it, with a column ``bits``.
        group: its column that names the group, such as the family of a network.
        line: its column with a line for each value, such as the convention of quantization.
        rows: measure to axis label, unit included, from top to bottom.
        paper: measure to the bits and the claim of the paper's value.
        signed: measures that may be negative; their axes are linear near zero, and all others
            logarithmic.
    """
    groups, lines = (list(dict.fromkeys(summary[name])) for name in (group, line))
    size = WIDTH, 0.5 + 2.5 * len(rows)
    figure, axes = plt.subplots(
        len(rows), len(groups), figsize=size, sharex=True, sharey="row", squeeze=False
    )
    for panels, (measure, label) in zip(axes, rows.items(), strict=True):
        for ax, name in zip(panels, groups, strict=True):
            own = summary[summary[group] == name]
            for k, value in enumerate(lines):
                rows_of = own[own[line] == value]
                interval_lines(ax, rows_of, "bits", {measure: value}, sign=-1, first=k)
            if measure in paper:
                bits, claim = paper[measure]
                ax.plot(-bits, paper_value(claim), label=f"paper, {claim}", **PAPER)
            if measure in signed:
                ax.set_yscale("symlog", linthresh=0.003)
            else:
                ax.set_yscale("log")
            _measure_axis(ax.yaxis, measure)
            bit_axis(ax, list(dict.fromkeys(summary["bits"])))
            ax.set_xlabel("")
        panels[0].set_ylabel(label)
        panels[-1].legend()
    for ax, name in zip(axes[0], groups, strict=True):
        ax.set_title(name)
    figure.supxlabel("bits per weight", fontsize=10)
    return figure


def band_law(
    levels: pd.DataFrame, by: str, share: float, paper: Mapping[str, tuple[float, float]]
) -> Figure:
    """Flip rate in the boundary band against that of all points, beside :func:`baq.band.band_flip_law`.

    The law is drawn for the band's share, and for half and three halves of it, at most all points.

    Arguments:
        levels: rows of :func:`baq.compare`; read are ``flip_rate`` and ``band_flip_rate``.
        by: the column with a colour for each value.
        share: share of the points in the band.
        paper: legend text to a pair of rates, of all points and in the band; at most two.
    """
    figure, ax = plt.subplots(figsize=(WIDTH, 4.5))
    flips = levels["flip_rate"]
    rates = np.geomspace(min([*flips[flips > 0], 0.1]), 0.5, 100)
    for other, dash in ((share / 2, ":"), (share, "-"), (min(1.5 * share, 1.0), "--")):
        law = [band_flip_law(rate, other) for rate in rates]
        ax.plot(rates, law, dash, color="0.4", label=f"law, {other:.0%}")
    for k, (name, rows) in enumerate(levels.groupby(by, sort=False)):
        mark: dict[str, Any] = {"marker": MARKERS[k % len(MARKERS)], "alpha": 0.7}
        mark |= {"ms": 5, "mew": 0, "ls": "none"}
        ax.plot(rows["flip_rate"], rows["band_flip_rate"], label=name, **mark)
    for (label, pair), (marker, size) in zip(paper.items(), (("D", 7), ("*", 11)), strict=False):
        mark = PAPER | {"marker": marker, "markersize": size}
        ax.plot(*([rate] for rate in pair), label=label, **mark)
    ax.set(xscale="log", yscale="log")
    ax.set(xlabel="flip rate, all images", ylabel="flip rate in the band")
    share_axis(ax.xaxis)
    share_axis(ax.yaxis)
    ax.legend(ncols=2)
    return figure


def band_widths(rates: pd.DataFrame, by: str, share: float, claim: str) -> Figure:
    """Flip rate in boundary bands of several widths, measured and by the law of the band.

    Arguments:
        rates: rows of :func:`baq.band.band_by_share`, for one network or more of each group.
        by: the column that names the group, such as the family of a network.
        share: the width for which the paper gives a rate.
        claim: the claim with that rate.
    """
    figure, ax = plt.subplots()
    summary = summarize(rates, [by, "share"], ["band_flip_rate", "law"])
    for k, (name, rows) in enumerate(summary.groupby(by, sort=False)):
        labels = {"band_flip_rate": f"{name}, measured", "law": f"{name}, law"}
        interval_lines(ax, rows, "share", labels, first=2 * k)
    ax.plot(share, paper_value(claim), label=f"paper, {claim}", **PAPER)
    ax.set(xscale="log", xlabel="share of the images in the band", ylabel="flip rate in the band")
    shares = summary["share"].unique()
    ax.set_xticks(shares, [f"{100 * s:g}%" for s in shares])
    ax.minorticks_off()
    share_axis(ax.yaxis)
    ax.legend()
    return figure


def interval_panels(summary: pd.DataFrame, x: str, panels: Mapping[str, str], by: str) -> Figure:
    """Measures along an axis: a panel for each measure, one above the other, a line for each series.

    The values of ``x`` are evenly spaced, whatever their distances.

    Arguments:
        summary: as :func:`baq.report.stats.summarize` returns it.
        x: its column along the axis, numbers.
        panels: measure to axis label, unit included.
        by: the column that names the lines, in drawing order.
    """
    ticks = sorted(summary[x].unique())
    placed = summary.assign(place=summary[x].map(ticks.index))
    figure, axes = plt.subplots(
        len(panels), 1, figsize=(WIDTH, 3.25 * len(panels)), sharex=True, squeeze=False
    )
    for ax, (measure, label) in zip(axes.flat, panels.items(), strict=True):
        for k, (name, rows) in enumerate(placed.groupby(by, sort=False)):
            interval_lines(ax, rows, "place", {measure: name}, first=k)
        _measure_axis(ax.yaxis, measure)
        ax.set_ylabel(label)
    axes.flat[-1].set_xticks(range(len(ticks)), [f"{value:g}" for value in ticks])
    handles = axes.flat[0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside lower center", ncols=3)
    return figure


def dodged_intervals(
    ax: Axes, frame: pd.DataFrame, x: str, places: Mapping[object, str], value: str, by: str
) -> None:
    """A mark with its interval for each series, side by side at each place along an axis.

    Arguments:
        ax: where to draw.
        frame: a row an estimate, with the columns ``value``, ``value_lo`` and ``value_hi``.
        x: its column along the axis.
        places: values of that column to the texts below them, from left to right.
        value: the column of the estimates.
        by: the column that names the series, in order of appearance.
    """
    order, names = list(places), list(dict.fromkeys(frame[by]))
    for k, name in enumerate(names):
        rows = frame[frame[by] == name]
        at = np.array([order.index(place) for place in rows[x]])
        at = at + (k - (len(names) - 1) / 2) * 0.16
        ax.vlines(at, rows[f"{value}_lo"], rows[f"{value}_hi"], color=f"C{k}", lw=2)
        marker = MARKERS[k % len(MARKERS)]
        ax.plot(at, rows[value], marker, ms=6, color=f"C{k}", label=name)
    ax.set_xticks(range(len(order)), list(places.values()))


def scatter_panels(
    frame: pd.DataFrame,
    axes: Mapping[str, str],
    *,
    panel: str,
    shape: str,
    shade: str,
    unit: str = "",
) -> Figure:
    """One measure against another of the same kind, with the line of equal values in each panel.

    Arguments:
        frame: a row a mark.
        axes: its column along each of the two axes to that axis's text.
        panel, shape: the columns that decide panel and marker, in order of appearance.
        shade: the column of numbers that decides the shade, from dark to light.
        unit: follows the shade's number in the legend.
    """
    (x, x_label), (y, y_label) = axes.items()
    names, shapes = (list(dict.fromkeys(frame[column])) for column in (panel, shape))
    values = sorted(frame[shade].unique())
    shades = dict(zip(values, plt.cm.cividis(np.linspace(0, 0.75, len(values))), strict=True))
    markers = dict(zip(shapes, cycle(MARKERS), strict=False))
    height = -(-len(names) // 2)
    figure, grid = plt.subplots(height, 2, figsize=(WIDTH, 2.9 * height), squeeze=False)
    for ax in grid.flat[len(names) :]:
        ax.set_axis_off()
    for ax, name in zip(grid.flat, names, strict=False):
        ax.axline((0, 0), slope=1, color="black", lw=1, ls=":", zorder=0)
        for (kind, number), rows in frame[frame[panel] == name].groupby([shape, shade]):
            ax.plot(rows[x], rows[y], markers[kind], ms=4, mew=0, color=shades[number])
        ax.set(title=name, xlabel=x_label, ylabel=y_label)
    line = partial(plt.Line2D, [], [], ls="none")
    handles = [line(marker=markers[kind], color="black", label=kind) for kind in shapes]
    handles += [
        line(marker="o", color=shades[number], label=f"{number}{unit}") for number in values[::-1]
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3)
    return figure


def claims_over_grid(answers: pd.DataFrame, axes: Sequence[str]) -> Figure:
    """Medians of claims over a grid of runs, a panel for each claim.

    The first parameter that is not a seed runs along the axis; the second has a colour for each value.
    Lines join the medians over seeds and all other parameters, and bands span their range.

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
