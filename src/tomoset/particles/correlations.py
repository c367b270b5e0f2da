"""Cross-correlations of tilt images with what they should show of particles.

Images are white, so values are log-likelihoods of where a particle is. The correlation is circular
within the box, as RELION's is: what is displaced by d px leaves the box by that much.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tomoset.align.cross_correlations import CrossCorrelations, zeros
from tomoset.errors import ModelError
from tomoset.images.boxes import TiltImages, shifted
from tomoset.model import ParticleSet, Tomogram
from tomoset.particles.extract import Extraction, ExtractionOptions, TiltParticles
from tomoset.particles.reference import Reference
from tomoset.particles.slices import Slices

Array = npt.NDArray[np.float64]

#: Entries beyond the range, which splines through them need.
_BORDER = 2
#: Entries to each side that a fit needs at least, besides.
_LEAST_RANGE = 2.0


@dataclass(frozen=True, kw_only=True)
class CorrelationOptions(ExtractionOptions):
    """How correlations are made.

    Parameters
    ----------
    range : float
        How far a particle may be from where it is expected, along x and y [px].
    padding : int
        Entries for each pixel.
    memory : int
        Correlations of more bytes than this are kept in a temporary file.

    Raises
    ------
    ModelError
        If the range does not fit in the box, or a value is impossible.
    """

    range: float = 20.0
    padding: int = 1
    memory: int = 2 << 30

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.padding < 1:
            raise ModelError(f"the padding must be 1 or more, not {self.padding}")
        if not _LEAST_RANGE <= self.range * self.padding < math.inf:
            raise ModelError(
                f"the range must be {_LEAST_RANGE / self.padding:g} px or more, not {self.range:g}"
            )
        if self.entries > self.box * self.padding:
            raise ModelError(
                f"a range of {self.range:g} px needs a box of more than "
                f"{2 * (self.range + _BORDER):g} px, not {self.box}; take a larger box (--b) or a "
                "smaller range (--r)"
            )

    @property
    def entries(self) -> int:
        """Along each side of a cross-correlation: odd."""
        return 2 * (math.ceil(self.range * self.padding) + _BORDER) + 1


def correlate(
    tomogram: Tomogram,
    images: TiltImages,
    particles: ParticleSet,
    reference: Reference,
    options: CorrelationOptions,
    trajectories: npt.ArrayLike | None = None,
) -> CrossCorrelations:
    """Correlate all tilt images with what they should show of every particle.

    Parameters
    ----------
    tomogram, images, particles, reference, options, trajectories
        As of `tomoset.particles.extract.Extraction`.

    Returns
    -------
    CrossCorrelations
        About where particles are projected.

    Raises
    ------
    TomosetError
        As `tomoset.particles.extract.Extraction` does; also if nothing is left to compare.
    """
    of = Extraction(tomogram, images, particles, reference, options, trajectories)
    there, fft, box = of.device, of.device.device.fft, options.box
    both, n, fine = of.visible.shape, options.entries, box * options.padding
    values = zeros((*both, n, n), options.memory)
    energy, information = np.zeros(both), np.zeros((*both, 3))

    def add(tilt: TiltParticles) -> None:
        image, t = there.upload(tilt.image), tilt.tilt
        for rows in of.batches(tilt.rows, fine):
            seen, offsets = of.transforms(t, rows, image)
            predicted = of.predictor.images(t, rows, tilt.weight)
            # The first entry, from the first pixel of the box.
            first = offsets - (n // 2) / options.padding
            product, energy[rows, t], information[rows, t] = there.match(
                seen, predicted, first, fine
            )
            columns = fft.ifft(product, axis=1, overwrite_x=True)[:, :n]
            part = there.device.to_host(fft.irfft(columns, n=fine, axis=2)[:, :, :n])
            values[rows, t] = part * np.float32(options.padding**2)

    of.run(add)
    visible = of.visible & (energy > 0)
    if not visible.any():
        raise ModelError(
            f"tomogram {tomogram.name!r}: nothing is left to compare: images are blank, or of the "
            "waves from the box to two pixels none counts (--hp, --cutoff_fract, --fsc, the dose)"
        )
    return CrossCorrelations(
        values=values,
        step=1 / options.padding,
        at=of.at,
        energy=energy,
        information=information,
        visible=visible,
    )


def matched(seen: Slices, predicted: Slices, offsets: Array) -> Slices:
    """The transforms of correlations: the slow form of the kernel ``match``.

    Parameters
    ----------
    seen, predicted : (n, box, box // 2 + 1) arrays
        Transforms of boxes and of predicted images.
    offsets : (n, 2) array
        x, y of the box [px] that come to the first entry.
    """
    return np.asarray(shifted(seen * predicted.conj(), -offsets), np.complex64)
