"""Pixels that no specimen explains, and images that show none: defects of detectors, X-rays.

An outlier pixel stands far above or below all around it, alone or with few others: gold beads,
however dark, are wider. What is far is measured by the image itself, as the differences of pixels
some steps apart: noise, and beads and edges with it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

#: Pixels so far apart are not of one defect, and of one bead only if that is wider [px].
_REACH = 3
#: Of all such differences so many are smaller than what is usual in an image: up to a quarter of
#: a per cent of the pixels may be outliers ...
_USUAL = 0.995
#: ... which is so many times what half of the differences are below, if there is noise: 4 if it is
#: Gaussian, more with beads and edges ...
_NOISE = 30.0
#: ... and an outlier is beyond so many times that: 16 standard deviations of Gaussian noise, 80.
_TIMES = (4.0, 20.0)
#: Beyond either a defect has at most so many pixels, or one row or column, above this share of its
#: height. The smallest beads that can be found have 13.
_MOST, _SHARE = (4, 9), 0.3
#: Pixels that are looked at for what is usual.
_SAMPLE = 1 << 14


@dataclass(frozen=True, kw_only=True)
class Looks:
    """What an image looks like.

    Parameters
    ----------
    outliers : int
        Pixels that were limited.
    blank : bool
        Whether all pixels are the same.
    low, mean : float
        Least and mean of a sample of its pixels.
    """

    outliers: int
    blank: bool
    low: float
    mean: float


def limit_outliers(
    image: npt.NDArray[np.float32],
) -> tuple[npt.NDArray[np.float32], Looks]:
    """An image whose outlier pixels have the median of those around them.

    Parameters
    ----------
    image : (h, w) array
        As it was read.

    Returns
    -------
    (h, w) array
        The image itself if there are none.
    Looks
        How many there are, and whether the image shows anything.

    Examples
    --------
    >>> noise = np.random.default_rng(1).normal(size=(64, 64)).astype(np.float32)
    >>> noise[20, 30] = 1000
    >>> better, looks = limit_outliers(noise)
    >>> looks.outliers, bool(abs(better[20, 30]) < 1)
    (1, True)
    """
    height, width = image.shape
    step = max(1, image.size // _SAMPLE)
    sample = image[::step]
    low, mean = float(sample.min()), float(sample.mean(dtype=np.float64))
    blank = low == float(sample.max()) and bool((image == image[0, 0]).all())
    count = 0
    if not blank and min(height, width) > 2 * _REACH:
        # A hot column is in all rows: then columns tell what is usual, and the other way round.
        usual = min(map(_usual, (sample, image[:, ::step].T)))
        image, count = _limited(image, usual)
    return image, Looks(outliers=count, blank=blank, low=low, mean=mean)


def _usual(sample: npt.NDArray[np.float32]) -> float:
    """What most differences of pixels some steps apart along rows are below.

    Infinity where half of them are so much smaller that they are no noise: a simulation without
    any, whose least bead would stand out.
    """
    with np.errstate(over="ignore"):  # an infinite difference is no usual one
        apart = np.abs(sample[:, _REACH:] - sample[:, :-_REACH]).ravel()
    at = int(_USUAL * (apart.size - 1))
    apart.partition((apart.size // 2, at))
    usual, half = float(apart[at]), float(apart[apart.size // 2])
    if half == 0 < usual:  # of few counts most are equal: one count is the least difference
        half = float(apart[apart > 0].min())
    return usual if usual <= _NOISE * half else np.inf


def _limited(image: npt.NDArray[np.float32], usual: float) -> tuple[npt.NDArray[np.float32], int]:
    if not 0 < usual < np.inf:  # images without noise tell nothing of what is usual
        return image, 0
    from tomoset.images import _outlier_kernels

    far = np.minimum(np.multiply(_TIMES, usual), np.finfo(np.float32).max)
    at = _outlier_kernels.stand_out(image, _REACH, np.float32(far[0]))
    if not len(at):
        return image, 0
    values = _outlier_kernels.surroundings(image, at, _REACH, _SHARE, np.array(_MOST), far)
    at, values = at[~np.isnan(values)], values[~np.isnan(values)]
    if not len(at):
        return image, 0
    image = image.copy()
    image[at[:, 0], at[:, 1]] = values
    return image, len(at)
