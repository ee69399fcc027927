"""Planes through random images of three classes, and measures on them that equal those of compare."""

import pytest
import torch

from baq import compare, ptq_w
from baq.comparison import per_plane
from baq.slices import random_planes
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


@pytest.mark.parametrize("bad", [{"count": 0}, {"y": torch.arange(9)}, {"y": torch.arange(30) % 2}])
def test_planes_name_what_cannot_be_drawn(bad):
    arguments = {"x": torch.rand(30, 4), "y": torch.arange(30) % 3, "count": 1} | bad
    with pytest.raises(ValueError, match="allowed are 1 or more, as many labels, and 3 classes"):
        random_planes(**arguments)


@pytest.mark.parametrize("sides", ["one", "two"])
def test_means_over_planes_are_those_of_compare(sides):
    x, y = torch.rand(30, 1, 4, 4), torch.arange(30) % 3
    model = models.mlp(16, 3, 8)
    candidates = {b: ptq_w(model, b) for b in (6, 3)}
    planes = random_planes(x, y, 4)
    found = per_plane(model, candidates, planes, n=21, sides=sides)
    assert len(found) == 8
    means = found.groupby("candidate")[["jaccard", "grid_change"]].mean()
    expected = compare(model, candidates, x, planes=planes, n=21, sides=sides, gradients=False)
    for row in expected.itertuples():
        assert means.loc[row.candidate, "jaccard"] == pytest.approx(row.jaccard)
        assert means.loc[row.candidate, "grid_change"] == pytest.approx(row.grid_change)
    assert (found["jaccard"] > 0).any()
