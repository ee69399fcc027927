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
#     requires: [digits, mnist, fashion-mnist, cifar10]
#     minutes: 1
#     threads: 2
# ---

# %% [markdown]
# # Does calibration predict the held-out boundary?
#
# The boundary-aware rule reads the Jaccard distance $J$ on calibration data and trusts it elsewhere. The paper {cite}`kiselev2026`
# reports a correlation of 0.947 to 0.994 between $J$ on calibration data and on held-out data, over PTQ-W and variants of optimized
# rounding. This chapter measures that, claim P1, and asks what the abstract leaves out: what is left once the bit width is known.
#
# ## The question behind the number
#
# From 8 bits down to 3 everything gets worse: $J$ rises on any data. So over several bit widths *any* measure that rises with the
# step of the quantizer correlates with the held-out $J$, even the bit width itself, which knows nothing of the network. That is
# no evidence that calibration data tell two candidates apart. Four readings, each stricter than the one before:
#
# Over all levels
# : all bit widths and roundings of all networks of a family, as the paper's number presumably does.
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
# The candidates of one network share its training, its data and its slices, so they are not independent, and an interval that
# counts each would be far too narrow. The bootstrap {cite}`efron1979` resamples whole networks {cite}`field2007`: with $S$ seeds,
# each of $B$ resamples draws $S$ of them with replacement, with all their candidates, and has its own $r^*$. The interval goes
# from the 5th to the 95th percentile of the $r^*$. Where seeds are few it is too narrow; three, as on CIFAR-10, are very few.

# %% tags=["parameters"]
datasets: list[str] = ["digits", "mnist", "fashion-mnist", "cifar10"]  # sets [some]
dataset: str = ""  # one alone ['' | digits | mnist | fashion-mnist | cifar10]
seeds_digits: int = 20  # on digits; each draws split and initialization [1..1000]
seeds: int = 5  # seeds on MNIST and Fashion-MNIST [1..1000]
seeds_cifar: int = 3  # on CIFAR-10; each has its shipped network [1..3]
bits: list[int] = [8, 6, 5, 4, 3]  # bit widths [2..16]
train: int = 15000  # training images on MNIST and Fashion-MNIST [100..55000]
calibration: int = 2000  # calibration images there [10..5000]
test: int = 2000  # test images, but for digits [10..10000]
rounding: int = 1000  # calibration images for rounding, at most [10..10000]
rounding_cifar: int = 500  # the same on CIFAR-10 [10..10000]
steps: int = 20  # steps of the search for each layer [1..10000]
points: int = 300  # points of the boundary metric [1..100000]
n: int = 241  # cells a side of the label maps [2..8192]
n_cifar: int = 41  # the same on CIFAR-10 [2..8192]
planes: int = 3  # planes through three images of each set on CIFAR-10 [1..1000]
epochs_digits: int = 200  # passes over the training images: digits [1..10000]
epochs: int = 15  # the same on MNIST and Fashion-MNIST [1..10000]
resamples: int = 1000  # resamples of the bootstrap [1..100000]
folder: str = ""  # roundings, in place of those that ship; filled where they lack
jobs: int = 2  # networks at the same time; results do not depend on it [1..64]

# %% tags=["remove-input"]
import matplotlib.pyplot as plt
import pandas as pd
from IPython.display import Markdown, display

from baq import compare, ptq_w, slices
from baq.comparison import per_plane
from baq.report import charts, style, tables
from baq.report.answers import show_answers
from baq.report.boxes import opening
from baq.report.claims import answer, paper_text
from baq.report.runs import run_all
from baq.report.stats import both_correlations, correlation, paired_differences
from baq.rounding import Statistics
from baq.rounding.trials import some_ways
from baq.slices import random_planes
from baq.zoo import checkpoints
from baq.zoo.recipes import digits_network, network_on
from baq.zoo.roundings import kept

# %% [markdown]
# ## One network on two slices
#
# One network on digits and one copy of it with fewer bits. One call measures the Jaccard distance $J$ of their boundaries on two slices:
# the plane of the calibration images, and that of the test images. Stopping by the first assumes that the second is close to it.

# %% caption="J of one network on digits on two planes."
network, split = digits_network(0, epochs=epochs_digits, calibration=0.2, test=0.2)
spanned = [slices.pca_plane(x) for x in (split.x_calibration, split.x_test)]
row = per_plane(network, {bits[-1]: ptq_w(network, bits[-1])}, spanned, n)
row = row.assign(bits=row["candidate"], plane=["calibration", "test"])
tables.styled(row[["bits", "plane", "jaccard"]], "by-hand")

# %% [markdown]
# ## The run
#
# Networks are those of [Calibration-to-test stopping](04-stopping) with one hidden layer, on MNIST {cite}`lecun1998` and
# Fashion-MNIST {cite}`xiao2017` trained on fewer images; and the shipped convolutional networks of
# [Full CIFAR-10](06-cifar-full) {cite}`krizhevsky2009`. Each is rounded in five ways at each bit width: to nearest with one
# scale for each tensor or each channel, by AdaRound {cite}`nagel2020` without and with the errors of the layers before, and
# by the boundary metric's Kronecker shape. [Rounding with a boundary in view](07-rounding) describes the optimized ones; here
# they take fewer images and steps, since the question is how their $J$ carries over and not how low it gets.
#
# Slices are the PCA planes of the calibration and of the test images. On CIFAR-10 they are planes through three images
# {cite}`somepalli2022` of three classes, with $J$ the mean over them. No test image enters a rounding or a calibration slice.
# Rounding was optimized on some of the calibration images; what that does to their $J$ is shown [below](calibration-optimism).


# %% tags=["remove-input"]
style.use_style()
datasets = [dataset] if dataset else datasets
FAMILIES = {
    "digits": ("digits, MLP", seeds_digits),
    "mnist": ("mnist, MLP", seeds),
    "fashion-mnist": ("fashion-mnist, MLP", seeds),
    "cifar10": ("cifar10, CNN", seeds_cifar),
}
DRAWN = {"train": train, "calibration": calibration, "test": test}
GIVEN = dict.fromkeys(datasets, DRAWN | {"epochs": epochs})
GIVEN["digits"] = {"epochs": epochs_digits, "calibration": 0.2, "test": 0.2}
GIVEN["cifar10"] = {"calibration": checkpoints.CALIBRATION, "test": test}
GIVEN["cifar10"] |= {"family": "cnn"}
NEAREST = {"nearest, per tensor": False, "nearest, per channel": True}
SEARCHED = ["AdaRound", "AdaRound, propagated", "boundary metric"]
ROUNDINGS = [*NEAREST, *SEARCHED]


# %% mystnb={"code_prompt_show": "Show how one network is measured"} tags=["hide-input"]
def measured(dataset, seed):
    """Every rounding of one network at every bit width, on calibration and on test data."""
    natural = dataset == "cifar10"
    reference, split = network_on(dataset, seed, **GIVEN[dataset])
    used = rounding_cifar if natural else rounding
    known = Statistics(reference, split.x_calibration[:used])
    how = {"ways": SEARCHED, "points": points, "steps": steps}
    candidates, where = {}, f"{GIVEN[dataset].get('family', dataset)}-{seed}"
    for b in bits:
        given = f"{where}/calibrated-{b}-bits", some_ways, known, b, how, folder
        made = kept(*given).networks
        for name, one in NEAREST.items():
            made[name] = ptq_w(reference, b, per_channel=one)
        candidates |= {(name, b): made[name] for name in ROUNDINGS}
    frames = []
    for part in ("calibration", "test"):
        x, y = getattr(split, f"x_{part}"), getattr(split, f"y_{part}")
        how = {"n": n_cifar, "way": "adaptive"} if natural else {"n": n}
        how["gradients"] = False
        cut = random_planes(x, y, planes, seed) if natural else slices.pca_plane(x)
        rows = compare(reference, candidates, x, y, planes=cut, **how)
        frames.append(rows.assign(part=part))
    rows = pd.concat(frames)
    rows["rounding"], rows["bits"] = zip(*rows.pop("candidate"), strict=True)
    return rows.assign(dataset=dataset, family=FAMILIES[dataset][0], seed=seed)


tasks = [(name, seed) for name in datasets for seed in range(FAMILIES[name][1])]
levels = pd.concat(run_all(measured, tasks, jobs=jobs, label="networks"))
tables.save(levels, "levels")
display(Markdown(tables.audit_text(levels["error_bound"])))

# %% [markdown]
# ## Calibration beside held-out

# %% mystnb={"image": {"alt": "A panel for each data set with its network: J on held-out data against J on calibration data, a mark for each network, bit width and rounding, shaded by bit width, with a shape for each rounding, and the line of equal values."}} caption="J on held-out data against J on calibration data, a mark for each candidate." data=["pairs"] tags=["remove-input"]
KEYS = ["family", "dataset", "seed", "rounding", "bits"]
PREDICTORS = {
    "jaccard": "J",
    "flip_rate": "flip rate",
    "band_pair_flip_rate": "pair-order flips in the band",
    "mean_displacement": "mean displacement",
}
pairs = levels[levels["part"] == "calibration"][[*KEYS, *PREDICTORS]]
held_out = levels[levels["part"] == "test"].rename(columns={"jaccard": "held_out"})
pairs = pairs.merge(held_out[[*KEYS, "held_out"]], on=KEYS)
pairs["fewness"] = -pairs["bits"]
tables.save(pairs, "pairs")
how = {"panel": "family", "shape": "rounding", "shade": "bits", "unit": " bits"}
axes = {"jaccard": "J, calibration", "held_out": "J, held-out"}
fig = charts.scatter_panels(pairs, axes, **how)
# %% [markdown]
# ## How strongly they go together
#
# The four readings of the correlation of $J$ with $J$, with 90 % intervals. The shaded stripe is what the paper reports.

# %% tags=["remove-input"]
EVERY, BETWEEN = "all levels", "between roundings"
OPTIMIZED = "between optimized ones"
SCOPES = {EVERY: "all\nlevels"} | {b: f"{b} bits" for b in bits}
SCOPES |= {BETWEEN: "between\nroundings", OPTIMIZED: "between\noptimized"}


def related(family, measure, scope):
    """Both correlations of a calibration measure with the held-out J, and their intervals."""
    rows = pairs[pairs["family"] == family]
    if scope in bits:
        rows = rows[rows["bits"] == scope]
    if scope == OPTIMIZED:
        rows = rows[~rows["rounding"].str.startswith("nearest")]
    within = rows["seed"].astype(str) + "/" + rows["bits"].astype(str)
    within = within if scope in (BETWEEN, OPTIMIZED) else None
    given = rows[measure], rows["held_out"], rows["seed"]
    both = both_correlations(*given, within=within, resamples=resamples)
    return {"family": family, "measure": measure, "scope": scope} | both


asked = [
    (family, measure, scope)
    for family in pairs["family"].unique()
    for measure in (*PREDICTORS, "fewness")
    for scope in (SCOPES if measure == "jaccard" else (EVERY, BETWEEN, OPTIMIZED))
    # The bit width is the same for all roundings that are compared there.
    if measure != "fewness" or scope == EVERY
]
correlations = pd.DataFrame(
    run_all(related, asked, jobs=jobs, label="correlations")
)

# %% mystnb={"image": {"alt": "Pearson's r of calibration J and held-out J with 90 percent intervals, a shape for each data set: over all levels, within each bit width, and between all and between optimized roundings of one network at one bit width. The paper's range is a stripe near 1."}} caption="Correlation of J on calibration data and on held-out data, with its interval." data=["correlations"] tags=["remove-input"]
of_j = correlations[correlations["measure"] == "jaccard"]
low, high = (float(end) for end in paper_text("P1").split(" to "))

fig, ax = plt.subplots(figsize=(style.WIDTH, 4))
ax.axhspan(low, high, color="black", alpha=0.2, lw=0, label="paper, P1")
ax.axhline(0, color="black", lw=1, ls=":", zorder=0)
charts.dodged_intervals(ax, of_j, "scope", SCOPES, "r", "family")
ax.set_ylabel("r of calibration J and held-out J")
legend = fig.legend(loc="outside lower center", ncols=3)

# %% caption="Correlation of J on calibration data and on held-out data, with 90 % intervals." tags=["remove-input"]
BOTH = {"r": "r, Pearson", "rho": "ρ, Spearman"}
shown = tables.interval_columns(of_j, ["family", "networks", "scope"], BOTH, 3)
shown["scope"] = [f"{s} bits" if s in bits else s for s in shown["scope"]]
at_bits = correlations["scope"].isin(bits)
tidy = correlations.assign(
    scope=correlations["scope"].mask(at_bits, "within a bit width"),
    bits=correlations["scope"].where(at_bits).astype("Int64"),
)
display(tables.show(tidy, "correlations", shown=shown))
single = of_j[of_j["scope"].isin(bits)]
holds_zero = int(((single["r_lo"] <= 0) & (single["r_hi"] >= 0)).sum())
text = f"Of the {len(single)} pairs of family and bit width, **{holds_zero or 'none'}** has an interval that holds 0, "
under = (single["r_hi"] < low).sum() or "none"
display(Markdown(f"{text}and **{under}** one below the paper's {low}."))

# %% [markdown]
# And over all bit widths, for each rounding alone:


# %% caption="r over all bit widths, for each rounding alone, with 90 % intervals." tags=["remove-input"]
def in_groups(keys, within=None):
    """The correlation of calibration J with held-out J in each group of candidates."""
    found = []
    for key, rows in pairs.groupby(keys, sort=False):
        given = rows["jaccard"], rows["held_out"], rows["seed"]
        inside = None if within is None else rows[within]
        one = correlation(*given, within=inside, resamples=resamples)
        found.append(dict(zip(keys, key, strict=True)) | one)
    return pd.DataFrame(found)


by_rounding = in_groups(["family", "rounding"])
shown = tables.interval_table(by_rounding, ["rounding"], "family", "r", precision=3)
tables.show(by_rounding, "by-rounding", shown=shown)

# %% [markdown]
# ## What else predicts the held-out J
#
# The same correlations for cheaper measures of calibration data, against the same held-out $J$: the flip rate, which needs no
# slice; the pair-order flips in the boundary band; and the mean displacement on the calibration slice, which does not saturate as $J$ does where boundaries move by two cells. "Fewer bits" is the bit width with its sign turned: what one knows
# without any data. Spearman's $\rho$ is drawn, since different measures need no straight line between them.

# %% mystnb={"image": {"alt": "Three panels, over all levels, between roundings and between optimized ones: Spearman's correlation of five calibration measures with the held-out J, with 90 percent intervals, a shape for each data set. Fewer bits appears over all levels only."}} caption="Correlation of five calibration measures with the held-out J, with intervals." data=["correlations"] tags=["remove-input"]
NAMES = PREDICTORS | {"fewness": "fewer bits"}
TICKS = {m: name.replace(" in ", "\nin ") for m, name in NAMES.items()}
TICKS["mean_displacement"] = "mean\ndisplacement"
fig, axes = plt.subplots(3, 1, figsize=(style.WIDTH, 8), sharex=True)
for ax, scope in zip(axes, (EVERY, BETWEEN, OPTIMIZED), strict=True):
    ax.axhline(0, color="black", lw=1, ls=":", zorder=0)
    rows = correlations[correlations["scope"] == scope]
    charts.dodged_intervals(ax, rows, "measure", TICKS, "rho", "family")
    ax.set(title=scope, ylabel="ρ with the held-out J")
handles = axes[0].get_legend_handles_labels()
legend = fig.legend(*handles, loc="outside lower center", ncols=2)
# %% [markdown]
# (calibration-optimism)=
# ## Does rounding flatter its own calibration data?
#
# Optimized rounding saw the calibration images, nearest rounding only the weights. Shown is held-out less calibration $J$, less the same of nearest rounding per tensor on the same network:
# the mean over bits and seeds, with Student's 90 % interval over seeds. Above 0 a rounding flatters its calibration data. Nearest rounding per channel saw no image either, so its row shows what comes of other things.

# %% caption="Held-out less calibration J, less that of nearest rounding per tensor: mean and 90 % interval." tags=["remove-input"]
gaps = pairs.assign(gap=pairs["held_out"] - pairs["jaccard"])
gaps = gaps.groupby(["family", "seed", "rounding"], sort=False)["gap"].mean()
how = {"by": ["family"], "pair": ["seed"], "variant": "rounding"}
how |= {"of": ROUNDINGS[1:], "against": ROUNDINGS[:1]}
optimism = paired_differences(gaps.reset_index(), ["gap"], **how)
keys = ["rounding"], "family", "difference"
shown = tables.interval_table(optimism, *keys, signed=True)
tables.show(optimism, "optimism", shown=shown)

# %% [markdown]
# ## Beside the paper
#
# One $r$ for each network, over its bit widths and roundings. All networks stand for the claim; digits have the most.


# %% mystnb={"image": {"alt": "One row for claim P1: a dot for each network, the 90 percent interval and mean of r over all levels of a network, and the two ends of the paper's range as diamonds."}} caption="Claim P1: our networks beside the paper." data=["per-network"] tags=["remove-input"]
per_network = in_groups(["family", "seed"])[["family", "seed", "r"]]
per_network["between"] = in_groups(["family", "seed"], within="bits")["r"]
tables.save(per_network, "per-network")
fig = charts.against_paper({"P1": per_network["r"]})

# %% [markdown]
# The same for each family, and between the roundings of each network, where the paper gives no number of its own:

# %% caption="The claims of this chapter." tags=["remove-input"]
answers = [answer({"P1": per_network["r"]}, "all networks")]
own = per_network.groupby("family", sort=False)["r"]
answers += [answer({"P1": r}, family) for family, r in own]
answers.append(answer({"P1": per_network["between"]}, BETWEEN))
show_answers(pd.concat(answers))

# %% [markdown]
# ## What to take along


# %% tags=["remove-input"]
def of(measure, scope):
    """The correlations of a measure in a scope, a row for each family."""
    at = correlations["measure"].eq(measure) & correlations["scope"].eq(scope)
    return correlations[at].set_index("family")


def span(rows):
    """The least and the largest r of some rows, as text."""
    r = rows["r"].dropna()
    return f"{r.min():.3f} to {r.max():.3f}" if len(r) else "not defined"


def above(rows):
    """How many intervals lie above 0, as text."""
    return f"with an interval above 0 in {(rows['r_lo'] > 0).sum()} of {len(rows)} families"


def leaders(scope):
    """The calibration measure that ranks the held-out J best, by family, as text."""
    best = correlations[correlations["scope"] == scope].dropna(subset="rho")
    best = best.sort_values("rho").drop_duplicates("family", keep="last")
    best = best.sort_index()[["measure", "family", "rho"]].itertuples(index=False)
    told = (f"{NAMES[name]} on {of} (ρ = {rho:.2f})" for name, of, rho in best)
    return ", ".join(told) or "none of them"


known, first = of("fewness", EVERY), of("jaccard", EVERY)
strict, ours = of("jaccard", BETWEEN), of("jaccard", OPTIMIZED)

lines = [
    f"* Over all levels *r* is {span(first)} for the families, beside the paper's {paper_text('P1')}. The bit width alone has {span(known)}; the calibration *J* "
    f"ranks the levels better than the bit width does in {(first['rho'] > known['rho']).sum()} of {len(first)} families.",
    f"* Within a bit width *r* is {span(single)}.",
    f"* Between the roundings of one network at equal bits it is {span(strict)}, {above(strict)}. The held-out *J* is best ranked by {leaders(BETWEEN)}.",
    f"* Between the optimized ones alone it is {span(ours)}, {above(ours)}; best ranked by {leaders(OPTIMIZED)}.",
]
Markdown("\n".join(lines))

# %% [markdown]
# A correlation over bit widths is a statement on bit widths. Whoever uses calibration $J$ to stop at a bit width needs the first
# reading; whoever uses it to choose between two roundings needs the last two. Next: [what can be known before](09-before-you-quantize).
#
# ## Exercises
#
# ```{include} exercises/08-calibration.md
# ```

# %% tags=["opening", "remove-input"]
opening(
    "Does J on calibration data tell J on held-out data?",
    f"Over all bit widths yes: r is {span(first)}, and the bit width alone, which needs no data, has {span(known)}. "
    f"Between two roundings of one network at equal bits r is {span(strict)}, and between optimized ones {span(ours)}.",
    f"{len(first)} families of small networks; where there are three networks the intervals are too narrow.",
)
