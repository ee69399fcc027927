"""The boundary band: the points of lowest margin, and how flips there relate to all flips."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import torch
from scipy.stats import norm
from torch import Tensor

from baq.arguments import check_share, is_real
from baq.inference import as_tensor
from baq.local import flips, margins

__all__ = [
    "band_by_share",
    "band_curve",
    "band_flip_law",
    "boundary_band",
    "law_errors",
]


def boundary_band(margin: Tensor, share: float = 0.2) -> Tensor:
    """The points with the lowest margins: a mask of shape (N,) with round(share N) points, at least 1.

    Ties go to the lower index.

    Raises:
        ValueError: for a share outside (0, 1], or margins that are NaN or of another shape.

    Example:
        >>> boundary_band(torch.tensor([0.5, 0.1, 2.0, 0.3]), 0.5).tolist()
        [False, True, False, True]
    """
    check_share(share=share)
    margin = as_tensor(margin, "margins")
    if margin.ndim != 1 or len(margin) == 0 or margin.isnan().any():
        raise ValueError(
            f"margins have shape {tuple(margin.shape)} or are NaN: allowed is (N,) with N >= 1"
        )
    band = torch.zeros(len(margin), dtype=torch.bool, device=margin.device)
    band[margin.argsort(stable=True)[: max(1, round(share * len(margin)))]] = True
    return band


def band_flip_law(flip_rate: float, share: float = 0.2) -> float:
    """Flip rate in the band that holds a share of the points, from the flip rate of all.

    Takes the reference's margins as uniform from 0 to well beyond the error, and the error of the gap
    between the top two logits as Gaussian with one standard deviation s for all points. A point of
    margin m flips with probability Phi(-m / s). With p the density of margins,

    * all points: F = p s phi(0), since Phi(-t) integrates to phi(0) over t > 0;
    * band up to the margin share / p, in units of the error u = share / (p s) = share phi(0) / F:
      B = (F / share) (1 + (u Phi(-u) - phi(u)) / phi(0)).

    So a small flip rate lies in the band as a whole, B = F / share, and a large one spills over.

    Arguments:
        flip_rate: F, from 0 to 0.5.
        share: share of the points in the band, above 0 and up to 1.

    Raises:
        ValueError: for values outside these ranges.

    Example:
        >>> round(band_flip_law(0.01), 4), round(band_flip_law(0.2), 4)
        (np.float64(0.05), np.float64(0.4215))
    """
    check_share(share=share)
    if not is_real(flip_rate) or not 0 <= flip_rate <= 0.5:
        raise ValueError(f"flip_rate is {flip_rate!r}: allowed is 0 to 0.5")
    if flip_rate == 0:
        return 0.0
    u = share * norm.pdf(0) / flip_rate
    return flip_rate / share * (1 + (u * norm.cdf(-u) - norm.pdf(u)) / norm.pdf(0))


def band_curve(margin: Tensor, flip: Tensor, shares: Sequence[float]) -> list[float]:
    """Flip rate in the boundary band for bands of several widths.

    Arguments:
        margin: margins of the reference, shape (N,).
        flip: which points flip, bool, shape (N,).
        shares: shares of the points in the band, each above 0 and up to 1.

    Raises:
        ValueError: for shapes that differ, flips other than True and False, or a share outside its range.

    Example:
        >>> flip = torch.tensor([True, False, False, False])
        >>> band_curve(torch.tensor([0.1, 0.2, 0.5, 2.0]), flip, [0.25, 0.5, 1.0])
        [1.0, 0.5, 0.25]
    """
    margin, flip = as_tensor(margin, "margins"), as_tensor(flip, "flips")
    if margin.shape != flip.shape:
        raise ValueError(
            f"margins and flips have shapes {tuple(margin.shape)} and {tuple(flip.shape)}: "
            "allowed are equal ones"
        )
    if not ((flip == 0) | (flip == 1)).all():
        raise ValueError(
            f"flips hold {flip[(flip != 0) & (flip != 1)][0]}: allowed are True and False"
        )
    return [float(flip[boundary_band(margin, share)].double().mean()) for share in shares]


def band_by_share(z: Tensor, z_q: Tensor, shares: Sequence[float]) -> pd.DataFrame:
    """Flip rate in bands of several widths, and what the law says from the flip rate of all points.

    Arguments:
        z, z_q: logits of the reference and of the candidate, shape (N, K).
        shares: as for :func:`band_curve`.

    Returns:
        A row for each width: ``share``, ``band_flip_rate`` and ``law``, for which a flip rate above one
        half counts as one half (:func:`band_flip_law` has no higher one).

    Raises:
        ValueError: for logits that differ in shape, or a share outside its range.

    Example:
        >>> z = torch.tensor([[0.1, 0.0], [1.0, 0.0], [2.0, 0.0], [3.0, 0.0]])
        >>> band_by_share(z, z - torch.tensor([0.2, 0.0]), [0.25, 1.0])["band_flip_rate"].tolist()
        [1.0, 0.25]
    """
    flip = flips(z, z_q)
    rate = min(float(flip.double().mean()), 0.5)
    rates = band_curve(margins(z), flip, shares)
    law = [band_flip_law(rate, share) for share in shares]
    return pd.DataFrame({"share": shares, "band_flip_rate": rates, "law": law})


def law_errors(
    rates: pd.DataFrame,
    share: float = 0.2,
    edges: Sequence[float] = (0, 0.01, 0.03, 0.05, 0.07, 0.1, 0.3, 1),
) -> pd.DataFrame:
    """How far the flip rate in the band is off :func:`band_flip_law`, by how many inputs flip.

    With few flips nearly all lie in any band, and the law holds by itself; so one number for all says little.

    Arguments:
        rates: a row a network, with ``flip_rate`` and ``band_flip_rate``; one without flips is left out.
        share: share of the inputs in the band.
        edges: of the classes of flip rates, rising; a class holds its upper edge.

    Returns:
        A row for each class that has a network: ``above`` and ``up_to`` (its edges), ``networks`` (their
        number), and ``off``, the median of the measured rate over that of the law, less 1.

    Raises:
        ValueError: as :func:`band_flip_law`, or for a column that is not there.

    Example:
        >>> rates = pd.DataFrame({"flip_rate": [0.02, 0.2], "band_flip_rate": [0.1, 0.6]})
        >>> law_errors(rates).round(3).to_dict("list")
        {'above': [0.01, 0.1], 'up_to': [0.03, 0.3], 'networks': [1, 1], 'off': [0.0, 0.424]}
    """
    if lacking := [name for name in ("flip_rate", "band_flip_rate") if name not in rates]:
        raise ValueError(f"no column {lacking[0]!r}: allowed are {', '.join(map(str, rates))}")
    flips = rates[rates["flip_rate"] > 0]
    law = [band_flip_law(min(rate, 0.5), share) for rate in flips["flip_rate"]]
    off = flips["band_flip_rate"] / law - 1
    classes = off.groupby(pd.cut(flips["flip_rate"], list(edges)), observed=True)
    rows = [(bin.left, bin.right, len(part), part.median()) for bin, part in classes]
    return pd.DataFrame(rows, columns=["above", "up_to", "networks", "off"])
