"""A slice on several grids: what moves with the grid, what does not, and where J passes a value."""

import copy

import numpy as np
import pytest
import torch

from baq import slices
from baq.slices import curves
from baq.slices.grids import across_grids, distance_summary, grid_reaching
from baq.zoo import models

SHIFT = 0.03


@pytest.fixture(scope="module")
def shifted():
    """A vertical line at a = 0 as a boundary, and the same a little to the right."""
    line = models.mlp(2, 2, 2, "relu").double()
    with torch.no_grad():
        for parameter in line.parameters():
            parameter.zero_()
        line[1].weight[:, 0] = torch.tensor([1.0, -1.0])
        line[3].weight.copy_(torch.tensor([[1.0, -1.0], [-1.0, 1.0]]))
    moved = copy.deepcopy(line)
    with torch.no_grad():
        moved[1].bias.copy_(torch.tensor([-SHIFT, SHIFT]))
    axes = torch.eye(2).double()
    return line, moved, slices.Plane(torch.zeros(2).double(), *axes, (-1.0, 1.0, -1.0, 1.0))


def test_distances_of_parallel_lines_are_their_shift_on_every_grid_and_j_follows_the_law(shifted):
    line, moved, plane = shifted
    grids = (25, 75, 151)
    rows, ways = across_grids(line, {4: moved}, plane, grids)
    assert rows["n"].tolist() == [151, 75, 25]
    np.testing.assert_allclose(rows["curve_distance"], SHIFT, atol=1e-5)
    np.testing.assert_allclose(rows["cell"], 2 / rows["n"])
    s = np.minimum(SHIFT / rows["cell"], 2)
    np.testing.assert_allclose(rows["law"], 2 * s / (2 + s), rtol=1e-3)
    assert set(ways["way"]) == {"float to quantized", "quantized to float", "first order"}
    np.testing.assert_allclose(ways[["mean", "median", "q95", "largest"]], SHIFT, atol=1e-5)


def test_equals_the_measures_one_by_one(shifted):
    line, moved, plane = shifted
    rows, _ = across_grids(line, {"itself": line, 4: moved}, plane, [40], "one")
    here, there = (slices.label_map(network, plane, 40) for network in (line, moved))
    masks = [slices.boundary_mask(grid.labels, "one") for grid in (here, there)]
    distance = curves.curve_distance(curves.crossings(line, here), curves.crossings(moved, there))
    itself, row = rows.to_dict("records")
    assert row["jaccard"] == slices.jaccard_distance(*masks) > 0
    assert row["grid_change"] == slices.grid_change(here.labels, there.labels) > 0
    assert row["curve_distance"] == np.median(distance)
    assert itself["jaccard"] == itself["grid_change"] == 0
    assert itself["curve_distance"] == itself["law"] == pytest.approx(0, abs=1e-12)


def test_no_boundary_has_no_distance():
    assert np.isnan(list(distance_summary(np.array([])).values())).all()
    found = distance_summary(np.arange(101.0))
    assert found == {"mean": 50.0, "median": 50.0, "q95": 95.0, "largest": 100.0}


def test_a_boundary_that_a_coarse_grid_alone_sees_has_no_law():
    def disc(radius):
        return lambda x: torch.stack([x.square().sum(dim=1), torch.full((len(x),), radius**2)], 1)

    plane = slices.Plane(torch.zeros(2), *torch.eye(2), (-1.0, 1.0, -1.0, 1.0))
    rows, _ = across_grids(disc(0.01), {4: disc(0.02)}, plane, [9, 10])
    assert rows["law"].isna().all()
    assert rows["curve_distance"].notna().tolist() == [False, True]


def test_no_grids_are_refused(shifted):
    with pytest.raises(ValueError, match="grids are empty"):
        across_grids(shifted[0], {4: shifted[1]}, shifted[2], [])


def test_the_grid_that_reaches_a_value_is_between_its_neighbours_in_log_n():
    assert grid_reaching([400, 100], [0.6, 0.2], 0.4) == pytest.approx(200)
    # Where J falls again, the first grid that passes the value counts.
    assert grid_reaching([10, 100, 1000], [0.2, 0.6, 0.4], 0.4) == pytest.approx(10**1.5)
    assert np.isnan(grid_reaching([10, 100], [0.2, 0.6], 0.7))
    assert np.isnan(grid_reaching([10, 100], [0.2, 0.6], 0.1))
    with pytest.raises(ValueError, match="1 grids and 2 values"):
        grid_reaching([10], [0.2, 0.6], 0.3)
