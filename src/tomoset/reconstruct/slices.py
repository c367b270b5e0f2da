"""The three central slices of a volume that comes in slabs."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Images = npt.NDArray[np.float32]

#: What slices are averaged over, so that more than noise is seen [Å], and how many at most.
_THICK, _MOST = 100.0, 15


class CentralSlices:
    """Means of a few slices about the middle of a volume, along each axis.

    Parameters
    ----------
    size : (int, int, int)
        x, y, z of the volume.
    pixel_size : float
        Of its voxels [Å].

    Attributes
    ----------
    xy, xz, yz : (y, x), (z, x) and (z, y) arrays
        As they come out of a volume: ``v[k]``, ``v[:, j]``, ``v[:, :, i]``.
    at : (float, float, float)
        x, y, z of the middles of slices [0-based voxels].
    thick : (int, int, int)
        Of how many slices along x, y, z each is the mean.
    """

    def __init__(self, size: tuple[int, int, int], pixel_size: float) -> None:
        x, y, z = size
        self.pixel_size = pixel_size
        thick = max(1, min(round(_THICK / pixel_size), _MOST))
        self._ranges = [_about_middle(n, min(thick, max(n // 4, 1))) for n in size]
        self.at = tuple((r.start + r.stop - 1) / 2 for r in self._ranges)
        self.thick = tuple(r.stop - r.start for r in self._ranges)
        self._seen = 0
        self.xy = np.zeros((y, x), dtype=np.float32)
        self.xz = np.zeros((z, x), dtype=np.float32)
        self.yz = np.zeros((z, y), dtype=np.float32)

    def take(self, slab: Images) -> None:
        """Take the next slices (k, y, x)."""
        in_x, in_y, in_z = self._ranges
        last = self._seen + len(slab)
        self.xz[self._seen : last] = slab[:, in_y].mean(axis=1)
        self.yz[self._seen : last] = slab[:, :, in_x].mean(axis=2)
        inside = slab[max(in_z.start - self._seen, 0) : max(in_z.stop - self._seen, 0)]
        self.xy += inside.sum(axis=0) / (in_z.stop - in_z.start)
        self._seen = last

    def are_blank(self) -> bool:
        """Whether each slice is all of one value."""
        return all(np.ptp(image) == 0 for image in (self.xy, self.xz, self.yz))


def _about_middle(n: int, thick: int) -> slice:
    first = (n - thick) // 2
    return slice(first, first + thick)
