"""The slab of uneven ice, along the beam."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tomoset.simulate.acquisition import Acquisition
from tomoset.simulate.specimen import Specimen

Array = npt.NDArray[np.float64]


def ice(specimen: Specimen, acquisition: Acquisition, tilt: float, xf: Array) -> Array:
    """Ice along the beam, weighted by its density [px]: (height, width).

    A beam meets the plane of the tilt axis at x = across / cos t, and leaves it along
    (sin t, cos t) in x and depth. A wave of density, integrated along the beam through the
    slab, is again a wave in the image, weakened by a sinc: exact, and a product of a wave
    in the image's x and one in its y.
    """
    sin, cos = np.sin(np.deg2rad(tilt)), np.cos(np.deg2rad(tilt))
    path_length = specimen.slab / acquisition.pixel_size / cos
    kx, kd, ky, amplitude, phase = specimen.waves.T
    (a, b, dx), (c, d, dy) = xf
    weight = amplitude * path_length * np.sinc((kx * sin + kd * cos) * path_length / (2 * np.pi))
    right, up = (np.arange(n) - (n - 1) / 2 for n in acquisition.image_size)
    along_x = np.exp(1j * np.outer(right, kx * a / cos + ky * c)).astype(np.complex64)
    along_y = np.exp(1j * np.outer(up, kx * b / cos + ky * d)).astype(np.complex64)
    start = np.exp(1j * (phase + kx * dx / cos + ky * dy))
    waves = (along_y * (weight * start).astype(np.complex64)) @ along_x.T
    return np.asarray(path_length + waves.real, dtype=np.float64)
