"""A rigid alignment that waits for the sizes of images and tomogram."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tomoset.model.quantities import refuse_impossible

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Alignment:
    """A rigid alignment that waits for the sizes of images and tomogram (RELION 5).

    Parameters
    ----------
    angles : (n, 3) array
        x_tilt, y_tilt, z_rot of each tilt image [deg]: a point turns by Rx, then Ry, then Rz.
    shifts : (n, 2) array
        x_shift, y_shift of each tilt image [Å].
    directions_only : bool
        Nothing said the shifts: the middle of the tomogram is taken to be in the middle of each
        image.
    """

    angles: Array
    shifts: Array
    directions_only: bool = False

    def __post_init__(self) -> None:
        for name in ("angles", "shifts"):
            refuse_impossible(name, getattr(self, name))
