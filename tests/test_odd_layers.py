"""Networks whose layers are not what they seem: computed, shared, hooked, used twice or overridden."""

import itertools
import warnings

import numpy as np
import pytest
import torch
from tiny_network import normal
from torch import nn
from torch.nn.modules.module import (
    register_module_forward_hook,
    register_module_forward_pre_hook,
)
from torch.nn.utils import parametrizations, prune
from torchvision.ops import StochasticDepth

from baq import compare, local, ptq_w
from baq.inference import labels, logits, place
from baq.quantization import interpolate, quantize
from baq.rounding import Statistics, adaround
from baq.rounding.form import boundary_form
from baq.slices import label_map, pca_plane
from baq.structure import fold_batch_norm


def seeded(build, seed=0):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build().eval()


# Weights that are computed, not stored

COMPUTED = {
    "weight norm": parametrizations.weight_norm,
    "spectral norm": parametrizations.spectral_norm,
    "orthogonal": parametrizations.orthogonal,
    "old weight norm": lambda m: _silently(torch.nn.utils.weight_norm, m),
    "old spectral norm": torch.nn.utils.spectral_norm,
    "pruning": lambda m: prune.l1_unstructured(m, "weight", 0.5),
}


def _silently(make, module):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return make(module)


def with_computed_weight(kind):
    return seeded(
        lambda: nn.Sequential(COMPUTED[kind](nn.Linear(4, 8)), nn.ReLU(), nn.Linear(8, 3))
    )


@pytest.mark.parametrize("kind", COMPUTED)
def test_a_computed_weight_is_never_quantized_in_vain(kind):
    model, x = with_computed_weight(kind), torch.rand(9, 4)
    stored = seeded(lambda: nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3)))
    assert len(ptq_w(stored, 2)[0].weight.unique()) <= 3
    for change in (
        lambda: ptq_w(model, 2),
        lambda: interpolate(model, model, 0.5),
        lambda: interpolate(stored, model, 0.5),
        lambda: adaround(model, 3, x),
        lambda: Statistics(model, x),
    ):
        with pytest.raises(ValueError, match="layer '0' computes its weight") as caught:
            change()
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", COMPUTED)
def test_a_network_with_a_computed_weight_is_measured_as_it_runs(kind):
    model, x = with_computed_weight(kind), torch.rand(9, 4)
    plain = lambda batch: model(batch)  # noqa: E731
    torch.testing.assert_close(local.radii(model, x)[0], local.radii(plain, x)[0])
    plane = pca_plane(x)
    found, expected = label_map(model, plane, 20), label_map(plain, plane, 20)
    assert np.mean(found.labels != expected.labels) < 0.01


def test_a_network_that_cannot_be_copied_is_named():
    model = with_computed_weight("pruning").train()
    with pytest.raises(ValueError, match="layer '0' computes its weight before each pass"):
        compare(model, model, torch.rand(9, 4))


# Weights and layers that are used twice


class Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 2, bias=False)

    def forward(self, x):
        return self.layer(torch.relu(self.layer(x)))


def test_a_layer_used_twice_in_a_pass_is_refused():
    model, x = seeded(Twice), normal(200, 2).float() * torch.tensor([3, 0.3])
    for measure in (lambda: adaround(model, 3, x), lambda: boundary_form(model, model, x)):
        with pytest.raises(ValueError, match="layer 'layer' is used twice in a forward pass"):
            measure()
    again = nn.Sequential(model.layer, nn.ReLU(), model.layer)
    with pytest.raises(ValueError, match="layer '0' is used twice in a forward pass"):
        adaround(again, 3, x)


def test_a_weight_shared_by_two_layers_is_quantized_once():
    model = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 3)).eval()
    # One whose grid, measured once more on the quantized weight, differs in its last digit.
    model[0].weight.data = normal(3, 3, seed=46).float()
    model[2].weight = model[0].weight
    weight = model[0].weight.detach().clone()
    for candidate in (ptq_w(model, 3, symmetric=False), ptq_w(model, 3, per_channel=True)):
        assert candidate[0].weight is candidate[2].weight
    found = ptq_w(model, 3, symmetric=False)[0].weight
    assert torch.equal(found, quantize(weight, 3, symmetric=False))
    assert not torch.equal(found, quantize(found, 3, symmetric=False))
    halfway = interpolate(model, ptq_w(model, 3), 0.5)
    assert torch.equal(halfway[0].weight, (weight + quantize(weight, 3)) / 2)
    with pytest.raises(ValueError, match="layers '0' and '2' share a weight"):
        adaround(model, 3, torch.rand(9, 3))


# Transposed convolutions


def test_a_transposed_convolution_has_a_scale_for_each_output_channel():
    layer = nn.ConvTranspose2d(2, 3, 1)
    layer.weight.data = torch.tensor([[100, 1, 0.01], [80, 0.8, 0.02]])[:, :, None, None]
    found = ptq_w(layer, 4, per_channel=True).weight[:, :, 0, 0]
    expected = torch.tensor([[100, 1, 0.02 / 7 * 4], [600 / 7, 6 / 7, 0.02]])
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("groups", [1, 2, 3])
@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("kind", [nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d])
def test_each_output_channel_is_quantized_as_a_network_of_its_own(kind, groups, symmetric):
    model = seeded(lambda: kind(6, 6, 2, groups=groups))
    found = ptq_w(model, 4, per_channel=True, symmetric=symmetric).weight
    inputs, outputs = 6 // groups, 6 // groups
    for g, j in itertools.product(range(groups), range(outputs)):
        mine = slice(g * inputs, (g + 1) * inputs), j
        assert torch.equal(found[mine], quantize(model.weight[mine], 4, symmetric=symmetric))


# Half precision


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_grids_of_half_precision_are_those_of_float32(dtype):
    weight = torch.tensor([[0.005, -0.0025]]).to(dtype)
    expected = torch.tensor([[0.005, -64 * 0.005 / 127]])
    torch.testing.assert_close(quantize(weight, 8).float(), expected, rtol=2e-2, atol=0)
    weight = normal(5, 7).to(dtype)
    for bits, per_channel, symmetric in itertools.product((2, 8, 16), (True, False), (True, False)):
        options = {"per_channel": per_channel, "symmetric": symmetric}
        found = quantize(weight, bits, **options)
        assert found.dtype == dtype
        assert torch.equal(found, quantize(weight.float(), bits, **options).to(dtype))


# Networks that are not the sum of their layers


class Negative(nn.Sequential):
    def forward(self, x):
        return -super().forward(x)


class Named(nn.Sequential):
    """No forward pass of its own, but a constructor."""

    def __init__(self, inputs):
        super().__init__(nn.Linear(inputs, 8), nn.ReLU(), nn.Linear(8, 3))


def overridden(model):
    model.forward = lambda x: -nn.Sequential.forward(model, x)
    return model


class Doubled(nn.Linear):
    def forward(self, x):
        return (2 * super().forward(x)).round(decimals=1)


def hooked(where):
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    module = model if where is None else model[where]
    module.register_forward_hook(lambda module, inputs, output: output.flip(1) ** 3)
    return model


def pre_hooked():
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    model[0].register_forward_pre_hook(lambda module, inputs: (inputs[0].sin() * 5,))
    return model


ODD = {
    "own forward": lambda: Negative(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3)),
    "own constructor": lambda: Named(4),
    "forward of the object": lambda: overridden(Named(4)),
    "own layer": lambda: nn.Sequential(Doubled(4, 8), nn.Tanh(), nn.Linear(8, 3)),
    "hook on the network": lambda: hooked(None),
    "hook on the first layer": lambda: hooked(0),
    "hook on the activation": lambda: hooked(1),
    "hook on the last layer": lambda: hooked(2),
    "hook before the first layer": pre_hooked,
    "a flatten inside": lambda: nn.Sequential(
        nn.Linear(4, 8), nn.ReLU(), nn.Flatten(), nn.Linear(8, 3)
    ),
    "a flatten in front": lambda: nn.Sequential(
        nn.Flatten(), nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3)
    ),
    "batch statistics": lambda: nn.Sequential(
        nn.Linear(4, 8), nn.BatchNorm1d(8, track_running_stats=False), nn.ReLU(), nn.Linear(8, 3)
    ),
}


@pytest.mark.parametrize("kind", ODD)
def test_a_network_is_taken_apart_only_where_that_is_what_it_computes(kind):
    model, x = seeded(ODD[kind]).double(), normal(40, 4)
    plain = lambda batch: model(batch)  # noqa: E731
    plane = pca_plane(x, pad=2)
    inputs = plane.inputs(plane.centres(21).reshape(-1, 2))
    expected = labels(logits(plain, inputs)).numpy().reshape(21, 21)
    found = label_map(model, plane, 21)
    assert (found.labels == expected).all()
    assert len(np.unique(expected)) > 1
    if kind not in ("batch statistics", "own layer"):
        torch.testing.assert_close(local.radii(model, x)[0], local.radii(plain, x)[0])


def test_a_flatten_between_layers_is_compared():
    model = seeded(ODD["a flatten inside"])
    row = compare(
        model, ptq_w(model, 4), torch.rand(20, 4), planes=pca_plane(torch.rand(20, 4)), n=9
    )
    assert np.isfinite(row[["radius", "shift", "jaccard"]].to_numpy()).all()


GLOBAL = {
    "forward": (register_module_forward_hook, lambda module, inputs, output: output.sin() * 3),
    "forward pre": (register_module_forward_pre_hook, lambda module, inputs: (inputs[0].cos(),)),
}


@pytest.mark.parametrize("kind", GLOBAL)
def test_hooks_of_all_modules_are_seen(kind):
    model = seeded(
        lambda: nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3), nn.Flatten())
    ).double()
    convolutional = seeded(lambda: nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))).double()
    x, images = normal(40, 4), normal(5, 1, 4, 4)
    plane = pca_plane(x, pad=2)
    inputs = plane.inputs(plane.centres(21).reshape(-1, 2))
    before = label_map(model, plane, 21)
    register, hook = GLOBAL[kind]
    handle = register(hook)
    try:
        for network in (model, model[:3]):
            plain = lambda batch, network=network: network(batch)  # noqa: E731
            expected = labels(logits(plain, inputs)).numpy().reshape(21, 21)
            assert (label_map(network, plane, 21).labels == expected).all()
            assert (expected != before.labels).any()
            torch.testing.assert_close(local.radii(network, x)[0], local.radii(plain, x)[0])
        torch.testing.assert_close(fold_batch_norm(convolutional)(images), convolutional(images))
        for measure in (lambda: adaround(model, 3, x), lambda: boundary_form(model, model, x)):
            with pytest.raises(
                ValueError, match="layer '0' has hooks or a forward pass of its own"
            ):
                measure()
    finally:
        handle.remove()
    assert (label_map(model, plane, 21).labels == before.labels).all()


def test_a_layer_with_a_hook_is_not_rounded_by_a_loss():
    model, x = seeded(ODD["hook on the first layer"]), torch.rand(9, 4)
    assert len(ptq_w(model, 2)[0].weight.unique()) <= 3
    for measure in (lambda: adaround(model, 3, x), lambda: Statistics(model, x)):
        with pytest.raises(ValueError, match="layer '0' has hooks or a forward pass of its own"):
            measure()


class Standardized(nn.Linear):
    def forward(self, x):
        weight = (self.weight - self.weight.mean()) / self.weight.std()
        return nn.functional.linear(x, weight, self.bias)


class Called(nn.Linear):
    def __call__(self, x):
        return -super().__call__(x)


@pytest.mark.parametrize("kind", [Standardized, Called, ODD["own layer"]])
def test_a_layer_with_a_forward_pass_of_its_own_is_never_quantized(kind):
    layer = kind if not isinstance(kind, type) else lambda: nn.Sequential(kind(4, 3))
    model, x = seeded(layer), torch.rand(9, 4)
    for measure in (
        lambda: ptq_w(model, 2),
        lambda: adaround(model, 3, x),
        lambda: interpolate(model, model, 0.5),
    ):
        with pytest.raises(ValueError, match="layer '0', a .*, has a forward pass of its own"):
            measure()


class Negated(nn.Sequential):
    def __call__(self, x):
        return -super().__call__(x)


def test_a_call_that_is_not_the_forward_pass_is_measured_as_it_runs():
    model = seeded(lambda: Negated(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))).double()
    x = normal(40, 4)
    plane = pca_plane(x, pad=2)
    plain = lambda batch: model(batch)  # noqa: E731
    assert (label_map(model, plane, 21).labels == label_map(plain, plane, 21).labels).all()
    torch.testing.assert_close(local.radii(model, x)[0], local.radii(plain, x)[0])
    folded = seeded(lambda: Negated(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))).double()
    images = normal(5, 1, 4, 4)
    torch.testing.assert_close(fold_batch_norm(folded)(images), folded(images))


def test_hooks_keep_batch_norm_from_being_folded():
    def build():
        model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(8, 3))
        model[0].register_forward_hook(lambda module, inputs, output: output**2)
        return model

    model, x = seeded(build).double(), normal(5, 1, 4, 4)
    torch.testing.assert_close(fold_batch_norm(model)(x), model(x))


# Training mode


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(4, 2, dropout=0.5, batch_first=True)

    def forward(self, x):
        x = x.unflatten(1, (2, 2)).repeat(1, 1, 2)
        return self.attention(x, x, x)[0].flatten(1)


class Recurrent(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.layers = kind(2, 3, num_layers=2, dropout=0.5, batch_first=True)

    def forward(self, x):
        return self.layers(x.unflatten(1, (2, 2)))[0][:, -1]


class Noisy(nn.Module):
    def forward(self, x):
        return self.disturbed(x)

    def disturbed(self, x):
        return x + torch.rand_like(x) if self.training else x


def disturbed(module, x):
    return x + torch.rand_like(x) if module.training else x


def decorated(method):
    return lambda self, x: method(self, x)


class Helped(nn.Module):
    def forward(self, x):
        return disturbed(self, x)


class Nested(nn.Module):
    def forward(self, x):
        return (lambda: x + torch.rand_like(x) if self.training else x)()


class ByName(nn.Module):
    def forward(self, x):
        return x + torch.rand_like(x) if getattr(self, "training") else x  # noqa: B009


class Property(nn.Module):
    @property
    def loud(self):
        return self.training

    def forward(self, x):
        return x + torch.rand_like(x) if self.loud else x


class Decorated(nn.Module):
    @decorated
    def forward(self, x):
        return x + torch.rand_like(x) if self.training else x


def own_forward():
    model = nn.Identity()
    model.forward = lambda x: disturbed(model, x)
    return model


def noisily_hooked():
    model = nn.Linear(4, 3)
    model.register_forward_hook(lambda module, inputs, output: disturbed(module, output))
    return model


def scripted():
    with warnings.catch_warnings(action="ignore", category=FutureWarning):
        return torch.jit.script(nn.Dropout(0.5))


RANDOM = {
    "a helper": Helped,
    "a function inside": Nested,
    "by name": ByName,
    "a property": Property,
    "a decorator": Decorated,
    "forward of the instance": own_forward,
    "a hook": noisily_hooked,
    "TorchScript": scripted,
    "stochastic depth": lambda: StochasticDepth(0.5, "row"),
    "randomized ReLU": nn.RReLU,
    "attention": Attention,
    "GRU": lambda: Recurrent(nn.GRU),
    "LSTM": lambda: Recurrent(nn.LSTM),
    "instance norm": lambda: nn.Sequential(
        nn.Unflatten(1, (2, 2)), nn.InstanceNorm1d(2, track_running_stats=True), nn.Flatten()
    ),
    "of one's own": Noisy,
}


@pytest.mark.parametrize("kind", RANDOM)
def test_what_depends_on_training_mode_is_refused_in_it(kind):
    model, x = seeded(RANDOM[kind]), torch.rand(64, 4)
    logits(model, x)
    model.train()
    for measure in (logits, local.pair_gap, local.radii):
        with pytest.raises(ValueError, match=r"in training mode: call .eval\(\) first"):
            measure(model, x)


class Coded(nn.Module):
    """A layer whose first parameter is of whole numbers."""

    def __init__(self):
        super().__init__()
        codes = torch.randint(-127, 128, (3, 4), generator=torch.Generator().manual_seed(0))
        self.codes = nn.Parameter(codes.to(torch.int8), requires_grad=False)
        self.scale = nn.Parameter(torch.tensor(0.01, dtype=torch.float16))

    def forward(self, x):
        return nn.functional.linear(x.float(), self.codes.float() * self.scale.float())


def test_inputs_take_the_dtype_of_the_first_floats():
    model, x = Coded().eval(), torch.rand(50, 4)
    torch.testing.assert_close(logits(model, x), model(x.half()).detach())
    rows = compare(lambda x: model(x.half()).detach(), model, x, gradients=False)
    assert rows["flip_rate"][0] == 0
    del model.scale
    model.scale = torch.tensor(0.01)  # no parameter of floats is left
    assert place(model, torch.float64).codes.dtype == torch.int8
    torch.testing.assert_close(logits(model, x), model(x))
