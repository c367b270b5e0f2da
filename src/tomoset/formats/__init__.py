"""The formats, as a list that a person can read. Each reads into and writes from the model."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from tomoset import star
from tomoset.errors import (
    FileFormatError,
    MissingFileError,
    UnknownFormatError,
    UnsupportedError,
    joined,
    some_of,
)
from tomoset.files import read_bytes, recover
from tomoset.formats._common_tilts import CommonTilts, common_tilts
from tomoset.formats._destination import Destination
from tomoset.formats._files import refuse_unless_set, wrong_stack
from tomoset.formats._format import (
    BEYOND_RIGID,
    Ability,
    Failure,
    Format,
    LinkedFiles,
    Loss,
    Motion,
    Option,
    Reading,
    StrPath,
    Tolerance,
)
from tomoset.formats._importing import larger_first
from tomoset.formats._names import Renaming, bare, read_listed, read_renaming, suggested_map
from tomoset.formats._pick_frames import Picked
from tomoset.formats._pick_names import names_path, read_names
from tomoset.formats._picks import joined as joined_particles
from tomoset.formats._point_files import POINT_FILES, PointFile, read_points
from tomoset.formats._relion import HEAD
from tomoset.formats._relion_links import follow
from tomoset.formats._relion_links import is_linked as _ties_sets
from tomoset.formats._relion_sets.fsc import read_fsc
from tomoset.formats.aretomo.format import ARETOMO
from tomoset.formats.av3 import AV3
from tomoset.formats.cets.format import CETS
from tomoset.formats.copick import COPICK
from tomoset.formats.dynamo import DYNAMO
from tomoset.formats.eman2.format import EMAN2
from tomoset.formats.images import IMAGES
from tomoset.formats.imod.commands import format_list
from tomoset.formats.imod.format import IMOD
from tomoset.formats.mdoc.format import MDOC
from tomoset.formats.mdoc.tell import tell
from tomoset.formats.ndjson import NDJSON
from tomoset.formats.peet import PEET
from tomoset.formats.portal.format import PORTAL
from tomoset.formats.relion4 import RELION4
from tomoset.formats.relion5 import RELION5
from tomoset.formats.stopgap import STOPGAP
from tomoset.formats.warp.format import WARP
from tomoset.model import ParticleSet, Project, TomogramSet
from tomoset.model.io import enter

__all__ = [
    "BEYOND_RIGID",
    "FORMATS",
    "POINT_FILES",
    "Ability",
    "CommonTilts",
    "Destination",
    "Failure",
    "Format",
    "LinkedFiles",
    "Loss",
    "Motion",
    "Option",
    "ParticleSet",
    "Picked",
    "PointFile",
    "Project",
    "Reading",
    "Renaming",
    "Tolerance",
    "TomogramSet",
    "bare",
    "beads_format",
    "check_images",
    "common_tilts",
    "format_list",
    "format_named",
    "format_of",
    "is_linked",
    "is_particle_set",
    "joined_particles",
    "larger_first",
    "names_path",
    "open_linked",
    "open_parts",
    "other_importer",
    "picks_format",
    "read",
    "read_fsc",
    "read_listed",
    "read_names",
    "read_particles",
    "read_points",
    "read_renaming",
    "read_without_images",
    "refuse_unable",
    "refuse_unless_set",
    "series_inside",
    "suggested_map",
    "table_format",
    "tell",
    "working_format",
    "wrong_images",
]

#: The order is that of the documentation, and in which a file is asked what it is.
FORMATS: tuple[Format, ...] = (
    *(RELION4, RELION5, IMOD, ARETOMO, WARP, MDOC, EMAN2, CETS, PORTAL, IMAGES),
    *(DYNAMO, STOPGAP, PEET, AV3, COPICK, NDJSON),
)
#: So many files of a folder are asked whose they are.
_LOOKED_AT = 40

#: What else a STAR file may be, by a label that tells.
_OTHERS = {
    "rlnTomoImportImodDir": "a RELION import table; give it to `tomoset import imod --i`",
    "rlnCoordinateX": "a particle set",
    "rlnCenteredCoordinateXAngst": "a particle set of RELION 5",
    "rlnTomoManifoldIndex": "a manifold set",
    "rlnTomoTomogramsFile": "an optimisation set; give the file its rlnTomoTomogramsFile names",
    "rlnTomoProjX": "the table of one tilt series, without the table data_global",
    "rlnMicrographPreExposure": "the table of one tilt series; give the global file that names it",
    "rlnMicrographName": "a set of micrographs (single particles)",
    "motl_idx": "a motive list of STOPGAP; give it to `tomoset import particles`",
    "wrpMovieName": "a Warp tilt series (.tomostar); give it to `tomoset import warp`",
}


def read(path: StrPath, format: str | None = None) -> TomogramSet:
    """Read a tomogram set.

    Parameters
    ----------
    path : path-like
        The (global) STAR file.
    format : str, optional
        Name of the format; found from the content if not given.

    Returns
    -------
    TomogramSet
        With every table, column and text of the file: `TomogramSet.write` gives them back.

    Raises
    ------
    FileFormatError
        If the file is not such a set, with the line that shows it.
    UnknownFormatError
        If no format recognises it; the message says what the file looks like.

    Examples
    --------
    >>> import tomoset
    >>> s = tomoset.read("tomograms.star")
    >>> s["TS_01"].project([[100, 200, 50]]).shape
    (9, 1, 2)
    """
    tomograms = read_without_images(path, format)
    check_images(tomograms, path)
    return tomograms


def read_without_images(path: StrPath, format: str | None = None) -> TomogramSet:
    """Read a tomogram set as `read`, whatever its stacks hold.

    For programs that open the images themselves, and let one bad stack stop no other.
    """
    return _read_at(path, format).tomograms


def _read_at(path: StrPath, format: str | None = None) -> Project:
    """What is there, all of it."""
    return _whole(_parts_at(path, format))


def _parts_at(path: StrPath, format: str | None = None) -> Reading:
    chosen = _format_at(path) if format is None else format_named(format)
    return chosen.read([path])


def _whole(reading: Reading) -> Project:
    """What was read, if that is all; else what is wrong, of all tomograms."""
    if reading.failures:
        raise joined([failure.error for failure in reading.failures])
    return reading.project


def check_images(tomograms: TomogramSet, path: StrPath) -> None:
    """Refuse stacks with other images than a set says; FileFormatError, with their lines."""
    wrong = list(wrong_images(tomograms, path))
    if wrong:
        raise joined([failure.error for failure in wrong])


def wrong_images(tomograms: TomogramSet, path: StrPath) -> Iterator[Failure]:
    """Tomograms whose stacks have other images than the set says, and what is wrong with them."""
    lines = format_of(tomograms).lines_of(tomograms)
    for name, tomogram in tomograms.items():
        wrong = wrong_stack(tomogram)
        if wrong:
            yield Failure(name=name, error=FileFormatError(wrong, path=path, line=lines.get(name)))


def open_linked(path: StrPath, **given: StrPath | None) -> Project:
    """A tomogram set, with all that belongs to it still unread.

    Parameters
    ----------
    path : path-like
        What ties sets together, a tomogram set, or a folder with one of them.
    **given : path-like
        Files to take instead: ``tomograms``, and the sets of `Project`.

    Raises
    ------
    TomosetError
        If the tomogram set is not there or cannot be read, or could be several.
    """
    return _whole(open_parts(path, **given))


def open_parts(path: StrPath, **given: StrPath | None) -> Reading:
    """As `open_linked`, but what is wrong with a tomogram is a failure and stops no other.

    Raises
    ------
    TomosetError
        If the tomogram set is not there or is none, or could be several.
    """
    recover(path if os.path.isdir(path) else os.path.dirname(path) or ".")
    if os.path.isdir(path):
        for format in FORMATS:
            if format.detect(os.fspath(path), b""):
                return format.read([path])
        _refuse_parent(Path(path))
    alone = _alone(path)
    if alone is not None and not any(given.values()):
        return alone.read([path])
    links = follow(path, {name: file for name, file in given.items() if file is not None})
    reading = _parts_at(links.tomograms)
    project = Project(
        tomograms=reading.project.tomograms,
        unread=links.unread,
        references=links.references,
        source=links.file,
    )
    return replace(reading, project=project)


def is_linked(path: StrPath) -> bool:
    """Whether a path means more than a tomogram set: a folder, or an optimisation set."""
    return _alone(path) is None and _ties_sets(path)


def _alone(path: StrPath) -> Format | None:
    """The format of a file that is a series by itself, and no table of RELION's."""
    if not os.path.isfile(path):
        return None
    head = read_bytes(path, HEAD)
    able = [format for format in FORMATS if not format.can("linked sets")]
    return next((format for format in able if format.detect(os.fspath(path), head)), None)


def series_inside(folder: Path) -> dict[str, Format]:
    """Folders of single series that a folder holds, by name, each with its format."""
    return {
        inside.name: format
        for inside in sorted(folder.iterdir())
        if inside.is_dir()
        for format in FORMATS
        if format.detect(os.fspath(inside), b"")
    }


def other_importer(path: str, format: Format) -> Format | None:
    """The format, with options of reading, whose files something is that another was asked for."""
    inside = sorted(os.listdir(path))[:_LOOKED_AT] if os.path.isdir(path) else []
    others = [f for f in FORMATS if f is not format and f.options]
    for place in (path, *(os.path.join(path, name) for name in inside)):
        head = read_bytes(place, HEAD) if os.path.isfile(place) else b""
        found = next((f for f in others if os.path.exists(place) and f.detect(place, head)), None)
        if found is not None:
            return found
    return None


def _refuse_parent(folder: Path) -> None:
    """Refuse a folder that holds no set, but folders of series."""
    series = {} if any(folder.glob("*.star")) else series_inside(folder)
    if series:
        format, names = next(iter(series.values())), some_of([*series])
        raise UnknownFormatError(
            f"holds no set, but {len(series)} of {format.package}'s folders ({names}): give one of "
            f"them, or make a set of them: tomoset import {format.name} "
            f"{os.path.join(os.fspath(folder), '*')} -o SET",
            path=folder,
        )


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


def _chosen(tomograms: TomogramSet, format: str | None) -> Format:
    """The format in which something is to be written."""
    if format is None:
        return working_format(tomograms)
    able = [f.name for f in FORMATS if f.writes and f.alignments]
    if format not in able:
        *others, last = able
        raise UnsupportedError(
            f"a project is written as {', '.join(others)} or {last}, not {format!r}"
        )
    return format_named(format)


def write_set(tomograms: TomogramSet, path: StrPath, format: str | None = None) -> None:
    """Write a tomogram set: `TomogramSet.write`."""
    _chosen(tomograms, format).write_set(tomograms, path)


def write_particles(
    particles: ParticleSet, path: StrPath, tomograms: TomogramSet, format: str | None = None
) -> None:
    """Write particles: `ParticleSet.write`."""
    if format is not None and format_named(format).particle_files:
        format_named(format).write_picks(particles, path, tomograms, Picked())
        return
    _chosen(tomograms, format).write_particles(particles, path, tomograms)


def write_project(project: Project, folder: StrPath, format: str | None = None) -> Path:
    """Write a project: `Project.write`."""
    return Path(_chosen(project.tomograms, format).write(project, folder))


def load(project: Project, given: Mapping[str, StrPath], *, check_links: bool = True) -> Project:
    """Read what is unread: `Project.load`."""
    return working_format(project.tomograms).load(project, given, check_links=check_links)


def format_named(name: str) -> Format:
    """The format of a name.

    Raises
    ------
    UnknownFormatError
        With the names that there are.
    """
    for format in FORMATS:
        if format.name == name:
            return format
    names = ", ".join(format.name for format in FORMATS)
    raise UnknownFormatError(f"no format is called {name!r}; there are {names}")


def format_of(tomograms: TomogramSet) -> Format:
    """The format that a set came in."""
    return format_named(tomograms.format or RELION4.name)


def working_format(tomograms: TomogramSet) -> Format:
    """The format in which programs write a set: its own, if it has files of whole sets.

    Of the others, RELION 4's says most.
    """
    own = format_of(tomograms)
    return own if own.can("linked sets") else RELION4


def beads_format(path: str) -> Format:
    """The format of a file of tracked beads, by its ending."""
    able = [format for format in FORMATS if format.bead_files]
    return next((format for format in able if path.endswith(format.bead_files)), able[0])


def refuse_unable(tomograms: TomogramSet, *abilities: Ability) -> None:
    """Refuse to give a set what its format cannot say.

    Raises
    ------
    UnsupportedError
        With formats that can.
    """
    format = working_format(tomograms)
    for ability in abilities:
        if not format.can(ability):
            able = next(f.name for f in FORMATS if f.can(ability) and f.can("linked sets"))
            more = any(map(format.can, BEYOND_RIGID))
            rigid = "" if more else "knows rigid alignments only, and "
            raise UnsupportedError(
                f"{format.package} {rigid}cannot say {ability}: leave it fixed, or convert the set "
                f"first (tomoset convert SET DST --to {able})"
            )


def _format_at(path: StrPath) -> Format:
    """The format that recognises what is there."""
    name = os.fspath(path)
    is_folder = os.path.isdir(name)
    if not is_folder and not os.path.exists(name):
        raise MissingFileError(f"{name}: there is no such file or folder")
    recover(name if is_folder else os.path.dirname(name) or ".")
    head = b"" if is_folder else read_bytes(name, HEAD)
    for format in FORMATS:
        if format.detect(name, head):
            return format
    if is_folder:
        raise UnknownFormatError("a folder that no format recognises", path=path)
    raise UnknownFormatError(f"not a tomogram set: {_looks_like(star.read(path))}", path=path)


def _looks_like(text: star.StarFile) -> str:
    labels = {label for table in text.tables for label in table.columns}
    for label, what in _OTHERS.items():
        if label in labels:
            return f"it looks like {what}"
    return "no table has a column rlnTomoName; a RELION tomograms.star was expected"


enter(write_set=write_set, write_particles=write_particles, write_project=write_project, load=load)
