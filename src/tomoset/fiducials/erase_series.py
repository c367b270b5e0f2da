"""The images of a tilt series without beads."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt

from tomoset.fiducials.erase import erase
from tomoset.fiducials.options import EraseOptions
from tomoset.images.tilt_series import TiltSeries
from tomoset.model import Fiducials, Tomogram

Array = npt.NDArray[np.float64]


def erased_images(
    tomogram: Tomogram,
    images: TiltSeries,
    fiducials: Fiducials,
    options: EraseOptions,
    seed: str,
    threads: int = 1,
) -> Iterator[npt.NDArray[Any]]:
    """The images with noise instead of beads, one by one, in the type of their file.

    Parameters
    ----------
    tomogram : Tomogram
        Aligned, with its pixel size.
    images : TiltSeries
        Its images, or those of half of the frames.
    fiducials : Fiducials
        Its beads.
    options : EraseOptions
        What is erased.
    seed : str
        Of the noise, which is another one for each image, and the same in every run.
    threads : int
        Images that are worked on at once; not more are in memory.

    Raises
    ------
    TomosetError
        If an image is damaged, or the tomogram is not aligned.
    """
    known = 50.0 if fiducials.radii is None else float(fiducials.radii.max())
    radius = (options.radius or known) * options.margin / tomogram.need_pixel_size()
    centres = bead_centres(tomogram.placed(image_size=images.size), fiducials)

    def erased(i: int) -> npt.NDArray[Any]:
        rng = np.random.default_rng([zlib.crc32(seed.encode()), i])
        return erase(images.stored(i), centres[i], radius, rng)

    with ThreadPoolExecutor(threads) as pool:
        for first in range(0, len(images), threads):
            yield from pool.map(erased, range(first, min(first + threads, len(images))))


def bead_centres(tomogram: Tomogram, fiducials: Fiducials) -> Array:
    """Where beads are in the images: as they were seen, or else where they should be.

    Parameters
    ----------
    tomogram : Tomogram
        With projections.
    fiducials : Fiducials
        Its beads.

    Returns
    -------
    (n_tilts, n_beads, 2) array
        x, y [px], from 0; also of beads outside of an image.

    Raises
    ------
    ModelError
        If the tomogram is not aligned.
    """
    expected = tomogram.project(fiducials.points)
    if fiducials.observations is None:
        return expected
    seen = fiducials.observations.grid(tomogram.n_tilts, len(fiducials))
    return np.where(np.isfinite(seen), seen, expected)
