"""ONNX files: labels and logits are onnxruntime's own, gradients those of the network exported."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from baq import compare, local
from baq.__main__ import main
from baq.adapters import load_classifier
from baq.inference import labels, logits

onnx = pytest.importorskip("onnx", reason="onnx is not installed")
ort = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
pytest.importorskip(
    "onnxscript", reason="torch exports to ONNX by onnxscript, which is not installed"
)
quantizing = pytest.importorskip("onnxruntime.quantization")

SHAPE, K = (1, 8, 8), 5


def images(count=40, seed=0):
    return torch.rand(count, *SHAPE, generator=torch.Generator().manual_seed(seed))


def network():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layers = (nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, K))
        model = nn.Sequential(*layers)
        model(torch.rand(64, *SHAPE))
    model[-1].weight.data *= 10
    return model.eval()


def exported(path, model, free=True, count=3):
    shapes = ({0: torch.export.Dim("n", min=1)},) if free else None
    program = torch.onnx.export(
        model, (images(count),), dynamo=True, dynamic_shapes=shapes, verbose=False
    )
    program.save(path)
    return path


class Calibration(quantizing.CalibrationDataReader):
    def __init__(self, name, x):
        self.rows = iter([{name: x.numpy()}])

    def get_next(self):
        return next(self.rows, None)


def quantized(way, path, to, x=None):
    """A file quantized by onnxruntime: dynamic, QDQ or with operators on integers."""
    if way == "dynamic":
        quantizing.quantize_dynamic(path, to)
    else:
        name = onnx.load(path).graph.input[0].name
        form = getattr(quantizing.QuantFormat, way)
        reader = Calibration(name, images(64) if x is None else x)
        quantizing.quantize_static(path, to, reader, quant_format=form, per_channel=False)
    return to


def by_onnxruntime(path, x):
    options = ort.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = ort.InferenceSession(str(path), options)
    return session.run(None, {session.get_inputs()[0].name: x.numpy()})[0]


def test_a_float_file_has_onnxruntime_s_logits_and_the_network_s_gradients(tmp_path):
    pytest.importorskip("onnx2torch", reason="onnx2torch is not installed")
    model, x = network(), images()
    found = load_classifier(exported(tmp_path / "m.onnx", model))
    assert found.differentiable and found.note == "gradients of its copy by onnx2torch"
    np.testing.assert_array_equal(logits(found, x), by_onnxruntime(tmp_path / "m.onnx", x))
    torch.testing.assert_close(logits(found, x), logits(model, x), rtol=1e-4, atol=1e-4)
    a, b = local.pair_gap(found, x), local.pair_gap(model, x)
    torch.testing.assert_close(a.gradient, b.gradient, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(
        local.radii(found, x)[0], local.radii(model, x)[0], rtol=1e-3, atol=1e-4
    )
    with pytest.raises(ValueError, match="has no Linear or convolution layer to quantize"):
        compare(found, __import__("baq").ptq_w(found, 4), x)


@pytest.mark.parametrize("way", ["dynamic", "QDQ", "QOperator"])
def test_a_quantized_file_is_measured_as_onnxruntime_runs_it(tmp_path, way):
    model, x = network(), images(200)
    path = exported(tmp_path / "m.onnx", model)
    to = quantized(way, path, tmp_path / "q.onnx")
    found = load_classifier(to)
    assert not found.differentiable and "no gradients: its" in found.note
    z_q = by_onnxruntime(to, x)
    np.testing.assert_array_equal(logits(found, x), z_q)
    rows = compare(load_classifier(path), {"int8": found}, x)
    flips = (by_onnxruntime(path, x).argmax(1) != z_q.argmax(1)).mean()
    assert rows["flip_rate"][0] == flips and rows["shift"][0] > 0
    assert np.isnan(rows["normal_angle"][0])
    assert rows["reason"][0].startswith("normal_angle: ")


def test_a_fixed_batch_is_filled_up(tmp_path):
    x = images(10)
    free = load_classifier(exported(tmp_path / "free.onnx", network()))
    fixed = load_classifier(exported(tmp_path / "fixed.onnx", network(), free=False, count=4))
    assert (free.batch, fixed.batch) == (None, 4)
    torch.testing.assert_close(logits(fixed, x), logits(free, x))


def graph(path, nodes, inputs, outputs, weights=()):
    helper, kinds = onnx.helper, onnx.TensorProto
    made = helper.make_graph(
        [helper.make_node(*node) for node in nodes],
        "made",
        [helper.make_tensor_value_info(n, getattr(kinds, t), s) for n, t, s in inputs],
        [helper.make_tensor_value_info(n, getattr(kinds, t), s) for n, t, s in outputs],
        [onnx.numpy_helper.from_array(v, n) for n, v in weights],
    )
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(made, opset_imports=opset, ir_version=8), path)
    return path


def test_several_inputs_and_outputs_are_named(tmp_path):
    path = graph(
        tmp_path / "two.onnx",
        [("Add", ["a", "b"], ["sum"]), ("Sub", ["a", "b"], ["difference"])],
        [("a", "FLOAT", ["n", 3]), ("b", "FLOAT", ["n", 3])],
        [("sum", "FLOAT", ["n", 3]), ("difference", "FLOAT", ["n", 3])],
    )
    with pytest.raises(ValueError, match="has 2 inputs: name all of a, b"):
        load_classifier(path)
    with pytest.raises(ValueError, match="has 2 outputs: name one of sum, difference"):
        load_classifier(path, inputs=["a", "b"])
    with pytest.raises(ValueError, match="input 'b' is not named: allowed are all of a, b"):
        load_classifier(path, inputs="a", output="sum")
    with pytest.raises(ValueError, match="output is 'product': allowed are sum, difference"):
        load_classifier(path, inputs=["a", "b"], output="product")
    found = load_classifier(path, inputs=["a", "b"], output="difference")
    a, b = torch.rand(2, 9, 3)
    torch.testing.assert_close(found(a=a, b=b), a - b)
    rows = compare(
        found, {"sum": load_classifier(path, inputs=["a", "b"], output="sum")}, {"a": a, "b": b}
    )
    expected = ((a - b).argmax(1) != (a + b).argmax(1)).double().mean()
    assert rows["flip_rate"][0] == expected
    np.savez(tmp_path / "two.npz", a=a, b=b)
    given = ["compare", str(path), str(path), "--data", str(tmp_path / "two.npz"), "--no-gradients"]
    assert main([*given, "--output", "sum", "--key", "a", "--key", "b"]) == 0
    assert main([*given, "--output", "sum", "--key", "a"]) == 2


def test_whole_numbers_and_half_precision_become_the_file_s_own(tmp_path):
    for kind, dtype in (("UINT8", np.uint8), ("FLOAT16", np.float16), ("DOUBLE", np.float64)):
        path = graph(
            tmp_path / f"{kind}.onnx",
            [("Cast", ["x"], ["wide"]), ("MatMul", ["wide", "w"], ["z"])],
            [("x", kind, ["n", 3])],
            [("z", "FLOAT", ["n", 4])],
            [("w", np.arange(12, dtype=np.float32).reshape(3, 4) % 5)],
        )
        model = onnx.load(path)
        model.graph.node[0].attribute.append(onnx.helper.make_attribute("to", 1))
        onnx.save(model, path)
        x = torch.randint(0, 9, (7, 3))
        w = onnx.numpy_helper.to_array(model.graph.initializer[0])
        z = logits(load_classifier(path), x)
        np.testing.assert_allclose(z, x.numpy().astype(dtype) @ w)


def test_inputs_that_do_not_fit_are_named(tmp_path):
    found = load_classifier(exported(tmp_path / "m.onnx", network()))
    with pytest.raises(
        ValueError, match=r"inputs have shape \(N, 1, 9, 8\): allowed .* \(N, 1, 8, 8\)"
    ):
        logits(found, torch.rand(2, 1, 9, 8))


def test_a_softmax_at_the_end_is_seen_in_the_file(tmp_path):
    model, x = network(), images()
    found = load_classifier(
        exported(tmp_path / "m.onnx", nn.Sequential(model, nn.Softmax(1)).eval())
    )
    assert "probabilities: their logarithm is taken" in found.note
    torch.testing.assert_close(
        local.margins(logits(found, x)), local.margins(logits(model, x)), rtol=1e-3, atol=1e-3
    )


def test_estimators_exported_by_skl2onnx_have_their_own_labels(tmp_path):
    skl2onnx = pytest.importorskip("skl2onnx", reason="skl2onnx is not installed")
    from sklearn.datasets import load_digits
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import LogisticRegression

    x, y = load_digits(return_X_y=True)
    x = x.astype(np.float32)
    for estimator in (LogisticRegression(max_iter=200), RandomForestClassifier(10, random_state=0)):
        estimator.fit(x[:500], y[:500])
        for zipmap in (True, False):
            options = {id(estimator): {"zipmap": zipmap}}
            made = skl2onnx.to_onnx(estimator, x[:1], options=options)
            path = tmp_path / "m.onnx"
            path.write_bytes(made.SerializeToString())
            name = made.graph.output[1].name
            found = labels(logits(load_classifier(path, output=name), torch.from_numpy(x)))
            session = ort.InferenceSession(str(path))
            own = session.run([made.graph.output[0].name], {made.graph.input[0].name: x})[0]
            np.testing.assert_array_equal(found, own)


# A trained classifier that ships within a package: which way up a line of text is


def text_direction():
    # Found without importing it, which takes packages that have nothing to do with the classifier.
    found = importlib.util.find_spec("rapidocr_onnxruntime")
    if found is None:
        pytest.skip("rapidocr-onnxruntime is not installed")
    return Path(found.origin).parent / "models" / "ch_ppocr_mobile_v2.0_cls_infer.onnx"


def lines_of_text(count=40, seed=0):
    """Lines of digits and letters as the network reads them, half of them upside down."""
    from PIL import Image, ImageDraw, ImageFont

    rng, rows = np.random.default_rng(seed), []
    for k in range(count):
        picture = Image.new("RGB", (192, 48), "white")
        words = "".join(rng.choice(list("abcdefghkmnprtuvwy 1234567")) for _ in range(12))
        font = ImageFont.load_default(size=int(rng.integers(18, 34)))
        ImageDraw.Draw(picture).text((6, 4), words, font=font, fill="black")
        pixels = np.asarray(picture.rotate(180 * (k % 2)), np.float32) / 255
        noisy = pixels + rng.normal(0, 0.2, pixels.shape).astype(np.float32)
        rows.append(((noisy - 0.5) / 0.5).transpose(2, 0, 1))
    return torch.from_numpy(np.stack(rows)), torch.arange(count) % 2


def test_a_classifier_that_ships_in_a_package_is_audited_as_its_runtime_runs_it(tmp_path):
    path = text_direction()
    x, y = lines_of_text()
    to = quantized("QDQ", path, tmp_path / "int8.onnx", x[:8])
    reference, candidate = load_classifier(path), load_classifier(to)
    rows = compare(reference, {"int8": candidate}, x, y, batch_size=8)
    p, p_q = by_onnxruntime(path, x), by_onnxruntime(to, x)
    np.testing.assert_allclose(logits(reference, x), np.log(p), rtol=1e-4, atol=1e-6)
    row = rows.iloc[0]
    assert row["flip_rate"] == (p.argmax(1) != p_q.argmax(1)).mean()
    assert row["accuracy_reference"] == (p.argmax(1) == y.numpy()).mean() > 0.5
    assert row["accuracy"] == (p_q.argmax(1) == y.numpy()).mean()
    assert (
        "probabilities: their logarithm is taken" in reference.note and "probab" in candidate.note
    )
    if reference.differentiable:
        assert row["shift"] > 0 and row["radius"] > 0


def test_a_file_of_whole_numbers_takes_no_fractions(tmp_path):
    class Scaled(nn.Sequential):
        def forward(self, x):
            return super().forward(x.float() / 255)

    x = (images() * 255).round()
    path = tmp_path / "bytes.onnx"
    model = Scaled(*network()).eval()
    torch.onnx.export(model, (x[:3].byte(),), dynamo=True, verbose=False).save(path)
    found = load_classifier(path)
    torch.testing.assert_close(logits(found, x[:3]), model(x[:3]).detach(), rtol=1e-4, atol=1e-4)
    for wrong in (x / 255, x + 200, -x, (x + 200).long()):
        with pytest.raises(ValueError, match="allowed for 'x' are whole numbers from 0 to 255"):
            logits(found, wrong[:3])
