"""What rounding returns can leave: codes that give each weight back, and ONNX that decides as torch does."""

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from torch import nn
from torch.nn import functional

from baq import ptq_w
from baq.adapters import coded_weights, load_codes, save_codes, save_onnx
from baq.quantization import quantized_layers
from baq.rounding import adaround, boundary_metric
from baq.zoo import cnn, mlp
from baq.zoo.recipes import digits_network


def tensors(path):
    with safe_open(path, "pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, file.metadata()  # noqa: SIM118


class Tied(nn.Module):
    """Two layers with one weight, which is quantized once."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)
        self.second.weight = self.first.weight

    def forward(self, x):
        return self.second(torch.relu(self.first(x)))


NETWORKS = {
    "mlp": lambda: mlp(16, 3, 8),
    "cnn": lambda: cnn(1, 3, 4).eval(),
    "transposed": lambda: nn.Sequential(
        nn.ConvTranspose2d(3, 2, 3), nn.Flatten(), nn.Linear(72, 2)
    ),
    "one layer": lambda: nn.Linear(3, 2),
    "tied": Tied,
    "double": lambda: mlp(16, 3, 8).double(),
    "half": lambda: mlp(16, 3, 8).half(),
}


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("bits", [2, 8, 16])
def test_codes_give_back_every_weight_bit_for_bit(name, per_channel, symmetric, bits, tmp_path):
    torch.manual_seed(0)
    model, options = NETWORKS[name](), {"per_channel": per_channel, "symmetric": symmetric}
    candidate = ptq_w(model, bits, **options)
    for layer, coded in coded_weights(model, candidate, bits, **options).items():
        low, high = (-(2 ** (bits - 1)) + 1, 2 ** (bits - 1) - 1) if symmetric else (0, 2**bits - 1)
        assert low <= int(coded.codes.min()) and int(coded.codes.max()) <= high
        assert coded.scale.ndim == (1 if per_channel else 0)
        assert coded.codes.shape == quantized_layers(model)[layer].weight.shape
    save_codes(tmp_path / "x.safetensors", model, candidate, bits, **options)
    # None of the values of the network that is given stay.
    torch.manual_seed(1)
    loaded = load_codes(tmp_path / "x.safetensors", NETWORKS[name]())
    for key, value in candidate.state_dict().items():
        assert torch.equal(loaded.state_dict()[key], value), key
    found, told = tensors(tmp_path / "x.safetensors")
    assert told["format"] == "1"
    if name != "tied":
        weights = {f"{key}.weight".removeprefix(".") for key in quantized_layers(model)}
        assert not weights & found.keys(), "a weight in float beside its codes"
    assert not any(key.startswith("second.weight") for key in found)


@given(st.dictionaries(st.sampled_from(["1", "3"]), st.integers(2, 10), min_size=2))
def test_codes_take_bits_by_layer(bits):
    model = mlp(5, 3, 4)
    coded = coded_weights(model, ptq_w(model, bits), bits)
    assert {name: one.bits for name, one in coded.items()} == bits
    for name, one in coded.items():
        assert int(one.codes.abs().max()) == 2 ** (bits[name] - 1) - 1  # the largest weight's


def test_what_is_on_no_such_grid_is_refused():
    model = mlp(16, 3, 8)
    for candidate, bits, told in (
        (model, 4, "layer '1' is not on the grid of 4 bits"),
        (ptq_w(model, 5), 4, "not on the grid of 4 bits"),
        (ptq_w(model, 4, per_channel=True), 4, "per_channel=False"),
        (ptq_w(mlp(16, 3, 8, seed=1), 4), 4, "made of this model"),
        (mlp(16, 3, 9), 4, "no layer '1' of the model's shape"),
    ):
        with pytest.raises(ValueError, match=told) as caught:
            coded_weights(model, candidate, bits)
        assert "\n" not in str(caught.value)
    model[1].weight.data *= 1e-39
    with pytest.raises(ValueError, match="layer '1': its scale is no normal number"):
        coded_weights(model, ptq_w(model, 4), 4)
    grouped = nn.Sequential(nn.ConvTranspose2d(4, 4, 3, groups=2))
    with pytest.raises(ValueError, match="transposed and grouped"):
        coded_weights(grouped, ptq_w(grouped, 4, per_channel=True), 4, per_channel=True)


def test_a_file_that_does_not_fit_is_told_in_one_line(tmp_path):
    path, model = tmp_path / "x.safetensors", mlp(16, 3, 8)
    save_codes(path, model, ptq_w(model, 4), 4)
    with pytest.raises(ValueError, match="fits another network") as caught:
        load_codes(path, mlp(16, 3, 9))
    assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match="fits another network"):
        load_codes(path, cnn(1, 3, 4))
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(ValueError, match="no file of codes"):
        load_codes(path, model)
    path.write_text("x")
    with pytest.raises(ValueError, match="no file of codes"):
        load_codes(path, model)
    from safetensors.torch import save_file

    save_file(model.state_dict(), path)
    with pytest.raises(ValueError, match="its format is None"):
        load_codes(path, model)


def run(path, x):
    (z,) = onnxruntime.InferenceSession(path).run(None, {"x": x.numpy()})
    return torch.from_numpy(z)


def initializers(path):
    kinds = onnx.TensorProto.DataType.Name
    return {one.name: kinds(one.data_type) for one in onnx.load(path).graph.initializer}


def exact(candidate, x, z, slack=1e-4):
    """Equal labels, and logits that differ by the rounding of float32 alone."""
    with torch.no_grad():
        wanted = candidate(x)
    assert torch.equal(z.argmax(dim=1), wanted.argmax(dim=1))
    assert float((z - wanted).abs().max()) <= slack * float(wanted.abs().max())


@pytest.fixture(scope="module")
def digits():
    return digits_network(0)


@pytest.mark.parametrize("bits", [2, 3, 8])
def test_labels_of_the_digits_network_are_those_of_torch(digits, bits, tmp_path):
    network, splits = digits
    candidate = adaround(network, bits, splits.x_train[:300])
    assert not torch.equal(candidate[1].weight, ptq_w(network, bits)[1].weight)
    path = tmp_path / "digits.onnx"
    save_onnx(path, network, candidate, bits, splits.x_test)
    exact(candidate, splits.x_test, run(path, splits.x_test))
    exact(candidate, splits.x_test[:1], run(path, splits.x_test[:1]))  # the batch is free
    kinds = initializers(path)
    assert kinds["1.weight.codes"] == kinds["3.weight.codes"] == ("INT8" if bits > 4 else "INT4")
    assert not {"1.weight", "3.weight"} & kinds.keys(), "a weight in float beside its codes"


def small_cnn():
    """A network with batch norms whose statistics and weights are not those of the start."""
    torch.manual_seed(0)
    model = cnn(1, 10, 4)
    for layer in model:
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean.normal_()
            layer.running_var.uniform_(0.5, 2)
            nn.init.normal_(layer.weight)
            nn.init.normal_(layer.bias)
    model.eval()
    x = torch.randn(100, 1, 28, 28)
    model[10].bias.data -= model(x).mean(dim=0).detach()  # else all labels are one
    return model, x


_MORE = ({"per_channel": True}, {"symmetric": False}, {"per_channel": True, "symmetric": False})


@pytest.mark.parametrize(
    "options",
    [{}, *(pytest.param(options, marks=pytest.mark.slow) for options in _MORE)],
    ids=str,
)
def test_labels_of_a_network_with_batch_norms_are_those_of_torch(options, tmp_path):
    (model, x), bits = small_cnn(), {"0": 8, "3": 4, "6": 3, "10": 12}
    candidate = ptq_w(model, bits, **options)
    path = tmp_path / "cnn.onnx"
    save_onnx(path, model, candidate, bits, x, **options)
    exact(candidate, x, run(path, x))
    sign = "" if options.get("symmetric", True) else "U"
    kinds = [initializers(path)[f"{name}.weight.codes"] for name in bits]
    assert kinds == [f"{sign}INT{width}" for width in (8, 4, 4, 16)]
    assert [node.op_type for node in onnx.load(path).graph.node].count("BatchNormalization") == 3
    with torch.no_grad():  # a negative control: the float network's labels are others
        assert not torch.equal(run(path, x).argmax(dim=1), model(x).argmax(dim=1))


def test_codes_in_the_file_are_those_of_the_layer(tmp_path):
    (model, x), path = small_cnn(), tmp_path / "cnn.onnx"
    candidate = ptq_w(model, 4, per_channel=True)
    save_onnx(path, model, candidate, 4, x, per_channel=True)
    held = {one.name: one for one in onnx.load(path).graph.initializer}
    for name, coded in coded_weights(model, candidate, 4, per_channel=True).items():
        codes = onnx.numpy_helper.to_array(held[f"{name}.weight.codes"]).astype(np.int8)
        assert np.array_equal(codes, coded.codes.numpy())
        scale = onnx.numpy_helper.to_array(held[f"{name}.weight.scale"])
        assert np.array_equal(scale, coded.scale.numpy())
    # Nothing of the machine that wrote it, whose paths torch notes.
    assert b".py" not in path.read_bytes()


def test_rounding_to_the_boundary_leaves_too(tmp_path):
    model, x = mlp(16, 3, 8), torch.randn(60, 1, 4, 4)
    candidate = boundary_metric(model, 3, x, exact=[0.0], points=50)
    path = tmp_path / "x.onnx"
    save_onnx(path, model, candidate, 3, x)
    exact(candidate, x, run(path, x))


@pytest.mark.parametrize("per_channel", [False, True])
def test_pruned_layers_and_channels_have_codes(per_channel, tmp_path):
    model = mlp(5, 3, 4)
    model[1].weight.data[:2] = 0
    model[3].weight.data.zero_()
    candidate = ptq_w(model, 4, per_channel=per_channel)
    save_codes(tmp_path / "x.safetensors", model, candidate, 4, per_channel=per_channel)
    loaded = load_codes(tmp_path / "x.safetensors", model)
    for name, weight in candidate.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], weight), name
    x = torch.randn(4, 5)
    save_onnx(tmp_path / "x.onnx", model, candidate, 4, x, per_channel=per_channel)
    torch.testing.assert_close(run(tmp_path / "x.onnx", x), candidate(x).detach())


def test_what_cannot_be_exported_is_told_in_one_line(tmp_path):
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 2)

        def forward(self, x):
            if float(x.sum()) > 0:
                return self.layer(x)
            return functional.relu(self.layer(x))

    path, odd, x = tmp_path / "x.onnx", Odd(), torch.randn(3, 4)
    with pytest.raises(ValueError, match="cannot export Odd") as caught:
        save_onnx(path, odd, ptq_w(odd, 4), 4, x)
    assert "\n" not in str(caught.value)
    wide = nn.Linear(4, 2).double()
    with pytest.raises(ValueError, match=r"torch.float64: allowed is torch.float32"):
        save_onnx(path, wide, ptq_w(wide, 4), 4, x)
    assert not list(tmp_path.iterdir())


class OnTokens(nn.Module):
    """Linear layers on inputs (N, T, d), as a transformer has them: a MatMul in the exported graph."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last = nn.Linear(16, 64), nn.Linear(64, 10)
        self.block = nn.Sequential(nn.Linear(64, 256), nn.GELU(), nn.Linear(256, 64))

    def forward(self, x):
        x = self.first(x)
        return self.last((x + self.block(x)).mean(1))


@pytest.mark.parametrize("bits", [3, 4, 8])
@pytest.mark.parametrize("per_channel", [False, True])
def test_a_linear_layer_on_tokens_computes_in_float(tmp_path, bits, per_channel):
    model, x = OnTokens().eval(), torch.randn(500, 8, 16)
    candidate = ptq_w(model, bits, per_channel=per_channel)
    save_onnx(tmp_path / "q.onnx", model, candidate, bits, x, per_channel=per_channel)
    session = onnxruntime.InferenceSession(tmp_path / "q.onnx")
    (found,) = session.run(None, {"x": x.numpy()})
    np.testing.assert_allclose(found, candidate(x).detach(), atol=1e-5)


class OtherAlone(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 2)

    def forward(self, x):
        return 2 * self.layer(x) if len(x) > 5 else self.layer(x)


def test_a_network_that_is_exported_for_one_size_alone_is_refused(tmp_path):
    model, x = OtherAlone().eval(), torch.randn(20, 3)
    with pytest.raises(ValueError, match="batches of one size"):
        save_onnx(tmp_path / "q.onnx", model, ptq_w(model, 4), 4, x)
    assert not list(tmp_path.iterdir())
