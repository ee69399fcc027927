"""The page Performance: verdicts follow from the table, exponents from the costs, gaps are named."""

from types import SimpleNamespace

import pandas as pd
import pytest
from workflow.performance_page import parts, verdict

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
    {"network": "net", "plane": [0, 1], "n": 9, "evaluated": [0.25, 0.5], "wrong": [0, 3],
     "error_bound": [0.001, 0.002]}
)  # fmt: skip


@pytest.fixture
def project(tmp_path):
    (tmp_path / "book" / "results").mkdir(parents=True)
    return SimpleNamespace(root=tmp_path)


def test_a_target_is_met_by_speed_and_equal_answers_together():
    assert [verdict(race) for _, race in RACES.iterrows()] == [
        "met", "not met", "not met", "not raced",
    ]  # fmt: skip


def test_every_race_has_a_row(project):
    RACES.to_csv(project.root / "book" / "results" / "benchmarks.csv", index=False)
    found = parts(project, project.root)
    lines = found["performance-races"].splitlines()
    assert len(lines) == 6 + len(RACES)
    assert lines[5] == (
        "| map, 9 x 9 | loop | 10 ms, 2 s | 200 [150, 210] | 100: **met** | 0 wrong cells |"
    )
    assert lines[8] == "| radii, 4 | one |  |  | 8: **not raced** | not raced: no such |"
    assert found["performance-machine"] == "* a machine\n* another"


def test_exponents_are_those_of_the_costs(project):
    COSTS.to_csv(project.root / "book" / "results" / "benchmarks-costs.csv", index=False)
    found = parts(project, project.root)
    lines = found["performance-exponents"].splitlines()
    assert lines[2] == "| net | certified | 129 to 513 | 1.00 [1.00, 1.00] | 1.00 [1.00, 1.00] |"
    assert lines[3].startswith("| net | dense | 65 to 257 | 2.00 [2.00, 2.00] |")
    assert "generated/performance-costs.svg" in found["performance-costs"]
    first = (project.root / "performance-costs.svg").read_bytes()
    parts(project, project.root)
    assert (project.root / "performance-costs.svg").read_bytes() == first


def test_planes_are_summed_by_network(project):
    PLANES.to_csv(project.root / "book" / "results" / "benchmarks-planes.csv", index=False)
    line = parts(project, project.root)["performance-planes"].splitlines()[2]
    assert line == "| net | 2 | 9 x 9 | 37.5 % | 3 | 0.20 % |"


def test_what_has_not_been_run_is_said(project):
    found = parts(project, project.root)
    assert "`make race` does" in found["performance-races"]
    assert "--planes 20" in found["performance-planes"]
    assert len(found) == 5
