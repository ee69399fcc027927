"""The inputs that span a plane, as pictures beside its label maps."""

from __future__ import annotations

import base64
import html
import io
import math
from collections.abc import Sequence

import numpy as np
from IPython.display import HTML
from PIL import Image
from torch import Tensor

from baq.slices.planes import Plane

__all__ = ["image_address", "pictures", "spanning"]


def spanning(plane: Plane, x: Tensor) -> list[int]:
    """The rows of inputs (N, *) that lie in a plane, such as the three of ``plane_through``.

    Example:
        >>> import torch
        >>> from baq.slices.planes import plane_through
        >>> x = torch.eye(5)
        >>> spanning(plane_through(x[[3, 0, 4]]), x)
        [0, 3, 4]
    """
    off = (x.to(plane.origin) - plane.inputs(plane.project(x))).flatten(1).norm(dim=1)
    size = max(abs(end) for end in plane.extent)
    return (off <= 1e-4 * size).nonzero()[:, 0].tolist()


def pictures(x: Tensor, names: Sequence[str], title: str) -> HTML:
    """Inputs as pictures in a row, each with its name below, which is its alternative text too.

    Arguments:
        x: values from 0 to 1, (N, 3, H, W), (N, 1, H, W) or (N, H, W); or (N, d) with d a square.
        names: one for each.
        title: name of the group.

    Raises:
        ValueError: for other shapes, or another number of names than of inputs.
    """
    if len(x) != len(names):
        raise ValueError(f"{len(names)} names for {len(x)} inputs: allowed is one for each")
    shown = "".join(
        f'<span style="display:inline-block;width:5.8em;margin:0 .6em .5em 0">'
        f'<img class="photo" src="{_address(one)}" alt="{html.escape(name)}" '
        f'style="width:100%;image-rendering:pixelated"><br>{html.escape(name)}</span>'
        for one, name in zip(x, names, strict=True)
    )
    return HTML(f'<figure aria-label="{html.escape(title)}">{shown}</figure>')


def _address(x: Tensor) -> str:
    """A picture as an address that holds it."""
    side = math.isqrt(x.numel())
    if x.ndim == 1 and side**2 == x.numel():
        x = x.reshape(side, side)
    if not (x.ndim == 2 or (x.ndim == 3 and len(x) in (1, 3))):
        raise ValueError(
            f"an input has shape {tuple(x.shape)}: allowed are (3, H, W), (1, H, W), (H, W) and "
            "(d,) with d a square"
        )
    values = x.reshape(-1, *x.shape[-2:]).permute(1, 2, 0).cpu().double().numpy()
    bytes_ = np.round(255 * values.clip(0, 1)).astype(np.uint8)
    return image_address(Image.fromarray(bytes_ if bytes_.shape[2] == 3 else bytes_[:, :, 0]))


def image_address(image: Image.Image) -> str:
    """An image as the address of a WebP that holds it without loss, so that a page needs no file."""
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", lossless=True)  # three fifths of an optimized PNG
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()
