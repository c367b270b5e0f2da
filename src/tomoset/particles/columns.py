"""What particles must say before they are compared with a reference: halves, and the optics."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tomoset.errors import ModelError
from tomoset.model import ParticleSet, Tomogram

Halves = npt.NDArray[np.int64]

#: As RELION compares optics groups with tomograms.
_ALIKE = 1e-3


def halves(particles: ParticleSet) -> Halves:
    """The half map of every particle, 0 or 1; in turns where nobody says it.

    Who compares them with two half maps says so first (`tomoset.particles.task.check_tasks`).

    Examples
    --------
    >>> halves(ParticleSet(tomogram_names=["a", "a", "a"], coordinates=np.zeros((3, 3)))).tolist()
    [0, 1, 0]
    """
    return np.arange(len(particles)) % 2 if particles.halves is None else particles.halves


def missing_angles(particles: ParticleSet) -> list[str]:
    """Which angles of particles nobody says: absent, or 0 for all.

    Examples
    --------
    >>> missing_angles(ParticleSet(tomogram_names=["a"], coordinates=[[0, 0, 0]]))
    ['rot', 'tilt', 'psi']
    """
    angles, names = particles.angles, ["rot", "tilt", "psi"]
    if angles is None:
        # Those of subtomograms may be all there are.
        rotated = not np.allclose(particles.orientations, np.eye(3))
        return [] if rotated else names
    return [name for name, values in zip(names, angles.T, strict=True) if not values.any()]


def check_optics(particles: ParticleSet, tomogram: Tomogram) -> None:
    """Refuse particles whose optics are not those of the tomogram.

    Raises
    ------
    ModelError
        If pixel sizes differ, or the voltage, spherical aberration or amplitude contrast.
    """
    own = tomogram.optics.pixel_size
    if particles.pixel_sizes is not None and own is not None:
        other = particles.pixel_sizes[np.abs(particles.pixel_sizes / own - 1) > _ALIKE]
        if len(other):
            raise ModelError(
                f"tomogram {tomogram.name!r} has {own:g} Å a pixel, the optics group of "
                f"{len(other)} of its particles {other[0]:g} Å; correct the one that is wrong"
            )
    mine, optics_of = particles.optics_groups, particles.optics
    for number in optics_of if mine is None else np.unique(mine).tolist():
        if (optics := optics_of.get(number)) is None:
            continue
        for what in ("voltage", "spherical_aberration", "amplitude_contrast"):
            said, value = getattr(optics, what), getattr(tomogram.optics, what)
            if said is None or value is None:
                raise ModelError(
                    f"the {what.replace('_', ' ')} of tomogram {tomogram.name!r}, or of optics "
                    f"group {number} of its particles, is not known; give it"
                )
            if abs(said - value) > _ALIKE * max(1.0, abs(value)):
                raise ModelError(
                    f"{what.replace('_', ' ')}: optics group {number} of the particles says "
                    f"{said:g}, tomogram {tomogram.name!r} {value:g}; correct the one that is wrong"
                )
