"""A path of weights gives the film of its maps, and its junctions are counted in every way."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

from baq import ptq_w
from baq.slices import LabelMap, Plane, junction_cells, label_map, rearrangement
from baq.slices.paths import distances_along, follow, junction_readings, random_end
from baq.zoo import models

EYE = torch.eye(2).double()
PLANE = Plane(torch.zeros(2).double(), EYE[0], EYE[1], (-1.0, 1.0, -1.0, 1.0))


def as_map(labels):
    labels = np.asarray(labels, dtype=np.int16)
    return LabelMap(labels, PLANE, "dense", labels.size)


@pytest.fixture(scope="module")
def ends():
    reference = models.mlp(2, 5, 16, "tanh", seed=3)
    return ptq_w(reference, 3), ptq_w(reference, 2)


def test_the_film_is_the_map_of_every_mixture_of_weights(ends):
    film = follow(*ends, PLANE, steps=4, n=30)
    assert len(film) == 5
    for k, grid in enumerate(film):
        mixed = models.mlp(2, 5, 16, "tanh", seed=3)
        start, stop = (end.state_dict() for end in ends)
        mixed.load_state_dict({key: torch.lerp(start[key], stop[key], k / 4) for key in start})
        assert np.array_equal(grid.labels, label_map(mixed, PLANE, 30).labels)
    assert (film[0].labels != film[-1].labels).any()


def test_a_line_that_its_weights_move_is_where_it_should_be():
    """Logits (s a, 0.5) with s from 1 to 2 have their boundary at a = 0.5 / s."""

    def line(s):
        layer = nn.Linear(2, 2)
        with torch.no_grad():
            layer.weight.copy_(torch.tensor([[s, 0.0], [0.0, 0.0]]))
            layer.bias.copy_(torch.tensor([0.0, 0.5]))
        return layer

    film = follow(line(1.0), line(2.0), PLANE, steps=2, n=80)
    shares = [np.mean(grid.labels == 0) for grid in film]
    np.testing.assert_allclose(shares, [0.25, 1 / 3, 0.375], atol=0.5 / 80)


def test_readings_counted_by_hand():
    one = as_map([[0, 0, 0], [0, 0, 1], [0, 2, 2]])
    none = as_map([[0, 0, 0], [0, 0, 0], [1, 1, 1]])
    other = as_map([[0, 1, 0], [2, 2, 0], [2, 2, 2]])
    readings = junction_readings([none, one, other, none])
    assert readings == {
        "largest on the path": 2,
        "first map": 0,
        "last map": 0,
        "largest, 3 x 3 rule": 1,
        "anywhere on the path": 3,
    }
    assert junction_readings([one])["first map"] == 1


def test_histograms_hold_every_distance_of_every_step(ends):
    film = follow(*ends, PLANE, steps=3, n=24)
    edges = [0.0, 0.05, 0.1, 0.2]
    found = distances_along(film, edges).set_index(["kind", "distance"])["count"]
    naive = dict.fromkeys(found.index, 0)
    for before, after in pairwise(film):
        for kind, distances in rearrangement(before, after).items():
            for distance in distances / 2:  # the plane is 2 wide
                edge = next((e for e in edges[1:] if distance < e), edges[-1])
                naive[kind, edge] += 1
    assert found.to_dict() == naive
    assert found["all cells"].sum() == 3 * 24**2
    assert any(junction_cells(grid.labels).any() for grid in film)


def test_bad_films_are_named(ends):
    with pytest.raises(ValueError, match="steps is 0: allowed is 1 or more"):
        follow(*ends, PLANE, steps=0, n=10)
    with pytest.raises(ValueError, match="the film is empty"):
        junction_readings([])
    with pytest.raises(ValueError, match="the film has 1 maps"):
        distances_along([as_map(np.eye(3))], [0, 1])


def test_a_random_path_is_as_long_layer_by_layer_and_goes_elsewhere(ends):
    start, stop = ends
    other = random_end(start, stop, seed=1)
    for name, weight in start.state_dict().items():
        aside, along = other.state_dict()[name] - weight, stop.state_dict()[name] - weight
        assert aside.norm() == pytest.approx(float(along.norm()), rel=1e-5)
        if name.endswith("weight"):
            cosine = (aside * along).sum() / along.norm() ** 2
            assert abs(cosine) < 0.5
    again = random_end(start, stop, seed=1)
    assert all(map(torch.equal, other.parameters(), again.parameters()))
    third = random_end(start, stop, seed=2).parameters()
    assert not all(map(torch.equal, other.parameters(), third))
    with pytest.raises(ValueError, match="seed is -1"):
        random_end(start, stop, -1)
