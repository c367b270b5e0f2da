"""How well shifts of tilt images can be known at best: the Cramér-Rao bound of the Gaussian slab.

A specimen is taken as a slab of random density. Image i, mapped to the middle plane of the slab by
M_i (its own pixels = M_i times those of the plane), has at the plane's frequency k a coefficient
V_i(k), a complex normal number of mean 0 that sees the slab at kz = a_i . k:

    C_ij(k) = E[V_i V_j*] = rho_ij sqrt(S_i S_j) p((a_i - a_j) . k) + delta_ij N_i

S_i is the power of what is seen at the image's frequency M_i^-T k, N_i that of noise, p the
transform of the density across the slab (`slab.coherence` of T (a_i - a_j) . k), and rho_ij the
overlap of what two images show.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tomoset.align.images.slab import coherence

Array = npt.NDArray[np.float64]

#: What an alignment at about 10 Å per pixel uses [cycles/px].
BAND = (0.02, 0.25)
#: Frequencies along an edge of the grid that the sum over the plane is taken on, and how many of
#: them are in memory at once.
_GRID, _AT_ONCE = 64, 128
#: Directions with less than this part of the largest information are not known at all.
_NOTHING = 1e-9


@dataclass(frozen=True, kw_only=True, eq=False)
class SlabViews:
    """How images see a slab: lengths in pixels of the images.

    Parameters
    ----------
    maps : (n, 2, 2) array
        M_i: from the middle plane to each image.
    slopes : (n, 2) array
        a_i: at a frequency k of the plane an image sees kz = a_i . k.
    thickness : float
        [px]
    surface : float
        Share of the matter on the slab's surfaces.
    """

    maps: Array
    slopes: Array
    thickness: float
    surface: float = 0.0

    @classmethod
    def seen_by(cls, projections: npt.ArrayLike, thickness: float) -> SlabViews:
        """The slab |z| < thickness / 2 of the frame in which the projections are given.

        Parameters
        ----------
        projections : (n, 2 or more, 3 or more) array
            Rows x and y of the image, columns x, y and z of the slab's frame [px].
        thickness : float
            [px]

        Examples
        --------
        >>> angle = np.deg2rad(60.0)
        >>> seen = np.array([[[np.cos(angle), 0, np.sin(angle)], [0, 1, 0]]])
        >>> SlabViews.seen_by(seen, 18.0).slopes.round(3).tolist()
        [[1.732, 0.0]]
        """
        rows = np.asarray(projections, dtype=np.float64)[:, :2, :3]
        maps = rows[:, :, :2]
        return cls(
            maps=maps,
            slopes=np.asarray(np.linalg.solve(maps, rows[:, :, 2:])[..., 0], dtype=np.float64),
            thickness=thickness,
        )

    def frequencies(self, plane: Array) -> Array:
        """Where each image has frequencies of the plane: (m, 2) to (m, n, 2) [cycles/px]."""
        back = np.linalg.inv(self.maps)
        return np.asarray(np.einsum("nij,mi->mnj", back, plane))


def covariance(
    slab: SlabViews, plane: Array, signal: Array, noise: Array, overlap: npt.ArrayLike = 1.0
) -> Array:
    """C_ij of each frequency of the plane.

    Parameters
    ----------
    slab : SlabViews
        How it is seen.
    plane : (m, 2) array
        Frequencies of the plane [cycles/px].
    signal : (m, n) array
        Power of what each image shows there.
    noise : (n,) or (m, n) array
        Power of its noise.
    overlap : (n, n) array, optional
        The part that two images share of what they show.

    Returns
    -------
    (m, n, n) array
    """
    depth = plane @ slab.slopes.T
    apart = slab.thickness * (depth[:, :, None] - depth[:, None])
    root = np.sqrt(signal)
    made = np.asarray(overlap) * coherence(apart, slab.surface) * root[:, :, None] * root[:, None]
    each = np.arange(made.shape[1])
    made[:, each, each] = signal + noise
    return np.asarray(made)


def shift_information(covariances: Array, plane: Array) -> Array:
    """The Fisher information of shifts in the plane, summed over frequencies, each counted once.

    A shift s_i multiplies V_i by exp(-2 pi i k . s_i). For complex normal numbers the information
    of two parameters is tr(C^-1 C' C^-1 C''), which here becomes

        F_ia,jb = 2 (2 pi)^2 sum_k k_a k_b (C_ij (C^-1)_ji - delta_ij)

    Parameters
    ----------
    covariances : (m, n, n) array
        C_ij, as `covariance` gives them.
    plane : (m, 2) array
        Frequencies, of one half of the plane [cycles/px].

    Returns
    -------
    (2 n, 2 n) array
        x and y of the first image, of the second, and so on [1/px²].
    """
    n = covariances.shape[1]
    coupling = covariances * np.linalg.inv(covariances).swapaxes(1, 2)
    coupling[:, np.arange(n), np.arange(n)] -= 1.0
    products = (plane[:, :, None] * plane[:, None]).reshape(-1, 4)
    sums = (coupling.reshape(len(plane), -1).T @ products).reshape(n, n, 2, 2)
    return np.asarray(2 * (2 * np.pi) ** 2 * sums.swapaxes(1, 2).reshape(2 * n, 2 * n))


def shift_covariance(slab: SlabViews, information: Array) -> Array | None:
    """The bound of the covariance of image shifts, less what a move of the specimen explains.

    Parameters
    ----------
    slab : SlabViews
        How it is seen.
    information : (2 n, 2 n) array
        Of shifts in the plane.

    Returns
    -------
    (2 n, 2 n) array, optional
        Of shifts of the images [px²]; None if they do not tell all shifts.
    """
    n = len(slab.maps)
    back = np.zeros((n, 2, n, 2))
    back[np.arange(n), :, np.arange(n)] = np.linalg.inv(slab.maps)
    of_plane = back.reshape(2 * n, 2 * n)
    along_z = np.einsum("nij,nj->ni", slab.maps, slab.slopes)
    moves = np.concatenate([slab.maps, along_z[:, :, None]], axis=2).reshape(2 * n, 3)
    basis = np.linalg.qr(moves)[0]
    free = np.eye(2 * n) - basis @ basis.T
    known = free @ of_plane.T @ information @ of_plane @ free
    values, vectors = np.linalg.eigh(known)
    if not np.isfinite(values).all() or values[3] <= _NOTHING * values[-1]:
        return None
    return np.asarray((vectors[:, 3:] / values[3:]) @ vectors[:, 3:].T)


@dataclass(frozen=True, kw_only=True, eq=False)
class Spectra:
    """Power of what images show and of their noise: where noise is white, its variance.

    Parameters
    ----------
    frequencies : (r,) array
        Middles of rings [cycles/px].
    signal : (n, r) array
        Of the images without noise.
    noise : (n,) array
        White.
    """

    frequencies: Array
    signal: Array
    noise: Array

    def signal_at(self, frequencies: Array, band: tuple[float, float] = BAND) -> Array:
        """The signal at (m, n, 2) frequencies of the images, 0 outside the band: (m, n)."""
        length = np.hypot(frequencies[..., 0], frequencies[..., 1])
        columns = [
            np.interp(length[:, i], self.frequencies, power) for i, power in enumerate(self.signal)
        ]
        return np.where((length >= band[0]) & (length <= band[1]), np.stack(columns, axis=1), 0.0)


def shift_bound(
    slab: SlabViews, spectra: Spectra, area: float, band: tuple[float, float] = BAND
) -> Array | None:
    """Standard deviations of the images' shifts that no alignment by the images can beat.

    Parameters
    ----------
    slab : SlabViews
        How it is seen.
    spectra : Spectra
        What there is to be seen.
    area : float
        Of the images, as far as they are independent of each other's neighbours [px²].
    band : (float, float)
        Frequencies of the images that are used [cycles/px].

    Returns
    -------
    (n, 2) array, optional
        Across the tilt axis (the image of the slab's y) and along it [px], less what a move of the
        specimen explains; None if the images do not tell.

    Examples
    --------
    >>> angles = np.deg2rad(np.linspace(-60, 60, 41))
    >>> o, i = np.zeros_like(angles), np.ones_like(angles)
    >>> rows = [[np.cos(angles), o, np.sin(angles)], [o, i, o]]
    >>> slab = SlabViews.seen_by(np.moveaxis(np.array(rows), 2, 0), 25.0)
    >>> spectra = Spectra(frequencies=np.array([0, 0.5]), signal=np.ones((41, 2)) * 0.03, noise=i)
    >>> np.median(shift_bound(slab, spectra, 512.0**2), axis=0).round(2).tolist()
    [0.13, 0.08]
    """
    n = len(slab.maps)
    information = np.zeros((2 * n, 2 * n))
    if not (spectra.noise > 0).all():
        return None
    plane, step = _half_plane(band[1])
    for first in range(0, len(plane), _AT_ONCE):
        part = plane[first : first + _AT_ONCE]
        signal = spectra.signal_at(slab.frequencies(part), band)
        information += shift_information(covariance(slab, part, signal, spectra.noise), part)
    covariances = shift_covariance(slab, information * area * step**2)
    if covariances is None:
        return None
    blocks = np.einsum("iaib->iab", covariances.reshape(n, 2, n, 2))
    along = slab.maps[:, :, 1] / np.linalg.norm(slab.maps[:, :, 1], axis=1, keepdims=True)
    axes = np.stack([np.stack([along[:, 1], -along[:, 0]], axis=1), along], axis=1)
    return np.asarray(np.sqrt(np.einsum("nka,nab,nkb->nk", axes, blocks, axes)))


def _half_plane(highest: float) -> tuple[Array, float]:
    """A grid of frequencies with x above 0, none on an axis, and its step [cycles/px]."""
    step = 2 * highest / _GRID
    x = (np.arange(_GRID // 2) + 0.5) * step
    y = (np.arange(_GRID) + 0.5) * step - highest
    plane = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    return plane[np.hypot(plane[:, 0], plane[:, 1]) <= highest], step
