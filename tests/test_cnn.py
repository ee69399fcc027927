"""The convolutional network, and the step size that falls."""

import itertools

import pytest
import torch

from baq import compare
from baq.inference import labels, logits
from baq.quantization import ptq_w, quantized_weights
from baq.zoo import data, models, training


@pytest.mark.parametrize(("channels", "side"), [(1, 28), (3, 32), (1, 25)])
def test_images_of_28_and_32_pixels_give_logits(channels, side):
    model = models.cnn(channels, 7, width=4).eval()
    assert logits(model, torch.rand(3, channels, side, side)).shape == (3, 7)
    assert list(quantized_weights(model)) == ["0.weight", "3.weight", "6.weight", "10.weight"]


def test_a_seed_decides_and_the_global_state_stays():
    torch.manual_seed(1)
    before = torch.get_rng_state()
    a, same, other = (models.cnn(1, 10, 4, seed) for seed in (5, 5, 6))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(a[3].weight, same[3].weight)
    assert not torch.equal(a[3].weight, other[3].weight)


@pytest.mark.parametrize("sizes", [(0, 4, 10), (1, 4, 1), (1, 0, 10)])
def test_bad_sizes_are_named(sizes):
    channels, width, classes = sizes
    with pytest.raises(ValueError, match="(channels|width|classes) is [01]: allowed is [12] or"):
        models.cnn(channels, classes, width)


def test_the_step_size_falls_to_zero():
    torch.manual_seed(0)
    x, y = torch.rand(40, 3), torch.arange(40) % 2

    def moves(decay):
        """Length of each step of a run with one step an epoch and a gradient of one sign."""
        seen = []
        model = models.mlp(3, 2, 4)
        model.register_forward_pre_hook(lambda m, _: seen.append(m[3].bias.detach().clone()))
        training.fit(model, x, y * 0, epochs=5, batch_size=40, learning_rate=0.01, decay=decay)
        seen.append(model[3].bias.detach().clone())
        return [float((b - a).abs()[0]) for a, b in itertools.pairwise(seen)]

    # Adam's step is near the step size where the gradient keeps its sign and size.
    for step, share in zip(moves(True), (1.0, 0.8, 0.6, 0.4, 0.2), strict=True):
        assert step == pytest.approx(0.01 * share, rel=0.1)
    assert all(step == pytest.approx(0.01, rel=0.1) for step in moves(False))


def test_it_learns_alike_for_a_seed_and_its_quantized_copy_keeps_batch_norm():
    split = data.load("digits", 0)
    # 8 x 8 digits blown up to 32 x 32.
    x_train, x_test = (
        x.repeat_interleave(4, 2).repeat_interleave(4, 3) for x in (split.x_train, split.x_test)
    )

    def trained():
        model = models.cnn(1, 10, width=4, seed=2)
        return training.fit(model, x_train, split.y_train, epochs=4, decay=True)

    a, b = trained(), trained()
    z = logits(a, x_test)
    assert torch.equal(z, logits(b, x_test))
    assert (labels(z) == split.y_test).double().mean() > 0.9
    q = ptq_w(a, 4)
    assert torch.equal(q[1].running_var, a[1].running_var)
    assert not torch.equal(q[0].weight, a[0].weight)


def test_comparison_without_gradients_lacks_their_columns_alone():
    reference, x = models.cnn(1, 10, 4).eval(), torch.rand(20, 1, 28, 28)
    whole, less = (compare(reference, ptq_w(reference, 3), x, gradients=g) for g in (True, False))
    lacking = {"radius", "shift", "band_shift", "normal_angle"}
    assert set(whole) - set(less) == lacking
    assert whole.drop(columns=list(lacking)).equals(less)
