"""Particles, read in the format that their file shows."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

from tomoset.errors import (
    MissingFileError,
    UnsupportedError,
)
from tomoset.files import read_bytes
from tomoset.formats._format import Format
from tomoset.formats._list import FORMATS, format_named, working_format
from tomoset.formats._pick_frames import Picked
from tomoset.formats._point_files import POINT_FILES
from tomoset.formats._relion import HEAD
from tomoset.formats._words import (
    StrPath,
)
from tomoset.model import ParticleSet, TomogramSet


def read_particles(
    path: StrPath,
    tomograms: TomogramSet,
    format: str | None = None,
    picked: Picked | None = None,
    **told: Any,
) -> ParticleSet:
    """Read particles in the tomograms of a set.

    Parameters
    ----------
    path : path-like
        ``particles.star`` of RELION, in either dialect; or a table of another package.
    tomograms : TomogramSet
        The set that their names refer to.
    format : str, optional
        The package, by the name of its format; found from the content if not given.
    picked : Picked, optional
        Of another package's table: what it does not say.
    **told
        Fields of `Picked` instead: ``binning``, ``pixel_size`` [Å], ``names`` ...

    Raises
    ------
    FileFormatError
        If the file holds no particles, or some are in no such tomogram.
    ModelError
        If most particles of another package's table are outside their tomograms.

    Examples
    --------
    >>> import tomoset
    >>> s = tomoset.read("tomograms.star")
    >>> tomoset.read_particles("particles.star", s).positions.shape
    (3, 3)
    """
    chosen = picks_format(path, format)
    if chosen is None:
        return working_format(tomograms).read_particles(path, tomograms)
    return chosen.read_picks(path, tomograms, replace(picked or Picked(), **told))


def picks_format(path: StrPath, format: str | None = None) -> Format | None:
    """The format, other than RELION's, of a particle table: as it is said, or by its content.

    Raises
    ------
    UnsupportedError
        If the format that is said has no particle tables.
    MissingFileError
        If there is no such file.
    """
    if format is not None:
        chosen = format_named(format)
        if not chosen.particle_files and not chosen.can("linked sets"):
            able = ", ".join(f.name for f in FORMATS if f.particle_files)
            raise UnsupportedError(
                f"{chosen.package} has no particle tables; those that have: {able}"
            )
        return chosen if chosen.particle_files else None
    name = os.fspath(path)
    able_formats = [f for f in FORMATS if name.endswith(f.particle_files)]
    if not able_formats or os.path.isdir(name):
        return None
    if not os.path.exists(name):
        raise MissingFileError(f"{name}: there is no such file")
    head = read_bytes(name, HEAD)
    found = next((f for f in able_formats if f.detect_particles(name, head)), None)
    # What has an ending of one package alone is damaged, which its reader says best.
    return able_formats[0] if found is None and not name.endswith(".star") else found


def is_particle_set(path: StrPath) -> bool:
    """Whether a file looks like RELION's particles: a STAR file that names tomograms."""
    return os.fspath(path).endswith(".star") and b"rlnTomoName" in read_bytes(path, HEAD)


def table_format(path: StrPath) -> Format | None:
    """The format of a particle table; None for one of RELION's, and for a file of points alone."""
    found, name = picks_format(path), os.fspath(path)
    if found is None or found.detect_particles(name, read_bytes(name, HEAD)):
        return found
    return None if name.endswith(POINT_FILES) else found
