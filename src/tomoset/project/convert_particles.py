"""Particles of a project as tables of another package: written, read again, compared."""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tomoset import geometry
from tomoset.errors import LossyWarning, ModelError, TomosetWarning, VerificationError
from tomoset.files import Guard, Transaction
from tomoset.formats import Format, Picked, format_named, joined_particles, names_path
from tomoset.model import ParticleSet, Project, TomogramSet
from tomoset.paths import file_names
from tomoset.project._record import is_record, store
from tomoset.project.history import writing

Array = npt.NDArray[np.float64]

#: What is written is that near to what was read, or it fails [px, deg].
MAX_POSITION, MAX_ANGLE = 0.01, 0.01
#: What tables may not say of particles, by the fields of `ParticleSet`.
_MAY_BE_LOST = {
    "halves": "half sets",
    "classes": "classes",
    "scores": "scores",
    "optics": "optics groups",
    "visible": "the tilt images that show a particle",
    "names": "names",
}


@dataclass(frozen=True, kw_only=True)
class ParticleResult:
    """What was written of particles, and how far it is from the source.

    Parameters
    ----------
    written : list of str
        The tables.
    particles, tomograms : int
        How many there are.
    position : float
        Largest difference of positions, in the tilt images where these are aligned [px].
    angle : float
        Largest angle between orientations [deg].
    lost : list of str
        What the tables do not say.
    names : str, optional
        The map from numbers to names of tomograms, where the tables have numbers.
    """

    written: list[str]
    particles: int
    tomograms: int
    position: float
    angle: float
    lost: list[str]
    names: str | None = None

    def summary(self) -> dict[str, Any]:
        """For a program to read."""
        return {
            "written": self.written,
            "particles": self.particles,
            "tomograms": self.tomograms,
            "position_px": self.position,
            "orientation_deg": self.angle,
            "lost": self.lost,
            "names": self.names,
        }


def convert_particles(
    project: Project, target: str | os.PathLike[str], to: str, *, overwrite: bool = False
) -> ParticleResult:
    """Write the particles of a project as tables of another package, and read them again.

    Parameters
    ----------
    project : Project
        With its particles read.
    target : path-like
        A folder, or a file where the package has one for all.
    to : str
        A format with particle tables.
    overwrite : bool
        Whether files that are there, and other than those written, are replaced.

    Raises
    ------
    ModelError
        If there are no particles.
    VerificationError
        If what is read again is elsewhere. Nothing is written then.
    """
    format, particles = format_named(to), project.particles
    if particles is None:
        raise ModelError(
            f"{format.package} has particle tables only, and the project has no particles: give "
            "an optimisation set, or the particles (`particles`)"
        )
    guard = Guard(project.named_files, overwrite=overwrite, ours=is_record)
    home = target if not os.path.splitext(target)[1] else os.path.dirname(target) or "."
    with writing(home, guard, project.set_files) as (files, said):
        lost = _losses(project, particles, format)
        if lost:
            told = f"tables of {format.package} do not say: {', '.join(lost)}"
            warnings.warn(told, LossyWarning, stacklevel=3)
        written, position, angle = _written(project, particles, format, (target, files))
        result = ParticleResult(
            written=written,
            particles=len(particles),
            tomograms=len(particles.by_tomogram()),
            position=position,
            angle=angle,
            lost=lost,
            names=names_path(written[0]) if format.numbers_tomograms else None,
        )
        store(target, {"source": project.path, **result.summary()}, said)
        return result


def _written(
    project: Project,
    particles: ParticleSet,
    format: Format,
    where: tuple[str | os.PathLike[str], Transaction],
) -> tuple[list[str], float, float]:
    """The tables, and how far what they say is off [px, deg]."""
    target, files = where
    tomograms = project.tomograms
    plain = {file: name for name, file in file_names(tomograms).items()}
    picked = Picked(binning=1, allow_outside=True, names=plain)
    written = format.write_picks(particles, target, tomograms, picked)
    files.place()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TomosetWarning)
        again = joined_particles([format.read_picks(p, tomograms, picked) for p in written])
    position, angle = _differences(particles, again, tomograms)
    kept = all(_same(particles, again, field) for field in format.particle_says)
    if not (position <= MAX_POSITION and angle <= MAX_ANGLE and kept):
        raise VerificationError(
            f"{written[0]}: particles would be up to {position:.3g} px and {angle:.3g}° from the "
            "source, or their further columns others: nothing was written; please report it"
        )
    return written, position, angle


def _losses(project: Project, particles: ParticleSet, format: Format) -> list[str]:
    """What tables do not say of this project."""
    lost = []
    for field, called in _MAY_BE_LOST.items():
        value = getattr(particles, field)
        if value is not None and len(value) and field not in format.particle_says:
            lost.append(called)
    held = (("trajectories", "motion"), ("manifolds", "manifolds"))
    return lost + [called for field, called in held if getattr(project, field) is not None]


def _same(before: ParticleSet, again: ParticleSet, field: str) -> bool:
    """Whether a column came back, to the digits of numbers of 32 bits."""
    one, other = getattr(before, field), getattr(again, field)
    if one is None or not one.any():
        return True
    theirs = again.by_tomogram()
    return other is not None and all(
        np.allclose(one[rows], other[theirs[name]], rtol=1e-6, atol=1e-9)
        for name, rows in before.by_tomogram().items()
    )


def _differences(
    before: ParticleSet, again: ParticleSet, tomograms: TomogramSet
) -> tuple[float, float]:
    """Largest difference of positions [px], and of orientations [deg]; inf if some are gone."""
    position = angle = 0.0
    ours, theirs = before.by_tomogram(), again.by_tomogram()
    one, other = before.positions, again.positions
    known = before.angles is not None or before.subtomogram_angles is not None
    turned = again.orientations.transpose(0, 2, 1) if known else None
    for name, rows in ours.items():
        found, t = theirs.get(name), tomograms[name]
        if found is None or len(found) != len(rows):
            return np.inf, np.inf
        apart = one[rows] - other[found]
        position = max(position, float(np.abs(apart).max()))
        if t.projections is not None:
            seen = np.einsum("tij,nj->tni", t.projections[:, :2, :3], apart)
            position = max(position, float(np.abs(seen).max()))
        if turned is not None:
            left = before.orientations[rows] @ turned[found]
            angle = max(angle, float(geometry.turns(left).max()))
    return position, angle
