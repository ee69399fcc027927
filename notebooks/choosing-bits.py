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
#     requires: []
#     minutes: 0.1
#     threads: 1
#     reads: tables
# ---

# %% [markdown]
# # Choosing bits
#
# For whoever has a network and wants it smaller: what does each bit save, and what does it cost in decisions?
# All numbers are those of the chapters, held-out, with weights rounded to nearest and one scale for each tensor.
# Sizes count all parameters at these bits, though biases and batch norm, well below one per cent of them, stay in float.
# What better roundings and bits by layer do at few bits stands [below the table](#what-a-bit-costs).

# %% tags=["parameters", "remove-cell"]
most_flips: float = 0.02  # the largest share of labels that may change [0..1]

# %% tags=["remove-cell"]
import pandas as pd
from IPython.display import Markdown
from scipy.stats import spearmanr

from baq.report import charts, style, tables
from baq.report.boxes import opening
from baq.report.excerpts import read

style.use_style()
measures = ["loss", "flip_rate", "band_flip_rate"]
LEVELS = ["bits", *measures, "family", "seed"]
levels, networks = read("06-cifar-full/levels"), read("06-cifar-full/networks")
floor = read("06-cifar-full/noise-floor")
rounded, by_layer = (
    read("07-rounding/rounded"),
    read("09-before-you-quantize/by-layer"),
)
if levels is None or networks is None or floor is None:
    costs = pd.DataFrame(columns=[*LEVELS, "kilobytes"])
    retrained = pd.DataFrame(columns=measures)
else:
    costs = levels.loc[levels["scheme"] == "per tensor", LEVELS]
    weights = networks.set_index(["family", "seed"])["weights"].rename("weights")
    costs = costs.join(weights, on=["family", "seed"])
    costs["kilobytes"] = costs.pop("weights") * costs["bits"] / 8e3
    retrained = floor[floor["against"] == "another training"]
    retrained = retrained.groupby("family")[measures[1:]].median()
    retrained["kilobytes"] = networks.groupby("family")["weights"].mean() * 4 / 1e3
sizes = costs.groupby(["family", "bits", "kilobytes"], sort=False)[
    measures
].median()
sizes = sizes.reset_index()

# %% [markdown]
# ## What a bit costs
#
# The two families of [full CIFAR-10](06-cifar-full), 10,000 test images. The weights of the float network take
# four bytes each. Read the flips beside the thin line of their colour, which is what training the same network again
# changes: a network that flips less than that is nearer to the float network than a second training is.

# %% mystnb={"image": {"alt": "A panel for each family of networks: flip rate, flip rate in the boundary band and loss of accuracy against the kilobytes of the weights, on a logarithmic axis, with a thin line at the flips of another training, and one at those in the band. Flips lie above the loss of accuracy."}} caption="Decisions changed and accuracy lost against the size of the weights; medians over seeds. A loss of nothing or less has no place on a logarithmic axis." tags=["remove-input"]
fig = charts.costs_of_size(sizes, retrained) if len(sizes) else None

# %% caption="What each bit width costs on full CIFAR-10, weights alone, beside what another training of the float network changes; medians over seeds." tags=["remove-input"]
again = retrained.reset_index().assign(bits="32, trained again")
shown = pd.concat([again, sizes.astype({"bits": str})]).sort_values(
    "family", kind="stable"
)
tables.show(sizes, "sizes", shown=shown[list(sizes.columns)])


# %% tags=["remove-input"]
def at_few_bits(family, few=4):
    """What better roundings, and bits by layer, change at few bits, as a sentence."""
    told = []
    if rounded is not None:
        rows = rounded[rounded["setting"].eq(family) & rounded["bits"].eq(few)]
        rate = rows.groupby("method")["flip_rate"].median()
        ways = [
            way for way in ("nearest", "AdaRound", "boundary metric") if way in rate
        ]
        told += [f"{rate[way]:.1%} ([{way}](07-rounding))" for way in ways]
    if by_layer is not None:
        rows = by_layer[by_layer["setting"].eq(f"cifar10, {family}")]
        rows = rows[rows["mean"].eq(few) & rows["way"].eq("forecast")]
        rate = rows["flip_rate"].median()
        told += [f"{rate:.1%} ([by layer](09-before-you-quantize))"] * len(rows[:1])
    return f" At {few} bits it changes {', '.join(told)}." if told else ""


lines, answers = [], []
for family, rows in costs.groupby("family", sort=False):
    worst = rows.groupby("bits")["flip_rate"].max()
    kept = worst[worst <= most_flips]
    fewest = f"{kept.index.min()} bits" if len(kept) else "none of the bit widths"
    of_six = rows.loc[rows["bits"] == 6, "flip_rate"].median()
    size = 4 * rows["kilobytes"].div(rows["bits"] / 8).mean()
    text = (
        f"* **{family}**, {size:,.0f} kB in float: the fewest bits at which every seed changes at most {most_flips:.0%} of its "
        f"labels, which is the limit set for this page: {fewest}."
    )
    if family in retrained.index and of_six:
        again = retrained.loc[family, "flip_rate"]
        text += (
            f" At 6 bits it changes {of_six:.1%} in the median, {of_six / again:.2f} times what another training "
            f"changes ({again:.1%})."
        )
        answers.append(
            f"at 6 bits the {family} changes {of_six:.1%} of its labels and another training {again:.1%}"
        )
    lines.append(text + at_few_bits(family))
Markdown("\n".join(lines) or "*Full CIFAR-10 has not been measured here.*")

# %% [markdown]
# ## When J says anything that flips do not
#
# Flips count test images that changed their label. $J$ looks at the whole plane, where most points are no
# images. Two questions decide whether that helps: does $J$ move where no label does, and does it rank networks
# at equal bits otherwise than flips?

# %% tags=["remove-input"]
SOURCES = {"digits, MNIST and Fashion-MNIST": "04-stopping/levels"}
SOURCES |= {"CIFAR-10 subsets": "05-cifar-subsets/levels"}
lines = []
for name, source in SOURCES.items():
    found = read(source)
    if found is None:
        continue
    held_out = found[found["part"] == "test"]
    still = held_out.loc[held_out["flip_rate"] == 0, "jaccard"]
    text = f"* **{name}**: each of {len(held_out)} quantized networks changes some label"
    if len(still):
        text = (
            f"* **{name}**: {len(still)} of {len(held_out)} quantized networks change no label, and their J goes from "
            f"{still.min():.2f} to {still.max():.2f}"
        )
    by = ["setting", "candidate"] if "setting" in held_out else ["candidate"]
    ranks = [
        spearmanr(rows["flip_rate"], rows["jaccard"]).statistic
        for _, rows in held_out.groupby(by)
        if rows["flip_rate"].nunique() > 2 and rows["jaccard"].nunique() > 2
    ]
    if ranks:
        middle = pd.Series(ranks).median()
        text += (
            f". At equal bits flips and J rank the networks with ρ = {middle:.2f} in the median of {len(ranks)} groups of one setting and bit "
            "width, those with three different values of each"
        )
    lines.append(text + ".")
Markdown("\n".join(lines) or "*Neither has been measured here.*")

# %% [markdown]
# Where no label changes, $J$ is the early sign: it moves all the same, since the boundary moves where the test set has no inputs. It is no measure of damage: it [reads the grid](02-slice-geometry), and where $\rho$ is
# small, the network with the larger $J$ need not be the one that flips more labels.
#
# ## How to choose
#
# 1. Fix what may change: a share of labels, not a loss of accuracy. Accuracy lets gains pay for losses.
# 2. Measure the noise floor, if you can train twice: what flips less than it is no more than a second training changes.
#    That is no licence. Who must not see decisions change from one release to the next needs the limit of step 1.
# 3. Compare bit widths on calibration inputs, without labels, and look at the boundary band: at many bits it
#    holds nearly all flips, and with few bits they spread beyond it.
# 4. Ask for $J$, on a stated grid and plane, where inputs may come that your data do not have.
#
# ```python
# from baq import compare, ptq_w
#
# rows = compare(network, {bits: ptq_w(network, bits) for bits in (8, 6, 5, 4)}, x)
# rows[["candidate", "flip_rate", "band_flip_rate"]]
# ```
#
# [Calibration-to-test stopping](04-stopping) turns this into a rule, and
# [Calibration](08-calibration) says how far calibration data can be trusted.
# [Before you quantize](09-before-you-quantize) forecasts the flips, and turns a pick into a promise.

# %% tags=["opening", "remove-input"]
opening(
    "How many bits does a network need?",
    f"As many as keep its decisions, which accuracy does not tell: in the median over seeds {'; '.join(answers) or 'nothing has been measured yet'}."
    f"{at_few_bits('cnn').replace(' it ', ' the cnn ')}",
    "Weights alone are rounded; two small networks on CIFAR-10, three seeds each.",
)
