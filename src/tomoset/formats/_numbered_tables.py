"""Particle tables that are one file, with numbers for tomograms, and voxels from 1 with shifts."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from tomoset import geometry
from tomoset.files import together, write
from tomoset.formats._format import Format
from tomoset.formats._pick_frames import Picked
from tomoset.formats._pick_names import names_beside, names_file, names_path, numbered
from tomoset.formats._picks import (
    SAID,
    Array,
    Ints,
    Picks,
    particles_of,
    picks_of,
    table_path,
    usable,
    whole_keys,
)
from tomoset.formats._words import StrPath
from tomoset.model import ParticleSet, TomogramSet

#: What Matlab calls the first voxel.
_FIRST = 1


@dataclass(frozen=True, kw_only=True, eq=False)
class Numbered:
    """What such a table says of n particles.

    Parameters
    ----------
    numbers : (n,) array
        Of the tomograms.
    places, shifts : (n, 3) arrays
        Voxels as the package counts them, and what is added to them.
    angles : (n, 3) array
        phi, theta, psi of `tomoset.geometry.zxz_matrix` [deg].
    halves, classes, scores : (n,) arrays, optional
        As `ParticleSet` has them.
    """

    numbers: Array
    places: Array
    shifts: Array
    angles: Array
    halves: Ints | None = None
    classes: Ints | None = None
    scores: Array | None = None


class NumberedTables(Format, ABC):
    """A package with such tables."""

    writes = "the same"
    alignments = False
    particle_says = frozenset({"classes", "scores"})
    numbers_tomograms = True
    needs: Mapping[str, tuple[str, ...]] = {"": ("particles", "size", "pixel_size")}

    @abstractmethod
    def table_of(self, path: str) -> Numbered:
        """What a file says."""

    @abstractmethod
    def content(self, table: Numbered, tomograms: TomogramSet, numbers: Mapping[str, int]) -> bytes:
        """The file of a table; with the tomograms by name, and their numbers."""

    def read_picks(self, path: StrPath, tomograms: TomogramSet, picked: Picked) -> ParticleSet:
        """Particles of a table, with the map of its tomograms beside it; see `Format`."""
        name = os.fspath(path)
        table = self.table_of(name)
        first = _FIRST if picked.first_voxel is None else picked.first_voxel
        places, shifts = usable(table.places, name, "place"), usable(table.shifts, name, "place")
        picks = Picks(
            keys=whole_keys(table.numbers, name),
            points=places + shifts - first,
            rotations=geometry.zxz_matrix(*usable(table.angles, name, "orientation").T),
            **{field: getattr(table, field) for field in SAID},
        )
        names = {**names_beside(name, only_own=bool(picked.names)), **picked.names}
        return particles_of(picks, name, tomograms, replace(picked, names=names))

    def write_picks(
        self, particles: ParticleSet, path: StrPath, tomograms: TomogramSet, picked: Picked
    ) -> list[str]:
        """Write one table, and a map of its tomograms beside it; see `Format`."""
        picks = picks_of(particles, tomograms, picked)
        numbers = numbered(particles.by_tomogram())
        first = _FIRST if picked.first_voxel is None else picked.first_voxel
        places, angles = np.round(picks.points), np.zeros((len(picks), 3))
        if picks.rotations is not None:
            angles = geometry.zxz_angles(picks.rotations)
        table = Numbered(
            numbers=np.array([numbers[key] for key in picks.keys], dtype=np.float64),
            places=places + first,
            shifts=picks.points - places,
            angles=angles,
            **{field: getattr(picks, field) for field in SAID},
        )
        target = table_path(path, self.particle_files[0])
        with together():
            write(target, self.content(table, tomograms, numbers))
            write(names_path(target), names_file(numbers))
        return [target]
