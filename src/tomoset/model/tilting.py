"""How a series is tilted, as its alignment says it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tomoset.model.tomogram import Tomogram

Array = npt.NDArray[np.float64]


def tilting(t: Tomogram) -> tuple[Array | None, float | None]:
    """Tilt angles, and the direction of the axis: the tomogram's y, or x if it is tilted about it.

    WarpTools turns tomograms so. Both in degrees; None where there is no alignment.
    """
    if (t.projections is None and t.alignment is None) or not t.n_tilts:
        return None, None
    axis = median_angle(t.tilt_axis_angles)
    if not tilted_about_x(t):
        return t.tilt_angles, round(axis, 3)
    return t.x_tilt_angles, round((axis + 180) % 180 - 90, 3)


def tilted_about_x(t: Tomogram) -> bool:
    """Whether the tilt axis is the tomogram's x axis rather than y."""
    if (t.projections is None and t.alignment is None) or not t.n_tilts:
        return False
    return bool(np.ptp(t.x_tilt_angles) > np.ptp(t.tilt_angles) + 10)


def median_angle(degrees: Array) -> float:
    """Median of directions, from the first one, so that ±180° is no edge."""
    away = (degrees - degrees[0] + 180) % 360 - 180
    return float((degrees[0] + np.median(away) + 180) % 360 - 180)
