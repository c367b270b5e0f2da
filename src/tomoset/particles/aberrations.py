"""The aberrations of particles' optics groups, beyond what a CTF's table says."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tomoset.errors import AssumptionWarning
from tomoset.images.ctf import frequencies
from tomoset.images.zernike import even_phase, odd_phase
from tomoset.model import ParticleSet

Array = npt.NDArray[np.float64]
Floats = npt.NDArray[np.float32]
Complex = npt.NDArray[np.complex64]
Ints = npt.NDArray[np.int64]

_NONE = ((1.0, 0.0), (0.0, 1.0))


@dataclass(frozen=True, eq=False)
class Phases:
    """What the aberrations of one optics group do to images of one size.

    Parameters
    ----------
    even : (box, box // 2 + 1) array
        Added to the phase of the CTF [cycles].
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
        With their optics groups.
    box : int
        Of the images [px].
    pixel_size : float
        [Å].
    """

    def __init__(self, particles: ParticleSet, box: int, pixel_size: float) -> None:
        self._of = np.zeros(len(particles), np.int64)
        self._phases: list[Phases | None] = [None]
        groups = particles.optics_groups
        x, y = frequencies((box, box), pixel_size)
        for number, optics in particles.optics.items():
            mine = np.ones(len(particles), np.bool_) if groups is None else groups == number
            even, odd = (np.array(coefficients) for coefficients in optics.aberrations)
            if not mine.any() or not (even.any() or odd.any()):
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


def say_what_is_unread(particles: ParticleSet) -> None:
    """Warn of beam tilts and magnifications of optics groups, which nothing here is made of."""
    tilted = [n for n, o in particles.optics.items() if any(o.beam_tilt)]
    stretched = [n for n, o in particles.optics.items() if o.magnification != _NONE]
    for what, groups in (("a beam tilt", tilted), ("an anisotropic magnification", stretched)):
        if groups:
            warnings.warn(
                f"{what} of optics group {', '.join(map(str, groups))} is not taken into account, "
                "as in RELION's programs for tomography; odd aberrations can say a beam tilt",
                AssumptionWarning,
                stacklevel=4,
            )
