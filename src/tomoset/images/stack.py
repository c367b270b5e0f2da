"""Tilt images of a stack, one in memory at a time: MRC as IMOD, SerialEM and RELION have it, TIFF.

MRC is read from the header by ourselves: mrcfile takes IMOD's unsigned bytes for signed ones,
knows no 4-bit images and refuses headers older than MRC2014.
"""

from __future__ import annotations

import logging
import os
import struct
from abc import ABC, abstractmethod
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

from tomoset.errors import FileAccessError, FileFormatError, UnsupportedError
from tomoset.files import read_bytes
from tomoset.images.mrc import (
    MrcHeader,
    Values,
    check_whole,
    header_like,
    new_header,
    read_header,
    stack_path,
)

if TYPE_CHECKING:
    import tifffile

#: Types of the pixels, by MRC mode. Bytes are another matter: `_byte_type`.
_TYPES = {1: "i2", 2: "f4", 6: "u2", 12: "f2", 101: "u1"}
#: Mode and type that hold the pixels of TIFF; MRC's bytes are signed to most programs.
_MRC_OF_TIFF = {
    "u1": (6, "u2"),
    "i1": (1, "i2"),
    "i2": (1, "i2"),
    "u2": (6, "u2"),
    "f2": (12, "f2"),
}
_FLOAT32 = (2, "f4")
_NO_IMAGES = {
    3: "a Fourier transform (mode 3, complex numbers): give the images it was made from",
    4: "a Fourier transform (mode 4, complex numbers): give the images it was made from",
    16: "a colour picture (mode 16, RGB): give the images as the camera recorded them",
}

_IMOD_STAMP = 1146047817
_SIGNED, _NIBBLES = 1, 16
_OFFSET_MIN_MAX, _OFFSET_STAMP = 76, 152

_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
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


class Stack(ABC):
    """Images of one size, read one by one. Made by `open_stack`; closes with its ``with`` block.

    Attributes
    ----------
    path : str
        The file.
    size : (int, int)
        Width and height of an image [px].
    n_images : int
        How many there are.
    pixel_size : float
        [Å]; 0 where the file does not say.
    dtype : numpy.dtype
        Of the pixels that `read` gives, in the byte order of this machine.
    """

    path: str
    size: tuple[int, int]
    n_images: int
    pixel_size: float
    dtype: np.dtype[Any]

    def read(self, i: int) -> npt.NDArray[Any]:
        """One image.

        Parameters
        ----------
        i : int
            Which, from 0.

        Returns
        -------
        (h, w) array
            The pixels as stored; row 0 is the lowest of the picture, as in every MRC file.

        Raises
        ------
        FileFormatError
            If there is no such image, or it is damaged.
        """
        if not 0 <= i < self.n_images:
            raise FileFormatError(
                f"image {i + 1} is asked for, there are {self.n_images}", path=self.path
            )
        return self._image(i)

    @abstractmethod
    def _image(self, i: int) -> npt.NDArray[Any]: ...

    @abstractmethod
    def mrc_header(self, n_images: int, values: Values, label: str) -> bytes:
        """The header of an MRC stack of so many images like these, with one more label."""

    @abstractmethod
    def mrc_bytes(self, image: npt.NDArray[Any]) -> bytes:
        """An image (h, w) of the type of the stack, as such an MRC stack has it."""

    def close(self) -> None:  # noqa: B027 - MRC holds nothing open between two images
        """Let the file go."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None
    ) -> None:
        self.close()


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
    name = stack_path(os.fspath(path))
    readable = os.path.isfile(name) and os.access(name, os.R_OK)
    head = read_bytes(name, 1024) if readable else b""  # read_header says what is wrong
    if head.startswith(_TIFF):
        return _TiffStack(name)
    for magic, what in _FOREIGN.items():
        if head.startswith(magic):
            raise FileFormatError(f"expected images in MRC or TIFF, found {what}", path=name)
    if head and head.isascii() and b"\0" not in head:
        raise FileFormatError("expected images in MRC or TIFF, found a text", path=name)
    return _MrcStack(read_header(name), head)


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


def check_finite(image: npt.NDArray[Any], stack: Stack, i: int) -> None:
    """Raise FileFormatError if pixels of image i are NaN or infinite."""
    if stack.dtype.kind == "f":
        bad = image.size - np.count_nonzero(np.isfinite(image))
        if bad:
            raise FileFormatError(
                f"image {i + 1}: {bad} of {image.size} pixels are NaN or infinite; repair them, "
                "or exclude the image",
                path=stack.path,
            )


class _MrcStack(Stack):
    def __init__(self, header: MrcHeader, head: bytes) -> None:
        self.path = header.path
        self.size = header.size[:2]
        self.n_images = header.size[2]
        self.pixel_size = header.pixel_size
        if header.mode in _NO_IMAGES:
            raise FileFormatError(
                f"expected images, found {_NO_IMAGES[header.mode]}", path=self.path
            )
        kind = _byte_type(head, header) if header.mode == 0 else _TYPES[header.mode]
        self.dtype = np.dtype(kind)
        self._stored = np.dtype(header.byte_order + kind)
        self._header = header
        check_whole(header)

    def _image(self, i: int) -> npt.NDArray[Any]:
        header = self._header
        count = header.image_bytes // self._stored.itemsize
        offset = header.data_offset + i * header.image_bytes
        try:
            flat = np.fromfile(self.path, self._stored, count, offset=offset)
        except OSError as problem:
            raise FileAccessError(f"{self.path}: {problem.strerror}") from None
        if flat.size != count:
            raise FileFormatError(
                f"image {i + 1} is cut short: the file has changed since it was opened",
                path=self.path,
            )
        image = flat.astype(self.dtype, copy=False).reshape(self.size[1], -1)
        return image if header.mode != 101 else _unpacked(image)[:, : self.size[0]].copy()

    def mrc_header(self, n_images: int, values: Values, label: str) -> bytes:
        return header_like(self._header, n_images, values, label)

    def mrc_bytes(self, image: npt.NDArray[Any]) -> bytes:
        pixels = image if self._header.mode != 101 else _packed(image)
        return pixels.astype(self._stored).tobytes()


def _byte_type(head: bytes, header: MrcHeader) -> str:
    # https://bio3d.colorado.edu/imod/doc/mrc_format.txt: with IMOD's stamp, bit 0 of the flags
    # says that bytes are signed. Without it they are signed as MRC2014 has it, unless minimum
    # and maximum in the header say that they cannot be (so does IMOD, readBytesSigned).
    stamp, flags = struct.unpack_from(f"{header.byte_order}2i", head, _OFFSET_STAMP)
    if stamp != _IMOD_STAMP:
        low, high = struct.unpack_from(f"{header.byte_order}2f", head, _OFFSET_MIN_MAX)
        return "u1" if low >= 0 and 127 < high <= 255 else "i1"
    if flags & _NIBBLES:
        raise FileFormatError(
            "two 4-bit values are packed in each byte of mode 0 (flag 16 of IMOD), which is for "
            "frames, not for tilt images: unpack it by IMOD's newstack -mode 0",
            path=header.path,
        )
    return "i1" if flags & _SIGNED else "u1"


def _unpacked(packed: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Mode 101: two pixels in a byte, the left one in the low four bits."""
    return np.stack([packed & 15, packed >> 4], axis=-1).reshape(len(packed), -1)


def _packed(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    pairs = np.minimum(np.pad(image, ((0, 0), (0, image.shape[1] % 2))), 15)
    return np.asarray(pairs[:, ::2] | pairs[:, 1::2] << 4)


class _TiffStack(Stack):
    def __init__(self, path: str) -> None:
        if path.lower().endswith(".eer"):
            raise FileFormatError(
                "expected images, found electron events (EER): sum the frames first, for example "
                "by RELION's motion correction or IMOD's alignframes",
                path=path,
            )
        try:
            import tifffile
        except ImportError:
            raise UnsupportedError(
                f"{path}: TIFF needs the package tifffile: pip install tomoset[tiff]"
            ) from None
        self.path = path
        complaints = _Complaints()
        logger = logging.getLogger("tifffile")
        logger.addHandler(complaints)
        try:
            self._file = tifffile.TiffFile(path)
            self._file.filehandle.set_lock(True)  # seeking and reading are two steps
            self._pages = [self._file.pages[i] for i in range(len(self._file.pages))]
            problem = complaints.first or self._describe()
        except (tifffile.TiffFileError, ValueError, struct.error, IndexError) as error:
            problem = str(error)
        finally:
            logger.removeHandler(complaints)
        if problem:
            self.close()
            raise FileFormatError(
                f"expected a TIFF file with one grey image a page, all alike: {problem}", path=path
            )

    def _describe(self) -> str:
        """Take size, type and pixel size from the pages; say what forbids it."""
        first = self._file.pages.first
        for number, page in enumerate(self._pages, 1):
            if page.shape != first.shape or page.dtype != first.dtype:
                return (
                    f"page {number} is {page.shape} {page.dtype}, the first {first.shape} "
                    f"{first.dtype}"
                )
        if len(first.shape) != 2 or first.dtype is None or first.dtype.kind not in "iuf":
            return f"the pages are {first.shape} {first.dtype}"
        if len(self._pages) < (self._file.imagej_metadata or {}).get("images", 1):
            return "ImageJ keeps all images in one page of files above 4 GB: save it as MRC"
        self.size = (first.shape[1], first.shape[0])
        self.n_images = len(self._pages)
        self.dtype = first.dtype.newbyteorder("=")
        self.pixel_size = _tiff_pixel_size(first)
        return ""

    def _image(self, i: int) -> npt.NDArray[Any]:
        try:
            image = self._pages[i].asarray()
        except Exception as problem:  # each decoder has errors of its own
            if "imagecodecs" in str(problem):
                raise UnsupportedError(
                    f"{self.path}: {problem}: pip install imagecodecs, or save it uncompressed"
                ) from None
            raise FileFormatError(f"image {i + 1} is damaged: {problem}", path=self.path) from None
        return np.ascontiguousarray(image[::-1], self.dtype)

    def mrc_header(self, n_images: int, values: Values, label: str) -> bytes:
        mode, _ = _MRC_OF_TIFF.get(self.dtype.str[1:], _FLOAT32)
        return new_header((*self.size, n_images), mode, self.pixel_size, values, label)

    def mrc_bytes(self, image: npt.NDArray[Any]) -> bytes:
        _, kind = _MRC_OF_TIFF.get(self.dtype.str[1:], _FLOAT32)
        return image.astype(f"<{kind}").tobytes()

    def close(self) -> None:
        if hasattr(self, "_file"):
            self._file.close()


class _Complaints(logging.Handler):
    """What tifffile logs of a chain of pages that breaks off, where it raises nothing."""

    first = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.first = self.first or record.getMessage()


def _tiff_pixel_size(page: tifffile.TiffPage) -> float:
    """Å from the resolution, if that is of a microscope: 300 dpi, a printer's, are 85 µm."""
    units = {2: 2.54e8, 3: 1e8}
    unit, resolution = page.tags.valueof(296, 1), page.tags.valueof(282, (0, 1))
    if unit not in units or not all(resolution):
        return 0.0
    pixel_size = float(units[unit] * resolution[1] / resolution[0])
    return pixel_size if pixel_size < 1000 else 0.0
