"""Coordinate descent against brute force over all roundings, and against itself written from the formula."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from baq.quantization import quantize, weight_grid
from baq.rounding.descent import descend, descend_pairs, neighbours, rounded_layer

BITS = 3


def normal(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


class Problem:
    """A random loss of one or more layers, its roundings, and its value written from the formula."""

    def __init__(self, seed, shapes=((2, 4),), exact=0.0, m=5, diagonal=False, apart=False):
        self.exact, self.layers = exact, []
        for k, (outputs, inputs) in enumerate(shapes):
            weight, *parts = (
                normal(*shape, seed=100 * seed + 10 * k + n)
                for n, shape in enumerate(
                    [
                        (outputs, inputs), (inputs, inputs), (outputs, outputs),
                        (outputs, inputs), (inputs, m, outputs),
                    ]
                )
            )  # fmt: skip
            a, b = (p @ p.T + 0.1 * torch.eye(len(p)) for p in parts[:2])
            if diagonal:
                a = torch.diag(a.diagonal())
            if diagonal or apart:
                b = torch.diag(b.diagonal())
            target = weight @ a + 0.3 * parts[2]
            self.layers.append((weight, a, b, target, parts[3]))
        self.offset = normal(m, seed=100 * seed + 99)
        self.start = [quantize(layer[0], BITS) for layer in self.layers]

    def states(self, start=None):
        return [
            rounded_layer(w, v, BITS, a, t, b, rows=rows)
            for (w, a, b, t, rows), v in zip(self.layers, start or self.start, strict=True)
        ]

    def descended(self, start=None, **options):
        states, offset = self.states(start), self.offset.numpy().copy()
        descend(states, offset, self.exact, **options)
        values = [s.weight(layer[0]) for s, layer in zip(states, self.layers, strict=True)]
        return values, offset, states

    def e(self, values, start=None):
        """The offset after the weights have gone from a start to these values."""
        moved = zip(self.layers, values, start or self.start, strict=True)
        return self.offset + sum(
            torch.einsum("ino,oi->n", layer[4], v - v0) for layer, v, v0 in moved
        )

    def loss(self, values, start=None):
        total = self.exact * self.e(values, start).square().mean()
        for (_, a, b, t, _), v in zip(self.layers, values, strict=True):
            total = total + torch.trace(b @ v @ a @ v.T) - 2 * torch.trace(b @ v @ t.T)
        return float(total)

    def flipped(self, values, k, o, i):
        """The values with one weight at its other neighbour."""
        below, above, _ = neighbours(self.layers[k][0], BITS)
        other = [v.clone() for v in values]
        other[k][o, i] = above[o, i] if values[k][o, i] == below[o, i] else below[o, i]
        return other

    def places(self):
        return [
            (k, o, i) for k, layer in enumerate(self.layers) for o, i in np.ndindex(*layer[0].shape)
        ]

    def by_formula(self):
        """Sweeps over columns; in each the best flip, as long as one lowers the loss.

        After the first sweep, columns in which none does when the layer's turn comes are left out.
        """
        values, changed, sweep = self.start, True, 0
        while changed:
            changed = False
            for k, layer in enumerate(self.layers):
                columns = range(layer[0].shape[1])
                if sweep:
                    columns = [i for i in columns if self.better(values, k, i) is not None]
                for i in columns:
                    while (best := self.better(values, k, i)) is not None:
                        values, changed = best, True
            sweep += 1
        return values

    def better(self, values, k, i):
        """The best flip in a column if it lowers the loss, else None."""
        options = [self.flipped(values, k, o, i) for o in range(self.layers[k][0].shape[0])]
        best = min(options, key=self.loss)
        return best if self.loss(best) < self.loss(values) - 1e-9 else None


KINDS = {
    "one layer": {},
    "outputs apart": {"shapes": ((3, 4),), "apart": True},
    "outputs apart, both shapes": {"shapes": ((3, 2),), "apart": True, "exact": 3.0},
    "one layer, both shapes": {"exact": 3.0},
    "two layers, both shapes": {"shapes": ((2, 3), (3, 2)), "exact": 3.0},
    "two layers, mostly the exact shape": {"shapes": ((3, 2), (1, 3)), "exact": 100.0},
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(3))
def test_the_descent_ends_where_no_flip_lowers_the_loss(kind, seed):
    problem = Problem(seed, **KINDS[kind])
    values, offset, states = problem.descended()
    here = problem.loss(values)
    assert here <= problem.loss(problem.start)
    for place in problem.places():
        assert problem.loss(problem.flipped(values, *place)) >= here - 1e-9
    assert here == pytest.approx(problem.loss(problem.by_formula()), rel=1e-9)
    for found, expected in zip(values, problem.by_formula(), strict=True):
        assert torch.equal(found, expected)
    # What it keeps track of is what it says.
    if problem.exact:
        assert np.allclose(offset, problem.e(values).numpy(), rtol=1e-10, atol=1e-12)
    for state, v, (_, a, _, t, _) in zip(states, values, problem.layers, strict=True):
        assert np.allclose(state.slope, (v @ a - t).numpy(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("apart", [True, False])
@pytest.mark.parametrize("seed", range(4))
def test_no_two_changes_of_one_output_lower_the_loss_after_pairs(seed, apart):
    problem = Problem(seed, ((3, 6),), apart=apart)
    (state,) = problem.states()
    descend([state])
    alone = [state.weight(problem.layers[0][0])]
    before = problem.loss(alone)
    descend_pairs(state)
    values = [state.weight(problem.layers[0][0])]
    here = problem.loss(values)
    assert here <= before
    for o, i, j in itertools.product(range(3), range(6), range(6)):
        one = problem.flipped(values, 0, o, i)
        two = one if i == j else problem.flipped(one, 0, o, j)
        assert problem.loss(two) >= here - 1e-9
    (_, a, _, t, _), v = problem.layers[0], values[0]
    assert np.allclose(state.slope, (v @ a - t).numpy(), rtol=1e-10, atol=1e-12)


def test_pairs_find_what_single_changes_do_not():
    """Two inputs that are one: one weight up and the other down leaves less; alone each leaves more."""
    weight = torch.tensor([[0.4, 0.4, 7.0]], dtype=torch.float64)
    gram = torch.tensor([[1.0, 0.99, 0], [0.99, 1, 0], [0, 0, 1]], dtype=torch.float64)
    target = torch.tensor([[1.0, 0.0, 7.0]], dtype=torch.float64) @ gram
    start = torch.tensor([[0.0, 1.0, 7.0]], dtype=torch.float64)
    layer = rounded_layer(weight, start, 4, gram, target, torch.eye(1).double())
    descend([layer])
    assert layer.weight(weight).tolist() == start.tolist()
    descend_pairs(layer)
    assert layer.weight(weight).tolist() == [[1.0, 0.0, 7.0]]


def test_the_descent_has_something_to_do():
    """Of the problems above most are not solved by rounding to nearest."""
    problems = [Problem(seed, **kind) for kind in KINDS.values() for seed in range(3)]
    gains = [p.loss(p.start) - p.loss(p.descended()[0]) for p in problems]
    assert np.mean(np.array(gains) > 1e-6) > 0.7


@pytest.mark.parametrize("exact", [0.0, 3.0])
def test_against_all_roundings(exact):
    """From each of all 2^n roundings the loss falls to a local minimum; the best is the least of all."""
    problem = Problem(1, ((2, 3),), exact)
    weight = problem.layers[0][0]
    below, above, _ = neighbours(weight, BITS)
    choices = [
        torch.where(torch.tensor(up).reshape(weight.shape), above, below)
        for up in itertools.product([False, True], repeat=weight.numel())
    ]
    # The offset belongs to the start, so each start gets the one that it would have come to.
    losses, ends = [], []
    for value in choices:
        losses.append(problem.loss([value]))
        state, offset = problem.states([value]), problem.e([value]).numpy().copy()
        descend(state, offset, exact)
        ends.append(problem.loss([state[0].weight(weight)]))
        assert ends[-1] <= losses[-1] + 1e-9
    assert min(ends) == pytest.approx(min(losses), rel=1e-12)
    # Who starts at the least stays there.
    least = int(np.argmin(losses))
    assert ends[least] == losses[least]
    assert max(losses) > min(losses) + 0.1


def test_without_couplings_the_descent_finds_the_least_of_all():
    problem = Problem(2, ((2, 3),), diagonal=True)
    below, above, _ = neighbours(problem.layers[0][0], BITS)
    losses = [
        problem.loss([torch.where(torch.tensor(up).reshape(2, 3), above, below)])
        for up in itertools.product([False, True], repeat=6)
    ]
    assert problem.loss(problem.descended()[0]) == pytest.approx(min(losses), rel=1e-12)


def test_each_sweep_lowers_the_loss():
    problem = Problem(0, ((6, 30), (4, 6)), 3.0)
    losses = [problem.loss(problem.descended(sweeps=n)[0]) for n in (0, 1, 2, 20)]
    assert losses[0] == pytest.approx(problem.loss(problem.start), rel=1e-12)
    assert losses[1] < losses[0]
    assert losses[3] <= losses[2] <= losses[1]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(3, 4), (3, 2, 2, 2)])
def test_rounded_weights_are_on_the_grid_bit_for_bit(dtype, shape):
    weight = normal(*shape, seed=5).to(dtype)
    flat = weight.flatten(1)
    gram = normal(20, flat.shape[1], seed=6).to(dtype)
    gram = gram.T @ gram
    layer = rounded_layer(weight, quantize(weight, 4), 4, gram, flat @ gram, torch.eye(3).to(dtype))
    descend([layer])
    value = layer.weight(weight)
    assert value.shape == weight.shape
    assert value.dtype == dtype
    below, above, nearest = neighbours(weight, 4)
    assert ((value == below) | (value == above)).all()
    assert not torch.equal(value, nearest)


# The two neighbours on the grid

hard = {
    "normal": normal(4, 6),
    "extreme": normal(4, 6) * 10.0 ** torch.linspace(-30, 30, 24).reshape(4, 6),
    "below normal": normal(4, 6) * 1e-42,
    "zero": torch.zeros(4, 6),
    "zero rows": normal(4, 6) * torch.tensor([0.0, 1, 0, 1])[:, None],
    "equal": torch.full((4, 6), -0.3),
    "ties": torch.arange(24).reshape(4, 6) / 2 - 7,
    "convolution": normal(4, 3, 2, 2),
}


def check_neighbours(weight, bits, per_channel):
    below, above, nearest = neighbours(weight, bits, per_channel=per_channel)
    grid = weight_grid(weight, bits, per_channel=per_channel)
    assert torch.equal(nearest, quantize(weight, bits, per_channel=per_channel))
    assert ((nearest == below) | (nearest == above)).all()
    # Up to the last digits of a code times the scale, and to quotients below the normal numbers.
    limits = torch.finfo(weight.dtype)
    slack = 4 * limits.eps * weight.abs() + limits.tiny * grid.scale
    assert (below <= weight + slack).all()
    assert (weight <= above + slack).all()
    codes = grid.codes(below), grid.codes(above)
    for value, code in zip((below, above), codes, strict=True):
        assert torch.equal(value, grid.values(code))
        assert code.min() >= grid.low and code.max() <= grid.high
    # One step apart, and none where the weight is the largest value.
    top = codes[0] == grid.high
    assert torch.equal(codes[1] - codes[0], (~top).to(weight))
    assert torch.allclose(weight.expand_as(top)[top], above[top], rtol=1e-5)


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("kind", hard)
def test_neighbours_lie_around_the_weight(kind, per_channel):
    for bits in (2, 3, 4, 8):
        for dtype in (torch.float32, torch.float64):
            check_neighbours(hard[kind].to(dtype), bits, per_channel)


@given(
    st.lists(st.floats(-1e3, 1e3, width=32), min_size=2, max_size=8),
    st.integers(2, 8),
    st.booleans(),
)
def test_neighbours_of_any_weight(values, bits, per_channel):
    check_neighbours(torch.tensor([values, values[::-1]]), bits, per_channel)


def test_neighbours_meet_at_the_top():
    below, above, nearest = neighbours(torch.tensor([[7.0, 3.5, -7.0, 0.0]]), 4)
    assert below.tolist() == [[7.0, 3.0, -7.0, 0.0]]
    assert above.tolist() == [[7.0, 4.0, -6.0, 1.0]]
    assert nearest.tolist() == [[7.0, 4.0, -7.0, 0.0]]


def test_a_weight_that_meets_its_neighbours_stays():
    """There is nothing to flip at the top of the grid, however much the target asks for."""
    weight = torch.tensor([[7.0, 7.0, 3.4]], dtype=torch.float64)
    gram = torch.eye(3, dtype=torch.float64)
    layer = rounded_layer(weight, quantize(weight, 4), 4, gram, weight + 100, gram[:1, :1])
    descend([layer])
    assert layer.weight(weight).tolist() == [[7.0, 7.0, 4.0]]
