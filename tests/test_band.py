"""The law of the band against a simulation and its ends; the curve of its width by hand."""

import itertools

import pandas as pd
import pytest
import torch

from baq import band, local
from baq.band import boundary_band


@pytest.mark.parametrize("scale", [0.01, 0.05, 0.2])
@pytest.mark.parametrize("share", [0.1, 0.2, 0.4])
def test_the_law_meets_a_simulation(scale, share):
    generator = torch.Generator().manual_seed(0)
    margin = torch.rand(400_000, generator=generator).double()
    error = scale * torch.randn(len(margin), generator=generator).double()
    flip = margin + error < 0
    measured = float(flip[boundary_band(margin, share)].double().mean())
    assert band.band_flip_law(float(flip.double().mean()), share) == pytest.approx(
        measured, abs=3e-3
    )


def test_the_law_at_its_ends():
    assert band.band_flip_law(0.0) == 0
    # Few flips all lie in the band; all points are the band of share 1.
    assert band.band_flip_law(0.001, 0.2) == pytest.approx(0.005)
    assert band.band_flip_law(0.01, 1.0) == pytest.approx(0.01)
    rates = [band.band_flip_law(k / 100, 0.2) for k in range(51)]
    assert all(a < b for a, b in itertools.pairwise(rates))
    assert rates[-1] < 0.5


@pytest.mark.parametrize("rate", [-0.1, 0.6, float("nan"), "0.1", True])
def test_the_law_names_bad_rates(rate):
    with pytest.raises(ValueError, match=rf"flip_rate is {rate!r}: allowed is 0 to 0\.5"):
        band.band_flip_law(rate, 0.2)


@pytest.mark.parametrize("share", [0, 1.5, float("nan"), "0.2", True])
def test_the_law_names_bad_shares(share):
    with pytest.raises(ValueError, match=f"share is {share!r}: allowed is above 0 and up to 1"):
        band.band_flip_law(0.1, share)


def test_band_curve_by_hand():
    margin = torch.tensor([0.4, 0.1, 0.3, 0.2])
    flip = torch.tensor([False, True, False, True])
    assert band.band_curve(margin, flip, [0.25, 0.5, 0.75, 1.0]) == pytest.approx(
        [1, 1, 2 / 3, 0.5]
    )
    with pytest.raises(ValueError, match="allowed are equal ones"):
        band.band_curve(margin, flip[:2], [0.5])


def test_bands_of_several_widths_stand_beside_the_law():
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(500, 4, generator=generator).double()
    z_q = z + 0.3 * torch.randn(500, 4, generator=generator)
    table = band.band_by_share(z, z_q, [0.1, 0.4, 1.0])
    flip = z.argmax(1) != z_q.argmax(1)
    order = local.margins(z).argsort()
    for row in table.itertuples():
        lowest = order[: round(row.share * 500)]
        assert row.band_flip_rate == pytest.approx(float(flip[lowest].double().mean()))
        assert row.law == pytest.approx(band.band_flip_law(float(flip.double().mean()), row.share))
    # More flips than the law can have.
    assert band.band_by_share(z, -z, [0.2])["law"].item() == band.band_flip_law(0.5, 0.2)


def test_errors_of_the_law_by_flip_rate():
    rates = [0.0, 0.005, 0.01, 0.02, 0.05, 0.4]
    exact = [band.band_flip_law(rate, 0.2) for rate in rates]
    table = pd.DataFrame({"flip_rate": rates, "band_flip_rate": exact})
    found = band.law_errors(table, 0.2)
    assert found[["above", "up_to", "networks"]].to_numpy().tolist() == [
        [0, 0.01, 2],
        [0.01, 0.03, 1],
        [0.03, 0.05, 1],
        [0.3, 1, 1],
    ]
    assert found["off"].tolist() == pytest.approx([0] * 4)
    table["band_flip_rate"] *= 1.1
    assert band.law_errors(table, 0.2)["off"].tolist() == pytest.approx([0.1] * 4)
    with pytest.raises(ValueError, match="no column 'band_flip_rate': allowed are flip_rate"):
        band.law_errors(table[["flip_rate"]])


def test_flips_are_true_or_false():
    with pytest.raises(ValueError, match="flips hold 2: allowed are True and False"):
        band.band_curve(torch.rand(4), torch.tensor([0, 2, 1, 1]), [0.5])
