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
# # Performance
#
# A finer grid places a boundary more exactly, and a larger study takes more networks, so what this book measures must be cheap.
# Here each costly part is raced against what one would use instead. `make race` repeats all of it in some
# twenty minutes; it writes `book/results/benchmarks.csv`, from which the table is made.

# %% tags=["parameters", "remove-cell"]
least_side: int = 129  # smaller maps show fixed costs, and no law [2..]

# %% tags=["remove-cell"]
import matplotlib.pyplot as plt
from IPython.display import Markdown, display

from baq.report import costs, style
from baq.report.excerpts import read

style.use_style()
races, planes, maps = (
    read(name) for name in ("benchmarks", "benchmarks-planes", "benchmarks-costs")
)
NONE = "The races have not been run: `make race` does."

# %% [markdown]
# In each race the two sides take turns on the same inputs with the same number of threads, and their answers are
# compared. The ratio is the median over rounds of the peer's time over ours, with the smallest and the largest; the
# target was set before the race. A target that is not met stays in the table.

# %% caption="Races: the peer's time over ours, median with smallest and largest." tags=["remove-input"]
Markdown(NONE if races is None else costs.races_table(races))

# %% [markdown]
# The races ran on

# %% tags=["remove-input"]
machines = [] if races is None else races["machine"].unique()
Markdown("\n".join(f"* {name}" for name in machines) or NONE)

# %% [markdown]
# ## What is compared
#
# Label maps
# : The dense loop evaluates every point of the plane, in batches of the size that was fastest for it
#   {cite}`somepalli2022`. A *certified* map is exact [but for ties](definitions.md#label-maps): it bounds the network on boxes, and evaluates in double
#   precision the cells that this leaves in doubt; most labels along the boundary follow from the sign of a linear
#   function. Bounds grow looser with each layer, so a deep network is raced only where they settle most cells
#   of small boxes; elsewhere its target counts as not met. Each box costs several passes, so that
#   a small map of a deep network is faster dense than certified. An *adaptive* map can miss an island between the points of its first lattice, and states a bound
#   for it. A cell counts as wrong if its label is neither that of the loop nor that of a dense evaluation in double
#   precision. Where a map is evaluated in single precision, two logits that are the same number there count as
#   equal. What a network computes before its first nonlinearity is affine on a plane: it is evaluated at a few
#   points and then added up, which the loop of the peer does not do.
#
# Radii
# : DeepFool {cite}`moosavi2016` walks to the boundary in several steps, our radius is its first; both must
#   rank the points alike. The floor is what automatic differentiation needs: one forward pass and a
#   backward pass for each class. For networks with one hidden layer the gradients have a closed form. For
#   others our time is that floor less one class and less the batch norms, which are folded into the convolutions first.
#   So the ratio to DeepFool follows from how many steps it takes until the last point of a batch has crossed, and little
#   more can be gained on our side.
#
# AdaRound
# : Both minimize the error of one layer's outputs over its roundings
#   ([arXiv:2004.10568](https://arxiv.org/abs/2004.10568)). The peer draws
#   batches of images; ours replaces the data by their Gram matrix, so that a step costs the same for any number of
#   images. AIMET and brevitas carry the same mini-batch loop within frameworks of several hundred megabytes; the peer
#   here is that loop without their overhead, written from the paper.
#
# Boundaries and junctions
# : scikit-image draws the masks and scipy takes their distance; scipy's filters count the labels in a window.
#
# ## Maps of image networks, cell by cell
#
# For each network and way the map was compared with the dense one on planes through three test images of different
# classes, in all cells. *Evaluated* counts boxes and cells that the map looked at, as a share of all cells, and the
# bound is the one that it states for the share of wrong cells. The planes are not those of the races above, so that an island
# that an adaptive map misses there need not lie here.

# %% caption="Each map compared with the dense one, in all cells." tags=["remove-input"]
missing = (
    "The planes have not been compared: `python -m benchmarks --planes 20` does."
)
Markdown(missing if planes is None else costs.planes_table(planes))

# %% [markdown]
# ## Cost against size
#
# A dense map costs as much as it has cells, so it grows with the square of n. The length of a boundary grows with n, and
# so do the evaluations that a certified or an adaptive map needs along it. The rest is a share of the cells (the first boxes, of
# 32 x 32 cells in deep networks; the first lattice; painting), or fixed, which shows in the exponents: fitted to few sizes,
# they say how costs grew here, and not what they tend to. Certified maps were to cost
# n to the power of 1.3 at most.

# %% mystnb={"image": {"alt": "Two panels, seconds of a label map against its cells a side, both logarithmic. Left, networks whose maps are certified; right, convolutional networks whose maps are adaptive; with the steeper lines of the dense loops above them."}} caption="Seconds of a label map against its cells a side; dashed: the dense loop." tags=["remove-input"]
if maps is not None:
    fig, axes = plt.subplots(1, 2, figsize=(style.WIDTH, 3.8), sharey=True)
    for ax, way in zip(axes, ("certified", "adaptive"), strict=True):
        networks = maps.loc[maps["way"] == way, "network"].unique()
        for k, name in enumerate(networks):
            for shown, dash in ((way, style.DASHES[0]), ("dense", style.DASHES[1])):
                rows = maps[(maps["network"] == name) & (maps["way"] == shown)]
                line = {"marker": style.MARKERS[k], "ls": dash, "color": f"C{k}"}
                label = name if shown == way else None
                ax.plot(rows["n"], rows["seconds"], label=label, **line)
        title = f"{way}; dashed: dense"
        ax.set(xlabel="cells a side, n", xscale="log", yscale="log", title=title)
        sides = sorted(maps.loc[maps["network"].isin(networks), "n"].unique())
        ax.set_xticks(sides, map(str, sides), rotation=45)
        ax.minorticks_off()
        ax.legend(fontsize=8)
    axes[0].set_ylabel("seconds")

# %% caption="Power laws fitted to the costs, with 90 % intervals." tags=["remove-input"]
text = f"Only maps from {least_side} cells a side on are fitted, and all dense ones.\n\n"
Markdown(NONE if maps is None else text + costs.exponents_table(maps, least_side))

# %% [markdown]
# ## Against what a user would pick
#
# Who has a float network and an int8 one has tools to ask. Each answers a question of its own, by its documentation; here all
# got one pair, a CNN on MNIST and the file that onnxruntime quantized with its defaults, and the same inputs. Seconds are
# those of the processor on one thread, without imports. Most tools compare tensors, or a score; which labels change,
# how surely, and where is what an [audit](audit) adds. `python -m benchmarks --tools` asks again.

# %% caption="What each tool answers, what it says of one pair, and the seconds that it takes." tags=["remove-input"]
asked = read("benchmarks-tools")
Markdown(NONE if asked is None else costs.tools_table(asked))

# %% [markdown]
# ## Chapters against their floor
#
# How fast could this book be at all? While the chapters were executed, every multiplication of a pass through a network was
# counted, forward and backward. At the best rate at which the cores that a chapter had multiply matrices or convolve, these take the
# *floor*. A chapter that is executed alone has all cores; the whole book executes one chapter on each, so that all times here are those
# of one core.
# What is above it is everything else: operations that are not multiplications, layers too small to fill the cores, measures on label maps,
# figures, the start of a kernel, and other work on the machine. A chapter whose networks are small cannot come close.
# `BAQ_COUNTS=FOLDER make book` counts, and `python -m benchmarks --floors FOLDER` writes the table.

# %% caption="Each chapter's minutes, the multiplications of its passes, and the least time that these take." tags=["remove-input"]
floors = read("floors")
uncounted = "The chapters were not counted: `BAQ_COUNTS=FOLDER make book` does, then `python -m benchmarks --floors FOLDER`."
if floors is not None:
    display(Markdown(costs.against_ten_minutes(floors)))
Markdown(uncounted if floors is None else costs.floors_table(floors))
