"""Tilt images in files, one in memory at a time: MRC as IMOD, SerialEM and RELION have it, TIFF.

The one place that tells what kind of file it is: `read_header` and `open_stack` take either.
"""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tomoset.errors import FileAccessError, FileFormatError, MissingFileError
from tomoset.files import read_bytes
from tomoset.images._stack import ImageHeader as ImageHeader
from tomoset.images._stack import Stack as Stack
from tomoset.images.mrc import HEADER_BYTES, MrcStack, parse_header, stack_path, write_stack
from tomoset.images.statistics import Statistics

#: How files begin: either byte order, and those above 4 GB.
TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_FOREIGN = {
    b"\x1f\x8b": "compressed by gzip: decompress it first (gunzip)",
    b"BZh": "compressed by bzip2: decompress it first (bunzip2)",
    b"\xfd7zXZ": "compressed by xz: decompress it first (unxz)",
    b"\x28\xb5\x2f\xfd": "compressed by zstd: decompress it first (unzstd)",
    b"\x89PNG": "a PNG picture",
    b"\xff\xd8\xff": "a JPEG picture",
    b"\x89HDF": "an HDF5 file",
    b"PK": "a zip archive",
}


def read_header(path: str | os.PathLike[str]) -> ImageHeader:
    """What a file of images says of them, in microseconds if it is MRC: imports read hundreds.

    Parameters
    ----------
    path : path-like
        As `open_stack` has it.

    Raises
    ------
    MissingFileError, FileAccessError, FileFormatError, UnsupportedError
        As `open_stack`; but whether the file is whole is not looked at.
    """
    with _opened(path) as stack:
        return stack.header


def open_stack(path: str | os.PathLike[str]) -> Stack:
    """Open a stack of images, of which none is read yet.

    MRC by any name (``.mrc .mrcs .st .ali .rec``, with or without RELION's suffix ``:mrc``) and
    either byte order; TIFF with one image a page. The rows of MRC run from the bottom of the
    picture to its top, those of TIFF from top to bottom: they are turned round when read, as
    IMOD does, so that one set of alignments holds for either file. Several threads may read images
    at once.

    Parameters
    ----------
    path : path-like
        The file.

    Raises
    ------
    MissingFileError, FileAccessError
        If it is not there, or cannot be read.
    FileFormatError
        If it is no stack of images, or not whole.
    UnsupportedError
        If it is TIFF and a package to read it is not installed.

    Examples
    --------
    >>> with open_stack("TS_01.st") as stack:  # doctest: +SKIP
    ...     first = stack.read(0)
    """
    stack = _opened(path)
    try:
        stack.check_whole()
    except FileFormatError:
        stack.close()
        raise
    return stack


def _opened(path: str | os.PathLike[str]) -> Stack:
    name = stack_path(os.fspath(path))
    try:
        head = read_bytes(name, HEADER_BYTES)
    except FileNotFoundError:
        raise MissingFileError(f"{name}: there is no such image stack") from None
    except IsADirectoryError:
        raise FileFormatError("this is a folder, an image stack was expected", path=name) from None
    except OSError as problem:
        raise FileAccessError(f"{name}: {problem.strerror}") from None
    if head.startswith(TIFF_MAGIC):
        from tomoset.images.tiff import TiffStack

        return TiffStack(name)
    if head.startswith(tuple(_FOREIGN)):
        what = next(what for magic, what in _FOREIGN.items() if head.startswith(magic))
        raise FileFormatError(f"expected images in MRC or TIFF, found {what}", path=name)
    if head and head.isascii() and b"\0" not in head:
        raise FileFormatError("expected images in MRC or TIFF, found a text", path=name)
    return MrcStack(parse_header(head, name))


#: Of a pixel: sums of squares of many such are numbers in float32.
_LARGEST = 1e15


def read_float32(stack: Stack, i: int) -> npt.NDArray[np.float32]:
    """One image, ready for arithmetic.

    Parameters
    ----------
    stack : Stack
        An open stack.
    i : int
        Which image, from 0.

    Returns
    -------
    (h, w) array
        float32, contiguous, every pixel finite.

    Raises
    ------
    FileFormatError
        If pixels are NaN or infinite, or as `Stack.read`.
    """
    with np.errstate(over="ignore"):  # what float32 cannot hold is counted below
        image = np.ascontiguousarray(stack.read(i), np.float32)
    check_finite(image, stack, i)
    return image


def check_finite(image: npt.NDArray[np.generic], stack: Stack, i: int) -> None:
    """Raise FileFormatError if pixels of image i are NaN or infinite."""
    if stack.dtype.kind == "f":
        bad = image.size - np.count_nonzero(np.isfinite(image))
        if bad:
            raise FileFormatError(
                f"image {i + 1}: {bad} of {image.size} pixels are NaN or infinite; repair them, "
                "or exclude the image",
                path=stack.path,
            )


def check_size(image: npt.NDArray[np.float32], stack: Stack, i: int) -> None:
    """Raise FileFormatError if pixels of image i are beyond what can be computed with."""
    if max(float(image.max()), -float(image.min())) > _LARGEST:
        bad = np.count_nonzero(np.abs(image) > _LARGEST)
        raise FileFormatError(
            f"image {i + 1}: {bad} of {image.size} pixels are beyond ±{_LARGEST:g}, which "
            "cannot be computed with; repair them, or exclude the image",
            path=stack.path,
        )


def join_images(
    images: Sequence[tuple[str | os.PathLike[str], int]],
    target: str | os.PathLike[str],
) -> None:
    """Write images of several files, or some of one, as one stack; see `write_like`.

    Parameters
    ----------
    images : sequence of (path-like, int)
        Files and images in them, from 0, in the order of the stack.
    target : path-like
        As `write_like` has it.
    """
    with contextlib.ExitStack() as exits:
        paths = dict.fromkeys(path for path, _ in images)
        stacks = {path: exits.enter_context(open_stack(path)) for path in paths}
        pixels = (stacks[path].read(section) for path, section in images)
        from tomoset.run import Need, refuse_beyond

        first = next(iter(stacks.values()))
        stored = len(images) * math.prod(first.size) * first.dtype.itemsize
        folder = os.path.dirname(os.path.abspath(target))
        refuse_beyond(f"the stack {os.fspath(target)}", Need(disk=stored), folder)
        write_like(list(stacks.values()), target, pixels)


def write_like(
    stacks: Sequence[Stack],
    target: str | os.PathLike[str],
    images: Iterable[npt.NDArray[Any]],
    label: str = "",
) -> None:
    """Write images as an MRC stack like those that they are made of, one in memory at a time.

    Of MRC, mode, pixel size and labels stay, and the extended header, which counts the old images,
    is left out. Of TIFF, bytes become 16 bits wide.

    Parameters
    ----------
    stacks : sequence of Stack
        From which they are: of one size and type.
    target : path-like
        Its folder is made when missing; it appears whole or not at all.
    images : iterable of (h, w) arrays
        Of the type of the stacks.
    label : str
        What was done, for the header, if there is room for one more.

    Raises
    ------
    FileFormatError
        If the stacks differ, or the target is one of them.
    """
    first = stacks[0]
    for stack in stacks:
        kinds = {(s.size, s.header.mode, s.dtype) for s in (stack, first)}
        if len(kinds) > 1:
            raise FileFormatError(
                f"expected images of {first.size[0]} x {first.size[1]} px and type {first.dtype} "
                f"as in {first.path}, found {stack.size[0]} x {stack.size[1]} of {stack.dtype}; "
                "one stack has one type",
                path=stack.path,
            )
        if os.path.realpath(target) == os.path.realpath(stack.path):
            raise FileFormatError(
                "a stack cannot be written over the one it is made from: give another folder",
                path=target,
            )
    from tomoset.run import doing

    statistics, n_images = Statistics(), 0

    def pixels() -> Iterator[bytes]:
        nonlocal n_images
        for image in images:
            n_images += 1
            doing(f"{os.fspath(target)}: image {n_images}")
            statistics.add(image)
            yield first.mrc_bytes(image)

    def header() -> bytes:
        return first.mrc_header(n_images, statistics.values, label)

    write_stack(target, header, pixels())
