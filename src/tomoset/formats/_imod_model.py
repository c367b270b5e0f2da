"""IMOD's binary model files (``.fid``, ``.mod``): contours of points on an image stack.

https://bio3d.colorado.edu/imod/doc/binspec.html ("IMOD Binary File Format"). All numbers have
their largest byte first. After a header of 232 bytes come chunks, each with an id of four
letters: ``OBJT``, ``CONT`` and ``MESH`` of lengths that follow from what is in them, all others
with their size, up to ``IEOF``. What a bead needs is read; the rest is passed over and is not
written again.

Coordinates ("Model Coordinate Conventions" there): x and y are 0 at the corner of the first
pixel, so its centre is at 0.5; z is 0 in the middle of the first section.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from tomoset.errors import FileAccessError, FileFormatError, MissingFileError, UnsupportedError
from tomoset.files import atomic_write, read_bytes

Array = npt.NDArray[np.float64]

_ID, _VERSION = b"IMOD", b"V1.2"
#: Model, object, contour and mesh structures; MINX (model to image transformation).
_MODEL = struct.Struct(">128s 4i I 4i 6f 5i f 2i 3f")
_OBJECT = struct.Struct(">64s 64s i I 2i 3f i 8B 2i")
_CONTOUR = struct.Struct(">i I 2i")
_MESH = struct.Struct(">2i I 2h")
_MINX = struct.Struct(">18f")

#: Bits of the model's flags. 10: z starts from -0.5; 12, 13: how clipping planes and materials
#: are stored.
_Z_FROM_HALF, _BYTES, _ORIGINS, _FLIPPED = 1 << 10, 3 << 12, 1 << 14, 1 << 16
#: Bits of an object's and of a contour's: open, and not in one plane of z ("wild").
_OPEN_AND_WILD = 3 << 3

_NANOMETRES = -9


@dataclass(frozen=True, kw_only=True, eq=False)
class ImodModel:
    """The contours of a model, in pixels of the whole stack that it was made on.

    Parameters
    ----------
    contours : tuple of (n, 3) array
        x and y [px], 0.5 in the middle of the first pixel; z [sections], 0 in the middle of
        the first. Contours without points are there.
    names : tuple of str
        What IMOD calls each contour, such as ``object 1, contour 3``.
    size : (int, int, int)
        Of the stack: width, height [px], sections; 0 where it is not known.
    pixel_size : (float, float), optional
        Of the stack, along x and along z [Å], as its header said.
    origin : (float, float, float)
        Of the stack [Å], in IMOD's sign: pixel = (coordinate + origin) / pixel size.
    """

    contours: tuple[Array, ...]
    names: tuple[str, ...] = ()
    size: tuple[int, int, int] = (0, 0, 0)
    pixel_size: tuple[float, float] | None = None
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0)


def read_model(path: str | os.PathLike[str]) -> ImodModel:
    """Read the contours of a binary model file.

    Raises
    ------
    MissingFileError, FileAccessError
        If the file is not there or may not be read.
    FileFormatError
        If it is no binary model of IMOD, is cut short, or contradicts itself.
    UnsupportedError
        If it is a model in ASCII, or of a version before IMOD 2.
    """
    name = os.fspath(path)
    try:
        data = read_bytes(name)
    except FileNotFoundError:
        raise MissingFileError(f"{name}: there is no such model") from None
    except IsADirectoryError:
        raise FileFormatError("this is a folder, an IMOD model was expected", path=name) from None
    except OSError as problem:
        raise FileAccessError(f"{name}: {problem.strerror}") from None
    _check_kind(data, name)
    return _Reader(data, name).model()


def _check_kind(data: bytes, path: str) -> None:
    first = next((x for x in data[:4096].split(b"\n") if x.strip() and x[:1] != b"#"), b"")
    if first.split()[:1] == [b"imod"]:
        raise UnsupportedError(
            f"{path} is a model in ASCII, and only binary ones are read; open it in 3dmod and "
            "save it, which makes it binary"
        )
    if data[:4] != _ID:
        raise FileFormatError(
            f"expected an IMOD model, which begins with 'IMOD', found {data[:4]!r}", path=path
        )
    if len(data) >= 8 and data[4:8] != _VERSION:
        raise UnsupportedError(
            f"{path} is a model of version {data[4:8]!r}, and only V1.2 is read; open it in 3dmod "
            "and save it"
        )


class _Reader:
    """One pass over the chunks of a file."""

    def __init__(self, data: bytes, path: str) -> None:
        self.data, self.path, self.at = data, path, 8
        self.contours: list[Array] = []
        self.names: list[str] = []
        self.promised: list[int] = []  # contours of each object
        self.found: list[int] = []

    def take(self, size: int, what: str) -> bytes:
        if not 0 <= size <= len(self.data) - self.at:
            raise FileFormatError(
                f"the model is cut short or damaged: expected {size} bytes of {what} after byte "
                f"{self.at}, found {len(self.data) - self.at}; copy the file again",
                path=self.path,
            )
        self.at += size
        return self.data[self.at - size : self.at]

    def model(self) -> ImodModel:
        header = _MODEL.unpack(self.take(_MODEL.size, "the header"))
        size, objects, flags = header[1:4], header[4], header[5]
        frame: tuple[float, ...] | None = None
        while (kind := self.take(4, "the next chunk")) != b"IEOF":
            if kind == b"OBJT":
                self.object()
            elif kind == b"CONT":
                self.contour()
            elif kind == b"MESH":
                vertices, indices, *_ = _MESH.unpack(self.take(_MESH.size, "a mesh"))
                self.take(12 * vertices + 4 * indices, "a mesh")
            elif not (kind.isalnum() and kind.isupper()):
                raise FileFormatError(
                    f"the model is damaged: expected a chunk at byte {self.at - 4}, found {kind!r}",
                    path=self.path,
                )
            else:
                (length,) = struct.unpack(">i", self.take(4, kind.decode()))
                chunk = self.take(length, kind.decode())
                if kind == b"MINX" and length >= _MINX.size:
                    frame = _MINX.unpack(chunk[: _MINX.size])
        if len(self.found) != objects or self.found != self.promised:
            raise FileFormatError(
                f"the model is damaged: expected {objects} objects of {self.promised} contours, "
                f"found {len(self.found)} of {self.found}",
                path=self.path,
            )
        plain = ImodModel(contours=tuple(self.contours), names=tuple(self.names), size=size)
        return self.on_whole_stack(plain, flags, frame)

    def object(self) -> None:
        header = _OBJECT.unpack(self.take(_OBJECT.size, "an object"))
        self.promised.append(header[2])
        self.found.append(0)

    def contour(self) -> None:
        (count, *_) = _CONTOUR.unpack(self.take(_CONTOUR.size, "a contour"))
        points = np.frombuffer(self.take(12 * count, "the points of a contour"), ">f4")
        if not self.found:
            raise FileFormatError("the model is damaged: a contour of no object", path=self.path)
        self.found[-1] += 1
        name = f"object {len(self.found)}, contour {self.found[-1]}"
        if not np.isfinite(points).all():
            raise FileFormatError(f"a point of {name} is not finite", path=self.path)
        self.contours.append(points.astype(np.float64).reshape(-1, 3))
        self.names.append(name)

    def on_whole_stack(
        self, model: ImodModel, flags: int, frame: tuple[float, ...] | None
    ) -> ImodModel:
        """The same in pixels of the file, where 3dmod showed it flipped, or a part of it."""
        contours, size = model.contours, model.size
        if flags & _FLIPPED:  # y and z were exchanged on the screen, and are so in the file
            contours = tuple(points[:, [0, 2, 1]] for points in contours)
            size = (size[0], size[2], size[1])
        if frame is None:
            return replace(model, contours=contours, size=size)
        # Old scale, translation (the image's origin, with bit 14), rotation; then current ones.
        origin, scale, translation = (np.array(frame[i : i + 3]) for i in (3, 9, 12))
        known = flags & _ORIGINS != 0
        if not np.isfinite([*scale, *translation, *(origin if known else ())]).all():
            raise FileFormatError("a number of MINX is not finite", path=self.path)
        if not known or not (scale > 0).all():
            return replace(model, contours=contours, size=size)
        shift = (origin - translation) / scale
        if np.abs(shift).max() > 1e-3:
            contours = tuple(points + shift for points in contours)
            size = (0, 0, 0)  # of the part that was loaded
        return ImodModel(
            contours=contours,
            names=model.names,
            size=size,
            pixel_size=(float(scale[0]), float(scale[2])),
            origin=(float(origin[0]), float(origin[1]), float(origin[2])),
        )


def write_model(model: ImodModel, path: str | os.PathLike[str], *, name: str = "beads") -> None:
    """Write contours as one object of open contours, whole or not at all.

    Parameters
    ----------
    model : ImodModel
        Its `names` are not written.
    path : path-like
        Where.
    name : str
        Of the object.

    Notes
    -----
    Without a pixel size there is no ``MINX``: 3dmod shows such a model all the same, but
    programs that scale models to an image file (tiltalign, beadtrack) take it for Å.
    """
    pixel = None if model.pixel_size is None else model.pixel_size[0] / 10
    header = _MODEL.pack(
        b"IMOD-NewModel", *model.size, 1, _Z_FROM_HALF | _BYTES | _ORIGINS,
        *(1, 1, 0, 255),  # drawing, editing; black and white
        *(0.0, 0.0, 0.0, 1.0, 1.0, 1.0),  # offsets, which are not used, and scales
        *(0, 0, 0, 3, 128),  # current point, resolution, threshold
        *((1.0, 0) if pixel is None else (pixel, _NANOMETRES)),
        *(0, 0.0, 0.0, 0.0),
    )  # fmt: skip
    chunks = [_ID + _VERSION + header, _object(name, len(model.contours))]
    for points in model.contours:
        flat = np.asarray(points, dtype=">f4").reshape(-1, 3)
        chunks += [b"CONT" + _CONTOUR.pack(len(flat), _OPEN_AND_WILD, 0, 0), flat.tobytes()]
    if model.pixel_size is not None:
        chunks.append(_minx(model.pixel_size, model.origin))
    with atomic_write(path) as stream:
        stream.write(b"".join([*chunks, b"IEOF"]))


def _object(name: str, contours: int) -> bytes:
    green, circles = (0.0, 1.0, 0.0), (0, 5, 1, 1, 0, 0, 0, 0)
    return b"OBJT" + _OBJECT.pack(
        name.encode()[:63], bytes(64), contours, _OPEN_AND_WILD, 0, 1, *green, 0, *circles, 0, 0
    )


def _minx(pixel_size: tuple[float, float], origin: Sequence[float]) -> bytes:
    scale = (pixel_size[0], pixel_size[0], pixel_size[1])
    still = (0.0, 0.0, 0.0)
    frame = _MINX.pack(*scale, *origin, *still, *scale, *origin, *still)
    return b"MINX" + struct.pack(">i", len(frame)) + frame
