"""The middle plane of the specimen, and images mapped onto it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Image = npt.NDArray[np.float32]

#: An image fades out over so many pixels at the edge of what it shows, or a part of its size.
_FADE, _PART = 8.0, 1 / 40


@dataclass(frozen=True, kw_only=True, eq=False)
class Plane:
    """A plane in the tomogram, whose points are x, y from its centre.

    Parameters
    ----------
    centre : (3,) array
        0-based voxels.
    slope : (float, float)
        How much z rises with x and with y.
    """

    centre: Array
    slope: tuple[float, float] = (0.0, 0.0)

    def points(self, at: Array) -> Array:
        """Voxels of points of the plane: (..., 2) to (..., 3)."""
        return np.asarray(self.centre + at @ self._basis.T)

    @property
    def _basis(self) -> Array:
        return np.array([[1.0, 0.0], [0.0, 1.0], self.slope])

    def maps(self, projections: Array) -> tuple[Array, Array]:
        """What takes points of the plane to pixels: (n, 2, 2) and (n, 2)."""
        rows = projections[:, :2]
        return rows[..., :3] @ self._basis, rows[..., :3] @ self.centre + rows[..., 3]

    def parallax(self, projections: Array) -> Array:
        """How far each image displaces, in the plane, what lies 1 voxel above it: (n, 2)."""
        linear, _ = self.maps(projections)
        above = projections[:, :2, 2]
        return np.asarray(np.linalg.solve(linear, above[..., None])[..., 0])

    def image_frequencies(self, projections: Array, k: Array) -> Array:
        """Of waves k of the plane in each image: (n, K) [cycles per px]."""
        linear, _ = self.maps(projections)
        seen = np.linalg.inv(linear).transpose(0, 2, 1) @ k.T
        return np.asarray(np.linalg.norm(seen, axis=1))


def mapped(
    images: Image, valid: Image, maps: tuple[Array, Array], shape: tuple[int, int], threads: int
) -> tuple[Image, Image]:
    """Images as they look on the plane.

    Parameters
    ----------
    images : (n, h, w) float32 array
        Coefficients of cubic splines (`scipy.ndimage.spline_filter`).
    valid : (n, h, w) float32 array
        1 where an image shows the specimen, 0 where it does not.
    maps
        As `Plane.maps`.
    shape : (int, int)
        Height and width of the mapped images, whose middle is the centre of the plane [px].
    threads : int

    Returns
    -------
    images, weights : (n, height, width) float32 arrays
        0 where nothing is shown; between 0 and 1 near the edge.
    """
    import scipy.ndimage

    linear, offset = maps
    n = len(images)
    out = np.zeros((n, *shape), np.float32)
    weights = np.zeros((n, *shape), np.float32)
    middle = (np.array(shape) - 1) / 2

    def one(i: int) -> None:
        matrix = linear[i][::-1, ::-1]
        start = offset[i][::-1] - matrix @ middle
        inside = _inside(images.shape[1:], matrix, start, shape)
        seen = {"output_shape": shape, "output": np.float32, "mode": "constant"}
        if valid[i].min() < 1:
            inside *= scipy.ndimage.affine_transform(valid[i], matrix, start, order=1, **seen)
        weights[i] = inside
        out[i] = scipy.ndimage.affine_transform(
            images[i], matrix, start, order=3, prefilter=False, **seen
        )
        out[i] *= inside > 0

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(one, range(n)))
    return out, weights


def _inside(size: tuple[int, ...], matrix: Array, start: Array, shape: tuple[int, int]) -> Image:
    """How far inside the image each point of the plane is, from 0 at its edge to 1."""
    y, x = np.arange(shape[0])[:, None], np.arange(shape[1])
    nearest = np.full(shape, np.inf)
    for axis in (0, 1):
        at = matrix[axis, 0] * y + matrix[axis, 1] * x + start[axis]
        nearest = np.minimum(nearest, np.minimum(at, size[axis] - 1 - at))
    fade = min(_FADE, _PART * min(size))
    return np.asarray(np.clip((nearest - 1) / fade, 0, 1), dtype=np.float32)
