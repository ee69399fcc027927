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
