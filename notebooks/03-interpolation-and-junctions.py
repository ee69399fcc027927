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
seeds: int = 20  # seeds; each draws its own split and its own initialization [1..]
first_seed: int = 0  # the first of the seeds [0..]
levels: list[int] = [8, 6, 4, 3]  # neighbours change [2..16, distinct, not empty]
steps: int = 20  # steps of t along each transition [1..]
n: int = 241  # cells a side of the label maps [2..8192]
pad: float = 0.1  # share by which the slice is wider than its images [0..10]
near: float = 0.05  # near a junction: within this share of the width [0..1]
hidden: int = 64  # hidden units of the network [1..]
activation: str = "tanh"  # activation of the hidden units [tanh | relu]
epochs: int = 200  # passes over the training images [1..]
test: float = 0.25  # share of the images held out for the test [0.01..0.9]
shown: int = 0  # which seed's maps to step through; it illustrates, chosen for being the first

# %% tags=["hide-input"]
from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from IPython.display import Markdown, display
from scipy import ndimage
from scipy.stats import wilcoxon

from baq import ptq_w, slices
from baq.quantization import interpolate
from baq.report import charts, style, tables
from baq.report.claims import answer, paper_value
from baq.report.maps import stepper
from baq.report.stats import summarize
from baq.slices import junctions
from baq.zoo import data, models, training

style.use_style()
transitions = [f"{b} to {c} bits" for b, c in pairwise(levels)]

# %% [markdown]
# ## The run
#
# The networks and slices are those of the chapters before. Each transition gives a film of label maps,
# and each step of it the distances to the nearest junction of its changed cells and regions, and of the
# two controls: all boundary cells of the map before, and all its cells.

# %% tags=["hide-input"]
edges = np.linspace(
    0, 0.5, 101
)  # distances as shares of the slice's width; the last bin is open
rows, along, distances, film_of_shown = [], [], [], []
for seed in range(first_seed, first_seed + seeds):
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
        setting = {"seed": seed, "transition": transition}
        ts, ends = (
            np.linspace(0, 1, steps + 1),
            (ptq_w(reference, b), ptq_w(reference, c)),
        )
        film = [slices.label_map(interpolate(*ends, t), plane, n) for t in ts]
        triple = [junctions.junction_cells(grid.labels) for grid in film]
        number = [int(found.sum()) for found in triple]
        rows.append(
            setting
            | {
                "largest on the path": max(number),
                "first map": number[0],
                "last map": number[-1],
                "largest, 3 x 3 rule": max(
                    int(junctions.junction_cells(grid.labels, block=3).sum())
                    for grid in film
                ),
                "anywhere on the path": int(np.any(triple, axis=0).sum()),
            }
        )
        along += [
            setting | {"t": t, "triple": k} for t, k in zip(ts, number, strict=True)
        ]
        steps_taken = [junctions.rearrangement(*pair) for pair in pairwise(film)]
        for kind in steps_taken[0]:
            found = np.concatenate([step[kind] for step in steps_taken]) / width
            counts, _ = np.histogram(found.clip(max=edges[-1]), edges)
            distances += [
                setting | {"kind": kind, "distance": edge, "count": k}
                for edge, k in zip(edges[1:], counts, strict=True)
            ]
        if seed == first_seed + shown:
            film_of_shown += zip(
                [transition] * len(film), ts, film, triple, strict=True
            )

by_seed, along, distances = map(pd.DataFrame, (rows, along, distances))
tables.save(by_seed, "by-seed")

# %% [markdown]
# ## The path of one network
#
# Move the slider: the first seed's slice on its way from the most bits to the fewest. Junction cells are
# black.


# %% data=["junctions-along-t"] tags=["hide-input"]
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
stepper(
    [grid for _, _, grid, _ in film_of_shown],
    captions,
    classes=10,
    title=f"Label map of seed {first_seed + shown} along the path of the weights",
    marked=marks,
)

# %% [markdown]
# ## How many junctions

# %% mystnb={"image": {"alt": "Three panels, one for each transition: triple-junction cells against t, median and 90 percent interval over seeds, with the paper's count as a dotted line. The counts change little along t."}} data=["junctions-along-t"] tags=["hide-input"]
tables.save(along, "junctions-along-t")
path = summarize(along, ["transition", "t"], ["triple"])
fig, axes = plt.subplots(
    1, len(transitions), figsize=(style.WIDTH, 3), sharey=True, squeeze=False
)
for ax, transition, claim in zip(
    axes.flat, transitions, ("T1", "T2", "T3"), strict=False
):
    rows = path[path["transition"] == transition]
    ax.plot(rows["t"], rows["median"], label="median over seeds")
    ax.fill_between(
        rows["t"], rows["lo"], rows["hi"], alpha=0.2, lw=0, label="90 % interval"
    )
    ax.axhline(paper_value(claim), color="black", ls=":", label=f"paper, {claim}")
    ax.set(title=f"{transition} ({claim})", xlabel="t")
    ax.margins(y=0.1)
    ax.set_ylim(bottom=0)
axes.flat[0].set_ylabel("triple-junction cells of a map")
handles, names = axes.flat[0].get_legend_handles_labels()
names[-1] = "paper, T1 to T3"
legend = fig.legend(handles, names, loc="outside lower center", ncols=3)

# %% [markdown]
# "Triple-junction cells of a transition" can be counted in several ways, and the abstract says neither
# which was used nor how its three transitions were selected. The first reading below, the largest count of
# any map on the path, depends neither on the number of steps nor on one end of the path, so it stands for
# the claims; the others show how far the reading carries.

# %% tags=["hide-input"]
readings = list(by_seed.columns.drop(["seed", "transition"]))
readings_summary = summarize(by_seed, ["transition"], readings)
tables.save(readings_summary, "junction-readings")
wide = tables.interval_cells(
    readings_summary, "transition", {name: name for name in readings}, 0
)
wide = wide.set_index("transition").loc[transitions]
wide.insert(
    0,
    "paper",
    [f"{paper_value(claim):.0f}" for claim in ("T1", "T2", "T3")[: len(wide)]],
)
display(
    Markdown(f"Triple-junction cells, median and 90 % interval over {seeds} seeds:")
)
tables.show(wide.reset_index(), "readings")

# %% [markdown]
# ## Where the map rearranges
#
# Changed cells lie on the boundary, so of course they lie nearer to junctions than a cell drawn at random
# does. The fair control is a random *boundary* cell: do changes favour the junctions, or do they happen all
# along the boundary? Regions that vanish or appear are the other thing that can be meant by a visible
# reconfiguration. For them the comparison is partly settled by topology, since a region that borders on two
# others has a junction at each end of its borders; only where it was or will be, in the map that lacks it,
# is left to the network.

# %% mystnb={"image": {"alt": "Three panels, one for each transition: cumulative share within a distance of the nearest junction cell, for regions that vanish or appear, boundary cells, changed cells and all cells of the map. Regions rise first, then boundary cells, then changed cells, then all cells."}} data=["distances"] tags=["hide-input"]
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

# %% tags=["hide-input"]
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
tables.save(near_summary, "near")
display(
    Markdown(
        f"Share within {near:.0%} of the slice's width of a junction, and number of regions: median and 90 % "
        f"interval over {seeds} seeds."
    )
)
wide = tables.interval_cells(near_summary, "transition", columns, precision=2)
tables.show(
    wide.set_index("transition").loc[transitions].reset_index(), "near-table"
)

# %% tags=["hide-input"]
rows = []
for transition, group in shares.groupby("transition", sort=False):
    for kind in ("changed cells", "regions"):
        excess = (group[kind] - group["boundary cells"]).dropna()
        rows.append(
            {
                "transition": transition,
                "kind": kind,
                "excess over boundary cells, median": excess.median(),
                "seeds with an excess": f"{(excess > 0).sum()} of {len(excess)}",
                "Wilcoxon p, two-sided": f"{wilcoxon(excess).pvalue:.1g}"
                if excess.any()
                else "none",
            }
        )
excesses = pd.DataFrame(rows)
changed, regions = (
    excesses.loc[excesses["kind"] == kind, "excess over boundary cells, median"]
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
tables.show(excesses, "excess")

# %% [markdown]
# ## Beside the paper

# %% mystnb={"image": {"alt": "One row for each of the claims T1, T2 and T3: a dot for each seed, the 90 percent interval and median, and the paper's count as a diamond."}} data=["by-seed"] tags=["hide-input"]
counts = {
    reading: {
        claim: by_seed.loc[by_seed["transition"] == transition, reading]
        for claim, transition in zip(("T1", "T2", "T3"), transitions, strict=False)
    }
    for reading in readings
}
fig = charts.against_paper(counts["largest on the path"])

# %% [markdown]
# All readings of T1 to T3, and for T4 the share near a junction in excess of that of boundary cells, as
# a mean over the transitions of each seed.

# %% tags=["hide-input"]
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
    ),
    "claims",
)
