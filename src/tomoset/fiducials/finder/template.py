"""What a gold bead looks like in an image."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

#: Path through gold after which 1 of e electrons is left [Å]: elastic and inelastic, at 300 kV.
_GOLD_PATH = 130.0
#: Samples of a pixel along x and along y, whose mean is taken.
_FINER = 5


def bead_profile(distance: Array, radius: float) -> Array:
    """The part of the beam that a ball of gold takes, against what its middle takes.

    Parameters
    ----------
    distance : array
        From its centre [Å].
    radius : float
        [Å].

    Returns
    -------
    Array
        From 0 outside to 1.

    Examples
    --------
    >>> bead_profile(np.array([0.0, 40.0, 50.0]), 50.0).round(3).tolist()
    [1.0, 0.689, 0.0]
    """
    path = 2 * np.sqrt(np.maximum(radius**2 - np.asarray(distance, np.float64) ** 2, 0))
    return np.asarray(-np.expm1(-path / _GOLD_PATH) / -np.expm1(-2 * radius / _GOLD_PATH))


def bead_image(radius: float, pixel_size: float, half: int) -> Array:
    """A bead in the middle of pixels of a size [Å]: (2 half + 1, 2 half + 1)."""
    n = 2 * half + 1
    fine = (np.arange(n * _FINER) + 0.5) / _FINER - n / 2
    distance = np.hypot(*np.meshgrid(fine, fine)) * pixel_size
    blocks = bead_profile(distance, radius).reshape(n, _FINER, n, _FINER)
    return np.asarray(blocks.mean(axis=(1, 3)))
