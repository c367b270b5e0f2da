"""RELION's Fourier shell correlation: data_fsc of its post-processing."""

from __future__ import annotations

import os

import numpy as np
import numpy.typing as npt

from tomoset import star
from tomoset.errors import MissingFieldError, MissingFileError

Array = npt.NDArray[np.float64]

_TABLE = "fsc"
_INDEX, _RESOLUTION = "rlnSpectralIndex", "rlnResolution"
#: Columns with the correlation, the best first.
_CORRELATIONS = ("rlnFourierShellCorrelationCorrected", "rlnFourierShellCorrelation")


def read_fsc(
    path: str | os.PathLike[str], box: int, pixel_size: float | None
) -> tuple[Array, Array]:
    """The curve of RELION's post-processing.

    Parameters
    ----------
    path : path-like
        A STAR file with ``data_fsc``.
    box : int
        Size of the map [voxels].
    pixel_size : float or None
        Of the map [Å], if it is known: shells are then told by their resolution, and else by
        their number.

    Returns
    -------
    frequency, correlation : (n,) arrays
        [1/voxel], and -1 to 1.

    Raises
    ------
    MissingFileError, MissingFieldError, FileFormatError
        If it is not there, or is no such curve.
    """
    name = os.fspath(path)
    if not os.path.isfile(name):
        raise MissingFileError(f"{name}: there is no such file; give RELION's fsc.star")
    file = star.read(name)
    if _TABLE not in file:
        there = ", ".join(f"data_{table.name}" for table in file) or "no table"
        raise MissingFieldError(f"expected data_{_TABLE}, found {there}", path=name)
    table = file[_TABLE]
    label = next((one for one in _CORRELATIONS if one in table), None)
    if label is None or not (_INDEX in table or (_RESOLUTION in table and pixel_size)):
        wanted = f"{_INDEX} and {' or '.join(_CORRELATIONS)}"
        raise MissingFieldError(
            f"data_{_TABLE}: expected {wanted}, found {', '.join(table.columns)}", path=name
        )
    if _RESOLUTION in table and pixel_size:
        frequency = table.floats(_RESOLUTION) * pixel_size
    else:
        frequency = table.floats(_INDEX) / box
    return frequency, table.floats(label)
