"""Laws fitted to costs: found where they are known, with intervals that hold what they should."""

import math

import numpy as np
import pandas as pd
import pytest
import torch

from baq.report.costs import Estimate, check_table, fit_line, fit_power, laws_table, study_table
from baq.zoo import models
from benchmarks.scaling import multiply_adds, reference_models


def test_an_exact_law_is_found():
    x = np.array([1.0, 10.0, 100.0])
    law = fit_power(x, 3 * x**1.5)
    assert law.exponent() == pytest.approx((1.5, 1.5, 1.5))
    assert law.at(1000.0).interval() == pytest.approx([3 * 1000**1.5] * 3)


def test_an_exact_line_is_found():
    x = np.array([1.0, 10.0, 100.0])
    line = fit_line(x, 3 + 2 * x)
    assert (line.a, line.b, line.half()) == pytest.approx((3, 2, 0), abs=1e-9)
    assert line.at(1000.0).interval() == pytest.approx([2003] * 3)


def test_intervals_hold_the_truth_as_often_as_they_say():
    draw = np.random.default_rng(0)
    x = np.repeat([1.0, 2.0, 4.0, 8.0], 3)
    exponents, predicted, slopes, predicted_by_line = [], [], [], []
    for _ in range(1000):
        noise, new = np.exp(draw.normal(0, 0.05, len(x))), math.exp(draw.normal(0, 0.05))
        law = fit_power(x, 2 * x**0.8 * noise)
        _, lo, hi = law.exponent()
        exponents.append(lo < 0.8 < hi)
        _, lo, hi = law.at(64.0).interval()
        predicted.append(lo < 2 * 64**0.8 * new < hi)
        line = fit_line(x, (1 + x) * noise)
        slopes.append(abs(line.b - 1) < line.half())
        _, lo, hi = line.at(64.0).interval()
        predicted_by_line.append(lo < 65 * new < hi)
    # Three standard errors of 1000 draws are 0.028; a line's weights come from what was measured.
    assert abs(np.mean(exponents) - 0.9) < 0.028
    assert abs(np.mean(predicted) - 0.9) < 0.028
    assert abs(np.mean(slopes) - 0.9) < 0.035
    assert abs(np.mean(predicted_by_line) - 0.9) < 0.035


def test_errors_of_products_and_quotients_add_up():
    a, b = Estimate(math.log(2), 0.3), Estimate(math.log(8), 0.4)
    assert a.times(b).interval()[0] == pytest.approx(16)
    assert a.over(b).interval()[0] == pytest.approx(0.25)
    assert a.times(b).sd == a.over(b).sd == pytest.approx(0.5)
    assert a.scaled(3).interval()[0] == pytest.approx(6)


@pytest.mark.parametrize(
    ("x", "seconds"), [([1, 2], [1, 2]), ([2, 2, 2], [1, 2, 3]), ([1, 2, 3], [0, 1, 2])]
)
def test_measurements_that_carry_no_law_are_named(x, seconds):
    for one in (fit_power, fit_line):
        with pytest.raises(
            ValueError, match="allowed are 3 or more at 2 sizes or more, all positive"
        ):
            one(np.array(x, float), np.array(seconds, float))


def test_multiply_adds_are_counted():
    network = models.mlp(20, 5, 30, "relu", 0)
    assert multiply_adds(network, torch.zeros(1, 20)) == 20 * 30 + 30 * 5


def test_networks_for_imagenet_have_the_sizes_that_are_known():
    """Weights as in He et al. 2016 (arXiv:1512.03385) and Dosovitskiy et al. 2021 (arXiv:2010.11929)."""
    found = reference_models().set_index("model")
    assert found["weights"].to_dict() == {
        "resnet18": 11_689_512,
        "resnet50": 25_557_032,
        "vit_b_16": 86_567_656,
    }
    # The table of He et al. says 1.8 and 3.8 billion; the latter with the stride one layer earlier.
    assert found.loc["resnet18", "multiply_adds"] == pytest.approx(1.8e9, rel=0.02)
    assert found.loc["resnet50", "multiply_adds"] == pytest.approx(4.1e9, rel=0.02)


def test_the_tables_say_what_was_measured_and_predict_by_it():
    """Costs that follow known laws to the letter give the hours that a pocket calculator gives."""
    rows = []
    for work, variable, sizes, law in [
        ("evaluation of resnet18", "multiply-adds", (1e6, 1e7), lambda x: x * 1e-9),
        ("check of big", "multiply-adds", (1e8,), lambda x: x * 2e-9),
        ("training of resnet18", "multiply-adds", (1e6, 1e7), lambda x: x * 3e-9),
        ("label map, adaptive", "cells a side", (100, 200), lambda x: x * 1e-3),
        ("evaluation for maps", "points", (1000,), lambda x: 1e-3),
        ("radii", "classes", (10, 20), lambda x: x * 1e-3),
        ("evaluation for radii", "classes", (10, 20), lambda x: 1e-3),
        ("chapter 01-one", "seeds", (1, 2, 3), lambda x: 5 + 2 * x),
    ]:
        for value in sizes:
            rows += [
                {
                    "work": work,
                    "variable": variable,
                    "value": value,
                    "repeat": r,
                    "seconds": law(value),
                }
                for r in range(3)
            ]
    costs = pd.DataFrame(rows)
    laws = laws_table(costs)
    (row,) = [line for line in laws.splitlines() if "01-one" in line]
    assert row.startswith("| [one](01-one.ipynb) | 1 to 3 seeds | 11 s | 5 s + 2 s (±")
    assert "1 s (±" in laws  # for each billion multiply-adds
    assert "grows with the power 1.00 [1.00, 1.00]" in laws
    assert "evaluation for" not in laws
    check = check_table(costs)
    assert "| big | 10.0 times | 100 ms [100 ms, 100 ms] | 200 ms | 2.00 |" in check
    # 3.6 s an image: 350,000 of them; 140 maps of 241 evaluations; 1000 points of 1000 evaluations.
    model = {"model": "huge", "weights": 1e9, "multiply_adds": 3.6e9, "classes": 1000}
    work = {"images": 50_000, "networks": 7, "planes": 20, "side": 241, "radii_images": 1000}
    work |= {"training_images": 1_281_167, "epochs": 90, "cores": 1024}
    study = study_table(costs, pd.DataFrame([model]), **work)
    (row,) = [line for line in study.splitlines() if "huge" in line]
    hours = [cell.split()[0] for cell in row.split(" | ")[1:5]]
    assert hours == ["350", "33.7", "1,000", "346,000"]
