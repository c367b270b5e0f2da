"""The aberrations of particles' optics groups, beyond what a CTF's table says."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tomoset import star
from tomoset.errors import AssumptionWarning
from tomoset.formats._relion_sets._columns import ParticleSource
from tomoset.formats._relion_sets._optics import GROUP, optics_of
from tomoset.images.ctf import frequencies
from tomoset.images.zernike import even_phase, odd_phase
from tomoset.model import ParticleSet

Array = npt.NDArray[np.float64]
Floats = npt.NDArray[np.float32]
Complex = npt.NDArray[np.complex64]
Ints = npt.NDArray[np.int64]

#: What RELION's refinement of aberrations adds to optics groups.
EVEN, ODD = "rlnEvenZernike", "rlnOddZernike"
_NONE = ("", "None", "[]")
#: A box that costs nothing [px].
_SMALL = 8
#: What optics groups of single particles may have, and RELION's programs for tomography do not
#: read: columns, and what they say if there is nothing to say.
_UNREAD = {
    **dict.fromkeys(("rlnBeamTiltX", "rlnBeamTiltY"), 0.0),
    **dict.fromkeys(("rlnMagMat00", "rlnMagMat11"), 1.0),
    **dict.fromkeys(("rlnMagMat01", "rlnMagMat10"), 0.0),
}


@dataclass(frozen=True, eq=False)
class Phases:
    """What the aberrations of one optics group do to images of one size.

    Parameters
    ----------
    even : (box, box // 2 + 1) array
        Added to the phase of the CTF, in turns.
    odd : (box, box // 2 + 1) complex64 array or None
        Factor on the transforms of images. None: 1.
    """

    even: Array
    odd: Complex | None


class Aberrations:
    """The aberrations of every particle.

    Parameters
    ----------
    particles : ParticleSet
        Those of `tomoset.particles.columns.lean` will do.
    box : int
        Of the images [px].
    pixel_size : float
        [Å].

    Raises
    ------
    FileFormatError
        If coefficients are no numbers.
    """

    def __init__(self, particles: ParticleSet, box: int, pixel_size: float) -> None:
        self._of = np.zeros(len(particles), np.int64)
        self._phases: list[Phases | None] = [None]
        optics = _optics(particles)
        if optics is None:
            return
        groups = particles.optics_groups
        x, y = frequencies((box, box), pixel_size)
        for row, number in enumerate(optics.ints(GROUP).tolist()):
            mine = np.ones(len(particles), np.bool_) if groups is None else groups == number
            if not mine.any():
                continue
            even, odd = (_coefficients(optics, row, label) for label in (EVEN, ODD))
            if not (even.any() or odd.any()):
                continue
            self._of[mine] = len(self._phases)
            wave = np.exp(1j * odd_phase(odd, x, y)).astype(np.complex64) if odd.any() else None
            self._phases.append(Phases(even_phase(even, x, y) / (2 * np.pi), wave))

    def shares(self, rows: Ints) -> Iterator[tuple[Ints | slice, Phases | None]]:
        """Which of some particles have which aberrations; a slice if all have the same."""
        of = self._of[rows]
        kinds = np.unique(of).tolist()
        for kind in kinds:
            mine = slice(None) if len(kinds) == 1 else np.flatnonzero(of == kind)
            yield mine, self._phases[kind]


def check_aberrations(particles: ParticleSet) -> None:
    """Refuse coefficients that are no numbers.

    Raises
    ------
    FileFormatError
        If particles are of an optics group that has such.
    """
    Aberrations(particles, _SMALL, 1.0)


def aberration_texts(particles: ParticleSet) -> dict[str, list[str]]:
    """What the file says of aberrations, and of which groups."""
    optics = _optics(particles)
    if optics is None:
        return {}
    return {label: list(optics[label]) for label in (GROUP, EVEN, ODD) if label in optics}


def say_what_is_unread(particles: ParticleSet) -> None:
    """Warn of beam tilts and magnifications in optics groups, which nothing here is made of."""
    optics = _optics(particles)
    if optics is None:
        return
    found = [
        label
        for label, nothing in _UNREAD.items()
        if label in optics and np.any(optics.floats(label) != nothing)
    ]
    if found:
        warnings.warn(
            f"{optics.path}: {', '.join(found)} of data_optics are not taken into account, as in "
            f"RELION's programs for tomography; a beam tilt can be said by {ODD}",
            AssumptionWarning,
            stacklevel=4,
        )


def _optics(particles: ParticleSet) -> star.Table | None:
    source = particles.source
    return optics_of(source.file) if isinstance(source, ParticleSource) else None


def _coefficients(optics: star.Table, row: int, label: str) -> Array:
    if label not in optics or optics[label][row].strip() in _NONE:
        return np.zeros(0)
    found: Array = optics.take([row]).vectors(label)[0]
    if not np.isfinite(found).all():
        raise optics.error(f"expected numbers, found {optics[label][row]}", row, label)
    return found
