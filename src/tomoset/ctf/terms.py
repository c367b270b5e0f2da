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
#: deviation.
_STEEP, _STEEP_OFF = 3, 0.02
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
        number = sectors.number * sectors.weight[:, None, None]
        self._weight = (2 * number).astype(np.float32)
        terms = polynomials(sectors.k2, ORDER)
        self._terms, self._steep = terms, terms[:, :_STEEP]
        power = self._added(_inner(self._weight * sectors.noise, sectors.noise))
        square = np.zeros((ORDER + 1 + _STEEP,) * 2)
        square[: ORDER + 1, : ORDER + 1] = terms.T @ (power[:, None] * terms)
        square[ORDER + 1 :, ORDER + 1 :] = self._steep.T @ (power[:, None] * self._steep)
        before = np.r_[np.full(ORDER + 1, _OFF), np.full(_STEEP, _STEEP_OFF)]
        self._inverse = np.linalg.inv(square + np.diag(before**-2.0))
        self._seen = self._with_noise(self._weight * sectors.values).sum(axis=0)

    @staticmethod
    def _added(values: npt.NDArray[np.floating]) -> Array:
        """Over tiles and sectors: (n_bands,)."""
        return np.asarray(values.sum(axis=(0, 1), dtype=np.float64))

    def _with_noise(self, weighted: Complex) -> Array:
        """What values of each band have in common with errors of the background: (n_bands, q)."""
        common = self.sectors.noise.conj() * weighted
        real, imaginary = self._added(common.real), self._added(common.imag)
        return np.concatenate(
            [real[:, None] * self._terms, imaginary[:, None] * self._steep], axis=1
        )

    def _errors(self, size: Array) -> Complex:
        """Errors of the background, of so much of each term."""
        of = self._terms @ size[: ORDER + 1] + 1j * (self._steep @ size[ORDER + 1 :])
        return self.sectors.noise * of.astype(np.complex64)

    def _waves(self, own: Array, heights: Array) -> tuple[Complex, Complex]:
        """Both waves of the rings: (n_tiles, n_sectors, n_bands)."""
        s = self.sectors
        psi = (expected(own, heights) - s.defocus)[..., None] * s.rate
        psi += 2 * (own[3] - s.phase_shift)
        wave = np.exp(1j * psi.astype(np.float32))
        return wave, s.mirrored * wave.conj()

    def bands(self, own: Array, heights: Array) -> tuple[Array, Array]:
        """What each band says of the height of rings, E: the log-likelihood is y E - E A E / 2.

        Returns
        -------
        (n_bands,) array, (n_bands, n_bands) array
            y and A.
        """
        y, square, _ = self._bands(*self._waves(own, heights))
        return y, square

    def _bands(self, one: Complex, other: Complex) -> tuple[Array, Array, Array]:
        """The same of both waves; and what bands have in common with errors of the background."""
        rings = -0.5 * (one + other)
        weighted, values = self._weight * rings, self.sectors.values
        along, square = self._added(_inner(weighted, values)), self._added(_inner(weighted, rings))
        mixed = self._with_noise(weighted)
        y = along - mixed @ (self._inverse @ self._seen)
        return y, np.diag(square) - mixed @ self._inverse @ mixed.T, mixed

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
        one, other = self._waves(own, heights)
        half = (-0.5 * envelope.height).astype(np.complex64)
        rings, moved = half * (one + other), 1j * half * (one - other)
        values, weight = self.sectors.values, self._weight
        projected = self._seen - self._with_noise(weight * rings).sum(axis=0)
        left = values - rings - self._errors(self._inverse @ projected)
        value = self._value(rings, projected)
        steered = weight * moved
        pull, stiff = _inner(steered, left), _inner(steered, moved)
        rate = self.sectors.rate
        by_defocus, by_phase = pull @ rate, pull.sum(axis=2) * 2
        info = stiff @ rate**2, stiff @ (2 * rate), stiff.sum(axis=2) * 4
        design = _design(slopes)
        gradient = np.einsum("ts,tsp->p", by_defocus, design)
        gradient[3] = by_phase.sum()
        information = np.einsum("tsp,ts,tsq->pq", design, info[0], design, optimize=True)
        shared = np.einsum("tsp,ts->p", design, info[1])
        information[3], information[:, 3] = shared, shared
        information[3, 3] = info[2].sum()
        lost = self._lost(steered, design)
        information -= lost @ self._inverse @ lost.T
        # Envelopes are not known either.
        _, square, mixed = self._bands(one, other)
        shared = self._shared(_inner(steered, -0.5 * (one + other)), design)
        shared -= lost @ self._inverse @ mixed.T
        information -= shared @ np.linalg.solve(square + envelope.precision, shared.T)
        each, least = by_defocus.sum(axis=1), float((info[0].sum(axis=1)).sum())
        hotter = float((each**2).sum() / least) if least > 0 else 1.0
        return Terms(value, gradient, information, hotter)

    def _value(self, rings: Complex, projected: Array) -> float:
        """Log-likelihood of rings, against none."""
        values, weight = self.sectors.values, self._weight
        along = (weight * (rings.conj() * (values - rings / 2)).real).sum(dtype=np.float64)
        before = self._seen @ self._inverse @ self._seen
        return float(along + (projected @ self._inverse @ projected - before) / 2)

    def _lost(self, steered: Complex, design: Array) -> Array:
        """What changes of parameters have in common with errors of the background: (7, q)."""
        common = self.sectors.noise.conj() * steered
        parts = (common.real, self._terms), (common.imag, self._steep)
        return np.concatenate([self._shared(c, design) @ t for c, t in parts], axis=1)

    def _shared(self, common: npt.NDArray[np.floating], design: Array) -> Array:
        """What they have in common with the height of rings in each band: (7, n_bands)."""
        shared = np.einsum("tsp,tsb->pb", design, common, optimize=True) * self.sectors.rate
        shared[3] = 2 * common.sum(axis=(0, 1))
        return np.asarray(shared, np.float64)


def _inner(one: Complex, other: Complex) -> Floats:
    """Product of two complex numbers as of vectors."""
    return np.asarray(one.real * other.real + one.imag * other.imag, np.float32)


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
