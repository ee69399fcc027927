"""PTQ-W equals torch's own fake quantization bit for bit, and obeys the laws of rounding to a grid."""

import copy
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from baq.inference import logits
from baq.quantization import interpolate, ptq_w, quantize, quantized_weights, weight_grid

BITS = range(2, 9)
KINDS = [(per_channel, symmetric) for per_channel in (False, True) for symmetric in (False, True)]


def weights(shape, kind, seed=0):
    """A weight tensor of a kind that is hard in its own way."""
    w = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    if kind == "extreme":
        w *= 10.0 ** torch.linspace(-30, 30, w.numel()).reshape(shape)
    elif kind == "tiny":
        w *= 1e-36
    elif kind == "below normal":
        w *= 1e-42
    elif kind == "zero":
        w.zero_()
    elif kind == "zero rows":
        w[::2] = 0
    elif kind == "positive":
        w = w.abs() + 1
    elif kind == "equal":
        w.fill_(-0.3)
    elif kind == "two values":
        w = w.sign()
    elif kind == "ties":
        # Halfway between two codes of the symmetric grid of 4 bits, whose step is 1.
        w = torch.randint(-7, 7, shape, generator=torch.Generator().manual_seed(seed)) + 0.5
        w.view(-1)[0] = 7
    return w


LAYERS = {
    "Linear": lambda: nn.Linear(7, 5),
    "Conv1d": lambda: nn.Conv1d(3, 5, 4),
    "Conv2d": lambda: nn.Conv2d(3, 5, (3, 2)),
    "grouped Conv2d": lambda: nn.Conv2d(4, 6, 3, groups=2),
}
HARD = [
    *("normal", "extreme", "tiny", "below normal", "zero", "zero rows"),
    *("positive", "equal", "two values", "ties"),
]


def torch_quantized(w, bits, per_channel, symmetric):
    """Straight from the definition: scale and zero point by hand, rounding by torch.

    A scale below the normal numbers cannot be divided by: such weights are quantized 2^100 times as large.
    """
    rows = w.reshape(len(w), -1) if per_channel else w.reshape(1, -1)
    spans = (
        rows.abs().amax(1) if symmetric else rows.amax(1).clamp(min=0) - rows.amin(1).clamp(max=0)
    )
    codes = 2 ** (bits - 1) - 1 if symmetric else 2**bits - 1
    lift = torch.where(spans / codes < torch.finfo(torch.float32).tiny, 2.0**100, 1.0)
    by_row = lift.reshape(-1, *(1,) * (w.ndim - 1))
    return _torch_quantized(w * by_row, rows * lift[:, None], bits, per_channel, symmetric) / by_row


def _torch_quantized(w, rows, bits, per_channel, symmetric):
    scales, zeros = [], []
    low, high = (-(2 ** (bits - 1)) + 1, 2 ** (bits - 1) - 1) if symmetric else (0, 2**bits - 1)
    for row in rows:
        if symmetric:
            scale, smallest = row.abs().max() / high, None
        else:
            smallest = torch.minimum(row.min(), torch.tensor(0.0))
            scale = (torch.maximum(row.max(), torch.tensor(0.0)) - smallest) / high
        scale = scale if scale > 0 else torch.tensor(1.0)
        scales.append(scale)
        zeros.append(torch.tensor(0) if symmetric else torch.round(-smallest / scale).int())
    scale, zero = torch.stack(scales), torch.stack(zeros).int()
    if per_channel:
        return torch.fake_quantize_per_channel_affine(w, scale, zero, 0, low, high)
    return torch.fake_quantize_per_tensor_affine(w, scale[0], zero[0], low, high)


@pytest.mark.parametrize("kind", HARD)
@pytest.mark.parametrize("layer", LAYERS)
def test_equals_torch_bit_for_bit(layer, kind):
    model = nn.Sequential(LAYERS[layer]())
    model[0].weight.data = weights(model[0].weight.shape, kind)
    for bits in BITS:
        for per_channel, symmetric in KINDS:
            found = ptq_w(model, bits, per_channel=per_channel, symmetric=symmetric)[0].weight
            expected = torch_quantized(model[0].weight.data, bits, per_channel, symmetric)
            assert torch.equal(found, expected), (bits, per_channel, symmetric)


@settings(max_examples=100)
@given(
    values=st.lists(
        st.floats(-(2.0**60), 2.0**60, width=32, allow_subnormal=True), min_size=2, max_size=24
    ),
    bits=st.sampled_from(BITS),
    kind=st.sampled_from(KINDS),
)
def test_equals_torch_on_any_weights(values, bits, kind):
    w = torch.tensor(values[: len(values) // 2 * 2]).reshape(2, -1)
    per_channel, symmetric = kind
    found = quantize(w, bits, per_channel=per_channel, symmetric=symmetric)
    assert torch.equal(found, torch_quantized(w, bits, per_channel, symmetric))


@pytest.mark.parametrize(
    "rounding", [torch.floor, torch.trunc, lambda w: (w + 0.5).floor()], ids=["down", "in", "up"]
)
def test_another_rounding_is_not_equal(rounding):
    """Negative control: the equality above tells other rounding rules apart, the last by ties alone."""
    w = weights((5, 7), "ties")
    grid = weight_grid(w, 4)
    assert grid.scale == 1
    expected = torch_quantized(w, 4, False, True)
    assert torch.equal(grid.values(grid.codes(w)), expected)
    assert not torch.equal(grid.values(rounding(w).clamp(grid.low, grid.high)), expected)


@pytest.mark.parametrize("bits", BITS)
def test_ties_go_to_the_even_code(bits):
    high = 2 ** (bits - 1) - 1
    w = torch.tensor([[high, 0.5, -0.5, high - 0.5, 0.5 - high]])
    # The largest code is odd, so the value half a step below it goes to the code before.
    expected = [high, 0, 0, high - 1, 1 - high]
    assert quantize(w, bits).tolist() == [expected]
    assert torch_quantized(w, bits, False, True).tolist() == [expected]


weight_lists = st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=30)
any_kind = {"bits": st.integers(2, 16), "per_channel": st.booleans(), "symmetric": st.booleans()}


@settings(max_examples=100)
@given(values=weight_lists, **any_kind)
def test_the_error_is_at_most_half_a_step(values, bits, per_channel, symmetric):
    w = torch.tensor([values]).double()
    q = quantize(w, bits, per_channel=per_channel, symmetric=symmetric)
    step = weight_grid(w, bits, per_channel=per_channel, symmetric=symmetric).scale
    # The zero point is rounded too, so an asymmetric range can be off its grid by another half step.
    allowed = (0.5 if symmetric else 1.0) * step
    assert ((w - q).abs() <= allowed * (1 + 1e-12) + 1e-15 * w.abs().max()).all()


@settings(max_examples=100)
@given(values=weight_lists, **any_kind)
def test_quantizing_twice_is_quantizing_once(values, bits, per_channel, symmetric):
    w = torch.tensor([values])
    options = {"per_channel": per_channel, "symmetric": symmetric}
    grid = weight_grid(w, bits, **options)
    once = grid.values(grid.codes(w))
    assert torch.equal(grid.values(grid.codes(once)), once)
    if symmetric:
        # A grid measured anew has the same codes, and a scale that may differ in its last digit.
        again = weight_grid(once, bits, **options)
        assert torch.equal(again.codes(once), grid.codes(w))
        torch.testing.assert_close(quantize(once, bits, **options), once, rtol=3e-7, atol=0)


@settings(max_examples=100)
@given(values=weight_lists, bits=st.integers(2, 16), per_channel=st.booleans())
def test_a_symmetric_grid_is_odd_and_scales_with_the_weight(values, bits, per_channel):
    w = torch.tensor([values])
    q = quantize(w, bits, per_channel=per_channel)
    assert torch.equal(quantize(-w, bits, per_channel=per_channel), -q)
    if w.abs().max() > 1e-20:
        assert torch.equal(quantize(w * 8, bits, per_channel=per_channel), q * 8)


@settings(max_examples=100)
@given(values=weight_lists, **any_kind)
def test_zero_stays_zero_and_the_codes_stay_on_the_grid(values, bits, per_channel, symmetric):
    w = torch.tensor([[*values, 0.0]])
    grid = weight_grid(w, bits, per_channel=per_channel, symmetric=symmetric)
    codes = grid.codes(w)
    assert torch.equal(codes, codes.round())
    assert grid.low <= codes.min() and codes.max() <= grid.high
    assert grid.high - grid.low + 1 == (2**bits - 1 if symmetric else 2**bits)
    assert quantize(w, bits, per_channel=per_channel, symmetric=symmetric)[0, -1] == 0


def test_the_largest_weight_of_each_channel_is_kept():
    w = weights((5, 7), "normal").double()
    for bits in BITS:
        q = quantize(w, bits, per_channel=True)
        torch.testing.assert_close(q.abs().amax(1), w.abs().amax(1), rtol=1e-15, atol=0)
        whole = quantize(w, bits)
        assert whole.unique().numel() <= 2**bits - 1
        # With a scale for each channel more levels are in use over the tensor.
        assert q.unique().numel() > whole.unique().numel()


def network():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3),
        nn.BatchNorm2d(4),
        nn.Flatten(),
        nn.LayerNorm(144),
        nn.Linear(144, 3),
    )
    for module in (model[1], model[3]):
        nn.init.normal_(module.weight)
        nn.init.normal_(module.bias)
    model[1].running_mean.normal_()
    return model.eval()


def test_only_weights_of_linear_and_convolution_layers_change_and_only_in_the_copy():
    model = network()
    before = copy.deepcopy(model.state_dict())
    q = ptq_w(model, 3)
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name
    changed = {n for n, v in q.state_dict().items() if not torch.equal(v, before[n])}
    assert changed == {"0.weight", "4.weight"} == set(quantized_weights(model))
    assert q.state_dict()["4.weight"].data_ptr() != model[4].weight.data_ptr()
    assert q[4].weight.requires_grad


def test_a_single_layer_is_a_model_too():
    assert list(quantized_weights(nn.Linear(2, 2))) == ["weight"]
    assert ptq_w(nn.Linear(2, 2), 4).weight.shape == (2, 2)


def test_error_falls_by_half_with_each_bit():
    """Order of convergence, by a line through log error against bits."""
    w = weights((100, 100), "normal").double()
    bits = np.arange(6, 17)
    error = [float((w - quantize(w, int(b))).norm()) for b in bits]
    assert np.polyfit(bits, np.log2(error), 1)[0] == pytest.approx(-1, abs=0.02)


def test_interpolation_starts_and_ends_at_its_levels_and_is_affine():
    model = network()
    start, end = ptq_w(model, 3), ptq_w(model, 4)
    for t, level in ((0, start), (1, end), (0.0, start), (1.0, end)):
        path = interpolate(start, end, t)
        for name, weight in quantized_weights(path).items():
            assert torch.equal(weight, quantized_weights(level)[name])
    for t in (0.25, 0.5, 0.75):
        path = quantized_weights(interpolate(start, end, t))
        for name, weight in path.items():
            a, b = (quantized_weights(level)[name] for level in (start, end))
            assert torch.equal(weight, (1 - t) * a + t * b)
            assert not torch.equal(weight, a) and not torch.equal(weight, b)
    x = torch.rand(5, 1, 8, 8)
    before = logits(start, x)
    interpolate(start, end, 0.5)
    assert torch.equal(logits(start, x), before)


@pytest.mark.parametrize("bits", [0, 1, 17, -4, 4.0, "4", None, True])
def test_bad_bits_are_named(bits):
    with pytest.raises(ValueError, match=f"bits is {bits!r}: allowed are the integers 2 to 16"):
        ptq_w(nn.Linear(2, 2), bits)


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_smallest_and_the_largest_weights_keep_their_ratios(dtype, per_channel):
    limits = torch.finfo(dtype)
    small = quantize([[1e-37, -5e-38]], 16, per_channel=per_channel)
    torch.testing.assert_close(
        small, torch.tensor([[1e-37, -16384 * 1e-37 / 32767]]), rtol=1e-6, atol=0
    )
    w = torch.tensor([[7, -3, 1, 0.4]]).to(dtype)
    for factor in (
        limits.tiny / 2,
        limits.tiny,
        2.0**-20,
        1,
        2.0 ** (math.frexp(limits.max)[1] - 3),
    ):
        for bits in (2, 4, 8):
            for symmetric in (False, True):
                options = {"per_channel": per_channel, "symmetric": symmetric}
                expected = quantize(w, bits, **options) * factor
                found = quantize(w * factor, bits, **options)
                assert torch.equal(found, expected), (factor, bits, symmetric)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_what_a_grid_has_beyond_the_largest_number_is_that_number(dtype):
    most = torch.finfo(dtype).max
    for weight in ([most, -most, most / 3], [most, -most / 10, 100], [-most, most / 7, 0]):
        w = torch.tensor([weight], dtype=dtype)
        for bits in (2, 3, 8, 16):
            for symmetric in (False, True):
                found = quantize(w, bits, symmetric=symmetric)
                step = weight_grid(w / 8, bits, symmetric=symmetric).scale.double() * 8
                assert torch.isfinite(found).all()
                rounding = torch.finfo(dtype).eps * most
                assert ((found.double() / 2 - w.double() / 2).abs() <= step / 2 + rounding).all()


def test_dtypes_without_a_grid_are_named():
    for dtype in (torch.float8_e4m3fn, torch.int8, torch.complex64):
        with pytest.raises(
            ValueError, match=f"{dtype}: allowed are (floating dtypes|real numbers)"
        ) as one:
            quantize(torch.zeros(2, 2).to(dtype), 4)
        assert "\n" not in str(one.value)


def test_integers_of_numpy_are_bits():
    w = weights((5, 7), "normal")
    assert torch.equal(quantize(w, np.int64(4)), quantize(w, 4))


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_weights_that_are_not_finite_are_named(value):
    model = network()
    model[4].weight.data[0, 0] = value
    message = r"4\.weight: weight of shape \(3, 144\) .* 1 values that are not finite: allowed are"
    with pytest.raises(ValueError, match=message):
        ptq_w(model, 4)


def test_empty_weights_and_models_without_weights_are_named():
    with pytest.raises(ValueError, match=r"shape \(0, 3\) is empty .*: allowed are finite weights"):
        weight_grid(torch.empty(0, 3), 4)
    with pytest.raises(ValueError, match="ReLU has no Linear or convolution layer"):
        ptq_w(nn.ReLU(), 4)


@pytest.mark.parametrize("t", [-0.1, 1.1, float("nan")])
def test_positions_off_the_path_are_named(t):
    with pytest.raises(ValueError, match=f"t is {t}: allowed is 0 to 1"):
        interpolate(nn.Linear(2, 2), nn.Linear(2, 2), t)


def test_a_path_between_different_models_is_refused():
    for other in (nn.Linear(2, 3), nn.Sequential(nn.Linear(2, 2))):
        with pytest.raises(ValueError, match="weights of different names or shapes"):
            interpolate(nn.Linear(2, 2), other, 0.5)
