"""Detections of beads in one tilt image: a matched filter, and its peaks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tomoset.fiducials.finder.template import bead_image
from tomoset.fiducials.finder.transform import radial_power, rings, symmetric_transform
from tomoset.images.device import Cpu
from tomoset.images.fourier import Cropping

Array = npt.NDArray[np.float64]
Image = npt.NDArray[np.float32]

#: A bead's radius where it is searched [px]: fewer pixels are faster, and find it as well.
RADIUS_PX = 5.0
#: Peaks lower than this many standard deviations are noise.
_LOWEST = 4.0
#: Peaks of an image that are used: the highest.
_MOST = 300
#: Median of absolute deviations of a normal distribution.
_MAD = 0.6744898


@dataclass(frozen=True, kw_only=True, eq=False)
class Peaks:
    """Detections in one image, the most bead-like first.

    Parameters
    ----------
    points : (k, 2) array
        x, y in 0-based pixels of the image as stored.
    heights : (k,) array
        Of the matched filter, in standard deviations of what it makes of the background.
    """

    points: Array
    heights: Array


class MatchedFilter:
    """Finds what looks like a bead of one radius against the background of each image.

    The image of a bead over the power spectrum of the image: the best linear filter for a known
    shape in noise of a known spectrum (Turin, IRE Trans. Inf. Theory 6, 311 (1960)).

    Parameters
    ----------
    cropping : Cropping
        From the images as stored to those that are searched.
    radius : float
        Of a bead [Å].
    pixel_size : float
        Of the images as stored [Å].
    sign : int
        +1: beads are darker than what is around them, -1: brighter.
    """

    def __init__(self, cropping: Cropping, radius: float, pixel_size: float, sign: int = 1) -> None:
        self.cropping = cropping
        pixel = pixel_size * float(np.mean(cropping.factors))
        self.radius = radius / pixel
        half = int(np.ceil(self.radius)) + 1
        self._bead = -sign * symmetric_transform(bead_image(radius, pixel, half), cropping.cropped)
        self._rings = rings(cropping)

    def response(self, transform: npt.NDArray[np.complex64]) -> Image:
        """The filtered image, in standard deviations of its background.

        Parameters
        ----------
        transform : (h, w) complex64 array
            As `cropping` makes it of an image.
        """
        power = radial_power(transform, self._rings)
        filtered = self.cropping.image_of(transform * (self._bead / power[self._rings]), Cpu())
        sample = filtered[::3, ::3]
        middle = np.median(sample)
        spread = np.median(np.abs(sample - middle)) / _MAD
        standard: Image = (filtered - middle) / np.float32(max(spread, 1e-30))
        return standard

    def peaks(self, response: Image) -> Peaks:
        """The maxima of a filtered image, no two of one bead."""
        rows, columns, heights = _maxima(response)
        order = np.argsort(-heights, kind="stable")[: 4 * _MOST]
        kept = _apart(np.stack([columns, rows], axis=1)[order], 0.8 * self.radius)[:_MOST]
        order = order[kept]
        points = np.stack([columns[order], rows[order]], axis=1).astype(np.float64)
        points += _offset(response, rows[order], columns[order])
        return Peaks(points=points * self.cropping.factors, heights=heights[order])


def _maxima(response: Image) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], Array]:
    """Pixels above the lowest height, and above their eight neighbours."""
    padded = np.pad(response, 1, constant_values=-np.inf)
    rows, columns = np.nonzero(response > _LOWEST)
    heights = response[rows, columns]
    highest = np.ones(len(rows), bool)
    for dy, dx in ((0, 0), (0, 1), (0, 2), (1, 0)):
        highest &= heights >= padded[rows + dy, columns + dx]
        highest &= heights > padded[rows + 2 - dy, columns + 2 - dx]
    return rows[highest], columns[highest], heights[highest].astype(np.float64)


def _apart(points: npt.NDArray[np.int64], distance: float) -> npt.NDArray[np.int64]:
    """Which points to keep so that none is nearer than this to one before it."""
    import scipy.spatial

    if not len(points):
        return np.zeros(0, np.int64)
    pairs = scipy.spatial.cKDTree(points).query_pairs(distance, output_type="ndarray")
    keep = np.ones(len(points), bool)
    for first, second in pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]:
        if keep[first]:
            keep[second] = False
    return np.flatnonzero(keep)


def _offset(response: Image, rows: npt.NDArray[np.int64], columns: npt.NDArray[np.int64]) -> Array:
    """From each maximum to that of the parabolas through it and its neighbours [px]: (k, 2)."""
    padded = np.pad(response.astype(np.float64), 1, mode="edge")
    here = padded[rows + 1, columns + 1]
    offsets = []
    for dy, dx in ((0, 1), (1, 0)):
        before = padded[rows + 1 - dy, columns + 1 - dx]
        after = padded[rows + 1 + dy, columns + 1 + dx]
        bow = before - 2 * here + after
        offsets.append(np.where(bow < 0, 0.5 * (before - after) / np.minimum(bow, -1e-12), 0.0))
    return np.asarray(np.clip(np.stack(offsets, axis=1), -0.5, 0.5))
