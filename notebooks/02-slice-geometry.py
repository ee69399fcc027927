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
#     minutes: 1.2
#     threads: 1
# ---

# %% [markdown]
# # Slice geometry
#
# A plane through input space cuts the decision regions, and the cut can be looked at. This chapter
# draws the label map of a float network and of its quantized copies on one plane, compares their boundaries, and
# answers claims D2 and D4. It then asks what the comparison reads: the network, or the grid it was drawn on.
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
# : $J = 1 - |A \cap B| \,/\, |A \cup B|$ of two boundary masks; 0 for equal ones, 1 for disjoint ones.
#
# Grid prediction change
# : the share of cells whose label differs.
#
# Mean displacement
# : the changed area divided by the length of the reference's boundary, in input units. The length is that of the
#   curve through boundary points found by bisection.
#
# Junction cell
# : a $2 \times 2$ block with at least three labels.

# %% tags=["parameters"]
seeds: int = 20  # each draws its own split and initialization [1..1000]
first_seed: int = 0  # the first of the seeds [0..1000000]
bits: list[int] = [8, 7, 6, 5, 4, 3, 2]  # 8, 4: claims [2..16]
n: int = 241  # cells a side of the label maps that answer the claims [2..8192]
grids: list[int] = [33, 65, 129, 241, 513, 1025, 2049]  # n in the study [2..8192]
pad: float = 0.1  # share by which the slice is wider than its images [0..10]
sides: str = "two"  # sides of a boundary that are in its mask [one | two]
hidden: int = 64  # hidden units of the network [1..4096]
activation: str = "tanh"  # activation of the hidden units [tanh | relu]
epochs: int = 200  # passes over the training images [1..10000]
test: float = 0.25  # share of the images held out for the test [0.01..0.9]
shown: int = 0  # seed whose maps are drawn; the first, not the best [0..999]
choice_seeds: int = 5  # seeds in the study of the other choices [1..1000]
jobs: int = 2  # seeds at the same time; results do not depend on it [1..64]

# %% tags=["remove-input"]
from functools import partial

import pandas as pd
from IPython.display import Markdown, display

from baq import compare, ptq_w, slices
from baq.report import charts, style, tables
from baq.report.answers import show_answers
from baq.report.boxes import opening
from baq.report.claims import answer, paper_value
from baq.report.maps import boundary_overlay, label_maps, map_runs
from baq.report.runs import run_all
from baq.report.stats import summarize
from baq.slices.grids import across_grids, grid_reaching
from baq.zoo.conventions import CHOICES, ITSELF, digits_choices, digits_controls
from baq.zoo.recipes import digits_network

style.use_style()
# The widths that are looked at closely: those of the claims, else the most and the fewest.
studied = sorted({8, 4} & set(bits) or {max(bits), min(bits)})
recipe = {"hidden": hidden, "activation": activation}
recipe |= {"epochs": epochs, "test": test}
drawing = {"n": n, "sides": sides}

# %% [markdown]
# ## The run
#
# The networks are those of the chapter on local geometry: a split, an initialization and an order of
# batches for each seed, and weights rounded to the nearest level with one scale for each matrix. One of
# them by hand: the plane through the training images, and a copy with 4-bit weights compared on it.

# %% caption="One network with 4-bit weights beside its float reference, on one plane."
network, split = digits_network(first_seed + shown, **recipe)
plane = slices.pca_plane(split.x_train, pad)
held_out = split.x_test, split.y_test
row = compare(network, ptq_w(network, 4), *held_out, planes=plane, n=n, sides=sides)
by_hand = row[["n", "jaccard", "grid_change", "mean_displacement", "triple"]]
tables.styled(by_hand, "by-hand")

# %% [markdown]
# Beside $J$ stand the share of cells changed, the mean displacement in input units and the copy's junction cells.


# %% tags=["remove-input"]
def measured(seed):
    """A seed's candidates compared, with the network, the candidates and the slice."""
    reference, split = digits_network(seed, **recipe)
    plane = slices.pca_plane(split.x_train, pad)
    candidates = {b: ptq_w(reference, b) for b in bits}
    held_out = split.x_test, split.y_test
    rows = compare(reference, candidates, *held_out, planes=plane, **drawing)
    return rows.assign(seed=seed), (seed, reference, candidates, plane)


tasks = [(seed,) for seed in range(first_seed, first_seed + seeds)]
done = run_all(measured, tasks, jobs=jobs, label="seeds")
rows, networks = zip(*done, strict=True)
by_seed = pd.concat(rows, ignore_index=True).rename(columns={"candidate": "bits"})
tables.save(by_seed, "by-seed")

# %% [markdown]
# ## The maps of one network
#
# The slice of the first seed. At 8 bits the eye sees no difference; at 4 bits regions have moved; at 3 some have gone.

# %% mystnb={"image": {"alt": "Four label maps of the same plane, for the float network and its 8, 4 and 3 bit copies, each region marked with its digit. Float and 8 bits look alike; at 4 and 3 bits boundaries move and small regions vanish or appear."}} caption="Label maps of one slice: the float network and its copies at three bit widths." data=["maps"] tags=["remove-input"]
drawn = sorted({*studied, 3} & set(bits), reverse=True)
float_map = slices.label_map(network, plane, n)
maps = {f"{b} bits": slices.label_map(ptq_w(network, b), plane, n) for b in drawn}
tables.save(map_runs({"float": float_map} | maps), "maps")
fig = label_maps({"float": float_map} | maps, classes=10)

# %% [markdown]
# The masks say more than the maps. Where float and quantized boundary share a cell it is black (white on a dark page).

# %% mystnb={"image": {"alt": "Boundary masks of the quantized network laid over those of the float one at 8 and 4 bits. At 8 bits most boundary cells are shared; at 4 bits almost none are."}} caption="Boundary cells of the quantized network laid over those of the float one." data=["maps"] tags=["remove-input"]
fig = boundary_overlay(float_map, {title: maps[title] for title in list(maps)[:2]})

# %% [markdown]
# ## Against the bit width

# %% mystnb={"image": {"alt": "Four panels over bit widths from 8 to 2: Jaccard distance with the paper's values at 8 and 4 bits, grid prediction change, mean displacement, and triple-junction cells of the quantized and the float map."}} caption="Measures of a slice against the bit width: median and interval over seeds." data=["by-bits"] tags=["remove-input"]
summary = summarize(
    by_seed,
    ["bits"],
    ["jaccard", "grid_change", "mean_displacement", "triple", "triple_reference"],
)
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

# %% caption="Measures of a slice by bit width." tags=["remove-input"]
about = f"{tables.spread_text(seeds)}, n = {n}, {sides}-sided masks:"
display(Markdown(about))
shown_columns = {
    "jaccard": "J",
    "grid_change": "grid prediction change",
    "mean_displacement": "mean displacement, input units",
    "triple": "triple-junction cells",
}
tables.show_intervals(summary, "by-bits", "bits", shown_columns)

# %% [markdown]
# ## What J reads
#
# Where two boundaries lie a distance $d$ apart and are drawn on cells of side $h$ with masks two cells thick, put $s = d/h$. A stretch of
# boundary then has $2 + \min(s, 2)$ cells in the union of the masks and $2 - \min(s, 2)$ in both, so
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


# %% mystnb={"code_prompt_show": "Show how the grids are compared"} tags=["hide-input"]
def on_all_grids(seed, reference, candidates, plane):
    """Both tables of the grid study for one seed."""
    close = {b: candidates[b] for b in studied}
    found = across_grids(reference, close, plane, grids, sides)
    for table in found:
        table.insert(0, "seed", seed)
    return found


found = zip(*run_all(on_all_grids, networks, jobs=jobs, label="grids"), strict=True)
by_grid, by_way = (
    pd.concat(part, ignore_index=True).rename(columns={"candidate": "bits"})
    for part in found
)
tables.save(by_grid, "by-grid")
tables.save(by_way, "by-way")

# %% mystnb={"image": {"alt": "Three panels against the number of cells a side. Above: J for 8 and 4 bits, measured and by the law, rising towards 1 as the grid is refined and crossing the paper's two values. Below: grid prediction change and median distance between the curves, both flat."}} caption="J, grid prediction change and distance of the curves against the grid: median and interval over seeds." data=["grid-summary"] tags=["remove-input"]
grid_summary = summarize(
    by_grid, ["bits", "n"], ["jaccard", "law", "grid_change", "curve_distance"]
)
tables.save(grid_summary, "grid-summary")
fig = charts.against_grids(grid_summary, {"D2": 8, "D4": 4})

# %% tags=["remove-input"]
second = sorted(grids)[min(1, len(grids) - 1)]
parts = [[], [], []]
for b, group in by_grid.groupby("bits"):
    error = (group["law"] - group["jaccard"]).abs().median()
    parts[0].append(f"**{error:.3f}** at {b} bits")
    j = group.groupby("n")["jaccard"].median()
    parts[1].append(f"from {j.iloc[0]:.2f} to {j.iloc[-1]:.2f} at {b} bits")
    far = group.pivot(index="seed", columns="n", values="curve_distance")
    ratio = (far[max(grids)] / far[second]).quantile([0.5, 0.05, 0.95])
    parts[2].append(f"{tables.interval_text(*ratio, 3)} at {b} bits")
law, course, steadiness = map(", ".join, parts)
display(
    Markdown(
        "Median distance between the law and the measured *J* over seeds and grids: "
        f"{law}. From the coarsest to the finest grid the median *J* goes {course}. "
        "The median distance of the curves, on the finest grid over that on the second "
        f"coarsest, is {steadiness}."
    )
)

# %% [markdown]
# How far the two curves lie apart on the finest grid: from each boundary point of one network to the
# nearest point of the other's boundary, in both directions, and by the first-order prediction
# $|g_q - g| \,/\, \lVert P \nabla g \rVert$ at the points of the float network's boundary, with $g$ the gap of the
# two labels that meet there and $P$ the projection on the slice; input units, medians over seeds. A boundary that has no partner nearby shows
# in the largest distance alone; where the gradient within the slice is small, first order says too much.

# %% caption="Distances between the two curves in input units, medians over seeds." tags=["remove-input"]
SPREAD = ["mean", "median", "q95", "largest"]
ways = summarize(by_way, ["bits", "way"], SPREAD)
ways = ways.pivot(index=["bits", "way"], columns="measure", values="median")
ways = ways[SPREAD].rename_axis(columns=None).reset_index()
ways = ways.sort_values(["bits", "way"], ascending=[False, True])
renamed = ways.rename(columns={"q95": "95th percentile"})
tables.show(ways, "curve-distances", shown=renamed)

# %% [markdown]
# Which grid would have given the paper's two values? Each seed answers with the $n$ at which its own $J$ passes
# the value, interpolated in $\log n$. If the two claims come from one grid, the two distributions must overlap.

# %% caption="Cells a side at which J passes the paper's value." tags=["remove-input"]
grid_of_claim = pd.DataFrame(
    [
        (claim, grid_reaching(group["n"], group["jaccard"], paper_value(claim)))
        for claim, b in (("D2", 8), ("D4", 4))
        for _, group in by_grid[by_grid["bits"] == b].groupby("seed")
    ],
    columns=["claim", "n"],
)
grid_of_claim = summarize(grid_of_claim, ["claim"], ["n"])
tables.save(grid_of_claim, "grid-of-claim")
told = [
    f"{row.claim} on {tables.interval_text(row.median, row.lo, row.hi, 0)} cells a side, {row.count} of {seeds} seeds pass it."
    for row in grid_of_claim.itertuples(index=False)
]
lo, hi = grid_of_claim["lo"].max(), grid_of_claim["hi"].min()
told += [f"They overlap from {lo:.0f} to {hi:.0f} cells."] if lo <= hi else []
Markdown(" ".join(told))

# %% [markdown]
# ## What the other choices do
#
# The remaining conventions, varied one at a time, over fewer seeds. Shifts are in input units, so standardized inputs
# have larger ones by the factor of that unit.

# %% tags=["remove-input"]
chosen = partial(digits_choices, pad=pad, **drawing)
tasks = [(seed, recipe) for seed in range(first_seed, first_seed + choice_seeds)]
by_choice = pd.concat(run_all(chosen, tasks, jobs=jobs, label="choices"))
order = {"key": lambda names: names.map(list(CHOICES).index), "kind": "stable"}
by_choice = by_choice.rename(columns={"candidate": "bits"})
by_choice = by_choice.sort_values("choice", **order)
by_choice["labels_changed"] = (by_choice["flip_rate"] * by_choice["points"]).round()
tables.save(by_choice, "by-choice")

# %% caption="The claims under other choices: median over seeds with their range or, of ten and more, their 90 % interval." tags=["remove-input"]
ANSWERS = {"D1": (8, "labels_changed"), "D2": (8, "jaccard"), "D3": (4, "accuracy")}
ANSWERS |= {"D4": (4, "jaccard"), "D5": (4, "shift")}
by_claim = pd.concat(
    summarize(by_choice[by_choice["bits"] == b], ["choice"], [measure]).assign(
        measure=claim
    )
    for claim, (b, measure) in ANSWERS.items()
)
headings = {c: f"{c}, paper {paper_value(c):g}" for c in ANSWERS}
display(Markdown(f"{tables.spread_text(choice_seeds)}:"))
tables.show_intervals(by_claim, "choices", "choice", headings, 3, list(CHOICES))

# %% [markdown]
# ## Controls
#
# How large is a large $J$? A network against *itself* must be at zero. *Another training*, on the same images from
# another initialization and order of batches, is separated by chance alone: the noise floor. A network trained on
# *shuffled labels* must have the accuracy of guessing, else test images leak; the measures never see a label.

# %% tags=["remove-input"]
controlled = partial(digits_controls, recipe=recipe, **drawing)
tasks = [
    (seed, reference, {b: candidates[b] for b in studied[::-1]}, plane)
    for seed, reference, candidates, plane in networks
]
controls = run_all(controlled, tasks, jobs=jobs, label="controls")
controls = pd.concat(controls, ignore_index=True).rename(
    columns={"candidate": "pair"}
)
tables.save(controls, "controls")

# %% mystnb={"image": {"alt": "Median and 90 percent interval over seeds of J and of the flip rate, a row for each pair: a float network against itself, its 8 and 4 bit copies, another float training, and 8 and 4 bit copies of a network trained on shuffled labels. Itself is at zero."}} caption="J and flips of the controls: median and interval over seeds." data=["controls"] tags=["remove-input"]
CONTROLLED = ["jaccard", "flip_rate", "grid_change", "mean_displacement"]
control_summary = summarize(controls, ["pair"], ["accuracy", *CONTROLLED])
tables.save(control_summary, "controls-summary")
panels = {name: tables.HEADINGS[name] for name in CONTROLLED[:2]}
fig = charts.interval_rows(control_summary, "pair", panels)

# %% tags=["remove-input"]
middle = control_summary.set_index(["pair", "measure"])["median"]
copies = ", ".join(
    f"{b} bits ({middle[f'{b} bits', 'accuracy']:.1%} right) flip {middle[f'{b} bits', 'flip_rate']:.1%}, have J = {middle[f'{b} bits', 'jaccard']:.2f} and lie "
    f"{middle[f'{b} bits', 'mean_displacement']:.3f} away"
    for b in studied[::-1]
)
itself = controls["pair"] == ITSELF
display(
    Markdown(
        f"In the median another training is right on {middle['another training', 'accuracy']:.1%} of the test images, flips "
        f"**{middle['another training', 'flip_rate']:.1%}** of them, has J = **{middle['another training', 'jaccard']:.2f}** and lies "
        f"{middle['another training', 'mean_displacement']:.3f} input units away in the mean along the boundary; {copies}. The "
        "largest value of any measure of a network against itself is "
        f"{controls.loc[itself, CONTROLLED].max(axis=None):g}."
    )
)

# %% [markdown]
# ## Beside the paper

# %% mystnb={"image": {"alt": "One row for each of the claims D2 and D4: a dot for each seed, the prediction interval and mean, and the paper's value as a diamond."}} caption="Claims D2 and D4: our seeds beside the paper." data=["by-seed"] tags=["remove-input"]
claimed = {
    claim: by_seed.loc[by_seed["bits"] == b, "jaccard"]
    for claim, b in [("D2", 8), ("D4", 4)]
    if b in bits
}
fig = charts.against_paper(claimed) if claimed else None

# %% caption="The claims of this chapter." tags=["remove-input"]
show_answers(answer(claimed))

# %% [markdown]
# ## What to take along

# %% tags=["remove-input"]
few = min(studied)
noise = middle["another training", "jaccard"]
close = by_grid[by_grid["bits"] == few].groupby("n")["jaccard"].median()
Markdown(
    f"* *J* reads the grid: the same {few}-bit copies have {close.iloc[0]:.2f} on {close.index[0]} cells a side and "
    f"{close.iloc[-1]:.2f} on {close.index[-1]}. A value without its grid says nothing.\n"
    "* What does not depend on the grid is the share of the plane that changed, and that share over the length of the "
    "boundary, its mean displacement.\n"
    f"* Ask what training alone does: with another start *J* is {noise:.2f}, for the {few}-bit copy {middle[f'{few} bits', 'jaccard']:.2f}.\n\n"
    "Next: [what happens between two bit widths](03-interpolation-and-junctions)."
)

# %% [markdown]
# ## Exercises
#
# ```{include} exercises/02-slice-geometry.md
# ```

# %% tags=["opening", "remove-input"]
opening(
    "Does a large Jaccard distance mean that the boundary moved far?",
    f"Not by itself: at {few} bits J = {middle[f'{few} bits', 'jaccard']:.2f} on {n} cells a side, and training the "
    f"network again gives {noise:.2f} (mean displacement {middle[f'{few} bits', 'mean_displacement']:.3f} and {middle['another training', 'mean_displacement']:.3f} in input units). On other grids the same networks have "
    f"{close.min():.2f} to {close.max():.2f} in the median, while their boundaries moved by the same distance.",
    f"Networks with one hidden layer on digits, {seeds} seeds, one plane each.",
)
