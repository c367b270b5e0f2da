"""What is written of the beads of a tilt series: RELION's table, an IMOD model."""

from __future__ import annotations

import os

import numpy as np
import numpy.typing as npt

from tomoset.formats import beads_format, format_named
from tomoset.images.tilt_series import TiltSeries
from tomoset.model import Fiducials, Observations, Tomogram

Array = npt.NDArray[np.float64]


def residuals(tomogram: Tomogram, fiducials: Fiducials) -> Array:
    """Where beads were seen less where they should be: (n_tilts, n_beads, 2) [px], else NaN."""
    if fiducials.observations is None:
        return np.full((tomogram.n_tilts, len(fiducials), 2), np.nan)
    seen = fiducials.observations.grid(tomogram.n_tilts, len(fiducials))
    return np.asarray(seen - tomogram.project(fiducials.points))


def rms(off: Array, axis: int) -> Array:
    """Root mean square of distances over an axis of (n_tilts, n_beads, 2); NaN where nothing is."""
    square = (off**2).sum(axis=-1)
    number = np.isfinite(square).sum(axis=axis)
    mean = np.nansum(square, axis=axis) / np.maximum(number, 1)
    return np.where(number > 0, np.sqrt(mean), np.nan)


def write_beads(fiducials: Fiducials, path: str, tomogram: Tomogram, format: str) -> None:
    """Write ``fiducials_NAME.star`` as a set of this format names it."""
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    format_named(format).write_fiducials(fiducials, path, tomogram)


def write_imod_model(seen: Observations, path: str, images: TiltSeries, tomogram: Tomogram) -> None:
    """Write where beads were seen, as a model that 3dmod opens on the stack."""
    kept = None if tomogram.image_index is None else tomogram.image_index.tolist()
    number = len(images) if kept is None else max(kept) + 1
    raw_size = (*images.size, number)
    beads_format(path).write_observations(seen, path, tomogram, raw_size)
