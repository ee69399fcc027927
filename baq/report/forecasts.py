"""The chapter on what is asked before quantizing: its figures and texts, from its tables."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy.stats import rankdata, spearmanr

from baq.report.charts import share_axis
from baq.report.style import DASHES, MARKERS, WIDTH

__all__ = [
    "FEWEST",
    "against_what_came",
    "at_a_glance",
    "attainable_rank",
    "beyond",
    "broken_most",
    "by_inputs",
    "in_short",
    "judged",
    "quality",
    "redrawn",
    "where_given",
]


#: With fewer labels changed than these, what came is itself too much by chance for a relative error.
FEWEST = 10


def judged(forecasts: pd.DataFrame) -> pd.DataFrame:
    """Forecasts with ``error``, the forecast over what came less 1, and ``held``.

    The error is NaN where fewer than ``FEWEST`` labels changed.

    Arguments:
        forecasts: rows of :func:`baq.planning.forecast` with ``came``, the flip rate that was measured, and
            ``images``, on how many.
    """
    came = forecasts["came"]
    enough = (came * forecasts["images"]).round() >= FEWEST
    error = forecasts["flip_rate"] / came.where(enough) - 1
    held = came.between(forecasts["flip_rate_lo"], forecasts["flip_rate_hi"])
    return forecasts.assign(error=error, held=held)


def quality(forecasts: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """How good the forecasts of several networks are: a row a group.

    Arguments:
        forecasts: those of :func:`judged`, with ``noisy``, the flip rate of a network with noise.
        by: the columns of the groups.

    Returns:
        ``by``, ``networks``, means of ``flip_rate``, ``noisy`` and ``came``, the median absolute ``error``, the
        share ``held``, and the median ``explained``.
    """
    found = forecasts.assign(size=forecasts["error"].abs()).groupby(list(by), sort=False)
    table = found[["flip_rate", "noisy", "came", "held"]].mean()
    table.insert(0, "networks", found.size())
    table["error"], table["explained"] = found["size"].median(), found["explained"].median()
    return table.reset_index()


def in_short(forecasts: pd.DataFrame) -> str:
    """Median relative error, left out where there is none, and share of intervals that held, as a sentence without its stop."""
    held = (
        f"{forecasts['held'].mean():.0%} of what came lay within the 90 % interval, which is wide"
    )
    if forecasts["error"].isna().all():
        return held
    sure = forecasts["error"].notna()
    return (
        f"the median relative error is {forecasts['error'].abs().median():.0%} over the {sure.sum()} of {len(sure)} forecasts "
        f"with enough flips to tell, and {held}"
    )


def at_a_glance(forecasts: pd.DataFrame, parts: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Error, coverage and rank by groups of networks, of all of them first, for each part of their forecasts.

    Arguments:
        forecasts: those of :func:`judged`, of networks of several settings, with ``images``.
        parts: some of their rows, by a name.

    Returns:
        ``setting``, ``part``, and as far as known ``error`` (median, relative), ``held`` (share of intervals),
        ``rank`` (Spearman's correlation of forecasts with what came) and ``attainable`` (:func:`attainable_rank`).
    """
    groups = {
        "all": forecasts.index,
        "1,000 test images or more": forecasts.index[forecasts["images"] >= 1000],
    }
    groups |= {name: rows.index for name, rows in forecasts.groupby("setting", sort=False)}
    found = []
    for name, index in groups.items():
        for part, some in parts.items():
            rows = some[some.index.isin(index)]
            if rows.empty:
                continue
            pair = rows[["flip_rate", "came"]]
            ranked = (pair.nunique() > 1).all()
            rank = spearmanr(*pair.to_numpy().T).statistic if ranked else math.nan
            best = attainable_rank(rows) if ranked else math.nan
            error, held = rows["error"].abs().median(), rows["held"].mean()
            found.append((name, part, error, held, rank, best))
    columns = ["setting", "part", "error", "held", "rank", "attainable"]
    return pd.DataFrame(found, columns=columns)


def attainable_rank(forecasts: pd.DataFrame, draws: int = 400, seed: int = 0) -> float:
    """The rank correlation that forecasts would have in the mean if every one were the true flip rate.

    What comes is a count on so many images, and a binomial draw around the truth: with few flips its order is
    a matter of chance, whatever the forecast. Rounding itself, which differs from draw to draw, only adds to it.

    Arguments:
        forecasts: rows with ``flip_rate`` and ``images``.
        draws: simulated outcomes.
        seed: of the draws.
    """
    truth, images = (forecasts[name].to_numpy() for name in ("flip_rate", "images"))
    rng = np.random.default_rng(seed)
    came = rng.binomial(images, truth, size=(draws, len(truth)))
    ranks = [rankdata(values) for values in (truth, *came)]
    with np.errstate(invalid="ignore"):
        found = [np.corrcoef(ranks[0], other)[0, 1] for other in ranks[1:]]
    return float(np.nanmean(found))


def beyond(forecasts: pd.DataFrame, most: int) -> str:
    """What one draw of noise gains over the first order with few bits, as a sentence.

    Arguments:
        forecasts: those of :func:`judged`.
        most: bits up to which they are few.
    """
    few = forecasts[(forecasts["bits"] <= most) & forecasts["error"].notna()]
    if few.empty:
        return ""
    of_noise = (few["noisy"] / few["came"] - 1).abs().median()
    return (
        f"At {most} bits and fewer the first order errs by {few['error'].abs().median():.0%} in the median, and a "
        f"network with one draw of noise by {of_noise:.0%}."
    )


def redrawn(promises: pd.DataFrame) -> pd.DataFrame:
    """How often picks broke their threshold, with the most calibration inputs: a row a setting, tau and rule.

    Arguments:
        promises: rows of :func:`baq.planning.redraws.broken_promises` with ``setting``, ``tau``, ``count`` and
            ``kind``, sample or control.
    """
    largest = promises.groupby("setting")["count"].transform("max")
    at = promises[promises["count"] == largest].copy()
    level = at["delta"].map(", δ = {:g}".format).where(at["delta"] > 0, "")
    at["rule"], at["unpromised"] = at["rule"] + level, 1 - at["picked"]
    rows = at[at["kind"] == "sample"]
    control = at.loc[at["kind"] == "control", "broken"].to_numpy()
    columns = ["setting", "tau", "rule", "broken", "unpromised", "bits"]
    return rows[columns].assign(control=control)


def broken_most(promises: pd.DataFrame) -> tuple[dict[float, float], float, float]:
    """The largest shares of broken picks: of the promise by delta, of the plug-in rule, and of the control.

    Arguments:
        promises: as for :func:`redrawn`.
    """
    sample, control = (promises[promises["kind"] == kind] for kind in ("sample", "control"))
    worst = sample[sample["rule"] == "promise"].groupby("delta", sort=False)["broken"].max()
    plug_in = sample.loc[sample["rule"] == "plug-in", "broken"].max()
    beyond_it = control.loc[control["rule"] == "promise", "broken"].max()
    return worst.to_dict(), float(plug_in), float(beyond_it)


def where_given(promises: pd.DataFrame) -> str:
    """How often a promise is broken among the draws in which one is given, where it is so most, as a sentence.

    Arguments:
        promises: as for :func:`redrawn`.
    """
    rows = promises[(promises["rule"] == "promise") & (promises["kind"] == "sample")]
    rows = rows[rows["broken"] > 0]
    if rows.empty:
        return ""
    worst = rows.loc[(rows["broken"] / rows["picked"]).idxmax()]
    return (
        "That counts all draws. Among those in which something is promised the share may be any: at worst "
        f"({worst['setting']}, τ = {worst['tau']:g}, {worst['count']:,.0f} inputs) a promise is given in "
        f"{worst['picked']:.1%} of draws and broken in {worst['broken'] / worst['picked']:.0%} of these."
    )


def against_what_came(forecasts: pd.DataFrame) -> Figure:
    """Forecast flip rate with its interval against the one that came, a mark a network and bit width.

    Arguments:
        forecasts: rows with ``setting``, ``bits``, ``flip_rate`` and its ends, and ``came``; those of which
            nothing came have no place on the axis.
    """
    figure, ax = plt.subplots(figsize=(WIDTH, 4.6))
    shown = forecasts[forecasts["came"] > 0]
    for k, (setting, rows) in enumerate(shown.groupby("setting", sort=False)):
        colour = f"C{k}"
        ends = rows["flip_rate_lo"].clip(lower=1e-4), rows["flip_rate_hi"]
        ax.vlines(rows["came"], *ends, lw=1, alpha=0.35, color=colour)
        marker = MARKERS[k % len(MARKERS)]
        label = str(setting)
        ax.plot(rows["came"], rows["flip_rate"], marker, ms=4, mew=0, label=label, color=colour)
    ax.axline((0.01, 0.01), slope=1, color="black", lw=1, ls=":", zorder=0)
    ax.set(xscale="log", yscale="log", xlabel="flip rate that came", ylabel="flip rate forecast")
    ax.set_ylim(bottom=1e-4)
    share_axis(ax.xaxis)
    share_axis(ax.yaxis)
    ax.legend()
    return figure


def by_inputs(promises: pd.DataFrame) -> Figure:
    """How often something can be promised against the calibration inputs, a panel a network.

    Arguments:
        promises: rows with ``setting``, ``tau``, ``count`` and ``picked``.
    """
    settings = list(dict.fromkeys(promises["setting"]))
    figure, axes = plt.subplots(1, len(settings), figsize=(WIDTH, 3.4), sharey=True, squeeze=False)
    for ax, setting in zip(axes.flat, settings, strict=True):
        of = promises[promises["setting"] == setting]
        for k, (tau, rows) in enumerate(of.groupby("tau")):
            look = {"marker": MARKERS[k % len(MARKERS)], "ls": DASHES[k % len(DASHES)]}
            ax.plot(rows["count"], rows["picked"], label=f"τ = {tau:.0%}", **look)
        ax.set(xscale="log", title=setting, xlabel="calibration inputs")
        ticks = sorted(of["count"].unique())
        ax.set_xticks(ticks, [f"{n:,}" for n in ticks], rotation=45)
        ax.minorticks_off()
    share_axis(axes[0, 0].yaxis)
    axes[0, 0].set_ylabel("draws with a promise")
    lines = axes[0, 0].get_legend_handles_labels()
    figure.legend(*lines, loc="outside lower center", ncols=len(lines[0]))
    return figure
