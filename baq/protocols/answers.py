"""From recorded simulations to what every protocol answers to each of the paper's numbers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from baq.protocols.digits import LEVELS, LOW, TRANSITIONS
from baq.protocols.likelihood import Answers, Number
from baq.protocols.natural import SHARES
from baq.protocols.readings import COUNTED, MASKS
from baq.protocols.simulation import read
from baq.protocols.space import Choice, space
from baq.report.claims import claims, paper_parts, paper_text
from baq.report.stats import interpolate_at
from baq.selection import SLACK

__all__ = ["GROUP_OF", "answers", "numbers", "picked_level"]

#: The group of each letter of claims.
GROUP_OF = {
    **dict.fromkeys("DTS", "digits"),
    **dict.fromkeys("CP", "subsets"),
    **dict.fromkeys("FO", "full"),
    "R": "rounding",
}
_RECIPE = ("hidden", "activation", "inputs")
_QUANTIZER = ("scale", "zero")


def numbers() -> dict[str, Number]:
    """The numbers of the paper that a protocol has to explain, by claim and part, in the order of the book."""
    found = {}
    for claim, entry in claims().items():
        for part in paper_parts(claim):
            text = paper_text(claim, part)
            if any(sign.isdigit() for sign in text):
                name = f"{claim} {part}".strip()
                found[name] = Number(name, text, entry.get("runs", 1))
    return found


def answers(folder: Path) -> dict[str, Answers]:
    """What every protocol answers to each of :func:`numbers`, from the tables in a folder.

    Raises:
        FileNotFoundError: for a table that was not recorded.
        ValueError: for a table that lacks a combination of choices.
    """
    return (
        _digits(folder) | _stopping(folder) | _subsets(folder) | _full(folder) | _rounding(folder)
    )


def _choice(name: str) -> Choice:
    return space().choices[name]


def array(
    rows: pd.DataFrame, over: Sequence[str], columns: Sequence[str], run: str = "seed"
) -> np.ndarray:
    """Columns of a table as an array: an axis for each choice, one for the columns, and the runs last.

    Raises:
        ValueError: where a combination of choices and run is absent or occurs twice.
    """
    shape = [len(_choice(name).values) for name in over]
    runs = sorted(rows[run].unique())
    at = [
        rows[name].astype(str).map({str(v): k for k, v in enumerate(_choice(name).values)})
        for name in over
    ]
    at.append(rows[run].map({value: k for k, value in enumerate(runs)}))
    keep = np.all([index.notna() for index in at], axis=0)
    index = np.ravel_multi_index([i[keep].astype(int) for i in at], (*shape, len(runs)))
    count = int(np.prod([*shape, len(runs)]))
    if len(index) != count or len(np.unique(index)) != count:
        raise ValueError(
            f"a table has {len(index)} rows over {', '.join(over)}: allowed are {count}, one for each"
        )
    found = np.empty((count, len(columns)), dtype=np.float32)
    found[index] = rows.loc[keep, list(columns)].to_numpy(dtype=np.float32)
    return np.moveaxis(found.reshape(*shape, len(runs), len(columns)), -1, -2)


def _kinds(masks: np.ndarray, cells: np.ndarray, axes: Sequence[int]) -> np.ndarray:
    """J by kind as a new first axis: that of masks, then those of sets of low margin, which lack some axes.

    Arguments:
        masks: all axes.
        cells: a first axis for the shares, then those of masks without ``axes``.
        axes: positions in ``masks``.
    """
    wide = np.expand_dims(cells, [axis + 1 for axis in axes])
    return np.concatenate([masks[None], np.broadcast_to(wide, (len(cells), *masks.shape))])


def _digits(folder: Path) -> dict[str, Answers]:
    over = (*_RECIPE, *_QUANTIZER)
    inputs = read("digits-inputs", folder)
    columns = ("changed", "accuracy", "shift all", "shift band")
    changed, accuracy, *shifts = np.moveaxis(array(inputs, over, columns), -2, 0)
    rows = read("digits-slices", folder).rename(columns={"plane": "digits_plane", "n": "digits_n"})
    cells = read("digits-cells", folder).rename(columns={"plane": "digits_plane"})
    grid = ("digits_plane", "pad", "digits_n")
    found = {
        "D1": Answers.of(over, changed, 1, 100),
        "D3": Answers.of(over, accuracy, 1 / 450),
        "D5": Answers.of(("shift", *over), np.stack(shifts), 1e-4),
    }
    for claim, bits in (("D2", 8), ("D4", 4)):
        masks = array(rows, (*over, *grid), [f"J {bits} {rule}" for rule in MASKS])
        low = [
            array(cells[cells["share"] == share], (*over, "digits_plane"), [f"J {bits}"])[..., 0, :]
            for share in LOW
        ]
        j = _kinds(masks, np.stack(low), (6, 7, 8))
        found[claim] = Answers.of(("digits_j", *over, *grid, "mask"), j, 1e-3)
    named = [[TRANSITIONS.index(pair) for pair in ((8, 6), (6, 4), (4, 3))]]
    named += [[TRANSITIONS.index(pair) for pair in ((5, 4), (4, 3), (3, 2))]]
    ways = [f"{b} to {c}, {k}, {w}" for b, c in TRANSITIONS for k in (2, 3) for w in COUNTED]
    counts = array(rows, (*over, *grid), ways)
    counts = counts.reshape(*counts.shape[:-2], len(TRANSITIONS), 2, len(COUNTED), -1)
    for k, claim in enumerate(("T1", "T2", "T3")):
        these = counts.take([way[k] for way in named], axis=8)
        found[claim] = Answers.of((*over, *grid, "transitions", "block", "counted"), these, 1, 100)
    return found


def picked_level(kept: np.ndarray, levels: Sequence[int], walked: Sequence[int]) -> np.ndarray:
    """The index of the level that a rule picks: the fewest bits that keep its conditions, else the most bits.

    Arguments:
        kept: whether each level keeps them, levels along the first axis.
        levels: bits of each, falling.
        walked: the levels that the rule knows.
    """
    found = np.full(kept.shape[1:], levels.index(max(walked)), dtype=np.int8)
    for k, bits in enumerate(levels):
        if bits in walked:
            found[kept[k]] = k
    return found


def _thresholds(name: str) -> np.ndarray:
    return np.array([np.inf if v == "none" else v for v in _choice(name).values], dtype=np.float32)


def _walks(levels: Sequence[int]) -> list[tuple[int, ...]]:
    """The levels that each value of the choice ``levels`` walks down."""
    walks = {"every bit": tuple(levels), "named": (8, 6, 4, 3)}
    return [walks[value] for value in _choice("levels").values]


def _rules(
    inputs: dict[str, np.ndarray], j: dict[str, np.ndarray], levels: Sequence[int]
) -> dict[str, np.ndarray]:
    """Bits, held-out flips and held-out J at the picks of both rules, for one network's conventions.

    Arguments:
        inputs: ``loss`` and ``flips`` on calibration and ``held`` flips on test inputs, shape (levels, runs).
        j: ``calibration`` and ``test``, shape (kinds of J, levels, runs).
        levels: bits, falling.

    Returns:
        Of the accuracy rule ``bits`` and ``flips``, shape (eps, levels, runs), and ``j``, with the kinds of J
        last but one; of the boundary-aware rule ``bits aware``, ``flips aware`` and ``j aware``, with tau_f and
        tau_j before the kinds. All have the runs last.
    """
    eps, tau_f, tau_j = (_thresholds(name) + SLACK * 100 for name in ("eps", "tau_f", "tau_j"))
    acc = inputs["loss"][:, None] <= eps[:, None]  # levels, eps, runs
    flip = inputs["flips"][:, None] <= tau_f[:, None]
    both = acc[:, :, None] & flip[:, None]  # levels, eps, tau_f, runs
    near = (
        np.moveaxis(j["calibration"], 1, 0)[:, None] <= tau_j[:, None, None]
    )  # levels, tau_j, kinds, runs
    runs, kinds = inputs["loss"].shape[-1], len(j["test"])
    bits, run = np.array(levels, dtype=np.float32), np.arange(runs)
    found: dict[str, list[np.ndarray]] = {}
    for walked in _walks(levels):
        plain = picked_level(acc, levels, walked)
        aware = picked_level(both[:, :, :, None, None] & near[:, None, None], levels, walked)
        kind = np.arange(kinds)[:, None]
        now = {
            "bits": bits[plain],
            "flips": inputs["held"][plain, run],
            "j": j["test"][kind, plain[:, None], run],
            "bits aware": bits[aware],
            "flips aware": inputs["held"][aware, run],
            "j aware": j["test"][kind, aware, run],
        }
        for name, values in now.items():
            found.setdefault(name, []).append(values)
    return {name: np.stack(values, axis=1) for name, values in found.items()}


def _judged(
    conventions: tuple[str, ...],
    of_j: tuple[str, ...],
    inputs: dict[str, np.ndarray],
    j: dict[str, np.ndarray],
    levels: Sequence[int],
    steps: dict[str, tuple[float, float]],
) -> dict[str, Answers]:
    """The answers of both rules over all conventions, thresholds and kinds of J, a network's at a time.

    Arguments:
        conventions: choices along the first axes of ``inputs`` and ``j``.
        of_j: choices along the axes of ``j`` that follow.
        inputs, j: as for :func:`_rules`, after those axes.
        levels: bits, falling.
        steps: least change and span of each of bits, flips and J.
    """
    shape = [len(_choice(name).values) for name in conventions]
    sizes = [len(_choice(name).values) for name in of_j]
    plain, aware = ("eps", "levels"), ("eps", "levels", "tau_f", "tau_j")
    over = {"bits": plain, "flips": plain, "j": (*plain, *of_j)}
    over |= {f"{name} aware": (*aware, *of_j) for name in ("bits", "flips", "j")}
    parts: dict[str, list[Answers]] = {}
    for at in np.ndindex(*shape):
        flat = {part: values[at].reshape(-1, *values.shape[-2:]) for part, values in j.items()}
        here = _rules({name: values[at] for name, values in inputs.items()}, flat, levels)
        for name, values in here.items():
            if name == "j" or "aware" in name:
                values = values.reshape(*values.shape[:-2], *sizes, values.shape[-1])
            step, span = steps[name.partition(" ")[0]]
            parts.setdefault(name, []).append(Answers.of(over[name], values, step, span))
    whole = {}
    for name, some in parts.items():
        mean, std, n = (
            np.stack([getattr(one, field) for one in some]).reshape(*shape, *some[0].mean.shape)
            for field in ("mean", "std", "n")
        )
        step, span = steps[name.partition(" ")[0]]
        whole[name] = Answers((*conventions, *over[name]), mean, std, n, step, span)
    return whole


def _stopping(folder: Path) -> dict[str, Answers]:
    over = (*_RECIPE, *_QUANTIZER)
    inputs = _by_part(read("stopping-inputs", folder), over, LEVELS)
    slices = read("stopping-slices", folder)
    slices = slices.rename(columns={"plane": "digits_plane", "n": "digits_n"})
    cells = read("stopping-cells", folder).rename(columns={"plane": "digits_plane"})
    columns, grid = [f"J {b}" for b in LEVELS], ("digits_plane", "pad", "digits_n", "mask")
    j = {}
    for part in ("calibration", "test"):
        here = slices["part"].isin(["both", part])
        masks = array(slices[here], (*over, *grid), columns)
        low = cells[cells["part"].isin(["both", part])]
        low = [array(low[low["share"] == s], (*over, "digits_plane"), columns) for s in LOW]
        j[part] = np.moveaxis(_kinds(masks, np.stack(low), (6, 7, 8)), 0, 5)
    steps = {"bits": (1.0, 6.0), "flips": (1 / 360, 1.0), "j": (1e-3, 1.0)}
    found = _judged(over, ("digits_j", *grid), inputs, j, LEVELS, steps)
    names = {"S1": "flips", "S2": "flips aware", "S3": "j", "S4": "j aware"}
    return {claim: found[name] for claim, name in names.items()}


def _by_part(
    inputs: pd.DataFrame, over: tuple[str, ...], levels: Sequence[int]
) -> dict[str, np.ndarray]:
    """Loss and flips on calibration and flips on test inputs, with axes over, levels, runs."""
    inputs = inputs.assign(loss=inputs["accuracy_reference"] - inputs["accuracy"])
    found: dict[str, list[np.ndarray]] = {"loss": [], "flips": [], "held": []}
    for b in levels:
        rows = inputs[inputs["bits"] == b]
        calibration, test = (rows[rows["part"] == part] for part in ("calibration", "test"))
        both = array(calibration, over, ["loss", "flip_rate"])
        found["loss"].append(both[..., 0, :])
        found["flips"].append(both[..., 1, :])
        found["held"].append(array(test, over, ["flip_rate"])[..., 0, :])
    return {name: np.stack(values, axis=-2) for name, values in found.items()}


def _natural_j(
    slices: pd.DataFrame, inputs: pd.DataFrame, over: tuple[str, ...], extra: tuple[str, ...]
) -> np.ndarray:
    """J of every kind: axes ``natural_j``, those of ``over`` and ``extra``, plane, n, mask, runs.

    ``extra`` are choices that only inputs know.
    """
    slices = slices.rename(columns={"plane": "natural_plane", "n": "natural_n"})
    grid = ("natural_plane", "natural_n")
    on_slices = array(slices, (*over, *grid), [*MASKS, *(f"low cells {s}" for s in SHARES)])
    masks, cells = (
        on_slices[..., : len(MASKS), :],
        np.moveaxis(on_slices[..., len(MASKS) :, :], -2, 0),
    )
    on_inputs = array(inputs, (*over, *extra), [f"low inputs {s}" for s in SHARES])
    on_inputs = np.moveaxis(on_inputs, -2, 0)
    at = len(over)
    shape = (
        *masks.shape[:at], *(len(_choice(name).values) for name in extra), *masks.shape[at:],
    )  # fmt: skip
    wide = [np.broadcast_to(np.expand_dims(masks, tuple(range(at, at + len(extra)))), shape)]
    wide += [
        np.broadcast_to(np.expand_dims(one[..., None, :], tuple(range(at, at + len(extra)))), shape)
        for one in cells
    ]
    wide += [np.broadcast_to(one[..., None, None, None, :], shape) for one in on_inputs]
    return np.stack(wide)


def _subsets(folder: Path) -> dict[str, Answers]:
    inputs, slices = read("subsets-inputs", folder), read("subsets-slices", folder)
    levels = sorted(inputs["bits"].unique(), reverse=True)
    over, extra = ("training", *_QUANTIZER, "folded"), ("images",)
    parts = _by_part(inputs, (*over, *extra), levels)
    j = {}
    for part in ("calibration", "test"):
        by_level = []
        for b in levels:
            a, z = (rows[(rows["part"] == part) & (rows["bits"] == b)] for rows in (slices, inputs))
            by_level.append(_natural_j(a, z, over, extra))
        # Axes: conventions, kind of J, plane, n, mask, levels, runs.
        j[part] = np.moveaxis(np.stack(by_level, axis=-2), 0, 5)
    steps = {"bits": (1.0, 6.0), "flips": (1 / 600, 1.0), "j": (1e-3, 1.0)}
    grid = ("natural_j", "natural_plane", "natural_n", "mask")
    found = _judged((*over, *extra), grid, parts, j, levels, steps)
    names = {
        "C1 accuracy rule": "bits", "C2": "flips", "C3": "j",
        "C1 boundary-aware rule": "bits aware", "C4": "flips aware", "C5": "j aware",
    }  # fmt: skip
    by_claim = {claim: found[name] for claim, name in names.items()}
    # Candidates of one network: its levels and quantizers. Axes: training, folded, images, grid, runs, them.
    pairs = [
        np.moveaxis(j[part], [1, 2, -2], [-3, -2, -1]).reshape(
            *np.delete(j[part].shape, [1, 2, 9]), -1
        )
        for part in ("calibration", "test")
    ]
    r = _correlation(*pairs)
    by_claim["P1"] = Answers.of(("training", "folded", "images", *grid), r, 1e-3, 1.0, fisher=True)
    return by_claim


def _correlation(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Pearson's correlation along the last axis; NaN where one is constant."""
    a, b = (x - x.mean(axis=-1, keepdims=True) for x in (a.astype(float), b.astype(float)))
    size = np.sqrt((a * a).sum(axis=-1) * (b * b).sum(axis=-1))
    return np.where(size > 1e-12, (a * b).sum(axis=-1) / np.where(size > 1e-12, size, 1), np.nan)


def _full(folder: Path) -> dict[str, Answers]:
    rows = read("full-inputs", folder)
    over = ("family", *_QUANTIZER, "folded")
    bands = [f"band {share}" for share in SHARES]
    six = rows[rows["bits"] == 6]
    loss, flips = np.moveaxis(array(six, over, ["loss", "flip_rate"]), -2, 0)
    goal = float(claims()["O1"]["given"]["overall"])
    at_goal = interpolate_at(rows, [*over, "seed"], "flip_rate", goal, bands)
    in_band = array(six, over, bands)
    return {
        "F1": Answers.of(over, loss, 1 / 2000),
        "F2": Answers.of(over, flips, 1 / 2000),
        "F3": Answers.of((*over, "share"), in_band, 1 / 400),
        "O1": Answers.of((*over, "share"), array(at_goal, over, bands), 1 / 400),
    }


def _rounding(folder: Path) -> dict[str, Answers]:
    inputs, slices = read("rounding-inputs", folder), read("rounding-slices", folder)
    over, found = ("family", "scale", "search"), {}
    pairs = [f"band pairs {share}" for share in SHARES]
    grid = ("natural_plane", "natural_n", "mask")
    for (j, rate), with_gap in {("R1", "R3"): False, ("R2", "R4"): True}.items():
        here = [rows[(rows["gap"] > 0) == with_gap] for rows in (inputs, slices)]
        names = (*over, "gap") if with_gap else over
        found[j] = Answers.of(
            ("natural_j", *names, *grid), _natural_j(here[1], here[0], names, ()), 1e-3
        )
        found[rate] = Answers.of((*names, "share"), array(here[0], names, pairs), 1 / 400)
    return found
