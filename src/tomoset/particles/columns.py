"""What the rows of RELION's particles say besides the model: halves, and the optics."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from tomoset import star
from tomoset.errors import ModelError
from tomoset.formats._relion_sets._columns import TOMOGRAM, ParticleSource
from tomoset.formats._relion_sets._optics import GROUP, optics_of
from tomoset.model import ParticleSet, Tomogram

Halves = npt.NDArray[np.int64]

_SUBSET = "rlnRandomSubset"
_ANGLES = ("rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi")
#: As RELION compares optics groups with tomograms.
_ALIKE = 1e-3


def halves(particles: ParticleSet) -> Halves:
    """The half map of every particle, 0 or 1: rlnRandomSubset less 1, or in turns.

    Raises
    ------
    FileFormatError
        If a subset is neither 1 nor 2.

    Examples
    --------
    >>> halves(ParticleSet(tomogram_names=["a", "a", "a"], coordinates=np.zeros((3, 3)))).tolist()
    [0, 1, 0]
    """
    source = particles.source
    if not isinstance(source, ParticleSource) or not has_halves(particles):
        return np.arange(len(particles)) % 2
    subsets = source.table.ints(_SUBSET)
    wrong = np.flatnonzero((subsets != 1) & (subsets != 2))
    if len(wrong):
        row = int(wrong[0])
        raise source.table.error(
            f"expected a half set, 1 or 2, found {subsets[row]} ({len(wrong)} such)", row, _SUBSET
        )
    return np.asarray(subsets - 1, np.int64)


def has_halves(particles: ParticleSet) -> bool:
    """Whether their file says which half map each belongs to."""
    source = particles.source
    return isinstance(source, ParticleSource) and _SUBSET in source.table


def missing_angles(particles: ParticleSet) -> list[str]:
    """Which angles of particles nobody says: labels of RELION's columns."""
    source = particles.source
    if not isinstance(source, ParticleSource):
        return [] if particles.angles is not None else list(_ANGLES)
    missing = [label for label in _ANGLES if label not in source.table]
    # Those of subtomograms may be all there are.
    turned = particles.angles is None and not np.allclose(particles.orientations, np.eye(3))
    return [] if turned else missing


def lean(particles: ParticleSet) -> ParticleSet:
    """The particles with no more of their file than is read of it: halves, angles, optics.

    What is sent to another process is then small, however many particles the file has.
    """
    source = particles.source
    if not isinstance(source, ParticleSource):
        return replace(particles, source=None)
    columns = {k: v for k, v in source.table.columns.items() if k in (TOMOGRAM, _SUBSET, *_ANGLES)}
    optics = optics_of(source.file)
    tables = () if optics is None else (optics,)
    file = star.StarFile(tables, path=source.file.path)
    table = replace(source.table, columns=columns)
    return replace(particles, source=replace(source, file=file, table=table))


def check_optics(particles: ParticleSet, tomogram: Tomogram) -> None:
    """Refuse particles whose optics are not those of the tomogram.

    Raises
    ------
    ModelError
        If pixel sizes differ.
    FileFormatError
        If the voltage or the spherical aberration of an optics group differs.
    """
    own = tomogram.optics.pixel_size
    if particles.pixel_sizes is not None and own is not None:
        other = particles.pixel_sizes[np.abs(particles.pixel_sizes / own - 1) > _ALIKE]
        if len(other):
            raise ModelError(
                f"tomogram {tomogram.name!r} has {own:g} Å a pixel, the optics group of "
                f"{len(other)} of its particles {other[0]:g} Å; correct the one that is wrong"
            )
    source = particles.source
    optics = optics_of(source.file) if isinstance(source, ParticleSource) else None
    if optics is None:
        return
    every = np.arange(len(optics))
    mine = every
    if particles.optics_groups is not None and GROUP in optics:
        mine = every[np.isin(optics.ints(GROUP), particles.optics_groups)]
    for row in mine.tolist():
        _compare(optics, row, tomogram)


def _compare(optics: star.Table, row: int, tomogram: Tomogram) -> None:
    of = tomogram.optics
    for label, value in (
        ("rlnVoltage", of.voltage),
        ("rlnSphericalAberration", of.spherical_aberration),
        ("rlnAmplitudeContrast", of.amplitude_contrast),
    ):
        if label not in optics:
            continue
        said = float(optics.floats(label)[row])
        if abs(said - value) > _ALIKE * max(1.0, abs(value)):
            raise optics.error(
                f"the optics group says {said:g}, tomogram {tomogram.name!r} {value:g}; correct "
                "the one that is wrong",
                row,
                label,
            )
