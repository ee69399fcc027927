"""Label maps as figures, side by side, overlaid or to step through, and as tables."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping, Sequence
from itertools import pairwise
from string import ascii_uppercase
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
import torch
from IPython.display import HTML
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage
from torch import nn

from baq.quantization import ptq_w
from baq.report.pictures import image_address
from baq.report.style import WIDTH
from baq.slices.jaccard import boundary_mask, grid_change
from baq.slices.junctions import junction_cells
from baq.slices.label_maps import LabelMap
from baq.slices.paths import follow
from baq.slices.planes import Plane

__all__ = ["Frame", "boundary_overlay", "film_of_levels", "label_maps", "map_runs", "stepper"]


def _class_colours(classes: int) -> np.ndarray:
    """Light colours of classes, (classes, 3), so that black text and lines stand out."""
    base = sns.color_palette("colorblind", 10) if classes <= 10 else sns.husl_palette(classes)
    return 0.35 + 0.65 * np.array(base[:classes])


def _anchors(grid: LabelMap, points: Sequence[Sequence[float]] = ()) -> dict[int, tuple[int, int]]:
    """For each label with a region wide enough to write in, the cell farthest from other labels and marked points."""
    a, b = grid.plane.centres(grid.n).unbind(-1)
    free, (a_min, a_max, *_) = torch.ones_like(a, dtype=torch.bool), grid.plane.extent
    for at_a, at_b in points:
        free &= torch.hypot(a - at_a, b - at_b) > 0.06 * (
            a_max - a_min
        )  # the disc, and half a number
    found = {}
    for label in np.unique(grid.labels):
        own = (grid.labels == label) & free.cpu().numpy()
        depth = ndimage.distance_transform_edt(np.pad(own, 1))[1:-1, 1:-1]
        if depth.max() > grid.n / 40:
            found[int(label)] = np.unravel_index(depth.argmax(), depth.shape)
    return found


def label_maps(
    maps: Mapping[str, LabelMap],
    classes: int,
    columns: int = 2,
    points: Sequence[Sequence[float]] = (),
) -> Figure:
    """Label maps side by side, each region with its class written in it, and a legend.

    Arguments:
        maps: panel title to label map, all on one plane.
        classes: number of classes K.
        columns: panels in a row.
        points: plane coordinates (a, b) that are marked A, B and so on, such as those of the inputs that
            span the plane.
    """
    rows = -(-len(maps) // columns)
    a_min, a_max, b_min, b_max = next(iter(maps.values())).plane.extent
    # A panel has the shape of its plane, beside and above which half an inch is for text.
    panel = 0.5 + (WIDTH / columns - 0.5) * (b_max - b_min) / (a_max - a_min)
    figure, axes = plt.subplots(
        rows, columns, figsize=(WIDTH, rows * panel + 1), squeeze=False, sharex=True, sharey=True
    )
    colours = _class_colours(classes)
    for ax in axes.flat[len(maps) :]:
        ax.set_axis_off()
    for ax, (title, grid) in zip(axes.flat, maps.items(), strict=False):
        paint = {"origin": "lower", "extent": grid.plane.extent, "interpolation": "nearest"}
        ax.imshow(grid.labels, cmap=ListedColormap(colours), vmin=-0.5, vmax=classes - 0.5, **paint)
        line = np.where(boundary_mask(grid.labels, "one"), 1.0, np.nan)
        ax.imshow(line, cmap=ListedColormap(["0.25"]), **paint)
        centres = grid.plane.centres(grid.n)
        for label, cell in _anchors(grid, points).items():
            ax.text(*centres[cell], str(label), ha="center", va="center", fontsize=10)
        for k, (a, b) in enumerate(points):
            ax.plot(a, b, "o", ms=13, mfc="white", mec="black", zorder=3, clip_on=False)
            ax.text(
                a, b, ascii_uppercase[k], ha="center", va="center_baseline", fontsize=9, zorder=4
            )
        ax.set_title(title)
        ax.grid(False)
    for ax in axes[-1]:
        ax.set_xlabel("a, input units")
    for ax in axes[:, 0]:
        ax.set_ylabel("b, input units")
    patches = [Patch(fc=c, ec="0.25", label=str(k)) for k, c in enumerate(colours)]
    figure.legend(
        handles=patches, loc="outside lower center", ncols=min(classes, 10), title="class",
        handlelength=1, columnspacing=0.8, handletextpad=0.4,
    )  # fmt: skip
    return figure


def map_runs(maps: Mapping[str, LabelMap]) -> pd.DataFrame:
    """Label maps as a tidy table: each row of cells as its runs of one label.

    Returns:
        The columns ``map``, ``row`` (0 at the bottom), ``first`` and ``last`` (columns of a run,
        both within it) and ``label``.
    """
    parts = []
    for name, grid in maps.items():
        starts = np.ones_like(grid.labels, dtype=bool)
        starts[:, 1:] = grid.labels[:, 1:] != grid.labels[:, :-1]
        row, first = np.nonzero(starts)
        last = np.append(first[1:], 0) - 1
        last[last < first] = grid.n - 1
        parts.append(
            pd.DataFrame(
                {"map": name, "row": row, "first": first, "last": last}
                | {"label": grid.labels[row, first]}
            )
        )
    return pd.concat(parts, ignore_index=True)


def boundary_overlay(reference: LabelMap, candidates: Mapping[str, LabelMap]) -> Figure:
    """Boundary masks of candidates over the reference's: both, reference alone, candidate alone.

    Arguments:
        reference: the reference's label map.
        candidates: panel title to a candidate's label map on the same grid.
    """
    colours = ["white", "black", "#0072B2", "#CC7A00"]
    side = WIDTH / len(candidates)
    figure, axes = plt.subplots(
        1, len(candidates), figsize=(WIDTH, side + 0.7), squeeze=False, sharey=True
    )
    mask = boundary_mask(reference.labels)
    for ax, (title, candidate) in zip(axes.flat, candidates.items(), strict=True):
        mask_q = boundary_mask(candidate.labels)
        kind = np.select([mask & mask_q, mask, mask_q], [1, 2, 3], 0)
        ax.imshow(
            kind, cmap=ListedColormap(colours), vmin=0, vmax=3, origin="lower",
            extent=reference.plane.extent, interpolation="nearest",
        )  # fmt: skip
        ax.set_title(title)
        ax.set_xlabel("a, input units")
        ax.grid(False)
    axes.flat[0].set_ylabel("b, input units")
    names = ("both", "float only", "quantized only")
    patches = [Patch(fc=c, label=name) for c, name in zip(colours[1:], names, strict=True)]
    figure.legend(handles=patches, loc="outside lower center", ncols=3, title="boundary cells")
    return figure


class Frame(NamedTuple):
    """One picture of a film: a label map, what it shows, and the cells that are drawn in black."""

    grid: LabelMap
    caption: str
    marked: np.ndarray | None = None


def film_of_levels(
    network: nn.Module, levels: Sequence[int], plane: Plane, steps: int, n: int
) -> list[Frame]:
    """The label map of a network while its weights go from one bit width to the next, junctions marked.

    Arguments:
        network: the float network.
        levels: bit widths, from the most to the fewest.
        plane: the slice.
        steps: steps from one level to the next.
        n: cells a side.
    """
    frames: list[Frame] = []
    for b, c in pairwise(levels):
        film = follow(ptq_w(network, b), ptq_w(network, c), plane, steps, n)
        for k, grid in enumerate(film):
            junction = junction_cells(grid.labels)
            changed = grid_change(frames[0].grid.labels if frames else grid.labels, grid.labels)
            caption = (
                f"{b} to {c} bits, t = {k / steps:.2f}: {junction.sum()} junction cells, "
                f"{changed:.1%} of the cells changed since {levels[0]} bits"
            )
            wide = ndimage.binary_dilation(np.pad(junction, (0, 1)), iterations=max(1, n // 120))
            frames.append(Frame(grid, caption, wide))
    return frames


def stepper(
    films: Mapping[str, Sequence[Frame]],
    classes: int,
    title: str,
    outlines: Mapping[str, LabelMap] | None = None,
) -> HTML:
    """Films of label maps that a reader steps through or plays, in a page that needs no server.

    Arguments:
        films: name to frames; with several the reader chooses one, such as a seed.
        classes: number of classes K.
        title: name of the figure.
        outlines: name of a film to the map whose boundary is drawn in all of its frames, below their own.

    Raises:
        ValueError: for no film, or films of unequal numbers of frames or none.
    """
    lengths = {name: len(film) for name, film in films.items()}
    if len(set(lengths.values())) != 1 or not all(lengths.values()):
        raise ValueError(f"films have {lengths} frames: allowed are equal, positive numbers")
    outlines = outlines or {}
    pictures = {
        name: [_picture(frame, classes, outlines.get(name)) for frame in film]
        for name, film in films.items()
    }
    captions = {name: [frame.caption for frame in film] for name, film in films.items()}
    first, length = next(iter(films)), max(lengths.values())
    name = html.escape(title)
    key = "".join(
        f'<span style="background:rgb({",".join(str(round(255 * v)) for v in colour)});color:black;'
        f'padding:0 .5em;border:1px solid #404040">{k}</span>'
        for k, colour in enumerate(_class_colours(classes))
    )
    line = ' <span style="border-bottom:3px solid #d55e00">boundary in float</span>'
    options = "".join(f"<option>{html.escape(one)}</option>" for one in films)
    choice = f'<select aria-label="{name}: which">{options}</select> ' if len(films) > 1 else ""
    # Scripts in a cell's output see only their own element, so several steppers fit on a page.
    return HTML(f"""<figure style="max-width:32em;margin:1em auto" aria-label="{name}">
<img style="width:100%;image-rendering:pixelated" src="{pictures[first][0]}" alt="{html.escape(captions[first][0])}">
<p style="margin:.3em 0">class {key}{line if outlines else ""}</p>
<p style="margin:.3em 0">{choice}<button type="button">play</button></p>
<input type="range" style="width:100%" min="0" max="{length - 1}" value="0" aria-label="{name}: step">
<figcaption>{html.escape(captions[first][0])}</figcaption>
<script>(function (figure) {{
const images = {json.dumps(pictures)}, captions = {json.dumps(captions)};
const image = figure.querySelector("img"), slider = figure.querySelector("input");
const button = figure.querySelector("button"), choice = figure.querySelector("select");
let playing = null;
function show() {{
const film = choice ? choice.value : Object.keys(images)[0];
image.src = images[film][slider.value];
image.alt = figure.querySelector("figcaption").textContent = captions[film][slider.value];
}}
function stop() {{ clearInterval(playing); playing = null; button.textContent = "play"; }}
function step() {{
if (slider.value === slider.max) {{ stop(); return; }}
slider.value = Number(slider.value) + 1;
show();
}}
button.addEventListener("click", function () {{
if (playing !== null) {{ stop(); return; }}
if (slider.value === slider.max) {{ slider.value = 0; show(); }}
button.textContent = "pause";
playing = setInterval(step, 300);
}});
slider.addEventListener("input", function () {{ stop(); show(); }});
if (choice) choice.addEventListener("change", show);
show();
}})(document.currentScript.closest("figure"))</script>
</figure>""")


def _picture(frame: Frame, classes: int, outline: LabelMap | None) -> str:
    """A frame as the address of an image that holds itself."""
    palette = [*_class_colours(classes), (0.25, 0.25, 0.25), (0, 0, 0), (0.835, 0.369, 0)]
    grid = frame.grid
    kind = grid.labels
    if outline is not None:
        kind = np.where(boundary_mask(outline.labels, "one"), classes + 2, kind)
    kind = np.where(boundary_mask(grid.labels, "one"), classes, kind)
    if frame.marked is not None:
        kind = np.where(frame.marked, classes + 1, kind)
    image = Image.fromarray(kind[::-1].astype(np.uint8), mode="P")
    image.putpalette([round(255 * value) for colour in palette for value in colour])
    image = image.resize((2 * grid.n, 2 * grid.n), Image.Resampling.NEAREST)
    pen = ImageDraw.Draw(image)
    for label, (row, column) in _anchors(grid).items():
        at = (2 * column + 1, 2 * (grid.n - row) - 1)
        pen.text(
            at, str(label), classes + 1, ImageFont.load_default(max(12, grid.n // 10)), anchor="mm"
        )
    return image_address(image)
