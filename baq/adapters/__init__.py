"""Classifiers and inputs of other kinds, as what the measures take: files, other toolkits, other outputs.

:func:`load_classifier` turns a file, a name or an object into a classifier that gives logits,
:func:`load_inputs` reads inputs and labels. The other way, :func:`save_codes` and :func:`save_onnx` write
what rounding returns. Packages that a kind needs are imported when it is loaded,
and named in one line where they are absent.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from baq.adapters.classifiers import load_classifier, recognized
    from baq.adapters.codes import CodedWeight, coded_weights, load_codes, save_codes
    from baq.adapters.inputs import Inputs, load_inputs
    from baq.adapters.onnx_export import save_onnx

__all__ = [
    "CodedWeight",
    "Inputs",
    "coded_weights",
    "load_classifier",
    "load_codes",
    "load_inputs",
    "recognized",
    "save_codes",
    "save_onnx",
]


def __getattr__(name: str) -> Any:
    # Imported on first use: `baq.inference` reads outputs by a module of this room, and this room
    # uses `baq.inference`.
    from importlib import import_module

    homes = {
        "CodedWeight": "baq.adapters.codes",
        "Inputs": "baq.adapters.inputs",
        "coded_weights": "baq.adapters.codes",
        "load_classifier": "baq.adapters.classifiers",
        "load_codes": "baq.adapters.codes",
        "load_inputs": "baq.adapters.inputs",
        "recognized": "baq.adapters.classifiers",
        "save_codes": "baq.adapters.codes",
        "save_onnx": "baq.adapters.onnx_export",
    }
    if name not in homes:
        raise AttributeError(f"module 'baq.adapters' has no attribute {name!r}")
    return getattr(import_module(homes[name]), name)
