"""How many of the images see a voxel: those that do count for those that do not."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from tomoset.images.device import Device, DeviceArray
from tomoset.reconstruct.plan import Plan

Images = npt.NDArray[np.float32]

#: Voxels between those for which it is counted; the others are interpolated.
_EVERY = 8


class Coverage:
    """How many of some images see each voxel of a volume.

    Parameters
    ----------
    plan : Plan
        The geometry.
    tilts : sequence of int
        The images that count.
    device : Device
        Where shares are wanted.
    """

    def __init__(self, plan: Plan, tilts: Sequence[int], device: Device) -> None:
        self._tilts, self._xp = np.float32(len(tilts)), device.xp
        nodes = [np.arange(0, n - 1 + _EVERY, _EVERY) for n in plan.size]
        x, y, z = nodes
        width, height = plan.image_size
        seen = np.zeros((len(z), len(y), len(x)), dtype=np.float32)
        for m in plan.matrices[list(tilts)]:
            at = [
                m[r, 0] * x + m[r, 1] * y[:, None] + (m[r, 2] * z + m[r, 3])[:, None, None]
                for r in (0, 1)
            ]
            # Interpolation fades over the last pixel; nodes are coarse, so no need for more.
            seen += (at[0] >= 0) & (at[0] <= width - 1) & (at[1] >= 0) & (at[1] <= height - 1)
        self._along = [device.xp.asarray(_interpolation(n)) for n in plan.size]
        self._seen = device.xp.asarray(seen)

    def share(self, z: int) -> DeviceArray:
        """Images in all, for each that sees a voxel of a slice; 0 where none does: (y, x)."""
        in_x, in_y, in_z = self._along
        counted = in_y @ self._xp.tensordot(in_z[z], self._seen, axes=1) @ in_x.T
        share = self._tilts / self._xp.maximum(counted, np.float32(1))
        return self._xp.where(counted > 0.5, share, np.float32(0))


def _interpolation(n: int) -> Images:
    """Linear weights of nodes for n voxels: (n, nodes)."""
    nodes = len(range(0, n - 1 + _EVERY, _EVERY))
    at = np.arange(n) / _EVERY
    weights = np.maximum(0, 1 - np.abs(at[:, None] - np.arange(nodes)))
    return np.asarray(weights, dtype=np.float32)
