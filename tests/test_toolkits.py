"""Candidates that other toolkits quantized are measured as these toolkits evaluate them."""

import copy
import warnings

import numpy as np
import pytest
import torch
from torch import nn

from baq import compare, local
from baq.adapters import load_classifier
from baq.inference import labels, logits, place

SHAPE, K = (1, 8, 8), 5
pytestmark = pytest.mark.filterwarnings("ignore")  # theirs, of which torch.ao has many


def images(count=60, seed=0):
    return torch.rand(count, *SHAPE, generator=torch.Generator().manual_seed(seed))


def network():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layers = (nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 32), nn.ReLU())
        model = nn.Sequential(*layers, nn.Linear(32, K))
    for layer in (model[0], model[3], model[5]):
        layer.weight.data *= 2
    return model.eval()


def dynamic(model):
    return torch.ao.quantization.quantize_dynamic(model, {nn.Linear}, dtype=torch.qint8)


def fx(model):
    from torch.ao.quantization import get_default_qconfig_mapping
    from torch.ao.quantization.quantize_fx import convert_fx, prepare_fx

    ready = prepare_fx(model, get_default_qconfig_mapping("x86"), (images(2),))
    ready(images(64, 1))
    return convert_fx(ready)


def pt2e(model):
    torchao = pytest.importorskip("torchao", reason="torchao is not installed")
    del torchao
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
    from torchao.quantization.pt2e.quantizer.x86_inductor_quantizer import (
        X86InductorQuantizer,
        get_default_x86_inductor_quantization_config,
    )

    quantizer = X86InductorQuantizer()
    quantizer.set_global(get_default_x86_inductor_quantization_config())
    free = ({0: torch.export.Dim("n", min=1)},)
    program = torch.export.export(model, (images(4),), dynamic_shapes=free)
    ready = prepare_pt2e(program.module(), quantizer)
    ready(images(64, 1))
    return convert_pt2e(ready)


def by_torchao(name):
    def quantized(model):
        quantization = pytest.importorskip(
            "torchao.quantization", reason="torchao is not installed"
        )
        config = {
            "int8 weights": lambda: quantization.Int8WeightOnlyConfig(),
            "int8 dynamic": lambda: quantization.Int8DynamicActivationInt8WeightConfig(),
            "int4 weights": lambda: quantization.IntxWeightOnlyConfig(
                weight_dtype=torch.int4, granularity=quantization.granularity.PerGroup(16)
            ),
        }[name]()
        found = copy.deepcopy(model)
        quantization.quantize_(found, config)
        return found

    return quantized


def by_brevitas(model, tensors=False):
    """Weights of 3 bits; with ``tensors`` the last layer returns a QuantTensor."""
    layers = pytest.importorskip("brevitas.nn", reason="brevitas is not installed")
    last = {"return_quant_tensor": True} if tensors else {}
    if tensors:
        from brevitas.quant import Int8ActPerTensorFloat

        last |= {"output_quant": Int8ActPerTensorFloat}
    found = nn.Sequential(
        layers.QuantConv2d(1, 4, 3, weight_bit_width=3),
        nn.ReLU(),
        nn.Flatten(),
        layers.QuantLinear(144, 32, bias=True, weight_bit_width=3),
        nn.ReLU(),
        layers.QuantLinear(32, K, bias=True, weight_bit_width=3, **last),
    )
    found.load_state_dict(model.state_dict(), strict=False)
    return found.eval()


KINDS = {
    "torch.ao dynamic": dynamic,
    "torch.ao FX": fx,
    "pt2e": pt2e,
    "torchao int8 weights": by_torchao("int8 weights"),
    "torchao int8 dynamic": by_torchao("int8 dynamic"),
    "torchao int4 weights": by_torchao("int4 weights"),
    "brevitas": by_brevitas,
    "brevitas QuantTensor": lambda model: by_brevitas(model, tensors=True),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_candidate_is_measured_as_its_toolkit_evaluates_it(kind):
    reference, x = network(), images()
    candidate = KINDS[kind](copy.deepcopy(reference))
    with torch.no_grad():
        own = candidate(x)
    own = getattr(own, "value", own)
    z = reference(x).detach()
    found = logits(place(candidate), x)
    torch.testing.assert_close(found, own)
    assert (found != z).any()  # it is quantized
    rows = compare(reference, {kind: candidate, "same": copy.deepcopy(reference)}, x)
    row = rows.set_index("candidate").loc[kind]
    assert row["flip_rate"] == (z.argmax(1) != own.argmax(1)).double().mean()
    gap = local.pair_gap(reference, x)
    own_gap = local.pair_difference(own.float(), (gap.first, gap.second))
    shift = ((own_gap - gap.gap).abs() / gap.gradient.norm(dim=1)).median()
    assert row["shift"] == pytest.approx(float(shift), rel=0.05)
    if np.isnan(row["normal_angle"]):
        assert "normal_angle: " in row["reason"]
    else:
        assert row["normal_angle"] > 0


def test_xgboost_and_lightgbm_have_their_own_labels():
    from sklearn.datasets import load_digits

    xgboost = pytest.importorskip("xgboost", reason="xgboost is not installed")
    x, y = load_digits(return_X_y=True)
    for classes in (2, 10):
        a, b = x[y < classes][:300], y[y < classes][:300]
        model = xgboost.XGBClassifier(n_estimators=8, max_depth=3, n_jobs=1).fit(a, b)
        for source in (model, model.get_booster()):
            found = load_classifier(source)
            assert found.note.startswith("raw scores") and not found.differentiable
            np.testing.assert_array_equal(
                labels(logits(found, torch.from_numpy(a))), model.predict(a)
            )
        z = logits(found, torch.from_numpy(a)).double()
        np.testing.assert_allclose(z.softmax(1), model.predict_proba(a), atol=1e-5)


def test_lightgbm_has_its_own_labels():
    from sklearn.datasets import load_digits

    lightgbm = pytest.importorskip("lightgbm", reason="lightgbm is not installed")
    x, y = load_digits(return_X_y=True)
    for classes in (2, 10):
        a, b = x[y < classes][:300], y[y < classes][:300]
        model = lightgbm.LGBMClassifier(n_estimators=8, verbose=-1, n_jobs=1).fit(a, b)
        for source in (model, model.booster_):
            found = load_classifier(source)
            assert found.note.startswith("raw scores") and not found.differentiable
            np.testing.assert_array_equal(
                labels(logits(found, torch.from_numpy(a))), model.predict(a)
            )
        z = logits(found, torch.from_numpy(a)).double()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            np.testing.assert_allclose(z.softmax(1), model.predict_proba(a), atol=1e-5)


@pytest.mark.parametrize("scripted", [False, True])
@pytest.mark.parametrize("dtype", [torch.float64, torch.uint8])
def test_kernels_without_parameters_take_float32(dtype, scripted):
    model, x = network()[2:], (9 * torch.rand(60, 144)).round().to(dtype)
    candidate = dynamic(model).eval()
    if scripted:
        candidate = torch.jit.trace(candidate, x.float())
    torch.testing.assert_close(logits(candidate, x), candidate(x.float()))
