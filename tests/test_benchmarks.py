"""Races time both sides in turn, notice answers that differ, and name a peer that is not there."""

import copy
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from baq import slices
from baq.report import costs
from baq.slices import certified_deep
from baq.zoo import models
from benchmarks import __main__ as command
from benchmarks import counting, floors, maps, masks, radii, rounding, tools
from benchmarks.race import COLUMNS, Race, absent, run

ROOT = Path(__file__).parents[1]
EYE = torch.eye(2)
UNIT = slices.Plane(torch.zeros(2), EYE[0], EYE[1], (-1.0, 1.0, -1.0, 1.0))


def race(ours, peer, **options):
    def equal(a, b):
        return f"{a} and {b}", a == b

    return Race("work", "size", 2.0, ours, peer, equal, **options)


def test_a_race_alternates_and_counts_rounds():
    calls = []
    row = run(race(lambda k: calls.append(("ours", k)), lambda k: calls.append(("peer", k))), 3)
    # The first is the warm-up.
    assert calls == [
        ("ours", 0), ("ours", 0), ("peer", 0), ("peer", 1), ("ours", 1), ("ours", 2), ("peer", 2)
    ]  # fmt: skip
    assert tuple(row) == COLUMNS
    with pytest.raises(ValueError, match="rounds is 0: allowed is 1 or more"):
        run(race(id, id), 0)


def test_ratios_are_of_single_rounds():
    row = run(race(lambda _: time.sleep(0.002), lambda k: time.sleep(0.02 * (k + 1)), repeats=2), 3)
    assert row["ratio_min"] < row["ratio_median"] < row["ratio_max"]
    assert 0.002 <= row["ours"] < row["peer"]
    assert row["ratio_max"] <= 0.2 / 0.002


def test_answers_that_differ_are_said():
    assert run(race(lambda _: 1, lambda _: 1), 2)["agreement"] == "[1, 1] and [1, 1]"
    assert run(race(lambda _: 1, lambda k: k), 2)["agreement"] == "not equal: [1, 1] and [0, 1]"


def test_threads_are_as_they_were():
    before = torch.get_num_threads()
    seen = []
    run(race(lambda _: seen.append(torch.get_num_threads()), lambda _: None, threads=1), 1)
    assert set(seen) == {1}
    assert torch.get_num_threads() == before


def test_a_peer_that_is_not_there_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "foolbox", None)
    model = models.mlp(2, 2, 4)
    with pytest.raises(ImportError) as error:
        radii.radius_race(model, torch.randn(4, 2), "radii", 50, 4)
    row = absent("radii", "4 points", 50, error.value)
    assert tuple(row) == COLUMNS
    assert row["agreement"].startswith("not raced: ") and "foolbox" in row["agreement"]
    assert np.isnan(row["ratio_median"])


@pytest.mark.parametrize("way", ["certified", "dense", "adaptive"])
def test_label_maps_race_to_the_same_labels(way):
    model = models.mlp(2, 4, 12, "relu", seed=3)
    entry = maps.map_race(model, [UNIT], 40, way, work="map", target=1, batch=128)
    row = run(entry, 2)
    assert row["agreement"].startswith("0 wrong cells on 1 plane")


def test_a_deep_network_is_raced_only_where_bounds_settle_its_cells(monkeypatch):
    monkeypatch.setattr(maps, "_image_planes", lambda: [UNIT])
    for share, expected in ((0.8, Race), (0.2, dict)):
        monkeypatch.setattr(certified_deep, "settled_share", lambda *_, share=share: share)
        monkeypatch.setattr(maps, "settled_share", certified_deep.settled_share)
        entry = maps._certified_race(models.mlp(2, 4, 12), 40, "map / loop", 4, 64)
        assert isinstance(entry, expected)
    told = "not raced, since bounds settle 20% to 20% of the cells in boxes of 4 x 4 on 1 planes"
    assert entry["agreement"] == told
    assert costs.race_outcome(pd.Series(entry)) == "not met"


def test_wrong_cells_are_counted_in_double_precision():
    model = models.mlp(2, 4, 12, "relu", seed=3)
    found = slices.label_map(model, UNIT, 40)
    assert maps.wrong_cells(model, found, maps.dense_loop(model, UNIT, 40, 64)) == (0, 0)
    broken = found.labels.copy()
    broken[3, 4:7] = 3 - broken[3, 4:7]
    spoiled = slices.LabelMap(broken, UNIT, "certified", 0)
    changed = int((broken != found.labels).sum())
    assert changed > 0
    assert maps.wrong_cells(model, spoiled, found.labels) == (changed, changed)
    # Where the peer is wrong, not the map, no wrong cell is counted.
    assert maps.wrong_cells(model, found, broken) == (changed, 0)


def test_two_labels_are_right_where_their_logits_are_one_number_in_float32():
    """Which they are not where the map was made in float64."""
    tied = models.mlp(2, 3, 2, "relu", seed=3)
    with torch.no_grad():
        for p in tied.parameters():
            p.zero_()
    for gap, single, double in ((0.0, 0, 0), (2**-24, 0, 4), (1e-5, 4, 4)):
        model = copy.deepcopy(tied).double()
        model[-1].bias.data = torch.tensor([1.0, 1.0 - gap, 0.0]).double()
        one = np.ones((2, 2), dtype=np.int16)
        for way, wrong in (("adaptive", single), ("certified", double)):
            grid = slices.LabelMap(one, UNIT, way, 1)
            dtype = torch.float32 if way == "adaptive" else torch.float64
            assert maps.wrong_cells(model.to(dtype), grid, 0 * one)[1] == wrong, (gap, way)


def test_scipy_counts_the_same_junctions():
    labels = np.random.default_rng(0).integers(0, 4, (30, 30)).astype(np.int16)
    row = run(masks.junction_race(labels, repeats=1), 1)
    assert not row["agreement"].startswith("not equal")
    assert masks.scipy_junctions(np.array([[0, 1], [2, 2]])) == 1
    assert masks.scipy_junctions(np.array([[0, 1], [0, 1]])) == 0


def test_minibatch_adaround_beats_nearest_rounding_and_stays_on_the_grid():
    torch.manual_seed(0)
    x = torch.randn(400, 12) @ torch.randn(12, 12)
    weight, scale = torch.randn(5, 12), 0.5
    rounded = rounding.minibatch_adaround(weight, x, scale, 7, iterations=250, batch=64, share=1.0)
    levels = rounded / scale
    torch.testing.assert_close(levels, levels.round())
    assert levels.abs().max() <= 7
    assert ((levels - weight / scale).abs() < 1 + 1e-6).all()
    nearest = scale * (weight / scale).round().clamp(-7, 7)
    assert rounding.objective(weight, rounded, x) < 0.8 * rounding.objective(weight, nearest, x)


@pytest.mark.parametrize("convolution", [False, True])
def test_rounding_races_on_the_error_of_the_layers_outputs(convolution):
    torch.manual_seed(0)
    layer = nn.Conv2d(3, 4, 3, padding=1) if convolution else nn.Linear(12, 5)
    a = torch.randn(6, 3, 5, 5) if convolution else torch.randn(20, 12)
    row = run(rounding.rounding_race(layer, a, "rounding", iterations=60), 1)
    assert row["agreement"].removeprefix("not equal: ").startswith("objective ")
    moved = copy.deepcopy(layer)
    moved.weight.data += 0.1 * torch.randn_like(layer.weight)
    error = (moved(a) - layer(a)).square().sum()
    x = rounding.patches(layer, a).transpose(1, 2).flatten(0, 1)
    found = rounding.objective(
        layer.weight.detach().flatten(1), moved.weight.detach().flatten(1), x
    ) * len(x)
    assert found == pytest.approx(error.item(), rel=1e-4)


def test_the_command_writes_the_table_and_refuses_bad_options(tmp_path, monkeypatch, capsys):
    entry = race(lambda _: 1, lambda _: time.sleep(0.001) or 1)
    works = type("works", (), {"races": staticmethod(lambda: iter([entry]))})
    monkeypatch.setattr(command, "WORKS", {"one": works})
    monkeypatch.setattr(command.data, "missing", lambda *_: {})
    monkeypatch.setattr(command.maps, "costs", lambda: [{"network": "a", "n": 2}])
    assert command.main(["--rounds", "2", "--results", str(tmp_path)]) == 0
    table = pd.read_csv(tmp_path / "benchmarks.csv")
    assert tuple(table) == COLUMNS and len(table) == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["benchmarks-costs.csv", "benchmarks.csv"]
    with pytest.raises(SystemExit):
        command.main(["--rounds", "0"])
    assert "--rounds is 0: allowed is 1 or more" in capsys.readouterr().err
    monkeypatch.setattr(command.data, "missing", lambda *_: {"mnist": "there is none"})
    assert command.main([]) == 1
    assert "the races need mnist: there is none" in capsys.readouterr().err


def test_the_floor_of_radii_is_what_autograd_needs():
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 3))
    entry = radii.floor_race(model, torch.randn(10, 3), "radii", 4)
    assert run(entry, 1)["agreement"] == "the floor has no answer"


class Pretended:
    """Stands for a pair where a tool does not look at it."""


def test_a_tool_has_a_row_whether_it_answers_or_not():
    def fails(pair):
        raise ValueError("takes\nno pair")

    def here(name, package, ask):
        return tools.Tool(name, package, "Which?", "", ask)

    said = tools.measured(
        here("a", "numpy", lambda pair: f"yes of {type(pair).__name__}"), Pretended
    )
    assert said["said"] == "yes of type" and said["seconds"] >= 0 and said["reason"] == ""
    assert said["package"] == f"numpy {np.__version__}" and tuple(said) == tools.COLUMNS
    refused = tools.measured(here("b", "numpy", fails), Pretended)
    assert (refused["said"], refused["reason"]) == ("", "takes no pair")
    absent = tools.measured(here("c", "no-such-package", fails), Pretended)
    assert (absent["package"], absent["reason"]) == ("no-such-package", "not installed here")
    table = costs.tools_table(pd.DataFrame([said, refused, absent]))
    assert "| yes of type |" in table and "*not tried: takes no pair*" in table
    assert "*not tried: not installed here*" in table


def test_every_tool_names_a_question_and_a_source():
    named = tools.tools()
    assert len({tool.name for tool in named}) == len(named) and all(t.question for t in named)
    assert all(tool.documentation.startswith("https://") for tool in named[2:])


def test_multiplications_are_those_of_the_formula_forward_and_backward(tmp_path):
    """In a process of its own: nothing takes the hook away again."""
    code = (
        "import torch; from pathlib import Path; from benchmarks.counting import start\n"
        f"start(Path({str(tmp_path / 'counts')!r}))\n"
        "net = torch.nn.Sequential(torch.nn.Conv2d(3, 5, 3), torch.nn.Flatten(), torch.nn.Linear(180, 7))\n"
        "x = torch.rand(4, 3, 8, 8)\n"
        "with torch.no_grad(): net(x)\n"
        "net.requires_grad_(False); net(x.requires_grad_()).sum().backward()\n"
        "net.requires_grad_(True); net(x.detach()).sum().backward()\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
    convolution, linear = 4 * 5 * 36 * 27, 4 * 180 * 7
    # Without gradients; with that of the inputs; with that of the weights, and of the second layer's inputs.
    wanted = (1 + 2 + 2) * convolution + (1 + 2 + 3) * linear
    assert counting.total(tmp_path / "counts") == wanted


def test_a_floor_is_multiplications_over_their_rate(tmp_path):
    counts, results = tmp_path / "counts" / "01-one", tmp_path / "results" / "01-one"
    counts.mkdir(parents=True)
    results.mkdir(parents=True)
    for name, value in (("1.count", 6e9), ("2.count", 3e9)):
        np.array([value]).tofile(counts / name)
    (results / "run.json").write_text('{"minutes": 2.5, "threads": 1}', "utf-8")
    (row,) = floors.floors(tmp_path / "counts", tmp_path / "results")
    assert row["chapter"] == "01-one" and row["minutes"] == 2.5 and row["rate"] > 1e8
    assert row["floor"] == pytest.approx(9e9 / row["rate"] / 60 * os.cpu_count())
    with pytest.raises(ValueError, match="holds no counts"):
        next(floors.floors(results, results))


def test_the_table_of_floors_sums_chapters():
    rows = pd.DataFrame(
        {
            "chapter": ["01-one", "02-two"], "multiplications": [2e12, 1e12],
            "minutes": [2.0, 1.0], "floor": [0.5, 0.25], "rate": 1e10, "machine": "two cores",
        }
    )  # fmt: skip
    *_, first, second, whole = costs.floors_table(rows).splitlines()
    assert "01-one" in first and "4.0" in first and "02-two" in second
    assert whole == "| all | 3.0 | 3.00 | 0.75 | 4.0 |"


@pytest.mark.parametrize(("minutes", "told"), [
    ([12.0, 2.6], ["7.3 minutes on 2 cores", "of which 0.5", "first is met", "01-one (12.0), 02-two (2.6)"]),
    ([22.0, 1.0], ["11.5 minutes on 2 cores", "first is not met", "core: 01-one (22.0)."]),
    ([2.5, 1.0], ["core: none."]),
])  # fmt: skip
def test_the_book_is_judged_by_its_ten_minutes(minutes, told):
    rows = pd.DataFrame(
        {"chapter": ["01-one", "02-two"], "minutes": minutes, "floor": 0.5, "machine": "2 cores"}
    )
    text = costs.against_ten_minutes(rows)
    assert all(words in text for words in told)
