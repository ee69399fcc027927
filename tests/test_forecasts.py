"""The texts and figures of the chapter on what is asked before quantizing."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from baq.report import forecasts as judge
from baq.report import style


def rows():
    return pd.DataFrame(
        {
            "setting": ["a", "a", "b", "b"],
            "bits": [8, 4, 8, 4],
            "flip_rate": [0.02, 0.11, 0.001, 0.3],
            "flip_rate_lo": [0.01, 0.05, 0.0, 0.2],
            "flip_rate_hi": [0.03, 0.1, 0.01, 0.5],
            "noisy": [0.02, 0.1, 0.0, 0.3],
            "explained": [0.9, 0.5, 0.9, 0.7],
            "came": [0.016, 0.1, 0.002, 0.25],
            "images": 1000,
        }
    )


def test_errors_are_relative_and_left_out_where_few_labels_changed():
    found = judge.judged(rows())
    np.testing.assert_allclose(found["error"], [0.25, 0.1, np.nan, 0.2])
    assert found["held"].tolist() == [True, True, True, True]
    missed = judge.judged(rows().assign(came=0.5))
    assert missed["held"].tolist() == [False, False, False, True]


def test_quality_is_a_row_a_group():
    found = judge.quality(judge.judged(rows()), ["bits"]).set_index("bits")
    assert found["networks"].tolist() == [2, 2]
    assert found["error"].tolist() == pytest.approx([0.25, 0.15])
    assert found["came"].tolist() == pytest.approx([0.009, 0.175])


def test_the_sentence_has_error_and_coverage():
    found = judge.judged(rows())
    assert judge.in_short(found) == (
        "the median relative error is 20% over the 3 of 4 forecasts with enough flips to tell, and 100% of what "
        "came lay within the 90 % interval, which is wide"
    )
    alone = "100% of what came lay within the 90 % interval, which is wide"
    assert judge.in_short(found[2:3]) == alone


def test_at_a_glance_all_networks_come_first_and_say_what_the_sentence_says():
    found = judge.judged(rows()).assign(images=[1000, 500, 1000, 500])
    settings = found["setting"].unique()
    glance = judge.at_a_glance(found, {"whole": found, "none": found[:0]})
    assert glance["setting"].tolist() == ["all", "1,000 test images or more", *settings]
    assert (glance["part"] == "whole").all()
    assert glance["error"][0] == pytest.approx(0.2) and glance["held"][0] == 1
    assert glance["rank"][0] == pytest.approx(1)
    assert glance["attainable"][0] == judge.attainable_rank(found)


def test_the_attainable_rank_is_that_of_draws_around_the_forecast():
    """With two rates far apart and many images it is 1; with one image each it is known by enumeration."""
    told = pd.DataFrame({"flip_rate": [0.1, 0.9], "images": 10_000})
    assert judge.attainable_rank(told) == pytest.approx(1)
    # Of counts 0 or 1, equal ones have no order: 0.81 of draws with one of each are in order, 0.01 are not.
    few = judge.attainable_rank(told.assign(images=1), draws=20_000)
    assert few == pytest.approx((0.81 - 0.01) / 0.82, abs=0.01)


def test_figures_draw_every_forecast_and_every_promise():
    style.use_style()
    figure = judge.against_what_came(rows())
    assert sum(len(line.get_xdata()) for line in figure.axes[0].lines[:2]) == 4
    promises = pd.DataFrame(
        {"setting": "a", "tau": [0.01, 0.01, 0.05, 0.05], "count": [10, 20, 10, 20], "picked": 0.5}
    )
    (ax,) = judge.by_inputs(promises).axes
    assert [line.get_label() for line in ax.lines] == ["τ = 1%", "τ = 5%"]
    plt.close("all")


def test_broken_promises_are_told_among_those_given():
    rows = pd.DataFrame(
        {
            "rule": ["plug-in", "promise", "promise"],
            "kind": "sample",
            "setting": "a",
            "tau": [0.01, 0.01, 0.05],
            "count": 50,
            "picked": [1.0, 0.04, 1.0],
            "broken": [1.0, 0.03, 0.05],
        }
    )
    assert "(a, τ = 0.01, 50 inputs) a promise is given in 4.0% of draws and broken in 75% of" in (
        judge.where_given(rows)
    )
    assert judge.where_given(rows[:1]) == ""


def test_the_gain_of_noise_is_told_for_few_bits_alone():
    found = judge.judged(rows())
    assert judge.beyond(found, 4) == (
        "At 4 bits and fewer the first order errs by 15% in the median, and a network with one draw of noise by 10%."
    )
    assert judge.beyond(found, 2) == ""


def test_broken_picks_are_told_for_the_largest_sets_and_over_all():
    both = pd.DataFrame(
        {
            "setting": "a",
            "tau": 0.02,
            "rule": ["plug-in", "promise"] * 4,
            "delta": [np.nan, 0.1] * 4,
            "count": [10, 10, 20, 20] * 2,
            "kind": ["sample"] * 4 + ["control"] * 4,
            "broken": [0.5, 0.08, 0.4, 0.02, 0.9, 0.6, 0.9, 0.7],
            "picked": [1, 0.5, 1, 0.75] * 2,
            "bits": 6.0,
        }
    )
    shown = judge.redrawn(both)
    assert shown["rule"].tolist() == ["plug-in", "promise, δ = 0.1"]
    assert shown["broken"].tolist() == [0.4, 0.02]
    assert shown["control"].tolist() == [0.9, 0.7]
    assert shown["unpromised"].tolist() == [0, 0.25]
    assert judge.broken_most(both) == ({0.1: 0.08}, 0.5, 0.7)
