"""Classifiers and inputs of other kinds, as what the measures take: files, other toolkits, other outputs.

:func:`load_classifier` turns a file, a name or an object into a classifier that gives logits,
:func:`load_inputs` reads inputs and labels. Packages that a kind needs are imported when it is loaded,
and named in one line where they are absent.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from baq.adapters.classifiers import load_classifier, recognized
    from baq.adapters.inputs import Inputs, load_inputs

__all__ = ["Inputs", "load_classifier", "load_inputs", "recognized"]


def __getattr__(name: str) -> Any:
    # Imported on first use: `baq.inference` reads outputs by a module of this room, and this room
    # uses `baq.inference`.
    from importlib import import_module

    homes = {
        "Inputs": "baq.adapters.inputs",
        "load_classifier": "baq.adapters.classifiers",
        "load_inputs": "baq.adapters.inputs",
        "recognized": "baq.adapters.classifiers",
    }
    if name not in homes:
        raise AttributeError(f"module 'baq.adapters' has no attribute {name!r}")
    return getattr(import_module(homes[name]), name)
