"""Alignment by images of bodies that are seen whole across the tilt axis."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.builders.body_images import needle_images, needle_points
from tests.builders.slab_images import Stack, series, slab_images, tilted
from tomoset.align.images.align import align
from tomoset.align.images.body import Body, Section
from tomoset.align.images.body_compare import Compared, Slopes
from tomoset.align.images.body_places import Elsewhere
from tomoset.align.images.body_start import shifted
from tomoset.align.images.body_views import Cut, Working, emptiness, frames, guessed
from tomoset.align.images.level import levelled
from tomoset.align.images.result import ImageFit, ImageOptions
from tomoset.errors import AssumptionWarning

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

from judge import judge

EDGE, TILTS, RADIUS = 96, np.arange(-70.0, 71.0, 5.0), 13.0
CENTRE = np.array([47.5, 47.5, 31.5])
N = len(TILTS)


def needle(
    seed: int = 1, axis: float = 90.0, noise: float = 0.03
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Images of a dark needle, the truth, and where its grains are; shifts are large."""
    rng = np.random.default_rng(seed)
    truth = tilted(TILTS, axis, CENTRE, EDGE)
    truth[:, :2, 3] += rng.uniform(-12, 12, (N, 2))
    points, strength = needle_points(EDGE, RADIUS, CENTRE, seed)
    images = needle_images(truth, EDGE, points, strength) * rng.uniform(0.9, 1.1, (N, 1, 1))
    images = 2.0 - images + rng.normal(0, noise, images.shape)
    return images.astype(np.float32), truth, points[np.abs(points[:, 1] - CENTRE[1]) < 30][::20]


@pytest.fixture(scope="module")
def found() -> tuple[np.ndarray, np.ndarray, ImageFit]:
    images, truth, points = needle()
    start = tilted(TILTS, 90.0, CENTRE, EDGE)
    with pytest.warns(AssumptionWarning, match="the thickness that was given"):
        fit = align(series(start, EDGE, 64, 10.0), Stack(images), ImageOptions(thickness=90.0))
    return truth, points, fit


def test_a_needle_is_aligned_though_no_slab_is_like_it(
    found: tuple[np.ndarray, np.ndarray, ImageFit],
) -> None:
    truth, points, fit = found
    errors = judge(truth, fit.projections, points)
    assert np.median(errors.projection) < 0.25
    assert errors.projection.max() < 0.8
    assert not fit.doubtful
    assert abs(errors.axis) < max(0.5, 3 * fit.axis_error)
    said = np.column_stack([fit.deviations["shift_x"], fit.deviations["shift_y"]])
    spread = 1.4826 * np.median(np.abs(errors.shift / said))
    assert 0.3 < spread < 2


def test_what_is_said_of_a_body_is_in_the_frame_and_units_of_the_tomogram(
    found: tuple[np.ndarray, np.ndarray, ImageFit],
) -> None:
    fit = found[2]
    # It is inclined by -0.04 and bent, and tapers off: a rough number.
    assert np.isnan(fit.inclination[0])
    assert fit.inclination[1] == pytest.approx(-2.0, abs=1.5)
    assert fit.thickness == pytest.approx(10 * 2 * RADIUS, rel=0.25)
    assert fit.residuals.shape == (N, len(fit.windows), 2)
    assert np.nanmedian(np.abs(fit.residuals)) < 1
    height = fit.plane @ [1.0, *CENTRE[:2]]
    assert abs(height - CENTRE[2]) < 3
    # Of a body that is round about the axis only the height can be put right.
    motion = levelled(fit, CENTRE)
    assert motion is None or np.array_equal(motion[:3, :3], np.eye(3))


@pytest.mark.slow
def test_the_tomogram_stays_where_it_was_if_images_are_aligned_already() -> None:
    images, truth, points = needle(seed=3, axis=20.0)
    fit = align(series(truth, EDGE, 64, 10.0), Stack(images))
    at = points @ fit.projections[:, :2, :3].transpose(0, 2, 1) + fit.projections[:, None, :2, 3]
    was = points @ truth[:, :2, :3].transpose(0, 2, 1) + truth[:, None, :2, 3]
    assert np.median(np.linalg.norm(at - was, axis=2)) < 0.5


def test_only_what_leaves_both_sides_free_is_a_body() -> None:
    start = tilted(TILTS[::5], 90.0, CENTRE, EDGE)
    kinds = {
        "needle": needle()[0][::5],
        "slab": slab_images(start, EDGE, 20.0, CENTRE),
        "noise": np.random.default_rng(1).normal(size=(6, EDGE, EDGE)).astype(np.float32),
    }
    empty = {}
    for name, images in kinds.items():
        working = looked_at(images).levelled(start)
        empty[name] = emptiness(*working.seen(start))
    assert empty["needle"] < 0.1
    assert min(empty["slab"], empty["noise"]) > 0.6


def looked_at(images: np.ndarray) -> Working:
    return Working.of(images, np.ones_like(images), (EDGE, EDGE), CENTRE, 1)


def test_a_background_that_is_not_even_is_taken_off() -> None:
    images, truth, _ = needle(noise=0.0)
    y, x = np.mgrid[-1 : 1 : EDGE * 1j, -1 : 1 : EDGE * 1j]
    slope = (0.5 * x - 0.3 * y + 0.2 * y**2).astype(np.float32)
    plain = looked_at(images).levelled(truth, 24.0).seen(truth)[0]
    sloped = looked_at(images + slope).levelled(truth, 24.0).seen(truth)[0]
    np.testing.assert_allclose(sloped, plain, atol=0.01)


def test_frames_are_across_and_along_the_axis() -> None:
    linear, directions = frames(tilted(TILTS, 90.0, CENTRE, EDGE))
    np.testing.assert_allclose(linear @ [0.0, 1.0], np.tile([-1.0, 0.0], (N, 1)), atol=1e-12)
    np.testing.assert_allclose(directions[:, 0], np.cos(np.deg2rad(TILTS)), atol=1e-12)
    np.testing.assert_allclose(
        np.abs(directions[:, 1]), np.abs(np.sin(np.deg2rad(TILTS))), atol=1e-12
    )


@pytest.fixture(scope="module")
def small() -> tuple[Body, np.ndarray, np.ndarray]:
    """A body of few points, random lines, and C in full for each wave along the axis."""
    angles = np.deg2rad(np.arange(-60.0, 61.0, 20.0))
    section = Section(
        directions=np.stack([np.cos(angles), np.sin(angles)], axis=1), samples=12, radius=4.0
    )
    spectrum = np.linspace(3.0, 0.0, 32)
    body = replace(Body.of(section, 10, spectrum, 0.4), noise=0.7)
    lines = np.random.default_rng(2).normal(size=(7, 10, 12)).astype(np.float32)
    full = np.zeros((10, 84, 84))
    for row, which in enumerate(body.which):
        seen = np.zeros((84, 1))
        if which >= 0:
            waves = body.waves[which]
            seen = (waves.principal * np.sqrt(waves.variances)).reshape(84, -1)
        full[row] = seen @ seen.T + body.noise * np.eye(84)
    return body, lines, full


def test_what_others_predict_is_the_mean_that_they_leave_an_image(
    small: tuple[Body, np.ndarray, np.ndarray],
) -> None:
    """Against the textbook's conditional mean, of each image from all others."""
    body, lines, full = small
    turned = np.einsum("kv,ivu->iku", body.turn, lines)
    weighted = np.stack(
        [np.linalg.solve(c, turned[:, k].ravel()).reshape(7, 12) for k, c in enumerate(full)], 1
    )
    np.testing.assert_allclose(
        body.weighted(lines), np.einsum("kv,iku->ivu", body.turn, weighted), atol=1e-3
    )
    expected = np.zeros_like(turned)
    for k, c in enumerate(full):
        for i in range(7):
            own = np.arange(84) // 12 == i
            others = np.linalg.solve(c[~own][:, ~own], turned[:, k].ravel()[~own])
            expected[i, k] = c[own][:, ~own] @ others
    predicted = body.predicted(lines, body.weighted(lines))
    np.testing.assert_allclose(predicted, np.einsum("kv,iku->ivu", body.turn, expected), atol=1e-3)


def test_information_is_that_of_the_whole_covariance(
    small: tuple[Body, np.ndarray, np.ndarray],
) -> None:
    body, lines, full = small
    changes = np.stack([lines, np.roll(lines, 1, axis=2)])
    turned = np.einsum("kv,livu->liku", body.turn, changes)
    inverses = np.linalg.inv(full).reshape(10, 7, 12, 7, 12)
    expected = np.einsum("aiku,kiujw,bjkw->iajb", turned, inverses, turned, optimize=True)
    np.testing.assert_allclose(body.products(changes), expected, atol=0.02)
    alone = np.einsum("livu,mivu->ilm", changes, body.alone(changes))
    own = np.einsum("iaib->iab", expected)
    np.testing.assert_allclose(alone, own, atol=0.02)


def test_the_likelihood_is_that_of_a_gaussian(small: tuple[Body, np.ndarray, np.ndarray]) -> None:
    body, lines, full = small
    turned = np.einsum("kv,ivu->iku", body.turn, lines)
    told = body.which >= 0
    squares = sum(
        turned[:, k].ravel() @ np.linalg.solve(full[k], turned[:, k].ravel())
        for k in np.flatnonzero(told)
    )
    count = 84 * told.sum()
    logs = sum(np.linalg.slogdet(full[k])[1] for k in np.flatnonzero(told))
    expected = -0.5 * (count * np.log(squares / count) + logs)
    assert body.log_likelihood(lines) == pytest.approx(expected, rel=1e-4)


def test_a_point_is_seen_where_it_lies() -> None:
    """Against waves across the image that are summed one by one."""
    section = Section(directions=np.array([[0.6, -0.8]]), samples=9, radius=1.0)
    spectrum = np.linspace(1.0, 0.0, 200)
    seen = section.lines(spectrum)
    k = np.linspace(0, 0.5, 200)
    points = [(-1, 0), (0, -1), (0, 0), (0, 1), (1, 0)]
    for at, (x, z) in enumerate(points):
        away = np.arange(9) - 4 - (0.6 * x - 0.8 * z)
        waves = np.trapezoid(spectrum * np.cos(2 * np.pi * away[:, None] * k), k, axis=1)
        np.testing.assert_allclose(seen[0, :, at], waves, atol=2e-3)


def compared_at(
    images: np.ndarray, truth: np.ndarray, band: float = 0.12
) -> tuple[Working, Cut, Compared]:
    working = looked_at(images).levelled(truth, 24.0)
    seen, weights = working.seen(truth)
    cut = Cut(band=band, radius=24.0, shares=guessed(seen))
    lines = cut.lines(seen, weights)
    _, rows, samples = lines.values.shape
    section = Section(directions=frames(truth)[1], samples=samples, radius=24.0 / lines.step[1])
    body = Body.of(section, rows, cut.spectrum, 0.4).as_noisy_as(lines.values)
    return working, cut, Compared.of(lines, body)


def test_an_image_that_lies_elsewhere_along_a_needle_is_seen_to() -> None:
    """By the period of its bands, so that it fits well where it lies."""
    images, truth, _ = needle(seed=3, noise=0.1)
    by = np.zeros((N, 2))
    by[14, 1] = 2 * np.pi / 25 * EDGE
    wrong = shifted(truth, by)
    working, cut, compared = compared_at(images, wrong, 0.2)
    found = Elsewhere.of(working, wrong, cut, compared, 8.0)
    np.testing.assert_allclose(found.by[14], -by[14], atol=3)
    better = found.there - found.here
    assert better[14] > 100
    assert np.delete(better, 14).max() < -100


@pytest.mark.slow
@pytest.mark.parametrize("seed", [3, 11, 15, 21])
def test_no_image_lies_one_band_of_a_noisy_needle_off_unsaid(seed: int) -> None:
    images, truth, points = needle(seed, noise=0.2)
    start = tilted(TILTS, 90.0, CENTRE, EDGE)
    fit = align(series(start, EDGE, 64, 10.0), Stack(images))
    off = np.linalg.norm(judge(truth, fit.projections, points).shift, axis=1)
    assert {*np.flatnonzero(off > 2)} <= {*fit.doubtful}
    assert len(fit.doubtful) < 4


def test_slopes_are_those_of_the_likelihood() -> None:
    """By differences, if one image looks a little further across, or along."""
    images, truth, _ = needle(noise=0.01)
    working, cut, compared = compared_at(images, truth)
    body, lines = compared.body, compared.lines
    slopes = Slopes.of(compared)
    scale = float(np.mean(lines.values * compared.weighted))
    for kind in (0, 1):
        for image in (2, N // 2):
            by = np.zeros((N, 2))
            by[image, kind] = 0.5
            costs = []
            for sign in (-1, 0, 1):
                moved = cut.lines(*working.seen(shifted(truth, sign * by))).values
                costs.append(0.5 * float((moved * body.weighted(moved)).sum()) / scale)
            curvature = (costs[0] + costs[2] - 2 * costs[1]) / 0.25
            information = slopes.information[image, kind, image, kind]
            assert curvature == pytest.approx(information, rel=0.25)
            # A step that both lead to: as good as a tenth of a pixel.
            slope = -(costs[2] - costs[0])
            gradient = slopes.gradient[:, image, kind].sum()
            assert abs(slope - gradient) / information < 0.1
