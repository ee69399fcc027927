"""The form of the boundary's displacement: gradients by differences, both shapes, points on the boundary."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from baq.inference import labels, logits
from baq.local import displacement, margins, pair_gap
from baq.rounding import Statistics
from baq.rounding.form import boundary_form, mean_square, output_metrics
from baq.rounding.layers import matrix_layers, recorded
from baq.rounding.points import boundary_points, low_margin_points, sample_boundary


def normal(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def drawn(*layers):
    """A network in float64 and evaluation mode, whose batch norms have seen data."""
    model = nn.Sequential(*layers).double().eval()
    for k, value in enumerate(model.state_dict().values()):
        if value.is_floating_point():
            value.copy_(normal(*value.shape, seed=k) / max(1, value[0].numel()) ** 0.5)
    for layer in model:
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_var.abs_().add_(0.5)
            layer.weight.data.abs_().add_(0.5)
    return model


NETWORKS = {
    "MLP": lambda: drawn(nn.Flatten(), nn.Linear(8, 6), nn.Tanh(), nn.Linear(6, 4)),
    "CNN": lambda: drawn(
        nn.Conv2d(2, 3, 2, bias=False), nn.BatchNorm2d(3), nn.Tanh(), nn.Flatten(), nn.Linear(3, 4)
    ),
    "CNN of many positions": lambda: drawn(
        nn.Conv2d(2, 3, 2, padding=1), nn.BatchNorm2d(3), nn.Tanh(),
        nn.Conv2d(3, 2, 2, stride=2, padding=1), nn.Tanh(), nn.Flatten(), nn.Linear(8, 4),
    ),
}  # fmt: skip
X = normal(7, 2, 2, 2, seed=50)


def moved(model, size, seed=0):
    """A copy with the weights of its matrix layers moved, and the changes (in, out) by layer."""
    candidate, changes = copy.deepcopy(model), {}
    for k, (name, layer) in enumerate(matrix_layers(candidate).items()):
        change = size * normal(*layer.weight.shape, seed=1000 * seed + k)
        layer.weight.data += change
        changes[name] = change.flatten(1).T
    return candidate, changes


def naive(reference, candidate, x, unit="input"):
    """e at each point straight from the definition: one point at a time, no batches."""
    values = []
    for point in x:
        point = point[None].clone().requires_grad_()
        z = reference(point)[0]
        i, j = z.topk(2).indices
        (slope,) = torch.autograd.grad(z[i] - z[j], point)
        z_q = candidate(point)[0]
        change = (z_q[i] - z_q[j]) - (z[i] - z[j]).detach()
        values.append(change / slope.norm() if unit == "input" else change)
    return torch.stack(values)


def linear_change(form, changes):
    """``sum_l <rows_l, D_l>``, shape (m,)."""
    return sum(torch.einsum("ino,io->n", form.rows[name], d) for name, d in changes.items())


def slope(sizes, errors):
    return np.polyfit(np.log(sizes), np.log(errors), 1)[0]


@pytest.mark.parametrize("unit", ["input", "logit"])
@pytest.mark.parametrize("kind", NETWORKS)
def test_rows_are_the_gradients_of_the_displacement(kind, unit):
    """Against central differences in each weight, at a candidate that is not the reference."""
    reference = NETWORKS[kind]()
    candidate, _ = moved(reference, 0.05)
    form = boundary_form(reference, candidate, X, unit=unit, batch_size=3)
    h = 1e-5
    for name, layer in matrix_layers(candidate).items():
        flat = layer.weight.data.flatten(1)
        found = torch.empty_like(form.rows[name])
        for o, i in np.ndindex(*flat.shape):
            ends = []
            for sign in (1, -1):
                other = copy.deepcopy(candidate)
                matrix_layers(other)[name].weight.data.flatten(1)[o, i] += sign * h
                ends.append(naive(reference, other, X, unit).detach())
            found[i, :, o] = (ends[0] - ends[1]) / (2 * h)
        assert torch.allclose(form.rows[name], found, rtol=1e-6, atol=1e-8), name


@pytest.mark.parametrize("kind", NETWORKS)
def test_offset_is_minus_the_displacement(kind):
    reference = NETWORKS[kind]()
    candidate, _ = moved(reference, 0.1)
    form = boundary_form(reference, candidate, X)
    at = pair_gap(reference, X)
    at_q = pair_gap(candidate, X, (at.first, at.second))
    assert torch.allclose(form.offset, -displacement(at, at_q), rtol=1e-12, atol=1e-14)
    expected = naive(reference, candidate, X).detach()
    assert torch.allclose(form.offset, expected, rtol=1e-10, atol=1e-13)
    assert mean_square(pair_gap(reference, X), candidate, X) == pytest.approx(
        float(expected.square().mean())
    )
    assert not boundary_form(reference, reference, X).offset.any()


@pytest.mark.parametrize("kind", NETWORKS)
def test_outputs_are_the_mean_outer_products_of_gradients(kind):
    reference = NETWORKS[kind]()
    candidate, _ = moved(reference, 0.1)
    form = boundary_form(reference, candidate, X, batch_size=2)
    for name in matrix_layers(candidate):
        total, count = 0.0, 0
        for point in X:
            with recorded(candidate) as found:
                e = naive(reference, candidate, point[None])
            (s,) = torch.autograd.grad(e, found[name][1])
            for column in s[0].reshape(s.shape[1], -1).T:
                total, count = total + torch.outer(column, column), count + 1
        assert torch.allclose(form.outputs[name], total / count, rtol=1e-10, atol=1e-14), name


@pytest.mark.parametrize("kind", NETWORKS)
def test_the_linear_form_errs_by_the_square_of_the_change(kind):
    """All layers move at once: e by order 2, and so the mean square, itself of order 2, by order 3."""
    reference = NETWORKS[kind]()
    form = boundary_form(reference, reference, X)
    sizes = np.logspace(-1.5, -3, 6)
    e_errors, square_errors = [], []
    for size in sizes:
        candidate, changes = moved(reference, size)
        linear = linear_change(form, changes)
        e = naive(reference, candidate, X).detach()
        e_errors.append(float((e - linear).abs().mean()))
        expected = mean_square(pair_gap(reference, X), candidate, X)
        square_errors.append(abs(float(linear.square().mean()) - expected))
    assert slope(sizes, e_errors) == pytest.approx(2, abs=0.1)
    assert slope(sizes, square_errors) == pytest.approx(3, abs=0.25)


@pytest.mark.parametrize("cut", [0, 1, 2])
def test_the_displacement_shows_in_the_error_of_any_cut(cut):
    """In a chain it is, to first order, s_l . (the whole error of layer l's output), for any layer l.

    The error holds that of the layers before, so a layer that lowers it makes up for them.
    """
    model = drawn(nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, 4), nn.Tanh(), nn.Linear(4, 3))
    x, names = normal(9, 5, seed=60), ["0", "2", "4"]
    form = boundary_form(model, model, x)
    sizes = np.logspace(-1.5, -3, 6)
    by_cut, by_rows, alone = [], [], []
    for size in sizes:
        candidate, changes = moved(model, size)
        # The layers behind the cut stay as they are.
        for name in names[cut + 1 :]:
            matrix_layers(candidate)[name].weight.data = matrix_layers(model)[name].weight.data
            del changes[name]
        with recorded(model) as found, recorded(candidate) as found_q:
            z, _ = model(x), candidate(x)
            error = found_q[names[cut]][1].detach() - found[names[cut]][1].detach()
            first, second = z.topk(2).indices.T
            gap = (z.gather(1, first[:, None]) - z.gather(1, second[:, None])).sum()
            (s,) = torch.autograd.grad(gap, found[names[cut]][1])
        s = s / pair_gap(model, x).gradient.norm(dim=1, keepdim=True)
        e = naive(model, candidate, x).detach()
        by_cut.append(float((e - (s * error).sum(dim=1)).abs().mean()))
        by_rows.append(float((e - linear_change(form, changes)).abs().mean()))
        # Without the errors of the layers before, order 1 stays.
        own = changes[names[cut]].T @ found[names[cut]][0].detach().T
        alone.append(float((e - (s * own.T).sum(dim=1)).abs().mean()))
    if cut < 2:
        assert slope(sizes, by_cut) == pytest.approx(2, abs=0.1)
    else:
        # Behind the last layer nothing bends: the identity is exact.
        assert max(by_cut) < 1e-13
    assert slope(sizes, by_rows) == pytest.approx(2, abs=0.1) or max(by_rows) < 1e-13
    if cut > 0:
        assert slope(sizes, alone) == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("kind", ["Linear", "CNN"])
def test_the_two_shapes_are_one_at_one_point_and_position(kind):
    """(s' D a)^2 = tr(B D A D') with A = a a' and B = s s'."""
    if kind == "Linear":
        model, x = drawn(nn.Linear(5, 3)), normal(1, 5, seed=3)
    else:
        model, x = NETWORKS["CNN"](), X[:1]
    form = boundary_form(model, model, x)
    _, changes = moved(model, 1.0)
    for name, change in changes.items():
        exact = float(linear_change(form, {name: change}).square().mean())
        gram = Statistics(model, x).moments(name)[0]
        kronecker = float((form.outputs[name] @ change.T @ gram * change.T).sum())
        assert exact > 0
        assert kronecker == pytest.approx(exact, rel=1e-10)


@pytest.mark.parametrize("kind", ["logit", "fisher"])
@pytest.mark.parametrize("name", NETWORKS)
def test_metrics_are_sums_over_classes_one_point_at_a_time(name, kind):
    """Logit: over all of them. Fisher: their mean under the model's own probabilities."""
    model = NETWORKS[name]()
    found = output_metrics(model, X, kind, batch_size=3)
    for layer in matrix_layers(model):
        total, positions = 0.0, 0
        for point in X:
            for k in range(4):
                with recorded(model) as at:
                    z = model(point[None].clone().requires_grad_())[0]
                p = z.softmax(0)[k]
                what, weight = (z[k], 1.0) if kind == "logit" else (p.log(), p.item())
                (s,) = torch.autograd.grad(what, at[layer][1])
                s = s[0].reshape(s.shape[1], -1)
                total, positions = total + weight * s @ s.T, s.shape[1]
        expected = total / (len(X) * positions)
        assert torch.allclose(found[layer], expected, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("name", NETWORKS)
def test_metrics_of_the_last_layer_are_those_of_its_logits(name):
    """There a logit's gradient is a unit vector, and Fisher's matrix is diag(p) - p p'."""
    model = NETWORKS[name]()
    last = list(matrix_layers(model))[-1]
    eye = torch.eye(4, dtype=torch.float64)
    torch.testing.assert_close(output_metrics(model, X, "logit")[last], eye)
    p = model(X).detach().softmax(dim=1)
    expected = torch.diag(p.mean(dim=0)) - p.T @ p / len(X)
    torch.testing.assert_close(output_metrics(model, X, "fisher")[last], expected)


def test_with_two_classes_fisher_is_the_boundary_in_logits_weighed_by_doubt():
    """Between two classes only the gap counts: ``B_F = E[p (1 - p) s s']``, s its gradient."""
    model = drawn(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 2))
    x = normal(1, 5, seed=61)
    gap = boundary_form(model, model, x, unit="logit", rows=False).outputs
    p = model(x).detach().softmax(dim=1)
    for name, b in output_metrics(model, x, "fisher").items():
        torch.testing.assert_close(b, p.prod() * gap[name])


def test_another_kind_of_metric_is_named():
    with pytest.raises(ValueError, match="kind is 'gap': allowed are boundary, logit, fisher"):
        output_metrics(NETWORKS["CNN"](), X, "gap")


class Product(nn.Module):
    """Two classes whose gap is, up to its sign, the sum of a convolution's output times other inputs.

    So its inputs are half of ours, and the gradient of the gap at its output is the other half.
    """

    def __init__(self):
        super().__init__()
        self.layer = nn.Conv2d(3, 2, 1, bias=False).double()
        self.layer.weight.data = normal(2, 3, 1, 1, seed=8)

    def forward(self, x):
        z = (self.layer(x[:, :3]) * x[:, 3:]).flatten(1).sum(dim=1)
        return torch.stack([z, torch.zeros_like(z)], dim=1)


@pytest.mark.parametrize("independent", [True, False])
def test_the_kronecker_shape_is_the_exact_one_of_independent_factors(independent):
    """Inputs and gradients independent, and positions of both: within the draw's standard error."""
    model, x = Product().eval(), normal(4000, 5, 2, 2, seed=9)
    if not independent:
        x[:, 3:] = x[:, :2]
    form = boundary_form(model, model, x, unit="logit", batch_size=1000)
    gram = Statistics(model, x).moments("layer")[0]
    ratios = []
    for seed in range(4):
        change = normal(3, 2, seed=70 + seed)
        squares = linear_change(form, {"layer": change}).square()
        kronecker = float((form.outputs["layer"] @ change.T @ gram * change.T).sum())
        error = float(squares.std()) / len(x) ** 0.5
        ratios.append(abs(float(squares.mean()) - kronecker) / error)
    if independent:
        assert max(ratios) < 4
    else:
        assert max(ratios) > 20


def test_an_activation_in_place_changes_nothing():
    first, last = drawn(nn.Linear(5, 6), nn.Linear(6, 3))
    x = normal(8, 5, seed=4)
    forms = [
        boundary_form(model, model, x)
        for model in (nn.Sequential(first, nn.ReLU(inplace=here), last) for here in (False, True))
    ]
    for name in ("0", "2"):
        assert torch.equal(forms[0].rows[name], forms[1].rows[name])
        assert torch.equal(forms[0].outputs[name], forms[1].outputs[name])


def test_rows_can_be_left_out():
    model = NETWORKS["CNN"]()
    full, lean = boundary_form(model, model, X), boundary_form(model, model, X, rows=False)
    assert lean.rows == {}
    assert torch.equal(full.offset, lean.offset)
    assert all(torch.equal(full.outputs[name], lean.outputs[name]) for name in full.outputs)
    assert full.rows["0"].shape == (8, 7, 3)
    assert full.outputs["0"].shape == (3, 3)


def test_what_the_form_cannot_take_is_named():
    model = NETWORKS["CNN"]()
    with pytest.raises(ValueError, match="unit is 'pixel': allowed are input, logit"):
        boundary_form(model, model, X, unit="pixel")
    with pytest.raises(ValueError, match="batch_size is 0"):
        boundary_form(model, model, X, batch_size=0)
    training = copy.deepcopy(model).train()
    for pair in ((training, model), (model, training)):
        with pytest.raises(ValueError, match="training mode"):
            boundary_form(*pair, X)
    with pytest.raises(ValueError, match="not finite"):
        boundary_form(model, model, X / 0)
    grouped = drawn(nn.Conv2d(2, 2, 2, groups=2), nn.Flatten())
    with pytest.raises(ValueError, match="layer '0' is Conv2d"):
        boundary_form(grouped, grouped, X)


# Points near the boundary, and on it


def line(x):
    """Two classes on either side of 2 x - y + 0.5 = 0."""
    z = 2 * x[:, 0] - x[:, 1] + 0.5
    return torch.stack([z, -z], dim=1)


def circle(x):
    """Inside and outside a circle of radius 1."""
    z = 1 - x.square().sum(dim=1)
    return torch.stack([z, torch.zeros_like(z)], dim=1)


def dead_at_zero():
    """Its gradient with respect to the input vanishes where the unit is dead, below 1."""
    model = nn.Sequential(nn.Linear(1, 1), nn.ReLU(), nn.Linear(1, 2)).double().eval()
    for layer, weight, bias in ((0, [[1.0]], [-1.0]), (2, [[1.0], [-1.0]], [-0.5, 0.5])):
        model[layer].weight.data = torch.tensor(weight).double()
        model[layer].bias.data = torch.tensor(bias).double()
    return model


@pytest.mark.parametrize("batch_size", [1, 2, 100])
def test_points_without_a_gradient_are_left_out_and_counted(batch_size):
    model, x = dead_at_zero(), torch.tensor([[0.0], [1.4]]).double()
    found = boundary_form(model, model, x, batch_size=batch_size)
    alone = boundary_form(model, model, x[1:])
    assert (found.left_out, alone.left_out) == (1, 0)
    expected = torch.tensor([[0.25, -0.25], [-0.25, 0.25]]).double()
    torch.testing.assert_close(found.outputs["2"], expected)
    for name in ("0", "2"):
        torch.testing.assert_close(found.outputs[name], alone.outputs[name])
        torch.testing.assert_close(found.rows[name], alone.rows[name])
    assert torch.equal(found.offset, alone.offset)
    candidate = copy.deepcopy(model)
    candidate[2].bias.data[0] += 0.1
    moved = boundary_form(model, candidate, x, batch_size=batch_size)
    assert moved.offset.shape == (1,)
    at = pair_gap(model, x)
    assert mean_square(at, candidate, x) == pytest.approx(float(moved.offset.square().mean()))
    for measure in (
        lambda: boundary_form(model, model, x[:1]),
        lambda: mean_square(pair_gap(model, x[:1]), candidate, x[:1]),
    ):
        with pytest.raises(ValueError, match="no gradient at any point"):
            measure()
    # In logits nothing is divided by the gradient.
    assert boundary_form(model, model, x, unit="logit").left_out == 0


BOUNDARIES = {
    "line": (line, lambda p: (2 * p[:, 0] - p[:, 1] + 0.5).abs() / 5**0.5),
    "circle": (circle, lambda p: (p.norm(dim=1) - 1).abs()),
}


@pytest.mark.parametrize("kind", BOUNDARIES)
@pytest.mark.parametrize("steps", [1, 6, 10, 30])
def test_bisected_points_lie_on_the_boundary(kind, steps):
    classifier, distance = BOUNDARIES[kind]
    x = normal(60, 2, seed=11)
    found = boundary_points(classifier, x, 200, steps=steps)
    assert found.shape == (200, 2)
    tolerance = float(torch.cdist(x, x).max()) / 2 ** (steps + 1)
    assert distance(found).max() <= tolerance
    # The bound is no looser than it should be: fewer halvings would not do.
    assert distance(found).max() > tolerance / 30
    # Both labels are within reach of each point.
    around = found[:, None] + 1.01 * tolerance * torch.tensor(
        [(np.cos(t), np.sin(t)) for t in np.linspace(0, 2 * np.pi, 64)]
    )
    near = labels(logits(classifier, around.flatten(0, 1))).reshape(200, 64)
    assert (near.min(dim=1).values != near.max(dim=1).values).all()
    # They come from many pairs.
    assert len(found.unique(dim=0)) > 150


def test_bisected_points_follow_the_seed_and_keep_the_shape():
    x = normal(30, 2, 1, 1, seed=12)

    def classifier(batch):
        return line(batch.flatten(1))

    one, again, other = (boundary_points(classifier, x, 20, seed=seed) for seed in (3, 3, 4))
    assert one.shape == (20, 2, 1, 1)
    assert one.dtype == x.dtype
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    assert torch.equal(one, boundary_points(classifier, x, 20, seed=3, batch_size=7))


def test_points_that_cannot_be_had_are_named():
    x = normal(10, 2, seed=13)
    with pytest.raises(ValueError, match="all inputs have one label"):
        boundary_points(line, x * 0, 5)
    for name, count, steps in (("count", 0, 10), ("steps", 5, 0)):
        with pytest.raises(ValueError, match=f"{name} is 0: allowed is 1 or more"):
            boundary_points(line, x, count, steps=steps)
    for count in (0, 11):
        with pytest.raises(ValueError, match=f"count is {count}: allowed is 1 to 10"):
            low_margin_points(line, x, count)
    for share in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match=f"share is {share}: allowed is 0 to 1"):
            sample_boundary(line, x, 4, share)
    with pytest.raises(ValueError, match="count is 0: allowed is 1 or more"):
        sample_boundary(line, x, 0)


def test_low_margin_points_are_those_nearest_in_logits():
    x = normal(40, 2, seed=14)
    margin = margins(logits(line, x))
    found = low_margin_points(line, x, 6)
    assert torch.equal(found, x[sorted(range(40), key=lambda n: float(margin[n]))[:6]])
    # Of equal margins the lower index comes first.
    twice = torch.tensor([[1.0, 0.0], [0.0, 0.0], [2.0, 2.0], [1.0, 2.0]])
    assert torch.equal(low_margin_points(line, twice, 2), twice[[1, 3]])


@pytest.mark.parametrize(("share", "bisected"), [(0.0, 0), (0.3, 3), (1.0, 10)])
def test_a_sample_is_inputs_of_low_margin_and_then_bisected_points(share, bisected):
    x = normal(50, 2, seed=15)
    found = sample_boundary(line, x, 10, share, seed=5)
    assert len(found) == 10
    if bisected < 10:
        assert torch.equal(found[: 10 - bisected], low_margin_points(line, x, 10 - bisected))
    if bisected:
        assert torch.equal(found[10 - bisected :], boundary_points(line, x, bisected, seed=5))


def test_a_sample_larger_than_the_inputs_is_cut():
    x = normal(4, 2, seed=16)
    assert len(sample_boundary(line, x, 20, 0.5)) == 4 + 10
