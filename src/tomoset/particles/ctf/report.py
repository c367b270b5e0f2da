"""What a refinement of defocus and scale says of itself, as a STAR file."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tomoset import star
from tomoset.model import Tomogram
from tomoset.particles.ctf.defocus import angle_errors, defocus_of, mean_and_astigmatism, strength
from tomoset.particles.ctf.fit import CtfFit

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Refined:
    """A tomogram before and after.

    Parameters
    ----------
    before, after : Tomogram
        With projections and defocus.
    fit : CtfFit
        What has changed, and how sure it is.
    seen : (n_tilts,) int array
        Particles that each image shows.
    particles, particles_given : int
        Of which at least one image shows something, and all.
    """

    before: Tomogram
    after: Tomogram
    fit: CtfFit
    seen: npt.NDArray[np.int64]
    particles: int
    particles_given: int

    @property
    def angles(self) -> Array:
        """Tilt angles [deg]."""
        return self.before.tilt_angles


def refined_to_star(refined: Refined) -> star.StarFile:
    """The report of a refinement.

    Tables: ``ctf``, of the whole series; ``tilts``, of each image. Defoci are in Å, gains in
    natural logarithms of likelihood, of particles that were left out; errors are standard
    deviations.
    """
    fit = refined.fit
    whole: dict[str, object] = {
        "tomosetParticles": refined.particles,
        "tomosetParticlesGiven": refined.particles_given,
        "tomosetDefocusCommonChange": float(fit.common[0]),
        "tomosetDefocusScatter": float(fit.scatter[0]),
        "tomosetAstigmatismRefined": int(fit.astigmatism),
        "tomosetErrorExcess": fit.excess,
        "tomosetDefocusKept": int(fit.kept.all()),
        "tomosetDefocusGain": fit.defocus_gain.gain,
        "tomosetDefocusGainError": fit.defocus_gain.error,
        "tomosetScaleKept": int(fit.scale_kept),
        "tomosetScaleGain": fit.scale_gain.gain,
        "tomosetScaleGainError": fit.scale_gain.error,
        "tomosetLuminance": fit.ice.luminance,
        "tomosetLuminanceError": fit.ice.luminance_error,
        "tomosetIceThickness": fit.ice.thickness,
        "tomosetIceThicknessError": fit.ice.thickness_error,
        "tomosetIceInclination": float(np.rad2deg(np.arccos(min(1.0, abs(fit.ice.normal[2]))))),
        "tomosetIceInclinationError": fit.ice.inclination_error,
        "tomosetIceChiSquare": fit.ice.chi2,
    }
    one = star.summary_table("ctf", whole)
    return star.StarFile((one, _tilts(refined)))


def _tilts(refined: Refined) -> star.Table:
    fit, after = refined.fit, refined.after
    mean, astigmatism = mean_and_astigmatism(after)
    columns: dict[str, Iterable[object]] = {
        "tomosetTiltImage": range(1, after.n_tilts + 1),
        "tomosetTiltAngle": refined.angles,
        "tomosetSeen": refined.seen,
        "tomosetDefocus": mean,
        "tomosetDefocusChange": fit.changes[:, 0],
        "tomosetDefocusError": fit.errors[:, 0],
        "tomosetAstigmatism": strength(astigmatism),
        "tomosetAstigmatismChange": strength(fit.changes[:, 1:]),
        "tomosetAstigmatismError": astigmatism_error(fit),
        "tomosetDefocusAngle": defocus_of(after)[2],
        "tomosetDefocusAngleError": angle_errors(astigmatism, fit.errors[:, 1:]),
        "tomosetDefocusGain": fit.gain,
        "tomosetDefocusKept": fit.kept.astype(int),
        "tomosetContrast": fit.amplitudes,
        "tomosetContrastError": fit.amplitude_errors,
        "tomosetScale": fit.scales,
        "tomosetScaleError": fit.scale_errors,
    }
    return star.report_table("tilts", columns)


def astigmatism_error(fit: CtfFit) -> Array:
    """Standard deviation of U - V along any direction [Å]: (n_tilts,)."""
    return np.asarray(strength(fit.errors[:, 1:]) / np.sqrt(2))
