"""Alignment by images of real series: images that are moved come back to where they were.

Their truth is not known, but how far known shifts of the images are from those that are found is.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from tests.builders.slab_images import Stack
from tomoset import geometry
from tomoset.align.images.align import align
from tomoset.align.images.result import ImageFit, ImageOptions
from tomoset.images.stack import open_stack
from tomoset.model import Optics, Tomogram

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

from judge import axis_direction, judge

pytestmark = pytest.mark.slow


@dataclass(frozen=True, kw_only=True)
class Real:
    """A real series."""

    images: np.ndarray
    tilts: np.ndarray
    axis: float
    pixel_size: float

    def fit(self, images: np.ndarray, **options: float) -> ImageFit:
        width, height = images.shape[2], images.shape[1]
        size = (max(width, height),) * 2 + (max(width, height) // 2,)
        made = geometry.rotation_z(self.axis) @ geometry.rotation_y(self.tilts)
        made = made @ geometry.translation(-(np.array(size) - 1) / 2)
        made[:, :2, 3] += (np.array([width, height]) - 1) / 2
        tomogram = Tomogram(
            name="real",
            n_tilts=len(images),
            projections=made,
            size=size,
            image_size=(width, height),
            optics=Optics(pixel_size=self.pixel_size),
        )
        return align(tomogram, Stack(images), ImageOptions(**options), threads=2)

    def moved(self, shifts: np.ndarray) -> np.ndarray:
        """Images whose content is shifted; what comes in is what is next to the edge."""
        import scipy.ndimage

        return np.stack(
            [
                scipy.ndimage.shift(image, (y, x), order=3, mode="nearest")
                for image, (x, y) in zip(self.images, shifts, strict=True)
            ]
        )


def come_back(undisturbed: ImageFit, disturbed: ImageFit, shifts: np.ndarray) -> np.ndarray:
    """How far each image is from where it was, but for a motion of the specimen: rms [px]."""
    back = disturbed.projections.copy()
    back[:, :2, 3] -= shifts
    points = undisturbed.windows
    lifted = [points + [0, 0, z] for z in (-5.0, 5.0)]
    used = np.array([i not in disturbed.doubtful for i in range(len(back))])
    errors = judge(undisturbed.projections, back, np.concatenate(lifted), used)
    print(
        f"median {np.median(errors.projection):.2f}, 90 % {np.quantile(errors.projection, 0.9):.2f},"
        f" most {errors.projection.max():.2f} px; doubtful {len(undisturbed.doubtful)} and "
        f"{len(disturbed.doubtful)}"
    )
    return errors.projection


@pytest.fixture(scope="module")
def vesicle(shared: Path) -> Real:
    """61 images of negatively stained vesicles, roughly aligned, with a scale bar in a corner."""
    image = pytest.importorskip("PIL.Image")
    frames = []
    with image.open(shared / "data/images/ev_negative_stain/extract.gif") as film:
        for i in range(film.n_frames):
            film.seek(i)
            frames.append(np.asarray(film.convert("L"), dtype=np.float32))
    return Real(
        images=np.stack(frames), tilts=np.arange(-60.0, 61.0, 2.0), axis=0.0, pixel_size=72.45
    )


@pytest.fixture(scope="module")
def needle(shared: Path) -> Real:
    """77 images of a needle by a scanning microscope, off by up to 25 px; the axis lies along x."""
    folder = shared / "data/images/etspy"
    with open_stack(folder / "HAADF.ali") as stack:
        images = np.stack([stack.read(i) for i in range(77)]).astype(np.float32)
    tilts = np.loadtxt(folder / "HAADF.rawtlt")
    return Real(images=images, tilts=tilts, axis=90.0, pixel_size=10.0)


@pytest.fixture(scope="module")
def vesicle_fit(vesicle: Real) -> ImageFit:
    return vesicle.fit(vesicle.images)


@pytest.fixture(scope="module")
def needle_fit(needle: Real) -> ImageFit:
    return needle.fit(needle.images)


def test_the_vesicle_is_aligned_and_its_axis_found(vesicle_fit: ImageFit) -> None:
    """It is said to be vertical; at 60 degrees the round vesicle is drawn out along another."""
    assert len(vesicle_fit.doubtful) <= 3
    assert abs(axis_direction(vesicle_fit.projections) - 24.5) < 3
    assert abs(vesicle_fit.axis - 24.5) < 3


@pytest.mark.parametrize("seed", [1, 2])
def test_a_vesicle_whose_images_are_moved_comes_back(
    vesicle: Real, vesicle_fit: ImageFit, seed: int
) -> None:
    shifts = np.random.default_rng(seed).uniform(-6, 6, (len(vesicle.tilts), 2))
    found = vesicle.fit(vesicle.moved(shifts))
    errors = come_back(vesicle_fit, found, shifts)
    assert np.median(errors) <= 0.3
    good = np.array([i not in found.doubtful for i in range(len(errors))])
    assert errors[good].max() <= 1.0


def test_the_needle_is_aligned_and_its_axis_is_horizontal(needle_fit: ImageFit) -> None:
    assert len(needle_fit.doubtful) <= 4
    assert abs(abs(axis_direction(needle_fit.projections)) - 90) < 3
    assert abs(abs(needle_fit.axis) - 90) < 3


@pytest.mark.parametrize("seed", [1, 2])
def test_a_needle_whose_images_are_moved_comes_back(
    needle: Real, needle_fit: ImageFit, seed: int
) -> None:
    shifts = np.random.default_rng(seed).uniform(-8, 8, (len(needle.tilts), 2))
    found = needle.fit(needle.moved(shifts))
    errors = come_back(needle_fit, found, shifts)
    assert np.median(errors) <= 1.0
    good = np.array([i not in found.doubtful for i in range(len(errors))])
    assert errors[good].max() <= 3.0


def test_the_needle_reconstructs_to_a_round_one(needle: Real, needle_fit: ImageFit) -> None:
    """By second moments of sections: images are filtered and back-projected one by one."""
    along = needle_fit.projections[:, :2, 1]
    across = np.stack([along[:, 1], -along[:, 0]], axis=1)
    depth = np.einsum("na,nac->nc", across, needle_fit.projections[:, :2, :3])
    steps = np.arange(-60.0, 61.0)
    x, z = np.meshgrid(steps, steps, indexing="ij")
    ramp = np.abs(np.fft.fftfreq(256)) * np.exp(-((np.fft.fftfreq(256) / 0.15) ** 2))
    for middle in needle_fit.windows[2:6]:
        section = np.zeros_like(x)
        for image, projection, to, (by_x, _, by_z) in zip(
            needle.images, needle_fit.projections, across, depth, strict=True
        ):
            at = projection[:2, :3] @ middle + projection[:2, 3]
            line = sampled(image, at, to)
            section += np.interp(
                by_x * x + by_z * z,
                np.arange(256) - 128.0,
                np.fft.ifft(np.fft.fft(line - np.median(line)) * ramp).real,
            )
        # Matter alone: what a filter leaves around it is as often below 0.
        matter = np.where(section > 0.3 * np.quantile(section, 0.98), section, 0.0)
        at = np.stack([x, z]).reshape(2, -1)
        weight = matter.ravel() / matter.sum()
        off = at - (at @ weight)[:, None]
        least, most = np.linalg.eigvalsh((off * weight) @ off.T)
        print(f"axes of the section: {np.sqrt(least):.2f} and {np.sqrt(most):.2f} px")
        assert np.sqrt(most / least) < 1.15


def sampled(image: np.ndarray, at: np.ndarray, to: np.ndarray) -> np.ndarray:
    """An image along a line through a place: 256 pixels."""
    import scipy.ndimage

    x, y = at[:, None] + to[:, None] * (np.arange(256) - 128.0)
    return np.asarray(scipy.ndimage.map_coordinates(image, [y, x], order=1, mode="nearest"))
