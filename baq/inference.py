"""Evaluate any classifier in batches, with its inputs and outputs checked."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn

__all__ = ["Classifier", "batches", "default_device", "labels", "logits", "place", "top_pair"]

#: Any callable from a batch of inputs ``(B, *)`` to logits ``(B, K)``; gradient measures need a module.
Classifier = Callable[[Tensor], Tensor]


def default_device() -> torch.device:
    """CUDA where there is a CUDA device, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def place(
    classifier: Classifier,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
) -> Classifier:
    """Return the classifier as it is measured: a copy of a module at the dtype and device named.

    A module is put in evaluation mode; a plain callable, or a module that is there already, is
    returned as it is.
    """
    if not isinstance(classifier, nn.Module):
        return classifier
    here = next(classifier.parameters(), None)
    same = here is None or (
        here.dtype == (dtype or here.dtype) and here.device == torch.device(device or here.device)
    )
    if same and not any(module.training for module in classifier.modules()):
        return classifier
    return copy.deepcopy(classifier).to(device=device, dtype=dtype).eval()


def _not_finite(values: Tensor) -> int:
    """How many values are NaN or infinite."""
    # A sum is finite only if all its terms are, and costs a fraction of the count.
    return 0 if torch.isfinite(values.sum()) else int((~torch.isfinite(values)).sum())


def check_points(x: Tensor) -> None:
    """Raise where ``x`` is no batch of inputs.

    Raises:
        ValueError: if ``x`` has fewer than two axes, is empty or holds a value that is not finite.
    """
    if x.ndim < 2 or len(x) == 0:
        raise ValueError(f"inputs have shape {tuple(x.shape)}: allowed is (N, ...) with N >= 1")
    if bad := _not_finite(x):
        raise ValueError(f"inputs hold {bad} values that are not finite: allowed are finite ones")


def check_inputs(classifier: Classifier, x: Tensor) -> Tensor:
    """Return ``x`` at the dtype and device of the classifier's parameters.

    Raises:
        ValueError: as :func:`check_points`, or if the classifier is a module in training mode whose
            output would depend on that.
    """
    check_points(x)
    if not isinstance(classifier, nn.Module):
        return x
    for name, module in classifier.named_modules():
        stateful = isinstance(
            module, (nn.modules.batchnorm._BatchNorm, nn.modules.dropout._DropoutNd)
        )
        if stateful and module.training:
            raise ValueError(f"module {name!r} is in training mode: call .eval() first")
    here = next(classifier.parameters(), None)
    return x if here is None else x.to(device=here.device, dtype=here.dtype)


def check_logits(z: Tensor, count: int) -> Tensor:
    """Return the logits ``z`` if they are finite and of shape ``(count, K)`` with K >= 2.

    Raises:
        ValueError: if they are not.
    """
    if z.ndim != 2 or z.shape[0] != count or z.shape[1] < 2:
        raise ValueError(f"logits have shape {tuple(z.shape)}: allowed is ({count}, K) with K >= 2")
    if bad := _not_finite(z.detach()):
        raise ValueError(f"logits hold {bad} values that are not finite: check the weights")
    return z


def batches(x: Tensor, batch_size: int) -> tuple[Tensor, ...]:
    """Split ``x`` along its first axis into batches of ``batch_size``, the last one maybe smaller.

    Raises:
        ValueError: for a batch size below 1.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size is {batch_size}: allowed is 1 or more")
    return x.split(batch_size)


def evaluate(classifier: Classifier, batch: Tensor) -> Tensor:
    """What the classifier makes of one batch.

    Raises:
        ValueError: if the classifier cannot take inputs of this shape.
        MemoryError: if the batch does not fit in memory.
    """
    try:
        return torch.as_tensor(classifier(batch))
    except RuntimeError as error:
        # The processor's allocator has no exception of its own.
        if isinstance(error, torch.OutOfMemoryError) or "allocate memory" in str(error):
            raise MemoryError(
                f"a batch of {len(batch)} inputs does not fit in memory: lower batch_size"
            ) from error
        reason = str(error).partition("\n")[0]
        raise ValueError(
            f"the classifier fails on inputs of shape {tuple(batch.shape)}: {reason}"
        ) from error


@torch.no_grad()
def logits(classifier: Classifier, x: Tensor, batch_size: int = 8192) -> Tensor:
    """Logits of all points, evaluated in batches without gradients.

    Arguments:
        classifier: any callable from inputs to logits.
        x: inputs, shape (N, *).
        batch_size: points per call, at least 1.

    Returns:
        Logits, shape (N, K).

    Raises:
        ValueError: for empty or non-finite inputs, inputs that the classifier cannot take, logits of
            a wrong shape or not finite.
        MemoryError: if a batch does not fit in memory.
    """
    x = check_inputs(classifier, x)
    return torch.cat(
        [check_logits(evaluate(classifier, b), len(b)) for b in batches(x, batch_size)]
    )


def labels(z: Tensor) -> Tensor:
    """Top-1 labels of logits ``(N, K)``, shape (N,); ties go to the lowest index."""
    return z.argmax(dim=1)


def top_pair(z: Tensor) -> tuple[Tensor, Tensor]:
    """First and second label of logits ``(N, K)``, each of shape (N,); ties go to the lowest index."""
    first = labels(z)
    rest = z.scatter(1, first[:, None], -torch.inf)
    return first, labels(rest)
