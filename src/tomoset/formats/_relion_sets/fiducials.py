"""RELION's fiducials: one unnamed loop of places in Å (specification 2.6).

RELION 4 counts voxels from 1, RELION 5 from 0. A file of no bytes is one without beads.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tomoset import star
from tomoset.errors import FileFormatError, LossyWarning, MissingFieldError, MissingFileError
from tomoset.formats._relion_sets._columns import ORIGINS
from tomoset.formats._relion_sets._texts import VERSIONS, Array, exact_texts, in_version, merge
from tomoset.model import Fiducials

#: The number of RELION's first voxel, in each dialect.
_FIRST = {"relion4": 1.0, "relion5": 0.0}


@dataclass(frozen=True, kw_only=True, eq=False)
class FiducialSource:
    """The file that fiducials came from, and its dialect."""

    file: star.StarFile
    dialect: str


def read_fiducials(
    path: str | os.PathLike[str], *, dialect: str, pixel_size: float | None
) -> Fiducials:
    """Read the beads of one tomogram.

    Parameters
    ----------
    path : path-like
        ``fiducials_NAME.star``; RELION writes 0 bytes where it found none.
    dialect : {"relion4", "relion5"}
        Of the tomogram set that names the file: the file itself does not show it.
    pixel_size : float or None
        Of the tilt series [Å].

    Raises
    ------
    FileFormatError
        If columns are missing, or there is no pixel size.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "fiducials_001.star"
    >>> _ = path.write_text("data_\\nloop_\\n_rlnOriginXAngst\\n_rlnOriginYAngst\\n"
    ...                     "_rlnOriginZAngst\\n54.0 48.0 0.0\\n")
    >>> read_fiducials(path, dialect="relion4", pixel_size=2.0).points.tolist()
    [[26.0, 23.0, -1.0]]
    """
    if not Path(path).is_file():
        raise MissingFileError(f"{os.fspath(path)}: there is no such file of fiducials")
    if Path(path).stat().st_size == 0:
        empty = star.StarFile((), path=os.fspath(path))
        return Fiducials(
            points=np.empty((0, 3)), source=FiducialSource(file=empty, dialect=dialect)
        )
    file = star.read(path)
    table = _table(file)
    if table is None:
        raise MissingFieldError(
            f"not a file of fiducials: expected one table with {', '.join(ORIGINS)}", path=path
        )
    if pixel_size is None:
        raise FileFormatError(
            "the fiducials are in Å, and the tomogram has no pixel size yet", path=path
        )
    columns = []
    for label in ORIGINS:
        values = table.floats(label)
        bad = np.flatnonzero(~np.isfinite(values))
        if len(bad):
            found = f"expected a finite number, found {values[bad[0]]}"
            raise table.error(found, int(bad[0]), label)
        columns.append(_to_voxels(values, dialect, pixel_size))
    source = FiducialSource(file=file, dialect=dialect)
    return Fiducials(points=np.stack(columns, axis=1), source=source)


def _to_voxels(values: Array, dialect: str, pixel_size: float) -> Array:
    return values / pixel_size - _FIRST[dialect]


def _to_file(voxels: Array, dialect: str, pixel_size: float) -> Array:
    return (voxels + _FIRST[dialect]) * pixel_size


def _table(file: star.StarFile) -> star.Table | None:
    return next((t for t in file.tables if all(label in t for label in ORIGINS)), None)


def fiducials_to_star(fiducials: Fiducials, *, dialect: str, pixel_size: float) -> star.StarFile:
    """The table of a fiducial file, or none at all; what nobody changed keeps its text."""
    source = fiducials.source if isinstance(fiducials.source, FiducialSource) else None
    old = None if source is None else _table(source.file)
    if source is None or old is None or len(old) != len(fiducials):
        if old is not None and len(old.labels) > len(ORIGINS):
            warnings.warn(
                f"{old.path}: fiducials came or went, so the columns that tomoset does not know "
                f"are dropped: {', '.join(x for x in old.labels if x not in ORIGINS)}",
                LossyWarning,
                stacklevel=2,
            )
        if not len(fiducials):
            return star.StarFile(())
        columns = {
            label: exact_texts(_to_file(fiducials.points[:, axis], dialect, pixel_size))
            for axis, label in enumerate(ORIGINS)
        }
        comments = (VERSIONS[dialect],) if old is None else old.comments
        return star.StarFile((in_version(star.Table("", columns, comments=comments), dialect),))
    changed: dict[str, Sequence[str]] = {}
    for axis, label in enumerate(ORIGINS):
        voxels = fiducials.points[:, axis]
        same = _to_voxels(old.floats(label), dialect, pixel_size) == voxels
        new = exact_texts(_to_file(voxels, dialect, pixel_size)[~same])
        changed[label] = merge(old[label], same, new)
    tables = [t.with_columns(changed) if t is old else t for t in source.file.tables]
    if source.dialect != dialect:
        tables = [in_version(t, dialect) for t in tables]
    return star.StarFile(tuple(tables), comments=source.file.comments)


def write_fiducials(
    fiducials: Fiducials, path: str | os.PathLike[str], *, dialect: str, pixel_size: float
) -> None:
    """Write a fiducial file, whole or not at all; without beads it has 0 bytes."""
    star.write(fiducials_to_star(fiducials, dialect=dialect, pixel_size=pixel_size), path)
