"""Planes through random images of three classes, and measures on them that equal those of compare."""

import itertools
from collections import Counter

import pytest
import torch

from baq import compare, ptq_w
from baq.comparison import per_plane
from baq.slices import planes, random_planes
from baq.zoo import models


def test_planes_go_through_three_inputs_of_three_classes():
    x, y = torch.rand(30, 1, 4, 4), torch.arange(30) % 4
    for plane in random_planes(x, y, 5, seed=1):
        apart = (plane.inputs(plane.project(x)) - x).flatten(1).norm(dim=1)
        on_it = y[apart < 1e-4]
        assert len(on_it) == len(on_it.unique()) == 3
    one, two, other = (random_planes(x, y, 1, seed)[0] for seed in (1, 1, 2))
    assert torch.equal(one.u, two.u)
    assert not torch.equal(one.u, other.u)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"count": 0}, "count is 0: allowed is 1 or more"),
        ({"count": True}, "count is True: allowed is 1 or more, a whole number"),
        ({"seed": 1.5}, "seed is 1.5: allowed is 0 to 4294967295, a whole number"),
        ({"seed": True}, "seed is True: allowed is 0 to 4294967295, a whole number"),
        ({"x": torch.arange(30)[:, None].expand(30, 4)}, "of 1000 draws .* none spans a plane"),
        ({"y": torch.arange(9)}, r"labels have shape \(9,\): allowed is \(30,\)"),
        ({"y": torch.arange(30) % 2}, "have 2 classes: allowed are 3 or more"),
        ({"y": torch.full((30,), torch.nan)}, "labels hold nan: allowed are whole numbers"),
    ],
)
def test_planes_name_what_cannot_be_drawn(bad, message):
    arguments = {"x": torch.rand(30, 4), "y": torch.arange(30) % 3, "count": 1} | bad
    with pytest.raises(ValueError, match=message):
        random_planes(**arguments)


def test_rare_classes_are_found_without_trying_every_triple():
    y = torch.zeros(100_000).long()
    y[17], y[90_000] = 1, 2
    x = torch.rand(100_000, 3, generator=torch.Generator().manual_seed(0))
    for plane in random_planes(x, y, 2):
        for rare in (17, 90_000):
            assert torch.dist(plane.inputs(plane.project(x[rare][None]))[0], x[rare]) < 1e-5


def test_copies_of_an_input_do_not_hide_the_planes_through_others():
    x, y = torch.zeros(3000, 2), torch.arange(3000) % 3
    x[7], x[14] = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])
    assert len({0, int(y[7]), int(y[14])}) == 3
    found = random_planes(x, y, 5)
    assert len(found) == 5
    for plane in found:
        # Each holds the three inputs that differ, so its extent is that of their triangle.
        corners = plane.project(torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]))
        assert (
            torch.dist(plane.inputs(corners), torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]))
            < 1e-6
        )


@pytest.mark.slow
def test_the_direct_draw_takes_every_triple_of_three_classes_as_often():
    y = torch.tensor([0, 0, 0, 1, 1, 2, 3])
    expected = {
        frozenset(rows)
        for rows in itertools.combinations(range(7), 3)
        if len({*y[[*rows]].tolist()}) == 3
    }
    generator = torch.Generator().manual_seed(0)
    drawn = Counter(
        frozenset(planes._of_three_classes(y, generator).tolist())
        for _ in range(300 * len(expected))
    )
    assert drawn.keys() == expected
    # Pearson's statistic has mean and variance of the order of the number of triples.
    statistic = sum((count - 300) ** 2 / 300 for count in drawn.values())
    assert statistic < len(expected) + 5 * (2 * len(expected)) ** 0.5


@pytest.mark.parametrize("sides", ["one", "two"])
def test_means_over_planes_are_those_of_compare(sides):
    x, y = torch.rand(30, 1, 4, 4), torch.arange(30) % 3
    model = models.mlp(16, 3, 8)
    candidates = {b: ptq_w(model, b) for b in (6, 3)}
    drawn = random_planes(x, y, 4)
    found = per_plane(model, candidates, drawn, n=21, sides=sides)
    assert len(found) == 8
    means = found.groupby("candidate")[["jaccard", "grid_change"]].mean()
    expected = compare(model, candidates, x, planes=drawn, n=21, sides=sides, gradients=False)
    for row in expected.itertuples():
        assert means.loc[row.candidate, "jaccard"] == pytest.approx(row.jaccard)
        assert means.loc[row.candidate, "grid_change"] == pytest.approx(row.grid_change)
    assert (found["jaccard"] > 0).any()


@pytest.mark.parametrize("shape", [(20, 5), (5, 20)])
def test_a_plane_of_inputs_that_require_gradients_is_that_of_their_values(shape):
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    plane, other = planes.pca_plane(x), planes.pca_plane(x.clone().requires_grad_())
    assert torch.equal(plane.u, other.u) and torch.equal(plane.v, other.v)
