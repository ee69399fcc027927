"""Classifiers from files and other toolkits give what the toolkit itself says."""

import sys
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC
from torch import nn

from baq import local
from baq.adapters import load_classifier, recognized
from baq.adapters.outputs import as_logits, convert, in_logits, kind_of, tensor_of
from baq.inference import labels, logits

D, K = 6, 4


def points(count=50, seed=0):
    return torch.randn(count, D, generator=torch.Generator().manual_seed(seed))


def network(seed=0):
    """A network whose batch norm differs between training and evaluation."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layers = (nn.Linear(D, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, K))
        model = nn.Sequential(*layers)
        model(torch.randn(64, D) * 3 + 1)
    return model.eval()


def refused(message, *source, **options):
    with pytest.raises(ValueError, match=message) as caught:
        load_classifier(*source, **options)
    assert "\n" not in str(caught.value)


# Outputs


class Fields:
    def __init__(self, logits):
        self.logits = logits


@pytest.mark.parametrize(
    "wrapped",
    [
        lambda z: {"logits": z, "loss": 1.0},
        lambda z: {"scores": z},
        lambda z: (z, z + 1),
        lambda z: [z],
        lambda z: Fields(z),
        lambda z: (Fields(z),),
        lambda z: z.numpy(),
        lambda z: z.tolist(),
        lambda z: [dict(enumerate(row)) for row in z.tolist()],
    ],
)
def test_logits_are_found_in_what_holds_them(wrapped):
    z = torch.randn(5, 3)
    torch.testing.assert_close(tensor_of(wrapped(z)), z)
    torch.testing.assert_close(logits(lambda x: wrapped(x), z), z)


def test_an_output_is_taken_by_name_or_place():
    z = torch.randn(5, 3)
    both = {"logits": z, "head": z + 1}
    assert torch.equal(tensor_of(both, "head"), z + 1)
    assert torch.equal(tensor_of((z, z + 1), 1), z + 1)
    for output, name in ((both, "tail"), ((z,), 3), (Fields(z), "tail")):
        with pytest.raises(ValueError, match=f"output is {name!r}, which is not in"):
            tensor_of(output, name)
    with pytest.raises(ValueError, match="a dictionary of 'a', 'b': allowed is one with 'logits'"):
        tensor_of({"a": z, "b": z})


@given(st.integers(4, 20), st.integers(2, 9), st.integers(0, 2**20))
def test_the_logarithm_of_probabilities_gives_the_margins_of_the_logits(count, classes, seed):
    z = torch.randn(count, classes, generator=torch.Generator().manual_seed(seed)).double()
    p = z.softmax(1)
    assert kind_of(p) == "probabilities" and kind_of(z - 1) == "logits"
    torch.testing.assert_close(local.margins(convert(p, "probabilities")), local.margins(z))
    s = z[:, 1:2] - z[:, :1]
    torch.testing.assert_close(convert(s, "one logit"), z[:, :2] - z[:, :1])
    one = convert(s.sigmoid(), kind_of(s.sigmoid()))
    torch.testing.assert_close(local.margins(one), local.margins(z[:, :2]))


def test_what_was_done_is_told_with_ties_and_zeros_counted():
    p = torch.tensor([[0.5, 0.5, 0.0], [1.0, 0.0, 0.0], [0.7, 0.2, 0.1]])
    found, note = as_logits(lambda x: p, "probabilities")
    for row in p:
        note.add(row[None])
    assert str(note) == (
        "probabilities: their logarithm is taken; 1 of 3 inputs tie at the top; 1 of 3 inputs have a "
        "second of 0: their margin is cut, their radius unknown and left out"
    )
    assert torch.isfinite(found(p)).all() and labels(found(p)).tolist() == [0, 0, 0]
    assert str(as_logits(lambda x: x, "logits")[1]) == ""


def test_vanished_probabilities_have_a_margin_and_no_slope():
    """Row 0 keeps all classes, row 1 the nearer of two, row 2 none; the gap of the last is only known to be large."""
    model = nn.Linear(3, 3, bias=False)
    model.weight.data = torch.eye(3)
    z = torch.tensor([[1.0, 0.5, 0.0], [30.0, 0.0, -300.0], [400.0, 0.0, -10.0]])
    behind = in_logits(lambda x: model(x).softmax(1), "probabilities")
    expected = local.nearest_radii(model, z)
    found = local.nearest_radii(behind, z)
    assert torch.allclose(found.radius[:2], expected.radius[:2], rtol=1e-4)
    assert found.radius.isnan().tolist() == [False, False, True]
    assert torch.isfinite(found.slack).tolist() == [False, True, False]
    gap = local.pair_gap(behind, z)
    assert gap.radius.isnan().tolist() == [False, False, True]
    assert gap.gap[2] == pytest.approx(-np.log(torch.finfo(torch.float32).tiny))
    one = in_logits(lambda x: (2 * x[:, :1]).sigmoid(), "one probability")
    assert local.pair_gap(one, z).radius.isnan().tolist() == [False, True, True]


def test_a_last_softmax_is_left_out_so_that_saturation_loses_nothing():
    """A gap of 200 is lost in float32 behind a softmax."""
    model = nn.Sequential(nn.Linear(D, K), nn.Softmax(1)).eval()
    model[0].weight.data *= 300
    x = points()
    found, note = as_logits(model, kind_of(model(x)))
    assert str(note) == "probabilities: what enters the last softmax is taken"
    torch.testing.assert_close(local.radii(found, x), local.radii(model[0], x))
    assert not torch.isfinite(local.radii(model, x)[0]).all() or (
        local.radii(model, x)[0].max() > 100 * local.radii(found, x)[0].max()
    )


# Files of torch


def test_an_exported_program_gives_the_module_s_logits_and_gradients(tmp_path):
    model, x = network(), points()
    for batch, free in ((2, True), (7, False)):
        shapes = ({0: torch.export.Dim("n", min=2)},) if free else None
        program = torch.export.export(model, (points(batch),), dynamic_shapes=shapes)
        torch.export.save(program, tmp_path / "m.pt2")
        found = load_classifier(tmp_path / "m.pt2")
        assert (found.source, found.differentiable) == (str(tmp_path / "m.pt2"), True)
        torch.testing.assert_close(logits(found, x), logits(model, x))
        a, b = local.pair_gap(found, x), local.pair_gap(model, x)
        torch.testing.assert_close(a.gradient, b.gradient)


def test_torchscript_gives_the_module_s_logits(tmp_path):
    model, x = network(), points()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.trace(model, x).save(tmp_path / "m.pt")
    found = load_classifier(tmp_path / "m.pt")
    torch.testing.assert_close(logits(found, x), logits(model, x))
    assert found.differentiable


class Runs:
    """What unpickling must not do without being asked."""

    def __reduce__(self):
        return (Runs.happens, ())

    count = 0

    @classmethod
    def happens(cls):
        cls.count += 1
        return network()


def test_a_pickle_is_never_loaded_without_trust(tmp_path):
    import joblib

    torch.save(Runs(), tmp_path / "m.pt")
    joblib.dump(Runs(), tmp_path / "m.joblib")
    Runs.count = 0
    for name in ("m.pt", "m.joblib"):
        refused("is a pickle, which can run any code when it is loaded: allowed", tmp_path / name)
    assert Runs.count == 0
    for name in ("m.pt", "m.joblib"):
        found = load_classifier(tmp_path / name, trust=True)
        torch.testing.assert_close(found(points()), network()(points()))
    assert Runs.count == 2


def test_a_pickle_inside_an_exported_program_is_never_loaded_without_trust(tmp_path):
    import io
    import zipfile

    torch.export.save(torch.export.export(network(), (points(),)), tmp_path / "good.pt2")
    harm = io.BytesIO()
    torch.save(((Runs(),), {}), harm)
    with (
        zipfile.ZipFile(tmp_path / "good.pt2") as old,
        zipfile.ZipFile(tmp_path / "bad.pt2", "w") as new,
    ):
        for name in old.namelist():
            new.writestr(name, harm.getvalue() if "sample_inputs" in name else old.read(name))
    Runs.count = 0
    refused("holds .*sample_inputs.*, which can run any code", tmp_path / "bad.pt2")
    assert Runs.count == 0
    load_classifier(tmp_path / "good.pt2")


# Names in Python


def test_a_name_gives_a_module_a_callable_or_what_it_makes(tmp_path, monkeypatch):
    (tmp_path / "mine_here.py").write_text(
        "import torch\nfrom torch import nn\n"
        "layer = nn.Linear(6, 4)\n"
        "def make():\n    return layer\n"
        "def call(x):\n    return {'logits': layer(x)}\n"
        "class Net(nn.Linear):\n    def __init__(self):\n        super().__init__(6, 4)\n"
        "number = 3\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "mine_here", raising=False)
    layer = load_classifier("mine_here:layer")
    assert load_classifier("mine_here:make") is layer
    assert load_classifier("mine_here:call").source == "mine_here:call"
    torch.testing.assert_close(
        logits(load_classifier("mine_here:call"), points()), logits(layer, points())
    )
    assert isinstance(load_classifier("mine_here:Net"), nn.Linear)
    refused("mine_here:nothing: mine_here has no nothing", "mine_here:nothing")
    refused("mine_here:number holds a int: allowed are modules, callables", "mine_here:number")
    refused("mine_here.sub:x cannot be imported", "mine_here.sub:x")


def test_the_inputs_and_outputs_of_a_module_may_be_named():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(D, K)

        def forward(self, *, pixels):
            return {"a": self.layer(pixels), "b": -self.layer(pixels)}

    model, x = Two().eval(), points()
    found = load_classifier(model, inputs="pixels", output="b")
    torch.testing.assert_close(logits(found, x), -model.layer(x).detach())
    assert local.pair_gap(found, x).gradient.shape == (len(x), D)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("m.onnx", b"hello", "is no ONNX model that onnxruntime runs"),
        ("m.pt2", b"hello", "is no program that torch.export.save wrote"),
        ("m.pt", b"hello", "is no file of torch: allowed are"),
        ("m.txt", b"hello", "is no classifier: allowed are .onnx, .pt2"),
        ("gone.onnx", None, "is absent: allowed are .onnx"),
    ],
)
def test_a_wrong_file_ends_in_one_line(tmp_path, name, content, message):
    if name == "m.onnx":
        pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    if content is not None:
        (tmp_path / name).write_bytes(content)
    refused(message, tmp_path / name)


def test_an_absent_package_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    (tmp_path / "m.onnx").write_bytes(b"hello")
    refused("an ONNX file needs the package onnxruntime.*pip install 'baq", tmp_path / "m.onnx")


# Estimators of scikit-learn

LINEAR = {
    "logistic": lambda: LogisticRegression(max_iter=300),
    "ridge": RidgeClassifier,
    "scaled": lambda: make_pipeline(StandardScaler(), LinearSVC()),
}


def digits(classes=10):
    x, y = load_digits(return_X_y=True)
    return x[y < classes][:400], y[y < classes][:400]


@pytest.mark.parametrize("kind", LINEAR)
@pytest.mark.parametrize("classes", [2, 10])
def test_a_linear_estimator_has_its_own_decisions_and_exact_radii(kind, classes):
    x, y = digits(classes)
    estimator = LINEAR[kind]().fit(x, y)
    found = load_classifier(estimator)
    inputs = torch.from_numpy(x)
    assert found.differentiable and "affine, so that radii are exact" in found.note
    z = logits(found, inputs)
    np.testing.assert_array_equal(labels(z), estimator.predict(x))
    decided = estimator.decision_function(x)
    scores = z[:, 1] if classes == 2 else z
    np.testing.assert_allclose(scores, decided, rtol=1e-8, atol=1e-8 * np.abs(decided).max())
    # One step of a radius along the normal lands on the boundary, of the estimator itself.
    radius, behind = local.radii(found, inputs)
    gap = local.pair_gap(found, inputs, (labels(z), behind))
    normal = gap.gradient / gap.gradient.norm(dim=1, keepdim=True)
    beyond = estimator.predict((inputs - 1.001 * radius[:, None] * normal).numpy())
    within = estimator.predict((inputs - 0.999 * radius[:, None] * normal).numpy())
    np.testing.assert_array_equal(within, estimator.predict(x))
    np.testing.assert_array_equal(beyond, behind)


@pytest.mark.parametrize(
    "make",
    [lambda: RandomForestClassifier(20, random_state=0), lambda: SVC(gamma=0.001)],
)
def test_another_estimator_is_a_callable_with_its_own_labels(make):
    x, y = digits()
    estimator = make().fit(x, y)
    found = load_classifier(estimator)
    assert not found.differentiable and "no gradients" in found.note
    images = torch.from_numpy(x).reshape(-1, 1, 8, 8)
    for pixels in (images, images.bfloat16()):  # which hold the pixels exactly
        np.testing.assert_array_equal(labels(logits(found, pixels)), estimator.predict(x))


def test_classes_that_are_no_numbers_from_0_are_told():
    x, y = digits(2)
    found = load_classifier(LogisticRegression().fit(x, np.array(["no", "yes"])[y]))
    assert "classes in the order no, yes" in found.note


def test_an_estimator_that_cannot_decide_is_refused():
    x, y = digits(4)
    refused("SVC has 6 decisions for 4 classes", SVC(decision_function_shape="ovo").fit(x, y))
    refused("LogisticRegression is not fitted: allowed is a fitted", LogisticRegression())


def test_an_estimator_that_predicts_by_other_than_its_scores_is_refused():
    from sklearn.model_selection import FixedThresholdClassifier, GridSearchCV

    x, y = digits(3)
    pairs = SVC(decision_function_shape="ovo")
    shape = "has decision_function_shape 'ovo', of pairs of classes: allowed is 'ovr'"
    for estimator in (pairs, make_pipeline(StandardScaler(), pairs), GridSearchCV(pairs, {})):
        refused(f"{type(estimator).__name__} {shape}", estimator.fit(x, y))
    # Of few inputs votes tie, which the scores alone decide.
    estimator = make_pipeline(StandardScaler(), SVC()).fit(x, y)
    found = labels(logits(load_classifier(estimator), torch.from_numpy(x)))
    np.testing.assert_array_equal(found, estimator.predict(x))
    x, y = digits(2)
    assert load_classifier(SVC(decision_function_shape="ovo").fit(x, y)).classes == (0, 1)
    late = FixedThresholdClassifier(LogisticRegression(), threshold=0.95).fit(x, y)
    refused("decides by a threshold of its own: allowed is the classifier in it", late)
    load_classifier(FixedThresholdClassifier(LogisticRegression()).fit(x, y))

    class Never(RandomForestClassifier):
        def predict(self, x):
            return np.zeros(len(x), int)

    refused(r"Never predicts another class .* of 192 inputs", Never(5, random_state=0).fit(x, y))


def test_nothing_is_written_in_a_module_of_the_user():
    class Named(nn.Linear):
        def __init__(self):
            super().__init__(D, 8)
            self.classes = nn.Linear(8, K)
            self.source, self.kind, self.note = "imagenet", 2, None

        def forward(self, x):
            return self.classes(super().forward(x))

    model = Named()
    held = dict(vars(model))
    assert load_classifier(model) is model and vars(model) == held
    assert model(points()).shape == (50, K)
    named = load_classifier(model, output=0)
    assert (named.source, named.classes, model.source) == ("Named", None, "imagenet")


def test_few_rows_that_happen_to_sum_to_1_are_no_probabilities():
    assert kind_of(torch.tensor([[1.0, 0.0]])) == "logits"
    assert kind_of(torch.rand(50, 3)) == "logits"
    rough = torch.rand(50, 3).softmax(1) + 0.01
    assert kind_of(rough) == "logits" and kind_of(rough, "probabilities") == "probabilities"


def test_outputs_are_recognized_for_single_measures():
    model, x = network(), points()
    z = logits(model, x)
    for outputs, told in (
        (lambda x: {"logits": z}, ""),
        (
            lambda x: (model(x).softmax(1).detach().numpy(),),
            "probabilities: their logarithm is taken",
        ),
        (lambda x: model(x)[:, :1] - model(x)[:, 1:2], "one logit: a second of 0"),
    ):
        found, note = recognized(outputs, x)
        assert note == told
        expected = z if "one" not in told else z[:, :2].flip(1)
        margins = local.margins(logits(found, x))
        torch.testing.assert_close(margins, local.margins(expected), rtol=1e-3, atol=1e-4)
    with pytest.raises(ValueError, match="outputs is 'odds': allowed are auto, logits"):
        recognized(model, x, "odds")


def test_probabilities_are_recognized_whatever_their_digits():
    z = torch.randn(300, 10, generator=torch.Generator().manual_seed(0))
    for dtype in (torch.bfloat16, torch.float16, torch.float32):
        assert kind_of(z.softmax(1).to(dtype)) == "probabilities"
    many = (torch.randn(300, 1000).softmax(1) * 255).round() / 255
    assert (many.sum(1) < 0.9).all()
    assert (kind_of(many), kind_of(many, "probabilities")) == ("logits", "probabilities")
    sure = torch.tensor([[0.0], [1.0]])
    assert (kind_of(sure), kind_of(sure, "one probability")) == ("one logit", "one probability")


def test_labels_are_no_logits():
    for z in (torch.tensor([0, 2, 1, 1]), torch.tensor([[True], [False]])):
        with pytest.raises(ValueError, match="outputs are one .* an input, a label: allowed are"):
            kind_of(z)


@pytest.mark.parametrize(
    ("z", "kind", "message"),
    [
        (torch.zeros(5, 3), "one logit", r"have shape \(5, 3\): allowed for 'one logit' is"),
        (-torch.ones(5, 3), "probabilities", "taken for probabilities and hold -1: allowed are 0"),
        (1.5 * torch.eye(3), "probabilities", "taken for probabilities and hold 1.5: allowed"),
        (torch.tensor([0.5, 1.1]), "one probability", "taken for one probability and hold 1.1"),
    ],
)
def test_outputs_that_cannot_be_of_a_kind_are_refused(z, kind, message):
    with pytest.raises(ValueError, match=message):
        convert(z, kind)


def test_the_first_inputs_decide_what_outputs_are():
    s = torch.cat([torch.rand(256, 1), torch.randn(50, 1)])
    with pytest.raises(ValueError, match="taken for one probability and hold"):
        recognized(lambda x: x, s)
