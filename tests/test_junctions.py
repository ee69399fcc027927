"""Junction cells: on a map counted by hand, by a loop over the definition, and their laws."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from baq.slices.junctions import junction_cells

#: Drawn with its first row at the bottom of the plane.
DRAWN = np.array(
    [
        [0, 0, 0, 1, 1, 1],
        [0, 0, 0, 1, 1, 1],
        [2, 2, 2, 1, 1, 1],
        [2, 2, 2, 3, 3, 3],
        [2, 4, 2, 3, 3, 3],
        [2, 2, 0, 1, 3, 3],
    ],
    dtype=np.int16,
)


def where(found):
    return [tuple(c) for c in np.argwhere(found).tolist()]


def test_a_map_counted_by_hand():
    # Upward: 0, 1, 2 meet; then 1, 2, 3; then 0, 2, 4 beside 0, 1, 2, 3.
    assert where(junction_cells(DRAWN)) == [(1, 2), (2, 2), (4, 1), (4, 2)]
    assert where(junction_cells(DRAWN, order=4)) == [(4, 2)]
    assert not junction_cells(DRAWN, order=5).any()


def test_the_wider_window_on_the_same_map():
    expected = np.array(
        [
            [False, True, True, False],
            [False, True, True, False],
            [False, True, True, False],
            [True, True, True, False],
        ]
    )
    found = junction_cells(DRAWN, block=3)
    assert found.shape == (4, 4)
    np.testing.assert_array_equal(found, expected)


def test_the_order_and_the_window_of_simple_maps():
    quarters = np.array([[0, 1], [2, 3]])
    assert junction_cells(quarters).all() and junction_cells(quarters, order=4).all()
    assert not junction_cells(np.array([[0, 1], [1, 0]])).any()
    assert junction_cells(np.array([[0, 1], [1, 0]]), order=2).all()
    stripes = np.array([[0, 1, 2]] * 3)
    assert not junction_cells(stripes).any()
    # Negative control: the wider window takes two boundaries side by side for a junction.
    assert junction_cells(stripes, block=3).all()


maps = arrays(np.int16, st.tuples(st.integers(3, 8), st.integers(3, 8)), elements=st.integers(0, 4))


@settings(max_examples=100)
@given(maps, st.integers(2, 5), st.integers(2, 3))
def test_equals_a_loop(labels, order, block):
    rows, columns = labels.shape
    expected = np.zeros((rows - block + 1, columns - block + 1), dtype=bool)
    for i, j in np.ndindex(expected.shape):
        window = labels[i : i + block, j : j + block]
        expected[i, j] = len(set(window.ravel().tolist())) >= order
    np.testing.assert_array_equal(junction_cells(labels, order, block), expected)


@settings(max_examples=100)
@given(maps, st.permutations(range(5)))
def test_names_turns_and_mirrors_do_not_matter(labels, names):
    found = junction_cells(labels)
    np.testing.assert_array_equal(junction_cells(np.array(names, dtype=np.int16)[labels]), found)
    for move in (np.rot90, np.flipud, np.transpose):
        np.testing.assert_array_equal(junction_cells(move(labels)), move(found))
    assert (junction_cells(labels, order=4) <= found).all()


@pytest.mark.parametrize("order", [1, 0, -1])
def test_bad_orders_are_named(order):
    with pytest.raises(ValueError, match=f"order is {order}: allowed is 2 or more"):
        junction_cells(DRAWN, order=order)


@pytest.mark.parametrize("block", [1, 0, 7])
def test_bad_windows_are_named(block):
    with pytest.raises(ValueError, match=f"block is {block}: allowed is 2 to 6, a whole number"):
        junction_cells(DRAWN, block=block)
