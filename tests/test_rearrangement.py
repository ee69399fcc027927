"""Distances to junctions, and regions that vanish, on maps small enough to check by hand."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from baq.slices import LabelMap, Plane
from baq.slices.junctions import (
    junction_cells,
    junction_distance,
    rearrangement,
    region_events,
    vanished_regions,
)


def as_map(labels, width=None, height=None):
    """A label map on a plane whose cells have unit sides unless told otherwise."""
    labels = np.asarray(labels, dtype=np.int16)
    n = len(labels)
    eye = torch.eye(2).double()
    plane = Plane(torch.zeros(2).double(), eye[0], eye[1], (0.0, width or n, 0.0, height or n))
    return LabelMap(labels, plane, "dense", n * n)


# One triple junction in the middle: label 0 below, 1 above left, 2 above right.
THREE = np.array([[0] * 6] * 3 + [[1, 1, 1, 2, 2, 2]] * 3)


def test_distance_to_one_junction():
    found = junction_distance(as_map(THREE))
    rows, columns = np.indices((6, 6))
    # The block holds rows 2, 3 and columns 2, 3.
    down = np.maximum.reduce([2 - rows, rows - 3, 0 * rows])
    across = np.maximum.reduce([2 - columns, columns - 3, 0 * columns])
    np.testing.assert_allclose(found, np.hypot(down, across))


def test_distance_is_in_input_units_along_each_axis():
    found = junction_distance(as_map(THREE, width=12, height=3))  # cells 2 wide and 0.5 high
    assert found[2, 5] == pytest.approx(4.0)
    assert found[5, 2] == pytest.approx(1.0)


def test_no_junction_is_infinitely_far():
    assert np.isinf(junction_distance(as_map([[0, 0], [1, 1]]))).all()


@settings(max_examples=50, deadline=None)
@given(arrays(np.int16, (9, 9), elements=st.integers(0, 4)), st.sampled_from([2, 3]))
def test_distance_equals_the_nearest_by_a_loop(labels, block):
    found = junction_distance(as_map(labels), block=block)
    blocks = np.argwhere(junction_cells(labels, block=block))
    cells = [(r + i, c + j) for r, c in blocks for i in range(block) for j in range(block)]
    for (r, c), distance in np.ndenumerate(found):
        nearest = min((np.hypot(r - i, c - j) for i, j in cells), default=np.inf)
        assert distance == pytest.approx(nearest)


def test_a_region_vanishes_only_if_no_cell_keeps_its_label():
    before = np.zeros((5, 5), dtype=int)
    before[1, 1] = before[1, 3] = 1
    before[3, 1:4] = 2
    after = np.zeros((5, 5), dtype=int)
    after[1, 3] = 1  # one of the two regions of label 1 stays
    after[3, 3] = 2  # a cell of label 2 stays
    (gone,) = vanished_regions(before, after)
    np.testing.assert_array_equal(np.argwhere(gone), [[1, 1]])
    assert vanished_regions(before, before) == []


def test_diagonal_cells_are_two_regions():
    before = np.eye(3, dtype=int)
    assert len(vanished_regions(before, np.zeros((3, 3), dtype=int))) == 3


def test_rearrangement_of_equal_maps_has_controls_alone():
    found = rearrangement(as_map(THREE), as_map(THREE))
    assert len(found["changed cells"]) == len(found["regions"]) == 0
    assert len(found["all cells"]) == 36
    assert len(found["boundary cells"]) == 6 + 6 + 4  # rows 2 and 3, columns 2 and 3 above


def test_an_island_is_measured_in_the_map_that_lacks_it():
    with_island = THREE.copy()
    with_island[0, 0] = 2
    appears = rearrangement(as_map(THREE), as_map(with_island))
    vanishes = rearrangement(as_map(with_island), as_map(THREE))
    expected = np.hypot(2, 2)
    np.testing.assert_allclose(appears["regions"], [expected])
    np.testing.assert_allclose(vanishes["regions"], [expected])
    np.testing.assert_allclose(appears["changed cells"], [expected])


def test_rearrangement_far_from_junctions_is_seen_as_far():
    """Negative control: a boundary that moves away from the junction has no short distances."""
    wide = np.array([[0] * 40] * 20 + [[1] * 5 + [2] * 35] * 20)
    moved = wide.copy()
    moved[20, 15:] = 0
    found = rearrangement(as_map(wide), as_map(moved))
    assert found["changed cells"].min() > 5
    assert found["boundary cells"].min() == 0


EVENTS = ("births", "deaths", "merges", "splits", "inner")


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        # A bar of ones is cut: it splits, and both parts of the ground, beside it, merge.
        ([[0, 0, 0], [1, 1, 1], [0, 0, 0]], [[0, 0, 0], [1, 0, 1], [0, 0, 0]], (0, 0, 1, 1, 0)),
        # An island dies inside, and one is born at the edge.
        (
            [[0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]],
            [[0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 2]],
            (1, 1, 0, 0, 1),
        ),
        # A region that moves away from all of its cells dies and is born.
        ([[1, 0, 0]] * 3, [[0, 0, 1]] * 3, (1, 1, 0, 0, 0)),
        ([[0, 1], [1, 1]], [[0, 1], [1, 1]], (0, 0, 0, 0, 0)),
    ],
)
def test_events_of_regions_counted_by_hand(before, after, expected):
    found = region_events(np.array(before), np.array(after))
    assert found == dict(zip(EVENTS, expected, strict=True))


@settings(max_examples=60, deadline=None)
@given(
    arrays(np.int16, (8, 8), elements=st.integers(0, 3)),
    arrays(np.int16, (8, 8), elements=st.integers(0, 3)),
)
def test_backwards_a_death_is_a_birth_and_regions_are_accounted_for(a, b):
    ahead, back = region_events(a, b), region_events(b, a)
    assert (ahead["births"], ahead["merges"]) == (back["deaths"], back["splits"])
    assert ahead["inner"] == back["inner"]
    assert ahead["deaths"] == len(vanished_regions(a, b))
    if (a == b).all():
        assert not any(ahead.values())
