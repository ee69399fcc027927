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
# At a fixed number of bits a weight may still go up or down to its grid. Rounding each to the nearest value is best for the weight
# and not for the network. This chapter compares ways to choose, answers claims R1 to R6, and derives one for the boundary itself,
# which it then tries as hard as the others: against two metrics that know nothing of a boundary.
#
# ## Ways to round
#
# All keep the scales of PTQ-W (see [Definitions](definitions)), and each weight goes to one of its two neighbours on the grid.
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
#   summed over the positions $p$ of a convolution. In the variant *propagated* a layer sees the inputs $a_q$ that the layers
#   before it, rounded already, hand on, and makes up for their errors: $\mathbb{E}\,\lVert V a_q - W a \rVert^2$.
#
# Boundary gap
# : our reading of the paper's surrogate. To AdaRound's loss, each layer's in units of what nearest rounding leaves,
#   comes
#
#   $$ \lambda \cdot \frac{1}{N} \sum_{x} \big( (q_i - q_j)(x) - (f_i - f_j)(x) \big)^2 $$
#
#   over low-margin calibration images, $(i, j)$ the float network's top pair, in units of its value under AdaRound. The gap is
#   linearized in the weights there. The abstract gives no formula and no weight, so we show a path of $\lambda$, which is this
#   weight throughout.
#
# Logit, Fisher and boundary metric
# : propagated AdaRound with another measure of a layer's error: $\operatorname{tr}(B D A D^\top)$ with $D = V - W$, where $B$ says
#   what each output of the layer counts for. The three differ in $B$ alone.
#
# All these losses are quadratic in the weights, and one search lowers them: graduated non-convexity {cite}`blake1987`, where
# Adam follows the minimum of a convex relaxation while its curvature is taken away, and then descent, first by single
# weights, then by pairs of one output. A run of 250 steps is followed by one of 500 and so on, until a run lowers the loss
# by less than a hundredth or the bound `steps` is reached.

# %% [markdown]
# ## The boundary's displacement as a quadratic form
#
# With $g$ the gap of the float network's top pair at $x$, $g_q$ the rounded network's, the boundary moves to first order by $-e(x)$,
#
# $$ e(x) = \frac{g_q(x) - g(x)}{\lVert \nabla_x g(x) \rVert}
#    \approx \sum_l \Big\langle \frac{\nabla_{W_l} g(x)}{\lVert \nabla_x g(x) \rVert},\, D_l \Big\rangle, \qquad D_l = V_l - W_l, $$
#
# which is linear in the change $D$ of the weights. So the mean squared displacement over points near the boundary is a
# quadratic form in $D$, and to round for the boundary is to minimize it over the roundings. It has two shapes.
#
# **Exact.** With a row of gradients for each of $m$ points the form is $\frac1m \lVert G D \rVert^2$, over all layers at once. It
# knows how layers make up for each other, but its rank is $m$, and there are far more weights: alone it fits its own points.
#
# **Kronecker.** At one layer, with $s_p$ the gradient of $e$ with respect to its output at position $p$, $e = \sum_p s_p^\top D\,a_p$. Taking
# the $s_p$ as uncorrelated between positions and independent of the inputs {cite}`grosse2016`,
#
# $$ \mathbb{E}[e^2] \approx \operatorname{tr}(B D A D^\top), \qquad
#    B = \frac1P \sum_p \mathbb{E}[s_p s_p^\top], $$
#
# where $P$ is the number of positions. $B = I$ is AdaRound: all outputs count alike. With $s$ the gradient of each logit it is the
# *logit metric*, which keeps all outputs of the network; with $s$ the gradient of $\log p_k$, in expectation over classes $k$ drawn from
# the model's own probabilities $p$, the *Fisher metric*, the curvature of the loss that K-FAC takes.
#
# **Errors of the layers before.** In a chain of layers, everything that came before reaches the output through layer $l$: to first
# order $e = \sum_p s_p^\top (V a_{q,p} - W a_p)$ with the *whole* error of that layer's output, inherited or its own. So each layer
# can make up for its predecessors when it is rounded, with $A$ and the products $W a$ taken with the inputs $a_q$. A ridge
# draws each weight to its float value, for what the data leave open.
#
# **Points.** Half of them are the calibration images of lowest margin, half lie on the boundary: they are bisected between two
# calibration images of different label. All three metrics take the same points.

# %% tags=["parameters"]
datasets: list[str] = ["digits", "cifar10"]  # data sets [some]
families: list[str] = ["cnn", "resnet"]  # on CIFAR-10 [some]
seeds: int = 3  # their seeds; each has its own network of each family [1..3]
seeds_digits: int = 20  # on digits; each draws split and initialization [1..1000]
bits: list[int] = [4, 3]  # 4 and 3: claims [2..16]
calibration: int = 4000  # of the training images [10..48000]
positions: int = 8  # of a convolution, drawn in each of them [1..1024]
images: int = 10000  # test images [1..10000]
share: float = 0.2  # share of the images in the boundary band [0.001..1]
gap_weights: list[float] = [0.001, 0.01, 0.1, 1.0, 10.0]  # lambda [0..1e9]
points: int = 2000  # points of the metrics [1..100000]
steps: int = 500  # the most steps of the search for each layer [1..10000]
long_steps: int = 2000  # the same where more are tried [1..100000]
planes: int = 4  # planes through three test images [1..1000]
many_planes: int = 20  # the same where metrics are compared [1..1000]
n: int = 61  # cells a side of the label maps on them [2..8192]
grids: list[int] = [9, 15, 21, 31]  # the same, tried for the paper's J [2..8192]
n_digits: int = 241  # cells a side of the label map on digits [2..8192]
epochs_digits: int = 200  # passes over the training images: digits [1..10000]
budgets: list[int] = [30, 100, 300, 1000]  # calibration images, few [10..48000]
ablation_steps: int = 100  # steps of the search with few images [1..10000]
jobs: int = 2  # networks at the same time; results do not depend on it [1..64]

# %% tags=["hide-input"]
import pandas as pd
from IPython.display import Markdown, display

from baq import compare, ptq_w, slices
from baq.comparison import per_plane
from baq.report import charts, style, tables
from baq.report import answers as told
from baq.report.boxes import opening
from baq.report.claims import answer, paper_value
from baq.report.contrasts import apart, change_text, contrasts, listed
from baq.report.runs import run_all
from baq.report.stats import paired_differences, summarize
from baq.rounding import Statistics, adaround, boundary_metric
from baq.rounding.form import low_margin_displacement
from baq.rounding.ways import METRICS, WAYS, by_metric, parts_of_metric, rounded
from baq.slices import random_planes
from baq.zoo import checkpoints
from baq.zoo.recipes import digits_network, network_on

# %% [markdown]
# ## One network, rounded twice
#
# One network on digits, and two copies of it with equally many bits: each weight at the nearest value of its grid,
# or at the one of two neighbours that keeps the boundary. One call compares both with the float network on test
# images and on the slice through them: the share of labels that flip, the share of the points near the boundary
# where the top two classes change order, and the Jaccard distance $J$ of the boundaries.

# %%
network, split = digits_network(0, epochs=epochs_digits, calibration=0.2, test=0.2)
ours = boundary_metric(network, bits[0], split.x_train, exact=[0.0])
copies = {"nearest": ptq_w(network, bits[0]), "boundary metric": ours}
plane = slices.pca_plane(split.x_test)
row = compare(network, copies, split.x_test, planes=plane, n=n_digits)
row[["candidate", "flip_rate", "band_pair_flip_rate", "jaccard"]]

# %% [markdown]
# ## What each way leaves
#
# The networks are those of [Full CIFAR-10](06-cifar-full) and, with 20 seeds, those of the digits chapters, split 60/20/20
# as in [Stopping](04-stopping). Statistics for rounding come from images that the network was trained on, the choice of
# $\lambda$ (least pair-order flips in the band) from validation images, and everything reported from test images. The band
# holds a fifth of them. $J$, at the first of the bit widths, is a mean over planes through three test images on CIFAR-10, and
# that of the PCA slice of the test images on digits: one column, but two quantities that cannot be compared. The displacement
# is the root of the mean squared one at the twentieth of test images with the lowest margins, in input units.

# %% tags=["hide-input"]
style.use_style()
MEASURES = {
    "flip_rate": "flip rate",
    "band_pair_flip_rate": "pair-order flips in the band",
    "displacement": "displacement",
    "jaccard": "J",
    "jaccard_many": f"J, {many_planes} planes",
}
BATCH = 100  # Images an evaluation: what fits a processor's cache is fastest.
PAIRED = {"pair": ["setting", "seed"], "variant": "method"}
families = families if "cifar10" in datasets else []
natural = [(family, seed) for family in families for seed in range(seeds)]
tasks = [("digits", k) for k in range(seeds_digits) if "digits" in datasets] + natural


def prepared(setting, seed, train):
    """A float network, and images to round it on, to choose on and to report."""
    kept = {"train": train, "calibration": checkpoints.CALIBRATION}
    if setting != "digits":
        return network_on("cifar10", seed, setting, test=images, **kept)
    given = {"epochs": epochs_digits, "calibration": 0.2, "test": 0.2}
    return network_on("digits", seed, **given)


def on_test(reference, copies, split):
    """What each copy of a network does to test images, a row each."""
    x, y = split.x_test, split.y_test
    how = {"share": share, "gradients": False, "batch_size": BATCH}
    rows = compare(reference, copies, x, y, **how)
    moved = low_margin_displacement(reference, copies, x)
    loss = rows["accuracy_reference"] - rows["accuracy"]
    return rows.assign(displacement=list(moved.values()), loss=loss)


def on_planes(reference, copies, setting, split, count, cells=n):
    """J of each copy on each plane of a network's test images."""
    spanned, cut = [slices.pca_plane(split.x_test)], {"n": n_digits, "way": "certified"}
    if setting != "digits":
        spanned = random_planes(split.x_test, split.y_test, count)
        cut = {"n": cells, "way": "adaptive"}
    maps = per_plane(reference, copies, spanned, **cut, batch_size=BATCH)
    maps["bits"], maps["method"] = zip(*maps.pop("candidate"), strict=True)
    return maps.assign(n=cut["n"])


# %% tags=["hide-input"]
def measured(setting, seed):
    """All ways and bits of one network: on test data, on planes; paths and searches."""
    reference, split = prepared(setting, seed, calibration)
    known = Statistics(reference, split.x_train, positions=positions)
    validation = split.x_calibration, split.y_calibration
    how = {"exact": [0.0], "points": points, "share": share, "steps": steps}
    how["gap_weights"] = gap_weights
    made = {b: rounded(known, b, validation, **how) for b in bits}
    copies = {(b, way): q for b in bits for way, q in made[b].networks.items()}
    rows = on_test(reference, copies, split)
    rows["bits"], rows["method"] = zip(*rows.pop("candidate"), strict=True)
    rows["seconds"] = [s for b in bits for s in made[b].seconds.values()]
    given = reference, copies, setting, split
    first = {key: q for key, q in copies.items() if key[0] == bits[0]}
    metrics = {key: q for key, q in first.items() if key[1] in METRICS}
    others = {key: q for key, q in first.items() if key not in metrics}
    maps = [on_planes(reference, metrics, setting, split, many_planes)]
    maps += [on_planes(reference, others, setting, split, planes)]
    two = {(4, way): copies[4, way] for way in WAYS[1:3]} if 4 in bits else {}
    for m in grids if two and setting in families[:1] else ():
        maps.append(on_planes(reference, two, setting, split, planes, m))
    frames = (rows, pd.concat(maps), *(
        pd.concat(getattr(made[b], name).assign(bits=b) for b in bits)
        for name in ("path", "searches")
    ))  # fmt: skip
    return [frame.assign(setting=setting, seed=seed) for frame in frames]


found = run_all(measured, tasks, jobs=jobs, label="networks")
results, maps, paths, searches = map(pd.concat, zip(*found, strict=True))
keys = ["setting", "seed", "bits", "method"]
own = maps[maps["n"] == maps["setting"].eq("digits").map({True: n_digits, False: n})]
few, many = own[own["plane"] < planes], own[own["method"].isin(METRICS)]
for name, frame in (("jaccard", few), ("jaccard_many", many)):
    means = frame.groupby(keys)["jaccard"].mean().rename(name)
    results = results.join(means, on=keys)
for name, frame in (("rounded", results), ("planes", maps), ("gap-path", paths)):
    tables.save(frame, name)
tables.save(searches, "searches")
summary = summarize(results, ["setting", "bits", "method"], [*MEASURES, "loss"])
tables.save(summary, "summary")

# %% mystnb={"image": {"alt": "Flip rate, pair-order flips in the band and J at the larger number of bits: a row for each setting and way of rounding with median and interval. Nearest rounding leaves most, the ways that see the errors of earlier layers least."}} data=["summary", "rounded"] tags=["hide-input"]
first = summary[summary["bits"] == bits[0]]
first = first.assign(row=first["setting"] + ", " + first["method"])
DRAWN = {m: MEASURES[m] for m in ("flip_rate", "band_pair_flip_rate", "jaccard")}
_ = charts.interval_rows(first, "row", DRAWN).suptitle(f"{bits[0]} bits")

# %% tags=["hide-input"]
took = results.groupby(["setting", "method"], sort=False)["seconds"].median()
tables.save(took.reset_index(), "seconds")
costs = [f"{took[key]:.0f} s ({', '.join(key)})" for key in took.groupby("setting").idxmax()]
Markdown(
    f"{tables.audit_text(maps['error_bound'])} Of the layers {searches['converged'].mean():.0%} converged "
    f"within {steps} steps. The costliest ways take {', '.join(costs)} a network, on one thread."
)

# %% [markdown]
# ## Is it the boundary?
#
# The boundary metric less each other way that looks at data: the same network, images, points, search and planes. Mean
# over networks with Student's 90 % interval; below zero is better. *CIFAR-10* holds both families.

# %% tags=["hide-input"]
kinds = results["setting"].where(results["setting"] == "digits", "CIFAR-10")
given, how = results.assign(networks=kinds), PAIRED | {"by": ["networks", "bits"]}
how["of"] = METRICS[-1:]
at_first = given[given["bits"] == bits[0]]
differences = pd.concat(
    paired_differences(frame, measures, against=against, **how)
    for frame, measures, against in (
        (given, list(MEASURES)[:3], WAYS[1:-1]),
        (at_first, ["jaccard"], WAYS[1:-1]),
        (at_first[at_first["method"].isin(METRICS)], ["jaccard_many"], METRICS[:-1]),
    )
)
tables.save(differences, "differences")
differences = differences.replace({"measure": MEASURES})
rest = differences[differences["against"].isin(METRICS)]
keys = ["networks", "bits", "measure"]
shown = tables.interval_table(rest, keys, "against", "difference", signed=True)
display(tables.styled(shown, "shown-differences"))
flips = differences[differences["measure"] == "flip rate"]
lines = [
    f"* Flips, {group}, {b} bits: {', '.join(map(change_text, rows.itertuples()))}."
    for (group, b), rows in flips.groupby(["networks", "bits"], sort=False)
]
below, above, count = contrasts(rest[rest["against"].isin(METRICS[1:3])], keys)
lines.append(
    f"* Against the two metrics that know no boundary, {count} comparisons. Below both, intervals without 0: "
    f"{listed(below)}. Above both: {listed(above)}. In the other {count - len(below) - len(above)} the "
    "boundary's own part cannot be told from none."
)
display(Markdown("\n".join(lines)))

# %% [markdown]
# ### With few calibration images, and part by part
#
# The boundary might count where images are few: the same four ways, at the larger number of bits and with fewer steps. With
# the most of these images, the table changes one part of the boundary metric at a time.


# %% tags=["hide-input"]
def few_images(setting, seed):
    """The metrics with few images, and the parts of one, on test images."""
    reference, split = prepared(setting, seed, max(budgets))
    rows = []
    for count in budgets:
        known = Statistics(reference, split.x_train[:count], positions=positions)
        make = parts_of_metric if count == max(budgets) else by_metric
        copies = make(known, max(bits), points=points, steps=ablation_steps)
        rows.append(on_test(reference, copies, split).assign(images=count))
    rows = pd.concat(rows).rename(columns={"candidate": "part"})
    return rows.assign(setting=setting, seed=seed)


chosen = [task for task in tasks if task[0] in ("digits", *families[:1])]
parts = pd.concat(run_all(few_images, chosen, jobs=jobs, label="few images"))
tables.save(parts, "parts")

# %% mystnb={"image": {"alt": "Flip rate and displacement against the number of calibration images, a line for each of four ways of rounding. All fall with more images, close to each other."}} data=["parts"] tags=["hide-input"]
lead = chosen[-1][0]
FEW = {m: MEASURES[m] for m in ("flip_rate", "displacement")}
drawn = parts[(parts["setting"] == lead) & parts["part"].isin(METRICS)]
fig = charts.interval_panels(
    summarize(drawn, ["part", "images"], list(FEW)), "images", FEW, "part"
)
_ = fig.axes[-1].set_xlabel(f"calibration images, {lead}, {max(bits)} bits")

# %% tags=["hide-input"]
how = PAIRED | {"variant": "part", "against": METRICS[-1:]}
by_budget = paired_differences(
    parts, list(FEW), by=["setting", "images"], **how | {"of": METRICS[:-1]}
)
most = parts[parts["images"] == max(budgets)]
names = [name for name in most["part"].unique() if name != METRICS[-1]]
by_part = paired_differences(most, list(FEW), by=["setting"], **how | {"of": names})
tables.save(by_budget, "by-budget")
tables.save(by_part, "by-part")
shown = by_part.assign(column=by_part["setting"] + ", " + by_part["measure"].map(FEW))
shown = tables.interval_table(shown, ["part"], "column", "difference", signed=True)
display(tables.styled(shown, "shown-parts"))
worse, better = (
    [f"{r.part} ({r.setting}, {r.change:+.0%})" for r in by_part.itertuples() if keep(r)]
    for keep in (
        lambda r: r.measure == "flip_rate" and r.lo > 0,
        lambda r: r.measure == "flip_rate" and r.hi < 0,
    )
)
rivals = by_budget[by_budget["part"].isin(METRICS[1:3])]
won = contrasts(rivals.assign(lo=-rivals["hi"], hi=-rivals["lo"]), ["setting", "images", "measure"])
display(Markdown(
    f"Flips rise, with an interval that excludes 0, by: {listed(worse)}. They fall by: {listed(better)}. With few "
    f"images the boundary metric is below both the logit and the Fisher metric in: {listed(won[0])}; above both "
    f"in: {listed(won[1])}; of {won[2]} comparisons."
))  # fmt: skip

# %% [markdown]
# ## Has the search converged?
#
# The last doubling of the steps may still have lowered a layer's loss by more than a hundredth. So the bound is raised, for AdaRound
# and for the boundary metric and on one network of each family.


# %% tags=["hide-input"]
def longer(setting, seed, way):
    """One way with the larger bound on the steps, on test images."""
    reference, split = prepared(setting, seed, calibration)
    known, log = Statistics(reference, split.x_train, positions=positions), {}
    given = {"steps": long_steps, "searches": log}
    if way == WAYS[1]:
        copy = adaround(reference, bits[0], known, **given)
    else:
        given |= {"exact": [0.0], "points": points}
        copy = boundary_metric(reference, bits[0], known, **given)
    rows = on_test(reference, {way: copy}, split).rename(columns={"candidate": "method"})
    ended = [(s.steps, s.converged) for s in log.values()]
    steps_mean, share_converged = pd.DataFrame(ended).mean()
    rows = rows.assign(setting=setting, seed=seed, steps=steps_mean)
    return rows.assign(converged=share_converged)


of = [("digits", 0)] if "digits" in datasets else []
of = [(*t, way) for t in of + [(f, 0) for f in families[:1]] for way in (WAYS[1], WAYS[-1])]
long = pd.concat(run_all(longer, of, jobs=jobs, label="longer searches"))
short = results[results["bits"] == bits[0]].set_index(["setting", "seed", "method"])
long = long.join(short["flip_rate"].rename("short"), on=["setting", "seed", "method"])
tables.save(long, "longer")
Markdown("\n".join(
    f"* {r.setting}, {r.method}: up to {long_steps} steps a layer, {r.steps:.0f} in the mean, {r.converged:.0%} of the "
    f"layers converged; flips {r.flip_rate:.2%} against {r.short:.2%} with up to {steps}."
    for r in long.itertuples()
))  # fmt: skip

# %% [markdown]
# ## Beside the paper
#
# Without the boundary-gap term is AdaRound, with it the $\lambda$ that validation images choose. The paper's R6 says that at 3 bits the
# surrogate reaches its tuning limit, without a definition. We say that a seed reaches it at a bit width if the largest $\lambda$ of
# the path turns more pair orders in the band of the validation images than the chosen one does. R6 holds for a seed that reaches
# it at 3 bits and not at 4, so that it can fail.

# %% tags=["hide-input"]
R_ROUNDED = {("R1", "R2"): "jaccard", ("R3", "R4"): "band_pair_flip_rate"}
claimed = {setting: {} for setting in dict.fromkeys(results["setting"])}
for setting, values in claimed.items():
    pair = results[(results["setting"] == setting) & (results["bits"] == 4)]
    pair = pair.pivot(index="seed", columns="method")
    for claims_of, measure in R_ROUNDED.items() if 4 in bits else ():
        for claim, way in zip(claims_of, WAYS[1:3], strict=True):
            if pair[measure][way].notna().all():
                values[claim] = pair[measure][way]
    if 4 in bits:
        values["R5"] = pair["loss"][WAYS[1]] - pair["loss"][WAYS[2]]
    path = paths[paths["setting"] == setting].set_index(["bits", "seed"])
    turned = path["band_pair_flip_rate"]
    limit = turned[path["weight"] == max(gap_weights)] > turned[path["chosen"]]
    if {3, 4} <= set(bits):
        values["R6"] = limit[3] & ~limit[4]
answers = [answer(values, setting) for setting, values in claimed.items()]
told.show_answers(pd.concat(answers))

# %% mystnb={"image": {"alt": "One row for each of the claims R1 to R4, for each family of networks at 4 bits: a dot for each seed, the interval judged by and mean, and the paper's value as a diamond."}} data=["rounded"] tags=["hide-input"]
for setting in families[:1] if 4 in bits else []:
    shown = {c: v for c, v in claimed[setting].items() if c not in ("R5", "R6")}
    _ = charts.against_paper(shown).suptitle(setting)

# %% [markdown]
# ## Why we differ
