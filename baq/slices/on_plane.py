"""A classifier as a function of the two coordinates of a plane."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from baq.inference import Classifier, batch_in_cache, check_inputs, copied, evaluate
from baq.slices.planes import Plane
from baq.structure import affine_part

__all__ = ["on_plane"]


@torch.no_grad()
def on_plane(classifier: Classifier, plane: Plane) -> Callable[[Tensor], Tensor]:
    """Logits as a function of plane coordinates (N, 2).

    What a network computes up to its first nonlinearity is affine in the two coordinates. So these
    layers are evaluated at four points only, in float64; the rest are sums, of coordinates from the middle of
    the plane, so that those far from its origin keep their digits.

    Raises:
        ValueError: for a network in training mode, or one that cannot take inputs of this shape.
    """
    like = check_inputs(classifier, plane.origin[None])
    size = batch_in_cache(classifier, like)
    count = affine_part(classifier)
    if count == 0 or not isinstance(classifier, nn.Sequential):
        return lambda coordinates: torch.cat(
            [
                evaluate(classifier, check_inputs(classifier, plane.inputs(part)))
                for part in coordinates.split(size)
            ]
        )
    modules = list(classifier)
    first = copied(nn.Sequential(*modules[:count])).double().eval()
    ends = torch.tensor(plane.extent, dtype=torch.float64).reshape(2, 2)
    middle, reach = ends.mean(1), (ends[:, 1] - ends[:, 0]) / 2
    origin, u, v = (part.to(like.device).double() for part in (plane.origin, plane.u, plane.v))
    origin = origin + middle[0] * u + middle[1] * v
    found = evaluate(first, torch.stack([0 * origin, reach[0] * u, reach[1] * v, origin]))
    # In the layers' own memory order, channels last or not: the next layer is slow on any other.
    order = (0, *(1 + axis for axis in found[0].dim_order()))
    back = sorted(range(found.ndim), key=order.__getitem__)
    found = found.permute(order)
    shape, (zero, u, v, origin) = found.shape[1:], found.flatten(1)
    axes, origin = torch.stack([u - zero, v - zero]).to(like.dtype), origin.to(like.dtype)
    # The response may be larger than 16 times the input, and two of its size are held at a time.
    size = min(size, batch_in_cache(classifier, origin[None, ::8]))
    rest = nn.Sequential(*modules[count:])

    def part_of(coordinates: Tensor) -> Tensor:
        at = (coordinates.double().cpu() - middle) / reach
        response = torch.addmm(origin, at.to(axes), axes)
        return rest(response.unflatten(1, shape).permute(back))

    return lambda coordinates: torch.cat([*map(part_of, coordinates.split(size))])
