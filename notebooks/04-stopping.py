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
#     requires: [digits, mnist, fashion-mnist]
#     minutes: 0.6
#     threads: 2
# ---

# %% [markdown]
# # Calibration-to-test stopping
#
# How few bits are few enough? The usual answer walks down the bit widths on calibration data for as long as accuracy holds. The paper
# {cite}`kiselev2026` asks for more: the boundary must hold too. This chapter picks bit widths by both rules on calibration data, measures
# the picks on held-out data, and answers claims S1 to S6 on digits, MNIST {cite}`lecun1998` and Fashion-MNIST {cite}`xiao2017`.
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
# they are the same for all data sets and networks, and each has a reason other than a result:
#
# * $\varepsilon = 0.01$: a percentage point is a loss that reports of quantized networks commonly accept.
# * $\tau_f = \varepsilon$: a network that changes a share $\tau_f$ of its labels cannot lose more accuracy
#   than that, so this asks of the labels what the accuracy rule asks of their number alone.
# * $\tau_J = 2/3$: a boundary that moves by $s$ cells of the grid has $J = 2s/(2+s)$ (see
#   [Slice geometry](02-slice-geometry)), which is 2/3 at one cell. The boundary may move by what the map can just show.
#
# What other thresholds would have picked is shown [below](stopping-thresholds), so that a reader can see
# how much depends on them.

# %% tags=["parameters"]
datasets: list[str] = ["digits", "mnist", "fashion-mnist"]  # data sets [some]
dataset: str = ""  # one alone ['' | digits | mnist | fashion-mnist]
seeds_digits: int = 20  # on digits; each draws split and initialization [1..1000]
seeds: int = 5  # on the others; each draws calibration images and more [1..1000]
bits: list[int] = [8, 7, 6, 5, 4, 3, 2]  # walked down [2..16]
eps: float = 0.01  # largest loss of calibration accuracy, for both rules [0..1]
tau_f: float = 0.01  # largest calibration flip rate, boundary-aware rule [0..1]
tau_j: float = 0.6667  # largest calibration J: shift of a cell [0..1]
eps_study: list[float] = [0.0025, 0.005, 0.01, 0.02, 0.04]  # studied eps [0..1]
tau_f_study: list[float] = [0.0025, 0.005, 0.01, 0.02, 0.04]  # studied tau_f [0..1]
tau_j_study: list[float] = [0.2, 0.4, 0.6667, 0.8, 0.9, 1.0]  # studied tau_j [0..1]
n: int = 241  # cells a side of the label maps [2..8192]
epochs_digits: int = 200  # passes over the training images: digits [1..10000]
epochs_mlp: int = 15  # the same: one hidden layer on the other sets [1..10000]
epochs_cnn: int = 5  # the same: convolutional network [1..10000]
anew: bool = False  # train the networks of these sets anew, though they ship
jobs: int = 2  # networks at the same time; results do not depend on it [1..64]

# %% tags=["remove-input"]
from functools import partial
from itertools import product

import numpy as np
import pandas as pd
from IPython.display import Markdown, display

from baq import compare, ptq_w, slices
from baq.report import charts, style, tables
from baq.report.answers import list_experiments, retried, show_answers
from baq.report.boxes import opening
from baq.report.claims import answer, paper_value
from baq.report.runs import run_all
from baq.report.stats import paired_differences
from baq.selection import accuracy_rule, boundary_aware_rule, pick_counts, picked
from baq.zoo.recipes import digits_network, network_on

style.use_style()
datasets = [dataset] if dataset else datasets

# %% [markdown]
# ## The run
#
# Digits are split 60/20/20 into train, calibration and test, with the network of the chapters before.
# For MNIST and Fashion-MNIST the test set is the official one, a tenth of the official training set is
# drawn for calibration, and there are two networks, which ship with this book: one hidden layer of 256 ReLU units
# (MLP), and three strided convolutions with batch norm {cite}`ioffe2015` (CNN). All are trained with Adam
# {cite}`kingma2015`, on these two sets with a step size that falls to 0. Widths and epochs were set for a usual float
# accuracy, which is so no unbiased estimate; nothing was set by a quantized network.


# %% mystnb={"code_prompt_show": "Show how one network is measured"} tags=["hide-input"]
def measured(dataset, family, seed):
    """Measure every level of a network on calibration and on test data."""
    if dataset == "digits":
        given = {"epochs": epochs_digits, "calibration": 0.2, "test": 0.2}
    else:
        epochs = {"MLP": epochs_mlp, "CNN": epochs_cnn}[family]
        given = {"epochs": epochs, "anew": anew}
    reference, split = network_on(dataset, seed, family.lower(), **given)
    candidates = {b: ptq_w(reference, b) for b in bits}
    parts = {
        "calibration": (split.x_calibration, split.y_calibration),
        "test": (split.x_test, split.y_test),
    }
    way = "adaptive" if family == "CNN" else "auto"
    options = {"n": n, "way": way, "gradients": False, "batch_size": 1024}
    rows = []
    for part, (x, y) in parts.items():
        plane = slices.pca_plane(x)
        found = compare(reference, candidates, x, y, planes=plane, **options)
        rows.append(found.assign(part=part))
    return pd.concat(rows).assign(dataset=dataset, model=family, seed=seed)


tasks = []
for dataset in datasets:
    digits = dataset == "digits"
    families = ["MLP"] if digits else ["MLP", "CNN"]
    tasks += product([dataset], families, range(seeds_digits if digits else seeds))
levels = pd.concat(run_all(measured, tasks, jobs=jobs, label="networks"))
levels["setting"] = levels["dataset"] + ", " + levels["model"]
NETWORK = ["setting", "dataset", "model", "seed"]
settings = list(levels["setting"].unique())
parts = levels.groupby("part")
calibration, test = map(parts.get_group, ("calibration", "test"))
test = test.rename(columns={"candidate": "bits"})
test["accuracy_change"] = test["accuracy"] - test["accuracy_reference"]
tables.save(levels, "levels")

# %% [markdown]
# One network by hand, on digits: what its levels show on calibration data, and what the two rules pick.

# %% caption="One network on digits by bit width, on calibration images."
network, split = digits_network(0, calibration=0.2, test=0.2, epochs=epochs_digits)
x, y = split.x_calibration, split.y_calibration
candidates, plane = {b: ptq_w(network, b) for b in bits}, slices.pca_plane(x)
one = compare(network, candidates, x, y, planes=plane, n=n, gradients=False)
one["bits"] = one["candidate"]
display(tables.styled(one[["bits", "accuracy", "flip_rate", "jaccard"]], "by-hand"))
accuracy_rule(one, eps), boundary_aware_rule(one, eps, tau_f, tau_j)

# %% tags=["remove-input"]
floats = test.drop_duplicates(NETWORK).groupby("setting", sort=False)
floats = floats["accuracy_reference"].agg(["count", "mean", "min", "max"])
tables.save(floats.reset_index(), "float-accuracy")
text = "; ".join(
    f"{m.mean:.3f} ({m.Index}, {m.count} networks)" for m in floats.itertuples()
)
Markdown(
    f"Mean test accuracy of the float networks: {text}. {tables.audit_text(levels['error_bound'])}"
)

# %% [markdown]
# ## What the rules see
#
# Calibration measures of every level, which is all that the rules are given; here as means over seeds.
# Dashed lines are the thresholds.

# %% mystnb={"image": {"alt": "Three panels over bit widths from 8 to 2, one line for each data set and network: loss of calibration accuracy, calibration flip rate and calibration Jaccard distance, each with its threshold as a dashed line. Accuracy holds longest; J crosses its threshold first."}} caption="What the rules see on calibration data, means over seeds; dashed: the thresholds." data=["levels"] tags=["remove-input"]
calibration = calibration.assign(
    loss=(calibration["accuracy_reference"] - calibration["accuracy"]).clip(lower=0)
)
panels = {
    "loss": ("loss of accuracy", eps),
    "flip_rate": ("flip rate", tau_f),
    "jaccard": ("Jaccard distance J", tau_j),
}
fig = charts.against_thresholds(calibration, panels)
# %% [markdown]
# ## What they pick

# %% caption="Networks for which a rule picks each bit width." tags=["remove-input"]
thresholds = {"eps": eps, "tau_f": tau_f, "tau_j": tau_j}
both = partial(boundary_aware_rule, **thresholds)
RULES = {"accuracy": partial(accuracy_rule, eps=eps), "boundary-aware": both}
pick = partial(picked, calibration, test, by=NETWORK)
picks = pd.concat(pick(rule).assign(rule=name) for name, rule in RULES.items())
tables.save(picks, "picks")
tables.styled(pick_counts(picks, ["setting", "rule"]), "picked-bits")
# %% tags=["remove-input"]
walks = pd.concat(pick(partial(rule, stop_early=True)) for rule in RULES.values())
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

# %% mystnb={"image": {"alt": "Four panels, one row for each data set and network: held-out flip rate, flip rate in the boundary band, Jaccard distance and change of accuracy at the pick of the accuracy rule, as hollow dots, and of the boundary-aware rule, as filled dots, joined for each seed."}} caption="Held-out measures at the picks of the accuracy rule (hollow) and of the boundary-aware rule (filled)." data=["picks"] tags=["remove-input"]
MEASURES = {
    "flip_rate": "flip rate",
    "band_flip_rate": "flip rate in the band",
    "jaccard": "J on the test slice",
    "accuracy_change": "change of test accuracy",
}
NAMES = MEASURES | {"grid_change": "grid change"}
wide = picks.pivot(index=NETWORK, columns="rule", values=list(NAMES)).loc[settings]
fig = charts.paired_dots(wide, MEASURES, tuple(RULES))
# %% [markdown]
# The seeds of MNIST and Fashion-MNIST share their test images, and those of digits overlap in theirs, so what
# follows speaks of other splits and initializations, not of other images.

# %% caption="Held-out measures, boundary-aware rule less accuracy rule: mean and 90 % interval." tags=["remove-input"]
before, after = RULES
how = {"by": ["setting"], "pair": ["seed"], "variant": "rule"}
rows = wide.stack("rule", future_stack=True).reset_index()
differences = paired_differences(
    rows, list(NAMES), of=[after], against=[before], **how
)
tables.save(differences, "differences")
of_flips = differences[differences["measure"] == "flip_rate"]
Markdown(
    "Held-out flips, boundary-aware less accuracy rule, in the mean over seeds with Student's 90 % interval: "
    + "; ".join(
        f"{tables.interval_text(d.difference, d.lo, d.hi, signed=True)} ({d.setting})"
        for d in of_flips.itertuples()
    )
    + "."
)

# %% [markdown]
# ## Beside the paper
#
# The paper's values on digits must be means over splits, since its flip rates are not a whole number of images
# in a single test split of a usual size.

# %% mystnb={"image": {"alt": "One row for each of the claims S1 to S4 on digits: a dot for each seed, the prediction interval and mean, and the paper's value as a diamond."}} caption="Claims S1 to S4 on digits: our seeds beside the paper." data=["picks"] tags=["remove-input"]
ANSWERS = {"S1": ("flip_rate", "accuracy"), "S2": ("flip_rate", "boundary-aware")}
ANSWERS |= {"S3": ("jaccard", "accuracy"), "S4": ("jaccard", "boundary-aware")}
on_digits = "digits" in datasets
numbers = {c: wide.loc["digits, MLP", of] for c, of in ANSWERS.items() if on_digits}
fig = charts.against_paper(numbers) if numbers else None
# %% [markdown]
# S5 and S6 say that held-out flips fall, so their rows have the paired differences of the seeds; the rows
# "less ..." have those of S1 to S4.

# %% caption="The claims of this chapter." tags=["remove-input"]
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
show_answers(pd.concat(answers))

# %% [markdown]
# ## Why we differ
#
# S1 and S3 depend on $\varepsilon$, which the abstract does not give. If that is all, the value that has the
# paper's flips (S1) has its $J$ (S3) too.

# %% tags=["remove-input"]
by_eps = {e: pick(partial(accuracy_rule, eps=e)) for e in {eps, *eps_study}}
by_eps = {e: rows[rows["dataset"] == "digits"] for e, rows in by_eps.items()}
flips = pd.Series({e: rows["flip_rate"].mean() for e, rows in by_eps.items()})
e = (flips - paper_value("S1")).abs().sort_index().idxmin() if numbers else eps
where = f"With ε = {e:g}, where {flips[e]:.4f} of the labels flip, J is"
tried = by_eps[e]["jaccard"], "another ε gives S1 and S3", where, "why-we-differ"
list_experiments([retried("S3", *tried)])

# %% [markdown]
# (stopping-thresholds)=
# ## Other thresholds
#
# Both rules again, over a grid of $\varepsilon$, $\tau_f$ and $\tau_J$ that holds the chapter's own. A cell below is a
# pair $(\tau_f, \tau_J)$ at the chapter's $\varepsilon$; it shows the mean bits picked, and its shade the mean held-out flip
# rate. The frame marks the thresholds of this chapter.

# %% caption="The accuracy rule at other thresholds: means over seeds, held-out." tags=["remove-input"]
STUDIED = ["bits", "satisfied", "flip_rate", "jaccard", "accuracy"]


def means(rule, **thresholds):
    """Means over seeds of the test measures at a rule's pick, a row for each setting."""
    rows = pick(rule).groupby("setting", sort=False)[STUDIED].mean().reset_index()
    return rows.assign(**thresholds)


grid = [
    sorted({own, *others})
    for own, others in zip(
        thresholds.values(), (eps_study, tau_f_study, tau_j_study), strict=True
    )
]
alone = pd.concat(means(partial(accuracy_rule, eps=e), eps=e) for e in grid[0])
triples = [dict(zip(thresholds, t, strict=True)) for t in product(*grid)]
study = pd.concat(means(partial(boundary_aware_rule, **t), **t) for t in triples)
tables.save(study, "thresholds")
tables.save(alone[["setting", "eps", *STUDIED]], "accuracy-rule")
# %% mystnb={"image": {"alt": "A heat map for each data set and network over tau_f and tau_J. Mean bits fall and held-out flips rise from tight thresholds in one corner to loose ones in the opposite corner; the thresholds of the chapter are framed."}} caption="Mean bits that the boundary-aware rule picks at other thresholds; shade: held-out flips; frame: this chapter's." data=["thresholds"] tags=["remove-input"]
fig = charts.threshold_maps(study[study["eps"] == eps], (tau_f, tau_j))
# %% caption="Share of the triples of thresholds, by what comes of the flips." tags=["remove-input"]
against = study.merge(alone, on=["setting", "eps"], suffixes=("", "_alone"))
change = np.sign(against["flip_rate"] - against["flip_rate_alone"])
shares = against[["setting"]].assign(
    fewer=change < 0, equal=change == 0, more=change > 0
)
shares["satisfied"] = against["satisfied"] == 1
shares = shares.groupby("setting", sort=False).mean().reset_index()
tables.save(shares, "thresholds-verdict")
text = "; ".join(f"{s.fewer:.0%} ({s.setting})" for s in shares.itertuples())
Markdown(
    f"Share of the {len(triples)} triples of thresholds with fewer held-out flips, in the mean over seeds, than the "
    f"accuracy rule at the same ε: {text}."
)

# %% tags=["remove-input"]
full = pick(both)
dropped = {
    "flip rate": pick(partial(both, tau_f=np.inf)),
    "J": pick(partial(both, tau_j=np.inf)),
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

# %% mystnb={"image": {"alt": "Share of held-out flips avoided against extra bits kept, a line for each data set and network. The lines rise steeply over the first extra bits and level off towards 1; the chapter's own thresholds are marked."}} caption="Flips avoided against bits kept; large marks: this chapter's thresholds." data=["frontier"] tags=["remove-input"]
base = picks[picks["rule"] == "accuracy"].groupby("setting", sort=False)
base = base[["bits", "flip_rate"]].mean()
own = means(both, kind="own")
others = study[study["eps"] == eps].assign(kind="study")
frontier = pd.concat([own, others]).merge(base.add_suffix("_base"), on="setting")
frontier["extra_bits"] = frontier["bits"] - frontier["bits_base"]
frontier["flips_avoided"] = 1 - frontier["flip_rate"] / frontier["flip_rate_base"]
tables.save(frontier, "frontier")
labels = "bits kept beyond the accuracy rule", "share of flips avoided"
fig = charts.frontier(frontier, "extra_bits", "flips_avoided", labels)
# %% caption="What the boundary-aware rule costs and avoids: means over seeds." tags=["remove-input"]
COST = ["setting", "bits_base", "bits", "extra_bits"]
COST += ["flip_rate_base", "flip_rate", "flips_avoided"]
tables.show(frontier.loc[frontier["kind"] == "own", COST], "cost")
# %% [markdown]
# ## What to take along
#
# * The accuracy rule goes down to where labels already change, gains and losses cancelling in the count.
# * The boundary-aware rule stops earlier and keeps the labels, on images and on a slice that it has not seen.
#   Its price is bits, and the first extra bit avoids the most.
# * $\tau_J$ is a distance in cells of the grid, so it means another distance on another grid or data set. And
#   where even the most bits miss it, the rule can only say so.
#
# Next: [the same rules on natural images](05-cifar-subsets).
#
# ## Exercises
#
# ```{include} exercises/04-stopping.md
# ```

# %% tags=["opening", "remove-input"]
at = picks.groupby(["setting", "rule"])[["bits", "flip_rate"]].mean()
accuracy, aware = (at.loc[(settings[0], rule)] for rule in RULES)
opening(
    "How few bits are few enough?",
    f"On {settings[0]} the accuracy rule picks {accuracy['bits']:.1f} bits in the mean and {accuracy['flip_rate']:.2%} of "
    f"the held-out labels change; the boundary-aware rule picks {aware['bits']:.1f} bits and {aware['flip_rate']:.2%} "
    f"change. Held-out flips fall in {int((of_flips['hi'] < 0).sum())} of {len(of_flips)} settings beyond chance.",
    f"Thresholds are ours; {len(settings)} settings of small networks, J on one plane with {n} cells a side.",
)
