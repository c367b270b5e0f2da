"""What a refinement of defocus and scale says of itself: a STAR file and a picture."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from tomoset import star
from tomoset.files import atomic_write
from tomoset.images.alignment_marks import BLUE, ORANGE, Curve, chart
from tomoset.images.drawing import png
from tomoset.model import Tomogram
from tomoset.particles.ctf.defocus import angle_errors, defocus_of, mean_and_astigmatism
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
        "tomosetAstigmatism": np.hypot(astigmatism[:, 0], astigmatism[:, 1]) * 2,
        "tomosetAstigmatismChange": np.hypot(fit.changes[:, 1], fit.changes[:, 2]) * 2,
        "tomosetAstigmatismError": 2 * astigmatism_error(fit),
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
    """Standard deviation of half of U - V along any direction [Å]: (n_tilts,)."""
    return np.asarray(np.hypot(fit.errors[:, 1], fit.errors[:, 2]) / np.sqrt(2))


def write_refined_png(refined: Refined, path: str | os.PathLike[str]) -> None:
    """Write a picture: defocus, astigmatism and scale over the tilts.

    Orange is before, blue after, with standard deviations; defocus and scale less their mean. Of
    the scale, orange is the contrast that each image shows.

    Parameters
    ----------
    refined : Refined
        What was found.
    path : path-like
        PNG; it appears whole or not at all.
    """
    fit, angles = refined.fit, refined.angles
    old, old_astigmatism = mean_and_astigmatism(refined.before)
    new, astigmatism = mean_and_astigmatism(refined.after)
    seen = np.isfinite(fit.amplitude_errors)
    middle = float(fit.scales[seen].mean()) if seen.any() else 0.0
    bare = np.full(len(old), np.nan)
    panels = [
        chart(
            "defocus - mean Å",
            angles,
            [
                Curve(values=old - old.mean(), errors=bare, colour=ORANGE, name="before"),
                Curve(values=new - old.mean(), errors=fit.errors[:, 0], colour=BLUE, name="after"),
            ],
        ),
        chart(
            "astigmatism Å",
            angles,
            [
                Curve(values=_length(old_astigmatism), errors=bare, colour=ORANGE, name="before"),
                Curve(
                    values=_length(astigmatism),
                    errors=2 * astigmatism_error(fit),
                    colour=BLUE,
                    name="after",
                ),
            ],
        ),
        chart(
            "scale - mean",
            angles,
            [
                replace(
                    _where(seen, fit.amplitudes - middle, fit.amplitude_errors, ORANGE), name="seen"
                ),
                replace(_where(seen, fit.scales - middle, fit.scale_errors, BLUE), name="after"),
            ],
        ),
    ]
    with atomic_write(path) as stream:
        stream.write(png(np.concatenate(panels, axis=1), refined.before.name))


def _length(astigmatism: Array) -> Array:
    """U - V."""
    return np.asarray(2 * np.hypot(astigmatism[:, 0], astigmatism[:, 1]))


def _where(
    seen: npt.NDArray[np.bool_], values: Array, errors: Array, colour: tuple[int, int, int]
) -> Curve:
    return Curve(
        values=np.where(seen, values, np.nan), errors=np.where(seen, errors, np.nan), colour=colour
    )
