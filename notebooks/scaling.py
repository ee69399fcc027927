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
# # Scaling
#
# How the cost of a chapter grows, and what it would take where this machine is too small; what each chapter takes
# as it is stands in [How to reproduce](reproduce.md#what-it-costs). Everything on this page is computed from
# measurements; `python -m benchmarks --scaling` repeats them on another machine, in some minutes.

# %% tags=["parameters", "remove-cell"]
images: int = 50_000  # labelled by each network [1..1000000]
networks: int = 7  # the float one and six bit widths [1..100]
planes: int = 20  # label maps of each network [1..1000]
side: int = 241  # their cells a side [2..100000]
radii_images: int = 1000  # whose radii over all classes are taken [1..1000000]
training_images: int = 1_281_167  # of a training from scratch [1..1000000000]
epochs: int = 90  # of such a training [1..10000]
cores: int = 1024  # that share the work [1..1000000]

# %% tags=["remove-cell"]
from IPython.display import Markdown

from baq.report import costs as laws
from baq.report.excerpts import read

costs, reference = read("scaling"), read("scaling-models")
measured_on = "this machine"
if costs is not None:
    measured_on = " and ".join(costs["processor"].unique())
NONE = "The costs have not been measured: `python -m benchmarks --scaling` does."

# %% [markdown]
# ## How costs grow
#
# Each kind of work was timed at several sizes, three times each, and the chapters were executed once at each
# number of seeds. Times are those of one core of the machine named below, which need not be the one that executed the
# chapters of this book. A chapter costs a constant, which is the start of its kernel and its
# figures, and the same again for each seed; ResNet-18 costs a constant and the same again for each multiply-add. So
# a line is fitted to them, by relative errors. For the rest, a power law is fitted to the logarithms. Intervals
# are 90 % ones, and the spread is that of single measurements around the law.

# %% caption="How costs grow, on one core, with 90 % intervals." tags=["remove-input"]
Markdown(NONE if costs is None else laws.laws_table(costs))

# %% [markdown]
# *Evaluation* and *training* are for one image, against the multiply-adds of one evaluation: of the book's
# convolutional networks, whose width is varied, and of ResNet-18, whose images are. *Radii* are for one point, against
# the number of classes: each class has its gradient. A dense *label map* evaluates all cells, an adaptive one those
# along the boundary, whose number grows with the side and not with the area, and a sample of the others. The dense
# one takes `label_map`'s own batches here; on finer grids they outgrow the processor's cache, so that its power lies
# above 2. [Performance](performance.ipynb) takes the batch that is fastest for it.
# *Rounding* is PTQ-W of all weights of a network.
#
# Seeds, bit widths, planes and networks are independent of each other: `n` of them cost `n` times as much, and run
# side by side on as many machines ([Runs and sweeps](runs-and-sweeps)).
#
# ## Do the laws hold beyond what they were fitted to?
#
# The laws of ResNet-18 were fitted on small images. Three networks for ImageNet were evaluated as well, with random
# weights, on images of 224 pixels a side, and not used in the fit:

# %% caption="Networks of ImageNet: evaluation measured, and by the law." tags=["remove-input"]
Markdown(NONE if costs is None else laws.check_table(costs))

# %% [markdown]
# ## Networks of ImageNet's size
#
# The study of one network as in [Full CIFAR-10](06-cifar-full): the float network and its quantized copies, all
# validation images, label maps of planes through three images, and radii over all classes of some images. Labels
# take the law of evaluation of ResNet-18, and training its law. A map counts as many evaluations as the
# adaptive map of a convolutional network on digits takes, which has as much boundary as a plane through ten classes;
# radii count as many as the law in classes says. The intervals cover the spread of the measurements, but not
# a change of the law so far beyond them; the check above shows how large that is.

# %% caption="The study of one network of ImageNet's size, on one core." tags=["remove-input"]
STUDY = {
    "images": images,
    "networks": networks,
    "planes": planes,
    "side": side,
    "radii_images": radii_images,
    "training_images": training_images,
    "epochs": epochs,
    "cores": cores,
}
text = f"""

Times are for one core of {measured_on}; a faster processor divides all of them alike. The jobs are
independent, so the last column is the sum of the three before *training*, divided by {cores} cores.
A sweep with one run for each network and bit width is of that form."""
Markdown(
    NONE if costs is None else laws.study_table(costs, reference, **STUDY) + text
)
