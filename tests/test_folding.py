"""Folded batch norm computes the same function."""

import pytest
import torch
from torch import nn

from baq import models
from baq.folding import fold_batch_norm


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


def test_folding_needs_evaluation_mode():
    with pytest.raises(ValueError, match="training mode"):
        fold_batch_norm(models.cnn(3, 5, 4).train())
