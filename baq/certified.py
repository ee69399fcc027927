"""Exact label maps of networks with one hidden layer, at the cost of their boundary."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from torch import Tensor, nn

__all__ = ["PlaneNetwork", "certified_labels", "has_one_hidden_layer", "plane_network"]

#: Where ``|tanh''|`` is largest: ``tanh^2 = 1/3``.
_TANH_BEND = np.arctanh(np.sqrt(1 / 3))


@dataclass(frozen=True)
class PlaneNetwork:
    """A network with one hidden layer, restricted to a plane: ``z = V act(p + a p_a + b p_b) + c``.

    ``p``, ``p_a``, ``p_b`` have shape (H,), ``V`` (K, H), ``c`` (K,), all float64; ``act`` is "relu" or
    "tanh".
    """

    p: np.ndarray
    p_a: np.ndarray
    p_b: np.ndarray
    V: np.ndarray
    c: np.ndarray
    act: str

    def hidden(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Hidden units before their activation, shape (N, H)."""
        return self.p + a[:, None] * self.p_a + b[:, None] * self.p_b

    def labels(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Top-1 labels at plane coordinates, shape (N,); ties go to the lowest index."""
        return (_ACTIVATIONS[self.act][0](self.hidden(a, b)) @ self.V.T + self.c).argmax(axis=1)

    def certain(
        self, a: np.ndarray, b: np.ndarray, half_a: np.ndarray, half_b: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Labels at the centres of boxes, and whether each holds on all of its box.

        On a box every gap ``z_top - z_k`` is at least its value at the centre, less its gradient times
        the half-sides, less what the linearization of each hidden unit can be off.

        Arguments:
            a, b: centres, each (N,).
            half_a, half_b: half-sides, each (N,).

        Returns:
            Labels, int (N,), and a mask (N,).
        """
        value, bend, one_sided = _ACTIVATIONS[self.act]
        p = self.hidden(a, b)
        t = value(p)
        z = t @ self.V.T + self.c
        slope = 1 - t**2 if self.act == "tanh" else (p > 0).astype(float)
        z_a, z_b = (slope * self.p_a) @ self.V.T, (slope * self.p_b) @ self.V.T
        rows, top = np.arange(len(z)), z.argmax(axis=1)
        bound = (
            (z[rows, top][:, None] - z)
            - np.abs(z_a[rows, top][:, None] - z_a) * half_a[:, None]
            - np.abs(z_b[rows, top][:, None] - z_b) * half_b[:, None]
        )
        bound[rows, top] = np.inf
        # Room for the rounding of the sums above, many times over.
        margin = 1e-12 * (np.abs(self.V).sum(axis=1).max() * np.abs(t).max(initial=1) + 1)
        certain = (bound > margin).all(axis=1)
        reach = np.abs(self.p_a) * half_a[:, None] + np.abs(self.p_b) * half_b[:, None]
        off = bend(p[certain], reach[certain])
        for label in np.unique(top[certain]):
            mine = top[certain] == label
            weights = self.V[label] - self.V
            # A convex unit lies above its tangent, so it can only hurt where its weight is negative.
            weights = np.maximum(-weights, 0) if one_sided else np.abs(weights)
            which = np.flatnonzero(certain)[mine]
            bound[which] -= off[mine] @ weights.T
        return top, (bound > margin).all(axis=1)


def _relu_bend(p: np.ndarray, reach: np.ndarray) -> np.ndarray:
    """How far ReLU rises above its tangent at p within the reach: largest at one of the ends."""
    return np.maximum(reach - np.abs(p), 0)


def _tanh_bend(p: np.ndarray, reach: np.ndarray) -> np.ndarray:
    """How far tanh leaves its tangent at p within the reach: half its largest curvature there, squared."""
    middle = np.abs(p)
    t = np.tanh(np.clip(_TANH_BEND, np.maximum(middle - reach, 0), middle + reach))
    return t * (1 - t**2) * reach**2


_ACTIVATIONS: dict[str, tuple[Callable, Callable, bool]] = {
    "relu": (lambda p: np.maximum(p, 0), _relu_bend, True),
    "tanh": (np.tanh, _tanh_bend, False),
}


def _layers(model: object) -> list[nn.Module]:
    """Layers of a ``Sequential`` without Flatten; empty for any other model."""
    layers = model if isinstance(model, nn.Sequential) else ()
    return [layer for layer in layers if not isinstance(layer, nn.Flatten)]


def has_one_hidden_layer(model: object) -> bool:
    """Whether a model is a ``Sequential`` of (Flatten,) Linear, ReLU or Tanh, Linear."""
    kinds = [type(layer) for layer in _layers(model)]
    return kinds in ([nn.Linear, nn.ReLU, nn.Linear], [nn.Linear, nn.Tanh, nn.Linear])


def plane_network(model: object, origin: Tensor, u: Tensor, v: Tensor) -> PlaneNetwork:
    """Restrict a network with one hidden layer to the plane ``origin + a u + b v``.

    Raises:
        ValueError: if the model is not of the kind of :func:`has_one_hidden_layer`, or if a weight is
            not finite.
    """
    if not has_one_hidden_layer(model):
        shape = ", ".join(type(layer).__name__ for layer in _layers(model)) or type(model).__name__
        raise ValueError(
            f"model is {shape}: allowed is a Sequential of Linear, ReLU or Tanh, Linear"
        )
    first, activation, last = _layers(model)

    def array(values: Tensor | None) -> np.ndarray:
        return np.float64(0) if values is None else values.detach().cpu().double().numpy()

    W, at, along_u, along_v = map(array, (first.weight, origin.flatten(), u.flatten(), v.flatten()))
    p, V, c = W @ at + array(first.bias), array(last.weight), array(last.bias)
    if not all(np.isfinite(values).all() for values in (W, p, V, c)):
        raise ValueError("the network has weights that are not finite: allowed are finite ones")
    act = type(activation).__name__.lower()
    return PlaneNetwork(p, W @ along_u, W @ along_v, V, np.broadcast_to(c, len(V)), act)


def certified_labels(
    network: PlaneNetwork,
    extent: tuple[float, float, float, float],
    n: int,
    ratio: int = 2,
    largest: int = 32,
) -> tuple[np.ndarray, int]:
    """Label all cells of an n x n grid by a tree of boxes: equal to evaluating every centre.

    A box of cells whose label is certain is painted; another is divided, down to single cells, which
    are evaluated.

    Arguments:
        network: the network on the plane.
        extent: (a_min, a_max, b_min, b_max).
        n: cells a side.
        ratio: cells a side of a box over those of its children.
        largest: bound on the cells a side of the first boxes.

    Returns:
        Labels, int16 (n, n), and the number of boxes and cells evaluated.
    """
    a_min, a_max, b_min, b_max = extent
    h_a, h_b = (a_max - a_min) / n, (b_max - b_min) / n
    size = 1
    while size * ratio <= min(largest, n):
        size *= ratio
    count = -(-n // size)
    row, column = (k.ravel() for k in np.indices((count, count)))
    painted = np.full((count, count), -1, dtype=np.int16)
    evaluated = 0
    while True:
        evaluated += len(row)
        first = np.stack([column, row]) * size
        last = np.minimum(first + size, n) - 1
        (a, b), (half_a, half_b) = (
            np.array([[a_min], [b_min]]) + np.array([[h_a], [h_b]]) * ((first + last) / 2 + 0.5),
            np.array([[h_a], [h_b]]) * ((last - first) / 2),
        )
        if size == 1:
            painted[row, column] = network.labels(a, b)
            return painted, evaluated
        label, certain = network.certain(a, b, half_a, half_b)
        painted[row[certain], column[certain]] = label[certain]
        size //= ratio
        count = -(-n // size)
        painted = painted.repeat(ratio, axis=0).repeat(ratio, axis=1)[:count, :count]
        i, j = (k.ravel() for k in np.indices((ratio, ratio)))
        row = (row[~certain, None] * ratio + i).ravel()
        column = (column[~certain, None] * ratio + j).ravel()
        inside = (row < count) & (column < count)
        row, column = row[inside], column[inside]
