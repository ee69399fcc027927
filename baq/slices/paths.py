"""Label maps along a straight path of weights: how many junctions they have, where they rearrange."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pandas as pd
import torch
from torch import nn

from baq.arguments import check_seed, check_whole
from baq.quantization import interpolate, quantized_weights
from baq.slices.junctions import junction_cells, rearrangement
from baq.slices.label_maps import LabelMap, label_map
from baq.slices.planes import Plane

__all__ = ["distances_along", "follow", "junction_readings", "random_end"]


def follow(
    start: nn.Module, stop: nn.Module, plane: Plane, steps: int = 20, n: int = 241
) -> list[LabelMap]:
    """The film of label maps while the weights go from one network to another.

    The weights are ``(1 - t) W_start + t W_stop`` (:func:`baq.quantization.interpolate`) at ``steps + 1``
    evenly spaced t from 0 to 1.

    Arguments:
        start, stop: networks of one architecture, such as two bit widths of one network.
        plane: the slice.
        steps: steps along the path, 1 or more.
        n: cells a side of the label maps.

    Raises:
        ValueError: for steps below 1, or as the functions named.
    """
    check_whole(steps=steps)
    along = np.linspace(0, 1, steps + 1)
    return [label_map(interpolate(start, stop, t), plane, n) for t in along]


def random_end(start: nn.Module, stop: nn.Module, seed: int = 0) -> nn.Module:
    """A network as far from ``start`` as ``stop`` is, layer by layer, in a random direction.

    The control for a path of weights: each layer's difference is replaced by a normal draw of the same
    Euclidean length.

    Arguments:
        start, stop: networks of one architecture that differ in weights alone.
        seed: of the draw.

    Raises:
        ValueError: as :func:`baq.quantization.interpolate`, or for a seed that is no whole number.
    """
    check_seed(seed=seed)
    end = interpolate(start, stop, 1.0)
    generator = torch.Generator().manual_seed(seed)
    goal = quantized_weights(end)
    for name, weight in quantized_weights(start).items():
        draw = torch.randn(weight.shape, generator=generator, dtype=torch.float64)
        length = (goal[name].detach() - weight.detach()).double().norm()
        goal[name].data = (weight.detach() + draw / draw.norm() * length).to(weight.dtype)
    return end


def junction_readings(film: Sequence[LabelMap]) -> dict[str, int]:
    """Triple-junction cells of a film, counted in each way that "of a transition" may mean.

    Returns:
        ``largest on the path``, of any map; ``first map``; ``last map``; ``largest, 3 x 3 rule``, with
        wider junction cells; ``anywhere on the path``, cells that are a junction in any map.

    Raises:
        ValueError: for a film without maps.
    """
    if not film:
        raise ValueError("the film is empty: allowed is one label map or more")
    triple = [junction_cells(grid.labels) for grid in film]
    counts = [int(found.sum()) for found in triple]
    return {
        "largest on the path": max(counts),
        "first map": counts[0],
        "last map": counts[-1],
        "largest, 3 x 3 rule": max(
            int(junction_cells(grid.labels, block=3).sum()) for grid in film
        ),
        "anywhere on the path": int(np.any(triple, axis=0).sum()),
    }


def distances_along(film: Sequence[LabelMap], edges: Sequence[float]) -> pd.DataFrame:
    """Histograms of the distances to the nearest junction over all steps of a film.

    They are those of :func:`baq.slices.junctions.rearrangement`, of what changes in a step and of two
    controls, as shares of the slice's width along a.

    Arguments:
        film: two label maps or more, on one plane.
        edges: of the bins, rising; the last bin holds all larger distances too.

    Returns:
        A row for each kind and bin: ``kind``, ``distance`` (upper edge of the bin), ``count``.

    Raises:
        ValueError: for fewer than two maps, or edges that do not rise.
    """
    if len(film) < 2:
        raise ValueError(f"the film has {len(film)} maps: allowed are 2 or more")
    if len(edges) < 2 or not (np.isfinite(edges).all() and (np.diff(edges) > 0).all()):
        raise ValueError(f"edges are {list(edges)}: allowed are two finite ones or more that rise")
    width = film[0].plane.extent[1] - film[0].plane.extent[0]
    steps = [rearrangement(*pair) for pair in pairwise(film)]
    parts = []
    for kind in steps[0]:
        found = np.concatenate([step[kind] for step in steps]) / width
        counts, _ = np.histogram(found.clip(max=edges[-1]), edges)
        parts.append(pd.DataFrame({"kind": kind, "distance": edges[1:], "count": counts}))
    return pd.concat(parts, ignore_index=True)
