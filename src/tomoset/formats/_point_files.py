"""Files of points in volumes, with nothing else that is known: text, IMOD models, STAR tables.

What else stands in them stays as it is: points are taken out, and others put in their places.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from tomoset import star
from tomoset.errors import (
    AmbiguityError,
    AssumptionWarning,
    FileFormatError,
    LossyWarning,
    MissingFieldError,
    UnsupportedError,
    some_of,
)
from tomoset.files import write
from tomoset.formats._imod_model import read_model, write_model
from tomoset.formats._pick_frames import Picked
from tomoset.formats._pick_names import named
from tomoset.formats._picks import Picks, particles_of, picks_of, usable
from tomoset.formats._relion_sets._columns import ANGLES, CENTRED, CORNER, SUBTOMOGRAM, TOMOGRAM
from tomoset.formats._text_tables import read_lines
from tomoset.model import ParticleSet, TomogramSet

Array = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]

#: Endings of point files; what others have is told by its content.
POINT_FILES = (".txt", ".xyz", ".coords", ".csv", ".mod", ".star")
#: IMOD's models: x and y are 0 at the corner of the first pixel, z in its middle.
_CORNER = np.array([0.5, 0.5, 0.0])
_WORD = re.compile(r"[^\s,;]+")
_DECIMALS = 3


@dataclass(frozen=True, kw_only=True, eq=False)
class Moved:
    """What is to stand in rows of a file: points, and what tomograms are called."""

    rows: Rows
    points: Array
    keys: Sequence[str]


@dataclass(frozen=True, kw_only=True, eq=False)
class PointFile:
    """Points of a file.

    Parameters
    ----------
    path : str
        Of the file.
    points : (n, 3) array
        As the file counts voxels of the volume.
    keys : sequence of str or None
        What the file calls the tomogram of each; None: it is of one tomogram.
    put : callable
        Writes the file again, of a path, with other points and keys of these rows.
    """

    path: str
    points: Array
    keys: Sequence[str] | None
    put: Callable[[str, Moved], None]

    def particles(
        self, tomograms: TomogramSet, picked: Picked, tomogram: str | None = None
    ) -> ParticleSet:
        """The points as particles, each called by its row.

        Parameters
        ----------
        tomograms : TomogramSet
            Those that they are in.
        picked : Picked
            The volume whose voxels are counted.
        tomogram : str, optional
            The one that they are in, where the file does not say it.

        Raises
        ------
        TomosetError
            If there are none, a tomogram is not clear, or most points are outside.
        """
        keys = self.keys
        if keys is None:
            keys = [_the_tomogram(self.path, tomograms, tomogram)] * len(self.points)
        names = named(keys, tomograms, picked.names, self.path)
        rows = np.flatnonzero(names != "")
        points = usable(self.points[rows], self.path, "place") - (picked.first_voxel or 0)
        picks = Picks(keys=names[rows].tolist(), points=points)
        found = particles_of(picks, self.path, tomograms, replace(picked, names={}))
        return replace(found, names=rows.astype(np.str_))

    def write(
        self, particles: ParticleSet, path: str, tomograms: TomogramSet, picked: Picked
    ) -> None:
        """Write the file again with the points where particles are, of `particles`, moved."""
        picks = picks_of(particles, tomograms, picked)
        moved = Moved(
            rows=particles.particle_names.astype(np.int64),
            points=picks.points + (picked.first_voxel or 0),
            keys=picks.keys,
        )
        self.put(path, moved)


def read_points(path: str | os.PathLike[str]) -> PointFile:
    """Read points.

    Parameters
    ----------
    path : path-like
        Text with three numbers a line, and a name before them if there are several tomograms; an
        IMOD model ``.mod``; or a STAR file with rlnCoordinateX, Y and Z.

    Raises
    ------
    FileFormatError
        If it is something else, with the line.
    UnsupportedError
        If it is a STAR file with orientations, which are not points alone.
    """
    name = os.fspath(path)
    if name.endswith(".mod"):
        return _model_points(name)
    return _star_points(name) if name.endswith(".star") else _text_points(name)


def _the_tomogram(path: str, tomograms: TomogramSet, given: str | None) -> str:
    """The tomogram that a file without names is of."""
    if given is not None:
        return given
    stem = os.path.splitext(os.path.basename(path))[0]
    fits = [name for name in tomograms if re.match(rf"{re.escape(name)}(?![0-9A-Za-z])", stem)]
    found = max(fits, key=len) if fits else next(iter(tomograms))
    if not fits and len(tomograms) != 1:
        raise AmbiguityError(
            f"{path}: nothing says in which tomogram these points are, of {some_of([*tomograms])}: "
            "say it (`tomogram`), or call the file so"
        )
    if found != stem:
        warnings.warn(
            f"{path}: its points are taken to be in tomogram {found!r} (`tomogram` decides)",
            AssumptionWarning,
            stacklevel=4,
        )
    return found


def _model_points(path: str) -> PointFile:
    model = read_model(path)

    def put(target: str, moved: Moved) -> None:
        ends = np.cumsum([len(contour) for contour in model.contours])[:-1]
        contours = tuple(np.split(moved.points + _CORNER, ends))
        write_model(replace(model, contours=contours, size=(0, 0, 0)), target, name="points")
        objects = {name.split(",")[0] for name in model.names}
        if len(objects) > 1:
            warnings.warn(
                f"{target}: contours of {len(objects)} objects become one object",
                LossyWarning,
                stacklevel=4,
            )

    points = np.concatenate([*model.contours, np.empty((0, 3))]) - _CORNER
    return PointFile(path=path, points=points, keys=None, put=put)


def _star_points(path: str) -> PointFile:
    file = star.read(path)
    blocks = [i for i, table in enumerate(file.tables) if all(x in table for x in CORNER)]
    if len(blocks) != 1:
        raise MissingFieldError(
            f"expected one table with {', '.join(CORNER)}, found {len(blocks)}", path=path
        )
    table = file.tables[blocks[0]]
    turned = [label for label in (*ANGLES, *SUBTOMOGRAM, *CENTRED) if label in table]
    if turned:
        raise UnsupportedError(
            f"{path} has {turned[0]}, so it is no list of points of a volume, whose binning could "
            "be said; leave out what is said of the volume (`binning`, `pixel_size`, `volume`)"
        )

    def put(target: str, moved: Moved) -> None:
        texts = {
            label: [f"{value:.6f}" for value in column]
            for label, column in zip(CORNER, moved.points.T.tolist(), strict=True)
        }
        if TOMOGRAM in table:
            texts[TOMOGRAM] = list(moved.keys)
        tables = list(file.tables)
        tables[blocks[0]] = table.take(moved.rows).with_columns(texts)
        star.write(replace(file, tables=tuple(tables)), target)

    return PointFile(
        path=path,
        points=np.stack([table.floats(label) for label in CORNER], axis=1),
        keys=list(table[TOMOGRAM]) if TOMOGRAM in table else None,
        put=put,
    )


def _text_points(path: str) -> PointFile:
    lines, rows = read_lines(path), list[tuple[int, list[str], list[float]]]()
    for number, line in enumerate(lines, 1):
        words = _WORD.findall(line)
        if not words or words[0].startswith("#"):
            continue
        if not rows and all(_numbers([word]) is None for word in words):
            continue  # names of columns
        key, values = words[:-3], _numbers(words[-3:]) if len(words) > 2 else None
        named_before = bool(rows[0][1]) if rows else bool(key)
        if values is None or len(key) > 1 or bool(key) != named_before or _numbers(key):
            raise FileFormatError(
                "expected three numbers x, y, z, or the name of a tomogram before them, and all "
                f"lines alike, found {line.strip()[:60]!r}",
                path=path,
                line=number,
            )
        rows.append((number - 1, key, values))

    def put(target: str, moved: Moved) -> None:
        out: list[str | None] = list(lines)
        for at, _, _ in rows:
            out[at] = None
        found = zip(moved.rows.tolist(), moved.points.tolist(), moved.keys, strict=True)
        for row, place, name in found:
            at, key, _ = rows[row]
            texts = [*([name] if key else []), *(f"{x:.{_DECIMALS}f}" for x in place)]
            out[at] = _replaced(lines[at], texts)
        text = "\n".join(line for line in out if line is not None)
        write(target, text.encode(errors="surrogateescape"))

    return PointFile(
        path=path,
        points=np.array([values for _, _, values in rows]).reshape(-1, 3),
        keys=[key[0] for _, key, _ in rows] if rows and rows[0][1] else None,
        put=put,
    )


def _numbers(words: Sequence[str]) -> list[float] | None:
    try:
        return [float(word.replace("_", "?")) for word in words]  # 1_2 is none
    except ValueError:
        return None


def _replaced(line: str, texts: Sequence[str]) -> str:
    """The line with other words, and what stood between them."""
    gaps = _WORD.split(line)
    return "".join(gap + text for gap, text in zip(gaps, [*texts, ""], strict=True))
