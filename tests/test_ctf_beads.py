"""Beads, and what sees no electrons, are taken out of images whose rings are looked for."""

from __future__ import annotations

import numpy as np
import pytest

from tomoset.ctf.beads import cleared
from tomoset.hand.rings import Tiles


def test_beads_are_found_in_coarse_pixels_as_in_all() -> None:
    from scipy.ndimage import gaussian_filter

    rng = np.random.default_rng(5)
    y, x = np.indices((401, 430))
    away = np.hypot(x - 200, y - 150)
    image = (rng.normal(100, 10, away.shape) - 40 * (away < 30)).astype(np.float32)
    found = cleared(image, 1.6)[0]

    width, middle = 12 / 1.6, np.median(image)
    off = np.abs(gaussian_filter(image - middle, width, mode="constant", truncate=3.0))
    far = (off > 5 * 1.4826 * np.median(off)).astype(np.float32)
    share = np.clip(8 * gaussian_filter(far, width, mode="constant", truncate=3.0), 0, 1)
    assert (np.abs(found - image) < 0.5)[away > 85].all()
    inside = share == 1
    assert abs(found[inside].mean() - 100) < 1
    assert abs(found[inside].std() - 10) < 1
    # Noise is new wherever half or more is to be taken out, and the same where nothing is.
    assert (found != image)[share > 0.5].all()


def test_faint_beads_are_taken_out_where_most_of_the_field_is_near_one() -> None:
    rng = np.random.default_rng(6)
    image = rng.normal(100, 10, (480, 512)).astype(np.float32)
    y, x = np.indices(image.shape)
    places = [(v, u) for v in range(60, 480, 120) for u in range(60, 512, 125)]
    away = np.min([np.hypot(x - u, y - v) for v, u in places], axis=0)
    assert (away < 50).mean() > 0.5
    found, left = cleared(image - 6 * (away < 32), 1.6)
    inside = np.array([found[np.hypot(x - u, y - v) < 32].mean() for v, u in places])
    assert (np.abs(inside - 100) < 1).mean() > 0.9
    assert abs(found.std() - 10) < 0.5  # with noise in their place
    corners = np.array([(u - 15, v - 15) for v, u in places] + [(108, 105), (98, 60)])
    part = left.part(Tiles(30, corners))
    assert np.median(part[:-2]) == 0
    assert part[-2] > 0.9
    assert 0.2 < part[-1] < 0.9
    assert (np.abs(found - image)[away > 65] < 0.5).mean() > 0.95


def test_beads_are_taken_out_and_the_rest_stays() -> None:
    rng = np.random.default_rng(2)
    image = rng.normal(100, 10, (200, 240)).astype(np.float32)
    np.testing.assert_array_equal(cleared(image, 4.0)[0], image)
    y, x = np.indices(image.shape)
    bead = np.hypot(x - 60, y - 90) < 12
    found = cleared(image - 40 * bead, 4.0)[0]
    assert abs(found[bead].mean() - 100) < 2
    far = np.hypot(x - 60, y - 90) > 36
    np.testing.assert_allclose(found[far], image[far], atol=1e-4)


def test_what_sees_no_electrons_is_taken_out_however_much_it_is() -> None:
    rng = np.random.default_rng(9)
    image = rng.normal(50, 10, (480, 512)).astype(np.float32)
    for rows in (150, 240, 330):
        blocked = image.copy()
        blocked[:rows] = rng.normal(1, 1, (rows, 512))
        found, left = cleared(blocked, 3.0)
        part = left.part(Tiles(60, np.array([[200, rows - 130], [200, 419]])))
        np.testing.assert_allclose(part, [0, 1], atol=0.02)
        np.testing.assert_array_equal(found[rows + 50 :], image[rows + 50 :])
        assert abs(found[: rows - 50].mean() - 50) < 1
        assert abs(found[: rows - 50].std() - 10) < 1.5


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (7, 200), (40, 40)])
@pytest.mark.parametrize("value", [0.0, np.nan, np.inf, 3e38])
def test_images_that_show_nothing_stay(shape: tuple[int, int], value: float) -> None:
    image = np.zeros(shape, np.float32)
    image[0, ::2] = value
    np.testing.assert_array_equal(cleared(image, 2.0)[0], image)


def test_images_without_noise_are_none_to_fail_by() -> None:
    image = np.full((47, 65), 2.0, np.float32)
    image[0] = 1
    assert np.isfinite(cleared(image, 2.0)[0]).all()
