"""The generated parts of the page *Scaling*: laws fitted to measured costs, and what they foretell."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from workflow import markdown
from workflow.outcome import run_record
from workflow.project import Project

__all__ = ["Estimate", "Law", "Line", "fit", "fit_line", "parts"]

_EVALUATION, _TRAINING, _CHECK = "evaluation of resnet18", "training of resnet18", "check of "
_MISSING = "The costs have not been measured: `python -m workflow scaling` does."
_LEVEL = 0.9  # of every interval
# What a study of one ImageNet-size network takes, in the measures of this book.
_IMAGES, _NETWORKS, _PLANES, _SIDE = 50_000, 7, 20, 241
_RADII = 1000
_TRAINING_IMAGES, _EPOCHS = 1_281_167, 90
_CORES = 16 * 64


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
        """So many times as much."""
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
        """Half of b's 90 % interval."""
        error = math.sqrt(self.covariance[1, 1])
        return float(stats.t.ppf(0.5 + _LEVEL / 2, self.count - 2) * error)


def fit(x: np.ndarray, seconds: np.ndarray) -> Law:
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
    """The line through measured costs; raises as :func:`fit`."""
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
    """What widens a normal interval for the few measurements that a line was fitted to."""
    level = 0.5 + _LEVEL / 2
    return float(stats.t.ppf(level, count - 2) / stats.norm.ppf(level))


def parts(project: Project, titles: Mapping[str, str]) -> dict[str, str]:
    """``scaling-chapters``, ``-laws``, ``-check`` and ``-imagenet``, each a table in Markdown."""
    results = project.root / "book" / "results"
    found = {"scaling-chapters": _chapters(project, titles)}
    if not (results / "scaling.csv").is_file():
        return found | dict.fromkeys(
            ("scaling-laws", "scaling-check", "scaling-imagenet"), _MISSING
        )
    costs = pd.read_csv(results / "scaling.csv")
    reference = pd.read_csv(results / "scaling-models.csv")
    return found | {
        "scaling-laws": _laws(costs, titles),
        "scaling-check": _check(costs),
        "scaling-imagenet": _imagenet(costs, reference),
    }


def _measured(costs: pd.DataFrame, work: str) -> tuple[np.ndarray, np.ndarray]:
    rows = costs[costs["work"] == work]
    return rows["value"].to_numpy(float), rows["seconds"].to_numpy(float)


def _chapters(project: Project, titles: Mapping[str, str]) -> str:
    rows = []
    for chapter in project.chapters:
        run = run_record(project.root / "book" / f"{chapter.name}.ipynb")
        if run:
            given = run["parameters"]
            seeds = ", ".join(f"{given[key]}" for key in given if key in ("seeds_digits", "seeds"))
            cells = (f"{run['minutes']:.1f}", run["threads"], run["peak_memory_mib"])
            rows.append((f"[{titles[chapter.name]}]({chapter.name}.ipynb)", seeds, *cells))
    header = ("chapter", "seeds", "minutes", "threads", "memory, MiB")
    return markdown.table(header, rows) if rows else "No chapter has been executed."


def _laws(costs: pd.DataFrame, titles: Mapping[str, str]) -> str:
    rows = []
    for (work, variable), group in costs.groupby(["work", "variable"], sort=False):
        if group["value"].nunique() < 2 or work.startswith("evaluation for"):
            continue
        least, most = group["value"].min(), group["value"].max()
        span = f"{_short(least)} to {_short(most)} {variable}"
        if work in (_EVALUATION, _TRAINING) or variable == "seeds":
            found = fit_line(*_measured(costs, work))
            unit, each = (1, "seed") if variable == "seeds" else (1e9, f"billion {variable}")
            cost, half = found.b * unit, found.half() * unit
            law = f"{_time(found.a)} + {_time(cost)} (± {_time(half)}) for each {each}"
        else:
            found = fit(*_measured(costs, work))
            p, lo, hi = found.exponent()
            law = f"grows with the power {p:.2f} [{lo:.2f}, {hi:.2f}]"
        spread = f"{100 * found.spread:.1f} %"
        work = (
            f"chapter *{titles[name]}*"
            if (name := work.removeprefix("chapter ")) in titles
            else work
        )
        rows.append((work, span, f"{_time(group['seconds'].max())}", law, spread))
    return markdown.table(("work", "measured at", "most", "law", "spread around it"), rows)


def _check(costs: pd.DataFrame) -> str:
    law, largest = (
        fit_line(*_measured(costs, _EVALUATION)),
        costs[costs["work"] == _EVALUATION]["value"].max(),
    )
    rows = []
    for work, group in costs.groupby("work", sort=False):
        if not work.startswith(_CHECK):
            continue
        size, measured = group["value"].iloc[0], group["seconds"].median()
        middle, lo, hi = law.at(size).interval()
        told = f"{_time(middle)} [{_time(lo)}, {_time(hi)}]"
        beyond = f"{size / largest:.1f} times"
        ratio = f"{measured / middle:.2f}"
        rows.append((work.removeprefix(_CHECK), beyond, told, _time(measured), ratio))
    header = ("network", "beyond the largest fitted", "foretold", "measured", "measured / foretold")
    return markdown.table(header, rows)


def _imagenet(costs: pd.DataFrame, reference: pd.DataFrame) -> str:
    evaluation, training = (fit_line(*_measured(costs, name)) for name in (_EVALUATION, _TRAINING))
    # Maps and radii in units of one evaluation of the network that they were measured on.
    maps = fit(*_measured(costs, "label map, adaptive")).at(_SIDE)
    maps = maps.over(_typical(costs, "evaluation for maps"))
    radii = fit(*_measured(costs, "radii"))
    unit = _typical(costs, "evaluation for radii")
    rows = []
    for model in reference.itertuples():
        one = evaluation.at(model.multiply_adds)
        works = {
            "labels": one.scaled(_IMAGES * _NETWORKS),
            "maps": one.times(maps).scaled(_PLANES * _NETWORKS),
            "radii": one.times(radii.at(model.classes).over(unit)).scaled(_RADII),
            "training": training.at(model.multiply_adds).scaled(_TRAINING_IMAGES * _EPOCHS),
        }
        cells = [_hours(work) for work in works.values()]
        measured = sum(works[name].interval()[0] for name in ("labels", "maps", "radii"))
        name = f"{model.model}, {model.weights / 1e6:.1f} million weights"
        rows.append((name, *cells, f"{measured / _CORES / 60:.1f} min"))
    header = (
        "network",
        f"labels of {_IMAGES:,} images, {_NETWORKS} networks",
        f"maps of {_PLANES} planes, n = {_SIDE}, {_NETWORKS} networks",
        f"radii of {_RADII:,} images",
        f"training, {_EPOCHS} epochs",
        f"all but training, on {_CORES:,} cores",
    )
    return markdown.table(header, rows)


def _typical(costs: pd.DataFrame, work: str) -> Estimate:
    logs = np.log(costs[costs["work"] == work]["seconds"].to_numpy(float))
    return Estimate(float(logs.mean()), float(logs.std(ddof=1)))


def _hours(estimate: Estimate) -> str:
    middle, lo, hi = (value / 3600 for value in estimate.interval())
    return f"{_short(middle)} [{_short(lo)}, {_short(hi)}] core hours"


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
