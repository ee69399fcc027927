"""Compare loses no row to one measure: what is missing is NaN, with the reason beside it."""

import math
import re
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn

from baq import compare, local, ptq_w, slices
from baq.adapters import load_classifier, load_inputs
from baq.comparison import compare_logits
from baq.inference import logits

N, D, K = 80, 6, 4
GRADIENTS = ["radius", "shift", "band_shift", "normal_angle"]


def points(seed=0):
    return torch.randn(N, D, generator=torch.Generator().manual_seed(seed))


def network(seed=0, width=12, classes=K):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layers = (nn.Linear(D, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh())
        model = nn.Sequential(*layers, nn.Linear(width, classes))
    for weight in model.parameters():
        weight.data *= 3
    return model.eval()


def same(found, expected, but=("candidate", "sides", "reason", "note")):
    columns = [name for name in expected.columns if name not in but]
    np.testing.assert_allclose(
        found[columns].astype(float), expected[columns].astype(float), rtol=1e-4, atol=1e-6
    )


def test_one_broken_candidate_loses_no_row_of_the_others():
    reference, x, planes = network(), points(), slices.pca_plane(points())

    def broken(x):
        raise TypeError("no such kernel\nsecond line")

    candidates = {
        "good": ptq_w(reference, 3),
        "broken": broken,
        "nan": lambda x: reference(x) * torch.nan,
        "classes": network(classes=5),
        "text": lambda x: "text",
        "late": lambda x: reference(x) if len(x) == N else broken(x),
        "none": None,
    }
    rows = compare(reference, candidates, x, planes=planes, n=12).set_index("candidate")
    same(rows.loc[["good"]], compare(reference, candidates["good"], x, planes=planes, n=12))
    assert rows.loc["good", "reason"] == ""
    told = {
        "broken": "all: no such kernel second line",
        "nan": "all: logits hold 320 values that are not finite: check the weights",
        "classes": "all: logits have shapes (80, 4) and (80, 5): allowed are equal ones",
        "text": "all: logits are a str that is no array",
        "none": "all: the classifier is a NoneType: allowed is a callable, as baq.adapters.load_classifier makes of "
        "files, fitted estimators and exported programs",
    }
    for key, reason in told.items():
        assert rows.loc[key, "reason"].startswith(reason)
        assert rows.loc[key, ["flip_rate", "shift", "jaccard", "grid_change"]].isna().all()
        assert rows.loc[key, "margin"] == rows.loc["good", "margin"]
    # What fails in the maps alone keeps the rest.
    assert rows.loc["late", "flip_rate"] == rows.loc["late", "shift"] == 0
    assert rows.loc["late", "reason"] == "the maps: no such kernel second line"
    assert math.isnan(rows.loc["late", "jaccard"])


def test_where_all_candidates_fail_the_first_error_is_raised():
    with pytest.raises(ValueError, match="logits are a str that is no array"):
        compare(network(), {"a": lambda x: "text", "b": network(classes=5)}, points())


def test_a_shift_needs_no_gradient_of_the_candidate():
    reference, x = network(), points()
    candidate = ptq_w(reference, 3)
    with torch.no_grad():
        flat = lambda x: candidate(x).detach()  # noqa: E731
        row = compare(reference, {"f": flat, "m": candidate}, x).set_index("candidate")
    for name in ("shift", "band_shift"):
        assert row.loc["f", name] == pytest.approx(row.loc["m", name], rel=1e-5)
    assert math.isnan(row.loc["f", "normal_angle"]) and row.loc["m", "normal_angle"] > 0
    assert row["reason"].tolist() == [
        "normal_angle: the classifier's logits have no gradient: allowed is a differentiable one",
        "",
    ]


def test_a_function_with_gradients_has_all_measures():
    reference, x = network(), points()
    candidate = ptq_w(reference, 3)
    functions = compare(lambda x: reference(x), lambda x: (candidate(x),), x)
    assert "reason" not in functions
    same(functions, compare(reference, candidate, x))


class Fields:
    def __init__(self, z):
        self.logits = z


class Wrapping(nn.Module):
    def __init__(self, model, wrap):
        super().__init__()
        self.model, self.wrap = model, wrap

    def forward(self, x):
        return self.wrap(self.model(x))


@pytest.mark.parametrize(
    "wrap", [Fields, lambda z: {"logits": z}, lambda z: (z, None), lambda z: {"z": z}]
)
def test_outputs_that_hold_logits_give_the_rows_of_these(wrap):
    reference, x, planes = network(), points(), slices.pca_plane(points())
    candidate = ptq_w(reference, 3)
    pair = (Wrapping(reference, wrap).eval(), Wrapping(candidate, wrap).eval())
    found = compare(*pair, x, planes=planes, n=15)
    same(found, compare(reference, candidate, x, planes=planes, n=15))
    assert "reason" not in found and "note" not in found


class Tokens(nn.Module):
    """A classifier of rows of whole numbers."""

    def __init__(self, seed=0):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.table, self.last = nn.Embedding(30, 8), nn.Linear(8, K)

    def forward(self, input_ids, attention_mask=None):
        h = self.table(input_ids)
        if attention_mask is not None:
            h = h * attention_mask[..., None]
        return {"logits": self.last(h.mean(dim=1).tanh())}


@pytest.mark.filterwarnings("ignore:left in float")
@pytest.mark.parametrize("dtype", [torch.int64, torch.int32, torch.uint8])
def test_token_ids_are_measured_but_for_gradients_and_planes(dtype):
    reference = Tokens().eval()
    candidate = ptq_w(reference, 2)
    ids = torch.randint(0, 30, (N, 5), generator=torch.Generator().manual_seed(0)).to(dtype)
    row = compare(reference, candidate, ids, planes=slices.pca_plane(ids), n=10).iloc[0]
    z, z_q = (m(ids.long())["logits"].detach() for m in (reference, candidate))
    assert row["flip_rate"] == local.flips(z, z_q).double().mean() > 0
    assert row[GRADIENTS].isna().all()
    assert "there are no gradients with respect to whole numbers" in row["reason"]
    assert "the maps: " in row["reason"] and math.isnan(row["jaccard"])


@pytest.mark.filterwarnings("ignore:left in float")
def test_batches_of_several_named_inputs_are_measured():
    reference = Tokens().eval()
    candidate = ptq_w(reference, 2)
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(0, 30, (N, 5), generator=generator)
    mask = (torch.rand(N, 5, generator=generator) < 0.7).float()
    given = {"input_ids": ids, "attention_mask": mask.numpy()}
    row = compare(reference, candidate, given, np.arange(N) % K, batch_size=7).iloc[0]
    z, z_q = (m(ids, mask)["logits"].detach() for m in (reference, candidate))
    assert row["flip_rate"] == local.flips(z, z_q).double().mean() > 0
    assert row["accuracy"] == (z_q.argmax(1) == torch.arange(N) % K).double().mean()
    assert (
        "radius, shift, normal_angle: the reference has none, they are taken by one input"
        in row["reason"]
    )
    with pytest.raises(ValueError, match="inputs have .* rows: allowed are equal numbers"):
        compare(reference, candidate, {"input_ids": ids, "attention_mask": mask[:5]})


def test_one_input_by_name_keeps_its_gradients():
    class Named(nn.Module):
        def __init__(self, model):
            super().__init__()
            self.model = model

        def forward(self, *, pixel_values):
            return Fields(self.model(pixel_values))

    reference, x = network(), points()
    pair = Named(reference).eval(), Named(ptq_w(reference, 3)).eval()
    same(compare(*pair, {"pixel_values": x}), compare(reference, ptq_w(reference, 3), x))


# Probabilities and one logit


def test_probabilities_are_recognized_and_said():
    """Behind a softmax that saturates, a radius is some hundred million times as large."""
    reference, x = network(), points()
    candidate = ptq_w(reference, 3)
    for k in (1.0, 40.0):
        for model in (reference, candidate):
            model[-1].weight.data *= k
            model[-1].bias.data *= k

        def behind(model):
            return Wrapping(model, lambda z: z.softmax(1)).eval()

        expected = compare(reference, candidate, x)
        found = compare(
            nn.Sequential(*reference, nn.Softmax(1)), nn.Sequential(*candidate, nn.Softmax(1)), x
        )
        same(found, expected)
        assert found["note"][0] == (
            "reference: probabilities: what enters the last softmax is taken; "
            "candidate: probabilities: what enters the last softmax is taken"
        )
        if k == 1:
            found = compare(behind(reference), behind(candidate), x)
            assert found["note"][0].count("probabilities: their logarithm is taken") == 2
            np.testing.assert_allclose(
                found[[*GRADIENTS, "margin"]], expected[[*GRADIENTS, "margin"]], rtol=1e-2
            )
        taken = compare(behind(reference), behind(candidate), x, outputs="logits")
        assert "note" not in taken
        assert taken["margin"][0] <= 1
    assert taken["radius"][0] > 1e3 * expected["radius"][0]


def test_an_estimator_s_labels_are_those_that_it_was_fitted_on():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 4))
    y = (x @ rng.normal(size=(4, 3))).argmax(1)
    names = np.array([7, 3, 5])[y]
    model = LogisticRegression(max_iter=500).fit(x, names)
    text = LogisticRegression(max_iter=500).fit(x, names.astype(str))
    row = compare(load_classifier(model), load_classifier(model), x, names).iloc[0]
    assert row["accuracy_reference"] == pytest.approx(model.score(x, names))
    assert "classes in the order 3, 5, 7" in row["note"]
    row = compare(load_classifier(text), load_classifier(text), x, names.astype(str)).iloc[0]
    assert row["accuracy"] == pytest.approx(text.score(x, names.astype(str)))
    with pytest.raises(
        ValueError, match="labels hold 4: allowed are the reference's classes, 3, 5, 7"
    ):
        compare(load_classifier(model), load_classifier(model), x, np.full(300, 4))
    other = LogisticRegression(max_iter=500).fit(x, y)
    rows = compare(
        load_classifier(model), {"same": load_classifier(model), "other": load_classifier(other)}, x
    )
    assert rows["flip_rate"].isna().tolist() == [False, True]
    assert rows["reason"][1] == "all: its classes are 0, 1, 2: allowed are the reference's, 3, 5, 7"


def test_distances_of_vanished_probabilities_are_unknown():
    reference, x = network(), points()
    candidate = ptq_w(reference, 3)
    for model in (reference, candidate):
        model[-1].weight.data *= 200
        model[-1].bias.data *= 200

    def behind(model):
        return Wrapping(model, lambda z: z.softmax(1)).eval()

    z = logits(reference, x)
    z_q = logits(candidate, x)
    tiny = torch.finfo(torch.float32).tiny
    known = z.softmax(1).topk(2).values[:, 1] >= tiny
    assert 0 < known.sum() < len(x)
    found = compare(behind(reference), behind(candidate), x)
    assert f"{(~known).sum()} of {len(x)} inputs have a second of 0" in found["note"][0]
    shift = local.displacement_to(local.pair_gap(reference, x), candidate, x).abs()
    both = known & (z_q.softmax(1).gather(1, z.topk(2).indices).amin(dim=1) >= tiny)
    assert 0 < both.sum() < known.sum()
    np.testing.assert_allclose(found["shift"], np.median(shift[both]), rtol=1e-3)
    none = compare(behind(reference), behind(candidate), x[~known])
    assert none[["radius", "shift", "normal_angle"]].isna().all(axis=None)
    assert none["reason"][0] == (
        "radius, shift, normal_angle: the second probability of every input is 0"
    )


def test_one_logit_has_a_second_of_0():
    reference, x = network(classes=2), points()
    candidate = ptq_w(reference, 3)

    def single(model):
        return Wrapping(model, lambda z: z[:, 1:] - z[:, :1]).eval()

    expected = compare(reference, candidate, x)
    for squeeze in (False, True):
        found = compare(
            *(
                Wrapping(single(m), lambda z, s=squeeze: z[:, 0] if s else z).eval()
                for m in (reference, candidate)
            ),
            x,
        )
        same(found, expected)
        told = "one logit: a second of 0"
        assert found["note"][0] == f"reference: {told}; candidate: {told}"


def test_logits_that_are_known_are_logits():
    z = torch.eye(4).repeat(3, 1)
    assert "note" not in compare_logits(z, {"a": z})


# Inputs


def test_inputs_and_labels_may_be_arrays_that_cannot_be_written():
    reference, x = network(), points()
    y = np.arange(N) % K
    array = x.numpy().copy()
    array.flags.writeable = False
    y.flags.writeable = False
    candidate = ptq_w(reference, 3)
    same(
        compare(reference, candidate, array, y),
        compare(reference, candidate, x, torch.from_numpy(y.copy())),
    )


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.uint8])
def test_planes_of_coarse_inputs_have_orthonormal_axes(dtype):
    x = (torch.rand(40, 1, 8, 8, generator=torch.Generator().manual_seed(0)) * 200).to(dtype)
    plane = slices.pca_plane(x)
    axes = torch.stack([plane.u.flatten(), plane.v.flatten()])
    torch.testing.assert_close(axes @ axes.T, torch.eye(2), atol=1e-5, rtol=0)
    model = nn.Sequential(
        nn.Flatten(), nn.Linear(64, 9), nn.ReLU(), nn.Linear(9, 9), nn.ReLU(), nn.Linear(9, 3)
    )
    model = model.to(torch.bfloat16 if dtype == torch.uint8 else dtype).eval()
    rows = compare(model, ptq_w(model, 3), x, planes=[plane, slices.plane_through(x[:3])], n=12)
    assert "reason" not in rows and np.isfinite(rows["jaccard"]).all()


# At size


def test_memory_is_bounded_by_the_batch_and_the_result_is_not():
    """A batch of its own choosing gives what a batch of all gives."""
    reference, x = network(), points()
    candidate = ptq_w(reference, 3)
    planes = slices.pca_plane(x)
    whole = compare(reference, candidate, x, planes=planes, n=15, batch_size=N)
    for size in (None, 3, 50):
        same(compare(reference, candidate, x, planes=planes, n=15, batch_size=size), whole)


def test_no_call_gets_more_than_a_batch():
    reference, x = network(), points()
    seen = []

    def counting(x):
        seen.append(len(x))
        return reference(x)

    compare(counting, counting, x, planes=slices.pca_plane(x), n=30, batch_size=16)
    assert max(seen) == 16


def anonymous():
    """Memory of this process that no file stands for, MB."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"RssAnon:\s+(\d+)", status)[1]) / 1024


class Weighed(nn.Module):
    """A network that looks at the memory in every pass."""

    def __init__(self):
        super().__init__()
        self.layers, self.most = (
            nn.Sequential(nn.Flatten(), nn.Linear(784, 8), nn.Tanh(), nn.Linear(8, 3)),
            0.0,
        )

    def forward(self, x):
        self.most = max(self.most, anonymous())
        return self.layers(x)


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="there is no /proc")
@pytest.mark.parametrize("dtype", [np.float32, np.uint8])
def test_inputs_stay_on_the_disk(tmp_path, dtype):
    """Gradients included, memory grows by far less than the inputs as floats take."""
    count = 30_000
    large = np.lib.format.open_memmap(tmp_path / "x.npy", "w+", dtype, (count, 1, 28, 28))
    for start in range(0, count, 1000):
        large[start : start + 1000] = np.random.default_rng(start).integers(0, 9, (1000, 1, 28, 28))
    large.flush()
    del large
    found = load_inputs(tmp_path / "x.npy")
    reference, candidate = Weighed().eval(), Weighed().eval()
    compare(reference, candidate, found.x[:2000], batch_size=512)
    small, reference.most = anonymous(), 0.0
    rows = compare(reference, candidate, found.x, batch_size=512)
    assert rows["points"][0] == count and rows["shift"][0] > 0
    assert reference.most - small < count * 784 * 4 / 2**20 / 3


def test_progress_is_shown_when_asked(capsys, monkeypatch):
    reference, x = network(), points()

    def slow(x):
        time.sleep(0.03)
        return reference(x)

    compare(slow, slow, x, batch_size=1, progress=True)
    assert "compare: " in capsys.readouterr().err
    compare(slow, slow, x, batch_size=10, progress=False)
    assert capsys.readouterr().err == ""


# Radii to the nearest of many classes


def test_the_classes_left_out_are_bounded():
    """Where all classes give a smaller radius, the gap behind it is as steep as the slack says."""
    reference, x = network(3, width=20, classes=60), points(3)
    all_of_them = local.nearest_radii(reference, x, nearest=None)
    assert all_of_them.slack.isinf().all()
    missed = 0
    for nearest in (1, 2, 5, 20, 59, 100):
        found = local.nearest_radii(reference, x, nearest=nearest)
        assert (found.radius >= all_of_them.radius).all()
        assert found.slack.isinf().all() == (nearest >= 59)
        other = found.radius > all_of_them.radius
        missed += int(other.sum())
        top = logits(reference, x).argmax(1)
        z = logits(reference, x)
        order = z.argsort(1, descending=True)[:, 1 : 1 + nearest]
        norm = torch.stack(
            [
                local.pair_gap(reference, x, (top, order[:, k])).gradient.norm(dim=1)
                for k in range(order.shape[1])
            ],
            dim=1,
        ).amax(1)
        behind = local.pair_gap(reference, x, (top, all_of_them.behind)).gradient.norm(dim=1)
        assert (behind[other] > found.slack[other] * norm[other] * (1 - 1e-4)).all()
    assert missed > 0  # otherwise nothing was tried


def test_compare_says_how_many_classes_radii_were_taken_to():
    reference, x = network(3, width=20, classes=60), points(3)
    row = compare(reference, ptq_w(reference, 3), x).iloc[0]
    assert row["note"].startswith("radius: to the 20 classes of the smallest gaps; one left out")
    assert row["radius"] == pytest.approx(float(local.radii(reference, x)[0].median()), rel=0.2)
    assert "note" not in compare(network(), ptq_w(network(), 3), x)
