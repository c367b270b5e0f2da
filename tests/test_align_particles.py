"""Alignment by particles: the fit, on cross-correlations whose truth is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.builders.particle_correlations import (
    IMAGE,
    SIZE,
    Case,
    changed,
    projections,
    residual,
    residual_of,
    series,
)
from tomoset import geometry
from tomoset.align import gauge
from tomoset.align.particles import (
    DeformationOptions,
    MotionOptions,
    ParticleOptions,
    ParticleProblem,
    _kernels,
    _slow,
    changes_between,
    fit_particles,
)
from tomoset.align.particles.cameras import Cameras
from tomoset.align.particles.free_parameters import Choice
from tomoset.align.particles.likelihood import objective
from tomoset.align.particles.stages import Task, initial_state, with_free
from tomoset.errors import ModelError
from tomoset.model import Deformation

rng = np.random.default_rng(7)
NO_CHECK = ParticleOptions(cross_validation=False)


@pytest.fixture(scope="module")
def small():
    return series(Case(seed=3, particles=8, tilts=5, half=14, position_error=0.5, far=0.2))


def spline(rms: float, tilts: int, seed: int = 5) -> Deformation:
    numbers = np.tile([1, 0.5, 0.5, 0.25], 18) * np.random.default_rng(seed).standard_normal(72)
    every = np.broadcast_to(numbers, (tilts, 72))
    deformation = Deformation(kind="spline", grid=(3, 3), coefficients=every)
    now = np.sqrt((field(deformation) ** 2).sum(axis=-1).mean())
    return Deformation(kind="spline", grid=(3, 3), coefficients=every * rms / now)


def field(deformation: Deformation) -> np.ndarray:
    axes = [np.linspace(0.1 * side, 0.9 * side, 12) for side in IMAGE]
    points = np.stack(np.meshgrid(*axes), axis=-1).reshape(-1, 2)
    every = np.broadcast_to(points, (len(deformation.coefficients), *points.shape))
    return deformation.displacement(every, image_size=IMAGE)


# What the parts do


def test_splines_agree_with_the_reference(small):
    splines = Task.of(small[0], NO_CHECK).splines
    correlations, step = small[0].correlations.values.astype(np.float64), small[0].correlations.step
    p, t = np.argwhere(small[0].correlations.visible)[3]
    np.testing.assert_allclose(
        splines.coefficients[p, t], _slow.prefilter(correlations[p, t]), rtol=1e-4, atol=1e-3
    )
    for offset in ([0.3, -2.7], [11.2, 4.9], [-10.6, -11.7], [13.0, 0.0]):
        at = np.zeros((5, 8, 2))
        at[t, p] = offset
        value, slope = splines.values(at)
        expected = _slow.value(correlations[p, t], np.array(offset), step)
        assert value[t, p] == pytest.approx(expected, rel=1e-4, abs=1e-4)
        for axis in range(2):
            ends = [at + sign * 1e-5 * np.eye(2)[axis] for sign in (1, -1)]
            numeric = (splines.values(ends[0])[0] - splines.values(ends[1])[0])[t, p] / 2e-5
            assert slope[t, p, axis] == pytest.approx(numeric, rel=1e-6, abs=1e-6)


def test_searches_agree_with_the_reference(small):
    values, step = small[0].correlations.values, 1.0
    weights = rng.uniform(size=values.shape[:2])
    offsets = rng.uniform(-20, 20, (5, 8, 2))
    total = np.zeros(values.shape[1:])
    _kernels.stack(values, weights, offsets, step, total)
    np.testing.assert_allclose(total, _slow.stack(values, weights, offsets, step), atol=1e-9)
    linear, moves = rng.uniform(-1, 1, (5, 2, 3)), rng.uniform(-9, 9, (8, 4, 3))
    out = np.zeros((8, 4))
    _kernels.scores(values, weights, offsets, linear, moves, step, out)
    for p, k in np.ndindex(8, 4):
        there = offsets[:, p] + linear @ moves[p, k]
        assert out[p, k] == pytest.approx(_slow.score(values[p], weights[p], there, step))


def test_projections_are_those_of_the_written_model():
    P = projections(5)
    numbers = rng.standard_normal((5, 8)) * [0.1, 0.1, 0.1, 2, 2, 0, 0, 0]
    numbers[:, 5] = 0.01
    cameras = Cameras.of(P, (np.array(SIZE) - 1) / 2, numbers)
    expected = changed(P, np.rad2deg(numbers[:, :3]), numbers[:, 3:5], numbers[:, 5])
    np.testing.assert_allclose(cameras.projections[:, :2], expected[:, :2], atol=1e-9)
    points = rng.uniform(0, 900, (4, 3))
    np.testing.assert_allclose(
        cameras.projected(points)[0], geometry.apply(expected, points)[..., :2], atol=1e-9
    )


def test_slopes_of_cameras_are_finite_differences():
    P, middle = projections(5), (np.array(SIZE) - 1) / 2
    points = rng.uniform(0, 900, (4, 3))
    numbers = rng.standard_normal((5, 8)) * [0.1, 0.1, 0.1, 2, 2, 0.02, 0.02, 0.02]
    cameras = Cameras.of(P, middle, numbers)
    arms = cameras.projected(points)[1]
    for column in range(8):
        h = 1e-6 * np.eye(8)[column]
        ends = [Cameras.of(P, middle, numbers + sign * h).projected(points)[0] for sign in (1, -1)]
        numeric = (ends[0] - ends[1]) / 2e-6
        for tilt in range(5):
            ours = cameras.slopes_at(tilt, arms[tilt])[..., column]
            np.testing.assert_allclose(ours, numeric[tilt], atol=1e-5)


@pytest.mark.parametrize(
    ("kind", "grid", "per_tilt", "magnification"),
    [
        ("spline", (3, 3), False, "tilt"),
        ("linear", (3, 3), True, "common"),
        ("Fourier", (5, 4), False, "tilt"),
    ],
)
def test_gradients_are_finite_differences(small, kind, grid, per_tilt, magnification):
    deformation = DeformationOptions(kind=kind, grid=grid, per_tilt=per_tilt, regularisation=0.1)
    what = {"magnification": magnification, "anisotropic": True}
    options = ParticleOptions(
        deformation=deformation, motion=MotionOptions(max_modes=9), range=7, **what
    )
    task = Task.of(small[0], options)
    state = with_free(
        task, initial_state(task), Choice(deformation=True, motion=True, **what), task.movable
    )
    problem = state.problem
    scale = problem.prior.scale * np.sqrt(problem.prior.variance[problem.prior.group])
    vector = state.vector + 0.3 * scale * rng.standard_normal(len(scale))
    displacement = state.displacement + 0.5 * rng.standard_normal(state.displacement.shape)
    displacement[0] += 5  # beyond the range
    displacement[1] += 14  # out of the correlation
    # Bad and good ones alike, so that weights matter.
    noise = replace(
        state.noise, bad=0.3, occam=state.found.log_likelihood_ratio + state.noise.occam
    )
    _, by_parameter, by_position = objective(problem, vector, displacement, noise)

    def numeric(i: int, h: float) -> float:
        ends = []
        for sign in (h, -h):
            there = vector.copy()
            there[i] += sign
            ends.append(objective(problem, there, displacement, noise)[0])
        return (ends[0] - ends[1]) / (2 * h)

    differences = np.array([numeric(i, 1e-5 * s) for i, s in enumerate(scale)]) * scale
    largest = np.abs(differences).max()
    np.testing.assert_allclose(by_parameter * scale, differences, rtol=1e-5, atol=1e-6 * largest)
    for p, axis in np.ndindex(displacement.shape):
        h = np.zeros(displacement.shape)
        h[p, axis] = 1e-5
        ends = [objective(problem, vector, displacement + sign * h, noise)[0] for sign in (1, -1)]
        slope = (ends[0] - ends[1]) / 2e-5
        assert by_position[p, axis] == pytest.approx(
            slope, rel=1e-5, abs=1e-6 * np.abs(by_position).max()
        )


# What a fit finds


@pytest.fixture(scope="module")
def usual():
    problem, truth = series(Case(particles=100, half=12))
    return problem, truth, fit_particles(problem)


def test_residual_is_as_expected_from_the_noise(usual):
    problem, truth, fit = usual
    before, after = (
        residual(P, truth.projections, truth.positions)
        for P in (problem.projections, fit.projections)
    )
    assert before > 1.9
    assert after < 0.12
    assert after < 1.3 * np.sqrt((fit.expected**2).mean())
    assert fit.kept.all()
    assert fit.log_likelihood > fit.log_likelihood_before
    assert [gain.name for gain in fit.gains if gain.kept] == ["angles"]
    # What was not wrong is not changed.
    assert fit.spreads["phi"] < 0.03 < fit.spreads["theta"]
    np.testing.assert_allclose(np.nanmean(fit.residuals), 0.9, atol=0.06)
    rotations = fit.projections[:, :3, :3]
    np.testing.assert_allclose(
        rotations @ np.swapaxes(rotations, 1, 2),
        np.broadcast_to(np.eye(3), rotations.shape),
        atol=1e-9,
    )


def test_the_tomogram_stays_where_it_was(usual):
    problem, _, fit = usual
    found = gauge.find(problem.projections, fit.projections, fit.positions, scaled=False)
    np.testing.assert_allclose(found.motion, np.eye(4), atol=1e-3)


def test_standard_deviations_are_right():
    squares, positions = [], []
    for seed in range(2):
        problem, truth = series(Case(seed=seed, particles=60, half=8))
        fit = fit_particles(problem)
        lies = gauge.find(problem.projections, truth.projections, truth.positions, scaled=False)
        true = truth.projections @ np.linalg.inv(lies.motion)
        rotation = geometry.nearest_rotation(
            true[:, :3, :3] @ np.linalg.inv(problem.projections[:, :3, :3])
        )
        psi = np.rad2deg(np.arctan2(rotation[:, 1, 0], rotation[:, 0, 0]))
        tilt = geometry.tilt_angles(true) - geometry.tilt_angles(problem.projections)
        middle = (np.array(SIZE)[None] - 1) / 2
        shift = (
            geometry.apply(true, middle)[:, 0, :2]
            - geometry.apply(problem.projections, middle)[:, 0, :2]
        )
        off = fit.changes[:, 1:5] - np.column_stack([tilt, psi, shift])
        squares.append((off / fit.deviations[:, 1:5]) ** 2)
        there = geometry.apply(lies.motion, truth.positions)
        positions.append(((fit.positions - there) / fit.position_deviations) ** 2)
    assert 0.75 < np.nanmean(squares) < 1.35
    assert 0.8 < np.mean(positions) < 1.3


@pytest.mark.parametrize("axis", [4.0, 87.0, -95.0])
@pytest.mark.parametrize("depth", [1, -1])
def test_changes_are_told_about_the_tilt_axis(axis, depth):
    angles = np.array([[0.3, -40.0, axis], [0.0, 20.0, axis], [-0.2, 55.0, axis]])
    more = np.array([[0.05, 0.1, 0.0], [0.02, -0.2, 0.0], [-0.04, 0.05, 0.3]])
    sizes = {"size": SIZE, "image_size": IMAGE}
    old, new = (
        geometry.rigid_projections(a, np.zeros((3, 2)), **sizes) for a in (angles, angles + more)
    )
    for matrices in (old, new):
        matrices[:, 2] *= depth
    found = changes_between(old, new, SIZE)
    # A turn about the tomogram's x axis is one about the beam too, by how far that is tilted.
    x, y, z = more.T
    tilt = np.deg2rad(angles[:, 1])
    expected = np.column_stack([x * np.cos(tilt), y, z - x * np.sin(tilt)])
    np.testing.assert_allclose(found[:, :3], expected, atol=1e-3)


def test_changes_say_shifts_at_the_middle_and_strains_less_one():
    rng = np.random.default_rng(4)
    angles = np.column_stack([np.zeros(3), [-40.0, 0.0, 50.0], np.full(3, 85.0)])
    old = geometry.rigid_projections(angles, rng.normal(size=(3, 2)), size=SIZE, image_size=IMAGE)
    columns = np.zeros((3, 8))
    columns[:, 3:] = 0.01 * rng.normal(size=(3, 5)) * [100, 100, 1, 1, 1]
    new = Cameras.of(old, (np.array(SIZE) - 1) / 2, columns).projections
    np.testing.assert_allclose(changes_between(old, new, SIZE), columns, atol=1e-9)


@pytest.mark.slow
def test_misplaced_particles_do_little_harm():
    case = Case(particles=60, half=16, far=0.2)
    clean = residual_of(replace(case, far=0.0))
    assert residual_of(case) < 1.3 * clean + 0.01  # found again
    assert residual_of(replace(case, far_by=25.0)) < 1.4 * clean + 0.02  # not in the correlations
    problem, truth = series(replace(case, far_by=25.0))
    fit = fit_particles(problem)
    assert fit.weights[truth.wrong].max() < 0.01
    assert fit.weights[~truth.wrong].min() > 0.9


def test_deformation_is_recovered():
    deformation = spline(2.0, 21)
    problem, truth = series(Case(particles=120, half=12, deformation=deformation))
    fit = fit_particles(problem, ParticleOptions(deformation=DeformationOptions()))
    assert fit.deformation is not None
    seen = [
        q + d.displacement(q, image_size=IMAGE)
        for P, X, d in (
            (fit.projections, fit.positions, fit.deformation),
            (truth.projections, truth.positions, deformation),
        )
        for q in [geometry.apply(P, X)[..., :2]]
    ]
    assert np.sqrt(((seen[0] - seen[1]) ** 2).sum(axis=-1).mean()) < 0.3
    assert (fit.deformation_deviations > 0.02).all()
    assert (fit.deformation_deviations < 1.0).all()
    # But for what shifts and maps of the specimen do as well.
    off = field(fit.deformation)[0] - field(deformation)[0]
    axes = [np.linspace(0, 1, 12)] * 2
    flat = np.column_stack([np.ones(144), np.stack(np.meshgrid(*axes), axis=-1).reshape(-1, 2)])
    assert (
        np.sqrt(((off - flat @ np.linalg.lstsq(flat, off, rcond=None)[0]) ** 2).sum(axis=-1).mean())
        < 0.3
    )
    # Again, from there: nothing to be done.
    plain = fit_particles(
        series(Case(particles=60, half=8))[0], ParticleOptions(deformation=DeformationOptions())
    )
    assert plain.deformation is None


def test_an_old_deformation_stays_or_is_where_a_new_one_begins():
    deformation = spline(2.0, 21)
    case = Case(particles=60, half=8, deformation=deformation, old_deformation=deformation)
    problem, truth = series(case)
    fit = fit_particles(problem)
    assert fit.deformation is deformation
    assert residual(fit.projections, truth.projections, truth.positions) < 0.15
    again = fit_particles(
        problem, ParticleOptions(deformation=DeformationOptions(), cross_validation=False)
    )
    assert np.sqrt(((field(again.deformation) - field(deformation)) ** 2).sum(axis=-1).mean()) < 0.3


def test_magnification_of_each_tilt():
    case = Case(particles=60, half=10, magnification=0.001)
    problem, truth = series(case)
    fit = fit_particles(problem, ParticleOptions(magnification="tilt"))
    assert [g.kept for g in fit.gains] == [True, True]
    assert residual(fit.projections, truth.projections, truth.positions, affine=True) < 0.2
    assert residual_of(case) > 1.3 * residual(fit.projections, truth.projections, truth.positions)
    still = fit_particles(
        series(Case(particles=60, half=8))[0], ParticleOptions(magnification="tilt")
    )
    assert [g.kept for g in still.gains] == [True, False]
    assert np.abs(still.changes[:, 5:]).max() < 1e-9


def test_fixed_parameters_do_not_change():
    problem, _ = series(Case(particles=30, half=8))
    held = fit_particles(problem, ParticleOptions(constant_angles=True))
    assert np.abs(held.changes[:, :3]).max() < 1e-9
    assert np.abs(held.changes[:, 3:5]).max() > 1
    held = fit_particles(problem, ParticleOptions(constant_particles=True))
    np.testing.assert_array_equal(held.positions, problem.positions)
    held = fit_particles(problem, ParticleOptions(shift_only="particles"))
    assert np.abs(held.changes[:, :3]).max() < 1e-9
    np.testing.assert_array_equal(held.positions, problem.positions)
    held = fit_particles(problem, ParticleOptions(constant_angles=True, constant_shifts=True))
    np.testing.assert_array_equal(held.projections, problem.projections)
    assert not held.kept.any()
    nothing = ParticleOptions(constant_angles=True, constant_shifts=True, constant_particles=True)
    held = fit_particles(problem, nothing)
    np.testing.assert_array_equal(held.projections, problem.projections)
    np.testing.assert_array_equal(held.positions, problem.positions)


def test_a_right_alignment_stays_right():
    problem, truth = series(Case(particles=60, half=8, shift=0.0, angle=(0, 0, 0)))
    fit = fit_particles(problem)
    assert residual(fit.projections, truth.projections, truth.positions) < 0.06
    np.testing.assert_array_equal(fit.projections[~fit.kept], problem.projections[~fit.kept])


def test_repeated_runs_give_the_same_result():
    problem, _ = series(Case(particles=12, tilts=11, half=8))
    one, two = fit_particles(problem), fit_particles(problem)
    np.testing.assert_array_equal(one.projections, two.projections)
    np.testing.assert_array_equal(one.positions, two.positions)


def test_correlations_in_a_file_are_as_good(tmp_path):
    problem, _ = series(Case(particles=12, tilts=11, half=8))
    shape = problem.correlations.values.shape
    values = np.memmap(tmp_path / "w", np.float32, mode="w+", shape=shape)
    values[:] = problem.correlations.values
    filed = replace(problem, correlations=replace(problem.correlations, values=values))
    one, two = fit_particles(problem), fit_particles(filed)
    np.testing.assert_array_equal(one.projections, two.projections)


def of(problem: ParticleProblem, rows: slice) -> ParticleProblem:
    w = problem.correlations
    names = ("values", "at", "energy", "information", "visible")
    correlations = replace(w, **{name: getattr(w, name)[rows] for name in names})
    return replace(problem, correlations=correlations, positions=problem.positions[rows])


@pytest.mark.parametrize("count", [0, 1, 2])
def test_few_or_no_particles_give_a_finite_fit(small, count):
    problem = of(small[0], slice(0, count))
    options = ParticleOptions(
        motion=MotionOptions(), deformation=DeformationOptions(), magnification="tilt"
    )
    for checked in (True, False):
        fit = fit_particles(problem, replace(options, cross_validation=checked))
        assert np.isfinite(fit.projections).all()
        assert fit.positions.shape == (count, 3)
        assert fit.trajectories.shape == (count, 5, 3)
        if not count:
            np.testing.assert_array_equal(fit.projections, problem.projections)


def test_a_tilt_without_particles_stays():
    problem, _ = series(Case(particles=30, half=8))
    w = problem.correlations
    shown = w.visible.copy()
    shown[:, 4] = False
    values = np.where(shown[..., None, None], w.values, 0)
    fit = fit_particles(replace(problem, correlations=replace(w, visible=shown, values=values)))
    np.testing.assert_array_equal(fit.projections[4], problem.projections[4])
    assert not fit.kept[4]
    assert np.isnan(fit.deviations[4]).all()
    assert fit.kept.sum() >= 18
    blind = replace(w, visible=np.zeros_like(shown), values=np.zeros_like(values))
    fit = fit_particles(replace(problem, correlations=blind))
    np.testing.assert_array_equal(fit.projections, problem.projections)
    np.testing.assert_allclose(fit.positions, problem.positions)


def test_bad_input_is_refused(small):
    problem = small[0]
    with pytest.raises(ModelError, match="finite"):
        replace(problem, positions=np.full((8, 3), np.nan))
    with pytest.raises(ModelError, match="shape"):
        replace(problem, projections=problem.projections[:3])
    values = problem.correlations.values.copy()
    p, t = np.argwhere(problem.correlations.visible)[0]
    values[p, t, 3, 3] = np.nan
    with pytest.raises(ModelError, match=r"particle 1 .*finite"):
        fit_particles(replace(problem, correlations=replace(problem.correlations, values=values)))
    with pytest.raises(ModelError, match="shift_only"):
        ParticleOptions(shift_only="pictures")
