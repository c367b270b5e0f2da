"""Tilt images in files, one in memory at a time: MRC as IMOD, SerialEM and RELION have it, TIFF.

The one place that tells what kind of file it is: `read_header` and `open_stack` take either.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from tomoset.errors import FileAccessError, FileFormatError, MissingFileError
from tomoset.files import AtomicFiles, read_bytes
from tomoset.images import tiff
from tomoset.images._stack import ImageHeader, Stack
from tomoset.images.mrc import HEADER_BYTES, MrcStack, parse_header, stack_path, write_stack

__all__ = [
    "ImageHeader",
    "Stack",
    "check_finite",
    "copy_images",
    "join_images",
    "open_stack",
    "read_float32",
    "read_header",
]

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
    if head.startswith(tiff.MAGIC):
        return tiff.TiffStack(name)
    if head.startswith(tuple(_FOREIGN)):
        what = next(what for magic, what in _FOREIGN.items() if head.startswith(magic))
        raise FileFormatError(f"expected images in MRC or TIFF, found {what}", path=name)
    if head and head.isascii() and b"\0" not in head:
        raise FileFormatError("expected images in MRC or TIFF, found a text", path=name)
    return MrcStack(parse_header(head, name))


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


def copy_images(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    sections: Sequence[int],
    files: AtomicFiles | None = None,
) -> None:
    """Write some images of a stack, from 0 and in this order, as `join_images` does."""
    join_images([(source, section) for section in sections], target, files)


def join_images(
    images: Sequence[tuple[str | os.PathLike[str], int]],
    target: str | os.PathLike[str],
    files: AtomicFiles | None = None,
) -> None:
    """Write images of several files as one MRC stack, one image in memory at a time.

    Of MRC, pixels are the same bit for bit, mode, pixel size and labels stay, and the extended
    header, which counts the old images, is left out. Of TIFF, rows are turned round, and bytes
    become 16 bits wide.

    Parameters
    ----------
    images : sequence of (path-like, int)
        Files and images in them, from 0; all of one size and type.
    target : path-like
        The stack. Its folder is made when missing; it appears whole or not at all.
    files : AtomicFiles, optional
        With which the stack takes its place; by itself if not given.

    Raises
    ------
    FileFormatError
        If an image is not whole, not there, or differs from the first, or the target is one of the
        files.
    """
    with contextlib.ExitStack() as exits:
        paths = {path for path, _ in images}
        stacks = {path: exits.enter_context(open_stack(path)) for path in paths}
        first = stacks[images[0][0]]
        for path, section in images:
            _check_alike(stacks[path], section, first)
        if os.path.realpath(target) in {os.path.realpath(stack.path) for stack in stacks.values()}:
            raise FileFormatError(
                "a stack cannot be written over the one it is made from: give another folder",
                path=target,
            )
        write_stack(
            target,
            lambda: first.mrc_header(len(images), None, ""),
            (first.mrc_bytes(stacks[path].read(section)) for path, section in images),
            files,
        )


def _check_alike(stack: Stack, section: int, first: Stack) -> None:
    a, b = stack.header, first.header
    if (a.size, a.mode, stack.dtype) != (b.size, b.mode, first.dtype):
        raise FileFormatError(
            f"expected images of {b.size[0]} x {b.size[1]} px of type {first.dtype}, found "
            f"{a.size[0]} x {a.size[1]} of {stack.dtype}",
            path=stack.path,
        )
    if not 0 <= section < a.n_images:
        raise FileFormatError(
            f"image {section + 1} is asked for, there are {a.n_images}", path=stack.path
        )
