"""RELION's particles: corner voxels in RELION 4, centred Å in RELION 5.

See docs/relion.md, 'Particles' and 'Particles of RELION 5'.

https://relion.readthedocs.io/en/release-5.0/Reference/STA/Datatypes/particle_set.html
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tomoset import star
from tomoset.errors import (
    AmbiguityError,
    AssumptionWarning,
    FileFormatError,
    LossyWarning,
    MissingFieldError,
    ModelError,
)
from tomoset.formats._numbers import possible_floats
from tomoset.formats._relion_sets._columns import (
    CENTRED,
    CLASS,
    CORNER,
    NAME,
    ORIGINS,
    SCORE,
    SUBSET,
    SUBTOMOGRAM,
    TOMOGRAM,
    TRIPLES,
    Frame,
    ParticleSource,
    optics_of,
)
from tomoset.formats._relion_sets._links import Links, unknown, unknown_message
from tomoset.formats._relion_sets._optics import read_optics
from tomoset.formats._relion_sets._visible import read_visible
from tomoset.formats._texts import Array, Ints
from tomoset.model import ParticleSet, TomogramSet
from tomoset.model.particles import distinct


def read_particles(path: str | os.PathLike[str], tomograms: TomogramSet) -> ParticleSet:
    """Read particles from a file; `particles_from_star` says how, and what is refused."""
    return particles_from_star(star.read(path), tomograms)


def particles_from_star(file: star.StarFile, tomograms: TomogramSet) -> ParticleSet:
    """Particles from the tables of a file, in either dialect; the columns show which.

    Parameters
    ----------
    file : StarFile
        One table, of any name, has rlnTomoName and coordinates: rlnCenteredCoordinate*Angst of
        RELION 5, which come first, or rlnCoordinate*. Angles and origins that are absent are
        0, as RELION takes them.
    tomograms : TomogramSet
        The set that the names refer to. Particles of other tomograms are left out with a warning,
        as RELION does.

    Returns
    -------
    ParticleSet
        Coordinates in 0-based bin-1 voxels; `particles_to_star` gives every text back.

    Raises
    ------
    FileFormatError
        With file and line: columns that are missing, no particle of a tomogram, optics groups that
        are not there, vectors of visible frames that do not fit.
    AmbiguityError
        If several tables hold particles.

    Examples
    --------
    >>> from tomoset import Optics, Tomogram, TomogramSet
    >>> one = Tomogram(name="001", n_tilts=41, size=(40, 40, 21), optics=Optics(pixel_size=2.0))
    >>> text = "data_particles\\nloop_\\n_rlnTomoName\\n" + "".join(
    ...     f"_rlnCenteredCoordinate{axis}Angst\\n" for axis in "XYZ")
    >>> p = particles_from_star(star.loads(text + "001 -2 0 10\\n"), TomogramSet([one]))
    >>> p.positions.tolist()
    [[19.0, 20.0, 15.5]]
    """
    block = _particle_block(file)
    table = _known_only(file.tables[block], tomograms)
    names = list(table[TOMOGRAM])
    links = Links.of(names, tomograms)
    centred = all(label in table for label in CENTRED)
    groups, pixel_sizes, optics = read_optics(optics_of(file), table, links)
    if centred:
        coordinates = _from_centred(table, links, pixel_sizes)
    else:
        coordinates = _numbers(table, CORNER, "coordinates")
        _warn_of_picks(table, tomograms)
    dialect = "relion5" if centred else "relion4"
    _warn_of_pixels(table)
    triples: dict[str, Any] = {
        what: _triple(table, labels, what) for what, labels in TRIPLES.items()
    }
    for array in (groups, pixel_sizes, coordinates):
        if array is not None:
            array.flags.writeable = False
    particles = ParticleSet(
        tomogram_names=np.array(names, dtype=np.str_),
        coordinates=coordinates,
        names=_particle_names(table),
        visible=read_visible(table, links),
        halves=_read_halves(table),
        classes=table.ints(CLASS) if CLASS in table else None,
        scores=table.floats(SCORE) if SCORE in table else None,
        optics_groups=groups,
        optics=optics,
        pixel_sizes=pixel_sizes,
        source=ParticleSource(dialect=dialect, file=file, block=block, table=table, optics=optics),
        **triples,
    )
    return particles.in_file(file.path if table is file.tables[block] else None)


def _particle_block(file: star.StarFile) -> int:
    """Which table holds the particles: RELION asks for data_particles, others do not."""
    found = [
        i
        for i, table in enumerate(file.tables)
        if TOMOGRAM in table and any(label in table for label in (*CORNER, *CENTRED))
    ]
    if len(found) > 1:
        named = [i for i in found if file.tables[i].name == "particles"]
        if len(named) != 1:
            there = ", ".join(f"data_{file.tables[i].name}" for i in found)
            raise AmbiguityError(
                f"{file.path}: {there} all hold particles; call the one that is meant "
                "data_particles, or make a file of each"
            )
        found = named
    if not found:
        raise MissingFieldError(f"not a particle set: {_looks_like(file)}", path=file.path)
    table = file.tables[found[0]]
    complete = [all(label in table for label in labels) for labels in (CENTRED, CORNER)]
    if not any(complete):
        labels = CENTRED if any(label in table for label in CENTRED) else CORNER
        missing = ", ".join(f"_{label}" for label in labels if label not in table)
        raise MissingFieldError(
            f"data_{table.name}: expected all of {', '.join(labels)}, but {missing} is missing",
            path=file.path,
        )
    return found[0]


#: What else a file may be, by a label that tells; the first that fits.
_OTHERS = {
    "rlnTomoImportParticleFile": (
        "it is a list of particle files for RELION's import (rlnTomoImportParticleFile); give "
        "one of the files that it names, or the particles.star of the import"
    ),
    "rlnTomoParticlesFile": "it is an optimisation set; give the file it names",
    "rlnTomoTiltSeriesStarFile": "it is a tomogram set of RELION 5",
    "rlnTomoFrameCount": "it is a tomogram set",
    "rlnTomoManifoldIndex": "it is a manifold set",
    "rlnTomoParticleName": "there are particle names but no rlnTomoName with coordinates",
    "rlnTomoName": (
        "the table with rlnTomoName has no coordinates; expected rlnCenteredCoordinateXAngst, "
        "Y, Z (RELION 5) or rlnCoordinateX, Y, Z (RELION 4)"
    ),
    "rlnCoordinateX": (
        "the coordinates have no rlnTomoName beside them; add that column with the name of each "
        "particle's tomogram (Warp's rlnMicrographName is that name with an ending)"
    ),
}


def _looks_like(file: star.StarFile) -> str:
    labels = {label for table in file.tables for label in table.columns}
    for label, what in _OTHERS.items():
        if label in labels:
            return what
    return "expected a table with rlnTomoName and coordinates, found " + (
        ", ".join(f"data_{table.name}" for table in file.tables[:5]) or "no table"
    )


def _known_only(table: star.Table, tomograms: TomogramSet) -> star.Table:
    """The particles whose tomogram is there (docs/relion.md, 'Particles')."""
    names = list(table[TOMOGRAM])
    once, codes = distinct(names)
    lost = unknown(once, tomograms)
    if not lost:
        return table
    known = np.array([name in tomograms for name in once], dtype=np.bool_)[codes]
    rows = np.flatnonzero(~known)
    message = unknown_message(lost, tomograms)
    if not known.any():
        raise table.error(f"{message} ({len(rows)} particles)", int(rows[0]), TOMOGRAM)
    warnings.warn(
        f"{table.path}: {len(rows)} of {len(names)} particles are left out: {message}",
        LossyWarning,
        stacklevel=4,
    )
    return table.take(known)


def _particle_names(table: star.Table) -> npt.NDArray[np.str_] | None:
    if NAME not in table:
        return None
    names = list(table[NAME])
    if len(set(names)) < len(names):
        first = dict(zip(reversed(names), range(len(names) - 1, -1, -1), strict=True))
        row = next(i for i, name in enumerate(names) if first[name] != i)
        warnings.warn(
            f"{table.path}:{table.line_of(row)}: a second particle is called {names[row]!r} "
            f"({len(names) - len(set(names))} such); trajectories go by name, so both have the "
            "same. Give them other names, or remove duplicates",
            AssumptionWarning,
            stacklevel=4,
        )
    return np.array(names, dtype=np.str_)


def _read_halves(table: star.Table) -> Ints | None:
    if SUBSET not in table:
        return None
    subsets = table.ints(SUBSET)
    wrong = np.flatnonzero((subsets != 1) & (subsets != 2))
    if len(wrong):
        row = int(wrong[0])
        raise table.error(
            f"expected a half set, 1 or 2, found {subsets[row]} ({len(wrong)} such); split the "
            "particles again, or remove the column",
            row,
            SUBSET,
        )
    return np.asarray(subsets - 1, np.int64)


def _from_centred(table: star.Table, links: Links, pixel_sizes: Array | None) -> Array:
    try:
        frame = Frame.of(links, pixel_sizes)
    except ModelError as problem:
        raise FileFormatError(str(problem), path=table.path) from problem
    centred = _numbers(table, CENTRED, "centred")
    for axis in range(3):
        centred[:, axis] = frame.to_voxels(centred[:, axis], axis)
    return centred


def _warn_of_picks(table: star.Table, tomograms: TomogramSet) -> None:
    if tomograms.format == "relion5":
        warnings.warn(
            f"{table.path}: rlnCoordinate* are taken for bin-1 voxels from 0, as RELION 5 takes "
            "them; its picks in annotations/ count voxels of the binned tomogram instead: give "
            "the particles.star of the Picks job, not those",
            AssumptionWarning,
            stacklevel=4,
        )


def _warn_of_pixels(table: star.Table) -> None:
    """Origins in pixels are those of RELION before 3.1: its tomography reads Å only."""
    old = [label.removesuffix("Angst") for label in ORIGINS]
    used = [label for label in old if label in table and table.floats(label).any()]
    if used and not all(label in table for label in ORIGINS):
        warnings.warn(
            f"{table.path}: {', '.join(used)} (pixels) are not used, as RELION uses "
            f"{', '.join(ORIGINS)} only: multiply them by the pixel size of the subtomograms, and "
            "rename the columns",
            AssumptionWarning,
            stacklevel=4,
        )


def _numbers(table: star.Table, labels: Sequence[str], field: str) -> Array:
    """Columns of possible numbers, side by side."""
    out = np.empty((len(table), len(labels)))
    for i, label in enumerate(labels):
        out[:, i] = possible_floats(table, label, field)
    return out


def _triple(table: star.Table, labels: tuple[str, ...], field: str) -> Array | None:
    """Three columns, 0 where one is absent; None where RELION looks at none of them."""
    present = [label for label in labels if label in table]
    if not present:
        return None
    if labels == SUBTOMOGRAM and labels[0] not in present:
        _warn_of_absent(table, present, f"not used: without {labels[0]} RELION turns nothing")
        return None
    if len(present) < 3 and labels in (SUBTOMOGRAM, ORIGINS):
        absent = ", ".join(label for label in labels if label not in present)
        _warn_of_absent(table, present, f"used with 0 for {absent}")
    out = np.zeros((len(table), 3))
    for i, label in enumerate(labels):
        if label in table:
            # An angle that RELION could not find is nan; a place must be a number.
            out[:, i] = possible_floats(table, label, field, unknown=field == "angles")
    out.flags.writeable = False
    return out


def _warn_of_absent(table: star.Table, present: Sequence[str], what: str) -> None:
    warnings.warn(
        f"{table.path}: of its group data_{table.name} has only {', '.join(present)}, {what}",
        AssumptionWarning,
        stacklevel=5,
    )
