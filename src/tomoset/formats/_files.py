"""The files that a set names, and which of them a new set may replace."""

from __future__ import annotations

import fnmatch
import os
from pathlib import Path

from tomoset import star
from tomoset.errors import (
    FileAccessError,
    FileFormatError,
    TomosetError,
)
from tomoset.images.mrc import stack_path
from tomoset.images.stack import ImageHeader, read_header
from tomoset.model import Tomogram

#: Columns by which the global table of a tomogram set is known, next to rlnTomoName.
_MARKS = ("rlnTomoHand", "rlnTomoFrameCount", "rlnTomoTiltSeriesStarFile")


def header_of(name: str | None) -> ImageHeader | None:
    """The header of images; None if they are not there, or not readable."""
    if not name or not os.path.isfile(stack_path(name)):
        return None
    try:
        return read_header(stack_path(name))
    except FileFormatError:
        return None


def wrong_stack(tomogram: Tomogram) -> str | None:
    """What is wrong with the number of images of a stack, if it is there."""
    header = header_of(tomogram.stack)
    if header is None:
        return None
    images = header.n_images
    index = tomogram.image_index
    if index is not None and index.size and index.max() >= images:
        what = f"image {index.max() + 1} is asked for"
    elif index is None and images != tomogram.n_tilts:
        what = f"the table has {tomogram.n_tilts} tilt images"
    else:
        return None
    return (
        f"tomogram {tomogram.name!r}: {what}, but the stack {tomogram.stack} holds {images} "
        "images; they do not belong together: correct the path, or take the line out"
    )


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
        tables = star.loads(Path(path).read_bytes(), os.fspath(path)).tables
    except TomosetError:
        tables = ()
    if not any("rlnTomoName" in t and any(mark in t for mark in _MARKS) for t in tables):
        raise FileAccessError(
            f"{os.fspath(path)} is there and is no tomogram set; it is not replaced by one: give "
            "another path, or remove it"
        )


def fitting(given: str, folder: str | os.PathLike[str], stem: str) -> tuple[str, ...]:
    """Files that a user gives: one, or those of a folder that fit a pattern.

    Those whose names begin with a stem, if there are such.
    """
    if os.path.isfile(given):
        return (given,)
    found = sorted(name for name in os.listdir(folder) if fnmatch.fnmatch(name, given))
    own = [name for name in found if name.startswith(stem)] or found
    return tuple(os.path.join(folder, name) for name in own)
