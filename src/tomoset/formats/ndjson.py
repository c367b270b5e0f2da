"""Point annotations of the CryoET Data Portal (``.ndjson``): a point in JSON a line.

https://chanzuckerberg.github.io/cryoet-data-portal/: places in voxels of the tomogram that they
were made in, whose spacing stands in the path of the file; ``xyz_rotation_matrix`` of oriented
points takes the object to its place. What decides each sign is in docs/formats.md.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from tomoset.errors import AssumptionWarning, LossyWarning
from tomoset.files import together, write
from tomoset.formats._format import Format
from tomoset.formats._json_points import locations, numbers, proper, read_json_lines, run_of
from tomoset.formats._pick_frames import Picked
from tomoset.formats._picks import Array, Ints, Picks, column_texts, particles_of, picks_of
from tomoset.formats._words import StrPath
from tomoset.model import ParticleSet, TomogramSet
from tomoset.paths import file_names

_MATRIX = "xyz_rotation_matrix"
#: Folders of a run: the one above has its name.
_MARKS = ("Reconstructions", "TomogramVoxelSpacing", "Tomograms")
_SPACING = re.compile(r"VoxelSpacing([0-9]+(?:\.[0-9]+)?)")


class Ndjson(Format):
    """Point annotations."""

    name = "ndjson"
    package = "CryoET Data Portal, annotations"
    url = "https://cryoetdataportal.czscience.com"
    reads = "particle tables `.ndjson`"
    writes = "the same"
    alignments = False
    needs: Mapping[str, tuple[str, ...]] = {"": ("particles", "size", "pixel_size")}
    particle_files = (".ndjson",)

    def detect_particles(self, path: str, head: bytes) -> bool:
        """Whether the first line is a point."""
        return path.endswith(self.particle_files) and b'"location"' in head.split(b"\n", 1)[0]

    def read_picks(self, path: StrPath, tomograms: TomogramSet, picked: Picked) -> ParticleSet:
        """Particles of one file; see `Format`."""
        name = os.fspath(path)
        points = read_json_lines(name)
        picks = Picks(
            keys=[run_of(name, _MARKS)] * len(points),
            points=locations(points, name) - (picked.first_voxel or 0),
            rotations=_rotations(points, name),
        )
        return particles_of(picks, name, tomograms, _spaced(picked, name))

    def write_picks(
        self, particles: ParticleSet, path: StrPath, tomograms: TomogramSet, picked: Picked
    ) -> list[str]:
        """Write ``NAME.ndjson`` of each tomogram into a folder; see `Format`."""
        picks, rows_of, written = (
            picks_of(particles, tomograms, picked),
            particles.by_tomogram(),
            [],
        )
        with together():
            for name, plain in file_names(rows_of).items():
                written.append(os.path.join(path, f"{plain}.ndjson"))
                write(written[-1], _text(picks, rows_of[name], picked).encode())
        return written


def _spaced(picked: Picked, path: str) -> Picked:
    """With the voxel spacing that the path says, where nothing else does."""
    found = _SPACING.search(os.path.abspath(path))
    if found is None or picked.binning is not None or picked.pixel_size is not None:
        return picked
    if float(found[1]) == 0:
        return picked
    warnings.warn(
        f"{path}: points are taken for voxels of {float(found[1]):g} Å, as the path says "
        "(`pixel_size` decides)",
        AssumptionWarning,
        stacklevel=3,
    )
    return replace(picked, pixel_size=float(found[1]))


def _rotations(points: list[Any], path: str) -> Array | None:
    """Orientations; those of points that have none are said to be 0."""
    if any("instance_id" in point for point in points):
        warnings.warn(
            f"{path}: the numbers of instances are not carried", LossyWarning, stacklevel=4
        )
    matrices = [point.get(_MATRIX) for point in points]
    without = sum(matrix is None for matrix in matrices)
    if without == len(points):
        return None
    if without:
        warnings.warn(
            f"{path}: {without} of {len(points)} points have no orientation, and get that of the "
            "tomogram",
            AssumptionWarning,
            stacklevel=4,
        )
    known = [np.eye(3).tolist() if matrix is None else matrix for matrix in matrices]
    return proper(numbers(known, (3, 3), path, f"{_MATRIX} of 3 x 3 numbers"), path)


def _text(picks: Picks, rows: Ints, picked: Picked) -> str:
    table = picks.points[rows] + (picked.first_voxel or 0)
    number = "%.12g"
    place = f'"location": {{"x": {number}, "y": {number}, "z": {number}}}'
    if picks.rotations is None:
        return column_texts(table, [f'{{"type": "point", {place}}}'])
    table = np.concatenate([table, picks.rotations[rows].reshape(-1, 9)], axis=1)
    matrix = ", ".join([f"[{number}, {number}, {number}]"] * 3)
    return column_texts(table, [f'{{"type": "orientedPoint", {place}, "{_MATRIX}": [{matrix}]}}'])


NDJSON = Ndjson()
