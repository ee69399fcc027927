"""What measures cost: laws fitted to measured seconds, predictions from them, and races against peers."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from baq.report.excerpts import markdown_table
from baq.report.tables import interval_text

__all__ = [
    "HOPELESS",
    "MISSING",
    "UNEQUAL",
    "Estimate",
    "Law",
    "Line",
    "against_ten_minutes",
    "check_table",
    "exponents_table",
    "fit_line",
    "fit_power",
    "floors_table",
    "laws_table",
    "planes_table",
    "race_outcome",
    "races_table",
    "study_table",
]

#: How ``agreement`` of a race begins if the answers differ, if the peer is not available, and if ours would be slower.
UNEQUAL, MISSING, HOPELESS = "not equal: ", "not raced: ", "not raced, since "

_EVALUATION, _TRAINING, _CHECK = "evaluation of resnet18", "training of resnet18", "check of "
_LEVEL = 0.9  # of every interval


@dataclass(frozen=True)
class Estimate:
    """A duration or a ratio as a logarithm with its standard deviation."""

    log: float
    sd: float

    def times(self, other: Estimate) -> Estimate:
        """The product, of independent errors."""
        return Estimate(self.log + other.log, math.hypot(self.sd, other.sd))

    def over(self, other: Estimate) -> Estimate:
        """The quotient, of independent errors."""
        return Estimate(self.log - other.log, math.hypot(self.sd, other.sd))

    def scaled(self, factor: float) -> Estimate:
        """The same, times a factor."""
        return Estimate(self.log + math.log(factor), self.sd)

    def interval(self) -> tuple[float, float, float]:
        """The middle, and both ends of the 90 % interval."""
        half = stats.norm.ppf(0.5 + _LEVEL / 2) * self.sd
        return math.exp(self.log), math.exp(self.log - half), math.exp(self.log + half)


@dataclass(frozen=True)
class Law:
    """``seconds = c x^p`` by least squares of logarithms; ``error`` is p's standard error."""

    p: float
    error: float
    log_c: float
    spread: float
    count: int
    centre: float
    width: float

    def at(self, x: float) -> Estimate:
        """The cost of one more measurement at x."""
        away = (math.log(x) - self.centre) ** 2 / self.width
        sd = self.spread * math.sqrt(1 + 1 / self.count + away)
        return Estimate(self.log_c + self.p * math.log(x), _few(self.count) * sd)

    def exponent(self) -> tuple[float, float, float]:
        """p, and both ends of its 90 % interval."""
        half = stats.t.ppf(0.5 + _LEVEL / 2, self.count - 2) * self.error
        return self.p, self.p - half, self.p + half


@dataclass(frozen=True)
class Line:
    """``seconds = a + b x`` by least squares of relative errors; ``covariance`` is that of a and b."""

    a: float
    b: float
    covariance: np.ndarray
    spread: float
    count: int

    def at(self, x: float) -> Estimate:
        """The cost of one more measurement at x."""
        middle, v = self.a + self.b * x, np.array([1.0, x])
        sd = math.sqrt(self.spread**2 + v @ self.covariance @ v / middle**2)
        return Estimate(math.log(middle), _few(self.count) * sd)

    def half(self) -> float:
        """Half the width of b's 90 % interval."""
        error = math.sqrt(self.covariance[1, 1])
        return float(stats.t.ppf(0.5 + _LEVEL / 2, self.count - 2) * error)


def fit_power(x: np.ndarray, seconds: np.ndarray) -> Law:
    """The power law through measured costs.

    Raises:
        ValueError: for fewer than three measurements, fewer than two sizes, or a value that is not
            positive.
    """
    _check_measurements(x, seconds)
    u, v = np.log(x), np.log(seconds)
    line = stats.linregress(u, v)
    rest = v - line.intercept - line.slope * u
    return Law(
        p=float(line.slope),
        error=float(line.stderr),
        log_c=float(line.intercept),
        spread=float(np.sqrt((rest**2).sum() / (len(u) - 2))),
        count=len(u),
        centre=float(u.mean()),
        width=float(((u - u.mean()) ** 2).sum()),
    )


def fit_line(x: np.ndarray, seconds: np.ndarray) -> Line:
    """The line through measured costs; raises as :func:`fit_power`."""
    _check_measurements(x, seconds)
    design = np.stack([1 / seconds, x / seconds], axis=1)
    (a, b), *_ = np.linalg.lstsq(design, np.ones(len(x)))
    rest = 1 - design @ [a, b]
    spread = float(np.sqrt((rest**2).sum() / (len(x) - 2)))
    return Line(float(a), float(b), spread**2 * np.linalg.inv(design.T @ design), spread, len(x))


def _check_measurements(x: np.ndarray, seconds: np.ndarray) -> None:
    if len(x) < 3 or len(np.unique(x)) < 2 or min(x.min(), seconds.min()) <= 0:
        raise ValueError(
            f"measurements are {len(x)} at {len(np.unique(x))} sizes, allowed are 3 or more at 2 "
            "sizes or more, all positive"
        )


def _few(count: int) -> float:
    """The factor from a normal interval to Student's, for a line through few measurements."""
    level = 0.5 + _LEVEL / 2
    return float(stats.t.ppf(level, count - 2) / stats.norm.ppf(level))


def _chapter(name: str) -> str:
    return f"[{name[3:].replace('-', ' ')}]({name}.ipynb)" if name[:2].isdigit() else name


def _measured(costs: pd.DataFrame, work: str) -> tuple[np.ndarray, np.ndarray]:
    rows = costs[costs["work"] == work]
    return rows["value"].to_numpy(float), rows["seconds"].to_numpy(float)


def laws_table(costs: pd.DataFrame) -> str:
    """The law of each kind of work that was measured at several sizes, in Markdown.

    Arguments:
        costs: a row a measurement, with ``work``, ``variable``, ``value`` and ``seconds``.
    """
    rows = []
    for (work, variable), group in costs.groupby(["work", "variable"], sort=False):
        if group["value"].nunique() < 2 or work.startswith("evaluation for"):
            continue
        least, most = group["value"].min(), group["value"].max()
        span = f"{_short(least)} to {_short(most)} {variable}"
        if work in (_EVALUATION, _TRAINING) or variable == "seeds":
            line = fit_line(*_measured(costs, work))
            unit, each = (1.0, "seed") if variable == "seeds" else (1e9, f"billion {variable}")
            cost, half, spread = line.b * unit, line.half() * unit, line.spread
            law = f"{_time(line.a)} + {_time(cost)} (± {_time(half)}) for each {each}"
        else:
            power = fit_power(*_measured(costs, work))
            (p, lo, hi), spread = power.exponent(), power.spread
            law = f"grows with the power {interval_text(p, lo, hi, 2)}"
        if work.startswith("chapter "):
            work = _chapter(work.removeprefix("chapter "))
        rows.append((work, span, f"{_time(group['seconds'].max())}", law, f"{100 * spread:.1f} %"))
    return markdown_table(("work", "measured at", "most", "law", "spread around it"), rows)


def check_table(costs: pd.DataFrame) -> str:
    """Predicted and measured costs of networks that were left out of the fit, in Markdown."""
    law = fit_line(*_measured(costs, _EVALUATION))
    largest = costs[costs["work"] == _EVALUATION]["value"].max()
    rows = []
    for work, group in costs.groupby("work", sort=False):
        if not work.startswith(_CHECK):
            continue
        size, measured = group["value"].iloc[0], group["seconds"].median()
        middle, lo, hi = law.at(size).interval()
        told = interval_text(middle, lo, hi, form=_time)
        beyond = f"{size / largest:.1f} times"
        ratio = f"{measured / middle:.2f}"
        rows.append((work.removeprefix(_CHECK), beyond, told, _time(measured), ratio))
    header = (
        "network",
        "beyond the largest fitted",
        "predicted",
        "measured",
        "measured / predicted",
    )
    return markdown_table(header, rows)


def study_table(
    costs: pd.DataFrame,
    reference: pd.DataFrame,
    *,
    images: int,
    networks: int,
    planes: int,
    side: int,
    radii_images: int,
    training_images: int,
    epochs: int,
    cores: int,
) -> str:
    """What a study of larger networks would cost by the laws, in Markdown.

    Arguments:
        costs: as for :func:`laws_table`.
        reference: a row a network: ``model``, ``weights``, ``multiply_adds`` of an image, ``classes``.
        images, networks: how many images each network labels, and how many networks there are.
        planes, side: label maps of each network, and their cells a side.
        radii_images: images whose radii over all classes are taken.
        training_images, epochs: of a training from scratch.
        cores: cores that share the work of the last column.
    """
    evaluation, training = (fit_line(*_measured(costs, name)) for name in (_EVALUATION, _TRAINING))
    # Maps and radii in units of one evaluation of the network that they were measured on.
    maps = fit_power(*_measured(costs, "label map, adaptive")).at(side)
    maps = maps.over(_typical(costs, "evaluation for maps"))
    radii = fit_power(*_measured(costs, "radii"))
    unit = _typical(costs, "evaluation for radii")
    rows = []
    for model in reference.itertuples():
        one = evaluation.at(model.multiply_adds)
        works = {
            "labels": one.scaled(images * networks),
            "maps": one.times(maps).scaled(planes * networks),
            "radii": one.times(radii.at(model.classes).over(unit)).scaled(radii_images),
            "training": training.at(model.multiply_adds).scaled(training_images * epochs),
        }
        cells = [_hours(work) for work in works.values()]
        measured = sum(works[name].interval()[0] for name in ("labels", "maps", "radii"))
        name = f"{model.model}, {model.weights / 1e6:.1f} million weights"
        rows.append((name, *cells, f"{measured / cores / 60:.1f} min"))
    header = (
        "network",
        f"labels of {images:,} images, {networks} networks",
        f"maps of {planes} planes, n = {side}, {networks} networks",
        f"radii of {radii_images:,} images",
        f"training, {epochs} epochs",
        f"all but training, on {cores:,} cores",
    )
    return markdown_table(header, rows)


def _typical(costs: pd.DataFrame, work: str) -> Estimate:
    logs = np.log(costs[costs["work"] == work]["seconds"].to_numpy(float))
    return Estimate(float(logs.mean()), float(logs.std(ddof=1)))


def race_outcome(race: pd.Series) -> str:
    """``met``, ``not met``, also without a race that cannot be won, or ``not raced`` if the peer is not available."""
    agreement = str(race["agreement"])
    if agreement.startswith(MISSING):
        return "not raced"
    fast = race["ratio_median"] >= race["target"]
    return "met" if fast and not agreement.startswith(UNEQUAL) else "not met"


def races_table(races: pd.DataFrame) -> str:
    """Every race with its ratio, its target and whether that was met, in Markdown."""
    rows = []
    for _, race in races.iterrows():
        work, _, peer = race["work"].partition(" / ")
        met = race_outcome(race)
        raced = ("", "")
        if pd.notna(race["ratio_median"]):
            times = f"{_seconds(race['ours'])}, {_seconds(race['peer'])}"
            ratios = race[["ratio_median", "ratio_min", "ratio_max"]]
            ratio = interval_text(*ratios, form="{:.3g}".format)
            raced = times, ratio
        wrong = met == "not met" and race["ratio_median"] >= race["target"]
        target = f"{race['target']:.3g}: **{met}**{', answers differ' if wrong else ''}"
        rows.append((f"{work}, {race['size']}", peer, *raced, target, race["agreement"]))
    header = ("work", "against", "ours, peer", "times faster", "target", "answers")
    return f"```{{table}}\n:class: races\n\n{markdown_table(header, rows)}\n```"


def tools_table(tools: pd.DataFrame) -> str:
    """What each tool is asked, what it says of one pair and in how many seconds, in Markdown.

    Arguments:
        tools: the table of :mod:`benchmarks.tools`; a tool that said nothing has its ``reason``.
    """
    rows = []
    for _, row in tools.astype(object).fillna("").iterrows():
        name = f"[{row['tool']}]({row['documentation']})" if row["documentation"] else row["tool"]
        said = row["said"] or f"*not tried: {row['reason']}*"
        seconds = _seconds(row["seconds"]) if row["said"] else ""
        rows.append((name, row["package"], row["question"], said, seconds))
    header = ("tool", "version", "question", "what it says of the pair", "processor time")
    return markdown_table(header, rows, classes="races")


def planes_table(planes: pd.DataFrame) -> str:
    """Maps beside dense ones, a row for each network and way, in Markdown."""
    rows = [
        (
            network,
            way,
            len(group),
            f"{group['n'].iloc[0]} x {group['n'].iloc[0]}",
            f"{100 * group['evaluated'].median():.1f} %",
            int(group["wrong"].sum()),
            f"{100 * group['error_bound'].max():.2f} %",
        )
        for (network, way), group in planes.groupby(["network", "way"], sort=False)
    ]
    header = (
        "network",
        "way",
        "planes",
        "cells",
        "evaluated, median",
        "wrong cells",
        "largest bound",
    )
    return markdown_table(header, rows)


#: Minutes that the book, and its longest chapter, were to take.
_BOOK, _LONGEST = 10, 2.5
#: Minutes of a floor below which a chapter's time says nothing of its passes.
_LEAST_FLOOR = 0.05


def floors_table(floors: pd.DataFrame) -> str:
    """Every chapter's time beside its floor, and all of them together, in Markdown.

    Arguments:
        floors: a row a chapter: ``chapter``, ``multiplications``, ``minutes`` and ``floor`` in minutes.
    """
    summed = floors[["multiplications", "minutes", "floor"]].sum()
    whole = pd.DataFrame([{"chapter": "all"} | summed.to_dict()])
    rows = [
        (
            row.chapter,
            f"{row.minutes:.1f}",
            f"{row.multiplications / 1e12:.2f}",
            f"{row.floor:.2f}",
            f"{row.minutes / row.floor:.1f}" if row.floor >= _LEAST_FLOOR else "–",
        )
        for row in pd.concat([floors, whole]).itertuples(index=False)
    ]
    header = (
        "chapter",
        "minutes of a core",
        "10¹² multiplications",
        "floor, minutes of a core",
        "times the floor",
    )
    return markdown_table(header, rows)


def against_ten_minutes(floors: pd.DataFrame) -> str:
    """What the whole book takes at the least on its machine's cores, beside the time that it was to take."""
    cores = int(floors["machine"].iloc[0].split()[0])
    least, floor = (floors[name].sum() / cores for name in ("minutes", "floor"))
    long = floors[floors["minutes"] > _LONGEST].sort_values("minutes", ascending=False)
    named = ", ".join(f"{row.chapter} ({row.minutes:.1f})" for row in long.itertuples())
    return (
        f"The book was to take {_BOOK} minutes on two cores, and no chapter more than {_LONGEST}. All together take {least:.1f} minutes "
        f"on {cores} cores that are never idle, of which {floor:.1f} are the floor; so the first is {'' if least <= _BOOK else 'not '}met. "
        f"Longer than {_LONGEST} minutes of a core: {named or 'none'}."
    )


def exponents_table(costs: pd.DataFrame, least_side: int) -> str:
    """Power laws of label maps in the cells a side, with 90 % intervals, in Markdown.

    Arguments:
        costs: a row a map: ``network``, ``way``, ``n``, ``seconds``, ``evaluated``.
        least_side: smaller maps, whose fixed costs show, are left out for all ways but the dense one.
    """
    rows = []
    for (network, way), group in costs.groupby(["network", "way"], sort=False):
        fitted = group[group["n"] >= least_side] if way != "dense" else group
        cells = []
        for column in ("seconds", "evaluated"):
            if len(fitted) < 3:
                cells.append("")
                continue
            p, lo, hi = fit_power(
                fitted["n"].to_numpy(float), fitted[column].to_numpy(float)
            ).exponent()
            cells.append(interval_text(p, lo, hi, 2))
        rows.append((network, way, f"{fitted['n'].min()} to {fitted['n'].max()}", *cells))
    return markdown_table(("network", "way", "n", "time grows as n to the", "evaluations"), rows)


def _seconds(value: float) -> str:
    return f"{value:.3g} s" if value >= 1 else f"{1e3 * value:.3g} ms"


def _hours(estimate: Estimate) -> str:
    middle, lo, hi = (value / 3600 for value in estimate.interval())
    return f"{interval_text(middle, lo, hi, form=_short)} core hours"


def _short(value: float) -> str:
    """Three significant digits, never as a power of ten."""
    return f"{float(f'{value:.3g}'):,.10g}"


def _time(seconds: float) -> str:
    """Three significant digits in a fitting unit."""
    seconds = float(f"{seconds:.3g}")  # first, or 999.9 ms would become 1e+03 ms
    for unit, name in ((60, "min"), (1, "s"), (1e-3, "ms")):
        if abs(seconds) >= unit:
            return f"{seconds / unit:.3g} {name}"
    return f"{seconds * 1e6:.3g} µs"
