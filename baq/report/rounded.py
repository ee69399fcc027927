"""The chapter on rounding: its claims and its experiments, from its tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from baq.report.answers import experiment, retried
from baq.report.claims import paper_value
from baq.report.stats import paired_differences
from baq.slices.grids import grid_reaching

__all__ = ["claimed", "on_coarser_grids", "over_weights", "with_less_tuning"]

_WITHOUT, _WITH = "AdaRound", "boundary gap"
_SECTION = "why-we-differ"


def claimed(results: pd.DataFrame, paths: pd.DataFrame) -> dict[str, dict[str, pd.Series]]:
    """For each setting the values over seeds of claims R1 to R6, as :func:`baq.report.claims.answer` takes them.

    R1 to R5 come from 4 bits; without the term is AdaRound, with it the boundary gap. A seed reaches the
    limit of tuning at a bit width if the largest weight of the path turns more pair orders in the band of the
    validation images than the chosen weight does. R6 holds for a seed that reaches it at 3 bits and not at 4.

    Arguments:
        results: a row a setting, seed, bits and method, with ``jaccard`` (NaN where it is not measured),
            ``band_pair_flip_rate``, ``loss``.
        paths: the paths of :func:`baq.rounding.ways.chosen_gap`, with ``setting``, ``seed``, ``bits``.
    """
    found: dict[str, dict[str, pd.Series]] = {}
    for setting, rows in results.groupby("setting", sort=False):
        values = found.setdefault(str(setting), {})
        four = rows[rows["bits"] == 4].pivot(index="seed", columns="method")
        for claims, measure in (("R1", "R2"), "jaccard"), (("R3", "R4"), "band_pair_flip_rate"):
            for claim, way in zip(claims, (_WITHOUT, _WITH), strict=True):
                if len(four) and four[measure, way].notna().all():
                    values[claim] = four[measure, way]
        if len(four):
            values["R5"] = four["loss", _WITHOUT] - four["loss", _WITH]
        path = paths[paths["setting"] == setting].set_index(["bits", "seed"])
        turned = path["band_pair_flip_rate"]
        largest = path["weight"] == path["weight"].max()
        limit = turned[largest] > turned[path["chosen"]]
        if {3, 4} <= set(limit.index.get_level_values("bits")):
            values["R6"] = limit[3] & ~limit[4]
    return found


def on_coarser_grids(maps: pd.DataFrame) -> list[pd.DataFrame]:
    """R1 and R2 tried on a grid about four times coarser than the finest one.

    Arguments:
        maps: J of one setting at 4 bits, a row a method, seed, plane and grid ``n``.
    """
    found = []
    for claim, way in (("R1", _WITHOUT), ("R2", _WITH)):
        by_seed = maps[maps["method"] == way].groupby(["n", "seed"])["jaccard"].mean()
        by_grid = by_seed.groupby("n").mean()
        finest = int(by_grid.index.max())
        coarse = min(by_grid.index, key=lambda n: abs(n - finest / 4))
        passes = grid_reaching(list(by_grid.index), list(by_grid), paper_value(claim))
        where = (
            f"J passes the paper's at {passes:.0f} of our {finest} cells a side. On {coarse} it is"
        )
        if pd.isna(passes):
            where = f"J passes the paper's on none of our grids. On {coarse} cells a side it is"
        reason = "the paper's grid is about four times coarser"
        found.append(retried(claim, by_seed[coarse], reason, where, _SECTION))
    return found


def with_less_tuning(tried: pd.DataFrame) -> list[pd.DataFrame]:
    """R3 tried with the one of several roundings that comes nearest to the paper.

    Arguments:
        tried: of one setting, a row a seed and rounding, the latter as ``part``.
    """
    rates = tried.pivot(index="seed", columns="part", values="band_pair_flip_rate")
    paper = paper_value("R3")
    name = (rates.mean() - paper).abs().idxmin()
    ends = rates.mean().agg(["min", "max"])
    where = (
        f"{rates.shape[1]} roundings with less tuning or other scales turn {ends['min']:.3f} to "
        f"{ends['max']:.3f} of the pair orders. The one that comes nearest to the paper is *{name}*, where it is"
    )
    reason = "the paper tuned its rounding less, or on another grid of weights"
    return [retried("R3", rates[name], reason, where, _SECTION)]


def over_weights(paths: pd.DataFrame) -> list[pd.DataFrame]:
    """R4 and R5 tried along the weight of the boundary-gap term, on validation images.

    Arguments:
        paths: those of one setting at 4 bits, two seeds or more; none for fewer.
    """
    weights = sorted(set(paths["weight"]) - {0.0})
    how: dict[str, Any] = {"by": ["bits"], "pair": ["seed"], "variant": "weight"}
    measures = ["band_pair_flip_rate", "accuracy"]
    how |= {"of": weights, "against": [0.0]}
    rows = paired_differences(paths, measures, **how)
    if rows.empty:
        return []
    flips, accuracy = (rows[rows["measure"] == name].set_index("weight") for name in measures)
    paper = paper_value("R4") - paper_value("R3")
    held = flips[(flips["lo"] <= paper) & (paper <= flips["hi"])]
    near = (flips["difference"] - paper).abs().idxmin()
    r4 = experiment(
        "R4",
        "the paper's term weighs less than the one that our validation images choose",
        held.empty,
        f"Over the path of lambda the rate changes by {_range(flips)}; at {near:g}, nearest to the paper's "
        f"{paper:+.4f}, by {_interval(flips.loc[near])}.",
        _SECTION,
    )
    last = accuracy.loc[weights[-1]]
    r5 = experiment(
        "R5",
        "accuracy falls where the term weighs more than the layers' own errors",
        not last["hi"] < 0,
        f"Over the path accuracy changes by {_range(accuracy)}; at the largest lambda, {weights[-1]:g}, by "
        f"{_interval(last)}.",
        _SECTION,
    )
    return [r4, r5]


def _range(rows: pd.DataFrame) -> str:
    return f"{rows['difference'].min():+.4f} to {rows['difference'].max():+.4f}"


def _interval(row: Mapping[str, float] | pd.Series) -> str:
    return f"{row['difference']:+.4f} [{row['lo']:+.4f}, {row['hi']:+.4f}]"
