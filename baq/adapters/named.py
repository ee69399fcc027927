"""Classifiers that take their inputs by name, or several at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from baq.adapters.facts import facts, tell
from baq.adapters.outputs import tensor_of
from baq.inference import first_parameter

__all__ = ["Named", "by_row", "named"]


class Named(nn.Module):
    """A module called with its inputs by name, of whose output one entry is taken.

    Arguments:
        model: the module.
        inputs: names of its inputs, in the order in which they are given; as they are if None.
        output: the name or place of the entry, see :func:`baq.adapters.outputs.tensor_of`.
    """

    def __init__(
        self, model: nn.Module, inputs: Sequence[str] | None, output: str | int | None = None
    ) -> None:
        super().__init__()
        self.model, self._inputs, self._output = model, inputs, output
        self.training = model.training

    def forward(self, *given: Tensor, **more: Tensor) -> Tensor:
        if self._inputs is not None:
            given, more = (), dict(zip(self._inputs, given, strict=False)) | more
        return tensor_of(self.model(*given, **more), self._output)


def named(
    classifier: Callable[..., Any], inputs: Sequence[str] | None, output: str | int | None = None
) -> Callable[..., Any]:
    """Any callable as :class:`Named`: a module stays one."""
    if isinstance(classifier, nn.Module):
        return Named(classifier, inputs, output)

    def called(*given: Tensor, **more: Tensor) -> Tensor:
        if inputs is not None:
            given, more = (), dict(zip(inputs, given, strict=False)) | more
        return tensor_of(classifier(*given, **more), output)

    return called


def by_row(classifier: Callable[..., Any], data: Mapping[str, Any]) -> Callable[[Tensor], Any]:
    """A classifier of several named inputs as one of the rows (N, 1) of its data.

    Floats take the dtype of the classifier's parameters.
    """
    here = first_parameter(classifier) if isinstance(classifier, nn.Module) else None

    def taken(rows: Tensor) -> dict[str, Tensor]:
        at = rows[:, 0].cpu()
        given = {}
        for name, values in data.items():
            part = torch.as_tensor(values[at if isinstance(values, Tensor) else at.numpy()])
            if here is not None:
                floats = part.is_floating_point() and here.is_floating_point()
                part = part.to(device=here.device, dtype=here.dtype if floats else None)
            given[name] = part
        return given

    def called(rows: Tensor) -> Any:
        return classifier(**taken(rows))

    one = taken(torch.zeros(1, 1, dtype=torch.long)).values()
    size = sum(part.numel() * part.itemsize for part in one)
    return tell(called, **vars(facts(classifier)) | {"size": size})
