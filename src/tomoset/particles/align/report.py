"""What an alignment by particles says of itself: a STAR file with a table for each question."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tomoset import geometry, star
from tomoset.align.particles import PARAMETERS, Gain
from tomoset.particles.align.one import Aligned

Array = npt.NDArray[np.float64]

#: An image with particles at less than this part of the usual strength may lie further off.
_FAINT = 0.3
#: A particle that is there with less than this probability is doubtful.
DOUBTFUL = 0.5


@dataclass(frozen=True, kw_only=True, eq=False)
class Numbers:
    """What is to be known of an alignment.

    Parameters
    ----------
    particles, unseen : int
        Which at least one image shows, and the others.
    seen : int
        Times that images show particles.
    doubtful : int
        Particles that are likely not there.
    tilt_images, changed : int
        That show particles, and whose alignment changed.
    faint : tuple of int
        Images, from 1, that show particles at a small part of the strength of the others.
    shift, angle, displacement : float
        Rms changes of images that changed [px], [deg], and of positions [Å].
    expected : float or None
        How well the alignment is known at the particles [px], if it changed.
    image_gain : Gain or None
        Of images that changed.
    residual : float or None
        Mean over images [px].
    amplitude : float
        Median of what images show, against the reference.
    log_likelihood, log_likelihood_before : float
        Of all particles.
    motion, motion_error : float, float or None
        Rms [Å].
    deformation_error : float or None
        Rms [px].
    gains : tuple of Gain
        Of parameter groups.
    """

    particles: int
    unseen: int
    seen: int
    doubtful: int
    tilt_images: int
    changed: int
    faint: tuple[int, ...]
    shift: float
    angle: float
    displacement: float
    expected: float | None
    image_gain: Gain | None
    residual: float | None
    amplitude: float
    log_likelihood: float
    log_likelihood_before: float
    motion: float
    motion_error: float | None
    deformation_error: float | None
    gains: tuple[Gain, ...]


def numbers(aligned: Aligned) -> Numbers:
    """What is to be known of an alignment."""
    fit, n = aligned.fit, PARAMETERS.index("shift_x")
    known = np.isfinite(fit.deviations) & fit.kept[:, None]
    rotated, shifted = known[:, :n].any(axis=1), known[:, n]
    seen = aligned.visible.any(axis=1)
    changed = bool(fit.kept.any())
    gain = Gain(
        name="images",
        gain=float(fit.gain_by_tilt[fit.kept].sum()),
        error=float(np.linalg.norm(fit.gain_error_by_tilt[fit.kept])),
        kept=True,
    )
    return Numbers(
        particles=int(seen.sum()),
        unseen=int((~seen).sum()),
        seen=int(aligned.visible.sum()),
        doubtful=int((fit.weights[seen] < DOUBTFUL).sum()),
        tilt_images=int(aligned.visible.any(axis=0).sum()),
        changed=int(fit.kept.sum()),
        faint=faint_images(aligned),
        shift=_rms(fit.changes[shifted, n : n + 2]),
        angle=_rms(fit.changes[rotated, :n]),
        displacement=_rms(aligned.displacement[seen]),
        expected=_finite(_mean_square(fit.expected)) if changed else None,
        image_gain=gain if changed and np.isfinite(gain.gain) else None,
        residual=_finite(float(np.nanmean(fit.residuals))),
        amplitude=float(np.median(fit.amplitude)),
        log_likelihood=fit.log_likelihood,
        log_likelihood_before=fit.log_likelihood_before,
        motion=_rms(fit.trajectories),
        motion_error=_finite(_mean_length(fit.motion_deviations)),
        deformation_error=_finite(_mean_square(fit.deformation_deviations)),
        gains=tuple(fit.gains),
    )


def faint_images(aligned: Aligned) -> tuple[int, ...]:
    """Images, from 1, that show particles at a small part of the strength of the others."""
    shown = aligned.visible.any(axis=0)
    amplitude = aligned.fit.amplitude
    typical = float(np.median(amplitude[shown])) if shown.any() else 0.0
    faint = shown & (amplitude < _FAINT * typical)
    return tuple(int(i) + 1 for i in np.flatnonzero(faint))


def alignment_to_star(aligned: Aligned) -> star.StarFile:
    """The report of an alignment.

    Tables: ``alignment``, of the whole series; ``tilts``, how each changed, with standard
    deviations; ``particles``, where each is and how sure that is; ``gains``, what the parameter
    groups gain in log-likelihood of particles that are left out. Shifts are in px of the
    tilt images, angles in degrees, positions in voxels, displacements in Å.
    """
    said = numbers(aligned)
    deformation = aligned.after.deformation
    whole: dict[str, object] = {
        "tomosetParticles": said.particles,
        "tomosetSeen": said.seen,
        "tomosetDoubtful": said.doubtful,
        "tomosetChangedImages": said.changed,
        "tomosetLogLikelihood": said.log_likelihood,
        "tomosetLogLikelihoodBefore": said.log_likelihood_before,
        "tomosetResidual": said.residual,
        "tomosetExpectedError": said.expected,
        "tomosetAmplitude": said.amplitude,
        "tomosetShiftChange": said.shift,
        "tomosetAngleChange": said.angle,
        "tomosetParticleDisplacementAngst": said.displacement,
        "tomosetMotionAngst": said.motion,
        "tomosetMotionErrorAngst": said.motion_error,
        "tomosetDeformation": "none" if deformation is None else deformation.kind,
    }
    whole |= {star.report_label(f"spread_{name}"): x for name, x in aligned.fit.spreads.items()}
    one = star.summary_table("alignment", whole)
    return star.StarFile((one, _tilts(aligned), _particles(aligned), _gains(aligned)))


def _tilts(aligned: Aligned) -> star.Table:
    fit, n = aligned.fit, aligned.before.n_tilts
    columns: dict[str, Iterable[object]] = {
        "tomosetTiltImage": range(1, n + 1),
        "tomosetTiltAngle": geometry.tilt_angles(fit.projections),
        "tomosetSeen": aligned.visible.sum(axis=0),
        "tomosetChanged": fit.kept.astype(int),
        "tomosetGain": fit.gain_by_tilt,
        "tomosetGainError": fit.gain_error_by_tilt,
        "tomosetResidual": fit.residuals,
        "tomosetExpectedError": fit.expected,
        "tomosetAmplitude": fit.amplitude,
        "tomosetDeformationError": fit.deformation_deviations,
    }
    for i, axis in enumerate("XYZ"):
        columns[f"tomosetMotion{axis}ErrorAngst"] = fit.motion_deviations[:, i]
    columns |= star.parameter_columns(PARAMETERS, Change=fit.changes, Error=fit.deviations)
    return star.report_table("tilts", columns)


def _particles(aligned: Aligned) -> star.Table:
    fit, px = aligned.fit, aligned.pixel_size
    columns: dict[str, Iterable[object]] = {
        "rlnTomoParticleName": aligned.particles.particle_names,
        "tomosetSeen": aligned.visible.sum(axis=1),
        "tomosetLogLikelihoodRatio": fit.log_likelihood_ratio,
        "tomosetProbability": np.where(aligned.visible.any(axis=1), fit.weights, np.nan),
    }
    for i, axis in enumerate("XYZ"):
        columns[f"tomoset{axis}"] = fit.positions[:, i]
        columns[f"tomosetDisplacement{axis}Angst"] = aligned.displacement[:, i]
        columns[f"tomosetDisplacement{axis}ErrorAngst"] = fit.position_deviations[:, i] * px
    return star.report_table("particles", columns)


def _gains(aligned: Aligned) -> star.Table:
    gains = aligned.fit.gains
    return star.report_table(
        "gains",
        {
            "tomosetParameterGroup": [g.name for g in gains],
            "tomosetGain": [g.gain for g in gains],
            "tomosetGainError": [g.error for g in gains],
            "tomosetKept": [int(g.kept) for g in gains],
        },
    )


def _mean_square(values: Array) -> float:
    known = values[np.isfinite(values)]
    return float(np.sqrt((known**2).mean())) if len(known) else float("nan")


def _mean_length(deviations: Array) -> float:
    """Root of the mean of the squares of vectors of deviations, where they are known."""
    known = deviations[np.isfinite(deviations).all(axis=1)]
    return _rms(known) if len(known) else float("nan")


def _rms(vectors: Array) -> float:
    """Of the lengths of vectors along the last axis; 0 if there are none."""
    return float(np.sqrt((vectors**2).sum(axis=-1).mean())) if vectors.size else 0.0


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
