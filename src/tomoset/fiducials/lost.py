"""Tilt images in which no bead is where it should be: placed by what their neighbours show."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tomoset import geometry
from tomoset.align.images.plane import Plane
from tomoset.align.images.prepare import prepare
from tomoset.align.images.start import USUAL, Coarse, placed
from tomoset.fiducials.finder.find import Image, Images
from tomoset.model import Tomogram

Array = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

#: Neighbours in tilt that an image is compared with, on each side.
_NEIGHBOURS = 3
#: Edge of the small images that are compared [px].
_EDGE = 256
#: What the log-likelihood of a place must have beyond that of any other.
_SURE = 10.0


class _Some:
    """Some of the images of a series."""

    def __init__(self, images: Images, which: Ints) -> None:
        self.size, self._images, self._which = images.size, images, which

    def __len__(self) -> int:
        return len(self._which)

    def read(self, i: int) -> Image:
        return self._images.read(int(self._which[i]))


def placed_by_neighbours(
    tomogram: Tomogram, images: Images, projections: Array, lost: Ints, threads: int = 1
) -> Array:
    """Projections in which lost images lie where their neighbours in tilt show the same.

    Parameters
    ----------
    tomogram : Tomogram
        With size and pixel size.
    images : Images
        Its tilt images.
    projections : (n, 4, 4) array
        By which all but the lost images lie well.
    lost : (k,) int array
        Images that may lie anywhere, from 0.
    threads : int
        Images that are worked on at once.

    Returns
    -------
    (n, 4, 4) array
        Images whose place is not sure stay.
    """
    tilts = geometry.tilt_angles(projections)
    some = _neighbours(tilts, lost)
    known = ~np.isin(some, lost)
    if not known.any():
        return projections
    ready = prepare(_Some(images, some), tomogram.need_pixel_size(), threads)
    used = ready.used
    some, known = some[used], known[used]
    if known.sum() < 2 or known.all():
        return projections
    binning, size = ready.binning, np.array(tomogram.need_size(), np.float64)
    small = projections[some].copy()
    small[:, :3, 3] /= binning
    plane = Plane(centre=(size - 1) / 2 / binning)
    shape = round(size[1] / binning), round(size[0] / binning)
    thick = USUAL / tomogram.need_pixel_size() / binning
    coarse = Coarse.of(
        ready.images[used], ready.valid[used], tilts[some], shape, thick, _EDGE, threads
    )  # fmt: skip
    moved, found = placed(coarse, small, plane)
    linear, _ = plane.maps(small)
    common = np.median(found.at[known], axis=0) * coarse.scale
    by = moved[:, :2, 3] - small[:, :2, 3] - linear @ common
    sure = (found.support - found.rival > _SURE) & np.isin(found.piece, found.piece[known]) & ~known
    new = projections.copy()
    new[some[sure], :2, 3] += by[sure] * binning
    return new


def _neighbours(tilts: Array, lost: Ints) -> Ints:
    """The lost images, and those nearest to each in tilt, in the order of the table."""
    order = np.argsort(tilts, kind="stable")
    ranks = np.argsort(order)[lost]
    near = ranks[:, None] + np.arange(-_NEIGHBOURS, _NEIGHBOURS + 1)
    return np.unique(order[near[(near >= 0) & (near < len(tilts))]])
