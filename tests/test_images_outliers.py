"""Outlier pixels are limited where images are read; what shows a specimen is not touched."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.builders.image_stacks import write_images
from tomoset import AssumptionWarning
from tomoset.images.outliers import limit_outliers
from tomoset.images.tilt_series import TiltSeries

SIZE = (90, 110)


def noise(seed: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    return np.random.default_rng(seed).normal(100, 5, size).astype(np.float32)


def disc(image: np.ndarray, y: float, x: float, radius: float, value: float) -> np.ndarray:
    v, u = np.indices(image.shape)
    edge = np.clip(radius + 0.5 - np.hypot(v - y, u - x), 0, 1)
    return (image + value * edge).astype(np.float32)


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 10**6),
    places=st.sets(st.tuples(st.integers(0, SIZE[0] - 1), st.integers(0, SIZE[1] - 1)), max_size=8),
    height=st.floats(150, 1e30),
    sign=st.sampled_from([-1, 1]),
)
def test_pixels_far_from_all_around_are_limited_and_no_others(
    seed: int, places: set[tuple[int, int]], height: float, sign: int
) -> None:
    clean = noise(seed)
    spoilt = clean.copy()
    for place in places:
        spoilt[place] += sign * height
    better, looks = limit_outliers(spoilt)
    assert looks.outliers == len(places)
    changed = np.argwhere(better != spoilt).tolist()
    assert {tuple(at) for at in changed} == places
    assert np.abs(better - clean).max() < 40


@pytest.mark.parametrize("shape", [(2, 1), (1, 3), (2, 2), (3, 3), (90, 1), (1, 110)])
def test_clusters_rows_and_columns_of_a_detector_are_limited(shape: tuple[int, int]) -> None:
    spoilt = noise(1)
    top, left = (0 if n > 3 else 40 for n in shape)
    spoilt[top : top + shape[0], left : left + shape[1]] = 30000
    better, looks = limit_outliers(spoilt)
    assert looks.outliers == shape[0] * shape[1]
    assert better.max() < 130


@pytest.mark.parametrize("radius", [2, 3, 5, 12])
@pytest.mark.parametrize("depth", [-60.0, -300.0, -5000.0, 5000.0])
@pytest.mark.parametrize("noise_level", [0.0, 0.01, 1.0])
def test_beads_and_edges_are_no_outliers(radius: int, depth: float, noise_level: float) -> None:
    image = ((noise(2) - 100) * noise_level + 100).astype(np.float32)
    for y, x in ((20, 30), (20.5, 70.3), (60.2, 50.5), (88.0, 4.0)):
        image = disc(image, y, x, radius, depth)
    image[:, 100:] += 2 * abs(depth)
    better, looks = limit_outliers(image)
    assert looks.outliers == 0
    assert better is image


@pytest.mark.parametrize("mean", [0.005, 0.05, 0.3, 2.0])
def test_counted_electrons_are_no_outliers(mean: float) -> None:
    image = np.random.default_rng(4).poisson(mean, (600, 700)).astype(np.float32)
    assert limit_outliers(image)[1].outliers == 0


def test_images_without_noise_are_not_touched() -> None:
    image = np.zeros(SIZE, np.float32)
    image[40, 50] = 1
    better, looks = limit_outliers(image)
    assert better is image
    assert (looks.outliers, looks.blank) == (0, False)
    v, u = np.indices(SIZE)
    for y, x in ((20, 30), (50.5, 70.5), (70.2, 40.4)):  # dots narrower than any bead
        image += np.exp(-((v - y) ** 2 + (u - x) ** 2)).astype(np.float32)
    assert limit_outliers(image)[0] is image
    assert limit_outliers(np.full((3, 3), 7, np.float32))[1].blank


def test_a_hot_pixel_of_a_real_detector(shared: Path) -> None:
    path = str(shared / "data/images/cryocat/tilt_stack.mrc")
    with TiltSeries("TS", [(path, i) for i in range(4)]) as series:
        changed = [np.argwhere(series.read(i) != series.stored(i)).tolist() for i in range(4)]
        assert changed == [[[195, 99]], [], [[195, 99]], [[195, 99]]]
        assert series.remarks()[0].startswith("3 pixels of outlier values")


@pytest.mark.parametrize("name", ["tilt_pair/tilt1.mrc", "tilt_pair/tilt2.mrc", "etspy/HAADF.ali"])
def test_real_images_have_none(shared: Path, name: str) -> None:
    path = str(shared / "data/images" / name)
    with TiltSeries("TS", [(path, 0)]) as series:
        assert series.read(0) is not None
        assert series.remarks() == []


def test_what_images_look_like_is_said_when_they_are_closed(tmp_path: Path) -> None:
    images = np.stack([noise(i) for i in range(6)])
    images[0, 5, 5], images[4], images[5] = 3000, 80, images[5] / 50
    write_images(tmp_path / "a.mrc", images)
    series = TiltSeries("TS", [(str(tmp_path / "a.mrc"), i) for i in range(6)])
    for i in (0, 0, *range(6)):
        series.read(i)
    with pytest.warns(AssumptionWarning) as said:
        series.__exit__(None)
    assert [str(w.message) for w in said] == [
        "tomogram 'TS': 1 pixel of outlier values (defects of the detector, X-rays) limited in "
        "tilt image 1",
        "tomogram 'TS': tilt image 5: blank, every pixel is the same; exclude what shows nothing",
        "tomogram 'TS': tilt image 6: dark, with less than 5% of the others' intensity; exclude "
        "what shows nothing",
    ]
