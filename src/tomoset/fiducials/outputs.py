"""What is written of the beads of a tilt series: RELION's table, a picture, an IMOD model."""

from __future__ import annotations

import os

import numpy as np
import numpy.typing as npt

from tomoset import geometry
from tomoset.formats import beads_format, format_named
from tomoset.images.marks import BeadPanel, write_beads_png
from tomoset.model import Fiducials, Observations, Tomogram
from tomoset.tilt_series import TiltSeries

Array = npt.NDArray[np.float64]

#: Radius of a circle around beads of which nobody has said how large they are [Å].
_SHOWN_RADIUS = 50.0
#: Images of a picture, by their place among the tilts in order.
_SHOWN = (0.15, 0.5, 0.85)


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


def write_picture(
    fiducials: Fiducials,
    path: str,
    tomogram: Tomogram,
    images: TiltSeries,
    radius: float | None,
    accepted: npt.NDArray[np.bool_] | None = None,
) -> None:
    """Write a picture: the beads on three tilts, how far off they are, and that of every tilt.

    Parameters
    ----------
    fiducials : Fiducials
        With observations.
    path : str
        PNG.
    tomogram : Tomogram
        Whose alignment residuals are of.
    images : TiltSeries
        Its images.
    radius : float, optional
        Of a bead [Å]; circles are drawn as if it were 50 if nobody has said it.
    accepted : (n_tilts, n_beads) bool array, optional
        Others are drawn as outliers; all if not given.
    """
    tomogram = tomogram.placed(None, images.size)
    assert tomogram.projections is not None
    assert tomogram.optics.pixel_size is not None
    off = residuals(tomogram, fiducials)
    seen = off + tomogram.project(fiducials.points)
    good = np.isfinite(off[..., 0]) if accepted is None else accepted
    angles = geometry.tilt_angles(tomogram.projections)
    order = np.argsort(angles, kind="stable")
    shown = order[(np.array(_SHOWN) * (len(order) - 1)).round().astype(int)]
    write_beads_png(
        path,
        [
            BeadPanel(
                image=images.read(int(i)),
                angle=float(angles[i]),
                centres=seen[i],
                residuals=off[i],
                accepted=good[i],
            )
            for i in dict.fromkeys(shown.tolist())
        ],
        (radius or _SHOWN_RADIUS) / tomogram.optics.pixel_size,
        angles,
        rms(np.where(good[..., None], off, np.nan), axis=1),
        tomogram.name,
    )
