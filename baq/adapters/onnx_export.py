"""A quantized network as an ONNX file that holds the codes of its weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import baq
from baq.adapters.codes import CodedWeight, coded_weights, key_of
from baq.adapters.packages import needed
from baq.inference import check_inputs, check_logits, copied, evaluate
from baq.machine import whole
from baq.quantization import Bits

__all__ = ["save_onnx"]

#: The first opset whose DequantizeLinear takes codes of 4 and of 16 bits.
_OPSET = 21


def save_onnx(
    path: str | Path,
    model: nn.Module,
    candidate: nn.Module,
    bits: Bits,
    x: Tensor,
    *,
    per_channel: bool = False,
    symmetric: bool = True,
) -> None:
    """Write a quantized network as an ONNX file that holds codes, which it dequantizes (QDQ).

    Each quantized weight is an initializer of whole numbers, of 4 bits where they suffice, followed by
    ``DequantizeLinear``; what is computed is float32, as in torch. So labels are those of the candidate,
    but for margins as small as the rounding of float32. A weight that enters a ``MatMul``, as that of a Linear layer on
    inputs of three axes, is multiplied by its scale apart: else onnxruntime would round such a layer's inputs, too.

    Arguments:
        path: the file, which is replaced as a whole. Its input is ``x`` with a free batch size, its
            output ``logits``.
        model, candidate, bits, per_channel, symmetric: as for :func:`coded_weights`; the model is one of
            float32 that torch can export.
        x: inputs, shape (N, *), of which the first two are used to trace the network.

    Raises:
        ValueError: as :func:`coded_weights`; for a network that is not of float32 or cannot be
            exported; or where onnx or onnxscript are not installed, or torch is older than 2.6.

    Example:
        >>> import tempfile, onnxruntime
        >>> from baq import ptq_w
        >>> model, x = nn.Linear(3, 2), torch.eye(3)
        >>> candidate, path = ptq_w(model, 4), Path(tempfile.mkdtemp(), "four-bits.onnx")
        >>> save_onnx(path, model, candidate, 4, x)
        >>> (z,) = onnxruntime.InferenceSession(path).run(None, {"x": x.numpy()})
        >>> bool(abs(z - candidate(x).detach().numpy()).max() < 1e-6)
        True
    """
    onnx = needed("onnx", "an ONNX file", "onnx")
    optimizer = needed("onnxscript.optimizer", "an ONNX file", "onnx")
    coded = coded_weights(model, candidate, bits, per_channel=per_channel, symmetric=symmetric)
    if kinds := {w.dtype for w in candidate.parameters()} - {torch.float32}:
        raise ValueError(f"the candidate holds {kinds.pop()}: allowed is torch.float32")
    plain = copied(candidate).cpu().eval()
    written = _exported(plain, check_inputs(plain, x)[:2])
    graph = written.graph
    held = {one.name: one for one in graph.initializer}
    nodes = []
    for name, one in coded.items():
        key = key_of(name)
        value = onnx.numpy_helper.to_array(held[key]) if key in held else None
        if value is None or not np.array_equal(value, one.weight().numpy()):
            raise ValueError(f"layer {name!r} is not in the exported graph as it is in torch")
        graph.initializer.remove(held[key])
        kind, real = _onnx_kind(onnx, one), onnx.TensorProto.FLOAT
        parts = {"codes": (kind, one.codes), "zero_point": (kind, one.zero_point)}
        parts["scale"] = real, one.scale
        apart = _enters_matmul(graph, key)
        if apart:
            parts["scale"] = real, torch.ones_like(one.scale)
            parts["factor"] = real, _beside(one.scale, one)
        for part, (type_, values) in parts.items():
            array = values.numpy()
            made = onnx.helper.make_tensor(f"{key}.{part}", type_, array.shape, array.flatten())
            graph.initializer.append(made)
        axis = {} if one.axis is None else {"axis": one.axis}
        inputs = [f"{key}.{part}" for part in ("codes", "scale", "zero_point")]
        whole_numbers = f"{key}.whole" if apart else key
        nodes.append(
            onnx.helper.make_node("DequantizeLinear", inputs, [whole_numbers], name=key, **axis)
        )
        if apart:
            nodes.append(onnx.helper.make_node("Mul", [whole_numbers, f"{key}.factor"], [key]))
    later = list(graph.node)
    del graph.node[:]
    graph.node.extend([*nodes, *later])
    # Constants become one; the weights, which are no constants any more, stay codes.
    written = optimizer.optimize(written)
    # torch notes with each node where on this machine it was traced.
    for node in written.graph.node:
        del node.metadata_props[:]
    written.producer_name, written.producer_version = "baq", baq.__version__
    onnx.checker.check_model(written)
    with whole(Path(path)) as file:
        onnx.save(written, file)


def _enters_matmul(graph: Any, key: str) -> bool:
    """Whether a weight, transposed or not, is a factor of a ``MatMul``."""
    names = {key}
    for node in graph.node:
        if node.op_type == "Transpose" and node.input[0] == key:
            names.update(node.output)
    return any(node.op_type == "MatMul" and names.intersection(node.input) for node in graph.node)


def _beside(scale: Tensor, coded: CodedWeight) -> Tensor:
    """Scales in a shape that multiplies the weight, whose axis they are for."""
    if coded.axis is None:
        return scale
    return scale.reshape([-1 if k == coded.axis else 1 for k in range(coded.codes.ndim)])


def _onnx_kind(onnx: Any, coded: CodedWeight) -> int:
    signed = coded.codes.dtype in (torch.int8, torch.int16)
    width = 4 if coded.bits <= 4 else 8 if coded.bits <= 8 else 16
    return int(getattr(onnx.TensorProto, f"{'' if signed else 'U'}INT{width}"))


def _exported(model: nn.Module, x: Tensor) -> Any:
    """The ONNX model of a network in float, whose initializers have the names of its parameters."""
    # A batch of one would be taken for the only size that is allowed.
    example = torch.cat([x, x])[:2]
    check_logits(evaluate(model, example), 2)
    try:
        program: Any = torch.onnx.export(
            model,
            (example,),
            dynamo=True,
            opset_version=_OPSET,
            input_names=["x"],
            output_names=["logits"],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            optimize=False,  # it would fold weights into others
            verbose=False,
        )
    except Exception as error:  # each version of torch has its own
        reason = next(
            (line for line in str(error).splitlines() if line.strip()), type(error).__name__
        )
        raise ValueError(f"torch.onnx cannot export {type(model).__name__}: {reason}") from None
    written = program.model_proto
    for place in (*written.graph.input, *written.graph.output):
        if not place.type.tensor_type.shape.dim[0].dim_param:
            raise ValueError(
                f"{type(model).__name__} is exported for batches of one size: allowed are networks that do the same "
                "whatever the number of inputs"
            )
    return written
