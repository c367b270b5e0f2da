"""A tomogram in a few numbers, for people and programs that look at many."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from tomoset.model import Tomogram
from tomoset.model.tilting import median_angle, tilted_about_x, tilting

Array = npt.NDArray[np.float64]


def summarise(tomogram: Tomogram) -> dict[str, Any]:
    """The main figures of a tomogram, ready for JSON; ranges are [lowest, highest].

    Parameters
    ----------
    tomogram : Tomogram
        Aligned or not.

    Returns
    -------
    dict
        ``tilt_angles`` and ``tilt_axis`` (median) [deg], ``nominal_tilts`` and ``nominal_axis`` as
        the microscope has them, ``doses`` [e/Å²], ``defocus`` (mean
        of U and V) [Å], ``size`` and ``image_size`` [px], ``pixel_size`` [Å], ``volume`` (path)
        and its ``binning``, ``missing``, and a ``note`` where the alignment cannot say all.
    """
    t = tomogram
    tilts, axis = tilting(t)
    defocus = None
    if t.defocus_u is not None and t.defocus_v is not None:
        defocus = (t.defocus_u + t.defocus_v) / 2
    return {
        "name": t.name,
        "stack": t.stack,
        "tilt_images": t.n_tilts,
        "tilt_angles": _range(tilts),
        "tilt_axis": axis,
        "nominal_tilts": _range(t.nominal_tilts),
        "nominal_axis": _nominal_axis(t),
        "doses": _range(t.pre_exposure),
        "defocus": _range(defocus),
        "size": None if t.size is None else list(t.size),
        "image_size": None if t.image_size is None else list(t.image_size),
        "pixel_size": t.optics.pixel_size,
        "voltage": t.optics.voltage,
        "spherical_aberration": t.optics.spherical_aberration,
        "amplitude_contrast": t.optics.amplitude_contrast,
        "optics_group": t.optics.group,
        "hand": t.hand,
        "deformation": None if t.deformation is None else t.deformation.kind,
        "fiducials": t.fiducials,
        "volume": None if t.reconstruction is None else t.reconstruction.path,
        "binning": None if t.reconstruction is None else t.reconstruction.binning,
        "missing": _missing(t),
        "note": _note(t),
    }


def _nominal_axis(t: Tomogram) -> float | None:
    if t.nominal_axis is None or np.isnan(t.nominal_axis).any() or not t.n_tilts:
        return None
    return round(median_angle(t.nominal_axis), 3)


def _note(t: Tomogram) -> str | None:
    """What a reader has to know of an alignment that waits, or is another than usual."""
    notes = []
    if tilted_about_x(t):
        notes.append("tilted about the tomogram's x axis, not y")
    if t.projections is None and t.alignment is not None:
        notes.append(
            "its alignment has directions only, no shifts, as Warp exports it beside cut-out "
            "particles"
            if t.alignment.directions_only
            else "aligned in angles and shifts; matrices need the sizes of pixel, tomogram and "
            "images"
        )
    return "; ".join(notes) or None


def _range(values: Array | None) -> list[float] | None:
    known = np.empty(0) if values is None else values[~np.isnan(values)]
    if not len(known):
        return None
    return [round(float(np.min(known)), 6), round(float(np.max(known)), 6)]


def _missing(t: Tomogram) -> list[str]:
    facts = {
        "tilt images (not found)": t.image_size,
        "pixel size": t.optics.pixel_size,
        "alignment": t.alignment if t.projections is None else t.projections,
        "size of the tomogram": t.size,
        "defocus": t.defocus_u,
        "doses": t.pre_exposure,
    }
    missing = [what for what, value in facts.items() if value is None]
    return missing + [f"{program} (failed, or stopped)" for program in t.unfinished]
