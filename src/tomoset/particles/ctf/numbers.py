"""What a refinement of defocus and scale found, in numbers for a summary and for tilt tables."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from tomoset.particles.ctf.defocus import angle_errors, mean_and_astigmatism
from tomoset.particles.ctf.fit import CtfFit, CtfFitOptions
from tomoset.particles.ctf.report import Refined, astigmatism_error

Array = npt.NDArray[np.float64]


def numbers(refined: Refined, options: CtfFitOptions) -> dict[str, Any]:
    """What is to be known of a refinement, ready for JSON.

    Parameters
    ----------
    refined : Refined
        What was found.
    options : CtfFitOptions
        What was searched.
    """
    fit, seen = refined.fit, refined.seen > 0
    scaled = not fit.scale_kept
    changed = fit.changes[~fit.kept, 0]
    step = 1.5 * options.step
    low, high = options.low + step, options.high - step
    _, astigmatism = mean_and_astigmatism(refined.after)
    refining = options.defocus
    return {
        "changes": None if fit.kept.all() else fit.changes.tolist(),
        "scales": fit.scales.tolist() if scaled else None,
        "errors": {
            "defocus": _values(fit.errors[:, 0], seen) if refining else None,
            "astigmatism": _values(2 * astigmatism_error(fit), seen) if refining else None,
            "defocus_angle": _values(angle_errors(astigmatism, fit.errors[:, 1:]), seen)
            if refining
            else None,
            "ctf_scale": _values(fit.scale_errors, seen) if options.scale else None,
        },
        "ice": _ice(fit) if scaled and not options.per_tilt_scale else None,
        "particles": refined.particles,
        "particles_given": refined.particles_given,
        "tilt_images": int(seen.sum()),
        "changed": int((~fit.kept).sum()),
        "change": float(np.sqrt(np.mean(changed**2))) if len(changed) else 0.0,
        "common": float(fit.common[0]),
        "error": float(np.median(fit.errors[seen, 0])) if refining else None,
        "gain": fit.defocus_gain.gain,
        "gain_error": fit.defocus_gain.error,
        "astigmatism": fit.astigmatism,
        "scale_changed": scaled,
        "scale_gain": fit.scale_gain.gain if options.scale else None,
        "scale_gain_error": fit.scale_gain.error if options.scale else None,
        "thickness": [fit.ice.thickness, fit.ice.thickness_error],
        "at_the_end": int(((changed < low) | (changed > high)).sum()) + fit.outside,
    }


def _values(values: Array, seen: npt.NDArray[np.bool_]) -> list[float | None]:
    """For `Tomogram.deviations`; of images that show nothing, nothing is known."""
    return [
        float(f"{v:.4g}") if s and np.isfinite(v) else None
        for v, s in zip(values, seen, strict=True)
    ]


def _ice(fit: CtfFit) -> list[float]:
    values = fit.ice.luminance, fit.ice.thickness, *fit.ice.normal.tolist()
    return [float(f"{v:.6g}") for v in values]
