"""Observations: where beads were seen in the tilt images, and how precisely."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from tomoset.errors import ModelError

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Observations:
    """What was seen of beads in the images of one tilt series: one row a sight.

    Parameters
    ----------
    bead : (n,) int array
        Which bead, from 0: a row of `Fiducials.points`.
    tilt : (n,) int array
        Which tilt image, from 0: a row of the tomogram.
    points : (n, 2) array
        x, y of its centre in 0-based pixels of the tilt images, as `Tomogram.project` has them.
    uncertainty : (n,) array, optional
        Standard deviation of each coordinate [px]; None: not known, all alike.

    Raises
    ------
    ModelError
        If shapes contradict each other, a number is not finite, an uncertainty not above 0, or
        a bead is seen twice in one image.

    Examples
    --------
    >>> seen = Observations(bead=[0, 0, 1], tilt=[0, 1, 1], points=[[5, 6], [5, 7], [1, 2]])
    >>> len(seen), seen.n_beads, seen.grid(3).shape
    (3, 2, (3, 2, 2))
    """

    bead: npt.NDArray[np.int64]
    tilt: npt.NDArray[np.int64]
    points: Array
    uncertainty: Array | None = None

    def __post_init__(self) -> None:
        points = np.array(self.points, dtype=np.float64).reshape(-1, 2)
        bead, tilt = (np.array(x, dtype=np.int64).reshape(-1) for x in (self.bead, self.tilt))
        fields = {"bead": bead, "tilt": tilt, "points": points}
        if self.uncertainty is not None:
            fields["uncertainty"] = np.array(self.uncertainty, dtype=np.float64).reshape(-1)
        lengths = {name: len(array) for name, array in fields.items()}
        if len(set(lengths.values())) > 1:
            raise ModelError(f"observations of different numbers: {lengths}")
        if not all(np.isfinite(array).all() for array in fields.values()):
            raise ModelError("an observation of a bead is not finite")
        if (fields.get("uncertainty", np.ones(1)) <= 0).any():
            raise ModelError("the uncertainty of an observation must be above 0")
        if min(bead.min(initial=0), tilt.min(initial=0)) < 0:
            raise ModelError("beads and tilt images of observations are counted from 0")
        if len(np.unique(np.stack([bead, tilt]), axis=1).T) < len(bead):
            raise ModelError("a bead is seen twice in one tilt image")
        for name, array in fields.items():
            array.flags.writeable = False
            object.__setattr__(self, name, array)

    def __len__(self) -> int:
        return len(self.bead)

    @property
    def n_beads(self) -> int:
        """One more than the last bead that was seen."""
        return int(self.bead.max(initial=-1)) + 1

    def grid(self, n_tilts: int, n_beads: int | None = None) -> Array:
        """The same by tilt image and bead: (n_tilts, n_beads, 2) [px], NaN where none was seen."""
        seen = np.full((n_tilts, self.n_beads if n_beads is None else n_beads, 2), np.nan)
        seen[self.tilt, self.bead] = self.points
        return seen

    def take(self, rows: npt.NDArray[np.int64] | npt.NDArray[np.bool_]) -> Observations:
        """Only these rows: indices, or a mask."""
        return replace(
            self,
            bead=self.bead[rows],
            tilt=self.tilt[rows],
            points=self.points[rows],
            uncertainty=None if self.uncertainty is None else self.uncertainty[rows],
        )
