"""The digits come whole, scaled and stratified, in splits that a seed decides."""

import itertools

import pytest
import torch
from sklearn.datasets import load_digits

from baq.zoo import data


def parts(split):
    return {
        "train": (split.x_train, split.y_train),
        "calibration": (split.x_calibration, split.y_calibration),
        "test": (split.x_test, split.y_test),
    }


def images(x):
    """Images as a sorted list of tuples, so that sets of them can be compared."""
    return sorted(tuple(row) for row in x.flatten(1).tolist())


def test_the_splits_are_all_of_the_digits_once():
    split = parts(data.load("digits", 3, calibration=0.2, test=0.2))
    x = torch.cat([x for x, _ in split.values()])
    assert images(x) == images(torch.from_numpy(load_digits().data).float() / 16)
    assert (x.min(), x.max()) == (0, 1)
    assert x.shape == (1797, 1, 8, 8) and x.dtype == torch.float32
    assert all(y.dtype == torch.int64 for _, y in split.values())


def test_labels_stay_with_their_images():
    digits = load_digits()
    label = {tuple(row / 16): int(y) for row, y in zip(digits.data, digits.target, strict=True)}
    for x, y in parts(data.load("digits", 1, calibration=0.2)).values():
        assert [label[tuple(row)] for row in x.flatten(1).tolist()] == y.tolist()


@pytest.mark.parametrize(
    ("sizes", "counts"),
    [
        ({}, (1347, 0, 450)),
        ({"calibration": 0.2, "test": 0.2}, (1077, 360, 360)),
        ({"test": 0.5}, (898, 0, 899)),
    ],
)
def test_shares_are_of_all_points(sizes, counts):
    split = parts(data.load("digits", **sizes))
    assert tuple(len(y) for _, y in split.values()) == counts
    for count, (x, y) in zip(counts, split.values(), strict=True):
        assert x.shape == (count, 1, 8, 8) and len(y) == count


def test_every_split_is_stratified():
    whole = torch.bincount(torch.from_numpy(load_digits().target)).double()
    for _, y in parts(data.load("digits", 5, calibration=0.2, test=0.2)).values():
        expected = whole * len(y) / whole.sum()
        assert (torch.bincount(y, minlength=10) - expected).abs().max() <= 1.5


def test_a_seed_decides_the_splits():
    for a, b in itertools.combinations(
        [data.load("digits", s, calibration=0.2) for s in (0, 1)], 2
    ):
        assert images(a.x_test) != images(b.x_test)
        assert images(a.x_calibration) != images(b.x_calibration)
    a, b = (parts(data.load("digits", 7, calibration=0.2)) for _ in range(2))
    for name in a:
        assert all(torch.equal(p, q) for p, q in zip(a[name], b[name], strict=True))


def test_the_global_random_state_stays():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    data.load("digits", 5)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_digits_are_always_there():
    assert data.missing(["digits"]) == {}


@pytest.mark.parametrize("seed", [None, True, -1, 1.5, "0", 2**32])
def test_what_is_no_seed_is_named(seed):
    with pytest.raises(ValueError, match=f"seed is {seed!r}: allowed is 0 to 4294967295, a whole"):
        data.load("digits", seed)


@pytest.mark.parametrize("call", [data.load, lambda name: data.missing([name])])
@pytest.mark.parametrize("name", ["Digits", "imagenet", ""])
def test_unknown_names_are_named(call, name):
    with pytest.raises(ValueError, match=f"data set is {name!r}: allowed are digits"):
        call(name)
