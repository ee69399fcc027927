"""A plane through three images shows the three images, at their places."""

import base64
import io
import re

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from baq.report import maps, style
from baq.report.pictures import pictures, spanning
from baq.slices import LabelMap, plane_through, random_planes

X = torch.rand(40, 3, 4, 4, generator=torch.Generator().manual_seed(0))
Y = torch.arange(40) % 5


def pixels(html):
    found = []
    for code in re.findall(r'src="data:image/webp;base64,([^"]*)"', html):
        with Image.open(io.BytesIO(base64.b64decode(code))) as image:
            found.append(np.asarray(image))
    return found


@given(st.integers(0, 10**6))
def test_the_inputs_of_a_random_plane_are_found(seed):
    (plane,) = random_planes(X, Y, 1, seed)
    rows = spanning(plane, X)
    assert len(rows) == 3 and len(set(Y[rows].tolist())) == 3
    again = plane_through(X[rows])
    axes = torch.stack([plane.u.flatten(), plane.v.flatten()])
    others = torch.stack([again.u.flatten(), again.v.flatten()])
    torch.testing.assert_close(axes.T @ axes, others.T @ others, atol=1e-4, rtol=0)


def test_an_input_off_the_plane_is_not_among_them():
    moved = X.clone()
    plane = plane_through(X[:3])
    moved[1] += 0.01 * torch.rand(3, 4, 4, generator=torch.Generator().manual_seed(1))
    assert spanning(plane, X) == [0, 1, 2] and spanning(plane, moved) == [0, 2]


@pytest.mark.parametrize("shape", [(3, 4, 4), (1, 4, 4), (4, 4), (16,)], ids=str)
def test_pictures_hold_the_pixels(shape):
    x = torch.linspace(0, 1, 2 * int(np.prod(shape))).reshape(2, *shape)
    html = pictures(x, ["A: <one>", "B"], "Two").data
    for one, shown in zip(x, pixels(html), strict=True):
        grid = one.reshape(-1, 4, 4).permute(1, 2, 0).numpy()
        shade = np.broadcast_to(np.round(255 * grid), shown.shape)  # gray has three equal channels
        np.testing.assert_array_equal(shown, shade)
    assert 'alt="A: &lt;one&gt;"' in html and html.count('class="photo"') == 2


@pytest.mark.parametrize("shape", [(15,), (2, 4, 4), (1, 3, 4, 4)], ids=str)
def test_other_shapes_are_refused(shape):
    with pytest.raises(ValueError, match=r"an input has shape .*: allowed are \(3, H, W\)"):
        pictures(torch.zeros(1, *shape), ["A"], "One")


def test_a_name_that_is_missing_is_refused():
    with pytest.raises(ValueError, match="1 names for 2 inputs: allowed is one for each"):
        pictures(torch.zeros(2, 4, 4), ["A"], "Two")


def test_the_images_stand_at_their_places_in_every_map():
    style.use_style()
    plane = plane_through(X[:3])
    grid = LabelMap((np.arange(100).reshape(10, 10) % 3).astype(np.int16), plane, "dense", 100)
    at = plane.project(X[:3]).tolist()
    figure = maps.label_maps({"a": grid, "b": grid}, classes=3, points=at)
    for axis in figure.axes[:2]:
        drawn = {text.get_text(): text.get_position() for text in axis.texts}
        for name, place in zip("ABC", at, strict=True):
            assert drawn[name] == pytest.approx(place)
    plt.close(figure)
