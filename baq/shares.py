"""How large a share can be, after so many hits in a random sample."""

from __future__ import annotations

from scipy.stats import beta

__all__ = ["share_bound"]


def share_bound(hits: int, sample: int, level: float = 0.95) -> float:
    """Upper confidence bound of a share, after ``hits`` in a random ``sample``.

    One-sided and exact (Clopper, Pearson 1934); about 3 / sample at 95 % where there was none.

    Example:
        >>> round(share_bound(0, 1000), 5)
        0.00299
    """
    return float(beta.ppf(level, hits + 1, sample - hits)) if hits < sample else 1.0
