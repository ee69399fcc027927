"""What was named on a command line: where it lies, and what it is called."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

__all__ = ["named", "users_folder"]


@contextlib.contextmanager
def users_folder() -> Iterator[None]:
    """Work where the command was typed, so that relative paths lead where their author meant.

    A chapter that :mod:`workflow` executes works in a folder of its own, and finds the other in
    ``$BAQ_FOLDER``; elsewhere both are one.
    """
    with contextlib.chdir(os.environ.get("BAQ_FOLDER", ".")):
        yield


def named(sources: str | Sequence[str]) -> dict[str, str]:
    """Files and functions by the names that a page calls them: their last parts, where these differ.

    Arguments:
        sources: paths, or ``module:function``; also one text, or a list as JSON, as papermill passes lists on.

    Raises:
        ValueError: for no source, one that is no text, or one that is given twice.

    Example:
        >>> named('["out/int8.onnx", "nets:four_bits"]')
        {'int8.onnx': 'out/int8.onnx', 'nets:four_bits': 'nets:four_bits'}
        >>> named(["a/int8.onnx", "b/int8.onnx"])
        {'a/int8.onnx': 'a/int8.onnx', 'b/int8.onnx': 'b/int8.onnx'}
    """
    if isinstance(sources, str):
        text = sources.strip()
        try:
            sources = json.loads(text) if text.startswith("[") else [text]
        except ValueError as error:
            raise ValueError(f"candidates are {text!r}, no list: {error}") from None
    found = list(sources)
    if not found or not all(isinstance(one, str) and one for one in found):
        raise ValueError(f"candidates are {found!r}: allowed are texts, one or more")
    if len(set(found)) < len(found):
        raise ValueError(f"candidates are {found!r}: allowed is each once")
    short = [one if ":" in one else Path(one).name for one in found]
    unique = len(set(short)) == len(short)
    return dict(zip(short if unique else found, found, strict=True))
