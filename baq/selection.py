"""Rules that pick a bit width by measures on calibration data, also called stopping rules."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from baq.arguments import check_flag, is_real

__all__ = ["Pick", "accuracy_rule", "boundary_aware_rule", "pick_counts", "picked"]

#: Slack for the rounding of a difference such as 0.97 - 0.96, far below one point of any set.
SLACK = 1e-9


@dataclass(frozen=True)
class Pick:
    """The bit width picked, and whether it keeps the rule's thresholds.

    Where no level keeps them the highest one is kept, and ``satisfied`` is False.

    Example:
        >>> Pick(bits=4, satisfied=True)
        Pick(bits=4, satisfied=True)
    """

    bits: int
    satisfied: bool


def accuracy_rule(levels: pd.DataFrame, eps: float, *, stop_early: bool = False) -> Pick:
    """Fewest bits whose calibration accuracy is at most ``eps`` below the reference's.

    Arguments:
        levels: rows of :func:`baq.compare` on calibration data, one for each bit width in
            ``candidate``, or one for each name with a bit width in it, such as ``int8``; read are ``accuracy`` and ``accuracy_reference``.
        eps: largest loss of accuracy, a share from 0 to 1.
        stop_early: walk down from the highest level and stop before the first that fails, even if
            one below it keeps the thresholds. The two readings differ only where a measure is not
            monotone in the bits.

    Raises:
        ValueError: for a negative threshold, no levels, a level given twice, or a measure that is
            absent or NaN.

    Example:
        >>> levels = pd.DataFrame({"candidate": [8, 6, 4], "accuracy": [0.95, 0.94, 0.8]})
        >>> accuracy_rule(levels.assign(accuracy_reference=0.95), eps=0.01)
        Pick(bits=6, satisfied=True)
    """
    return boundary_aware_rule(levels, eps, math.inf, math.inf, stop_early=stop_early)


def boundary_aware_rule(
    levels: pd.DataFrame, eps: float, tau_f: float, tau_j: float, *, stop_early: bool = False
) -> Pick:
    """Fewest bits that keep calibration accuracy, labels and boundary.

    The accuracy rule's condition, and calibration flip rate at most ``tau_f``, and the boundary
    Jaccard distance on the calibration slice at most ``tau_j`` (Kiselev 2026, arXiv:2607.01478,
    calibration-to-test stopping, whose thresholds are not in its abstract).

    Arguments:
        levels: as for :func:`accuracy_rule`; read are ``flip_rate`` and ``jaccard`` too.
        eps: largest loss of accuracy.
        tau_f: largest flip rate; infinite for no condition.
        tau_j: largest Jaccard distance; infinite for no condition.
        stop_early: as for :func:`accuracy_rule`.

    Raises:
        ValueError: as :func:`accuracy_rule`.

    Example:
        >>> levels = pd.DataFrame({"candidate": [8, 6, 4], "accuracy": 0.95, "accuracy_reference": 0.95})
        >>> levels = levels.assign(flip_rate=[0.0, 0.01, 0.1], jaccard=[0.0, 0.1, 0.4])
        >>> boundary_aware_rule(levels, eps=0.01, tau_f=0.02, tau_j=0.2)
        Pick(bits=6, satisfied=True)
    """
    check_flag(stop_early=stop_early)
    for name, threshold in {"eps": eps, "tau_f": tau_f, "tau_j": tau_j}.items():
        if not is_real(threshold) or not threshold >= 0:
            raise ValueError(f"{name} is {threshold!r}: allowed is 0 or more")
    bits = whole_bits(numbered(levels))
    if len(set(bits)) != len(bits) or len(bits) == 0:
        raise ValueError(f"levels are {bits.tolist()}: allowed is one row or more, a level once")
    kept = _column(levels, "accuracy_reference") - _column(levels, "accuracy") <= eps + SLACK
    for column, threshold in (("flip_rate", tau_f), ("jaccard", tau_j)):
        if threshold < math.inf:
            kept &= _column(levels, column) <= threshold + SLACK
    order = np.argsort(-bits)
    bits, kept = bits[order], kept[order]
    if stop_early:
        kept = np.logical_and.accumulate(kept)
    return Pick(int(bits[kept].min() if kept.any() else bits[0]), bool(kept.any()))


def numbered(levels: pd.DataFrame) -> pd.DataFrame:
    """Levels whose names hold one number each, such as "int8" or "4 bits", by that number."""
    if "candidate" not in levels or not pd.api.types.is_string_dtype(levels["candidate"]):
        return levels
    found = [re.findall(r"\d+", str(name)) for name in levels["candidate"]]
    for name, numbers in zip(levels["candidate"], found, strict=True):
        if len(numbers) != 1:
            raise ValueError(
                f"level is {name!r}: allowed are bit widths, or names with one number, such as 'int8'"
            )
    return levels.assign(candidate=[int(numbers[0]) for numbers in found])


def whole_bits(levels: pd.DataFrame) -> np.ndarray:
    """The bit widths of levels; raises a ValueError for none, or for some that are no whole numbers."""
    bits = _column(levels, "candidate")
    if not (bits == bits.round()).all():
        raise ValueError(f"levels are {bits.tolist()}: allowed are whole numbers of bits")
    return bits


def _column(levels: pd.DataFrame, name: str) -> np.ndarray:
    if name not in levels or levels[name].isna().any():
        raise ValueError(f"levels have no {name} in some row: allowed are rows of compare with it")
    values = levels[name].to_numpy()
    try:
        finite = np.isfinite(values.astype(float)).all()
    except (TypeError, ValueError):
        finite = False
    if not finite:
        raise ValueError(f"{name} of the levels is {values.tolist()}: allowed are finite numbers")
    return values if values.dtype.kind in "iuf" else values.astype(float)


def picked(
    calibration: pd.DataFrame,
    test: pd.DataFrame,
    rule: Callable[[pd.DataFrame], Pick],
    by: Sequence[str],
) -> pd.DataFrame:
    """The held-out rows of the level that a rule picks on calibration data, for every network.

    Arguments:
        calibration: rows of :func:`baq.compare` on calibration data for all levels of the networks.
        test: the same on held-out data, with the levels in the column ``bits``.
        rule: from the calibration rows of one network to a pick.
        by: the columns of both tables that tell the networks apart.

    Returns:
        A row for each network, in the order of ``calibration``: the columns of ``by``, ``bits``,
        ``satisfied``, and the other columns of ``test``.

    Raises:
        ValueError: as the rule; or where ``test`` has not just one row for a network's pick.

    Example:
        >>> calibration = pd.DataFrame({"seed": 0, "candidate": [8, 4], "accuracy": [0.95, 0.8]})
        >>> calibration = calibration.assign(accuracy_reference=0.95)
        >>> test = pd.DataFrame({"seed": 0, "bits": [8, 4], "flip_rate": [0.01, 0.2]})
        >>> rows = picked(calibration, test, lambda levels: accuracy_rule(levels, 0.01), ["seed"])
        >>> rows.to_dict("list")
        {'seed': [0], 'bits': [8], 'satisfied': [True], 'flip_rate': [0.01]}
    """
    by = [by] if isinstance(by, str) else list(by)
    for table, names in ((calibration, by), (test, [*by, "bits"])):
        if absent := [name for name in names if name not in table]:
            raise ValueError(f"columns {absent} are absent: there are {list(table.columns)}")
    picks = []
    for key, rows in calibration.groupby(by, sort=False, dropna=False):
        pick = rule(rows)
        picks.append((*key, pick.bits, pick.satisfied))
    columns = [*by, "bits", "satisfied"]
    others = test.drop(columns="satisfied", errors="ignore")  # which the pick says
    found = pd.DataFrame(picks, columns=columns).merge(others, on=columns[:-1])
    if len(found) != len(picks) or found.duplicated(by).any():
        raise ValueError(
            f"{len(picks)} networks have {len(found)} rows of test at their picks: allowed is one each"
        )
    return found


def pick_counts(picks: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """How many networks each level was picked for, and how often the thresholds were missed.

    Arguments:
        picks: rows of :func:`picked`, with a column for the rule.
        by: the columns to count by, such as setting and rule.

    Returns:
        A row for each of them: ``by``, a column ``B bits`` for each level that was picked, from the
        most bits to the fewest, and ``not satisfied``.

    Raises:
        ValueError: for a column that is not there.

    Example:
        >>> picks = pd.DataFrame({"rule": "accuracy", "bits": [8, 4, 4], "satisfied": True})
        >>> pick_counts(picks, ["rule"]).to_dict("list")
        {'rule': ['accuracy'], '8 bits': [1], '4 bits': [2], 'not satisfied': [0]}
    """
    if missing := [name for name in (*by, "bits", "satisfied") if name not in picks]:
        raise ValueError(f"picks lack {', '.join(map(str, missing))}: they have {', '.join(picks)}")
    counted = picks.groupby([*by, "bits"], sort=False).size().unstack(fill_value=0)
    counted = counted[sorted(counted, reverse=True)].rename(columns="{} bits".format)
    counted["not satisfied"] = (~picks["satisfied"]).groupby([picks[name] for name in by]).sum()
    return counted.rename_axis(columns=None).reset_index()
