"""The Gaussian slab: its covariance, and how well shifts of images can be known at best."""

from __future__ import annotations

import numpy as np
import pytest

from tomoset.align.images import bound
from tomoset.align.images.bound import SlabViews, Spectra


def slab_of(angles: np.ndarray, thickness: float, x_tilt: float = 0.0) -> SlabViews:
    """Tilted about y, after a turn about x."""
    t, x = np.deg2rad(angles), np.deg2rad(x_tilt)
    o, i = np.zeros_like(t), np.ones_like(t)
    tilted = np.moveaxis(np.array([[np.cos(t), o, np.sin(t)], [o, i, o]]), 2, 0)
    about_x = np.array([[1, 0, 0], [0, np.cos(x), -np.sin(x)], [0, np.sin(x), np.cos(x)]])
    return SlabViews.seen_by(tilted @ about_x, thickness)


def flat(n: int, snr: float) -> Spectra:
    return Spectra(frequencies=np.array([0.0, 0.5]), signal=np.full((n, 2), snr), noise=np.ones(n))


def test_the_covariance_is_that_of_points_in_a_slab() -> None:
    """Images of points are summed up wave by wave, by their own projections."""
    rng = np.random.default_rng(1)
    angles, thickness = np.array([-50.0, 0.0, 20.0, 35.0]), 30.0
    slab = slab_of(angles, thickness, x_tilt=15.0)
    plane = np.array([[0.03, 0.02], [0.06, -0.05]])
    # All positions along x and y are as likely: only depth is left to chance.
    depth = rng.uniform(-thickness / 2, thickness / 2, 200_000)
    images = slab.frequencies(plane)
    along_z = np.einsum("nij,nj->ni", slab.maps, slab.slopes)
    phase = np.einsum("mni,ni->mn", images, along_z)
    waves = np.exp(-2j * np.pi * phase[..., None] * depth)
    found = np.einsum("mip,mjp->mij", waves, waves.conj()) / len(depth)
    expected = bound.covariance(slab, plane, np.ones((2, 4)), np.zeros(4))
    np.testing.assert_allclose(found, expected, atol=0.01)
    assert np.abs(expected[:, 0, 1]).max() < 0.6  # something is left to be tested


def test_information_is_the_curvature_of_the_expected_likelihood() -> None:
    slab, plane = slab_of(np.array([-40.0, -10.0, 5.0, 30.0]), 12.0, 5.0), np.array([[0.1, 0.07]])
    rng = np.random.default_rng(2)
    noise = rng.uniform(0.5, 1, 4)
    true = bound.covariance(slab, plane, rng.uniform(0.5, 2, (1, 4)), noise)[0]

    def expected(shifts: np.ndarray) -> float:
        turned = np.exp(-2j * np.pi * (shifts.reshape(4, 2) @ plane[0]))
        moved = turned[:, None] * true * turned.conj()
        return -float(np.trace(np.linalg.solve(moved, true)).real)

    step = 1e-3
    found = np.zeros((8, 8))
    for i in range(8):
        for j in range(8):
            a, b = step * np.eye(8)[i], step * np.eye(8)[j]
            differences = expected(a + b) - expected(a - b) - expected(b - a) + expected(-a - b)
            found[i, j] = -differences / (4 * step**2)
    information = bound.shift_information(true[None], plane)
    np.testing.assert_allclose(found, information, atol=2e-4 * np.abs(information).max())


def maximum_likelihood(
    data: np.ndarray, plane: np.ndarray, inverse: np.ndarray, step: np.ndarray
) -> np.ndarray:
    """Shifts by Fisher scoring from 0; `step` is the inverse information, without moves: (n, 2)."""
    shifts = np.zeros((data.shape[1], 2))
    for _ in range(6):
        turned = data * np.exp(2j * np.pi * plane @ shifts.T)
        slope = (turned.conj() * np.einsum("kij,kj->ki", inverse, turned)).imag
        gradient = -4 * np.pi * slope.T @ plane
        shifts = shifts + (step @ gradient.ravel()).reshape(-1, 2)
    return shifts


def test_maximum_likelihood_reaches_the_bound() -> None:
    """In a toy of 24 x 24 frequencies and 7 images whose shifts in the plane are asked for."""
    angles, thickness, n = np.linspace(-45, 45, 7), 10.0, 7
    slab = slab_of(angles, thickness)
    grid = (np.arange(24) - 11.5) / 48
    plane = np.stack(np.meshgrid(grid[12:], grid), axis=-1).reshape(-1, 2)
    covariances = bound.covariance(slab, plane, np.full((len(plane), n), 0.7), np.ones(n))
    information = bound.shift_information(covariances, plane)
    in_plane = SlabViews(
        maps=np.tile(np.eye(2), (n, 1, 1)), slopes=slab.slopes, thickness=thickness
    )
    covariance = bound.shift_covariance(in_plane, information)
    assert covariance is not None
    root, inverse = np.linalg.cholesky(covariances), np.linalg.inv(covariances)
    rng, found = np.random.default_rng(3), []
    for _ in range(300):
        chance = rng.standard_normal((2, len(plane), n)) / np.sqrt(2)
        data = np.einsum("kij,kj->ki", root, chance[0] + 1j * chance[1])
        found.append(maximum_likelihood(data, plane, inverse, covariance))
    expected = np.sqrt(np.diag(covariance)).reshape(n, 2)
    assert expected.max() < 0.5
    ratio = np.array(found).std(axis=0) / expected
    np.testing.assert_allclose(np.sqrt(np.square(ratio).mean(axis=0)), 1.0, atol=0.06)
    np.testing.assert_allclose(ratio, 1.0, atol=0.2)


def test_the_bound_is_between_known_figures() -> None:
    """Published for 512 x 512 x 61 at 10 Å and 180 nm: 0.131 and 0.060 px in the plane, SNR 0.03.

    In the image it is less across the axis, by the cosine of the tilt.
    """
    angles = np.linspace(-60, 60, 61)
    across, along = np.median(bound.shift_bound(slab_of(angles, 18.0), flat(61, 0.03), 512**2), 0)
    assert along == pytest.approx(0.060, rel=0.03)
    assert 0.06 < across < 0.131


def test_the_bound_follows_area_and_turned_cameras() -> None:
    angles = np.linspace(-50, 50, 11)
    slab = slab_of(angles, 15.0, 3.0)
    one = bound.shift_bound(slab, flat(11, 0.2), 1e4)
    four = bound.shift_bound(slab, flat(11, 0.2), 4e4)
    assert one is not None
    assert four is not None
    np.testing.assert_allclose(four, one / 2)
    turn = np.array([[np.cos(1.4), -np.sin(1.4)], [np.sin(1.4), np.cos(1.4)]])
    camera = SlabViews(maps=turn @ slab.maps, slopes=slab.slopes, thickness=15.0)
    np.testing.assert_allclose(bound.shift_bound(camera, flat(11, 0.2), 1e4), one, rtol=1e-6)


def test_images_that_tell_nothing_have_no_bound() -> None:
    slab = slab_of(np.linspace(-50, 50, 5), 15.0)
    assert bound.shift_bound(slab, flat(5, 0.0), 1e4) is None
    silent = Spectra(frequencies=np.array([0, 0.5]), signal=np.ones((5, 2)), noise=np.zeros(5))
    assert bound.shift_bound(slab, silent, 1e4) is None
    alone = flat(5, 0.1)
    alone.signal[2] = 0.0  # one image shows nothing: its shift is not known
    assert bound.shift_bound(slab, alone, 1e4) is None
