"""What the tiles of one image say of the parameters of its rings, and of their envelope.

Rings are a cosine: two waves, of which focusing back halts one and hurries the other, which large
tiles still show. So the values of tiles are

    -E/2 (exp(i psi) + m exp(-i psi)) + N c,

with the envelope E, what tiles show of the mirrored wave m, and errors c of the background, which
has a direction N of its own. All c are averaged over.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tomoset.ctf.sectors import ORDER, SECTORS, Sectors, polynomials
from tomoset.images.ctf import wavelength

Array = npt.NDArray[np.float64]
Complex = npt.NDArray[np.complexfloating]
Floats = npt.NDArray[np.float32]

#: How rings may fade: by exp(-fading k²) [Å²].
FADING = np.concatenate([[2.0], np.geomspace(5.0, 1000.0, 20)])
#: Parameters of each image: defocus [Å], astigmatism along 0 and 45 degrees [Å], phase shift [rad].
OWN = 4
#: Standard deviation of each term of the background's error, before.
_OFF = 0.1
#: Where the background is steep, tiles show it with a phase of its own: of so many terms, of this
#: deviation. Fewer, or less of it, and strong rings shift all phases by 0.05 rad.
_STEEP, _STEEP_OFF = 4, 0.05
#: No values are trusted to scatter across by less than 1 minus this allows.
_LOPSIDED = 0.75
#: Envelopes differ from their shape by about this part of it and of its largest value, alike over
#: so much of all frequencies.
_ABOUT, _LEAST, _SMOOTH = 0.4, 0.01, 0.15


def directions() -> Array:
    """cos and sin of twice the direction, averaged over each sector: (n_sectors, 2)."""
    edges = np.linspace(-np.pi / 2, np.pi / 2, SECTORS + 1)
    middle, half = (edges[1:] + edges[:-1]) / 2, np.pi / (2 * SECTORS)
    held = np.sin(2 * half) / (2 * half)
    return np.asarray(held * np.column_stack([np.cos(2 * middle), np.sin(2 * middle)]))


@dataclass(frozen=True, eq=False)
class Envelope:
    """Of the rings of an image.

    Parameters
    ----------
    height : (n_bands,) array
        As a part of the background.
    precision : (n_bands, n_bands) array
        What was known of it before: inverse of a covariance.
    """

    height: Array
    precision: Array

    @classmethod
    def near(cls, k2: Array, shape: Array, along: Array, square: Array) -> Envelope:
        """The likeliest that is about like a shape, and differs from it smoothly.

        Parameters
        ----------
        k2 : (n_bands,) array
            Of the bands [1/Å²].
        shape : (n_bands,) array
            Roughly.
        along, square : (n_bands,) array, (n_bands, n_bands) array
            What the image says, as `ImageLikelihood.bands` gives it.
        """
        k = np.sqrt(k2)
        apart = np.subtract.outer(k, k) / (_SMOOTH * k.max())
        alike = np.exp(-0.5 * apart**2) + 1e-3 * np.eye(len(k))
        scale = _ABOUT * np.abs(shape) + _LEAST * np.abs(shape).max() + 1e-6
        precision = np.linalg.inv(np.outer(scale, scale) * alike)
        height = np.linalg.solve(square + precision, along + precision @ shape)
        return cls(np.asarray(height, np.float64), np.asarray(precision, np.float64))


@dataclass(frozen=True, eq=False)
class Terms:
    """Log-likelihood of an image at some parameters, of noise of counting alone.

    Parameters
    ----------
    value : float
        Logarithm, against no rings.
    gradient : (4 + 3,) array
        Of it: by `OWN` parameters of the image, and by what defocus has in common (the pose).
    information : (4 + 3, 4 + 3) array
        Fisher's.
    hotter : float
        Variance of what single tiles say of defocus, over what noise of counting makes.
    """

    value: float
    gradient: Array
    information: Array
    hotter: float


def expected(own: Array, heights: Array) -> Array:
    """Defocus in each tile and direction: (n_tiles, n_sectors) [Å].

    Parameters
    ----------
    own : (4,) array
        Parameters of the image.
    heights : (n_tiles,) array
        Defocus of tiles over that of the image [Å].
    """
    return np.asarray(own[0] + heights[:, None] + directions() @ own[1:3])


class ImageLikelihood:
    """How likely parameters of one image are.

    Parameters
    ----------
    sectors : Sectors
        What it shows.
    """

    def __init__(self, sectors: Sectors) -> None:
        self.sectors = sectors
        self._planes = _planes(sectors)
        self._rate = sectors.rate.astype(np.float32)
        terms = polynomials(sectors.k2, ORDER)
        self._terms, self._steep = terms, terms[:, :_STEEP]
        values, (n, m), (one, other) = self._planes[:2], self._planes[2:4], self._planes[7:]

        def added(products: Floats) -> Array:
            return np.asarray(products.sum(axis=(0, 1), dtype=np.float64))

        first, cut = self._terms.T, ORDER + 1
        square = np.zeros((cut + _STEEP,) * 2)
        square[:cut, :cut] = first @ (added(one * n * n + other * m * m)[:, None] * self._terms)
        square[cut:, cut:] = self._steep.T @ (
            added(one * m * m + other * n * n)[:, None] * self._steep
        )
        square[:cut, cut:] = first @ (added((other - one) * n * m)[:, None] * self._steep)
        square[cut:, :cut] = square[:cut, cut:].T
        before = np.r_[np.full(cut, _OFF), np.full(_STEEP, _STEEP_OFF)]
        self._inverse = np.linalg.inv(square + np.diag(before**-2.0))
        x, y = one * values[0], other * values[1]
        self._seen = self._of_noise(added(n * x + m * y), added(n * y - m * x)).sum(axis=0)

    def _of_noise(
        self, real: npt.NDArray[np.floating], imaginary: npt.NDArray[np.floating]
    ) -> Array:
        """What something has in common with noise and i times it, as that with its errors.

        Along the last axis: (..., n_bands) to (..., n_bands, q).
        """
        parts = real[..., None] * self._terms, imaginary[..., None] * self._steep
        return np.concatenate(parts, axis=-1)

    def _off(self, own: Array, heights: Array) -> Floats:
        """Defocus of tiles from that of the values, and the phase: (n_tiles, n_sectors + 1)."""
        defocus = expected(own, heights) - self.sectors.defocus
        phase = np.full((len(defocus), 1), 2 * (own[3] - self.sectors.phase_shift))
        return np.concatenate([defocus, phase], axis=1).astype(np.float32)

    def bands(self, own: Array, heights: Array) -> tuple[Array, Array]:
        """What each band says of the height of rings, E: the log-likelihood is y E - E A E / 2.

        Returns
        -------
        (n_bands,) array, (n_bands, n_bands) array
            y and A.
        """
        y, square, *_ = self._bands(self._off(own, heights))
        return y, square

    def _bands(self, off: Floats) -> tuple[Array, Array, Array, Array, Array]:
        """The same; the first two as they are without errors of the background; and these's."""
        from tomoset.ctf import _kernels

        sums = np.zeros((4, len(self._rate)))
        _kernels.band_sums(self._planes, off, self._rate, sums)
        mixed = self._of_noise(sums[2], sums[3])
        y = sums[0] - mixed @ (self._inverse @ self._seen)
        square = np.diag(sums[1]) - mixed @ self._inverse @ mixed.T
        return y, square, sums[0], sums[1], mixed

    def terms(self, own: Array, heights: Array, slopes: Array, envelope: Envelope) -> Terms:
        """What the image says.

        Parameters
        ----------
        own : (4,) array
            Its parameters.
        heights : (n_tiles,) array
            Defocus of tiles over that of the image [Å].
        slopes : (n_tiles, 3) array
            Of these, by the pose.
        envelope : Envelope
            Of rings.
        """
        height, off = envelope.height, self._off(own, heights)
        _, square, along, energy, mixed = self._bands(off)
        projected = self._seen - height @ mixed
        before = self._seen @ self._inverse @ self._seen
        value = height @ along - height**2 @ energy / 2
        value += (projected @ self._inverse @ projected - before) / 2
        each, rings, noise = self._changes(off, slopes, height, self._inverse @ projected)
        design = _design(slopes)
        gradient = np.einsum("ts,tsp->p", each[0], design)
        gradient[3] = each[1].sum()
        information = np.einsum("tsp,ts,tsq->pq", design, each[2], design, optimize=True)
        shared = np.einsum("tsp,ts->p", design, 2 * each[3])
        information[3], information[:, 3] = shared, shared
        information[3, 3] = 4 * each[4].sum()
        lost = self._of_noise(noise.real, noise.imag).sum(axis=1)
        information -= lost @ self._inverse @ lost.T
        # Envelopes are not known either.
        rings = rings - lost @ self._inverse @ mixed.T
        information -= rings @ np.linalg.solve(square + envelope.precision, rings.T)
        by_tile, least = each[0].sum(axis=1), float(each[2].sum())
        hotter = float((by_tile**2).sum() / least) if least > 0 else 1.0
        return Terms(float(value), gradient, information, hotter)

    def _changes(
        self, off: Floats, slopes: Array, height: Array, size: Array
    ) -> tuple[Array, Array, Complex]:
        """What changes of parameters have in common with the image.

        Parameters
        ----------
        off : (n_tiles, n_sectors + 1) array
            As `_off` gives it.
        slopes : (n_tiles, 3) array
            Of heights, by the pose.
        height : (n_bands,) array
            Of rings.
        size : (q,) array
            Of the errors of the background.

        Returns
        -------
        (5, n_tiles, n_sectors) array
            As `_kernels.change_sums` has it, the second one twice, as phases shift rings.
        (7, n_bands) array, (7, n_bands) complex array
            With rings of height 1, and with noise.
        """
        from tomoset.ctf import _kernels

        errors = self._terms @ size[: ORDER + 1], self._steep @ size[ORDER + 1 :]
        model = np.stack([height, *errors]).astype(np.float32)
        tiles, sectors, bands = self._planes.shape[1:]
        each = np.empty((5, tiles, sectors))
        shared = np.zeros((3, sectors + slopes.shape[1], bands))
        steep = slopes.astype(np.float32)
        _kernels.change_sums(self._planes, off, self._rate, model, steep, (each, shared))
        each[1] *= 2
        whole = shared[:, :sectors].sum(axis=1)
        by_sector = np.einsum("ksb,sp->kpb", shared[:, :sectors], directions())
        parts = whole[:, None], by_sector, 2 * whole[:, None] / self.sectors.rate
        changes = np.concatenate([*parts, shared[:, sectors:]], axis=1) * self.sectors.rate
        return each, changes[0], changes[1] + 1j * changes[2]


def _planes(sectors: Sectors) -> Floats:
    """All of an image as `_kernels.band_sums` takes it.

    Turned so that values scatter most along their real parts, and least along the others.
    """
    much = np.abs(sectors.lopsided)
    along = sectors.lopsided / np.where(much > 0, much, 1)
    back = np.exp(-0.5j * np.angle(along)).astype(np.complex64)
    precision = 2 * sectors.number * sectors.weight[:, None, None]
    much = np.minimum(much, _LOPSIDED)
    parts = (
        *_both(sectors.values * back),
        *_both(sectors.noise * back),
        *_both(sectors.mirrored * back * back),
        -np.angle(back),
        precision / (1 + much),
        precision / (1 - much),
    )
    shape = sectors.values.shape
    return np.stack([np.broadcast_to(part, shape) for part in parts]).astype(np.float32)


def _both(values: Complex) -> tuple[npt.NDArray[np.floating], npt.NDArray[np.floating]]:
    return values.real, values.imag


def _design(slopes: Array) -> Array:
    """By how much parameters change defocus: (n_tiles, n_sectors, 7)."""
    design = np.zeros((len(slopes), SECTORS, OWN + slopes.shape[1]))
    design[..., 0] = 1.0
    design[..., 1:3] = directions()
    design[..., OWN:] = slopes[:, None, :]
    return design


def envelopes(k2: Array, voltage: float, path: float) -> Array:
    """How rings may fade, of an amplitude of 1: (n_fadings, n_bands).

    Parameters
    ----------
    k2 : (n_bands,) array
        [1/Å²].
    voltage : float
        [kV].
    path : float
        Of the beam in the specimen [Å]: rings of all heights in it overlap.
    """
    overlap = np.sinc(wavelength(voltage) * path * k2)
    return np.asarray(np.exp(-FADING[:, None] * k2) * overlap)
