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
#     requires: [mnist, fashion-mnist, cifar10]
#     minutes: 3
#     threads: 2
# ---

# %% [markdown]
# # Does calibration predict the held-out boundary?
#
# The boundary-aware rule reads the Jaccard distance $J$ on calibration data and trusts it elsewhere. The paper
# {cite}`kiselev2026` reports a correlation of 0.947 to 0.994 between $J$ on calibration data and on held-out
# data, over PTQ-W and variants of optimized rounding. This chapter measures that correlation, claim P1, and
# asks what the abstract leaves out: what is left of it once the bit width is known.
#
# ## The question behind the number
#
# From 8 bits down to 3 everything gets worse: $J$ rises on any data. So over several bit widths *any* measure
# that rises with the step of the quantizer correlates with the held-out $J$, even the bit width
# itself, which knows nothing of the network. A correlation over all levels is then no evidence that
# calibration data tell two candidates apart. Four readings, each stricter than the one before:
#
# Over all levels
# : all bit widths and roundings of all networks of a family, as the paper's figure presumably does.
#
# Within a bit width
# : only candidates of equal bits. They differ by rounding and by network, and each network has slices of its own.
#
# Between roundings
# : only candidates of one network at equal bits, which is the choice that one has in practice. The mean over the
#   roundings is taken off, for each network and bit width and on both sides, before correlating.
#
# Between optimized ones
# : the same without rounding to nearest, which anyone can tell from the others.
#
# ## Correlation and its interval
#
# With $x_i$ a measure of candidate $i$ on calibration data and $y_i$ its $J$ on held-out data, Pearson's correlation is
#
# $$ r = \frac{\sum_i (x_i - \bar x)(y_i - \bar y)}{\sqrt{\sum_i (x_i - \bar x)^2 \, \sum_i (y_i - \bar y)^2}}, $$
#
# and Spearman's $\rho$ {cite}`spearman1904` is the $r$ of the ranks: 1 for every rising curve, straight or not.
#
# The candidates of one network share its training, its data and its slices, so they are not independent, and an
# interval that counts each would be far too narrow. The bootstrap {cite}`efron1979` resamples whole networks
# {cite}`field2007`: with $S$ seeds, each of $B$ resamples draws $S$ of them with replacement, with all their
# candidates, and has its own $r^*$. The interval goes from the 5th to the 95th percentile of the $r^*$. Where seeds
# are few it is too narrow; three, as on CIFAR-10, are very few.

# %% tags=["parameters"]
datasets: list[str] = ["digits", "mnist", "fashion-mnist", "cifar10"]  # data sets
dataset: str = ""  # one of them alone; where it is empty, all of datasets
seeds_digits: int = 20  # seeds on digits; each draws split and initialization [1..]
seeds: int = 5  # seeds on MNIST and Fashion-MNIST [1..]
seeds_cifar: int = 3  # seeds on CIFAR-10, at most 3; each has its shipped network
bits: list[int] = [8, 6, 5, 4, 3]  # bit widths [2..16, distinct, not empty]
train: int = 15000  # training images on MNIST and Fashion-MNIST
calibration: int = 2000  # calibration images there; CIFAR-10 has those kept for it
test: int = 2000  # test images, but for digits
rounding: int = 1000  # calibration images that rounding is optimized on, at most
rounding_cifar: int = 500  # the same on CIFAR-10, where an image has many patches
steps: int = 20  # steps of the search for each layer [1..]
points: int = 300  # points of the boundary metric [1..100000]
n: int = 241  # cells a side of the label maps [2..8192]
n_cifar: int = 41  # the same on CIFAR-10 [2..8192]
planes: int = 3  # planes through three images of each set on CIFAR-10 [1..]
epochs_digits: int = 200  # passes over the training images: network on digits [1..]
epochs: int = 15  # the same on MNIST and Fashion-MNIST [1..]
resamples: int = 1000  # resamples of the bootstrap [1..]
jobs: int = 2  # networks at the same time; results do not depend on it [1..64]

# %% tags=["hide-input"]
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from IPython.display import Markdown, display
from sklearn.utils.parallel import Parallel, delayed

from baq import compare, ptq_w, slices
from baq.report import charts, style, tables
from baq.report.claims import answer, paper_text
from baq.report.stats import correlation, paired_difference
from baq.rounding import Calibration, adaround, boundary_metric
from baq.slices import random_planes
from baq.zoo import checkpoints, data, models, training

style.use_style()
datasets = [dataset] if dataset else datasets
FAMILIES = {
    "digits": ("digits, MLP", seeds_digits),
    "mnist": ("mnist, MLP", seeds),
    "fashion-mnist": ("fashion-mnist, MLP", seeds),
    "cifar10": ("cifar10, CNN", seeds_cifar),
}
# By name: how to round a network to some bits with what calibration images say about it.
ROUNDINGS = {
    "nearest, per tensor": lambda f, b, known: ptq_w(f, b),
    "nearest, per channel": lambda f, b, known: ptq_w(f, b, per_channel=True),
    "AdaRound": lambda f, b, known: adaround(f, b, known, steps=steps),
    "AdaRound, propagated": lambda f, b, known: adaround(
        f, b, known, steps=steps, propagate=True
    ),
    "boundary metric": lambda f, b, known: boundary_metric(
        f, b, known, exact=(0.0,), steps=steps, points=points
    ),
}

# %% [markdown]
# ## The run
#
# Networks are those of [Calibration-to-test stopping](04-stopping) with one hidden layer, on MNIST {cite}`lecun1998` and
# Fashion-MNIST {cite}`xiao2017` trained on fewer images; and the shipped convolutional networks of
# [Full CIFAR-10](06-cifar-full) {cite}`krizhevsky2009`. Each is rounded in five ways at each bit width: to nearest with one
# scale for each tensor or each channel, by AdaRound {cite}`nagel2020` without and with the errors of the layers
# before, and by the boundary metric's Kronecker shape. The optimized ones are described in
# [Rounding with a boundary in view](07-rounding); here they take fewer images and steps, since the question is
# how their $J$ carries over and not how low it gets.
#
# Slices are the PCA planes of the calibration and of the test images. On CIFAR-10 they are planes through three
# images {cite}`somepalli2022` of three classes, with $J$ the mean over them. No test image enters a rounding or a
# calibration slice. The images that rounding was optimized on are among the calibration images; what that
# does to their $J$ is shown [below](calibration-optimism).


# %% tags=["hide-input"]
def network(dataset, seed):
    """The splits of a seed, and its float network."""
    if dataset == "digits":
        split = data.load(dataset, seed, calibration=0.2, test=0.2)
        drawn, recipe = (
            models.mlp(64, 10, 64, "tanh", seed),
            {"epochs": epochs_digits},
        )
    else:
        if dataset == "cifar10":
            kept = {"calibration": checkpoints.CALIBRATION, "test": test}
            return data.load(dataset, seed, **kept), checkpoints.load("cnn", seed)
        split = data.load(
            dataset, seed, train=train, calibration=calibration, test=test
        )
        drawn = models.mlp(784, 10, 256, "relu", seed)
        recipe = {
            "epochs": epochs,
            "learning_rate": 3e-3,
            "batch_size": 256,
            "decay": True,
        }
    return split, training.fit(
        drawn, split.x_train, split.y_train, seed=seed, **recipe
    )


def measured(dataset, seed):
    """Every rounding of one network at every bit width, on calibration and on test data."""
    torch.set_num_threads(1)
    natural = dataset == "cifar10"
    split, reference = network(dataset, seed)
    parts = {
        "calibration": (split.x_calibration, split.y_calibration),
        "test": (split.x_test, split.y_test),
    }
    used = parts["calibration"][0][: rounding_cifar if natural else rounding]
    known = Calibration(reference, used)
    candidates = {
        (name, b): rounded(reference, b, known)
        for name, rounded in ROUNDINGS.items()
        for b in bits
    }
    rows = pd.concat(
        compare(
            reference,
            candidates,
            x,
            y,
            planes=random_planes(x, y, planes, seed)
            if natural
            else slices.pca_plane(x),
            n=n_cifar if natural else n,
            way="adaptive" if natural else "auto",
            gradients=False,
            batch_size=100 if natural else 1024,
        ).assign(part=part)
        for part, (x, y) in parts.items()
    )
    rows["rounding"], rows["bits"] = zip(*rows.pop("candidate"), strict=True)
    return rows.assign(dataset=dataset, family=FAMILIES[dataset][0], seed=seed)


# The longest first, so that no processor waits at the end.
tasks = [(name, seed) for name in datasets for seed in range(FAMILIES[name][1])]
found = Parallel(n_jobs=jobs)(delayed(measured)(*task) for task in reversed(tasks))
levels = pd.concat(found[::-1], ignore_index=True)
tables.save(levels, "levels")

# %% [markdown]
# ## Calibration beside held-out

# %% mystnb={"image": {"alt": "A panel for each data set with its network: J on held-out data against J on calibration data, a mark for each network, bit width and rounding, shaded by bit width, with a shape for each rounding, and the line of equal values."}} data=["pairs"] tags=["hide-input"]
KEYS = ["family", "dataset", "seed", "rounding", "bits"]
PREDICTORS = {
    "jaccard": "J",
    "flip_rate": "flip rate",
    "band_pair_flip_rate": "pair-order flips in the band",
    "mean_displacement": "mean displacement",
}
on_calibration, on_test = (
    levels[levels["part"] == part] for part in ("calibration", "test")
)
pairs = on_calibration[[*KEYS, *PREDICTORS]].merge(
    on_test[[*KEYS, "jaccard"]].rename(columns={"jaccard": "held_out"}), on=KEYS
)
pairs["fewness"] = -pairs["bits"]
tables.save(pairs, "pairs")
families = list(pairs["family"].unique())
shades = dict(
    zip(sorted(bits), plt.cm.cividis(np.linspace(0, 0.9, len(bits))), strict=True)
)


def panels():
    """A figure with a panel for each family, and its axes by family."""
    rows = -(-len(families) // 2)
    fig, axes = plt.subplots(
        rows, 2, figsize=(style.WIDTH, 2.9 * rows), squeeze=False
    )
    for ax in axes.flat[len(families) :]:
        ax.set_axis_off()
    return fig, dict(zip(families, axes.flat, strict=False))


fig, axes = panels()
for family, ax in axes.items():
    ax.axline((0, 0), slope=1, color="black", lw=1, ls=":", zorder=0)
    for (name, b), rows in pairs[pairs["family"] == family].groupby(
        ["rounding", "bits"]
    ):
        ax.plot(
            rows["jaccard"],
            rows["held_out"],
            style.MARKERS[list(ROUNDINGS).index(name)],
            ms=4,
            mew=0,
            color=shades[b],
        )
    ax.set(title=family, xlabel="J, calibration", ylabel="J, held-out")
handles = [
    plt.Line2D([], [], ls="none", marker=marker, color="black", label=name)
    for marker, name in zip(style.MARKERS, ROUNDINGS, strict=False)
]
handles += [
    plt.Line2D([], [], ls="none", marker="o", color=shades[b], label=f"{b} bits")
    for b in sorted(bits, reverse=True)
]
legend = fig.legend(handles=handles, loc="outside lower center", ncols=3)
# %% tags=["hide-input"]
display(Markdown(tables.audit_text(levels["error_bound"])))

# %% [markdown]
# ## How strongly they go together
#
# The four readings of the correlation of $J$ with $J$, with 90 % intervals. The shaded stripe is what the paper reports.

# %% mystnb={"image": {"alt": "Pearson's r of calibration J and held-out J with 90 percent intervals, a shape for each data set: over all levels, within each bit width, and between all and between optimized roundings of one network at one bit width. The paper's range is a stripe near 1."}} data=["correlations"] tags=["hide-input"]
EVERY, BETWEEN, OPTIMIZED = (
    "all levels",
    "between roundings",
    "between optimized ones",
)


def related(family, measure, scope):
    """Both correlations of a calibration measure with the held-out J, and their intervals."""
    rows = pairs[pairs["family"] == family]
    if scope in bits:
        rows = rows[rows["bits"] == scope]
    if scope == OPTIMIZED:
        rows = rows[~rows["rounding"].str.startswith("nearest")]
    within = rows["seed"].astype(str) + "/" + rows["bits"].astype(str)
    found = {"family": family, "measure": measure, "scope": scope}
    for name, ranks in (("r", False), ("rho", True)):
        one = correlation(
            rows[measure],
            rows["held_out"],
            rows["seed"],
            within=within if scope in (BETWEEN, OPTIMIZED) else None,
            ranks=ranks,
            resamples=resamples,
        )
        found |= {name: one["r"], f"{name}_lo": one["lo"], f"{name}_hi": one["hi"]}
    return found | {"networks": one["n"]}


scopes = [EVERY, *bits, BETWEEN, OPTIMIZED]
asked = [
    (family, measure, scope)
    for family in families
    for measure in (*PREDICTORS, "fewness")
    for scope in (scopes if measure == "jaccard" else (EVERY, BETWEEN, OPTIMIZED))
    # The bit width is the same for all roundings that are compared there.
    if measure != "fewness" or scope == EVERY
]
correlations = pd.DataFrame(
    Parallel(n_jobs=jobs)(delayed(related)(*one) for one in asked)
)
tables.save(correlations, "correlations")
of_j = correlations[correlations["measure"] == "jaccard"]
low, high = (float(end) for end in paper_text("P1").split(" to "))


def dodged(ax, rows, column, places, value):
    """A mark with its interval for each family, side by side at each place along an axis."""
    for k, family in enumerate(families):
        own = rows[rows["family"] == family]
        at = np.array([places.index(place) for place in own[column]])
        at = at + (k - (len(families) - 1) / 2) * 0.16
        ax.vlines(at, own[f"{value}_lo"], own[f"{value}_hi"], color=f"C{k}", lw=2)
        ax.plot(at, own[value], style.MARKERS[k], ms=6, color=f"C{k}", label=family)


fig, ax = plt.subplots(figsize=(style.WIDTH, 4))
ax.axhspan(low, high, color="black", alpha=0.2, lw=0, label="paper, P1")
ax.axhline(0, color="black", lw=1, ls=":", zorder=0)
dodged(ax, of_j, "scope", scopes, "r")
ax.set_xticks(
    range(len(scopes)),
    [
        "all\nlevels",
        *(f"{b} bits" for b in bits),
        "between\nroundings",
        "between\noptimized",
    ],
)
ax.set_ylabel("r of calibration J and held-out J")
legend = fig.legend(loc="outside lower center", ncols=3)


# %% tags=["hide-input"]
def cell(value, lo, hi):
    """A correlation with its interval, or a dash where there is none."""
    return f"{value:.3f} [{lo:.3f}, {hi:.3f}]" if np.isfinite(value) else "–"


def cells(rows, value):
    """The correlations of some rows as text."""
    return [
        cell(*one) for one in rows[[value, f"{value}_lo", f"{value}_hi"]].values
    ]


shown = of_j[["family", "networks"]].assign(
    scope=[f"{s} bits" if s in bits else s for s in of_j["scope"]],
    r=cells(of_j, "r"),
    rho=cells(of_j, "rho"),
)
tables.show(
    shown.rename(columns={"r": "r, Pearson", "rho": "ρ, Spearman"}),
    "correlations-shown",
)
# %% tags=["hide-input"]
single = of_j[of_j["scope"].isin(bits)]
holds_zero = int(((single["r_lo"] <= 0) & (single["r_hi"] >= 0)).sum())
below = int((single["r_hi"] < low).sum())
display(
    Markdown(
        f"Of the {len(single)} pairs of family and bit width, the interval holds 0 in **{holds_zero}**, and lies "
        f"below the paper's {low} in **{below}**."
    )
)

# %% [markdown]
# And over all bit widths, for each rounding alone:

# %% tags=["hide-input"]
by_rounding = pd.DataFrame(
    {"family": family, "rounding": name}
    | correlation(
        rows["jaccard"], rows["held_out"], rows["seed"], resamples=resamples
    )
    for (family, name), rows in pairs.groupby(["family", "rounding"], sort=False)
)
tables.save(by_rounding, "by-rounding")
by_rounding["cell"] = [cell(*one) for one in by_rounding[["r", "lo", "hi"]].values]
wide = by_rounding.pivot(index="rounding", columns="family", values="cell")
wide = wide.loc[list(ROUNDINGS), families].rename_axis(columns=None)
tables.show(wide.reset_index(), "by-rounding-shown")

# %% [markdown]
# ## What else predicts the held-out J
#
# The same correlations for cheaper measures of calibration data, against the same held-out $J$: the flip rate, which needs no
# slice; the pair-order flips in the boundary band; and the mean displacement on the calibration slice, which does not
# saturate as $J$ does where boundaries move by two cells. "Fewer bits" is the bit width with its sign
# turned: what one knows without any data. Spearman's $\rho$ is drawn, since no straight line is to be expected between different
# measures.

# %% mystnb={"image": {"alt": "Three panels, over all levels, between roundings and between optimized ones: Spearman's correlation of five calibration measures with the held-out J, with 90 percent intervals, a shape for each data set. Fewer bits appears over all levels only."}} data=["correlations"] tags=["hide-input"]
NAMES = PREDICTORS | {"fewness": "fewer bits"}
fig, axes = plt.subplots(3, 1, figsize=(style.WIDTH, 8), sharex=True)
for ax, scope in zip(axes, (EVERY, BETWEEN, OPTIMIZED), strict=True):
    ax.axhline(0, color="black", lw=1, ls=":", zorder=0)
    rows = correlations[correlations["scope"] == scope]
    dodged(ax, rows, "measure", list(NAMES), "rho")
    ax.set(title=scope, ylabel="ρ with the held-out J")
ticks = [
    "J",
    "flip rate",
    "pair-order flips\nin the band",
    "mean\ndisplacement",
    "fewer bits",
]
axes[-1].set_xticks(range(len(NAMES)), ticks)
legend = fig.legend(
    *axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2
)
# %% tags=["hide-input"]
both = correlations[correlations["scope"].isin([EVERY, BETWEEN, OPTIMIZED])]
shown = both[["family", "scope"]].assign(
    measure=both["measure"].map(NAMES), r=cells(both, "r"), rho=cells(both, "rho")
)
tables.show(
    shown.sort_values(["scope", "family"], kind="stable").rename(
        columns={"r": "r, Pearson", "rho": "ρ, Spearman"}
    ),
    "predictors",
)

# %% [markdown]
# (calibration-optimism)=
# ## Does rounding flatter its own calibration data?
#
# Optimized rounding saw the calibration images, nearest rounding only the weights. If it fitted them too well, its $J$ would be
# lower on the calibration slice than on the held-out one, by more than nearest rounding's; then $J$ would be no fair judge
# between the two. Shown is held-out less calibration $J$, less the same of nearest rounding per tensor on the same network: the
# mean over bits and seeds, with Student's 90 % interval over seeds. Above 0 a rounding flatters its calibration data. Nearest
# rounding per channel saw no image either, so its row shows what comes of other things.

# %% tags=["hide-input"]
base = "nearest, per tensor"
gaps = pairs.assign(gap=pairs["held_out"] - pairs["jaccard"])
gaps = gaps.pivot_table(
    index=["family", "seed"], columns="rounding", values="gap", aggfunc="mean"
)
optimism = pd.DataFrame(
    {"family": family, "rounding": name}
    | paired_difference(gaps.loc[family, base], gaps.loc[family, name])
    for name in ROUNDINGS
    if name != base
    for family in families
)
tables.save(optimism, "optimism")
optimism["cell"] = [
    f"{mean:+.4f} [{lo:+.4f}, {hi:+.4f}]"
    for mean, lo, hi in optimism[["difference", "lo", "hi"]].values
]
shown = optimism.pivot(index="rounding", columns="family", values="cell")
shown = shown.loc[list(ROUNDINGS)[1:], families].rename_axis(columns=None)
tables.show(shown.reset_index(), "optimism-shown")

# %% [markdown]
# ## Beside the paper
#
# One $r$ for each network, over its bit widths and roundings, which is the paper's figure for a single network. All networks stand for
# the claim, since the paper gives one range for all that it measured; digits have the most of them.

# %% mystnb={"image": {"alt": "One row for claim P1: a dot for each network, the 90 percent interval and median of r over all levels of a network, and the two ends of the paper's range as diamonds."}} data=["per-network"] tags=["hide-input"]
per_network = pd.DataFrame(
    {
        "family": family,
        "seed": seed,
        "r": rows["jaccard"].corr(rows["held_out"]),
        "between": (
            rows["jaccard"] - rows.groupby("bits")["jaccard"].transform("mean")
        ).corr(
            rows["held_out"] - rows.groupby("bits")["held_out"].transform("mean")
        ),
    }
    for (family, seed), rows in pairs.groupby(["family", "seed"], sort=False)
)
tables.save(per_network, "per-network")
fig = charts.against_paper({"P1": per_network["r"]})
# %% [markdown]
# The same for each family, and between the roundings of each network, where the paper gives no figure of its own:

# %% tags=["hide-input"]
answers = [answer({"P1": per_network["r"]}, "all networks")]
answers += [
    answer({"P1": rows["r"]}, family)
    for family, rows in per_network.groupby("family", sort=False)
]
answers.append(answer({"P1": per_network["between"]}, BETWEEN))
tables.show(pd.concat(answers), "claims")

# %% [markdown]
# ## What to take from it


# %% tags=["hide-input"]
def span(rows, value="r"):
    """The least and the largest of some correlations, as text."""
    return f"{rows[value].min():.3f} to {rows[value].max():.3f}"


def of(measure, scope):
    """The correlations of a measure in a scope, a row for each family."""
    return correlations[
        (correlations["measure"] == measure) & (correlations["scope"] == scope)
    ]


known = of("fewness", EVERY).set_index("family")
first = of("jaccard", EVERY).set_index("family")
gained = int((first["rho"] > known["rho"]).sum())
strict = of("jaccard", BETWEEN)
above = int((strict["r_lo"] > 0).sum())
best = (
    both[(both["scope"] == BETWEEN) & both["rho"].notna()]
    .sort_values("rho")
    .drop_duplicates("family", keep="last")
)
leaders = "; ".join(
    f"{NAMES[row.measure]} ({row.family}, ρ = {row.rho:.3f})"
    for row in best.sort_index().itertuples()
)
display(
    Markdown(
        f"* Over all levels *r* is {span(of('jaccard', EVERY))} for the families, beside the paper's "
        f"{paper_text('P1')}. The bit width alone has {span(of('fewness', EVERY))}; the "
        f"calibration *J* ranks the levels better than the bit width does in {gained} of {len(first)} families.\n"
        f"* Within a bit width *r* is {span(single)}.\n"
        f"* Between the roundings of one network at equal bits it is {span(strict)}, with an interval above 0 in "
        f"{above} of {len(strict)} families.\n"
        f"* Between the optimized ones alone it is {span(of('jaccard', OPTIMIZED))}, with an interval above 0 in "
        f"{int((of('jaccard', OPTIMIZED)['r_lo'] > 0).sum())} of {len(first)} families.\n"
        f"* Between roundings the held-out *J* is best ranked by: {leaders}."
    )
)
# %% [markdown]
# A correlation over bit widths is a statement on bit widths. Whoever uses calibration $J$ to stop at a bit width needs the first
# reading; whoever uses it to choose between two roundings needs the last two, and should look at them before trusting it.
