"""Alignment by images from end to end, on series that share no code with the package."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.ndimage

from tests.builders.slab_images import Stack, series, slab_images, tilted
from tomoset.align import AlignmentError
from tomoset.align.images.align import align
from tomoset.align.images.result import UNKNOWN, ImageFit, ImageOptions
from tomoset.errors import AssumptionWarning, ModelError
from tomoset.model import Deformation, Optics, Tomogram

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

import twins
from bound import twin_bound
from judge import Errors, judge

EDGE, DEPTH, TILTS = 96, 50, np.arange(-45.0, 46.0, 5.0)
CENTRE = np.array([47.5, 47.5, 24.5])
THICK = 24.0
N = len(TILTS)


def tomogram(twin: twins.Twin) -> Tomogram:
    n, height, width = twin.images.shape
    return Tomogram(
        name=twin.name,
        n_tilts=n,
        optics=Optics(pixel_size=twin.pixel_size),
        image_size=(width, height),
        size=twin.size,
        projections=twin.start,
    )


def against(twin: twins.Twin, fit: ImageFit) -> tuple[Errors, np.ndarray]:
    """Errors, and of shifts those over what they are said to be."""
    used = np.array([i not in {*fit.unused, *fit.doubtful} for i in range(len(twin.truth))])
    errors = judge(twin.truth, fit.projections, twin.points(), used)
    said = np.column_stack([fit.deviations["shift_x"], fit.deviations["shift_y"]])
    return errors, (errors.shift / said)[used]


def slab(noise: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Images of random matter, as electrons, and the truth; shifts of up to a fifth of the field."""
    rng = np.random.default_rng(5)
    truth = tilted(TILTS, 20.0, CENTRE, EDGE)
    truth[:, :2, 3] += rng.uniform(-9, 9, (N, 2))
    images = slab_images(truth, EDGE, THICK, CENTRE)
    images += rng.normal(0, noise, images.shape).astype(np.float32)
    return 100 + 5 * images, truth


@pytest.fixture(scope="module")
def random_matter() -> tuple[np.ndarray, np.ndarray, ImageFit]:
    images, truth = slab()
    start = tilted(TILTS, 20.0, CENTRE, EDGE)
    images[7] = 100.0
    known = ImageOptions(thickness=10 * THICK)
    return images, truth, align(series(start, EDGE, DEPTH, 10.0), Stack(images), known)


@pytest.mark.slow
def test_a_thickness_that_nobody_knows_is_found() -> None:
    """Of a specimen that is far thinner than usual, in images that are narrower than that."""
    images, truth = slab()
    start = tilted(TILTS, 20.0, CENTRE, EDGE)
    fit = align(series(start, EDGE, DEPTH, 10.0), Stack(images))
    points = CENTRE + np.random.default_rng(1).uniform(-1, 1, (40, 3)) * [35, 35, THICK / 2]
    errors = judge(truth, fit.projections, points)
    assert np.median(errors.projection) < 0.3
    assert fit.thickness == pytest.approx(10 * THICK, rel=0.25)


def test_images_of_random_matter_are_aligned(
    random_matter: tuple[np.ndarray, np.ndarray, ImageFit],
) -> None:
    _, truth, fit = random_matter
    used = np.arange(N) != 7
    rng = np.random.default_rng(1)
    points = CENTRE + rng.uniform(-1, 1, (40, 3)) * [35, 35, THICK / 2]
    errors = judge(truth, fit.projections, points, used)
    assert np.median(errors.projection[used]) < 0.3
    assert errors.projection[used].max() < 1.2
    assert dict(fit.unused) == {7: "blank"}
    assert not fit.doubtful
    assert abs(errors.axis) < max(0.5, 3 * fit.axis_error)
    # An image that shows nothing has the shift of its neighbours, and nobody vouches for it.
    assert np.isnan(fit.support[7])
    assert np.isnan(fit.deviations["shift_x"][7])
    assert np.isfinite(fit.projections).all()


def test_the_order_of_the_table_does_not_matter(
    random_matter: tuple[np.ndarray, np.ndarray, ImageFit],
) -> None:
    """As of a dose-symmetric scheme, whose images stand as they were taken."""
    images, _, fit = random_matter
    taken = np.argsort(np.abs(TILTS), kind="stable")
    start = tilted(TILTS, 20.0, CENTRE, EDGE)[taken]
    known = ImageOptions(thickness=10 * THICK)
    other = align(series(start, EDGE, DEPTH, 10.0), Stack(images[taken]), known)
    np.testing.assert_allclose(other.projections, fit.projections[taken], atol=0.02)
    np.testing.assert_allclose(other.support, fit.support[taken], rtol=0.02)
    assert dict(other.unused) == {int(np.flatnonzero(taken == 7)[0]): "blank"}


@pytest.mark.slow
def test_a_deformation_of_the_images_is_taken_into_account(
    random_matter: tuple[np.ndarray, np.ndarray, ImageFit],
) -> None:
    images, _, fit = random_matter
    bent = Deformation(
        kind="spline", grid=(2, 2), coefficients=np.random.default_rng(3).normal(0, 1, (N, 32))
    )
    x, y = bent.field((EDGE, EDGE), (1.0, 1.0), image_size=(EDGE, EDGE)).swapaxes(0, 1)
    grid = np.stack(np.meshgrid(np.arange(EDGE), np.arange(EDGE)), axis=-1).reshape(1, -1, 2)
    back = bent.undo(np.tile(grid, (N, 1, 1)), image_size=(EDGE, EDGE)).reshape(N, EDGE, EDGE, 2)
    shown = [
        scipy.ndimage.map_coordinates(image, at.transpose(2, 0, 1)[::-1], order=3, mode="nearest")
        for image, at in zip(images, back, strict=True)
    ]
    assert np.hypot(x, y).max() > 2.5
    known = ImageOptions(thickness=10 * THICK)
    start = series(tilted(TILTS, 20.0, CENTRE, EDGE), EDGE, DEPTH, 10.0)
    stack = Stack(np.array(shown, np.float32))
    found = align(replace(start, deformation=bent), stack, known)
    points = CENTRE + np.random.default_rng(1).uniform(-1, 1, (40, 3)) * [35, 35, THICK / 2]
    used = np.arange(N) != 7
    assert np.median(judge(fit.projections, found.projections, points, used).projection) < 0.2


def test_tiny_images_are_refused() -> None:
    images = np.random.default_rng(1).normal(100, 5, (N, 30, 30)).astype(np.float32)
    start = tilted(TILTS, 20.0, np.array([14.5, 14.5, 9.5]), 30)
    with pytest.raises(ModelError, match="40 pixels or fewer"):
        align(series(start, 30, 20, 10.0), Stack(images))


def test_all_of_a_fit_is_of_the_shapes_and_units_that_it_says(
    random_matter: tuple[np.ndarray, np.ndarray, ImageFit],
) -> None:
    *_, fit = random_matter
    used = np.arange(N) != 7
    assert fit.working_pixel == 10.0
    assert fit.thickness == 10 * THICK
    assert 0 < fit.thickness_error < 60
    assert np.abs(fit.inclination).max() < max(2.0, 3 * max(fit.inclination_error))
    assert 0.1 < min(fit.inclination_error) <= max(fit.inclination_error) < 2
    assert fit.axis_before == pytest.approx(20.0)
    assert fit.axis == pytest.approx(20.0, abs=1.0)
    assert set(fit.deviations) == {"shift_x", "shift_y", "rotation", "tilt", "magnification"}
    for values in (*fit.deviations.values(), fit.support, fit.rival, fit.predicted):
        assert values.shape == (N,)
        assert (values[used] > 0).all()
    assert fit.residuals.shape == (N, len(fit.windows), 2)
    assert fit.windows.shape[1] == 3
    np.testing.assert_allclose(
        fit.windows[:, 2], fit.plane @ [np.ones(len(fit.windows)), *fit.windows[:, :2].T], atol=0.5
    )
    assert 0.02 < fit.expected < 0.5
    assert 3 < fit.moved < 9
    assert 1 < fit.signal < 10  # 1 of all waves; more of the long ones that are compared


def test_the_tomogram_stays_where_it_was(
    random_matter: tuple[np.ndarray, np.ndarray, ImageFit],
) -> None:
    """Images together are moved neither sideways nor in depth."""
    *_, fit = random_matter
    start = tilted(TILTS, 20.0, CENTRE, EDGE)
    used = np.arange(N) != 7
    moved = ((fit.projections - start) @ [*CENTRE, 1.0])[used, :2]
    rows = start[used, :2, :3].reshape(-1, 3)
    common = np.linalg.lstsq(rows, moved.ravel())[0]
    # In depth, where little tells, by some pixels.
    assert np.abs(common[:2]).max() < 1.5
    assert abs(common[2]) < 4


@pytest.mark.slow
def test_an_axis_that_nobody_knows_is_found() -> None:
    images, truth = slab(0.5)
    start = tilted(TILTS, 110.0, CENTRE, EDGE)
    fit = align(series(start, EDGE, DEPTH, 10.0), Stack(images), ImageOptions(axis=UNKNOWN))
    points = CENTRE + np.random.default_rng(1).uniform(-1, 1, (40, 3)) * [35, 35, THICK / 2]
    errors = judge(truth, fit.projections, points)
    assert np.median(errors.projection) < 0.3
    assert abs(errors.axis) < 0.7
    assert fit.axis_before == pytest.approx(110.0)
    assert abs((fit.axis - 20 + 90) % 180 - 90) < 0.7


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param("normal", marks=pytest.mark.slow),
        "fixed in the camera",
        pytest.param("electrons", marks=pytest.mark.slow),
        pytest.param("few electrons", marks=pytest.mark.slow),
    ],
)
def test_noise_is_refused(kind: str) -> None:
    rng = np.random.default_rng(7)
    shape = (N, EDGE, EDGE)
    images = {
        "normal": lambda: rng.normal(size=shape),
        "electrons": lambda: rng.poisson(30.0, shape),
        "few electrons": lambda: rng.poisson(1.0, shape),
        "fixed in the camera": lambda: rng.poisson(30 * rng.normal(1, 0.02, shape[1:]), shape),
    }[kind]()
    start = tilted(TILTS, 20.0, CENTRE, EDGE)
    with pytest.raises(AlignmentError, match="'a': these images do not support an alignment"):
        align(series(start, EDGE, DEPTH, 10.0), Stack(images))


def nominal(n: int = N, **changes: object) -> Tomogram:
    start = tilted(TILTS[:n], 20.0, CENTRE, EDGE)
    return replace(series(start, EDGE, DEPTH, 10.0), **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("n", [1, 4])
def test_too_few_images_are_refused(n: int) -> None:
    images = np.random.default_rng(1).poisson(30, (n, EDGE, EDGE))
    says = f"'a' has {n} tilt image{'s' * (n > 1)}; an alignment by images needs 5 or more"
    with pytest.raises(ModelError, match=says):
        align(nominal(n), Stack(images))


def test_equal_angles_are_refused() -> None:
    images = np.random.default_rng(1).poisson(30, (N, EDGE, EDGE))
    equal = nominal(projections=tilted(np.full(N, 12.0), 20.0, CENTRE, EDGE))
    with pytest.raises(
        ModelError, match=r"'a': all tilt angles are within .*: nothing tells depth"
    ):
        align(equal, Stack(images))


@pytest.mark.parametrize("good", [0, 3])
def test_images_of_which_hardly_any_shows_something_are_refused(good: int) -> None:
    images = np.full((N, EDGE, EDGE), 30.0)
    images[:good] = np.random.default_rng(1).poisson(30, (good, EDGE, EDGE))
    with pytest.raises(ModelError, match=f"'a': {good} of {N} tilt images show anything"):
        align(nominal(), Stack(images))


@pytest.mark.slow
def test_a_small_lamella_is_aligned() -> None:
    """With curtains, layers, jitter and doming; see benchmarks/twins_recipes.py."""
    twin = twins.make(
        "small", 1, size=(160, 150), pixel_size=16.0, pitch=20.0, tilts=21, snr=0.5, pretilt=5.0
    )
    fit = align(tomogram(twin), Stack(twin.images))
    errors, z = against(twin, fit)
    assert np.median(errors.projection) < 0.6
    assert len(fit.doubtful) <= 2
    assert np.mean(np.abs(z) < 3) > 0.75


@pytest.mark.slow
def test_a_series_of_shrec_is_aligned_to_an_angstrom() -> None:
    twin = twins.make("shrec", 1, snr=0.1)
    fit = align(tomogram(twin), Stack(twin.images), threads=2)
    errors, z = against(twin, fit)
    shift = np.linalg.norm(errors.shift, axis=1) * twin.pixel_size
    print(f"median {np.median(shift):.2f} Å, most {shift.max():.2f} Å, z {np.std(z):.2f}")
    print(f"bound {np.median(np.linalg.norm(twin_bound(twin), axis=1)) * twin.pixel_size:.2f} Å")
    assert np.median(shift) < 1.5
    assert shift.max() < 20
    assert not fit.doubtful
    assert fit.thickness == pytest.approx(twin.thickness, rel=0.15)


@pytest.mark.slow
def test_a_lamella_is_aligned_to_half_a_pixel() -> None:
    twin = twins.make("lamella", 1)
    fit = align(tomogram(twin), Stack(twin.images), threads=2)
    errors, z = against(twin, fit)
    print(f"median {np.median(errors.projection):.2f} px, z {np.std(z):.2f}")
    assert np.median(errors.projection) < 0.5
    assert len(fit.doubtful) <= 2
    assert fit.thickness == pytest.approx(twin.thickness, rel=0.15)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["jump", "axis90"])
def test_what_goes_wrong_in_a_series_is_put_right(kind: str) -> None:
    twin = twins.make(kind, 1, size=(256, 240), pixel_size=16.0, pitch=16.0, tilts=31, snr=0.3)
    options = ImageOptions(axis=UNKNOWN) if kind == "axis90" else ImageOptions()
    fit = align(tomogram(twin), Stack(twin.images), options, threads=2)
    errors, _ = against(twin, fit)
    assert np.median(errors.projection) < 0.6


@pytest.mark.slow
def test_an_axis_that_is_wrong_is_told() -> None:
    images, _ = slab(0.5)
    start = tilted(TILTS, 110.0, CENTRE, EDGE)
    with pytest.warns(AssumptionWarning, match="images agree far better if the tilt axis"):
        align(series(start, EDGE, DEPTH, 10.0), Stack(images))
