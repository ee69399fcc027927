"""The generated parts of the page *Performance*: the races' verdicts, and costs against size."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import pandas as pd

from baq.report.style import DASHES, MARKERS, WIDTH, use_style
from benchmarks.race import MISSING, UNEQUAL
from workflow import markdown
from workflow.project import Project
from workflow.scaling_page import fit

__all__ = ["cost_figure", "parts", "verdict"]

_NONE = "The races have not been run: `make race` does."
_NO_PLANES = "The planes have not been compared: `python -m benchmarks --planes 20` does."
# Below this many cells a side the fixed part of a map's cost shows, and the law does not.
_LEAST_SIDE = 129


def parts(project: Project, folder: Path) -> dict[str, str]:
    """``performance-races``, ``-machine``, ``-planes``, ``-exponents`` and ``-costs`` in Markdown.

    The figure of the costs is written into ``folder``.
    """
    results = project.root / "book" / "results"
    names = ("races", "machine", "planes", "exponents", "costs")
    found = dict.fromkeys((f"performance-{name}" for name in names), _NONE)
    if (results / "benchmarks.csv").is_file():
        races = pd.read_csv(results / "benchmarks.csv")
        found["performance-races"] = _races(races)
        found["performance-machine"] = "\n".join(f"* {name}" for name in races["machine"].unique())
    if (results / "benchmarks-costs.csv").is_file():
        costs = pd.read_csv(results / "benchmarks-costs.csv")
        found["performance-exponents"] = _exponents(costs)
        cost_figure(costs, folder / "performance-costs.svg")
        found["performance-costs"] = (
            "```{image} generated/performance-costs.svg\n:alt: Two panels, seconds of a label map against "
            "its cells a side, both logarithmic. Left, certified maps of four networks with one hidden "
            "layer; right, adaptive maps of two convolutional networks; with the steeper lines of the "
            "dense loops above them.\n```"
        )
    found["performance-planes"] = _NO_PLANES
    if (results / "benchmarks-planes.csv").is_file():
        found["performance-planes"] = _planes(pd.read_csv(results / "benchmarks-planes.csv"))
    return found


def verdict(race: pd.Series) -> str:
    """``met``, ``not met``, or ``not raced``, where the peer is not there."""
    agreement = str(race["agreement"])
    if agreement.startswith(MISSING):
        return "not raced"
    fast = race["ratio_median"] >= race["target"]
    return "met" if fast and not agreement.startswith(UNEQUAL) else "not met"


def _races(races: pd.DataFrame) -> str:
    rows = []
    for _, race in races.iterrows():
        work, _, peer = race["work"].partition(" / ")
        met, raced = verdict(race), ("", "")
        if met != "not raced":
            times = f"{_seconds(race['ours'])}, {_seconds(race['peer'])}"
            ratio = "{ratio_median:.3g} [{ratio_min:.3g}, {ratio_max:.3g}]".format(**race)
            raced = times, ratio
        target = f"{race['target']:.3g}: **{met}**"
        rows.append((f"{work}, {race['size']}", peer, *raced, target, race["agreement"]))
    header = ("work", "against", "ours, peer", "times faster", "target", "answers")
    return f"```{{table}}\n:class: races\n\n{markdown.table(header, rows)}\n```"


def _seconds(value: float) -> str:
    return f"{value:.3g} s" if value >= 1 else f"{1e3 * value:.3g} ms"


def _planes(planes: pd.DataFrame) -> str:
    rows = [
        (
            network,
            len(group),
            f"{group['n'].iloc[0]} x {group['n'].iloc[0]}",
            f"{100 * group['evaluated'].median():.1f} %",
            int(group["wrong"].sum()),
            f"{100 * group['error_bound'].max():.2f} %",
        )
        for network, group in planes.groupby("network", sort=False)
    ]
    header = ("network", "planes", "cells", "evaluated, median", "wrong cells", "largest bound")
    return markdown.table(header, rows)


def _exponents(costs: pd.DataFrame) -> str:
    rows = []
    for (network, way), group in costs.groupby(["network", "way"], sort=False):
        fitted = group[group["n"] >= _LEAST_SIDE] if way != "dense" else group
        cells = []
        for column in ("seconds", "evaluated"):
            if len(fitted) < 3:
                cells.append("")
                continue
            p, lo, hi = fit(fitted["n"].to_numpy(float), fitted[column].to_numpy(float)).exponent()
            cells.append(f"{p:.2f} [{lo:.2f}, {hi:.2f}]")
        rows.append((network, way, f"{fitted['n'].min()} to {fitted['n'].max()}", *cells))
    return markdown.table(("network", "way", "n", "time grows as n to the", "evaluations"), rows)


def cost_figure(costs: pd.DataFrame, path: Path) -> None:
    """Seconds of a map against its cells a side, networks with one hidden layer and others apart."""
    with mpl.rc_context():
        use_style()
        fig, axes = plt.subplots(1, 2, figsize=(WIDTH, 3.8), sharey=True)
        for ax, way in zip(axes, ("certified", "adaptive"), strict=True):
            networks = costs.loc[costs["way"] == way, "network"].unique()
            for k, name in enumerate(networks):
                for shown, dash in ((way, DASHES[0]), ("dense", DASHES[1])):
                    rows = costs[(costs["network"] == name) & (costs["way"] == shown)]
                    label = name if shown == way else None
                    style = {"marker": MARKERS[k], "ls": dash, "color": f"C{k}", "label": label}
                    ax.plot(rows["n"], rows["seconds"], **style)
            title = f"{way}; dashed: dense"
            ax.set(xlabel="cells a side, n", xscale="log", yscale="log", title=title)
            sides = sorted(costs.loc[costs["network"].isin(networks), "n"].unique())
            ax.set_xticks(sides, map(str, sides), rotation=45)
            ax.minorticks_off()
            ax.legend(fontsize=8)
        axes[0].set_ylabel("seconds")
        path.parent.mkdir(parents=True, exist_ok=True)
        fig.savefig(path, metadata={"Date": None})
        plt.close(fig)
