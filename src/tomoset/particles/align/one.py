"""One tilt series aligned by its particles: cross-correlations, and the fit to them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import reduce

import numpy as np
import numpy.typing as npt

from tomoset.align.cross_correlations import CrossCorrelations
from tomoset.align.particles import (
    PARAMETERS,
    ParticleFit,
    ParticleProblem,
    changes_between,
    fit_particles,
)
from tomoset.errors import ModelError
from tomoset.images.boxes import TiltImages
from tomoset.model import ParticleSet, Tomogram
from tomoset.particles.align.options import AlignOptions
from tomoset.particles.align.whole_images import ImageShifts, shifts_by_images
from tomoset.particles.correlations import correlate
from tomoset.particles.reference import Reference

Array = npt.NDArray[np.float64]

_SHIFT = PARAMETERS.index("shift_x")
#: Cross-correlations are made so often at most.
_ROUNDS = 3
#: Particles of such a probability are believed; many are far if more than this part of them lie
#: beyond this part of the range.
_BELIEVED, _MANY, _NEAR_EDGE = 0.5, 0.002, 0.8
#: By so much correlations are deeper than high, all together, where the contrast is inverted.
_INVERTED = 1.5
#: Images shifted by so much on average leave others behind [px].
_LARGE = 1.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Aligned:
    """An alignment by particles.

    Parameters
    ----------
    before, after : Tomogram
        With the sizes that are needed.
    particles : ParticleSet
        As they were.
    visible : (n_particles, n_tilts) bool array
        Which images show which particles.
    fit : ParticleFit
        What was found. Positions are those of before, to the last bit, if they were held.
    pixel_size : float
        Of the tilt images [Å].
    """

    before: Tomogram
    after: Tomogram
    particles: ParticleSet
    visible: npt.NDArray[np.bool_]
    fit: ParticleFit
    pixel_size: float

    @property
    def displacement(self) -> Array:
        """By how much the fit displaces each particle: (n_particles, 3) [Å]."""
        return np.asarray((self.fit.positions - self.particles.positions) * self.pixel_size)


def align(
    tomogram: Tomogram,
    images: TiltImages,
    particles: ParticleSet,
    reference: Reference,
    options: AlignOptions,
    trajectories: Array | None = None,
) -> Aligned:
    """Align a tilt series by its particles.

    Cross-correlations are made once: a correction of some pixels and tenths of degrees changes
    what is predicted of a particle too little for a second round to find anything better. Only
    where particles lie near the edge of their correlations, or images were left behind, these are
    made again about the better positions.

    Parameters
    ----------
    tomogram : Tomogram
        Aligned so well that particles are within the range.
    images : TiltImages
        Its tilt images.
    particles : ParticleSet
        Of this tomogram.
    reference : Reference
        What they look like.
    options : AlignOptions
        What is wanted.
    trajectories : (n_particles, n_tilts, 3) array, optional
        Displacements of particles by motion, as known so far [Å].

    Returns
    -------
    Aligned

    Raises
    ------
    ModelError
        If something is missing, or no image shows a particle.
    """
    tomogram = tomogram.placed(None, images.size)
    size = tomogram.need_size()
    if tomogram.pre_exposure is None and options.fit.motion is not None:
        raise ModelError(
            f"tomogram {tomogram.name!r} has no doses, and a motion goes along with them; "
            "add them, or leave --motion out"
        )
    projections, pixel_size = tomogram.need_projections(), tomogram.need_pixel_size()
    start = _State(tomogram, particles, trajectories)
    now, by_images = start, None
    if options.fit.shift_only == "images":
        given = tomogram, images, particles, reference, options.correlation
        by_images = shifts_by_images(*given, trajectories=trajectories)
        now = replace(now, tomogram=by_images.applied(tomogram))
    rounds = [_fitted(now, images, reference, options)]
    while len(rounds) < _ROUNDS and (
        _far(rounds[-1], options.correlation.range) or _left_behind(rounds[-1])
    ):
        now = _after(now, rounds[-1], options)
        rounds.append(_fitted(now, images, reference, options))
    last = reduce(_joined, rounds)
    if len(rounds) > 1 or by_images is not None:
        changes = changes_between(projections, last.projections, size)
        last = replace(last, changes=changes)
    if by_images is not None:
        last = _and_by_images(last, by_images)
    held = options.fit.constant_particles or bool(options.fit.shift_only)
    fit = replace(last, positions=particles.positions) if held else last
    return Aligned(
        before=tomogram,
        after=_after(start, fit, options).tomogram,
        particles=particles,
        visible=np.asarray(np.isfinite(fit.offsets).all(axis=-1), np.bool_),
        fit=fit,
        pixel_size=pixel_size,
    )


@dataclass(frozen=True, eq=False)
class _State:
    """What cross-correlations are made of."""

    tomogram: Tomogram
    particles: ParticleSet
    trajectories: Array | None


def _fitted(
    now: _State,
    images: TiltImages,
    reference: Reference,
    options: AlignOptions,
) -> ParticleFit:
    t = now.tomogram
    projections, pixel_size = t.need_projections(), t.need_pixel_size()
    correlations = correlate(
        t, images, now.particles, reference, options.correlation, trajectories=now.trajectories
    )
    _refuse_inverted(correlations, t.name)
    problem = ParticleProblem(
        correlations=correlations,
        projections=projections,
        positions=now.particles.positions,
        image_size=images.size,
        size=t.need_size(),
        pixel_size=pixel_size,
        pre_exposure=np.zeros(t.n_tilts) if t.pre_exposure is None else t.pre_exposure,
        deformation=t.deformation,
        trajectories=now.trajectories,
    )
    return fit_particles(problem, options.fit)


def _refuse_inverted(correlations: CrossCorrelations, name: str) -> None:
    """Refuse a reference that images show the other way round: all correlations together say so."""
    together = correlations.values.sum(axis=0)
    up, down = (float((sign * together).max(axis=(1, 2)).sum()) for sign in (1, -1))
    if down > _INVERTED * up:
        raise ModelError(
            f"tomogram {name!r}: images show the opposite of the reference; density must be high "
            "in the maps and dark in the images: multiply what is the other way round by -1 "
            "(relion_image_handler --multiply_constant -1)"
        )


def _after(now: _State, fit: ParticleFit, options: AlignOptions) -> _State:
    """What a fit makes of it."""
    tomogram, particles, trajectories = now.tomogram, now.particles, now.trajectories
    if fit.kept.any():
        tomogram = replace(tomogram, projections=fit.projections, alignment=None)
    if fit.deformation is not tomogram.deformation:
        tomogram = replace(tomogram, deformation=fit.deformation)
    if fit.positions is not particles.positions:
        particles = replace(particles, coordinates=fit.positions, origins=None)
    if options.fit.motion is not None or trajectories is not None:
        trajectories = fit.trajectories
    return _State(tomogram, particles, trajectories)


def _and_by_images(fit: ParticleFit, found: ImageShifts) -> ParticleFit:
    """A fit, and what whole images changed before it."""
    gain, error = (fit.amplitude * x for x in (found.gain, found.error))
    deviations = fit.deviations.copy()
    alone = found.shifted & ~fit.kept  # the fit had nothing to add to these
    known = found.deviations / fit.amplitude[:, None]
    deviations[alone, _SHIFT : _SHIFT + 2] = known[alone]
    own, own_error = (
        np.where(found.shifted, np.where(fit.kept, np.nan_to_num(x), 0.0), x)
        for x in (fit.gain_by_tilt, fit.gain_error_by_tilt)
    )
    return replace(
        fit,
        deviations=deviations,
        expected=np.where(alone, np.linalg.norm(known, axis=1), fit.expected),
        gain_by_tilt=own + gain,
        gain_error_by_tilt=np.hypot(own_error, error),
        log_likelihood_before=fit.log_likelihood_before - float(gain.sum()),
        kept=fit.kept | found.shifted,
    )


def _far(fit: ParticleFit, limit: float) -> bool:
    """Whether some particles were so far off that others may be outside of their correlations."""
    away = np.abs(fit.offsets[fit.weights > _BELIEVED]).max(axis=-1, initial=0.0)
    known = away[np.isfinite(away)]
    return bool(len(known)) and float((known > _NEAR_EDGE * limit).mean()) > _MANY


def _left_behind(fit: ParticleFit) -> bool:
    """Whether images shifted, but for some, where particles may be outside of correlations."""
    shown = np.isfinite(fit.offsets).all(axis=-1).any(axis=0)
    shifts = fit.changes[shown & fit.kept, _SHIFT : _SHIFT + 2]
    large = bool(len(shifts)) and float(np.square(shifts).sum(axis=1).mean()) > _LARGE**2
    return large and bool((shown & ~fit.kept).any())


def _joined(earlier: ParticleFit, later: ParticleFit) -> ParticleFit:
    """The later fit, with what the earlier one gained, and knows of what stayed since."""

    def known(new: Array, old: Array) -> Array:
        return np.where(np.isfinite(new), new, old)

    return replace(
        later,
        deviations=known(later.deviations, earlier.deviations),
        expected=np.where(later.kept, later.expected, earlier.expected),
        deformation_deviations=known(later.deformation_deviations, earlier.deformation_deviations),
        motion_deviations=known(later.motion_deviations, earlier.motion_deviations),
        gains=earlier.gains,
        gain_by_tilt=earlier.gain_by_tilt,
        gain_error_by_tilt=earlier.gain_error_by_tilt,
        log_likelihood_before=earlier.log_likelihood_before,
        kept=earlier.kept | later.kept,
    )
