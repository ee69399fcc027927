"""On a plane a network's first layers are affine in two coordinates: the same logits, at less cost."""

import pytest
import torch
from torch import nn

from baq.inference import labels, logits
from baq.slices import label_map, plane_through
from baq.slices.on_plane import on_plane
from baq.structure import affine_part


def normal(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def norm(features):
    """A batch norm with means and variances of its own, in evaluation mode."""
    layer = nn.BatchNorm2d(features)
    layer.running_mean.copy_(normal(features, seed=1))
    layer.running_var.copy_(normal(features, seed=2).square() + 0.5)
    return layer


def drawn(*modules, channels_last=False):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for module in modules:
            if hasattr(module, "reset_parameters") and not isinstance(module, nn.BatchNorm2d):
                module.reset_parameters()
    model = nn.Sequential(*modules).double().eval()
    return model.to(memory_format=torch.channels_last) if channels_last else model


def head():
    return nn.Flatten(), nn.Linear(4 * 9, 3)


# Name: the network, on inputs of 2 x 3 x 3, and how many of its modules are affine.
NETWORKS = {
    "Linear": (lambda: drawn(nn.Flatten(), nn.Linear(18, 5), nn.Tanh(), nn.Linear(5, 3)), 2),
    "two Linear": (lambda: drawn(nn.Flatten(), nn.Linear(18, 5), nn.Linear(5, 3)), 3),
    "convolution": (lambda: drawn(nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), *head()), 1),
    "channels last": (
        lambda: drawn(
            nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 4, 1), *head(),
            channels_last=True,
        ),
        1,
    ),
    "norm, convolution, norm": (
        lambda: drawn(norm(2), nn.Conv2d(2, 4, 3, padding=1), norm(4), nn.ReLU(), *head()), 3
    ),
    "reflected edges": (
        lambda: drawn(
            nn.Conv2d(2, 4, 3, padding=1, padding_mode="reflect"), nn.Identity(), nn.Tanh(), *head()
        ),
        2,
    ),
    "nothing affine": (lambda: drawn(nn.ReLU(), nn.Conv2d(2, 4, 3, padding=1), *head()), 0),
    "norm alone": (lambda: drawn(norm(2), nn.ReLU(), nn.Conv2d(2, 4, 3, padding=1), *head()), 0),
}  # fmt: skip


@pytest.mark.parametrize("kind", NETWORKS)
def test_logits_on_a_plane_are_those_of_its_inputs(kind):
    make, count = NETWORKS[kind]
    model, plane = make(), plane_through(normal(3, 2, 3, 3, seed=3))
    assert affine_part(model) == count
    at = 40 * normal(200, 2, seed=4)
    found, expected = on_plane(model, plane)(at), model(plane.inputs(at))
    assert torch.allclose(found, expected, rtol=1e-10, atol=1e-10)
    # The check can fail: a tenth of a unit on the plane would be seen.
    assert not torch.allclose(found, model(plane.inputs(at + 0.1)), rtol=1e-3, atol=1e-3)


def test_the_affine_part_is_evaluated_once(monkeypatch):
    model, plane = NETWORKS["convolution"][0](), plane_through(normal(3, 2, 3, 3, seed=3))
    seen = []

    # Below the modules, since those with hooks are not taken out of their network.
    def counted(name):
        call = getattr(nn.functional, name)
        return lambda *given, **options: (seen.append(name), call(*given, **options))[1]

    names = "conv2d", type(model[1]).__name__.lower()
    with monkeypatch.context() as patched:
        for name in names:
            patched.setattr(nn.functional, name, counted(name))
        grid = label_map(model, plane, 20, "dense", batch_size=100)
    assert [seen.count(name) for name in names] == [1, 4]
    inputs = plane.inputs(plane.centres(20).reshape(-1, 2))
    assert (grid.labels.ravel() == labels(logits(model, inputs)).numpy()).all()


def test_float32_differs_by_its_rounding_only():
    model, plane = NETWORKS["norm, convolution, norm"][0](), plane_through(normal(3, 2, 3, 3))
    at = 10 * normal(300, 2, seed=5)
    exact = on_plane(model, plane)(at).detach()
    single = on_plane(model.float(), plane)(at).detach()
    assert single.dtype == torch.float32
    assert float((single - exact).abs().max()) < 1e-5 * float(exact.abs().max())


def test_any_other_classifier_is_evaluated_at_the_inputs():
    plane = plane_through(normal(3, 4, seed=6))

    class Own(nn.Sequential):
        def forward(self, x):
            return super().forward(x.square())

    own = Own(nn.Linear(4, 3)).double().eval()
    at = normal(5, 2, seed=7)
    assert affine_part(own) == 0
    for classifier in (own, lambda x: x[:, :3]):
        assert torch.equal(on_plane(classifier, plane)(at), classifier(plane.inputs(at)))


def test_what_does_not_fit_the_plane_is_named():
    plane = plane_through(normal(3, 4, seed=6))
    with pytest.raises(ValueError, match=r"fails on inputs of shape \(4, 4\)"):
        on_plane(nn.Sequential(nn.Linear(5, 3)).eval(), plane)
    with pytest.raises(ValueError, match="training mode"):
        on_plane(nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3)), plane)
