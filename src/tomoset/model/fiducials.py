"""Fiducials: where the gold beads of a tomogram are."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from tomoset import geometry
from tomoset.errors import ModelError
from tomoset.model.observations import Observations
from tomoset.model.quantities import refuse_impossible

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
    scores : (n,) array, optional
        How surely each is a bead, as its detector judged: higher is better.
    radii : (n,) array, optional
        Of the beads [Å].
    source : object, optional
        Text that they were read from. Opaque here.

    Raises
    ------
    ModelError
        If a shape is another, a value not finite, or a bead was seen that is not there.

    Examples
    --------
    >>> len(Fiducials(points=[[26.0, 23.0, -1.0]])), len(Fiducials(points=[]))
    (1, 0)
    """

    points: Array
    observations: Observations | None = None
    scores: Array | None = None
    radii: Array | None = None
    source: Any = None

    def __post_init__(self) -> None:
        points = np.array(self.points, dtype=np.float64)
        if points.size == 0:
            points = points.reshape(0, 3)
        if points.ndim != 2 or points.shape[1] != 3:
            raise ModelError(f"fiducials must have shape (n, 3), not {points.shape}")
        refuse_impossible("points", points, each="fiducial")
        if self.observations is not None and self.observations.n_beads > len(points):
            raise ModelError(
                f"there are {len(points)} fiducials, and number {self.observations.n_beads} is seen"
            )
        points.flags.writeable = False
        object.__setattr__(self, "points", points)
        for field in ("scores", "radii"):
            if (values := getattr(self, field)) is not None:
                object.__setattr__(self, field, _one_each(field, values, len(points)))

    def __len__(self) -> int:
        return len(self.points)

    def transformed(self, transform: Array) -> Fiducials:
        """The same beads in another frame of their tomogram, seen where they were seen.

        Parameters
        ----------
        transform : (4, 4) array
            From voxels, 0-based at bin 1, to those after a rigid motion.
        """
        return replace(self, points=geometry.apply(transform, self.points))


def _one_each(field: str, given: Array, n: int) -> Array:
    values = np.array(given, dtype=np.float64)
    if values.shape != (n,):
        raise ModelError(f"{n} fiducials need {field} of shape ({n},), not {values.shape}")
    if not np.isfinite(values).all():
        raise ModelError(f"{field} of fiducials must be finite")
    values.flags.writeable = False
    return values
