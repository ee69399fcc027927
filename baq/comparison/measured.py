"""A classifier as it is measured: what its outputs are, and which measures are missing and why."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from baq.adapters.named import by_row, named
from baq.adapters.outputs import as_logits, convert, kind_of
from baq.inference import (
    Classifier,
    as_tensor,
    check_logits,
    check_points,
    evaluate,
    input_form,
    place,
)

__all__ = ["Measured", "as_points", "one_line", "told"]


class Measured:
    """A classifier as it is measured: what its outputs are, and which measures are missing and why."""

    def __init__(self, classifier: Classifier, outputs: str) -> None:
        self.classifier, self._raw, self._outputs = classifier, classifier, outputs
        self.kind, self.failed, self.notes = "", False, ""
        self.error: Exception | None = None
        self.missing: dict[str, str] = {}

    @classmethod
    def placed(cls, classifier: Classifier, outputs: str, dtype: Any, device: Any) -> Measured:
        found = cls(classifier, outputs)
        try:
            found.classifier = found._raw = place(classifier, dtype, device)
        except Exception as error:  # as any other failure of a candidate
            found.fail(error)
        return found

    def fail(self, error: Exception) -> None:
        self.failed, self.error = True, error
        self.missing = {"all": one_line(error)}

    def reason(self) -> str:
        return "; ".join(f"{name}: {why}" for name, why in self.missing.items())

    def logits(self, batch: Tensor, like: Measured | None = None, count: int = 0) -> Tensor:
        """Logits of a batch; the first one shows what the outputs are."""
        z = self._outputs_of(batch)
        if not self.kind:
            self._take(z, like, count)
        self.told.add(z)
        if self.told.kind == "softmax":
            z = evaluate(self.classifier, input_form(self.classifier)(batch))
        else:
            z = convert(z, self.kind)
        return check_logits(z, len(batch))

    def vanished(self, z: Tensor, pair: tuple[Tensor, Tensor]) -> Tensor:
        """Where the probability of a class of a pair was 0, so that logits tell a bound of the gap only, (N,)."""
        if "probabilit" not in self.told.kind:
            return torch.zeros(len(z), dtype=torch.bool)
        least = convert(torch.zeros_like(z[:1, :1]), "probabilities")
        lower = torch.stack([z.gather(1, classes.to(z.device)[:, None]) for classes in pair])
        return lower.amin(dim=0)[:, 0] <= least[0]

    def _outputs_of(self, batch: Tensor) -> Tensor:
        return evaluate(self._raw, input_form(self._raw)(batch))

    def _take(self, z: Tensor, like: Measured | None, count: int) -> None:
        """Take outputs as what they are."""
        kind = self._outputs
        if kind == "auto":
            kind = kind_of(z, like.kind if like else "")
        if kind.startswith("one ") and like and count != 2:
            kind = "logits"  # which then do not fit, and are named
        self.kind = kind
        self.classifier, self.told = as_logits(self._raw, kind)


def one_line(error: Exception) -> str:
    """An error in one line."""
    return " ".join(str(error).split())[:300] or type(error).__name__


def told(first: Measured, other: Measured) -> str:
    """What was done with the outputs of a reference and a candidate, and how many radii were taken."""
    own = "" if other.failed else str(other.told)
    texts = [
        f"{who}: {text}"
        for who, text in (("reference", str(first.told)), ("candidate", own))
        if text
    ]
    return "; ".join([*texts, *([first.notes] if first.notes else [])])


def as_points(x: Any, first: Measured, others: Mapping[Any, Measured]) -> Tensor:
    """Inputs as one tensor; several named ones as the numbers of their rows."""
    if not isinstance(x, Mapping):
        return check_points(x)
    if not x:
        raise ValueError("inputs are an empty dictionary: allowed is one array or more by name")
    data = {str(name): as_tensor(values, f"inputs {name!r}") for name, values in x.items()}
    counts = {name: len(values) if values.ndim else 0 for name, values in data.items()}
    if len(set(counts.values())) != 1:
        raise ValueError(f"inputs have {counts} rows: allowed are equal numbers")
    for values in data.values():
        check_points(values if values.ndim > 1 else values[:, None])
    for measured in (first, *others.values()):
        if not measured.failed:
            one = len(data) == 1
            taken = (
                named(measured.classifier, list(data)) if one else by_row(measured.classifier, data)
            )
            measured.classifier = measured._raw = taken
    if len(data) == 1:
        return check_points(next(iter(data.values())))
    first.missing["gradients"] = f"they are taken by one input, and there are {len(data)}"
    return torch.arange(next(iter(counts.values())))[:, None]
