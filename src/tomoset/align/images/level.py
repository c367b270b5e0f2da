"""The motion that lays the middle plane of a specimen flat, in the middle of its tomogram."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tomoset import geometry
from tomoset.align.images.result import ImageFit
from tomoset.align.level import rotation_to_z

Array = npt.NDArray[np.float64]

#: A specimen is rotated if its inclination is so many times its standard deviation, and shifted if
#: it is further from the middle [voxels].
SURE, _NEAR = 3.0, 0.5


def inclination(fit: ImageFit) -> tuple[float, float]:
    """Angle of the specimen with the tomogram's x-y plane, and its standard deviation [deg]."""
    slope = float(np.hypot(fit.plane[1], fit.plane[2]))
    return float(np.rad2deg(np.arctan(slope))), float(np.hypot(*fit.inclination_error))


def levelled(fit: ImageFit, middle: Array) -> Array | None:
    """The motion that makes a specimen level, and brings it to the middle.

    Parameters
    ----------
    fit : ImageFit
        Its plane, and how well its inclination is known.
    middle : (3,) array
        Of the tomogram, about which it is rotated [0-based voxels].

    Returns
    -------
    (4, 4) array or None
        From voxels as they are to those after it: a shift along z alone where the inclination is
        below three standard deviations; None where the specimen lies well already.
    """
    angle, error = inclination(fit)
    along_x, along_y = fit.plane[1:]
    sure = angle > SURE * error
    normal = np.array([-along_x, -along_y, 1.0]) / np.sqrt(1 + along_x**2 + along_y**2)
    rotation = rotation_to_z(normal, middle) if sure else np.eye(4)
    above = fit.plane @ [1.0, middle[0], middle[1]] - middle[2]
    height = above * normal[2] if sure else above
    if not sure and abs(height) < _NEAR:
        return None
    return np.asarray(geometry.translation((0.0, 0.0, -height)) @ rotation)
