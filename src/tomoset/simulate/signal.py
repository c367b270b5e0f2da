"""What there is to be seen in a series: signal and noise, at the pixel at which one aligns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tomoset.align.images.bound import BAND, SlabViews, Spectra, shift_bound
from tomoset.simulate.acquisition import Acquisition, Views
from tomoset.simulate.projection import matrices
from tomoset.simulate.specimen import Specimen

Array = npt.NDArray[np.float64]
Image = npt.NDArray[np.float32]

#: The working pixel, about [Å], and the width of rings of frequencies [cycles/working px].
_WORKING, _RING = 10.0, 0.01


@dataclass(frozen=True, kw_only=True)
class Seen:
    """How much of a series can be seen.

    Parameters
    ----------
    pixel_size : float
        The working pixel [Å].
    snr : float, optional
        Variance of the images over that of their noise, once both are Fourier-binned to the working
        pixel and waves of more than 50 of these are taken away; None without noise.
    shift_bound : (float, float), optional
        Cramér-Rao bound of the shifts, across the tilt axis and along it: the median over images
        [working px]; None if the images do not tell.
    """

    pixel_size: float
    snr: float | None
    shift_bound: tuple[float, float] | None


def working_binning(pixel_size: float) -> int:
    """By how much one bins images to align them."""
    return max(round(_WORKING / pixel_size), 1)


class RingPower:
    """Power of images and of their noise, gathered one image after the other.

    Frequencies are those of the working pixel. Power is per pixel: where it is the same at all
    frequencies it is the variance.
    """

    def __init__(self, acquisition: Acquisition) -> None:
        width, height = acquisition.image_size
        binning = working_binning(acquisition.pixel_size)
        x, y = np.fft.rfftfreq(width) * binning, np.fft.fftfreq(height) * binning
        self._ring = np.minimum(np.hypot(x, y[:, None]) / _RING, 0.5 / _RING).astype(np.int64)
        self._times = np.bincount(self._ring.ravel())
        # The edges of an image are no structure of it.
        self._window = np.outer(*(np.sqrt(np.hanning(n + 2)[1:-1]) for n in (height, width)))
        self._electrons = acquisition.dose * acquisition.pixel_size**2
        self._signal: list[Array] = []
        self._noise: list[float] = []

    def add(self, image: Image) -> None:
        """Add the next image without noise: the part of the electrons that passes."""
        import scipy.fft

        mean = float(image.mean())
        power = np.abs(scipy.fft.rfft2(self._window * (image - mean))) ** 2
        sums = np.bincount(self._ring.ravel(), power.ravel())
        whole = np.square(self._window).sum()
        last = round(0.5 / _RING)
        self._signal.append((sums / np.maximum(self._times, 1) / whole)[:last])
        self._noise.append(mean / self._electrons)

    def spectra(self, noise: float) -> Spectra:
        """Power in all images, with this factor on the noise that the dose gives."""
        signal = np.stack(self._signal)
        return Spectra(
            frequencies=np.asarray((np.arange(signal.shape[1]) + 0.5) * _RING, dtype=np.float64),
            signal=signal,
            noise=np.array(self._noise) * noise**2,
        )


def signal_to_noise(spectra: Spectra, shown: npt.NDArray[np.bool_]) -> float | None:
    """Variance of the images over that of their noise, of those that are `shown`."""
    # So many frequencies are in a ring.
    number = np.where(spectra.frequencies > BAND[0], spectra.frequencies, 0.0)
    signal = float((spectra.signal[shown] @ number).sum())
    noise = float(spectra.noise[shown].sum() * number.sum())
    return signal / noise if noise > 0 else None


def noise_for(clean: Sequence[Image], acquisition: Acquisition) -> float:
    """The factor on the noise that gives the signal-to-noise ratio that is wanted."""
    rings = RingPower(acquisition)
    for image in clean:
        rings.add(image)
    natural = signal_to_noise(rings.spectra(1.0), acquisition.shown)
    if acquisition.snr is None or natural is None:
        return acquisition.noise
    return float(np.sqrt(natural / acquisition.snr))


def seen(specimen: Specimen, acquisition: Acquisition, views: Views, spectra: Spectra) -> Seen:
    """What can be seen of a series."""
    binning = working_binning(acquisition.pixel_size)
    shown = acquisition.shown
    # The slab's x, y and normal, in x, y and z of the tomogram, which runs against depth.
    order = np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0]])
    frame = order @ specimen.orientation @ order.T
    projections = matrices(specimen, acquisition, views)[shown, :2, :3] @ frame
    width, height = acquisition.image_size
    known = shift_bound(
        SlabViews.seen_by(projections, specimen.slab / acquisition.pixel_size / binning),
        Spectra(
            frequencies=spectra.frequencies,
            signal=spectra.signal[shown],
            noise=spectra.noise[shown],
        ),
        width * height / binning**2,
    )
    bound = None
    if known is not None:
        across, along = np.median(known, axis=0)
        bound = float(across), float(along)
    return Seen(
        pixel_size=binning * acquisition.pixel_size,
        snr=signal_to_noise(spectra, shown),
        shift_bound=bound,
    )
