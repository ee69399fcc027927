"""Statistics of a network's inputs to round on, taken once for all ways of rounding and bit widths."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from functools import cached_property

import torch
from torch import Tensor, nn

from baq.arguments import check_seed, check_whole
from baq.inference import batches, check_inputs, check_logits, evaluate, logits, place
from baq.rounding.form import output_metrics
from baq.rounding.layers import (
    LayerInputs,
    MatrixLayer,
    as_columns,
    in_order_of_use,
    matrix_layers,
    patches,
    recorded,
)
from baq.rounding.points import low_margin_points, sample_boundary

__all__ = ["Statistics"]


class Statistics:
    """The statistics of a network, on the inputs that it is rounded on.

    Layers that are no matrix over patches have none: ``left`` names them with the reason, a warning says
    so, and rounding leaves them to the nearest value.

    Each is computed when it is first asked for, and kept. Most memory goes to the layers' outputs,
    which the moments of a candidate need: N times ``positions`` times the outputs of all layers.

    Arguments:
        model: the network to round.
        x: inputs to round on, shape (N, *).
        positions: the most positions of a convolution's output that are looked at; where there are
            more, a sample of this many, drawn for each batch, stands for all.
        seed: seed of that draw.
        batch_size: inputs per pass.

    Raises:
        ValueError: as :func:`baq.rounding.layers.matrix_layers`, for inputs that are empty or not finite, or
            positions or a batch size below 1.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> model, x = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3)), torch.randn(64, 4)
        >>> known = Statistics(model, x)
        >>> from baq.rounding import adaround
        >>> four, three = (adaround(model, bits, known) for bits in (4, 3))
        >>> {name: tuple(moment.shape for moment in known.moments(name)) for name in known.layers}
        {'0': (torch.Size([4, 4]), torch.Size([8, 4])), '2': (torch.Size([8, 8]), torch.Size([3, 8]))}
    """

    def __init__(
        self,
        model: nn.Module,
        x: Tensor,
        *,
        positions: int = 64,
        seed: int = 0,
        batch_size: int = 100,
    ) -> None:
        check_whole(positions=positions)
        check_seed(seed=seed)
        self.left: dict[str, str] = {}
        matrix_layers(model, self.left)  # names what cannot be copied, too
        if self.left:
            told = ", ".join(f"{name!r} ({why})" for name, why in self.left.items())
            warnings.warn(f"left to nearest: {told}", stacklevel=2)
        self.given, self.model = model, place(model)
        self.layers: dict[str, MatrixLayer] = matrix_layers(self.model, {})
        self.x = check_inputs(self.model, x)
        self.order = in_order_of_use(self.model, self.x, {})
        self._made_of = _sums(model)
        self._parts = batches(self.x, batch_size)
        self.positions, self._seed = positions, seed
        self._z: Tensor | None = None
        self._points: dict[tuple[int, float, int], Tensor] = {}
        self._metrics: dict[tuple[str, tuple[int, float, int]], dict[str, Tensor]] = {}

    def check_model(self, model: nn.Module) -> None:
        """Raise where a network is not the one of these statistics, as it was when they were begun.

        Raises:
            ValueError: for another network, or one whose weights have changed since.
        """
        if self.given is not model:
            raise ValueError("x holds statistics of another network: allowed are those of this one")
        if _sums(model) != self._made_of:
            raise ValueError(
                "x holds statistics of other weights: allowed are those of the network as it is"
            )

    def passed_through(self, candidate: nn.Module) -> LayerInputs:
        """The inputs on their way through a candidate, for :meth:`moments`."""
        return LayerInputs(candidate, self._parts)

    def moments(self, name: str, inputs: LayerInputs | None = None) -> tuple[Tensor, Tensor]:
        """The two moments of the data in a layer's quadratic loss, per input of the network.

        With the model's weight W and patch a, the candidate's patch ``a_q``, which carries the errors
        of the layers before, and any weight V, the mean squared error of the layer's output is
        ``E|V a_q - W a|^2 = tr(V A V') - 2 tr(V T') + const`` with ``A = sum_p E[a_q a_q']``, the Gram
        matrix, and ``T = sum_p E[(W a) a_q']``.

        Arguments:
            name: a key of :func:`baq.rounding.layers.matrix_layers`.
            inputs: what reaches the layers of a candidate, a network of the same shape, from
                :meth:`passed_through`; of the model itself where not given.

        Returns:
            ``A`` of shape (in, in) and ``T`` of shape (out, in).

        Raises:
            ValueError: for a layer that the forward pass leaves out, or as
                :meth:`baq.rounding.layers.LayerInputs.of`.
        """
        if inputs is None:
            self._check_used(self._grams, name)
            gram = self._grams[name]
            return gram, self.layers[name].weight.detach().flatten(1) @ gram
        self._check_used(self._outputs, name)
        count, outputs = self._outputs[name]
        weight = self.layers[name].weight.detach().flatten(1)
        gram, target = weight.new_zeros(2 * weight.shape[1:]), torch.zeros_like(weight)
        for a, drawn, output in zip(inputs.of(name), self._drawn(count), outputs, strict=True):
            a = _flat(patches(self.layers[name], a, drawn))
            gram.addmm_(a, a.T)
            target.addmm_(output, a.T)
        share = self._share(count)
        return gram / share, target / share

    def metrics(
        self, kind: str, points: int, on_boundary: float, seed: int
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Points near and on the boundary, and each layer's B of a kind there.

        As :func:`baq.rounding.points.sample_boundary` and :func:`baq.rounding.form.output_metrics`
        have them.
        """
        where = points, on_boundary, seed
        if where not in self._points:
            self._points[where] = sample_boundary(self.model, self.x, *where, z=self._logits)
        drawn = self._points[where]
        if (kind, where) not in self._metrics:
            self._metrics[kind, where] = output_metrics(self.model, drawn, kind, others={})
        return drawn, self._metrics[kind, where]

    def low_margin(self, count: int) -> Tensor:
        """The inputs with the lowest margins, as :func:`baq.rounding.points.low_margin_points` has them."""
        return low_margin_points(self.model, self.x, count, z=self._logits)

    @property
    def _logits(self) -> Tensor:
        """The model's logits, computed once."""
        if self._z is None:
            self._z = logits(self.model, self.x, len(self._parts[0]))
        return check_logits(self._z, len(self.x))

    @cached_property
    def _grams(self) -> dict[str, Tensor]:
        """A of every layer, on the model's own inputs."""
        grams: dict[str, Tensor] = {}
        counts: dict[str, int] = {}
        for k, found in enumerate(self._passes()):
            for name, (a, y) in found.items():
                counts[name] = as_columns(self.layers[name], y).shape[2]
                a = _flat(patches(self.layers[name], a, self._drawn(counts[name])[k]))
                grams[name] = grams[name].addmm_(a, a.T) if name in grams else a @ a.T
        return {name: gram / self._share(counts[name]) for name, gram in grams.items()}

    @cached_property
    def _outputs(self) -> dict[str, tuple[int, list[Tensor]]]:
        """By layer: the number of positions, and W a at those drawn, (out, .) for each batch."""
        outputs: dict[str, tuple[int, list[Tensor]]] = {}
        for k, found in enumerate(self._passes()):
            for name, (_, y) in found.items():
                y = as_columns(self.layers[name], y)
                count, parts = outputs.setdefault(name, (y.shape[2], []))
                y = _flat(y[:, :, self._drawn(count)[k]])
                bias = self.layers[name].bias
                parts.append(y if bias is None else y - bias.detach()[:, None])
        return outputs

    @torch.no_grad()
    def _passes(self) -> Iterator[dict[str, tuple[Tensor, Tensor]]]:
        """Inputs and outputs of all layers, batch by batch."""
        z = []
        for batch in self._parts:
            with recorded(self.model, {}) as found:
                z.append(evaluate(self.model, batch))
            yield found
        self._z = torch.cat(z)

    def _drawn(self, count: int) -> list[Tensor | slice]:
        """For each batch, the positions that are looked at out of ``count``."""
        if count <= self.positions:
            return [slice(None)] * len(self._parts)
        generator = torch.Generator().manual_seed(self._seed)
        return [
            torch.randperm(count, generator=generator)[: self.positions].to(self.x.device)
            for _ in self._parts
        ]

    def _share(self, count: int) -> float:
        """The number of inputs, times the share of the positions that are looked at."""
        return min(1.0, self.positions / count) * len(self.x)

    def _check_used(self, found: Mapping[str, object], name: str) -> None:
        if name not in found:
            raise ValueError(
                f"layer {name!r}, {self.layers[name]}, takes no part in the model's forward pass"
            )


def _sums(model: nn.Module) -> list[tuple[float, float]]:
    """Sums of each parameter's values and of their squares, which a change of weights changes."""
    values = (parameter.detach().double() for parameter in model.parameters())
    return [(float(value.sum()), float(value.square().sum())) for value in values]


def _flat(columns: Tensor) -> Tensor:
    """Columns (N, c, P) side by side, (c, N P)."""
    return columns.transpose(0, 1).flatten(1)
