"""What an adapter knows of a classifier that it made."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, TypeVar

__all__ = ["Facts", "facts", "tell"]

_Made = TypeVar("_Made")


@dataclass(frozen=True)
class Facts:
    """What is known of a classifier.

    Attributes:
        source: where it comes from.
        note: what was done with its outputs and gradients.
        differentiable: whether it may have gradients.
        classes: what it calls the columns of its logits; None where it does not say.
        kind: what its outputs were before it made logits of them by itself; empty if it does not.
        batch: how many inputs it takes at once, where that is fixed.
        size: bytes of an input, where a batch holds only their places.
    """

    source: str = ""
    note: str = ""
    differentiable: bool = True
    classes: tuple[Any, ...] | None = None
    kind: str = ""
    batch: int | None = None
    size: int = 0


def facts(classifier: object) -> Facts:
    """What an adapter told of a classifier; attributes of a user's own are never taken for such."""
    found = getattr(classifier, "_baq_facts", None)
    return found if isinstance(found, Facts) else Facts()


def tell(made: _Made, **known: Any) -> _Made:
    """Tell facts of an object that an adapter made: to :func:`facts`, and in attributes of their names."""
    found = replace(facts(made), **known)
    # Not by setattr, which a module of TorchScript restricts, and no part of a module's state.
    vars(made).update(vars(found), _baq_facts=found)
    return made
