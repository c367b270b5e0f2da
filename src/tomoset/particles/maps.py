"""Density maps read from MRC files, and what is wrong with them."""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tomoset.errors import FileFormatError, MissingFileError
from tomoset.images import mrc
from tomoset.images.stack import open_stack

Volume = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class DensityMap:
    """A cubic map.

    Parameters
    ----------
    density : (z, y, x) float32 array
        Finite.
    pixel_size : float or None
        [Å]. None: the file does not say; 0 and 1 are what programs write then.
    path : str
        Its file.
    """

    density: Volume
    pixel_size: float | None
    path: str


def read_map(path: str | os.PathLike[str], what: str = "reference map") -> DensityMap:
    """Read a map.

    Parameters
    ----------
    path : path-like
        MRC.
    what : str
        What it is, for messages.

    Raises
    ------
    MissingFileError
        If it is not there.
    FileFormatError
        If it is no cubic map of finite numbers, with the axes in the order x, y, z.
    """
    name = mrc.stack_path(os.fspath(path))
    if not os.path.exists(name):
        raise MissingFileError(f"{name}: there is no such {what}; give an MRC file")
    with open_stack(name) as stack:
        width, height = stack.size
        if not width == height == stack.n_images:
            raise FileFormatError(
                f"expected a cubic {what}, found {width} x {height} x {stack.n_images} voxels; "
                "crop or pad it to a cube about its origin",
                path=name,
            )
        if stack.header.axes not in ((1, 2, 3), (0, 0, 0)):
            raise FileFormatError(
                f"expected a {what} with the axes x, y, z in the header (1, 2, 3), found "
                f"{stack.header.axes}; permute its axes",
                path=name,
            )
        with np.errstate(over="ignore"):  # what float32 cannot hold is counted below
            density = stack.read_all().astype(np.float32, copy=False)
        pixel_size = stack.pixel_size
    bad = density.size - np.count_nonzero(np.isfinite(density))
    if bad:
        raise FileFormatError(
            f"expected a {what} of finite numbers, found {bad} of {density.size} voxels that are "
            "NaN or infinite; make the map again, or set them to 0",
            path=name,
        )
    known = pixel_size > 0 and abs(pixel_size - 1) > 1e-3
    return DensityMap(density, pixel_size if known else None, name)
