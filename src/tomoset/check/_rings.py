"""Whether the Thon rings of a tilt series agree with the defocus that its table has."""

from __future__ import annotations

import numpy as np

from tomoset.ctf.compare import compare
from tomoset.ctf.cropped import SomeImages
from tomoset.ctf.measure import measure
from tomoset.ctf.options import CtfOptions
from tomoset.errors import ModelError
from tomoset.images.tilt_series import TiltSeries
from tomoset.model import Tomogram

#: So many images are looked at, at most, of those that are tilted by no more [deg].
_IMAGES, _STEEPEST = 9, 45.0
#: The table is wrong where so many of them, and so large a part of those that tell, contradict it.
_LEAST, _PART = 3, 0.5


def contradicted_defocus(t: Tomogram, series: TiltSeries) -> str | None:
    """What the images say of their defocus, if that is clearly another one than the table has.

    Parameters
    ----------
    t : Tomogram
        Aligned or not; where no defocus or no microscope is known, nothing is said.
    series : TiltSeries
        Its images.
    """
    if t.defocus_u is None or t.defocus_v is None or t.projections is None:
        return None
    tilts = t.tilt_angles
    flat = np.flatnonzero(np.abs(tilts) <= _STEEPEST)
    flat = flat[np.argsort(tilts[flat], kind="stable")]
    if len(flat) < _LEAST or not np.isfinite([t.defocus_u, t.defocus_v]).all():
        return None
    rows = np.sort(flat[np.unique(np.linspace(0, len(flat) - 1, _IMAGES).round().astype(int))])
    some = t.select(rows)
    plate = t.phase_shift is not None and bool(np.any(t.phase_shift))
    try:
        found = measure(some, SomeImages(series, rows), CtfOptions(phase_plate=plate))
    except ModelError:
        return None  # without a microscope, or rings, they say nothing
    angle = np.zeros(len(rows)) if some.defocus_angle is None else some.defocus_angle
    assert some.defocus_u is not None
    assert some.defocus_v is not None
    said = compare(found, some.defocus_u, some.defocus_v, angle)
    wrong = said.contradicts
    if wrong.sum() < max(_LEAST, _PART * found.told.sum()):
        return None
    table = np.median((some.defocus_u + some.defocus_v)[wrong]) / 2e4
    shown, error = np.median(found.defocus[wrong]), np.median(found.defocus_error[wrong])
    return (
        f"the table has a defocus of {table:.2f} µm (median), but the Thon rings of {wrong.sum()} "
        f"of {found.told.sum()} images that were looked at show {shown / 1e4:.2f} +- "
        f"{error / 1e4:.2f} µm"
    )
