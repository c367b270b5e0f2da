"""Fiducials: where the gold beads of a tomogram are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tomoset.errors import ModelError
from tomoset.model.observations import Observations

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Fiducials:
    """The 3D positions of one tomogram's beads.

    Parameters
    ----------
    points : (n, 3) array
        x, y, z in 0-based bin-1 voxels. There may be none.
    observations : Observations, optional
        Where they were seen in the tilt images.
    source : object, optional
        Text that they were read from. Opaque here.

    Raises
    ------
    ModelError
        If the shape is another, a value not finite, or a bead was seen that is not there.

    Examples
    --------
    >>> len(Fiducials(points=[[26.0, 23.0, -1.0]])), len(Fiducials(points=[]))
    (1, 0)
    """

    points: Array
    observations: Observations | None = None
    source: Any = None

    def __post_init__(self) -> None:
        points = np.array(self.points, dtype=np.float64)
        if points.size == 0:
            points = points.reshape(0, 3)
        if points.ndim != 2 or points.shape[1] != 3:
            raise ModelError(f"fiducials must have shape (n, 3), not {points.shape}")
        if not np.isfinite(points).all():
            raise ModelError("the position of a fiducial is not finite")
        if self.observations is not None and self.observations.n_beads > len(points):
            raise ModelError(
                f"there are {len(points)} fiducials, and number {self.observations.n_beads} is seen"
            )
        points.flags.writeable = False
        object.__setattr__(self, "points", points)

    def __len__(self) -> int:
        return len(self.points)
