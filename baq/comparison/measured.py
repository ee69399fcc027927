"""A classifier as it is measured: what its outputs are, and which measures are missing and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from baq.adapters.facts import facts
from baq.adapters.named import by_row, named
from baq.adapters.outputs import FIRST, Told, as_logits, convert, ends_in_softmax, recognize
from baq.inference import (
    Classifier,
    as_tensor,
    batches,
    check_logits,
    check_points,
    evaluate,
    input_form,
    place,
)

__all__ = ["Measured", "as_places", "as_points", "one_line", "told"]


class Measured:
    """A classifier as it is measured: what its outputs are, and which measures are missing and why."""

    def __init__(self, classifier: Classifier, outputs: str) -> None:
        self.classifier, self._raw, self._outputs = classifier, classifier, outputs
        self.kind, self.failed, self.notes = "", False, ""
        known = facts(classifier)
        # What makes logits of probabilities by itself says so.
        self.converted = known.kind if "probabilit" in known.kind else ""
        self.classes, self.note = known.classes, known.note
        self._ahead: list[Tensor] = []
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

    def said(self) -> str:
        """What was done with the outputs, by the classifier itself or here."""
        parts = (*self.note.split("; "), *str(self.told).split("; "))
        return "; ".join(dict.fromkeys(text for text in parts if text))

    def reason(self) -> str:
        return "; ".join(f"{name}: {why}" for name, why in self.missing.items())

    def logits(self, batch: Tensor) -> Tensor:
        """Logits of a batch, of all inputs one after the other, once it is known what the outputs are."""
        if self.told.kind == "softmax":
            z = evaluate(self.classifier, input_form(self.classifier)(batch))
            return check_logits(z, len(batch))
        z = self._ahead.pop(0) if self._ahead else self._outputs_of(batch)
        converted = convert(z, self.kind)
        self.told.add(z.exp() if self.converted else z)
        return check_logits(converted, len(batch))

    def vanished(self, z: Tensor, pair: tuple[Tensor, Tensor]) -> Tensor:
        """Where the probability of a class of a pair was 0, so that logits tell a bound of the gap only, (N,)."""
        if "probabilit" not in self.told.kind:
            return torch.zeros(len(z), dtype=torch.bool)
        least = convert(torch.zeros_like(z[:1, :1]), "probabilities")
        lower = torch.stack([z.gather(1, classes.to(z.device)[:, None]) for classes in pair])
        return lower.amin(dim=0)[:, 0] <= least[0]

    def _outputs_of(self, batch: Tensor) -> Tensor:
        return evaluate(self._raw, input_form(self._raw)(batch))

    @torch.no_grad()
    def take(self, x: Tensor, size: int, like: Measured | None = None, count: int = 0) -> None:
        """Take outputs as what those of the first inputs are, which are kept for :meth:`logits`.

        Arguments:
            x: all inputs, shape (N, *).
            size: inputs of a batch.
            like, count: the reference, and how many classes it has.
        """
        kind = self._outputs
        if like and self.classes and like.classes and self.classes != like.classes:
            raise ValueError(
                f"its classes are {listed(self.classes)}: allowed are the reference's, {listed(like.classes)}"
            )
        if self.converted:
            if kind not in ("auto", "logits"):
                raise ValueError(
                    f"outputs are {kind!r}, and the logarithm of this classifier's is taken already: allowed is 'auto'"
                )
            self.kind, self.told = "logits", Told(self.converted)
            return
        if kind == "auto" and ends_in_softmax(self._raw):
            kind = "probabilities"
        if kind == "auto":
            some = batches(x[: size * -(-FIRST // size)], size)
            self._ahead = [self._outputs_of(batch) for batch in some]
            for z, batch in zip(self._ahead, some, strict=True):
                if not z.ndim or len(z) != len(batch):
                    check_logits(z, len(batch))
            z = torch.cat(self._ahead)
            kind, *_ = recognize(self._raw, z, like=like.converted or like.kind if like else "")
        if kind.startswith("one ") and like and count != 2:
            kind = "logits"  # which then do not fit, and are named
        self.kind = kind
        self.classifier, self.told = as_logits(self._raw, kind)


def one_line(error: Exception) -> str:
    """An error in one line."""
    return " ".join(str(error).split())[:300] or type(error).__name__


def listed(values: Sequence[Any], most: int = 12) -> str:
    """Some values in a line."""
    return ", ".join(map(str, values[:most])) + (", ..." if len(values) > most else "")


def as_places(y: Any, classifier: object) -> Any:
    """Labels as the places of a classifier's logits, where it is known what it calls these.

    Raises:
        ValueError: for a label that is none of its classes.
    """
    classes = facts(classifier).classes
    if y is None or classes is None:
        return y
    places = {name: k for k, name in enumerate(classes)}
    values = np.asarray(y).tolist()
    if unknown := [value for value in values if value not in places]:
        raise ValueError(
            f"labels hold {unknown[0]}: allowed are the reference's classes, {listed(classes)}"
        )
    return torch.tensor([places[value] for value in values])


def told(first: Measured, other: Measured) -> str:
    """What was done with the outputs of a reference and a candidate, and how many radii were taken."""
    parts = (("reference", first), ("candidate", other))
    texts = [f"{who}: {one.said()}" for who, one in parts if not one.failed and one.said()]
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
