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

# %% tags=["parameters"]
seeds: int = 20  # seeds; each draws its own split and its own initialization
levels: list[int] = [8, 6, 4, 3]  # bit widths, from many to few; neighbours make a transition
steps: int = 20  # steps of t along each transition
n: int = 241  # cells a side of the label maps
pad: float = 0.1  # share by which the slice is wider than the projected training images
near: float = 0.05  # a cell is near a junction within this share of the slice's width
hidden: int = 64  # hidden units of the network
activation: str = "tanh"  # activation of the hidden units: tanh or relu
epochs: int = 200  # passes over the training images
test: float = 0.25  # share of the images held out for the test
shown: int = 0  # the seed of the maps to step through; it illustrates, chosen for being the first

# %%
from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from IPython.display import Markdown, display
from scipy import ndimage
from scipy.stats import mannwhitneyu, wilcoxon

from baq import data, models, plotting, ptq_w, slices, tables, training
from baq.claims import answer, paper_value
from baq.quantization import interpolate
from baq.stats import summarize

plotting.use_style()
transitions = [f"{b} to {c} bits" for b, c in pairwise(levels)]

# %% [markdown]
# ## The run
#
# The networks and slices are those of the chapters before. Each transition gives a film of label maps;
# each step of it gives the junction cells, the changed cells with their distance to the nearest junction
# cell *of the map before the step*, and the regions that vanish or appear. The same distances, taken for
# all boundary cells and for all cells of that map, are the two controls.

# %%
edges = np.linspace(0, 0.5, 101)  # distances as shares of the slice's width


def histogram(distance, width):
    """Counts of distances between the edges; the last bin holds all that is farther."""
    return np.histogram(np.minimum(distance / width, edges[-1]), edges)[0]


def measured(film, width):
    """Junction counts by step, distances by kind of cell, and distances of region events."""
    blocks = [slices.junctions(grid.labels) for grid in film]
    wide = [slices.junctions(grid.labels, block=3).sum() for grid in film]
    counts = {"changed cells": 0, "boundary cells": 0, "all cells": 0}
    ranks, weights, events = [], [], []
    for before, after in pairwise(film):
        distance = slices.junction_distance(before)
        changed = distance[before.labels != after.labels]
        boundary = distance[slices.boundary_mask(before.labels)]
        for kind, cells in zip(counts, (changed, boundary, distance.ravel()), strict=True):
            counts[kind] = counts[kind] + histogram(cells, width)
        if len(changed) and len(boundary):
            # Share of pairs in which the changed cell is the nearer one, ties counted half.
            above = mannwhitneyu(boundary, changed).statistic / (len(boundary) * len(changed))
            ranks.append(above)
            weights.append(len(changed))
        events += [
            distance[region].min() / width
            for region in slices.vanished_regions(before.labels, after.labels)
        ] + [
            distance[region].min() / width
            for region in slices.vanished_regions(after.labels, before.labels)
        ]
    nearer = np.average(ranks, weights=weights) if ranks else np.nan
    return blocks, wide, counts, nearer, events


rows, along, distances, film_of_shown = [], [], [], []
for seed in range(seeds):
    split = data.load("digits", seed, test=test)
    reference = training.fit(
        models.mlp(64, 10, hidden, activation, seed),
        split.x_train,
        split.y_train,
        epochs=epochs,
        seed=seed,
    )
    plane = slices.pca_plane(split.x_train, pad)
    width = plane.extent[1] - plane.extent[0]
    for transition, (b, c) in zip(transitions, pairwise(levels), strict=True):
        ends = ptq_w(reference, b), ptq_w(reference, c)
        ts = np.linspace(0, 1, steps + 1)
        film = [slices.label_map(interpolate(*ends, t), plane, n) for t in ts]
        blocks, wide, counts, nearer, events = measured(film, width)
        number = [int(found.sum()) for found in blocks]
        setting = {"seed": seed, "transition": transition}
        along += [setting | {"t": t, "junctions": k} for t, k in zip(ts, number, strict=True)]
        distances += [
            setting | {"kind": kind, "distance": edge, "cells": k}
            for kind, found in counts.items()
            for edge, k in zip(edges[1:], found, strict=True)
        ]
        rows.append(
            setting
            | {
                "first map": number[0],
                "last map": number[-1],
                "largest on the path": max(number),
                "largest on the path, 3 x 3 rule": max(wide),
                "anywhere on the path": int(np.any(blocks, axis=0).sum()),
                "born or gone on the path": int(
                    (np.any(blocks, axis=0) & ~np.all(blocks, axis=0)).sum()
                ),
                "changed nearer than boundary": nearer,
                "events": len(events),
                "events near": np.mean(np.array(events) <= near) if events else np.nan,
            }
        )
        if seed == shown:
            film_of_shown += list(zip([transition] * len(film), ts, film, blocks, strict=True))

by_seed, along, distances = map(pd.DataFrame, (rows, along, distances))
tables.save(by_seed, "by-seed")

# %% [markdown]
# ## The path of one network
#
# Move the slider: the first seed's slice on its way from the most bits to the fewest. Junction cells are
# black.


# %%
def frames(film):
    """Captions and marked cells of the film of the shown seed."""
    captions, marks = [], []
    for transition, t, grid, found in film:
        share = slices.grid_change(film[0][2].labels, grid.labels)
        captions.append(
            f"{transition}, t = {t:.2f}: {found.sum()} junction cells, "
            f"{share:.1%} of the cells changed since {levels[0]} bits"
        )
        marks.append(ndimage.binary_dilation(np.pad(found, (0, 1)), iterations=2))
    return captions, marks


captions, marks = frames(film_of_shown)
plotting.stepper(
    [grid for _, _, grid, _ in film_of_shown],
    captions,
    classes=10,
    title=f"Label map of seed {shown} along the path of the weights",
    marked=marks,
)

# %% [markdown]
# ## How many junctions

# %% mystnb={"image": {"alt": "Three panels, one for each transition: triple-junction cells against t, median and 90 percent interval over seeds, with the paper's count as a dotted line. The counts change little along t."}}
tables.save(along, "junctions-along-t")
path = summarize(along.rename(columns={"junctions": "triple"}), ["transition", "t"], ["triple"])
fig, axes = plt.subplots(
    1, len(transitions), figsize=(plotting.WIDTH, 3), sharey=True, squeeze=False
)
for ax, transition, claim in zip(axes.flat, transitions, ("T1", "T2", "T3"), strict=False):
    rows = path[path["transition"] == transition]
    ax.plot(rows["t"], rows["median"], label="median over seeds")
    ax.fill_between(rows["t"], rows["lo"], rows["hi"], alpha=0.2, lw=0, label="90 % interval")
    ax.axhline(paper_value(claim), color="black", ls=":", label=f"paper, {claim}")
    ax.set(title=f"{transition} ({claim})", xlabel="t", ylim=(0, None))
axes.flat[0].set_ylabel("triple-junction cells of a map")
handles, names = axes.flat[0].get_legend_handles_labels()
names[-1] = "paper, T1 to T3"
fig.legend(handles, names, loc="outside lower center", ncols=3)
# %% [markdown]
# "Triple-junction cells of a transition" can be counted in several ways, and the abstract does not say
# which was used, nor how its three transitions were selected. The first reading below, the largest count
# of any map on the path, does not depend on the number of steps and stands for the claims; the rest show
# how far the reading carries.

# %%
readings = [
    "largest on the path",
    "largest on the path, 3 x 3 rule",
    "first map",
    "last map",
    "anywhere on the path",
    "born or gone on the path",
]
junction_summary = summarize(by_seed, ["transition"], readings)
tables.save(junction_summary, "junction-readings")
cells = junction_summary.assign(
    transition=[
        f"{t} (paper {paper_value(claim):.0f})"
        for t, claim in zip(
            junction_summary["transition"], ["T1", "T2", "T3"] * len(readings), strict=False
        )
    ]
)
cells = cells.assign(
    text=[f"{m:.0f} [{lo:.0f}, {hi:.0f}]" for m, lo, hi in cells[["median", "lo", "hi"]].to_numpy()]
).pivot(index="measure", columns="transition", values="text")
cells = cells.loc[readings, sorted(cells, key=lambda name: -int(name.split()[0]))]
display(Markdown(f"Median and 90 % interval over {seeds} seeds:"))
tables.show(
    cells.rename_axis(index="triple-junction cells", columns=None).reset_index(), "readings"
)

# %% [markdown]
# ## Where the map rearranges
#
# Changed cells lie on the boundary, so of course they lie nearer to junctions than a cell drawn at random
# does. The fair control is a random *boundary* cell: do changes favour the junctions, or do they happen
# all along the boundary?

# %% mystnb={"image": {"alt": "Three panels, one for each transition: cumulative share of cells within a distance of the nearest junction cell, for changed cells, for boundary cells and for all cells of the map."}}
pooled = distances.groupby(["transition", "kind", "distance"], sort=False)["cells"].sum()
share = pooled / pooled.groupby(["transition", "kind"], sort=False).transform("sum")
share = share.groupby(["transition", "kind"], sort=False).cumsum().rename("share").reset_index()
tables.save(share, "distance-to-junction")
fig, axes = plt.subplots(
    1, len(transitions), figsize=(plotting.WIDTH, 3), sharey=True, squeeze=False
)
for ax, transition in zip(axes.flat, transitions, strict=True):
    for dash, (kind, rows) in zip(
        plotting.DASHES,
        share[share["transition"] == transition].groupby("kind", sort=False),
        strict=False,
    ):
        ax.plot(rows["distance"].iloc[:-1], rows["share"].iloc[:-1], ls=dash, label=kind)
    ax.axvline(near, color="0.6", lw=0.8, zorder=0)
    ax.set(
        title=transition, xlabel="distance to a junction,\nshare of the slice's width", ylim=(0, 1)
    )
axes.flat[0].set_ylabel("share of the cells, all seeds")
fig.legend(*axes.flat[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
# %%
within = distances[distances["distance"] <= near + 1e-9].groupby(["seed", "transition", "kind"])
total = distances.groupby(["seed", "transition", "kind"])["cells"].sum()
near_share = (within["cells"].sum() / total).unstack().reset_index()
test_table = near_share.merge(
    by_seed[["seed", "transition", "changed nearer than boundary", "events", "events near"]]
)
tables.save(test_table, "near-junctions")
columns = {
    "changed cells": "changed cells near",
    "boundary cells": "boundary cells near",
    "all cells": "all cells near",
    "changed nearer than boundary": "changed cell nearer than boundary cell",
    "events": "regions vanished or appeared",
    "events near": "of these, near",
}
near_summary = summarize(test_table, ["transition"], list(columns))
tables.save(near_summary, "near-junctions-summary")
display(
    Markdown(
        f"Near means within {near:.0%} of the slice's width. Median and 90 % interval over {seeds} seeds; "
        "the fourth column is the chance that a changed cell is the nearer one of a pair, where 0.5 is no "
        "preference:"
    )
)
tables.show(tables.interval_cells(near_summary, "transition", columns, precision=2), "near")

# %%
lines = []
for transition, group in test_table.groupby("transition", sort=False):
    excess = (group["changed cells"] - group["boundary cells"]).dropna()
    p = wilcoxon(excess).pvalue if (excess != 0).any() else np.nan
    lines.append(
        {
            "transition": transition,
            "changed minus boundary, median": excess.median(),
            "changed minus all, median": (group["changed cells"] - group["all cells"]).median(),
            "seeds where changed exceeds boundary": f"{(excess > 0).sum()} of {len(excess)}",
            "Wilcoxon p, two-sided": p,
        }
    )
verdict = pd.DataFrame(lines).sort_values("transition", ascending=False)
display(Markdown("Excess of changed cells near junctions, paired by seed:"))
tables.show(verdict, "excess-near-junctions")

# %% [markdown]
# ## Beside the paper

# %% mystnb={"image": {"alt": "One row for each of the claims T1, T2 and T3: a dot for each seed, the 90 percent interval and median, and the paper's count as a diamond."}}
claimed = {
    claim: by_seed.loc[by_seed["transition"] == transition, "largest on the path"]
    for claim, transition in zip(("T1", "T2", "T3"), transitions, strict=False)
}
plotting.against_paper(claimed)
# %%
tables.show(answer(claimed), "claims")
