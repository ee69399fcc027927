"""The book's few figure types, in one style."""

from __future__ import annotations

import base64
import html
import io
import json
from collections.abc import Mapping, Sequence

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from IPython.display import HTML
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from matplotlib_inline.backend_inline import set_matplotlib_formats
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from baq.claims import WORDS, claims, paper_text, paper_value
from baq.slices import LabelMap, boundary_mask

__all__ = [
    "PAPER",
    "WIDTH",
    "against_paper",
    "bit_axis",
    "boundary_overlay",
    "by_bits",
    "interval_lines",
    "label_maps",
    "stepper",
    "use_style",
]

#: Width of a figure in inches: text of 10 points stays legible when a phone shrinks it.
WIDTH = 6.0
#: How the paper's value is drawn everywhere.
PAPER = {"marker": "D", "color": "black", "markerfacecolor": "white", "markersize": 7, "ls": "none"}
#: Lines and markers differ in shape as well as in colour, so that grey print keeps them apart.
MARKERS, DASHES = ("o", "s", "^", "v", "P", "X"), ("-", "--", "-.", ":")


def use_style() -> None:
    """Set the book's style, and figures whose bytes depend on their content alone."""
    sns.set_theme(context="notebook", style="ticks", palette="colorblind")
    mpl.rcParams.update(
        {
            "figure.figsize": (WIDTH, 3.6),
            "figure.constrained_layout.use": True,
            "font.size": 10,
            "axes.titlesize": 10,
            "axes.labelsize": 10,
            "xtick.labelsize": 9,
            "ytick.labelsize": 9,
            "legend.fontsize": 9,
            "legend.title_fontsize": 9,
            "legend.frameon": False,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "grid.alpha": 0.4,
            "svg.hashsalt": "baq",
        }
    )
    set_matplotlib_formats("svg", metadata={"Date": None})


def bit_axis(ax: Axes, bits: Sequence[int]) -> None:
    """Bit widths as evenly spaced ticks, from many bits to few."""
    ax.set_xticks([-b for b in bits], [str(b) for b in bits])
    ax.set_xlabel("bits per weight")


def interval_lines(
    ax: Axes,
    summary: pd.DataFrame,
    x: str,
    labels: Mapping[str, str],
    sign: int = 1,
    first: int = 0,
) -> None:
    """Draw each measure of a summary as its median line within its interval.

    Arguments:
        ax: where to draw.
        summary: as :func:`baq.stats.summarize` returns it.
        x: its column along the axis.
        labels: measure to legend text, in drawing order.
        sign: -1 draws the axis from large to small.
        first: place of the first line in the order of colours and markers.
    """
    for k, (measure, label) in enumerate(labels.items(), first):
        rows = summary[summary["measure"] == measure].sort_values(x)
        at = sign * rows[x].astype(float)
        marker, dash = MARKERS[k % len(MARKERS)], DASHES[k % len(DASHES)]
        ax.plot(at, rows["median"], marker=marker, ls=dash, label=label, color=f"C{k}")
        ax.fill_between(at, rows["lo"], rows["hi"], color=f"C{k}", alpha=0.2, lw=0)


def by_bits(
    summary: pd.DataFrame,
    panels: Mapping[str, Mapping[str, str]],
    log: Sequence[str] = (),
    paper: Mapping[str, Sequence[tuple[int, str]]] | None = None,
) -> Figure:
    """Measures against the bit width: a panel for each unit, a line for each measure.

    Arguments:
        summary: as :func:`baq.stats.summarize` returns it, with a column ``bits``.
        panels: axis label, unit included, to measures and their legend texts.
        log: the axis labels drawn on a logarithmic axis.
        paper: axis label to (bits, claim) pairs, drawn as the paper's values.
    """
    rows = -(-len(panels) // 2)
    figure, axes = plt.subplots(
        rows, min(2, len(panels)), figsize=(WIDTH, 2.7 * rows), squeeze=False
    )
    for ax in axes.flat[len(panels) :]:
        ax.set_axis_off()
    for ax, (unit, labels) in zip(axes.flat, panels.items(), strict=False):
        interval_lines(ax, summary, "bits", labels, sign=-1)
        for bits, claim in (paper or {}).get(unit, ()):
            ax.plot(-bits, paper_value(claim), label=f"paper, {claim}", **PAPER)
        if unit in log:
            ax.set_yscale("log")
        bit_axis(ax, sorted(summary["bits"].unique()))
        ax.set_ylabel(unit)
        if len(labels) > 1 or (paper or {}).get(unit):
            ax.legend()
    return figure


def against_paper(values: Mapping[str, pd.Series], level: float = 0.9) -> Figure:
    """Our distribution over seeds for each claim, with the paper's value marked.

    A dot is a seed, the bar holds the central share ``level`` of them, the tick is the median. Where
    the paper says that something falls or rises, a dotted line marks zero.

    Arguments:
        values: claim id to one value a seed, as :func:`baq.claims.answer` takes it, without parts.
        level: share of the seeds within the bar.
    """
    figure, axes = plt.subplots(
        len(values), 1, figsize=(WIDTH, 0.4 + 1.05 * len(values)), squeeze=False
    )
    tail = (1 - level) / 2
    for ax, (claim, series) in zip(axes.flat, values.items(), strict=True):
        series = series.dropna().sort_values()
        colour = sns.color_palette()[0]
        # Dots that would cover each other are stacked.
        bins = pd.cut(series, 60, labels=False) if series.nunique() > 1 else series
        rank = series.groupby(bins).cumcount()
        ax.plot(series, 0.08 + 0.4 * rank / max(4, rank.max()), "o", ms=4, color=colour, mew=0)
        ax.hlines(-0.1, *series.quantile([tail, 1 - tail]), lw=5, color=colour, alpha=0.5)
        ax.plot(series.median(), -0.1, "|", ms=14, mew=2.5, color=colour)
        title = f"{claim}  {claims()[claim]['work']}: {claims()[claim]['quantity']}"
        if (said := paper_text(claim)) in WORDS:
            title += f" ({said})"
            ax.axvline(0, color="black", ls=":", zorder=0)
        else:
            ends = [float(end) for end in said.split(" to ")]
            ax.plot(ends, [-0.1] * len(ends), zorder=3, **PAPER)
        ax.set_title(title, loc="left")
        ax.set(yticks=[], ylim=(-0.35, 0.5))
        ax.spines["left"].set_visible(False)
        ax.margins(x=0.08)
        ax.xaxis.set_major_locator(MaxNLocator(6, integer=pd.api.types.is_integer_dtype(series)))
    handles = [
        plt.Line2D([], [], marker="o", ls="none", color=colour, label="a seed"),
        plt.Line2D([], [], lw=5, alpha=0.5, color=colour, label=f"{level:.0%} interval, median"),
        plt.Line2D([], [], label="paper", **PAPER),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3)
    return figure


def _class_colours(classes: int) -> np.ndarray:
    """Light colours of classes, (classes, 3), so that black text and lines stand out on them."""
    base = sns.color_palette("colorblind", 10) if classes <= 10 else sns.husl_palette(classes)
    return 0.35 + 0.65 * np.array(base[:classes])


def _anchors(grid: LabelMap) -> dict[int, tuple[int, int]]:
    """For each label with a region wide enough to write in, the cell farthest from other labels."""
    found = {}
    for label in np.unique(grid.labels):
        depth = ndimage.distance_transform_edt(np.pad(grid.labels == label, 1))[1:-1, 1:-1]
        if depth.max() > grid.n / 40:
            found[int(label)] = np.unravel_index(depth.argmax(), depth.shape)
    return found


def label_maps(maps: Mapping[str, LabelMap], classes: int, columns: int = 2) -> Figure:
    """Label maps side by side, each region with its class written in it, and a legend.

    Arguments:
        maps: panel title to label map, all on one plane.
        classes: number of classes K.
        columns: panels in a row.
    """
    rows = -(-len(maps) // columns)
    side = WIDTH / columns
    figure, axes = plt.subplots(
        rows, columns, figsize=(WIDTH, rows * side + 0.5), squeeze=False, sharex=True, sharey=True
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
        for label, cell in _anchors(grid).items():
            ax.text(*centres[cell], str(label), ha="center", va="center", fontsize=10)
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


def boundary_overlay(reference: LabelMap, candidates: Mapping[str, LabelMap]) -> Figure:
    """Boundary masks of candidates over the reference's: both, reference alone, candidate alone.

    Arguments:
        reference: the reference's label map.
        candidates: panel title to a candidate's label map on the same grid.
    """
    colours = ["white", "black", "#0072B2", "#F0B860"]
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


def stepper(
    frames: Sequence[LabelMap],
    captions: Sequence[str],
    classes: int,
    title: str,
    marked: Sequence[np.ndarray] | None = None,
) -> HTML:
    """Label maps that a reader steps through with a slider, in a page that needs no server.

    Arguments:
        frames: the label maps, in order.
        captions: what each frame shows; also its alternative text.
        classes: number of classes K.
        title: name of the figure.
        marked: cells of each frame drawn in black.

    Raises:
        ValueError: if frames, captions and marks differ in number, or are none.
    """
    marked = marked if marked is not None else [np.zeros_like(f.labels, bool) for f in frames]
    if not len(frames) == len(captions) == len(marked) > 0:
        raise ValueError(
            f"{len(frames)} frames, {len(captions)} captions, {len(marked)} marks: "
            "allowed are equal, positive numbers"
        )
    palette = [*_class_colours(classes), (0.25, 0.25, 0.25), (0, 0, 0)]
    images = []
    for frame, mark in zip(frames, marked, strict=True):
        kind = np.where(boundary_mask(frame.labels, "one"), classes, frame.labels)
        kind = np.where(mark, classes + 1, kind)
        image = Image.fromarray(kind[::-1].astype(np.uint8), mode="P")
        image.putpalette([round(255 * value) for colour in palette for value in colour])
        image = image.resize((2 * frame.n, 2 * frame.n), Image.Resampling.NEAREST)
        pen = ImageDraw.Draw(image)
        for label, (row, column) in _anchors(frame).items():
            at = (2 * column + 1, 2 * (frame.n - row) - 1)
            pen.text(at, str(label), classes + 1, ImageFont.load_default(24), anchor="mm")
        buffer = io.BytesIO()
        image.save(buffer, "PNG", optimize=True)
        images.append("data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode())
    key = "".join(
        f'<span style="background:rgb({",".join(str(round(255 * v)) for v in colour)});color:black;'
        f'padding:0 .5em;border:1px solid #404040">{k}</span>'
        for k, colour in enumerate(palette[:classes])
    )
    # Scripts in a cell's output see only their own element, so several steppers fit on a page.
    return HTML(f"""<figure style="max-width:32em;margin:1em auto" aria-label="{html.escape(title)}">
<img src="{images[0]}" alt="{html.escape(captions[0])}" style="width:100%;image-rendering:pixelated">
<p style="margin:.3em 0">class {key}</p>
<input type="range" min="0" max="{len(images) - 1}" value="0" style="width:100%"
 aria-label="{html.escape(title)}: step">
<figcaption>{html.escape(captions[0])}</figcaption>
<script>(function (figure) {{
const images = {json.dumps(images)}, captions = {json.dumps(captions)};
figure.querySelector("input").addEventListener("input", function () {{
const image = figure.querySelector("img");
image.src = images[this.value];
image.alt = figure.querySelector("figcaption").textContent = captions[this.value];
}});
}})(document.currentScript.closest("figure"))</script>
</figure>""")
