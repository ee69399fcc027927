"""What callers plainly mean is taken, and what cannot be is refused in one line that names it."""

import numpy as np
import pytest
import torch
from torch import nn

from baq import compare, local, ptq_w
from baq.band import boundary_band
from baq.inference import logits, place
from baq.slices import (
    boundary_mask,
    grid_change,
    jaccard_distance,
    junction_cells,
    label_map,
    pca_plane,
)
from baq.slices.adaptive import adaptive_labels
from baq.zoo import models
from baq.zoo.training import Recipe, fit, fit_images

X = torch.rand(30, 4, generator=torch.Generator().manual_seed(0))
Y = torch.arange(30) % 3
MODEL = models.mlp(4, 3, 8, "tanh")
DEEP = nn.Sequential(MODEL, nn.Tanh()).eval()


def refused(call, message):
    with pytest.raises(ValueError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("model", [MODEL, DEEP], ids=["closed form", "gradients"])
def test_gradients_are_taken_whatever_mode_the_caller_is_in(mode, model):
    expected = compare(model, ptq_w(model, 4), X, Y)
    with mode():
        found = compare(model, ptq_w(model, 4), X.clone(), Y.clone())
        assert torch.equal(local.radii(model, X.clone())[0], local.radii(model, X)[0])
    assert found.equals(expected)
    assert np.isfinite(found["shift"].item())


@pytest.mark.parametrize(
    "kind", [lambda x: x.numpy(), lambda x: x.tolist()], ids=["numpy", "lists"]
)
def test_arrays_and_lists_are_inputs_and_labels(kind):
    planes = pca_plane(X)
    expected = compare(MODEL, ptq_w(MODEL, 4), X, Y, planes=planes, n=9)
    found = compare(MODEL, ptq_w(MODEL, 4), kind(X), kind(Y), planes=planes, n=9)
    assert found.equals(expected)
    for measure in (local.pair_gap, local.radii, logits):
        measure(MODEL, kind(X))
    assert torch.equal(pca_plane(kind(X)).u, planes.u)


class Cut(nn.Module):
    def forward(self, x):
        return x.detach() * 2


class Constant(nn.Module):
    def __init__(self):
        super().__init__()
        self.z = nn.Parameter(torch.rand(3))

    def forward(self, x):
        return self.z.expand(len(x), 3)


@pytest.mark.parametrize("model", [Cut(), Constant()])
@pytest.mark.parametrize("measure", [local.pair_gap, local.radii])
def test_a_network_without_gradient_is_named(model, measure):
    refused(lambda: measure(model, X), "logits have no gradient: allowed is a differentiable one")


@pytest.mark.parametrize("bad", [True, "8", 2.5, 0, -1])
def test_bad_batch_sizes_are_named(bad):
    refused(
        lambda: logits(MODEL, X, bad),
        f"batch_size is {bad!r}: allowed is 1 or more, a whole number",
    )
    refused(lambda: compare(MODEL, MODEL, X, batch_size=bad), f"batch_size is {bad!r}")


@pytest.mark.parametrize("bad", ["0.2", None, 0, 1.5])
def test_bad_shares_are_named(bad):
    refused(lambda: boundary_band(torch.rand(5), bad), f"share is {bad!r}: allowed is above 0")


def test_places_that_are_not_there_are_named():
    refused(lambda: place(MODEL, device="cuda:63"), "device is 'cuda:63', which is not here")
    refused(lambda: place(MODEL, device="nowhere"), "device is 'nowhere', which is not here")
    refused(lambda: place(MODEL, torch.int64), "dtype is torch.int64: allowed are floating ones")
    hollow = models.mlp(4, 3).to("meta")
    for measure in (logits, local.radii):
        refused(lambda measure=measure: measure(hollow, X), "the model lies on 'meta'")
    refused(lambda: compare(hollow, hollow, X), "the model lies on 'meta'")


@pytest.mark.parametrize("x", [[[1.0], [1.0, 2.0]], "text", [["a", "b"]], None])
def test_inputs_that_are_no_array_are_named(x):
    refused(lambda: logits(MODEL, x), "inputs are a .* that is no array")


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (Y + 1, "labels hold 3: allowed are whole numbers, 0 to 2"),
        (Y - 1, "labels hold -1: allowed are whole numbers, 0 or more"),
        (torch.full((30,), torch.nan), "labels hold nan: allowed are whole numbers"),
        (Y + 0.5, "labels hold 0.5: allowed are whole numbers"),
        (Y[:5], r"labels have shape \(5,\): allowed is \(30,\)"),
    ],
)
def test_labels_that_are_no_classes_are_named(y, message):
    refused(lambda: compare(MODEL, MODEL, X, y), message)


def test_training_on_what_cannot_be_trained_is_named():
    x = torch.rand(6, 1, 4, 4)
    for train in (
        lambda model, y: fit(model, x, y, epochs=1),
        lambda model, y: fit_images(model, x, y, Recipe(epochs=1, crop=0)),
    ):
        refused(
            lambda t=train: t(models.mlp(16, 3), torch.arange(6)),
            "labels go up to 5: allowed are 0 to 2",
        )
        refused(lambda t=train: t(models.mlp(16, 3), torch.arange(6) - 1), "labels hold -1")
        frozen = models.mlp(16, 3).requires_grad_(False)
        refused(
            lambda t=train, m=frozen: t(m, torch.arange(6) % 3), "no weight of the model requires"
        )


def test_classes_that_are_not_there_are_named():
    pair = torch.zeros(30).long(), torch.full((30,), 3)
    refused(lambda: local.pair_gap(MODEL, X, pair), "pair holds classes 0 to 3: allowed are 0 to 2")


@pytest.mark.parametrize("stride", [0, -1, 3, 6, 2.5, True, "8"])
def test_strides_that_halve_unevenly_are_named(stride):
    refused(
        lambda: adaptive_labels(lambda r, c: r * 0, 9, stride), f"stride is {stride!r}: allowed is"
    )


def test_maps_and_masks_come_in_any_array():
    grid = label_map(MODEL, pca_plane(X, pad=3), 15)
    mask = boundary_mask(grid.labels)
    assert mask.any()
    for kind in (
        grid,
        grid.labels.tolist(),
        torch.from_numpy(grid.labels),
        grid.labels.astype(float),
    ):
        assert (boundary_mask(kind) == mask).all()
        assert grid_change(kind, grid.labels) == 0
        assert (junction_cells(kind) == junction_cells(grid.labels)).all()
    moved = np.roll(mask, 1, axis=0)
    expected = jaccard_distance(mask, moved)
    assert 0 < expected < 1
    for kind in (mask.tolist(), torch.from_numpy(mask), mask.astype(int), mask.astype(float)):
        assert jaccard_distance(kind, moved) == expected
    refused(
        lambda: jaccard_distance(2 * mask, mask), "the mask holds 0 to 2: allowed are bool, 0 and 1"
    )
    refused(lambda: jaccard_distance(grid, mask), "the mask is a LabelMap")
    refused(lambda: boundary_mask([[0, 1], [0]]), "the map is a list that is no array")
    refused(lambda: boundary_mask(grid.labels + 0.5), "the map holds float64 values")


@pytest.mark.parametrize("way", ["dense", "adaptive", "certified"])
def test_more_classes_than_small_integers_have_their_own_labels(way):
    classes = 70_000
    model = models.mlp(2, classes, 1, "relu")
    for layer in (model[1], model[3]):
        layer.weight.data.zero_(), layer.bias.data.zero_()
    model[1].weight.data[0, 0] = 1
    model[3].weight.data[65_536 + 7] = 1
    model[3].bias.data[40_000] = 0.5
    plane = pca_plane(torch.tensor([[0.0, 0.0], [2.0, 0.0], [0.0, 0.5], [2.0, 0.5]]))
    assert set(np.unique(label_map(model, plane, 8, way).labels)) == {40_000, 65_543}


@pytest.mark.parametrize("kind", ["seed", "audit", "n"])
@pytest.mark.parametrize("bad", [True, 2.5, "9", -1, None])
def test_numbers_of_a_refinement_are_whole(kind, bad):
    arguments = {"n": 9} | {kind: bad}
    refused(lambda: adaptive_labels(lambda r, c: r * 0, **arguments), f"{kind} is {bad!r}: allowed")


@pytest.mark.parametrize("bad", [True, 2.5, "9", 1, None])
def test_a_grid_has_a_whole_number_of_cells(bad):
    for way in ("auto", "dense", "adaptive"):
        refused(lambda way=way: label_map(MODEL, pca_plane(X), bad, way), f"n is {bad!r}: allowed")


@pytest.mark.parametrize("bad", ["0.1", True, float("nan"), float("inf"), -1])
def test_bad_paddings_are_named(bad):
    refused(lambda: pca_plane(X, pad=bad), f"pad is {bad!r}: allowed is 0 or more")


def test_a_number_is_the_pair_of_all_points():
    each = torch.zeros(30).long(), torch.full((30,), 2)
    expected = local.pair_gap(MODEL, X, each)
    for pair in ((0, 2), (0.0, 2.0), [0, 2], (0, each[1]), (each[0].tolist(), each[1].numpy())):
        found = local.pair_gap(MODEL, X, pair)
        assert torch.equal(found.gap, expected.gap)
        assert torch.equal(found.gradient, expected.gradient)


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        ((0, 3), "pair holds classes 0 to 3: allowed are 0 to 2"),
        ((-1, 1), "labels hold -1: allowed are whole numbers"),
        ((0.5, 1), "labels hold 0.5: allowed are whole numbers"),
        ((0, 1, 2), "pair is a tuple: allowed are two classes"),
        (1, "pair is a int: allowed are two classes"),
        ("01", "classes of the pair are a str that is no array"),
        ((0, [1, 2]), r"pair has shapes \(30,\) and \(2,\): allowed is \(30,\) for both"),
    ],
)
def test_what_is_no_pair_is_named(pair, message):
    refused(lambda: local.pair_gap(MODEL, X, pair), message)


def test_dtypes_have_names():
    assert place(MODEL, "float64")[1].weight.dtype == torch.float64
    assert compare(MODEL, MODEL, X, dtype="float64").equals(
        compare(MODEL, MODEL, X, dtype=torch.float64)
    )
    for bad in ("int64", "float33", "cuda", 32, np.float32):
        refused(lambda bad=bad: place(MODEL, bad), "dtype is .*: allowed are floating ones")


@pytest.mark.parametrize("bad", [5, 1.5, object()])
def test_what_is_no_device_is_named(bad):
    refused(lambda: place(MODEL, device=bad), "device is .*, which is not here")


def test_inputs_without_values_are_named():
    refused(lambda: logits(MODEL, X.to("meta")), "inputs lie on 'meta', without values")
    refused(lambda: compare(MODEL, MODEL, X, Y.to("meta")), "labels lie on 'meta'")


def test_networks_made_in_inference_mode_are_measured_like_others():
    with torch.inference_mode():
        model = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3), nn.Tanh()).eval()
    plain = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3), nn.Tanh()).eval()
    plain.load_state_dict(model.state_dict())
    found = compare(model, ptq_w(model, 4), X, planes=pca_plane(X), n=9)
    assert found.equals(compare(plain, ptq_w(plain, 4), X, planes=pca_plane(X), n=9))
    assert np.isfinite(found["shift"].item())
