"""MRC files: the header, and stacks of images.

https://bio3d.colorado.edu/imod/doc/mrc_format.txt and
https://www.ccpem.ac.uk/mrc_format/mrc2014.php. The package mrcfile takes IMOD's unsigned bytes for
signed ones, knows no 4-bit images and refuses headers older than MRC2014.
"""

from __future__ import annotations

import dataclasses
import itertools
import os
import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tomoset.errors import FileAccessError, FileFormatError
from tomoset.files import atomic_write
from tomoset.images._stack import ImageHeader, Stack
from tomoset.images.statistics import Statistics, Values

HEADER_BYTES = 1024

#: All of the header in the order of the file, with types as `struct` has them. What MRC2014 calls
#: extra is IMOD's from byte 132 on.
FIELDS = {
    "size": "3i",
    "mode": "i",
    "start": "3i",
    "sampling": "3i",
    "cell": "3f",
    "angles": "3f",
    "axes": "3i",
    "values": "3f",
    "space_group": "i",
    "extended": "i",
    "extra": "8s",
    "extended_type": "4s",
    "version": "i",
    "extra_of_imod": "40s",
    "imod_stamp": "2i",
    "tilts_of_imod": "36s",
    "origin": "3f",
    "map": "4s",
    "machine_stamp": "4s",
    "rms": "f",
    "n_labels": "i",
    "labels": "80s" * 10,
}
_LENGTHS = [struct.calcsize("<" + kind) for kind in FIELDS.values()]
_STARTS = dict(zip(FIELDS, itertools.accumulate(_LENGTHS, initial=0), strict=False))

#: Bits of one pixel, by mode. Mode 101 packs two pixels in a byte, row by row.
MODE_BITS = {0: 8, 1: 16, 2: 32, 3: 32, 4: 64, 6: 16, 12: 16, 16: 24, 101: 4}
#: Modes by the type of the pixels. Bytes are read by another rule: `_byte_type`.
MODES = {"i1": 0, "u1": 0, "i2": 1, "f4": 2, "u2": 6, "f2": 12}
_TYPES = {1: "i2", 2: "f4", 6: "u2", 12: "f2", 101: "u1"}
_NO_IMAGES = {
    3: "a Fourier transform (mode 3, complex numbers): give the images it was made from",
    4: "a Fourier transform (mode 4, complex numbers): give the images it was made from",
    16: "a colour picture (mode 16, RGB): give the images as the camera recorded them",
}

_IMOD_STAMP = 1146047817  # "IMOD" in bytes
_SIGNED, _NIBBLES = 1, 16
_VERSION = 20141  # the year of the format, and its update


@dataclass(frozen=True, kw_only=True)
class MrcHeader(ImageHeader):
    """What the first 1024 bytes of an MRC file say.

    Parameters
    ----------
    byte_order : str
        ``<`` or ``>``.
    raw : bytes
        The header itself.
    """

    byte_order: str
    raw: bytes = dataclasses.field(repr=False)

    def field(self, name: str) -> tuple[Any, ...]:
        """What a field of `FIELDS` holds."""
        return _field(self.raw, self.byte_order, name)

    @property
    def image_bytes(self) -> int:
        """Bytes of one image."""
        row = (self.size[0] * MODE_BITS[self.mode] + 7) // 8
        return row * self.size[1]

    @property
    def data_offset(self) -> int:
        """Where the first image starts: after the header, and the extended one."""
        (extended,) = self.field("extended")
        return HEADER_BYTES + max(int(extended), 0)


def _field(raw: bytes | bytearray, order: str, name: str) -> tuple[Any, ...]:
    return struct.unpack_from(order + FIELDS[name], raw, _STARTS[name])


def stack_path(name: str) -> str:
    """The file that RELION means: ``TS_01.st:mrc`` is the file ``TS_01.st`` read as MRC."""
    return name.removesuffix(":mrcs").removesuffix(":mrc")


def parse_header(raw: bytes, path: str) -> MrcHeader:
    """The header in the first bytes of a file.

    Raises
    ------
    FileFormatError
        If it is none.
    """
    if len(raw) < HEADER_BYTES:
        raise FileFormatError(
            f"expected an MRC header of 1024 bytes, found a file of {len(raw)}", path=path
        )
    # The machine stamp is 0x11 where the largest byte comes first; without one, sizes that make
    # sense decide.
    for order in "><" if raw[_STARTS["machine_stamp"]] == 0x11 else "<>":
        (nx, ny, nz), (mode,) = (_field(raw, order, name) for name in ("size", "mode"))
        if mode in MODE_BITS and 0 < nx < 1 << 20 and 0 < ny < 1 << 20 and 0 < nz < 1 << 20:
            break
    else:
        (nx, ny, nz), (mode,) = (_field(raw, "<", name) for name in ("size", "mode"))
        raise FileFormatError(
            f"this is not an MRC file: size {nx} x {ny} x {nz}, mode {mode}", path=path
        )
    intervals, length = _field(raw, order, "sampling")[0], _field(raw, order, "cell")[0]
    return MrcHeader(
        path=path,
        size=(nx, ny),
        n_images=nz,
        mode=mode,
        pixel_size=length / intervals if intervals > 0 and length > 0 else 0.0,
        axes=_field(raw, order, "axes"),
        byte_order=order,
        raw=raw,
    )


def header_like(header: MrcHeader, n_images: int, values: Values, label: str) -> bytes:
    """The header of a stack of other images of the same kind.

    Mode, pixel size and labels stay; the extended header, which counts the old images, is
    left out.

    Parameters
    ----------
    header : MrcHeader
        Of the file that the images are from.
    n_images : int
        How many there are.
    values : Values
        Of their pixels.
    label : str
        Another label, if there is room for one; empty: none.
    """
    raw, order = bytearray(header.raw), header.byte_order
    (mx, my, sections), cell = header.field("sampling"), header.field("cell")
    if sections > 1:  # the cell counts the sections, so that their spacing stays what it was
        _put(raw, order, sampling=(mx, my, n_images))
        _put(raw, order, cell=(*cell[:2], cell[2] / sections * n_images))
    _put(raw, order, size=(*header.size, n_images), extended=(0,))
    _put_values(raw, order, values)
    _add_labels(raw, order, [label] if label else [])
    return bytes(raw)


def new_header(
    size: tuple[int, int, int],
    dtype: npt.DTypeLike,
    pixel_size: float,
    values: Values,
    labels: Iterable[str] = (),
    origin: tuple[float, float, float] | None = None,
) -> bytes:
    """The header of a new file, little-endian; unsigned bytes are marked as IMOD does.

    Parameters
    ----------
    size : (int, int, int)
        Columns, rows, sections [px].
    dtype : dtype
        Of the pixels, a key of `MODES`.
    pixel_size : float
        [Å].
    values : Values
        Of all pixels.
    labels : iterable of str
        At most ten, of 80 characters.
    origin : (float, float, float), optional
        Of a volume: where the centre of its first voxel is [Å]. Not given: it is a stack of images.
    """
    kind = np.dtype(dtype).str[1:]
    raw = bytearray(HEADER_BYTES)
    cell = [n * pixel_size for n in size]
    _put(raw, "<", size=size, mode=(MODES[kind],), sampling=size, cell=cell, axes=(1, 2, 3))
    _put(raw, "<", angles=(90, 90, 90), version=(_VERSION,), map=(b"MAP ",), machine_stamp=(b"DD",))
    if origin is not None:
        _put(raw, "<", space_group=(1,), origin=origin)
    if kind == "u1":
        _put(raw, "<", imod_stamp=(_IMOD_STAMP, 0))
    _put_values(raw, "<", values)
    _add_labels(raw, "<", labels)
    return bytes(raw)


def _put(raw: bytearray, order: str, **fields: Sequence[Any]) -> None:
    for name, values in fields.items():
        struct.pack_into(order + FIELDS[name], raw, _STARTS[name], *values)


def _put_values(raw: bytearray, order: str, values: Values) -> None:
    _put(raw, order, values=(values.low, values.high, values.mean), rms=(values.rms,))


def _add_labels(raw: bytearray, order: str, more: Iterable[str]) -> None:
    (known,), labels = (_field(raw, order, name) for name in ("n_labels", "labels"))
    if 0 <= known <= len(labels):
        new = [label.encode("ascii", "replace").ljust(80) for label in more]
        labels = (*labels[:known], *new, *labels[known + len(new) :])[: len(labels)]
        _put(raw, order, labels=labels, n_labels=(min(known + len(new), len(labels)),))


def write_stack(
    target: str | os.PathLike[str],
    header: Callable[[], bytes],
    images: Iterable[bytes],
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
    """
    with atomic_write(target) as out:
        out.write(bytes(HEADER_BYTES))
        for image in images:
            out.write(image)
        out.seek(0)
        out.write(header())


def write_images(
    path: str | os.PathLike[str], images: npt.NDArray[Any], pixel_size: float, labels: Sequence[str]
) -> None:
    """Write an array (n, y, x) of a type of `MODES` as a new stack; see `new_header`."""
    statistics = Statistics()
    statistics.add(images)
    n, height, width = images.shape
    size, kind = (width, height, n), images.dtype.newbyteorder("<")
    header = new_header(size, kind, pixel_size, statistics.values, labels)
    write_stack(path, lambda: header, (image.astype(kind).tobytes() for image in images))


class MrcStack(Stack):
    """The images of an MRC file.

    Raises
    ------
    FileFormatError
        If it holds something else.
    """

    def __init__(self, header: MrcHeader) -> None:
        if header.mode in _NO_IMAGES:
            raise FileFormatError(
                f"expected images, found {_NO_IMAGES[header.mode]}", path=header.path
            )
        kind = _byte_type(header) if header.mode == 0 else _TYPES[header.mode]
        super().__init__(header, kind)
        self.header: MrcHeader = header
        self._stored = np.dtype(header.byte_order + kind)

    def check_whole(self) -> None:
        header = self.header
        expected = header.data_offset + header.n_images * header.image_bytes
        found = Path(header.path).stat().st_size
        if found < expected:
            whole = max(0, found - header.data_offset) // header.image_bytes
            raise FileFormatError(
                f"the stack is cut short: {header.n_images} images of {header.size[0]} x "
                f"{header.size[1]} px need {expected} bytes, the file has {found}, which is "
                f"{whole} whole images; copy the file again from where it comes from",
                path=header.path,
            )

    def _image(self, i: int) -> npt.NDArray[Any]:
        header = self.header
        count = header.image_bytes // self._stored.itemsize
        offset = header.data_offset + i * header.image_bytes
        try:
            flat = np.fromfile(self.path, self._stored, count, offset=offset)
        except OSError as problem:
            raise FileAccessError(f"{self.path}: {problem.strerror}") from None
        if flat.size != count:
            raise self._cut_short(i)
        return self._pixels(flat.reshape(self.size[1], -1))

    def _rows(self, i: int, rows: npt.NDArray[np.integer]) -> npt.NDArray[Any]:
        header = self.header
        length = header.image_bytes // self.size[1]
        offset = header.data_offset + i * header.image_bytes
        found = np.empty((len(rows), length), np.uint8)
        try:
            with open(self.path, "rb") as stream:
                for row, into in zip(rows.tolist(), found, strict=True):
                    stream.seek(offset + row * length)
                    if stream.readinto(into.data) != length:
                        raise self._cut_short(i)
        except OSError as problem:
            raise FileAccessError(f"{self.path}: {problem.strerror}") from None
        return self._pixels(found.view(self._stored))

    def _cut_short(self, i: int) -> FileFormatError:
        return FileFormatError(
            f"image {i + 1} is cut short: the file has changed since it was opened", path=self.path
        )

    def _pixels(self, stored: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Rows as they are stored, as `read` gives them."""
        image = stored.astype(self.dtype, copy=False)
        return image if self.header.mode != 101 else _unpacked(image)[:, : self.size[0]].copy()

    def mrc_header(self, n_images: int, values: Values, label: str) -> bytes:
        return header_like(self.header, n_images, values, label)

    def mrc_bytes(self, image: npt.NDArray[Any]) -> bytes:
        pixels = image if self.header.mode != 101 else _packed(image)
        return pixels.astype(self._stored).tobytes()


def _byte_type(header: MrcHeader) -> str:
    # https://bio3d.colorado.edu/imod/doc/mrc_format.txt: with IMOD's stamp, bit 0 of the flags
    # says that bytes are signed. Without it they are signed as MRC2014 has it, unless minimum
    # and maximum in the header say that they cannot be (so does IMOD, readBytesSigned).
    stamp, flags = header.field("imod_stamp")
    if stamp != _IMOD_STAMP:
        low, high, _ = header.field("values")
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
