"""Transforms of an alignment: ``.xf``."""

from __future__ import annotations

import os

import numpy as np
import numpy.typing as npt

from tomoset.errors import FileFormatError
from tomoset.formats._text_tables import read_numbers

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
