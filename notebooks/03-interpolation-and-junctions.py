# ---
# jupyter:
#   jupytext:
#     formats: py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
#   baq:
#     requires: [digits]
#     minutes: 1
#     threads: 1
# ---

# %% [markdown]
# # Interpolation and junctions
#
# Between two neighbouring bit widths the weights can be led along a straight line, and the label map
# followed on the way. Where does it rearrange? The paper says: at the junctions where three classes
# meet. This chapter counts the junctions (claims T1 to T3) and tests the statement (claim T4) against
# two controls.
#
# ## What is measured
#
# Interpolation
# : $W(t) = (1-t)\,W_b + t\,W_{b'}$ between the quantized weights of two adjacent levels $b > b'$, with
#   $t$ from 0 to 1. Biases stay what they are. The levels are those that the paper's abstract names,
#   so that there are three transitions.
#
# Junction cell
# : a $2 \times 2$ block of cells with at least three labels (*triple*); the $3 \times 3$ rule is the
#   wider alternative.
#
# Changed cell
# : a cell whose label at one step differs from its label at the step before.
#
# Vanished and appeared regions
# : a region is a connected set of cells of one label; it vanishes in a step if none of its cells keeps
#   the label, and appears if it vanishes backwards.
#
# Near
# : within a twentieth of the slice's width of a junction cell, in the map before the step. A region is
#   measured in the map that lacks it, by the median of its cells.

# %% tags=["parameters"]
seeds: int = 20  # each draws its own split and initialization [1..1000]
first_seed: int = 0  # the first of the seeds [0..1000000]
levels: list[int] = [8, 6, 4, 3]  # neighbours change [2..16, two or more]
steps: int = 20  # steps of t along each transition [1..10000]
n: int = 241  # cells a side of the label maps [2..8192]
pad: float = 0.1  # share by which the slice is wider than its images [0..10]
near: float = 0.05  # near a junction: within this share of the width [0..1]
hidden: int = 64  # hidden units of the network [1..4096]
activation: str = "tanh"  # activation of the hidden units [tanh | relu]
epochs: int = 200  # passes over the training images [1..10000]
test: float = 0.25  # share of the images held out for the test [0.01..0.9]
shown: int = 0  # which seed's maps to step through; the first [0..999]
jobs: int = 2  # seeds at the same time; results do not depend on it [1..64]

# %% tags=["remove-input"]
from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from IPython.display import Markdown, display
from scipy import ndimage
from scipy.stats import wilcoxon

from baq import ptq_w, slices
from baq.report import charts, style, tables
from baq.report.claims import answer, paper_value
from baq.report.maps import stepper
from baq.report.runs import run_all
from baq.report.stats import summarize
from baq.slices.junctions import junction_cells
from baq.slices.paths import distances_along, follow, junction_readings
from baq.zoo.recipes import digits_network

style.use_style()
transitions = {f"{b} to {c} bits": (b, c) for b, c in pairwise(levels)}
CLAIMS = {"8 to 6 bits": "T1", "6 to 4 bits": "T2", "4 to 3 bits": "T3"}
claimed = {claim: name for name, claim in CLAIMS.items() if name in transitions}
recipe = {"hidden": hidden, "activation": activation, "epochs": epochs}
ts = np.linspace(0, 1, steps + 1)

# %% [markdown]
# ## The run
#
# The networks and slices are those of the chapters before. Each transition gives a film of label maps. By
# hand, for one network and the first transition:

# %%
network, split = digits_network(first_seed + shown, test=test, **recipe)
plane = slices.pca_plane(split.x_train, pad)
start, stop = ptq_w(network, levels[0]), ptq_w(network, levels[1])
film = follow(start, stop, plane, steps, n)
pd.DataFrame([junction_readings(film)])

# %% [markdown]
# The row has the triple-junction cells of the film, read in five ways. For all seeds and transitions, each
# step also gives the distances to the nearest junction of its changed cells and regions, and of the
# two controls: all boundary cells of the map before, and all its cells.


# %% mystnb={"code_prompt_show": "Show how one seed is measured"} tags=["hide-input"]
# Distances are shares of the slice's width; the last bin is open.
edges = np.linspace(0, 0.5, 101)


def measured(seed):
    """For every transition of a seed: readings, junctions along t, distances."""
    reference, split = digits_network(seed, test=test, **recipe)
    plane = slices.pca_plane(split.x_train, pad)
    readings, along, distances = [], [], []
    for transition, (b, c) in transitions.items():
        setting = {"seed": seed, "transition": transition}
        film = follow(ptq_w(reference, b), ptq_w(reference, c), plane, steps, n)
        readings.append(setting | junction_readings(film))
        triple = [int(junction_cells(grid.labels).sum()) for grid in film]
        along.append(pd.DataFrame(setting | {"t": ts, "triple": triple}))
        counts = distances_along(film, edges)
        distances.append(pd.DataFrame(setting | dict(counts.items())))
    return pd.DataFrame(readings), pd.concat(along), pd.concat(distances)


tasks = [(seed,) for seed in range(first_seed, first_seed + seeds)]
found = run_all(measured, tasks, jobs=jobs, label="seeds")
parts = zip(*found, strict=True)
by_seed, along, distances = (pd.concat(part, ignore_index=True) for part in parts)
tables.save(by_seed, "by-seed")

# %% [markdown]
# ## The path of one network
#
# Move the slider: the first seed's slice on its way from the most bits to the fewest. Junction cells are
# black.

# %% caption="The slice of one network on its way from the most bits to the fewest." data=["junctions-along-t"] tags=["remove-input"]
maps, captions, marks = [], [], []
for transition, (b, c) in transitions.items():
    film = follow(ptq_w(network, b), ptq_w(network, c), plane, steps, n)
    for t, grid in zip(ts, film, strict=True):
        maps.append(grid)
        junction = junction_cells(grid.labels)
        share = slices.grid_change(maps[0].labels, grid.labels)
        captions.append(
            f"{transition}, t = {t:.2f}: {junction.sum()} junction cells, "
            f"{share:.1%} of the cells changed since {levels[0]} bits"
        )
        marks.append(
            ndimage.binary_dilation(np.pad(junction, (0, 1)), iterations=2)
        )
stepper(
    maps,
    captions,
    classes=10,
    title=f"Label map of seed {first_seed + shown} along the path of the weights",
    marked=marks,
)

# %% [markdown]
# ## How many junctions

# %% mystnb={"image": {"alt": "Three panels, one for each transition: triple-junction cells against t, median and 90 percent interval over seeds, with the paper's count as a dotted line. The counts change little along t."}} caption="Triple-junction cells along each transition: median and 90 % interval over seeds." data=["junctions-along-t"] tags=["remove-input"]
tables.save(along, "junctions-along-t")
path = summarize(along, ["transition", "t"], ["triple"])
fig, axes = plt.subplots(
    1, len(transitions), figsize=(style.WIDTH, 3), sharey=True, squeeze=False
)
for ax, transition in zip(axes.flat, transitions, strict=True):
    rows = path[path["transition"] == transition]
    ax.plot(rows["t"], rows["median"], label="median over seeds")
    ax.fill_between(
        rows["t"], rows["lo"], rows["hi"], alpha=0.2, lw=0, label="90 % interval"
    )
    claim = CLAIMS.get(transition)
    if claim:
        ax.axhline(
            paper_value(claim), color="black", ls=":", label="paper, T1 to T3"
        )
    ax.set(title=f"{transition} ({claim})" if claim else transition, xlabel="t")
    ax.margins(y=0.1)
    ax.set_ylim(bottom=0)
axes.flat[0].set_ylabel("triple-junction cells of a map")
handles = {
    name: handle
    for ax in axes.flat
    for handle, name in zip(*ax.get_legend_handles_labels(), strict=True)
}
legend = fig.legend(
    handles.values(), handles.keys(), loc="outside lower center", ncols=3
)

# %% [markdown]
# "Triple-junction cells of a transition" can be counted in several ways, and the abstract says neither
# which was used nor how its three transitions were selected. The first reading below, the largest count of
# any map on the path, depends neither on the number of steps nor on one end of the path, so it stands for
# the claims; the others show how far the reading carries.

# %% caption="Triple-junction cells, counted in five ways: median and 90 % interval over seeds." tags=["remove-input"]
readings = list(by_seed.columns.drop(["seed", "transition"]))
readings_summary = summarize(by_seed, ["transition"], readings)
wide = tables.interval_table(readings_summary, ["transition"], precision=0)
paper = {name: f"{paper_value(claim):.0f}" for claim, name in claimed.items()}
wide.insert(1, "paper", [paper.get(name, "") for name in wide["transition"]])
tables.show(readings_summary, "readings", shown=wide)

# %% [markdown]
# ## Where the map rearranges
#
# Changed cells lie on the boundary, so of course they lie nearer to junctions than a cell drawn at random
# does. The fair control is a random *boundary* cell: do changes favour the junctions, or do they happen all
# along the boundary? Regions that vanish or appear are the other thing that can be meant by a visible
# reconfiguration. For them the comparison is partly settled by topology, since a region that borders on two
# others has a junction at each end of its borders; only where it was or will be, in the map that lacks it,
# is left to the network.

# %% mystnb={"image": {"alt": "Three panels, one for each transition: cumulative share within a distance of the nearest junction cell, for regions that vanish or appear, boundary cells, changed cells and all cells of the map. Regions rise first, then boundary cells, then changed cells, then all cells."}} caption="Share within a distance of the nearest junction cell, all seeds." data=["distances"] tags=["remove-input"]
tables.save(distances, "distances")
pooled = distances.groupby(["transition", "kind", "distance"], sort=False)[
    "count"
].sum()
share = pooled.groupby(["transition", "kind"], sort=False).transform(
    lambda k: k.cumsum() / k.sum()
)
fig, axes = plt.subplots(
    1, len(transitions), figsize=(style.WIDTH, 3.2), sharey=True, squeeze=False
)
for ax, transition in zip(axes.flat, transitions, strict=True):
    for k, kind in enumerate(
        ["changed cells", "boundary cells", "all cells", "regions"]
    ):
        curve = share[transition, kind].iloc[:-1]
        ax.plot(curve.index, curve, ls=style.DASHES[k], label=kind)
    ax.axvline(near, color="0.6", lw=0.8, zorder=0)
    ax.set(title=transition, xlabel="distance,\nshare of width", ylim=(0, 1.02))
axes.flat[0].set_ylabel("share within the distance")
legend = fig.legend(
    *axes.flat[0].get_legend_handles_labels(), loc="outside lower center", ncols=4
)

# %% caption="Share near a junction, and number of regions: median and 90 % interval over seeds." tags=["remove-input"]
counted = distances.assign(
    near=distances["count"] * (distances["distance"] <= near + 1e-9)
)
counted = counted.groupby(["seed", "transition", "kind"], sort=False)[
    ["count", "near"]
].sum()
shares = (counted["near"] / counted["count"]).unstack().reset_index()
shares["events"] = counted["count"].unstack()["regions"].to_numpy()
tables.save(shares, "near-by-seed")
columns = {
    "all cells": "all cells near",
    "boundary cells": "boundary cells near",
    "changed cells": "changed cells near",
    "regions": "regions near",
    "events": "regions vanished or appeared",
}
near_summary = summarize(shares, ["transition"], list(columns))
order = list(transitions)
tables.show_intervals(near_summary, "near", "transition", columns, order=order)

# %% tags=["remove-input"]
rows = []
for transition, group in shares.groupby("transition", sort=False):
    for kind in ("changed cells", "regions"):
        excess = (group[kind] - group["boundary cells"]).dropna()
        rows.append(
            {
                "transition": transition,
                "kind": kind,
                "excess": excess.median(),
                "above": int((excess > 0).sum()),
                "seeds": len(excess),
                "p": wilcoxon(excess).pvalue if excess.any() else np.nan,
            }
        )
excesses = pd.DataFrame(rows)
changed, regions = (
    excesses.loc[excesses["kind"] == kind, "excess"]
    for kind in ("changed cells", "regions")
)
tendency = {
    True: "more often near a junction than",
    False: "no more often near a junction than",
}
display(
    Markdown(
        "**T4.** Over the transitions the changed cells are "
        + (
            f"{tendency[bool((changed > 0).all())]} random boundary cells "
            f"(median excess {changed.min():+.2f} to {changed.max():+.2f}), and the regions that vanish or "
            f"appear are {tendency[bool((regions > 0).all())]} those "
            f"({regions.min():+.2f} to {regions.max():+.2f}). Paired by seed:"
        )
    )
)
# %% caption="Share near a junction in excess of that of boundary cells, paired by seed." tags=["remove-input"]
wide = excesses[["transition", "kind"]].assign(
    **{
        "excess over boundary cells, median": excesses["excess"],
        "seeds with an excess": [
            f"{row.above} of {row.seeds}" for row in excesses.itertuples()
        ],
        "Wilcoxon p, two-sided": [
            "none" if np.isnan(p) else f"{p:.1g}" for p in excesses["p"]
        ],
    }
)
tables.show(excesses, "excess", shown=wide)

# %% [markdown]
# ## Beside the paper

# %% mystnb={"image": {"alt": "One row for each of the claims T1, T2 and T3: a dot for each seed, the 90 percent interval and median, and the paper's count as a diamond."}} caption="Claims T1 to T3: our seeds beside the paper." data=["by-seed"] tags=["remove-input"]
counts = {
    reading: {
        claim: by_seed.loc[by_seed["transition"] == transition, reading]
        for claim, transition in claimed.items()
    }
    for reading in readings
}
first = counts["largest on the path"]
fig = charts.against_paper(first) if claimed else None

# %% [markdown]
# All readings of T1 to T3, and for T4 the share near a junction in excess of that of boundary cells, as
# a mean over the transitions of each seed.

# %% caption="The claims of this chapter, in every reading." tags=["remove-input"]
excess_of_seed = {
    kind: {
        "T4": (shares[kind] - shares["boundary cells"])
        .groupby(shares["seed"])
        .mean()
    }
    for kind in ("changed cells", "regions")
}
tables.show(
    pd.concat(
        answer(values, setting)
        for setting, values in (counts | excess_of_seed).items()
        if values
    ),
    "claims",
)
