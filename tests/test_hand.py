"""The hand of series whose hand is known, and the parts that find it."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.builders.hand_series import Wanted, hand_series, off
from tests.builders.image_stacks import Images
from tomoset import geometry
from tomoset.errors import ModelError
from tomoset.hand import _kernels
from tomoset.hand.field import Slab
from tomoset.hand.measure import Measured, measure, tempered
from tomoset.hand.options import HandOptions
from tomoset.hand.rings import Bands, Tiles, TileSpectra
from tomoset.hand.verdict import decide, verdict
from tomoset.images.ctf import Ctf
from tomoset.model import Optics, Tomogram

OPTIONS = HandOptions()
CTF = Ctf(
    defocus_u=30500,
    defocus_v=29500,
    defocus_angle=30,
    voltage=300,
    spherical_aberration=2.7,
    amplitude_contrast=0.1,
)


@cache
def series(wanted: Wanted = Wanted()) -> tuple[Tomogram, Images]:  # noqa: B008
    return hand_series(wanted)


def told(wanted: Wanted) -> Measured:
    return measure(*series(wanted), OPTIONS)


@pytest.mark.parametrize(
    "wanted",
    [
        Wanted(hand=1),
        Wanted(hand=-1, seed=2),
        pytest.param(Wanted(hand=-1, tilt_axis=0.0, seed=3), marks=pytest.mark.slow),
        Wanted(hand=1, tilt_axis=90.0, seed=4),
        Wanted(hand=-1, inclined=12.0, seed=5),
        pytest.param(
            Wanted(hand=1, pixel_size=2.0, defocus=45000.0, seed=6), marks=pytest.mark.slow
        ),
        pytest.param(
            Wanted(hand=-1, pixel_size=6.0, defocus=20000.0, seed=7), marks=pytest.mark.slow
        ),
        Wanted(hand=1, highest=40.0, thickness=100.0, noise=2.0, seed=8),
    ],
    ids=str,
)
def test_the_hand_of_a_series_is_found(wanted: Wanted) -> None:
    found = told(wanted)
    assert decide(found.log_odds, 0.001) == wanted.hand
    assert found.shows_rings.all()


def test_defocus_and_inclination_are_measured() -> None:
    found = told(Wanted(hand=-1, inclined=12.0, seed=5, highest=50.0))
    assert found.table is not None
    # The simulator turns the slab by 12 degrees about the axis: one way or the other in the table.
    assert abs(abs(found.inclined[0]) - 12) < 4
    away = (found.defocus - found.table) / np.hypot(found.error, 100)
    assert np.abs(found.defocus - found.table).max() < 500
    assert np.median(np.abs(away)) < 2
    assert not found.disagrees.any()


@pytest.mark.parametrize("hand", [1, -1])
@pytest.mark.parametrize("by", [-5000.0, 5000.0])
def test_a_table_that_is_off_changes_nothing(hand: int, by: float) -> None:
    tomogram, images = series(Wanted(hand=hand, seed=2))
    found = measure(off(tomogram, by), images, OPTIONS)
    assert decide(found.log_odds, 0.001) == hand
    assert found.table is not None
    assert found.disagrees.all()
    np.testing.assert_allclose(found.table - found.defocus, by, atol=700)


def test_a_table_of_another_series_is_noticed() -> None:
    tomogram, images = series(Wanted(hand=1))
    found = measure(off(tomogram, 20000.0), images, OPTIONS)
    assert decide(found.log_odds, 0.001) == 1
    assert -22000 < found.off < -18000


def test_without_a_table_the_defocus_is_measured() -> None:
    tomogram, images = series(Wanted(hand=-1, seed=2))
    bare = replace(tomogram, defocus_u=None, defocus_v=None, defocus_angle=None)
    found = measure(bare, images, OPTIONS)
    assert decide(found.log_odds, 0.001) == -1
    assert tomogram.defocus_u is not None
    np.testing.assert_allclose(found.defocus, tomogram.defocus_u, atol=1000)
    given = measure(bare, images, replace(OPTIONS, defocus=32000.0))
    assert decide(given.log_odds, 0.001) == -1


def test_excluded_tilts_and_the_hand_in_the_set_change_nothing() -> None:
    tomogram, images = series(Wanted(hand=1))
    rows = [0, 1, 4, 5, 7, 8, 9, 11]
    found = measure(tomogram.select(rows), Images(images.images[rows]), OPTIONS)
    assert decide(found.log_odds, 0.001) == 1
    # A table elsewhere than in the middle means another defocus there if the hand is another.
    middle = tomogram.with_depth_origin(np.array(tomogram.need_size()) / 2)
    one, other = (measure(replace(middle, hand=h), images, OPTIONS) for h in (1, -1))
    assert one.log_odds == other.log_odds


@pytest.mark.parametrize(
    "wanted",
    [Wanted(ctf=False), Wanted(specks=0), Wanted(ctf=False, beads=12, seed=3)],
    ids=["no CTF", "noise", "beads without CTF"],
)
def test_nothing_is_told_where_nothing_can_be(wanted: Wanted) -> None:
    found = told(wanted)
    assert decide(found.log_odds, 0.001) is None
    assert abs(found.log_odds) < 3


@pytest.mark.slow
def test_faint_rings_tell_as_much_as_they_can() -> None:
    """In the noise, odds are small; where signal is added, they grow the right way."""
    odds = [told(Wanted(hand=-1, noise=n, seed=9)).log_odds for n in (8.0, 4.0, 2.0)]
    assert odds[2] < odds[1] < -1
    assert odds[2] < -7


def test_the_other_row_of_depth_is_the_other_hand() -> None:
    tomogram, images = series(Wanted(hand=1))
    assert tomogram.projections is not None
    upside = tomogram.projections.copy()
    upside[:, 2] *= -1
    found = measure(replace(tomogram, projections=upside), images, OPTIONS)
    assert decide(found.log_odds, 0.001) == -1


@pytest.mark.parametrize("kind", ["white", "lines"])
def test_images_without_thon_rings_have_no_correlation_of_phases(kind: str) -> None:
    rng = np.random.default_rng(3)
    size = (400, 384)
    bands, tiles = Bands.of(5.4, 300.0, 15000.0), Tiles.of(size, 5.4)
    spectra = TileSpectra(size, 5.4, bands, tiles)
    found = []
    for _ in range(3):
        image = rng.standard_normal(size[::-1])
        if kind == "lines":
            image[:, 100] += 20
        found.append(spectra.corrected(image, CTF))
    values = np.concatenate([e.values for e in found])
    root = np.sqrt(found[0].number)
    assert np.abs(values.mean(axis=0) * root).max() < 0.45
    # Tiles of noise vary as their number of values says, within what neighbours share.
    ratio = (np.abs(values * root) ** 2).mean(axis=0)
    assert ratio.min() > 0.3
    assert ratio.max() < 1.9


def test_an_echo_has_the_phase_of_what_defocus_is_off() -> None:
    rng = np.random.default_rng(4)
    size, by = (400, 384), 3000.0
    from tomoset.images.ctf import frequencies

    true = replace(CTF, defocus_u=CTF.defocus_u + by, defocus_v=CTF.defocus_v + by)
    spectrum = np.fft.rfft2(rng.standard_normal(size[::-1]))
    image = np.fft.irfft2(spectrum * true.at(*frequencies(size, 5.4)), s=size[::-1])
    bands = Bands.of(5.4, 300.0, 15000.0)
    spectra = TileSpectra(size, 5.4, bands, Tiles.of(size, 5.4))
    seen = spectra.corrected(image, CTF).values.mean(axis=0)
    expected = np.exp(2j * np.pi * 0.0196876 * by * bands.middles)
    inner = slice(3, -1)  # at the ends, bands are next to nothing
    # All of the power is in rings: the amplitude is 1/2, and negative.
    assert np.abs(np.angle(-seen * expected.conj()))[inner].max() < 0.45
    assert 0.35 < np.abs(seen)[inner].mean() < 0.6


@given(st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_depths_are_those_of_the_plane(seed: int) -> None:
    rng = np.random.default_rng(seed)
    size, image_size = (200, 180, 60), (190, 170)
    angles = np.column_stack(
        [rng.normal(0, 3, 5), np.linspace(-50, 50, 5), np.full(5, rng.uniform(-180, 180))]
    )
    tomogram = Tomogram(
        name="a",
        n_tilts=5,
        optics=Optics(pixel_size=2.0),
        size=size,
        image_size=image_size,
        projections=geometry.rigid_projections(
            angles, rng.normal(0, 5, (5, 2)), size=size, image_size=image_size
        ),
        depth_origin=rng.normal(50, 20, 3),
    )
    slab = Slab.of(tomogram)
    inclined = rng.uniform(-20, 20, (3, 2))
    for k, (about, across) in enumerate(np.tan(np.deg2rad(inclined))):
        normal = slab.normal + about * slab.across + across * slab.axis
        points = slab.middle + rng.normal(0, 50, (8, 3))
        points -= normal * ((points - slab.middle) @ normal)[:, None] / (normal @ normal)
        seen = tomogram.project(points)
        for i in range(5):
            depth = slab.depths(tomogram, seen[i], inclined)[i, k]
            np.testing.assert_allclose(depth, tomogram.depth(points)[i], atol=1e-8)


def test_kernels_do_what_slow_code_does() -> None:
    rng = np.random.default_rng(5)
    table = rng.normal(0, 3, (2, 4, 30)).astype(np.float32)
    shift = rng.uniform(-3, 14, (3, 4)).astype(np.float32)
    weight = rng.uniform(0.2, 1, 4).astype(np.float32)
    sums = np.empty((2, 3, 12), np.float32)
    _kernels.shifted_sums(table, shift, weight, sums)
    places = np.arange(30.0)
    slow = np.zeros((2, 3, 12))
    for e in range(2):
        for p in range(3):
            for j in range(4):
                at = np.arange(12) + shift[p, j]
                inside = (at >= 0) & (at <= 28)
                row = np.interp(np.clip(at, 0, 28), places, table[e, j])
                slow[e, p] += weight[j] * np.where(inside, row, np.nan)
    known = np.isfinite(slow)
    np.testing.assert_allclose(sums[known], slow[known], rtol=1e-4, atol=1e-4)

    energy, amplitudes = np.array([2.0, 30.0]), np.array([0.01, 0.3, 2.0])
    out = np.empty((3, 3, 12))
    _kernels.marginal_over_envelopes(sums, energy, amplitudes, out)
    a = np.linspace(0, 12, 200001)
    for k, s in enumerate(amplitudes):
        prior = np.exp(-0.5 * (a / s) ** 2)
        prior /= prior.sum()
        x = sums[:, 1, 5].astype(float)
        direct = [(prior * np.exp(a * xe - a**2 * ye / 2)).sum() for xe, ye in zip(x, energy)]  # noqa: B905
        np.testing.assert_allclose(out[1, k, 5], np.log(np.mean(direct)), rtol=1e-3, atol=1e-4)

    prior = rng.uniform(0, 1, (2, 12))
    averaged = np.empty((3, 3, 2))
    _kernels.averaged(out, prior, averaged)
    np.testing.assert_allclose(averaged, np.log(np.exp(out) @ prior.T), rtol=1e-9, atol=1e-9)

    spectra = (rng.normal(size=(2, 9)) + 1j * rng.normal(size=(2, 9))).astype(np.complex64)
    at, mirrored, cell = np.array([0, 1, 2]), np.array([5, 4, 8]), np.array([0, 1, 1])
    sums2 = np.zeros((2, 2), np.complex64)
    power, squares = np.zeros((2, 2), np.float32), np.zeros((2, 2), np.float32)
    _kernels.tile_sums(spectra, (at, mirrored, cell), (sums2, power, squares))
    product = spectra[:, at] * spectra[:, mirrored]
    np.testing.assert_allclose(sums2[:, 1], product[:, 1:].sum(axis=1), rtol=1e-5)
    np.testing.assert_allclose(squares[:, 1], (np.abs(product[:, 1:]) ** 2).sum(axis=1), rtol=1e-5)
    both = np.abs(spectra[:, at]) ** 2 + np.abs(spectra[:, mirrored]) ** 2
    np.testing.assert_allclose(power[:, 0], both[:, 0] / 2, rtol=1e-5)
    power[:] = 0
    _kernels.power_sums(spectra, at, cell, power)
    expected = (np.abs(spectra[:, at]) ** 2)[:, 1:].sum(axis=1)
    np.testing.assert_allclose(power[:, 1], expected, rtol=1e-5)


@given(st.floats(-50, 50), st.floats(0.01, 100))
def test_tempering_only_lowers_the_odds(log_odds: float, spread: float) -> None:
    less = tempered(log_odds, spread)
    assert less * log_odds >= 0
    assert abs(less) <= abs(log_odds)
    assert tempered(-log_odds, spread) == -less


@given(st.lists(st.floats(-40, 40), min_size=1, max_size=8))
def test_a_set_says_what_its_mirror_image_does_not(odds: list[float]) -> None:
    names = [f"TS_{i}" for i in range(len(odds))]
    one = verdict(dict(zip(names, odds, strict=True)), 0.001)
    other = verdict(dict(zip(names, [-o for o in odds], strict=True)), 0.001)
    assert one.log_odds == pytest.approx(-other.log_odds, abs=1e-9)
    assert abs(one.log_odds) <= sum(map(abs, odds)) + 1e-9
    if one.hand is not None:
        assert other.hand == -one.hand


def test_what_cannot_tell_is_refused() -> None:
    tomogram, images = series(Wanted(hand=1))
    assert tomogram.projections is not None

    def refused(match: str, changed: Tomogram, stack: Images = images) -> None:
        with pytest.raises(ModelError, match=match):
            measure(changed, stack, OPTIONS)

    refused("1 tilt image is within", tomogram.select([6]), Images(images.images[[6]]))
    alike = replace(tomogram, projections=np.repeat(tomogram.projections[:1], 13, axis=0))
    refused("the hand shows only where tilts differ", alike)
    coarse = replace(tomogram, optics=replace(tomogram.optics, pixel_size=30.0))
    refused("too coarse to show a Thon ring", coarse)
    refused("no projections", replace(tomogram, projections=None))
    refused("no size", replace(tomogram, size=None))
    unknown = replace(tomogram, optics=replace(tomogram.optics, pixel_size=None))
    refused("does not say the pixel size", unknown)
    bare = replace(tomogram, defocus_u=None, defocus_v=None)
    noise = np.random.default_rng(1).standard_normal(images.images.shape, np.float32)
    refused("no Thon rings by which to measure it", bare, Images(noise))
    small = np.ascontiguousarray(images.images[:, :40, :40])
    refused("too small", replace(tomogram, image_size=(40, 40)), Images(small))
    with pytest.raises(ModelError, match="below"):
        HandOptions(error_rate=0.7)
    with pytest.raises(ModelError, match="between"):
        HandOptions(defocus=3.0)


def test_blank_images_say_nothing() -> None:
    tomogram, images = series(Wanted(hand=1))
    stack = images.images.copy()
    stack[[2, 8]] = 7.0
    found = measure(tomogram, Images(stack), OPTIONS)
    assert decide(found.log_odds, 0.001) == 1
    assert np.abs(found.by_tilt[[2, 8]]).max() < 0.5


def test_what_is_found_is_the_same_wherever_a_table_has_its_defocus() -> None:
    tomogram, images = series(Wanted(hand=1))
    size = np.array(tomogram.need_size())
    ways = [tomogram.with_depth_origin(at) for at in (size / 2 - 1, size / 2)]
    first, *others = (measure(t, images, OPTIONS) for t in ways)
    assert first.log_odds == tempered(first.log_odds_raw, first.spread)
    for t, found in zip(ways[1:], others, strict=True):
        assert found.log_odds == pytest.approx(first.log_odds, abs=1e-6)
        assert found.table is not None
        assert t.defocus_u is not None
        np.testing.assert_allclose(found.table, (t.defocus_u + t.defocus_v) / 2, atol=1e-6)
        np.testing.assert_allclose(
            found.defocus - found.table, first.defocus - first.table, atol=0.1
        )


def test_a_set_of_one_series_has_its_odds() -> None:
    assert verdict({"a": -52.0}, 0.001).log_odds == -52.0
    both = verdict({"a": -52.0, "b": -52.0}, 0.001)
    assert both.log_odds == pytest.approx(-15.2, abs=0.01)
    assert both.odds == {"a": -52.0, "b": -52.0}
