"""Motive lists of the TOM toolbox and AV3 (``.em``), which novaSTA and Artiatomi have too.

A volume in EM format of 20 numbers a particle. What decides each sign is in docs/formats.md.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping

import numpy as np

from tomoset.errors import FileAccessError, FileFormatError, MissingFileError
from tomoset.files import read_bytes
from tomoset.formats._numbered_tables import Numbered, NumberedTables
from tomoset.formats._picks import Array, scored, whole
from tomoset.model import TomogramSet

_WIDTH = 20
#: Rows from 0; angles are phi, theta, psi: the order in which they turn.
_SCORE, _NUMBER, _TOMOGRAM, _CLASS = 0, 3, 4, 19
_PLACE, _SHIFT, _ANGLES = slice(7, 10), slice(10, 13), (16, 18, 17)
#: The header: machine, two bytes, kind of numbers, sizes; then comments.
_HEADER, _LENGTH = "bxxb3i", 512
_PC, _FLOAT = 6, 5
_KINDS = {2: "i2", 4: "i4", 5: "f4", 9: "f8"}


class Av3(NumberedTables):
    """Motive lists."""

    name = "av3"
    package = "TOM and AV3"
    url = "https://github.com/uermel/Artiatomi/wiki/Motivelist"
    reads = "particle tables `.em`"
    particle_files = (".em",)

    def detect_particles(self, path: str, head: bytes) -> bool:
        """Whether the header is that of 20 numbers a particle."""
        return path.endswith(self.particle_files) and _dtype(head) is not None

    def table_of(self, path: str) -> Numbered:
        """Rows of the list."""
        table = _read(path)
        return Numbered(
            numbers=table[:, _TOMOGRAM],
            places=table[:, _PLACE],
            shifts=table[:, _SHIFT],
            angles=table[:, _ANGLES],
            classes=whole(table[:, _CLASS]),
            scores=scored(table[:, _SCORE]),
        )

    def content(
        self,
        table: Numbered,
        tomograms: TomogramSet,  # noqa: ARG002
        numbers: Mapping[str, int],  # noqa: ARG002
    ) -> bytes:
        """Numbers of 32 bits, as all programs read them."""
        rows = np.zeros((len(table.numbers), _WIDTH), "<f4")
        rows[:, _NUMBER], rows[:, _TOMOGRAM] = np.arange(1, len(rows) + 1), table.numbers
        rows[:, _PLACE], rows[:, _SHIFT] = table.places, table.shifts
        rows[:, _ANGLES] = table.angles
        for column, values in ((_CLASS, table.classes), (_SCORE, table.scores)):
            if values is not None:
                rows[:, column] = values
        header = struct.pack("<" + _HEADER, _PC, _FLOAT, _WIDTH, len(rows), 1)
        return header.ljust(_LENGTH, b"\0") + rows.tobytes()


def _dtype(head: bytes) -> tuple[np.dtype[np.generic], int] | None:
    """The kind of numbers, and how many particles there are, if this is a motive list."""
    if len(head) < _LENGTH:
        return None
    order = "<" if head[0] == _PC else ">"
    _, kind, width, count, depth = struct.unpack_from(order + _HEADER, head)
    if width != _WIDTH or depth != 1 or count < 1 or kind not in _KINDS:
        return None
    return np.dtype(order + _KINDS[kind]), count


def _read(path: str) -> Array:
    try:
        data = read_bytes(path)
    except FileNotFoundError:
        raise MissingFileError(f"{path}: there is no such file") from None
    except OSError as problem:
        raise FileAccessError(f"{path}: {problem.strerror}") from None
    found = _dtype(data)
    if found is None:
        raise FileFormatError(
            "expected a motive list, an EM file of 20 numbers a particle; found another", path=path
        )
    dtype, count = found
    if len(data) != _LENGTH + dtype.itemsize * _WIDTH * count:
        raise FileFormatError(
            f"expected {count} particles of {_WIDTH} numbers, found "
            f"{(len(data) - _LENGTH) / dtype.itemsize / _WIDTH:.1f}; copy the file again",
            path=path,
        )
    table = np.frombuffer(data, dtype, offset=_LENGTH).reshape(count, _WIDTH)
    return table.astype(np.float64)


AV3 = Av3()
