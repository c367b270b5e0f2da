"""Model selection: from simple models to rich ones, each from the fit of the one before it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from tomoset.align.gauge import Gauge
from tomoset.align.particles.certainty import motion_stands_out
from tomoset.align.particles.frame import frame
from tomoset.align.particles.free_parameters import (
    MOTION,
    Choice,
    Parameters,
    free_parameters,
    prior,
)
from tomoset.align.particles.held_out import Predicted, held_out
from tomoset.align.particles.likelihood import Noise, Problem, evaluate
from tomoset.align.particles.model import Model
from tomoset.align.particles.motion_priors import MOTION_PRIORS, MotionModes
from tomoset.align.particles.newton import State, build, optimise, with_noise
from tomoset.align.particles.problem import ParticleOptions, ParticleProblem
from tomoset.align.particles.result import Gain
from tomoset.align.particles.splines import CorrelationSplines
from tomoset.align.particles.start import middle, start
from tomoset.geometry import DeformationBasis

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

#: A group of parameters must gain so many standard errors; a tilt image, so many.
_SIGMAS, _SIGMAS_TILT = 2.0, 1.0
#: A motion may be as small as its error if it gains so many standard errors.
_SIGMAS_MOTION = 6.0
#: Less than this is a rounding error, not a gain.
_ROUNDING = 0.1
#: Steps from a fit that had converged, after some tilt images got their old cameras.
_AGAIN = 6


@dataclass(frozen=True, kw_only=True, eq=False)
class Task:
    """What all models share."""

    problem: ParticleProblem
    options: ParticleOptions
    splines: CorrelationSplines
    motions: MotionModes | None

    @classmethod
    def of(cls, problem: ParticleProblem, options: ParticleOptions) -> Task:
        """Set up: splines of the cross-correlations, and modes of motion."""
        moving = None
        if options.motion is not None and len(problem.positions):
            dose = np.asarray(problem.pre_exposure, dtype=np.float64)
            linear = np.asarray(problem.projections)[:, :2, :3]
            at, px = problem.positions, problem.pixel_size
            moving = MotionModes.of(at, dose, linear, px, options.motion)
        splines = CorrelationSplines.of(problem, options.range)
        return cls(problem=problem, options=options, splines=splines, motions=moving)

    @property
    def movable(self) -> Mask:
        """Tilt images that show particles."""
        return np.asarray(self.splines.visible.any(axis=0))

    def choices(self) -> list[tuple[str, Choice]]:
        """Models from simple to rich, each with the name of what it has more."""
        o = self.options
        only = bool(o.shift_only)
        choice = Choice(
            shifts=only or not o.constant_shifts,
            angles=False,
            particles=not (o.constant_particles or only),
        )
        found = [("", choice)]

        def more(name: str, wanted: bool, **what: object) -> None:
            if wanted and not only:
                found.append((name, replace(found[-1][1], **what)))  # type: ignore[arg-type]

        more("angles", not o.constant_angles, angles=True)
        more(
            "magnification",
            bool(o.magnification),
            magnification=o.magnification,
            anisotropic=o.anisotropic,
        )
        more("deformation", o.deformation is not None, deformation=True)
        more("motion", self.motions is not None, motion=True)
        return found


@dataclass(frozen=True, kw_only=True, eq=False)
class Selected:
    """The richest model that predicts better.

    Parameters
    ----------
    state : State
    choice : Choice
    gains : tuple of Gain
    predicted : Predicted or None
        None without cross-validation.
    frame : Gauge
    """

    state: State
    choice: Choice
    gains: tuple[Gain, ...]
    predicted: Predicted | None
    frame: Gauge


def initial_state(task: Task) -> State:
    """Shifts and positions by a search (`start`)."""
    problem, choice = task.problem, task.choices()[0][1]
    found = start(problem, task.splines, shifts=choice.shifts, particles=choice.particles)
    n_tilts = len(problem.projections)
    basis, coefficients = _given_deformation(problem)
    modes = None if task.motions is None else task.motions.coarse()
    tilt = np.zeros((n_tilts, 8))
    tilt[:, 3:5] = found.shifts
    parameters = Parameters(
        tilt=tilt,
        common=np.zeros(8),
        deformation=coefficients,
        motion=np.zeros((modes.count if modes is not None else 0, 3)),
        displacement=found.displacement,
    )
    model = Model(
        projections=np.asarray(problem.projections, dtype=np.float64),
        middle=middle(problem.size),
        positions=np.asarray(problem.positions, dtype=np.float64),
        at=np.ascontiguousarray(np.swapaxes(problem.correlations.at, 0, 1), dtype=np.float64),
        basis=basis,
        modes=modes,
        given=_given(problem),
    )
    noise = Noise(amplitude=found.amplitude, occam=np.zeros(len(found.displacement)), bad=0.1)
    started = _problem(task, model, parameters, choice, task.movable)
    first = evaluate(
        started, started.parameters(started.free.pack(parameters), parameters.displacement), noise
    )
    state = State(
        problem=started,
        vector=started.free.pack(parameters),
        displacement=parameters.displacement,
        noise=noise,
        found=first,
    )
    # All particles alike, so that amplitudes are at least right on the average.
    state = replace(state, found=replace(first, weights=np.ones(len(found.displacement))))
    return with_noise(state, build(started, state.found, noise).data)


def _given_deformation(problem: ParticleProblem) -> tuple[DeformationBasis | None, Array]:
    """Basis and coefficients of the one of before: (n_tilts, k)."""
    old = problem.deformation
    if old is None:
        return None, np.zeros((len(problem.projections), 0))
    return old.basis(problem.image_size), np.array(old.coefficients)


def _given(problem: ParticleProblem) -> Array | None:
    """Motions of before: (n_tilts, n_particles, 3) [voxels]."""
    if problem.trajectories is None:
        return None
    return np.ascontiguousarray(np.swapaxes(problem.trajectories, 0, 1) / problem.pixel_size)


def _problem(
    task: Task,
    model: Model,
    parameters: Parameters,
    choice: Choice,
    free_tilts: Mask,
    like: State | None = None,
) -> Problem:
    """A model with its free parameters and their prior."""
    wanted = task.options.deformation
    per_tilt = wanted is not None and wanted.per_tilt
    count = 0 if model.basis is None else parameters.deformation.shape[1]
    free = free_parameters(choice, free_tilts, count, per_tilt, model.modes)
    held = replace(parameters, tilt=0 * parameters.tilt, common=0 * parameters.common)
    centre = parameters
    if like is not None and like.problem.held.deformation.shape == parameters.deformation.shape:
        centre = like.problem.held
    expected = prior(
        free,
        (model.basis, model.modes),
        centre,
        wanted.regularisation if wanted is not None else 0.0,
        None if like is None else like.problem.prior,
    )
    return Problem(
        model=model,
        splines=task.splines,
        free=free,
        prior=expected,
        held=replace(held, deformation=centre.deformation),
    )


def with_free(task: Task, state: State, choice: Choice, free_tilts: Mask) -> State:
    """The same state, with other parameters free."""
    model, parameters = (
        state.problem.model,
        state.problem.parameters(state.vector, state.displacement),
    )
    wanted = task.options.deformation
    if choice.deformation and wanted is not None and not state.problem.free.deforming:
        size, old = task.problem.image_size, task.problem.deformation
        basis = DeformationBasis(wanted.kind, wanted.grid, size)
        found = np.zeros((len(parameters.tilt), basis.count))
        if old is not None:
            found = basis.nearest(old.coefficients, old.basis(size))
        if not wanted.per_tilt:
            found = np.broadcast_to(found.mean(axis=0), found.shape)
        model, parameters = (
            replace(model, basis=basis),
            replace(parameters, deformation=np.array(found)),
        )
    return _in_problem(
        state, _problem(task, model, parameters, choice, free_tilts, state), parameters
    )


def _in_problem(state: State, problem: Problem, parameters: Parameters) -> State:
    """The same parameters, in another problem."""
    vector = problem.free.pack(parameters)
    found = evaluate(problem, problem.parameters(vector, state.displacement), state.noise)
    return replace(state, problem=problem, vector=vector, found=found)


def with_all_modes(task: Task, state: State, choice: Choice) -> State:
    """The same state, with as many modes of motion as are allowed, the largest ones."""
    model, parameters = (
        state.problem.model,
        state.problem.parameters(state.vector, state.displacement),
    )
    if task.motions is not None and model.modes is not None:
        modes = task.motions.detailed(
            state.problem.prior.variance[MOTION : MOTION + len(MOTION_PRIORS)]
        )
        motion = model.modes.for_modes(parameters.motion, modes)
        model, parameters = replace(model, modes=modes), replace(parameters, motion=motion)
    return _in_problem(
        state, _problem(task, model, parameters, choice, task.movable, state), parameters
    )


def select_model(task: Task) -> Selected:
    """Fit one model after the other, and keep what predicts particles better."""
    (_, first), *richer = task.choices()
    best = _fitted(task, initial_state(task), first)
    for name, choice in richer:
        extra = {name: getattr(choice, name)}
        if name == "magnification":
            extra["anisotropic"] = choice.anisotropic
        choice = replace(best.choice, **extra)
        now = _fitted(task, with_free(task, best.state, choice, task.movable), choice)
        gain, error = np.nan, np.nan
        if now.predicted is not None and best.predicted is not None:
            gain, error = now.predicted.over(best.predicted)
        kept = not gain <= _SIGMAS * error + _ROUNDING
        # What is not there may still predict a little of what else is missing in the model.
        doubtful = name == "motion" and kept and gain <= _SIGMAS_MOTION * error
        small = doubtful and not motion_stands_out(now.state)
        kept = kept and not small
        gains = (*best.gains, Gain(name=name, gain=gain, error=error, kept=kept, small=small))
        best = replace(now if kept else best, gains=gains)
    return best


def _fitted(task: Task, state: State, choice: Choice) -> Selected:
    """One model, fitted from the state of the one before it."""
    o = task.options
    state = optimise(state, o.iterations)
    if choice.motion:
        state = optimise(with_all_modes(task, state, choice), o.iterations)
    lies = frame(state, choice, task.problem.size)
    given = state.problem.model.projections @ lies.motion
    predicted = held_out(state, given) if o.cross_validation else None
    return Selected(state=state, choice=choice, gains=(), predicted=predicted, frame=lies)


def restore_tilts(task: Task, best: Selected) -> tuple[State, Mask]:
    """Tilt images that predict nothing better get their old cameras; the others go on."""
    free_tilts = task.movable
    if best.predicted is None or not (best.choice.shifts or best.choice.angles):
        return best.state, free_tilts
    gain, error = best.predicted.by_tilt()
    kept = free_tilts & (gain > _SIGMAS_TILT * error + _ROUNDING)
    if (kept == free_tilts).all():
        return best.state, free_tilts
    state, model = best.state, best.state.problem.model
    given = np.where(kept[:, None, None], model.projections, model.projections @ best.frame.motion)
    problem = replace(state.problem, model=replace(model, projections=given))
    state = with_free(task, replace(state, problem=problem), best.choice, kept)
    return optimise(state, _AGAIN), kept


def log_likelihood_before(task: Task, state: State) -> float:
    """Log-likelihood of what was given, all else alike."""
    problem = state.problem
    basis, coefficients = _given_deformation(task.problem)
    held = problem.held
    parameters = replace(
        held,
        deformation=coefficients,
        motion=0 * held.motion,
        displacement=0 * held.displacement,
    )
    given = replace(problem, model=replace(problem.model, basis=basis))
    return evaluate(given, parameters, state.noise).total
