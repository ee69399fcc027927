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
#     minutes: 0.2
#     threads: 1
# ---

# %% [markdown]
# # Local geometry
#
# How far is a point from the decision boundary, how far does the boundary move there when the
# weights are rounded, and does it turn? These questions have answers point by point, from one or two
# gradients, and this chapter asks them of small networks on handwritten digits. It answers three
# claims of the paper {cite}`kiselev2026`: D1, D3 and D5.
#
# ## What is measured
#
# A classifier gives logits $f(x) \in \mathbb{R}^K$ and the label $c(x) = \arg\max_k f_k(x)$, ties to
# the lowest index. The float network is the *reference* $f$, its quantized copy the *candidate* $q$.
#
# Margin
# : $m(x) = f_{(1)}(x) - f_{(2)}(x)$, the difference of the two largest logits.
#
# Radius
# : the distance to the nearest boundary to first order,
#
#   $$ r(x) = \min_{k \neq c} \frac{f_c(x) - f_k(x)}{\lVert \nabla (f_c - f_k)(x) \rVert_2}, $$
#
#   which is one step of DeepFool {cite}`moosavi2016`. Taking the minimum over all classes costs a
#   gradient for each; the *pair radius* of the top two classes alone costs one, and may miss the
#   nearest boundary.
#
# First-order boundary displacement
# : let $g = f_i - f_j$ be the gap of the reference's top two classes at $x$ and $g_q = q_i - q_j$ the
#   candidate's gap of the *same* pair. By the implicit function theorem the surface $g = 0$ moves along
#   its normal $\nabla g$ by
#
#   $$ \delta(x) = -\frac{g_q(x) - g(x)}{\lVert \nabla g(x) \rVert_2}. $$
#
#   Its absolute value is the *local shift*.
#
# Normal variation
# : the angle between $\nabla g(x)$ and $\nabla g_q(x)$.
#
# Flip
# : $c_q(x) \neq c(x)$, a top-1 disagreement whatever the true label, also known as churn
#   {cite}`milanifard2016`. The *boundary band* holds the lowest 20 % of the reference's margins of the
#   set at hand, and a *band flip* is a flip in it.
#
# ## What is quantized
#
# Weights only, without retraining (PTQ-W): each weight matrix is rounded to the nearest of the evenly
# spaced values $s\,k$, $|k| \le 2^{b-1}-1$, with one scale $s = \max|w| / (2^{b-1}-1)$ for each matrix;
# biases stay in float {cite}`nagel2021`. The paper's own convention is not in its abstract; this one is
# the plainest.

# %% tags=["parameters"]
seeds: int = 20  # each draws its own split and initialization [1..1000]
first_seed: int = 0  # the first of the seeds [0..1000000]
bits: list[int] = [8, 7, 6, 5, 4, 3, 2]  # 8, 4: claims [2..16]
hidden: int = 64  # hidden units of the network [1..4096]
activation: str = "tanh"  # activation of the hidden units [tanh | relu]
epochs: int = 200  # passes over the training images [1..10000]
test: float = 0.25  # share of the images held out for the test [0.01..0.9]
share: float = 0.2  # share of the test images in the boundary band [0.001..1]
per_channel: bool = False  # one scale per output unit, not per matrix
jobs: int = 2  # seeds at the same time; results do not depend on it [1..64]

# %% tags=["remove-input"]
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from IPython.display import Markdown, display

from baq import compare, local, ptq_w
from baq.inference import labels, logits
from baq.report import charts, style, tables
from baq.report.answers import show_answers
from baq.report.boxes import opening
from baq.report.claims import answer
from baq.report.runs import run_all
from baq.report.stats import summarize
from baq.zoo.recipes import digits_network

style.use_style()

# %% [markdown]
# ## The run
#
# Every seed draws a stratified split of the 1797 digits of scikit-learn {cite}`alpaydin1998`, an
# initialization and an order of the batches. One network is trained with Adam {cite}`kingma2015` (those of 30 seeds
# ship with this book), quantized at every bit width, and all candidates are compared with it on the test images.
#
# One seed by hand: a network, its copy with 4-bit weights, and the two compared on the test images.

# %% caption="One network with 4-bit weights beside its float reference, on the test images."
network, split = digits_network(first_seed, hidden, activation, epochs, test=test)
four_bits = ptq_w(network, 4, per_channel=per_channel)
row = compare(network, four_bits, split.x_test, split.y_test, share=share)
by_hand = row[
    ["accuracy_reference", "accuracy", "flip_rate", "shift", "normal_angle"]
]
tables.styled(by_hand, "by-hand")

# %% [markdown]
# The copy's accuracy stands beside that of its reference; then the share of images flipped, the median
# local shift in input units, and the median normal variation in degrees. The same follows for all seeds and
# bit widths.


# %% mystnb={"code_prompt_show": "Show how one seed is measured"} tags=["hide-input"]
def measured(seed):
    """All candidates of a seed compared; margin, radii and flips of each test image."""
    reference, split = digits_network(seed, hidden, activation, epochs, test=test)
    candidates = {b: ptq_w(reference, b, per_channel=per_channel) for b in bits}
    rows = compare(reference, candidates, split.x_test, split.y_test, share=share)
    z = logits(reference, split.x_test)
    points = {
        "margin": local.margins(z),
        "correct": labels(z) == split.y_test,
        "radius": local.radii(reference, split.x_test)[0],
        "pair_radius": local.pair_gap(reference, split.x_test).radius,
    }
    for b, candidate in candidates.items():
        points[b] = local.flips(z, logits(candidate, split.x_test))
    return rows.assign(seed=seed), pd.DataFrame({"seed": seed} | points)


tasks = [(seed,) for seed in range(first_seed, first_seed + seeds)]
rows, points = zip(*run_all(measured, tasks, jobs=jobs, label="seeds"), strict=True)
by_seed = pd.concat(rows, ignore_index=True).rename(columns={"candidate": "bits"})
points = pd.concat(points, ignore_index=True)
by_seed["labels_changed"] = (
    (by_seed["flip_rate"] * by_seed["points"]).round().astype(int)
)
tables.save(by_seed, "by-seed")

# %% [markdown]
# ## How far the boundary is
#
# Half of the test images lie closer to a boundary than the curve's crossing of one half. The pair
# radius is never the smaller one; where the two curves part, the nearest boundary belongs to a class
# that is not the runner-up in logits.

# %% mystnb={"image": {"alt": "Two rising curves: the share of test images whose all-class radius, and whose pair radius, lies below a given distance. The pair radius runs slightly to the right. Misclassified images lie far closer to the boundary."}} caption="Share of test images within a distance of the boundary, all seeds." data=["radius-quantiles"] tags=["remove-input"]
level = np.linspace(0, 1, 201)
wrong = points.loc[~points["correct"], "radius"]
quantiles = {
    "all-class radius": points["radius"].quantile(level),
    "pair radius": points["pair_radius"].quantile(level),
    "all-class radius, misclassified": wrong.quantile(level),
}
tables.save(
    pd.DataFrame(quantiles).rename_axis("share").reset_index(), "radius-quantiles"
)
fig, ax = plt.subplots()
for (label, radius), dash in zip(quantiles.items(), ("-", "--", ":"), strict=True):
    ax.plot(radius, level, dash, label=label)
ax.set(
    xlabel="distance to the boundary, input units (pixels are 0 to 1)",
    ylabel="share of test images, all seeds",
    xlim=(0, None),
)
charts.share_axis(ax.yaxis)
legend = ax.legend()

# %% tags=["remove-input"]
# Where both radii are of the same pair they still differ by rounding.
nearer = points["radius"] < (1 - 1e-4) * points["pair_radius"]
nearest_elsewhere = nearer.groupby(points["seed"]).mean()
radius_table = points.groupby("seed")[["radius", "pair_radius"]].median()
radius_table["nearest_elsewhere"] = nearest_elsewhere
tables.save(radius_table.reset_index(), "radii")
display(
    Markdown(
        f"Over {seeds} seeds the median all-class radius is "
        f"**{radius_table['radius'].median():.3f}** and the median pair radius "
        f"**{radius_table['pair_radius'].median():.3f}** (an image has norm around "
        f"{split.x_test.flatten(1).norm(dim=1).quantile(0.5):.1f}); for "
        f"**{nearest_elsewhere.median():.0%}** of the test images the nearest boundary is not the "
        "one of the top pair."
    )
)

# %% [markdown]
# ## How far it moves, and how much it turns
#
# Each bit fewer doubles the rounding step, so shift and angle should double as long as the first order
# holds. The grey line doubles with each bit, from our median at the most bits.

# %% mystnb={"image": {"alt": "Two panels over bit widths from 8 to 2, logarithmic. Left: median local shift over all test images and over the boundary band, doubling with each bit, with the paper's value marked at 4 bits. Right: the angle between the normals, which doubles too and bends below 4 bits."}} caption="Local shift and normal variation against the bit width: median and interval over seeds." data=["by-bits"] tags=["remove-input"]
measures = [
    "shift",
    "band_shift",
    "normal_angle",
    "accuracy",
    "flip_rate",
    "band_flip_rate",
]
summary = summarize(by_seed, ["bits"], measures)
SHIFT, ANGLE = "local shift, input units", "normal variation, degrees"
fig = charts.by_bits(
    summary,
    {
        SHIFT: {"shift": "all images", "band_shift": "boundary band"},
        ANGLE: {"normal_angle": "all images"},
    },
    log=[SHIFT, ANGLE],
    paper={SHIFT: [(4, "D5")]},
)
for ax, measure in zip(fig.axes, ["shift", "normal_angle"], strict=True):
    first = summary[
        (summary["measure"] == measure) & (summary["bits"] == max(bits))
    ]
    doubling = first["median"].item() * 2.0 ** (max(bits) - np.array(bits))
    ax.plot(
        [-b for b in bits], doubling, color="0.5", lw=1, zorder=0, label="doubling"
    )
    ax.legend()

# %% [markdown]
# ## What the decisions make of it
#
# Accuracy hardly sees what flips see: a flip from one wrong label to another, or a lost image paid for
# by a won one, leaves accuracy where it was. The band shows where the flips are.

# %% mystnb={"image": {"alt": "Two panels over bit widths from 8 to 2. Left: test accuracy stays flat down to 4 bits and falls at 3 and 2, with the paper's value marked at 4 bits. Right: flip rate over all test images and within the boundary band, the band's being several times higher."}} caption="Test accuracy and flips against the bit width: median and interval over seeds." data=["by-bits"] tags=["remove-input"]
ACCURACY, FLIPS = "test accuracy", "share of images flipped"
fig = charts.by_bits(
    summary,
    {
        ACCURACY: {"accuracy": "quantized"},
        FLIPS: {"flip_rate": "all images", "band_flip_rate": "boundary band"},
    },
    paper={ACCURACY: [(4, "D3")]},
)
# Linear up to one image in all, logarithmic above.
fig.axes[1].set_yscale("symlog", linthresh=1 / by_seed["points"].min())
limits = fig.axes[1].set_ylim(0, 1)

# %% caption="Every measure by bit width." tags=["remove-input"]
display(Markdown(f"{tables.spread_text(seeds)}:"))
shown = {
    "shift": "shift, input units",
    "band_shift": "shift in the band, input units",
    "normal_angle": "normal variation, degrees",
    "accuracy": "test accuracy",
    "flip_rate": "flip rate",
    "band_flip_rate": "flip rate in the band",
}
tables.show_intervals(summary, "by-bits", "bits", shown)

# %% [markdown]
# ## Which margins flip
#
# Test images of all seeds, sorted by margin within their seed and cut into tenths. A flip needs the
# boundary to move past the point, so flips live at the low end: that is what makes the boundary band
# the place to look.

# %% mystnb={"image": {"alt": "Share of test images flipped in each tenth of the margin, from lowest to highest, for several bit widths. Nearly all flips fall in the lowest tenths; at 2 bits they spread upward."}} caption="Share of images flipped in each tenth of the margin, all seeds." data=["flips-by-margin"] tags=["remove-input"]
low_bits = [b for b in sorted(bits) if points[b].any()][:4]
points["tenth"] = 1 + (
    points.groupby("seed")["margin"].rank(pct=True, method="first") * 10
).sub(1e-9).astype(int)
by_margin = (
    points.groupby("tenth")[low_bits]
    .mean()
    .reset_index()
    .melt("tenth", low_bits, "bits")
)
tables.save(by_margin, "flips-by-margin")
fig, ax = plt.subplots()
for k, b in enumerate(low_bits):
    rows = by_margin[by_margin["bits"] == b]
    ax.plot(
        rows["tenth"],
        rows["value"],
        marker=style.MARKERS[k],
        ls=style.DASHES[k],
        label=f"{b} bits",
    )
ax.axvspan(0.5, 0.5 + 10 * share, color="0.9", zorder=0, label="boundary band")
ax.set(
    xlabel="tenth of the margin, lowest first",
    ylabel="share of images flipped",
    xticks=range(1, 11),
    xlim=(0.5, 10.5),
)
charts.share_axis(ax.yaxis)
legend = ax.legend()

# %% [markdown]
# ## Beside the paper
#
# The paper's three numbers come from one run whose split, network and quantizer are not in its
# abstract. They are judged against the distribution over our seeds, not against one lucky run.

# %% mystnb={"image": {"alt": "One row for each of the claims D1, D3 and D5: a dot for each seed, the prediction interval and mean, and the paper's value as a diamond."}} caption="Claims D1, D3 and D5: our seeds beside the paper." data=["by-seed"] tags=["remove-input"]
claimed = {
    claim: by_seed.loc[by_seed["bits"] == b, column]
    for claim, b, column in [
        ("D1", 8, "labels_changed"),
        ("D3", 4, "accuracy"),
        ("D5", 4, "shift"),
    ]
    if b in bits
}
fig = charts.against_paper(claimed) if claimed else None

# %% caption="The claims of this chapter." tags=["remove-input"]
show_answers(answer(claimed))

# %% [markdown]
# ## What to take along

# %% tags=["remove-input"]
at = by_seed.groupby("bits")[measures].median()
few = 4 if 4 in at.index else min(bits)
band = (
    at["band_flip_rate"][few] / at["flip_rate"][few]
    if at["flip_rate"][few]
    else np.nan
)
far = at["shift"][few] / at["shift"][max(bits)]
per_bit = far ** (1 / max(1, max(bits) - few))
Markdown(
    f"* Each bit fewer multiplies the movement by {per_bit:.1f} down to {few} bits: the median shift is {at['shift'][max(bits)]:.4f} "
    f"at {max(bits)} and {at['shift'][few]:.4f} at {few}, while half of the images have {radius_table['radius'].median():.2f} of room.\n"
    f"* Flips lie where room is short: at {few} bits they are {band:.1f} times as frequent in the boundary band as "
    "among all images.\n"
    "* Accuracy sees little of it, for gains and losses cancel in the count.\n\n"
    "Next: [the same boundaries on a plane](02-slice-geometry)."
)

# %% [markdown]
# ## Exercises
#
# ```{include} exercises/01-local-geometry.md
# ```

# %% tags=["opening", "remove-input"]
opening(
    "How far does the boundary move when weights are rounded?",
    f"At {few} bits it moves by more than {at['shift'][few]:.3f} at half of the test images and turns by "
    f"{at['normal_angle'][few]:.1f} degrees, where the nearest boundary is {radius_table['radius'].median():.2f} away. "
    f"{at['flip_rate'][few]:.1%} of the labels change, in the band near the boundary {at['band_flip_rate'][few]:.1%}.",
    f"Medians over {seeds} seeds of networks with one hidden layer on digits; distances to first order, in input units.",
)
