"""The chapter on rounding says what its tables say: claims, contrasts, experiments."""

import numpy as np
import pandas as pd
import pytest

from baq.report import rounded
from baq.report.claims import paper_value
from baq.rounding.trials import RELAXED
from baq.rounding.ways import METRICS, WAYS


def results(bits=(4, 3), settings=("cnn",), seeds=3):
    """Rows in which every way is better than the one before it, by a little more for each seed."""
    rows = [
        {
            "setting": setting, "seed": seed, "bits": b, "method": way,
            **dict.fromkeys(rounded.MEASURES, (0.5 - 0.05 * k) * (1 + 0.01 * seed)),
            "loss": 0.1 - 0.01 * k, "jaccard": 0.5 if b == 4 else np.nan,
            "jaccard_many": 0.4 + 0.001 * seed + 0.01 * k if b == 4 and way in METRICS else np.nan,
        }
        for setting in settings for seed in range(seeds) for b in bits for k, way in enumerate(WAYS)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def paths(turned, chosen=0.1, setting="cnn", accuracy=None):
    """Paths over seeds from {bits: {weight: pair-order flips}}."""
    accuracy = accuracy or {}
    return pd.DataFrame(
        {
            "setting": setting, "seed": seed, "bits": b, "weight": weight,
            "band_pair_flip_rate": rate + 0.001 * seed * weight,
            "accuracy": accuracy.get(weight, 0.8) + 0.001 * seed * weight,
            "chosen": weight == chosen,
        }
        for seed in range(3) for b, path in turned.items() for weight, rate in path.items()
    )  # fmt: skip


WORSE = {0.0: 0.2, 0.1: 0.15, 10.0: 0.3}
BETTER = {0.0: 0.2, 0.1: 0.15, 10.0: 0.1}


@pytest.mark.parametrize(
    ("three", "four", "holds"),
    [(WORSE, BETTER, True), (WORSE, WORSE, False), (BETTER, BETTER, False), (BETTER, WORSE, False)],
)
def test_the_limit_of_tuning_is_a_contrast_of_three_bits_with_four(three, four, holds):
    found = rounded.claimed(results(), paths({4: four, 3: three}))
    assert found["cnn"]["R6"].tolist() == [holds] * 3


def test_claims_are_with_and_without_the_term():
    table = results()
    found = rounded.claimed(table, paths({4: WORSE, 3: WORSE}))["cnn"]
    rate = table[table["bits"] == 4].set_index(["method", "seed"])["band_pair_flip_rate"]
    assert found["R3"].tolist() == rate["AdaRound"].tolist()
    assert found["R4"].tolist() == rate["boundary gap"].tolist()
    assert np.allclose(
        found["R5"], -0.01 * (1 - 2)
    )  # accuracy gained: the loss without less that with
    assert found["R1"].tolist() == [0.5] * 3


def test_claims_need_their_bits():
    assert rounded.claimed(results(bits=(3,)), paths({3: WORSE})) == {"cnn": {}}
    only = rounded.claimed(results(bits=(4,)), paths({4: WORSE}))["cnn"]
    assert list(only) == ["R1", "R2", "R3", "R4", "R5"]


def test_j_is_the_mean_over_the_first_planes_and_over_all():
    keys = {"setting": "cnn", "seed": 0, "bits": 4}
    maps = pd.DataFrame(
        [keys | {"method": way, "plane": k, "n": n, "jaccard": float(k) if n == 61 else 9.0}
         for way in ("AdaRound", METRICS[-1]) for k in range(4) for n in (15, 61)]
    )  # fmt: skip
    rows = pd.DataFrame([keys | {"method": way} for way in ("AdaRound", METRICS[-1])])
    found = rounded.with_j(rows, maps, 2).set_index("method")
    assert found["jaccard"].tolist() == [0.5, 0.5]
    assert found.loc[METRICS[-1], "jaccard_many"] == 1.5
    assert np.isnan(found.loc["AdaRound", "jaccard_many"])


def test_contrasts_of_the_metrics_are_those_of_the_rows():
    table = rounded.metric_differences(results(settings=("cnn", "resnet", "digits")))
    assert set(table["networks"]) == {"CIFAR-10", "digits"}
    one = table[(table["networks"] == "CIFAR-10") & (table["measure"] == "flip_rate")]
    assert one.groupby("bits")["n"].max().tolist() == [6, 6]
    assert list(table.loc[table["measure"] == "jaccard_many", "bits"].unique()) == [4]
    text, below, above, count = rounded.what_metrics_do(table)
    # Better in the three measures at both bit widths, worse in J over many planes, which stands for J.
    assert len(below) == 2 * 2 * 3 and above == [
        f"{k}, 4 bits, J over many planes" for k in ("CIFAR-10", "digits")
    ]
    assert count == 2 * (2 * 3 + 1)
    assert f"In the other {count - 14} " in text and "-56 % against AdaRound" in text


def test_parts_are_compared_with_the_metric_itself():
    rate = {METRICS[-1]: 0.2, METRICS[0]: 0.3, METRICS[1]: 0.25, METRICS[2]: 0.25, "no ridge": 0.1}
    parts = pd.DataFrame(
        {"setting": "cnn", "seed": seed, "images": k, "part": part,
         "flip_rate": value + 0.001 * seed * value, "displacement": 0.5 + 0.01 * seed}
        for seed in range(3) for k in (30, 100) for part, value in rate.items()
    )  # fmt: skip
    table = rounded.part_differences(parts)
    text = rounded.what_parts_do(table)
    assert f"rise by: {METRICS[0]} (cnn, +50 %); {METRICS[1]}" in text
    assert "They fall by: no ridge (cnn, -50 %)." in text
    assert "in 4 comparisons" in text
    assert (
        "Fisher metric in: cnn, 30 images, flips; cnn, 100 images, flips; above both in: none."
        in text
    )


def test_a_part_that_had_no_flips_has_no_share():
    parts = pd.DataFrame(
        {"setting": "digits", "seed": seed, "images": 30, "part": part,
         "flip_rate": value * (1 + 0.01 * seed), "displacement": 0.5}
        for seed in range(3) for part, value in ((METRICS[-1], 0.0), (METRICS[0], 0.1))
    )  # fmt: skip
    text = rounded.what_parts_do(rounded.part_differences(parts))
    assert f"rise by: {METRICS[0]} (digits)." in text and "nan" not in text


def grids(value, at):
    """J on grids of several cells a side, the paper's value on one of them."""
    return pd.DataFrame(
        {"setting": "cnn", "bits": 4, "method": way, "seed": seed, "plane": 0, "n": n,
         "jaccard": paper_value(claim) * (1 if n == at else value) + 0.004 * (seed - 1)}
        for claim, way in (("R1", "AdaRound"), ("R2", "boundary gap"))
        for seed in range(3) for n in (15, 61)
    )  # fmt: skip


@pytest.mark.parametrize(("at", "refuted"), [(15, False), (61, True)])
def test_a_coarser_grid_is_refuted_where_none_gives_the_papers_value(at, refuted):
    value = 1.6 if at == 15 else 0.4
    for row in rounded.on_coarser_grids(grids(value, at)):
        assert row["refuted"].tolist() == [refuted]
        assert row["inside_at"].tolist() == ["" if refuted else "4.1"]
        told = "none" if refuted else "15"
        assert f"lies inside with {told}" in row["result"].item()


def test_where_j_passes_the_papers_value_between_two_grids_is_told():
    between = pd.concat([grids(0.4, at=0), grids(1.6, at=0).assign(n=30)])
    for row in rounded.on_coarser_grids(between):
        assert "With 15, 30 cells a side, where ours are 61," in row["result"].item()
        assert "it passes the paper's at 21 cells." in row["result"].item()  # 15 (30 / 15)^(1/2)


def tried(search, nearest=0.41):
    return pd.DataFrame(
        {"setting": "cnn", "seed": seed, "part": part, "band_pair_flip_rate": v + 0.004 * seed}
        for seed in range(3)
        for part, v in (("10 images", 0.2), ("one step", search), ("nearest", nearest))
    )


@pytest.mark.parametrize(("nearest", "refuted"), [(0.41, False), (0.3, True)])
def test_less_tuning_is_refuted_where_not_even_no_search_comes_near(nearest, refuted):
    (row,) = rounded.with_less_tuning(tried(0.25, nearest))
    assert row["refuted"].item() == refuted
    told = (
        "2 searches with fewer images, one step or other scales turn 0.204 to 0.254 of the pair orders in the mean, and no "
        "search at all, rounding to nearest on "
    )
    text = row["result"].item()
    assert (
        text.startswith(told)
        and f" to {nearest + 0.004:.3f}; the paper's 0.3600 lies beyond" in text
    )
    assert text.endswith("and below rounding without a search.") != refuted


def test_the_term_is_tried_along_its_weight():
    near = {0.0: 0.2, 0.1: paper_value("R4"), 10.0: 0.6}
    loses = {0.0: 0.8, 0.1: 0.81, 10.0: 0.7}
    r4, r5 = rounded.over_weights(paths({4: near}, accuracy=loses))
    assert not r4["refuted"].item()
    assert "runs from 0.200 to 0.610" in r4["result"].item() and "0.1, it is" in r4["result"].item()
    assert not r5["refuted"].item() and "at the largest λ, 10, by -0.09" in r5["result"].item()
    r4, r5 = rounded.over_weights(paths({4: WORSE}, accuracy={10.0: 0.9}))
    assert not r4["refuted"].item() and r5["refuted"].item()
    assert "the largest tried, it is" in r4["result"].item()
    r4, _ = rounded.over_weights(paths({4: WORSE | {10.0: 0.6}}))
    assert r4["refuted"].item() and "largest tried" not in r4["result"].item()
    assert rounded.over_weights(paths({4: WORSE}).query("seed == 0")) == []


@pytest.mark.parametrize(("path", "helps"), [(BETTER, True), ({0.0: 0.2, 0.1: 0.25}, False)])
def test_the_limit_is_tried_as_the_place_where_no_weight_helps(path, helps):
    (row,) = rounded.at_the_limit(paths({3: path}))
    assert row["refuted"].item() == helps
    assert ("still helps" in row["result"].item()) == helps
    assert " of 3 seeds at 3 bits. At 3 bits the λ" in row["result"].item()
    assert rounded.at_the_limit(paths({3: path}).query("seed == 0")) == []


def test_experiments_need_their_tables():
    full = rounded.experiments(grids(1.6, 15), tried(0.36), paths({4: WORSE}))
    assert [row["claim"].item() for row in full] == ["R1", "R2", "R3", "R4", "R5"]
    both = rounded.experiments(grids(1.6, 15), tried(0.36), paths({4: WORSE, 3: WORSE}))
    assert [row["claim"].item() for row in both][-1] == "R6"
    assert rounded.experiments(grids(1.6, 15), pd.DataFrame(), paths({4: WORSE})) == []
    assert rounded.experiments(grids(1.6, 15), tried(0.36), paths({3: WORSE})) == []


def test_what_to_take_along_compares_the_steps():
    table = results()
    long = pd.DataFrame(
        {"setting": ["cnn"], "seed": [0], "method": ["AdaRound"], "flip_rate": [0.1]}
    )
    assert rounded.mean_flips(table, long, "cnn", 4)["AdaRound"] == pytest.approx(0.45 * 1.01)
    seeds = table.loc[table["setting"] == "cnn", "seed"].unique()
    more = rounded.mean_flips(table, pd.concat([long.assign(seed=k) for k in seeds]), "cnn", 4)
    assert more["AdaRound"] == pytest.approx(0.1) and "longer" in str(more.name)
    flips = rounded.mean_flips(table, pd.DataFrame(), "cnn", 4)
    assert flips["nearest"] == pytest.approx(0.5 * 1.01) and flips.name == "means over networks"
    text = rounded.to_take_along(flips)
    assert text.count("\n") == 2 and "Nearest rounding turns 50.50% of the labels" in text
    # AdaRound .45, propagated .35, the metrics .3 to .2, all times 1.01
    assert "Of the 20.20 points from AdaRound to the metrics' mean, 10.10 come" in text
    assert "and 10.10 from weighing its outputs" in text
    flips[list(METRICS[1:])] = [0.2, 0.21, 0.22]
    assert (
        "a difference of 2.00 points, less than the 14.35 from weighing"
        in rounded.to_take_along(flips)
    )
    flips[list(METRICS[1:])] = [0.1, 0.4, 0.6]
    assert (
        "a difference of 50.00 points, more than the -1.32 from weighing"
        in rounded.to_take_along(flips)
    )
    assert "better than both in 2 and worse in 1, by" in rounded.in_short(flips, 2, 1, 8)


def test_one_network_has_no_differences():
    none = pd.DataFrame(columns=["networks", "bits", "measure", "against"])
    text, below, above, count = rounded.what_metrics_do(none)
    assert "no paired differences" in text and not below and not above and count == 0
    assert "no paired differences" in rounded.what_parts_do(none)


def test_more_steps_are_told_from_the_tables():
    """Two layers: the shorter search leaves a tenth more, the relaxation twice as much on one and less on the other."""
    shares = {"AdaRound": (0.2, 0.4), "AdaRound, 200 steps": (0.22, 0.44), RELAXED: (0.44, 0.4)}
    left = pd.DataFrame(
        {"setting": "cnn", "seed": 0, "layer": layer, "weights": 10, "method": way, "left": share}
        for way, both in shares.items() for layer, share in zip("ab", both, strict=True)
    )  # fmt: skip
    table = rounded.left_table(left, 200, 800)
    assert table.columns.tolist() == [
        "setting", "layer", "weights", "200 steps at most", "800 at most", "relaxation, 800"
    ]  # fmt: skip
    assert table.iloc[0].tolist() == ["cnn", "a", 10, "22.0%", "20.0%", "44.0%"]
    ways = [WAYS[1], RELAXED, METRICS[-1]]
    long = pd.DataFrame(
        {"setting": "cnn", "seed": 0, "method": way, "flip_rate": 0.01, "converged": share}
        for way, share in zip(ways, (1.0, np.nan, 0.5), strict=True)
    )
    long = rounded.with_flips_before(long, results(), 4)
    assert long["flip_rate_before"].isna().tolist() == [False, True, False]
    text = rounded.what_more_steps_do(long, left, 200, 800)
    assert (
        "200 steps 10% more loss (median over layers; +10% to +10%) is left than with 800" in text
    )
    assert "75% of the layers converge" in text and "less on 1 of 2 layers" in text
    assert "Flips go from " in text and "(boundary metric); 1.00% flip by the relaxation" in text
    assert text.startswith("* cnn, 1 network: ") and "paired difference" not in text
    lower = long["flip_rate"].where(long["method"] != METRICS[-1], 0.004)
    both = pd.concat([long, long.assign(seed=1, flip_rate=lower)])
    text = rounded.what_more_steps_do(both, pd.concat([left, left.assign(seed=1)]), 200, 800)
    assert text.startswith("* cnn, 2 networks: ") and "less on 2 of 4 layers" in text
    assert "turns 0.70% of the labels over 2 networks" in text
    assert "to each in points: AdaRound 1.00% (-0.30 [" in text
