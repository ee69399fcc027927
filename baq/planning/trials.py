"""Bits by layer against uniform bits and against other scores, and the smallest network that keeps a promise."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import pandas as pd
from torch import Tensor, nn

from baq.inference import labels, logits
from baq.planning.allocation import CHOICES, allocate, allocate_by, stored_bytes
from baq.planning.promise import evidence, promised_rule
from baq.planning.rivals import hessian_trace, output_error, weight_error
from baq.planning.sensitivity import Sensitivity, sensitivity
from baq.quantization import Bits, ptq_w

__all__ = ["TARGETS", "WAYS", "by_ways", "on_top", "smallest_kept"]

#: Ways to give bits to layers, each with its own grid: one scale for each layer, or for each output channel.
WAYS = (
    *("uniform", "weight error", "Hessian trace", "output error", "forecast"),
    *("uniform, per channel", "forecast, per channel"),
)
#: Forecasts that are walked down to find the smallest network, as shares of the flips that are allowed.
TARGETS = (0.25, 0.35, 0.5, 0.7, 1.0)


def by_ways(
    known: Sensitivity,
    x: Tensor,
    y: Tensor,
    images: Tensor,
    means: Sequence[int],
    *,
    probes: int = 8,
) -> pd.DataFrame:
    """Flips of a network whose bits are given by each of ``WAYS``, rounded to nearest.

    Arguments:
        known: the network's sensitivity, with one scale for each layer.
        x, y: inputs and labels for the scores of others (:mod:`baq.planning.rivals`).
        images: what flips are counted on, shape (N, *).
        means: bits of a weight in the mean that are not passed.
        probes: as for :func:`baq.planning.rivals.hessian_trace`.

    Returns:
        A row for each way and mean: ``way``, ``mean``, ``bytes`` (:func:`baq.planning.stored_bytes`),
        ``flip_rate``.

    Raises:
        ValueError: as the functions named.
    """
    network = known.model
    fine = sensitivity(network, known.x, rivals=1, draws=1, per_channel=True)
    scores = {
        "weight error": weight_error(network),
        "Hessian trace": hessian_trace(network, x, y, probes=probes),
        "output error": output_error(network, x),
    }
    before = labels(logits(network, images, 100))
    rates: dict[tuple[object, ...], float] = {}
    rows = []
    for mean in means:
        given: dict[str, Bits] = {
            way: allocate_by(network, table, mean) for way, table in scores.items()
        }
        given |= {
            "uniform": mean,
            "forecast": allocate(known, mean_bits=mean).bits,
            "uniform, per channel": mean,
            "forecast, per channel": allocate(fine, mean_bits=mean).bits,
        }
        for way in WAYS:
            bits, per_channel = given[way], way.endswith("per channel")
            made = tuple(bits.values()) if isinstance(bits, Mapping) else bits, per_channel
            if made not in rates:  # ways often agree
                after = labels(logits(ptq_w(network, bits, per_channel=per_channel), images, 100))
                rates[made] = float((after != before).double().mean())
            size = stored_bytes(network, bits, per_channel=per_channel)
            rows.append({"way": way, "mean": mean, "bytes": size, "flip_rate": rates[made]})
    return pd.DataFrame(rows)


def on_top(
    known: Sensitivity,
    images: Tensor,
    means: Sequence[int],
    rounded: Callable[[str, Bits], nn.Module],
) -> pd.DataFrame:
    """Flips with optimized rounding, such as :func:`baq.rounding.boundary_metric`, bits uniform and by the forecast.

    Arguments:
        known, images, means: as for :func:`by_ways`.
        rounded: what is made of the network at some bits; called with a name of what it makes and them.

    Returns:
        A row for each way, ``uniform`` or ``forecast``, and mean, as :func:`by_ways`.

    Raises:
        ValueError: as the functions named.
    """
    network = known.model
    before = labels(logits(network, images, 100))
    rows = []
    for mean in means:
        given: dict[str, Bits] = {
            "uniform": mean,
            "forecast": allocate(known, mean_bits=mean).bits,
        }
        for way, bits in given.items():
            made = rounded(f"{way}-{mean}-bits", bits)
            changed = labels(logits(made, images, 100)) != before
            size = stored_bytes(network, bits)
            rate = float(changed.double().mean())
            rows.append({"way": way, "mean": mean, "bytes": size, "flip_rate": rate})
    return pd.DataFrame(rows)


def smallest_kept(
    known: Sensitivity, held_out: Tensor, images: Tensor, tau: float, delta: float = 0.1
) -> pd.DataFrame:
    """The smallest network whose flips are promised to stay below tau, with bits by layer, rounded to nearest.

    From the most bits everywhere down to those allocated for forecasts of ``TARGETS`` times tau, as far as that
    can be reached, the fixed sequence of :func:`baq.planning.promised_rule` walks down them.

    Arguments:
        known: the network's sensitivity.
        held_out: inputs without labels that the sensitivity was not taken at, shape (N, *).
        images: others, on which the flips of the pick are counted.
        tau: the largest flip rate.
        delta: probability of a broken promise.

    Returns:
        One row: ``promised``, whether there is such a network; ``bits``, in the mean over weights; ``bytes``;
        ``forecast``; ``flip_rate`` on the held-out inputs, and ``came`` on the images. Where nothing is
        promised, those of the largest.

    Raises:
        ValueError: as :func:`baq.planning.allocate`, :func:`baq.planning.evidence` and ``promised_rule``.
    """
    network = known.model
    most = allocate(known, mean_bits=max(CHOICES))
    within = [target * tau for target in TARGETS if target * tau >= most.flip_rate]
    walked = [most, *(allocate(known, max_flip_rate=rate) for rate in within)]
    walked.append(allocate(known, mean_bits=min(CHOICES)))
    found = {round(stored_bytes(network, one.bits)): one for one in walked}
    made = {size: ptq_w(network, one.bits) for size, one in found.items()}
    z = logits(network, held_out, 100)
    levels = evidence(z, {s: logits(q, held_out, 100) for s, q in made.items()}, tau_f=tau)
    pick = promised_rule(levels, delta)
    seen = levels.set_index("candidate")["flip_rate"][pick.bits]
    changed = labels(logits(made[pick.bits], images, 100)) != labels(logits(network, images, 100))
    row = {"promised": pick.satisfied, "bits": found[pick.bits].mean_bits, "bytes": pick.bits}
    row |= {"forecast": found[pick.bits].flip_rate, "flip_rate": float(seen)}
    return pd.DataFrame([row | {"came": float(changed.double().mean())}])
