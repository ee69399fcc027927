"""A classifier from whatever holds one: a file, a name in Python, a module, an estimator."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from baq.adapters.estimators import adapted_estimator, class_names, is_estimator
from baq.adapters.named import Named, named
from baq.adapters.onnx_file import load_onnx
from baq.adapters.outputs import KINDS, as_logits, kind_of
from baq.adapters.packages import needed
from baq.adapters.torch_file import load_torch
from baq.arguments import check_choice
from baq.inference import (
    Classifier,
    batch_sizes,
    batches,
    check_points,
    evaluate,
    input_form,
)

__all__ = ["load_classifier", "recognized"]

_TORCH = (".pt2", ".pt", ".pth")
_PICKLES = (".pkl", ".pickle", ".joblib")
_ALLOWED = ".onnx, .pt2, .pt or .pth, .pkl or .joblib if trusted, or 'package.module:attribute'"


def load_classifier(
    source: Any,
    *,
    inputs: str | Sequence[str] | None = None,
    output: str | int | None = None,
    trust: bool = False,
) -> Classifier:
    """A classifier that :func:`baq.compare` takes, from whatever holds one.

    It is a module where it has gradients, else any callable from a batch to logits, and tells in
    attributes: ``source``, a text; ``note``, what was done with what it returns; ``differentiable``,
    whether there are gradients with respect to inputs of floats; ``classes``, what an estimator calls the
    columns of its logits, None for others.

    Arguments:
        source: one of

            * a file ``.onnx`` (by onnxruntime, gradients by onnx2torch), ``.pt2`` of ``torch.export``,
              ``.pt`` or ``.pth`` of TorchScript, or, where it is trusted, a pickle of any of the below;
            * ``"package.module:attribute"``, which names one of the below, or a function or class that
              returns one without being given anything;
            * a module or any other callable, or a fitted classifier of scikit-learn, XGBoost or LightGBM.
        inputs: the name of the input, or several that each batch gives by name.
        output: the name of the output, or its place in a tuple.
        trust: load pickles, which can run any code.

    Raises:
        ValueError: for a file that is absent or none of these, a pickle without ``trust``, a name that
            leads nowhere, inputs or outputs that are not there, or a package that is absent.

    Example:
        >>> model = load_classifier("torch.nn:Identity")
        >>> model.source, model.differentiable
        ('torch.nn:Identity', True)
    """
    text = str(source) if isinstance(source, (str, Path)) else type(source).__name__
    found = source
    if isinstance(source, (str, Path)):
        path = Path(source).expanduser()
        if path.suffix.lower() == ".onnx":
            _check_file(path)
            if isinstance(output, int):
                raise ValueError(
                    f"output is {output}: allowed is the name of an output of the file"
                )
            return load_onnx(path, inputs, output)
        if path.suffix.lower() in _TORCH:
            _check_file(path)
            found = load_torch(path, trust)
        elif path.suffix.lower() in _PICKLES:
            _check_file(path)
            found = _unpickled(path, trust)
        elif ":" in text and not path.exists():
            found = _named(text)
        else:
            raise ValueError(f"{text} is no classifier: allowed are {_ALLOWED}")
    return _told(_adapted(found, text, inputs, output), text)


@torch.no_grad()
def recognized(
    classifier: Classifier, x: Tensor, outputs: str = "auto", batch_size: int | None = None
) -> tuple[Classifier, str]:
    """A classifier as one that returns logits, by what it returns for inputs; and a clause on what was done.

    :func:`baq.compare` does so by itself; single measures and label maps take logits alone.

    Arguments:
        classifier: any callable from inputs to logits, probabilities, one logit, or what holds them.
        x: inputs, shape (N, *).
        outputs: what it returns, one of :data:`baq.adapters.outputs.KINDS`; recognized if ``auto``.
        batch_size: inputs per pass; as many as keep memory bounded where not given.

    Raises:
        ValueError: for another word, or inputs that the classifier cannot take.

    Example:
        >>> found, note = recognized(nn.Softmax(1), torch.eye(4))
        >>> note
        'probabilities: their logarithm is taken'
    """
    check_choice(("auto", *KINDS), outputs=outputs)
    x, put = check_points(x), input_form(classifier)
    size = batch_sizes(classifier, x)[0] if batch_size is None else batch_size
    z = torch.cat([evaluate(classifier, put(batch)) for batch in batches(x, size)])
    found, told = as_logits(classifier, kind_of(z) if outputs == "auto" else outputs)
    told.add(z)
    return found, str(told)


def _check_file(path: Path) -> None:
    if not path.is_file():
        raise ValueError(f"{path} is absent: allowed are {_ALLOWED}")


def _unpickled(path: Path, trust: bool) -> Any:
    if not trust:
        raise ValueError(
            f"{path} is a pickle, which can run any code when it is loaded: allowed with trust=True"
        )
    joblib = needed("joblib", "a pickle of an estimator", "book")
    try:
        return joblib.load(path)
    except Exception as error:  # unpickling runs any code
        reason = " ".join(str(error).split())
        raise ValueError(f"{path} cannot be unpickled: {reason}") from None


def _named(text: str) -> Any:
    """What a name such as ``package.module:attribute`` stands for, called if it is a way to make one."""
    name, _, attribute = text.partition(":")
    try:
        found: Any = importlib.import_module(name)
    except (ImportError, ValueError) as error:
        raise ValueError(f"{text} cannot be imported: {error}") from None
    for part in attribute.split("."):
        if not hasattr(found, part):
            raise ValueError(f"{text}: {name} has no {attribute}")
        found = getattr(found, part)
    if isinstance(found, nn.Module) or (is_estimator(found) and not isinstance(found, type)):
        return found
    if callable(found) and _needs_nothing(found):
        return found()
    return found


def _needs_nothing(function: Callable[..., Any]) -> bool:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return False
    return all(
        p.default is not p.empty or p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD) for p in parameters
    )


class _Adapted:
    """A callable with what is known about it."""

    def __init__(
        self, classifier: Callable[..., Any], note: str, classes: tuple[Any, ...] | None
    ) -> None:
        self._classifier, self.note, self.classes = classifier, note, classes
        self.source, self.differentiable = "", False

    def __call__(self, *inputs: Tensor, **named: Tensor) -> Any:
        return self._classifier(*inputs, **named)


def _adapted(
    found: Any, text: str, inputs: str | Sequence[str] | None, output: str | int | None
) -> Any:
    names = [inputs] if isinstance(inputs, str) else inputs
    note, classes = "", None
    if not isinstance(found, nn.Module) and is_estimator(found) and not isinstance(found, type):
        classes = class_names(found)
        found, note = adapted_estimator(found)
        if isinstance(found, nn.Linear):
            found = nn.Sequential(nn.Flatten(), found).eval()
    if isinstance(found, nn.Module):
        if names is not None or output is not None:
            found = Named(found, names, output)
        found.__dict__.setdefault("note", note)
        found.__dict__.setdefault("classes", classes)
        return found
    if not callable(found):
        kind = type(found).__name__
        what = f"the classifier is a {kind}" if text == kind else f"{text} holds a {kind}"
        raise ValueError(f"{what}: allowed are modules, callables and fitted classifiers")
    if names is not None or output is not None:
        found = named(found, names, output)
    return _Adapted(found, note, classes)


def _told(found: Any, text: str) -> Any:
    """A classifier that tells where it comes from."""
    if isinstance(found, nn.Module):
        # Not by setattr, which a module of TorchScript restricts, and no part of its state.
        found.__dict__.setdefault("differentiable", _has_gradients(found))
        found.__dict__["source"] = text
    else:
        found.source = text
    return found


def _has_gradients(model: nn.Module) -> bool:
    """Whether a module may have gradients: quantized kernels of integers have none."""
    kinds = {type(m).__module__ for m in model.modules()}
    if any(
        k.startswith(("torch.ao.nn.quantized", "torch.ao.nn.intrinsic.quantized")) for k in kinds
    ):
        return False
    return not any(
        p.dtype in (torch.qint8, torch.quint8) for p in [*model.parameters(), *model.buffers()]
    )
