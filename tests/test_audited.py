"""The sentences and figures of an audit say what its rows say."""

import json

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch

from baq.report import audited, style

RATES = pd.DataFrame(
    {
        "candidate": ["a", "b"],
        "points": 1200,
        "labels_changed": [0, 12],
        "flip_rate": [0.0, 0.01],
        "flip_rate_lo": [0.0, 0.005],
        "flip_rate_hi": [0.0025, 0.016],
        "in_band": [0, 12],
        "share": 0.2,
    }
)
CHANGES = pd.DataFrame(
    {
        "from": [8, 3],
        "to": [1, 9],
        "labels_changed": [7, 5],
        "points": 100,
        "flip_rate": [0.07, 0.05],
        "candidate": "b",
    }
)
MARGINS = pd.DataFrame(
    {
        "group": [1, 2] * 2,
        "margin_from": 0.0,
        "margin_to": 1.0,
        "points": 600,
        "labels_changed": [0, 0, 9, 3],
        "flip_rate": [0, 0, 9 / 600, 3 / 600],
        "flip_rate_lo": [0, 0, 0.01, 0.002],
        "flip_rate_hi": [0.005, 0.005, 0.02, 0.01],
        "candidate": ["a", "a", "b", "b"],
    }
)
BLAME = pd.DataFrame(
    {
        "layer": ["first", "last"] * 2,
        "weights": 10,
        "alone": [0.0, 0.0, 0.002, 0.009],
        "rest": [0.0, 0.0, 0.008, 0.003],
        "candidate": ["a", "a", "b", "b"],
        "way": "exact",
    }
)


def noise(p, floor=0.02):
    return pd.DataFrame(
        {"candidate": ["a", "b"], "floor": floor, "floor_lo": 0.015, "floor_hi": 0.025, "p": p}
    )


def test_a_verdict_has_three_sentences():
    none, some = audited.verdicts(RATES, CHANGES)
    assert some == (
        "**b** changes 12 of 1,200 labels: 1.00%, with an exact 90% interval from 0.50% to 1.60%. "
        "All of these lie in the boundary band, the 20% of inputs with the lowest margins; the most "
        "frequent change is from 8 to 1 (7). What training again would change is not known, so there "
        "is no noise floor to hold this against: `retrained` takes another training."
    )
    assert "No input stands out" in none
    half = audited.verdicts(RATES.assign(in_band=[0, 5]), CHANGES)[1]
    assert " 5 of these lie in" in half
    outside = audited.verdicts(RATES.assign(in_band=0), CHANGES)[1]
    assert " None of these lie in" in outside


@pytest.mark.parametrize(
    ("p", "floor", "told"),
    [
        (0.001, 0.02, "fewer (p = 0.001): it stays within the noise of training."),
        (0.001, 0.002, "more (p = 0.001): it decides otherwise than training again would."),
        (
            0.3,
            0.002,
            "which so many inputs cannot tell from what this candidate changes (p = 0.3).",
        ),
    ],
)
def test_the_floor_decides_what_flips_mean(p, floor, told):
    assert audited.verdicts(RATES, CHANGES, noise(p, floor))[1].endswith(told)


def test_the_box_names_both_ends_and_the_floor():
    assert audited.in_short(RATES, noise(0.1)) == [
        "a: 0.00% [0.00%, 0.25%] of the labels change.",
        "b: 1.00% [0.50%, 1.60%] of the labels change, 100% of these in the band.",
        "Another training changes 2.00% [1.50%, 2.50%].",
    ]
    assert len(audited.in_short(RATES[:1])) == 1


def test_lessons_are_those_of_the_worst_candidate():
    text = audited.lessons(RATES, MARGINS, BLAME)
    first, second, third = text.splitlines()
    assert "These 1,200 inputs can vouch for a flip rate of 0.25% at best" in first
    assert (
        f"had no label changed, for {1 - 0.05 ** (1 / 1200):.2%}" in first
    )  # Clopper, Pearson 1934
    assert second.startswith("* b changes 12 labels, 3 of them in the half")
    assert "`last` changes the most alone, 0.90% of the labels" in third and "0.30% change" in third
    assert "`last` is forecast to change the most" in audited.lessons(
        RATES, MARGINS, BLAME.assign(way="forecast")
    )
    low = MARGINS.assign(labels_changed=[0, 0, 12, 0])
    assert "none of them in the half of the inputs" in audited.lessons(RATES, low, BLAME)
    assert len(audited.lessons(RATES, MARGINS, BLAME.assign(alone=0.0)).splitlines()) == 2
    assert len(audited.lessons(RATES[:1], MARGINS, BLAME[:0]).splitlines()) == 1


def test_figures_have_a_line_a_number_and_a_bar_for_each_row():
    style.use_style()
    (ax,) = audited.by_margin(MARGINS).axes
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["a", "b"]
    drawn = audited.class_changes(CHANGES, ["b"]).axes[0]
    assert [t.get_text() for t in drawn.texts] == ["5", "7"]
    assert [t.get_text() for t in drawn.get_xticklabels()] == ["1", "3", "8", "9"]
    panels = audited.blame_bars(BLAME).axes
    widths = [bar.get_width() for ax in panels[:2] for bar in ax.patches]
    assert widths == [0, 0, 0, 0, 0.002, 0.009, 0.008, 0.003]
    assert [t.get_text() for t in panels[0].get_yticklabels()] == ["first", "last"]
    plt.close("all")


def test_only_the_classes_and_layers_that_change_the_most_are_drawn():
    many = pd.DataFrame({"from": range(40), "to": 99, "labels_changed": range(1, 41)})
    (ax,) = audited.class_changes(many.assign(candidate="a"), ["a"]).axes
    assert [t.get_text() for t in ax.get_xticklabels()] == [*map(str, range(21, 40)), "99"]
    layers = pd.DataFrame({"layer": [f"l{k}" for k in range(30)], "alone": np.arange(30) / 100})
    (ax,) = audited.blame_bars(layers.assign(rest=0.5, candidate="a")).axes
    assert [t.get_text() for t in ax.get_yticklabels()] == [f"l{k}" for k in range(10, 30)]
    plt.close("all")


FLIPPED = pd.DataFrame(
    {
        "input": [4, 9, 4],
        "from": [1, 2, 1],
        "to": [7, 3, 8],
        "margin": [2.0, 1.0, 2.0],
        "radius": [0.5, np.nan, 0.5],
        "in_band": [False, True, False],
        "candidate": ["a", "a", "b"],
    }
)


def test_an_input_has_one_row_with_the_label_of_each_candidate():
    rows = audited.one_by_one(FLIPPED, [9, 4])
    assert rows["input"].tolist() == [9, 4]
    assert rows["to, a"].tolist() == [3, 7] and rows["to, b"].tolist() == ["–", 8]
    assert audited.one_by_one(FLIPPED, [4])["input"].tolist() == [4]
    assert audited.one_by_one(FLIPPED[:0], []).empty
    assert audited.photo_names(FLIPPED, [9, 4]) == ["input 9: 2 to 3, a", "input 4: 1 to 7, a"]


def test_grids_are_told_with_the_sides_of_their_cells():
    text = audited.grids(pd.DataFrame({"n": [65, 65], "cell": [0.02, 0.1]}))
    assert text.startswith("Each map has 65 cells a side, of 0.02 to 0.1 input units;")
    same = audited.grids(pd.DataFrame({"n": [65, 65], "cell": [0.02, 0.02]}))
    assert "65 cells a side, of 0.02 input units" in same


@pytest.mark.parametrize(
    ("shape", "found"),
    [
        ((2, 1, 8, 8), (2, 1, 8, 8)),
        ((2, 8, 9), (2, 8, 9)),
        ((2, 8, 9, 3), (2, 3, 8, 9)),
        ((2, 5, 8, 8), None),
        ((2, 64), None),
        ((2, 1, 2, 8), None),
    ],
)
def test_pictures_are_recognized_by_their_shape(shape, found):
    x = torch.arange(float(np.prod(shape))).reshape(shape) - 7
    photos = audited.as_pictures(x)
    assert (None if photos is None else tuple(photos.shape)) == found
    if photos is not None:
        assert photos.min() == 0 and photos.max() == 1
    assert audited.as_pictures({"x": x}) is None
    assert audited.is_real(x) and not audited.is_real(x.long()) and not audited.is_real({"x": x})


def test_the_record_holds_everything_and_no_nan(tmp_path, monkeypatch):
    monkeypatch.delenv("BAQ_RESULTS", raising=False)
    audited.save_record("audit", a=1)
    assert not list(tmp_path.iterdir())
    monkeypatch.setenv("BAQ_RESULTS", str(tmp_path))
    audited.save_record(
        "audit", flipped=FLIPPED, gate={"passed": np.bool_(True)}, none=float("inf")
    )
    made = json.loads((tmp_path / "audit.json").read_text("utf-8"))
    assert made["flipped"][1]["radius"] is None and made["flipped"][0]["radius"] == 0.5
    assert made["gate"] == {"passed": True} and made["none"] is None
