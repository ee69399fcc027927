"""Exact label maps of networks with one hidden layer, at the cost of their boundary."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from torch import Tensor, nn

from baq.structure import hidden_layer

__all__ = ["Gaps", "PlaneNetwork", "certified_labels", "plane_network"]

#: Where ``|tanh''|`` is largest: ``tanh^2 = 1/3``.
_TANH_BEND = np.arctanh(np.sqrt(1 / 3))


@dataclass(frozen=True)
class Gaps:
    """The gaps ``z_top - z_k`` on N boxes: ``gap + gap_a da + gap_b db``, and its error bounds.

    ``top``, int (N,), is the label at the centre; the others have shape (N, K). On its box a gap lies
    between the linear one less ``below`` and the linear one plus ``above``.
    """

    top: np.ndarray
    gap: np.ndarray
    gap_a: np.ndarray
    gap_b: np.ndarray
    below: np.ndarray
    above: np.ndarray

    def rivals(self, half_a: float, half_b: float) -> np.ndarray:
        """Classes that may lead somewhere on a box with these half-sides, bool (N, K)."""
        least = self.gap - np.abs(self.gap_a) * half_a - np.abs(self.gap_b) * half_b - self.below
        # Written so that a NaN counts as doubt.
        rivals = ~(least > 0)
        np.put_along_axis(rivals, self.top[:, None], False, axis=1)
        return rivals


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
        return np.stack([a, b], axis=1) @ np.stack([self.p_a, self.p_b]) + self.p

    def labels(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Top-1 labels at plane coordinates, shape (N,); ties go to the lowest index.

        Raises:
            ValueError: if a logit is not finite.
        """
        z = _ACTIVATIONS[self.act][0](self.hidden(a, b)) @ self.V.T + self.c
        if not np.isfinite(z).all():
            raise ValueError(
                "logits on the plane are not finite: check the weights and the plane's extent"
            )
        return z.argmax(axis=1)

    def gaps(self, a: np.ndarray, b: np.ndarray, half_a: float, half_b: float) -> Gaps:
        """Linearize every gap of the label at the centre of each box, and bound the remainder.

        The remainder of a gap is that of each hidden unit times the difference of its two weights. A
        convex unit lies above its tangent, so it can only add.

        Arguments:
            a, b: centres, each (N,).
            half_a, half_b: half-sides of all boxes.
        """
        value, bend, one_sided = _ACTIVATIONS[self.act]
        p = self.hidden(a, b)
        t = value(p)
        z = t @ self.V.T + self.c
        slope = 1 - t**2 if self.act == "tanh" else (p > 0).astype(float)
        z_a, z_b = slope @ (self.V * self.p_a).T, slope @ (self.V * self.p_b).T
        reach = np.abs(self.p_a) * half_a + np.abs(self.p_b) * half_b
        off = bend(p, reach)
        top = z.argmax(axis=1)
        below, above = np.empty_like(z), np.empty_like(z)
        for label in np.unique(top):
            mine, weights = top == label, self.V[label] - self.V
            if one_sided:
                below[mine] = off[mine] @ np.maximum(-weights, 0).T
                above[mine] = off[mine] @ np.maximum(weights, 0).T
            else:
                below[mine] = above[mine] = off[mine] @ np.abs(weights).T
        # Ample room for the rounding of the sums above.
        size = np.abs(p).max() + reach.max()
        room = 1e-12 * (size * np.abs(self.V).sum(axis=1).max() + np.abs(self.c).max())
        gap, gap_a, gap_b = (np.take_along_axis(w, top[:, None], 1) - w for w in (z, z_a, z_b))
        return Gaps(top, gap, gap_a, gap_b, below + room, above + room)


def _relu_bend(p: np.ndarray, reach: np.ndarray) -> np.ndarray:
    """How far ReLU rises above its tangent at p within the reach: largest at one of the ends."""
    return np.maximum(reach - np.abs(p), 0)


def _tanh_bend(p: np.ndarray, reach: np.ndarray) -> np.ndarray:
    """Bound on tanh's distance from its tangent at p: half the largest curvature within the reach, times reach squared."""
    middle = np.abs(p)
    t = np.tanh(np.clip(_TANH_BEND, np.maximum(middle - reach, 0), middle + reach))
    return t * (1 - t**2) * reach**2


_ACTIVATIONS: dict[str, tuple[Callable, Callable, bool]] = {
    "relu": (lambda p: np.maximum(p, 0), _relu_bend, True),
    "tanh": (np.tanh, _tanh_bend, False),
}


def plane_network(model: object, origin: Tensor, u: Tensor, v: Tensor) -> PlaneNetwork:
    """Restrict a network with one hidden layer to the plane ``origin + a u + b v``.

    Raises:
        ValueError: if the model is not of the kind of :func:`baq.structure.has_one_hidden_layer`, if it takes inputs
            of another size or gives fewer than 2 logits, or if a weight is not finite.
    """
    layers = hidden_layer(model)
    if layers is None:
        parts = model if isinstance(model, nn.Sequential) else ()
        shape = ", ".join(type(layer).__name__ for layer in parts) or type(model).__name__
        raise ValueError(
            f"model is {shape}: allowed is a Sequential of (Flatten,) Linear, ReLU or Tanh, Linear, "
            "without hooks, of its own or of all modules"
        )
    first, activation, last = layers
    if origin.numel() != first.in_features:
        raise ValueError(
            f"inputs have {origin.numel()} values: allowed are {first.in_features}, as the network takes"
        )
    if last.out_features < 2:
        raise ValueError(f"the network gives {last.out_features} logit: allowed are 2 or more")

    def array(values: Tensor | None) -> np.ndarray:
        return np.zeros(()) if values is None else values.detach().cpu().double().numpy()

    W, at, along_u, along_v = map(array, (first.weight, origin.flatten(), u.flatten(), v.flatten()))
    p, V, c = W @ at + array(first.bias), array(last.weight), array(last.bias)
    if not all(np.isfinite(values).all() for values in (W, p, V, c)):
        raise ValueError("the network has weights that are not finite: allowed are finite ones")
    act = type(activation).__name__.lower()
    return PlaneNetwork(p, W @ along_u, W @ along_v, V, np.broadcast_to(c, len(V)), act)


@np.errstate(over="ignore", invalid="ignore")
def certified_labels(
    network: PlaneNetwork,
    extent: tuple[float, float, float, float],
    n: int,
    largest: int = 32,
) -> tuple[np.ndarray, int]:
    """Label all cells of an n x n grid by a tree of boxes: equal to evaluating every centre.

    A box where one label leads everywhere is painted. Where one other class may lead too, and the gap
    between the two is linear to within its change from cell to cell, its sign gives every label but
    the few within the remainder of zero. Other boxes are divided, down to single cells. Single cells,
    and cells that are still in doubt, are evaluated.

    Arguments:
        network: the network on the plane.
        extent: (a_min, a_max, b_min, b_max).
        n: cells a side.
        largest: bound on the cells a side of the first boxes.

    Returns:
        Labels, int32 (n, n), and the number of boxes and cells evaluated.

    Raises:
        ValueError: if the logits of a cell are not finite.
    """
    a_min, a_max, b_min, b_max = extent
    h_a, h_b = (a_max - a_min) / n, (b_max - b_min) / n
    size = 2 ** int(np.log2(min(largest, n)))
    # Boxes may stick out of the grid; what they paint there is cut off at the end.
    count = -(-n // size)
    painted = np.empty((count * size, count * size), dtype=np.int32)
    row, column = (k.ravel() for k in np.indices((count, count)))
    evaluated, doubtful = 0, []
    while size > 1 and len(row):
        evaluated += len(row)
        blocks = painted.reshape(len(painted) // size, size, -1, size).swapaxes(1, 2)
        half_a, half_b = h_a * (size - 1) / 2, h_b * (size - 1) / 2
        gaps = network.gaps(
            a_min + h_a * size * (column + 0.5), b_min + h_b * size * (row + 0.5), half_a, half_b
        )
        rivals = gaps.rivals(half_a, half_b)
        number = rivals.sum(axis=1)
        certain = number == 0
        blocks[row[certain], column[certain]] = gaps.top[certain, None, None]

        # Two classes are left, as in most boxes on the boundary.
        two = np.flatnonzero(number == 1)
        at = two, rivals[two].argmax(axis=1)
        off = np.maximum(gaps.below[at], gaps.above[at])
        straight = off < np.abs(gaps.gap_a[at]) * h_a + np.abs(gaps.gap_b[at]) * h_b
        two, rival = at = at[0][straight], at[1][straight]
        steps = np.arange(size) - (size - 1) / 2
        gap, along_a, along_b, below, above = (
            values[at][:, None, None]
            for values in (gaps.gap, gaps.gap_a, gaps.gap_b, gaps.below, gaps.above)
        )
        gap = gap + along_b * (h_b * steps)[:, None] + along_a * (h_a * steps)
        blocks[row[two], column[two]] = np.where(
            gap > 0, gaps.top[two, None, None], rival[:, None, None]
        )
        box, i, j = np.nonzero(~((gap > below) | (gap < -above)))
        doubtful.append((row[two][box] * size + i, column[two][box] * size + j))

        # Each other box becomes four.
        divided = ~certain
        divided[two] = False
        row = (2 * row[divided, None] + [0, 0, 1, 1]).ravel()
        column = (2 * column[divided, None] + [0, 1, 0, 1]).ravel()
        size //= 2
        inside = (row < -(-n // size)) & (column < -(-n // size))
        row, column = row[inside], column[inside]
    doubtful.append((row, column))
    row, column = (np.concatenate(k) for k in zip(*doubtful, strict=True))
    inside = (row < n) & (column < n)
    row, column = row[inside], column[inside]
    painted[row, column] = network.labels(a_min + h_a * (column + 0.5), b_min + h_b * (row + 0.5))
    return painted[:n, :n].copy(), evaluated + len(row)
