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
#     requires: [mnist, fashion-mnist]
#     minutes: 5
#     threads: 2
# ---

# %% [markdown]
# # Calibration-to-test stopping
#
# How few bits are few enough? The usual answer walks down the bit widths on calibration data for as long
# as accuracy holds. The paper {cite}`kiselev2026` asks for more: the boundary must hold too. This
# chapter picks bit widths by both rules on calibration data, measures the picks on held-out data, and
# answers claims S1 to S6 on digits, MNIST {cite}`lecun1998` and Fashion-MNIST {cite}`xiao2017`.
#
# ## The two rules
#
# A float network $f$ is quantized at 8, 7, ..., 2 bits (PTQ-W, one scale for each tensor). On the
# calibration set each level has an accuracy, a flip rate, and the boundary Jaccard distance $J$ on the
# PCA plane of the calibration points.
#
# Accuracy rule
# : the fewest bits whose accuracy is at most $\varepsilon$ below the float network's.
#
# Boundary-aware rule
# : the fewest bits that keep that condition, and a flip rate of at most $\tau_f$, and
#   $J \le \tau_J$.
#
# If no level keeps its conditions, a rule keeps the most bits and says that it was not satisfied. The
# picks are then measured on the test set, whose slice is the PCA plane of the *test* points: neither its
# points nor its plane were seen by the rules.
#
# ## The thresholds
#
# The abstract gives none, so these are ours. They were fixed before any pick was measured on test data,
# they are the same for all data sets and networks, and each has a reason that is no result:
#
# * $\varepsilon = 0.01$: a percentage point is what reports of quantized networks commonly let go.
# * $\tau_f = \varepsilon$: a network that changes a share $\tau_f$ of its labels cannot lose more accuracy
#   than that, so this asks of the labels what the accuracy rule asks of their number alone.
# * $\tau_J = 2/3$: a boundary that moves by $s$ cells of the grid has $J = 2s/(2+s)$ (see
#   [Slice geometry](02-slice-geometry)), which is 2/3 at one cell. The boundary may move by what the map can just show.
#
# What other thresholds would have picked is shown [below](stopping-thresholds), so that a reader can see
# how much hangs on them.

# %% tags=["parameters"]
datasets: list[str] = ["digits", "mnist", "fashion-mnist"]  # any of these three
dataset: str = ""  # one of them alone; where it is empty, all of datasets
seeds_digits: int = 20  # seeds on digits; each draws split and initialization [1..]
seeds: int = 5  # seeds on the other sets; each draws calibration images and more
bits: list[int] = [8, 7, 6, 5, 4, 3, 2]  # walked down [2..16, distinct, not empty]
eps: float = 0.01  # largest loss of calibration accuracy, for both rules [0..1]
tau_f: float = 0.01  # largest calibration flip rate, boundary-aware rule [0..1]
tau_j: float = 0.6667  # largest calibration J, boundary-aware rule: shift of a cell
eps_study: list[float] = [0.0025, 0.005, 0.01, 0.02, 0.04]  # eps in the study
tau_f_study: list[float] = [0.0025, 0.005, 0.01, 0.02, 0.04]  # tau_f in the study
tau_j_study: list[float] = [0.2, 0.4, 0.6667, 0.8, 0.9, 1.0]  # tau_j in the study
n: int = 241  # cells a side of the label maps [2..8192]
epochs_digits: int = 200  # passes over the training images: network on digits [1..]
epochs_mlp: int = 15  # the same: network with one hidden layer on the other sets
epochs_cnn: int = 5  # the same: convolutional network [1..]
jobs: int = 2  # networks at the same time; results do not depend on it [1..64]

# %% tags=["hide-input"]
import itertools

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
import torch
from IPython.display import Markdown, display
from sklearn.utils.parallel import Parallel, delayed

from baq import compare, ptq_w, slices
from baq.report import charts, style, tables
from baq.report.claims import answer, paper_value
from baq.report.stats import paired_difference
from baq.selection import accuracy_rule, boundary_aware_rule
from baq.zoo import data, models, training

style.use_style()
datasets = [dataset] if dataset else datasets

# %% [markdown]
# ## The run
#
# Digits are split 60/20/20 into train, calibration and test, with the network of the chapters before.
# For MNIST and Fashion-MNIST the test set is the official one, a tenth of the official training set is
# drawn for calibration, and two networks are trained: one hidden layer of 256 ReLU units (MLP), and three
# strided convolutions with batch norm {cite}`ioffe2015` (CNN). All are trained with Adam
# {cite}`kingma2015`, on these two sets with a step size that falls to 0. Widths and epochs were set so that the
# float networks reach a test accuracy that is usual for their kind, so their float accuracy is no unbiased
# estimate; nothing was set by a quantized network.

# %% tags=["hide-input"]
# By whether the set is digits, and by model: how to draw a network, and how to train it.
RECIPES = {
    (True, "MLP"): (
        lambda seed: models.mlp(64, 10, 64, "tanh", seed),
        {"epochs": epochs_digits},
    ),
    (False, "MLP"): (
        lambda seed: models.mlp(784, 10, 256, "relu", seed),
        {
            "epochs": epochs_mlp,
            "learning_rate": 3e-3,
            "batch_size": 256,
            "decay": True,
        },
    ),
    (False, "CNN"): (
        lambda seed: models.cnn(1, 10, 16, seed),
        {
            "epochs": epochs_cnn,
            "learning_rate": 1e-2,
            "batch_size": 256,
            "decay": True,
        },
    ),
}


def measured(dataset, model, seed, network):
    """Train a network and measure every level of it on calibration and on test data."""
    torch.set_num_threads(1)
    sizes = (
        {"calibration": 0.2, "test": 0.2}
        if dataset == "digits"
        else {"calibration": 0.1}
    )
    split = data.load(dataset, seed, **sizes)
    recipe = RECIPES[dataset == "digits", model][1]
    reference = training.fit(
        network, split.x_train, split.y_train, seed=seed, **recipe
    )
    candidates = {b: ptq_w(reference, b) for b in bits}
    parts = {
        "calibration": (split.x_calibration, split.y_calibration),
        "test": (split.x_test, split.y_test),
    }
    return pd.concat(
        compare(
            reference,
            candidates,
            x,
            y,
            planes=slices.pca_plane(x),
            n=n,
            gradients=False,
            way="adaptive" if model == "CNN" else "auto",
            batch_size=1024,
        ).assign(part=part, dataset=dataset, model=model, seed=seed)
        for part, (x, y) in parts.items()
    )


# Networks are drawn here, one after the other, since drawing uses a state that threads share.
tasks = [
    (dataset, model, seed, RECIPES[dataset == "digits", model][0](seed))
    for dataset in datasets
    for model in ("MLP", "CNN")
    for seed in range(seeds_digits if dataset == "digits" else seeds)
    if (dataset == "digits", model) in RECIPES
]
# The longest come last in the list, and go first, so that no processor waits at the end.
found = Parallel(n_jobs=jobs)(delayed(measured)(*task) for task in reversed(tasks))
levels = pd.concat(found[::-1])
levels["setting"] = levels["dataset"] + ", " + levels["model"]
NETWORK = ["setting", "dataset", "model", "seed"]
settings = list(levels["setting"].unique())
calibration, test = (
    levels[levels["part"] == part] for part in ("calibration", "test")
)
test = test.rename(columns={"candidate": "bits"})
test["accuracy_change"] = test["accuracy"] - test["accuracy_reference"]
tables.save(levels, "levels")

# %% [markdown]
# The float networks, on the test set:

# %% tags=["hide-input"]
floats = (
    test.groupby([*NETWORK, "points"], sort=False)["accuracy_reference"]
    .first()
    .reset_index()
)
floats = floats.groupby("setting", sort=False).agg(
    networks=("seed", "count"),
    images=("points", "first"),
    mean=("accuracy_reference", "mean"),
    least=("accuracy_reference", "min"),
    most=("accuracy_reference", "max"),
)
display(Markdown(tables.audit_text(levels["error_bound"])))
tables.show(floats.reset_index(), "float-accuracy")
# %% [markdown]
# ## What the rules see
#
# Calibration figures of every level, which is all that the rules are given; here as means over seeds.
# Dashed lines are the thresholds.

# %% mystnb={"image": {"alt": "Three panels over bit widths from 8 to 2, one line for each data set and network: loss of calibration accuracy, calibration flip rate and calibration Jaccard distance, each with its threshold as a dashed line. Accuracy holds longest; J crosses its threshold first."}} data=["levels"] tags=["hide-input"]
calibration = calibration.assign(
    loss=(calibration["accuracy_reference"] - calibration["accuracy"]).clip(lower=0)
)
fig, axes = plt.subplots(3, 1, figsize=(style.WIDTH, 7.5), sharex=True)
panels = {
    "loss": ("loss of accuracy", eps),
    "flip_rate": ("flip rate", tau_f),
    "jaccard": ("Jaccard distance J", tau_j),
}
for ax, (measure, (label, threshold)) in zip(axes, panels.items(), strict=True):
    for k, setting in enumerate(settings):
        rows = calibration[calibration["setting"] == setting].groupby("candidate")[
            measure
        ]
        ax.plot(
            -rows.mean().index.to_numpy(),
            rows.mean(),
            marker=style.MARKERS[k],
            ls=style.DASHES[k % 4],
            label=setting,
        )
    ax.axhline(threshold, color="black", ls="--", lw=1)
    ax.set_ylabel(label)
    if measure != "jaccard":
        ax.set_yscale("symlog", linthresh=1e-3)
        ax.set_ylim(0, 1)
    charts.bit_axis(ax, bits)
for ax in axes[:-1]:
    ax.set_xlabel("")
legend = fig.legend(
    *axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3
)
# %% [markdown]
# ## What they pick


# %% tags=["hide-input"]
RULES = {
    "accuracy": lambda rows: accuracy_rule(rows, eps),
    "boundary-aware": lambda rows: boundary_aware_rule(rows, eps, tau_f, tau_j),
}


def picked(rule):
    """The test figures of the level that a rule picks on calibration data, for every network."""
    picks = [
        dict(zip(NETWORK, key, strict=True))
        | {"bits": (pick := rule(rows)).bits, "satisfied": pick.satisfied}
        for key, rows in calibration.groupby(NETWORK, sort=False)
    ]
    return pd.DataFrame(picks).merge(test, on=[*NETWORK, "bits"])


picks = pd.concat(picked(rule).assign(rule=name) for name, rule in RULES.items())
tables.save(picks, "picks")
counted = (
    picks.groupby(["setting", "rule", "bits"], sort=False)
    .size()
    .unstack(fill_value=0)
)
counted = counted[sorted(counted.columns, reverse=True)].rename(
    columns="{} bits".format
)
counted["not satisfied"] = (
    (~picks["satisfied"]).groupby([picks["setting"], picks["rule"]]).sum()
)
tables.show(counted.rename_axis(columns=None).reset_index(), "picked-bits")
# %% tags=["hide-input"]
walks = pd.concat(
    picked(rule)
    for rule in (
        lambda rows: accuracy_rule(rows, eps, stop_early=True),
        lambda rows: boundary_aware_rule(rows, eps, tau_f, tau_j, stop_early=True),
    )
)
differ = int((walks["bits"].to_numpy() != picks["bits"].to_numpy()).sum())
display(
    Markdown(
        'One may also read "walk down" as stopping before the first level that fails, even if a lower '
        f"one would do. That reading picks another level in {differ} of {len(picks)} cases."
    )
)

# %% [markdown]
# ## What that means on held-out data
#
# From the accuracy rule's pick (hollow) to the boundary-aware rule's (filled), for the same network on
# the same test images. The last panel has the accuracy less that of the float network.

# %% mystnb={"image": {"alt": "Four panels, one row for each data set and network: held-out flip rate, flip rate in the boundary band, Jaccard distance and change of accuracy at the pick of the accuracy rule, as hollow dots, and of the boundary-aware rule, as filled dots, joined for each seed."}} data=["picks"] tags=["hide-input"]
MEASURES = {
    "flip_rate": "flip rate",
    "band_flip_rate": "flip rate in the band",
    "jaccard": "J on the test slice",
    "accuracy_change": "change of test accuracy",
}
wide = picks.pivot(index=NETWORK, columns="rule", values=[*MEASURES, "grid_change"])
fig, axes = plt.subplots(
    2, 2, figsize=(style.WIDTH, 1.6 + 0.8 * len(settings)), sharey=True
)
for ax, (measure, label) in zip(axes.flat, MEASURES.items(), strict=True):
    for k, setting in enumerate(settings):
        pairs = wide.loc[setting, measure]
        at = k + np.linspace(-0.3, 0.3, len(pairs))
        ends = pairs["accuracy"], pairs["boundary-aware"]
        ax.hlines(at, *ends, color=f"C{k}", lw=1)
        ax.plot(ends[0], at, "o", ms=4, color=f"C{k}", markerfacecolor="white")
        ax.plot(ends[1], at, "o", ms=4, color=f"C{k}")
    ax.set_xlabel(label)
    ax.set_yticks(range(len(settings)), settings)
axes[0, 0].invert_yaxis()
# %% [markdown]
# The paired differences, boundary-aware less accuracy rule, with Student's 90 % interval for the mean
# over seeds; the last column counts the seeds with a fall and with a rise. The seeds of MNIST and Fashion-MNIST share their test
# images, and those of digits overlap in theirs, so the intervals speak of other splits and
# initializations, not of other images.

# %% tags=["hide-input"]
differences = pd.DataFrame(
    {"setting": setting, "measure": measure}
    | paired_difference(*(wide.loc[setting, (measure, rule)] for rule in RULES))
    for setting in settings
    for measure in [*MEASURES, "grid_change"]
)
tables.save(differences, "differences")
shown = differences[["setting", "measure", "before", "after"]].assign(
    difference=[
        f"{row.difference:.4f} [{row.lo:.4f}, {row.hi:.4f}]"
        for row in differences.itertuples()
    ],
    seeds=[
        f"{row.fall}, {row.rise} of {row.n}" for row in differences.itertuples()
    ],
)
shown = shown.replace({"measure": MEASURES | {"grid_change": "grid change"}})
tables.show(shown.rename(columns={"seeds": "fall, rise"}), "differences-shown")
# %% [markdown]
# ## Beside the paper
#
# The paper's figures on digits must be means over splits, since its flip rates are no whole number of
# images in any one test split. Here every dot is a seed; the means over seeds stand below.

# %% mystnb={"image": {"alt": "One row for each of the claims S1 to S4 on digits: a dot for each seed, the 90 percent interval and median, and the paper's value as a diamond."}} data=["picks"] tags=["hide-input"]
numbers = {
    claim: wide.loc["digits, MLP", (measure, rule)]
    for claim, measure, rule in [
        ("S1", "flip_rate", "accuracy"),
        ("S2", "flip_rate", "boundary-aware"),
        ("S3", "jaccard", "accuracy"),
        ("S4", "jaccard", "boundary-aware"),
    ]
    if "digits" in datasets
}
if numbers:
    charts.against_paper(numbers)
# %% tags=["hide-input"]
if numbers:
    means_over_seeds = ", ".join(
        f"{values.mean():.4f} ({claim}, paper {paper_value(claim)})"
        for claim, values in numbers.items()
    )
    flips_by_eps = {
        e: picked(lambda rows, e=e: accuracy_rule(rows, e))
        .loc[lambda found: found["dataset"] == "digits", "flip_rate"]
        .mean()
        for e in sorted({eps, *eps_study})
    }
    nearest = min(
        flips_by_eps, key=lambda e: abs(flips_by_eps[e] - paper_value("S1"))
    )
    display(
        Markdown(
            f"Means over seeds: {means_over_seeds}. "
            "S1 and S3 hang on ε, which the abstract does not give. Of the values "
            f"studied below, {nearest} has the mean flip rate nearest to the paper's, "
            f"{flips_by_eps[nearest]:.4f} beside {paper_value('S1')}."
        )
    )
# %% [markdown]
# S5 and S6 say that held-out flips fall, so their rows have the paired differences of the seeds; the rows
# "less ..." have those of S1 to S4.

# %% tags=["hide-input"]
answers = [answer(numbers)]
for model in ("MLP", "CNN"):
    falls = {
        claim: wide.loc[setting, ("flip_rate", "boundary-aware")]
        - wide.loc[setting, ("flip_rate", "accuracy")]
        for claim, setting in (
            ("S5", f"mnist, {model}"),
            ("S6", f"fashion-mnist, {model}"),
        )
        if setting in settings
    }
    answers.append(answer(falls, model))
tables.show(pd.concat(answers), "claims")
# %% [markdown]
# (stopping-thresholds)=
# ## Other thresholds
#
# Both rules again, over a grid of $\varepsilon$, $\tau_f$ and $\tau_J$ that holds the chapter's own. First the accuracy rule alone: means
# over seeds at its pick, on test data.

# %% tags=["hide-input"]
STUDIED = ["bits", "satisfied", "flip_rate", "jaccard", "accuracy"]


def means(rule, **thresholds):
    """Means over seeds of the test figures at a rule's pick, a row for each setting."""
    rows = picked(rule).groupby("setting", sort=False)[STUDIED].mean().reset_index()
    return rows.assign(**thresholds)


grid = [
    sorted({own, *others})
    for own, others in (
        (eps, eps_study),
        (tau_f, tau_f_study),
        (tau_j, tau_j_study),
    )
]
alone = pd.concat(
    means(lambda rows, e=e: accuracy_rule(rows, e), eps=e) for e in grid[0]
)
study = pd.concat(
    means(
        lambda rows, t=t: boundary_aware_rule(rows, *t),
        eps=t[0],
        tau_f=t[1],
        tau_j=t[2],
    )
    for t in itertools.product(*grid)
)
tables.save(study, "thresholds")
tables.show(
    alone.sort_values(
        ["setting", "eps"],
        key=lambda column: column.map(
            {setting: k for k, setting in enumerate(settings)}.get
            if column.name == "setting"
            else float
        ),
    )[["setting", "eps", *STUDIED]],
    "accuracy-rule",
)
# %% [markdown]
# Now the boundary-aware rule at the chapter's $\varepsilon$. A cell is a pair $(\tau_f, \tau_J)$; it shows the mean
# bits picked, and its shade the mean held-out flip rate. The frame marks the thresholds of this chapter.

# %% mystnb={"image": {"alt": "A heat map for each data set and network over tau_f and tau_J. Mean bits fall and held-out flips rise from tight thresholds in one corner to loose ones in the opposite corner; the thresholds of the chapter are framed."}} data=["thresholds"] tags=["hide-input"]
fig, axes = plt.subplots(
    -(-len(settings) // 2),
    2,
    figsize=(style.WIDTH, 2.5 * -(-len(settings) // 2)),
    squeeze=False,
)
for ax in axes.flat[len(settings) :]:
    ax.set_axis_off()
top = 100 * study["flip_rate"].max()
for ax, setting in zip(axes.flat, settings, strict=False):
    rows = study[(study["setting"] == setting) & (study["eps"] == eps)]
    bits_of, flips_of = (
        rows.pivot(index="tau_f", columns="tau_j", values=value)
        for value in ("bits", "flip_rate")
    )
    sns.heatmap(
        100 * flips_of,
        annot=bits_of,
        fmt=".1f",
        annot_kws={"fontsize": 8},
        cmap="Blues",
        vmin=0,
        vmax=top,
        cbar=ax is axes.flat[len(settings) - 1],
        cbar_kws={"label": "held-out flips, %"},
        ax=ax,
    )
    corner = flips_of.columns.get_loc(tau_j), flips_of.index.get_loc(tau_f)
    ax.add_patch(plt.Rectangle(corner, 1, 1, fill=False, ec="black", lw=2))
    ax.set(title=setting, xlabel=r"$\tau_J$", ylabel=r"$\tau_f$")
    ax.tick_params(axis="y", rotation=0)
    ax.tick_params(axis="x", rotation=45)
# %% tags=["hide-input"]
against = study.merge(alone, on=["setting", "eps"], suffixes=("", "_alone"))
change = np.sign(against["flip_rate"] - against["flip_rate_alone"])
verdict = pd.DataFrame(
    {
        "setting": against["setting"],
        "fewer flips": change < 0,
        "equal": change == 0,
        "more flips": change > 0,
        "all satisfied": against["satisfied"] == 1,
    }
)
verdict = verdict.groupby("setting", sort=False).mean()
display(
    Markdown(
        f"Of the {np.prod([len(values) for values in grid])} triples of thresholds, the "
        "share with fewer, equal and more held-out flips (means over seeds) than the accuracy rule "
        "at the same ε, and the share at which every seed's pick kept the thresholds:"
    )
)
tables.show(verdict.reset_index(), "thresholds-verdict", precision=2)
# %% tags=["hide-input"]
full = picked(RULES["boundary-aware"])
dropped = {
    "flip rate": picked(lambda rows: boundary_aware_rule(rows, eps, np.inf, tau_j)),
    "J": picked(lambda rows: boundary_aware_rule(rows, eps, tau_f, np.inf)),
}
same = {
    name: int((found["bits"].to_numpy() == full["bits"].to_numpy()).sum())
    for name, found in dropped.items()
}
display(
    Markdown(
        "Which of the two added conditions decides? Without the one on the flip rate "
        f"the pick stays the same for {same['flip rate']} of {len(full)} networks, "
        f"without the one on *J* for {same['J']}."
    )
)
# %% [markdown]
# ## What it costs
#
# The boundary-aware rule buys agreement with bits. For every triple of thresholds with the chapter's
# $\varepsilon$: how many bits it keeps beyond the accuracy rule, and the share of the accuracy rule's held-out
# flips that this avoids. Lines join the best triples of each setting; large marks are the chapter's own.

# %% mystnb={"image": {"alt": "Share of held-out flips avoided against extra bits kept, a line for each data set and network. The lines rise steeply over the first extra bits and level off towards 1; the chapter's own thresholds are marked."}} data=["frontier"] tags=["hide-input"]
base = (
    picks[picks["rule"] == "accuracy"]
    .groupby("setting", sort=False)[["bits", "flip_rate"]]
    .mean()
)
own = means(RULES["boundary-aware"], kind="own")
others = study[study["eps"] == eps].assign(kind="study")
frontier = pd.concat([own, others]).merge(base.add_suffix("_base"), on="setting")
frontier["extra_bits"] = frontier["bits"] - frontier["bits_base"]
frontier["flips_avoided"] = 1 - frontier["flip_rate"] / frontier["flip_rate_base"]
tables.save(frontier, "frontier")
fig, ax = plt.subplots(figsize=(style.WIDTH, 4))
for k, setting in enumerate(settings):
    rows = frontier[frontier["setting"] == setting].sort_values(
        ["extra_bits", "flips_avoided"]
    )
    best = rows.groupby("extra_bits")["flips_avoided"].max().cummax()
    style = {"marker": style.MARKERS[k], "color": f"C{k}"}
    ax.plot(best.index, best, ls=style.DASHES[k % 4], label=setting, ms=4, **style)
    mark = rows[rows["kind"] == "own"]
    ax.plot(
        mark["extra_bits"],
        mark["flips_avoided"],
        ms=11,
        mec="black",
        ls="none",
        **style,
    )
ax.set(
    xlabel="bits kept beyond the accuracy rule, mean over seeds",
    ylabel="share of held-out flips avoided",
)
legend = ax.legend()
# %% tags=["hide-input"]
tables.show(
    frontier.loc[
        frontier["kind"] == "own",
        [
            "setting",
            "bits_base",
            "bits",
            "extra_bits",
            "flip_rate_base",
            "flip_rate",
            "flips_avoided",
        ],
    ],
    "cost",
)
# %% [markdown]
# ## What to take from it
#
# The accuracy rule goes down to where labels already change, gains and losses cancelling in the count. The
# boundary-aware rule stops earlier and keeps the labels, on images and on a slice that it has not seen; so
# what it reads on calibration data carries over. Its price is bits, and the first extra bit avoids the
# most.
#
# Two cautions. $\tau_J$ is a distance in cells of the grid, so it means another distance in input units on
# another grid or data set (see [Slice geometry](02-slice-geometry)). And where even the most bits miss it,
# the rule can only say so: more bits than those offered would be needed.
