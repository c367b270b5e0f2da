"""What the projectors compute, in plain NumPy: slow, clear, and the test of the fast ones."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


def voxels(size: tuple[int, int, int]) -> Array:
    """x, y, z, 1 of all voxels of a volume (z, y, x), in its order: (n_voxels, 4)."""
    z, y, x = np.indices(size[::-1]).reshape(3, -1)
    return np.stack([x, y, z, np.ones_like(x)], axis=-1).astype(np.float64)


def _corners(
    points: Array, shape: tuple[int, int]
) -> list[tuple[npt.NDArray[np.bool_], npt.NDArray[np.int64], Array]]:
    """The four pixels about each point: whether it is in the image, its index, its weight."""
    low = np.floor(points).astype(np.int64)
    fraction = points - low
    found = []
    for dy in (0, 1):
        for dx in (0, 1):
            x, y = low[:, 0] + dx, low[:, 1] + dy
            inside = (x >= 0) & (x < shape[1]) & (y >= 0) & (y < shape[0])
            weight = np.abs(1 - dx - fraction[:, 0]) * np.abs(1 - dy - fraction[:, 1])
            found.append((inside, np.where(inside, y * shape[1] + x, 0), weight))
    return found


def sample(image: npt.ArrayLike, points: Array) -> Array:
    """Bilinear interpolation at points x, y of shape (n, 2); zero outside the image."""
    pixels = np.asarray(image, dtype=np.float64)
    corners = _corners(points, (pixels.shape[0], pixels.shape[1]))
    return np.asarray(sum(np.where(ok, w * pixels.ravel()[i], 0.0) for ok, i, w in corners))


def spread(values: npt.ArrayLike, points: Array, shape: tuple[int, int]) -> Array:
    """The adjoint of `sample`: an image to which each point adds its value."""
    image = np.zeros(shape[0] * shape[1])
    for inside, index, weight in _corners(points, shape):
        np.add.at(image, index, np.where(inside, weight * np.asarray(values), 0.0))
    return image.reshape(shape)


def back_project(images: npt.ArrayLike, matrices: Array, size: tuple[int, int, int]) -> Array:
    """Sum over images of what they show where each voxel is projected: (z, y, x)."""
    stack = np.asarray(images, dtype=np.float64)
    points = voxels(size)
    total = sum(sample(image, points @ m[:2].T) for image, m in zip(stack, matrices, strict=True))
    return np.asarray(total).reshape(size[::-1])


def project(volume: npt.ArrayLike, matrices: Array, image_size: tuple[int, int]) -> Array:
    """The adjoint of `back_project`: images (n, y, x) to which each voxel adds its value."""
    voxel_values = np.asarray(volume, dtype=np.float64)
    depth, height, width = voxel_values.shape
    points, shape = voxels((width, height, depth)), image_size[::-1]
    return np.stack([spread(voxel_values.ravel(), points @ m[:2].T, shape) for m in matrices])
