"""Tilt images made ready: what shows nothing is set aside, and what is fixed in the camera."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.ndimage

from tests.builders.slab_images import Stack
from tomoset.align.images.prepare import Prepared, prepare, undeformed, without_fixed
from tomoset.model import Deformation

N, EDGE = 15, 96
TILTS = np.linspace(-56.0, 56.0, N)


def counts(seed: int = 1, mean: float = 40.0) -> np.ndarray:
    """Images of electrons, with some smooth structure that differs from image to image."""
    rng = np.random.default_rng(seed)
    structure = scipy.ndimage.gaussian_filter(rng.normal(size=(N, EDGE, EDGE)), (0, 2, 2))
    structure *= 0.1 / structure.std()
    return rng.poisson(mean * np.exp(structure)).astype(np.float32)


def made(images: np.ndarray, pixel_size: float = 10.0) -> Prepared:
    return prepare(Stack(images), pixel_size, 2)


def test_good_images_are_contrast_and_all_are_used() -> None:
    images = counts()
    ready = made(images)
    assert not ready.unused
    np.testing.assert_array_equal(ready.used, np.arange(N))
    assert ready.binning == 1.0
    assert ready.valid.min() == 1
    assert np.abs(ready.images.mean(axis=(1, 2))).max() < 0.02
    expected = images / images.mean(axis=(1, 2), keepdims=True) - 1
    for image, other in zip(ready.images, expected, strict=True):
        assert np.corrcoef(image.ravel(), other.ravel())[0, 1] > 0.98


def test_images_are_binned_to_the_working_pixel() -> None:
    images = scipy.ndimage.zoom(counts(), (1, 2, 2), order=1)
    ready = made(images, 5.0)
    assert ready.binning == 2.0
    assert ready.images.shape == (N, EDGE, EDGE)
    assert made(images, 20.0).binning == 1.0


@pytest.mark.parametrize("shown", [0.05, 0.2])
def test_a_dark_image_is_set_aside(shown: float) -> None:
    images = counts()
    images[6] = np.random.default_rng(1).poisson(40 * shown, (EDGE, EDGE))
    assert made(images).unused == {6: "dark"}


@pytest.mark.parametrize("value", [0.0, 37.0, -3.0])
def test_an_image_of_one_value_is_blank(value: float) -> None:
    images = counts()
    images[0] = value
    ready = made(images)
    assert dict(ready.unused) == {0: "blank"}
    assert 0 not in ready.used


@pytest.mark.parametrize("hidden", [0.68, 0.72, 0.8, 0.9])
def test_an_image_that_is_blocked_by_the_holder_is_set_aside(hidden: float) -> None:
    images = counts()
    images[14, :, : round(hidden * EDGE)] *= 0.02
    ready = made(images)
    assert list(ready.unused) == [14]
    assert ready.unused[14] in ("blocked", "dark")


def test_a_part_that_is_dark_is_hidden_and_the_rest_is_used() -> None:
    images = counts()
    for edge in (30, 55):
        images[:, :, :edge] = 0.03 * counts()[:, :, :edge]
        ready = made(images)
        assert not ready.unused
        assert not ready.valid[:, :, : edge - 2].any()
        assert ready.valid[:, 5:-5, edge + 6 :].all()
        assert not ready.images[:, :, : edge - 2].any()


def test_a_gradient_is_taken_out() -> None:
    y, x = np.mgrid[-1 : 1 : EDGE * 1j, -1 : 1 : EDGE * 1j]
    images = counts() * (1 + 0.4 * x - 0.2 * y + 0.15 * x * x).astype(np.float32)
    ready = made(images)
    assert not ready.unused
    mean = ready.images.mean(axis=0)
    for rows in (slice(16), slice(-16, None)):
        for columns in (slice(16), slice(-16, None)):
            assert abs(mean[rows, columns].mean()) < 0.02


def test_hot_pixels_count_no_more_than_others() -> None:
    images = counts()
    plain = made(images).images
    rng = np.random.default_rng(2)
    hot = images.copy()
    for image in hot:
        image[rng.integers(0, EDGE, 8), rng.integers(0, EDGE, 8)] = 1e5
    found = made(hot)
    assert not found.unused
    assert np.abs(found.images).max() < 12 * plain.std()
    for image, other in zip(found.images, plain, strict=True):
        assert np.corrcoef(image.ravel(), other.ravel())[0, 1] > 0.8


def test_images_that_are_no_counts_are_used_as_they_are() -> None:
    """Of mean 0, as after a filter."""
    images = counts()
    images = (images - images.mean(axis=(1, 2), keepdims=True)) / images.std()
    ready = made(images)
    assert not ready.unused
    assert ready.valid.all()
    for image, other in zip(ready.images, images, strict=True):
        assert np.corrcoef(image.ravel(), other.ravel())[0, 1] > 0.98


def contrast(seed: int) -> Prepared:
    rng = np.random.default_rng(seed)
    images = rng.normal(size=(N, EDGE, EDGE)).astype(np.float32)
    valid = np.ones_like(images)
    return Prepared(images=images, valid=valid, plain=images, binning=1.0, unused={2: "dark"})


def pattern(seed: int = 5) -> np.ndarray:
    noise = scipy.ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(EDGE, EDGE)), 1)
    return np.asarray(noise / noise.std(), dtype=np.float32)


def test_what_is_fixed_in_the_camera_is_taken_out() -> None:
    plain, fixed = contrast(3), pattern()
    with_pattern = replace(plain, images=plain.images + fixed)
    found = without_fixed(with_pattern, TILTS)
    left = [float((found.images[i] * fixed).mean()) for i in found.used]
    before = [float((with_pattern.images[i] * fixed).mean()) for i in found.used]
    assert np.mean(before) == pytest.approx(1, abs=0.05)
    # Less of it where noise hides it.
    assert np.abs(np.mean(left)) < 0.35
    # What is not fixed stays, and images that are not used.
    for i in found.used:
        assert np.corrcoef(found.images[i].ravel(), plain.images[i].ravel())[0, 1] > 0.88
    np.testing.assert_array_equal(found.images[2], with_pattern.images[2])


@pytest.mark.parametrize("seed", range(6))
def test_images_without_a_pattern_stay_as_they_are(seed: int) -> None:
    plain = contrast(seed)
    found = without_fixed(plain, TILTS)
    assert np.abs(found.images - plain.images)[plain.used].std() < 0.05


def test_a_short_series_says_nothing_of_the_camera() -> None:
    plain = contrast(1)
    few = replace(plain, images=plain.images[:6] + pattern(), valid=plain.valid[:6])
    assert without_fixed(few, TILTS[:6]) is few
    near = replace(plain, images=plain.images + pattern())
    assert without_fixed(near, TILTS / 10) is near


def test_what_the_specimen_shows_along_its_axis_is_not_of_the_camera() -> None:
    """Waves along the tilt axis are alike in all images, whatever the tilt."""
    plain = contrast(7)
    lines = np.random.default_rng(8).normal(size=(EDGE, 1)).astype(np.float32)
    striped = replace(plain, images=plain.images + lines)
    found = without_fixed(striped, TILTS)
    taken = (striped.images - found.images)[plain.used]
    assert taken.std() < 0.1


def test_a_deformation_that_is_known_is_undone() -> None:
    """Images show at p + d(p) what belongs at p; here of waves, at half the pixels."""
    rng = np.random.default_rng(4)
    size, (height, width) = (2 * EDGE, EDGE), (EDGE // 2, EDGE)
    bent = Deformation(kind="spline", grid=(3, 3), coefficients=rng.normal(0, 2, (N, 72)))
    y, x = np.mgrid[:height, :width] * 2.0
    grid = np.stack([x.ravel(), y.ravel()], axis=1)

    def shows(points: np.ndarray) -> np.ndarray:
        seen = np.sin(points[..., 0] / 9) * np.cos(points[..., 1] / 7)
        return seen.reshape(N, height, width).astype(np.float32)

    flat = shows(np.tile(grid, (N, 1, 1)))
    images = shows(bent.undo(np.tile(grid, (N, 1, 1)), image_size=size))
    assert np.abs(images - flat).max() > 0.3
    valid = np.ones_like(images)
    prepared = Prepared(images=images, valid=valid, plain=images, binning=2.0, unused={2: "dark"})
    found = undeformed(prepared, bent, size)
    used, inner = found.used, (slice(None), slice(9, -9), slice(9, -9))
    np.testing.assert_allclose(found.images[used][inner], flat[used][inner], atol=0.01)
    np.testing.assert_array_equal(found.plain, found.images)
    assert found.valid[used][inner].all()
    # What an image does not show is not made up.
    assert not found.valid[used].all()
