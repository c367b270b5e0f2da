"""Many tilt series in one go: those that cannot be read stop no other."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Sequence
from dataclasses import replace

from tomoset.errors import (
    LossyWarning,
    MissingFileError,
    UnknownFormatError,
)
from tomoset.files import read_bytes
from tomoset.formats._destination import Destination
from tomoset.formats._importing import of_file
from tomoset.formats._words import Failure, Reading, StrPath, part
from tomoset.formats.warp.importer import Imported, import_series
from tomoset.formats.warp.series import WarpSeries, read_settings, read_tomostar, read_xml
from tomoset.formats.warp.sizes import ImportOptions, SettingsOf
from tomoset.model import Project

#: By the ending of a file.
_READERS = {".xml": read_xml, ".tomostar": read_tomostar}
_MOVIE = re.compile(rb"<Movie[\s>/]")


def read_series(
    sources: Sequence[StrPath], options: ImportOptions, destination: Destination
) -> Reading:
    """The series of files and folders.

    Raises
    ------
    ModelError
        If two would have one name.
    """
    failures: list[Failure] = []
    files: list[str] = []
    for source in sources:
        with part(failures, os.fspath(source)):
            files += files_of(os.fspath(source))
    settings = SettingsOf(options.settings)
    done: list[Imported] = []
    for path in dict.fromkeys(files):
        with part(failures, path), of_file(path):
            done.append(import_series(_read(path), options, settings))
    tomograms = [replace(t := one.tomogram, name=destination.names(t.name)) for one in done]
    project = Project(tomograms=destination.joined(tomograms, "warp"))
    motions = {destination.names(o.tomogram.name): o.motion for o in done if o.motion is not None}
    if not destination.particles:
        _say_what_moves(done)
    return Reading(project=project, notes=_notes(done), failures=failures, motions=motions)


def _say_what_moves(done: Sequence[Imported]) -> None:
    """Warn of movement that nothing carries."""
    for one in done:
        if one.motion is not None:
            warnings.warn(
                f"{one.tomogram.name}: movement in 3D (GridVolumeWarp), of up to "
                f"{one.motion.largest / one.tomogram.need_pixel_size():.2g} px: not carried over; "
                "trajectories of particles would carry it (`particles`)",
                LossyWarning,
                stacklevel=5,
            )


def files_of(source: str) -> list[str]:
    """The files of series that a source means.

    Raises
    ------
    TomosetError
        If there are none.
    """
    if not os.path.exists(source):
        raise MissingFileError(f"{source}: there is no such file or folder")
    if source.endswith(".settings"):
        settings = read_settings(source)
        folders = [settings.processing, settings.data]
    elif os.path.isdir(source):
        folders = [
            source,
            os.path.join(source, "warp_tiltseries"),
            os.path.join(source, "tomostar"),
        ]
    else:
        return [source]
    for folder in folders:
        for ending in _READERS:
            found = _with_ending(folder, ending)
            if found:
                return found
    raise UnknownFormatError(
        "holds no tilt series of Warp: give its .xml or .tomostar files, or the folder that holds "
        "them, such as warp_tiltseries",
        path=source,
    )


def _with_ending(folder: str, ending: str) -> list[str]:
    if not os.path.isdir(folder):
        return []
    names = sorted(name for name in os.listdir(folder) if name.lower().endswith(ending))
    paths = [os.path.join(folder, name) for name in names if not name.startswith(".")]
    return paths if ending != ".xml" else [path for path in paths if not _is_movie(path)]


def _is_movie(path: str) -> bool:
    """Whether a file is Warp's, but of a movie: those lie in folders of their own, or together."""
    try:
        return _MOVIE.search(read_bytes(path, 512).replace(b"\0", b"")) is not None
    except OSError:
        return False


def _read(path: str) -> WarpSeries:
    return _READERS.get(os.path.splitext(path)[1].lower(), read_xml)(path)


def _notes(done: Sequence[Imported]) -> list[str]:
    """What was chosen, with the series it holds for."""
    return [f"{one.tomogram.name}: {note}" for one in done for note in one.notes]
