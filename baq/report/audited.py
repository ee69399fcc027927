"""Sentences and figures of an audit, and its record as JSON."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from torch import Tensor

from baq.audit.intervals import LEVEL, exact_interval
from baq.report.charts import share_axis
from baq.report.style import DASHES, MARKERS, WIDTH

__all__ = [
    "as_pictures",
    "blame_bars",
    "by_margin",
    "class_changes",
    "grids",
    "in_short",
    "is_real",
    "lessons",
    "one_by_one",
    "photo_names",
    "save_record",
    "verdicts",
]

#: A difference from the noise floor is told as one below this p-value.
SURE = 0.05
#: Classes and layers that a figure has room for.
_MOST = 20


def verdicts(
    rates: pd.DataFrame, changes: pd.DataFrame, floor: pd.DataFrame | None = None
) -> list[str]:
    """What an audit says of each candidate, in three sentences: how many, where, and against what.

    Arguments:
        rates: rows of :func:`baq.audit.flip_rates`.
        changes: rows of :func:`baq.audit.by_class` of all candidates, with ``candidate``.
        floor: rows of :func:`baq.audit.against_floor`; None where there was no other training.

    Returns:
        A text in Markdown for each candidate.
    """
    told = []
    for row in rates.itertuples():
        text = (
            f"**{row.candidate}** changes {row.labels_changed:,} of {row.points:,} labels: {row.flip_rate:.2%}, with "
            f"an exact {LEVEL:.0%} interval from {row.flip_rate_lo:.2%} to {row.flip_rate_hi:.2%}."
        )
        own = changes[changes["candidate"] == row.candidate]
        if row.labels_changed:
            (most,) = own[:1][["from", "to", "labels_changed"]].to_numpy()
            inside = {0: "None", row.labels_changed: "All"}.get(row.in_band, f"{row.in_band:,}")
            text += (
                f" {inside} of these lie in the boundary band, the {row.share:.0%} of inputs with the lowest margins; "
                + (
                    f"the most frequent change is from {most[0]} to {most[1]} ({most[2]:,})."
                    if most[2] > 1
                    else "no change from one class to another occurs twice."
                )
            )
        else:
            text += " No input stands out, then, nor a class."
        told.append(f"{text} {_meaning(row, floor)}")
    return told


def _meaning(row: Any, floor: pd.DataFrame | None) -> str:
    """What a candidate's flips mean beside those of another training."""
    if floor is None:
        return (
            "What training again would change is not known, so there is no noise floor to hold this against: "
            "`retrained` takes another training."
        )
    (noise,) = floor[floor["candidate"] == row.candidate].itertuples()
    less, p = row.flip_rate < noise.floor, noise.p
    text = f"Another training changes {noise.floor:.2%} of the same labels, "
    if p > SURE:
        return f"{text}which so many inputs cannot tell from what this candidate changes (p = {p:.2g})."
    if less:
        return (
            f"{text}and this candidate fewer (p = {p:.2g}): it stays within the noise of training."
        )
    return f"{text}and this candidate more (p = {p:.2g}): it decides otherwise than training again would."


def by_margin(rows: pd.DataFrame) -> Figure:
    """Flip rates by groups of equal size of the reference's margins, with their intervals.

    Arguments:
        rows: those of :func:`baq.audit.by_margin`, with ``candidate``.
    """
    figure, ax = plt.subplots(figsize=(WIDTH, 3.4))
    names = rows["candidate"].unique()
    for k, name in enumerate(names):
        own = rows[rows["candidate"] == name]
        at = own["group"] + 0.15 * (k - (len(names) - 1) / 2)  # side by side
        ends = [own["flip_rate"] - own["flip_rate_lo"], own["flip_rate_hi"] - own["flip_rate"]]
        look: dict[str, Any] = {"marker": MARKERS[k % len(MARKERS)], "ls": DASHES[k % len(DASHES)]}
        ax.errorbar(
            at, own["flip_rate"], ends, label=str(name), ms=5, elinewidth=1, capsize=2, **look
        )
    ax.set_xticks(sorted(rows["group"].unique()))
    ax.set(xlabel="inputs from the lowest margins to the highest, in groups of equal size")
    ax.set(ylabel="flip rate", ylim=(0, None))
    share_axis(ax.yaxis)
    ax.legend()
    return figure


def class_changes(changes: pd.DataFrame, names: Sequence[Any]) -> Figure:
    """How many labels change from which class to which: a panel for each candidate.

    Arguments:
        changes: rows of :func:`baq.audit.by_class` with ``candidate``. The classes with the most changes are
            shown where there are more than have room.
        names: the candidates with a panel.
    """
    both = pd.concat(
        [changes[[end, "labels_changed"]].set_axis(["c", "k"], axis=1) for end in ("from", "to")]
    )
    classes = sorted(both.groupby("c")["k"].sum().nlargest(_MOST, keep="first").index)
    columns = min(2, len(names))
    rows = -(-len(names) // columns)
    side = WIDTH / columns
    figure, axes = plt.subplots(rows, columns, figsize=(WIDTH, 0.85 * side * rows), squeeze=False)
    for ax in axes.flat[len(names) :]:
        ax.set_axis_off()
    for ax, name in zip(axes.flat, names, strict=False):
        own = changes[changes["candidate"] == name]
        wide = own.pivot_table(index="from", columns="to", values="labels_changed", fill_value=0)
        table = wide.reindex(index=classes, columns=classes, fill_value=0).to_numpy()
        ax.imshow(np.where(table > 0, table, np.nan), cmap="Blues", vmin=0, vmax=2 * table.max())
        for (i, j), count in np.ndenumerate(table):
            if count:
                ax.text(j, i, f"{count:.0f}", ha="center", va="center", fontsize=8)
        ax.set_xticks(range(len(classes)), classes)
        ax.set_yticks(range(len(classes)), classes)
        ax.set(title=str(name), xlabel="to class", ylabel="from class")
        ax.grid(False)
    return figure


def blame_bars(rows: pd.DataFrame) -> Figure:
    """Labels changed by each layer alone, and by all but it: a panel for each candidate.

    Arguments:
        rows: those of :func:`baq.audit.layer_blame` or :func:`baq.audit.forecast_blame`, with ``candidate``.
            Where there are more layers than have room, those that change the most alone are shown.
    """
    names = rows["candidate"].unique()
    most = rows.groupby("layer", sort=False)["alone"].max().nlargest(_MOST, keep="first").index
    layers = [name for name in rows["layer"].unique() if name in most]
    columns = min(2, len(names))
    high = -(-len(names) // columns)
    figure, axes = plt.subplots(
        *(high, columns),
        figsize=(WIDTH, high * (1.1 + 0.3 * len(layers))),
        squeeze=False,
        sharey=True,
    )
    for ax in axes.flat[len(names) :]:
        ax.set_axis_off()
    for ax, name in zip(axes.flat, names, strict=False):
        own = rows[rows["candidate"] == name].set_index("layer").reindex(layers)
        at = np.arange(len(layers))
        ax.barh(at - 0.2, own["alone"], 0.4, label="this layer alone", color="C0")
        ax.barh(at + 0.2, own["rest"], 0.4, label="all but this layer", color="C1", hatch="///")
        ax.set_yticks(at, layers)
        ax.set(title=str(name), xlabel="labels changed")
        ax.margins(x=0.05)
        ax.set_xlim(left=0)
        share_axis(ax.xaxis)
    axes[0, 0].invert_yaxis()
    for ax in axes[:, 0]:
        ax.set_ylabel("layer")
    handles = axes[0, 0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside lower center", ncols=2)
    return figure


def grids(rows: pd.DataFrame) -> str:
    """On which grids J was taken, as a sentence.

    Arguments:
        rows: those of :func:`baq.audit.compared_on` for several planes.
    """
    (n,), cells = rows["n"].unique(), rows["cell"]
    ends = sorted({f"{cells.min():.3g}", f"{cells.max():.3g}"}, key=float)
    return (
        f"Each map has {n} cells a side, of {' to '.join(ends)} input units; masks are two cells thick, and J is as "
        "large as the grid is fine, so it is told with the grid, and with what the law of J makes of the distance "
        "between the two boundaries."
    )


def one_by_one(flipped: pd.DataFrame, rows: Sequence[int]) -> pd.DataFrame:
    """Some flipped inputs for display: a row an input, with each candidate's label where it is another.

    Arguments:
        flipped: rows of :func:`baq.audit.flipped_inputs` of all candidates, with ``candidate``.
        rows: the inputs, in this order.
    """
    own = flipped[flipped["input"].isin(rows)]
    to = own.set_index(["candidate", "input"])["to"]
    kept = [name for name in ("from", "truth", "margin", "radius", "in_band") if name in own]
    table = own.drop_duplicates("input").set_index("input")[kept]
    for name in own["candidate"].unique():
        table[f"to, {name}"] = [to.get((name, k), "–") for k in table.index]
    names = {"margin": "margin, logits", "radius": "radius, input units", "in_band": "in the band"}
    return table.reindex(rows).dropna(how="all").reset_index().rename(columns=names)


def photo_names(flipped: pd.DataFrame, rows: Sequence[int]) -> list[str]:
    """What stands below the picture of each flipped input: its labels, and the first candidate that changes it."""
    first = flipped.drop_duplicates("input").set_index("input").loc[list(rows)]
    return [
        f"input {row.Index}: {before} to {row.to}, {row.candidate}"
        for row, before in zip(first.itertuples(), first["from"], strict=True)
    ]


def in_short(rates: pd.DataFrame, floor: pd.DataFrame | None = None) -> list[str]:
    """The box of an audit: the candidates with the fewest and the most flips, and the noise floor.

    Arguments:
        rates, floor: as for :func:`verdicts`.
    """
    ordered = rates.sort_values("flip_rate", kind="stable")
    ends = ordered.iloc[[0, -1]] if len(ordered) > 1 else ordered
    told = []
    for row in ends.itertuples():
        text = f"{row.candidate}: {row.flip_rate:.2%} [{row.flip_rate_lo:.2%}, {row.flip_rate_hi:.2%}] of the labels change"
        if row.labels_changed:
            text += f", {row.in_band / row.labels_changed:.0%} of these in the band"
        told.append(f"{text}.")
    if floor is not None:
        row = floor.iloc[0]
        text = f"Another training changes {row['floor']:.2%} [{row['floor_lo']:.2%}, {row['floor_hi']:.2%}]."
        told.append(text)
    return told


def lessons(rates: pd.DataFrame, margins: pd.DataFrame, blame: pd.DataFrame) -> str:
    """What to take along from an audit, in Markdown.

    Arguments:
        rates: rows of :func:`baq.audit.flip_rates`.
        margins: rows of :func:`baq.audit.by_margin` with ``candidate``.
        blame: rows of :func:`baq.audit.blamed`.
    """
    worst = rates.loc[rates["flip_rate"].idxmax()]
    points, bound = int(worst["points"]), rates["flip_rate_hi"].min()
    lines = [
        f"* These {points:,} inputs can vouch for a flip rate of {bound:.2%} at best; had no label changed, for "
        f"{exact_interval(0, points)[1]:.2%}. A stricter limit takes more inputs, and no labels."
    ]
    own = margins[margins["candidate"] == worst["candidate"]]
    if worst["labels_changed"]:
        upper = own[own["group"] > own["group"].max() / 2]["labels_changed"].sum()
        text = f"* {worst['candidate']} changes {worst['labels_changed']:,} labels, "
        text += f"{upper:,}" if upper else "none"
        text += " of them in the half of the inputs with the larger margins"
        lines.append(
            text + (". Look at those first: no small error explains them." if upper else ".")
        )
    rows = blame[blame["candidate"] == worst["candidate"]] if len(blame) else blame
    if len(rows) and rows["alone"].any():
        layer = rows.loc[rows["alone"].idxmax()]
        if layer["way"] == "exact":
            lines.append(
                f"* Its layer `{layer['layer']}` changes the most alone, {layer['alone']:.2%} of the labels; if all layers "
                f"but this one are quantized, {layer['rest']:.2%} change."
            )
        else:  # of other bits than the candidate may have
            lines.append(
                f"* Its layers could not be told apart. Of the reference's own, `{layer['layer']}` is forecast to change the most "
                "labels when each is rounded alone, at the bit width that the section by layer names."
            )
    return "\n".join(lines)


def is_real(x: Any) -> bool:
    """Whether inputs are one tensor of real numbers, so that planes through them have a meaning."""
    return isinstance(x, Tensor) and x.is_floating_point()


def as_pictures(x: Any) -> Tensor | None:
    """Inputs as pictures with values from 0 to 1; None where they are none.

    Pictures have the shape (N, H, W), (N, C, H, W) or (N, H, W, C) with 1 or 3 channels C, and 4 pixels a
    side or more. All are scaled alike, from the least value to the largest.
    """
    if not isinstance(x, Tensor):
        return None
    if x.ndim == 4 and x.shape[1] not in (1, 3) and x.shape[3] in (1, 3):
        x = x.permute(0, 3, 1, 2)
    channels = x.shape[1] if x.ndim == 4 else 1
    if x.ndim not in (3, 4) or channels not in (1, 3) or min(x.shape[-2:]) < 4:
        return None
    x = x.double()
    low, high = x.min(), x.max()
    return (x - low) / (high - low if high > low else 1)


def save_record(name: str, **parts: object) -> None:
    """Write the parts of an audit as ``name.json`` where :func:`baq.report.tables.save` writes tables.

    Tables become lists of rows, and values that are not finite null.
    """
    folder = os.environ.get("BAQ_RESULTS")
    if folder:
        text = json.dumps(_plain(parts), indent=1, ensure_ascii=False, allow_nan=False)
        (Path(folder) / f"{name}.json").write_text(text + "\n", "utf-8")


def _plain(value: Any) -> Any:
    """A value as JSON has it."""
    if isinstance(value, pd.DataFrame):
        value = value.to_dict("records")
    if isinstance(value, Mapping):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
