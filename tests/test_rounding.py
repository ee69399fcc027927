"""Optimized rounding: on the grid, what it claims to lower is lower, and the boundary stays nearer."""

import copy
import functools
import itertools
import statistics

import numpy as np
import pytest
import torch
from tiny_network import normal
from torch import nn

from baq.inference import logits
from baq.local import pair_gap
from baq.quantization import ptq_w, quantized_weights, weight_grid
from baq.rounding import Statistics, adaround, boundary_gap, boundary_metric, output_metric
from baq.rounding import statistics as rounding_statistics
from baq.rounding.descent import descend, neighbours, rounded_layer
from baq.rounding.form import mean_square
from baq.rounding.layers import matrix_layers, patches, recorded
from baq.rounding.points import low_margin_points
from baq.rounding.search import _Splitting, round_layer
from baq.zoo import data, models
from baq.zoo.training import fit
from benchmarks.rounding import minibatch_adaround, objective


def splits(seed=0):
    return data.load("digits", seed, calibration=0.25)


@functools.cache
def trained(kind, seed=0):
    """A small network on digits; the tests leave it as it is."""
    if kind == "MLP":
        model, epochs = models.mlp(64, 10, 32, "tanh", seed), 30
    else:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            model, epochs = (
                nn.Sequential(
                    nn.Conv2d(1, 6, 3, padding=1, bias=False),
                    nn.BatchNorm2d(6),
                    nn.ReLU(),
                    nn.Conv2d(6, 8, 3, stride=2, padding=1),
                    nn.ReLU(),
                    nn.Flatten(),
                    nn.Linear(128, 10),
                ),
                6,
            )
    split = splits(seed)
    return fit(model, split.x_train, split.y_train, epochs=epochs, seed=seed)


X = splits().x_calibration
SHORT = {"steps": 40}
METHODS = {
    "AdaRound": lambda m, b, x, **o: adaround(m, b, x, **SHORT, **o),
    "AdaRound, propagated": lambda m, b, x, **o: adaround(m, b, x, propagate=True, **SHORT, **o),
    "boundary gap": lambda m, b, x, **o: boundary_gap(m, b, x, [3.0], points=80, **SHORT, **o)[3.0],
    "boundary metric": lambda m, b, x, **o: boundary_metric(
        m, b, x, exact=[0.1], points=120, rows=60, **SHORT, **o
    ),
    "logit metric": lambda m, b, x, **o: output_metric(m, b, x, "logit", points=120, **SHORT, **o),
    "Fisher metric": lambda m, b, x, **o: output_metric(
        m, b, x, "fisher", points=120, **SHORT, **o
    ),
}


def same(one, other):
    return all(
        torch.equal(p, q)
        for p, q in zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    )


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", ["MLP", "CNN"])
def test_weights_are_neighbours_on_the_grid_and_nothing_else_moves(kind, method, per_channel):
    model = trained(kind)
    before = copy.deepcopy(model)
    for bits in (4, 2):
        rounded = METHODS[method](model, bits, X, per_channel=per_channel)
        weights = quantized_weights(model)
        for name, value in quantized_weights(rounded).items():
            below, above, _ = neighbours(weights[name], bits, per_channel=per_channel)
            assert ((value == below) | (value == above)).all(), name
            grid = weight_grid(weights[name], bits, per_channel=per_channel)
            assert torch.equal(grid.values(grid.codes(value)), value)
            assert (value - weights[name]).abs().le(grid.scale * 1.00001).all()
        state = rounded.state_dict()
        for name, value in model.state_dict().items():
            assert name in weights or torch.equal(value, state[name]), name
        assert not same(rounded, ptq_w(model, bits, per_channel=per_channel))
        assert type(rounded) is type(model)
    assert same(model, before)


@pytest.mark.parametrize("method", METHODS)
def test_equal_arguments_give_equal_networks(method):
    model = trained("CNN")
    torch.manual_seed(1)
    one = METHODS[method](model, 3, X)
    torch.manual_seed(2)
    assert same(one, METHODS[method](model, 3, X))


def test_the_boundary_points_follow_the_seed():
    model = trained("MLP")
    one, other = (
        boundary_metric(model, 3, X, exact=[0.0], points=60, seed=seed, **SHORT) for seed in (0, 1)
    )
    assert not same(one, other)


@pytest.mark.parametrize("method", METHODS)
def test_the_place_of_weights_in_memory_does_not_matter(method):
    model = trained("CNN")
    other = copy.deepcopy(model).to(memory_format=torch.channels_last)
    assert not other[3].weight.is_contiguous()
    weights = (
        [w.detach() for w in quantized_weights(METHODS[method](m, 4, X)).values()]
        for m in (model, other)
    )
    # Sums in another order may turn a weight that is as well on either side.
    for one, two in zip(*weights, strict=True):
        assert (one != two).double().mean() < 0.05


@pytest.mark.parametrize("method", METHODS)
def test_sixteen_bits_are_the_float_network(method):
    model = trained("CNN")
    z, z_q = logits(model, X), logits(METHODS[method](model, 16, X), X)
    assert (z - z_q).abs().max() < 1e-3 * z.abs().max()


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("method", METHODS)
def test_a_network_on_the_grid_stays(method, per_channel):
    """Some inputs of the digits are always 0, so that nothing but the start holds their weights."""
    for bits in (2, 4):
        model = ptq_w(trained("MLP"), bits, per_channel=per_channel)
        rounded = METHODS[method](model, bits, X, per_channel=per_channel)
        for p, q in zip(model.parameters(), rounded.parameters(), strict=True):
            assert torch.allclose(p, q, rtol=1e-5, atol=0)


def test_a_layer_of_zeros_stays():
    model = nn.Sequential(nn.Linear(3, 2), nn.Tanh(), nn.Linear(2, 2)).eval()
    x = torch.rand(40, 3, generator=torch.Generator().manual_seed(0))
    x[:, 1] = 0
    model[0].weight.data.zero_()
    assert not adaround(model, 4, x)[0].weight.any()


def layer_inputs(model, name, x):
    """Patches of all inputs and positions, one a row, and the weight as a matrix."""
    with recorded(model) as found, torch.no_grad():
        model(x)
    layer = matrix_layers(model)[name]
    a = patches(layer, found[name][0]).transpose(1, 2).flatten(0, 1)
    return a.contiguous(), layer.weight.detach().flatten(1)


@pytest.mark.parametrize("kind", ["MLP", "CNN"])
@pytest.mark.slow
def test_adaround_needs_no_batches(kind):
    """At most 2 % above AdaRound by mini-batches, as its paper has it, in fewer steps.

    Of the network, each layer in units of nearest rounding. A layer of some fifty weights is left in
    one of a few minima, ours or the peer's the lower one; a single layer may be 5 % above.
    """
    bits, model, both = 4, trained(kind), []
    nearest, rounded = ptq_w(model, bits), adaround(model, bits, X)
    for name, layer in matrix_layers(model).items():
        a, weight = layer_inputs(model, name, X)
        grid = weight_grid(layer.weight, bits)
        peer = minibatch_adaround(
            weight, a, grid.scale, int(grid.high), iterations=1000, share=0.03
        )
        ours, plain = (
            objective(weight, matrix_layers(q)[name].weight.detach().flatten(1), a)
            for q in (rounded, nearest)
        )
        peer = objective(weight, peer, a)
        both.append((ours / plain, peer / plain))
        assert ours <= 1.05 * peer, name
        assert ours < 0.8 * plain, name
        # Coordinate descent alone, from nearest, sees one weight at a time.
        gram, target = Statistics(model, X).moments(name)
        start = matrix_layers(nearest)[name].weight.detach()
        alone = rounded_layer(
            layer.weight.detach(), start, bits, gram, target, torch.eye(len(weight))
        )
        descend([alone])
        assert ours <= objective(weight, alone.weight(weight), a) * 1.001, name
    ours, peer = map(sum, zip(*both, strict=True))
    assert ours <= 1.02 * peer


def test_the_search_comes_close_to_the_best_of_all_roundings():
    """Of all 4096 for twelve weights whose inputs and whose outputs hang together."""
    found, nearest = [], []
    choices = (
        torch.tensor(list(itertools.product((0.0, 1.0), repeat=12))).double().reshape(-1, 3, 4)
    )
    for seed in range(20):
        weight = normal(3, 4, seed=seed)
        gram, outputs = (
            m @ m.T + 0.5 * torch.eye(len(m)).double()
            for m in (normal(4, 3, seed=50 + seed), normal(3, 2, seed=90 + seed))
        )
        below, above, near = neighbours(weight, 3)

        def loss(v, weight=weight, gram=gram, outputs=outputs):
            d = v - weight
            return ((outputs @ d @ gram) * d).sum((-2, -1))

        best = loss(below + choices * (above - below)).min()
        value = round_layer(weight, 3, gram, weight @ gram, outputs, steps=300).value
        assert ((value == below) | (value == above)).all()
        found.append(float(loss(value) / best))
        nearest.append(float(loss(near) / best))
    assert min(found) > 1 - 1e-9
    assert statistics.median(found) < 1.05
    assert statistics.median(nearest) > 1.2


@pytest.mark.parametrize("kind", ["dense", "diagonal", "dead"])
def test_a_step_of_the_splitting_minimizes_the_loss_and_rounds(kind):
    """Against a dense solve of the normal equations, ``2 (B x A) vec + pull S`` with S the scaled norm."""
    weight, gram, outputs = (normal(*shape, seed=7) for shape in ((3, 4), (4, 4), (3, 3)))
    gram, outputs = gram @ gram.T, outputs @ outputs.T
    if kind == "diagonal":
        outputs = torch.diag(outputs.diagonal())
    if kind == "dead":
        gram[1], gram[:, 1], outputs[2], outputs[:, 2] = 0, 0, 0, 0
    below, above, near = neighbours(weight, 3)
    norm = torch.outer(
        *(torch.where(m.diagonal() > 0, m.diagonal(), 1) for m in (outputs, gram))
    ).flatten()
    hessian = torch.kron(outputs, gram)
    value, rest = near, torch.zeros_like(near)
    for pull in np.geomspace(0.02, 2.0, 7):
        aim = (value - weight - rest).flatten()
        change = torch.linalg.solve(hessian + pull * torch.diag(norm), pull * norm * aim)
        free = change.reshape(3, 4) + rest
        value = torch.where(
            (below - weight - free).abs() < (above - weight - free).abs(), below, above
        )
        rest = free - (value - weight)
    splitting = _Splitting((below, above, near), weight, gram, outputs)
    assert torch.equal(splitting.run(7), value)
    assert torch.equal(splitting.run(0), near)


@pytest.mark.parametrize("kind", ["MLP", "CNN"])
def test_adaround_with_few_steps_is_below_nearest_everywhere(kind):
    for bits in (4, 3):
        model = trained(kind)
        nearest, rounded = ptq_w(model, bits), adaround(model, bits, X)
        for name in matrix_layers(model):
            a, weight = layer_inputs(model, name, X)
            ours, plain = (
                objective(weight, matrix_layers(q)[name].weight.detach().flatten(1), a)
                for q in (rounded, nearest)
            )
            assert ours < 0.7 * plain, (name, bits)


@pytest.mark.parametrize("kind", ["MLP", "CNN"])
def test_layers_that_see_earlier_errors_make_up_for_them(kind):
    model, bits = trained(kind), 3
    z = logits(model, X)
    apart, along = (
        (logits(adaround(model, bits, X, propagate=way), X) - z).square().mean()
        for way in (False, True)
    )
    assert along < 0.85 * apart


def test_a_search_ends_where_twice_the_steps_gain_less_than_a_hundredth():
    """Each bound allows one run more; none after the first that gained too little is made."""
    model = trained("CNN")
    a, weight = layer_inputs(model, "3", X)
    gram = a.T @ a / len(X)
    given = weight, 4, gram, weight @ gram, torch.eye(len(weight))
    found = {steps: round_layer(*given, steps=steps) for steps in (40, 100, 199, 200, 400, 12800)}
    lengths = [search.steps for search in found.values()]
    assert lengths[:4] == [40, 100, 100, 200]
    assert not any(found[steps].converged for steps in (40, 100, 199))
    losses = [search.loss for search in found.values()]
    assert losses[1] == losses[2] and sorted(losses[1:], reverse=True) == losses[1:]
    assert found[12800].converged and lengths[-1] < 12800
    shorter = round_layer(*given, steps=lengths[-1] // 2).loss
    assert shorter - losses[-1] < 0.01 * losses[-1]
    for search in found.values():
        exact = objective(weight, search.value, a) * len(a) / len(X)
        assert search.loss == pytest.approx(exact, rel=1e-3)


def test_how_each_layer_was_searched_is_told():
    model, searches = trained("CNN"), {}
    rounded = adaround(model, 4, X, steps=20, searches=searches)
    assert list(searches) == list(matrix_layers(model))
    for name, layer in matrix_layers(rounded).items():
        assert torch.equal(searches[name].value, layer.weight)
        assert searches[name].steps == 20


# Boundary gap


def gap_term(model, candidate, points):
    """The mean squared change of the top pair's gap, one point at a time."""
    total = 0.0
    for z, z_q in zip(logits(model, points), logits(candidate, points), strict=True):
        i, j = z.topk(2).indices
        total += float((z_q[i] - z_q[j]) - (z[i] - z[j])) ** 2 / len(points)
    return total


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("kind", ["MLP", "CNN"])
def test_the_gap_term_falls_with_its_weight(kind, per_channel):
    model, options = trained(kind), {"per_channel": per_channel, "steps": 80}
    found = boundary_gap(model, 3, X, [0.0, 0.3, 10.0], points=100, **options)
    assert list(found) == [0.0, 0.3, 10.0]
    assert same(found[0.0], adaround(model, 3, X, **options))
    near = low_margin_points(model, X, 100)
    terms = [gap_term(model, candidate, near) for candidate in found.values()]
    assert terms[1] < 0.95 * terms[0]
    assert terms[2] < terms[1]


# Boundary metric


def test_the_boundary_stays_nearer_than_by_nearest_or_adaround():
    """On held-out inputs of low margin, on the mean over seeds."""
    bits, sums = 4, {}
    for seed in range(3):
        model, split = trained("MLP", seed), splits(seed)
        x, validation = split.x_calibration[:300], split.x_calibration[300:]
        near = low_margin_points(model, split.x_test, len(split.x_test) // 5)
        candidates = {
            "nearest": ptq_w(model, bits),
            "AdaRound": adaround(model, bits, split.x_calibration),
            "ours": boundary_metric(model, bits, x, validation, points=400, rows=200),
        }
        for name, candidate in candidates.items():
            sums[name] = sums.get(name, 0.0) + mean_square(pair_gap(model, near), candidate, near)
    assert sums["ours"] < 0.8 * sums["AdaRound"]
    assert sums["AdaRound"] < 0.5 * sums["nearest"]


def test_the_directions_of_the_gradients_matter(monkeypatch):
    """A control: the same eigenvalues in directions drawn at random keep the boundary less."""
    metrics = rounding_statistics.output_metrics

    def turned(*arguments, **how):
        found = metrics(*arguments, **how)
        for k, (name, b) in enumerate(found.items()):
            drawn = torch.randn(b.shape, generator=torch.Generator().manual_seed(k))
            q = torch.linalg.qr(drawn)[0]
            found[name] = q @ b @ q.T
        return found

    sums = []
    for here in (metrics, turned):
        monkeypatch.setattr(rounding_statistics, "output_metrics", here)
        sums.append(0.0)
        for seed in range(3):
            model, split = trained("MLP", seed), splits(seed)
            near = low_margin_points(model, split.x_test, len(split.x_test) // 5)
            candidate = boundary_metric(
                model, 4, split.x_calibration, exact=[0.0], points=300, steps=80
            )
            sums[-1] += mean_square(pair_gap(model, near), candidate, near)
    assert sums[0] < 0.7 * sums[1]


@pytest.mark.parametrize("kind", ["MLP", "CNN"])
def test_the_weight_with_the_least_displacement_on_validation_is_kept(kind):
    model, weights = trained(kind), [0.0, 0.05, 5.0]
    x, validation = X[:300], X[300:]
    options = {"points": 120, "rows": 60, "steps": 60}
    margin = logits(model, validation).topk(2).values.diff(dim=1).abs().squeeze(1)
    near = validation[margin.argsort(stable=True)[: len(validation) // 3]]
    apart = [boundary_metric(model, 3, x, exact=[weight], **options) for weight in weights]
    values = [mean_square(pair_gap(model, near), candidate, near) for candidate in apart]
    assert len(set(values)) > 1
    chosen = boundary_metric(model, 3, x, validation, exact=weights, **options)
    assert same(chosen, apart[values.index(min(values))])


@pytest.mark.parametrize("kind", ["MLP", "CNN"])
def test_the_metric_of_the_boundary_is_the_boundary_metric_without_the_exact_shape(kind):
    model, options = trained(kind), {"points": 60, **SHORT}
    one = output_metric(model, 3, X, "boundary", **options)
    assert same(one, boundary_metric(model, 3, X, exact=[0.0], **options))
    others = [output_metric(model, 3, X, name, **options) for name in ("logit", "fisher")]
    assert not any(same(one, other) for other in others) and not same(*others)


def test_what_an_output_metric_cannot_take_is_named():
    model = trained("MLP")
    with pytest.raises(ValueError, match="kind is 'hessian': allowed are boundary, logit, fisher"):
        output_metric(model, 4, X, "hessian")
    with pytest.raises(ValueError, match="ridge is -1: allowed is 0 or more"):
        output_metric(model, 4, X, "logit", ridge=-1)


def test_the_exact_shape_lowers_the_displacement_at_its_own_points():
    model = trained("MLP")
    options = {"points": 150, "on_boundary": 0.0, "rows": 150, "steps": 60}
    without, with_it = (
        boundary_metric(model, 3, X, exact=[weight], **options) for weight in (0.0, 1.0)
    )
    near = low_margin_points(model, X, 150)
    assert mean_square(pair_gap(model, near), with_it, near) < 0.9 * mean_square(
        pair_gap(model, near), without, near
    )


def test_the_ridge_pulls_to_the_float_weights():
    model = trained("MLP")
    options = {"exact": [0.0], "points": 60, "propagate": False, **SHORT}
    far, near = (
        sum(
            (p - q).square().sum()
            for p, q in zip(
                boundary_metric(model, 4, X, ridge=ridge, **options).parameters(),
                model.parameters(),
                strict=True,
            )
        )
        for ridge in (0.0, 100.0)
    )
    assert near < far


# What they take


@pytest.mark.parametrize("method", METHODS)
def test_bad_arguments_are_named(method):
    model, call = trained("CNN"), METHODS[method]
    for bits in (1, 17, 4.5):
        with pytest.raises(ValueError, match=f"bits is {bits}: allowed are the integers 2 to 16"):
            call(model, bits, X)
    with pytest.raises(ValueError, match="inputs have shape"):
        call(model, 4, X[:0])
    with pytest.raises(ValueError, match="values that are not finite: allowed are finite ones"):
        call(model, 4, X * float("nan"))
    grouped = nn.Sequential(nn.Conv2d(2, 2, 3, groups=2, bias=False), nn.Flatten()).eval()
    with pytest.raises(ValueError, match="layer '0' is Conv2d"):
        call(grouped, 4, torch.randn(40, 2, 3, 3, generator=torch.Generator().manual_seed(0)))
    with pytest.raises(ValueError, match="no Linear or convolution layer"):
        call(nn.Sequential(nn.Flatten()).eval(), 4, X)


@pytest.mark.parametrize("bad", [[], [-1.0], [0.1, -0.1], [float("nan")], [float("inf")]])
def test_bad_weights_of_a_term_are_named(bad):
    model = trained("MLP")
    with pytest.raises(ValueError, match=r"weights is \[.*\]: allowed are one or more numbers"):
        boundary_gap(model, 4, X, bad)
    with pytest.raises(ValueError, match=r"exact is \[.*\]: allowed are one or more numbers"):
        boundary_metric(model, 4, X, X, exact=bad)


def test_a_choice_needs_validation_inputs():
    model = trained("MLP")
    with pytest.raises(ValueError, match="exact has 2 weights: one is allowed without validation"):
        boundary_metric(model, 4, X, exact=[0.0, 1.0])
    with pytest.raises(ValueError, match="points is 0: allowed is 1 or more"):
        boundary_metric(model, 4, X, exact=[0.0], points=0)
    with pytest.raises(ValueError, match="share is 2: allowed is 0 to 1"):
        boundary_metric(model, 4, X, exact=[0.0], on_boundary=2)


def test_a_network_in_training_mode_is_left_so():
    model = copy.deepcopy(trained("CNN")).train()
    before = copy.deepcopy(model)
    rounded = adaround(model, 4, X, **SHORT)
    assert model.training and same(model, before)
    assert not rounded.training
    assert same(rounded, adaround(trained("CNN"), 4, X, **SHORT))


@pytest.mark.parametrize("method", METHODS)
def test_float64_networks_take_inputs_of_float32(method):
    model = copy.deepcopy(trained("MLP")).double()
    rounded = METHODS[method](model, 4, X)
    for name, value in quantized_weights(rounded).items():
        assert value.dtype == torch.float64
        below, above, _ = neighbours(quantized_weights(model)[name], 4)
        assert ((value == below) | (value == above)).all()


def test_progress_shows_on_request(capsys):
    model = trained("MLP")
    adaround(model, 4, X, **SHORT)
    assert capsys.readouterr().err == ""
    adaround(model, 4, X, progress=True, **SHORT)
    assert "AdaRound, 4 bits" in capsys.readouterr().err
