"""The three central slices of a volume that comes in slabs, and a picture of them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tomoset.images.picture import write_slices_png

Images = npt.NDArray[np.float32]

#: Slices that are averaged, so that more than noise is seen.
_THICK = 5


class CentralSlices:
    """Means of a few slices about the middle of a volume, along each axis.

    Parameters
    ----------
    size : (int, int, int)
        x, y, z of the volume.
    """

    def __init__(self, size: tuple[int, int, int]) -> None:
        x, y, z = size
        self._ranges = [_about_middle(n) for n in size]
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

    def write(self, path: str, pixel_size: float, title: str) -> None:
        """Write the picture, a PNG."""
        write_slices_png(path, self.xy, self.xz, self.yz, pixel_size, title)


def _about_middle(n: int) -> slice:
    first = max((n - _THICK) // 2, 0)
    return slice(first, min(first + _THICK, n))
