"""A layer is one matrix over patches of its input, and its quadratic loss is known by two moments."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from baq.layers import as_columns, matrix_layers, patches, recorded, second_moments


def normal(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def network(seed=0):
    """Convolution, batch norm and Linear in float64, in evaluation mode."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return (
            nn.Sequential(
                nn.Conv2d(2, 3, 3, padding=1),
                nn.BatchNorm2d(3),
                nn.ReLU(),
                nn.Conv2d(3, 4, 2, stride=2),
                nn.Tanh(),
                nn.Flatten(),
                nn.Linear(16, 3),
            )
            .double()
            .eval()
        )


def disturbed(model, size=0.1):
    """A network of the same shape with other weights."""
    candidate = network()
    candidate.load_state_dict(model.state_dict())
    for k, layer in enumerate(matrix_layers(candidate).values()):
        layer.weight.data += size * normal(*layer.weight.shape, seed=90 + k)
    return candidate


def columns(model, x, name):
    """Patches of a layer by a plain loop: each input's positions in turn, a column (in,) each."""
    layer = matrix_layers(model)[name]
    with recorded(model) as found:
        model(x)
    a = found[name][0].detach()
    if isinstance(layer, nn.Linear):
        return list(a)
    (kh, kw), (sh, sw), (ph, pw) = layer.kernel_size, layer.stride, layer.padding
    a = nn.functional.pad(a, (pw, pw, ph, ph))
    height, width = a.shape[2:]
    return [
        image[:, i : i + kh, j : j + kw].flatten()
        for image in a
        for i in range(0, height - kh + 1, sh)
        for j in range(0, width - kw + 1, sw)
    ]


two = st.tuples(st.integers(1, 3), st.integers(1, 3))


@settings(max_examples=60)
@given(
    st.integers(1, 3), st.integers(1, 4), two, two, st.tuples(*[st.integers(0, 2)] * 2), two,
    st.booleans(), st.tuples(st.integers(0, 3), st.integers(0, 3)),
)  # fmt: skip
def test_a_convolution_is_its_weight_times_patches(
    before, after, kernel, stride, padding, dilation, bias, more
):
    layer = nn.Conv2d(before, after, kernel, stride, padding, dilation, bias=bias).double()
    layer.weight.data = normal(*layer.weight.shape, seed=1)
    size = [d * (k - 1) + 1 + m for d, k, m in zip(dilation, kernel, more, strict=True)]
    x = normal(2, before, *size, seed=2)
    found = layer.weight.flatten(1) @ patches(layer, x)
    if bias:
        found = found + layer.bias[:, None]
    expected = layer(x)
    assert torch.allclose(found, as_columns(layer, expected), rtol=1e-12, atol=1e-12)
    assert torch.allclose(found.reshape(expected.shape), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("shape", [(5, 4), (5, 3, 4), (5, 2, 3, 4)])
def test_a_linear_layer_is_its_weight_times_patches(shape):
    layer = nn.Linear(4, 3).double()
    x = normal(*shape)
    a = patches(layer, x)
    assert a.shape == (5, 4, x.numel() // 20)
    found = layer.weight @ a + layer.bias[:, None]
    assert torch.allclose(found, as_columns(layer, layer(x)), rtol=1e-12, atol=1e-12)


UNSUPPORTED = {
    "groups": lambda: nn.Conv2d(4, 4, 3, groups=2),
    "padding mode": lambda: nn.Conv2d(4, 4, 3, padding=1, padding_mode="circular"),
    "padding by name": lambda: nn.Conv2d(4, 4, 3, padding="same"),
    "one axis": lambda: nn.Conv1d(4, 4, 3),
    "three axes": lambda: nn.Conv3d(4, 4, 3),
    "transposed": lambda: nn.ConvTranspose2d(4, 4, 3),
}


@pytest.mark.parametrize("kind", UNSUPPORTED)
def test_a_layer_that_is_no_matrix_is_named(kind):
    model = nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.ReLU(), UNSUPPORTED[kind]()))
    with pytest.raises(ValueError, match=r"layer '1\.1' is Conv.*: allowed are Linear") as caught:
        matrix_layers(model)
    assert "\n" not in str(caught.value)


def test_layers_are_named_as_the_model_names_them():
    assert list(matrix_layers(network())) == ["0", "3", "6"]
    alone = nn.Linear(2, 3)
    assert matrix_layers(alone) == {"": alone}
    with pytest.raises(ValueError, match="no Linear or convolution layer"):
        matrix_layers(nn.Sequential(nn.ReLU()))


def test_recorded_leaves_no_hook_behind():
    model, x = network(), normal(2, 2, 4, 4)
    with pytest.raises(KeyError, match="stop"), recorded(model) as found:
        model(x)
        raise KeyError("stop")
    assert {name: tuple(y.shape) for name, (_, y) in found.items()} == {
        "0": (2, 3, 4, 4), "3": (2, 4, 2, 2), "6": (2, 3)
    }  # fmt: skip
    assert not any(layer._forward_hooks for layer in model.modules())


@pytest.mark.parametrize("same", [True, False])
@pytest.mark.parametrize("name", ["0", "3", "6"])
def test_moments_equal_the_plain_average(name, same):
    reference, x = network(), normal(7, 2, 4, 4, seed=3)
    candidate = reference if same else disturbed(reference)
    weight = matrix_layers(reference)[name].weight.detach().flatten(1)
    gram, target = 0.0, 0.0
    for a, a_q in zip(columns(reference, x, name), columns(candidate, x, name), strict=True):
        gram = gram + torch.outer(a_q, a_q) / len(x)
        target = target + torch.outer(weight @ a, a_q) / len(x)
    found = second_moments(reference, candidate, name, x, batch_size=3)
    assert torch.allclose(found[0], gram, rtol=1e-12, atol=1e-12)
    assert torch.allclose(found[1], target, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ["0", "3", "6"])
def test_the_output_error_is_quadratic_with_these_moments(name):
    """E|V a_q - W a|^2 = tr(V A V') - 2 tr(V T') + const, const = E|W a|^2, for any V."""
    reference, x = network(), normal(6, 2, 4, 4, seed=4)
    candidate = disturbed(reference)
    gram, target = second_moments(reference, candidate, name, x)
    weight = matrix_layers(reference)[name].weight.detach().flatten(1)
    mine, theirs = columns(reference, x, name), columns(candidate, x, name)
    for seed in range(3):
        v = weight + 0.3 * normal(*weight.shape, seed=seed)
        error = constant = 0.0
        for a, a_q in zip(mine, theirs, strict=True):
            error += float((v @ a_q - weight @ a).square().sum()) / len(x)
            constant += float((weight @ a).square().sum()) / len(x)
        form = float((v @ gram * v).sum() - 2 * (v * target).sum()) + constant
        assert form == pytest.approx(error, rel=1e-11)


def test_drawn_positions_stand_for_all_without_bias():
    """Over many seeds the mean meets the full moments within its own standard error."""
    reference, x = network(), normal(5, 2, 4, 4, seed=5)
    candidate = disturbed(reference)
    full = second_moments(reference, candidate, "0", x)
    drawn = [
        second_moments(reference, candidate, "0", x, positions=5, seed=seed, batch_size=2)
        for seed in range(200)
    ]
    for expected, parts in zip(full, zip(*drawn, strict=True), strict=True):
        values = torch.stack(parts)
        error = values.std(dim=0) / len(values) ** 0.5
        assert (error > 0).all()
        assert ((values.mean(dim=0) - expected).abs() <= 4.5 * error).all()
        # The check can fail: ten per cent more or less would be seen.
        assert ((values.mean(dim=0) - 1.1 * expected).abs() > 4.5 * error).any()


def test_drawn_positions_follow_the_seed():
    model, x = network(), normal(5, 2, 4, 4, seed=6)
    one, again, other = (
        second_moments(model, model, "0", x, positions=4, seed=seed)[0] for seed in (0, 0, 1)
    )
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    every = second_moments(model, model, "0", x, positions=16, seed=0)[0]
    assert torch.equal(every, second_moments(model, model, "0", x, seed=1)[0])


def test_a_layer_that_the_forward_pass_leaves_out_is_named():
    class Half(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.unused = nn.Linear(3, 2), nn.Linear(3, 5)

        def forward(self, x):
            return self.used(x)

    model = Half().eval()
    with pytest.raises(ValueError, match=r"Linear\(in_features=3, out_features=5.* takes no part"):
        second_moments(model, model, "unused", torch.ones(4, 3))
