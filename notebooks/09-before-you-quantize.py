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
#     minutes: 4
#     threads: 2
# ---

# %% [markdown]
# # Before you quantize
#
# The chapters before this one quantize a network and then look at what changed. An engineer asks earlier: how many decisions
# *will* change, and how sure is a pick? Both have answers from the float network and unlabelled inputs. Neither is in the paper.
#
# ## The forecast
#
# Rounding a weight to a grid of step $s$ adds an error that is nearly uniform over a step, of variance $s^2 / 12$. So to first
# order the gap $g$ of a network's top pair at $x$ gets the variance
#
# $$ v(x) = \sum_l \frac{s_l^2}{12} \, \lVert \nabla_{W_l} g(x) \rVert^2 , $$
#
# a sum over layers $l$, and the share of labels that change is the mean of $\Phi(-g(x) / \sqrt{v(x)})$ over inputs without labels.
# One draw of rounding errors hits all inputs at once, so the forecast has a spread that no number of inputs lowers: it is that of
# single roundings, and we draw them, for the top pair and the next rival. $J$ follows from the same gradients on a plane:
# the displacement there is $|\Delta g| / \lVert P \nabla_x g \rVert$ with $P$ the projection on the plane, and
# [the law of $J$](definitions) makes $J$ of its mean.
#
# The first order ends where it explains too little, and that is measured: one draw of errors is added to the weights,
# and the share of the gaps' change that the first order explains is told. We trust a forecast from 0.9 on, a limit that was
# set before the first comparison.
#
# ## The promise
#
# A rule that picks bits by what it sees on calibration inputs promises nothing. *Learn then Test* {cite}`angelopoulos2021` does:
# walk down from the most bits, test "more than $\tau$ of the labels change" by the exact binomial tail, and stop at the first
# level where the test does not reject at $\delta$. Then the pick breaks $\tau$ with a probability of $\delta$ at most, for any network
# and any quantizer, and without labels. Without a flip among $n$ inputs the test rejects if $(1 - \tau)^n \le \delta$; with fewer
# inputs nothing can be promised.

# %% tags=["parameters"]
datasets: list[str] = ["digits", "cifar10"]  # data sets [some]
families: list[str] = ["cnn", "resnet"]  # on CIFAR-10 [some]
seeds: int = 3  # their seeds; each has its own network of each family [1..3]
seeds_digits: int = 20  # on digits; each draws split and initialization [1..1000]
bits: list[int] = [8, 7, 6, 5, 4, 3]  # levels, from the most to the fewest [2..16]
inputs: int = 1500  # without labels, that a forecast is made from [10..2000]
images: int = 10000  # test images that it is compared with [100..10000]
draws: int = 64  # draws of rounding errors [2..1000]
n: int = 241  # cells a side of the label maps on digits [2..2048]
taus: list[float] = [
    0.01,
    0.02,
    0.05,
]  # shares of labels that may change [0.001..0.5]
deltas: list[float] = [0.1, 0.05]  # probabilities of a broken promise [0.001..0.5]
counts: list[int] = [50, 100, 200, 500]  # calibration inputs [10..9000]
redraws: int = 1000  # calibration sets, drawn anew [10..100000]
jobs: int = 2  # networks at the same time; results do not depend on it [1..64]

# %% tags=["remove-input"]
import pandas as pd
import torch
from IPython.display import Markdown, display

from baq import compare, ptq_w, slices
from baq.comparison import per_plane
from baq.inference import labels, logits
from baq.local import margins
from baq.planning import forecast, forecast_jaccard, inputs_needed, sensitivity
from baq.planning.redraws import broken_promises
from baq.planning.sensitivity import noisy_flips
from baq.report import forecasts as judge
from baq.report import style, tables
from baq.report.boxes import opening
from baq.report.runs import run_all
from baq.zoo import checkpoints
from baq.zoo.recipes import digits_network, network_on

style.use_style()
bits = sorted(bits, reverse=True)

# %% [markdown]
# ## One network, forecast and quantized
#
# A network on digits and its calibration images, without their labels: the forecast for three bit widths, and what comes when
# the network is quantized and labels the test images.

# %%
network, split = digits_network(0, calibration=0.4, test=0.2)
levels = [6, 5, 4]
told = forecast(network, split.x_calibration, levels, count=len(split.x_test))
came = compare(network, {b: ptq_w(network, b) for b in levels}, split.x_test)
columns = ["bits", "flip_rate", "flip_rate_lo", "flip_rate_hi", "holds"]
told[columns].assign(came=came["flip_rate"]).round(4)

# %% [markdown]
# ## What was forecast, and what came
#
# Forecasts are made from calibration images, and the flips are those of the test images when each weight goes to its nearest
# value. The interval is for one rounding and as many inputs as there are test images. A relative error is taken where ten
# labels or more changed: with fewer, what came is itself a matter of chance.

# %% tags=["remove-input"]
families = families if "cifar10" in datasets else []
tasks = [("digits", k) for k in range(seeds_digits) if "digits" in datasets]
tasks += [(family, k) for family in families for k in range(seeds)]


def prepared(setting, seed):
    """A float network, its calibration images and its test images."""
    if setting == "digits":
        network, split = network_on("digits", seed, calibration=0.4, test=0.2)
    else:
        sizes = {
            "train": 10,
            "calibration": checkpoints.CALIBRATION,
            "test": images,
        }
        network, split = network_on("cifar10", seed, setting, **sizes)
    return network, split.x_calibration, split.x_test


# %% mystnb={"code_prompt_show": "Show how one network is forecast and measured"} tags=["hide-input"]
def told_and_came(setting, seed):
    """Forecasts for a network and what came; J on digits; the images that flip."""
    network, x, x_test = prepared(setting, seed)
    known = sensitivity(network, x[:inputs], draws=draws, seed=seed)
    rows = forecast(known, None, bits, count=len(x_test), seed=seed)
    rows["noisy"] = [float(noisy_flips(known, b).double().mean()) for b in bits]
    candidates = {b: ptq_w(network, b) for b in bits}
    # On digits the promise takes all images that the network was not trained on.
    unseen = torch.cat([x_test, x]) if setting == "digits" else x_test
    z = logits(network, unseen, 100)
    flips = torch.stack(
        [labels(logits(q, unseen, 100)) != labels(z) for q in candidates.values()]
    )
    rows["came"] = flips[:, : len(x_test)].double().mean(dim=1).numpy()
    rows["images"] = len(x_test)
    on_plane = pd.DataFrame()
    if setting == "digits":
        plane = slices.pca_plane(x_test)
        grid = slices.label_map(network, plane, n)
        on_plane = forecast_jaccard(network, grid, bits, draws=draws, seed=seed)
        maps = per_plane(network, candidates, [plane], n)
        on_plane["came"] = maps["jaccard"].to_numpy()
    named = {"setting": setting, "seed": seed}
    easy = margins(z) > margins(z).median()
    return (
        rows.assign(**named),
        on_plane.assign(**named),
        flips.numpy(),
        easy.numpy(),
    )


found = run_all(told_and_came, tasks, jobs=jobs, label="networks")
forecasts, on_plane = (
    pd.concat(part) for part in list(zip(*found, strict=True))[:2]
)
forecasts = judge.judged(forecasts.reset_index(drop=True))
tables.save(forecasts, "forecasts")

# %% mystnb={"image": {"alt": "Forecast share of labels that change against the share that changed, both on logarithmic axes, a mark for each network and bit width with the forecast's interval. Marks lie along the line of equal values and fall below it where many labels change."}} caption="Flips that were forecast and that came, a mark a network and bit width, with the forecast's 90 % interval." data=["forecasts"] tags=["remove-input"]
fig = judge.against_what_came(forecasts)

# %% caption="Forecasts by bit width: means over networks in %, the median error of a forecast, and how many intervals held." tags=["remove-input"]
quality = judge.quality(forecasts, ["setting", "bits"])
tables.save(quality, "quality")
shown = quality[["setting", "bits", "networks"]].copy()
for name, text in (
    ("flip_rate", "forecast, %"),
    ("noisy", "by noise itself, %"),
    ("came", "came, %"),
    ("error", "median error, %"),
    ("held", "intervals held, %"),
):
    shown[text] = [
        "–" if pd.isna(value) else f"{100 * value:.3g}" for value in quality[name]
    ]
shown["explained"] = [f"{value:.2f}" for value in quality["explained"]]
display(tables.styled(shown, "shown-quality"))
many = forecasts["bits"] >= 5
most = forecasts[many] if many.any() else forecasts
of = f"{most['bits'].min()} bits and more"
trusted = forecasts[forecasts["holds"]]
digits = forecasts["setting"] == "digits"
NETWORKS = {"CIFAR-10": forecasts[~digits], "digits": forecasts[digits]}
NETWORKS = {name: rows for name, rows in NETWORKS.items() if len(rows)}
CUTS = {of: most, "where the first order explains 90 % and more": trusted}
lines = []
for name, rows in NETWORKS.items():
    for cut, at in CUTS.items():
        both = rows[rows.index.isin(at.index)]
        lines += [f"* {name}, {cut}: {judge.in_short(both)}."] if len(both) else []
Markdown("\n".join(lines))

# %% [markdown]
# *By noise itself*: one draw of errors is added to the weights and the network is run, which does not end with the first order. With
# few bits it sees what the forecast cannot, and costs a pass for each bit width.

# %% caption="J on the PCA slice of digits: forecast by the law from the float network, and measured; means over networks." tags=["remove-input"]
if len(on_plane):
    inside = on_plane["came"].between(
        on_plane["jaccard_lo"], on_plane["jaccard_hi"]
    )
    on_plane = on_plane.assign(held=inside)
    tables.save(on_plane, "jaccard")
    means = on_plane.groupby("bits", sort=False)[["jaccard", "came", "held"]].mean()
    shown = pd.DataFrame({"bits": means.index})
    shown["J, forecast"], shown["J, came"] = (
        [f"{value:.3f}" for value in means[name]] for name in ("jaccard", "came")
    )
    shown["intervals held, %"] = [f"{100 * value:.0f}" for value in means["held"]]
    display(tables.styled(shown, "shown-jaccard"))

# %% [markdown]
# ## A rule that promises
#
# One network of each setting, its images that it was not trained on, and calibration inputs drawn from them again and again.
# The *plug-in* rule, of the paper's kind, takes the fewest bits before the flip rate on the calibration inputs passes $\tau$;
# the promise takes the test instead. A pick is broken if more than $\tau$ of all the other images flip. The control draws
# calibration inputs from the half with the larger margins, so that they are no sample of what comes.

# %% tags=["remove-input"]
firsts = {setting: k for k, (setting, seed) in enumerate(tasks) if seed == 0}
parts = []
for setting, k in firsts.items():
    _, _, flips, easy = found[k]
    for among, name in ((None, ""), (easy, "control")):
        for tau in taus:
            for count in [c for c in counts if c < easy.sum()] or [
                int(easy.sum()) - 1
            ]:
                how = {"count": count, "deltas": deltas, "redraws": redraws}
                rows = broken_promises(flips, bits, tau, among=among, **how)
                at = {"setting": setting, "kind": name or "sample"}
                parts.append(rows.assign(tau=tau, count=count, **at))
promises = pd.concat(parts, ignore_index=True)
tables.save(promises, "promises")

# %% caption="How often a pick breaks its threshold, over redrawn calibration sets of the largest size; mean bits of the picks." tags=["remove-input"]
largest = promises["count"] == promises.groupby("setting")["count"].transform("max")
at = promises[largest].copy()
at["rule"] = at["rule"] + at["delta"].map(", δ = {:g}".format).where(
    at["delta"] > 0, ""
)
shown = at[at["kind"] == "sample"][["setting", "tau", "rule"]].copy()
shown["tau"] = shown["tau"].map("{:.0%}".format)
sample, control = (
    at[at["kind"] == kind].reset_index() for kind in ("sample", "control")
)
shown["broken, %"] = [f"{100 * value:.1f}" for value in sample["broken"]]
shown["nothing promised, %"] = [
    f"{100 * (1 - value):.1f}" for value in sample["picked"]
]
shown["bits"] = [f"{value:.2f}" if value > 0 else "–" for value in sample["bits"]]
shown["control broken, %"] = [f"{100 * value:.1f}" for value in control["broken"]]
display(tables.styled(shown.rename(columns={"tau": "τ"}), "shown-promises"))
promised = promises[promises["rule"] == "promise"]
sampled = promised[promised["kind"] == "sample"]
worst = {d: sampled.loc[sampled["delta"] == d, "broken"].max() for d in deltas}
told = ", ".join(f"{share:.1%} at δ = {d:g}" for d, share in worst.items())
plug_in = promises[
    (promises["rule"] == "plug-in") & (promises["kind"] == "sample")
]["broken"].max()
Markdown(
    f"The promise is broken in at most {told}, over all settings, thresholds and sizes; the plug-in rule in up to "
    f"{plug_in:.0%}. Where calibration inputs are no sample of what comes, it is broken in up to "
    f"{promised[promised['kind'] == 'control']['broken'].max():.0%}: the promise is one about the same distribution."
)

# %% [markdown]
# ## How many inputs a promise takes

# %% mystnb={"image": {"alt": "Share of draws in which something can be promised against the number of calibration inputs, a panel for each setting and a line for each threshold. Small thresholds need hundreds of inputs."}} caption="How often any level can be promised, by the number of calibration inputs, at the larger delta." data=["promises"] tags=["remove-input"]
fig = judge.by_inputs(sampled[sampled["delta"] == max(deltas)])

# %% caption="The fewest calibration inputs with which anything can be promised: none of them may flip." tags=["remove-input"]
needed = pd.DataFrame(
    [(tau, delta, inputs_needed(tau, delta)) for tau in taus for delta in deltas],
    columns=["tau", "delta", "needed"],
)
tables.save(needed, "needed")
shown = needed.rename(columns={"tau": "τ", "delta": "δ", "needed": "inputs"})
shown["τ"], shown["δ"] = (
    shown["τ"].map("{:.0%}".format),
    shown["δ"].map("{:g}".format),
)
tables.styled(shown, "shown-needed")

# %% [markdown]
# ## What to take along

# %% tags=["remove-input"]
few = forecasts[~forecasts["holds"]]
first = (
    "* One pass over unlabelled inputs tells how many labels each bit width will change, with an interval. It is wide, "
    "since single roundings differ, and holds while the first order explains what noise in the weights does"
)
if len(few):
    first += f": where it explains less than 90 %, {few['held'].mean():.0%} of what came lay within"
least = needed.loc[needed["needed"].idxmax()]
Markdown(
    f"{first}.\n* A flip rate on calibration inputs is an estimate: a pick by it broke its threshold in up to "
    f"{plug_in:.0%} of the draws. If it has to hold, test it: a promise of {least['tau']:.1%} at δ = "
    f"{least['delta']:g} takes {least['needed']:.0f} inputs at least.\n* A promise covers the distribution that the "
    "calibration inputs are drawn from, and no other."
)

# %% [markdown]
# Next: [which bits to choose](choosing-bits.ipynb).
#
# ## Exercises
#
# ```{include} exercises/09-before-you-quantize.md
# ```

# %% tags=["opening", "remove-input"]
share = promised[promised["kind"] == "sample"]["broken"].max()
parts = [
    (name, rows[rows.index.isin(most.index)]) for name, rows in NETWORKS.items()
]
told = "; ".join(
    f"on {name} with {judge.in_short(at)}" for name, at in parts if len(at)
)
opening(
    "How many decisions will change, and how sure is a pick, before anything is quantized?",
    f"From unlabelled inputs and the float network alone, flips at {of} are forecast, {told}. "
    f"A pick by an exact test breaks its threshold in at most {share:.1%} of redrawn calibration "
    f"sets of all sizes, and one by the plain flip rate in up to {plug_in:.0%}.",
    f"{len(tasks)} small networks, weights alone, rounding to nearest, one scale for each tensor; with few bits the "
    f"first order ends.",
)
