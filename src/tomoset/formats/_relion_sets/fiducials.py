"""RELION's fiducials: one unnamed loop of places in Å, and what was seen.

See docs/relion.md, 'Fiducials'.

RELION 4 counts voxels from 1, RELION 5 from 0. Its reader takes the first table of the file and
nothing else, so further tables of ours stand behind it:

=====================  =========================================================================
``data_``              RELION's: ``_rlnOriginXAngst``, ``Y``, ``Z``, one bead a row
``data_beads``         ``_tomosetScore`` (of the detector, higher is better), ``_tomosetSeen`` (in
                       how many tilt images); a row for each bead, in the same order
``data_observations``  ``_tomosetBead`` and ``_tomosetTiltImage`` (rows of the beads and of the
                       tomogram's table, from 1), ``_tomosetImageX``, ``_tomosetImageY`` (pixels
                       of the tilt image, from 0), ``_tomosetImageUncertainty`` (px)
=====================  =========================================================================
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from tomoset import star
from tomoset.errors import FileFormatError, LossyWarning, MissingFieldError, MissingFileError
from tomoset.formats._numbers import possible_floats
from tomoset.formats._relion_sets._columns import ORIGINS
from tomoset.formats._texts import (
    VERSIONS,
    Array,
    Mask,
    exact_texts,
    float_texts,
    in_version,
    int_texts,
    merge,
)
from tomoset.model import Fiducials
from tomoset.model.observations import Observations

#: The number of RELION's first voxel, in each dialect.
_FIRST = {"relion4": 1.0, "relion5": 0.0}

_OBSERVATIONS, _BEADS = "observations", "beads"
_BEAD, _TILT = "tomosetBead", "tomosetTiltImage"
_IMAGE_X, _IMAGE_Y, _UNCERTAINTY = "tomosetImageX", "tomosetImageY", "tomosetImageUncertainty"
_SCORE, _SEEN, _RESIDUAL = "tomosetScore", "tomosetSeen", "tomosetResidual"
_RADIUS = "tomosetRadius"
_SEEN_LABELS = (_BEAD, _TILT, _IMAGE_X, _IMAGE_Y, _UNCERTAINTY)
_WHOLE = (_BEAD, _TILT, _SEEN)


@dataclass(frozen=True, kw_only=True, eq=False)
class FiducialSource:
    """The file that fiducials came from, and its dialect."""

    file: star.StarFile
    dialect: str


def read_fiducials(
    path: str | os.PathLike[str],
    *,
    dialect: str,
    pixel_size: float | None,
    n_tilts: int | None = None,
) -> Fiducials:
    """Read the beads of one tomogram, and where they were seen if the file says it.

    Parameters
    ----------
    path : path-like
        ``fiducials_NAME.star``; RELION writes 0 bytes where it found none.
    dialect : {"relion4", "relion5"}
        Of the tomogram set that names the file: the file itself does not show it.
    pixel_size : float or None
        Of the tilt series [Å].
    n_tilts : int, optional
        How many tilt images the tomogram has, to refuse observations in others.

    Raises
    ------
    FileFormatError
        If columns are missing, numbers impossible, or there is no pixel size.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "fiducials_001.star"
    >>> _ = path.write_text("data_\\nloop_\\n_rlnOriginXAngst\\n_rlnOriginYAngst\\n"
    ...                     "_rlnOriginZAngst\\n54.0 48.0 0.0\\n")
    >>> read_fiducials(path, dialect="relion4", pixel_size=2.0).points.tolist()
    [[26.0, 23.0, -1.0]]
    """
    if not os.path.isfile(path):
        raise MissingFileError(f"{os.fspath(path)}: there is no such file of fiducials")
    if Path(path).stat().st_size == 0:
        empty = star.StarFile((), path=os.fspath(path))
        return Fiducials(
            points=np.empty((0, 3)), source=FiducialSource(file=empty, dialect=dialect)
        )
    file = star.read(path)
    table = _places_of(file)
    if table is None:
        raise MissingFieldError(
            f"not a file of fiducials: expected one table with {', '.join(ORIGINS)}", path=path
        )
    if pixel_size is None and len(table):
        raise FileFormatError(
            "the fiducials are in Å, and the tomogram has no pixel size yet", path=path
        )
    for label in ORIGINS:
        _finite(table, label)
    return Fiducials(
        points=_positions(table, dialect, pixel_size or 1.0),
        observations=_read_observations(_named(file, _OBSERVATIONS), len(table), n_tilts),
        scores=_one_each(_named(file, _BEADS), _SCORE, len(table)),
        radii=_one_each(_named(file, _BEADS), _RADIUS, len(table)),
        source=FiducialSource(file=file, dialect=dialect),
    )


def _places_of(file: star.StarFile) -> star.Table | None:
    return next((t for t in file.tables if all(label in t for label in ORIGINS)), None)


def _named(tables: Iterable[star.Table], name: str) -> star.Table | None:
    return next((table for table in tables if table.name == name), None)


def _positions(table: star.Table, dialect: str, pixel_size: float) -> Array:
    columns = (possible_floats(table, label, "beads") for label in ORIGINS)
    return np.stack([_to_voxels(values, dialect, pixel_size) for values in columns], axis=1)


def _to_voxels(values: Array, dialect: str, pixel_size: float) -> Array:
    return values / pixel_size - _FIRST[dialect]


def _to_file(voxels: Array, dialect: str, pixel_size: float) -> Array:
    return (voxels + _FIRST[dialect]) * pixel_size


def _read_observations(
    table: star.Table | None, n_beads: int, n_tilts: int | None
) -> Observations | None:
    if table is None:
        return None
    bead, tilt = table.ints(_BEAD), table.ints(_TILT)
    beads = f"the number of a bead, 1 to {n_beads}" if n_beads else "nothing, as there is no bead"
    _refuse(table, _BEAD, (bead < 1) | (bead > n_beads), beads)
    last = np.inf if n_tilts is None else n_tilts
    tilts = "the row of a tilt image, from 1" + (f" to {n_tilts}" if n_tilts is not None else "")
    _refuse(table, _TILT, (tilt < 1) | (tilt > last), tilts)
    points = np.stack([_finite(table, _IMAGE_X), _finite(table, _IMAGE_Y)], axis=1)
    uncertainty = _finite(table, _UNCERTAINTY) if _UNCERTAINTY in table else None
    if uncertainty is not None:
        _refuse(table, _UNCERTAINTY, uncertainty <= 0, "an uncertainty above 0 px")
    again = np.ones(len(table), dtype=bool)
    again[np.unique(np.stack([bead, tilt]), axis=1, return_index=True)[1]] = False
    _refuse(table, _TILT, again, "each bead once in a tilt image; this one is there twice")
    return Observations(bead=bead - 1, tilt=tilt - 1, points=points, uncertainty=uncertainty)


def _one_each(table: star.Table | None, label: str, n_beads: int) -> Array | None:
    if table is None:
        return None
    if len(table) != n_beads:
        raise table.error(
            f"expected a row for each of the {n_beads} beads, found {len(table)}; remove the "
            "table, or make it anew"
        )
    return _finite(table, label) if label in table else None


def _finite(table: star.Table, label: str) -> Array:
    values = table.floats(label)
    _refuse(table, label, ~np.isfinite(values), "a finite number")
    return values


def _refuse(table: star.Table, label: str, bad: Mask, expected: str) -> None:
    """Say the first row that is not what it must be, if there is one."""
    rows = np.flatnonzero(bad)
    if len(rows):
        row = int(rows[0])
        raise table.error(f"expected {expected}, found {table[label][row]}", row, label)


def fiducials_to_star(fiducials: Fiducials, *, dialect: str, pixel_size: float) -> star.StarFile:
    """The tables of a fiducial file; what nobody changed keeps its text."""
    source = fiducials.source if isinstance(fiducials.source, FiducialSource) else None
    before = () if source is None else source.file.tables
    old = None if source is None else _places_of(source.file)
    if not len(fiducials):
        return _no_beads(source, old, dialect)
    if source is not None and old is not None and len(old) != len(fiducials):
        _warn_of_loss(old, ORIGINS)
        source = None
    ours: dict[str, star.Table | None] = {
        _BEADS: _beads_table(fiducials, source, _named(before, _BEADS), pixel_size),
        _OBSERVATIONS: _observations_table(fiducials.observations, _named(before, _OBSERVATIONS)),
    }
    # RELION reads the first table and nothing else.
    tables = [_places_table(fiducials, old, dialect, pixel_size)]
    for table in before:
        if table is not old:
            tables += _there(ours.pop(table.name, None)) if table.name in ours else [table]
    if source is None or source.dialect != dialect:
        tables = [in_version(table, dialect) for table in tables]
    for late in ours.values():
        tables += [replace(table, comments=(VERSIONS[dialect],)) for table in _there(late)]
    return star.StarFile(tuple(tables), comments=() if source is None else source.file.comments)


def _there(table: star.Table | None) -> list[star.Table]:
    return [] if table is None else [table]


def _no_beads(source: FiducialSource | None, old: star.Table | None, dialect: str) -> star.StarFile:
    """RELION's loop without rows, and nothing behind it.

    The readers of RELION 4.0.1 and 5.0.1 take that for no beads, as they take 0 bytes; but a
    further table they take for a row with too few columns (docs/relion.md, 'Reading STAR'), and
    stop. A file of 0 bytes, as RELION 4 writes it, stays one.
    """
    if source is not None and not source.file.tables:
        return star.StarFile(())
    if old is not None and not len(old):
        return star.StarFile((in_version(old, dialect),))
    return star.StarFile(
        (star.Table("", {label: [] for label in ORIGINS}, comments=(VERSIONS[dialect],)),)
    )


def _warn_of_loss(table: star.Table, known: Sequence[str]) -> None:
    lost = [label for label in table.labels if label not in known]
    if lost:
        warnings.warn(
            f"{table.path}: fiducials came or went, so the columns that tomoset does not know "
            f"are dropped: {', '.join(lost)}",
            LossyWarning,
            stacklevel=3,
        )


def _places_table(
    fiducials: Fiducials, old: star.Table | None, dialect: str, pixel_size: float
) -> star.Table:
    values = _to_file(fiducials.points, dialect, pixel_size)
    if old is None or len(old) != len(fiducials):
        columns = {label: exact_texts(values[:, axis]) for axis, label in enumerate(ORIGINS)}
        comments = (VERSIONS[dialect],) if old is None else old.comments
        return star.Table("", columns, comments=comments)
    stays = _positions(old, dialect, pixel_size) == fiducials.points
    return old.with_columns(
        {
            label: merge(old[label], stays[:, axis], exact_texts(values[~stays[:, axis], axis]))
            for axis, label in enumerate(ORIGINS)
        }
    )


def _observations_table(found: Observations | None, old: star.Table | None) -> star.Table | None:
    if found is None:
        return None
    numbers = _numbers_of(found)
    if old is not None and not all(_says(old, label, numbers[label]) for label in (_BEAD, _TILT)):
        _warn_of_loss(old, _SEEN_LABELS)
        old = star.Table(_OBSERVATIONS, {}, comments=old.comments)
    return _renewed(_OBSERVATIONS, numbers, old, _SEEN_LABELS)


def _numbers_of(found: Observations) -> dict[str, Array]:
    numbers: dict[str, Array] = {
        _BEAD: (found.bead + 1).astype(np.float64),
        _TILT: (found.tilt + 1).astype(np.float64),
        _IMAGE_X: found.points[:, 0],
        _IMAGE_Y: found.points[:, 1],
    }
    return numbers if found.uncertainty is None else numbers | {_UNCERTAINTY: found.uncertainty}


def _beads_table(
    fiducials: Fiducials, source: FiducialSource | None, old: star.Table | None, pixel_size: float
) -> star.Table | None:
    if source is None and old is not None:  # other beads
        _warn_of_loss(old, (_SCORE, _RADIUS, _SEEN, _RESIDUAL))
        old = None
    own = {_SCORE: fiducials.scores, _RADIUS: fiducials.radii}
    numbers = {label: values for label, values in own.items() if values is not None}
    if not numbers and old is None:
        return None
    if fiducials.observations is not None:
        seen = np.bincount(fiducials.observations.bead, minlength=len(fiducials))
        numbers[_SEEN] = seen.astype(np.float64)
    # A residual is of this position and of these observations, or of nothing.
    known = (
        _SCORE,
        _RADIUS,
        _SEEN,
        *(() if _as_read(fiducials, source, pixel_size) else (_RESIDUAL,)),
    )
    table = _renewed(_BEADS, numbers, old, known)
    return table if table.columns else None


def _as_read(fiducials: Fiducials, source: FiducialSource | None, pixel_size: float) -> bool:
    """Whether beads and observations are those of the file they came from."""
    places = None if source is None else _places_of(source.file)
    if source is None or places is None:
        return False
    if not np.array_equal(_positions(places, source.dialect, pixel_size), fiducials.points):
        return False
    old, found = _named(source.file, _OBSERVATIONS), fiducials.observations
    if old is None or found is None:
        return old is None and found is None
    numbers = _numbers_of(found)
    return (_UNCERTAINTY in old) == (_UNCERTAINTY in numbers) and all(
        _says(old, label, values) for label, values in numbers.items()
    )


def _says(table: star.Table, label: str, values: Array) -> bool:
    return np.array_equal(table.floats(label), values)


def _renewed(
    name: str,
    numbers: Mapping[str, Array],
    old: star.Table | None,
    known: Sequence[str],
) -> star.Table:
    """A table of these numbers, in the text of the old one where it says the same.

    Its other columns stay, but for those of `known` that there are no numbers for any more.
    """
    texts = {
        label: int_texts(old, label, values.astype(np.int64))
        if label in _WHOLE
        else float_texts(old, label, values)
        for label, values in numbers.items()
    }
    if old is None:
        return star.Table(name, texts)
    kept = {label: old[label] for label in old.labels if label in texts or label not in known}
    columns = kept | texts
    rows = len(next(iter(columns.values()), ()))
    return star.Table(name, columns, old.is_loop or rows != 1, old.comments, old.path)


def write_fiducials(
    fiducials: Fiducials, path: str | os.PathLike[str], *, dialect: str, pixel_size: float
) -> None:
    """Write a fiducial file, whole or not at all."""
    star.write(fiducials_to_star(fiducials, dialect=dialect, pixel_size=pixel_size), path)
