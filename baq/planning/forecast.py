"""How many decisions will change, from the float network and inputs without labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from baq.arguments import check_seed, check_share, check_whole
from baq.band import boundary_band
from baq.planning.sensitivity import Sensitivity, as_sensitivity, noise_pass, sensitivity
from baq.slices.jaccard import boundary_mask, jaccard_law
from baq.slices.label_maps import LabelMap

__all__ = ["HOLDS", "forecast", "forecast_jaccard"]

#: The first order holds where it explains at least this share of the gaps' change.
HOLDS = 0.9
_REPEATS = 20  # redrawn sets of inputs for each draw of rounding errors


def forecast(
    network: nn.Module | Sensitivity,
    x: Tensor | None,
    bits: int | Sequence[int] | Mapping[str, int],
    *,
    share: float = 0.2,
    count: int | None = None,
    level: float = 0.9,
    seed: int = 0,
) -> pd.DataFrame:
    """Flips, flips in the band and median shift that rounding to some bits will bring, to first order.

    An input flips where a rival's gap falls below 0 by a draw of rounding errors
    (:class:`baq.planning.Sensitivity`). Each draw hits all inputs at once, as one rounding does, so the
    spread over draws is that of single roundings; with the sampling of the inputs it makes the interval.

    Arguments:
        network: the float network, or what :func:`baq.planning.sensitivity` says of it.
        x: inputs without labels, shape (N, *); None with a sensitivity, which has them.
        bits: one bit width or several, or one for each layer by name.
        share: share of the inputs in the boundary band.
        count: the number of inputs whose flips are forecast; infinitely many where not given.
        level: probability that the interval is to have.
        seed: of the redrawn sets of inputs.

    Returns:
        A row for each bit width: ``bits`` (the mean over weights), ``flip_rate``, ``band_flip_rate`` and
        ``shift`` (median absolute first-order displacement, input units; infinite where most gradients
        vanish), each with ``_lo`` and ``_hi``;
        ``noisy``, the flip rate of the network run with one draw of rounding errors, and ``explained``
        (:func:`baq.planning.sensitivity.noise_pass`); and ``holds``: whether that is at least ``HOLDS``, so
        that the forecast may be trusted.

    Raises:
        ValueError: as :func:`baq.planning.sensitivity`, for bit widths outside 2..16, or a share, count or
            level outside its range.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> model, x = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3)), torch.randn(64, 4)
        >>> rows = forecast(model, x, [8, 4])
        >>> rows["bits"].tolist(), bool(rows["flip_rate"].is_monotonic_increasing)
        ([8, 4], True)
    """
    check_share(share=share, level=level)
    check_seed(seed=seed)
    if count is not None:
        check_whole(count=count)
    known = as_sensitivity(network, x)
    each = [bits] if isinstance(bits, Mapping) or not isinstance(bits, Sequence) else list(bits)
    if not each:
        raise ValueError("bits is []: allowed are one bit width or more")
    band = boundary_band(known.gaps[:, 0], share)
    rows = []
    for b in each:
        change = known.change(b)
        flipped = ((known.gaps[..., None] + change) < 0).any(dim=1)
        shift = (change[:, 0].abs() / known.lengths[:, None]).nan_to_num(nan=0.0, posinf=torch.inf)
        row: dict[str, object] = {"bits": known.mean_bits(b)}
        generator = np.random.default_rng(seed)
        for name, hits, of in (
            ("flip_rate", flipped, count),
            ("band_flip_rate", flipped[band], count and max(1, round(share * count))),
        ):
            row |= _rate(name, hits.double().cpu().numpy(), of, level, generator)
        row |= _median("shift", shift.cpu().numpy(), level, generator)
        noisy, explained = noise_pass(known, b)
        row |= {"noisy": float(noisy.double().mean()), "explained": explained}
        rows.append(row | {"holds": explained >= HOLDS})
    return pd.DataFrame(rows)


def _rate(
    name: str, hits: np.ndarray, count: int | None, level: float, generator: np.random.Generator
) -> dict[str, float]:
    """Mean over draws of a rate, and the interval for the rate of one rounding on other inputs.

    Arguments:
        hits: 1 where an input flips by a draw, (N, M).
    """
    points, found = len(hits), hits.sum(axis=0).repeat(_REPEATS)
    # Given a draw the inputs are independent: Jeffreys' posterior of the rate.
    rates = generator.beta(found + 0.5, points - found + 0.5)
    if count is not None:
        rates = generator.binomial(count, rates) / count
    rate, ends = float(hits.mean()), _ends(name, rates, level)
    # Where no input flips by any draw, the posterior's lower end lies above 0 (Brown, Cai, DasGupta 2001).
    ends[f"{name}_lo"] = min(rate, ends[f"{name}_lo"])
    return {name: rate} | ends


def _median(
    name: str, values: np.ndarray, level: float, generator: np.random.Generator
) -> dict[str, float]:
    """Median over inputs, its mean over draws, and the interval from draws and redrawn inputs."""
    points, draws = values.shape
    again = generator.integers(points, size=(points, draws))
    found = np.median(np.take_along_axis(values, again, axis=0), axis=0)
    return {name: float(np.median(values, axis=0).mean())} | _ends(name, found, level)


def _ends(name: str, values: np.ndarray, level: float) -> dict[str, float]:
    """The ends of the central interval of some values."""
    ends = (1 - level) / 2, (1 + level) / 2
    # Between infinite values NumPy interpolates to NaN.
    how: Any = "linear" if np.isfinite(values).all() else "nearest"
    lo, hi = np.quantile(values, ends, method=how)
    return {f"{name}_lo": float(lo), f"{name}_hi": float(hi)}


def forecast_jaccard(
    network: nn.Module,
    grid: LabelMap,
    bits: int | Sequence[int],
    *,
    points: int = 1000,
    draws: int = 64,
    level: float = 0.9,
    seed: int = 0,
) -> pd.DataFrame:
    """J that rounding to some bits will bring on a plane, by the law of J from first-order displacements.

    At cells of the float network's boundary mask the displacement within the plane is
    ``|change of the gap| / ||P grad gap||`` with P the projection on the plane;
    :func:`baq.slices.jaccard_law` makes J of its mean.

    Arguments:
        network: the float network.
        grid: its label map, which names plane and cells a side.
        bits: bit widths.
        points: the most boundary cells that are taken, at random.
        draws: draws of rounding errors.
        level: probability that the interval is to have, for one rounding.
        seed: of cells and draws.

    Returns:
        A row for each bit width: ``bits``, ``n``, ``jaccard``, ``jaccard_lo`` and ``jaccard_hi``; J is 0 where
        the map has no boundary.

    Raises:
        ValueError: as :func:`baq.planning.sensitivity`.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> model, x = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3)), torch.randn(64, 4)
        >>> from baq.slices import label_map, pca_plane
        >>> rows = forecast_jaccard(model, label_map(model, pca_plane(x), 41), [8, 4])
        >>> rows["n"].tolist(), bool(rows["jaccard"].is_monotonic_increasing)
        ([41, 41], True)
    """
    check_whole(points=points)
    check_share(level=level)
    plane, n = grid.plane, grid.n
    row, column = np.nonzero(boundary_mask(grid))
    each = list(bits) if isinstance(bits, Sequence) else [bits]
    for width in each:
        check_whole(2, 16, bits=width)
    if len(row) == 0:
        zero = dict.fromkeys(("jaccard", "jaccard_lo", "jaccard_hi"), 0.0)
        return pd.DataFrame([{"bits": b, "n": n, **zero} for b in each])
    generator = np.random.default_rng(seed)
    if len(row) > points:
        taken = generator.choice(len(row), points, replace=False)
        row, column = row[taken], column[taken]
    x = plane.inputs(plane.centre(n, row, column))
    axes = torch.stack([plane.u, plane.v])
    known = sensitivity(network, x, rivals=1, draws=draws, along=axes, seed=seed)
    length = known.along.norm(dim=1)
    cell = float(np.mean(grid.cell))
    rows = []
    for b in each:
        moved = (known.change(b)[:, 0].abs() / length[:, None]).nan_to_num(nan=0.0).cpu().numpy()
        found = np.array([jaccard_law(one, cell) for one in moved.T])
        row_of = {"bits": b, "n": n, "jaccard": float(found.mean())}
        rows.append(row_of | _ends("jaccard", found, level))
    return pd.DataFrame(rows)
