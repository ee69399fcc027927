"""Planes, label maps, masks and their distance: closed forms, naive references, laws."""

import copy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage
from sklearn.decomposition import PCA
from torch.utils._python_dispatch import TorchDispatchMode

from baq import slices
from baq.zoo import data, models


def random_plane(extent, seed=0, d=5):
    generator = torch.Generator().manual_seed(seed)
    axes, _ = torch.linalg.qr(torch.randn(d, 2, generator=generator).double())
    origin = torch.randn(d, generator=generator).double()
    return slices.Plane(origin, axes[:, 0], axes[:, 1], extent)


def half_plane(plane, degrees, offset):
    """Classifier with label 0 where ``a cos + b sin > offset`` on a plane, else 1."""
    turn = torch.deg2rad(torch.tensor(float(degrees), dtype=torch.float64))

    def classifier(x):
        a, b = plane.project(x).T
        return torch.stack([a * turn.cos() + b * turn.sin() - offset, torch.zeros_like(a)], dim=1)

    return classifier


maps = arrays(np.int16, st.tuples(st.integers(2, 9), st.integers(2, 9)), elements=st.integers(0, 3))
pairs = st.tuples(st.integers(2, 9), st.integers(2, 9)).flatmap(
    lambda shape: st.tuples(*(arrays(np.int16, shape, elements=st.integers(0, 3)),) * 2)
)
masks = st.tuples(st.integers(2, 6), st.integers(2, 6)).flatmap(
    lambda shape: st.tuples(*(arrays(bool, shape),) * 2)
)


# Planes


@pytest.mark.parametrize("count", [20, 300])
def test_the_principal_plane_is_that_of_scikit_learn(count):
    x = data.load("digits", 0).x_train[:count].double()
    plane = slices.pca_plane(x, pad=0.0)
    pca = PCA(2, svd_solver="full").fit(x.flatten(1).numpy())
    np.testing.assert_allclose(plane.origin.flatten().numpy(), pca.mean_, atol=1e-12)
    for axis, expected in zip((plane.u, plane.v), pca.components_, strict=True):
        assert axis.shape == x.shape[1:]
        flat = axis.flatten().numpy()
        np.testing.assert_allclose(flat, np.sign(flat @ expected) * expected, atol=1e-12)
        assert flat[np.abs(flat).argmax()] > 0
    found = plane.project(x).numpy()
    np.testing.assert_allclose(
        np.abs(found), np.abs(pca.transform(x.flatten(1).numpy())), atol=1e-10
    )
    lows, highs = found.min(0), found.max(0)
    np.testing.assert_allclose(plane.extent, [lows[0], highs[0], lows[1], highs[1]], atol=1e-10)


class Counted(TorchDispatchMode):
    """Keeps the storages of some size that operations write to, each once."""

    def __init__(self, size):
        super().__init__()
        self.size, self.kept = size, {}

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        found = function(*args, **(kwargs or {}))
        if isinstance(found, torch.Tensor) and found.untyped_storage().nbytes() == self.size:
            self.kept[found.untyped_storage().data_ptr()] = found
        return found


def test_the_principal_plane_takes_one_copy_of_the_inputs_in_float64():
    x = torch.randn(1000, 20, generator=torch.Generator().manual_seed(0))
    with Counted(8 * x.numel()) as counted:
        slices.pca_plane(x)
    assert len(counted.kept) == 1
    doubled = x.double()
    slices.pca_plane(doubled)
    assert torch.equal(doubled, x.double())


def test_the_pad_widens_the_range_about_its_middle():
    x = torch.rand(30, 4).double()
    tight, wide = (slices.pca_plane(x, pad).extent for pad in (0.0, 0.5))
    for low, high, wide_low, wide_high in ((*tight[:2], *wide[:2]), (*tight[2:], *wide[2:])):
        assert wide_high - wide_low == pytest.approx(1.5 * (high - low))
        assert wide_high + wide_low == pytest.approx(high + low)


@settings(max_examples=50)
@given(seed=st.integers(0, 10**6), d=st.integers(2, 30), size=st.sampled_from([1e-3, 1.0, 1e3]))
def test_a_plane_through_three_points_holds_them(seed, d, size):
    x = size * torch.randn(3, d, generator=torch.Generator().manual_seed(seed)).double()
    plane = slices.plane_through(x)
    c = plane.project(x)
    torch.testing.assert_close(plane.inputs(c), x, rtol=1e-9, atol=1e-9 * size)
    assert torch.equal(plane.origin, x[0]) and torch.equal(c[0], torch.zeros(2).double())
    assert c[1, 0] > 0 and abs(c[1, 1]) < 1e-12 * size
    a_min, a_max, b_min, b_max = plane.extent
    assert (a_min < c[:, 0]).all() and (c[:, 0] < a_max).all()
    assert (b_min < c[:, 1]).all() and (c[:, 1] < b_max).all()


def test_projection_is_orthogonal_and_undoes_inputs():
    plane = random_plane((-1.0, 1.0, -1.0, 1.0))
    c = torch.rand(9, 2).double()
    torch.testing.assert_close(plane.project(plane.inputs(c)), c)
    x = torch.rand(9, 5).double()
    off = x - plane.inputs(plane.project(x))
    torch.testing.assert_close(off @ torch.stack([plane.u, plane.v]).T, torch.zeros(9, 2).double())


def test_centres_are_the_middles_of_the_cells():
    plane = random_plane((-1.0, 2.0, 10.0, 12.0))
    assert plane.cell(4) == (0.75, 0.5)
    centres = plane.centres(4)
    assert centres.shape == (4, 4, 2)
    assert centres[0, :, 0].tolist() == [-0.625, 0.125, 0.875, 1.625]
    assert centres[:, 0, 1].tolist() == [10.25, 10.75, 11.25, 11.75]


# Label maps


def test_rows_follow_b_and_columns_follow_a():
    plane = random_plane((-1.0, 1.0, -1.0, 1.0))
    right = slices.label_map(half_plane(plane, 0, 0.0), plane, 4)
    upper = slices.label_map(half_plane(plane, 90, 0.0), plane, 4)
    assert right.labels.tolist() == [[1, 1, 0, 0]] * 4
    assert upper.labels.tolist() == [[1] * 4] * 2 + [[0] * 4] * 2
    assert (right.n, right.cell, right.labels.dtype) == (4, (0.5, 0.5), np.int32)


@pytest.mark.parametrize("batch_size", [1, 7, 49, 1000])
def test_a_function_of_numpy_arrays_has_a_label_map_in_any_batches(batch_size):
    plane = random_plane((-3.0, 3.0, -3.0, 3.0))
    weight = np.random.default_rng(0).normal(size=(5, 4))
    found = slices.label_map(lambda x: np.tanh(x.numpy()) @ weight, plane, 7, batch_size=batch_size)
    x = plane.inputs(plane.centres(7).reshape(-1, 2)).numpy()
    expected = (np.tanh(x) @ weight).argmax(1).reshape(7, 7)
    np.testing.assert_array_equal(found.labels, expected)
    assert len(np.unique(expected)) > 1


# Boundary masks and their distance


@settings(max_examples=100)
@given(maps)
def test_masks_equal_loops_and_filters(labels):
    one, two = (np.zeros(labels.shape, dtype=bool) for _ in range(2))
    rows, columns = labels.shape
    for i in range(rows):
        for j in range(columns):
            around = {(i + 1, j), (i, j + 1), (i - 1, j), (i, j - 1)}
            for k, m in around:
                if 0 <= k < rows and 0 <= m < columns and labels[k, m] != labels[i, j]:
                    two[i, j] = True
                    one[i, j] |= k > i or m > j
    np.testing.assert_array_equal(slices.boundary_mask(labels), two)
    np.testing.assert_array_equal(slices.boundary_mask(labels, "one"), one)
    cross = ndimage.generate_binary_structure(2, 1)
    highest = ndimage.maximum_filter(labels, footprint=cross, mode="nearest")
    lowest = ndimage.minimum_filter(labels, footprint=cross, mode="nearest")
    np.testing.assert_array_equal(two, highest != lowest)


@settings(max_examples=100)
@given(maps, st.permutations(range(4)))
def test_the_names_of_the_labels_do_not_matter(labels, names):
    renamed = np.array(names, dtype=np.int16)[labels]
    for sides in ("one", "two"):
        np.testing.assert_array_equal(
            slices.boundary_mask(labels, sides), slices.boundary_mask(renamed, sides)
        )


@settings(max_examples=100)
@given(maps)
def test_a_two_sided_mask_turns_and_mirrors_with_its_map(labels):
    mask = slices.boundary_mask(labels)
    for move in (np.rot90, np.flipud, np.fliplr, np.transpose):
        np.testing.assert_array_equal(slices.boundary_mask(move(labels)), move(mask))
    assert (slices.boundary_mask(labels, "one") <= mask).all()


@settings(max_examples=100)
@given(masks)
def test_jaccard_distance_equals_that_of_sets_and_is_a_distance(pair):
    a, b = pair
    cells_a, cells_b = ({tuple(c) for c in np.argwhere(m)} for m in (a, b))
    union = len(cells_a | cells_b)
    expected = 1 - len(cells_a & cells_b) / union if union else 0.0
    found = slices.jaccard_distance(a, b)
    assert found == pytest.approx(expected)
    assert found == slices.jaccard_distance(b, a)
    assert 0 <= found <= 1
    assert (found == 0) == np.array_equal(a, b)
    assert slices.jaccard_distance(a, a) == 0


@settings(max_examples=100)
@given(st.integers(2, 5).flatmap(lambda n: st.tuples(*(arrays(bool, (n, n)),) * 3)))
def test_jaccard_distance_obeys_the_triangle_inequality(three):
    a, b, c = three
    direct = slices.jaccard_distance(a, c)
    assert direct <= slices.jaccard_distance(a, b) + slices.jaccard_distance(b, c) + 1e-12


@settings(max_examples=100)
@given(pairs)
def test_grid_change_is_the_share_of_cells(pair):
    a, b = pair
    cells = zip(a.ravel().tolist(), b.ravel().tolist(), strict=True)
    assert slices.grid_change(a, b) == pytest.approx(sum(p != q for p, q in cells) / a.size)
    assert slices.grid_change(a, b) == slices.grid_change(b, a)
    assert slices.grid_change(a, a) == 0


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
@pytest.mark.parametrize("shift", [0, 1, 2, 3, 5])
def test_half_planes_shifted_by_whole_cells_follow_the_law(degrees, shift):
    plane = random_plane((-10.0, 10.0, -10.0, 10.0), seed=degrees)
    reference = slices.label_map(half_plane(plane, degrees, -2.0), plane, 20)
    candidate = slices.label_map(half_plane(plane, degrees, -2.0 + shift), plane, 20)
    found = slices.jaccard_distance(
        *(slices.boundary_mask(m.labels) for m in (reference, candidate))
    )
    s = min(shift, 2)
    assert found == pytest.approx(2 * s / (2 + s), abs=1e-15)
    assert found == pytest.approx(slices.jaccard_law(float(shift), 1.0), abs=1e-15)
    assert slices.grid_change(reference.labels, candidate.labels) == pytest.approx(shift / 20)
    one_sided = (slices.boundary_mask(m.labels, "one") for m in (reference, candidate))
    assert slices.jaccard_distance(*one_sided) == (1 if shift else 0)


def test_a_finer_grid_moves_the_jaccard_distance_of_the_same_shift_to_one():
    plane = random_plane((-10.0, 10.0, -10.0, 10.0))
    found = []
    # The shift is a quarter of a cell, with no centre in it, then 1, 2 and 4 cells.
    for n in (10, 40, 80, 160):
        a, b = (
            slices.boundary_mask(slices.label_map(half_plane(plane, 0, t), plane, n).labels)
            for t in (0.0, 0.5)
        )
        found.append(slices.jaccard_distance(a, b))
    assert found == pytest.approx([0, 2 / 3, 1, 1])


def test_the_law_of_many_displacements_is_that_of_their_capped_mean():
    d = np.array([0.0, 0.5, -1.0, 3.0, -7.0])
    m = (0 + 0.5 + 1 + 2 + 2) / 5
    assert slices.jaccard_law(d, 1.0) == pytest.approx(2 * m / (2 + m))
    assert slices.jaccard_law(2 * d, 2.0) == pytest.approx(2 * m / (2 + m))
    assert slices.jaccard_law(np.zeros(3), 1.0) == 0
    assert slices.jaccard_law(np.full(3, 9.0), 1.0) == 1


# Bad input


def points(*rows):
    return torch.tensor(rows, dtype=torch.float64)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (points([0, 0], [1, 1], [2, 2]), "the three points lie on a line: allowed are points that"),
        (points([0, 0], [0, 0], [1, 2]), "the three points lie on a line"),
        (points([0, 0], [1, 2], [0, 0]), "the three points lie on a line"),
        (points([0, 0], [1, 2]), "2 points: allowed are 3"),
        (points([0, 0], [1, 2], [torch.nan, 0]), "inputs hold 1 values that are not finite"),
    ],
)
def test_points_without_a_plane_through_them_are_named(x, message):
    with pytest.raises(ValueError, match=message):
        slices.plane_through(x)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (points(*([k, 2 * k, -k] for k in range(9))), "9 points span a line at most: allowed are"),
        (torch.ones(4, 3), "4 points span a line at most"),
        (torch.rand(2, 3), "2 points span a line at most"),
        (torch.rand(1, 3), "1 points span a line at most"),
        (torch.rand(9, 1), "9 points span a line at most"),
        (torch.empty(0, 3), r"inputs have shape \(0, 3\): allowed"),
        (torch.full((4, 3), torch.nan), "inputs hold 12 values that are not finite"),
    ],
)
def test_points_without_a_principal_plane_are_named(x, message):
    with pytest.raises(ValueError, match=message):
        slices.pca_plane(x)


@pytest.mark.parametrize("pad", [-0.1, float("nan")])
def test_bad_pads_are_named(pad):
    with pytest.raises(ValueError, match=f"pad is {pad}: allowed is 0 or more"):
        slices.pca_plane(torch.rand(9, 3), pad)


@pytest.mark.parametrize(
    ("u", "v"),
    [
        ([1, 0, 0], [1, 0, 0]),
        ([1, 0, 0], [0, 2, 0]),
        ([1, 0, 0], [0.01, 1, 0]),
        ([0, 0, 0], [0, 1, 0]),
        ([torch.nan, 0, 0], [0, 1, 0]),
    ],
)
def test_axes_that_are_not_orthonormal_are_named(u, v):
    with pytest.raises(ValueError, match="axes are off orthonormal by .*: allowed is below 1e-4"):
        slices.Plane(torch.zeros(3), torch.tensor(u).float(), torch.tensor(v).float(), (0, 1, 0, 1))


def test_axes_of_another_shape_than_the_origin_are_named():
    eye = torch.eye(3)
    with pytest.raises(ValueError, match=r"origin, u, v have shapes \[\(2,\), \(3,\), \(3,\)\]"):
        slices.Plane(torch.zeros(2), eye[0], eye[1], (0, 1, 0, 1))


@pytest.mark.parametrize(
    "extent",
    [
        (1, 0, 0, 1),
        (0, 1, 2, 2),
        (0, float("inf"), 0, 1),
        (0, 1, float("nan"), 1),
        (-1e308, 1e308, 0, 1),
    ],
)
def test_bad_extents_are_named(extent):
    eye = torch.eye(2)
    with pytest.raises(ValueError, match=r"extent is \(.*\): allowed are finite, increasing"):
        slices.Plane(torch.zeros(2), eye[0], eye[1], extent)


@pytest.mark.parametrize("n", [1, 0, -3, 2.5])
def test_bad_grids_are_named(n):
    plane = random_plane((0.0, 1.0, 0.0, 1.0))
    for classifier in (half_plane(plane, 0, 0.5), models.mlp(5, 2)):
        with pytest.raises(ValueError, match=f"n is {n}: allowed is 2 or more whole cells a side"):
            slices.label_map(classifier, plane, n)


def test_other_bad_options_of_a_label_map_are_named():
    plane = random_plane((0.0, 1.0, 0.0, 1.0))
    classifier = half_plane(plane, 0, 0.5)
    with pytest.raises(ValueError, match="batch_size is 0: allowed is 1 or more"):
        slices.label_map(classifier, plane, 4, batch_size=0)
    with pytest.raises(
        ValueError, match="way is 'fast': allowed are auto, dense, certified, adaptive"
    ):
        slices.label_map(classifier, plane, 4, way="fast")
    with pytest.raises(ValueError, match=r"logits have shape \(16, 5, 1\): allowed is"):
        slices.label_map(lambda x: x[..., None], plane, 4)
    model = models.mlp(5, 2)
    model[3].bias.data[0] = torch.nan
    for way in ("dense", "certified"):
        with pytest.raises(ValueError, match="not finite"):
            slices.label_map(model, plane, 4, way=way)


def test_bad_masks_and_maps_are_named():
    a, b = np.zeros((3, 3), dtype=bool), np.zeros((4, 4), dtype=bool)
    for measure in (slices.jaccard_distance, slices.grid_change):
        with pytest.raises(ValueError, match=r"maps have shapes \(3, 3\), \(4, 4\): allowed are"):
            measure(a, b)
    for small in (np.zeros((1, 1)), np.zeros((1, 5)), np.zeros(4), np.zeros((0, 0))):
        with pytest.raises(ValueError, match="allowed are equal ones with 2 or more cells a side"):
            slices.boundary_mask(small)
    with pytest.raises(ValueError, match="sides is 'both': allowed are one, two"):
        slices.boundary_mask(a, "both")


def test_planes_and_maps_equal_themselves_alone():
    plane = random_plane((-1.0, 1.0, -1.0, 1.0))
    grid = slices.LabelMap(np.zeros((4, 4), dtype=int), plane, "dense", 16)
    for one in (plane, grid):
        assert one == one and one != copy.deepcopy(one)


def test_masks_of_maps_in_bfloat16_are_those_of_whole_numbers():
    labels = torch.tensor([[0, 1, 1], [2, 2, 0]])
    assert (slices.boundary_mask(labels.bfloat16()) == slices.boundary_mask(labels)).all()


def test_masks_and_maps_that_track_gradients_are_read():
    a, b = torch.tensor([[1.0, 1, 0], [1, 1, 0]]), torch.tensor([[0.0, 1, 1], [0, 1, 1]])
    tracked = a.clone().requires_grad_()
    assert slices.jaccard_distance(tracked, b) == slices.jaccard_distance(a, b) == 1 - 2 / 6
    assert slices.jaccard_distance(b, tracked) == 1 - 2 / 6
    assert slices.grid_change(tracked, b) == 4 / 6
    assert (slices.boundary_mask(tracked) == slices.boundary_mask(a)).all()
    assert tracked.requires_grad


@pytest.mark.parametrize("shift", [0.0, 0.2, 1.0, 2.0])
def test_the_shift_inverts_the_law_up_to_two_cells(shift):
    assert slices.jaccard_shift(slices.jaccard_law(shift * 0.3, 0.3)) == pytest.approx(shift)
    assert slices.jaccard_shift(slices.jaccard_law(3.0, 1.0)) == 2, "more cannot be told apart"
