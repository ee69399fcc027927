"""Local measures against closed forms, naive references, and the order of their approximation."""

import copy
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from baq import compare, local
from baq.band import boundary_band
from baq.inference import logits, place
from baq.zoo import models

K, D, N = 5, 6, 40


def points(n=N, d=D, seed=0):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed)).double()


def linear(weight, bias):
    model = nn.Linear(weight.shape[1], len(weight)).double()
    model.weight.data, model.bias.data = weight.double(), bias.double()
    return model


def random_linear(seed=0):
    return linear(points(K, D, seed + 1), points(1, K, seed + 2)[0])


def random_mlp(seed=0, activation="tanh", hidden=7):
    model = models.mlp(D, K, hidden, activation, seed).double()
    for weight in model.parameters():
        weight.data *= 2
    return model


def perturbed(model, size, seed=0):
    """A copy whose weights differ by ``size`` times a fixed random direction."""
    generator = torch.Generator().manual_seed(seed)
    other = copy.deepcopy(model)
    for weight in other.parameters():
        weight.data += size * torch.randn(weight.shape, generator=generator).double()
    return other


def pair_gaps(reference, candidate, x):
    gap = local.pair_gap(reference, x)
    return gap, local.pair_gap(candidate, x, (gap.first, gap.second))


# Closed forms


def test_linear_classifier_has_exact_radii():
    model, x = random_linear(), points()
    w, z = model.weight.detach().numpy(), logits(model, x).numpy()
    radius, behind = local.radii(model, x)
    top = z.argmax(1)
    for i in range(N):
        distances = {
            k: (z[i, top[i]] - z[i, k]) / np.linalg.norm(w[top[i]] - w[k])
            for k in range(K)
            if k != top[i]
        }
        nearest = min(distances, key=distances.get)
        assert radius[i].item() == pytest.approx(distances[nearest], rel=1e-13)
        assert behind[i].item() == nearest


def test_a_step_of_the_radius_lands_on_a_linear_boundary():
    model, x = random_linear(), points()
    radius, behind = local.radii(model, x)
    top = logits(model, x).argmax(1)
    normal = model.weight.detach()[behind] - model.weight.detach()[top]
    normal /= normal.norm(dim=1, keepdim=True)
    for factor, same in ((1 - 1e-9, True), (1 + 1e-9, False)):
        stepped = logits(model, x + factor * radius[:, None] * normal).argmax(1)
        assert torch.equal(stepped == top, torch.full((N,), same))


def test_radius_of_a_circle_is_first_order():
    """f = (|x|^2 - 1, 0): the step is (|x|^2 - 1) / (2 |x|), where the circle is |x| - 1 away."""

    class Circle(nn.Module):
        def forward(self, x):
            gap = (x**2).sum(1) - 1
            return torch.stack([gap, torch.zeros_like(gap)], dim=1)

    x = points(20, 2)
    length = x.norm(dim=1)
    expected = (length**2 - 1).abs() / (2 * length)
    torch.testing.assert_close(local.radii(Circle(), x)[0], expected, rtol=1e-13, atol=0)
    torch.testing.assert_close(local.pair_gap(Circle(), x).radius, expected, rtol=1e-13, atol=0)


def test_the_top_pair_can_miss_the_nearest_boundary():
    # The second label's boundary is at 1 / 0.1, the third's at 1.5 / 3.
    model = linear(torch.tensor([[0.0, 0], [0.1, 0], [0, 3]]), torch.tensor([0.0, -1, -1.5]))
    x = torch.zeros(1, 2).double()
    radius, behind = local.radii(model, x)
    assert (radius.item(), behind.item()) == (pytest.approx(0.5), 2)
    assert local.pair_gap(model, x).radius.item() == pytest.approx(10)


def test_a_shifted_bias_displaces_by_minus_its_change_over_the_norm():
    w, x = torch.tensor([[1.0, 2, 2], [0, 0, 0]]), points(30, 3)
    bias = torch.tensor([0.3, 0.0]).double()
    reference = linear(w, bias)
    for change in (0.06, -0.06):
        candidate = linear(w, bias + change * torch.eye(2).double()[0])
        gap, gap_q = pair_gaps(reference, candidate, x)
        found = local.displacement(gap, gap_q)
        # Where the second label is on top, the gap and its normal point the other way.
        sign = torch.where(gap.first == 0, 1.0, -1.0).double()
        assert {*sign.tolist()} == {1.0, -1.0}
        expected = -sign * change / 3
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=0)


def test_the_displacement_is_over_the_norm_of_the_references_normal():
    w = torch.tensor([[3.0, 4], [0, 0]])
    reference, candidate = linear(w, torch.zeros(2)), linear(2 * w, torch.ones(2))
    x = torch.tensor([[1.0, 1], [0, 0.5]]).double()
    # Gaps 7 and 2 double while the norm that counts stays 5.
    found = local.displacement(*pair_gaps(reference, candidate, x))
    torch.testing.assert_close(found, torch.tensor([-7 / 5, -2 / 5], dtype=torch.float64))


@pytest.mark.parametrize("degrees", [0.0, 1e-6, 0.5, 30.0, 90.0, 150.0, 180.0])
def test_turned_normals_differ_by_their_angle(degrees):
    a = math.radians(degrees)
    turn = torch.eye(D, dtype=torch.float64)
    turn[0, 0] = turn[1, 1] = math.cos(a)
    turn[1, 0], turn[0, 1] = math.sin(a), -math.sin(a)
    # Normals within the plane of the turn, so that each of them turns by all of it.
    w = torch.zeros(K, D).double()
    w[:, :2] = points(K, 2)
    reference, candidate = linear(w, torch.zeros(K)), linear(3 * w @ turn.T, torch.zeros(K))
    angle = local.normal_angle(*pair_gaps(reference, candidate, points()))
    torch.testing.assert_close(
        angle, torch.full((N,), degrees, dtype=torch.float64), rtol=1e-12, atol=1e-13
    )


# Naive references


def with_batch_norm(build):
    """A network of that kind and images, with batch norms that do something."""
    generator = torch.Generator().manual_seed(0)
    model = build(3, K, 2).double().eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(generator=generator)
            module.running_var.uniform_(0.5, 2, generator=generator)
    return model, torch.randn(N, 3, 28, 28, generator=generator).double()


@pytest.mark.parametrize("kind", ["relu", "tanh", models.cnn, models.resnet])
def test_radii_equal_those_of_a_jacobian_for_each_point(kind):
    model, x = with_batch_norm(kind) if callable(kind) else (random_mlp(1, kind), points())
    radius, behind = local.radii(model, x)
    for i in range(N):
        z = model(x[i : i + 1])[0].detach()
        jacobian = torch.autograd.functional.jacobian(lambda p: model(p[None])[0], x[i])
        c = int(z.argmax())
        others = [k for k in range(K) if k != c]
        found = [float((z[c] - z[k]) / (jacobian[c] - jacobian[k]).norm()) for k in others]
        assert radius[i].item() == pytest.approx(min(found), rel=1e-12)
        assert behind[i].item() == others[int(np.argmin(found))]


@pytest.mark.parametrize("activation", ["relu", "tanh"])
@pytest.mark.parametrize("hidden", [1, 6, 40])
@pytest.mark.parametrize("count", [3, 200])
@pytest.mark.parametrize("shared", [0.0, 1e6])
def test_radii_in_closed_form_equal_those_by_gradients(activation, hidden, count, shared):
    """With fewer and more hidden units than inputs, and than points; and where classes share a lot."""
    torch.manual_seed(hidden)
    model = models.mlp(12, K, hidden, activation, seed=hidden).double()
    model[-1].weight.data += shared * torch.randn(hidden).double()
    # The identity in front hides what kind of network it is.
    by_gradients = nn.Sequential(nn.Identity(), model)
    x = 3 * torch.randn(count, 3, 2, 2).double()
    radius, behind = local.radii(model, x, batch_size=64)
    expected, expected_behind = local.radii(by_gradients, x, batch_size=64)
    torch.testing.assert_close(radius, expected, rtol=1e-10, atol=0)
    assert torch.equal(behind, expected_behind)
    assert not radius.requires_grad


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_the_gradient_of_the_gap_is_that_of_finite_differences(activation):
    model, x, h = random_mlp(2, activation), points(), 1e-6
    gap = local.pair_gap(model, x)

    def value(x):
        z = logits(model, x)
        return (z.gather(1, gap.first[:, None]) - z.gather(1, gap.second[:, None]))[:, 0]

    torch.testing.assert_close(gap.gap, value(x))
    assert torch.equal(gap.gap, local.margins(logits(model, x)))
    differences = torch.stack(
        [(value(x + h * e) - value(x - h * e)) / (2 * h) for e in torch.eye(D).double()], dim=1
    )
    torch.testing.assert_close(gap.gradient, differences, rtol=1e-6, atol=1e-8)


@settings(max_examples=50)
@given(
    rows=st.lists(st.lists(st.integers(-2, 2), min_size=3, max_size=3), min_size=1, max_size=12),
    share=st.floats(0.01, 1.0),
    seed=st.integers(0, 100),
)
def test_margins_flips_pair_flips_and_band_equal_loops(rows, share, seed):
    """Straight from the definitions, on small integers so that ties abound."""
    z = torch.tensor(rows).double()
    z_q = torch.randint(-2, 3, z.shape, generator=torch.Generator().manual_seed(seed)).double()
    margin, flip, pair_flip = [], [], []
    for row, row_q in zip(z.tolist(), z_q.tolist(), strict=True):
        i, j = sorted(range(3), key=lambda k: (-row[k], k))[:2]
        margin.append(row[i] - row[j])
        flip.append(row.index(max(row)) != row_q.index(max(row_q)))
        # Whether the candidate puts i before j, as a label's order does.
        pair_flip.append((-row_q[i], i) > (-row_q[j], j))
    count = max(1, round(share * len(rows)))
    lowest = sorted(range(len(rows)), key=lambda k: (margin[k], k))[:count]
    band = boundary_band(local.margins(z), share)
    assert local.margins(z).tolist() == margin
    assert local.flips(z, z_q).tolist() == flip
    assert local.pair_flips(z, z_q).tolist() == pair_flip
    assert torch.nonzero(band).flatten().tolist() == sorted(lowest)


# Order of the first-order displacement


def displaced_gap_error(size, sign=1.0, direction=None):
    """How far the candidate's gap, after a step of the displacement, is from the reference's."""
    reference, x = random_mlp(3), points(400)
    candidate = perturbed(reference, size)
    gap, gap_q = pair_gaps(reference, candidate, x)
    shift = sign * local.displacement(gap, gap_q)
    unit = gap.gradient if direction is None else direction
    unit = unit / unit.norm(dim=1, keepdim=True)
    moved = local.pair_gap(candidate, x + shift[:, None] * unit, (gap.first, gap.second))
    return float((moved.gap - gap.gap).abs().median())


def order(error, sizes=(1e-2, 3e-3, 1e-3, 3e-4, 1e-4)):
    return np.polyfit(np.log(sizes), np.log([error(s) for s in sizes]), 1)[0]


def test_the_displacement_is_right_to_second_order():
    assert order(displaced_gap_error) == pytest.approx(2, abs=0.1)


def test_a_wrong_sign_or_direction_is_right_to_first_order_only():
    """Negative controls: the check above tells both apart."""
    other = points(400, seed=9)
    assert order(lambda s: displaced_gap_error(s, sign=-1.0)) == pytest.approx(1, abs=0.1)
    assert order(lambda s: displaced_gap_error(s, direction=other)) == pytest.approx(1, abs=0.1)


# Laws


def test_a_classifier_and_itself_differ_by_exactly_nothing():
    for model in (random_linear(), random_mlp(4), random_mlp(4, "relu")):
        x = points()
        gap, same = pair_gaps(model, copy.deepcopy(model), x)
        z = logits(model, x)
        assert (local.displacement(gap, same) == 0).all()
        assert (local.normal_angle(gap, same) == 0).all()
        assert not local.flips(z, z).any() and not local.pair_flips(z, z).any()


@settings(max_examples=20)
@given(seed=st.integers(0, 1000), order=st.permutations(range(K)))
def test_the_names_of_the_classes_do_not_matter(seed, order):
    x, reference = points(seed=seed), random_mlp(seed)
    candidate = perturbed(reference, 0.3, seed)

    def renamed(model):
        other = copy.deepcopy(model)
        other[3].weight.data, other[3].bias.data = (
            model[3].weight.data[list(order)],
            model[3].bias.data[list(order)],
        )
        return other

    def measured(f, q):
        z, z_q = logits(f, x), logits(q, x)
        gap, gap_q = pair_gaps(f, q, x)
        return {
            "margin": local.margins(z),
            "flip": local.flips(z, z_q).double(),
            "pair flip": local.pair_flips(z, z_q).double(),
            "band": boundary_band(local.margins(z)).double(),
            "radius": local.radii(f, x)[0],
            "displacement": local.displacement(gap, gap_q),
            "angle": local.normal_angle(gap, gap_q),
        }

    before = measured(reference, candidate)
    after = measured(renamed(reference), renamed(candidate))
    for name, value in before.items():
        torch.testing.assert_close(after[name], value, rtol=1e-9, atol=1e-9, msg=name)


@settings(max_examples=20)
@given(seed=st.integers(0, 1000), factor=st.floats(1e-3, 1e3))
def test_scaled_logits_have_the_same_geometry(seed, factor):
    x, reference = points(seed=seed), random_mlp(seed)
    candidate = perturbed(reference, 0.1, seed)

    def scaled(model):
        other = copy.deepcopy(model)
        other[3].weight.data *= factor
        other[3].bias.data *= factor
        return other

    gaps, scaled_gaps = (
        pair_gaps(reference, candidate, x),
        pair_gaps(scaled(reference), scaled(candidate), x),
    )
    close = {"rtol": 1e-9, "atol": 1e-12}
    for measure in (local.displacement, local.normal_angle):
        torch.testing.assert_close(measure(*scaled_gaps), measure(*gaps), **close)
    torch.testing.assert_close(
        local.radii(scaled(reference), x)[0], local.radii(reference, x)[0], **close
    )
    torch.testing.assert_close(scaled_gaps[0].gap, factor * gaps[0].gap, **close)


@settings(max_examples=20)
@given(seed=st.integers(0, 1000), factor=st.floats(1e-3, 1e3))
def test_scaled_inputs_scale_every_length(seed, factor):
    x, reference = points(seed=seed), random_mlp(seed)
    candidate = perturbed(reference, 0.1, seed)

    def scaled(model):
        """The model of inputs in another unit: f(x / factor)."""
        other = copy.deepcopy(model)
        other[1].weight.data /= factor
        return other

    gaps = pair_gaps(reference, candidate, x)
    scaled_gaps = pair_gaps(scaled(reference), scaled(candidate), factor * x)
    close = {"rtol": 1e-8, "atol": 1e-12}
    torch.testing.assert_close(
        local.displacement(*scaled_gaps), factor * local.displacement(*gaps), **close
    )
    torch.testing.assert_close(
        local.radii(scaled(reference), factor * x)[0],
        factor * local.radii(reference, x)[0],
        **close,
    )
    torch.testing.assert_close(
        local.normal_angle(*scaled_gaps), local.normal_angle(*gaps), rtol=1e-6, atol=1e-7
    )


def test_logits_of_whole_numbers_keep_their_digits():
    z = torch.tensor([[2**24, 2**24 + 1]])
    assert local.flips(z, z.flip(1)).tolist() == local.pair_flips(z, z.flip(1)).tolist() == [True]
    assert local.margins(z).tolist() == [1.0]


def test_radii_in_bfloat16_are_near_those_of_float32():
    model, x = random_mlp(hidden=3), points(40).float()
    wide = local.radii(model.float(), x)[0]
    narrow = local.radii(copy.deepcopy(model).bfloat16(), x)[0]
    assert (narrow.float() / wide - 1).abs().median() < 0.05


def test_the_batch_size_does_not_matter():
    x, reference = points(), random_mlp(5)
    candidate = perturbed(reference, 0.1)
    whole, whole_radii = local.pair_gap(reference, x), local.radii(reference, x)
    for batch_size in (1, 7, 39, 40):
        part = local.pair_gap(reference, x, batch_size=batch_size)
        for name in ("first", "second", "gap", "gradient", "radius"):
            torch.testing.assert_close(getattr(part, name), getattr(whole, name))
        torch.testing.assert_close(local.radii(reference, x, batch_size), whole_radii)
        pair = (whole.first, whole.second)
        torch.testing.assert_close(
            local.pair_gap(candidate, x, pair, batch_size).gap,
            local.pair_gap(candidate, x, pair).gap,
        )


def test_images_and_their_flat_copies_measure_alike():
    x, model = points(), random_mlp(6)
    image = x.reshape(N, 1, 2, 3)
    assert torch.equal(local.pair_gap(model, image).gradient, local.pair_gap(model, x).gradient)
    assert torch.equal(local.radii(model, image)[0], local.radii(model, x)[0])


def test_double_precision_is_a_copy_close_to_single():
    x = points().float()
    model = models.mlp(D, K, 7)
    single, double = local.radii(model, x)[0], local.radii(place(model, torch.float64, "cpu"), x)[0]
    assert (single.dtype, double.dtype) == (torch.float32, torch.float64)
    torch.testing.assert_close(single.double(), double, rtol=1e-3, atol=1e-6)
    assert not torch.equal(single.double(), double)
    assert model[1].weight.dtype == torch.float32


def test_weights_and_inputs_get_no_gradient():
    x, model = points(), random_mlp(7)
    local.radii(model, x)
    local.pair_gap(model, x)
    assert x.grad is None and not x.requires_grad
    assert all(weight.grad is None for weight in model.parameters())


# Degenerate cases


def test_without_a_gradient_the_boundary_is_nowhere():
    constant = linear(torch.zeros(2, 3), torch.tensor([1.0, 0.0]))
    moved = linear(torch.zeros(2, 3), torch.tensor([1.5, 0.0]))
    sloped = linear(torch.eye(2, 3), torch.tensor([1.0, 0.0]))
    tied = linear(torch.zeros(2, 3), torch.zeros(2))
    x = torch.zeros(4, 3)
    assert (local.radii(constant, x)[0] == torch.inf).all()
    assert (local.pair_gap(constant, x).radius == torch.inf).all()
    assert (local.radii(tied, x)[0] == 0).all()
    twins = models.mlp(3, 2, 8, "tanh", seed=0)
    twins[-1].weight.data[1] = twins[-1].weight[0]
    assert (local.radii(twins, torch.ones(4, 3))[0] == torch.inf).all()
    assert (local.displacement(*pair_gaps(constant, moved, x)) == -torch.inf).all()
    assert (local.displacement(*pair_gaps(constant, constant, x)) == 0).all()
    assert local.normal_angle(*pair_gaps(constant, sloped, x)).isnan().all()
    assert (local.normal_angle(*pair_gaps(constant, moved, x)) == 0).all()


@pytest.mark.parametrize(
    ("share", "count"), [(0.2, 8), (0.01, 1), (0.001, 1), (1, 40), (0.5, 20), (0.1, 4)]
)
def test_the_band_holds_its_share(share, count):
    margin = points(N, 1)[:, 0].abs()
    band = boundary_band(margin, share)
    assert int(band.sum()) == count
    assert share == 1 or margin[band].max() < margin[~band].min()


def test_ties_at_the_edge_of_the_band_go_to_the_lower_index():
    assert boundary_band(torch.ones(5), 0.4).tolist() == [True, True, False, False, False]


# Scale


@pytest.mark.parametrize("k", [1e-30, 1e-24, 1e-10, 1.0, 1e10, 1e20, 1e30])
@pytest.mark.parametrize("hidden", [False, True], ids=["gradients", "closed form"])
def test_the_scale_of_the_logits_does_not_matter(k, hidden):
    def network(offset):
        last = nn.Linear(2, 2)
        last.weight.data = torch.tensor([[k, 0], [0, 0]])
        last.bias.data = torch.tensor([0.1 * k * offset, 0])
        if not hidden:
            return nn.Sequential(last)
        first = nn.Linear(2, 2, bias=False)
        first.weight.data = torch.eye(2)
        return nn.Sequential(first, nn.ReLU(), last)

    x = torch.tensor([[1.0, 0.0]])
    model, candidate = network(0), network(1)
    gap, gap_q = pair_gaps(model, candidate, x)
    one = pytest.approx(1, rel=1e-5)
    assert (local.radii(model, x)[0].item(), gap.radius.item()) == (one, one)
    assert local.displacement(gap, gap_q).item() == pytest.approx(-0.1, rel=1e-4)
    assert local.normal_angle(gap, gap_q).item() == 0
    row = compare(model, candidate, x).iloc[0]
    assert (row["radius"], row["shift"]) == (one, pytest.approx(0.1, rel=1e-4))


def test_norms_out_of_range_are_those_of_float64():
    rows = points(9, 50).float()
    assert torch.equal(local.row_norms(rows), rows.norm(dim=1))
    for scale in (1e-38, 1e-30, 1e-20, 1e19, 1e30, 1e36):
        exact = (rows.double() * scale).norm(dim=1)
        torch.testing.assert_close(local.row_norms(rows * scale).double(), exact, rtol=1e-5, atol=0)
    assert not local.row_norms(torch.zeros(2, 3)).any()


# Bad input


@pytest.mark.parametrize("share", [0, -0.1, 1.5, float("nan")])
def test_bad_shares_are_named(share):
    with pytest.raises(ValueError, match=f"share is {share}: allowed is above 0 and up to 1"):
        boundary_band(torch.rand(5), share)


@pytest.mark.parametrize("shape", [(5, 3), (4, 4), (6, 3)])
@pytest.mark.parametrize("measure", [local.flips, local.pair_flips])
def test_logits_of_other_shapes_are_named(measure, shape):
    message = rf"shapes \(5, 4\) and \({shape[0]}, {shape[1]}\): allowed are equal ones"
    with pytest.raises(ValueError, match=message):
        measure(torch.rand(5, 4), torch.rand(shape))


def test_gaps_of_other_pairs_or_points_are_refused():
    x, a, b = points(), random_mlp(1), random_mlp(2)
    own, other = local.pair_gap(a, x), local.pair_gap(b, x)
    assert not torch.equal(own.first, other.first)
    for measure in (local.displacement, local.normal_angle):
        for wrong in (other, local.pair_gap(a, x[:5])):
            with pytest.raises(ValueError, match="belong to different points or class pairs"):
                measure(own, wrong)


def test_a_pair_of_another_length_is_named():
    x, model = points(), random_mlp()
    pair = torch.zeros(3).long()
    with pytest.raises(ValueError, match=r"shapes \(3,\) and \(3,\): allowed is \(40,\) for both"):
        local.pair_gap(model, x, (pair, pair))


@pytest.mark.parametrize("measure", [local.pair_gap, local.radii])
def test_bad_points_and_weights_are_named(measure):
    model = random_mlp()
    with pytest.raises(ValueError, match=r"inputs have shape \(0, 6\): allowed"):
        measure(model, points()[:0])
    with pytest.raises(ValueError, match="inputs hold 240 values that are not finite"):
        measure(model, points() * torch.nan)
    with pytest.raises(ValueError, match="batch_size is 0: allowed is 1 or more"):
        measure(model, points(), batch_size=0)
    model[1].weight.data[0, 0] = torch.nan
    with pytest.raises(ValueError, match=f"logits hold {N * K} values that are not finite"):
        measure(model, points())
    with pytest.raises(ValueError, match="module '1' is in training mode"):
        measure(nn.Sequential(nn.Linear(D, K), nn.Dropout()).double().train(), points())
