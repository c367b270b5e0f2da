"""Where the files are that a set names, and which of them a new set may replace."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from tomoset import star
from tomoset.errors import (
    FileAccessError,
    FileFormatError,
    MissingFileError,
    ModelError,
    TomosetError,
)
from tomoset.images.mrc import stack_path
from tomoset.images.stack import read_header
from tomoset.model import Tomogram

#: Columns by which the global table of a tomogram set is known, next to rlnTomoName.
_MARKS = ("rlnTomoHand", "rlnTomoFrameCount", "rlnTomoTiltSeriesStarFile")


def find_file(name: str, star_path: str | None) -> Path | None:
    """A file that a set names: from the working folder, or from a folder above the set.

    RELION's paths start in the project folder, which is the working folder of its programs. A
    set is often looked at from elsewhere: then each folder above it is tried, the nearest
    first, and the working folder last.
    """
    folders: list[Path] = []
    if star_path is not None:
        above = list(Path(star_path).absolute().parents)
        folders = [Path(), *above] if Path.cwd() in above else [*above, Path()]
    for folder in folders or [Path()]:
        if (folder / name).is_file():
            return folder / name
    return None


def path_from_here(name: str, star_path: str | None) -> str:
    """What a set calls a file, or its path from the working folder where that finds nothing.

    A set is often used from elsewhere: a new set that repeats its names would not find them.
    """
    found = None if os.path.isfile(name) else find_file(name, star_path)
    return name if found is None else os.path.relpath(found)


def fiducials_file(tomogram: Tomogram, star_path: str | os.PathLike[str] | None) -> Path | None:
    """The file of a tomogram's fiducials; None if it names none.

    Raises
    ------
    MissingFileError
        If it names one that is not there.
    """
    if tomogram.fiducials is None:
        return None
    origin = None if star_path is None else os.fspath(star_path)
    found = find_file(tomogram.fiducials, origin)
    if found is None:
        raise MissingFileError(
            ("" if origin is None else f"{origin}: ")
            + f"rlnTomoFiducialsStarFile of tomogram {tomogram.name!r} is "
            f"{tomogram.fiducials!r}, and there is no such file in a folder above it or in "
            "the working folder; put it there, or remove the entry"
        )
    return found


def image_places(names: Iterable[str]) -> list[tuple[str, int]]:
    """Files and sections, from 0, of images named ``000003@stack.mrcs`` or ``image.mrc``."""
    parts = [name.rpartition("@") for name in names]
    return [(path, int(n) - 1 if n.isdecimal() else 0) for n, _, path in parts]


def wrong_stack(tomogram: Tomogram, star_path: str | None) -> str | None:
    """What is wrong with the number of images of a stack, if it is there."""
    found = None if not tomogram.stack else find_file(stack_path(tomogram.stack), star_path)
    if found is None:
        return None
    try:
        images = read_header(found).n_images
    except FileFormatError:
        return None
    index = tomogram.image_index
    if index is not None and index.size and index.max() >= images:
        what = f"image {index.max() + 1} is asked for"
    elif index is None and images != tomogram.n_tilts:
        what = f"the table has {tomogram.n_tilts} tilt images"
    else:
        return None
    return (
        f"tomogram {tomogram.name!r}: {what}, but the stack {found} holds {images} images; they do "
        "not belong together: correct the path, or take the line out"
    )


def file_names(names: Iterable[str]) -> dict[str, str]:
    """A name for files of each tomogram: its own, without slashes.

    Raises
    ------
    ModelError
        If two would be the same.
    """
    owners: dict[str, str] = {}
    for name in names:
        plain = name.replace("/", "_")
        twin = owners.setdefault(plain, name)
        if twin != name:
            raise ModelError(
                f"the files of tomograms {twin!r} and {name!r} would both be called {plain!r}; "
                "rename one"
            )
    return {name: plain for plain, name in owners.items()}


def refuse_unless_set(path: str | os.PathLike[str]) -> None:
    """Refuse to replace a file that is there and is no tomogram set: the path is a slip.

    Raises
    ------
    FileAccessError
        If it is an image, a set of particles, the table of a tilt series, anything else.
    """
    if not os.path.exists(path):
        return
    if os.path.isfile(path) and os.path.getsize(path) == 0:
        return
    try:
        tables = star.read(path).tables
    except TomosetError:
        tables = ()
    if not any("rlnTomoName" in t and any(mark in t for mark in _MARKS) for t in tables):
        raise FileAccessError(
            f"{os.fspath(path)} is there and is no tomogram set; it is not replaced by one: give "
            "another path, or remove it"
        )
