"""Evaluate any classifier in batches, with its inputs and outputs checked."""

from __future__ import annotations

import copy
import functools
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import CellType, CodeType, FunctionType
from typing import Any, TypeVar, overload

import torch
from torch import Tensor, nn

from baq.adapters.facts import facts
from baq.adapters.outputs import from_array, tensor_of
from baq.arguments import check_whole

__all__ = [
    "Classifier",
    "batches",
    "bisect",
    "check_labels",
    "copied",
    "default_device",
    "gradients",
    "labels",
    "logits",
    "place",
    "top_pair",
]

#: Bytes that one pass may hold, of which batches are made where no size is given: without gradients and
#: with them.
_BYTES = 2**30, 2**31
#: Inputs of a batch at most where no size is given.
MOST = 4096
#: Bytes of a layer's outputs in a pass on a processor, and what a pass with gradients may keep there. Larger
#: arrays leave the cache, and the system gives and takes each of them anew, which costs more than the pass.
_CACHED = 2**23, 2**28
#: Numbers that a layer is taken to put out for each number of an input, as a wide convolution does.
_WIDE = 16

#: Where torch keeps its kernels of whole numbers.
_QUANTIZED = "torch.ao.nn.quantized", "torch.ao.nn.intrinsic.quantized"

#: Any callable from a batch of inputs ``(B, *)`` to logits ``(B, K)``; gradient measures need a module.
Classifier = Callable[[Tensor], Tensor]

_Module = TypeVar("_Module", bound=nn.Module)


def default_device() -> torch.device:
    """CUDA where there is a CUDA device, else the CPU.

    Example:
        >>> default_device().type in ("cpu", "cuda")
        True
    """
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@overload
def place(
    classifier: _Module,
    dtype: torch.dtype | str | None = None,
    device: torch.device | str | None = None,
) -> _Module: ...


@overload
def place(
    classifier: Classifier,
    dtype: torch.dtype | str | None = None,
    device: torch.device | str | None = None,
) -> Classifier: ...


@torch.inference_mode(False)  # so that gradients can be taken of the copy
def place(
    classifier: Classifier,
    dtype: torch.dtype | str | None = None,
    device: torch.device | str | None = None,
) -> Classifier:
    """The classifier as it is measured: in evaluation mode, at the dtype and device named.

    A module is copied where it must change; any other callable is returned as it is.

    Raises:
        ValueError: for a device that is absent, a dtype that is not a float, or as :func:`copied`.

    Example:
        >>> model = nn.Sequential(nn.Linear(2, 2), nn.Dropout())
        >>> placed = place(model, torch.float64)
        >>> placed.training, placed[0].weight.dtype, model.training
        (False, torch.float64, True)
    """
    named = getattr(torch, dtype, None) if isinstance(dtype, str) else dtype
    if dtype is not None and not (isinstance(named, torch.dtype) and named.is_floating_point):
        raise ValueError(f"dtype is {dtype!r}: allowed are floating ones, such as torch.float32")
    _check_callable(classifier)
    if not isinstance(classifier, nn.Module):
        return classifier
    here = first_parameter(classifier)
    try:
        goal = None if device is None else torch.empty(0, device=device).device
    except (AssertionError, RuntimeError, TypeError) as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(f"device is {str(device)!r}, which is not here: {reason}") from None
    same = here is None or (
        (here.dtype == (named or here.dtype) or not here.is_floating_point())
        and here.device == (goal or here.device)
        and not here.is_inference()
    )
    if same and not any(module.training for module in classifier.modules()):
        return classifier
    return _evaluating(copied(classifier).to(device=goal, dtype=named))


def _check_callable(classifier: object) -> None:
    if not callable(classifier):
        raise ValueError(
            f"the classifier is a {type(classifier).__name__}: allowed is a callable, as "
            "baq.adapters.load_classifier makes of files, fitted estimators and exported programs"
        )


def _evaluating(model: _Module) -> _Module:
    try:
        return model.eval()
    except NotImplementedError:  # an exported program is of one mode, and refuses to be asked
        for module in model.modules():
            module.training = False
        return model


def copied(model: _Module) -> _Module:
    """A deep copy of a module.

    Raises:
        ValueError: for a module that cannot be copied, such as one with old-style ``weight_norm`` or
            pruning masks, naming the layer.

    Example:
        >>> model = nn.Linear(2, 1)
        >>> copied(model) is model, torch.equal(copied(model).weight, model.weight)
        (False, True)
    """
    try:
        return copy.deepcopy(model)
    except RuntimeError as error:
        for name, module in model.named_modules():
            for key, value in vars(module).items():
                if isinstance(value, Tensor) and value.grad_fn is not None:
                    raise ValueError(
                        f"layer {name!r} computes its {key} before each pass: store it first, for "
                        "instance with torch.nn.utils.remove_weight_norm or prune.remove"
                    ) from None
        reason = str(error).partition("\n")[0]
        raise ValueError(f"{type(model).__name__} cannot be copied: {reason}") from None


@contextmanager
def gradients() -> Iterator[None]:
    """Record gradients, whatever mode the caller is in.

    Example:
        >>> with torch.no_grad(), gradients():
        ...     torch.is_grad_enabled()
        True
    """
    with torch.inference_mode(False), torch.enable_grad():
        yield


#: Who is told of every pass.
_WATCHING: ContextVar[Callable[[int], object] | None] = ContextVar("watching", default=None)


@contextmanager
def watched(told: Callable[[int], object]) -> Iterator[None]:
    """Within the context, tell of every pass how many inputs it took, for progress."""
    token = _WATCHING.set(told)
    try:
        yield
    finally:
        _WATCHING.reset(token)


def passed(count: int) -> None:
    """Tell whoever watches of a pass forward or backward of a number of inputs."""
    if told := _WATCHING.get():
        told(count)


def first_parameter(model: nn.Module) -> Tensor | None:
    """The first parameter that is a float of 16 bits or more; where there is none, the first of any dtype."""
    floats = (p for p in model.parameters() if p.is_floating_point() and p.itemsize > 1)
    here = next(floats, next(model.parameters(), None))
    if here is not None and here.is_meta:
        raise ValueError("the model lies on 'meta', without weights: allowed is one that has some")
    return here


def _reads_mode(module: nn.Module) -> bool:
    """Whether anything that a call of a module may run reads ``training``.

    This looks at the module's own methods, its hooks, and the functions that these name or hold. Code
    that Python cannot read, such as TorchScript's, is taken to read it.
    """
    kind, hooks = type(module), (module._forward_hooks, module._forward_pre_hooks)
    todo: list[Any] = [hook for kept in hooks for hook in kept.values()] + [*vars(module).values()]
    for base in kind.__mro__[: kind.__mro__.index(nn.Module)]:
        left_out = ("__init__", "train", "eval")
        todo += [value for name, value in vars(base).items() if name not in left_out]
    seen: set[Any] = set()
    while todo:
        part = todo.pop()
        for name in ("fget", "func", "__func__", "__wrapped__"):  # what a wrapper holds
            part = getattr(part, name, None) or part
        if isinstance(part, FunctionType) and part not in seen:
            seen.add(part)
            codes = [part.__code__]
            for code in codes:  # grows by the functions inside
                if "training" in (*code.co_names, *code.co_consts):
                    return True
                codes += [inner for inner in code.co_consts if isinstance(inner, CodeType)]
                todo += [part.__globals__.get(name) for name in code.co_names]
            todo += [cell.cell_contents for cell in part.__closure__ or () if _filled(cell)]
    return isinstance(module, torch.jit.ScriptModule)


def _filled(cell: CellType) -> bool:
    try:
        return cell.cell_contents is not None
    except ValueError:
        return False


def _not_finite(values: Tensor) -> int:
    """How many values are NaN or infinite."""
    # A sum is finite only if all its terms are, and costs a fraction of the count.
    return 0 if torch.isfinite(values.sum()) else int((~torch.isfinite(values)).sum())


def as_tensor(values: Any, name: str = "the values") -> Tensor:
    """Values, which may be an array or lists, as a tensor.

    Raises:
        ValueError: for what is no array, or a tensor without values.
    """
    try:
        found = from_array(values)
    except (TypeError, ValueError, RuntimeError) as error:
        if getattr(getattr(values, "dtype", None), "kind", "") in ("O", "S", "U", "T", "M", "m"):
            raise ValueError(f"{name} are {values.dtype}: allowed are numbers") from None
        reason = str(error).partition("\n")[0]
        raise ValueError(
            f"{name} are a {type(values).__name__} that is no array: {reason}"
        ) from None
    if found.is_meta:
        raise ValueError(f"{name} lie on 'meta', without values: allowed are some that have them")
    if found.is_complex() or found.layout != torch.strided:
        kind = found.dtype if found.is_complex() else found.layout
        raise ValueError(f"{name} are {kind}: allowed are real numbers, all of them stored")
    return found


def check_points(x: Tensor) -> Tensor:
    """Return inputs, which may be an array or lists, as a tensor.

    Raises:
        ValueError: if ``x`` has fewer than two axes, is empty or holds a value that is not finite.
    """
    x = as_tensor(x, "inputs")
    if x.is_floating_point() and x.itemsize == 1:
        raise ValueError(f"inputs are {x.dtype}: allowed are floats of 16 bits or more")
    if x.ndim < 2 or x.numel() == 0:
        raise ValueError(f"inputs have shape {tuple(x.shape)}: allowed is (N, ...) with N >= 1")
    if bad := _not_finite(x):
        raise ValueError(f"inputs hold {bad} values that are not finite: allowed are finite ones")
    return x


def check_labels(y: Tensor, count: int, classes: int | None = None) -> Tensor:
    """Return labels, which may be an array or a list, as an integer tensor.

    Raises:
        ValueError: unless ``y`` has shape (count,) and holds whole numbers from 0, below ``classes``
            where that is given.

    Example:
        >>> check_labels([0, 2, 1], 3, classes=3)
        tensor([0, 2, 1])
    """
    y = as_tensor(y, "labels")
    if y.shape != (count,):
        raise ValueError(f"labels have shape {tuple(y.shape)}: allowed is ({count},)")
    whole = y.long()
    if not y.is_floating_point():
        y = whole  # torch compares no unsigned numbers of 16 bits or more
    allowed = "0 or more" if classes is None else f"0 to {classes - 1}"
    wrong = (whole != y) | (whole < 0)
    if classes is not None:
        wrong |= whole >= classes
    if wrong.any():
        raise ValueError(f"labels hold {y[wrong][0].item()}: allowed are whole numbers, {allowed}")
    return whole


def _module_of(classifier: object) -> nn.Module | None:
    """The module that a classifier is, or that it is a method, a partial call or a wrapper of."""
    while not isinstance(classifier, nn.Module):
        if isinstance(classifier, functools.partial):
            inner: object = classifier.func
        else:
            inner = getattr(classifier, "__self__", getattr(classifier, "__wrapped__", None))
        if not callable(inner):
            return None
        classifier = inner
    return classifier


def input_form(classifier: Classifier) -> Callable[[Tensor], Tensor]:
    """How a classifier takes inputs: a function that puts a batch at its parameters' dtype and device.

    The dtype is that of its first parameter of floats; quantized kernels without any take float32.
    Whole numbers (N, T) stay such for a network with embeddings, which they are indices of.

    Raises:
        ValueError: if the classifier is no callable, or a module, or a method or partial call of one, in
            training mode whose output may depend on that.
    """
    _check_callable(classifier)
    model = _module_of(classifier)
    if model is None:
        return lambda x: x
    for name, module in model.named_modules():
        if module.training and _reads_mode(module):
            raise ValueError(f"module {name!r} is in training mode: call .eval() first")
    here = first_parameter(model)
    quantized = any(is_quantized(module) for module in model.modules())
    if here is None and not quantized:
        return lambda x: x
    device = None if here is None else here.device
    floats = here is not None and here.is_floating_point() and here.itemsize > 1
    dtype = here.dtype if here is not None and floats else torch.float32
    embeds = any(_embeds(module) for module in model.modules())

    def put(x: Tensor) -> Tensor:
        if embeds and x.ndim == 2 and not x.is_floating_point():
            return x.to(device=device, dtype=torch.long)
        return x.to(device=device, dtype=dtype)

    return put


def is_quantized(module: nn.Module) -> bool:
    """Whether a module is one of torch's kernels of whole numbers, whose weights are no parameters."""
    scripted = str(getattr(module, "original_name", ""))
    return type(module).__module__.startswith(_QUANTIZED) or "PackedParams" in scripted


def _embeds(module: nn.Module) -> bool:
    """Whether a module looks inputs up in a table, also one of TorchScript or of an exported program."""
    if isinstance(module, (nn.Embedding, nn.EmbeddingBag)):
        return True
    if isinstance(module, torch.fx.GraphModule):
        return any("embedding" in str(node.target) for node in module.graph.nodes)
    return getattr(module, "original_name", "") in ("Embedding", "EmbeddingBag")


def check_inputs(classifier: Classifier, x: Tensor) -> Tensor:
    """Return ``x`` as the classifier takes it, see :func:`input_form`.

    Raises:
        ValueError: as :func:`check_points` and :func:`input_form`.
    """
    x = check_points(x)
    return input_form(classifier)(x)


def check_logits(z: Tensor, count: int) -> Tensor:
    """Return the logits ``z`` if they are finite and of shape ``(count, K)`` with K >= 2.

    Raises:
        ValueError: if they are not.
    """
    if z.ndim != 2 or z.shape[0] != count or z.shape[1] < 2:
        raise ValueError(f"logits have shape {tuple(z.shape)}: allowed is ({count}, K) with K >= 2")
    if z.is_complex():
        raise ValueError(f"logits are {z.dtype}: allowed are real numbers")
    z = z if z.is_floating_point() else z.double()
    if bad := _not_finite(z.detach()):
        raise ValueError(f"logits hold {bad} values that are not finite: check the weights")
    return z


def batches(x: Tensor, batch_size: int) -> tuple[Tensor, ...]:
    """Split ``x`` along its first axis into batches of ``batch_size``; the last may be smaller.

    Raises:
        ValueError: for a batch size that is not a whole number of 1 or more.

    Example:
        >>> [len(part) for part in batches(torch.zeros(5, 2), 2)]
        [2, 2, 1]
    """
    check_whole(batch_size=batch_size)
    return x.split(int(batch_size))


def batch_in_cache(classifier: Classifier, one: Tensor) -> int:
    """Inputs of a pass on a processor whose layers' outputs stay in the cache; elsewhere no bound.

    At least 8, so that layers are not starved, and what a classifier takes at once where that is fixed.

    Arguments:
        classifier: as it is measured.
        one: an input as it takes it, shape (1, *).

    Example:
        >>> batch_in_cache(nn.Identity(), torch.zeros(1, 3, 32, 32))
        42
    """
    if one.device.type != "cpu":
        return sys.maxsize
    count = _CACHED[0] // (_WIDE * _bytes(classifier, one))
    return max(8, facts(classifier).batch or 0, count)


def _bytes(classifier: Classifier, one: Tensor) -> int:
    return facts(classifier).size or max(1, one.numel() * one.itemsize)


def batch_sizes(classifier: Classifier, x: Tensor) -> tuple[int, int]:
    """Inputs that a pass may take so that its memory stays bounded: without gradients, and with them.

    :data:`MOST` at most, and on a processor as :func:`batch_in_cache` has it. A pass with gradients keeps what one input is
    seen to keep; one without is taken to hold 16 times its inputs, as a network does that starts with a wide
    convolution.

    Arguments:
        classifier: as it is measured.
        x: inputs, shape (N, *); one is evaluated.
    """
    one = input_form(classifier)(x[:1])
    size = _bytes(classifier, one)
    most, budgets = min(MOST, batch_in_cache(classifier, one)), _BYTES
    if one.device.type == "cpu":
        budgets = _BYTES[0], _CACHED[1]
    kept = size
    seen = set()

    def keep(tensor: Tensor) -> Tensor:
        nonlocal kept
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in seen and not isinstance(tensor, nn.Parameter):
            seen.add(storage.data_ptr())
            kept += storage.nbytes()
        return tensor

    with gradients(), torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        try:
            if one.is_floating_point():
                one = one.clone().requires_grad_()
            output = classifier(one.clone())  # as evaluate
        except Exception:  # what fails is told where it is measured
            output = None
    del output
    free, kept = (
        max(1, budget // held) for budget, held in zip(budgets, (_WIDE * size, kept), strict=True)
    )
    return min(most, free), min(most, free, kept)


def evaluate(classifier: Classifier, batch: Tensor) -> Tensor:
    """The classifier's output for one batch, as :func:`baq.adapters.outputs.tensor_of` reads it.

    Raises:
        ValueError: if the classifier cannot take inputs of this shape, or returns no array.
        MemoryError: if the batch does not fit in memory.
    """
    try:
        # A clone, which a classifier that works in place may overwrite.
        return tensor_of(classifier(batch.clone()))
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
        batch_size: points per call at most, at least 1; fewer as :func:`batch_in_cache` has it.

    Returns:
        Logits, shape (N, K).

    Raises:
        ValueError: for empty or non-finite inputs, inputs that the classifier cannot take, logits of
            a wrong shape or not finite.
        MemoryError: if a batch does not fit in memory.

    Example:
        >>> logits(nn.Identity(), torch.tensor([[0.5, 2.0], [1.0, 0.0]]), batch_size=1).tolist()
        [[0.5, 2.0], [1.0, 0.0]]
    """
    x, put = check_points(x), input_form(classifier)
    check_whole(batch_size=batch_size)
    parts = []
    for batch in batches(x, min(batch_size, batch_in_cache(classifier, put(x[:1])))):
        parts.append(check_logits(evaluate(classifier, put(batch)), len(batch)))
        passed(len(batch))
    return torch.cat(parts)


def labels(z: Tensor) -> Tensor:
    """Top-1 labels of logits ``(N, K)``, shape (N,); ties go to the lowest index.

    Example:
        >>> labels(torch.tensor([[0.1, 0.9], [0.5, 0.5]]))
        tensor([1, 0])
    """
    return z.argmax(dim=1)


def top_pair(z: Tensor) -> tuple[Tensor, Tensor]:
    """First and second label of logits ``(N, K)``, each of shape (N,); ties go to the lowest index.

    Example:
        >>> [classes.tolist() for classes in top_pair(torch.tensor([[0.1, 0.9, 0.5]]))]
        [[1], [2]]
    """
    first = labels(z)
    rest = z.scatter(1, first[:, None], -torch.inf)
    return first, labels(rest)


def bisect(
    classifier: Classifier,
    at: Callable[[Tensor], Tensor],
    first: Tensor,
    steps: int,
    batch_size: int = 8192,
) -> Tensor:
    """Where along N paths the classifier's label changes, by bisection; positions (N,), float64.

    A position is within ``2^-(steps+1)`` of a change; of several changes, one is found.

    Arguments:
        classifier: any callable from inputs to logits.
        at: inputs at positions (N,) on the paths, each from 0 to 1, shape (N, *).
        first: labels at position 0, on the CPU, shape (N,); those at 1 are others.
        steps: halvings.
        batch_size: points per evaluation.

    Example:
        >>> def step(x):
        ...     return torch.stack([0.25 - x[:, 0], x[:, 0] - 0.25], dim=1)
        >>> bisect(step, lambda t: t[:, None], torch.tensor([0]), steps=20).round(decimals=3).tolist()
        [0.25]
    """
    low, high = torch.zeros(len(first)).double(), torch.ones(len(first)).double()
    for _ in range(steps):
        middle = (low + high) / 2
        same = labels(logits(classifier, at(middle), batch_size)).cpu() == first
        low, high = torch.where(same, middle, low), torch.where(same, high, middle)
    return (low + high) / 2
