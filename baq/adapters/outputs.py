"""What a classifier may return, and how it becomes logits: containers, one logit, probabilities."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

__all__ = [
    "ENOUGH",
    "FIRST",
    "KINDS",
    "AsLogits",
    "Told",
    "as_logits",
    "convert",
    "ends_in_softmax",
    "from_array",
    "in_logits",
    "kind_of",
    "recognize",
    "tensor_of",
    "to_array",
]

#: What the numbers of an output may be.
KINDS = ("logits", "probabilities", "one logit", "one probability")

#: Rows from which outputs that sum to 1 are taken for probabilities.
ENOUGH = 4
#: How many inputs decide what outputs are, whatever the size of a batch.
FIRST = 256
#: How far from 1 a row of probabilities may sum to at least, and how far above it a quantized one may lie.
_SUM, _QUANTIZED = 1e-3, 0.1


def tensor_of(output: Any, name: str | int | None = None) -> Tensor:
    """The tensor in what a classifier returned.

    A dictionary, or an object with fields, gives its ``logits``; a tuple or list its first entry; an
    object with ``value``, such as brevitas' QuantTensor, that; a quantized tensor is dequantized, and a
    list of dictionaries, which sklearn-onnx returns, is a table.

    Arguments:
        output: what was returned.
        name: which entry of a dictionary, tuple or list, or which field of an object; if not given, as
            above.

    Raises:
        ValueError: for an output without such an entry, or that is no array.
    """
    if name is not None:
        output = _named(output, name)
    while not isinstance(output, Tensor):
        if isinstance(output, Mapping):
            if "logits" not in output and len(output) != 1:
                entries = ", ".join(map(repr, output))
                raise ValueError(
                    f"the classifier returns a dictionary of {entries}: allowed is one with 'logits', "
                    "or name one of them as its output"
                )
            output = output["logits"] if "logits" in output else next(iter(output.values()))
        elif isinstance(getattr(output, "logits", None), (Tensor, Sequence)):
            output = output.logits
        elif isinstance(getattr(output, "value", None), Tensor):
            output = output.value
        elif isinstance(output, (tuple, list)) and _holds(output, Mapping):
            keys = sorted(output[0])
            output = torch.tensor([[row[key] for key in keys] for row in output])
        elif isinstance(output, (tuple, list)) and len(output) and _is_array(output[0]):
            output = output[0]
        else:
            return _array(output)
    return output.dequantize() if output.is_quantized else output


def _named(output: Any, name: str | int) -> Any:
    try:
        if isinstance(output, Mapping) or isinstance(name, int):
            return output[name]
        return getattr(output, name)
    except (KeyError, IndexError, TypeError, AttributeError):
        has = list(output) if isinstance(output, Mapping) else type(output).__name__
        raise ValueError(f"output is {name!r}, which is not in {has}") from None


def _holds(rows: Sequence[Any], kind: type) -> bool:
    return bool(rows) and all(isinstance(row, kind) for row in rows)


def _is_array(value: Any) -> bool:
    """Whether a value is an array or holds one, and is no bare number or row of numbers."""
    if isinstance(value, (Tensor, Mapping)) or hasattr(value, "logits"):
        return True
    return getattr(value, "ndim", 0) > 1 or (isinstance(value, (tuple, list)) and _nested(value))


def _nested(values: Sequence[Any]) -> bool:
    return bool(values) and (isinstance(values[0], (tuple, list)) or _is_array(values[0]))


def from_array(values: Any) -> Tensor:
    """An array, or lists, as a tensor, which shares its memory where torch can read that.

    Raises:
        TypeError, ValueError, RuntimeError: for what torch does not take.
    """
    known = isinstance(values, Tensor) or hasattr(values, "__cuda_array_interface__")
    if hasattr(values, "__array__") and not known:
        values = np.asarray(values)  # of a table of pandas, torch would ask for its keys
        if min(values.strides, default=0) < 0 or not values.dtype.isnative:
            values = np.array(values, values.dtype.newbyteorder("="), order="C")
    with warnings.catch_warnings():
        # An array that may not be written to is shared, and never written to here.
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        return torch.as_tensor(values)


def to_array(values: Tensor) -> np.ndarray:
    """A tensor as an array, which shares its memory where it can; of bfloat16, which NumPy lacks, as float32.

    Example:
        >>> to_array(torch.ones(2, dtype=torch.bfloat16))
        array([1., 1.], dtype=float32)
    """
    values = values.detach().cpu()
    return (values.float() if values.dtype == torch.bfloat16 else values).numpy()


def _array(values: Any) -> Tensor:
    try:
        return from_array(values)
    except (TypeError, ValueError, RuntimeError) as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(
            f"logits are a {type(values).__name__} that is no array: {reason}"
        ) from None


def kind_of(z: Tensor, like: str = "") -> str:
    """What the outputs of a classifier on many inputs are, one of :data:`KINDS`.

    The first :data:`FIRST` rows decide. Rows that are not negative and sum to 1 are probabilities, a single
    column that lies between 0 and 1 is one probability, and another single column, or no column at all, is
    one logit. ``like`` is the kind of a classifier that this one was made from: quantized probabilities lie
    between 0 and 1 and may sum to anything. Of fewer than :data:`ENOUGH` rows that sum to 1 nothing is
    concluded, since logits may do so too.

    Raises:
        ValueError: for a single column of whole numbers, which are labels.

    Example:
        >>> kind_of(torch.eye(4)), kind_of(torch.tensor([[-2.0], [3.0]]))
        ('probabilities', 'one logit')
    """
    single = z.ndim == 1 or (z.ndim == 2 and z.shape[1] == 1)
    if z.numel() == 0 or not (single or z.ndim == 2) or z.is_complex():
        return "logits"
    if single and not z.is_floating_point():
        raise ValueError(
            f"outputs are one {z.dtype} an input, a label: allowed are logits or probabilities of classes"
        )
    apart = max(_SUM, torch.finfo(z.dtype).eps) if z.is_floating_point() else _SUM
    z = z[:FIRST].detach().double()
    if single:
        # Labels in {0, 1} or a constant are as much a logit as a probability.
        clear = len(z) >= ENOUGH and bool(((z > 0) & (z < 1)).any())
        within = bool(((z >= 0) & (z <= 1)).all())
        found = within and (clear or like == "one probability")
        return "one probability" if found else "one logit"
    if like == "probabilities":
        found = bool(((z >= 0) & (z <= 1 + _QUANTIZED)).all())
    else:
        sums = bool(((z.sum(dim=1) - 1).abs() <= apart).all())
        found = len(z) >= ENOUGH and sums and bool((z >= 0).all())
    return "probabilities" if found else "logits"


def _check(z: Tensor, kind: str) -> None:
    """Raise a ValueError for outputs that are not of the kind that they are taken for."""
    one = kind.startswith("one ")
    if one and z.numel() != len(z):
        raise ValueError(f"outputs have shape {tuple(z.shape)}: allowed for {kind!r} is (N, 1)")
    if "probabilit" not in kind or not z.numel():
        return
    most = 1 + (_SUM if one else _QUANTIZED)
    for value in map(float, z.detach().aminmax()):
        if math.isfinite(value) and not -_SUM <= value <= most:
            raise ValueError(
                f"outputs are taken for {kind} and hold {value:.6g}: allowed are 0 to 1, or to tell by "
                "outputs that they are another kind"
            )


def convert(z: Tensor, kind: str) -> Tensor:
    """Outputs of a kind as logits (N, K).

    Of one logit s, which speaks for the second of two classes, the logits are 0 and s. The logarithm is
    taken of probabilities, of those that are 0 that of the smallest normal number; there its gradient is NaN,
    since nothing is left that it could be known from.

    Raises:
        ValueError: for outputs that cannot be of that kind.
    """
    if kind == "logits":
        return z
    z = z if z.is_floating_point() else z.double()
    _check(z, kind)
    if kind.startswith("one "):
        s = z.reshape(len(z), 1)
        if kind == "one logit":
            return torch.cat([torch.zeros_like(s), s], dim=1)
        z = torch.cat([1 - s, s], dim=1)
    return _Log.apply(z)


class _Log(torch.autograd.Function):
    """The logarithm of probabilities, with a gradient only where they have not vanished."""

    @staticmethod
    def forward(ctx: Any, p: Tensor) -> Tensor:
        ctx.save_for_backward(p)
        return p.clamp(min=torch.finfo(p.dtype).tiny).log()

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Tensor:
        (p,) = ctx.saved_tensors
        known = torch.where(p < torch.finfo(p.dtype).tiny, torch.nan, slope / p)
        return torch.where(slope == 0, 0.0, known)


class Told:
    """One clause on what :func:`convert` did to outputs that came batch by batch.

    Example:
        >>> told = Told("probabilities")
        >>> told.add(torch.tensor([[0.5, 0.5], [0.25, 0.75]]))
        >>> str(told)
        'probabilities: their logarithm is taken; 1 of 2 inputs tie at the top'
    """

    def __init__(self, kind: str) -> None:
        self.kind, self._count, self._ties, self._zeros = kind, 0, 0, 0

    def add(self, z: Tensor) -> None:
        """Count the ties and zeros of outputs."""
        if "probabilit" not in self.kind:
            return
        if self.kind == "one probability":
            s = z.detach().reshape(len(z), 1)
            z = torch.cat([1 - s, s], dim=1)
        two = z.detach().double().topk(2, dim=1).values
        self._count += len(z)
        self._ties += int((two[:, 0] == two[:, 1]).sum())
        least = torch.finfo(z.dtype if z.is_floating_point() else torch.double).tiny
        self._zeros += int((two[:, 1] <= 1.001 * least).sum())

    def __str__(self) -> str:
        told = _TOLD[self.kind]
        if self._ties:
            told += f"; {self._ties} of {self._count} inputs tie at the top"
        if self._zeros:
            told += (
                f"; {self._zeros} of {self._count} inputs have a second of 0: their margin is cut, their "
                "radius unknown and left out"
            )
        return told


#: What is done to outputs of a kind.
_TOLD = {
    "logits": "",
    "probabilities": "probabilities: their logarithm is taken",
    "one logit": "one logit: a second of 0",
    "one probability": "one probability: the logarithms of it and of its complement are taken",
    "softmax": "probabilities: what enters the last softmax is taken",
}


class AsLogits(nn.Module):
    """A module whose outputs of a kind are turned into logits, gradients included."""

    def __init__(self, model: nn.Module, kind: str) -> None:
        super().__init__()
        self.model, self.kind = model, kind
        self.train(model.training)

    def forward(self, *inputs: Any, **named: Any) -> Tensor:
        return convert(tensor_of(self.model(*inputs, **named)), self.kind)


def in_logits(classifier: Callable[..., Any], kind: str) -> Callable[..., Any]:
    """A classifier with outputs of a kind as one with logits; itself where it has them already."""
    if kind == "logits":
        return classifier
    if isinstance(classifier, nn.Module):
        return AsLogits(classifier, kind)
    return lambda *inputs, **named: convert(tensor_of(classifier(*inputs, **named)), kind)


def ends_in_softmax(classifier: Callable[..., Any]) -> bool:
    """Whether a classifier is a ``Sequential`` that ends in a softmax over classes."""
    return _without_softmax(classifier) is not None


def _without_softmax(classifier: Callable[..., Any]) -> nn.Sequential | None:
    """A ``Sequential`` that ends in a softmax over classes without that end; None for any other."""
    if type(classifier) is not nn.Sequential or len(classifier) < 2:
        return None
    end = classifier[-1]
    if type(end) is not nn.Softmax or end.dim not in (1, -1):
        return None
    if classifier._forward_hooks or classifier._forward_pre_hooks or end._forward_hooks:
        return None
    cut = nn.Sequential(*list(classifier)[:-1])
    cut.training = classifier.training
    return cut


def as_logits(classifier: Callable[..., Any], kind: str) -> tuple[Callable[..., Any], Told]:
    """A classifier with outputs of a kind as one that returns logits, and what is to be told of it.

    Of a ``Sequential`` that ends in a softmax, what enters it is taken: of saturated probabilities the
    logarithm has lost the margin.
    """
    if kind == "probabilities" and (cut := _without_softmax(classifier)) is not None:
        return cut, Told("softmax")
    return in_logits(classifier, kind), Told(kind)


def recognize(
    classifier: Callable[..., Any], z: Tensor, outputs: str = "auto", like: str = ""
) -> tuple[str, Callable[..., Any], Told]:
    """What a classifier's outputs are, and what :func:`as_logits` makes of it.

    Arguments:
        classifier: any callable.
        z: its outputs for inputs, of which the first decide.
        outputs: what these are, one of :data:`KINDS`; recognized if ``auto``.
        like: see :func:`kind_of`.

    Raises:
        ValueError: for outputs that cannot be of that kind, or are labels.
    """
    kind = outputs
    if outputs == "auto":
        kind = "probabilities" if ends_in_softmax(classifier) else kind_of(z, like)
    if kind != "logits":
        _check(z, kind)
    return kind, *as_logits(classifier, kind)
