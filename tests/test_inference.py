"""Any callable is evaluated alike in any batches, and bad inputs and outputs are named."""

import copy
import functools

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from baq import compare
from baq.inference import (
    batch_sizes,
    check_inputs,
    check_labels,
    default_device,
    labels,
    logits,
    place,
    top_pair,
)
from baq.zoo import models


def points(n=9, d=4):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(0)).double()


@pytest.mark.parametrize("batch_size", [1, 2, 4, 9, 100])
def test_the_batch_size_does_not_matter(batch_size):
    model, x = models.mlp(4, 3, 5).double(), points()
    torch.testing.assert_close(logits(model, x, batch_size), model(x), rtol=1e-14, atol=1e-14)
    assert not logits(model, x, batch_size).requires_grad


def test_a_function_of_numpy_arrays_is_a_classifier():
    weight = np.random.default_rng(0).normal(size=(4, 3))
    z = logits(lambda x: np.asarray(x) @ weight, points(), 2)
    assert isinstance(z, torch.Tensor) and z.dtype == torch.float64
    np.testing.assert_allclose(z.numpy(), points().numpy() @ weight, rtol=1e-14)


def test_a_module_gets_inputs_at_its_own_dtype_and_a_function_as_they_are():
    seen = []

    def record(x):
        seen.append(x.dtype)
        return x[:, :2]

    assert logits(models.mlp(4, 3), points()).dtype == torch.float32
    logits(record, points().float())
    logits(record, points())
    assert seen == [torch.float32, torch.float64]


def test_ties_go_to_the_lowest_index():
    z = torch.tensor([[1.0, 3, 3, 3], [2, 2, 2, 2], [0, 1, 0, 1], [5, 0, 1, 1]])
    assert labels(z).tolist() == [1, 0, 1, 0]
    first, second = top_pair(z)
    assert first.tolist() == [1, 0, 1, 0]
    assert second.tolist() == [2, 1, 3, 2]


@settings(max_examples=50)
@given(st.lists(st.lists(st.integers(-3, 3), min_size=4, max_size=4), min_size=1, max_size=8))
def test_the_top_pair_is_the_stable_order(rows):
    z = torch.tensor(rows).double()
    order = [sorted(range(4), key=lambda k, row=row: (-row[k], k)) for row in rows]
    first, second = top_pair(z)
    assert first.tolist() == [o[0] for o in order]
    assert second.tolist() == [o[1] for o in order]


def test_a_copy_at_another_dtype_leaves_the_original_alone():
    model = models.mlp(4, 3)
    copy = place(model, torch.float64, "cpu")
    assert model[1].weight.dtype == torch.float32 and copy[1].weight.dtype == torch.float64
    assert torch.equal(copy[1].weight.float(), model[1].weight)
    copy[1].weight.data.zero_()
    assert model[1].weight.abs().max() > 0


def test_what_is_in_place_is_not_copied():
    model = models.mlp(4, 3).eval()
    assert place(model) is model
    assert place(model, torch.float32, "cpu") is model
    assert place(points) is points


def test_a_module_in_training_mode_is_measured_as_a_copy_in_evaluation_mode():
    model = nn.Sequential(nn.Dropout(), nn.Linear(4, 3)).train()
    copy = place(model)
    assert model.training and not any(module.training for module in copy.modules())


@pytest.mark.parametrize(
    ("layer", "name"),
    [
        (nn.Dropout(), "Dropout"),
        (nn.Dropout1d(), "Dropout1d"),
        (nn.AlphaDropout(), "AlphaDropout"),
        (nn.BatchNorm1d(4), "BatchNorm1d"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_training_mode_that_changes_the_output_is_refused(layer, name):
    model = nn.Sequential(nn.Linear(4, 4), layer, nn.Linear(4, 3)).double().train()
    with pytest.raises(ValueError, match=r"module '1' is in training mode: call .eval\(\) first"):
        logits(model, points())
    state = {key: value.clone() for key, value in model.state_dict().items()}
    logits(model.eval(), points())
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())


def test_training_mode_that_changes_nothing_is_allowed():
    model = models.mlp(4, 3).double().train()
    assert torch.equal(logits(model, points()), model(points()))


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (torch.empty(0, 4), r"inputs have shape \(0, 4\): allowed is \(N, ...\) with N >= 1"),
        (torch.zeros(4), r"inputs have shape \(4,\): allowed"),
        (torch.tensor(1.0), r"inputs have shape \(\): allowed"),
        (torch.full((3, 4), torch.nan), "inputs hold 12 values that are not finite: allowed"),
        (torch.tensor([[0, torch.inf, 1, -torch.inf]]), "inputs hold 2 values"),
    ],
)
def test_bad_inputs_are_named(x, message):
    for classifier in (models.mlp(4, 3), lambda x: x):
        with pytest.raises(ValueError, match=message):
            logits(classifier, x)
        with pytest.raises(ValueError, match=message):
            check_inputs(classifier, x)


def test_large_finite_values_are_not_taken_for_infinite_ones():
    """Their sum overflows, which must not be mistaken for a value that is not finite."""
    x = torch.full((3, 4), 3e38)
    assert torch.equal(logits(lambda x: x, x), x)


@pytest.mark.parametrize(
    ("classifier", "message"),
    [
        (lambda x: x[:, 0], r"logits have shape \(9,\): allowed is \(9, K\) with K >= 2"),
        (lambda x: x[:, :1], r"logits have shape \(9, 1\): allowed"),
        (lambda x: x[:4], r"logits have shape \(4, 4\): allowed is \(9, K\)"),
        (lambda x: x[:, None], r"logits have shape \(9, 1, 4\): allowed"),
        (lambda x: x / 0, "logits hold 36 values that are not finite: check the weights"),
        (lambda x: np.log(-np.abs(x.numpy()) * 0 - 1), "logits hold 36 values that are not finite"),
    ],
)
@pytest.mark.filterwarnings("ignore:invalid value encountered in log:RuntimeWarning")
def test_bad_logits_are_named(classifier, message):
    with pytest.raises(ValueError, match=message):
        logits(classifier, points())


def test_weights_that_are_not_finite_are_found_in_the_logits():
    model = models.mlp(4, 3)
    model[1].weight.data[0, 0] = torch.nan
    with pytest.raises(ValueError, match="logits hold 27 values that are not finite"):
        logits(model, points())


@pytest.mark.parametrize("batch_size", [0, -1])
def test_bad_batch_sizes_are_named(batch_size):
    with pytest.raises(ValueError, match=f"batch_size is {batch_size}: allowed is 1 or more"):
        logits(models.mlp(4, 3), points(), batch_size)


def test_the_default_device_is_cuda_where_present():
    assert default_device().type == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
def test_logits_on_cuda_equal_those_on_the_cpu():
    model = models.mlp(4, 3)
    z = logits(place(model, torch.float64, "cuda"), points())
    assert z.device.type == "cuda" and model[1].weight.device.type == "cpu"
    torch.testing.assert_close(z.cpu(), logits(place(model, torch.float64), points()))


def test_inputs_that_a_classifier_cannot_take_are_named():
    with pytest.raises(ValueError, match=r"fails on inputs of shape \(9, 4\): .*multiplied"):
        logits(models.mlp(5, 3).double(), points())


def test_a_batch_that_does_not_fit_in_memory_says_what_to_lower():
    with pytest.raises(MemoryError, match="a batch of 4 inputs does not fit .* lower batch_size"):
        logits(lambda x: torch.ones(len(x), 2**50), points(), batch_size=4)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda model: model.forward,
        functools.partial,
        lambda model: functools.partial(model.forward),
        lambda model: torch.no_grad()(model.forward),
        lambda model: functools.partial(functools.partial(model.__call__)),
    ],
)
def test_the_module_behind_a_function_is_found(wrap):
    model = nn.Sequential(nn.Dropout(), nn.Linear(4, 3)).train()
    with pytest.raises(ValueError, match=r"module '0' is in training mode: call .eval\(\) first"):
        logits(wrap(model), points())
    assert torch.equal(logits(wrap(model.eval()), points()), logits(model, points()))


class InPlace(nn.Linear):
    """A layer that scales its inputs where they lie."""

    def forward(self, x):
        return super().forward(x.sub_(0.5).div_(0.25))


@pytest.mark.parametrize("as_numpy", [False, True])
def test_inputs_are_never_written_to(as_numpy):
    x = points().float()
    given = x.numpy().copy() if as_numpy else x.clone()
    model = InPlace(4, 3).eval()
    rows = compare(model, copy.deepcopy(model), given)
    assert rows["flip_rate"][0] == 0 == rows["shift"][0] and "reason" not in rows
    logits(nn.Sequential(nn.ReLU(inplace=True), nn.Linear(4, 3)), given)
    batch_sizes(nn.ReLU(inplace=True), given if not as_numpy else torch.from_numpy(given))
    assert np.array_equal(given, x)


def test_arrays_of_any_layout_are_inputs_and_labels():
    x = points().float()
    model, a = nn.Linear(4, 3), x.numpy()
    same = a[:, ::-1].copy()[:, ::-1], a[::-1].copy()[::-1], a.astype(">f4"), pd.DataFrame(a)
    for array in same:
        torch.testing.assert_close(logits(model, array), model(x).detach())
    torch.testing.assert_close(logits(model, a[:, ::-1]), model(x.flip(1)).detach())
    backwards = logits(lambda x: model(x).detach().numpy()[:, ::-1], x)
    torch.testing.assert_close(backwards, model(x).detach().flip(1))
    y = pd.Series([2, 0, 1], index=[1, 2, 0])
    assert check_labels(y, 3).tolist() == [2, 0, 1]
    assert check_labels(np.array([2, 0, 1], np.uint64), 3, 3).tolist() == [2, 0, 1]


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.array([["a"]]), "inputs are <U1: allowed are numbers"),
        (np.array([[None]]), "inputs are object: allowed are numbers"),
        (np.array([[1j]]), "inputs are torch.complex128: allowed are real numbers"),
    ],
)
def test_what_is_no_number_is_named_by_its_dtype(x, message):
    with pytest.raises(ValueError, match=message):
        logits(nn.Linear(1, 2), x)
