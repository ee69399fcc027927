"""The boundary as a curve: exact for lines, of second order for circles, and its displacement."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from baq import local, slices
from baq.slices import curves
from baq.zoo import models

BOX = (-1.5, 1.5, -1.2, 1.8)


def plane(extent=BOX):
    eye = torch.eye(2).double()
    return slices.Plane(torch.zeros(2).double(), eye[0], eye[1], extent)


def two_labels(gap):
    """Label 0 where the gap is positive, else 1."""

    def classifier(x):
        value = gap(x[:, 0], x[:, 1])
        return torch.stack([value, torch.zeros_like(value)], dim=1)

    return classifier


def line(degrees, offset=0.0):
    t = np.deg2rad(degrees)
    return two_labels(lambda a, b: a * np.cos(t) + b * np.sin(t) - offset)


def circle(radius, centre=(0.05, 0.21)):
    return two_labels(lambda a, b: (a - centre[0]) ** 2 + (b - centre[1]) ** 2 - radius**2)


def traced(classifier, n, extent=BOX, tolerance=1e-6):
    grid = slices.label_map(classifier, plane(extent), n)
    return grid, curves.crossings(classifier, grid, tolerance)


def clipped_length(degrees, offset, box):
    """Length of the line ``a cos + b sin = offset`` inside a box, by clipping its parameter."""
    t = np.deg2rad(degrees)
    start = offset * np.array([np.cos(t), np.sin(t)])
    along = np.array([-np.sin(t), np.cos(t)])
    low, high = -np.inf, np.inf
    for p, d, (least, most) in zip(start, along, (box[:2], box[2:]), strict=True):
        if abs(d) > 1e-12:
            ends = sorted(((least - p) / d, (most - p) / d))
            low, high = max(low, ends[0]), min(high, ends[1])
    return high - low


@pytest.mark.parametrize("degrees", [0, 7, 30, 45, 63, 90, 101, 135, 180, 200, 270, 315])
@pytest.mark.parametrize(("n", "extent"), [(2, BOX), (17, BOX), (40, (-3.0, 1.0, -0.5, 0.7))])
def test_the_length_of_a_line_is_exact(degrees, n, extent):
    middle = np.array([extent[0] + extent[1], extent[2] + extent[3]]) / 2
    t = np.deg2rad(degrees)
    offset = middle @ [np.cos(t), np.sin(t)] + 0.013
    _, crossed = traced(line(degrees, offset), n, extent, tolerance=1e-12)
    h_a, h_b = plane(extent).cell(n)
    centres = np.array(extent) + np.array([h_a, -h_a, h_b, -h_b]) / 2
    expected = clipped_length(degrees, offset, centres)
    assert curves.boundary_length(crossed) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("tolerance", [1e-2, 1e-4, 1e-6, 1e-9])
@pytest.mark.parametrize("n", [10, 33])
def test_crossings_of_a_circle_are_within_the_tolerance(n, tolerance):
    radius, (x, y) = 0.9, (0.05, 0.21)
    grid, crossed = traced(circle(radius), n, tolerance=tolerance)
    centres, cell, extent = grid.plane.centres(n).numpy(), grid.plane.cell(n), 3.0
    found = 0
    for positions, axis, other in ((crossed.across, 0, 1), (crossed.along, 1, 0)):
        middle = ((x, y)[axis], (x, y)[other])
        for row, column in np.argwhere(np.isfinite(positions)):
            start = centres[row, column]
            at = start[axis] + positions[row, column] * cell[axis]
            reach = np.sqrt(radius**2 - (start[other] - middle[1]) ** 2)
            off = min(abs(at - middle[0] - reach), abs(at - middle[0] + reach))
            assert off <= max(tolerance * extent, cell[axis] / 4) / 2 * (1 + 1e-6)
            if tolerance * n < 0.5:
                assert off <= tolerance * extent / 2 * (1 + 1e-6)
            found += 1
    labels = grid.labels
    edges = (labels[:, 1:] != labels[:, :-1]).sum() + (labels[1:] != labels[:-1]).sum()
    assert found == edges > 0


def test_the_length_of_a_circle_is_right_to_second_order():
    sizes = np.array([30, 43, 61, 87, 124, 177, 253])
    errors = [
        abs(curves.boundary_length(traced(circle(0.9), n, tolerance=1e-10)[1]) - 1.8 * np.pi)
        for n in sizes
    ]
    assert np.polyfit(np.log(sizes), np.log(errors), 1)[0] == pytest.approx(-2, abs=0.2)
    assert errors[-1] < 1e-3


def test_counting_cells_does_not_measure_length():
    """Negative control: the share of boundary cells does not converge to a slanted line's length."""
    for n in (50, 200):
        grid, crossed = traced(line(45, 0.01), n)
        expected = clipped_length(45, 0.01, BOX)
        cells = slices.boundary_mask(grid.labels, "one").sum() * grid.cell[0]
        assert curves.boundary_length(crossed) == pytest.approx(expected, rel=3 / n)
        assert cells < 0.8 * expected


def test_segments_meet_at_a_junction():
    """Three sectors of 120 degrees: three spokes of known length, up to the square of the junction."""
    angles = np.deg2rad([90, 210, 330])
    normals = torch.tensor(np.stack([np.cos(angles), np.sin(angles)]))

    def sectors(x):
        return x @ normals

    for n in (21, 84):
        _, crossed = traced(sectors, n, (-1.0, 1.0, -1.0, 1.0), tolerance=1e-10)
        # To the outermost centres: straight down, and to the left and right at 30 degrees.
        reach = 1 - 1 / n
        expected = reach + 2 * reach / np.cos(np.deg2rad(30))
        assert curves.boundary_length(crossed) == pytest.approx(expected, abs=2 / n)


def test_a_map_of_one_label_has_no_boundary():
    grid, crossed = traced(two_labels(lambda a, b: a * 0 + 1), 5)
    assert curves.boundary_length(crossed) == 0
    assert curves.boundary_segments(crossed).shape == (0, 2, 2)
    other, moved = traced(line(0), 5)
    assert curves.curve_distance(crossed, moved).shape == (0,)
    assert np.isinf(curves.curve_distance(moved, crossed)).all()
    assert curves.mean_displacement(grid, grid, 0.0) == 0
    assert curves.mean_displacement(grid, other, 0.0) == np.inf


@pytest.mark.parametrize("degrees", [0, 20, 40, 90, 120, 250])
def test_mean_displacement_of_a_shifted_line_is_its_shift_on_any_grid(degrees):
    shift, square = 0.2, (-1.0, 1.0, -1.0, 1.0)
    for n in (100, 400):
        a, crossed = traced(line(degrees, -shift / 2), n, square)
        b, _ = traced(line(degrees, shift / 2), n, square)
        length = curves.boundary_length(crossed)
        # The area runs to the edge of the plane, the length to the outermost centres.
        found = curves.mean_displacement(a, b, length)
        assert found == pytest.approx(shift, rel=4 / n)
        assert curves.mean_displacement(a, a, length) == 0


def test_mean_displacement_of_maps_on_other_planes_is_refused():
    (grid, _), (other, _) = (traced(line(0), 8, extent) for extent in (BOX, (-9.0, 9.0, -9.0, 9.0)))
    with pytest.raises(ValueError, match="planes have extents .*: allowed are equal ones"):
        curves.mean_displacement(grid, other, 1.0)


def test_mean_displacement_is_in_input_units_where_cells_are_not_square():
    for degrees, shift, length in ((0, 0.4, 0.8), (90, 0.1, 3.2)):
        maps = [traced(line(degrees, t), 10, (-2.0, 2.0, -0.5, 0.5))[0] for t in (0.0, shift)]
        # One column or row of ten changes: 4 x 1 / 10.
        assert curves.mean_displacement(*maps, length) == pytest.approx(0.4 / length)


@pytest.mark.parametrize("degrees", [0, 20, 45, 120])
def test_distance_between_parallel_lines_is_exact(degrees):
    _, first = traced(line(degrees, -0.1), 30, tolerance=1e-12)
    _, other = traced(line(degrees, 0.15), 30, tolerance=1e-12)
    found = curves.curve_distance(first, other)
    # Near the edge of the plane the foot of a perpendicular can be missing.
    assert np.median(found) == pytest.approx(0.25, rel=1e-9)
    assert found.min() > 0.25 * (1 - 1e-9)
    assert (curves.curve_distance(first, first) == 0).all()


def test_distance_between_circles_is_right_to_second_order():
    errors, sizes = [], np.array([30, 60, 120, 240])
    for n in sizes:
        (_, first), (_, other) = (traced(circle(r), n, tolerance=1e-10) for r in (0.8, 0.9))
        errors.append(np.abs(curves.curve_distance(first, other) - 0.1).max())
    assert np.polyfit(np.log(sizes), np.log(errors), 1)[0] < -1.7


def test_distance_equals_that_of_all_segments_by_a_loop():
    (_, first), (_, other) = traced(circle(0.8), 15), traced(circle(0.9, (0.0, 0.3)), 15)
    segments = curves.boundary_segments(other)
    for point, found in zip(
        curves.boundary_segments(first)[:, 0], curves.curve_distance(first, other), strict=True
    ):
        positions = np.linspace(0, 1, 201)[:, None]
        nearest = min(
            np.linalg.norm(start + positions * (end - start) - point, axis=1).min()
            for start, end in segments
        )
        assert found == pytest.approx(nearest, abs=2e-4)
        assert found <= nearest + 1e-12


def shifted_pair(scale):
    """A smooth network in 5 dimensions, and its copy with each logit shifted a little."""
    reference = models.mlp(5, 4, 12, "tanh", seed=1).double()
    candidate = copy.deepcopy(reference)
    with torch.no_grad():
        reference[1].weight *= 2
        candidate[1].weight *= 2
        candidate[3].bias += scale * torch.tensor([1.0, -0.5, 0.3, -0.8]).double()
    return reference, candidate


def test_the_predicted_displacement_is_right_to_second_order():
    axes, _ = torch.linalg.qr(
        torch.randn(5, 2, generator=torch.Generator().manual_seed(0)).double()
    )
    cut = slices.Plane(torch.zeros(5).double(), axes[:, 0], axes[:, 1], BOX)
    errors, scales = [], np.array([0.04, 0.01, 0.0025])
    for scale in scales:
        reference, candidate = shifted_pair(scale)
        grid, grid_q = (slices.label_map(m, cut, 600) for m in (reference, candidate))
        crossed, crossed_q = (
            curves.crossings(m, g, 1e-9) for m, g in ((reference, grid), (candidate, grid_q))
        )
        found = curves.curve_distance(crossed, crossed_q)
        predicted = curves.predicted_displacement(reference, candidate, grid, crossed)
        assert (
            len(predicted) == np.isfinite(crossed.across).sum() + np.isfinite(crossed.along).sum()
        )
        errors.append(abs(np.median(predicted) / np.median(found) - 1))
    assert errors[-1] < 0.01
    assert np.polyfit(np.log(scales), np.log(errors), 1)[0] > 0.6
    # Negative control: the gradient in all five dimensions predicts too little.
    x = cut.inputs(torch.zeros(1, 2).double())
    gap = local.pair_gap(reference, x)
    assert (gap.gradient @ axes).norm() < 0.9 * gap.gradient.norm()


def test_the_predicted_displacement_of_a_shifted_plane_is_its_shift():
    model = nn.Sequential(nn.Flatten(), nn.Linear(2, 2)).double()
    with torch.no_grad():
        model[1].weight[:] = torch.tensor([[3.0, 4.0], [0.0, 0.0]])
        model[1].bias.zero_()
    moved = copy.deepcopy(model)
    moved[1].bias.data[0] = 0.5
    grid, crossed = traced(model, 20)
    predicted = curves.predicted_displacement(model, moved, grid, crossed)
    np.testing.assert_allclose(predicted, 0.1, rtol=1e-12)
    flat = slices.LabelMap(np.zeros((20, 20), np.int16), grid.plane, "dense", 400)
    nothing = curves.crossings(model, flat)
    assert len(curves.predicted_displacement(model, moved, flat, nothing)) == 0


def test_the_boundary_is_traced_in_passes_no_larger_than_those_of_the_map():
    axes = torch.eye(2, 3 * 32 * 32).reshape(2, 3, 32, 32)
    cut, sizes = slices.Plane(torch.zeros(3, 32, 32), *axes, BOX), []

    def classifier(x):
        sizes.append(len(x))
        return line(30)(x.flatten(1))

    grid = slices.label_map(classifier, cut, 100)
    largest = max(sizes)
    sizes.clear()
    curves.crossings(classifier, grid)
    assert max(sizes) <= largest


def test_inputs_of_predicted_displacements_are_made_in_batches(monkeypatch):
    reference, candidate = shifted_pair(0.01)
    cut = slices.Plane(torch.zeros(5).double(), *torch.eye(2, 5).double(), BOX)
    grid = slices.label_map(reference, cut, 60)
    crossed, sizes = curves.crossings(reference, grid), []
    whole = curves.predicted_displacement(reference, candidate, grid, crossed)
    made = slices.Plane.inputs
    monkeypatch.setattr(slices.Plane, "inputs", lambda cut, c: sizes.append(len(c)) or made(cut, c))
    parts = curves.predicted_displacement(reference, candidate, grid, crossed, batch_size=20)
    assert max(sizes) <= 20 < len(whole)
    np.testing.assert_allclose(parts, whole, rtol=1e-9)


@pytest.mark.parametrize("tolerance", [0, 1, -1e-6, float("nan")])
def test_bad_tolerances_are_named(tolerance):
    grid, _ = traced(line(0), 5)
    with pytest.raises(ValueError, match=f"tolerance is {tolerance}: allowed is above 0 and below"):
        curves.crossings(line(0), grid, tolerance)


def test_boundaries_on_other_extents_are_refused():
    (_, a), (_, b) = traced(line(0), 5), traced(line(0), 5, (-1.0, 1.0, -1.0, 1.0))
    with pytest.raises(ValueError, match=r"planes have extents .*: allowed are equal ones"):
        curves.curve_distance(a, b)


def test_maps_of_other_sizes_are_refused():
    (a, _), (b, _) = traced(line(0), 5), traced(line(0), 6)
    with pytest.raises(ValueError, match=r"maps have shapes \(5, 5\), \(6, 6\): allowed are equal"):
        curves.mean_displacement(a, b, 1.0)
