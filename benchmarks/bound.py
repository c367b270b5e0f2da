"""The Cramér-Rao bound of shifts: how well images of a slab can be aligned at all.

Images of matter with random density in a slab, mapped to its mid-plane, are circular complex
Gaussian at each frequency k of the mid-plane, with covariance

    C_ij = sqrt(S_i S_j) sinc(T (a_i - a_j) . k) + delta_ij N_i

T the thickness, a_i how far the ray of image i moves in x and y with each unit of depth, S_i and
N_i the power of signal and noise. A shift s of image i turns phases by 2 pi q_i . s, where
q_i = M_i^-T k, so that the information on phases of images i and j is 2 (C * C^-1 - 1)_ij, element
by element.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from twins import WORKING, Twin
from twins_images import binned
from twins_views import rotation

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Slab:
    """What the images of a slab hold.

    Parameters
    ----------
    maps : (n, 2, 2) array
        From the mid-plane to the images [px per px].
    slopes : (n, 2) array
        Of the rays in the slab's frame.
    thickness : float
        [px]
    area : float
        Of the field of view [px²].
    ratio : callable
        Signal to noise of each image at frequencies of it, (n, m) [cycles/px] -> (n, m).
    translations : (n, 2, 3) array
        How the images of matter move with it: x, y of image by x, y, z [px per px].
    """

    maps: Array
    slopes: Array
    thickness: float
    area: float
    ratio: object
    translations: Array


def covariance(slab: Slab, k: Array) -> Array:
    """Of all images at frequencies k, (m, 2), in units of their noise: (m, n, n)."""
    q = _own(slab, k)
    ratio = np.sqrt(slab.ratio(np.linalg.norm(q, axis=2).T))  # type: ignore[operator]
    phase = slab.slopes @ k.T
    apart = phase[:, None] - phase
    signal = ratio[:, None] * ratio * np.sinc(slab.thickness * apart)
    return np.asarray(np.moveaxis(signal, 2, 0) + np.eye(len(slab.maps)))


def _own(slab: Slab, k: Array) -> Array:
    """Frequencies of the mid-plane in each image: (m, n, 2)."""
    return np.asarray(np.einsum("nba,mb->mna", np.linalg.inv(slab.maps), k))


def information(slab: Slab, k: Array, weight: float) -> Array:
    """Fisher's, on x, y of all shifts in their images [1/px²]: (2n, 2n).

    `weight` is the number of independent frequencies that each k, of half the plane, stands for.
    """
    n = len(slab.maps)
    total = np.zeros((n, 2, n, 2))
    for part in np.array_split(k, max(1, len(k) // 256)):
        c = covariance(slab, part)
        phases = 2 * (c * np.linalg.inv(c) - np.eye(n))
        q = 2 * np.pi * _own(slab, part)
        total += np.einsum("mia,mij,mjb->iajb", q, phases, q, optimize=True)
    return weight * total.reshape(2 * n, 2 * n)


def shift_bound(slab: Slab, band: tuple[float, float]) -> Array:
    """Smallest standard deviation of x and y of each image's shift, (n, 2) [px].

    Where the specimen is in space, x, y, z, is left free: what an alignment is judged without.
    Frequencies between the two of `band` [cycles/px].
    """
    fine, coarse = 1 / 192, 1 / 64
    x, y = np.meshgrid(np.arange(0, band[1], fine) + fine / 2, np.arange(-band[1], band[1], coarse))
    k = np.column_stack([x.ravel(), y.ravel()])
    k = k[(np.linalg.norm(k, axis=1) >= band[0]) & (np.linalg.norm(k, axis=1) <= band[1])]
    f = information(slab, k, slab.area * fine * coarse)
    return np.sqrt(np.diag(scatter(f, slab.translations.reshape(-1, 3))).reshape(-1, 2))


def scatter(f: Array, gauge: Array) -> Array:
    """Covariance of shifts of which the directions of `gauge` are not known and taken off."""
    known = gauge.T @ f @ gauge
    f = f - f @ gauge @ np.linalg.pinv(known, rcond=1e-9) @ gauge.T @ f
    basis = np.linalg.svd(gauge)[0][:, gauge.shape[1] :]
    return np.asarray(basis @ np.linalg.inv(basis.T @ f @ basis) @ basis.T)


def slab_of(twin: Twin) -> Slab:
    """The slab of a twin, of the clean images and the noise at the working pixel."""
    small = binned(twin.clean, twin.pixel_size, WORKING)
    h, w = small.shape[1:]
    pixel = twin.pixel_size * twin.clean.shape[2] / w
    noise = twin.noise_variance * max(1.0, pixel / twin.pixel_size) ** -2
    noise = noise * max(1.0, WORKING / twin.pixel_size) ** 2
    spectra = np.stack([_rings(image) for image in small])
    middle = (np.arange(spectra.shape[1]) + 0.5) / (2 * spectra.shape[1])

    def ratio(frequency: Array) -> Array:
        return np.stack(
            [
                np.maximum(np.interp(f, middle, s) / v, 1e-9)
                for f, s, v in zip(frequency, spectra, noise, strict=True)
            ]
        )

    slab = rotation("y", twin.inclination[0]) @ rotation("x", twin.inclination[1])
    turns = twin.truth[:, :3, :3] @ slab
    return Slab(
        maps=turns[:, :2, :2],
        slopes=turns[:, 2, :2] / turns[:, 2, 2:],
        thickness=twin.thickness / pixel,
        area=float(h * w),
        ratio=ratio,
        translations=turns[:, :2, :],
    )


def twin_bound(twin: Twin, band: tuple[float, float] = (0.02, 0.25)) -> Array:
    """The bound of a twin, (n, 2), in its own pixels; the band in cycles per working pixel."""
    pixel = WORKING if twin.pixel_size < WORKING else twin.pixel_size
    return shift_bound(slab_of(twin), band) * pixel / twin.pixel_size


def _rings(image: Array, rings: int = 48) -> Array:
    """Power of an image's contrast in rings from 0 to 0.5 cycles/px, per pixel.

    By the median of each ring, as that of an exponential distribution: stripes and edges are no
    measure of the rest.
    """
    h, w = image.shape
    edge = np.sqrt(np.hanning(h)[:, None] * np.hanning(w))
    contrast = (image / image.mean() - 1) * edge
    power = np.abs(np.fft.rfft2(contrast)) ** 2 / (edge**2).sum()
    radius = np.hypot(np.fft.fftfreq(h)[:, None], np.fft.rfftfreq(w))
    ring = np.minimum((radius * 2 * rings).astype(int), rings)
    return np.array([np.median(power[ring == r]) / np.log(2) for r in range(rings)])
