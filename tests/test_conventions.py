"""The other conventions change what they say and nothing else; the controls control."""

import pandas as pd
import pytest

from baq import compare, ptq_w
from baq.slices import pca_plane, plane_through
from baq.zoo import data
from baq.zoo.conventions import CHOICES, ITSELF, digits_choices, digits_controls
from baq.zoo.recipes import digits_network

RECIPE = {"hidden": 16, "activation": "tanh", "epochs": 15, "test": 0.2}


@pytest.fixture(scope="module")
def network():
    return digits_network(1, **RECIPE)


@pytest.fixture(scope="module")
def chosen():
    return digits_choices(1, RECIPE, n=33, pad=0.2)


def by_hand(reference, split, plane, sides="two", **levels):
    copies = {bits: ptq_w(reference, bits, **levels) for bits in (8, 4)}
    return compare(reference, copies, split.x_test, split.y_test, planes=plane, n=33, sides=sides)


def test_each_choice_is_the_comparison_by_hand(network, chosen):
    reference, split = network
    own = pca_plane(split.x_train, 0.2)
    relu = digits_network(1, **{**RECIPE, "activation": "relu"})[0]
    pixels = data.load("digits", 0, test=0.2).x_train
    standard, scaled = digits_network(
        1, **RECIPE, shift=pixels.mean().item(), scale=pixels.std().item()
    )
    cases = {
        "as chosen": by_hand(reference, split, own),
        "ReLU": by_hand(relu, split, own),
        "standardized inputs": by_hand(standard, scaled, pca_plane(scaled.x_train, 0.2)),
        "one scale per output unit": by_hand(reference, split, own, per_channel=True),
        "asymmetric levels": by_hand(reference, split, own, symmetric=False),
        "one-sided masks": by_hand(reference, split, own, "one"),
        "slice without padding": by_hand(reference, split, pca_plane(split.x_train, 0.0)),
        "slice of the test images": by_hand(reference, split, pca_plane(split.x_test, 0.2)),
        "plane through three test images": by_hand(
            reference, split, plane_through(split.x_test[:3], 0.2)
        ),
    }
    for name, expected in cases.items():
        found = chosen[chosen["choice"] == name].drop(columns=["choice", "seed"])
        pd.testing.assert_frame_equal(found.reset_index(drop=True), expected)


def test_every_choice_changes_something(chosen):
    assert chosen["choice"].unique().tolist() == list(CHOICES)
    rows = chosen[chosen["candidate"] == 4].drop(columns=["candidate", "choice", "seed"])
    assert not rows.astype(str).duplicated().any()


def test_controls_have_the_scale_that_they_should(network):
    reference, split = network
    plane = pca_plane(split.x_train)
    copies = {4: ptq_w(reference, 4)}
    found = digits_controls(1, reference, copies, plane, RECIPE, n=33)
    found = found.set_index("candidate")
    assert found.index.tolist() == [ITSELF, "4 bits", "another training", "shuffled labels, 4 bits"]
    assert (found.loc[ITSELF, ["jaccard", "flip_rate", "grid_change", "shift"]] == 0).all()
    assert found.loc["another training", "jaccard"] > 0.5
    assert found.loc["shuffled labels, 4 bits", "accuracy"] < 0.3
    assert found.loc["4 bits", "accuracy"] > 0.85
