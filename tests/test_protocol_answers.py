"""Simulated answers equal what the book's own functions say of the same network, copies and slice."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from baq import compare, ptq_w
from baq.comparison import per_plane
from baq.inference import logits
from baq.protocols import answers, digits, natural
from baq.protocols.simulation import read, record, simulate, tasks
from baq.protocols.space import space
from baq.slices import pca_plane, random_planes
from baq.slices.paths import follow, junction_readings
from baq.zoo import data, models, training

N = 61


@pytest.fixture(scope="module")
def fitted():
    split = data.load("digits", 0, calibration=0.2, test=0.2)
    network = models.mlp(64, 10, 16, "tanh", 0)
    return training.fit(network, split.x_train, split.y_train, epochs=15), split


@pytest.fixture
def one_grid(monkeypatch):
    """The grid that all are read off is the only one, so that nothing is read beside a centre."""
    monkeypatch.setattr(digits, "FINE", (N, 0.1))
    monkeypatch.setattr(digits, "_grids", lambda: [{"pad": 0.1, "n": N}])


def only(rows, **at):
    """The one row with given values."""
    table = pd.DataFrame(rows)
    for name, value in at.items():
        table = table[table[name] == value]
    assert len(table) == 1
    return table.iloc[0]


def test_answers_on_digits_are_those_of_the_book(fitted, one_grid):
    network, split = fitted
    rows = digits._once(network, split)
    how = {"scale": "channel", "zero": "asymmetric"}
    copies = {b: ptq_w(network, b, per_channel=True, symmetric=False) for b in (8, 6, 4)}
    x, y = split.x_test, split.y_test
    for name, points in (("train", split.x_train), ("own", x)):
        plane = pca_plane(points)
        found = only(rows["digits-slices"], **how, plane=name)
        for sides in ("one", "two"):
            book = compare(network, copies, x, y, planes=plane, n=N, sides=sides)
            book = book.set_index("candidate")
            for b in (8, 4):
                assert found[f"J {b} {sides}"] == pytest.approx(book["jaccard"][b])
        film = follow(copies[8], copies[6], plane, 2, N)
        counts = junction_readings(film)
        assert found["8 to 6, 2, start"] == counts["first map"]
        assert found["8 to 6, 2, end"] == counts["last map"]
        assert found["8 to 6, 2, largest"] == counts["largest on the path"]
        assert found["8 to 6, 2, anywhere"] == counts["anywhere on the path"]
        assert found["8 to 6, 3, largest"] == counts["largest, 3 x 3 rule"]
    inputs = only(rows["digits-inputs"], **how)
    assert inputs["accuracy"] == pytest.approx(book["accuracy"][4])
    assert inputs["changed"] == round(book["flip_rate"][8] * len(x))
    assert inputs["shift all"] == pytest.approx(book["shift"][4], rel=1e-5)
    assert inputs["shift band"] == pytest.approx(book["band_shift"][4], rel=1e-5)


def test_answers_on_stopping_are_those_of_the_book(fitted, one_grid):
    network, split = fitted
    rows = digits._stopping(network, split)
    how = {"scale": "tensor", "zero": "symmetric"}
    copies = {b: ptq_w(network, b) for b in digits.LEVELS}
    for part, x, y in (
        ("calibration", split.x_calibration, split.y_calibration),
        ("test", split.x_test, split.y_test),
    ):
        options = {"planes": pca_plane(x), "n": N, "gradients": False}
        book = compare(network, copies, x, y, **options).set_index("candidate")
        found = only(rows["stopping-slices"], **how, plane="own", part=part, mask="two")
        for b in digits.LEVELS:
            assert found[f"J {b}"] == pytest.approx(book["jaccard"][b])
            inputs = only(rows["stopping-inputs"], **how, part=part, bits=b)
            for name in ("accuracy", "accuracy_reference", "flip_rate"):
                assert inputs[name] == pytest.approx(book[name][b])


def test_answers_on_images_are_those_of_the_book():
    generator = torch.Generator().manual_seed(0)
    x, y = torch.rand(60, 3, 32, 32, generator=generator), torch.arange(60) % 10
    network = models.cnn(3, 10, 4, seed=0).eval()
    # Untrained, it knows one label: less its mean logits it has boundaries.
    network[-1].bias.data -= logits(network, x).mean(0)
    copy = ptq_w(network, 3)
    planes = random_planes(x, y, 2, 0)
    cuts = {"three": [natural._cut(network, plane) for plane in planes]}
    rows = natural._on_slices(cuts, copy, {"three": planes})
    book = per_plane(network, {3: copy}, planes, natural._FINE, way="dense")
    found = only(rows, n=natural._FINE)
    assert 0 < found["two"] == pytest.approx(book["jaccard"].mean())
    assert [row["n"] for row in rows] == list(space().choices["natural_n"].values)


def test_tables_become_arrays_whatever_their_order():
    choices = {name: space().choices[name].values for name in ("scale", "zero")}
    rows = [
        {"scale": a, "zero": b, "seed": s, "v": 100 * i + 10 * j + s}
        for i, a in enumerate(choices["scale"])
        for j, b in enumerate(choices["zero"])
        for s in range(3)
    ]
    table = pd.DataFrame(rows).sample(frac=1, random_state=0)
    found = answers.array(table, ("scale", "zero"), ["v"])
    i, j, s = np.meshgrid(range(2), range(2), range(3), indexing="ij")
    assert (found[..., 0, :] == 100 * i + 10 * j + s).all()
    with pytest.raises(ValueError, match="11 rows over scale, zero: allowed are 12"):
        answers.array(table.iloc[1:], ("scale", "zero"), ["v"])


def test_a_simulation_goes_on_where_it_was(tmp_path, monkeypatch):
    """Networks that are measured are not measured again, and all come into one table."""
    made = []

    def measure(name):
        made.append(name)
        return {"table": pd.DataFrame({"name": [name], "folded": ["no"]})}

    def some(name, seeds=None):
        for seed in range(seeds):
            yield f"{name}-{seed}", lambda seed=seed: measure(f"{name}-{seed}")

    simulation = SimpleNamespace(cache=tmp_path / "cache", folder=tmp_path / "tables")
    monkeypatch.setattr("baq.protocols.simulation.tasks", some)
    with pytest.raises(ValueError, match="full-0 is not in"):
        record("full", simulation.cache, simulation.folder, 1)
    simulate("full", simulation.cache, 2)
    simulate("full", simulation.cache, 3)
    assert made == ["full-0", "full-1", "full-2"]
    record("full", simulation.cache, simulation.folder, 3)
    assert list(read("table", simulation.folder)["name"]) == made
    with pytest.raises(FileNotFoundError, match=r"python -m baq\.protocols"):
        read("other", simulation.folder)


def test_a_simulation_is_named():
    with pytest.raises(ValueError, match="simulation is 'all': allowed are digits, subsets, full"):
        next(tasks("all"))
    assert len({called for called, _ in tasks("digits", 2)}) == 2 * 2 * 2 * 2
