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
#     minutes: 0.6
#     threads: 1
# ---

# %% [markdown]
# # Interpolation and junctions
#
# Between two neighbouring bit widths the weights can be led along a straight line, and the label map
# followed on the way. Where does it rearrange? The paper says: at the junctions where three classes
# meet. This chapter counts the junctions (claims T1 to T3) and tests the statement (claim T4) against
# two controls on each map, and against paths in random directions.
#
# ## What is measured
#
# Interpolation
# : $W(t) = (1-t)\,W_b + t\,W_{b'}$ between the quantized weights of two adjacent levels $b > b'$, with
#   $t$ from 0 to 1. Biases stay what they are. The levels are those that the paper's abstract names,
#   so that there are three transitions.
#
# Junction cell
# : a $2 \times 2$ block of cells with at least three labels (*triple*); the $3 \times 3$ rule is the
#   wider alternative.
#
# Changed cell
# : a cell whose label at one step differs from its label at the step before.
#
# Vanished and appeared regions
# : a region is a connected set of cells of one label; it vanishes in a step if none of its cells keeps
#   the label, and appears if it vanishes backwards.
#
# Event
# : a region that is born, dies, splits or merges with another in a step, by which cells keep their label.
#
# Random path
# : from the same network over the same distance, layer by layer, in a random direction. It quantizes nothing.
#
# Near
# : within a twentieth of the slice's width of a junction cell, in the map before the step. A region is
#   measured in the map that lacks it, by the median of its cells.

# %% tags=["parameters"]
seeds: int = 20  # each draws its own split and initialization [1..1000]
first_seed: int = 0  # the first of the seeds [0..1000000]
levels: list[int] = [8, 6, 4, 3]  # neighbours change [2..16, two or more]
steps: int = 20  # steps of t along each transition [1..10000]
random_seeds: int = 10  # seeds followed along a random path too [1..1000]
n: int = 241  # cells a side of the label maps [2..8192]
pad: float = 0.1  # share by which the slice is wider than its images [0..10]
near: float = 0.05  # near a junction: within this share of the width [0..1]
hidden: int = 64  # hidden units of the network [1..4096]
activation: str = "tanh"  # activation of the hidden units [tanh | relu]
epochs: int = 200  # passes over the training images [1..10000]
test: float = 0.25  # share of the images held out for the test [0.01..0.9]
shown: int = 0  # which seed's maps to step through; the first [0..999]
jobs: int = 2  # seeds at the same time; results do not depend on it [1..64]

# %% tags=["remove-input"]
from itertools import pairwise

import numpy as np
import pandas as pd
from IPython.display import Markdown, display
from scipy.stats import wilcoxon

from baq import ptq_w, slices
from baq.report import charts, style, tables
from baq.report.answers import experiment, show_answers
from baq.report.boxes import opening
from baq.report.claims import answer, paper_value
from baq.report.maps import film_of_levels, stepper
from baq.report.runs import run_all
from baq.report.stats import paired_difference, summarize
from baq.report.verdicts import verdict
from baq.slices.junctions import junction_cells, region_events
from baq.slices.paths import distances_along, follow, junction_readings, random_end
from baq.zoo.recipes import digits_network

style.use_style()
transitions = {f"{b} to {c} bits": (b, c) for b, c in pairwise(levels)}
CLAIMS = {"8 to 6 bits": "T1", "6 to 4 bits": "T2", "4 to 3 bits": "T3"}
claimed = {claim: name for name, claim in CLAIMS.items() if name in transitions}
recipe = {"hidden": hidden, "activation": activation, "epochs": epochs}
ts = np.linspace(0, 1, steps + 1)

# %% [markdown]
# ## The run
#
# The networks and slices are those of the chapters before. Each transition gives a film of label maps. By
# hand, for one network and the first transition:

# %% caption="Triple-junction cells of one film, read in five ways."
network, split = digits_network(first_seed + shown, test=test, **recipe)
plane = slices.pca_plane(split.x_train, pad)
start, stop = ptq_w(network, levels[0]), ptq_w(network, levels[1])
film = follow(start, stop, plane, steps, n)
tables.styled(pd.DataFrame([junction_readings(film)]), "by-hand")

# %% [markdown]
# The row has the triple-junction cells of the film, read in five ways. For all seeds and transitions, each
# step also gives the distances to the nearest junction of its changed cells and regions, and of the
# two controls: all boundary cells of the map before, and all its cells.


# %% mystnb={"code_prompt_show": "Show how one seed is measured"} tags=["hide-input"]
# Distances are shares of the slice's width; the last bin is open.
edges = np.linspace(0, 0.5, 101)


def measured(seed, path):
    """For every transition of a seed: readings and events, junctions along t, distances."""
    reference, split = digits_network(seed, test=test, **recipe)
    plane = slices.pca_plane(split.x_train, pad)
    readings, along, distances = [], [], []
    for transition, (b, c) in transitions.items():
        setting = {"seed": seed, "path": path, "transition": transition}
        start, stop = ptq_w(reference, b), ptq_w(reference, c)
        stop = stop if path == "levels" else random_end(start, stop, seed)
        film = follow(start, stop, plane, steps, n)
        events = pd.DataFrame(region_events(*pair) for pair in pairwise(film)).sum()
        readings.append(setting | junction_readings(film) | events.to_dict())
        triple = [int(junction_cells(grid.labels).sum()) for grid in film]
        along.append(pd.DataFrame(setting | {"t": ts, "triple": triple}))
        counts = distances_along(film, edges)
        distances.append(pd.DataFrame(setting | dict(counts.items())))
    return pd.DataFrame(readings), pd.concat(along), pd.concat(distances)


tasks = [(seed, "levels") for seed in range(first_seed, first_seed + seeds)]
tasks += [(seed, "random") for seed, _ in tasks[:random_seeds]]
found = run_all(measured, tasks, jobs=jobs, label="seeds")
parts = zip(*found, strict=True)
followed, along, distances = (pd.concat(part, ignore_index=True) for part in parts)
tables.save(followed, "by-seed")
by_seed = followed[followed["path"] == "levels"]
EVENTS = ["births", "deaths", "inner", "merges", "splits"]

# %% [markdown]
# ## The path of one network
#
# Move the slider: the first seed's slice on its way from the most bits to the fewest. Junction cells are
# black (white on a dark page).

# %% caption="The slice of one network on its way from the most bits to the fewest." data=["junctions-along-t"] tags=["remove-input"]
frames = film_of_levels(network, levels, plane, steps, n)
stepper(
    {f"seed {first_seed + shown}": frames},
    classes=10,
    title=f"Label map of seed {first_seed + shown} along the path of the weights",
    outlines={f"seed {first_seed + shown}": slices.label_map(network, plane, n)},
)

# %% [markdown]
# ## How many junctions

# %% mystnb={"image": {"alt": "Three panels, one for each transition: triple-junction cells against t, median and 90 percent interval over seeds, with the paper's count as a dotted line. The counts change little along t."}} caption="Triple-junction cells along each transition: median and interval over seeds." data=["junctions-along-t"] tags=["remove-input"]
tables.save(along, "junctions-along-t")
path = summarize(along[along["path"] == "levels"], ["transition", "t"], ["triple"])
fig = charts.junctions_along(path, {name: c for c, name in claimed.items()})

# %% [markdown]
# "Triple-junction cells of a transition" can be counted in several ways, and the abstract says neither
# which was used nor how its three transitions were selected. The first reading below, the largest count of
# any map on the path, depends neither on the number of steps nor on one end of the path, so it stands for
# the claims; the others show how far the reading carries.

# %% caption="Triple-junction cells, counted in five ways." tags=["remove-input"]
readings = list(by_seed.columns.drop(["seed", "path", "transition", *EVENTS]))
readings_summary = summarize(by_seed, ["transition"], readings)
wide = tables.interval_table(readings_summary, ["transition"], precision=1)
paper = {name: f"{paper_value(claim):.0f}" for claim, name in claimed.items()}
wide.insert(1, "paper", [paper.get(name, "") for name in wide["transition"]])
display(Markdown(f"{tables.spread_text(seeds)}, triple-junction cells:"))
tables.show(readings_summary, "readings", shown=wide)

# %% [markdown]
# ## Where the map rearranges
#
# Changed cells lie on the boundary, so of course they lie nearer to junctions than a cell drawn at random
# does. The fair control is a random *boundary* cell: do changes favour the junctions, or do they happen all
# along the boundary? Regions that vanish or appear are the other thing that can be meant by a visible
# reconfiguration. For them the comparison is partly settled by topology, since a region that borders on two
# others has a junction at each end of its borders; only where it was or will be, in the map that lacks it,
# is left to the network.

# %% mystnb={"image": {"alt": "Three panels, one for each transition: cumulative share within a distance of the nearest junction cell, for regions that vanish or appear, boundary cells, changed cells and all cells of the map. Regions rise first, then boundary cells, then changed cells, then all cells."}} caption="Share within a distance of the nearest junction cell, all seeds." data=["distances"] tags=["remove-input"]
tables.save(distances, "distances")
fig = charts.shares_within(distances[distances["path"] == "levels"], near)

# %% caption="Share near a junction: median and interval over seeds." tags=["remove-input"]
counted = distances.assign(
    near=distances["count"] * (distances["distance"] <= near + 1e-9)
)
keys = ["seed", "path", "transition", "kind"]
counted = counted.groupby(keys, sort=False)[["count", "near"]].sum()
every = (counted["near"] / counted["count"]).unstack().reset_index()
tables.save(every, "near-by-seed")
shares = every[every["path"] == "levels"]
columns = {
    "boundary cells": "boundary cells near",
    "changed cells": "changed cells near",
    "regions": "regions near",
}
near_summary = summarize(shares, ["transition"], ["all cells", *columns])
tables.show_intervals(
    near_summary, "near", "transition", columns, 2, [*transitions]
)

# %% tags=["remove-input"]
rows = []
for transition, group in shares.groupby("transition", sort=False):
    for kind in ("changed cells", "regions"):
        excess = (group[kind] - group["boundary cells"]).dropna()
        row = {"transition": transition, "kind": kind, "excess": excess.median()}
        p = wilcoxon(excess).pvalue if excess.any() else np.nan
        rows.append(
            row | {"above": (excess > 0).sum(), "seeds": len(excess), "p": p}
        )
excesses = pd.DataFrame(rows)
tables.save(excesses, "excess")
changed, regions = (
    excesses.loc[excesses["kind"] == kind, "excess"]
    for kind in ("changed cells", "regions")
)


def tendency(excess):
    """How the median shares of all transitions compare with those of boundary cells."""
    more, less = bool((excess > 0).all()), bool((excess < 0).all())
    return (
        "more" if more else "less" if less else "sometimes more and sometimes less"
    )


Markdown(
    f"Shares within {near:.0%} of the slice's width of a junction, over {seeds} seeds (regions: over those that have any). Over the transitions "
    f"the changed cells lie {tendency(changed)} often near a junction than random boundary cells (median excess "
    f"{changed.min():+.3f} to {changed.max():+.3f}), and the regions that vanish or appear lie there "
    f"{tendency(regions)} often ({regions.min():+.3f} to {regions.max():+.3f})."
)

# %% [markdown]
# ## Is it the quantizer, or any path?
#
# The suspected reason for claim T4: what is seen to rearrange are mergers, splits, births and deaths of regions, and
# any path of the weights has those, no farther from junctions. Then a path in a random direction of the same length has
# no fewer events (births, deaths, mergers, splits; contacts are junctions by definition), and no smaller a share of its changed cells near a junction. If the levels favoured junctions, their
# path would have a larger share, which would refute the reason.

# %% caption="Events of regions in a transition, means over seeds: along the levels and along random paths." tags=["remove-input"]
both = every[every["seed"] < first_seed + random_seeds]
both = both.groupby(["seed", "path"])[list(columns)].mean().unstack().dropna()
events = followed[followed["seed"] < first_seed + random_seeds]
met = events.groupby(["seed", "path"])[["merges", "splits"]].mean().sum(axis=1)
events = events.groupby("path")[EVENTS].mean()
tables.show(events.reset_index(), "events", 1)


# %% tags=["remove-input"]
def beside_random(of, precision):
    """Means along the levels and along random paths with the paired difference, and its lower end."""
    told = f"{of['levels'].mean():.{precision}f}, along random paths {of['random'].mean():.{precision}f}"
    if len(of) < 2:
        return told, float("nan")
    less = paired_difference(of["random"], of["levels"])
    ends = less["difference"], less["lo"], less["hi"]
    ends = tables.interval_text(*ends, precision, signed=True)
    return f"{told}, a paired difference of {ends}", less["lo"]


meetings, _ = beside_random(met.unstack(), 1)
changes, least = beside_random(both["changed cells"], 3)
borders, _ = beside_random(both["boundary cells"], 3)
lone = events[["births", "deaths"]].sum(axis=1)
at_edge = 1 - events["inner"] / lone.where(lone > 0)
text = (
    f"Levels beside random paths, over {random_seeds} seeds with one such path a transition: mergers and splits along the levels "
    f"{meetings}; births and deaths that touch the edge of the slice {at_edge['levels']:.0%}, along random paths "
    f"{at_edge['random']:.0%}; changed cells near a junction {changes}; boundary cells there {borders}"
)
t4 = experiment(
    "T4",
    "regions rearrange along any path of the weights, no farther from junctions",
    least > 0,
    f"{text}.",
    "is-it-the-quantizer-or-any-path",
)
Markdown(t4["result"].iloc[0])

# %% [markdown]
# ## Is it the way of counting?
#
# The suspected reason for claim T2: the paper counts junctions in another way. If so, one way must give all
# three of its numbers, and the second transition the most.

# %% tags=["remove-input"]
counts = {
    reading: {
        claim: by_seed.loc[by_seed["transition"] == transition, reading]
        for claim, transition in claimed.items()
    }
    for reading in readings
}
answers = [answer(values, setting) for setting, values in counts.items() if values]
inside = {
    reading: [c for c in claimed if verdict(c, rows, reading) == "inside"]
    for reading, rows in zip(readings, answers, strict=bool(claimed))
}
wide = by_seed.pivot(index="seed", columns="transition", values=readings)
if {"T1", "T2", "T3"} <= claimed.keys():
    second = [
        wide[name][claimed["T2"]] / wide[name][claimed["T1"]] for name in readings
    ]
    low, high = min(k.median() for k in second), max(k.median() for k in second)
    most = max(map(len, inside.values()))
    t2 = experiment(
        "T2",
        "another way of counting triple junctions",
        most < len(claimed),
        f"Of {len(readings)} ways none holds more than {most} of the paper's three counts in its prediction "
        f"interval. In the median over seeds, and by the way of counting, the second transition has {low:.2f} to "
        f"{high:.2f} times as many as the first, the paper {paper_value('T2') / paper_value('T1'):.2f} times.",
        "is-it-the-way-of-counting",
    )
    tables.save(pd.concat([t2, t4]), "experiments")
    display(Markdown(t2["result"].iloc[0]))

# %% [markdown]
# ## Beside the paper

# %% mystnb={"image": {"alt": "One row for each of the claims T1, T2 and T3: a dot for each seed, the prediction interval and mean, and the paper's count as a diamond."}} caption="Claims T1 to T3: our seeds beside the paper." data=["by-seed"] tags=["remove-input"]
first = counts["largest on the path"]
fig = charts.against_paper(first) if claimed else None

# %% [markdown]
# All ways of counting for T1 to T3, and for T4 the share near a junction in excess of that of boundary cells,
# as a mean over the transitions of each seed.

# %% caption="The claims of this chapter." tags=["remove-input"]
for kind in ("changed cells", "regions"):
    excess = shares.assign(excess=shares[kind] - shares["boundary cells"])
    answers.append(answer({"T4": excess.groupby("seed")["excess"].mean()}, kind))
show_answers(pd.concat(answers))

# %% [markdown]
# ## What to take along

# %% tags=["remove-input"]
largest = by_seed.groupby("transition")["largest on the path"].median()
same = every[every["seed"] < first_seed + random_seeds]
same = same.groupby(["seed", "path"])["regions"].mean().unstack().dropna()
beside = "along random paths of the weights: too few seeds to tell"
if len(same) > 1:
    apart = paired_difference(same["random"], same["levels"])
    ends = apart["difference"], apart["lo"], apart["hi"]
    often = {1: "less often", -1: "more often", 0: "not measurably more or less"}
    often = often[int(apart["lo"] > 0) - int(apart["hi"] < 0)]
    beside = f"along random paths of the weights {often} (the levels' share minus the random paths': {tables.interval_text(*ends, 2, signed=True)}, {len(same)} seeds)"
Markdown(
    f"* A slice has a handful of junctions, at most {largest.min():g} to {largest.max():g} on a path in the median, and "
    "on the way from one level to the next they move more than they multiply.\n"
    f"* The map changes along its boundary: changed cells lie {tendency(changed)} often near a junction than boundary "
    "cells.\n"
    f"* Regions that come and go do so near junctions, and {beside}.\n\n"
    "Next: [which bit width to pick](04-stopping)."
)

# %% [markdown]
# ## Exercises
#
# ```{include} exercises/03-interpolation-and-junctions.md
# ```

# %% tags=["opening", "remove-input"]
opening(
    "Where does a label map rearrange when bits are taken away?",
    f"Along its whole boundary: in the mean over seeds and transitions {shares['changed cells'].mean():.0%} of the changed cells lie "
    f"near a junction of three classes, of all boundary cells {shares['boundary cells'].mean():.0%}. "
    f"Of the regions that appear or vanish {shares['regions'].mean():.0%} do so near a junction, and {beside}.",
    f"One hidden layer, digits, one plane through the data for each of {seeds} seeds, {n} cells a side.",
)
