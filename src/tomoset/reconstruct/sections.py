"""Sections of a volume that comes in slabs: through most beads, or the middle."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Images = npt.NDArray[np.float32]
Array = npt.NDArray[np.float64]

#: What sections are averaged over, so that more than noise is seen [Å], and how many at most.
_THICK, _MOST = 100.0, 15


@dataclass(frozen=True)
class Place:
    """Where a section lies along its axis.

    Parameters
    ----------
    first, last : int
        The slices that it is the mean of, the last one not included.
    beads : int
        How many beads lie in it.
    """

    first: int
    last: int
    beads: int

    @property
    def at(self) -> float:
        """Its middle [0-based voxels]."""
        return (self.first + self.last - 1) / 2

    @property
    def thick(self) -> int:
        """Of how many slices it is the mean."""
        return self.last - self.first


class Sections:
    """Means of a few slices of a volume across each axis.

    They lie where most beads do, or else in the middle; of places with as many beads, the one
    nearest to the middle is taken.

    Parameters
    ----------
    size : (int, int, int)
        x, y, z of the volume.
    pixel_size : float
        Of its voxels [Å].
    beads : (n, 3) array, optional
        x, y, z of beads [0-based voxels of the volume].

    Attributes
    ----------
    xy, xz, yz : (y, x), (z, x) and (z, y) arrays
        As they come out of a volume: ``v[k]``, ``v[:, j]``, ``v[:, :, i]``.
    places : (Place, Place, Place)
        Of the sections across x, y and z.
    beads : int
        How many lie in the volume.
    """

    def __init__(
        self, size: tuple[int, int, int], pixel_size: float, beads: Array | None = None
    ) -> None:
        x, y, z = size
        self.pixel_size = pixel_size
        points = np.zeros((0, 3)) if beads is None else beads
        points = points[((points >= -0.5) & (points < np.array(size) - 0.5)).all(axis=1)]
        self.beads = len(points)
        thick = max(1, min(round(_THICK / pixel_size), _MOST))
        self.places = tuple(
            _place(n, min(thick, max(n // 4, 1)), along)
            for n, along in zip(size, points.T, strict=True)
        )
        self._seen = 0
        self.xy = np.zeros((y, x), dtype=np.float32)
        self.xz = np.zeros((z, x), dtype=np.float32)
        self.yz = np.zeros((z, y), dtype=np.float32)

    def take(self, slab: Images) -> None:
        """Take the next slices (k, y, x)."""
        in_x, in_y, in_z = self.places
        last = self._seen + len(slab)
        self.xz[self._seen : last] = slab[:, in_y.first : in_y.last].mean(axis=1)
        self.yz[self._seen : last] = slab[:, :, in_x.first : in_x.last].mean(axis=2)
        inside = slab[max(in_z.first - self._seen, 0) : max(in_z.last - self._seen, 0)]
        self.xy += inside.sum(axis=0) / in_z.thick
        self._seen = last

    def are_blank(self) -> bool:
        """Whether each section is all of one value."""
        return all(np.ptp(image) == 0 for image in (self.xy, self.xz, self.yz))


def _place(n: int, thick: int, beads: Array) -> Place:
    """Of so many of n slices, those with most beads, or else about the middle."""
    middle = (n - thick) // 2
    first = np.arange(n - thick + 1)
    ends = np.searchsorted(np.sort(beads), np.stack([first, first + thick]) - 0.5)
    inside = ends[1] - ends[0]
    best = np.flatnonzero(inside == inside.max())
    chosen = int(best[np.abs(best - middle).argmin()])
    return Place(chosen, chosen + thick, int(inside[chosen]))
