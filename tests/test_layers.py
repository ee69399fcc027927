"""A layer is one matrix over patches of its input."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_network import Half, network, normal
from torch import nn

from baq.planning import sensitivity
from baq.rounding import Statistics, adaround
from baq.rounding.form import output_metrics
from baq.rounding.layers import (
    LayerInputs,
    as_columns,
    in_order_of_use,
    matrix_layers,
    patches,
    recorded,
)
from baq.zoo.models import ResidualBlock

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
    # Some positions, in any order, are these columns of all.
    count = expected[0, 0].numel()
    some = torch.randperm(count, generator=torch.Generator().manual_seed(3))[: (count + 1) // 2]
    assert torch.equal(patches(layer, x, some), patches(layer, x)[:, :, some])


@pytest.mark.parametrize("shape", [(5, 4), (5, 3, 4), (5, 2, 3, 4)])
def test_a_linear_layer_is_its_weight_times_patches(shape):
    layer = nn.Linear(4, 3).double()
    x = normal(*shape)
    a = patches(layer, x)
    assert a.shape == (5, 4, x.numel() // 20)
    found = layer.weight @ a + layer.bias[:, None]
    assert torch.allclose(found, as_columns(layer, layer(x)), rtol=1e-12, atol=1e-12)
    some = torch.arange(a.shape[2] - 1, -1, -2)
    assert torch.equal(patches(layer, x, some), a[:, :, some])


PADDED = {
    "one axis": lambda: nn.Conv1d(3, 4, 3, stride=2, padding=1, dilation=2),
    "one axis, same": lambda: nn.Conv1d(3, 4, 4, padding="same"),
    "same": lambda: nn.Conv2d(3, 4, (2, 3), padding="same", dilation=(1, 2)),
    "valid": lambda: nn.Conv2d(3, 4, 3, padding="valid"),
    "circular": lambda: nn.Conv2d(3, 4, 3, padding=(1, 2), padding_mode="circular"),
    "reflected": lambda: nn.Conv2d(3, 4, 3, padding=1, padding_mode="reflect"),
    "repeated, one axis": lambda: nn.Conv1d(3, 4, 3, padding=2, padding_mode="replicate"),
}


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@pytest.mark.parametrize("kind", PADDED)
def test_padding_of_every_kind_is_in_the_patches(kind):
    layer = PADDED[kind]().double()
    x = normal(2, 3, 7, 8)[:, :, 0] if isinstance(layer, nn.Conv1d) else normal(2, 3, 7, 8)
    expected = as_columns(layer, layer(x))
    found = layer.weight.flatten(1) @ patches(layer, x) + layer.bias[:, None]
    assert torch.allclose(found, expected, rtol=1e-12, atol=1e-12)
    some = torch.tensor([1, 0])
    assert torch.equal(patches(layer, x, some), patches(layer, x)[:, :, some])


UNSUPPORTED = {
    "groups": lambda: nn.Conv2d(4, 4, 3, groups=2),
    "groups of one axis": lambda: nn.Conv1d(4, 4, 3, groups=4),
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


class Wrapped(nn.Module):
    """A network that is no Sequential."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, x):
        return self.model(x)


def chain():
    """A residual network, and a module that works in place at the start of a child."""
    with torch.random.fork_rng():
        torch.manual_seed(4)
        return (
            nn.Sequential(
                nn.Conv2d(2, 3, 3),
                nn.Sequential(nn.ELU(inplace=True), nn.Conv2d(3, 3, 1), nn.ELU(inplace=True)),
                ResidualBlock(3, 4, 2),
                nn.Flatten(),
                nn.Linear(16, 3),
            )
            .double()
            .eval()
        )


class Own(nn.Sequential):
    """A Sequential that is built from something else than modules."""

    def __init__(self, model):
        super().__init__(*model)


@pytest.mark.parametrize("wrap", [nn.Sequential, Wrapped, Own, lambda model: model])
def test_what_reaches_a_layer_when_those_before_have_changed(wrap):
    """As a whole pass through the network has it, though each pass goes on from the one before."""
    model, parts = wrap(chain()), normal(5, 2, 6, 6).split(2)
    kept = [part.clone() for part in parts]
    inputs = LayerInputs(model, parts)
    for name, layer in matrix_layers(model).items():
        for k, found in enumerate(inputs.of(name)):
            with recorded(model) as expected:
                model(parts[k])
            assert torch.equal(found, expected[name][0])
        layer.weight.data += 0.1 * normal(*layer.weight.shape, seed=1)
    assert all(torch.equal(*pair) for pair in zip(parts, kept, strict=True))
    assert not any(layer._forward_pre_hooks for layer in model.modules())


def test_a_pass_starts_at_the_child_that_holds_the_layer():
    model, runs = chain(), []
    names = list(matrix_layers(model))
    for k, child in enumerate(model):
        child.register_forward_hook(lambda *_, k=k: runs.append(k))
    inputs = LayerInputs(model, [normal(2, 2, 6, 6)])
    for name in names:
        list(inputs.of(name))
    assert runs == [0, 1, 2, 3]  # a pass that ends at a layer does not finish its child


def test_layers_are_asked_for_in_their_order():
    inputs = LayerInputs(chain(), [normal(2, 2, 6, 6)])
    list(inputs.of("2.first"))
    with pytest.raises(ValueError, match="layer '1.1' is before the layer asked for last"):
        next(inputs.of("1.1"))


def test_a_layer_that_the_forward_pass_leaves_out_is_named():
    inputs = LayerInputs(Half().eval(), [torch.ones(4, 3)])
    with pytest.raises(ValueError, match=r"Linear\(in_features=3, out_features=5.* takes no part"):
        next(inputs.of("unused"))


def test_layers_that_are_no_matrix_may_be_set_apart():
    model, apart = (
        nn.Sequential(nn.Linear(2, 2), nn.Conv2d(4, 4, 3, groups=2), nn.Conv3d(1, 1, 1)),
        {},
    )
    assert list(matrix_layers(model, apart)) == ["0"]
    assert apart == {"1": "Conv2d with groups=2", "2": "a Conv3d"}
    with pytest.raises(ValueError, match="layer '0' is Conv2d.*: allowed are Linear"):
        matrix_layers(nn.Sequential(model[1]), {})  # nothing would be left to round


class TimeFirst(nn.Module):
    """Tokens (B, T, d) that a layer sees as (T, B, d), or as (B T, d)."""

    def __init__(self, fold):
        super().__init__()
        torch.manual_seed(0)
        self.a, self.b, self.fold = nn.Linear(4, 5), nn.Linear(5, 3), fold

    def forward(self, x):
        if self.fold:
            return self.b(torch.tanh(self.a(x.reshape(-1, 4))).reshape(len(x), -1, 5).mean(1))
        return self.b(torch.tanh(self.a(x.transpose(0, 1))).transpose(0, 1).mean(1))


@pytest.mark.parametrize("tokens", [2, 7, 20])
@pytest.mark.parametrize("fold", [False, True])
def test_layers_whose_rows_are_not_the_inputs_are_refused(tokens, fold):
    model, x = TimeFirst(fold).eval(), torch.randn(20, tokens, 4)
    for tried in (sensitivity, Statistics, lambda m, x: output_metrics(m, x, "logit")):
        with pytest.raises(ValueError, match=r"layer 'a' takes \d+ rows for \d inputs?: allowed"):
            tried(model, x)
    assert in_order_of_use(nn.Sequential(model.a, model.b), x) == [
        "0",
        "1",
    ]  # tokens alone are no fault


class Declared(nn.Module):
    """The same function, whatever is declared first."""

    def __init__(self, head_first):
        super().__init__()
        for name, size in (("head", (12, 3)), ("body", (6, 12)))[:: 1 if head_first else -1]:
            self.add_module(name, nn.Linear(*size))

    def forward(self, x):
        return self.head(torch.relu(self.body(x)))


def test_layers_are_rounded_in_their_order_of_use():
    torch.manual_seed(0)
    one, other, x = Declared(False).eval(), Declared(True).eval(), torch.randn(300, 6)
    other.load_state_dict(one.state_dict())
    assert in_order_of_use(other, x) == ["body", "head"]
    rounded = [adaround(network, 3, x, propagate=True).state_dict() for network in (one, other)]
    assert all(torch.equal(rounded[0][key], value) for key, value in rounded[1].items())
    alone = adaround(other, 3, x).head.weight
    assert not torch.equal(alone, rounded[1]["head.weight"])


def test_statistics_of_other_weights_are_refused():
    model, x = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3)), torch.randn(50, 4)
    known = Statistics(model, x)
    adaround(model, 4, known)
    model[0].weight.data.mul_(-2)
    with pytest.raises(ValueError, match="statistics of other weights"):
        adaround(model, 4, known)
