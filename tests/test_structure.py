"""Folded batch norm computes the same function."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from baq.structure import fold_batch_norm
from baq.zoo import models


@pytest.mark.parametrize("build", [models.resnet, models.cnn])
def test_folded_batch_norm_computes_the_same_function(build):
    model = build(3, 5, 4)
    # Statistics and weights of batch norm that are not those of the start.
    generator = torch.Generator().manual_seed(0)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d) and module.affine:
            for values in (module.weight.data, module.bias.data, module.running_mean):
                values.copy_(torch.randn(values.shape, generator=generator))
            module.running_var.copy_(
                torch.rand(module.running_var.shape, generator=generator) + 0.5
            )
    x = torch.rand(6, 3, 28, 28, generator=generator).double()
    model = model.double().eval()
    folded = fold_batch_norm(model)
    torch.testing.assert_close(folded(x), model(x))
    norms = [sum(isinstance(m, nn.BatchNorm2d) for m in net.modules()) for net in (model, folded)]
    # The resnet keeps that of its inputs and that after pooling.
    assert norms == ([10, 2] if build is models.resnet else [3, 0])


class Swapped(nn.Sequential):
    """Applies its modules in the other order."""

    def forward(self, x):
        for module in reversed(list(self)):
            x = module(x)
        return x


class Backwards(nn.Sequential):
    """Hands its modules out in the other order."""

    def __iter__(self):
        return reversed(list(self._modules.values()))


class Doubled(nn.BatchNorm2d):
    """A batch norm that does more."""

    def forward(self, x):
        return 2 * super().forward(x)


def networks_that_only_look_foldable():
    relu = nn.ReLU()
    convolution, norm = nn.Conv2d(2, 2, 3), nn.BatchNorm2d(2)
    torch.nn.init.normal_(norm.weight)
    return {
        "the same module on both sides": nn.Sequential(relu, convolution, relu, norm),
        "another order": Swapped(convolution, norm),
        "another order of its parts": Backwards(convolution, norm),
        "a subclass": nn.Sequential(convolution, Doubled(2)),
        "no running statistics": nn.Sequential(
            convolution, nn.BatchNorm2d(2, track_running_stats=False)
        ),
    }


@pytest.mark.parametrize("name", networks_that_only_look_foldable())
def test_what_only_looks_foldable_stays(name):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = networks_that_only_look_foldable()[name].double().eval()
        x = torch.randn(4, 2, 6, 6).double()
    folded = fold_batch_norm(model)
    assert torch.equal(folded(x), model(x))
    assert [type(m) for m in folded.modules()] == [type(m) for m in model.modules()]


def test_a_module_at_two_places_is_folded_at_each_by_itself():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        convolution, norms = nn.Conv2d(2, 2, 1), (nn.BatchNorm2d(2), nn.BatchNorm2d(2))
        for norm in norms:
            nn.init.normal_(norm.weight)
            nn.init.normal_(norm.running_mean)
        x = torch.randn(4, 2, 6, 6).double()
    model = nn.Sequential(convolution, norms[0], nn.ReLU(), convolution, norms[1], convolution)
    folded = fold_batch_norm(model.double().eval())
    torch.testing.assert_close(folded(x), model(x))
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())


class Apart(nn.Module):
    """A Sequential whose parts are called by ``how``, beside what the first of them puts out."""

    def __init__(self, how):
        super().__init__()
        self.body, self.how = nn.Sequential(nn.Conv2d(2, 2, 1), nn.BatchNorm2d(2), nn.ReLU()), how
        nn.init.normal_(self.body[1].running_mean)

    def forward(self, x):
        return self.how(self.body, x)


def sliced(body, x):
    first = body[:1](x)
    return body[1:](first) + first


APART = {
    "one by one": lambda body, x: body[2](body[1](body[0](x))) + body[0](x),
    "slices": sliced,
    "weights": lambda body, x: body(x) + F.conv2d(x, body[0].weight),
    "by the data": lambda body, x: body(x) if x.sum() > 0 else body[0](x),
}


@pytest.mark.parametrize("how", APART)
def test_parts_that_are_used_apart_stay(how):
    torch.manual_seed(0)
    model, x = Apart(APART[how]).double().eval(), torch.randn(3, 2, 4, 4).double()
    folded = fold_batch_norm(model)
    for inputs in (x.abs(), -x.abs()):
        assert torch.equal(folded(inputs), model(inputs))
    assert isinstance(folded.body[1], nn.BatchNorm2d)


def test_what_a_network_keeps_between_calls_is_its_own():
    class Keeping(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.kept = nn.Sequential(nn.Conv2d(2, 2, 1), nn.BatchNorm2d(2)), None

        def forward(self, x):
            self.kept = torch.zeros_like(x) if self.kept is None else self.kept
            return self.body(x) + self.kept

    model, x = Keeping().eval(), torch.randn(3, 2, 4, 4)
    folded = fold_batch_norm(model)
    assert model.kept is folded.kept is None and isinstance(folded.body[1], nn.Identity)
    torch.testing.assert_close(folded(x), model(x))


def test_parts_that_are_called_together_are_folded_by_whomever():
    torch.manual_seed(0)
    model = Apart(lambda body, x: body(x) + body(2 * x)).double().eval()
    x = torch.randn(3, 2, 4, 4).double()
    folded = fold_batch_norm(model)
    torch.testing.assert_close(folded(x), model(x))
    assert isinstance(folded.body[1], nn.Identity)


def test_folding_needs_evaluation_mode():
    with pytest.raises(ValueError, match="training mode"):
        fold_batch_norm(models.cnn(3, 5, 4).train())
