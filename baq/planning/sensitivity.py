"""How the gaps between logits answer to rounding errors of the weights, layer by layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from baq.arguments import check_flag, check_seed, check_whole
from baq.inference import (
    batches,
    check_inputs,
    check_logits,
    copied,
    evaluate,
    gradients,
    labels,
    logits,
)
from baq.local import leaf, row_norms, slopes
from baq.quantization import Bits, bits_by_layer
from baq.rounding.layers import (
    as_columns,
    in_order_of_use,
    matrix_layers,
    patches,
    recorded,
)

__all__ = ["Sensitivity", "as_sensitivity", "noise_pass", "sensitivity", "with_noise"]


@dataclass(frozen=True)
class Sensitivity:
    """The first-order answer of a network's gaps to the rounding errors of each layer.

    A gap is the logit of an input's label less that of a rival. Rounding to a grid of step s adds to each
    weight an error that is taken as independent and uniform over a step, of variance ``s^2 / 12``; so to
    first order a gap changes by the sum over layers of ``<grad_W gap, error>``. The step of b bits is
    ``max|w| / (2^(b-1) - 1)``, so what a layer does at one bit width it does at all, but for a factor: all
    below is in units of a step as large as the largest weight.

    ``layers`` names the L layers, and ``weights`` their numbers of weights. ``gaps`` are those of the R
    nearest rivals, shape (N, R), in logits; ``classes`` are the label and these rivals, (N, R + 1).
    ``lengths`` are the norms of the first gap's gradient with respect to the input, (N,), and ``along``
    that gradient in the directions asked for, (N, D). ``variances`` are those of the first gap, (L, N).
    ``changes`` are those of all gaps by M draws of the errors, (L, N, R, M): the same draw for all
    inputs, as one rounding is.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> model, x = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3)), torch.randn(64, 4)
        >>> known = sensitivity(model, x)
        >>> known.layers, tuple(known.gaps.shape), tuple(known.change(4).shape)
        (('0', '2'), (64, 2), (64, 2, 64))
    """

    model: nn.Module
    x: Tensor
    layers: tuple[str, ...]
    weights: tuple[int, ...]
    gaps: Tensor
    classes: Tensor
    lengths: Tensor
    along: Tensor
    variances: Tensor
    changes: Tensor
    per_channel: bool
    seed: int

    def steps(self, bits: Bits) -> Tensor:
        """Step of each layer's grid over its largest weight, shape (L,).

        Arguments:
            bits: one bit width, or one for each layer by name.

        Raises:
            ValueError: as :func:`baq.quantization.bits_by_layer`.
        """
        widths = bits_by_layer(self.model, bits).values()
        return torch.tensor([1 / (2.0 ** (b - 1) - 1) for b in widths], dtype=torch.double).to(
            self.gaps
        )

    def mean_bits(self, bits: Bits) -> float:
        """Bits of a weight, in the mean over all of them."""
        if not isinstance(bits, Mapping):
            return bits
        widths = list(bits_by_layer(self.model, bits).values())
        return float(np.average(widths, weights=self.weights))

    def variance(self, bits: Bits) -> Tensor:
        """Variance of the first gap at each input, (N,)."""
        return torch.einsum("l,ln->n", self.steps(bits).square(), self.variances)

    def change(self, bits: Bits) -> Tensor:
        """Changes of the gaps by each draw of the errors, (N, R, M)."""
        return torch.einsum("l,lnrm->nrm", self.steps(bits), self.changes)


@gradients()
def sensitivity(
    network: nn.Module,
    x: Tensor,
    *,
    rivals: int = 2,
    draws: int = 64,
    along: Tensor | None = None,
    per_channel: bool = False,
    seed: int = 0,
    batch_size: int = 20,
) -> Sensitivity:
    """Take the sensitivity of a network at inputs: a forward pass, and a backward one for each rival.

    To these come two products for each layer and rival: one with the layer's inputs, that costs about as much
    as the forward pass through it, and one with all draws.

    Arguments:
        network: any module of :func:`baq.rounding.layers.matrix_layers`.
        x: inputs without labels, shape (N, *).
        rivals: how many of the other classes may win, those with the least gaps; all where there are fewer.
        draws: draws of rounding errors.
        along: directions in the input space, shape (D, *), such as the axes of a plane.
        per_channel: one scale for each output channel.
        seed: of the draws.
        batch_size: inputs per pass. Held at once are that many gradients with respect to one layer's weight,
            for each rival; those of few inputs stay in a processor's cache.

    Raises:
        ValueError: as :func:`baq.inference.check_inputs` and :func:`baq.rounding.layers.matrix_layers`, for
            inputs of whole numbers, such as those of embeddings, or for counts below 1.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> model, x = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3)), torch.randn(64, 4)
        >>> known = sensitivity(model, x)
        >>> bool((known.variance(3) > known.variance(4)).all())
        True
    """
    check_whole(rivals=rivals, draws=draws)
    check_flag(per_channel=per_channel)
    check_seed(seed=seed)
    layers = matrix_layers(network)
    x = check_inputs(network, x)
    in_order_of_use(network, leaf(x[:1]))  # or rows could not be told apart
    errors = [_errors(w.weight, draws, per_channel, seed, k) for k, w in enumerate(layers.values())]
    axes = x.new_zeros(0, x[0].numel()) if along is None else along.to(x).flatten(1)
    parts = []
    for batch in batches(x, batch_size):
        batch = leaf(batch)
        with recorded(network) as found:
            z = check_logits(evaluate(network, batch), len(batch))
        order = z.detach().argsort(dim=1, descending=True, stable=True)
        ordered = z.gather(1, order[:, : rivals + 1])
        gaps = ordered[:, :1] - ordered[:, 1:]
        if unused := [name for name in layers if name not in found]:
            raise ValueError(
                f"layer {unused[0]!r} takes no part in the forward pass: allowed are used ones"
            )
        found = {name: found[name] for name in layers}  # a pass may use them in another order
        outputs = [y for _, y in found.values()]
        by_rival = [slopes(gap, batch, *outputs, again=True) for gap in gaps.unbind(1)]
        variances, changes = [], []
        for k, (name, (a, _)) in enumerate(found.items(), 1):
            columns = patches(layers[name], a.detach()).transpose(1, 2)
            drawn, variance = errors[k - 1]
            # One product for all rivals: (B, R out, P) by (B, P, in).
            slope = torch.cat([as_columns(layers[name], s[k]) for s in by_rival], 1)
            gradient = (slope @ columns).reshape(len(batch), len(by_rival), -1)
            changes.append(gradient @ drawn)
            variances.append(gradient[:, 0].square() @ variance)
        first = by_rival[0][0].flatten(1)
        sums = torch.stack(variances, 1), torch.stack(changes, 1)
        classes = order[:, : rivals + 1]
        parts.append((gaps.detach(), classes, row_norms(first), first @ axes.T, *sums))
    gap, classes, length, along, variance, change = (
        _wide(torch.cat(part)) for part in zip(*parts, strict=True)
    )
    return Sensitivity(
        model=network,
        x=x,
        layers=tuple(layers),
        weights=tuple(layer.weight.numel() for layer in layers.values()),
        gaps=gap,
        classes=classes,
        lengths=length,
        along=along,
        variances=variance.T,
        changes=change.transpose(0, 1),
        per_channel=per_channel,
        seed=seed,
    )


def _wide(values: Tensor) -> Tensor:
    """Floats as float32 or wider: NumPy has no bfloat16."""
    return values.float() if values.is_floating_point() and values.itemsize < 4 else values


def _errors(
    weight: Tensor, draws: int, per_channel: bool, seed: int, layer: int
) -> tuple[Tensor, Tensor]:
    """Draws of the errors of a weight, (W, M), and their variance, (W,), for a step as large as the largest."""
    rows = weight.detach().flatten(1)
    largest = rows.abs().amax(dim=1, keepdim=True) if per_channel else rows.abs().max()
    step = largest.expand_as(rows).flatten()
    # No layer of a seed draws what another layer of another seed does.
    generator = torch.Generator().manual_seed(seed * 1_000_003 + layer)
    uniform = torch.rand(draws, len(step), generator=generator)
    return (uniform.to(step) - 0.5).T * step[:, None], step.square() / 12


def as_sensitivity(network: nn.Module | Sensitivity, x: Tensor | None, **given: Any) -> Sensitivity:
    """A sensitivity as it is, or that of a network at inputs.

    Arguments:
        network: one of the two.
        x: inputs without labels; None with a sensitivity, which has them.
        given: options of :func:`sensitivity`.

    Raises:
        ValueError: for a network without inputs, or a sensitivity with some.
    """
    if isinstance(network, Sensitivity):
        if x is not None:
            raise ValueError("x is given with a sensitivity, which has its inputs: allowed is None")
        return network
    if x is None:
        raise ValueError("x is None: allowed are inputs, or a sensitivity in place of the network")
    return sensitivity(network, x, **given)


@torch.inference_mode(False)
def with_noise(known: Sensitivity, bits: Bits, draw: int = 0) -> nn.Module:
    """A copy of the network with one of the draws of rounding errors added to its weights."""
    steps = known.steps(bits)
    noisy = copied(known.model)
    for k, layer in enumerate(matrix_layers(noisy).values()):
        drawn, _ = _errors(layer.weight, draw + 1, known.per_channel, known.seed, k)
        layer.weight.data += (steps[k] * drawn[:, draw]).reshape(layer.weight.shape)
    return noisy


def noise_pass(known: Sensitivity, bits: Bits, draw: int = 0) -> tuple[Tensor, float]:
    """Which inputs flip with one of the draws of rounding errors, and how much of that the first order explains.

    The network is run with the errors added, so that the flips do not end where the first order does. The share
    explained is ``1 - sum (change - first order)^2 / sum change^2`` over inputs and rivals, where the change is
    that of the gaps; below 0 where the first order is worse than none.

    Returns:
        A mask (N,) and the share.
    """
    z = logits(with_noise(known, bits, draw), known.x, 100)
    ordered = z.gather(1, known.classes)
    change = ordered[:, :1] - ordered[:, 1:] - known.gaps
    first = torch.einsum("l,lnr->nr", known.steps(bits), known.changes[..., draw])
    rest, total = (change - first).square().sum(), change.square().sum()
    return labels(z) != known.classes[:, 0], float(1 - rest / total) if total > 0 else 1.0
