"""Roughly what defocus a series has, where no table says it, or one that is far off."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from tomoset.errors import ModelError
from tomoset.hand.rings import Bands
from tomoset.hand.tables import AMPLITUDES, FADING
from tomoset.images.ctf import Ctf, frequencies, wavelength
from tomoset.images.tilt_series import TiltSeries
from tomoset.model import Tomogram

Array = npt.NDArray[np.float64]

#: Defoci that are tried [Å], and how much images of a series differ from each other.
_LOWEST, _HIGHEST, _SCATTER = 4000.0, 100000.0, 1500.0
#: A table that is off by no more is as good as tables are [Å].
_NEAR = 8000.0
#: Without a table, rings must be so much likelier than none.
_SEEN = 6.0
#: Independent values of a spectrum under a Hann window, of all; the background's polynomial.
_HANN, _ORDER = 0.265, 5


@dataclass(frozen=True, eq=False)
class Spectra:
    """Rings of whole images, averaged over all directions.

    Parameters
    ----------
    defoci : (n,) array
        That are tried [Å].
    scores : (n_tilts, n_amplitudes, n) array
        Logarithm of how much likelier rings are than none.
    """

    defoci: Array
    scores: Array

    @classmethod
    def of(cls, images: TiltSeries, ctf: Ctf, pixel_size: float) -> Spectra:
        """Read all images.

        Parameters
        ----------
        images : TiltSeries
            Of the series.
        ctf : Ctf
            What the microscope has; its defocus does not matter.
        pixel_size : float
            [Å].
        """
        from tomoset.hand import _kernels

        bands = Bands.of(pixel_size, ctf.voltage, _HIGHEST)
        step = 0.6 / (2 * math.pi * wavelength(ctf.voltage) * bands.high)
        defoci = np.arange(_LOWEST, _HIGHEST, step)
        profile = _Profile(images.size, pixel_size, bands)
        rings, energy = _templates(defoci, ctf, bands, profile)
        scores = np.empty((len(images), len(AMPLITUDES), len(defoci)))
        for i, out in enumerate(scores):
            sums = (rings @ profile.of(images.read(i))).astype(np.float32)
            _kernels.marginal_over_envelopes(sums[:, None], energy, np.array(AMPLITUDES), out[None])
        return cls(defoci, scores)

    def common(self, tables: Array) -> Array:
        """How likely offsets are that all images have in common.

        Parameters
        ----------
        tables : (n_tilts, n) array
            Defocus of each image by each of n hypotheses [Å].

        Returns
        -------
        (n,) array
            Logarithms, against no rings.
        """
        total = np.zeros((self.scores.shape[1], tables.shape[1]))
        for scores, table in zip(self.scores, tables, strict=True):
            prior = np.exp(-0.5 * ((self.defoci - table[:, None]) / _SCATTER) ** 2)
            prior += 1e-300
            prior /= prior.sum(axis=1, keepdims=True)
            top = scores.max(axis=1, keepdims=True)
            total += np.log(np.exp(scores - top) @ prior.T + 1e-300) + top
        return np.asarray(np.logaddexp.reduce(total, axis=0) - math.log(len(total)))


class _Profile:
    """Averages the power spectrum of images of one size over rings."""

    def __init__(self, size: tuple[int, int], pixel_size: float, bands: Bands) -> None:
        width, height = size
        across, along = (np.hanning(n + 2)[1:-1] for n in (width, height))
        self._window = np.outer(along, across).astype(np.float32)
        x, y = frequencies(size, pixel_size)
        band = bands.of_each(x**2 + y**2)
        self._used = (band >= 0) & (band < bands.number) & (x > 0) & (y != 0)
        self._band, self._n = band[self._used], bands.number
        self.number = np.bincount(self._band, minlength=self._n) * _HANN
        position = np.linspace(-1, 1, self._n)
        basis = np.polynomial.legendre.legvander(position, _ORDER)
        self._smooth, _ = np.linalg.qr(basis * np.sqrt(self.number)[:, None])

    def of(self, image: npt.NDArray[np.floating]) -> Array:
        """The profile over its background, less 1, each value of variance 1; nothing smooth."""
        import scipy.fft

        spectrum = scipy.fft.rfft2((image - image.mean()) * self._window)
        power = np.bincount(self._band, np.abs(spectrum[self._used]) ** 2, self._n)
        mean = np.maximum(power / np.maximum(self.number / _HANN, 1), 1e-30)
        root = np.sqrt(self.number)
        smooth = self._smooth @ (self._smooth.T @ (np.log(mean) * root))
        logarithm = np.log(mean) - smooth / np.maximum(root, 1e-9)
        return self.without_smooth(np.clip(np.expm1(logarithm), -1, 1) * root)

    def without_smooth(self, values: Array) -> Array:
        """What no smooth background can explain, along the last axis."""
        return np.asarray(values - (values @ self._smooth) @ self._smooth.T)


def _templates(defoci: Array, ctf: Ctf, bands: Bands, profile: _Profile) -> tuple[Array, Array]:
    """What rings of each defocus look like: (n_envelopes, n, n_bands); and their energies."""
    k = np.sqrt(bands.middles)
    base = replace(ctf, defocus_u=0.0, defocus_v=0.0).phase(k, 0 * k)
    phase = base - np.pi * wavelength(ctf.voltage) * defoci[:, None] * k**2
    fading = np.exp(-np.outer(FADING, bands.middles / bands.high))
    waves = -np.cos(2 * phase) * np.sqrt(profile.number)
    rings = profile.without_smooth(fading[:, None, :] * waves)
    return rings, (rings**2).sum(axis=2).mean(axis=1)


def table_of(tomogram: Tomogram, off: float = 0.0) -> list[Ctf] | None:
    """The transfer function of each image by the set's table; None if it has no defocus.

    Parameters
    ----------
    tomogram : Tomogram
        With its microscope.
    off : float
        Added to every defocus [Å].
    """
    ctf = microscope(tomogram)
    if tomogram.defocus_u is None or tomogram.defocus_v is None:
        return None
    zero = np.zeros(tomogram.n_tilts)
    angle = zero if tomogram.defocus_angle is None else tomogram.defocus_angle
    shift = zero if tomogram.phase_shift is None else tomogram.phase_shift
    return [
        replace(ctf, defocus_u=u, defocus_v=v, defocus_angle=a, phase_shift=s)
        for u, v, a, s in np.column_stack(
            [tomogram.defocus_u + off, tomogram.defocus_v + off, angle, shift]
        ).tolist()
    ]


def one_for_all(tomogram: Tomogram, images: TiltSeries, given: float | None) -> list[Ctf]:
    """One transfer function for all images: of a given defocus [Å], or of a measured one.

    Raises
    ------
    ModelError
        If nothing is given and no ring is seen.
    """
    ctf = microscope(tomogram)
    n = tomogram.n_tilts
    if given is None:
        spectra = Spectra.of(images, ctf, tomogram.need_pixel_size())
        likely = spectra.common(np.broadcast_to(spectra.defoci, (n, len(spectra.defoci))))
        if likely.max() < _SEEN + math.log(len(likely)):
            raise ModelError(
                f"tomogram {tomogram.name!r} has no defocus, and its images show no Thon rings by "
                "which to measure it; give the defocus that was aimed at, --defocus 3 (µm), or "
                "import with a table of defocus"
            )
        given = float(spectra.defoci[np.argmax(likely)])
    return [replace(ctf, defocus_u=given, defocus_v=given)] * n


def off_table(tomogram: Tomogram, images: TiltSeries) -> float:
    """By how much all of a table may be off, beyond what is usual [Å]; 0: nothing better is seen.

    Whole images are used: beads and the like have rings of their own there, so this is a
    guess, to be tried.
    """
    spectra = Spectra.of(images, microscope(tomogram), tomogram.need_pixel_size())
    table = np.mean(tomogram.need_defocus(), axis=0)
    offsets = np.arange(-40000.0, 40001.0, 500.0)
    offsets = offsets[(table.min() + offsets > _LOWEST) & (np.abs(offsets) > _NEAR)]
    if not len(offsets):
        return 0.0
    likely = spectra.common(table[:, None] + offsets)
    best = int(np.argmax(likely))
    return float(offsets[best]) if likely[best] > _SEEN else 0.0


def microscope(tomogram: Tomogram) -> Ctf:
    """What the microscope has, of no defocus."""
    optics = tomogram.optics
    return Ctf(
        defocus_u=0.0,
        defocus_v=0.0,
        defocus_angle=0.0,
        voltage=optics.need("voltage"),
        spherical_aberration=optics.need("spherical_aberration"),
        amplitude_contrast=optics.need("amplitude_contrast"),
    )
