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
#     minutes: 1.4
#     threads: 2
# ---

# %% [markdown]
# # Before you quantize
#
# The chapters before this one quantize a network and then look at what changed. An engineer asks earlier: how many decisions
# *will* change, how sure is a pick, and which layers need the bits? Answers come from the float network and unlabelled inputs.
# None of the three is in the paper.
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
#
# ## The bits
#
# Since $v$ is a sum over layers, the flips of any bits by layer are forecast without trying them. We start at the fewest bits
# and give more to the layer where that lowers the forecast most for each bit of size.

# %% tags=["parameters"]
datasets: list[str] = ["digits", "mnist", "fashion-mnist", "cifar10"]  # data [some]
families: list[str] = ["cnn", "resnet"]  # on CIFAR-10 [some]
seeds: int = 3  # on CIFAR-10; each has its own network of each family [1..3]
seeds_digits: int = 20  # on digits; each draws split and initialization [1..1000]
seeds_mnist: int = 5  # on MNIST and Fashion-MNIST [1..1000]
seeds_subsets: int = 10  # on subsets of CIFAR-10 [1..1000]
bits: list[int] = [8, 7, 6, 5, 4, 3]  # levels, from the most to the fewest [2..16]
inputs: int = 1000  # without labels, that a forecast is made from [10..2000]
images: int = 3000  # test images that it is compared with [100..10000]
draws: int = 64  # draws of rounding errors [2..1000]
n: int = 241  # cells a side of the label maps on digits [2..2048]
taus: list[float] = [0.01, 0.02, 0.05]  # labels that may change [0.001..0.5]
deltas: list[float] = [0.1, 0.05]  # probabilities of a broken promise [0.001..0.5]
counts: list[int] = [50, 100, 200, 500]  # calibration inputs [10..9000]
redraws: int = 1000  # calibration sets, drawn anew [10..100000]
means: list[int] = [3, 4, 5, 6]  # bits in the mean, by layer [2..8]
counted: int = 1000  # test images on which bits by layer are compared [100..10000]
scored: int = 100  # images for the scores of others [10..2000]
rounded_seeds: int = 3  # seeds whose weights are also rounded by the metric [0..3]
rounding: int = 200  # images that they are rounded on [10..2000]
steps: int = 100  # of the search for a layer's rounding, at most [1..100000]
folder: str = ""  # roundings, in place of those that ship; filled where they lack
budget: float = 40.0  # kB of weights in the worked decision [0.1..10000]
jobs: int = 2  # networks at the same time; results do not depend on it [1..64]

# %% tags=["remove-input"]
import pandas as pd
import torch
from IPython.display import Markdown, display

from baq import compare, ptq_w, slices
from baq.comparison import per_plane
from baq.inference import labels, logits
from baq.local import margins
from baq.planning import (
    forecast,
    forecast_jaccard,
    inputs_needed,
    sensitivity,
    trials,
)
from baq.planning.redraws import broken_promises
from baq.report import allocations, style, tables
from baq.report import forecasts as judge
from baq.report.boxes import opening
from baq.report.runs import run_all
from baq.rounding import Statistics
from baq.rounding.trials import some_ways
from baq.zoo.checkpoints import CALIBRATION
from baq.zoo.recipes import digits_network, network_on
from baq.zoo.roundings import kept

style.use_style()
bits = sorted(bits, reverse=True)

# %% [markdown]
# ## One network, forecast and quantized
#
# A network on digits and its calibration images, without their labels: the forecast for three bit widths, and what comes when
# the network is quantized and labels the test images.

# %% caption="Flips of one network on digits: forecast, and what came."
network, split = digits_network(0, calibration=0.4, test=0.2)
levels = [6, 5, 4]
told = forecast(network, split.x_calibration, levels, count=len(split.x_test))
came = compare(network, {b: ptq_w(network, b) for b in levels}, split.x_test)
shown = {"flip_rate": "forecast flip rate [90 % interval], %"}
shown = tables.interval_columns(told, ["bits"], shown)
tables.styled(shown.assign(came=came["flip_rate"]), "by-hand")

# %% [markdown]
# ## What was forecast, and what came
#
# All networks of the book. Forecasts are made from calibration images, and the flips are those of the test images when each
# weight goes to its nearest value. The interval is for one rounding and as many inputs as there are test images. A relative
# error is taken where ten labels or more changed: with fewer, what came is itself a matter of chance.

# %% tags=["remove-input"]
OF = {"digits": (["mlp"], seeds_digits)}
OF |= {name: (["mlp", "cnn"], seeds_mnist) for name in ("mnist", "fashion-mnist")}
OF |= {"cifar10-subset": (["cnn"], seeds_subsets), "cifar10": (families, seeds)}
SIZES = {name: {"test": images} for name in OF}
SIZES["digits"] = {"calibration": 0.4, "test": 0.2}
SIZES["cifar10"] |= {"train": max(10, rounding), "calibration": CALIBRATION}
named = [name for name in OF if name.removesuffix("-subset") in datasets]
tasks = [(d, f, k) for d in named for f in OF[d][0] for k in range(OF[d][1])]
tau = sorted(taus)[len(taus) // 2]  # of the decision
BOUNDARY = "boundary metric"


# %% tags=["remove-input"]
def by_layer_and_decided(dataset, family, seed, known, split):
    """On CIFAR-10 bits by layer, rounded to nearest and by the metric; of seed 0 the smallest network kept."""
    found, x, x_test = {}, split.x_calibration, split.x_test
    on = x_test[:counted]
    if dataset == "cifar10":
        scoring = x[:scored], split.y_calibration[:scored]
        found["by-layer"] = trials.by_ways(known, *scoring, on, means)
        if seed < rounded_seeds:
            few = [m for m in means if m <= 4]
            of = Statistics(known.model, split.x_train[:rounding])
            how = {"ways": [BOUNDARY], "steps": steps}

            def rounded(name, bits):
                where = f"{family}-{seed}/planned-{name}"
                return kept(where, some_ways, of, bits, how, folder).networks[
                    BOUNDARY
                ]

            found["rounded"] = trials.on_top(known, on, few, rounded)
    if seed == 0:
        half = len(x) // 2
        first = (
            known if len(known.x) <= half else sensitivity(known.model, x[:half])
        )
        held_out = x[half:], x_test
        found["decision"] = trials.smallest_kept(first, *held_out, tau, max(deltas))
    return found


# %% mystnb={"code_prompt_show": "Show how one network is forecast and measured"} tags=["hide-input"]
def told_and_came(dataset, family, seed):
    """Forecasts for a network and what came, as a map of tables; J on digits; the images that flip."""
    network, split = network_on(dataset, seed, family, **SIZES[dataset])
    x, x_test = split.x_calibration, split.x_test
    known = sensitivity(network, x[:inputs], draws=draws, seed=seed)
    rows = forecast(known, None, bits, count=len(x_test), seed=seed)
    candidates = {b: ptq_w(network, b) for b in bits}
    # On digits the promise takes all images that the network was not trained on.
    unseen = torch.cat([x_test, x]) if dataset == "digits" else x_test
    z = logits(network, unseen, 100)
    after = [labels(logits(q, unseen, 100)) for q in candidates.values()]
    flips = torch.stack(after) != labels(z)
    rows["came"] = flips[:, : len(x_test)].double().mean(dim=1).numpy()
    found = {"forecasts": rows.assign(images=len(x_test))}
    if dataset == "digits":
        plane = slices.pca_plane(x_test)
        grid = slices.label_map(network, plane, n)
        on_plane = forecast_jaccard(network, grid, bits, draws=draws, seed=seed)
        maps = per_plane(network, candidates, [plane], n)
        found["jaccard"] = on_plane.assign(came=maps["jaccard"].to_numpy())
    found |= by_layer_and_decided(dataset, family, seed, known, split)
    own = {"setting": f"{dataset}, {family}", "seed": seed}
    easy = margins(z) > margins(z).median()
    found = {name: table.assign(**own) for name, table in found.items()}
    return found, flips.numpy(), easy.numpy()


found = run_all(told_and_came, tasks, jobs=jobs, label="networks")


def gathered(name):
    parts = [one[0][name] for one in found if name in one[0]] or [pd.DataFrame()]
    return pd.concat(parts, ignore_index=True)


forecasts = judge.judged(gathered("forecasts"))
tables.save(forecasts, "forecasts")

# %% mystnb={"image": {"alt": "Forecast share of labels that change against the share that changed, both on logarithmic axes, a mark for each network and bit width with the forecast's interval. Marks lie along the line of equal values and fall below it where many labels change."}} caption="Flips that were forecast and that came, a mark a network and bit width, with the forecast's 90 % interval." data=["forecasts"] tags=["remove-input"]
fig = judge.against_what_came(forecasts)

# %% caption="Forecasts by bit width: means over networks, the median error of a forecast, and how many intervals held." tags=["remove-input"]
quality = judge.quality(forecasts, ["setting", "bits"])
shown = quality.rename(columns={"flip_rate": "forecast"}).drop(columns="networks")
display(tables.show(quality, "quality", shown=shown))
most = forecasts[forecasts["bits"] >= min(5, max(bits))]
of = f"{most['bits'].min():g} bits and more"

# %% caption="How good forecasts are, by networks: with enough bits, and where the first order explains 90 % and more." tags=["remove-input"]
parts = {of: most, "explained": forecasts[forecasts["holds"]]}
tables.show(judge.at_a_glance(forecasts, parts), "forecast-quality")

# %% [markdown]
# *Attainable* is the rank correlation that the same forecasts would have in the mean, were each exactly the truth: what comes is a
# count on as many test images, and with a flip or two its order is chance. About so much can be hoped for.
#
# *By noise itself*: one draw of errors is added to the weights and the network is run, which does not end with the first order. It
# costs a pass for each bit width.

# %% tags=["remove-input"]
Markdown(judge.beyond(forecasts, 4))

# %% caption="J on the PCA slice of digits: forecast by the law from the float network, and measured; means over networks." tags=["remove-input"]
on_plane = gathered("jaccard")
if len(on_plane):
    ends = on_plane["jaccard_lo"], on_plane["jaccard_hi"]
    on_plane = on_plane.assign(held=on_plane["came"].between(*ends))
    tables.save(on_plane, "jaccard")
    shown = on_plane.groupby("bits", sort=False)[["jaccard", "came", "held"]].mean()
    shown["came"] = shown["came"].map("{:.3f}".format)
    shown = shown.rename(columns={"jaccard": "law", "came": "J that came"})
    display(tables.styled(shown.reset_index(), "shown-jaccard"))

# %% [markdown]
# ## A rule that promises
#
# One network of digits and of each CIFAR-10 family, its images that it was not trained on, and calibration inputs drawn from them
# again and again. The *plug-in* rule, of the paper's kind, takes the fewest bits before the flip rate on the calibration inputs
# passes $\tau$; the promise takes the test instead. A pick is broken if more than $\tau$ of all the other images flip. The control
# draws calibration inputs from the half with the larger margins, so that they are no sample of what comes.

# %% caption="How often a pick breaks its threshold, over redrawn calibration sets of the largest size; mean bits of the picks." tags=["remove-input"]
parts = []
for (dataset, family, seed), (_, flips, easy) in zip(tasks, found, strict=True):
    if seed or dataset not in ("digits", "cifar10"):
        continue
    for among, kind in ((None, "sample"), (easy, "control")):
        for tau_f in taus:
            largest = int(easy.sum()) - 1
            for count in [c for c in counts if c <= largest] or [largest]:
                how = {"count": count, "deltas": deltas, "redraws": redraws}
                rows = broken_promises(flips, bits, tau_f, among=among, **how)
                at = {"setting": f"{dataset}, {family}", "kind": kind}
                parts.append(rows.assign(tau=tau_f, count=count, **at))
promises = pd.concat(parts, ignore_index=True)
tables.save(promises, "promises")
display(tables.styled(judge.redrawn(promises), "shown-promises"))
worst, plug_in, control = judge.broken_most(promises)
told = ", ".join(f"{share:.1%} at δ = {d:g}" for d, share in worst.items())
Markdown(
    f"The promise is broken in at most {told}, over all settings, thresholds and sizes; the plug-in rule in up to "
    f"{plug_in:.0%}. Where calibration inputs are no sample of what comes, it is broken in up to {control:.0%}: the "
    f"promise is one about the same distribution. {judge.where_given(promises)}"
)

# %% mystnb={"image": {"alt": "Share of draws in which something can be promised against the number of calibration inputs, a panel for each setting and a line for each threshold. Small thresholds need hundreds of inputs."}} caption="How often any level can be promised, by the number of calibration inputs, at the larger delta." data=["promises"] tags=["remove-input"]
sampled = promises[(promises["rule"] == "promise") & (promises["kind"] == "sample")]
fig = judge.by_inputs(sampled[sampled["delta"] == max(deltas)])

# %% caption="The fewest calibration inputs with which anything can be promised: none of them may flip." tags=["remove-input"]
needed = [(t, d, inputs_needed(t, d)) for t in taus for d in deltas]
needed = pd.DataFrame(needed, columns=["tau", "delta", "needed"])
tables.show(needed, "needed")

# %% [markdown]
# ## Bits where they count
#
# Bits by layer on CIFAR-10, every weight at its nearest value, at a size of at most that of uniform bits. What others give bits by:
# the squared *error of the weights*; that times the mean *trace of the Hessian* of the loss, as HAWQ-V2 {cite}`dong2019` does, which
# takes labels; and the *error of a layer's outputs*, relative to their size. All use the same steps, so that the score alone
# differs. Sizes are those of weights and scales.

# %% mystnb={"image": {"alt": "Flip rate on a logarithmic axis against the size in kilobytes, a panel for each CIFAR-10 family and a line for each way to give bits to layers. One line is for uniform bits."}} caption="Flips against size: bits uniform and by layer, means over networks." data=["by-layer"] tags=["remove-input"]
by_layer = gathered("by-layer")
if len(by_layer):
    tables.save(by_layer, "by-layer")
    fig = allocations.against_bytes(by_layer)

# %% caption="Bits by the forecast less another way: mean difference of flips over networks, with its 90 % interval." tags=["remove-input"]
OURS, FINE = "forecast", "forecast, per channel"
text, gain = "No interval: there are fewer than two networks of a family.", ""
if len(by_layer) and seeds > 1:
    others = list(trials.WAYS[:4])
    pairs = [(OURS, way) for way in others] + [(FINE, "uniform, per channel")]
    differences = allocations.against(by_layer, pairs)
    tables.save(differences, "by-layer-differences")
    uniform = differences[differences["against"] == "uniform"]
    shown = differences[differences["against"].str.startswith("uniform")]
    display(tables.styled(allocations.differing(shown), "shown-by-layer"))
    low, tied, total = allocations.where_lowest(by_layer, OURS, others)
    finest = allocations.where_lowest(by_layer, FINE, [*trials.WAYS[:6]])[0]
    middle = min(means, key=lambda mean: abs(mean - 4))
    gain = "; ".join(
        f"with {m} in the mean, {allocations.fewer(uniform, m)}"
        for m in sorted({min(means), middle}, reverse=True)
    )
    gain = f"\n* Bits by layer, rounded to nearest, against uniform ones: {gain}."
    told = (f"* {m} bits: {allocations.fewer(uniform, m)}." for m in means)
    text = "Against uniform bits:\n\n" + "\n".join(told)
    text += (
        f"\n\nWith one scale for each layer, the forecast alone has the fewest flips at {low} of {total} points, and "
        f"shares them with another way at {tied}: the scores often agree on the bits. With one scale for each output "
        f"channel it has fewer than all other ways at {finest} of {total}, at the cost of more scales."
    )
Markdown(text)

# %% [markdown]
# ## Rounding on top
#
# [Rounding by the boundary metric](07-rounding) chooses one of two neighbours for each weight. Does it still pay to move bits?

# %% tags=["remove-input"]
rounded = gathered("rounded")
text = "No network was rounded by the metric."
if len(rounded):
    tables.save(rounded, "rounded")
    text = allocations.on_top(rounded, rounding)
Markdown(text)

# %% [markdown]
# ## A decision
#
# How small may each network be? From half of the calibration images bits are allocated for forecasts at and below the middle
# $\tau$, down from the most bits; the promise at the larger $\delta$ is tested on the other half, and the pick is measured on test images.

# %% caption="The smallest network of each kind whose flips are promised to stay within the threshold." tags=["remove-input"]
decisions = gathered("decision")
shown = decisions[allocations.DECISION]
display(tables.show(decisions, "decisions", shown=shown))
decision, left_out = allocations.decided(decisions, budget, tau)
Markdown(f"{decision} {left_out}")

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
    f"calibration inputs are drawn from, and no other.{gain}\n* {decision}"
)

# %% [markdown]
# Next: [under which conventions the paper's numbers agree](10-which-protocol), or [which bits to choose](choosing-bits.ipynb).
#
# ## Exercises
#
# ```{include} exercises/09-before-you-quantize.md
# ```

# %% tags=["opening", "remove-input"]
opening(
    "How many decisions will change, and how sure is a pick, before anything is quantized?",
    f"From unlabelled inputs and the float network alone, flips at {of} can be forecast: {judge.in_short(most)}. "
    f"A pick by an exact test breaks its threshold in at most {max(worst.values()):.1%} of redrawn calibration sets, and one "
    f"by the plain flip rate in up to {plug_in:.0%}.",
    f"{len(tasks)} small networks, weights alone, rounding to nearest, one scale for each tensor; with few bits the "
    "first order ends.",
)
