"""Trajectories: the displacements of each particle, by tilt image.

See docs/relion.md, 'Trajectories'.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from tomoset.errors import ModelError
from tomoset.model.quantities import refuse_impossible
from tomoset.model.source import InFile

Array = npt.NDArray[np.float64]


class TrajectorySet(InFile, Mapping[str, Array]):
    """Shifts of particles, by particle name.

    Parameters
    ----------
    trajectories : mapping of str to (n_tilts, 3) array
        x, y, z [Å] to be added to the particle's position in each tilt image, in the order of
        the tomogram's table.
    source : object, optional
        Text that they were read from. Opaque here.

    Raises
    ------
    ModelError
        If a shape is another, or a value not finite.

    Examples
    --------
    >>> s = TrajectorySet({"TS_01/1": [[0, 0, 0], [1.5, 0, -2]]})
    >>> s.shifts_px("TS_01/1", pixel_size=1.5)[1].round(3).tolist()
    [1.0, 0.0, -1.333]
    """

    def __init__(self, trajectories: Mapping[str, npt.ArrayLike], *, source: Any = None) -> None:
        self._trajectories = {name: _checked(name, t) for name, t in trajectories.items()}
        self.source = source

    def __getitem__(self, name: str) -> Array:
        return self._trajectories[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._trajectories)

    def __len__(self) -> int:
        return len(self._trajectories)

    def shifts_px(self, name: str, *, pixel_size: float) -> Array:
        """One particle's shifts in bin-1 voxels: (n_tilts, 3)."""
        return self[name] / pixel_size

    def with_trajectories(self, trajectories: Mapping[str, npt.ArrayLike]) -> TrajectorySet:
        """A set, still with the texts of the file, with these trajectories instead."""
        return TrajectorySet(trajectories, source=self.source)

    def rotated(self, rotations: Mapping[str, Array]) -> TrajectorySet:
        """The same motions where the tomograms of some particles were rotated.

        Parameters
        ----------
        rotations : mapping of str to (3, 3) array
            By particle name, the rotation that its tomogram's frame has made. A shift is a
            difference of two places, so a translation leaves it as it is.

        Examples
        --------
        >>> s = TrajectorySet({"a": [[0, 0, 0], [1, 2, 3]], "b": [[0, 0, 0], [1, 2, 3]]})
        >>> quarter = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
        >>> [list(map(float, shifts[1])) for shifts in s.rotated({"a": quarter}).values()]
        [[-2.0, 1.0, 3.0], [1.0, 2.0, 3.0]]
        """
        return self.with_trajectories(
            {name: t @ rotations[name].T if name in rotations else t for name, t in self.items()}
        )

    def __repr__(self) -> str:
        return f"<TrajectorySet of {len(self)} particles>"


def _checked(name: str, value: npt.ArrayLike) -> Array:
    array = np.asarray(value, dtype=np.float64)
    if array.ndim != 2 or array.shape[1] != 3:
        raise ModelError(
            f"the trajectory of {name!r} must have shape (n_tilts, 3), not {array.shape}"
        )
    refuse_impossible("trajectory", array, f"particle {name!r}")
    if array.flags.writeable:
        array = array.copy()
        array.flags.writeable = False
    return array
