"""How particles move: modes of motion, what is learned of them, and motions that are known."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from tests.builders.particle_correlations import (
    PIXEL,
    Case,
    dose_order,
    projections,
    residual_of,
    series,
)
from tomoset import geometry
from tomoset.align.particles import MotionOptions, ParticleOptions, _slow, fit_particles
from tomoset.align.particles.free_parameters import GROUPS, MOTION, Choice, Prior
from tomoset.align.particles.model import design
from tomoset.align.particles.motion_priors import MotionModes
from tomoset.align.particles.motion_variances import learn_motion_variances
from tomoset.align.particles.newton import build, reduce
from tomoset.align.particles.stages import Task, initial_state, with_free
from tomoset.errors import ModelError

rng = np.random.default_rng(7)


@pytest.fixture(scope="module")
def small():
    return series(Case(seed=3, particles=8, tilts=5, half=14, position_error=0.5, far=0.2))


def test_information_on_motion_is_that_of_its_derivatives(small):
    task = Task.of(small[0], ParticleOptions(motion=MotionOptions(max_modes=12)))
    state = with_free(task, initial_state(task), Choice(motion=True), task.movable)
    free, modes = state.problem.free, state.problem.model.modes
    found = build(state.problem, state.found, state.noise)
    weight = state.noise.amplitude[:, None] ** 2 * state.found.weights
    information = weight[..., None, None] * state.problem.splines.information
    projected = state.found.projected
    by_voxel = np.stack([projected.by_voxel(t) for t in range(5)])
    on_positions = np.swapaxes(by_voxel, 2, 3) @ information @ by_voxel
    of = free.motion.ravel()
    expected = _slow.mix(modes.space, modes.which, modes.time, on_positions)
    np.testing.assert_allclose(
        found.normal[np.ix_(of, of)], expected.reshape(len(of), -1), atol=1e-9
    )
    mixed = np.zeros((free.size, len(of)))
    for t in range(5):
        slopes, which = design(state.problem.model, free, projected, t)
        shared = np.einsum("pif,pij,pjk->pfk", slopes, information[t], by_voxel[t])
        reach = modes.space[:, modes.which] * modes.time[t]
        mixed[which] += np.einsum("pfk,pm->fmk", shared, reach).reshape(len(which), -1)
    mixed[of] = found.normal[np.ix_(of, of)]
    np.testing.assert_allclose(found.normal[:, of], mixed, atol=1e-9)


def test_motion_begins_at_the_lowest_dose_and_has_its_covariance():
    positions, dose = rng.uniform(0, 900, (40, 3)), np.array([6.0, 0.0, 3.0, 12.0])
    options = MotionOptions(sigma_velocity=0.4, sigma_divergence=2000, max_modes=1000)
    linear = projections(4)[:, :2, :3]
    motions = MotionModes.of(positions, dose, linear, PIXEL, options)
    apart = np.linalg.norm(positions[:, None] - positions, axis=2) * PIXEL
    velocity = 0.16 * np.exp(-apart / 2000)
    # Velocities of all images independent; Brownian; constant.
    for kind, expected in enumerate((18.0, 6.0**2 * (3 * 12 - 6) / (6 * 12), 6.0 * 12.0)):
        modes = motions.detailed(np.eye(3)[kind])
        assert np.abs(modes.time[1]).max() < 1e-9
        mine = modes.priors[modes.when] == kind
        reach = modes.space[:, modes.which[mine]][None] * modes.time[:, None, mine]
        covariance = np.einsum("tpm,uqm->tpuq", reach, reach) * PIXEL**2
        np.testing.assert_allclose(
            covariance[0, :, 3, :], expected * velocity, atol=0.006 * expected
        )
    with pytest.raises(ModelError, match="dose"):
        MotionModes.of(positions, np.zeros(4), linear, PIXEL, options)


def test_averages_are_where_moving_particles_are_picked():
    positions, dose = rng.uniform(0, 900, (6, 3)), dose_order(9)
    P = projections(9)
    motions = MotionModes.of(positions, dose, P[:, :2, :3], PIXEL, MotionOptions(max_modes=40))
    modes = motions.coarse()
    coefficients = rng.standard_normal((modes.count, 3))
    displacement = modes.displacements(coefficients)
    seen = np.stack([geometry.apply(P[t], positions + displacement[t])[:, :2] for t in range(9)])
    rows, aims = P[:, :2, :3].reshape(-1, 3), seen - P[:, None, :2, 3]
    picked = np.linalg.lstsq(rows, aims.transpose(0, 2, 1).reshape(18, -1), rcond=None)[0].T
    averages = modes.averages(coefficients)
    np.testing.assert_allclose(positions + averages, picked, atol=1e-9)
    # And what information, slopes and reach say of them.
    stiff, by_position = rng.uniform(1, 2, 6), rng.standard_normal((6, 3))
    reach = modes.averages_reach()
    np.testing.assert_allclose(np.einsum("mipj,mi->pj", reach, coefficients), averages, atol=1e-9)
    expected = np.einsum("mipj,pj->mi", reach, by_position)
    np.testing.assert_allclose(modes.averages_slope(by_position), expected, atol=1e-9)
    expected = np.einsum("aipk,p,bjpk->aibj", reach, stiff, reach)
    np.testing.assert_allclose(modes.averages_normal(stiff), expected, atol=1e-9)


@pytest.mark.parametrize("averaging", [1.0, 0.3])
def test_eliminated_positions_give_the_solution_of_the_whole_matrix(small, averaging):
    """Against information on free parameters and positions together, with the prior's by differences."""
    task = Task.of(small[0], ParticleOptions(motion=MotionOptions(max_modes=12)))
    state = with_free(task, initial_state(task), Choice(motion=True), task.movable)
    prior = replace(state.problem.prior, averaging=averaging, position_variance=0.7)
    problem = replace(state.problem, prior=prior)
    vector = 0.1 * rng.standard_normal(len(state.vector))
    displacement = 0.1 * rng.standard_normal(state.displacement.shape)
    system = build(problem, state.found, state.noise)
    reduced = reduce(system, problem, vector, displacement)
    size, count = len(vector), 3 * len(displacement)
    # The prior is of `averaged`: its weights held, a quadratic form of a linear map.
    away = problem.averaged(vector, displacement)
    _, expected, stiff = prior.position_terms(away)
    by = np.zeros((count, size + count))
    for i in range(size):
        step = np.eye(size)[i]
        by[:, i] = (problem.averaged(vector + step, displacement) - away).ravel()
    by[:, size:] = np.eye(count)
    whole = by.T @ (np.repeat(stiff, 3)[:, None] * by)
    slope = by.T @ expected.ravel()
    whole[:size, :size] += system.normal
    flat = system.cross.reshape(size, count)
    whole[:size, size:] += flat
    whole[size:, :size] += flat.T
    for p, block in enumerate(system.data):
        at = slice(size + 3 * p, size + 3 * p + 3)
        whole[at, at] += block
    slope[:size] += system.slope
    slope[size:] += system.position_slope.ravel()
    inner = np.linalg.inv(whole[size:, size:])
    across = whole[:size, size:]
    np.testing.assert_allclose(
        reduced.normal, whole[:size, :size] - across @ inner @ across.T, atol=1e-8
    )
    np.testing.assert_allclose(
        reduced.slope, slope[:size] - across @ inner @ slope[size:], atol=1e-8
    )


def test_coefficients_of_coarse_modes_carry_over_to_detailed_ones():
    positions = rng.uniform(0, 900, (30, 3))
    linear = projections(9)[:, :2, :3]
    motions = MotionModes.of(positions, dose_order(9), linear, PIXEL, MotionOptions(max_modes=500))
    coarse, detailed = motions.coarse(), motions.detailed(np.ones(3))
    coefficients = rng.standard_normal((coarse.count, 3))
    carried = coarse.for_modes(coefficients, detailed)
    np.testing.assert_allclose(
        detailed.displacements(carried), coarse.displacements(coefficients), atol=1e-9
    )
    assert len(motions.detailed(np.array([1.0, 0.0, 0.0])).which) == min(500, 30 * 8 + 30 * 8 + 30)


def test_the_motion_prior_is_chosen_by_marginal_likelihood():
    """Against the density of the data, with all numbers integrated out by hand."""
    positions = rng.uniform(0, 900, (12, 3))
    linear = projections(9)[:, :2, :3]
    modes = MotionModes.of(positions, dose_order(9), linear, PIXEL, MotionOptions()).coarse()
    size = 3 * modes.count
    group = MOTION + np.repeat(modes.priors[modes.when], 3)
    reach = rng.standard_normal((60, size))
    truth = rng.standard_normal(size) * np.where(group == MOTION, 0.02, 1.5)
    data = reach @ truth + 0.1 * rng.standard_normal(60)
    normal, side = reach.T @ reach / 0.01, reach.T @ data / 0.01
    start = Prior(
        mean=np.zeros(size),
        scale=np.ones(size),
        group=group,
        ridge=np.zeros(size),
        variance=np.full(len(GROUPS), 0.25),
        position_variance=1.0,
    )
    at = 0.1 * rng.standard_normal(size)
    learned = learn_motion_variances(start, modes, (normal, side - normal @ at), at)

    def log_marginal(prior: Prior) -> float:
        covariance = (reach * prior.variance[group]) @ reach.T + 0.01 * np.eye(60)
        return float(multivariate_normal(np.zeros(60), covariance).logpdf(data))

    best = log_marginal(learned)
    assert best > log_marginal(start) + 10
    for kind, factor in itertools.product(range(3), (0.5, 2.0)):
        variance = learned.variance[MOTION + kind] * factor
        if variance <= 4.0:
            assert log_marginal(learned.with_variances(MOTION + kind, variance)) < best + 0.05


@pytest.mark.parametrize(
    ("moving", "expected"),
    # Of Brownian motion, the first images, which are hardly tilted, do not show how it begins along z.
    [
        pytest.param({"velocity": 0.7}, 0.7, marks=pytest.mark.slow),
        pytest.param({"linear": 0.4}, 0.2, marks=pytest.mark.slow),
        pytest.param({"velocity": 0.5, "linear": 0.3}, 0.3, marks=pytest.mark.slow),
    ],
)
def test_motion_is_found_from_where_particles_were_picked(moving, expected):
    case = Case(particles=100, half=16, picked=True, position_error=0.2, shift=0.5, **moving)
    problem, truth = series(case)
    fit = fit_particles(problem, ParticleOptions(motion=MotionOptions()))
    true = np.swapaxes(truth.motion, 0, 1) * PIXEL
    off = fit.trajectories - true
    known = np.sqrt((fit.motion_deviations**2).sum(axis=1).mean())
    assert 0.5 < np.sqrt((off**2).sum(axis=-1).mean()) / known < 2
    # What all have in common, shifts of images explain as well.
    true, off = (x - x.mean(axis=0) for x in (true, off))
    assert (off**2).mean() < expected**2 * (true**2).mean()


def test_motion_is_recovered_and_none_is_found_without_it():
    options = ParticleOptions(motion=MotionOptions(max_modes=150))
    # What all have in common, shifts of images explain as well, unless these are small.
    problem, truth = series(Case(particles=80, half=12, velocity=0.7, shift=0.5))
    fit = fit_particles(problem, options)
    true = np.swapaxes(truth.motion, 0, 1) * PIXEL
    off = fit.trajectories - true
    apart = [x - x.mean(axis=0) for x in (true, off)]
    assert (off**2).mean() < 0.5**2 * (true**2).mean()
    assert (apart[1] ** 2).mean() < 0.6**2 * (apart[0] ** 2).mean()
    first = int(np.argmin(problem.pre_exposure))
    assert np.abs(fit.trajectories[:, first]).max() < 1e-9
    still, options = (
        Case(particles=40, half=8),
        replace(options, motion=MotionOptions(max_modes=50)),
    )
    for checked in (True, False):
        now = residual_of(still, replace(options, cross_validation=checked))
        assert now < 1.05 * residual_of(still, replace(ParticleOptions(), cross_validation=checked))


def test_motion_of_the_size_of_its_error_is_not_reported():
    """Magnifications that nobody fits are explained by it a little."""
    problem, _ = series(Case(particles=100, half=8, magnification=6e-4))
    fit = fit_particles(problem, ParticleOptions(motion=MotionOptions(max_modes=100)))
    (gain,) = (g for g in fit.gains if g.name == "motion")
    assert gain.gain > 2 * gain.error
    assert gain.small
    assert not gain.kept
    assert not fit.trajectories.any()


def test_known_motion_is_taken_into_account():
    problem, _ = series(Case(particles=20, tilts=11, half=8))
    trajectories = rng.normal(0, 3, (20, 11, 3))
    there = np.stack(
        [
            geometry.apply(P[None], problem.positions + trajectories[:, t] / PIXEL)[0, :, :2]
            for t, P in enumerate(problem.projections)
        ],
        axis=1,
    )
    shifted = replace(
        problem, correlations=replace(problem.correlations, at=there), trajectories=trajectories
    )
    one, two = fit_particles(problem), fit_particles(shifted)
    np.testing.assert_allclose(one.projections, two.projections, atol=5e-3)
    np.testing.assert_allclose(two.trajectories, trajectories, atol=0.05)
