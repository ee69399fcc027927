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
#     requires: [digits, cifar10]
#     minutes: 9
#     threads: 2
# ---

# %% [markdown]
# # Rounding with a boundary in view
#
# At a fixed number of bits a weight may still go up or down to its grid. Rounding each to the nearest value
# is best for the weight and not for the network. This chapter compares four ways to choose, answers claims
# R1 to R6, and derives one that asks for the boundary itself.
#
# ## Four ways to round
#
# All keep the scales of PTQ-W (see [Definitions](definitions)), and each weight goes to one of its two
# neighbours on the grid.
#
# Nearest
# : the nearer neighbour.
#
# AdaRound
# : layer by layer, the neighbours $V$ that keep the layer's outputs $W a$ on its inputs $a$
#   {cite}`nagel2020`:
#
#   $$ \min_V \; \mathbb{E}\,\lVert V a - W a \rVert^2 = \min_V \; \operatorname{tr}\big( (V - W) A (V - W)^\top \big),
#      \qquad A = \sum_p \mathbb{E}[a_p a_p^\top], $$
#
#   summed over the positions $p$ of a convolution. The Gram matrix $A$ is all that the data have to say, so
#   no batches are needed. In the variant *propagated* a layer sees the inputs $a_q$ that the layers before it, rounded
#   already, hand on, and makes up for their errors: $\mathbb{E}\,\lVert V a_q - W a \rVert^2$.
#
# Boundary gap
# : our reading of the paper's surrogate. To AdaRound's loss, each layer's in units of what nearest rounding leaves,
#   comes
#
#   $$ \lambda \cdot \frac{1}{N} \sum_{x} \big( (q_i - q_j)(x) - (f_i - f_j)(x) \big)^2 $$
#
#   over low-margin calibration images, $(i, j)$ the float network's top pair. The gap is linearized in the weights at
#   AdaRound's rounding, so that the loss is quadratic again and coordinate descent over all layers minimizes it; its unit is
#   the value there. The abstract gives no formula and no weight, so we show a path of $\lambda$.
#
# Boundary metric
# : ours, next.
#
# All these losses are quadratic in the weights, and one search lowers them. AdaRound's own relaxes each choice to a
# sigmoid and draws it to its ends by a regularizer. Ours is graduated non-convexity {cite}`blake1987`: with each weight at
# $x \in [-1, 1]$ between its neighbours and $d$ the loss's second derivative along it, Adam follows the minimum of
#
# $$ \mathcal{L}(x) - \frac{\lambda}{2} \sum d\,x^2 \quad \text{over} \quad [-1, 1]^n $$
#
# while $\lambda$ grows from 0, where the loss is convex, towards 1, from where on no minimum lies between the neighbours.
# Coordinate descent ends it. This reaches a lower loss than the sigmoid does in more steps, for every method alike.

# %% [markdown]
# ## The boundary's displacement as a quadratic form
#
# Let $g$ be the gap of the float network's top pair at $x$ and $g_q$ the rounded network's. To first order the
# boundary moves by $-e(x)$ along its normal,
#
# $$ e(x) = \frac{g_q(x) - g(x)}{\lVert \nabla_x g(x) \rVert}
#    \approx \sum_l \Big\langle \frac{\nabla_{W_l} g(x)}{\lVert \nabla_x g(x) \rVert},\, D_l \Big\rangle, \qquad D_l = V_l - W_l, $$
#
# which is linear in the change $D$ of the weights. So the mean squared displacement over points near the boundary is a
# quadratic form in $D$, and to round for the boundary is to minimize it over the roundings. We use it in two shapes.
#
# **Exact.** With a row of gradients for each of $m$ points the form is $\frac1m \lVert J D \rVert^2$, over all layers at once. It
# knows how layers make up for each other, but its rank is $m$, and there are far more weights: alone it fits its own points.
#
# **Kronecker.** At one layer, with $s_p$ the gradient of $e$ with respect to its output at position $p$, $e = \sum_p s_p^\top D\,a_p$. Taking
# the $s_p$ as uncorrelated between positions and independent of the inputs {cite}`grosse2016`,
#
# $$ \mathbb{E}[e^2] \approx \operatorname{tr}(B D A D^\top), \qquad
#    B = \frac1P \sum_p \mathbb{E}[s_p s_p^\top], $$
#
# where $P$ is the number of positions. AdaRound is the case $B = I$: it keeps all of a layer's outputs alike, the boundary
# metric keeps those that move the boundary. Both factors are means over data and of full rank, so this shape carries over to
# other data. It costs one forward and one backward pass over the points.
#
# **Errors of the layers before.** In a chain of layers, everything that came before reaches the output through layer $l$. So
# to first order $e = \sum_p s_p^\top (V a_{q,p} - W a_p)$ with the *whole* error of that layer's output, inherited or its own, and each
# layer can make up for its predecessors when it is rounded:
#
# $$ \min_V \; \operatorname{tr}(B V A_q V^\top) - 2 \operatorname{tr}(B V T^\top), \qquad
#    A_q = \sum_p \mathbb{E}[a_{q,p} a_{q,p}^\top], \quad T = \sum_p \mathbb{E}[W a_p\, a_{q,p}^\top]. $$
#
# A ridge draws each weight to its float value, for what the data leave open. After the last layer, both shapes are taken
# together, with $J$ and $e$ anew at the rounded network, and coordinate descent goes on over all layers; the weight of the exact
# shape is chosen on validation images by the mean squared displacement there.
#
# **Points.** Half of them are the calibration images of lowest margin, half lie on the boundary: they are bisected between two
# calibration images of different label, and cost no labels.

# %% tags=["parameters"]
datasets: list[str] = ["digits", "cifar10"]  # data sets
families: list[str] = ["cnn", "resnet"]  # families of networks on CIFAR-10
seeds: int = 3  # their seeds, at most 3; each has its own network of each family
seeds_digits: int = 20  # seeds on digits; each draws split and initialization [1..]
bits: list[int] = [4, 3]  # 4 and 3: claims [2..16, distinct, not empty]
calibration: int = 10000  # calibration images, from the training images
positions: int = 8  # positions of a convolution that are drawn in each of them
images: int = 10000  # test images [1..10000]
share: float = 0.2  # share of the images in the boundary band [0.001..1]
gap_weights: list[float] = [0.01, 0.1, 1.0, 10.0]  # weights of the gap term
exact_weights: list[float] = [0.0, 0.1]  # weights of the exact shape
points: int = 2000  # points of the boundary metric [1..100000]
steps: int = 500  # steps of the search for each layer [1..]
planes: int = 4  # planes through three test images [1..]
n: int = 61  # cells a side of the label maps on them [2..8192]
n_digits: int = 241  # cells a side of the label map on digits [2..8192]
epochs_digits: int = 200  # passes over the training images: network on digits [1..]
ablation_images: int = 1000  # calibration images of the comparison of parts [1..]
ablation_steps: int = 100  # steps of the search in it [1..]
jobs: int = 2  # networks at the same time; results do not depend on it [1..64]

# %% tags=["hide-input"]
import time

import matplotlib.pyplot as plt
import pandas as pd
import torch
from IPython.display import Markdown, display
from sklearn.utils.parallel import Parallel, delayed

from baq import compare, ptq_w, rounding, slices
from baq.comparison import per_plane
from baq.local import pair_gap
from baq.report import charts, style, tables
from baq.report.claims import answer
from baq.report.stats import paired_difference, summarize
from baq.rounding import Calibration
from baq.rounding.form import mean_square
from baq.rounding.points import low_margin_points
from baq.slices import random_planes
from baq.zoo import checkpoints, data, models, training

style.use_style()
families = families if "cifar10" in datasets else []
seeds_digits = seeds_digits if "digits" in datasets else 0
BATCH = 100  # Images an evaluation: what fits a processor's cache is fastest.
METHODS = ["nearest", "AdaRound", "AdaRound, propagated", "boundary gap", "boundary metric"]  # fmt: skip

# %% [markdown]
# ## The run
#
# The networks are those of [Full CIFAR-10](06-cifar-full) and, with 20 seeds, those of the digits chapters, split 60/20/20
# as in [Stopping](04-stopping). Statistics for rounding come from images that the network was trained on, the choices
# ($\lambda$ by the least pair-order flips in the band, the weight of the exact shape by the least displacement) from validation images
# that it was not trained on, and everything reported from test images.


# %% tags=["hide-input"]
def rounded(reference, bits, known, validation):
    """Every way's network and its seconds, and the boundary gap's whole path."""
    found, seconds = {}, {}

    def timed(name, make):
        start = time.perf_counter()
        found[name] = make()
        seconds[name] = time.perf_counter() - start

    timed("nearest", lambda: ptq_w(reference, bits))
    timed(
        "AdaRound", lambda: rounding.adaround(reference, bits, known, steps=steps)
    )
    timed(
        "AdaRound, propagated",
        lambda: rounding.adaround(
            reference, bits, known, propagate=True, steps=steps
        ),
    )
    timed(
        "boundary metric",
        lambda: rounding.boundary_metric(
            reference,
            bits,
            known,
            validation[0],
            exact=exact_weights,
            points=points,
            steps=steps,
        ),
    )
    start = time.perf_counter()
    path = rounding.boundary_gap(
        reference, bits, known, gap_weights, start=found["AdaRound"], steps=steps
    )
    line = {0.0: found["AdaRound"]} | path
    line = compare(
        reference, line, *validation, share=share, gradients=False, batch_size=BATCH
    )
    turned = line[1:].set_index("candidate")["band_pair_flip_rate"]
    found["boundary gap"] = path[turned.idxmin()]
    seconds["boundary gap"] = time.perf_counter() - start + seconds["AdaRound"]
    line["chosen"] = line["candidate"] == turned.idxmin()
    return found, seconds, line.rename(columns={"candidate": "weight"})


def on_digits(seed):
    return data.load("digits", seed, calibration=0.2, test=0.2)


def trained(seed, network):
    """A network on digits."""
    torch.set_num_threads(1)
    split = on_digits(seed)
    return training.fit(
        network, split.x_train, split.y_train, epochs=epochs_digits, seed=seed
    )


def measured(family, seed, reference):
    """All ways and bits of one network on test data; the path of the boundary gap."""
    torch.set_num_threads(1)
    if family == "digits":
        split = on_digits(seed)
        spanned = [slices.pca_plane(split.x_test)]
        cells, way = n_digits, "certified"
    else:
        split = data.load(
            "cifar10",
            seed,
            train=calibration,
            calibration=checkpoints.CALIBRATION,
            test=images,
        )
        spanned = random_planes(split.x_test, split.y_test, planes)
        cells, way = n, "adaptive"
    known = Calibration(reference, split.x_train, positions=positions)
    found, seconds, paths = {}, {}, []
    for level in bits:
        made, took, path = rounded(
            reference, level, known, (split.x_calibration, split.y_calibration)
        )
        found |= {(level, method): network for method, network in made.items()}
        seconds |= {(level, method): took[method] for method in made}
        paths.append(path.assign(setting=family, seed=seed, bits=level))
    x, y = split.x_test, split.y_test
    rows = compare(
        reference, found, x, y, share=share, gradients=False, batch_size=BATCH
    )
    cut = per_plane(reference, found, spanned, cells, way=way, batch_size=BATCH)
    near = low_margin_points(reference, x, max(1, len(x) // 20))
    at = pair_gap(reference, near, batch_size=BATCH)
    rows = rows.assign(
        setting=family,
        seed=seed,
        displacement=[mean_square(at, found[key], near) ** 0.5 for key in found],
        seconds=list(seconds.values()),
    )
    on_planes = {"jaccard": "mean", "grid_change": "mean", "error_bound": "max"}
    cut = cut.groupby("candidate").agg(on_planes)
    rows = rows.join(cut, on="candidate")
    rows["bits"], rows["method"] = zip(*rows.pop("candidate"), strict=True)
    return rows, pd.concat(paths)


PARTS = {
    "all outputs alike (AdaRound, propagated)": None,
    "without the errors of layers before": {"propagate": False},
    "without ridge": {"ridge": 0.0},
    "low-margin points only": {"on_boundary": 0.0},
    "boundary points only": {"on_boundary": 1.0},
    "a quarter of the points": {"points": max(4, points // 4)},
    "Kronecker shape": {},
    "and the exact shape, weight 0.1": {"exact": [0.1]},
    "and the exact shape, weight 1": {"exact": [1.0]},
    "almost the exact shape alone": {"exact": [1000.0]},
}


def parts(family, seed, reference):
    """The boundary metric with each part changed, on test images."""
    torch.set_num_threads(1)
    if family == "digits":
        split = on_digits(seed)
    else:
        split = data.load("cifar10", seed, train=ablation_images, test=images)
    level = max(bits)
    known = Calibration(reference, split.x_train, positions=positions)
    standard = {"exact": [0.0], "points": min(points, 2 * len(known.x))}
    standard |= {"steps": ablation_steps}
    found = {
        name: rounding.adaround(
            reference, level, known, propagate=True, steps=ablation_steps
        )
        if change is None
        else rounding.boundary_metric(
            reference, level, known, **(standard | change)
        )
        for name, change in PARTS.items()
    }
    row = compare(
        reference, found, split.x_test, split.y_test, share=share, gradients=False,
        batch_size=BATCH,
    )  # fmt: skip
    near = low_margin_points(
        reference, split.x_test, max(1, len(split.x_test) // 20)
    )
    at = pair_gap(reference, near, batch_size=BATCH)
    row["displacement"] = [mean_square(at, q, near) ** 0.5 for q in found.values()]
    return row.assign(setting=family, seed=seed).rename(
        columns={"candidate": "part"}
    )


# The largest networks come first, so that no process is left with one of them at the end.
shipped = [
    (family, seed, checkpoints.load(family, seed))
    for family in families[::-1]
    for seed in range(seeds)
]
mlps = [models.mlp(64, 10, 64, "tanh", seed) for seed in range(seeds_digits)]
mlps = Parallel(n_jobs=jobs)(delayed(trained)(*task) for task in enumerate(mlps))
mlps = [("digits", seed, network) for seed, network in enumerate(mlps)]
work = [(measured, task) for task in shipped]
work += [(parts, task) for task in shipped if task[0] == families[0]]
work += [(run, task) for task in mlps for run in (measured, parts)]
done = Parallel(n_jobs=jobs)(delayed(run)(*task) for run, task in work)
found = {measured: [], parts: []}
for (run, _), result in zip(work, done, strict=True):
    found[run].append(result)
results, paths = (
    pd.concat(frames, ignore_index=True)
    for frames in zip(*found[measured], strict=True)
)
ablation = pd.concat(found[parts])
results["loss"] = results["accuracy_reference"] - results["accuracy"]
results["method"] = pd.Categorical(results["method"], METHODS)
results = results.sort_values(["setting", "bits", "method", "seed"]).reset_index(
    drop=True
)
settings = ["digits"] * ("digits" in datasets) + families
tables.save(results, "rounded")
tables.save(paths, "gap-path")
display(Markdown(tables.audit_text(results["error_bound"])))

# %% [markdown]
# ## What each way leaves
#
# On test data, median and 90 % interval over seeds. The band holds a fifth of the images. $J$ and the grid prediction change are
# means over planes through three test images, or on the PCA slice of the test images for digits. The displacement is the root of
# the mean squared displacement at the twentieth of test images with the lowest margins, in input units. Seconds are those of one
# thread while another one works beside it; what ways and bits share is counted for the first that needs it, and the boundary gap's
# are for the whole path, with the AdaRound that it starts from.

# %% tags=["hide-input"]
MEASURES = {
    "flip_rate": "flip rate",
    "band_pair_flip_rate": "pair-order flips in the band",
    "jaccard": "J",
    "grid_change": "grid prediction change",
    "displacement": "displacement, input units",
    "loss": "loss of accuracy",
    "seconds": "seconds",
}
summary = summarize(results, ["setting", "bits", "method"], list(MEASURES))
tables.save(summary[summary["measure"] != "seconds"], "by-method")
SHOWN = {
    "decisions": ["flip_rate", "band_pair_flip_rate", "loss"],
    "boundary": ["jaccard", "grid_change", "displacement"],
}
for level in bits:
    for setting in settings:
        part = summary[(summary["bits"] == level) & (summary["setting"] == setting)]
        display(Markdown(f"**{setting}, {level} bits**"))
        for kind, measures in SHOWN.items():
            cells = tables.interval_cells(
                part, "method", {m: MEASURES[m] for m in measures}, 3
            )
            cells = cells.set_index("method").loc[METHODS].reset_index()
            display(tables.show(cells, f"{setting}-{level}-bits-{kind}"))

# %% [markdown]
# What it took, in seconds for one network:

# %% tags=["hide-input"]
took = results.groupby(["setting", "method"], observed=True, sort=False)["seconds"]
took = took.agg(["median", "max"]).unstack("setting")
took.columns = [f"{setting}, {what}, seconds" for what, setting in took.columns]
tables.show(took.loc[METHODS].reset_index(), "seconds", precision=1)

# %% mystnb={"image": {"alt": "Flip rate, pair-order flips in the band and J at the fewer and the larger number of bits: a row for each setting and way of rounding with median and 90 percent interval. Nearest rounding leaves most, the boundary metric or propagated AdaRound least."}} data=["rounded"] tags=["hide-input"]
first = summary[summary["bits"] == bits[0]]
first = first.assign(row=first["setting"] + ", " + first["method"].astype(str))
rows = [f"{s}, {m}" for s in settings for m in METHODS]
fig = charts.interval_rows(
    first.set_index("row").loc[rows].reset_index(),
    "row",
    {m: MEASURES[m] for m in ("flip_rate", "band_pair_flip_rate", "jaccard")},
)
_ = fig.suptitle(f"{bits[0]} bits")

# %% [markdown]
# ## Ours against the others
#
# The boundary metric less each of the other ways that look at data. Differences are paired: the same network, data and planes. Mean
# over networks with Student's 90 % interval; below zero is better. *CIFAR-10* holds both families.

# %% tags=["hide-input"]
COMPARED = [
    "flip_rate",
    "band_pair_flip_rate",
    "jaccard",
    "grid_change",
    "displacement",
    "loss",
]
OURS = METHODS[-1]
wide = results.set_index(["bits", "setting", "seed", "method"])[COMPARED]
groups = {"digits": [s for s in settings if s == "digits"], "CIFAR-10": families}
groups = {name: members for name, members in groups.items() if members}
rows = []
for level in bits:
    for group, members in groups.items():
        here = wide.loc[level].loc[members].unstack("method")
        for other in METHODS[:-1]:
            for measure in COMPARED:
                pair = here[measure]
                if len(pair) < 2:
                    continue
                found = paired_difference(pair[other], pair[OURS])
                before = found["before"] or float("nan")  # nothing to compare with
                rows.append(
                    {"networks": group, "bits": level, "against": other}
                    | {"measure": MEASURES[measure], "before": found["before"]}
                    | {"after": found["after"]}
                    | {"change": found["after"] / before - 1}
                    | {k: found[k] for k in ("difference", "lo", "hi", "n")}
                )
differences = pd.DataFrame(rows)
tables.save(differences, "differences")
cells = differences.assign(
    cell=[
        f"{row.difference:+.4f} [{row.lo:+.4f}, {row.hi:+.4f}]"
        for row in differences.itertuples()
    ]
)
for (level, group), part in cells.groupby(["bits", "networks"], sort=False):
    shown = part.pivot(index="measure", columns="against", values="cell")
    shown = shown.loc[[MEASURES[m] for m in COMPARED], METHODS[1:-1]]
    shown = shown.rename_axis(columns=None).reset_index()
    display(Markdown(f"**{group}, {level} bits**, less:"))
    display(tables.show(shown, f"differences-{group}-{level}-bits".lower()))

# %% tags=["hide-input"]
lines = []
for row in differences[
    differences["measure"] == MEASURES["flip_rate"]
].itertuples():
    sure = (
        "the interval excludes 0"
        if row.hi < 0 or row.lo > 0
        else "the interval holds 0"
    )
    lines.append(
        f"* {row.networks}, {row.bits} bits: **{row.change:+.0%}** flips against "
        f"{row.against}; {sure}."
    )
display(Markdown("\n".join(lines)))

# %% [markdown]
# ## The path of the boundary-gap term
#
# On validation images, from which $\lambda$ is chosen. AdaRound is $\lambda = 0$, at the left end. A small weight lets layers make up for each
# other's errors where it counts; a large one fits the gaps of its own points at the cost of everything else.

# %% mystnb={"image": {"alt": "Pair-order flips in the band and accuracy on validation images over the weight of the boundary-gap term from none to large, a line for each setting and number of bits. The flips fall and rise again with the weight."}} data=["gap-path"] tags=["hide-input"]
ticks = sorted(paths["weight"].unique())
paths["position"] = paths["weight"].map({w: k for k, w in enumerate(ticks)})
fig, axes = plt.subplots(2, 1, figsize=(style.WIDTH, 6.5), sharex=True)
PATH = {
    "band_pair_flip_rate": "pair-order flips in the band",
    "accuracy": "accuracy",
}
on_path = summarize(paths, ["setting", "bits", "position"], list(PATH))
for ax, (measure, label) in zip(axes, PATH.items(), strict=True):
    for k, (key, part) in enumerate(
        on_path.groupby(["setting", "bits"], sort=False)
    ):
        named = {measure: f"{key[0]}, {key[1]} bits"}
        charts.interval_lines(ax, part, "position", named, first=k)
    ax.set_ylabel(label)
axes[-1].set_xticks(range(len(ticks)), [f"{w:g}" for w in ticks])
axes[-1].set_xlabel("weight of the boundary-gap term")
legend = fig.legend(
    *axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3
)

# %% tags=["hide-input"]
picked = paths[paths["chosen"]]
counts = picked.groupby(["setting", "bits", "weight"]).size().unstack(fill_value=0)
counts.columns = [f"weight {w:g}" for w in counts.columns]
tables.show(counts.reset_index(), "chosen-weights")

# %% [markdown]
# ## Which part does what
#
# The boundary metric with one part changed at a time, on the first family and on digits, at the larger number of bits and with fewer
# calibration images and steps, so that all of it stays cheap; on test images.

# %% tags=["hide-input"]
tables.save(ablation, "parts")
for setting in settings[:2]:
    cells = tables.interval_cells(
        summarize(
            ablation[ablation["setting"] == setting],
            ["part"],
            ["flip_rate", "band_pair_flip_rate", "displacement"],
        ),
        "part",
        {
            m: MEASURES[m]
            for m in ("flip_rate", "band_pair_flip_rate", "displacement")
        },
    )
    display(Markdown(f"**{setting}, {max(bits)} bits**"))
    display(
        tables.show(
            cells.set_index("part").loc[list(PARTS)].reset_index(),
            f"parts-{setting}",
        )
    )

# %% [markdown]
# ## What did not help
#
# Tried on validation images while the method was built, and left out; these are notes and no part of the run.
#
# * Any value of the grid in place of the two neighbours, by coordinate descent or column by column with error feedback: the
#   loss on the calibration images falls, the displacement on others rises. Two neighbours are a prior.
# * Steps down the gradient of the displacement at many low-margin images, with the Kronecker shape as curvature: lower there, not on
#   validation images.
# * The exact shape on the ResNet, at any weight but a small one.
# * Biases that make up for the mean error of a layer's outputs: no difference on one network of each family.
#
# What did help was a search that ends lower, for every method alike, and more calibration images for those that propagate errors: on a
# layer whose inputs are a good part as many as the images, as the CNN's last, they decide. AdaRound on float inputs gains little from
# them. So the lead of the boundary metric over AdaRound grows with them, and its lead over propagated AdaRound stays small: on deep networks
# most of what a boundary needs is that layers repair each other.

# %% [markdown]
# ## Beside the paper
#
# Without the boundary-gap term is AdaRound, with it the weight that validation images choose. The paper's R6 says that at 3 bits the
# surrogate reaches its tuning limit, without a definition. We count it as met by a seed if at 3 bits the largest weight of the path turns
# more pair orders in the band of the validation images than the chosen one does: then more of the term no longer helps.

# %% tags=["hide-input"]
R_ROUNDED = {("R1", "R2"): "jaccard", ("R3", "R4"): "band_pair_flip_rate"}
claimed = {}
for setting in settings:
    values = {}
    if 4 in bits:
        pair = wide.loc[4].loc[setting].unstack("method")
        for (without, with_term), measure in R_ROUNDED.items():
            values[without] = pair[measure]["AdaRound"]
            values[with_term] = pair[measure]["boundary gap"]
        values["R5"] = pair["loss"]["AdaRound"] - pair["loss"]["boundary gap"]
    if 3 in bits:
        three = paths[(paths["bits"] == 3) & (paths["setting"] == setting)]
        three = three.set_index("seed")
        chosen, most = (
            three.loc[rows, "band_pair_flip_rate"]
            for rows in (three["chosen"], three["weight"] == max(gap_weights))
        )
        values["R6"] = most > chosen
    claimed[setting] = values
tables.show(
    pd.concat(answer(values, setting) for setting, values in claimed.items()),
    "claims",
)

# %% mystnb={"image": {"alt": "One row for each of the claims R1 to R4, for each family of networks at 4 bits: a dot for each seed, the 90 percent interval and median, and the paper's value as a diamond."}} data=["rounded"] tags=["hide-input"]
for setting in families[::-1] if 4 in bits else []:
    shown = {c: claimed[setting][c] for c in ("R1", "R2", "R3", "R4")}
    fig = charts.against_paper(shown)
    _ = fig.suptitle(setting)

# %% [markdown]
# ## What to take from it
#
# Most of what nearest rounding breaks, any rounding that looks at data repairs. The largest further step is to let each layer make up for
# the errors it inherits; weighing a layer's outputs by what they do to the boundary comes on top, and is cheap. It lowers flips and
# displacement; $J$, which reads the whole slice and not just where data lie, shows no gain over propagated AdaRound whose interval
# excludes 0. The exact form knows more about its own points than about others, which is why its weight has to be chosen on images
# that it has not seen.
