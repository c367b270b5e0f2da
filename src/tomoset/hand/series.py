"""From the tilt images of a series to the log-likelihoods of defocus in their tiles."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from tomoset.errors import ModelError
from tomoset.hand.field import Slab
from tomoset.hand.likelihood import Series
from tomoset.hand.rings import EDGE, Bands, CorrectedSpectra, Tiles, TileSpectra
from tomoset.hand.tables import Frame, Offsets, Table, noise_near
from tomoset.images.ctf import Ctf, wavelength
from tomoset.images.tilt_series import TiltSeries
from tomoset.model import Tomogram

Array = npt.NDArray[np.float64]

#: How far the defocus of an image may be from that of its correction [Å].
REACH = 12000.0
#: For specimens that are more inclined than the tomogram says.
_MORE = 1.35
#: Images of noise that are used.
_NOISE = 4
#: From the coarsest to the finest there must be so many rings.
_RINGS = 0.75


def read_series(tomogram: Tomogram, images: TiltSeries, focus: list[Ctf]) -> Series:
    """Read all images of a series.

    Parameters
    ----------
    tomogram : Tomogram
        Aligned.
    images : TiltSeries
        Its images.
    focus : list of Ctf
        Of each, roughly, at the voxel where the table holds.

    Raises
    ------
    ModelError
        If pixels are too coarse for any ring, or the images cannot tell the hands apart.
    FileFormatError
        If an image is damaged.
    """
    pixel_size, voltage = tomogram.need_pixel_size(), tomogram.optics.need("voltage")
    refuse_coarse(tomogram.name, pixel_size, focus)
    slab, tiles = Slab.of(tomogram), Tiles.of(images.size, pixel_size)
    flat = slab.depths(tomogram, tiles.middles, np.zeros((1, 2)))
    margin = _MORE * pixel_size * float(np.abs(flat).max()) + 1000.0
    bands = Bands.of(pixel_size, voltage, REACH + margin)
    offsets = Offsets.of(bands, voltage, REACH, margin)
    spectra = TileSpectra(images.size, pixel_size, bands, tiles)
    frame = Frame(bands, offsets, voltage)
    near = noise_near(_noise(spectra, focus), frame)
    tables = tuple(
        Table.of(spectra.corrected(images.read(i), ctf), frame, near) for i, ctf in enumerate(focus)
    )
    return Series(tomogram, slab, tiles.middles, offsets, tables)


def _noise(spectra: TileSpectra, focus: list[Ctf]) -> Iterator[CorrectedSpectra]:
    """Of images of white noise, corrected as some of the series are."""
    rng = np.random.default_rng(0)
    for ctf in focus[:: max(1, len(focus) // _NOISE)][:_NOISE]:
        yield spectra.corrected(rng.standard_normal(spectra.size[::-1], np.float32), ctf)


def refuse_coarse(name: str, pixel_size: float, focus: list[Ctf]) -> None:
    """Refuse pixels between which there is no ring.

    Raises
    ------
    ModelError
        With the defocus and the pixel size that would do.
    """
    middle = focus[len(focus) // 2]
    defocus = abs(middle.defocus_u + middle.defocus_v) / 2
    if defocus < least_defocus(pixel_size, middle.voltage):
        raise ModelError(
            f"tomogram {name!r}: pixels of {pixel_size:g} Å are too coarse to show a Thon ring of "
            f"a defocus of {defocus / 1e4:.2g} µm; take images of pixels of "
            f"{coarsest_pixel(defocus, middle.voltage):.2g} Å or less (less binning)"
        )


def least_defocus(pixel_size: float, voltage: float) -> float:
    """The smallest defocus of which pixels show a ring [Å].

    Examples
    --------
    >>> round(least_defocus(5.0, 300.0), -2)
    4500.0
    """
    return _RINGS / (wavelength(voltage) * (EDGE / pixel_size) ** 2)


def coarsest_pixel(defocus: float, voltage: float) -> float:
    """The coarsest pixels that show a ring of this defocus [Å]."""
    return float(EDGE * np.sqrt(wavelength(voltage) * defocus / _RINGS))
