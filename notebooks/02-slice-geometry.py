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
# # Slice geometry
#
# A plane through input space cuts the decision regions, and the cut can be looked at. This chapter
# draws the label map of a float network and of its quantized copies on one plane, compares their
# boundaries, and answers claims D2 and D4. It then asks what the comparison reads: the network, or the
# grid it was drawn on.
#
# ## What is measured
#
# Slice
# : the plane $x_0 + a\,u + b\,v$ with $u, v$ orthonormal. Here it is spanned by the two leading
#   principal components of the training images through their mean, over the range of their projections
#   widened by a tenth. Planes through three images are the usual alternative {cite}`somepalli2022`.
#
# Label map
# : the label at the centre of every cell of an $n \times n$ grid; a cell has the sides $h_a, h_b$.
#
# Boundary mask
# : the cells with a 4-neighbour of another label. A straight boundary is two cells thick in it.
#
# Boundary Jaccard distance
# : $J = 1 - |A \cap B| \,/\, |A \cup B|$ of two boundary masks; 0 for equal ones (and for two empty ones),
#   1 for disjoint ones.
#
# Grid prediction change
# : the share of cells whose label differs.
#
# Mean displacement
# : the changed area divided by the length of the reference's boundary, in input units. The length is
#   measured on boundary points found by bisection between cell centres, joined within each square of
#   four centres.
#
# Junction cell
# : a $2 \times 2$ block with at least three labels.

# %% tags=["parameters"]
seeds: int = 20  # seeds; each draws its own split and its own initialization [1..]
first_seed: int = 0  # the first of the seeds [0..]
bits: list[int] = [8, 7, 6, 5, 4, 3, 2]  # 8, 4: claims [2..16, distinct, not empty]
n: int = 241  # cells a side of the label maps that answer the claims [2..8192]
grids: list[int] = [
    33,
    65,
    129,
    241,
    513,
    1025,
    2049,
]  # cells a side in the grid study [2..8192, distinct, not empty]
pad: float = 0.1  # share by which the slice is wider than its images [0..10]
sides: str = "two"  # two: both sides of a boundary are in its mask; one: only one
hidden: int = 64  # hidden units of the network [1..]
activation: str = "tanh"  # activation of the hidden units [tanh | relu]
epochs: int = 200  # passes over the training images [1..]
test: float = 0.25  # share of the images held out for the test [0.01..0.9]
shown: int = 0  # which seed has its maps drawn; it illustrates and is chosen for being the first
choice_seeds: int = 5  # seeds in the study of the other choices [1..]
jobs: int = 2  # seeds at the same time; results do not depend on it [1..64]

# %% tags=["hide-input"]
from functools import cache

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from IPython.display import Markdown, display
from sklearn.utils.parallel import Parallel, delayed

from baq import compare, ptq_w, slices
from baq.report import charts, style, tables
from baq.report.claims import answer, paper_value
from baq.report.maps import boundary_overlay, label_maps, map_runs
from baq.report.stats import summarize
from baq.slices import curves
from baq.zoo import data, models, training

style.use_style()

# %% [markdown]
# ## The run
#
# The networks are those of the chapter on local geometry: a split, an initialization and an order of
# batches for each seed, and weights rounded to the nearest level with one scale for each matrix.


# %% tags=["hide-input"]
@cache
def trained(seed, hidden=hidden, activation=activation, shift=0.0, scale=1.0):
    """The splits of a seed, with inputs (x - shift) / scale, and a network trained on them."""
    split = data.load("digits", seed, test=test)
    x_train, x_test = ((x - shift) / scale for x in (split.x_train, split.x_test))
    model = training.fit(
        models.mlp(64, 10, hidden, activation, seed),
        x_train,
        split.y_train,
        epochs=epochs,
        seed=seed,
    )
    return model, x_train, x_test, split.y_test


networks, rows = {}, []
for seed in range(first_seed, first_seed + seeds):
    reference, x_train, x_test, y_test = trained(seed)
    plane = slices.pca_plane(x_train, pad)
    candidates = {b: ptq_w(reference, b) for b in bits}
    rows.append(
        compare(
            reference, candidates, x_test, y_test, planes=plane, n=n, sides=sides
        ).assign(seed=seed)
    )
    networks[seed] = reference, candidates, plane

by_seed = pd.concat(rows, ignore_index=True).rename(columns={"candidate": "bits"})
tables.save(by_seed, "by-seed")

# %% [markdown]
# ## The maps of one network
#
# The slice of the first seed, which stands here as an illustration and for no other reason. At 8 bits
# the eye sees no difference; at 4 bits regions have moved; at 3 bits some have gone.

# %% mystnb={"image": {"alt": "Four label maps of the same plane, for the float network and its 8, 4 and 3 bit copies, each region marked with its digit. Float and 8 bits look alike; at 4 and 3 bits boundaries move and small regions vanish or appear."}} data=["maps"] tags=["hide-input"]
reference, candidates, plane = networks[first_seed + shown]
drawn = [b for b in (8, 4, 3) if b in bits]
float_map = slices.label_map(reference, plane, n)
maps = {f"{b} bits": slices.label_map(candidates[b], plane, n) for b in drawn}
tables.save(map_runs({"float": float_map} | maps), "maps")
fig = label_maps({"float": float_map} | maps, classes=10)

# %% [markdown]
# The masks say more than the maps. Where float and quantized boundary share a cell it is black.

# %% mystnb={"image": {"alt": "Boundary masks of the quantized network laid over those of the float one at 8 and 4 bits. At 8 bits most boundary cells are shared; at 4 bits almost none are."}} data=["maps"] tags=["hide-input"]
fig = boundary_overlay(float_map, {title: maps[title] for title in list(maps)[:2]})

# %% [markdown]
# ## Against the bit width

# %% mystnb={"image": {"alt": "Four panels over bit widths from 8 to 2: Jaccard distance with the paper's values at 8 and 4 bits, grid prediction change, mean displacement, and triple-junction cells of the quantized and the float map."}} data=["by-bits"] tags=["hide-input"]
measures = [
    "jaccard",
    "grid_change",
    "mean_displacement",
    "triple",
    "triple_reference",
]
summary = summarize(by_seed, ["bits"], measures)
tables.save(summary, "by-bits")
JACCARD, SHIFT = "Jaccard distance J", "mean displacement, input units"
fig = charts.by_bits(
    summary,
    {
        JACCARD: {"jaccard": "ours"},
        "grid prediction change, share": {"grid_change": "ours"},
        SHIFT: {"mean_displacement": "ours"},
        "triple-junction cells": {
            "triple": "quantized",
            "triple_reference": "float",
        },
    },
    log=[SHIFT],
    paper={JACCARD: [(8, "D2"), (4, "D4")]},
)

# %% tags=["hide-input"]
display(
    Markdown(
        f"Median and 90 % interval over {seeds} seeds, n = {n}, {sides}-sided masks:"
    )
)
tables.show(
    tables.interval_cells(
        summary,
        "bits",
        {
            "jaccard": "J",
            "grid_change": "grid prediction change",
            "mean_displacement": "mean displacement, input units",
            "triple": "triple-junction cells",
        },
        precision=3,
    ),
    "summary",
)

# %% [markdown]
# ## What J reads
#
# Where two boundaries lie a distance $d$ apart and are drawn on cells of side $h$ with masks two cells
# thick, put $s = d/h$. A stretch of boundary then has $2 + \min(s, 2)$ cells in the union of the masks
# and $2 - \min(s, 2)$ in both, so
#
# $$ J = \frac{2m}{2+m}, \qquad m = \operatorname{mean} \min(s, 2), $$
#
# which is $2s/(2+s)$ for parallel boundaries. $J$ is a function of the displacement *in cells*: refine
# the grid, and the same pair of networks goes from $J$ near 0 to $J$ near 1, while the changed area and
# the distance between the two curves stay what they are.
#
# Below, every grid cuts the same slices of the same networks. The distances are taken from each
# boundary point of the float network to the nearest point of the quantized network's boundary. The law
# takes those of the finest grid, and nothing else, to predict $J$ on all of them.


# %% tags=["hide-input"]
def spread(distance):
    """The figures by which distances along a curve are summed up."""
    return {
        "mean": np.mean(distance),
        "median": np.median(distance),
        "q95": np.quantile(distance, 0.95),
        "largest": np.max(distance),
    }


rows, ways = [], []
for seed, (reference, candidates, plane) in networks.items():
    finest = {}
    for cells in sorted(grids, reverse=True):
        float_n = slices.label_map(reference, plane, cells)
        curve = curves.crossings(reference, float_n)
        mask = slices.boundary_mask(float_n.labels, sides)
        for b in sorted({8, 4} & set(bits)):
            map_n = slices.label_map(candidates[b], plane, cells)
            curve_q = curves.crossings(candidates[b], map_n)
            distance = curves.curve_distance(curve, curve_q)
            if b not in finest:
                finest[b] = distance
                for way, found in {
                    "float to quantized": distance,
                    "quantized to float": curves.curve_distance(curve_q, curve),
                    "first order": curves.predicted_displacement(
                        reference, candidates[b], float_n, curve
                    ),
                }.items():
                    ways.append(
                        {"seed": seed, "bits": b, "way": way, **spread(found)}
                    )
            rows.append(
                {
                    "seed": seed,
                    "bits": b,
                    "n": cells,
                    "cell": np.mean(float_n.cell),
                    "jaccard": slices.jaccard_distance(
                        mask, slices.boundary_mask(map_n.labels, sides)
                    ),
                    "law": slices.jaccard_law(finest[b], np.mean(float_n.cell)),
                    "grid_change": slices.grid_change(float_n.labels, map_n.labels),
                    "curve_distance": np.median(distance),
                }
            )
by_grid = pd.DataFrame(rows)
by_way = pd.DataFrame(ways)
tables.save(by_grid, "by-grid")
tables.save(by_way, "by-way")

# %% mystnb={"image": {"alt": "Three panels against the number of cells a side. Above: J for 8 and 4 bits, measured and by the law, rising towards 1 as the grid is refined and crossing the paper's two values. Below: grid prediction change and median distance between the curves, both flat."}} data=["grid-summary"] tags=["hide-input"]
grid_summary = summarize(
    by_grid, ["bits", "n"], ["jaccard", "law", "grid_change", "curve_distance"]
)
tables.save(grid_summary, "grid-summary")
fig, axes = plt.subplot_mosaic("AA;BC", figsize=(style.WIDTH, 6))
for k, (b, group) in enumerate(grid_summary.groupby("bits")):
    for panel, lines in [
        ("A", {"jaccard": f"{b} bits, measured", "law": f"{b} bits, law"}),
        ("B", {"grid_change": f"{b} bits"}),
        ("C", {"curve_distance": f"{b} bits"}),
    ]:
        charts.interval_lines(axes[panel], group, "n", lines, first=2 * k)
for claim in ("D2", "D4"):
    axes["A"].axhline(paper_value(claim), color="0.4", lw=0.8, zorder=0)
    axes["A"].annotate(
        f"paper, {claim}", (min(grids), paper_value(claim)), va="bottom", fontsize=9
    )
axes["A"].set(ylabel="Jaccard distance J", ylim=(0, 1.08))
axes["B"].set(ylabel="grid prediction change, share", ylim=(0, None))
axes["C"].set(ylabel="median distance of the curves,\ninput units", yscale="log")
for ax in axes.values():
    ax.set(xlabel="cells a side, n", xscale="log")
    ax.set_xticks(grids, map(str, grids), rotation=45 if ax is not axes["A"] else 0)
    ax.minorticks_off()
for panel in "BC":
    axes[panel].legend()
legend = axes["A"].legend(
    loc="lower center", bbox_to_anchor=(0.5, 1), ncols=4, columnspacing=1
)

# %% tags=["hide-input"]
second = sorted(grids)[min(1, len(grids) - 1)]
by_cells = by_grid.pivot(
    index=["seed", "bits"], columns="n", values="curve_distance"
)
steadiness = {
    b: np.quantile(ratio, [0.05, 0.5, 0.95])
    for b, ratio in (by_cells[max(grids)] / by_cells[second]).groupby("bits")
}
law_error = (
    (by_grid["law"] - by_grid["jaccard"]).abs().groupby(by_grid["bits"]).median()
)
display(
    Markdown(
        "Median distance between the law and the measured $J$ over seeds and grids: "
        + ", ".join(
            f"**{error:.3f}** at {b} bits" for b, error in law_error.items()
        )
        + ". From the coarsest to the finest grid the median $J$ goes "
        + ", ".join(
            f"from {g['median'].iloc[-1]:.2f} to {g['median'].iloc[0]:.2f} at {b} bits"
            for b, g in grid_summary[grid_summary["measure"] == "jaccard"].groupby(
                "bits"
            )
        )
        + ". The median distance of the curves, on the finest grid over that on the second coarsest, is "
        + ", ".join(
            f"**{ratio:.3f}** at {b} bits [{lo:.3f}, {hi:.3f}]"
            for b, (lo, ratio, hi) in steadiness.items()
        )
        + "."
    )
)

# %% [markdown]
# How far the two curves lie apart on the finest grid: from each boundary point of one network to the
# nearest point of the other's boundary, in both directions, and by the first-order prediction
# $|g_q - g| \,/\, \lVert P \nabla g \rVert$ at the points of the float network's boundary, with $g$ the gap of the
# two labels that meet there and $P$ the projection on the slice. A boundary that has no partner nearby shows
# in the largest distance alone; where the gradient within the slice is small, first order says too much.

# %% tags=["hide-input"]
SPREAD = {
    "mean": "mean",
    "median": "median",
    "q95": "95th percentile",
    "largest": "largest",
}
ways_summary = summarize(by_way, ["bits", "way"], list(SPREAD))
display(Markdown("Distances in input units, medians over seeds:"))
tables.show(
    ways_summary.pivot(index=["bits", "way"], columns="measure", values="median")
    .loc[:, list(SPREAD)]
    .rename(columns=SPREAD)
    .rename_axis(columns=None)
    .reset_index()
    .sort_values(["bits", "way"], ascending=[False, True]),
    "curve-distances",
)

# %% [markdown]
# Since $J$ depends on $n$, and the paper's $n$ is not known, one may ask which grid would have given
# the paper's two values. Each seed answers with the $n$ at which its own $J$ passes the value,
# interpolated in $\log n$; a value that a seed never passes gives no answer. If the two claims come from
# one grid, the two distributions must overlap.

# %% tags=["hide-input"]
rows = []
for (seed, b), group in by_grid.groupby(["seed", "bits"]):
    group = group.sort_values("n")
    claim = {8: "D2", 4: "D4"}[b]
    rising = group["jaccard"].cummax()
    passed = np.interp(
        paper_value(claim), rising, np.log(group["n"]), left=np.nan, right=np.nan
    )
    rows.append({"seed": seed, "claim": claim, "n": np.exp(passed)})
grid_of_claim = pd.DataFrame(rows)
tables.show(
    summarize(grid_of_claim, ["claim"], ["n"])
    .rename(
        columns={
            "measure": "cells a side",
            "count": f"seeds of {seeds} that pass it",
        }
    )
    .sort_values("claim"),
    "grid-of-claim",
    precision=0,
)

# %% [markdown]
# ## What the other choices do
#
# The remaining conventions, varied one at a time, over fewer seeds. Shifts are in input units, so
# standardized inputs, whose unit is a standard deviation of all pixels, have larger ones by that factor.

# %% tags=["hide-input"]
mean, deviation = (
    f(data.load("digits", 0, test=test).x_train).item()
    for f in (torch.mean, torch.std)
)
choices = {
    "as above": {},
    "32 hidden units": {"hidden": 32},
    "128 hidden units": {"hidden": 128},
    "ReLU": {"activation": "relu"},
    "standardized inputs": {"shift": mean, "scale": deviation},
    "one scale per output unit": {"per_channel": True},
    "asymmetric levels": {"symmetric": False},
    "one-sided masks": {"sides": "one"},
    "slice without padding": {"pad": 0.0},
    "slice of the test images": {"slice_of": "test"},
    "plane through three test images": {"slice_of": "three"},
}
rows = []
for name, choice in choices.items():
    training_choice = {
        k: choice[k]
        for k in ("hidden", "activation", "shift", "scale")
        if k in choice
    }
    grid_choice = {
        k: choice[k] for k in ("per_channel", "symmetric") if k in choice
    }
    for seed in range(first_seed, first_seed + choice_seeds):
        reference, x_train, x_test, y_test = trained(seed, **training_choice)
        spanning = x_test if "slice_of" in choice else x_train
        plane = (
            slices.plane_through(x_test[:3], pad)
            if choice.get("slice_of") == "three"
            else slices.pca_plane(spanning, choice.get("pad", pad))
        )
        candidates = {b: ptq_w(reference, b, **grid_choice) for b in (8, 4)}
        row = compare(
            reference,
            candidates,
            x_test,
            y_test,
            planes=plane,
            n=n,
            sides=choice.get("sides", sides),
        )
        rows.append(row.assign(choice=name, seed=seed))
by_choice = pd.concat(rows, ignore_index=True).rename(columns={"candidate": "bits"})
by_choice["labels_changed"] = (by_choice["flip_rate"] * by_choice["points"]).round()
tables.save(by_choice, "by-choice")

# %% tags=["hide-input"]
parts = []
for claim, b, measure in [
    ("D1", 8, "labels_changed"),
    ("D2", 8, "jaccard"),
    ("D3", 4, "accuracy"),
    ("D4", 4, "jaccard"),
    ("D5", 4, "shift"),
]:
    part = summarize(by_choice[by_choice["bits"] == b], ["choice"], [measure])
    parts.append(part.assign(measure=claim))
cells = tables.interval_cells(
    pd.concat(parts),
    "choice",
    {c: f"{c}, paper {paper_value(c):g}" for c in ("D1", "D2", "D3", "D4", "D5")},
    3,
)
display(Markdown(f"Median and 90 % interval over {choice_seeds} seeds:"))
tables.show(cells.set_index("choice").loc[list(choices)].reset_index(), "choices")

# %% [markdown]
# ## Controls
#
# How large is a large $J$? Three controls give it a scale.
#
# A network against itself
# : must be all zero.
#
# Another training
# : a second float network, trained on the same images from another initialization with another order of
#   batches. What separates the two is chance, and nobody calls it damage: it is the noise floor of training.
#
# Shuffled labels
# : a network trained on the same images with their labels permuted, and its own quantized copies. Its
#   accuracy must be that of guessing, else test images leak into training. The measures compare a network
#   with its copy and never see a label, so they remain defined; what they say is about a network that
#   has had to learn by heart.


# %% tags=["hide-input"]
def controlled(seed, reference, candidates, plane):
    """All pairs of one seed, in a process of its own."""
    torch.set_num_threads(1)
    split = data.load("digits", seed, test=test)
    order = torch.randperm(
        len(split.y_train), generator=torch.Generator().manual_seed(seed)
    )

    def again(y, start):
        """A network on the training images of this seed, with other labels or another start."""
        return training.fit(
            models.mlp(64, 10, hidden, activation, start),
            split.x_train,
            y,
            epochs=epochs,
            seed=start,
        )

    shuffled = again(split.y_train[order], seed)
    pairs = [
        ("float against itself", reference, reference),
        *((f"{b} bits", reference, candidates[b]) for b in (8, 4) if b in bits),
        ("another training", reference, again(split.y_train, seed + 1000)),
        *(
            (f"shuffled labels, {b} bits", shuffled, ptq_w(shuffled, b))
            for b in (8, 4)
            if b in bits
        ),
    ]
    on_test = split.x_test, split.y_test
    rows = [
        compare(one, {name: other}, *on_test, planes=plane, n=n, sides=sides)
        for name, one, other in pairs
    ]
    return pd.concat(rows).assign(seed=seed)


done = Parallel(n_jobs=jobs)(
    delayed(controlled)(seed, *found) for seed, found in networks.items()
)
controls = pd.concat(done, ignore_index=True).rename(columns={"candidate": "pair"})
tables.save(controls, "controls")

# %% mystnb={"image": {"alt": "Median and 90 percent interval over seeds of J and of the flip rate, a row for each pair: a float network against itself, its 8 and 4 bit copies, another float training, and 8 and 4 bit copies of a network trained on shuffled labels. Itself is at zero."}} data=["controls"] tags=["hide-input"]
CONTROLLED = ["jaccard", "flip_rate", "grid_change", "shift", "accuracy"]
control_summary = summarize(controls, ["pair"], CONTROLLED)
fig = charts.interval_rows(
    control_summary,
    "pair",
    {"jaccard": "Jaccard distance J", "flip_rate": "share of test images flipped"},
)

# %% tags=["hide-input"]
cells = tables.interval_cells(
    control_summary,
    "pair",
    {
        "jaccard": "J",
        "grid_change": "grid prediction change",
        "shift": "median local shift, input units",
        "flip_rate": "flip rate",
        "accuracy": "test accuracy",
    },
    precision=3,
)
middle = control_summary.set_index(["pair", "measure"])["median"]
display(
    Markdown(
        f"In the median another training flips **{middle['another training', 'flip_rate']:.1%}** of "
        f"the test images and has J = **{middle['another training', 'jaccard']:.2f}**; "
        + ", ".join(
            f"{b} bits flip {middle[f'{b} bits', 'flip_rate']:.1%} and have J = "
            f"{middle[f'{b} bits', 'jaccard']:.2f}"
            for b in (8, 4)
            if b in bits
        )
        + f". The largest value of any measure of a network against itself is "
        f"{controls.loc[controls['pair'] == 'float against itself', CONTROLLED[:-1]].max(axis=None):g}."
    )
)
tables.show(
    cells.set_index("pair")
    .loc[list(dict.fromkeys(controls["pair"]))]
    .reset_index(),
    "controls-summary",
)

# %% [markdown]
# ## Beside the paper

# %% mystnb={"image": {"alt": "One row for each of the claims D2 and D4: a dot for each seed, the 90 percent interval and median, and the paper's value as a diamond."}} data=["by-seed"] tags=["hide-input"]
claimed = {
    claim: by_seed.loc[by_seed["bits"] == b, "jaccard"]
    for claim, b in [("D2", 8), ("D4", 4)]
    if b in bits
}
fig = charts.against_paper(claimed)

# %% tags=["hide-input"]
tables.show(answer(claimed), "claims")
