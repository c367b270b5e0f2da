"""What a refinement of defocus and scale found, in numbers for a summary and for tilt tables."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tomoset.particles.ctf.defocus import angle_errors, mean_and_astigmatism
from tomoset.particles.ctf.fit import CtfFitOptions
from tomoset.particles.ctf.report import Refined, astigmatism_error

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class CtfNumbers:
    """What is to be known of a refinement.

    Parameters
    ----------
    particles, particles_given : int
        Of which at least one image shows something, and all.
    tilt_images, changed : int
        That show particles, and whose defocus changed.
    change, common : float
        Rms change of these, and that of all images [Å].
    error : float or None
        Of the defocus, median [Å], if it was refined.
    gain, gain_error : float
        Of the defocus, in log-likelihood of particles that were left out.
    astigmatism : bool
        Whether it changed.
    scale_changed : bool
        Whether scales did.
    scale_gain, scale_gain_error : float or None
        As of the defocus, if scales were refined.
    thickness, thickness_error : float
        Of the ice [mean free paths of contrast].
    at_the_end : int
        Images whose defocus would change by as much as is scanned, or more.
    """

    particles: int
    particles_given: int
    tilt_images: int
    changed: int
    change: float
    common: float
    error: float | None
    gain: float
    gain_error: float
    astigmatism: bool
    scale_changed: bool
    scale_gain: float | None
    scale_gain_error: float | None
    thickness: float
    thickness_error: float
    at_the_end: int


def numbers(refined: Refined, options: CtfFitOptions) -> CtfNumbers:
    """What is to be known of a refinement.

    Parameters
    ----------
    refined : Refined
        What was found.
    options : CtfFitOptions
        What was searched.
    """
    fit, seen = refined.fit, refined.seen > 0
    changed = fit.changes[~fit.kept, 0]
    step = 1.5 * options.step
    low, high = options.low + step, options.high - step
    return CtfNumbers(
        particles=refined.particles,
        particles_given=refined.particles_given,
        tilt_images=int(seen.sum()),
        changed=int((~fit.kept).sum()),
        change=float(np.sqrt(np.mean(changed**2))) if len(changed) else 0.0,
        common=float(fit.common[0]),
        error=float(np.median(fit.errors[seen, 0])) if options.defocus else None,
        gain=fit.defocus_gain.gain,
        gain_error=fit.defocus_gain.error,
        astigmatism=fit.astigmatism,
        scale_changed=not fit.scale_kept,
        scale_gain=fit.scale_gain.gain if options.scale else None,
        scale_gain_error=fit.scale_gain.error if options.scale else None,
        thickness=fit.ice.thickness,
        thickness_error=fit.ice.thickness_error,
        at_the_end=int(((changed < low) | (changed > high)).sum()) + fit.outside,
    )


def errors_of(refined: Refined, options: CtfFitOptions) -> dict[str, Array]:
    """Standard deviations of what was refined, as `Tomogram.deviations`; NaN if nothing is seen."""
    fit, found = refined.fit, {}
    if options.defocus:
        _, astigmatism = mean_and_astigmatism(refined.after)
        found["defocus"] = fit.errors[:, 0]
        found["astigmatism"] = 2 * astigmatism_error(fit)
        found["defocus_angle"] = angle_errors(astigmatism, fit.errors[:, 1:])
    if options.scale:
        found["ctf_scale"] = fit.scale_errors
    return {name: np.where(refined.seen > 0, errors, np.nan) for name, errors in found.items()}
