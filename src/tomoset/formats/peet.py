"""PEET's motive lists (``NAME_MOTL.csv``), each with the IMOD model of its points (``NAME.mod``).

https://bio3d.colorado.edu/imod/betaDoc/PEETmanual.html: a row for each point of the model, in its
order, or as pIndex says. What decides each sign is in docs/formats.md.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from tomoset import geometry
from tomoset.errors import AmbiguityError, FileFormatError, MissingFileError, some_of
from tomoset.files import read_bytes, together, write
from tomoset.formats._format import Format
from tomoset.formats._imod_model import ImodModel, read_model, write_model
from tomoset.formats._pick_frames import Picked
from tomoset.formats._picks import (
    Array,
    Picks,
    column_texts,
    particles_of,
    picks_of,
    read_columns,
    scored,
    usable,
    whole,
)
from tomoset.formats._words import StrPath
from tomoset.model import ParticleSet, Tomogram, TomogramSet
from tomoset.paths import file_names

_HEADER = (
    "CCC,reserved,reserved,pIndex,wedgeWT,NA,NA,NA,NA,NA,xOffset,yOffset,zOffset,NA,NA,reserved,"
    "EulerZ(1),EulerZ(3),EulerX(2),reserved\n"
)
_SCORE, _INDEX, _OFFSET, _CLASS, _WIDTH = 0, 3, slice(10, 13), 19, 20
#: phi, theta, psi: the order in which they turn.
_ANGLES = (16, 18, 17)
#: IMOD's models: x and y are 0 at the corner of the first pixel, z in its middle.
_CORNER = np.array([0.5, 0.5, 0.0])
#: How models begin.
_MODEL = b"IMOD"
#: What a list's name has behind its model's: of a run, and of what a run begins with.
_ITERATION = re.compile(r"(?:_MOTL(?:_Tom[0-9]+)?(?:_Iter[0-9]+)?|[-_]initMOTL)\Z")


class Peet(Format):
    """Motive lists and models."""

    name = "peet"
    package = "PEET"
    url = "https://bio3d.colorado.edu/PEET/"
    reads = "particle tables `_MOTL.csv`, each with its model `.mod`"
    writes = "the same"
    alignments = False
    needs: Mapping[str, tuple[str, ...]] = {"": ("particles", "size", "pixel_size")}
    particle_files = (".csv",)
    particle_says = frozenset({"classes", "scores"})

    def detect_particles(self, path: str, head: bytes) -> bool:
        """Whether the first line has PEET's names of columns."""
        return path.endswith(self.particle_files) and head.startswith(b"CCC,")

    def read_picks(self, path: StrPath, tomograms: TomogramSet, picked: Picked) -> ParticleSet:
        """Particles of one list: points of the model beside it, and offsets; see `Format`."""
        name = os.fspath(path)
        head = read_bytes(name, len(_MODEL)) if os.path.isfile(name) else b""
        if head == _MODEL:
            raise FileFormatError(
                "this is an IMOD model; give PEET's motive list, the _MOTL.csv beside it",
                path=name,
            )
        skip = int(head[:1].isalpha())
        table = read_columns(name, _WIDTH - 1, ",", skip)
        model = _model_of(name)
        points = _points(model, table[:, _INDEX], name)
        first = 0 if picked.first_voxel is None else picked.first_voxel
        offsets = usable(table[:, _OFFSET], name, "place")
        angles = usable(table[:, _ANGLES], name, "orientation")
        picks = Picks(
            keys=[Path(model).stem] * len(table),
            points=usable(points, name, "place") - _CORNER + offsets - first,
            rotations=geometry.zxz_matrix(*angles.T),
            classes=whole(table[:, _CLASS]) if table.shape[1] > _CLASS else None,
            scores=scored(table[:, _SCORE]),
        )
        return particles_of(picks, name, tomograms, picked)

    def write_picks(
        self, particles: ParticleSet, path: StrPath, tomograms: TomogramSet, picked: Picked
    ) -> list[str]:
        """Write ``NAME_MOTL.csv`` and ``NAME.mod`` of each tomogram into a folder; see `Format`."""
        picks = picks_of(particles, tomograms, picked)
        rows_of, written = particles.by_tomogram(), []
        first = 0 if picked.first_voxel is None else picked.first_voxel
        with together():
            for name, plain in file_names(rows_of).items():
                rows, table = rows_of[name], np.zeros((len(rows_of[name]), _WIDTH))
                places = picks.points[rows] + _CORNER + first
                points = np.round(places * 2) / 2  # which models of 32 bits keep
                table[:, _INDEX], table[:, _OFFSET] = np.arange(1, len(rows) + 1), places - points
                if picks.rotations is not None:
                    table[:, _ANGLES] = geometry.zxz_angles(picks.rotations[rows])
                for column, values in ((_CLASS, picks.classes), (_SCORE, picks.scores)):
                    if values is not None:
                        table[:, column] = values[rows]
                base = os.path.join(path, plain)
                write_model(_model(points, tomograms[name], picked), f"{base}.mod", name=plain)
                text = _HEADER + column_texts(table, _formats(), ",")
                written.append(f"{base}_MOTL.csv")
                write(written[-1], text.encode())
        return written


def _model_of(path: str) -> str:
    """The model of a list: of the same name, or the only one beside it."""
    table = Path(path)
    for stem in (table.stem, _ITERATION.sub("", table.stem)):
        if os.path.isfile(own := os.path.join(table.parent, f"{stem}.mod")):
            return own
    every = sorted(table.parent.glob("*.mod"))
    if len(every) == 1:
        return os.fspath(every[0])
    wanted = f"{_ITERATION.sub('', table.stem)}.mod"
    if not every:
        raise MissingFileError(
            f"{path}: expected the IMOD model of its points beside it, called {wanted}"
        )
    raise AmbiguityError(
        f"{path}: its points could be those of {some_of([p.name for p in every])}; call the model, "
        f"or a copy of it, {wanted}"
    )


def _points(model: str, index: Array, path: str) -> Array:
    """The point of each row, as pIndex says, or in the order of the model."""
    contours = read_model(model).contours
    points = np.concatenate([*contours, np.empty((0, 3))])
    row = np.nan_to_num(index, nan=0, posinf=0, neginf=0).clip(0, len(points) + 1).astype(int) - 1
    if len(np.unique(row)) < len(row) and len(row) == len(points):
        return points
    if len(row) > len(points) or row.min() < 0 or row.max() >= len(points):
        raise FileFormatError(
            f"there are {len(index)} particles of points {index.min():g} to {index.max():g} "
            f"(pIndex), but {model} has {len(points)} points: is it of another list?",
            path=path,
        )
    return np.asarray(points[row])


def _model(points: Array, tomogram: Tomogram, picked: Picked) -> ImodModel:
    factor, size, pixel = picked.factor(tomogram), (0, 0, 0), tomogram.optics.pixel_size
    if tomogram.size is not None:
        x, y, z = (round(length / factor) for length in tomogram.size)
        size = (x, y, z)
    return ImodModel(
        contours=(points,),
        size=size,
        pixel_size=None if pixel is None else (pixel * factor, pixel * factor),
    )


def _formats() -> list[str]:
    formats = ["%d"] * _WIDTH
    formats[_SCORE] = "%.9g"
    formats[_OFFSET] = ["%.9f"] * 3
    for column in _ANGLES:
        formats[column] = "%.9f"
    return formats


PEET = Peet()
