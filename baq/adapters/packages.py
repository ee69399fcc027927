"""Packages that only some kinds of classifiers need, imported when they do."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

__all__ = ["needed"]


def needed(package: str, what: str, extra: str = "") -> ModuleType:
    """Import a package that something needs.

    Arguments:
        package: its name, as it is imported.
        what: what needs it, such as "an ONNX file".
        extra: the extra of ``baq`` that brings it.

    Raises:
        ValueError: where it is not installed, naming it and how to get it.
    """
    try:
        return import_module(package)
    except ImportError as error:
        how = f"baq[{extra}]" if extra else package.partition(".")[0]
        raise ValueError(
            f"{what} needs the package {package}, which cannot be imported ({error}): "
            f"pip install '{how}'"
        ) from None
