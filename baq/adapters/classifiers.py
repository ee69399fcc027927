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
from baq.adapters.facts import Facts, facts, tell
from baq.adapters.named import named
from baq.adapters.onnx_file import load_onnx
from baq.adapters.outputs import KINDS, recognize
from baq.adapters.packages import needed
from baq.adapters.torch_file import Exported, load_torch
from baq.arguments import check_choice
from baq.inference import (
    Classifier,
    batch_sizes,
    batches,
    check_points,
    evaluate,
    input_form,
    is_quantized,
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

    It is a module where it has gradients, else any callable from a batch to logits. A module of the
    user's own is returned as it is; any other tells in attributes: ``source``, a text; ``note``, what was
    done with what it returns; ``differentiable``, whether there are gradients with respect to inputs of
    floats; ``classes``, what an estimator calls the columns of its logits, None for others.

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
        >>> model = load_classifier("torch.nn:Identity", inputs="input")
        >>> model.source, model.differentiable
        ('torch.nn:Identity', True)
    """
    text = str(source) if isinstance(source, (str, Path)) else type(source).__name__
    found, ours = source, False
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
            ours = isinstance(found, (Exported, torch.jit.ScriptModule))
        elif path.suffix.lower() in _PICKLES:
            _check_file(path)
            found = _unpickled(path, trust)
        elif ":" in text and not path.exists():
            found = _named(text)
        else:
            raise ValueError(f"{text} is no classifier: allowed are {_ALLOWED}")
    return _adapted(found, text, inputs, output, ours)


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
        ValueError: for another word, inputs that the classifier cannot take, or outputs that are not
            what the first ones look like.

    Example:
        >>> found, note = recognized(nn.Softmax(1), torch.eye(4))
        >>> note
        'probabilities: their logarithm is taken'
    """
    check_choice(("auto", *KINDS), outputs=outputs)
    x, put = check_points(x), input_form(classifier)
    size = batch_sizes(classifier, x)[0] if batch_size is None else batch_size
    z = torch.cat([evaluate(classifier, put(batch)) for batch in batches(x, size)])
    _, found, told = recognize(classifier, z, outputs)
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

    def __init__(self, classifier: Callable[..., Any]) -> None:
        self._classifier = classifier

    def __call__(self, *inputs: Tensor, **named: Tensor) -> Any:
        return self._classifier(*inputs, **named)


def _adapted(
    found: Any,
    text: str,
    inputs: str | Sequence[str] | None,
    output: str | int | None,
    ours: bool,
) -> Any:
    names = [inputs] if isinstance(inputs, str) else inputs
    known = facts(found)
    if not isinstance(found, nn.Module) and is_estimator(found) and not isinstance(found, type):
        classes = class_names(found)
        found, note = adapted_estimator(found)
        known = Facts(note=note, classes=classes)
        if isinstance(found, nn.Linear):
            found = nn.Sequential(nn.Flatten(), found).eval()
        ours = True
    if not callable(found):
        kind = type(found).__name__
        what = f"the classifier is a {kind}" if text == kind else f"{text} holds a {kind}"
        raise ValueError(f"{what}: allowed are modules, callables and fitted classifiers")
    if names is not None or output is not None:
        found, ours = named(found, names, output), True
    module = isinstance(found, nn.Module)
    if module and not ours:  # the user's, in which nothing is written
        return found
    smooth = module and known.differentiable and _has_gradients(found)
    told = vars(known) | {"source": text, "differentiable": smooth}
    return tell(found if module else _Adapted(found), **told)


def _has_gradients(model: nn.Module) -> bool:
    """Whether a module may have gradients: quantized kernels of integers have none."""
    if any(is_quantized(module) for module in model.modules()):
        return False
    return not any(
        p.dtype in (torch.qint8, torch.quint8) for p in [*model.parameters(), *model.buffers()]
    )
