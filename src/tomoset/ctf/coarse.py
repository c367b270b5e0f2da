"""The defocus that the images of a series have in common, in the whole range that is possible.

Power spectra of tiles, each with its Thon rings expected at its own height, which the geometry of
the series tells. The evidence of all images adds up, so a ring that is taken for its neighbour in
one image does not fit the others, nor other heights.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from tomoset.ctf.cropped import CroppedImages
from tomoset.ctf.options import CtfOptions
from tomoset.hand.field import Slab
from tomoset.hand.rings import Bands, Tiles, TileSpectra
from tomoset.hand.tables import AMPLITUDES, FADING, Table
from tomoset.images.ctf import Ctf, wavelength
from tomoset.model import Tomogram

Array = npt.NDArray[np.float64]

#: Edge of tiles [Å], and how many there are at least along the shorter edge of an image.
_EDGE, _ALONG = 1200.0, 2.0
#: Phases may change by so much from one defocus that is tried to the next [rad].
_STEP = 0.6
#: Independent values of a power spectrum under the window, of all of its values.
_INDEPENDENT = 0.265
#: Order of the polynomial in k that the background of a tile may be.
_ORDER = 5
#: How defocus scatters about what images have in common [Å], one way or another; some are stray.
_SCATTER, _STRAY = (300.0, 1500.0, 5000.0), 0.05
#: Phase shifts that are tried [deg].
_PHASES = np.arange(0.0, 180.0, 15.0)
#: Both signs of defocus against depth are tried.
_HANDS = (1.0, -1.0)


@dataclass(frozen=True, eq=False)
class Common:
    """What the images have in common.

    Parameters
    ----------
    defoci : (n,) array
        That were tried [Å].
    evidence : (n,) array
        Logarithm of how much likelier each is than no rings.
    phase_shift : float
        The likeliest [deg].
    """

    defoci: Array
    evidence: Array
    phase_shift: float

    @property
    def best(self) -> float:
        """The likeliest [Å]."""
        return float(self.defoci[np.argmax(self.evidence)])

    @property
    def odds(self) -> float:
        """Natural logarithm of how much likelier rings of any defocus are than none."""
        return float(np.logaddexp.reduce(self.evidence) - math.log(len(self.evidence)))

    def others(self, apart: float, within: float) -> list[float]:
        """Defoci of other peaks that are nearly as likely.

        Parameters
        ----------
        apart : float
            From any better one [Å].
        within : float
            Of the logarithm.
        """
        found = [self.best]
        for i in np.argsort(self.evidence)[::-1]:
            if self.evidence[i] < self.evidence.max() - within or len(found) > 3:
                break
            if min(abs(self.defoci[i] - f) for f in found) > apart:
                found.append(float(self.defoci[i]))
        return found[1:]


class CoarseSearch:
    """Takes up the images of a series one by one.

    Parameters
    ----------
    tomogram : Tomogram
        With projections.
    images : CroppedImages
        That come.
    ctf : Ctf
        What the microscope has; its defocus and phase shift do not matter.
    options : CtfOptions
        What is searched.
    """

    def __init__(
        self, tomogram: Tomogram, images: CroppedImages, ctf: Ctf, options: CtfOptions
    ) -> None:
        self._options = options
        size, pixel_size = images.size, images.pixel_size
        self._tiles = Tiles.of_edge(size, int(min(_EDGE / pixel_size, min(size) / _ALONG)))
        slab, middles = Slab.of(tomogram), images.before(self._tiles.middles)
        scale = tomogram.need_pixel_size() * tomogram.defocus_slope
        self._depths = scale * slab.depths(tomogram, middles, np.zeros((1, 2)))[:, 0]
        margin = float(np.abs(self._depths).max(initial=0.0))
        self._bands = Bands.of(pixel_size, ctf.voltage, options.high)
        step = _STEP / (2 * math.pi * wavelength(ctf.voltage) * self._bands.high)
        self._step, self._margin = step, math.ceil(margin / step) + 1
        self._n = max(2, math.ceil((options.high - options.low) / step) + 1)
        self._spectra = TileSpectra(size, pixel_size, self._bands, self._tiles)
        self._zero = replace(ctf, defocus_u=0.0, defocus_v=0.0, phase_shift=0.0)
        self._phases = _PHASES if options.phase_plate else np.zeros(1)
        self._profiles = _Profiles(self._bands, self._spectra)
        self._rings = self._templates(pixel_size)
        self._scores: list[Array] = []

    @property
    def defoci(self) -> Array:
        """That are tried [Å]: (n,)."""
        return np.asarray(self._options.low + np.arange(self._n) * self._step, np.float64)

    def _templates(self, pixel_size: float) -> list[npt.NDArray[np.float32]]:
        """Rings of all defoci with the margins, for each phase shift: (n_envelopes, n, n_bands)."""
        m = np.arange(-self._margin, self._n + self._margin)
        defoci = self._options.low + m * self._step
        k2 = self._bands.middles
        length = wavelength(self._zero.voltage)
        phase = self._zero.phase(np.sqrt(k2), 0.0) - np.pi * length * defoci[:, None] * k2
        # Waves that interfere are this far from each other; a tile must hold both of them.
        apart = 2 * length * np.abs(defoci[:, None]) * np.sqrt(k2)
        held = _overlap(apart / (self._tiles.edge * pixel_size))
        fading = np.exp(-np.outer(FADING, k2 / self._bands.high))
        return [
            self._profiles.rings(
                fading[:, None, :] * (-np.cos(2 * (phase - np.deg2rad(shift))) * held)
            ).astype(np.float32)
            for shift in self._phases
        ]

    def add(self, image: npt.NDArray[np.floating]) -> None:
        """Look at the next image."""
        i = len(self._scores)
        profiles = self._profiles.of(self._spectra.power(image))
        tables = [_table(profiles, rings) for rings in self._rings]
        shifts = np.outer(_HANDS, self._depths[i]) / self._step + self._margin
        # (hands, phases, n): averaged over amplitudes, which differ from image to image
        scores = [t.sums(shifts.astype(np.float32), self._n) for t in tables]
        mean = np.logaddexp.reduce(np.stack(scores, axis=1), axis=2) - math.log(len(AMPLITUDES))
        self._scores.append(mean)

    def common(self) -> Common:
        """What all images that were added have in common."""
        scores, n = np.stack(self._scores), self._n
        total = np.stack([self._with_scatter(scores, width) for width in _SCATTER])
        total -= math.log(total.size / n)
        evidence = np.logaddexp.reduce(total.reshape(-1, n), axis=0)
        by_phase = np.logaddexp.reduce(np.logaddexp.reduce(total, axis=(0, 1)), axis=1)
        return Common(self.defoci, evidence, float(self._phases[np.argmax(by_phase)]))

    def _with_scatter(self, scores: Array, width: float) -> Array:
        """Evidence of each common defocus, (hands, phases, n), if single ones scatter so."""
        from scipy.ndimage import gaussian_filter1d

        top = scores.max(axis=-1, keepdims=True)
        likely = np.exp(scores - top)
        near = gaussian_filter1d(likely, max(width / self._step, 0.3), axis=-1, mode="constant")
        mean = (1 - _STRAY) * near + _STRAY * likely.mean(axis=-1, keepdims=True)
        return np.asarray((np.log(mean + 1e-300) + top).sum(axis=0))


class _Profiles:
    """Power spectra of tiles over their background, without what is smooth."""

    def __init__(self, bands: Bands, spectra: TileSpectra) -> None:
        self._count = spectra.count.sum(axis=0)
        self._root = np.sqrt(self._count * _INDEPENDENT)
        k = np.sqrt(bands.middles)
        position = 2 * (k - k.min()) / np.ptp(k) - 1
        basis = np.polynomial.legendre.legvander(position, _ORDER)
        self._smooth, _ = np.linalg.qr(basis * self._root[:, None])

    def of(self, power: Array) -> Array:
        """(n_tiles, n_bands) values of variance 1, of sums of power of that shape."""
        mean = power / np.maximum(self._count, 1)
        floor = max(float(mean.max()) * 1e-12, 1e-30)
        logarithm = np.log(np.maximum(mean, floor)) * self._root
        smooth = (logarithm @ self._smooth) @ self._smooth.T
        over = np.expm1((logarithm - smooth) / np.maximum(self._root, 1e-9))
        return self.rings(np.clip(over, -1, 1))

    def rings(self, values: Array) -> Array:
        """Values over the background, weighted, without what a smooth background explains."""
        weighted = values * self._root
        return np.asarray(weighted - (weighted @ self._smooth) @ self._smooth.T)


def _overlap(apart: Array) -> Array:
    """What a window has in common with itself, displaced by this part of its edge."""
    grid = (np.arange(256) + 0.5) / 256
    window = np.sin(np.pi * grid) ** 2
    lags = np.correlate(window, window, "full")[255:] / (window**2).sum()
    return np.asarray(np.interp(apart, np.arange(256) / 256, lags, right=0.0))


def _table(profiles: Array, rings: npt.NDArray[np.float32]) -> Table:
    """How likely each defocus is in each tile."""
    values = np.einsum("tb,edb->etd", profiles.astype(np.float32), rings, optimize=True)
    energy = (rings.astype(np.float64) ** 2).sum(axis=2).mean(axis=1)
    spread = (profiles**2).mean(axis=1)
    weight = np.minimum(np.median(spread) / np.maximum(spread, 1e-12), 1.0)
    return Table.cooled(np.ascontiguousarray(values), energy, weight.astype(np.float32))
