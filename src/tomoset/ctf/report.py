"""What an estimate of the CTF of a tilt series says of itself, as a STAR file."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from tomoset import star
from tomoset.ctf.compare import Compared
from tomoset.ctf.measure import MeasuredCtf


def ctf_to_star(
    name: str, angles: Iterable[float], measured: MeasuredCtf, compared: Compared | None
) -> star.StarFile:
    """The report of a series.

    Tables: ``ctf``, of the whole series; ``tilts``, of each image, in the order of the set.
    Lengths are in Å, angles in degrees; errors are standard deviations.

    Parameters
    ----------
    name : str
        Of the tomogram.
    angles : iterable of float
        Its tilts.
    measured : MeasuredCtf
        What was found.
    compared : Compared or None
        A table, against it.
    """
    m = measured
    whole: dict[str, object] = {
        "tomosetTomogram": name,
        "tomosetImagesTold": int(m.told.sum()),
        "tomosetInclinedAboutAxis": float(m.inclined[0]),
        "tomosetInclinedAboutAxisError": float(m.inclined_error[0]),
        "tomosetInclinedAcross": float(m.inclined[1]),
        "tomosetInclinedAcrossError": float(m.inclined_error[1]),
        "tomosetTiltAxisOff": m.axis_off,
        "tomosetTiltAxisOffError": m.axis_off_error,
        "tomosetThickness": m.thickness,
        "tomosetHandLogOdds": m.hand_log_odds,
        "tomosetDefocusCourse": float(m.course[0]),
        "tomosetDefocusScatter": float(m.course[1]),
    }
    columns: dict[str, Iterable[object]] = {
        "tomosetTiltImage": range(1, len(m.defocus) + 1),
        "tomosetTiltAngle": angles,
        "tomosetTold": m.told.astype(int),
        "tomosetDefocus": m.defocus,
        "tomosetDefocusError": m.defocus_error,
        "tomosetAstigmatism": m.astigmatism,
        "tomosetAstigmatismError": m.astigmatism_error,
        "tomosetDefocusAngle": m.angle,
        "tomosetDefocusAngleError": m.angle_error,
        "tomosetRingsLogOdds": m.rings,
        "tomosetFigureOfMerit": m.merit,
        "tomosetMaxResolution": np.where(np.isfinite(m.resolution), m.resolution, np.nan),
    }
    if m.phase_shift is not None and m.phase_shift_error is not None:
        columns["tomosetPhaseShift"] = m.phase_shift
        columns["tomosetPhaseShiftError"] = m.phase_shift_error
    if compared is not None:
        columns["tomosetTableDefocusOff"] = compared.defocus
        columns["tomosetTableDeviations"] = compared.deviations
        columns["tomosetTableAstigmatismOff"] = compared.astigmatism
        columns["tomosetTableContradicts"] = compared.contradicts.astype(int)
    table = star.report_table("tilts", columns)
    return star.StarFile((star.summary_table("ctf", whole), table))
