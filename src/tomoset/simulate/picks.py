"""What a user has of simulated molecules: picks, half maps, a mask, and the set that ties them."""

from __future__ import annotations

import math
import os
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from tomoset.model import ParticleSet
from tomoset.simulate.truth import Sets, write_volume

Floats = npt.NDArray[np.float32]

REFERENCE = "reference"
#: Box over molecule; noise of half maps over their standard deviation; edge of the mask [voxels].
_BOX, _NOISE, _EDGE = 1.6, 0.05, 3.0


def picked(sets: Sets) -> ParticleSet:
    """Molecules where one would pick them in tomograms of the alignment that is written."""
    coordinates = sets.picks()
    halves = np.arange(len(coordinates)) % 2
    return replace(sets.particles(), coordinates=coordinates, halves=halves)


def write_references(density: Floats, pixel_size: float) -> dict[str, str]:
    """Write half maps, each with noise of its own, and their mask into ``reference/``.

    Parameters
    ----------
    density : (n, n, n) array
        Of a molecule.
    pixel_size : float
        [Å]

    Returns
    -------
    dict of str to str
        Paths, as `Project.references` has them.
    """
    os.makedirs(REFERENCE, exist_ok=True)
    paths = {name: f"{REFERENCE}/{name}.mrc" for name in ("half1", "half2", "mask")}
    for name, volume in _maps(density).items():
        write_volume(paths[name], volume, pixel_size, name)
    return paths


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
