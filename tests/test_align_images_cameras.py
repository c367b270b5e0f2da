"""Cameras by what windows show, and what their likelihood says of single images."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.ndimage

from tests.builders.slab_images import slab_images, tilted
from tomoset import geometry
from tomoset.align.images.cameras import FREE, SCATTER, Numbers
from tomoset.align.images.certainty import certainty, without_each
from tomoset.align.images.fit import Aligning, Bettered, State, better
from tomoset.align.images.outcome import Judged
from tomoset.align.images.plane import Plane
from tomoset.align.images.slab import Slab, Terms
from tomoset.align.images.thickness import Search, in_steps, thickness
from tomoset.align.images.verdict import predict
from tomoset.align.images.windows import Windows
from tomoset.align.parameters import MAGNIFICATION, ROTATION, TILT, compose, decompose

EDGE, TILTS, AXIS = 96, np.arange(-50.0, 51.0, 5.0), 30.0
CENTRE = np.array([47.5, 47.5, 14.5])
THICK = 16.0
MIDDLES = np.array([[-20.0, -15.0], [20.0, -15.0], [-20.0, 15.0], [20.0, 15.0], [0.0, 0.0]])


def some_cameras() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Projections with all that a camera may have; their cameras, and what was expected."""
    rng = np.random.default_rng(4)
    made = tilted(TILTS[::4], AXIS, CENTRE, EDGE)
    made[:, :2, 3] += rng.uniform(-4, 4, (len(made), 2))
    expected = decompose(made, CENTRE)
    cameras = expected.copy()
    cameras[:, ROTATION] += 0.03 + rng.normal(0, 2e-3, len(made))
    cameras[:, TILT] += rng.normal(0, 3e-3, len(made))
    cameras[:, MAGNIFICATION] += rng.normal(0, 1e-3, len(made))
    return compose(cameras, CENTRE, made), cameras, expected


def numbers(plane: Plane) -> tuple[Numbers, np.ndarray, np.ndarray]:
    made, cameras, expected = some_cameras()
    return Numbers.of(cameras, expected, made, plane, MIDDLES), made, cameras


@pytest.mark.parametrize("slope", [(0.0, 0.0), (0.15, -0.05)])
def test_rows_are_how_far_windows_move_on_the_plane(slope: tuple[float, float]) -> None:
    plane = Plane(centre=CENTRE, slope=slope)
    of, made, cameras = numbers(plane)
    n, count, step = len(made), len(FREE), 1e-5
    assert of.n == n
    assert of.rows.shape == (len(MIDDLES), n, 2, count * n + 1 + len(MIDDLES))
    back, points = np.linalg.inv(plane.maps(made)[0]), plane.points(MIDDLES)

    def shown(values: np.ndarray) -> np.ndarray:
        """Where images show windows, on the plane: (W, n, 2)."""
        changed = compose(cameras + of.cameras(values), CENTRE, made)
        lifted = np.zeros((len(MIDDLES), 3))
        lifted[:, 2] = of.depths(values)
        at = geometry.apply(changed, points + lifted)[..., :2]
        return np.einsum("nab,nwb->wna", back, at)

    for p in range(of.rows.shape[-1]):
        values = np.zeros(of.rows.shape[-1])
        values[p] = step
        slope_of = (shown(values) - shown(-values)) / (2 * step)
        np.testing.assert_allclose(of.rows[..., p], slope_of, atol=1e-5, err_msg=str(p))
    values = np.random.default_rng(1).normal(size=of.rows.shape[-1])
    np.testing.assert_allclose(of.displacements(values), of.rows @ values)
    flat = values.copy()
    flat[-len(MIDDLES) :] = 0
    np.testing.assert_allclose(of.by_cameras(values), of.displacements(flat))


def blank_terms(n: int) -> Terms:
    windows = len(MIDDLES)
    rng = np.random.default_rng(6)
    root = rng.normal(size=(windows, 2 * n, 2 * n))
    information = (root @ root.transpose(0, 2, 1)).reshape(windows, n, 2, n, 2)
    nothing = np.zeros((windows, n, 1))
    return Terms(
        by_window=np.full(windows, -3.0 / windows),
        gradient=rng.normal(size=(windows, n, 2)),
        information=information,
        residual=nothing.astype(np.complex64),
        precision=nothing.astype(np.float32),
        weights=nothing[:, 0].astype(np.float32),
    )


def test_what_is_expected_of_cameras_is_part_of_what_is_maximal() -> None:
    of, made, cameras = numbers(Plane(centre=CENTRE))
    n, count = len(made), len(FREE)
    *_, expected = some_cameras()
    scatter = np.array([2e-3, 1e-3, 5e-4])
    of, terms = of.expecting(scatter, THICK), blank_terms(n)
    values = np.random.default_rng(2).normal(0, 1e-3, of.rows.shape[-1])
    off = cameras - expected
    # A rotation of all was not foreseen by anyone.
    off[:, ROTATION] -= np.median(off[:, ROTATION])
    by_image = values[: count * n].reshape(n, count)
    cost = ((off[:, [ROTATION, TILT, MAGNIFICATION]] + by_image[:, 2:]) ** 2 / scatter**2).sum()
    cost += values[count * n] ** 2 / 0.2**2
    cost += (values[count * n + 1 :] ** 2).sum() / (0.25 * THICK) ** 2
    assert of.value(terms, values) == pytest.approx(-3.0 - 0.5 * cost)
    slope = of.slope(terms, values)
    step = 1e-6
    for p in (0, 2, 3, 4, count * n, count * n + 2):
        beside = [values + sign * step * (np.arange(len(values)) == p) for sign in (-1, 1)]
        by_prior = (of.value(terms, beside[1]) - of.value(terms, beside[0])) / (2 * step)
        by_data = (of.rows[..., p] * terms.gradient).sum()
        assert slope[p] == pytest.approx(by_prior + by_data, rel=1e-4)
    rows = of.rows.reshape(len(MIDDLES), 2 * n, -1)
    blocks = terms.information.reshape(len(MIDDLES), 2 * n, 2 * n)
    wanted = np.diag(of.precision) + sum(r.T @ b @ r for r, b in zip(rows, blocks, strict=True))
    np.testing.assert_allclose(of.information(terms), wanted)


def test_a_common_shift_is_taken_from_steps_and_nothing_else() -> None:
    of, made, _ = numbers(Plane(centre=CENTRE, slope=(0.1, 0.0)))
    n = len(made)
    values = np.random.default_rng(3).normal(size=of.rows.shape[-1])
    kept = of.without_common_shift(values)
    shifts = of.rows[..., : len(FREE) * n].reshape(len(MIDDLES), n, 2, n, len(FREE))[..., :2]

    def shifted(numbers: np.ndarray) -> np.ndarray:
        of_images = numbers[: len(FREE) * n].reshape(n, len(FREE))[:, :2]
        return np.einsum("wnaib,ib->wna", shifts, of_images)[0]

    np.testing.assert_allclose(shifted(kept).mean(axis=0), 0, atol=1e-9)
    taken = shifted(values) - shifted(kept)
    np.testing.assert_allclose(taken, np.tile(taken[0], (n, 1)), atol=1e-9)
    by_image = (values - kept)[: len(FREE) * n].reshape(n, len(FREE))
    assert not by_image[:, 2:].any()
    np.testing.assert_array_equal(kept[len(FREE) * n :], values[len(FREE) * n :])
    np.testing.assert_allclose(of.without_common_shift(kept), kept, atol=1e-9)


def test_scatter_is_what_cameras_do_and_within_limits() -> None:
    of, _, cameras = numbers(Plane(centre=CENTRE))
    *_, expected = some_cameras()
    size = of.rows.shape[-1]
    nothing = np.zeros((size, size))
    found = of.scatter(np.zeros(size), nothing)
    turns = (cameras - expected)[:, ROTATION]
    assert found[0] == pytest.approx(np.sqrt(np.mean((turns - np.median(turns)) ** 2)))
    assert found[1] == 1e-3  # at most
    tight = of.scatter(-of.before, nothing)
    np.testing.assert_allclose(tight, 2e-5)
    wide = of.scatter(-of.before, np.eye(size) * 5e-4**2)
    np.testing.assert_allclose(wide, 5e-4)


def state(start: np.ndarray, thick: float = THICK) -> State:
    return State(
        projections=start,
        expected=decompose(start, CENTRE),
        scatter=SCATTER,
        plane=Plane(centre=CENTRE),
        slab=Slab(thickness=thick),
        thicker=np.ones(len(Windows.over((EDGE, EDGE), EDGE // 2).first)),
    )


@pytest.fixture(scope="module")
def aligning() -> tuple[Aligning, np.ndarray]:
    """Images with as much noise as signal, and the truth."""
    truth = tilted(TILTS, AXIS, CENTRE, EDGE)
    images = slab_images(truth, EDGE, THICK, CENTRE)
    images += np.random.default_rng(9).normal(size=images.shape).astype(np.float32)
    smooth = [scipy.ndimage.spline_filter(image, 3, output=np.float32) for image in images]
    windows = Windows.over((EDGE, EDGE), EDGE // 2)
    valid = np.ones_like(images)
    made = Aligning(
        images=np.stack(smooth), valid=valid, windows=windows, lowest=3 / windows.size, threads=1
    )
    return made, truth


@pytest.fixture(scope="module")
def bettered(aligning: tuple[Aligning, np.ndarray]) -> Bettered:
    """From the truth with shifts of about a pixel."""
    series, truth = aligning
    start = truth.copy()
    start[:, :2, 3] += np.random.default_rng(10).normal(0, 1.0, (len(TILTS), 2))
    first = better(series, state(start), 0.12)
    return better(series, first.state, 0.25)


def left(found: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Errors of shifts but for the motion of the specimen that makes up for them best: (n, 2)."""
    off = (found - truth) @ np.array([*CENTRE, 1.0])
    rows = truth[:, :2, :3].reshape(-1, 3)
    return np.asarray(
        (off[:, :2].ravel() - rows @ np.linalg.lstsq(rows, off[:, :2].ravel())[0]).reshape(-1, 2)
    )


def test_shifts_are_found_as_well_as_they_are_said_to_be(
    aligning: tuple[Aligning, np.ndarray], bettered: Bettered
) -> None:
    truth = aligning[1]
    errors = left(bettered.state.projections, truth)
    sure = certainty(bettered, 1)
    z = errors / sure.columns[:, :2]
    assert np.median(np.linalg.norm(errors, axis=1)) < 0.2
    assert 0.6 < 1.4826 * np.median(np.abs(z)) < 1.5
    assert np.mean(np.abs(z) < 2.5) > 0.9
    assert 0.02 < sure.expected < 0.5
    assert sure.inflation >= 1
    turned = np.rad2deg(decompose(bettered.state.projections, CENTRE)[:, ROTATION].mean()) - AXIS
    assert abs(turned) < max(0.3, 3 * np.rad2deg(sure.axis))


def test_without_each_window_numbers_are_what_the_others_say() -> None:
    """Against a solution without it, where the likelihood is a parabola."""
    made, _, _ = numbers(Plane(centre=CENTRE))
    of, terms = made.expecting(np.array([2e-3, 1e-3, 5e-4]), THICK), blank_terms(made.n)
    flat = of.rows.reshape(len(MIDDLES), 2 * of.n, -1)
    blocks = terms.information.reshape(len(MIDDLES), 2 * of.n, 2 * of.n)
    known = np.stack([r.T @ b @ r for r, b in zip(flat, blocks, strict=True)])
    wanted = np.einsum("wap,wa->wp", flat, terms.gradient.reshape(len(MIDDLES), -1))
    prior = np.diag(of.precision)
    best = np.linalg.solve(known.sum(axis=0) + prior, wanted.sum(axis=0))
    # Slopes where all windows together are best.
    left = [b @ (r @ best) for r, b in zip(flat, blocks, strict=True)]
    there = replace(terms, gradient=terms.gradient - np.reshape(left, terms.gradient.shape))
    off = without_each(of, there) * np.sqrt(len(MIDDLES) / (len(MIDDLES) - 1))
    for w in range(len(MIDDLES)):
        others = np.arange(len(MIDDLES)) != w
        without = np.linalg.solve(known[others].sum(axis=0) + prior, wanted[others].sum(axis=0))
        np.testing.assert_allclose(off[w], without - best, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("start", [10.0, 30.0])
def test_the_thickness_is_found_from_far(bettered: Bettered, start: float) -> None:
    there = replace(bettered, state=replace(bettered.state, slab=Slab(thickness=start)))
    found = thickness(there, 0.2, 1, Search.FAR)
    assert found.slab.thickness == pytest.approx(THICK, rel=0.15)
    assert 0 < found.error < 0.2


def test_windows_are_thicker_where_they_show_more_than_an_even_slab_would() -> None:
    even = np.random.default_rng(4).normal(0.3, 0.1, 11)
    np.testing.assert_array_equal(in_steps(even, 0.1**2), 1)
    wide = np.linspace(-0.9, 0.9, 11)
    np.testing.assert_allclose(np.log(in_steps(wide, 0.0)), wide, atol=0.12)
    # Half of the variance by chance: half of the way.
    scatter = 1.4826 * np.median(np.abs(wide))
    there = np.log(in_steps(wide, scatter**2 / 2 - 0.07**2))
    np.testing.assert_allclose(there, wide / 2, atol=0.1)


def test_parts_of_a_specimen_may_be_thicker() -> None:
    """Of a field of which one half is three times as thick as the other."""
    truth = tilted(TILTS, 0.0, CENTRE, EDGE)
    x = np.arange(EDGE) < EDGE / 2
    thin, thick = (slab_images(truth, EDGE, t, CENTRE, seed) for t, seed in ((9.0, 3), (27.0, 4)))
    images = np.where(x[:, None], thin, thick)
    images += np.random.default_rng(9).normal(0, 0.5, images.shape).astype(np.float32)
    smooth = [scipy.ndimage.spline_filter(image, 3, output=np.float32) for image in images]
    windows = Windows.over((EDGE, EDGE), EDGE // 2)
    made = Aligning(
        images=np.stack(smooth),
        valid=np.ones_like(images),
        windows=windows,
        lowest=3 / windows.size,
        threads=1,
    )
    there = better(made, state(truth, 16.0), 0.2)
    found = thickness(there, 0.2, 1, Search.FAR)
    again = replace(there.state, slab=found.slab, thicker=found.thicker)
    found = thickness(replace(there, state=again), 0.2, 1, Search.NEAR)
    y = windows.middles[:, 1]
    low, high = (np.median(found.thicker[y * sign > 5]) for sign in (-1, 1))
    assert low * found.slab.thickness == pytest.approx(9.0, rel=0.35)
    assert high * found.slab.thickness == pytest.approx(27.0, rel=0.35)


def test_a_thickness_that_is_known_stays(bettered: Bettered) -> None:
    slab = Slab(thickness=20.0)
    there = replace(bettered, state=replace(bettered.state, slab=slab))
    found = thickness(there, 0.2, 1, Search.KNOWN)
    assert found.slab.thickness == pytest.approx(20.0)


def test_images_that_lie_where_they_should_are_supported(bettered: Bettered) -> None:
    seen = predict(bettered)
    assert seen.support.min() > 8
    assert (seen.support > 1.3 * seen.rival).all()
    assert np.abs(seen.off).max() <= 1
    assert (seen.coefficient > 0.2).all()
    assert (seen.coefficient < 1).all()


@pytest.mark.parametrize("which", [4, 10, 20])
def test_a_misplaced_image_is_not_supported_and_belongs_elsewhere(
    aligning: tuple[Aligning, np.ndarray], which: int
) -> None:
    series, truth = aligning
    start = truth.copy()
    plane = Plane(centre=CENTRE)
    off = np.array([9.0, -7.0])
    start[which, :2, 3] += plane.maps(truth)[0][which] @ off
    found = better(series, state(start), 0.1)
    seen = predict(found)
    others = np.arange(len(TILTS)) != which
    assert seen.support[which] < 0.5 * np.median(seen.support)
    assert seen.rival[which] > 1.1 * seen.support[which]
    assert (seen.support[others] > seen.rival[others]).mean() > 0.9
    # Back to where it belongs, from where the fit has left it.
    moved = np.linalg.solve(
        plane.maps(truth)[0][which], (found.state.projections - truth)[which, :2, 3]
    )
    shift = np.median(
        [
            np.linalg.solve(plane.maps(truth)[0][i], (found.state.projections - truth)[i, :2, 3])
            for i in np.flatnonzero(others)
        ],
        axis=0,
    )
    np.testing.assert_allclose(seen.elsewhere[which], shift - moved, atol=2.0)


def test_images_that_agree_elsewhere_and_those_beyond_them_are_in_doubt() -> None:
    support, rival = np.full(20, 20.0), np.full(20, 10.0)
    rival[[2, 3, 4]] = 18.0
    rival[15] = 21.0
    judged = Judged(
        used=np.arange(20) + 5, support=support, rival=rival, deviation=np.full(20, 0.1)
    )
    doubts = judged.doubts("a")
    assert sorted(doubts) == [5, 6, 7, 8, 9, 20]
    assert "in doubt alone" in doubts[5]
    assert "as well elsewhere" in doubts[7]
    # A body's stripes agree elsewhere as well, and nothing better is known.
    assert sorted(replace(judged, most=1.0).doubts("a")) == [20]
