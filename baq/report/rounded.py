"""The chapter on rounding: its claims and its experiments, from its tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from baq.report.answers import experiment, retried, retried_on_grid
from baq.report.claims import paper_value
from baq.report.contrasts import apart, change_text, contrasts, enumerated
from baq.report.stats import LEVEL, paired_difference, paired_differences
from baq.report.tables import interval_text
from baq.rounding.trials import RELAXED
from baq.rounding.ways import METRICS, WAYS

__all__ = [
    "at_the_limit",
    "claimed",
    "experiments",
    "in_short",
    "left_table",
    "mean_flips",
    "metric_differences",
    "on_coarser_grids",
    "over_weights",
    "part_differences",
    "to_take_along",
    "what_metrics_do",
    "what_more_steps_do",
    "what_parts_do",
    "with_flips_before",
    "with_j",
    "with_less_tuning",
]

#: The measures of a comparison of roundings.
MEASURES = ("flip_rate", "band_pair_flip_rate", "displacement")

_NAMES = {
    "flip_rate": "flips",
    "band_pair_flip_rate": "pair-order flips in the band",
    "jaccard": "J",
    "jaccard_many": "J over many planes",
}
_WITHOUT, _WITH = WAYS[1:3]
_SECTION = "why-we-differ"


def claimed(results: pd.DataFrame, paths: pd.DataFrame) -> dict[str, dict[str, pd.Series]]:
    """For each setting the values over seeds of claims R1 to R6, as :func:`baq.report.claims.answer` takes them.

    R1 to R5 come from 4 bits; without the term is AdaRound, with it the boundary gap. A seed reaches the
    limit of tuning at a bit width if the largest weight of the path turns more pair orders in the band of the
    validation images than the chosen weight does. R6 holds for a seed that reaches it at 3 bits and not at 4.

    Arguments:
        results: a row a setting, seed, bits and method, with ``jaccard`` (NaN where it is not measured),
            ``band_pair_flip_rate``, ``loss``.
        paths: the paths of :func:`baq.rounding.ways.chosen`, with ``setting``, ``seed``, ``bits``.
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
        limit = _reached(paths[paths["setting"] == setting])
        if {3, 4} <= set(limit.index.get_level_values("bits")):
            values["R6"] = limit[3] & ~limit[4]
    return found


def with_j(results: pd.DataFrame, maps: pd.DataFrame, planes: int) -> pd.DataFrame:
    """Results with ``jaccard``, the mean over the first planes, and ``jaccard_many``, over all, of METRICS.

    A setting with no more planes than the first ones has no ``jaccard_many``.

    Arguments:
        results: a row a setting, seed, bits and method.
        maps: the same and ``plane`` and ``n``, of which each setting's largest is taken.
        planes: how many planes enter ``jaccard``.
    """
    keys = ["setting", "seed", "bits", "method"]
    own = maps[maps["n"] == maps.groupby("setting")["n"].transform("max")]
    few, many = own[own["plane"] < planes], own[own["method"].isin(METRICS)]
    many = many[many.groupby("setting")["plane"].transform("max") >= planes]
    for name, frame in (("jaccard", few), ("jaccard_many", many)):
        results = results.join(frame.groupby(keys)["jaccard"].mean().rename(name), on=keys)
    return results


def metric_differences(results: pd.DataFrame) -> pd.DataFrame:
    """The boundary metric less each other way that looks at data, as ``paired_differences``.

    By ``networks``, the digits or both families on CIFAR-10, and bits; J where all networks have it.

    Arguments:
        results: those of :func:`with_j`.
    """
    kinds = results["setting"].where(results["setting"] == "digits", "CIFAR-10")
    given, found = results.assign(networks=kinds), []
    how: dict[str, Any] = {"by": ["networks", "bits"], "pair": ["setting", "seed"]}
    how |= {"variant": "method", "of": METRICS[-1:]}
    for measure in (*MEASURES, "jaccard", "jaccard_many"):
        ways = METRICS if measure == "jaccard_many" else WAYS[1:]
        frame = given[given["method"].isin(ways)]
        frame = frame[frame.groupby(how["by"])[measure].transform("count") > 0]
        frame = frame[frame[measure].notna()]
        found.append(paired_differences(frame, [measure], against=ways[:-1], **how))
    return pd.concat(found, ignore_index=True)


def what_metrics_do(differences: pd.DataFrame) -> tuple[str, list[str], list[str], int]:
    """What comes out of :func:`metric_differences`, as a list in Markdown, and its contrasts.

    The contrasts are those of :func:`baq.report.contrasts.contrasts` with the logit and the Fisher metric.
    """
    if differences.empty:
        return "*One network has no paired differences.*", [], [], 0
    flips = differences[differences["measure"] == differences["measure"].iloc[0]]
    lines = [
        f"* Flips, {group}, {bits} bits: {', '.join(map(change_text, rows.itertuples()))}."
        for (group, bits), rows in flips.groupby(["networks", "bits"], sort=False)
    ]
    rivals = differences[differences["against"].isin(METRICS[1:3])]
    # J over many planes, where there is one, has J over few of them in it.
    wide = rivals["networks"].isin(rivals.loc[rivals["measure"] == "jaccard_many", "networks"])
    rivals = rivals[(rivals["measure"] != "jaccard") | ~wide]
    rivals = rivals.assign(bits=rivals["bits"].map("{} bits".format)).replace({"measure": _NAMES})
    below, above, count = contrasts(rivals, ["networks", "bits", "measure"])
    told = (
        f"The boundary metric is better than both, by intervals that exclude 0, in {len(below)} ({enumerated(below)}), and worse than both "
        f"in {len(above)} ({enumerated(above)}). In the other {count - len(below) - len(above)} its own part cannot be told from none."
    )
    if not below and not above:
        told = "In none is the boundary metric better or worse than both: its own part cannot be told from none."
    lines.append(
        f"* Against the logit and the Fisher metric, which know no boundary, there are {count} comparisons"
        f"{' (of J over few planes and over many the latter)' if wide.any() else ''}. {told}"
    )
    return "\n".join(lines), below, above, count


def part_differences(parts: pd.DataFrame, base: str = METRICS[-1]) -> pd.DataFrame:
    """Each part of a rounding, or each other metric, less the boundary metric, by setting and images.

    Arguments:
        parts: a row a setting, seed, ``images`` and ``part``.
        base: the part that the others are compared with.
    """
    found = []
    for _, frame in parts.groupby("images", sort=False):
        names = [name for name in frame["part"].unique() if name != base]
        how: dict[str, Any] = {"by": ["setting", "images"], "pair": ["seed"], "variant": "part"}
        how |= {"of": names, "against": [base]}
        found.append(paired_differences(frame, [MEASURES[0], MEASURES[2]], **how))
    return pd.concat(found, ignore_index=True)


def what_parts_do(differences: pd.DataFrame) -> str:
    """What comes out of :func:`part_differences`, in Markdown."""
    if differences.empty:
        return "*One network has no paired differences.*"
    most = differences[differences["images"] == differences["images"].max()]
    told = [
        (row.difference > 0, f"{row.part} ({row.setting}{_share(row.change)})")
        for row in most.itertuples()
        if row.measure == MEASURES[0] and apart(row)
    ]
    rise, fall = ([name for up, name in told if up is way] for way in (True, False))
    rivals = differences[differences["part"].isin(METRICS[1:3])]
    turned = rivals.assign(
        lo=-rivals["hi"], hi=-rivals["lo"], images=rivals["images"].map("{} images".format)
    ).replace({"measure": _NAMES})
    below, above, count = contrasts(turned, ["setting", "images", "measure"])
    return (
        f"With an interval that excludes 0 flips rise by: {enumerated(rise)}. They fall by: {enumerated(fall)}. Over all "
        f"numbers of images, in {count} comparisons, the boundary metric is below both the logit and the Fisher "
        f"metric in: {enumerated(below)}; above both in: {enumerated(above)}."
    )


def _share(change: float) -> str:
    """A change as a share, nothing where there was nothing before."""
    return "" if pd.isna(change) else f", {100 * change:+.0f} %"


def with_flips_before(long: pd.DataFrame, results: pd.DataFrame, bits: int) -> pd.DataFrame:
    """Roundings searched for longer, with ``flip_rate_before``, that of the shorter search of ``results``."""
    keys = ["setting", "seed", "method"]
    short = results[results["bits"] == bits].set_index(keys)["flip_rate"]
    return long.join(short.rename("flip_rate_before"), on=keys)


def left_table(left: pd.DataFrame, steps: int, long_steps: int) -> pd.DataFrame:
    """The loss that searches leave in the median over seeds, a row a layer and a column a search, for display.

    Arguments:
        left: rows of :func:`baq.rounding.trials.loss_left`, with ``setting`` and ``seed``.
        steps, long_steps: the bounds of the two searches.
    """
    names = {
        f"{_WITHOUT}, {steps} steps": f"{steps} steps at most",
        _WITHOUT: f"{long_steps:,} at most",
        RELAXED: f"relaxation, {long_steps:,}",
    }
    keys = ["setting", "layer", "weights"]
    wide = left.pivot_table("left", keys, "method", aggfunc="median")[list(names)]
    order = left.drop_duplicates(keys).set_index(keys).index
    return wide.loc[order].map("{:.1%}".format).rename(columns=names).reset_index()


def what_more_steps_do(long: pd.DataFrame, left: pd.DataFrame, steps: int, long_steps: int) -> str:
    """What a higher bound on the steps of a search changes, a Markdown item a setting; arguments as before.

    The last item is what remains between the boundary metric and the other ways, over networks of all settings with several.
    """
    items, several = [], long.groupby("setting")["seed"].transform("nunique") > 1
    for setting, rows in long.groupby("setting", sort=False):
        here = left[left["setting"] == setting].pivot(
            index=["seed", "layer"], columns="method", values="left"
        )
        short, best = here[f"{_WITHOUT}, {steps} steps"], here[_WITHOUT]
        flips = rows.groupby("method", sort=False)[["flip_rate_before", "flip_rate"]].mean()
        count = rows["seed"].nunique()
        told = [
            f"from {row.flip_rate_before:.2%} to {row.flip_rate:.2%} ({way})"
            for way, row in flips.drop(index=RELAXED).iterrows()
        ]
        items.append(
            f"* {setting}, {count} network{'s' * (count > 1)}: with a bound of {steps} steps {_more(short / best - 1)} is left than with {long_steps:,}, "
            f"with which {rows['converged'].mean():.0%} of the layers converge. The relaxation leaves "
            f"{_more(here[RELAXED] / short - 1)} than the shorter search, and less on "
            f"{int((here[RELAXED] < short).sum())} of {len(here)} layers. Flips go {', '.join(told)}; "
            f"{flips.loc[RELAXED, 'flip_rate']:.2%} flip by the relaxation."
        )
    if several.any():
        wide = long[several].pivot(index=["setting", "seed"], columns="method", values="flip_rate")
        rivals = [way for way in (_WITHOUT, *METRICS[:-1]) if way in wide]
        less = {way: paired_difference(wide[way], wide[METRICS[-1]]) for way in rivals}
        told = [f"{way} {row['before']:.2%} ({_in_points(row)})" for way, row in less.items()]
        items.append(
            f"* With {long_steps:,} the boundary metric turns {less[_WITHOUT]['after']:.2%} of the labels over {less[_WITHOUT]['n']} networks. "
            f"The others, with the boundary metric's paired difference to each in points: {'; '.join(told)}. The other comparisons of this "
            f"chapter are those of {steps}."
        )
    return "\n".join(items)


def _more(share: pd.Series) -> str:
    """A median change of a loss by layer, as more of it or less."""
    middle = share.median()
    told = (
        f"{abs(middle):.0%} {'more' if middle > 0 else 'less'}"
        if abs(middle) >= 5e-3
        else "no more"
    )
    return f"{told} loss (median over layers; {share.min():+.0%} to {share.max():+.0%})"


def experiments(
    maps: pd.DataFrame, tried: pd.DataFrame, paths: pd.DataFrame, setting: str = "cnn"
) -> list[pd.DataFrame]:
    """The experiments on R1 to R5, for one setting at 4 bits, and R6 at 3; none where a table has no such rows."""
    maps, paths = (frame[frame["setting"] == setting] for frame in (maps, paths))
    limit = at_the_limit(paths)
    maps, paths = (frame[frame["bits"] == 4] for frame in (maps, paths))
    if tried.empty or maps.empty or paths.empty:
        return []
    tried = tried[tried["setting"] == setting]
    return on_coarser_grids(maps) + with_less_tuning(tried) + over_weights(paths) + limit


def on_coarser_grids(maps: pd.DataFrame) -> list[pd.DataFrame]:
    """R1 and R2 tried on every grid coarser than the finest one.

    Arguments:
        maps: J of one setting at 4 bits, a row a method, seed, plane and grid ``n``.
    """
    by_seed = maps.groupby(["method", "n", "seed"])["jaccard"].mean()
    finest = int(maps["n"].max())
    return [
        retried_on_grid(claim, by_seed.loc[way], finest, _SECTION)
        for claim, way in (("R1", _WITHOUT), ("R2", _WITH))
    ]


def with_less_tuning(tried: pd.DataFrame) -> list[pd.DataFrame]:
    """R3 tried with AdaRound that is tuned less, down to no search at all, which is rounding to nearest.

    Refuted if the paper's rate lies beyond what these turn in the mean over seeds.

    Arguments:
        tried: of one setting, a row a seed and rounding, the latter as ``part``.
    """
    rates = tried.groupby("part")["band_pair_flip_rate"].mean()
    alone, paper = rates.index.str.startswith(WAYS[0]), paper_value("R3")
    searched, nearest = rates[~alone], rates[alone]
    reached = searched.min() <= paper <= searched.max()
    among = rates.min() <= paper <= rates.max()
    place = "among the searches" if reached else "beyond all searches"
    result = (
        f"{len(searched)} searches with fewer images, one step or other scales turn {searched.min():.3f} to "
        f"{searched.max():.3f} of the pair orders in the mean, and no search at all, rounding to nearest on {len(nearest)} "
        f"kinds of grids, {nearest.min():.3f} to {nearest.max():.3f}; the paper's {paper:.4f} lies {place}"
        f"{', so that none that was tried reaches it, and below rounding without a search' if among and not reached else ''}."
    )
    return [experiment("R3", "the paper tuned its rounding less", not among, result, _SECTION)]


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
    accuracy = rows[rows["measure"] == measures[1]].set_index("weight")
    rates = paths.pivot(index="seed", columns="weight", values=measures[0])
    near = (rates.mean() - paper_value("R4")).abs().idxmin()
    ends = rates.mean().agg(["min", "max"])
    # Of a rate that still rises nothing is refuted: a larger weight may come nearer.
    last_tried = near == weights[-1] and rates[near].mean() < paper_value("R4")
    place = ", the largest tried" if last_tried else ""
    r4 = retried(
        "R4",
        rates[near],
        "the paper's term weighs less, or more, than the one that our validation images choose",
        f"Over the path of λ, none included, the mean rate runs from {ends['min']:.3f} to {ends['max']:.3f} on "
        f"validation images. At the λ that comes nearest to the paper, {near:g}{place}, it is",
        _SECTION,
    )
    r4["refuted"] &= not last_tried
    if last_tried:
        rises = ", but the rate still rises, so that a larger λ may come nearer."
        r4["result"] = r4["result"].str.removesuffix(".") + rises
    last = accuracy.loc[weights[-1]]
    change = "a fall" if last["hi"] < 0 else "no fall that can be told"
    lowest = accuracy["difference"].idxmin()
    if lowest != weights[-1]:
        change += f". It is lowest at λ = {lowest:g}, so it does not follow the weight alone"
    below, above = int((accuracy["hi"] < 0).sum()), int((accuracy["lo"] > 0).sum())
    change += (
        f"; of {len(accuracy)} weights {below} fall and {above} rise by intervals that exclude 0, where chance alone gives "
        f"{(1 - LEVEL) * len(accuracy):.1f}"
    )
    r5 = experiment(
        "R5",
        "accuracy falls where the term weighs more than the layers' own errors",
        last["lo"] >= 0,  # an interval that holds a fall refutes none
        f"Over the path accuracy changes by {_range(accuracy)}; at the largest λ, {weights[-1]:g}, by "
        f"{_interval(last)}: {change}.",
        _SECTION,
    )
    return [r4, r5]


def _reached(paths: pd.DataFrame) -> pd.Series:
    """Whether the largest weight turns more pair orders in the band than the chosen one does, by bits and seed."""
    path = paths.set_index(["bits", "seed"])
    turned, weights = path["band_pair_flip_rate"], path["weight"]
    return turned[weights == weights.max()] > turned[path["chosen"]]


def at_the_limit(paths: pd.DataFrame) -> list[pd.DataFrame]:
    """R6 tried with another reading of a limit: that no weight of the term helps any more at 3 bits.

    Arguments:
        paths: those of one setting, with two seeds or more at 3 bits; none for fewer.
    """
    three = paths[paths["bits"] == 3]
    weights = sorted(set(three["weight"]) - {0.0})
    how: dict[str, Any] = {"by": ["bits"], "pair": ["seed"], "variant": "weight"}
    how |= {"of": weights, "against": [0.0]}
    rows = paired_differences(three, ["band_pair_flip_rate"], **how)
    if rows.empty:
        return []
    rows = rows.set_index("weight")
    best = rows.loc[rows["difference"].idxmin()]
    counts = _reached(paths).groupby("bits").agg(["sum", "count"])
    told = " and ".join(f"{n} of {of} seeds at {b} bits" for b, n, of in counts.itertuples())
    result = (
        f"The limit is reached by {told}. At 3 bits the λ that turns fewest pair orders on validation images is "
        f"{best.name:g}, and changes their share by {_interval(best)}: the term "
        f"{'still helps' if best['hi'] < 0 else 'cannot be told from none'}."
    )
    reason = "the limit is where no weight of the term helps any more"
    return [experiment("R6", reason, bool(best["hi"] < 0), result, _SECTION)]


def _range(rows: pd.DataFrame) -> str:
    ends = [rows["difference"].idxmin(), rows["difference"].idxmax()]
    return " to ".join(f"{rows.loc[end, 'difference']:+.4f} (λ = {end:g})" for end in ends)


def _interval(row: Mapping[str, float] | pd.Series) -> str:
    return interval_text(row["difference"], row["lo"], row["hi"], signed=True)


def _in_points(row: Mapping[str, float]) -> str:
    """A difference of shares with its interval, in points."""
    middle, lo, hi = (100 * row[key] for key in ("difference", "lo", "hi"))
    return interval_text(middle, lo, hi, 2, signed=True)


def mean_flips(results: pd.DataFrame, long: pd.DataFrame, setting: str, bits: int) -> pd.Series:
    """Mean flip rate over the networks of a setting at some bits, by method; its name says of what.

    From the longer searches of the same networks where there are some.
    """
    rows = results[(results["setting"] == setting) & (results["bits"] == bits)]
    found = rows.groupby("method", sort=False)["flip_rate"].mean()
    longer = long[long["setting"] == setting] if len(long) else long
    if len(longer) and set(longer["seed"]) == set(rows["seed"]):
        found.update(longer.groupby("method")["flip_rate"].mean())
        return found.rename("means over networks, from the longer searches")
    return found.rename("means over networks")


def to_take_along(flips: pd.Series) -> str:
    """Three points on what each step of rounding is worth, in Markdown, from :func:`mean_flips`."""
    nearest, alone = flips[WAYS[0]], flips[WAYS[1]]
    chained, weighed = flips[METRICS[0]], flips[list(METRICS[1:])]
    spread, rest = weighed.max() - weighed.min(), chained - weighed.mean()
    order = "more" if spread > rest else "less"
    return (
        f"* Nearest rounding turns {nearest:.2%} of the labels, AdaRound {alone:.2%}, the metrics {weighed.min():.2%} to "
        f"{weighed.max():.2%}.\n"
        f"* Of the {_points(alone - weighed.mean())} points from AdaRound to the metrics' mean, {_points(alone - chained)} "
        f"come from seeing the errors that a layer inherits, and {_points(rest)} from weighing its outputs.\n"
        f"* Whose gradients weigh them makes a difference of {_points(spread)} points, {order} than the {_points(rest)} from weighing at all: "
        f"{flips[METRICS[3]]:.2%} with the boundary's, {flips[METRICS[1]]:.2%} with all logits', "
        f"{flips[METRICS[2]]:.2%} with Fisher's."
    )


def _points(share: float) -> str:
    return f"{100 * share:.2f}"


def in_short(flips: pd.Series, below: int, above: int, count: int) -> str:
    """The chapter's answer in two sentences, from :func:`mean_flips` and :func:`what_metrics_do`."""
    ours, *others = flips[METRICS[3]], *(flips[way] for way in (WAYS[1], *METRICS[:3]))
    alone, chained, logit, fisher = others
    return (
        f"the boundary metric turns {ours:.2%} of the labels and AdaRound {alone:.2%}, or {chained:.2%} where each layer "
        f"makes up for the errors that it inherits, but metrics that know no boundary turn {logit:.2%} (all logits) and "
        f"{fisher:.2%} (Fisher). Of {count} comparisons with these two (networks, bits, measure) it is better than both in {below} "
        f"and worse in {above}, by intervals that exclude 0."
    )
