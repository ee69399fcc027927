"""A pick of bits with a promise: its flip rate, loss or J stays below a threshold, but for a small probability."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.stats import binom
from torch import Tensor

from baq.arguments import check_inner, check_whole, is_real
from baq.inference import as_tensor, check_labels, labels
from baq.local import flips
from baq.selection import Pick, numbered, whole_bits

__all__ = ["Promise", "evidence", "inputs_needed", "mean_p_value", "promised_rule", "rate_p_value"]

_P = "p_"  # the columns of evidence that hold p-values begin so


@dataclass(frozen=True)
class Promise(Pick):
    """A pick, and where nothing can be promised (``satisfied`` is False) why not.

    Example:
        >>> Promise(bits=8, satisfied=False, reason="nothing can be promised").reason
        'nothing can be promised'
    """

    reason: str = ""


def rate_p_value(hits: int, points: int, tau: float) -> float:
    """The p-value of "the rate is above tau" from hits among independent points: ``P(Bin(points, tau) <= hits)``.

    Exact for a rate of tau, and smaller for any above.

    Raises:
        ValueError: for tau outside (0, 1), no points, or hits that are not among them.

    Example:
        >>> round(rate_p_value(0, 10, 0.2), 4)
        0.1074
    """
    check_inner(tau=tau)
    check_whole(points=points)
    check_whole(0, points, hits=hits)
    return float(binom.cdf(hits, points, tau))


def inputs_needed(tau: float, delta: float) -> int:
    """The fewest inputs with which anything can be promised: without a flip among them the test rejects.

    The least n with ``(1 - tau)^n <= delta``.

    Raises:
        ValueError: for tau or delta outside (0, 1).

    Example:
        >>> [inputs_needed(tau, 0.1) for tau in (0.01, 0.02, 0.05)]
        [230, 114, 45]
    """
    check_inner(tau=tau, delta=delta)
    n = math.ceil(math.log(delta) / math.log1p(-tau))
    return n - 1 if n > 1 and (1 - tau) ** (n - 1) <= delta else n


def mean_p_value(
    values: ArrayLike, tau: float, *, low: float = 0.0, high: float = 1.0, delta: float = 0.1
) -> float:
    """The p-value of "the mean is above tau" from independent values between two bounds, by betting.

    A bettor's capital ``K_t = prod_i (1 + lambda_i (m - z_i))`` with z the values and m the threshold, scaled to
    0 to 1, has mean 1 or less where the hypothesis holds, whatever the distribution, so that it passes 1/p
    with probability p at most (Ville). Each stake lambda_i is set by the values before it, for the least p
    at the given number of values (Waudby-Smith, Ramdas 2024, arXiv:2010.09686, section 4).

    Arguments:
        values: in an order that does not depend on them.
        tau: the threshold, between the bounds.
        low, high: bounds of the values.
        delta: the level that the stakes are set for; the p-value holds at any.

    Raises:
        ValueError: for no values, one outside the bounds, or a threshold that is not between them.
    """
    z = np.asarray(values, dtype=float)
    if z.ndim != 1 or len(z) == 0 or not ((z >= low) & (z <= high)).all():
        raise ValueError(f"values of shape {z.shape} are none, or beyond {low:g} to {high:g}")
    if not is_real(tau) or not low < tau < high:
        raise ValueError(f"tau is {tau!r}: allowed is between {low:g} and {high:g}")
    check_inner(delta=delta)
    z, m = (z - low) / (high - low), (tau - low) / (high - low)
    count = np.arange(1, len(z) + 1)
    mean = (0.5 + z.cumsum()) / (count + 1)
    spread = (0.25 + ((z - mean) ** 2).cumsum()) / (count + 1)
    before = np.concatenate([[0.25], spread[:-1]])  # of the values before each
    stake = np.minimum(np.sqrt(2 * math.log(1 / delta) / (len(z) * before)), 0.9 / (1 - m))
    capital = np.log1p(stake * (m - z)).cumsum()
    return float(min(1.0, math.exp(-capital.max())))


def evidence(
    z: Tensor,
    candidates: Mapping[int, Tensor],
    y: Tensor | None = None,
    jaccards: Mapping[int, Sequence[float]] | None = None,
    *,
    tau_f: float,
    eps: float | None = None,
    tau_j: float | None = None,
) -> pd.DataFrame:
    """For each level the p-values of "it breaks a threshold", from calibration inputs.

    Arguments:
        z: the reference's logits at calibration inputs, shape (N, K).
        candidates: logits of each level, by its bits, of the same shape.
        y: labels, shape (N,); for ``eps`` alone.
        jaccards: J of each level on planes that were drawn at random; for ``tau_j`` alone.
        tau_f: largest flip rate.
        eps: largest loss of accuracy; the loss is taken input by input, as -1, 0 or 1.
        tau_j: largest mean J over planes as they were drawn.

    Returns:
        A row for each level: ``candidate``, ``points``, ``tau_f``, ``flip_rate``, ``p_flip_rate``, and for each further
        threshold ``p_loss`` or ``p_jaccard``.

    Raises:
        ValueError: for no levels, logits that do not match, thresholds outside (0, 1), or one whose data are
            not given.

    Example:
        >>> import torch
        >>> z = torch.tensor([[1.0, 0.0]]).repeat(100, 1)
        >>> rows = evidence(z, {8: z, 4: z.flip(1)}, tau_f=0.05)
        >>> rows[["candidate", "flip_rate", "p_flip_rate"]].round(4).to_dict("list")
        {'candidate': [8, 4], 'flip_rate': [0.0, 1.0], 'p_flip_rate': [0.0059, 1.0]}
    """
    if not candidates:
        raise ValueError("there are no levels: allowed are one or more")
    z, rows = as_tensor(z, "logits"), []
    for level, z_q in candidates.items():
        z_q = as_tensor(z_q, "logits")
        flip = flips(z, z_q)
        row: dict[str, Any] = {"candidate": level, "points": len(flip), "tau_f": tau_f}
        row["flip_rate"] = float(flip.double().mean())
        row[f"{_P}flip_rate"] = rate_p_value(int(flip.sum()), len(flip), tau_f)
        if eps is not None:
            check_inner(eps=eps)
            if y is None:
                raise ValueError("y is None: eps needs labels")
            truth = check_labels(y, len(z), z.shape[1]).to(z.device)
            lost = (labels(z) == truth).double() - (labels(z_q) == truth).double()
            row[f"{_P}loss"] = mean_p_value(lost.cpu().numpy(), eps, low=-1.0)
        if tau_j is not None:
            check_inner(tau_j=tau_j)
            if jaccards is None or level not in jaccards:
                raise ValueError(f"jaccards lack level {level!r}: tau_j needs J of each level")
            row[f"{_P}jaccard"] = mean_p_value(jaccards[level], tau_j)
        rows.append(row)
    return pd.DataFrame(rows)


def promised_rule(levels: pd.DataFrame, delta: float = 0.1) -> Promise:
    """Fewest bits for which every threshold of :func:`evidence` is kept, but with probability delta at most.

    Learn then Test with a fixed sequence (Angelopoulos et al. 2021, arXiv:2110.01052): walk down from the
    highest level and stop at the first for which some threshold's breach cannot be rejected at delta. Then
    the pick breaks a threshold with probability delta at most, for any network and quantizer, over the draw of
    the calibration inputs. All thresholds are kept at once, since a level passes only where all p-values do.

    Arguments:
        levels: rows of :func:`evidence`, by bit width or by a name with one in it, such as ``int8``.
        delta: probability of a broken promise.

    Returns:
        The pick; where not even the highest level passes, that one with ``satisfied`` False, and the reason: there
        are fewer than :func:`inputs_needed`, or a threshold is not seen to be kept.

    Raises:
        ValueError: for delta outside (0, 1), fewer than two levels, names of levels without just one number,
            or rows without p-values.

    Example:
        >>> levels = pd.DataFrame({"candidate": [8, 6, 4], "p_flip_rate": [0.001, 0.04, 0.6]})
        >>> promised_rule(levels, delta=0.1)
        Promise(bits=6, satisfied=True, reason='')
    """
    check_inner(delta=delta)
    columns = [name for name in levels if str(name).startswith(_P)]
    if not columns or len(levels) == 0 or levels[columns].isna().any(axis=None):
        raise ValueError("levels have no p-values: allowed are rows of evidence")
    levels = numbered(levels)
    whole_bits(levels)
    if len(levels) < 2 or levels["candidate"].duplicated().any():
        raise ValueError(
            f"levels are {levels['candidate'].tolist()}: allowed are two or more, each once"
        )
    walked = levels.sort_values("candidate", ascending=False)
    passed = np.logical_and.accumulate((walked[columns] <= delta).all(axis=1).to_numpy())
    bits = walked["candidate"].to_numpy()
    kept = bits[passed]
    if len(kept):
        return Promise(int(kept[-1]), True)
    return Promise(int(bits[0]), False, _too_little(walked.iloc[0], columns, delta))


def _too_little(level: pd.Series, columns: Sequence[str], delta: float) -> str:
    """Why nothing can be promised of the highest level."""
    if {"points", "tau_f"} <= set(level.index):
        needed = inputs_needed(float(level["tau_f"]), delta)
        if level["points"] < needed:
            return f"nothing can be promised with {int(level['points'])} inputs: n >= {needed} is allowed"
    failed = [name.removeprefix(_P) for name in columns if not level[name] <= delta]
    return f"nothing can be promised: at level {level['candidate']:g} {', '.join(failed)} may break its threshold"
