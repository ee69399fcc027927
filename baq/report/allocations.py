"""The chapter on what is asked before quantizing, its part on bits by layer: figures and sentences, from tables."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from baq.report.charts import share_axis
from baq.report.contrasts import apart
from baq.report.stats import paired_differences
from baq.report.style import DASHES, MARKERS, WIDTH

__all__ = [
    "DECISION",
    "against",
    "against_bytes",
    "decided",
    "differing",
    "fewer",
    "on_top",
    "where_lowest",
]


#: The columns of a decision that a page shows.
DECISION = ["setting", "promised", "bits", "bytes", "forecast", "flip_rate", "came"]


def against_bytes(curves: pd.DataFrame) -> Figure:
    """Flip rate against bytes, means over networks: a panel for each setting, a line for each way.

    Arguments:
        curves: rows of :func:`baq.planning.trials.by_ways` with ``setting`` and ``seed``.
    """
    settings = list(dict.fromkeys(curves["setting"]))
    figure, axes = plt.subplots(1, len(settings), figsize=(WIDTH, 4.2), sharey=True, squeeze=False)
    for ax, setting in zip(axes.flat, settings, strict=True):
        of = curves[curves["setting"] == setting]
        for k, (way, rows) in enumerate(of.groupby("way", sort=False)):
            line = rows.groupby("mean")[["bytes", "flip_rate"]].mean()
            look = {"marker": MARKERS[k % len(MARKERS)], "ls": DASHES[k % len(DASHES)], "ms": 4}
            ax.plot(line["bytes"] / 1000, line["flip_rate"], color=f"C{k}", label=way, **look)
        ax.set(yscale="log", title=setting, xlabel="size, kB")
        share_axis(ax.yaxis)
    axes[0, 0].set_ylabel("flip rate")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure


def against(curves: pd.DataFrame, pairs: Sequence[tuple[str, str]]) -> pd.DataFrame:
    """Paired differences of flips over seeds, bits by the forecast less those of another way, for each mean.

    Arguments:
        curves: as for :func:`against_bytes`.
        pairs: the way and the one that it is compared with.
    """
    found = [
        paired_differences(
            curves,
            ["flip_rate"],
            by=["setting", "mean"],
            pair=["seed"],
            variant="way",
            of=[of],
            against=[other],
        )
        for of, other in pairs
    ]
    return pd.concat(found, ignore_index=True)


def differing(differences: pd.DataFrame) -> pd.DataFrame:
    """The rows of :func:`against` as a page shows them."""
    columns = ["setting", "mean", "way", "against", "difference", "lo", "hi", "measure"]
    names = {"mean": "bits in the mean", "way": "bits by"}
    return differences[columns].rename(columns=names)


def fewer(differences: pd.DataFrame, mean: int) -> str:
    """How many flips fewer or more at a mean of bits, for each setting, as the parts of a sentence."""
    rows = differences[differences["mean"] == mean]
    return "; ".join(
        f"{row.setting} {abs(row.change):.0%} {'more' if row.change > 0 else 'fewer'} (from {row.before:.2%} to "
        f"{row.after:.2%}{'' if apart(row) else ', an interval that holds 0'})"
        for row in rows.itertuples()
    )


def on_top(rounded: pd.DataFrame, images: int) -> str:
    """What bits by layer do where weights are rounded by the boundary metric, as a list.

    Arguments:
        rounded: rows of :func:`baq.planning.trials.on_top` with ``setting`` and ``seed``.
        images: how many the weights were rounded on.
    """
    networks = rounded[["setting", "seed"]].drop_duplicates()
    told = [f"Networks rounded, on {images} images each: {len(networks)}.\n"]
    known = {
        (d.setting, d.mean): d for d in against(rounded, [("forecast", "uniform")]).itertuples()
    }
    for (setting, mean), rows in rounded.groupby(["setting", "mean"], sort=False):
        rate = rows.groupby("way")["flip_rate"].mean()
        ends = "one network has no interval"
        if (setting, mean) in known:
            ends = f"interval {'excludes' if apart(known[setting, mean]) else 'holds'} 0"
        told.append(
            f"* {setting}, {mean} bits: {rate['uniform']:.2%} flips with uniform bits, {rate['forecast']:.2%} "
            f"with bits by the forecast ({rate['forecast'] / rate['uniform'] - 1:+.0%}, {ends})."
        )
    return "\n".join(told)


def where_lowest(curves: pd.DataFrame, way: str, others: Sequence[str]) -> tuple[int, int, int]:
    """At how many settings and means a way has fewer flips than all others, as many as the best of them, of how many."""
    table = curves.pivot_table(index=["setting", "mean"], columns="way", values="flip_rate")
    best = table[list(others)].min(axis=1)
    return int((table[way] < best).sum()), int((table[way] == best).sum()), len(table)


def decided(decisions: pd.DataFrame, budget: float, tau: float) -> tuple[str, str]:
    """What to take within a budget of kilobytes and with at most tau flips; and what that leaves out.

    Arguments:
        decisions: a row a setting, as :func:`baq.planning.trials.smallest_kept` returns it.
        budget: in kB.
        tau: the largest flip rate.
    """
    kept = decisions[decisions["promised"]]
    size = kept["bytes"] / 1000
    fit = kept[size <= budget].sort_values("bytes")
    taken = "; ".join(
        f"{row.setting} takes {row.bits:.2f} bits in the mean, {row.bytes / 1000:.1f} kB"
        for row in fit.itertuples()
    )
    told = f"With {budget:g} kB and at most {tau:.0%} flips: {taken or 'nothing fits'}."
    rest = []
    if (size > budget).any():
        larger = kept[size > budget].sort_values("bytes")
        sizes = "; ".join(f"{row.setting} {row.bytes / 1000:.0f} kB" for row in larger.itertuples())
        rest.append(f"Too large with that promise: {sizes}.")
    if len(kept) < len(decisions):
        lacking = decisions.loc[~decisions["promised"], "setting"]
        rest.append(f"Nothing can be promised for {', '.join(lacking)}.")
    broken = int((kept["came"] > tau).sum())
    rest.append(f"On test images {broken} of {len(kept)} promises were broken.")
    return told, " ".join(rest)
