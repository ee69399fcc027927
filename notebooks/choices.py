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
# # Choices
#
# The abstract leaves open most of what a replication needs. This page lists each open choice: what this
# book does, and what the alternatives do to the claims, as the chapters measured it. Cells hold the median and
# the 90 % interval over seeds, of fewer than ten (*n*) their range. Studies of alternatives have fewer seeds than the
# claims themselves, so the rows *as chosen* differ a little from the table of [claims](claims.ipynb).

# %% tags=["parameters", "remove-cell"]
digits: str = "02-slice-geometry/choices"  # the table of the choices on digits

# %% tags=["remove-cell"]
import pandas as pd
from IPython.display import Markdown, display

from baq.band import band_flip_law
from baq.report.claims import claims, paper_text, paper_value
from baq.report.excerpts import excerpt, markdown_table, read
from baq.report.stats import summarize
from baq.report.tables import interval_table, written
from baq.slices import jaccard_shift

QUANTIZER = ["as chosen", "one scale per output unit", "asymmetric levels"]
NETWORKS = ["as chosen", "32 hidden units", "128 hidden units", "ReLU"]
NETWORKS += ["standardized inputs"]
SLICES = ["as chosen", "one-sided masks", "slice without padding"]
SLICES += ["slice of the test images", "plane through three test images"]


def told(key, *ids):
    """Headings of a table of claims: what each is about, and the paper's value."""
    said = {
        c: f"{c}, {claims()[c]['quantity']}, paper {paper_text(c)}" for c in ids
    }
    return {key: key} | said


DIGITS = told("choice", "D1", "D2", "D3", "D4", "D5")
shown = "claim setting part quantity paper median lo hi n"
ANSWER = {name: name for name in shown.split()}

# %% [markdown]
# ## The levels of the weights
#
# *Open:* symmetric levels or not; one scale for each tensor or each channel; clipping; what happens to biases
# and to batch norm.
#
# *Here:* symmetric levels in a narrow range, one scale for each tensor, set by the largest weight, so nothing
# is clipped. Biases and batch norm stay in float.
#
# On digits:

# %% caption="Claims on digits with other levels of the weights." tags=["remove-input"]
excerpt(digits, QUANTIZER, columns=DIGITS)

# %% [markdown]
# On full CIFAR-10, where there is batch norm to fold:

# %% caption="Claims on full CIFAR-10 in six settings." tags=["remove-input"]
excerpt("06-cifar-full/conventions", columns=told("setting", "F1", "F2", "F3"))

# %% [markdown]
# ## The networks and their training
#
# *Open:* widths, activation, optimizer, epochs, scaling of the inputs.
#
# *Here:* on digits one hidden layer of 64 tanh units on pixels from 0 to 1, trained with Adam. On the
# other sets small convolutional and residual networks. Recipes were set by float accuracy and cost, never by
# a quantized network. Two families meet on [full CIFAR-10](06-cifar-full), in the table above; on digits:

# %% caption="Claims on digits with other networks." tags=["remove-input"]
excerpt(digits, NETWORKS, columns=DIGITS)

# %% [markdown]
# Shifts are in input units, and standardizing changes that unit.
#
# ## The slice
#
# *Open:* which points span the plane, how far it extends, how thick the boundary mask is.
#
# *Here:* on digits the PCA plane of the training images, a tenth wider than their projections, and a mask on
# both sides of the boundary; on CIFAR-10 the mean over many planes through three images.

# %% caption="Claims on digits with other slices." tags=["remove-input"]
excerpt(digits, SLICES, columns=DIGITS)

# %% [markdown]
# ## The grid
#
# *Open:* the number of cells.
#
# *Here:* 241 a side on digits. *J* compares boundaries in units of cells, so this choice decides its size
# ([Slice geometry](02-slice-geometry) has the law). Its ratio between two bit widths can speak of the
# quantizer only where the boundary moves by less than a cell, and even there it scatters; a finer grid saturates it. On digits:

# %% caption="J on digits with other grids." tags=["remove-input"]
excerpt(
    "02-slice-geometry/by-grid",
    columns={"n": "cells a side, n", "bits": "bits", "jaccard": "J"},
    by=("n", "bits"),
)

# %% [markdown]
# There, the shift in cells that $J$ tells ([Slice geometry](02-slice-geometry)) grows from 8 to 4 bits by these ratios, where the
# step of the quantizer grows by 127/7 = 18.1:

# %% caption="Shift in cells at 4 bits over that at 8 on digits: median over seeds and their 90 % interval." tags=["remove-input"]
grids = read("02-slice-geometry/by-grid")
if grids is not None and {8, 4} <= set(grids["bits"]):
    moved = grids.pivot(index=["n", "seed"], columns="bits", values="jaccard")
    moved = jaccard_shift(moved)
    ratio = (moved[4] / moved[8].where(moved[8] > 0)).rename("ratio")
    ratio = summarize(ratio.dropna().reset_index(), ["n"], ["ratio"])
    ratio = interval_table(ratio, ["n"], precision=2, headings={"ratio": "ratio"})
    ratio = written(ratio, headings={"n": "cells a side, n"})
    display(Markdown(markdown_table(list(ratio), ratio.itertuples(index=False))))

# %% [markdown]
# On the CIFAR-10 subsets, together with the other choices there:

# %% caption="Claims on the CIFAR-10 subsets with other choices." tags=["remove-input"]
on_subsets = told("choice", "C2", "C3", "C4", "C5")
excerpt("05-cifar-subsets/choices", columns=on_subsets)

# %% [markdown]
# On these subsets, the shift in cells grows from 8 to 6 bits by these ratios, where the step of the quantizer grows by 127/31:

# %% caption="Shift in cells at 6 bits over that at 8, median over seeds." tags=["remove-input"]
excerpt("05-cifar-subsets/ratios")

# %% [markdown]
# ## Junctions and transitions
#
# *Open:* what a triple-junction cell is, how the junctions of a transition are counted, which transitions
# were selected and how.
#
# *Here:* a block of two by two cells with three labels; the largest count of any map on the path; the three
# transitions between the bit widths that the abstract names.

# %% caption="Triple-junction cells, counted in five ways." tags=["remove-input"]
excerpt("03-interpolation-and-junctions/readings")

# %% [markdown]
# ## Stopping
#
# *Open:* the bits offered, the thresholds, and the rule itself.
#
# *Here:* all bit widths from 8 to 2 on digits; one percentage point of accuracy; as many flips; a shift of one
# cell. The accuracy rule at other thresholds `eps`, means over seeds:

# %% caption="The accuracy rule at other thresholds: means over seeds, held-out." tags=["remove-input"]
excerpt("04-stopping/accuracy-rule")

# %% [markdown]
# The boundary-aware rule over a grid of all three thresholds: the share of the grid at which it has fewer, as
# many and more held-out flips than the accuracy rule, and at which every seed kept the thresholds:

# %% caption="The boundary-aware rule at other thresholds: share of the triples." tags=["remove-input"]
excerpt(
    "04-stopping/thresholds-verdict",
    columns={
        "setting": "setting",
        "fewer": "fewer flips",
        "equal": "equal",
        "more": "more flips",
        "satisfied": "all satisfied",
    },
)

# %% [markdown]
# ## The boundary band
#
# *Open:* its width.
#
# *Here:* the lowest fifth of the float margins. The paper's own pairs of rates suggest it, by a law that
# [Full CIFAR-10](06-cifar-full) derives and tests; [all its numbers](10-which-protocol) leave it open. Beside each pair of the paper's rates stands
# the rate in the band that the law expects, for bands of several widths:

# %% caption="The rate in the band that the law expects." tags=["remove-input"]
overall = float(claims()["O1"]["given"]["overall"])
PAIRS = {"F2, F3": (paper_value("F2"), paper_value("F3"))}
PAIRS |= {"O1": (overall, paper_value("O1"))}
bands = pd.DataFrame(
    {"claim": name, "flip rate": f, "in the band": b}
    | {f"law, {share:.0%}": band_flip_law(f, share) for share in (0.1, 0.2, 0.3)}
    for name, (f, b) in PAIRS.items()
)
Markdown(markdown_table(list(bands), bands.itertuples(index=False)))

# %% [markdown]
# ## Optimized rounding
#
# *Open:* which rounding the boundary-gap term is added to, the formula and the weight of the term, which network
# and images.
#
# *Here:* AdaRound by the Gram matrices of the layers; the mean squared difference of the top pair's gaps over
# rounding images of low margin; the weight that does best on validation images. The claims in every
# setting:

# %% caption="Claims on rounding, in every setting." tags=["remove-input"]
excerpt("07-rounding/claims", columns=ANSWER)

# %% [markdown]
# Other weights of the term, on validation images:

# %% caption="Other weights of the boundary-gap term, on validation images." tags=["remove-input"]
excerpt(
    "07-rounding/gap-path",
    columns={
        "setting": "setting",
        "bits": "bits",
        "weight": "weight",
        "band_pair_flip_rate": "pair-order flips in the band",
        "accuracy": "accuracy",
    },
    by=("setting", "bits", "weight"),
)

# %% [markdown]
# ## Calibration against held-out
#
# *Open:* what enters the correlation: which levels and roundings, how many points, one network or many.
#
# *Here:* each of these readings on its own.

# %% caption="Claim P1, in every reading." tags=["remove-input"]
excerpt("08-calibration/claims", columns=ANSWER)

# %% [markdown]
# ## Seeds
#
# *Open:* how many, and of what, outside full CIFAR-10.
#
# *Here:* 20 on digits, each with its own split and initialization, 10 on the CIFAR-10 subsets, 5 on MNIST and
# Fashion-MNIST, and the paper's 3 on full CIFAR-10. Every claim is compared with the spread over them.
