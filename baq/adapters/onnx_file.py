"""A classifier in an ONNX file, evaluated by onnxruntime, with the gradients of a copy in torch."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from baq.adapters.facts import tell
from baq.adapters.outputs import convert, tensor_of, to_array
from baq.adapters.packages import needed

__all__ = ["OnnxClassifier", "load_onnx"]

#: What onnxruntime's names of types stand for.
_DTYPES = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(int8)": np.int8,
    "tensor(uint8)": np.uint8,
    "tensor(bool)": np.bool_,
}
#: Nodes that pass a value on, rounded at most.
_PASSING = ("Identity", "Cast", "QuantizeLinear", "DequantizeLinear", "Squeeze", "Flatten")
#: The version of operators for which onnx2torch knows most of them.
_OPSET = 16
#: Largest difference of logits, over the largest logit, at which a copy in torch counts as the same.
_SAME = 1e-3


class _WithGradientOf(torch.autograd.Function):
    """The values of one tensor with the gradient of another that stands for the same function."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, differentiable: Tensor) -> Tensor:
        return values.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, Tensor]:
        return None, gradients[0]


class OnnxClassifier(nn.Module):
    """A classifier in an ONNX file: logits are onnxruntime's, gradients those of a copy in torch.

    A batch becomes the file's own type. Where the file fixes the size of a batch, larger ones are
    evaluated in parts, the last one filled up with copies of its last input.

    Attributes:
        source: the file.
        note: what was done with its outputs and gradients.
        differentiable: whether there are gradients.
        kind: what the file puts out, one of :data:`baq.adapters.outputs.KINDS`; it is converted.
        batch: the size of a batch that the file fixes; None where it is free.
        torch_copy: the copy that gives them, a module; None where there is none.
    """

    source: str
    note: str
    differentiable: bool
    kind: str
    batch: int | None
    torch_copy: nn.Module | None

    def __init__(
        self, session: Any, name: str, inputs: Sequence[str], output: str, kind: str
    ) -> None:
        super().__init__()
        self._session, self._inputs, self._output = session, inputs, output
        self._places = {place.name: place for place in session.get_inputs()}
        shape = self._places[inputs[0]].shape
        fixed = shape and isinstance(shape[0], int) and shape[0] > 0
        batch = shape[0] if fixed else None
        tell(self, source=name, kind=kind, batch=batch, differentiable=False)
        # Hidden from `modules`: a change of its weights would not change the logits.
        object.__setattr__(self, "torch_copy", None)
        self.eval()

    def __deepcopy__(self, memo: Any) -> OnnxClassifier:
        return self  # nothing in it changes

    def forward(self, *inputs: Tensor, **named: Tensor) -> Tensor:
        given = dict(zip(self._inputs, inputs, strict=False)) | named
        if absent := [name for name in self._inputs if name not in given]:
            raise ValueError(
                f"{self.source}: input {absent[0]!r} is not given: allowed are data for it"
            )
        if unknown := [name for name in given if name not in self._places]:
            raise ValueError(
                f"{self.source}: input is {unknown[0]!r}: allowed are {', '.join(self._places)}"
            )
        first = given[self._inputs[0]]
        values = self._run({name: to_array(x) for name, x in given.items()}).to(first.device)
        if self.torch_copy is None or not (torch.is_grad_enabled() and first.requires_grad):
            return convert(values, self.kind)
        found = _through(self.torch_copy, first.to("cpu", self._dtype()))
        found = tensor_of(found).reshape(values.shape).to(values)
        if not (off := _difference(found.detach(), values)) < _SAME:
            raise ValueError(
                f"{self.source}: onnx2torch's copy, which gives gradients, is off by {off:.2g}"
            )
        return convert(_WithGradientOf.apply(values, found), self.kind)

    def _dtype(self) -> torch.dtype:
        kind = np.dtype(_DTYPES[self._places[self._inputs[0]].type])
        return torch.from_numpy(np.empty(0, kind)).dtype

    def _run(self, given: dict[str, np.ndarray]) -> Tensor:
        for name, x in given.items():
            given[name] = self._fitted(name, x)
        count, size = len(next(iter(given.values()))), self.batch
        step = size or max(count, 1)
        parts = []
        for start in range(0, count, step):
            part = {name: x[start : start + step] for name, x in given.items()}
            here = len(next(iter(part.values())))
            if here < step:
                part = {
                    n: np.concatenate([x, x[-1:].repeat(step - here, 0)]) for n, x in part.items()
                }
            parts.append(tensor_of(self._evaluate(part))[:here])
        return torch.cat(parts)

    def _evaluate(self, part: dict[str, np.ndarray]) -> Any:
        try:
            return self._session.run([self._output], part)[0]
        except Exception as error:  # onnxruntime's own kinds share no base of their own
            if "allocate memory" in str(error):
                raise RuntimeError(
                    str(error)
                ) from None  # as torch's, which is known by these words
            raise ValueError(f"{self.source}: onnxruntime fails: {_line(error)}") from None

    def _fitted(self, name: str, x: np.ndarray) -> np.ndarray:
        place = self._places[name]
        fits = len(place.shape) == x.ndim and all(
            not isinstance(want, int) or want == has
            for want, has in zip(place.shape[1:], x.shape[1:], strict=True)
        )
        if place.shape and not fits:
            raise ValueError(
                f"{self.source}: inputs have shape {_shape(x.shape)}: allowed for {name!r} is "
                f"{_shape(place.shape)}"
            )
        dtype = np.dtype(_DTYPES[place.type])
        if dtype.kind != "f":
            limits: Any = None if dtype.kind == "b" else np.iinfo(dtype)
            low, high = (limits.min, limits.max) if limits else (0, 1)
            if (wrong := (x != np.rint(x)) | (x < low) | (x > high)).any():
                raise ValueError(
                    f"{self.source}: inputs hold {x[wrong][0]:.6g}: allowed for {name!r} are whole "
                    f"numbers from {low} to {high}"
                )
        return np.ascontiguousarray(x, dtype)


def _shape(shape: Sequence[Any]) -> str:
    names = ["N", *(str(s) if isinstance(s, int) else "any" for s in shape[1:])]
    return f"({', '.join(names)})"


def _line(error: Exception) -> str:
    """An error of onnxruntime or onnx in one line, without its codes."""
    text = " ".join(str(error).split())
    return text.partition(" : ")[2].split(" : ", 2)[-1][:200] or text[:200]


def _through(copy: nn.Module, x: Tensor) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # onnx2torch slices by lists
        return copy(x)


def load_onnx(
    path: Path, inputs: str | Sequence[str] | None = None, output: str | None = None
) -> OnnxClassifier:
    """The classifier in an ONNX file: float, QDQ, dynamic or integer.

    Arguments:
        path: the file.
        inputs: the name of its input, or several that each batch gives; its only one if not given.
        output: the name of the output that is taken; its only one if not given.

    Raises:
        ValueError: for a file that is no ONNX model or that onnxruntime cannot run, inputs or outputs
            that it does not have, or several where none is named.
    """
    runtime = needed("onnxruntime", "an ONNX file", "onnx")
    options = runtime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = torch.get_num_threads(), 4
    try:
        session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own kinds share no base of their own
        raise ValueError(f"{path} is no ONNX model that onnxruntime runs: {_line(error)}") from None
    names = [place.name for place in session.get_inputs()]
    chosen = [inputs] if isinstance(inputs, str) else list(inputs or _only(path, "input", names))
    outputs = [place.name for place in session.get_outputs()]
    wanted = _only(path, "output", outputs)[0] if output is None else output
    for what, named, allowed in (("input", chosen, names), ("output", [wanted], outputs)):
        if unknown := [name for name in named if name not in allowed]:
            raise ValueError(f"{path}: {what} is {unknown[0]!r}: allowed are {', '.join(allowed)}")
    if lacking := [name for name in names if name not in chosen]:
        raise ValueError(
            f"{path}: input {lacking[0]!r} is not named: allowed are all of {', '.join(names)}"
        )
    for place in session.get_inputs():
        if place.type not in _DTYPES:
            raise ValueError(
                f"{path}: input {place.name!r} is a {place.type}: allowed are {', '.join(_DTYPES)}"
            )
    classifier = OnnxClassifier(session, str(path), chosen, wanted, "logits")
    _finish(classifier, path, wanted)
    return classifier


def _only(path: Path, what: str, names: list[str]) -> list[str]:
    if len(names) != 1:
        raise ValueError(
            f"{path} has {len(names)} {what}s: name {'all' if what == 'input' else 'one'} of {', '.join(names)}"
        )
    return names


def _finish(found: OnnxClassifier, path: Path, output: str) -> None:
    """Read the file's graph, for the kind of its outputs and for a copy in torch."""
    notes = []
    try:
        onnx = needed("onnx", "gradients of an ONNX file", "onnx")
        needed("onnx.version_converter", "gradients of an ONNX file", "onnx")
        model = onnx.load(str(path))
    except ValueError as error:
        tell(found, note=f"no gradients: {error}")
        return
    if _ends_in(model, output) == "Softmax":
        tell(found, kind="probabilities")
        notes.append("probabilities: their logarithm is taken")
    try:
        copy = _copied(found, onnx, model, output)
        object.__setattr__(found, "torch_copy", copy)
        tell(found, differentiable=True)
        notes.append("gradients of its copy by onnx2torch")
    except ValueError as error:
        notes.append(f"no gradients: {error}")
    tell(found, note="; ".join(notes))


def _ends_in(model: Any, output: str) -> str:
    """The operation that makes an output, past those that pass it on."""
    maker = {name: node for node in model.graph.node for name in node.output}
    while output in maker and maker[output].op_type in _PASSING:
        output = maker[output].input[0]
    return maker[output].op_type if output in maker else ""


def _copied(found: OnnxClassifier, onnx: Any, model: Any, output: str) -> nn.Module:
    """A copy in torch of a float file that gives the same logits for inputs at random.

    Raises:
        ValueError: where there is none, with the reason.
    """
    if len(found._inputs) > 1:
        raise ValueError("the file has several inputs")
    place = found._places[found._inputs[0]]
    if not np.issubdtype(_DTYPES[place.type], np.floating):
        raise ValueError("its inputs are whole numbers")
    kinds = {node.op_type for node in model.graph.node}
    if integer := sorted(k for k in kinds if "Quantize" in k or k.endswith("Integer")):
        raise ValueError(f"its {integer[0]} has none")
    converter = needed("onnx2torch", "gradients of an ONNX file", "onnx")
    for other in [place for place in model.graph.output if place.name != output]:
        model.graph.output.remove(other)
    _constants_as_weights(model)
    try:
        copy = _converted(onnx, converter, model)
    except Exception as error:  # a converter fails in many ways
        raise ValueError(f"onnx2torch fails: {type(error).__name__} {_line(error)}") from None
    off, reason = math.inf, ""
    for size in _FREE if None in _sizes(place) else _FREE[:1]:
        probes = _probes(found, place, size)
        try:
            z = found._run({place.name: probes.numpy()})
            with torch.no_grad():
                off = _difference(tensor_of(_through(copy, probes)).reshape(z.shape), z)
            break
        except Exception as error:  # sizes that do not fit fail in many ways, in both
            reason = f"{type(error).__name__} {_line(error)}"
    if off == math.inf:
        raise ValueError(f"onnx2torch's copy cannot be tried: {reason}")
    if not off < _SAME:
        raise ValueError(f"onnx2torch's copy is off by {off:.2g} of the largest output")
    return copy


def _converted(onnx: Any, converter: Any, model: Any) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return converter.convert(model).eval()
        except NotImplementedError:
            # It knows older versions of some operators only.
            older = onnx.version_converter.convert_version(model, _OPSET)
            return converter.convert(older).eval()


def _difference(z_copy: Tensor, z: Tensor) -> float:
    return float((z_copy - z).abs().max() / z.abs().max().clamp(min=1e-30))


def _sizes(place: Any) -> list[int | None]:
    """The sizes of an input's axes after the first, None where one is free."""
    return [size if isinstance(size, int) and size > 0 else None for size in place.shape[1:]]


#: Sizes that free axes are tried at.
_FREE = (32, 64, 128, 224)


def _constants_as_weights(model: Any) -> None:
    """Nodes that hold a constant as initializers, which is where onnx2torch looks for weights.

    It also refuses reshapes that may make an axis of size 0, which no batch here has.
    """
    kept = []
    for node in model.graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            value = node.attribute[0].t
            value.name = node.output[0]
            model.graph.initializer.append(value)
            continue
        for attribute in [a for a in node.attribute if a.name == "allowzero"]:
            node.attribute.remove(attribute)
        kept.append(node)
    del model.graph.node[:]
    model.graph.node.extend(kept)


def _probes(found: OnnxClassifier, place: Any, size: int) -> Tensor:
    """A batch of inputs at random that a file may take, with free axes of a size."""
    generator = torch.Generator().manual_seed(0)
    shape = (size if known is None else known for known in _sizes(place))
    return torch.rand(found.batch or 3, *shape, generator=generator).to(found._dtype())
