"""What a user has of simulated molecules: picks, half maps, a mask, and the set that ties them."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from tomoset import star
from tomoset.cli._simulated_truth import Sets, write_volume
from tomoset.formats._relion_sets import optimisation_set_to_star, particles_to_star
from tomoset.model import TomogramSet

Floats = npt.NDArray[np.float32]

REFERENCE = "reference"
#: Box over molecule; noise of half maps over their standard deviation; edge of the mask [voxels].
_BOX, _NOISE, _EDGE = 1.6, 0.05, 3.0


def write_picks(sets: Sets, density: Floats, pixel_size: float, dialect: str) -> None:
    """Write ``particles.star``, ``reference/`` and ``optimisation_set.star`` into this folder.

    Particles are where one would pick them in tomograms of the alignment that is written; the
    half maps have some noise, each its own.

    Parameters
    ----------
    sets : Sets
        Of the project.
    density : (n, n, n) array
        Of a molecule.
    pixel_size : float
        [Å]
    dialect : str
        ``relion4`` or ``relion5``.
    """
    given = TomogramSet(sets.written)
    coordinates = sets.picks()
    halves = np.arange(len(coordinates)) % 2
    picks = replace(sets.particles(), coordinates=coordinates, halves=halves)
    star.write(particles_to_star(picks, dialect, given), "particles.star")
    for name, volume in _maps(density).items():
        write_volume(f"{REFERENCE}/{name}.mrc", volume, pixel_size, name)
    entries = {
        "rlnTomoParticlesFile": "particles.star",
        "rlnTomoTomogramsFile": "tomograms.star",
        "rlnTomoReferenceMap1File": f"{REFERENCE}/half1.mrc",
        "rlnTomoReferenceMap2File": f"{REFERENCE}/half2.mrc",
        "rlnTomoReferenceMaskFile": f"{REFERENCE}/mask.mrc",
    }
    star.write(optimisation_set_to_star(entries, None, dialect), "optimisation_set.star")


def _maps(density: Floats) -> dict[str, Floats]:
    """Half maps and their mask, in a box with room about the molecule."""
    n = len(density)
    box = 2 * math.ceil(_BOX * n / 2)
    first = box // 2 - n // 2
    room = np.zeros((box,) * 3, np.float32)
    room[(slice(first, first + n),) * 3] = density
    rng = np.random.default_rng(0)
    deviation = np.float32(_NOISE * density.std())
    radius = np.linalg.norm(np.indices(room.shape) - box // 2, axis=0)
    return {
        "half1": room + deviation * rng.standard_normal(room.shape, dtype=np.float32),
        "half2": room + deviation * rng.standard_normal(room.shape, dtype=np.float32),
        "mask": np.clip((n / 2 - radius) / _EDGE + 0.5, 0, 1).astype(np.float32),
    }
