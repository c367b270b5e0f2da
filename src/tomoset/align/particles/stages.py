"""From simple models to rich ones, each from where the one before it came to rest."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from tomoset.align.gauge import Gauge
from tomoset.align.particles.certainty import motion_stands_out
from tomoset.align.particles.courses import COURSES, Motions
from tomoset.align.particles.frame import frame
from tomoset.align.particles.freedom import MOTION, Choice, Parameters, freedom, prior
from tomoset.align.particles.held_out import Predicted, held_out
from tomoset.align.particles.likelihood import Noise, Problem, evaluate
from tomoset.align.particles.model import Model
from tomoset.align.particles.newton import Rest, build, climb, settled
from tomoset.align.particles.problem import ParticleOptions, ParticleProblem
from tomoset.align.particles.result import Gain
from tomoset.align.particles.start import middle, start
from tomoset.align.particles.surface import Surface
from tomoset.geometry import DeformationBasis

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

#: A class of parameters must gain so many standard errors; a tilt image, so many.
_SURE, _SURE_TILT = 2.0, 1.0
#: A motion may be as small as its error if it gains so many standard errors.
_BEYOND_DOUBT = 6.0
#: Less than this is a rounding error, not a gain.
_ANYTHING = 0.1
#: Steps on from where a fit was at rest, after some tilt images were put back.
_AGAIN = 6


@dataclass(frozen=True, kw_only=True, eq=False)
class Task:
    """What all stages share."""

    problem: ParticleProblem
    options: ParticleOptions
    surface: Surface
    motions: Motions | None

    @classmethod
    def of(cls, problem: ParticleProblem, options: ParticleOptions) -> Task:
        """Set up: splines of the windows, and modes of motion."""
        moving = None
        if options.motion is not None and len(problem.positions):
            dose = np.asarray(problem.pre_exposure, dtype=np.float64)
            linear = np.asarray(problem.projections)[:, :2, :3]
            at, px = problem.positions, problem.pixel_size
            moving = Motions.of(at, dose, linear, px, options.motion)
        surface = Surface.of(problem, options.range)
        return cls(problem=problem, options=options, surface=surface, motions=moving)

    @property
    def movable(self) -> Mask:
        """Tilt images that show particles."""
        return np.asarray(self.surface.visible.any(axis=0))

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
class Climbed:
    """The richest model that paid.

    Parameters
    ----------
    rest : Rest
    choice : Choice
    gains : tuple of Gain
    predicted : Predicted or None
        None without cross-validation.
    frame : Gauge
    """

    rest: Rest
    choice: Choice
    gains: tuple[Gain, ...]
    predicted: Predicted | None
    frame: Gauge


def begin(task: Task) -> Rest:
    """Shifts and places by looking around."""
    problem, choice = task.problem, task.choices()[0][1]
    found = start(problem, task.surface, shifts=choice.shifts, particles=choice.particles)
    n_tilts = len(problem.projections)
    basis, coefficients = _given_deformation(problem)
    modes = None if task.motions is None else task.motions.coarse()
    tilt = np.zeros((n_tilts, 8))
    tilt[:, 3:5] = found.shifts
    numbers = Parameters(
        tilt=tilt,
        common=np.zeros(8),
        deformation=coefficients,
        motion=np.zeros((modes.count if modes is not None else 0, 3)),
        moved=found.moved,
    )
    model = Model(
        projections=np.asarray(problem.projections, dtype=np.float64),
        middle=middle(problem.size),
        positions=np.asarray(problem.positions, dtype=np.float64),
        at=np.ascontiguousarray(np.swapaxes(problem.windows.at, 0, 1), dtype=np.float64),
        basis=basis,
        modes=modes,
        given=_given(problem),
    )
    noise = Noise(amplitude=found.amplitude, price=np.zeros(len(found.moved)), bad=0.1)
    rest = _entered(task, model, numbers, choice, task.movable)
    first = evaluate(rest, rest.numbers(rest.free.pack(numbers), numbers.moved), noise)
    state = Rest(
        problem=rest, vector=rest.free.pack(numbers), moved=numbers.moved, noise=noise, found=first
    )
    # All particles alike, so that amplitudes are at least right on the average.
    state = replace(state, found=replace(first, weights=np.ones(len(found.moved))))
    return settled(state, build(rest, state.found, noise).data)


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


def _entered(
    task: Task,
    model: Model,
    numbers: Parameters,
    choice: Choice,
    moves: Mask,
    like: Rest | None = None,
) -> Problem:
    """A model with what is free in it."""
    wanted = task.options.deformation
    per_tilt = wanted is not None and wanted.per_tilt
    count = 0 if model.basis is None else numbers.deformation.shape[1]
    free = freedom(choice, moves, count, per_tilt, model.modes)
    held = replace(numbers, tilt=0 * numbers.tilt, common=0 * numbers.common)
    centre = numbers
    if like is not None and like.problem.held.deformation.shape == numbers.deformation.shape:
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
        surface=task.surface,
        free=free,
        prior=expected,
        held=replace(held, deformation=centre.deformation),
    )


def entered(task: Task, rest: Rest, choice: Choice, moves: Mask) -> Rest:
    """The same state, with other numbers free."""
    model, numbers = rest.problem.model, rest.problem.numbers(rest.vector, rest.moved)
    wanted = task.options.deformation
    if choice.deformation and wanted is not None and not rest.problem.free.deforming:
        size, old = task.problem.image_size, task.problem.deformation
        basis = DeformationBasis(wanted.kind, wanted.grid, size)
        found = np.zeros((len(numbers.tilt), basis.count))
        if old is not None:
            found = basis.nearest(old.coefficients, old.basis(size))
        if not wanted.per_tilt:
            found = np.broadcast_to(found.mean(axis=0), found.shape)
        model, numbers = replace(model, basis=basis), replace(numbers, deformation=np.array(found))
    return _standing(rest, _entered(task, model, numbers, choice, moves, rest), numbers)


def _standing(rest: Rest, problem: Problem, numbers: Parameters) -> Rest:
    """The same numbers, in another problem."""
    vector = problem.free.pack(numbers)
    found = evaluate(problem, problem.numbers(vector, rest.moved), rest.noise)
    return replace(rest, problem=problem, vector=vector, found=found)


def in_detail(task: Task, rest: Rest, choice: Choice) -> Rest:
    """The same state, with as many modes of motion as are allowed, those that move most."""
    model, numbers = rest.problem.model, rest.problem.numbers(rest.vector, rest.moved)
    if task.motions is not None and model.modes is not None:
        modes = task.motions.detailed(rest.problem.prior.variance[MOTION : MOTION + len(COURSES)])
        motion = model.modes.carried(numbers.motion, modes)
        model, numbers = replace(model, modes=modes), replace(numbers, motion=motion)
    return _standing(rest, _entered(task, model, numbers, choice, task.movable, rest), numbers)


def climbed(task: Task) -> Climbed:
    """Fit one model after the other, and keep what predicts particles better."""
    (_, first), *richer = task.choices()
    best = _at_rest(task, begin(task), first)
    for name, choice in richer:
        extra = {name: getattr(choice, name)}
        if name == "magnification":
            extra["anisotropic"] = choice.anisotropic
        choice = replace(best.choice, **extra)
        now = _at_rest(task, entered(task, best.rest, choice, task.movable), choice)
        gain, error = np.nan, np.nan
        if now.predicted is not None and best.predicted is not None:
            gain, error = now.predicted.over(best.predicted)
        kept = not gain <= _SURE * error + _ANYTHING
        # What is not there may still predict a little of what else is missing in the model.
        doubtful = name == "motion" and kept and gain <= _BEYOND_DOUBT * error
        small = doubtful and not motion_stands_out(now.rest)
        kept = kept and not small
        gains = (*best.gains, Gain(name=name, gain=gain, error=error, kept=kept, small=small))
        best = replace(now if kept else best, gains=gains)
    return best


def _at_rest(task: Task, rest: Rest, choice: Choice) -> Climbed:
    """One model, fitted from where the one before it came to rest."""
    o = task.options
    rest = climb(rest, o.iterations)
    if choice.motion:
        rest = climb(in_detail(task, rest, choice), o.iterations)
    lies = frame(rest, choice, task.problem.size)
    given = rest.problem.model.projections @ lies.motion
    predicted = held_out(rest, given) if o.cross_validation else None
    return Climbed(rest=rest, choice=choice, gains=(), predicted=predicted, frame=lies)


def put_back(task: Task, best: Climbed) -> tuple[Rest, Mask]:
    """Tilt images that predict nothing better get their old cameras; the others go on."""
    moves = task.movable
    if best.predicted is None or not (best.choice.shifts or best.choice.angles):
        return best.rest, moves
    gain, error = best.predicted.by_tilt()
    kept = moves & (gain > _SURE_TILT * error + _ANYTHING)
    if (kept == moves).all():
        return best.rest, moves
    rest, model = best.rest, best.rest.problem.model
    given = np.where(kept[:, None, None], model.projections, model.projections @ best.frame.motion)
    problem = replace(rest.problem, model=replace(model, projections=given))
    rest = entered(task, replace(rest, problem=problem), best.choice, kept)
    return climb(rest, _AGAIN), kept


def before(task: Task, rest: Rest) -> float:
    """Log-likelihood of what was given, all else alike."""
    problem = rest.problem
    basis, coefficients = _given_deformation(task.problem)
    held = problem.held
    numbers = replace(
        held,
        deformation=coefficients,
        motion=0 * held.motion,
        moved=0 * held.moved,
    )
    given = replace(problem, model=replace(problem.model, basis=basis))
    return evaluate(given, numbers, rest.noise).total
