"""The adaptive label map follows every boundary that it sees, and bounds what it may have missed."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom
from torch import nn

from baq import slices
from baq.shares import share_bound
from baq.slices.adaptive import adaptive_labels

EYE = torch.eye(2).double()
UNIT = slices.Plane(torch.zeros(2).double(), EYE[0], EYE[1], (-1.0, 1.0, -1.0, 1.0))


def lines(seed, count):
    """Classes of the count + 1 regions with the same signs of `count` random lines (at most)."""
    generator = torch.Generator().manual_seed(seed)
    w = torch.randn(count, 2, generator=generator).double()
    c = 0.4 * torch.randn(count, generator=generator).double()

    def classifier(x):
        z = x @ w.T + c
        return torch.cat([z, torch.zeros(len(x), 1).double()], dim=1)

    return classifier


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), count=st.integers(1, 6), n=st.integers(2, 90))
def test_equals_the_dense_map_or_is_within_its_bound(seed, count, n):
    dense = slices.label_map(lines(seed, count), UNIT, n, "dense")
    found = slices.label_map(lines(seed, count), UNIT, n, "adaptive")
    assert found.way == "adaptive"
    assert found.evaluated <= n * n
    assert slices.grid_change(found.labels, dense.labels) <= found.error_bound


def test_convolutional_network_on_three_planes():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 6, 3, stride=2), nn.ReLU(),
        nn.Flatten(), nn.Linear(54, 5),
    ).double().eval()  # fmt: skip
    for _ in range(3):
        plane = slices.plane_through(3 * torch.randn(3, 1, 8, 8).double(), pad=1.0)
        dense = slices.label_map(model, plane, 200, "dense")
        found = slices.label_map(model, plane, 200, "adaptive")
        np.testing.assert_array_equal(found.labels, dense.labels)
        assert found.evaluated < 0.5 * dense.evaluated


def island(radius, centre=(0.31, 0.33)):
    def classifier(x):
        inside = radius**2 - (x - torch.tensor(centre).double()).square().sum(dim=1)
        return torch.stack([torch.zeros_like(inside), inside], dim=1)

    return classifier


def test_an_island_between_the_lattice_is_missed_and_the_bound_says_so():
    n = 512
    dense = slices.label_map(island(0.012), UNIT, n, "dense")
    found = slices.label_map(island(0.012), UNIT, n, "adaptive")
    assert dense.labels.sum() > 0
    assert found.labels.sum() == 0
    assert dense.labels.mean() <= found.error_bound


@pytest.mark.parametrize(
    ("n", "stride"), [(61, 4), (91, 4), (120, 4), (121, 8), (241, 8), (1025, 8), (31, 2), (10, 1)]
)
def test_the_lattice_has_fifteen_squares_a_side_and_no_square_of_more_than_eight_cells(n, stride):
    _, evaluated, _ = adaptive_labels(lambda row, column: row * 0, n, audit=1)
    points = len({*range(0, n, stride), n - 1})
    assert evaluated == points**2 + (stride > 1)


def test_an_island_that_the_audit_hits_is_followed_to_its_shore():
    dense = slices.label_map(island(0.07), UNIT, 64, "dense")
    labels, _, bound = adaptive_labels(
        lambda row, column: dense.labels[row, column], 64, stride=32, audit=2000
    )
    np.testing.assert_array_equal(labels, dense.labels)
    assert bound > 0


def test_the_bound_covers_as_often_as_it_says():
    """Over all samples of a fixed share, the bound lies above the share in at least 95 %."""
    share, sample = 0.013, 400
    wrong = np.arange(sample + 1)
    covered = np.array([share_bound(int(k), sample) >= share for k in wrong])
    assert binom.pmf(wrong, sample, share)[covered].sum() >= 0.95
    # Negative control: the plain share is no bound.
    assert binom.pmf(wrong, sample, share)[wrong / sample >= share].sum() < 0.95


def test_the_bound_without_a_wrong_cell_has_a_closed_form():
    assert share_bound(0, 1000) == pytest.approx(1 - 0.05 ** (1 / 1000))
    assert share_bound(7, 7) == 1.0


def test_a_map_evaluated_whole_is_exact():
    found = slices.label_map(lines(0, 3), UNIT, 8, "adaptive")
    assert (found.error_bound, found.evaluated) == (0.0, 64)


def test_evaluations_grow_with_the_boundary_not_the_area():
    sizes = np.array([128, 256, 512, 1024])
    found = [adaptive_cells(lines(3, 4), n) for n in sizes]
    assert np.polyfit(np.log(sizes), np.log(found), 1)[0] < 1.4


def adaptive_cells(classifier, n):
    """Cells evaluated without the lattice and the audit, which are fixed shares and numbers."""
    return slices.label_map(classifier, UNIT, n, "adaptive").evaluated - (n // 8) ** 2 - 500
