"""What stands out far from the specimen: crystals and beads on its surface."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.ndimage

from tests.builders.slab_images import Stack, series, slab_images, tilted
from tomoset import geometry
from tomoset.align.images.align import align
from tomoset.align.images.dense import dense, without_dense
from tomoset.align.images.prepare import Prepared
from tomoset.align.images.result import ImageOptions

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

from judge import judge

EDGE, DEPTH, TILTS = 96, 50, np.arange(-45.0, 46.0, 5.0)
CENTRE = np.array([47.5, 47.5, 24.5])
THICK, N = 24.0, len(TILTS)


def even(seed: int = 1, edge: int = 256) -> np.ndarray:
    """Noise, and matter of a fourth of its variance."""
    rng = np.random.default_rng(seed)
    matter = scipy.ndimage.gaussian_filter(rng.normal(size=(edge, edge)), 2)
    return (rng.normal(size=(edge, edge)) + 0.5 * matter / matter.std()).astype(np.float32)


def discs(at: np.ndarray, radius: float, edge: int) -> np.ndarray:
    y, x = np.mgrid[:edge, :edge]
    near = np.hypot(x - at[:, 0, None, None], y - at[:, 1, None, None]) <= radius
    return np.asarray(near.any(axis=0))


@pytest.mark.parametrize("radius", [3, 8, 20])
@pytest.mark.parametrize("height", [-2.0, 3.0])
def test_what_stands_out_is_found_at_its_size(radius: int, height: float) -> None:
    crystals = discs(np.array([[60.0, 70.0], [180.0, 150.0]]), radius, 256)
    found = dense(
        even() + (height * 6 / min(radius, 6)) * crystals.astype(np.float32),
        np.ones((256, 256), bool),
    )
    assert found[crystals].mean() > 0.9
    wider = scipy.ndimage.binary_dilation(crystals, iterations=16 + radius)
    assert found[~wider].mean() < 0.005


def test_noise_and_matter_do_not_stand_out() -> None:
    assert np.mean([dense(even(s), np.ones((256, 256), bool)).mean() for s in range(8)]) < 0.005


def test_what_does_not_show_the_specimen_is_no_measure_of_it() -> None:
    image, valid = even(), np.ones((256, 256), bool)
    image[:, :150], valid[:, :150] = 0, False
    found = dense(image, valid)
    assert not found[~valid].any()
    assert found.mean() < 0.02


def prepared(images: np.ndarray) -> Prepared:
    valid = np.ones_like(images)
    return Prepared(images=images, valid=valid, plain=images, binning=1.0, unused={1: "dark"})


def test_images_show_nothing_where_something_stands_out() -> None:
    images = np.stack([even(s) for s in range(3)])
    crystal = discs(np.array([[100.0, 90.0]]), 9, 256)
    images[:, crystal] -= 4
    plain = prepared(images)
    found = without_dense(plain, 2)
    for i in (0, 2):
        assert not found.images[i][crystal].any()
        assert not found.valid[i][crystal].any()
        there = found.valid[i] > 0
        assert there.mean() > 0.95
        np.testing.assert_array_equal(found.images[i][there], images[i][there])
    np.testing.assert_array_equal(found.images[1], images[1])


def test_images_stay_as_they_are_where_all_stands_out_or_nothing() -> None:
    rng = np.random.default_rng(2)
    images = np.stack([even(s) for s in range(3)])
    sparse = prepared(0.1 * images)
    sparse.images[:, discs(rng.uniform(0, 256, (30, 2)), 14, 256)] += 1
    assert without_dense(sparse) is sparse
    blank = prepared(np.zeros_like(images))
    assert without_dense(blank) is blank


def crystals(truth: np.ndarray, number: int = 2, seed: int = 4) -> np.ndarray:
    """Images of a few crystals that lie on one face of a slab: 1 in their middle."""
    rng = np.random.default_rng(seed)
    points = CENTRE + np.column_stack(
        [rng.uniform(-40, 40, (number, 2)), np.full(number, THICK / 2 + 6)]
    )
    y, x = np.mgrid[:EDGE, :EDGE]
    images = np.zeros((N, EDGE, EDGE), np.float32)
    for image, projection in zip(images, truth, strict=True):
        for at in geometry.apply(projection[None], points)[0, :, :2]:
            image += np.exp(-((x - at[0]) ** 2 + (y - at[1]) ** 2) / 18)
    return images


def misplaced(seed: int = 5) -> np.ndarray:
    truth = tilted(TILTS, 20.0, CENTRE, EDGE)
    truth[:, :2, 3] += np.random.default_rng(seed).uniform(-4, 4, (N, 2))
    return truth


def errors_of(truth: np.ndarray, images: np.ndarray) -> float:
    """Median error of projections, of an alignment of images in standard deviations [px]."""
    start, known = tilted(TILTS, 20.0, CENTRE, EDGE), ImageOptions(thickness=10 * THICK)
    seen = Stack((100 + 5 * images).astype(np.float32))
    fit = align(series(start, EDGE, DEPTH, 10.0), seen, known)
    points = CENTRE + np.random.default_rng(1).uniform(-1, 1, (40, 3)) * [35, 35, THICK / 2]
    return float(np.median(judge(truth, fit.projections, points).projection))


def test_crystals_on_a_face_do_not_draw_the_alignment() -> None:
    truth, rng = misplaced(), np.random.default_rng(6)
    images = slab_images(truth, EDGE, THICK, CENTRE) + rng.normal(size=(N, EDGE, EDGE))
    # 0.19 px if they count.
    assert errors_of(truth, images - 20 * crystals(truth)) < 1.2 * errors_of(truth, images) + 0.03


@pytest.mark.parametrize(("number", "height"), [(6, 10), (7, 6), (14, 6)])
@pytest.mark.filterwarnings("ignore:.*the tilt axis:tomoset.AssumptionWarning")
def test_where_only_beads_are_to_be_seen_they_count(number: int, height: float) -> None:
    """Without them the series is refused, or has a third of its images in doubt, or they fill it."""
    truth, rng = misplaced(), np.random.default_rng(6)
    images = rng.normal(size=(N, EDGE, EDGE)) - height * crystals(truth, number)
    assert errors_of(truth, images) < 0.5
