"""How sure a share of labels is: exact intervals, and two shares on the same inputs compared."""

from __future__ import annotations

from scipy.stats import binomtest

from baq.arguments import check_inner, check_whole
from baq.shares import share_bound

__all__ = ["LEVEL", "exact_interval", "paired_p_value"]

#: Confidence of the intervals, where none is given.
LEVEL = 0.9


def exact_interval(hits: int, points: int, level: float = LEVEL) -> tuple[float, float]:
    """The central interval of Clopper and Pearson (1934) for a rate, from hits among independent points.

    Its ends are those rates at which as many hits or more, and as many or fewer, have the probability
    ``(1 - level) / 2``; so each end alone is a one-sided bound of confidence ``(1 + level) / 2``.

    Raises:
        ValueError: for no points, hits that are not among them, or a level outside (0, 1).

    Example:
        >>> [round(end, 4) for end in exact_interval(0, 10, 0.9)]
        [0.0, 0.2589]
    """
    check_whole(points=points)
    check_whole(0, points, hits=hits)
    check_inner(level=level)
    tail = (1 - level) / 2
    others, high = (share_bound(k, points, 1 - tail) for k in (points - hits, hits))
    return 1 - others, high


def paired_p_value(first: int, second: int) -> float:
    """The p-value of "both are equally likely to change a label", by the exact test of McNemar (1947).

    Arguments:
        first, second: inputs whose label only the one changes, and only the other.

    Example:
        >>> paired_p_value(0, 5), paired_p_value(0, 0)
        (0.0625, 1.0)
    """
    check_whole(0, first=first, second=second)
    return float(binomtest(first, first + second).pvalue) if first + second else 1.0
