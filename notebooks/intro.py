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
#     minutes: 0.1
#     threads: 1
#     reads: tables
# ---

# %% [markdown]
# # Boundary-aware quantization, an executable companion
#
# Round the weights of a classifier to a few bits: its accuracy may stay where it was, its decision boundaries move all the
# same. O. M. Kiselev's *Boundary-Aware Quantization: Finite-Scale Decision Geometry of Neural Classifiers* {cite}`kiselev2026`
# measures how far. This book is an **independent replication from that paper's abstract**, in notebooks that anyone can run
# and change.

# %% tags=["parameters", "remove-cell"]
seeds: int = 3  # networks to choose from, of those that the page Explore brings along [1..10]
n: int = 129  # cells a side of the label maps in the printed picture [2..1000]
levels: list[int] = [8, 6, 4]  # its bit widths [2..16]

# %% tags=["remove-cell"]
import io

import matplotlib.pyplot as plt
import pandas as pd
from IPython.display import HTML, Markdown
from PIL import Image

from baq import ptq_w, slices
from baq.report import answers, style
from baq.report.excerpts import read, results
from baq.report.maps import boundary_overlay
from baq.report.pictures import image_address
from baq.report.stats import paired_difference
from baq.zoo.recipes import digits_network

# %% tags=["remove-input"]
judged = answers.judged(answers.collect(results()))
Markdown(
    f"{answers.counts_line(judged)} [All of them, and what was tried](claims.ipynb)."
)

# %% [markdown]
# ::::{grid} 1 1 3 3
# :gutter: 2
#
# :::{grid-item-card} Check the paper
# :link: claims
# :link-type: doc
#
# Every number of the abstract beside ours, with a verdict and, where they differ, a suspected reason and its trial.
# :::
#
# :::{grid-item-card} Choose bits
# :link: choosing-bits
# :link-type: doc
#
# What each bit costs in decisions, in accuracy and in bytes, beside the noise of training.
# :::
#
# :::{grid-item-card} Use it on your network
# :link: audit
# :link-type: doc
#
# One command audits your float network and its copies, and writes a page about them.
# :::
# ::::
#
# ## What came out

# %% tags=["remove-input"]
lines, MOVED = [], ["jaccard", "mean_displacement"]
control = read("02-slice-geometry/controls")
grids = read("02-slice-geometry/by-grid")
found, floor = read("06-cifar-full/levels"), read("06-cifar-full/noise-floor")
if control is not None:
    known = ["accuracy", "accuracy_reference", *MOVED]
    at = control.groupby("pair")[known].median()
    if {"4 bits", "another training"} <= set(at.index):
        four, again = at.loc["4 bits"], at.loc["another training"]
        moved = control.pivot(index="seed", columns="pair", values=MOVED[1])
        moved = moved["another training"], moved["4 bits"]
        far = "about as far as"
        if len(control["seed"].unique()) > 1:
            less = paired_difference(*moved)
            far = "farther than" if less["lo"] > 0 else far
            far = "less far than" if less["hi"] < 0 else far
        lines.append(
            f"* **At 4 bits the boundary of a small network on handwritten digits moves {far} training it again moves it**: by "
            f"{four[MOVED[1]]:.3f} on average along it, where a pixel goes from 0 to 1 (trained again: {again[MOVED[1]]:.3f}), farther in "
            f"{(moved[1] > moved[0]).sum()} of {len(moved[0])} networks. The Jaccard distance, the share of boundary cells that are not common to both, is "
            f"{four[MOVED[0]]:.2f} (trained again: {again[MOVED[0]]:.2f}). The accuracy goes from {four['accuracy_reference']:.1%} to {four['accuracy']:.1%}."
        )
if floor is not None and found is not None:
    lost = found[found["setting"].eq("cnn, per tensor") & found["bits"].eq(6)]
    cnn = floor[floor["family"] == "cnn"]
    anew = cnn["against"] == "another training"
    six, again = (
        cnn.loc[rows, "flip_rate"].median() for rows in (cnn["bits"] == 6, anew)
    )
    if not pd.isna([six, again]).any():
        lines.append(
            f"* **Decisions change more than accuracy tells**: 6 bits cost a small network on CIFAR-10 "
            f"{100 * lost['loss'].median():.1f} points of accuracy ({100 * lost['loss'].min():.1f} to {100 * lost['loss'].max():.1f} over "
            f"{len(lost)} networks) and change {six:.1%} of its labels ({lost['flip_rate'].min():.1%} to {lost['flip_rate'].max():.1%}); another "
            f"training changes {again:.1%}."
        )
if grids is not None:
    j = grids[grids["bits"] == grids["bits"].min()].groupby("n")["jaccard"].median()
    lines.append(
        f"* **The Jaccard distance reads the grid of cells that a plane is cut into**: at {grids['bits'].min()} bits the "
        f"same networks have {j.iloc[0]:.2f} on {j.index[0]} cells a side and {j.iloc[-1]:.2f} on {j.index[-1]}, while their "
        f"boundaries moved by the same distance."
    )
lines += ["", "Numbers are medians over networks."] if lines else []
Markdown("\n".join(lines) or "*No chapter has been executed yet.*")

# %% [markdown]
# *Play* the bits: the weights of a network on handwritten digits move from 8 bits to 3, on the path of
# [Interpolation and junctions](03-interpolation-and-junctions), beside the boundary in float. *Play* the cells: nothing moves but
# the grid, and yet the Jaccard distance *J* of the two boundaries grows.

# %% tags=["remove-cell"]
style.use_style()
network, split = digits_network(0, epochs=200, test=0.25)
plane = slices.pca_plane(split.x_train, 0.1)
reference = slices.label_map(network, plane, n)
copies = {b: slices.label_map(ptq_w(network, b), plane, n) for b in levels}
masks = {b: slices.boundary_mask(grid) for b, grid in copies.items()}
mask = slices.boundary_mask(reference)
apart = {b: slices.jaccard_distance(mask, other) for b, other in masks.items()}
drawn = {f"{b} bits, J = {apart[b]:.2f}": grid for b, grid in copies.items()}

# %% caption="The boundary of a float network and that of the same network with fewer bits, on a plane through the data, and the Jaccard distance J between them." tags=["remove-input"]
buffer = io.BytesIO()
figure = boundary_overlay(reference, drawn)
figure.savefig(buffer, dpi=160)
plt.close(figure)
names = " ".join(f"digits/tanh-{seed}" for seed in range(seeds))
HTML(
    f"""<figure class="explore" data-explore="small" data-networks="{names}" data-more="explore.html">
<img src="{image_address(Image.open(buffer))}" alt="Boundary cells of the float network and of its copies: {"; ".join(drawn)}.">
<p>The picture moves where JavaScript is at hand; here it is at {", ".join(map(str, levels))} bits, on {n} cells a side.</p>
</figure>"""
)

# %% [markdown]
# :::{admonition} What this book is, and what it is not
# :class: important
#
# Neither code nor full text of the paper was at hand, so every
# convention that the abstract leaves open is a choice made here. Each choice is named where it is made, varied
# where it matters, and never presented as the paper's. The paper's numbers stand beside ours, and ours are
# distributions over seeds: over splits and initializations, not one lucky run.
# :::
#
# ## How to read it
#
# Each chapter opens with its question and its answer and ends with what to take along and two exercises. Every
# number and figure is written by the notebook that computed it; the tables lie as CSV files in `book/results/`.
#
# * [Definitions](definitions.md) has the vocabulary: one word for each idea, in text, code and tables.
# * One network, point by point: [Local geometry](01-local-geometry). On a plane: [Slice geometry](02-slice-geometry).
#   On its way from one bit width to the next: [Interpolation and junctions](03-interpolation-and-junctions).
# * Which bits to keep: [Calibration-to-test stopping](04-stopping), [CIFAR-10 subsets](05-cifar-subsets),
#   [Full CIFAR-10](06-cifar-full).
# * Which way to round: [Rounding](07-rounding). How far calibration data can be trusted:
#   [Calibration](08-calibration). What can be known before: [Before you quantize](09-before-you-quantize).
# * Which conventions the paper's numbers are compatible with: [Which protocol?](10-which-protocol)
# * [Choices](choices.ipynb) says what depends on what the abstract leaves open, [Performance](performance.ipynb) and
#   [Scaling](scaling.ipynb) what the measures cost, [Status](status.md) when and where each chapter was executed.
#
# ## How to use it
#
# Read it here; re-execute it with one command; or change a parameter of one chapter and run that.
# [How to reproduce](reproduce.md) has the commands. The measures themselves are a small Python package, `baq`,
# which takes your own networks too:
#
# ```python
# from baq import compare, ptq_w
#
# candidates = {bits: ptq_w(network, bits) for bits in (8, 6, 4)}
# compare(network, candidates, images, labels)
# ```
