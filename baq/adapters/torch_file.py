"""Networks in files of torch: exported programs, TorchScript, and pickles where they are trusted."""

from __future__ import annotations

import io
import json
import re
import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from baq.adapters.facts import tell

__all__ = ["Exported", "load_torch"]


class Exported(nn.Module):
    """A program of ``torch.export`` as a module in evaluation mode, on batches of any size.

    Where the program fixes the size of a batch, larger ones are evaluated in parts, the last one filled
    up with copies of its last input.

    Arguments:
        program: the exported program.
    """

    batch: int | None

    def __init__(self, program: torch.export.ExportedProgram) -> None:
        super().__init__()
        self.program = program.module()
        names = program.graph_signature.user_inputs
        first = next(n for n in program.graph.nodes if n.op == "placeholder" and n.name in names)
        shape = list(getattr(first.meta.get("val"), "shape", []))
        tell(self, batch=shape[0] if shape and isinstance(shape[0], int) else None)
        self.eval()

    def train(self, mode: bool = True) -> Exported:
        # A program is of one mode, and refuses to be asked for another.
        for module in self.modules():
            module.training = False
        return self

    def forward(self, *inputs: Tensor, **named: Tensor) -> Any:
        count = len(next(iter([*inputs, *named.values()])))
        if self.batch is None or self.batch == count:
            return self._run(*inputs, **named)
        parts = []
        for start in range(0, count, self.batch):
            rows = torch.arange(start, start + self.batch).clamp(max=count - 1)
            found = self._run(*(x[rows] for x in inputs), **{k: x[rows] for k, x in named.items()})
            if not isinstance(found, Tensor):
                raise ValueError(
                    f"the program takes {self.batch} inputs at once and returns a "
                    f"{type(found).__name__}: allowed is a tensor, or export it for any number"
                )
            parts.append(found[: count - start])
        return torch.cat(parts)

    def _run(self, *inputs: Tensor, **named: Tensor) -> Any:
        try:
            return self.program(*inputs, **named)
        except AssertionError as error:  # so a program names what does not fit
            shapes = ", ".join(str(tuple(x.shape)) for x in [*inputs, *named.values()])
            raise ValueError(f"inputs have shape {shapes}: {error}") from None


def load_torch(path: Path, trust: bool = False) -> Any:
    """What a file of torch holds: a module, or, for a pickle that is trusted, any object.

    Arguments:
        path: a ``.pt2`` file of ``torch.export``, or a ``.pt`` or ``.pth`` file of TorchScript or a pickle.
        trust: load pickles, which can run any code.

    Raises:
        ValueError: for a file that is none of these, or a pickle without ``trust``.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None
    names = _members(content)
    parts = [name.partition("/")[2] for name in names]
    if path.suffix == ".pt2" or "models/model.json" in parts:
        return _exported(path, content, trust)
    if "constants.pkl" in parts or any(part.startswith("code/") for part in parts):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that TorchScript is deprecated
            try:
                return torch.jit.load(io.BytesIO(content), map_location="cpu").eval()
            except RuntimeError as error:
                raise ValueError(f"{path} is no TorchScript that loads: {_line(error)}") from None
    if "data.pkl" not in parts and content[:1] != b"\x80":
        raise ValueError(
            f"{path} is no file of torch: allowed are torch.export, TorchScript, a pickle"
        )
    if not trust:
        raise ValueError(_pickled(path))
    try:
        return torch.load(io.BytesIO(content), map_location="cpu", weights_only=False)
    except Exception as error:  # unpickling runs any code
        raise ValueError(f"{path} cannot be unpickled: {_line(error)}") from None


def _pickled(path: Path, what: str = "is a pickle") -> str:
    return (
        f"{path} {what}, which can run any code when it is loaded: allowed with trust=True, "
        "or save it by torch.export"
    )


def _line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]


def _members(content: bytes) -> list[str]:
    try:
        return zipfile.ZipFile(io.BytesIO(content)).namelist()
    except zipfile.BadZipFile:
        return []


#: Parts of an exported program that hold numbers and text alone.
_PLAIN = re.compile(
    r"models/[^/]+\.json|data/(weights|constants)/((weight|tensor)_\d+|[^/]+_config\.json)|"
    r"archive_(format|version)|version|byteorder|\.data/[a-z_]+|\.format_version|\.storage_alignment"
)


def _exported(path: Path, content: bytes, trust: bool) -> Exported:
    """An exported program; what is pickled in it must be tensors alone, unless it is trusted."""
    try:
        archive = zipfile.ZipFile(io.BytesIO(content))
    except zipfile.BadZipFile:
        raise ValueError(f"{path} is no program that torch.export.save wrote") from None
    for name in archive.namelist() if not trust else ():
        if not _holds_numbers(name.partition("/")[2], archive.read(name)):
            raise ValueError(_pickled(path, f"holds {name}")) from None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.export.load(io.BytesIO(content))
        return Exported(program)
    except Exception as error:  # a file of another kind fails anywhere
        raise ValueError(f"{path} is no exported program that loads: {_line(error)}") from None


def _holds_numbers(name: str, part: bytes) -> bool:
    """Whether a part of an archive is loaded without running code of its own."""
    if name.endswith("_config.json"):
        entries = json.loads(part).get("config", {}).values()
        # Whatever is named otherwise is unpickled.
        return not any(entry.get("use_pickle") for entry in entries) and all(
            _PLAIN.fullmatch(f"data/weights/{entry.get('path_name')}") for entry in entries
        )
    if re.fullmatch(r"data/sample_inputs/[^/]+\.pt", name):
        try:
            torch.load(io.BytesIO(part), map_location="cpu", weights_only=True)
        except Exception:  # what is refused is told in many ways
            return False
        return True
    return _PLAIN.fullmatch(name) is not None
