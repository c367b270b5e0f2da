"""Particle tables of other packages: what all of them share.

A package's module makes `Picks` of its file, in voxels of the volume from 0 and with rotation
matrices, or a file of `Picks`. What leads from there to particles of a set is here, once.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from tomoset import geometry
from tomoset.errors import AssumptionWarning, FileFormatError, LossyWarning, ModelError
from tomoset.formats._pick_frames import Picked, refuse_outside
from tomoset.formats._pick_names import named
from tomoset.formats._text_tables import read_lines
from tomoset.model import ParticleSet, Tomogram, TomogramSet

Array = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

#: What tables may say of particles beside places and orientations: fields of `ParticleSet`.
SAID = ("halves", "classes", "scores")
#: What no place, angle or number of a tomogram reaches.
_BEYOND = 1e9


@dataclass(frozen=True, kw_only=True, eq=False)
class Picks:
    """What a table says of n particles.

    Parameters
    ----------
    keys : sequence of str
        What the package calls the tomogram of each.
    points : (n, 3) array
        x, y, z in voxels of the volume, the centre of the first being 0; or [Å].
    rotations : (n, 3, 3) array, optional
        From the particle's own frame to that of the volume.
    halves : (n,) int array, optional
        Half set, 0 or 1.
    classes, scores : (n,) arrays, optional
        As `ParticleSet` has them.
    in_angstrom, from_middle : bool
        Whether points are in Å; and whether they count from the middle voxel of the tomogram,
        size // 2, instead of the first.
    """

    keys: Sequence[str]
    points: Array
    rotations: Array | None = None
    halves: Ints | None = None
    classes: Ints | None = None
    scores: Array | None = None
    in_angstrom: bool = False
    from_middle: bool = False

    def __len__(self) -> int:
        return len(self.points)


def particles_of(picks: Picks, path: str, tomograms: TomogramSet, picked: Picked) -> ParticleSet:
    """Particles of a set, of what a table says.

    Raises
    ------
    FileFormatError
        If there are none, or a tomogram is not clear.
    ModelError
        If most are outside their tomograms, or a size is not known that is needed.
    """
    if not len(picks):
        raise FileFormatError("expected particles, found none", path=path)
    names = named(picks.keys, tomograms, picked.names, path)
    rows = np.flatnonzero(names != "")
    if len(rows) < len(names):
        warnings.warn(
            f"{path}: {len(names) - len(rows)} of {len(names)} particles are left out, as the map "
            "of names says",
            LossyWarning,
            stacklevel=3,
        )
    if not len(rows):
        raise FileFormatError("the map of names leaves out all tomograms", path=path)
    if not picks.in_angstrom and picked.binning is None and picked.pixel_size is None:
        warnings.warn(
            f"{path}: positions are taken for voxels of unbinned tomograms; say the pixel size or "
            "the binning of the volume (`pixel_size`, `binning`) if they are not",
            AssumptionWarning,
            stacklevel=3,
        )
    rotations = None if picks.rotations is None else picked.turned(picks.rotations[rows])
    said: dict[str, Any] = {
        name: None if (values := getattr(picks, name)) is None else values[rows] for name in SAID
    }
    particles = ParticleSet(
        tomogram_names=names[rows],
        coordinates=np.zeros((len(rows), 3)),
        angles=None if rotations is None else geometry.euler_angles(rotations),
        **said,
        pixel_sizes=_pixel_sizes(names[rows], tomograms),
    )
    coordinates, places = np.empty((len(rows), 3)), []
    for name, own in particles.by_tomogram().items():
        t = tomograms[name]
        points = picks.points[rows[own]]
        if picks.in_angstrom:
            points = points / (t.need_pixel_size() * picked.factor(t))
        if picks.from_middle:
            points = points + middle(t, picked)
        places.append((t, points))
        coordinates[own] = picked.to_tomogram(points, t)
    refuse_outside(places, picked, path)
    return replace(particles, coordinates=coordinates)


def middle(tomogram: Tomogram, picked: Picked) -> Array:
    """The middle voxel of a tomogram, size // 2, in voxels of its volume: (1, 3) array."""
    half = np.array([tomogram.need_size()], dtype=np.float64) // 2
    return picked.from_tomogram(half, tomogram)


def _pixel_sizes(names: npt.NDArray[np.str_], tomograms: TomogramSet) -> Array | None:
    once, codes = np.unique(names, return_inverse=True)
    sizes = [tomograms[name].optics.pixel_size for name in once.tolist()]
    return None if None in sizes else np.array(sizes, dtype=np.float64)[codes]


def picks_of(particles: ParticleSet, tomograms: TomogramSet, picked: Picked) -> Picks:
    """What a table is to say of particles, in voxels of the volume from 0; keys are names.

    Raises
    ------
    ModelError
        If there are no particles, one is in no tomogram of the set, or a size is not known.
    """
    if not len(particles):
        raise ModelError("there are no particles to write")
    positions, points = particles.positions, np.empty((len(particles), 3))
    for name, rows in particles.by_tomogram().items():
        if name not in tomograms:
            raise ModelError(f"{len(rows)} particles are in {name!r}, which is not in the set")
        points[rows] = picked.from_tomogram(positions[rows], tomograms[name])
    known = particles.angles is not None or particles.subtomogram_angles is not None
    return Picks(
        keys=particles.tomogram_names.tolist(),
        points=points,
        rotations=picked.turned_back(particles.orientations) if known else None,
        **{name: getattr(particles, name) for name in SAID},
    )


def joined(sets: Sequence[ParticleSet]) -> ParticleSet:
    """Particles of several tables as one set; what only some of them say is said, and dropped.

    Orientations are not: where a table has none, they are those of the tomogram.
    """
    if len(sets) == 1:
        return sets[0]
    columns: dict[str, Any] = {}
    for name in ("tomogram_names", "coordinates", "angles", "pixel_sizes", *SAID):
        values = [getattr(one, name) for one in sets]
        lacking = sum(value is None for value in values)
        if 0 < lacking < len(sets) and name == "angles":
            told = f"{lacking} of {len(sets)} tables have no orientations, and get the tomograms'"
            warnings.warn(told, AssumptionWarning, stacklevel=2)
            values = [
                np.zeros((len(one), 3)) if value is None else value
                for one, value in zip(sets, values, strict=True)
            ]
        elif 0 < lacking < len(sets):
            told = f"{lacking} of {len(sets)} tables have no {name}, so those of all are dropped"
            warnings.warn(told, LossyWarning, stacklevel=2)
        columns[name] = None if any(v is None for v in values) else np.concatenate(values)
    return ParticleSet(**columns)


_REAL = r"\d+\.?\d*(?:e[-+]?\d+)?"
#: A complex number as Matlab writes it; its real part is the group.
COMPLEX = re.compile(rf"(?i)(?<![^\s,])([-+]?{_REAL})[-+]{_REAL}i(?![^\s,])")


def read_columns(path: str, least: int, delimiter: str | None = None, skip: int = 0) -> Array:
    """A table of numbers, its rows alike and with enough columns: (n, columns) array.

    Of Matlab's complex numbers, such as 0+1.2e-06i, the real parts; that is said.

    Raises
    ------
    FileFormatError
        With the line that is otherwise.
    """
    lines = read_lines(path)
    if found := next(filter(None, (COMPLEX.search(s) for s in lines[skip:] if "i" in s)), None):
        warnings.warn(
            f"{path}: of complex numbers, such as {found[0]}, the real parts are taken",
            AssumptionWarning,
            stacklevel=3,
        )
        lines = [COMPLEX.sub(r"\1", line) for line in lines]
    rows = [line for line in lines[skip:] if line.strip()]
    if not rows:
        raise FileFormatError("expected particles, found none", path=path)
    try:
        table = np.loadtxt(rows, delimiter=delimiter, ndmin=2, comments=None)
    except ValueError:
        table = np.empty((0, 0))
    if len(table) == len(rows) and table.shape[1] >= least:
        return np.asarray(table)
    raise _bad_row(path, lines, (least, delimiter, skip))


def _bad_row(path: str, lines: list[str], form: tuple[int, str | None, int]) -> FileFormatError:
    least, delimiter, skip = form
    width = 0
    for number, line in enumerate(lines[skip:], skip + 1):
        words = line.split(delimiter) if line.strip() else []
        if not words:
            continue
        width = width or len(words)
        if len(words) < least or len(words) != width:
            expected = f"{width}, as in the rows before" if width >= least else f"at least {least}"
            return FileFormatError(
                f"expected {expected} columns, found {len(words)}", path=path, line=number
            )
        for word in words:
            try:
                float(word)
            except ValueError:
                return FileFormatError(
                    f"expected a number, found {word.strip()[:40]!r}", path=path, line=number
                )
    return FileFormatError("expected a table of numbers", path=path)


def column_texts(table: Array, formats: Sequence[str], delimiter: str = " ") -> str:
    """Rows of numbers as lines, each column by its %-format."""
    row = delimiter.join(formats) + "\n"
    return "".join([row % tuple(values) for values in table.tolist()])


def whole_keys(numbers: Array, path: str) -> list[str]:
    """Numbers of tomograms as keys; FileFormatError if one is not whole."""
    bad = (numbers != np.round(numbers)) | ~((numbers >= 0) & (numbers < _BEYOND))
    if bad.any():
        row = int(np.argmax(bad))
        raise FileFormatError(
            f"particle {row + 1}: expected the number of a tomogram, found {numbers[row]:g}",
            path=path,
        )
    return list(map(str, numbers.astype(np.int64).tolist()))


def usable(values: Array, path: str, what: str) -> Array:
    """The same numbers, a row for each particle; FileFormatError if one is none or beyond sense."""
    bad = ~(np.abs(values) < _BEYOND).all(axis=tuple(range(1, values.ndim)))
    if bad.any():
        raise FileFormatError(
            f"particle {int(np.argmax(bad)) + 1} (of {int(bad.sum())} such) has no {what} that "
            "makes sense",
            path=path,
        )
    return values


def whole(numbers: Array) -> Ints | None:
    """A column of integers; None where it says none."""
    known = (np.abs(numbers) < _BEYOND).all() and np.array_equal(numbers, np.round(numbers))
    return numbers.astype(np.int64) if known and numbers.any() else None


def scored(numbers: Array) -> Array | None:
    """A column of scores; None where all are 0 or one is no number."""
    return numbers if np.isfinite(numbers).all() and numbers.any() else None


def table_path(path: str | os.PathLike[str], ending: str) -> str:
    """Where a table goes: the file, or ``particles`` with the ending in a folder."""
    name = os.fspath(path)
    return name if name.endswith(ending) else os.path.join(name, f"particles{ending}")
