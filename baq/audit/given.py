"""What was named on a command line: where it lies, what it is called, and what its outputs are."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from baq.adapters.facts import facts
from baq.adapters.outputs import convert, recognize
from baq.comparison.measured import one_line
from baq.inference import Classifier, check_inputs, check_logits, evaluate

__all__ = ["depends_on_batch", "named", "users_folder", "with_logits"]

#: Inputs that are evaluated together and one by one, and how far outputs may differ, as a share of the largest.
_ALONE, _APART = 16, 1e-3


@contextlib.contextmanager
def users_folder() -> Iterator[None]:
    """Work where the command was typed, so that relative paths lead where their author meant.

    A chapter that :mod:`workflow` executes works in a folder of its own, and finds the other in
    ``$BAQ_FOLDER``; elsewhere both are one.

    Example:
        >>> with users_folder():
        ...     Path("no such file").exists()
        False
    """
    with contextlib.chdir(os.environ.get("BAQ_FOLDER", ".")):
        yield


def named(sources: str | Sequence[str]) -> dict[str, str]:
    """Files and functions by the names that a page calls them: their last parts, where these differ.

    Arguments:
        sources: paths, or ``module:function``; also one text, or a list as JSON, as papermill passes lists on.

    Raises:
        ValueError: for no source, one that is no text, or one that is given twice.

    Example:
        >>> named('["out/int8.onnx", "nets:four_bits"]')
        {'int8.onnx': 'out/int8.onnx', 'nets:four_bits': 'nets:four_bits'}
        >>> named(["a/int8.onnx", "b/int8.onnx"])
        {'a/int8.onnx': 'a/int8.onnx', 'b/int8.onnx': 'b/int8.onnx'}
    """
    if isinstance(sources, str):
        text = sources.strip()
        try:
            sources = json.loads(text) if text.startswith("[") else [text]
        except ValueError as error:
            raise ValueError(f"candidates are {text!r}, no list: {error}") from None
    found = list(sources)
    if not found or not all(isinstance(one, str) and one for one in found):
        raise ValueError(f"candidates are {found!r}: allowed are texts, one or more")
    if len(set(found)) < len(found):
        raise ValueError(f"candidates are {found!r}: allowed is each once")
    short = [one if ":" in one else Path(one).name for one in found]
    unique = len(set(short)) == len(short)
    return dict(zip(short if unique else found, found, strict=True))


def with_logits(
    reference: Classifier, candidates: Mapping[Any, Classifier], x: Tensor, points: int = 256
) -> tuple[Classifier, dict[Any, Classifier], list[str]]:
    """Classifiers as ones that return logits, whatever they return, and without those that fail.

    Arguments:
        reference, candidates: as :func:`baq.compare` takes them; candidates by a key.
        x: inputs, shape (N, *).
        points: the first so many inputs decide what the outputs are (:mod:`baq.adapters.outputs`).

    Returns:
        The reference, the candidates that work, and a note on each classifier that needed one.

    Raises:
        ValueError: where the reference fails, or all candidates do, as :func:`baq.inference.evaluate`.

    Example:
        >>> import torch
        >>> soft = lambda x: torch.softmax(x, dim=1)
        >>> x = torch.randn(100, 3, generator=torch.Generator().manual_seed(0))
        >>> _, found, notes = with_logits(lambda x: x, {"soft": soft}, x)
        >>> bool(found["soft"](x).exp().sum(dim=1).allclose(torch.ones(100))), len(notes)
        (True, 1)
    """
    first = x[:points]
    kind, ours, told = _with_logits(reference, first, "")
    notes = [f"the reference: {told}"] if told else []
    found: dict[Any, Classifier] = {}
    failed: Exception | None = None
    for key, candidate in candidates.items():
        try:
            _, found[key], told = _with_logits(candidate, first, kind)
        except Exception as error:  # one that fails must not lose the others
            failed, told = failed or error, f"left out: {one_line(error)}"
        if told:
            notes.append(f"{key}: {told}")
    if not found and failed is not None:
        raise failed
    return ours, found, notes


def depends_on_batch(classifier: Classifier, x: Tensor) -> str:
    """A sentence where outputs depend on which inputs are evaluated together, or may, else nothing.

    Dynamic quantization does so: the scale of its activations is that of a batch.

    Arguments:
        x: inputs, shape (N, *); the first few are evaluated together and one by one.

    Example:
        >>> import torch
        >>> x = torch.arange(6.0).reshape(3, 2)
        >>> depends_on_batch(lambda x: x, x), depends_on_batch(lambda x: x / x.max(), x)[:33]
        ('', 'its outputs depend on which input')
    """
    some = check_inputs(classifier, x[:_ALONE])
    together = evaluate(classifier, some).detach()
    try:  # a single output may lack the axis of the batch, as after squeeze()
        alone = torch.cat(
            [evaluate(classifier, one).detach().reshape(1, -1) for one in some.split(1)]
        )
        apart = (together.reshape(alone.shape) - alone).abs().max()
    except Exception as error:  # what works in batches alone can be measured
        return f"whether its outputs depend on which inputs are evaluated together is not known: {one_line(error)}"
    if not apart > _APART * together.abs().max():
        return ""
    return (
        "its outputs depend on which inputs are evaluated together, as the scales of dynamic quantization do: "
        "with other batches other labels may change"
    )


def _with_logits(classifier: Classifier, x: Tensor, like: str) -> tuple[str, Classifier, str]:
    """What a classifier's outputs are, the classifier with logits, and what is to be told of it."""
    raw = evaluate(classifier, check_inputs(classifier, x)).detach()
    kind, known, told = recognize(classifier, raw, like=like)
    check_logits(convert(raw, kind), len(x))
    told.add(raw)
    made = facts(classifier)
    parts = made.note, told, depends_on_batch(classifier, x)
    return made.kind or kind, known, "; ".join(str(part) for part in parts if str(part))
