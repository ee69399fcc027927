"""A gate for continuous integration: may these candidates take the reference's place?"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from baq.arguments import check_share

__all__ = ["gate"]


def gate(
    rates: pd.DataFrame, max_flip_rate: float, left_out: Sequence[str] = ()
) -> dict[str, object]:
    """Whether every candidate's flip rate is, with confidence, no larger than allowed.

    Arguments:
        rates: rows of :func:`baq.audit.flip_rates`.
        max_flip_rate: the largest share of labels that may change; 1 lets everything pass that could be evaluated.
        left_out: candidates that could not be evaluated, which do not pass.

    Returns:
        ``passed``; ``max_flip_rate``; ``told``, a sentence for each candidate that does not pass, since its upper bound
        ``flip_rate_hi`` exceeds the rate or is not known; and ``upper_bounds`` by candidate.

    Raises:
        ValueError: for a rate outside [0, 1].

    Example:
        >>> import torch
        >>> from baq.audit import flip_rates
        >>> z = torch.tensor([[1.0, 0.0]]).repeat(100, 1)
        >>> gate(flip_rates(z, {"same": z}), 0.05)["passed"]
        True
    """
    check_share(zero=True, max_flip_rate=max_flip_rate)
    told = [
        f"{row.candidate} changes {row.labels_changed} of {row.points} labels, up to {row.flip_rate_hi:.2%} "
        f"by the upper bound: allowed are {max_flip_rate:.2%}"
        for row in rates.itertuples()
        if row.flip_rate_hi > max_flip_rate
    ]
    told += [f"{name} could not be evaluated, and does not pass" for name in left_out]
    bounds = {str(row.candidate): float(row.flip_rate_hi) for row in rates.itertuples()}
    found: dict[str, object] = {"passed": not told, "max_flip_rate": float(max_flip_rate)}
    return found | {"told": told, "upper_bounds": bounds}
