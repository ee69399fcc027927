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
#     minutes: 0.3
#     threads: 1
# ---

# %% [markdown]
# # Explore
#
# Take bits from a network and see its decision boundary move. Everything below is computed in your browser, from weights
# that came with this page.

# %% tags=["parameters", "remove-cell"]
datasets: list[str] = ["digits", "mnist", "fashion-mnist"]  # data sets [some]
seeds: int = 3  # networks with tanh on digits [1..10]
seeds_relu: int = 2  # networks with ReLU on digits [1..10]
bits: list[int] = [2, 3, 4, 5, 6, 7, 8]  # that are rounded by a loss, too [2..16]
hidden: int = 64  # hidden units on digits [1..256]
hidden_mnist: int = 32  # on MNIST and Fashion-MNIST [1..256]
epochs: int = 200  # passes over the training images: digits [1..10000]
epochs_mnist: int = 15  # MNIST and Fashion-MNIST [1..1000]
test: float = 0.25  # share of the digits held out for the test [0.01..0.9]
test_mnist: int = 500  # test images of MNIST and Fashion-MNIST [10..10000]
images: int = 10000  # training images to round on, at most [10..60000]
steps: int = 200  # the most steps of the search for each layer [1..10000]
folder: str = ""  # roundings, in place of those that ship; filled where they lack

# %% tags=["remove-cell"]
import os
import tempfile
from pathlib import Path

import pandas as pd
from IPython.display import HTML, Markdown

from baq.inference import labels
from baq.report import tables
from baq.zoo import explorer

place = Path(os.environ.get("BAQ_RESULTS") or tempfile.mkdtemp())
rounding = {"bits": bits, "images": images, "steps": steps, "folder": folder}
wanted = {name: [("relu", 0)] for name in datasets}
if "digits" in datasets:
    wanted["digits"] = [("tanh", seed) for seed in range(seeds)]
    wanted["digits"] += [("relu", seed) for seed in range(seeds_relu)]

# %% tags=["remove-cell"]
rows, digests, listed, packed = [], {}, [], 0
for dataset, recipes in wanted.items():
    small = {"hidden": hidden, "epochs": epochs, "test": test}
    large = {"hidden": hidden_mnist, "epochs": epochs_mnist, "test": test_mnist}
    given = (small if dataset == "digits" else large) | rounding
    networks = {
        f"{activation}-{seed}": explorer.made(dataset, seed, activation, **given)
        for activation, seed in recipes
    }
    path = place / f"{dataset}.js"
    digests[dataset] = explorer.save(path, dataset, networks)
    for name, shown in networks.items():
        listed.append(f"{dataset}/{name}")
        packed += sum(up.numel() for up in shown.up.values())
        right = labels(shown.network(shown.x)) == shown.y
        row = {
            "network": listed[-1],
            "width": given["hidden"],
            "images": len(shown.x),
        }
        row |= {
            "accuracy": float(right.double().mean()),
            "kilobytes": path.stat().st_size / 1e3,
        }
        rows.append(row)

# %% caption="The explorer. Left the float network, right the quantized one, with the boundary cells of both." tags=["remove-input"]
HTML(
    f"""<figure class="explore" data-explore="page" data-networks="{" ".join(listed)}"
data-digests="{" ".join(f"{name}:{digest}" for name, digest in digests.items())}">
<p>The explorer needs JavaScript. Without it, the chapter on slice geometry shows the same in figures.</p>
</figure>"""
)

# %% [markdown]
# ## What is shown
#
# The two maps cut the input space by one plane, through the data's principal components or through three test images of your
# choice, and each cell has the colour of its label. The measures are those of the [Definitions](definitions), and *copy as Python*
# writes the calls of `baq` that give the same numbers. Labels are certified cell for cell, as those of all networks
# with one hidden layer in this book.
#
# A pointer on a map, or a tap, shows the input there and what both networks say of it. Drag a map to move the view once it is
# zoomed, by the wheel with *Ctrl* held; on a touch screen two fingers zoom and move it, and one scrolls the page. With a map in
# focus, arrow keys move the point, plus and minus zoom, and arrow keys with shift move the view. The address of the page holds
# all of this: a link to it brings a reader to the same state.
#
# The law in the plot takes the distances of the two boundaries on the finest of its grids, and nothing else, to say what *J*
# is on all of them; see [Slice geometry](02-slice-geometry).
#
# Networks on digits are those of the chapters. The chapters' networks on MNIST and Fashion-MNIST have 256 hidden units, too many to
# send along; these were trained in the same way, with fewer. Their test images are a part of the official ones, drawn by label.

# %% caption="The networks, and the file that each comes in." tags=["remove-input"]
tables.show(pd.DataFrame(rows), "networks")

# %% tags=["remove-input"]
more = packed / 8 * 4 / 3 / len(bits)  # base64 has 4 letters for 3 bytes
Markdown(
    f"Weights are stored in 32 bits. For {min(bits)} to {max(bits)} bits each has one bit more for each other way to round and each "
    f"kind of grid: up or down, by AdaRound and by the boundary metric, on up to {images:,} training images. *Rounding* has "
    f"[both](07-rounding). One bit width more would add {more / 1e3:.0f} kB, so that for others there is rounding to nearest alone.\n\n"
    "Each layer has bits of its own to nearest, and with AdaRound, which rounds it by itself. The boundary metric rounds the second "
    "layer to make up for what the first one did, so that its roundings are pairs: they come with the same bits in both layers."
)
