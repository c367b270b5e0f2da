"""Images on the middle plane of a specimen, their windows, and the spectra of these."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.ndimage

from tomoset import geometry
from tomoset.align.images.coherent import shares, whiten
from tomoset.align.images.plane import Plane, mapped
from tomoset.align.images.slab import Model, Slab, displaced, terms
from tomoset.align.images.windows import Seen, Windows, transformed

CENTRE = np.array([20.0, 30.0, 10.0])


def projections(*tilts: float, axis: float = 0.0) -> np.ndarray:
    made = geometry.rotation_z(axis) @ geometry.rotation_y(np.array(tilts))
    made = made @ geometry.translation(-CENTRE)
    made[:, :2, 3] += [24.0, 16.0]
    return np.asarray(made)


def test_a_plane_is_seen_as_written_by_hand() -> None:
    made = projections(0.0, 60.0, -60.0)
    linear, offset = Plane(centre=CENTRE).maps(made)
    np.testing.assert_allclose(linear[0], np.eye(2), atol=1e-12)
    np.testing.assert_allclose(linear[1], [[0.5, 0], [0, 1]], atol=1e-12)
    np.testing.assert_allclose(offset, [[24.0, 16.0]] * 3, atol=1e-12)
    # x' = x cos + z sin: what lies 1 above looks as if displaced by tan along x.
    parallax = Plane(centre=CENTRE).parallax(made)
    np.testing.assert_allclose(parallax, [[0, 0], [np.sqrt(3), 0], [-np.sqrt(3), 0]], atol=1e-12)
    # Waves along x are half as long where the plane is seen at 60 degrees.
    k = np.array([[0.1, 0.0], [0.0, 0.1], [0.03, 0.04]])
    seen = Plane(centre=CENTRE).image_frequencies(made, k)
    np.testing.assert_allclose(seen[0], [0.1, 0.1, 0.05])
    np.testing.assert_allclose(seen[1], [0.2, 0.1, np.hypot(0.06, 0.04)])
    # A plane that rises by 0.1 with x is 0.5 + 0.1 sin(60) wide in an image.
    risen, _ = Plane(centre=CENTRE, slope=(0.1, 0.0)).maps(made)
    np.testing.assert_allclose(risen[1:, 0, 0], [0.5 + 0.05 * np.sqrt(3), 0.5 - 0.05 * np.sqrt(3)])


@pytest.mark.parametrize("slope", [(0.0, 0.0), (0.2, -0.1)])
def test_what_lies_above_a_plane_is_displaced_by_the_parallax(slope: tuple[float, float]) -> None:
    plane = Plane(centre=CENTRE, slope=slope)
    made = projections(-40.0, 3.0, 55.0, axis=80.0) @ geometry.rotation_x(4.0)
    at = np.random.default_rng(1).uniform(-9, 9, (6, 2))
    points = plane.points(at)
    np.testing.assert_allclose(points[:, 2] - CENTRE[2], at @ slope, atol=1e-12)
    linear, offset = plane.maps(made)
    for height in (0.0, 1.0, -7.0):
        shown = geometry.apply(made, points + [0, 0, height])[..., :2]
        there = at + height * plane.parallax(made)[:, None]
        expected = np.einsum("nab,nmb->nma", linear, there) + offset[:, None]
        np.testing.assert_allclose(shown, expected, atol=1e-9)


def test_an_image_on_the_plane_shows_what_it_shows_there() -> None:
    plane, shape = Plane(centre=CENTRE, slope=(0.1, 0.05)), (50, 62)
    made = projections(-50.0, 10.0, 40.0, axis=20.0)
    y, x = np.mgrid[:33, :49].astype(float)

    def smooth(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return 1.5 + np.sin(0.3 * x + 0.1 * y) * np.cos(0.25 * y - 0.5)

    images = np.stack([scipy.ndimage.spline_filter(smooth(x, y), 3, output=np.float32)] * 3)
    valid = np.ones_like(images)
    valid[1, :, :20] = 0
    flat, weights = mapped(images, valid, plane.maps(made), shape, 2)
    assert flat.shape == weights.shape == (3, *shape)
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    at = np.stack([columns - 30.5, rows - 24.5], axis=-1)
    for i in range(3):
        pixel = geometry.apply(made[i : i + 1], plane.points(at).reshape(-1, 3))[0, :, :2]
        px, py = pixel.T.reshape(2, *shape)
        inside = np.minimum(np.minimum(px, 48 - px), np.minimum(py, 32 - py))
        well = inside > 3
        assert well.sum() > 400
        if i == 1:
            # Behind the mask there is nothing, and beside it, all.
            assert not weights[i][px < 18].any()
            assert not flat[i][px < 18].any()
            well &= px > 21
        np.testing.assert_allclose(flat[i][well], smooth(px, py)[well], atol=3e-3)
        assert not weights[i][inside < 0].any()
        assert not flat[i][inside < 0].any()
        # It fades out over a 40th of its size, 33 px, from 1 px within its edge.
        fade = np.clip((inside - 1) / (33 / 40), 0, 1)
        beside = px > 21 if i == 1 else np.ones(shape, bool)
        np.testing.assert_allclose(weights[i][beside], fade[beside], atol=1e-5)


@pytest.mark.parametrize("shape", [(64, 64), (96, 64), (100, 147), (40, 200)])
@pytest.mark.parametrize("size", [32, 64])
def test_windows_cover_the_plane_and_overlap_by_half(shape: tuple[int, int], size: int) -> None:
    windows = Windows.over(shape, size)
    assert windows.size == min(size, *shape)
    covered = np.zeros(shape, int)
    for row, column in windows.first:
        part = covered[row : row + windows.size, column : column + windows.size]
        assert part.shape == (windows.size, windows.size)
        part += 1
    assert covered.min() >= 1
    for axis in (0, 1):
        steps = np.diff(np.unique(windows.first[:, axis]))
        assert (steps <= 0.6 * windows.size).all()
    # All together about the middle of the plane.
    np.testing.assert_allclose(windows.middles.mean(axis=0), 0, atol=0.5)
    at = windows.middles[0] + (np.array(shape)[::-1] - 1) / 2
    np.testing.assert_allclose(at, (windows.size - 1) / 2)


def test_the_taper_is_hanns_about_the_middle() -> None:
    taper = Windows.over((32, 32), 32).taper
    np.testing.assert_allclose(taper, taper[::-1, ::-1], atol=1e-6)
    line = 0.5 - 0.5 * np.cos(2 * np.pi * (np.arange(32) + 0.5) / 32)
    np.testing.assert_allclose(taper, np.outer(line, line), atol=1e-6)


def test_frequencies_are_those_of_half_the_plane_each_once() -> None:
    windows = Windows.over((16, 16), 16)
    (row, column), k = windows.frequencies(0.7)
    here = {(int(a), int(b)) for a, b in np.rint(k * 16)}
    opposite = {(-a, -b) for a, b in here}
    assert len(here) == len(k)
    assert not here & opposite
    every = {(a, b) for a in range(-7, 8) for b in range(-7, 8)} - {(0, 0)}
    assert here | opposite == every
    np.testing.assert_allclose(np.fft.rfftfreq(16)[column], k[:, 0])
    np.testing.assert_allclose(np.fft.fftfreq(16)[row], k[:, 1])
    _, fewer = windows.frequencies(0.25)
    assert np.hypot(*fewer.T).max() <= 0.25
    assert len(fewer) == sum(np.hypot(*p) <= 4 for p in here)


def test_spectra_are_numpys_and_noise_has_the_power_1() -> None:
    rng = np.random.default_rng(4)
    images = rng.normal(3.0, 1.0, (6, 48, 64)).astype(np.float32)
    weights = np.ones_like(images)
    weights[1, :, :30] = 0
    weights[2, :, :6] = 0
    windows = Windows.over((48, 64), 32)
    seen = transformed(images, weights, windows, 0.4, 2)
    for w, (row, column) in enumerate(windows.first):
        part = slice(row, row + 32), slice(column, column + 32)
        taper = windows.taper * weights[2][part]
        image = images[2][part]
        full = np.fft.fft2((image - np.average(image, weights=taper)) * taper)
        at = np.rint(seen.k * 32).astype(int)
        expected = full[at[:, 1], at[:, 0]] / np.sqrt((taper**2).sum())
        np.testing.assert_allclose(seen.spectra[w, 2], expected, atol=1e-4)
    # An image that shows little of a window is left out there.
    left = windows.first[:, 1] == 0
    assert not seen.used[left, 1].any()
    assert seen.used[windows.first[:, 1] == 32, 1].all()
    assert not seen.spectra[left, 1].any()
    assert seen.used[:, [0, 2, 3, 4, 5]].all()
    assert np.mean(np.abs(seen.spectra[seen.used]) ** 2) == pytest.approx(1, abs=0.05)


def test_independent_frequencies_are_as_many_as_the_power_scatters() -> None:
    windows = Windows.over((32, 32), 32)
    noise = np.random.default_rng(5).normal(size=(4000, 32, 32)) * windows.taper
    power = (noise**2).sum(axis=(1, 2))
    # Of N independent real numbers the mean square scatters by 2 / N.
    number = 2 / (power.std() / power.mean()) ** 2
    assert windows.independent * 32**2 == pytest.approx(number, rel=0.08)


def spectra_of_a_slab(
    share: float | np.ndarray, slab: Slab, seed: int
) -> tuple[Seen, np.ndarray, np.ndarray]:
    """Windows of images of which the specimen has a share of the power; frequencies, parallax.

    One share for all 25 windows, or those of each.
    """
    rng = np.random.default_rng(seed)
    windows = Windows.over((96, 96), 32)
    _, k = windows.frequencies(0.25)
    parallax = np.column_stack([np.tan(np.deg2rad(np.arange(-40, 41, 4.0))), np.zeros(21)])
    shape = (len(windows.first), len(parallax), len(k))
    both = [(rng.normal(size=shape) + 1j * rng.normal(size=shape)) / np.sqrt(2) for _ in range(2)]
    common, noise = both
    for q in range(len(k)):
        alike = slab.coherence((parallax[:, None] - parallax) @ k[q])
        root = np.linalg.cholesky(alike + 1e-9 * np.eye(len(parallax)))
        common[..., q] = common[..., q] @ root.T
    share = np.broadcast_to(share, shape[0])[:, None, None]
    spectra = np.sqrt(share) * common + np.sqrt(1 - share) * noise
    # Power falls with the frequency, and is not the same in all images.
    level = np.exp(-10 * np.hypot(*k.T)) * (1 + np.arange(len(parallax)))[:, None]
    spectra = (spectra * np.sqrt(level)).astype(np.complex64)
    used = np.ones(shape[:2], bool)
    frequencies = np.tile(np.hypot(*k.T), (len(parallax), 1))
    return Seen(windows=windows, k=k, spectra=spectra, used=used), frequencies, parallax


@pytest.mark.parametrize("known", [0.08, 0.3, 0.7])
def test_whitened_images_have_the_power_1_and_the_specimen_its_share(known: float) -> None:
    slab = Slab(thickness=15.0, surface=0.1)
    seen, frequencies, parallax = spectra_of_a_slab(known, slab, 6)
    white = whiten(seen, frequencies, (0.05, 0.24))
    share = shares(white, parallax, slab, np.ones(len(seen.used)), highest=0.24)
    band = (frequencies >= 0.05) & (frequencies <= 0.24)
    np.testing.assert_array_equal(white.band, band)
    assert not white.spectra[:, ~band].any()
    assert np.mean(np.abs(white.spectra[:, band]) ** 2) == pytest.approx(1, abs=0.05)
    assert np.mean(share.coherent[band] ** 2) == pytest.approx(known, rel=0.15, abs=0.02)
    assert np.std(share.coherent[band] ** 2) < 0.12
    level = np.exp(-10 * frequencies) * (1 + np.arange(21))[:, None]
    assert np.median(white.power[band] / level[band]) == pytest.approx(1, abs=0.08)


def test_of_noise_the_specimen_has_next_to_nothing() -> None:
    slab = Slab(thickness=15.0)
    seen, frequencies, parallax = spectra_of_a_slab(0.0, slab, 7)
    white = whiten(seen, frequencies, (0.05, 0.24))
    share = shares(white, parallax, slab, np.ones(len(seen.used)), highest=0.24)
    assert np.median(share.coherent[white.band] ** 2) < 0.03


def test_a_faint_specimen_does_not_seem_to_say_more_than_it_does() -> None:
    """Power that scatters by chance is no share that scatters: images count by its square."""
    slab = Slab(thickness=15.0)
    seen, frequencies, parallax = spectra_of_a_slab(0.05, slab, 8)
    white = whiten(seen, frequencies, (0.05, 0.24))
    share = shares(white, parallax, slab, np.ones(len(seen.used)), highest=0.24)
    squares = share.coherent[white.band] ** 2
    assert np.mean(squares**2) == pytest.approx(np.mean(squares) ** 2, rel=0.3)
    model = Model(
        k=seen.k,
        parallax=parallax,
        coherent=share.coherent,
        level=share.level,
        thicker=np.ones(len(seen.used)),
        band=white.band,
        slab=slab,
        independent=white.independent,
    )
    found = terms(model, white.spectra, seen.used, informed=True, threads=1).information.sum(axis=0)
    step, told, shown = 0.02, 0.0, 0.0
    for by in np.random.default_rng(1).normal(size=(8, len(parallax), 2)):
        told += np.einsum("na,namb,mb->", by, found, by)
        for sign in (-1, 1):
            moved = displaced(white.spectra, seen.k, sign * step * by)
            there = terms(model, moved, seen.used, informed=False, threads=1)
            shown -= sign * np.einsum("wna,na->", there.gradient, by) / (2 * step)
    assert shown == pytest.approx(told, rel=0.2)


def test_windows_have_their_own_share() -> None:
    slab = Slab(thickness=15.0)
    known = np.resize([0.4, 0.05, 0.2], 25)
    seen, frequencies, parallax = spectra_of_a_slab(known, slab, 9)
    white = whiten(seen, frequencies, (0.05, 0.24))
    share = shares(white, parallax, slab, np.ones(len(known)), highest=0.24)
    usual = np.mean(share.coherent[white.band] ** 2)
    assert (np.abs(np.log2(share.level * usual / known)) < 0.8).all()
