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
#     minutes: 0.5
#     threads: 1
# ---

# %% [markdown]
# # Your network
#
# An audit of one float classifier and its quantized candidates: which labels change, where, how surely, and by which
# layer. By default it is the book's own pair, a network on digits, trained on half of the images so that as many are left to measure, with its
# weights rounded to few bits. The same page about yours takes one command, in a clone of the repository:
#
# ```console
# python -m workflow run audit \
#     -p reference float.onnx -p candidates '["int8.onnx"]' -p data x.npz
# ```
#
# It ends with a page, every table as CSV, and all of it as JSON, in a folder below `runs/`. With `--max-flip-rate 0.01`
# the command fails, with status 1, if the upper bound of some candidate's flip rate lies above. [How to
# reproduce](reproduce) says how the notebook runs by papermill or in Colab, and which files it takes.

# %% tags=["parameters"]
reference: str = "digits"  # float classifier: a file, module:function, or digits
candidates: list[str] = ["rounded"]  # files, module:function, or rounded
data: str = "digits"  # a file, a folder of images, torchvision:NAME, or digits
key: str = ""  # name of the inputs, where data holds several arrays
labels: str = ""  # true labels: a file, or the name of an array in data
retrained: str = ""  # another training of the reference; digits has its own
input_name: str = ""  # of the models, where they have several inputs
output_name: str = ""  # of the models, where they have several outputs
trust: bool = False  # load files that hold pickled code
most: int = 10000  # inputs, at most [10..]
bits: list[int] = [5, 4, 3]  # of rounded, which takes a torch module [2..16]
assumed_bits: int = 8  # of candidates that cannot be taken apart [2..16]
shares: list[float] = [0.2, 0.1, 0.5]  # of inputs in the band [0.001..1]
groups: int = 10  # of inputs by margin [1..100]
planes: int = 2  # through three flipped inputs each [0..10]
n: int = 129  # cells a side of the label maps [2..2048]
gradient_inputs: int = 500  # of which gradients are taken, at most [1..100000]
shown: int = 12  # flipped inputs that are shown one by one [1..1000]
max_flip_rate: float = 1.0  # labels that may change, by the upper bound [0..1]

# %% tags=["remove-cell"]
import pandas as pd
import torch
from IPython.display import Markdown, display

from baq import audit, compare, ptq_w
from baq.adapters import load_classifier, load_inputs
from baq.band import band_by_share
from baq.comparison.measured import as_places
from baq.inference import logits
from baq.local import flips
from baq.report import audited, charts, style, tables
from baq.report.boxes import opening
from baq.report.pictures import pictures
from baq.slices import pca_plane
from baq.zoo.recipes import digits_network

style.use_style()

# %% [markdown]
# ## What is compared

# %% mystnb={"code_prompt_show": "Show how the files are loaded and compared"} tags=["hide-input"] caption="What is compared, and how many labels change."
own, split = digits_network(0, test=0.5)
another, names = None, ()
if reference == "digits":
    another = digits_network(0, test=0.5, start=1)[0]
how = {"inputs": input_name or None, "output": output_name or None, "trust": trust}
with audit.users_folder():
    network = own if reference == "digits" else load_classifier(reference, **how)
    compared, lost = {}, {}
    for name, source in audit.named(candidates).items():
        try:
            if source == "rounded":
                compared |= {f"{b} bits": ptq_w(network, b) for b in bits}
            else:
                compared[name] = load_classifier(source, **how)
        except (OSError, ValueError) as error:  # one must not lose the others
            lost[name] = error
    if not compared:
        raise ValueError("; ".join(f"{name}: {lost[name]}" for name in lost))
    if retrained:
        another = load_classifier(retrained, **how)
    if data == "digits":
        x, y = split.x_test[:most], split.y_test[:most]
    else:
        given = load_inputs(
            data, key=key or None, labels=labels or None, limit=most
        )
        x, y, names = torch.as_tensor(given.x), given.y, given.names

loaded = list(compared)
network, compared, remarks = audit.with_logits(network, compared, x)
remarks += [f"{name}: left out: {error}" for name, error in lost.items()]
left_out = [*lost, *(name for name in loaded if name not in compared)]
z = logits(network, x)
outputs = {name: logits(candidate, x) for name, candidate in compared.items()}
rates = audit.flip_rates(z, outputs, shares[0])
by_hand = rates[["candidate", "points", "labels_changed", "flip_rate"]]
tables.styled(by_hand, "by-hand")

# %% [markdown]
# ## Verdict

# %% tags=["remove-input"]
CLASSES = dict(enumerate(names))


def by_candidate(measure):
    """Rows of a measure for all candidates, with the names of classes where they have some."""
    parts = [measure(z_q).assign(candidate=name) for name, z_q in outputs.items()]
    found = pd.concat(
        [part for part in parts if len(part)] or parts, ignore_index=True
    )
    return found.replace(dict.fromkeys(("from", "to", "truth"), CLASSES))


floor = None
if another is not None:
    another = audit.with_logits(another, {}, x)[0]
    floor = audit.against_floor(z, outputs, logits(another, x))
    tables.save(floor, "floor")
tables.save(rates, "rates")
changes = by_candidate(lambda z_q: audit.by_class(z, z_q))
tables.save(changes, "by-class")
said = audited.verdicts(rates, changes, floor)
gate = audit.gate(rates, max_flip_rate, left_out)
passed = "passes" if gate["passed"] else "does **not** pass"
if max_flip_rate < 1:
    said.append(
        f"At most {max_flip_rate:.2%} of the labels may change: this {passed}."
    )
if left_out:
    said.append(f"**Not evaluated**: {', '.join(left_out)}.")
if remarks:
    said.append(f"What was done to use them: {'; '.join(remarks)}.")
Markdown("\n".join(f"* {text}" for text in said))

# %% caption="What each candidate changes: labels, those in the boundary band, and accuracy where labels are known." tags=["remove-input"]
measured = compare(network, compared, x, y, share=shares[0], gradients=False)
tables.save(measured, "measures")
told = measured.assign(**rates.drop(columns="candidate"))
columns = ["candidate", "labels_changed", "band_flip_rate"]
columns += [] if y is None else ["accuracy_reference", "accuracy"]
interval = {"flip_rate": "flip rate, % [90 % interval]"}
tables.styled(tables.interval_columns(told, columns, interval), "shown-measures")

# %% [markdown]
# ## By margin
#
# The margin is the distance between the two largest logits. Quantization moves all logits a little, so flips should lie where
# margins are low; those at high margins are the ones to look at.

# %% mystnb={"image": {"alt": "Flip rate with its interval against ten groups of inputs, from the lowest margins of the float classifier to the highest, a line for each candidate. Flips lie in the groups of the lowest margins."}} caption="Flips by margin, with exact intervals." data=["by-margin"] tags=["remove-input"]
margins = by_candidate(lambda z_q: audit.by_margin(z, z_q, groups))
tables.save(margins, "by-margin")
fig = audited.by_margin(margins)

# %% caption="Flips in bands of several widths, and what the law of the band makes of the flips of all inputs." tags=["remove-input"]
bands = by_candidate(lambda z_q: band_by_share(z, z_q, shares))
bands = bands.rename(columns={"law": "band_law"})
tables.save(bands, "bands")
bands["width"] = bands["share"].map("{:.0%}".format)
columns = ["candidate", "width", "band_flip_rate", "band_law"]
tables.styled(
    bands[columns].rename(columns={"width": "inputs in the band"}), "shown-bands"
)

# %% [markdown]
# ## By class

# %% mystnb={"image": {"alt": "A panel for each candidate with the float classifier's classes as rows and the candidate's as columns; a number in a cell counts the labels that changed from the one to the other."}} caption="How many labels change from which class to which." data=["by-class"] tags=["remove-input"]
flipping = list(rates.loc[rates["labels_changed"] > 0, "candidate"])
fig = audited.class_changes(changes, flipping) if flipping else None

# %% [markdown]
# ## Which inputs
#
# Every flipped input stands in the table `flipped`, the one of the largest margin first. The radius is the distance to the
# float classifier's nearest boundary, to first order.

# %% caption="Flipped inputs, those that the most candidates flip first, and of them those of the largest margins." tags=["remove-input"]
order = audit.flipped_first(z, outputs)
rows = [k for k in order if any(flips(z, z_q)[k] for z_q in outputs.values())]
radius, no_radius = audit.radii_at(network, x, rows[:gradient_inputs])
given = {"y": as_places(y, network), "radius": radius, "share": shares[0]}
flipped = by_candidate(lambda z_q: audit.flipped_inputs(z, z_q, **given))
tables.save(flipped, "flipped")
display(tables.styled(audited.one_by_one(flipped, rows[:shown]), "shown-flipped"))
Markdown(f"*There is no radius: {no_radius}.*") if no_radius else None

# %% caption="Flipped inputs as pictures, each with the float classifier's label and the first other one." tags=["remove-input"]
photos = audited.as_pictures(x)
if photos is not None and rows:
    below = audited.photo_names(flipped, rows[:shown])
    display(pictures(photos[rows[:shown]], below, "flipped inputs"))
Markdown("*The inputs are no pictures.*") if photos is None else None

# %% [markdown]
# ## On planes
#
# A plane through three inputs shows what lies between them. Flipped inputs are taken first, so these planes lie where labels
# change, and $J$ may be larger there than elsewhere; the plane of the principal components is chosen by no flip.

# %% tags=["remove-cell"]
slices, maps = [], {}
chosen = audit.planes_through(x, order, planes) if audited.is_real(x) else []
spots = [(f"plane {k}", *one) for k, one in enumerate(chosen, start=1)]
if chosen:
    spots.append(("principal components", pca_plane(x), []))
for name, plane, spanned in spots:
    table, drawn = audit.compared_on(network, compared, plane, n)
    slices.append(table.assign(plane=name, inputs=", ".join(map(str, spanned))))
    maps[name] = {
        f"float, {name}" if k is None else str(k): m for k, m in drawn.items()
    }
slices = pd.concat(slices, ignore_index=True) if slices else pd.DataFrame()
tables.save(slices, "planes")

# %% caption="The inputs that the planes go through, by their letters on the maps." tags=["remove-input"]
corners = [
    (k, f"{letter}, {name}: input {k}")
    for name, _, spanned in spots
    for letter, k in zip("ABC", spanned, strict=False)
]
if photos is not None and corners:
    places, named = map(list, zip(*corners, strict=True))
    display(pictures(photos[places], named, "inputs that span the planes"))

# %% mystnb={"image": {"alt": "Label maps of the float classifier and of each candidate side by side on a plane through three flipped inputs, which are marked A, B and C. Regions keep their places, and their borders move."}} caption=["Label maps on the first plane through flipped inputs, A to C.", "On the second plane."] tags=["remove-input"]
for name, plane, spanned in spots[:-1]:
    points = plane.project(x[spanned]).tolist()
    fig = charts.label_maps(maps[name], z.shape[1], points=points)

# %% mystnb={"image": {"alt": "Boundary cells of each candidate over those of the float classifier: in both, in the float one only, in the quantized one only."}} caption=["Boundaries over each other on the first plane.", "On the second plane."] tags=["remove-input"]
for name, _, _ in spots[:-1]:
    grid, *others = maps[name].values()
    fig = charts.boundary_overlay(grid, dict(zip(compared, others, strict=True)))

# %% caption="J on each plane, with its grid and what the law makes of the distance between the boundaries." tags=["remove-input"]
columns = [
    "plane",
    "inputs",
    "candidate",
    "jaccard",
    "law",
    "curve_distance",
    "grid_change",
]
if len(slices):
    display(tables.styled(slices[columns], "shown-planes"))
Markdown(audited.grids(slices) if len(slices) else "*These inputs span no planes.*")

# %% [markdown]
# ## Shift and normals
#
# To first order the boundary at an input moves by the change of the gap over the length of its gradient. Where a candidate has
# gradients too, its normal turns by an angle.

# %% caption="How far the boundary moves, and how far its normal turns: medians." tags=["remove-input"]
some = x[:gradient_inputs]
local = compare(network, compared, some, share=shares[0], batch_size=256)
tables.save(local, "local")
columns = ["candidate", "points", "radius", "shift", "band_shift", "normal_angle"]
columns += [name for name in ("reason",) if name in local]
display(tables.styled(local[columns], "shown-local"))
Markdown(f"*{local['note'].iloc[0]}.*") if "note" in local else None

# %% [markdown]
# ## By layer
#
# Where candidate and reference are one network with other weights, each layer's can be exchanged: the candidate's put into the
# reference alone, or the reference's put back into the candidate. Elsewhere blame is forecast, from the reference's gradients
# and the size of rounding errors in its weights ([Before you quantize](09-before-you-quantize)); what rounding activations
# does is not in it.

# %% mystnb={"image": {"alt": "Bars for each layer and candidate: the share of labels that change if this layer alone is quantized, and if all layers but this one are."}} caption="Labels changed by each layer alone, and by all but it." data=["blame"] tags=["remove-input"]
blame, notes = audit.blamed(network, compared, x, assumed_bits, gradient_inputs)
tables.save(blame, "blame")
fig = audited.blame_bars(blame) if len(blame) else None
Markdown("\n".join(f"* {text}." for text in notes)) if notes else None

# %% tags=["remove-cell"]
frames = {
    "rates": rates,
    "measures": measured,
    "by_margin": margins,
    "bands": bands,
}
frames |= {
    "by_class": changes,
    "flipped": flipped,
    "planes": slices,
    "local": local,
}
frames |= {"blame": blame, "floor": [] if floor is None else floor}
about = {"reference": reference, "candidates": list(compared), "data": data}
about["left_out"] = left_out
audited.save_record(
    "audit", **about, verdict=said, gate=gate, **frames, notes=notes
)

# %% [markdown]
# ## What to take along

# %% tags=["remove-input"]
Markdown(audited.lessons(rates, margins, blame))

# %% [markdown]
# ## Exercises
#
# ```{include} exercises/audit.md
# ```

# %% tags=["opening", "remove-input"]
opening(
    "Which labels does quantization change, where, how surely, and by which layer?",
    " ".join(audited.in_short(rates, floor)),
    f"{len(z):,} inputs of one data set; an interval says what they tell of others like them, and of no others. Flips count what "
    "changed, for better or worse.",
)
