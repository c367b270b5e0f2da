"""Tomograms written slab by slab, as MRC or OME-Zarr, whole or not at all.

https://www.ccpem.ac.uk/mrc_format/mrc2014.php and https://ngff.openmicroscopy.org/0.5/.
"""

from __future__ import annotations

import contextlib
import math
import os
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from tomoset import __version__
from tomoset.errors import FileAccessError, ModelError, UnsupportedError
from tomoset.files import atomic_folder, atomic_write
from tomoset.images.mrc import HEADER_BYTES, new_header
from tomoset.images.statistics import Statistics, Values

Array = npt.NDArray[Any]

#: How voxels may be stored.
_TYPES = ("int8", "float32", "float16")
_LEVELS = 3
#: Voxels along each axis of a piece of level 0. Level 1 has half as many slices of them, level 2 a
#: quarter: what is written is always whole pieces of every level.
_CHUNK = (32, 128, 128)


@dataclass(frozen=True, kw_only=True)
class VolumeSpec:
    """What is known of a volume before its voxels.

    Parameters
    ----------
    size : (int, int, int)
        x, y, z [px].
    pixel_size : float
        [Å].
    origin : (float, float, float)
        Where the centre of the first voxel is, x, y, z [Å].
    dtype : {'float32', 'float16', 'int8'}
        How voxels are stored.
    scale : (float, float), optional
        Offset and factor for int8: (value - offset) x factor is stored, rounded, and limited to
        -127 to 127. See `int8_scale`.
    label : str
        What it is, for the header of MRC.

    Raises
    ------
    ModelError
        If a size or the pixel size is not above 0, the type is none of the three, or int8 comes
        without a scale.
    """

    size: tuple[int, int, int]
    pixel_size: float
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0)
    dtype: str = "float32"
    scale: tuple[float, float] | None = None
    label: str = "tomogram"

    def __post_init__(self) -> None:
        if min(self.size) < 1:
            raise ModelError(f"expected a volume with voxels, found the size {self.size}")
        if not 0 < self.pixel_size < math.inf:
            raise ModelError(f"expected a pixel size above 0 Å, found {self.pixel_size}")
        if self.dtype not in _TYPES:
            raise ModelError(f"expected {', '.join(_TYPES)} for the voxels, found {self.dtype!r}")
        if self.dtype == "int8" and self.scale is None:
            raise ModelError("int8 needs a scale: give one by int8_scale")

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of the array: z, y, x."""
        return self.size[::-1]


def int8_scale(low: float, high: float) -> tuple[float, float]:
    """Offset and factor that put `low` at -127 and `high` at 127.

    Mean - 4 and + 4 standard deviations are a good choice for a tomogram.

    Examples
    --------
    >>> int8_scale(-8, 246)
    (119.0, 1.0)
    """
    if not low < high:
        raise ModelError(f"expected values from low to high, found {low} to {high}")
    return (low + high) / 2, 254 / (high - low)


def _stored(spec: VolumeSpec, slab: Array, where: str) -> Array:
    """Voxels as the file has them, contiguous, little-endian; every one finite."""
    kind = np.dtype(spec.dtype).newbyteorder("<")
    values: Array
    if spec.scale is not None and spec.dtype == "int8":
        values = np.rint((slab - np.float32(spec.scale[0])) * np.float32(spec.scale[1]))
    else:
        with np.errstate(over="ignore"):  # refused below
            values = np.ascontiguousarray(slab, kind)
    if not np.isfinite(values).all():
        raise ModelError(f"{where} hold NaN, infinity, or values too large for {spec.dtype}")
    return values.clip(-127, 127).astype(kind, order="C") if kind.kind == "i" else values


class _Writer(ABC):
    """Counts what comes in; what becomes of it is the affair of `_put`."""

    def __init__(self, path: str, spec: VolumeSpec) -> None:
        self.path = path
        self.spec = spec
        self._n_written = 0
        self._largest = 0.0
        self._exits = contextlib.ExitStack()

    def write(self, slab: Array) -> None:
        """Append slices.

        Parameters
        ----------
        slab : (n, y, x) array
            The next n slices in order of z, n as you like; float32 is the fastest.

        Raises
        ------
        ModelError
            If slices have another size than the volume, are too many, or a value is not finite.
        """
        nz, ny, nx = self.spec.shape
        if slab.ndim != 3 or slab.shape[1:] != (ny, nx):
            raise ModelError(f"{self.path}: expected slices of ({ny}, {nx}), found {slab.shape}")
        if self._n_written + len(slab) > nz:
            raise ModelError(
                f"{self.path}: expected {nz} slices, found {self._n_written + len(slab)} and more"
            )
        if self.spec.dtype == "float16" and slab.size:
            self._largest = max(self._largest, float(slab.max()), -float(slab.min()))
        self._put(slab)
        self._n_written += len(slab)

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as exits:
            self._open(exits)
            exits.push(self._close)
            self._exits = exits.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        problem: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._exits.__exit__(kind, problem, trace)

    def _close(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            return
        if self._n_written < self.spec.shape[0]:
            raise ModelError(
                f"{self.path}: expected {self.spec.shape[0]} slices, found {self._n_written}"
            )
        least = float(np.finfo(np.float16).smallest_normal)
        if 0 < self._largest < least:
            raise ModelError(
                f"{self.path}: voxels are within ±{self._largest:.3g}, and float16 has only zeros "
                f"and few steps below {least:.2g}: store them as float32"
            )
        self._finish()

    @abstractmethod
    def _open(self, exits: contextlib.ExitStack) -> None: ...

    @abstractmethod
    def _put(self, slab: Array) -> None: ...

    @abstractmethod
    def _finish(self) -> None: ...


class VolumeWriter(_Writer):
    """An MRC2014 volume, written by slices in order of z.

    Parameters
    ----------
    path : path-like
        The file, which appears when the ``with`` block ends well.
    spec : VolumeSpec
        Size and type.

    Raises
    ------
    ModelError
        If there are too few slices, or as `write`.
    OSError
        If the file cannot be written; nothing is left then.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "TS_01.mrc"
    >>> with VolumeWriter(path, VolumeSpec(size=(4, 3, 2), pixel_size=10.0)) as out:
    ...     out.write(np.zeros((2, 3, 4), np.float32))
    >>> path.stat().st_size
    1120
    """

    def __init__(self, path: str | os.PathLike[str], spec: VolumeSpec) -> None:
        super().__init__(os.fspath(path), spec)
        self._statistics = Statistics()

    def _open(self, exits: contextlib.ExitStack) -> None:
        self._stream = exits.enter_context(atomic_write(self.path))
        self._stream.write(bytes(HEADER_BYTES))

    def _put(self, slab: Array) -> None:
        where = f"{self.path}: slices {self._n_written} to {self._n_written + len(slab) - 1}"
        stored = _stored(self.spec, slab, where)
        self._statistics.add(stored)
        self._stream.write(stored.data)  # ndarray.tofile would hide the reason of a failure

    def _finish(self) -> None:
        self._stream.seek(0)
        self._stream.write(_header(self.spec, self._statistics.values))
        self._stream.seek(0, os.SEEK_END)


def _header(spec: VolumeSpec, values: Values) -> bytes:
    labels = [f"tomoset {__version__}: {spec.label}"]
    if spec.scale is not None and spec.dtype == "int8":
        labels.append(f"value = stored / {spec.scale[1]:.9g} + {spec.scale[0]:.9g}")
    return new_header(spec.size, spec.dtype, spec.pixel_size, values, labels, spec.origin)


class ZarrWriter(_Writer):
    """An OME-Zarr 0.5 image of three levels, each the mean of 2 x 2 x 2 voxels of the one before.

    Up to 32 slices are kept in memory. At an odd end the last voxel stands for the missing one.

    Parameters
    ----------
    path : path-like
        The folder, which appears when the ``with`` block ends well. One that is there is
        replaced if it is Zarr.
    spec : VolumeSpec
        Size and type.

    Raises
    ------
    UnsupportedError
        If the package zarr, version 3, is not installed.
    FileAccessError
        If something that is no Zarr is there.
    ModelError
        As `VolumeWriter`.
    OSError
        If it cannot be written; nothing is left then.
    """

    def __init__(self, path: str | os.PathLike[str], spec: VolumeSpec) -> None:
        super().__init__(os.fspath(path), spec)
        self._waiting: list[Array] = []
        self._n_put = 0

    def _open(self, exits: contextlib.ExitStack) -> None:
        try:
            from zarr import create_group
        except ImportError:  # version 2 has the package, but not this
            raise UnsupportedError(
                f"{self.path}: OME-Zarr needs zarr, version 3: pip install tomoset[zarr]"
            ) from None
        spec = self.spec
        group = create_group(exits.enter_context(self._folder()), zarr_format=3)
        group.attrs["ome"] = _ome(spec, Path(self.path).stem)
        if spec.scale is not None:
            offset, factor = spec.scale
            group.attrs["grey_scale"] = f"value = stored / {factor:.9g} + {offset:.9g}"
        self._levels = []
        for level in range(_LEVELS):
            shape = tuple(-(-n // 2**level) for n in spec.shape)
            chunks = (_CHUNK[0] >> level, min(_CHUNK[1], shape[1]), min(_CHUNK[2], shape[2]))
            array = group.create_array(
                str(level),
                shape=shape,
                chunks=chunks,
                dtype=spec.dtype,
                dimension_names=("z", "y", "x"),
            )
            self._levels.append(array)

    def _folder(self) -> contextlib.AbstractContextManager[Path]:
        there = Path(self.path)
        if there.exists() and not (there / "zarr.json").is_file():
            raise FileAccessError(
                f"{self.path} is there and is no Zarr of version 3; it is not replaced"
            )
        return atomic_folder(there)

    def _put(self, slab: Array) -> None:
        depth = _CHUNK[0]
        done = 0
        while done < len(slab):
            missing = depth - sum(len(piece) for piece in self._waiting)
            piece = slab[done : done + missing].astype(np.float32)  # the caller may reuse his
            self._waiting.append(piece)
            done += len(piece)
            if len(piece) == missing:
                self._flush()

    def _flush(self) -> None:
        voxels = np.concatenate(self._waiting)
        self._waiting = []
        where = f"{self.path}: slices {self._n_put} to {self._n_put + len(voxels) - 1}"
        start = self._n_put
        self._n_put += len(voxels)
        for level, array in enumerate(self._levels):
            voxels = _halved(voxels) if level else voxels
            stored = _stored(self.spec, voxels, where)
            array[start >> level : (start >> level) + len(stored)] = stored

    def _finish(self) -> None:
        if self._waiting:
            self._flush()


def _halved(voxels: Array) -> Array:
    for axis in range(3):
        if voxels.shape[axis] % 2:
            last = voxels.take([-1], axis)
            voxels = np.concatenate([voxels, last], axis)
        pairs = np.moveaxis(voxels, axis, 0)
        voxels = np.moveaxis((pairs[::2] + pairs[1::2]) * np.float32(0.5), 0, axis)
    return voxels


def _ome(spec: VolumeSpec, name: str) -> dict[str, Any]:
    """Metadata of the levels: the first voxel of each is the mean of the first ones before."""
    datasets = []
    for level in range(_LEVELS):
        scale = spec.pixel_size * 2**level
        shift = (scale - spec.pixel_size) / 2
        translation = [x + shift for x in spec.origin[::-1]]
        transformations = [
            {"type": "scale", "scale": [scale] * 3},
            {"type": "translation", "translation": translation},
        ]
        datasets.append({"path": str(level), "coordinateTransformations": transformations})
    axes = [{"name": axis, "type": "space", "unit": "angstrom"} for axis in "zyx"]
    return {
        "version": "0.5",
        "multiscales": [{"name": name, "axes": axes, "datasets": datasets, "type": "mean"}],
    }


def open_volume(path: str | os.PathLike[str], spec: VolumeSpec) -> VolumeWriter | ZarrWriter:
    """A writer by the end of the name: ``.mrc`` or ``.rec``, or ``.zarr``.

    Raises
    ------
    UnsupportedError
        If the name ends otherwise.
    """
    suffix = Path(path).suffix.lower()
    if suffix == ".zarr":
        return ZarrWriter(path, spec)
    if suffix in (".mrc", ".rec"):
        return VolumeWriter(path, spec)
    raise UnsupportedError(
        f"{os.fspath(path)}: expected a volume to be named .mrc, .rec or .zarr, found {suffix!r}"
    )
