"""Tables of an alignment: ``.xf`` (transforms), ``.tlt``, ``.rawtlt`` and ``.xtilt`` (angles)."""

from __future__ import annotations

import os
import warnings

import numpy as np
import numpy.typing as npt

from tomoset.errors import AssumptionWarning, FileFormatError
from tomoset.formats.imod.commands import read_lines

Array = npt.NDArray[np.float64]


def read_xf(path: str | os.PathLike[str]) -> Array:
    """Transforms from raw to aligned images.

    Parameters
    ----------
    path : path-like
        Lines ``A11 A12 A21 A22 DX DY``: q = A p + d about the image centres.

    Returns
    -------
    (n, 2, 3) float64 array
        Rows A11 A12 DX and A21 A22 DY; A without unit, d in unbinned pixels.

    Raises
    ------
    FileFormatError
        If a line does not hold six numbers, or a transform cannot be inverted.
    """
    table = read_numbers(path, 6)
    xf = np.empty((len(table), 2, 3))
    xf[:, 0, :2], xf[:, 1, :2], xf[:, :, 2] = table[:, :2], table[:, 2:4], table[:, 4:]
    flat = np.abs(xf[:, 0, 0] * xf[:, 1, 1] - xf[:, 0, 1] * xf[:, 1, 0]) < 1e-6
    if flat.any():
        raise FileFormatError(
            f"transform {int(np.argmax(flat)) + 1} has determinant 0 and cannot be inverted",
            path=path,
        )
    return xf


def read_angles(path: str | os.PathLike[str]) -> Array:
    """Angles, one a line [deg]: (n,) float64 array. A second column, of doses, is said.

    Raises
    ------
    FileFormatError
        If a line does not hold one number within ±180 degrees.
    """
    widths = {len(line.split()) for line in read_lines(os.fspath(path))} - {0}
    two = widths == {2}
    table = read_numbers(path, 2 if two else 1)
    if two:
        warnings.warn(
            f"{os.fspath(path)}: two columns; the first is taken for the tilt angles, and the "
            "second, of doses, is not carried over: give them by --order and --fd",
            AssumptionWarning,
            stacklevel=2,
        )
    angles = table[:, 0]
    wild = np.abs(angles) > 180.0
    if wild.any():
        worst = int(np.argmax(wild))
        raise FileFormatError(
            f"angle {worst + 1} is {angles[worst]:g}°, expected one within ±180°", path=path
        )
    return angles


def read_numbers(path: str | os.PathLike[str], columns: int) -> Array:
    """A table of numbers without a header, blank lines passed over: (n, columns) array.

    Raises
    ------
    FileFormatError
        With the line that has too many or too few numbers, or something else.
    """
    name = os.fspath(path)
    rows = [words for line in read_lines(name) if (words := line.split())]
    if not rows:
        raise FileFormatError("the file is empty", path=name)
    if all(len(words) == columns for words in rows):
        try:
            table = np.array(rows, dtype=np.float64)
        except ValueError:
            pass
        else:
            if np.isfinite(table).all():
                return table
    raise _bad_line(name, columns)


def _bad_line(path: str, columns: int) -> FileFormatError:
    for number, line in enumerate(read_lines(path), 1):
        words = line.split()
        if not words:
            continue
        if len(words) != columns:
            expected = "one number" if columns == 1 else f"{columns} numbers"
            return FileFormatError(
                f"expected {expected}, found {len(words)} values: {line.strip()[:60]!r}",
                path=path,
                line=number,
            )
        for word in words:
            try:
                fine = bool(np.isfinite(float(word)))
            except ValueError:
                fine = False
            if not fine:
                hint = "; decimals are written with a point" if "," in word else ""
                return FileFormatError(
                    f"expected a number, found {word!r}{hint}", path=path, line=number
                )
    return FileFormatError("expected a table of numbers", path=path)
