"""Headers of MRC stacks, and stacks with some of their images left out.

https://bio3d.colorado.edu/imod/doc/mrc_format.txt and
https://www.ccpem.ac.uk/mrc_format/mrc2014.php. A header is read here by itself, in
microseconds, because an import reads hundreds. Images are read by `images.stack`.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tomoset.errors import FileAccessError, FileFormatError, MissingFileError
from tomoset.files import AtomicFiles, atomic_write, read_bytes

HEADER_BYTES = 1024

#: Bits of one pixel, by mode. Mode 101 packs two pixels in a byte, row by row.
MODE_BITS = {0: 8, 1: 16, 2: 32, 3: 32, 4: 64, 6: 16, 12: 16, 16: 24, 101: 4}

_OFFSET_NZ, _OFFSET_CELL, _OFFSET_MINIMUM, _OFFSET_NSYMBT = 8, 28, 76, 92
_OFFSET_STAMP, _OFFSET_RMS, _OFFSET_LABELS = 212, 216, 220
_MOST_LABELS = 10


@dataclass(frozen=True, kw_only=True)
class MrcHeader:
    """What the first 1024 bytes of an MRC file say.

    Parameters
    ----------
    path : str
        The file.
    size : (int, int, int)
        Columns, rows, sections [px].
    mode : int
        Type of the pixels, a key of `MODE_BITS`.
    pixel_size : float
        Of x [Å]; 0 where the header does not say.
    extended : int
        Bytes between this header and the first image.
    byte_order : str
        ``<`` or ``>``.
    """

    path: str
    size: tuple[int, int, int]
    mode: int
    pixel_size: float
    extended: int
    byte_order: str

    @property
    def image_bytes(self) -> int:
        """Bytes of one image."""
        row = (self.size[0] * MODE_BITS[self.mode] + 7) // 8
        return row * self.size[1]

    @property
    def data_offset(self) -> int:
        """Where the first image starts."""
        return HEADER_BYTES + self.extended


def stack_path(name: str) -> str:
    """The file that RELION means: ``TS_01.st:mrc`` is the file ``TS_01.st`` read as MRC."""
    return name.removesuffix(":mrcs").removesuffix(":mrc")


def read_header(path: str | os.PathLike[str]) -> MrcHeader:
    """Read the header of an MRC file.

    Parameters
    ----------
    path : path-like
        The file; a suffix ``:mrc`` as RELION has it is taken off.

    Raises
    ------
    MissingFileError
        If it is not there.
    FileFormatError
        If it is not an MRC file.
    """
    name = stack_path(os.fspath(path))
    try:
        raw = read_bytes(name, HEADER_BYTES)
    except FileNotFoundError:
        raise MissingFileError(f"{name}: there is no such image stack") from None
    except IsADirectoryError:
        raise FileFormatError("this is a folder, an image stack was expected", path=name) from None
    except OSError as problem:
        raise FileAccessError(f"{name}: {problem.strerror}") from None
    return _parse(raw, name)


def _parse(raw: bytes, path: str) -> MrcHeader:
    if len(raw) < HEADER_BYTES:
        raise FileFormatError(
            f"expected an MRC header of 1024 bytes, found a file of {len(raw)}", path=path
        )
    # The machine stamp at byte 212 is 0x11 where the largest byte comes first; without one,
    # sizes that make sense decide.
    for order in "><" if raw[_OFFSET_STAMP] == 0x11 else "<>":
        nx, ny, nz, mode = struct.unpack_from(f"{order}4i", raw)
        if mode in MODE_BITS and 0 < nx < 1 << 20 and 0 < ny < 1 << 20 and 0 < nz < 1 << 20:
            break
    else:
        nx, ny, nz, mode = struct.unpack_from("<4i", raw)
        raise FileFormatError(
            f"this is not an MRC file: size {nx} x {ny} x {nz}, mode {mode}", path=path
        )
    mx, _, _, length_x, _, _ = struct.unpack_from(f"{order}3i3f", raw, _OFFSET_CELL)
    (extended,) = struct.unpack_from(f"{order}i", raw, _OFFSET_NSYMBT)
    return MrcHeader(
        path=path,
        size=(nx, ny, nz),
        mode=mode,
        pixel_size=length_x / mx if mx > 0 and length_x > 0 else 0.0,
        extended=max(extended, 0),
        byte_order=order,
    )


def check_whole(header: MrcHeader) -> None:
    """Raise FileFormatError if the file is shorter than its header promises."""
    expected = header.data_offset + header.size[2] * header.image_bytes
    found = Path(header.path).stat().st_size
    if found < expected:
        whole = max(0, found - header.data_offset) // header.image_bytes
        raise FileFormatError(
            f"the stack is cut short: {header.size[2]} images of {header.size[0]} x "
            f"{header.size[1]} px need {expected} bytes, the file has {found}, which is {whole} "
            "whole images; copy the file again from where it comes from",
            path=header.path,
        )


def copy_images(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    sections: Sequence[int],
    files: AtomicFiles | None = None,
) -> None:
    """Write a stack with some images of another, bit for bit, one image in memory at a time.

    Mode, pixel size and labels stay; the extended header, which counts the old images, is
    left out.

    Parameters
    ----------
    source, target : path-like
        Stacks. The target's folder is made when missing; it appears whole or not at all.
    sections : sequence of int
        Images to keep, from 0, in this order.
    files : AtomicFiles, optional
        With which the stack takes its place; by itself if not given.

    Raises
    ------
    FileFormatError
        If the source is not a whole MRC file.
    """
    if os.path.realpath(stack_path(os.fspath(source))) == os.path.realpath(target):
        raise FileFormatError("a stack cannot be written over the one it is made from", path=target)
    join_images([(source, section) for section in sections], target, files)


def join_images(
    images: Sequence[tuple[str | os.PathLike[str], int]],
    target: str | os.PathLike[str],
    files: AtomicFiles | None = None,
) -> None:
    """Write images of several files as one stack, bit for bit, one image in memory at a time.

    Parameters
    ----------
    images : sequence of (path-like, int)
        MRC files and sections in them, from 0; all of one size and mode.
    target : path-like
        The stack. Its folder is made when missing; it appears whole or not at all.
    files : AtomicFiles, optional
        With which the stack takes its place; by itself if not given.

    Raises
    ------
    FileFormatError
        If an image is not whole, not there, or differs from the first.
    """
    known = {path: read_header(path) for path in {path for path, _ in images}}
    for header in known.values():
        check_whole(header)
    headers = [known[path] for path, _ in images]
    first = headers[0]
    for header, (_, section) in zip(headers, images, strict=True):
        alike = (header.size[:2], header.mode, header.byte_order)
        if alike != (first.size[:2], first.mode, first.byte_order):
            raise FileFormatError(
                f"expected images of {first.size[0]} x {first.size[1]} px in mode {first.mode}, "
                f"found {header.size[0]} x {header.size[1]} in {header.mode}",
                path=header.path,
            )
        if not 0 <= section < header.size[2]:
            raise FileFormatError(
                f"image {section + 1} is asked for, there are {header.size[2]}", path=header.path
            )
    pieces = zip(headers, (section for _, section in images), strict=True)
    write_stack(
        target,
        lambda: header_like(first, len(headers)),
        (_bytes_of(header, section) for header, section in pieces),
        files,
    )


def _bytes_of(header: MrcHeader, section: int) -> bytes:
    with open(header.path, "rb") as stream:
        stream.seek(header.data_offset + section * header.image_bytes)
        return stream.read(header.image_bytes)


def write_stack(
    target: str | os.PathLike[str],
    header: Callable[[], bytes],
    images: Iterable[bytes],
    files: AtomicFiles | None = None,
) -> None:
    """Write a stack, one image in memory at a time.

    Parameters
    ----------
    target : path-like
        Its folder is made when missing; it appears whole or not at all.
    header : callable
        Is asked for the header when all images are written: what they are is known then.
    images : iterable of bytes
        Each as the header says.
    files : AtomicFiles, optional
        With which the stack takes its place; by itself if not given.
    """
    opened = atomic_write(target) if files is None else files.open(target)
    with opened as out:
        out.write(bytes(HEADER_BYTES))
        for image in images:
            out.write(image)
        out.seek(0)
        out.write(header())


@dataclass(frozen=True)
class Values:
    """What a header says of all pixels: least, largest, mean, and deviation from the mean.

    By itself it says that none of it is known, as the page on the format has it.
    """

    low: float = 0.0
    high: float = -1.0
    mean: float = -2.0
    rms: float = -1.0


def header_like(
    header: MrcHeader, n_images: int, values: Values | None = None, label: str = ""
) -> bytes:
    """The header of a stack of other images of the same kind.

    Mode, pixel size and labels stay; the extended header, which counts the old images, is
    left out.

    Parameters
    ----------
    header : MrcHeader
        Of the file that the images are from.
    n_images : int
        How many there are.
    values : Values, optional
        Of their pixels; what the file says of its own if not given.
    label : str
        Another label, if there is room for one.
    """
    changed = bytearray(read_bytes(header.path, HEADER_BYTES))
    order = header.byte_order
    mx, my, mz, lx, ly, lz = struct.unpack_from(f"{order}3i3f", changed, _OFFSET_CELL)
    struct.pack_into(f"{order}i", changed, _OFFSET_NZ, n_images)
    if mz > 1:  # the cell counts the sections, so that their spacing stays what it was
        cell = (mx, my, n_images, lx, ly, lz / mz * n_images)
        struct.pack_into(f"{order}3i3f", changed, _OFFSET_CELL, *cell)
    struct.pack_into(f"{order}i", changed, _OFFSET_NSYMBT, 0)
    if values is not None:
        _put_values(changed, order, values)
    _add_label(changed, order, label)
    return bytes(changed)


def new_header(
    size: tuple[int, int, int], mode: int, pixel_size: float, values: Values, label: str = ""
) -> bytes:
    """The header of a stack of columns, rows and images, little-endian."""
    header = bytearray(HEADER_BYTES)
    struct.pack_into("<10i", header, 0, *size, mode, 0, 0, 0, *size)
    struct.pack_into("<6f3i", header, 40, *(n * pixel_size for n in size), 90, 90, 90, 1, 2, 3)
    struct.pack_into("<i", header, 108, 20140)  # the year of the format
    struct.pack_into("<4s4s", header, 208, b"MAP ", b"DD")
    _put_values(header, "<", values)
    _add_label(header, "<", label)
    return bytes(header)


def _put_values(header: bytearray, order: str, values: Values) -> None:
    struct.pack_into(f"{order}3f", header, _OFFSET_MINIMUM, values.low, values.high, values.mean)
    struct.pack_into(f"{order}f", header, _OFFSET_RMS, values.rms)


def _add_label(header: bytearray, order: str, label: str) -> None:
    (known,) = struct.unpack_from(f"{order}i", header, _OFFSET_LABELS)
    if label and 0 <= known < _MOST_LABELS:
        struct.pack_into(f"{order}i", header, _OFFSET_LABELS, known + 1)
        text = label.encode("ascii", "replace").ljust(80)
        struct.pack_into("80s", header, _OFFSET_LABELS + 4 + 80 * known, text)
