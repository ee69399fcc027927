"""Protocols: exact inference, the likelihood, and readings, each against its definition."""

import itertools

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given as drawn
from hypothesis import strategies as st
from scipy import stats

from baq.protocols.answers import numbers, picked_level
from baq.protocols.judging import Inference, control_rows, hidden_numbers, shuffled_numbers
from baq.protocols.likelihood import Answers, Number, below, inside, log_likelihood
from baq.protocols.posterior import (
    Factor,
    belief,
    best,
    eliminate,
    given,
    marginals,
)
from baq.protocols.readings import COUNTED, coarser, junction_counts, low_margin_jaccard, mask
from baq.protocols.space import read_space, space
from baq.report.stats import prediction_interval
from baq.selection import boundary_aware_rule
from baq.slices.jaccard import boundary_mask
from baq.slices.junctions import junction_cells

SIZES = {"a": 2, "b": 3, "c": 2, "d": 4, "e": 2}
OVER = [("a", "b"), ("b", "c", "d"), ("d",), ("e", "a"), ("c", "a")]


def toy(seed):
    rng = np.random.default_rng(seed)
    return [Factor(over, 3 * rng.normal(size=[SIZES[n] for n in over])) for over in OVER]


def brute(factors):
    """The joint probability of every combination, term by term: Bayes' rule as it is written."""
    joint = {}
    for at in itertools.product(*(range(size) for size in SIZES.values())):
        known = dict(zip(SIZES, at, strict=True))
        joint[at] = np.exp(sum(f.log[tuple(known[n] for n in f.over)] for f in factors))
    return joint


@pytest.mark.parametrize("seed", range(5))
def test_inference_equals_bayes_rule_written_out(seed):
    factors, total = toy(seed), sum(brute(toy(seed)).values())
    joint = {at: p / total for at, p in brute(factors).items()}
    assert eliminate(factors, ()).log == pytest.approx(np.log(total))
    for k, (name, size) in enumerate(SIZES.items()):
        plain = [sum(p for at, p in joint.items() if at[k] == v) for v in range(size)]
        assert marginals(factors)[name] == pytest.approx(plain)
        assert belief(factors, (name,)) == pytest.approx(plain)
    pair = belief(factors, ("e", "b"))
    for e, b in itertools.product(range(2), range(3)):
        assert pair[e, b] == pytest.approx(
            sum(p for at, p in joint.items() if at[4] == e and at[1] == b)
        )
    top = dict(zip(SIZES, max(joint, key=joint.get), strict=True))
    assert best(factors) == top
    largest = eliminate(factors, (), largest=True).log
    assert np.exp(largest) / total == pytest.approx(max(joint.values()))


def test_known_choices_leave_the_posterior_of_the_others():
    factors = toy(0)
    both = belief(factors, ("b", "d"))
    assert belief(given(factors, {"b": 1}), ("d",)) == pytest.approx(both[1] / both[1].sum())


def test_factors_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match="2 axes"):
        Factor(("a",), np.zeros((2, 2)))
    with pytest.raises(ValueError, match="a has 2 and 3 values"):
        eliminate([Factor(("a",), np.zeros(2)), Factor(("a",), np.zeros(3))], ())
    with pytest.raises(ValueError, match="choice is 'z'"):
        eliminate(toy(0), ("z",))


def one(values, step=1e-6, **options):
    return Answers.of((), np.array(values), step, **options)


def test_the_likelihood_is_the_density_of_a_prediction_times_the_printed_width():
    values = np.array([0.41, 0.47, 0.39, 0.45, 0.43])
    number = Number("R1", "0.457", 3)
    scale = values.std(ddof=1) * np.sqrt(1 / 3 + 1 / 5)
    density = stats.t.pdf(0.457, 4, values.mean(), scale)
    found = log_likelihood(number, one(values), 0.05).log
    assert np.exp(found) == pytest.approx(0.95 * density * 0.001 + 0.05 * 0.001, rel=1e-4)


def test_a_number_without_two_runs_is_a_stray_one():
    found = log_likelihood(Number("R1", "0.457", 3), one([0.4, np.nan]), 0.05).log
    assert np.exp(found) == pytest.approx(0.05 * 0.001, rel=1e-4)


@pytest.mark.parametrize(("runs", "n"), [(1, 5), (3, 3), (5, 4)])
def test_the_interval_covers_as_often_as_it_says(runs, n):
    """A new mean of runs lies inside in 90 of 100 cases, below the 5 % point in 5: simulated."""
    rng = np.random.default_rng(0)
    number, hits, low, trials = Number("D2", "0.428", runs), 0, 0, 4000
    for _ in range(trials):
        ours, new = rng.normal(0.4, 0.1, n), float(rng.normal(0.4, 0.1, runs).mean())
        case = Number("D2", f"{new:.6f}", runs)
        hits += inside(case, ours.mean(), ours.std(ddof=1), n)
        low += float(below(number, one(ours), new)) <= 0.05
    assert abs(hits / trials - 0.9) < 4 * np.sqrt(0.09 / trials)
    assert abs(low / trials - 0.05) < 4 * np.sqrt(0.05 * 0.95 / trials)


def test_inside_is_the_interval_of_the_page_of_claims():
    values = np.array([0.3, 0.4, 0.45])
    lo, hi = prediction_interval(values.mean(), values.std(ddof=1), 3, 3)
    for value, expected in ((lo - 0.01, False), (lo + 0.01, True), (hi + 0.01, False)):
        number = Number("R1", f"{value:.4f}", 3)
        assert inside(number, values.mean(), values.std(ddof=1), 3) is expected


def test_the_sets_of_low_margin_against_their_formula():
    """Of k points each with c in both, J = 2 (k - c) / (2 k - c); here by hand."""
    z = torch.tensor([[1.0, 0.0], [2.0, 0.0], [3.0, 0.0], [4.0, 0.0]])
    z_q = torch.tensor([[1.0, 0.0], [9.0, 0.0], [0.0, 0.5], [4.0, 0.0]])
    # Lowest halves: points 0 and 1, and points 0 and 2.
    assert low_margin_jaccard(z, z_q, 0.5) == pytest.approx(2 * (2 - 1) / (2 * 2 - 1))
    assert low_margin_jaccard(z, z, 0.5) == 0
    assert low_margin_jaccard(z, z_q, 1.0) == 0


@drawn(st.integers(0, 10_000), st.sampled_from([0.1, 0.3, 0.5]))
def test_the_sets_of_low_margin_against_plain_sets(seed, share):
    rng = np.random.default_rng(seed)
    z, z_q = (torch.from_numpy(rng.normal(size=(40, 3))) for _ in range(2))
    sets = []
    for logits in (z.numpy(), z_q.numpy()):
        ordered = np.sort(logits, axis=1)
        margin = ordered[:, -1] - ordered[:, -2]
        sets.append(set(np.argsort(margin)[: round(share * 40)].tolist()))
    a, b = sets
    assert low_margin_jaccard(z, z_q, share) == pytest.approx(1 - len(a & b) / len(a | b))


@drawn(st.integers(0, 10_000), st.sampled_from([2, 3]))
def test_junction_counts_equal_those_of_the_book(seed, block):
    film = list(np.random.default_rng(seed).integers(0, 16, size=(3, 9, 9)).astype(np.uint8))
    counts = junction_counts(film, block)
    cells = [junction_cells(labels, block=block) for labels in film]
    assert counts["start"] == cells[0].sum()
    assert counts["end"] == cells[-1].sum()
    assert counts["largest"] == max(c.sum() for c in cells)
    assert counts["anywhere"] == np.any(cells, axis=0).sum()
    changed = 0
    for i, j in np.argwhere(cells[0] | cells[-1]):
        window = (slice(i, i + block), slice(j, j + block))
        changed += bool((film[0][window] != film[-1][window]).any())
    assert counts["changed"] == changed
    assert tuple(counts) == COUNTED


def test_a_thick_mask_holds_the_eight_neighbours():
    labels = np.zeros((7, 9), dtype=int)
    labels[3, 4] = 1
    plain, thick = boundary_mask(labels), mask(labels, "thick")
    for i, j in np.ndindex(labels.shape):
        near = plain[max(i - 1, 0) : i + 2, max(j - 1, 0) : j + 2]
        assert thick[i, j] == near.any()
    assert (mask(labels, "two") == plain).all()


@drawn(st.sampled_from([5, 9, 15, 45]))
def test_a_coarser_map_is_exact_where_grids_share_their_centres(n):
    """45 cells in blocks of an odd number of cells have the centres of the blocks' middle cells."""
    fine = np.arange(45 * 45).reshape(45, 45)
    step = 45 // n
    middle = slice(step // 2, None, step)
    assert (coarser(fine, n, 0.1, 0.1) == fine[middle, middle]).all()


def test_a_coarser_map_of_a_smaller_slice_is_the_middle_of_the_finer():
    fine = np.arange(60 * 60).reshape(60, 60)
    assert (coarser(fine, 40, 0.0, 0.5) == fine[10:50, 10:50]).all()
    with pytest.raises(ValueError, match="n is 41: allowed is up to 40"):
        coarser(fine, 41, 0.0, 0.5)
    with pytest.raises(ValueError, match="pad is 0.6"):
        coarser(fine, 10, 0.6, 0.5)


TWO = """
choices:
  grid: {values: {coarse: 1, fine: 1, finest: 2}, groups: [digits], why: a}
  rule: {values: {one: 1, two: 1}, groups: [digits, rounding], why: b}
  net: {values: {small: 1, large: 1}, groups: [rounding], why: c}
stray: 0.05
halves: [[D2, R1], [D4, R2]]
controls: 3
kinds: {J: [D2, D4, R1, R2]}
found: 4
"""


@pytest.fixture
def inference(tmp_path):
    """Two groups that share a choice; each protocol has answers of its own, with little spread."""
    (tmp_path / "space.yml").write_text(TWO, "utf-8")
    rng = np.random.default_rng(0)

    def around(over, means):
        means = np.asarray(means)
        return Answers.of(over, means[..., None] + 0.004 * rng.normal(size=(*means.shape, 5)), 1e-4)

    both = [[0.2, 0.3], [0.4, 0.5], [0.6, 0.8]]
    answers = {
        "D2": around(("grid", "rule"), both),
        "D4": around(("grid", "rule"), np.add(both, 0.1)),
        "R1": around(("rule", "net"), [[0.2, 0.4], [0.6, 0.8]]),
        "R2": around(("rule", "net"), [[0.1, 0.3], [0.5, 0.7]]),
    }
    texts = {"D2": "0.500", "D4": "0.602", "R1": "0.601", "R2": "0.499"}
    numbers = {name: Number(name, text, 1 if name[0] == "D" else 3) for name, text in texts.items()}
    return Inference(read_space(tmp_path / "space.yml"), answers, numbers)


def test_the_protocol_behind_numbers_is_found(inference):
    """D2, D4 come from (fine, two), R1 and R2 from (two, small): alone and together."""
    assert inference.values(inference.best("digits")) == {"grid": "fine", "rule": "two"}
    assert inference.values(inference.best("together")) == {
        "grid": "fine",
        "rule": "two",
        "net": "small",
    }
    judged = inference.judged(inference.best("together"), inference.numbers)
    assert judged["inside"].all()
    assert inference.held_out(["digits", "rounding"])["hit"].all()
    posterior = inference.posterior(["together"]).set_index(["choice", "value"])["posterior"]
    assert posterior["grid", "fine"] > 0.99


def test_hidden_protocols_are_found_again_and_shuffled_numbers_fit_none(inference):
    """The negative control must fail: permuted among themselves the numbers come from no protocol."""
    for seed in range(10):
        truth, numbers = hidden_numbers(inference, np.random.default_rng(seed))
        again = Inference(inference.space, inference.answers, numbers)
        assert again.best("together") == truth
        rows = control_rows(inference, True, seed, ["digits", "rounding"])
        assert sum(row["equal"] for row in rows) == sum(row["choices"] for row in rows)
    own = {name: number.text for name, number in inference.numbers.items()}
    moved = 0
    for seed in range(30):
        shuffled = shuffled_numbers(inference, np.random.default_rng(seed))
        texts = {name: number.text for name, number in shuffled.items()}
        assert sorted(texts.values()) == sorted(own.values())
        if any(abs(float(texts[name]) - float(own[name])) > 0.05 for name in own):
            moved += 1
            now = Inference(inference.space, inference.answers, shuffled)
            assert not now.judged(now.best("together"), texts)["inside"].all()
    assert moved > 10


def test_hidden_numbers_have_the_distribution_that_they_are_judged_by(inference):
    """In 90 of 100 cases a hidden number lies in the 90 % interval; one around our mean with our spread does more often."""
    fine = {name: Number(name, "0.500000", 3) for name in inference.numbers}
    exact = Inference(inference.space, inference.answers, fine)
    rng, hits, close = np.random.default_rng(0), [], []
    for _ in range(1000):
        truth, numbers = hidden_numbers(exact, rng)
        hits += (
            Inference(exact.space, exact.answers, numbers).judged(truth, fine)["inside"].tolist()
        )
        one = exact.answers["D2"].at(truth)
        near = Number("D2", f"{rng.normal(one.mean, one.std / np.sqrt(3)):.6f}", 3)
        close.append(inside(near, one.mean, one.std, one.n))
    error = np.sqrt(0.9 * 0.1 / len(hits))
    assert abs(np.mean(hits) - 0.9) < 4 * error
    assert np.mean(close) > 0.9 + 4 * np.sqrt(0.09 / len(close))


def test_a_space_that_cannot_be_is_refused(tmp_path):
    path = tmp_path / "space.yml"
    path.write_text(TWO.replace("coarse: 1", "coarse: 0"), "utf-8")
    with pytest.raises(ValueError, match="weights of grid"):
        read_space(path)
    path.write_text(TWO.replace("[rounding]", "[other]"), "utf-8")
    with pytest.raises(ValueError, match="net is of group 'other'"):
        read_space(path)


def test_the_prior_is_what_the_file_says():
    """The space of the book: priors sum to one, halves hold every number once, kinds hold numbers."""
    book = space()
    for choice in book.choices.values():
        assert sum(choice.prior) == pytest.approx(1)
        assert choice.why
    names = list(numbers())
    assert len(names) == 27
    first, second = map(set, book.halves)
    assert first | second == set(names)
    assert not first & second
    assert {name for kind in book.kinds.values() for name in kind} <= set(names)


def test_a_level_is_picked_as_the_book_s_rule_picks():
    rng = np.random.default_rng(0)
    levels = (8, 7, 6, 5, 4, 3)
    for _ in range(50):
        rows = pd.DataFrame({"candidate": levels, "accuracy_reference": 0.9})
        rows["accuracy"] = 0.9 - rng.uniform(-0.01, 0.03, len(levels))
        rows["flip_rate"], rows["jaccard"] = rng.uniform(0, 0.04, (2, len(levels)))
        kept = (0.9 - rows["accuracy"] <= 0.01) & (rows["flip_rate"] <= 0.02)
        kept &= rows["jaccard"] <= 0.03
        for walked in (levels, (8, 6, 4, 3)):
            known = rows[rows["candidate"].isin(walked)]
            book = boundary_aware_rule(known, 0.01, 0.02, 0.03)
            found = picked_level(kept.to_numpy()[:, None], levels, walked)
            assert levels[found[0]] == book.bits


def test_bits_gained_are_those_of_bayes_rule_written_out(inference):
    """p(D4 | D2) and p(D4) as sums over all protocols of prior and likelihoods."""
    by_name = {
        name: log_likelihood(inference.numbers[name], inference.answers[name], 0.05).log
        for name in ("D2", "D4")
    }
    prior = np.outer([0.25, 0.25, 0.5], [0.5, 0.5])
    p = {name: np.exp(log.astype(float)) for name, log in by_name.items()}
    alone = (prior * p["D4"]).sum()
    after = (prior * p["D2"] * p["D4"]).sum() / (prior * p["D2"]).sum()
    assert inference.predicted(["D2"], "D4")[2] == pytest.approx(np.log2(after / alone), rel=1e-4)
    assert inference.predicted([], "D4")[2] == pytest.approx(0, abs=1e-6)
    held = inference.held_out(["digits"])
    assert set(held["number"]) == {"D2", "D4"} and (held["gain"] > 1).all()


def written_out(inference, names):
    """The joint probability of three choices and some numbers, by the rule of products over the whole grid."""
    joint = np.einsum("g,r,n->grn", [0.25, 0.25, 0.5], [0.5, 0.5], [0.5, 0.5])
    for name in names:
        number, answers = inference.numbers[name], inference.answers[name]
        p = np.exp(log_likelihood(number, answers, 0.05).log.astype(float))
        joint = joint * (p[:, :, None] if name[0] == "D" else p[None])
    return joint


def test_evidence_and_best_protocol_s_share_are_those_of_bayes_rule(inference):
    every = written_out(inference, inference.numbers)
    assert inference.evidence("together") == pytest.approx(np.log2(every.sum()), rel=1e-4)
    p, size = inference.share_of_best("together")
    assert size == 12 and p == pytest.approx(every.max() / every.sum(), rel=1e-4)
    digits = written_out(inference, ["D2", "D4"])
    assert inference.evidence("digits") == pytest.approx(np.log2(digits.sum()), rel=1e-4)


def test_a_posterior_without_one_number_is_that_of_the_others(inference):
    """For the most probable grid the least over all four numbers; without D2 and D4 it would be the prior."""
    k = written_out(inference, inference.numbers).sum((1, 2)).argmax()
    least = {}
    for left in inference.numbers:
        joint = written_out(inference, [n for n in inference.numbers if n != left])
        least[left] = joint.sum((1, 2))[k] / joint.sum()
    found = inference.left_out(["together"]).set_index("choice").loc["grid"]
    assert found["least"] == pytest.approx(min(least.values()), rel=1e-4)
    assert found["without"] == min(least, key=least.get)


def test_without_fitted_numbers_the_prior_predicts(inference):
    """Means of D2 from 0.2 to 0.8: the prior's mixture has 0.5 inside and 0.95 outside."""
    assert inference.predicted([], "D2")[1]
    high = dict(inference.numbers) | {"D2": Number("D2", "0.950", 1)}
    other = Inference(inference.space, inference.answers, high)
    at, hit, _ = other.predicted([], "D2")
    assert at > 0.99 and not hit
