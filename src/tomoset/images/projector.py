"""Projection of a volume into tilt images, and its exact adjoint, back-projection.

The interpolation is linear. A voxel at x, y, z lies in image i at matrices[i] (x, y, z, 1), where
matrices is (n, 3, 4): x and y in pixels from 0, and the level. Levels are several forms of one
image, of which each voxel sees one (a correction of the CTF for its depth).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from tomoset.errors import ModelError
from tomoset.images.device import Device, DeviceArray

Array = npt.NDArray[np.float64]

#: Pixels of zeros before and behind an image.
BEFORE, BEHIND = 1, 2

#: The kernels count pixels of all images in 32 bits.
_MOST_PIXELS = 2**32


@dataclass(frozen=True, kw_only=True, eq=False)
class Projector:
    """How a volume is seen in tilt images.

    Parameters
    ----------
    matrices : (n, 3, 4) array
        From voxels x, y, z, 1 (from 0) to x, y [px, from 0] and level of each image; without
        levels the last row is 0.
    image_size : (int, int)
        Width and height [px].
    size : (int, int, int)
        x, y, z of the volume.
    device : Device
        Where it is computed.
    displacements : (n, 2, y, x) array, optional
        A 2D deformation: what belongs at pixel p is shown at p + displacement [px].

    Raises
    ------
    ModelError
        If a shape is wrong.

    Examples
    --------
    >>> from tomoset.images.device import open_device
    >>> straight_down = np.eye(4)[None, :3] * [[[1], [1], [0]]]
    >>> p = Projector(matrices=straight_down, image_size=(3, 2), size=(3, 2, 5),
    ...               device=open_device("cpu"))
    >>> p.forward(np.ones((5, 2, 3), np.float32)).tolist()
    [[[5.0, 5.0, 5.0], [5.0, 5.0, 5.0]]]
    >>> p.back(p.forward(np.ones((5, 2, 3), np.float32))).shape
    (5, 2, 3)
    """

    matrices: Array
    image_size: tuple[int, int]
    size: tuple[int, int, int]
    device: Device
    displacements: DeviceArray | None = None

    def __post_init__(self) -> None:
        matrices = np.asarray(self.matrices, dtype=np.float64)
        if matrices.ndim != 3 or matrices.shape[1:] != (3, 4):
            raise ModelError(f"matrices must have shape (n, 3, 4), not {matrices.shape}")
        if min(*self.image_size, *self.size) < 1:
            raise ModelError(f"impossible sizes {self.image_size} and {self.size}")
        object.__setattr__(self, "matrices", matrices)
        if self.displacements is None:
            return
        known = self.device.xp.asarray(self.displacements, dtype=np.float32, order="C")
        width, height = self.image_size
        if known.shape != (len(matrices), 2, height, width):
            raise ModelError(
                f"displacements must have shape {(len(matrices), 2, height, width)}, not "
                f"{tuple(known.shape)}"
            )
        object.__setattr__(self, "displacements", known)

    @property
    def _transposed(self) -> bool:
        """Whether a row of voxels runs along columns of the images rather than along rows.

        Then the images are transposed, so that neighbouring voxels read neighbouring memory.
        """
        along = np.abs(self.matrices[:, :2, 0]).sum(axis=0)
        return bool(along[1] > along[0])

    def _bordered_matrices(self) -> Array:
        matrices = self.matrices.copy()
        if self._transposed:
            matrices[:, :2] = matrices[:, 1::-1]
        matrices[:, :2, 3] += BEFORE
        matrices[:, 2, 3] += 0.5  # the kernels cut off decimals
        return matrices

    def _bordered_size(self) -> tuple[int, int]:
        """Width and height of images with border."""
        width, height = self.image_size[::-1] if self._transposed else self.image_size
        return width + BEFORE + BEHIND, height + BEFORE + BEHIND

    def part(self, first: int, last: int) -> Projector:
        """The projector of slices first to last - 1 of the volume, counted from `first`."""
        matrices = self.matrices.copy()
        matrices[:, :, 3] += first * matrices[:, :, 2]
        return replace(self, matrices=matrices, size=(*self.size[:2], last - first))

    def of(self, images: Any) -> Projector:
        """The projector of some of the images."""
        bent = None if self.displacements is None else self.displacements[images]
        return replace(self, matrices=self.matrices[images], displacements=bent)

    def prepared(self, images: DeviceArray) -> DeviceArray:
        """Images (n, y, x), or levels of them (n, levels, y, x), as `back_prepared` wants them."""
        xp = self.device.xp
        stack = xp.asarray(images, dtype=np.float32)
        if stack.ndim == 3:
            stack = stack[:, None]
        expected = (len(self.matrices), *self.image_size[::-1])
        if stack.ndim != 4 or (stack.shape[0], *stack.shape[2:]) != expected:
            raise ModelError(
                f"images must have shape {expected}, or with levels after the first, not "
                f"{tuple(stack.shape)}"
            )
        if self.displacements is not None:
            levels = [
                self.device.resample(xp.ascontiguousarray(stack[:, i]), self.displacements)
                for i in range(stack.shape[1])
            ]
            stack = xp.stack(levels, axis=1)
        if self._transposed:
            stack = stack.swapaxes(-1, -2)
        width, height = self._bordered_size()
        if math.prod((*stack.shape[:2], height, width)) >= _MOST_PIXELS:
            raise ModelError(
                f"{stack.shape[0]} images of {width} x {height} px in {stack.shape[1]} forms are "
                f"more than the {_MOST_PIXELS} pixels that can be counted: take larger voxels"
            )
        bordered = xp.zeros((*stack.shape[:2], height, width), dtype=np.float32)
        bordered[:, :, BEFORE:-BEHIND, BEFORE:-BEHIND] = stack
        return bordered

    def back_prepared(self, bordered: DeviceArray) -> DeviceArray:
        """`back` of images that `prepared` has made: once for many parts of a volume."""
        return self.device.back_project(
            bordered.reshape(-1), bordered.shape[1:], self._bordered_matrices(), self.size
        )

    def back(self, images: DeviceArray) -> DeviceArray:
        """The sum over images of what each shows where a voxel is projected.

        Parameters
        ----------
        images : (n, y, x) or (n, levels, y, x) array
            Zero outside. A voxel sees the level whose number is next to what its matrix says.

        Returns
        -------
        (z, y, x) float32 array
            On the device.
        """
        return self.back_prepared(self.prepared(images))

    def forward(self, volume: DeviceArray) -> DeviceArray:
        """The adjoint of `back` without levels: images to which every voxel adds its value.

        Parameters
        ----------
        volume : (z, y, x) array

        Returns
        -------
        (n, y, x) float32 array
            On the device.
        """
        known = self.device.xp.asarray(volume, dtype=np.float32, order="C")
        if tuple(known.shape) != self.size[::-1]:
            raise ModelError(f"the volume must have shape {self.size[::-1]}, not {known.shape}")
        width, height = self._bordered_size()
        flat = self.device.project(known, self._bordered_matrices(), width, height)
        images = flat.reshape(-1, height, width)[:, BEFORE:-BEHIND, BEFORE:-BEHIND]
        if self._transposed:
            images = images.swapaxes(-1, -2)
        if self.displacements is None:
            return images
        return self.device.spread(self.device.xp.ascontiguousarray(images), self.displacements)
