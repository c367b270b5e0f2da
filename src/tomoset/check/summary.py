"""A tomogram in a few numbers, for people and programs that look at many."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from tomoset.model import Tomogram

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
        ``tilt_angles`` and ``tilt_axis`` (median) [deg], ``doses`` [e/Å²], ``defocus`` (mean
        of U and V) [Å], ``size`` and ``image_size`` [px], ``pixel_size`` [Å], ``volume`` (path)
        and its ``binning``, ``missing``, and a ``note`` where the alignment cannot say all.
    """
    t = tomogram
    aligned = (t.projections is not None or t.alignment is not None) and t.n_tilts > 0
    defocus = None
    if t.defocus_u is not None and t.defocus_v is not None:
        defocus = (t.defocus_u + t.defocus_v) / 2
    return {
        "name": t.name,
        "stack": t.stack,
        "tilt_images": t.n_tilts,
        "tilt_angles": _range(t.tilt_angles) if aligned else None,
        "tilt_axis": round(_median_angle(t.tilt_axis_angles), 3) if aligned else None,
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


def _note(t: Tomogram) -> str | None:
    """What a reader has to know of an alignment that waits."""
    if t.projections is not None or t.alignment is None:
        return None
    if t.alignment.directions_only:
        return (
            "its matrices have no translations, as Warp exports them beside cut-out particles: "
            "directions only, no shifts"
        )
    return "aligned in angles and shifts; matrices need the sizes of pixel, tomogram and images"


def _range(values: Array | None) -> list[float] | None:
    if values is None or not len(values):
        return None
    return [round(float(np.min(values)), 6), round(float(np.max(values)), 6)]


def _median_angle(degrees: Array) -> float:
    """Median of directions, from the first one, so that ±180° is no edge."""
    away = (degrees - degrees[0] + 180) % 360 - 180
    return float((degrees[0] + np.median(away) + 180) % 360 - 180)


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
