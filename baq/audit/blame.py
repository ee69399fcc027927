"""Which layer's quantization changes how many labels: by exchanging weights, or by the forecast."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import norm
from torch import Tensor, nn

from baq.inference import Classifier, copied, labels, logits
from baq.planning.sensitivity import Sensitivity, sensitivity

__all__ = ["blamed", "forecast_blame", "layer_blame"]


def layer_blame(
    reference: Classifier, candidate: Classifier, x: Tensor, batch_size: int = 4096
) -> pd.DataFrame:
    """Labels changed by each layer alone, and by all layers but one, from mixtures of two networks.

    Where the candidate is the reference with other weights, any layer's weights can be those of the one or of
    the other. That it is, is checked: with all of the candidate's weights the reference must give its labels.

    Arguments:
        reference, candidate: modules of the same parts.
        x: inputs, shape (N, *).
        batch_size: points per evaluation.

    Returns:
        A row for each layer whose weights differ, as the network names it: ``layer``, ``weights`` (how many
        numbers it holds; what layers share is the first one's), ``alone`` (share of labels changed if only
        this layer is the candidate's) and ``rest`` (if all but this layer are). The shares need not add up.

    Raises:
        ValueError: for classifiers that cannot be mixed, or as :func:`baq.inference.logits`.

    Example:
        >>> import torch
        >>> from baq import ptq_w
        >>> _ = torch.manual_seed(0)
        >>> model, x = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3)), torch.randn(50, 4)
        >>> layer_blame(model, ptq_w(model, 2), x)["layer"].tolist()
        ['0', '2']
    """
    if not (isinstance(reference, nn.Module) and isinstance(candidate, nn.Module)):
        raise ValueError("reference and candidate cannot be mixed: allowed are two torch modules")
    model = _in_torch(reference)
    own, other = _tensors(model), _tensors(_in_torch(candidate))
    if not own or not other:
        raise ValueError("reference and candidate cannot be mixed: one shows no weights")
    if {k: v.shape for k, v in own.items()} != {k: v.shape for k, v in other.items()}:
        raise ValueError("reference and candidate cannot be mixed: their weights differ in shape")
    mixed, before = copied(model), labels(logits(reference, x, batch_size))

    def changed(state: dict[str, Tensor]) -> Tensor:
        mixed.load_state_dict(state)
        return labels(logits(mixed, x, batch_size))

    if not changed(other).equal(labels(logits(candidate, x, batch_size))):
        told = "with the candidate's weights the reference gives other labels"
        raise ValueError(f"reference and candidate cannot be mixed: {told}")
    layers: dict[str, list[str]] = {}
    holders: dict[int, str] = {}
    for key, value in own.items():
        name = key.rpartition(".")[0]
        if value.numel():  # what layers share is the first one's
            name = holders.setdefault(value.data_ptr(), name)
        layers.setdefault(name, []).append(key)
    rows = []
    for name, keys in layers.items():
        if all(own[key].equal(other[key].to(own[key])) for key in keys):
            continue
        shares = [
            float((changed(base | {key: part[key] for key in keys}) != before).double().mean())
            for base, part in ((own, other), (other, own))
        ]
        size = sum({own[key].data_ptr(): own[key].numel() for key in keys}.values())
        rows.append((name, size, *shares))
    return pd.DataFrame(rows, columns=["layer", "weights", "alone", "rest"])


def _tensors(model: nn.Module) -> dict[str, Tensor]:
    """The state of a module; raises where some of it is no tensor, as in torch's kernels of whole numbers."""
    state = model.state_dict()
    for key, value in state.items():
        if not isinstance(value, Tensor):
            raise ValueError(
                f"reference and candidate cannot be mixed: {key} is a {type(value).__name__}, no tensor"
            )
    return state


def _in_torch(classifier: nn.Module) -> nn.Module:
    """The module itself; of what is evaluated elsewhere its copy in torch, whose layers are seen."""
    return getattr(classifier, "torch_copy", None) or classifier


def forecast_blame(known: Sensitivity, bits: int) -> pd.DataFrame:
    """Labels that rounding each layer alone will change, and all layers but one, to first order.

    For candidates whose layers cannot be taken apart. A label changes where its gap g falls below 0 by rounding
    errors of variance v, as a share ``Phi(-g / sqrt(v))`` of roundings does (:class:`baq.planning.Sensitivity`); v
    is the sum over the layers that are rounded.

    Arguments:
        known: what :func:`baq.planning.sensitivity` says of the float network.
        bits: the bit width of each layer.

    Returns:
        A row for each layer, with the columns of :func:`layer_blame`.

    Raises:
        ValueError: for a bit width outside 2..16.

    Example:
        >>> import torch
        >>> model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3))
        >>> rows = forecast_blame(sensitivity(model, torch.randn(50, 4)), 4)
        >>> rows["layer"].tolist(), bool((rows["alone"] > 0).all())
        (['0', '2'], True)
    """
    variances = (known.steps(bits)[:, None].square() * known.variances).double().cpu().numpy()
    gaps = known.gaps[:, 0].double().cpu().numpy()

    def share(layers: list[int]) -> float:
        spread = np.sqrt(variances[layers].sum(axis=0))
        moved = spread > 0  # without a spread no label changes
        return float(norm.cdf(-gaps[moved] / spread[moved]).sum() / len(gaps))

    places = range(len(known.layers))
    rows = [
        (known.layers[k], known.weights[k], share([k]), share([j for j in places if j != k]))
        for k in places
    ]
    return pd.DataFrame(rows, columns=["layer", "weights", "alone", "rest"])


def blamed(
    reference: Classifier,
    candidates: Mapping[Any, Classifier],
    x: Any,
    assumed_bits: int = 8,
    points: int = 500,
) -> tuple[pd.DataFrame, list[str]]:
    """The blame of layers for all candidates: exact where one can be mixed with the reference, else forecast.

    Arguments:
        reference: any callable from inputs to logits; a forecast needs a module of
            :func:`baq.rounding.layers.matrix_layers`, or one with such a copy as ``torch_copy``.
        candidates: by a key.
        x: inputs, shape (N, *).
        assumed_bits: bit width that a forecast takes each layer of a candidate to have.
        points: the most inputs that a forecast is made from.

    Returns:
        The rows of :func:`layer_blame` or :func:`forecast_blame` with ``candidate`` and ``way``, exact or forecast.
        And a note for each candidate that was not mixed: why, and what stands in its place.

    Raises:
        ValueError: as :func:`baq.inference.logits`, for a candidate that can be mixed.

    Example:
        >>> import torch
        >>> from baq import ptq_w
        >>> model, x = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3)), torch.randn(50, 4)
        >>> rows, notes = blamed(model, {"2 bits": ptq_w(model, 2)}, x)
        >>> rows["way"].tolist(), notes
        (['exact', 'exact'], [])
    """
    parts, notes = [], []
    forecast: pd.DataFrame | str | None = None
    for key, candidate in candidates.items():
        try:
            rows, way = layer_blame(reference, candidate, x), "exact"
        except ValueError as error:
            if forecast is None:
                forecast = _forecast(reference, x, assumed_bits, points)
            if isinstance(forecast, str):
                notes.append(f"{key}: no layer is blamed; {error}, and {forecast}")
                continue
            notes.append(f"{key}: a forecast for weights of {assumed_bits} bits; {error}")
            rows, way = forecast, "forecast"
        parts.append(rows.assign(candidate=key, way=way))
    return (pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()), notes


def _forecast(reference: Classifier, x: Any, bits: int, points: int) -> pd.DataFrame | str:
    """The blame by the forecast, or why there is none."""
    if not isinstance(reference, nn.Module):
        return "the reference has no gradients to forecast from"
    try:
        return forecast_blame(sensitivity(_in_torch(reference), x[:points]), bits)
    except ValueError as error:
        return f"there is no forecast: {error}"
