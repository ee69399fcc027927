"""What tools that debug quantization say of one pair, and the seconds that they take for it.

Every tool gets the same float network and the same int8 file of onnxruntime, the same inputs and one
thread; :func:`entries` names the question that each answers by its documentation. A tool that is not here, or
does not take the pair, has a row with the reason.
"""

from __future__ import annotations

import contextlib
import io
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from baq import audit
from baq.adapters import load_classifier
from baq.inference import logits
from baq.slices import pca_plane
from baq.zoo import checkpoints, data
from benchmarks.race import machine

__all__ = ["COLUMNS", "Pair", "Tool", "entries", "made", "measured", "tools"]

COLUMNS = ("tool", "package", "question", "said", "seconds", "reason", "documentation", "machine")
_INPUT = "image"


@dataclass(frozen=True)
class Pair:
    """A float network, its ONNX file and an int8 one, with inputs (N, channels, height, width) and labels (N,)."""

    network: nn.Module
    float_file: Path
    int8_file: Path
    x: torch.Tensor
    y: torch.Tensor

    def batches(self, size: int = 100) -> list[dict[str, np.ndarray]]:
        """The inputs as onnxruntime takes them."""
        return [{_INPUT: part.numpy()} for part in self.x.split(size)]


class _Reader:
    """Calibration inputs, one batch after the other."""

    def __init__(self, batches: list[dict[str, np.ndarray]]) -> None:
        self._left = iter(batches)

    def __iter__(self) -> Iterator[dict[str, np.ndarray]]:
        return self._left

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self._left, None)


def made(folder: Path, inputs: int = 500) -> Pair:
    """The pair: a CNN on MNIST, written as ONNX and quantized by onnxruntime with its defaults.

    Raises:
        ImportError: where onnx or onnxruntime are absent.
    """
    from onnxruntime.quantization import quantize_static

    network = checkpoints.load("mnist-cnn", 0).to(memory_format=torch.contiguous_format)
    split = data.load("mnist", 0, calibration=0.1, test=inputs)
    pair = Pair(network, folder / "float.onnx", folder / "int8.onnx", split.x_test, split.y_test)
    free = {_INPUT: {0: "n"}, "logits": {0: "n"}}
    names = {"input_names": [_INPUT], "output_names": ["logits"], "dynamic_axes": free}
    torch.onnx.export(network, (split.x_test[:2],), str(pair.float_file), dynamo=False, **names)
    calibration = [{_INPUT: part.numpy()} for part in split.x_calibration[:500].split(100)]
    quantize_static(str(pair.float_file), str(pair.int8_file), _Reader(calibration))
    return pair


@dataclass(frozen=True)
class Tool:
    """A tool, the package it comes in, the question that it answers, and where it says so.

    ``ask`` takes the pair and returns what it said of it, in words.
    """

    name: str
    package: str
    question: str
    documentation: str
    ask: Callable[[Pair], str]


def _baq(pair: Pair) -> str:
    reference, candidate = (load_classifier(file) for file in (pair.float_file, pair.int8_file))
    z, z_q = logits(reference, pair.x), logits(candidate, pair.x)
    (row,) = audit.flip_rates(z, {"int8": z_q}).itertuples()
    audit.flipped_inputs(z, z_q, y=pair.y)
    changes = audit.by_class(z, z_q)
    audit.by_margin(z, z_q)
    return (
        f"{row.labels_changed} of {row.points} labels change, at most {row.flip_rate_hi:.1%}; {row.in_band} in the band; "
        f"{len(changes)} kinds of change"
    )


def _baq_planes(pair: Pair) -> str:
    reference, candidate = (load_classifier(file) for file in (pair.float_file, pair.int8_file))
    table, _ = audit.compared_on(reference, {"int8": candidate}, pca_plane(pair.x), 129)
    return f"J = {table.loc[0, 'jaccard']:.2f} on a plane of 129 x 129 cells, {table.loc[0, 'law']:.2f} by its law"


def _qdq_loss_debug(pair: Pair) -> str:
    from onnxruntime.quantization import qdq_loss_debug as debug

    found = []
    for file in (pair.float_file, pair.int8_file):
        path = file.with_suffix(".all.onnx")
        debug.modify_model_output_intermediate_tensors(str(file), str(path))
        found.append(debug.collect_activations(str(path), _Reader(pair.batches())))
    errors = debug.compute_activation_error(debug.create_activation_matching(found[1], found[0]))
    weights = debug.create_weight_matching(str(pair.float_file), str(pair.int8_file))
    lowest = min(debug.compute_weight_error(weights).values())
    worst = min(error["xmodel_err"] for error in errors.values())
    return (
        f"signal to noise of {len(errors)} activations, {worst:.0f} dB at least, and of {len(weights)} weights, "
        f"{lowest:.0f} dB at least"
    )


def _quant_analyzer(pair: Pair) -> str:
    import onnx
    from aimet_onnx.quant_analyzer import analyze_per_layer_sensitivity
    from aimet_onnx.quantsim import QuantizationSimModel

    batches = pair.batches()

    def accuracy(session: Any) -> float:
        z = np.concatenate([session.run(None, batch)[0] for batch in batches])
        return float((z.argmax(axis=1) == pair.y.numpy()).mean())

    model = onnx.load(str(pair.float_file))
    sim = QuantizationSimModel(model, param_type="int8", activation_type="int8")
    sim.compute_encodings(batches)
    scores = analyze_per_layer_sensitivity(sim, accuracy)
    lowest = min(scores, key=scores.__getitem__)
    return f"accuracy with one layer quantized at a time, {len(scores)} layers: {scores[lowest]:.1%} at least"


def _numeric_suite(pair: Pair) -> str:
    import torch.ao.ns._numeric_suite_fx as ns
    from torch.ao.ns.fx.utils import compute_sqnr
    from torch.ao.quantization import get_default_qconfig_mapping
    from torch.ao.quantization.quantize_fx import convert_fx, prepare_fx

    def prepared() -> Any:
        mapping = get_default_qconfig_mapping("x86")
        found = prepare_fx(pair.network, mapping, (pair.x[:2],))
        found(pair.x[:100])
        return found

    first, second = ns.add_loggers(
        "float", prepared(), "int8", convert_fx(prepared()), ns.OutputLogger
    )
    with torch.no_grad():
        first(pair.x)
        second(pair.x)
    found = ns.extract_logger_info(first, second, ns.OutputLogger, "int8")
    ns.extend_logger_results_with_comparison(found, "float", "int8", compute_sqnr, "sqnr")
    values = [float(v) for one in found.values() for v in one["node_output"]["int8"][0]["sqnr"]]
    return f"signal to noise of {len(values)} activations, {min(values):.0f} dB at least; its own int8 copy"


def _polygraphy(pair: Pair) -> str:
    from polygraphy.backend.onnxrt import OnnxrtRunner, SessionFromOnnx
    from polygraphy.comparator import Comparator, CompareFunc, PostprocessFunc

    files = (str(file) for file in (pair.float_file, pair.int8_file))
    runners = [OnnxrtRunner(SessionFromOnnx(file), name=file) for file in files]
    results = Comparator.run(runners, data_loader=pair.batches(1))
    top = Comparator.postprocess(results, PostprocessFunc.top_k(k=1))
    (report,) = Comparator.compare_accuracy(top, compare_func=CompareFunc.indices())
    told = [bool(one["logits"]) for ones in report.values() for one in ones]
    return f"{len(told) - sum(told)} of {len(told)} inputs differ in their first index, given one by one"


def _olive(pair: Pair) -> str:
    from olive.data.config import DataConfig
    from olive.data.registry import Registry
    from olive.evaluator.metric import Metric
    from olive.evaluator.olive_evaluator import OnnxEvaluator
    from olive.hardware import Device
    from olive.model import ONNXModelHandler

    @Registry.register_dataset("pair")
    def images(**_: object) -> list[tuple[dict[str, torch.Tensor], torch.Tensor]]:
        return [({_INPUT: one}, label) for one, label in zip(pair.x, pair.y, strict=True)]

    @Registry.register_post_process("first")
    def first(z: torch.Tensor) -> torch.Tensor:
        return z.argmax(dim=1)

    how = {"name": "pair", "type": "DataContainer", "load_dataset_config": {"type": "pair"}}
    how["post_process_data_config"] = {"type": "first"}
    how["dataloader_config"] = {"params": {"batch_size": 100}}
    score = {"name": "accuracy_score", "metric_config": {"task": "multiclass", "num_classes": 10}}
    config = DataConfig(**how)
    metric = Metric(name="accuracy", type="accuracy", sub_types=[score], data_config=config)
    provider = {"device": Device.CPU, "execution_providers": ["CPUExecutionProvider"]}
    found = []
    for file in (pair.float_file, pair.int8_file):
        result = OnnxEvaluator().evaluate(ONNXModelHandler(str(file)), [metric], **provider)
        found.append(float(result["accuracy-accuracy_score"].value))
    return f"accuracy {found[0]:.1%} before and {found[1]:.1%} after"


def _neural_compressor(pair: Pair) -> str:
    raise ImportError(
        f"version {version('neural-compressor')} has no diagnosis, which version 2 had for ONNX"
    )


def _decision_boundary(pair: Pair) -> str:
    import matplotlib.pyplot as plt
    from sklearn.base import BaseEstimator, ClassifierMixin
    from sklearn.inspection import DecisionBoundaryDisplay

    classifier, plane = load_classifier(pair.int8_file), pca_plane(pair.x)

    class OnPlane(ClassifierMixin, BaseEstimator):
        classes_ = np.arange(10)

        def fit(self, *_: object) -> Any:
            return self

        def __sklearn_is_fitted__(self) -> bool:
            return True

        def predict(self, at: np.ndarray) -> np.ndarray:
            return logits(classifier, plane.inputs(torch.from_numpy(at))).argmax(dim=1).numpy()

    at = plane.project(pair.x).numpy()
    how = {"grid_resolution": 129, "response_method": "predict", "plot_method": "pcolormesh"}
    shown = DecisionBoundaryDisplay.from_estimator(OnPlane(), at, eps=0.1, **how)
    plt.close(shown.figure_)
    return f"a picture of one classifier's {len(np.unique(shown.response))} classes on 129 x 129 points of a plane"


def _foolbox(pair: Pair) -> str:
    from benchmarks.radii import deepfool

    found = deepfool(pair.network, pair.x[:100], 50)
    return f"the distance to the boundary of the float network, {np.median(found):.2f} in the median of 100 inputs"


def tools() -> list[Tool]:
    """The tools, ours first."""
    return [
        Tool(
            "baq, labels", "baq", "Which labels change, how many at most, and where?", "", _baq,
        ),
        Tool(
            "baq, planes", "baq", "How far do boundaries move on a plane?", "", _baq_planes,
        ),
        Tool(
            "qdq_loss_debug", "onnxruntime", "Which activation or weight loses the most signal?",
            "https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html", _qdq_loss_debug,
        ),
        Tool(
            "QuantAnalyzer", "aimet-onnx", "Which layer costs the most accuracy, by a score that one writes?",
            "https://quic.github.io/aimet-pages/releases/latest/index.html", _quant_analyzer,
        ),
        Tool(
            "diagnosis", "neural-compressor", "Which operator's activations and weights change the most?",
            "https://intel.github.io/neural-compressor/latest/docs/source/diagnosis.html", _neural_compressor,
        ),
        Tool(
            "evaluator", "olive-ai", "What are accuracy and latency of one model?",
            "https://microsoft.github.io/Olive/_modules/olive/evaluator/olive_evaluator.html", _olive,
        ),
        Tool(
            "torch.ao.ns", "torch", "Which layer's weights and activations lose the most signal?",
            "https://docs.pytorch.org/docs/stable/torch.ao.ns._numeric_suite_fx.html", _numeric_suite,
        ),
        Tool(
            "Comparator", "polygraphy", "Do two runs agree in all outputs, or in their first indices?",
            "https://docs.nvidia.com/deeplearning/tensorrt/latest/_static/polygraphy/index.html", _polygraphy,
        ),
        Tool(
            "DecisionBoundaryDisplay", "scikit-learn", "What does one classifier of two features look like?",
            "https://scikit-learn.org/stable/modules/generated/sklearn.inspection.DecisionBoundaryDisplay.html",
            _decision_boundary,
        ),
        Tool(
            "L2 DeepFool", "foolbox", "How near is the boundary of one network?",
            "https://arxiv.org/abs/1707.04131", _foolbox,
        ),
    ]  # fmt: skip


def measured(tool: Tool, pair: Pair, rounds: int = 3) -> dict[str, object]:
    """A row with :data:`COLUMNS`: what a tool said, and the median of its processor seconds.

    Seconds count all threads of this process, so that other work of the machine does not slow them. What a tool
    needs to be imported is imported by a first round that does not count.
    """
    row: dict[str, object] = dict.fromkeys(COLUMNS, "") | {"tool": tool.name, "seconds": np.nan}
    row |= {"question": tool.question, "documentation": tool.documentation, "machine": machine(1)}
    try:
        row["package"] = f"{tool.package} {version(tool.package)}"
        seconds = []
        for _ in range(rounds + 1):
            start = time.process_time()
            with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
                warnings.simplefilter("ignore")
                row["said"] = tool.ask(pair)
            seconds.append(time.process_time() - start)
        row["seconds"] = float(np.median(seconds[1:]))
    except (
        PackageNotFoundError,
        ImportError,
        AttributeError,
        TypeError,
        ValueError,
        RuntimeError,
    ) as error:
        absent = isinstance(error, PackageNotFoundError)
        row["package"] = row["package"] or tool.package
        row["reason"] = "not installed here" if absent else " ".join(str(error).split())
    return row


def entries(folder: Path, rounds: int = 3) -> pd.DataFrame:
    """The table of all tools."""
    pair = made(folder)
    return pd.DataFrame([measured(tool, pair, rounds) for tool in tools()])[list(COLUMNS)]
