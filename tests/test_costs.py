"""Races and maps: verdicts follow from the table, exponents from the costs."""

import pandas as pd

from baq.report.costs import exponents_table, planes_table, race_outcome, races_table
from benchmarks.race import COLUMNS

RACES = pd.DataFrame(
    [
        ("map / loop", "9 x 9", 0.01, 2.0, 150.0, 200.0, 210.0, "0 wrong cells", 100, "a machine"),
        ("map / loop", "5 x 5", 0.01, 0.5, 40.0, 50.0, 60.0, "0 wrong cells", 100, "a machine"),
        ("radii / it", "4", 0.01, 2.0, 150.0, 200.0, 210.0, "not equal: 3 wrong", 100, "another"),
        ("radii / one", "4", None, None, None, None, None, "not raced: no such", 8, "another"),
    ],
    columns=COLUMNS,
)
COSTS = pd.DataFrame(
    [("net", "certified", n, 1e-6 * n, 3 * n) for n in (65, 129, 257, 513)]
    + [("net", "dense", n, 1e-6 * n**2, n**2) for n in (65, 129, 257)]
    + [("image", "adaptive", n, 1e-5 * n**1.5, n**1.5) for n in (129, 257, 513)]
    + [("image", "dense", n, 1e-5 * n**2, n**2) for n in (17, 33, 65)],
    columns=["network", "way", "n", "seconds", "evaluated"],
)
PLANES = pd.DataFrame(
    {"network": "net", "way": ["adaptive", "adaptive", "certified"], "plane": [0, 1, 0], "n": 9,
     "evaluated": [0.25, 0.5, 0.1], "wrong": [0, 3, 0], "error_bound": [0.001, 0.002, 0.0]}
)  # fmt: skip


def test_a_target_is_met_by_speed_and_equal_answers_together():
    assert [race_outcome(race) for _, race in RACES.iterrows()] == [
        "met", "not met", "not met", "not raced",
    ]  # fmt: skip


def test_every_race_has_a_row():
    lines = races_table(RACES).splitlines()
    assert len(lines) == 6 + len(RACES)
    assert lines[5] == (
        "| map, 9 x 9 | loop | 10 ms, 2 s | 200 [150, 210] | 100: **met** | 0 wrong cells |"
    )
    assert lines[8] == "| radii, 4 | one |  |  | 8: **not raced** | not raced: no such |"


def test_exponents_are_those_of_the_costs():
    lines = exponents_table(COSTS, 129).splitlines()
    assert lines[2] == "| net | certified | 129 to 513 | 1.00 [1.00, 1.00] | 1.00 [1.00, 1.00] |"
    assert lines[3].startswith("| net | dense | 65 to 257 | 2.00 [2.00, 2.00] |")
    few = exponents_table(COSTS, 257).splitlines()
    assert few[2] == "| net | certified | 257 to 513 |  |  |", "two sizes carry no law"


def test_planes_are_summed_by_network_and_way():
    assert planes_table(PLANES).splitlines()[2:] == [
        "| net | adaptive | 2 | 9 x 9 | 37.5 % | 3 | 0.20 % |",
        "| net | certified | 1 | 9 x 9 | 10.0 % | 0 | 0.00 % |",
    ]
