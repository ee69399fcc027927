"""How often a rule's pick breaks its threshold, over calibration sets drawn again and again."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.stats import binom

from baq.arguments import check_seed, check_whole

__all__ = ["broken_promises"]


def broken_promises(
    flips: ArrayLike,
    bits: Sequence[int],
    tau: float,
    *,
    count: int,
    deltas: Sequence[float] = (0.1, 0.05),
    redraws: int = 1000,
    among: ArrayLike | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """Pick bits by flips on calibration inputs that are drawn many times, and look at all the others.

    Two rules walk down from the highest level. The *plug-in* rule, the paper's kind, stops at the first level
    whose flip rate on the calibration inputs is above tau; the *promise* stops where the exact binomial test
    does not reject at delta (:func:`baq.planning.promised_rule`). A pick breaks its threshold if more than tau
    of the inputs that were not drawn flip. Where a rule has nothing to pick, nothing is promised or broken.

    Arguments:
        flips: which inputs flip at each level, bool, shape (levels, N).
        bits: the levels, falling.
        tau: largest flip rate.
        count: calibration inputs of each draw, without replacement.
        deltas: probabilities of a broken promise.
        redraws: how many sets are drawn.
        among: a mask (N,) of the inputs that calibration inputs are drawn from, as a control; the rest is then
            all the others, whose distribution differs.
        seed: of the draws.

    Returns:
        A row for each rule: ``rule``, ``delta`` (NaN for the plug-in rule), ``broken``, the share of all redraws
        whose pick breaks tau; ``picked``, the share with a pick; ``bits``, the mean of the picks.

    Raises:
        ValueError: for shapes that do not fit, levels that do not fall, or more calibration inputs than there are.
    """
    flips = np.asarray(flips, dtype=bool)
    if flips.ndim != 2 or len(flips) != len(bits) or len(flips) == 0:
        raise ValueError(
            f"flips have shape {flips.shape}: allowed is ({len(bits)}, N), a row a level"
        )
    if list(bits) != sorted(set(bits), reverse=True):
        raise ValueError(f"bits are {list(bits)}: allowed are levels that fall")
    pool = np.arange(flips.shape[1]) if among is None else np.flatnonzero(among)
    check_whole(1, len(pool) - (among is None), count=count)
    check_whole(redraws=redraws)
    check_seed(seed=seed)
    generator = np.random.default_rng(seed)
    drawn = np.array([generator.choice(pool, count, replace=False) for _ in range(redraws)])
    hits = np.array([level[drawn].sum(axis=1) for level in flips])  # (levels, redraws)
    rest = (flips.sum(axis=1)[:, None] - hits) / (flips.shape[1] - count)
    passes = {("plug-in", np.nan): hits / count <= tau}
    p = binom.cdf(hits, count, tau)
    passes |= {("promise", delta): p <= delta for delta in deltas}
    rows = []
    for (rule, delta), passed in passes.items():
        depth = np.logical_and.accumulate(passed).sum(axis=0)  # levels down that pass
        picks = depth > 0
        at = np.maximum(depth - 1, 0)
        broken = picks & (np.take_along_axis(rest, at[None], axis=0)[0] > tau)
        chosen = np.asarray(bits)[at][picks]
        rows.append(
            {
                "rule": rule,
                "delta": delta,
                "broken": broken.mean(),
                "picked": picks.mean(),
                "bits": chosen.mean() if len(chosen) else np.nan,
            }
        )
    return pd.DataFrame(rows)
