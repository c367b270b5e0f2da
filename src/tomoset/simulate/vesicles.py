"""Vesicles: spherical bilayers, two shells of points each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

#: Between the middles of the two leaflets [Å].
BILAYER = 40.0
#: Standard deviation of a leaflet across [Å], and how much protein is as dense as it [Å].
LEAFLET_WIDTH, LEAFLET = 6.0, 8.0
#: Radii at random, to the middle of the bilayer [Å].
RADII = (200.0, 500.0)

#: One point for so much of a leaflet [Å²]: near enough for Gaussians to make a smooth sheet.
_AREA = (1.7 * LEAFLET_WIDTH) ** 2


@dataclass(frozen=True, kw_only=True, eq=False)
class Vesicles:
    """Spherical bilayers.

    Parameters
    ----------
    centres : (n, 3) array
        x, y, z in 0-based voxels of the tomogram.
    radii : (n,) array
        To the middle of the bilayer [Å].
    """

    centres: Array
    radii: Array

    def cloud(self, pixel_size: float) -> tuple[Array, Array]:
        """Points in 0-based voxels, (n, 3), and their weights, as volumes of protein [Å³]."""
        points, weights = [np.empty((0, 3))], [np.empty(0)]
        for centre, middle in zip(self.centres, self.radii, strict=True):
            for radius in (middle - BILAYER / 2, middle + BILAYER / 2):
                shell = _sphere(round(4 * np.pi * radius**2 / _AREA))
                points.append(centre + radius / pixel_size * shell)
                weights.append(np.full(len(shell), 4 * np.pi * radius**2 * LEAFLET / len(shell)))
        return np.concatenate(points), np.concatenate(weights)


def _sphere(number: int) -> Array:
    """Evenly spread directions: a Fibonacci spiral."""
    i = np.arange(number)
    z = 1 - (2 * i + 1) / number
    azimuth = i * np.pi * (3 - np.sqrt(5))
    ring = np.sqrt(1 - z * z)
    return np.stack([ring * np.cos(azimuth), ring * np.sin(azimuth), z], axis=-1)
