"""Spectra of images, ring by ring of equal frequency."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tomoset.images.fourier import Cropping

Rings = npt.NDArray[np.int64]


def rings(cropping: Cropping) -> Rings:
    """Which ring of equal frequency each value of a cropped transform belongs to."""
    width, height = cropping.cropped
    x, y = np.arange(width // 2 + 1) / width, np.fft.fftfreq(height)
    return np.asarray(np.hypot(x, y[:, None]) * max(width, height) + 0.5, np.int64)


def radial_power(transform: npt.NDArray[np.complex64], which: Rings) -> npt.NDArray[np.float32]:
    """The mean power of each ring, smooth, and never 0."""
    power = (transform.real**2 + transform.imag**2).ravel()
    flat = which.ravel()
    mean = np.bincount(flat, power) / np.maximum(np.bincount(flat), 1)
    mean[0] = mean[1]  # the mean of the image was taken off
    smooth = np.convolve(np.pad(mean, 2, mode="edge"), np.full(5, 0.2), mode="valid")
    return np.asarray(np.maximum(smooth, 1e-6 * smooth.max() or 1.0), np.float32)


def symmetric_transform(
    image: npt.NDArray[np.float64], size: tuple[int, int]
) -> npt.NDArray[np.float32]:
    """The transform of a symmetric image about its middle, on a grid of this width and height."""
    import scipy.fft

    padded = np.zeros(size[::-1])
    half = len(image) // 2
    along = np.arange(-half, half + 1)
    np.add.at(padded, (along[:, None] % size[1], along % size[0]), image)
    return np.asarray(scipy.fft.rfft2(padded).real, np.float32)
