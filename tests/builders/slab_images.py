"""Tilt images of random matter in a slab, made by projecting points one by one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tomoset import geometry
from tomoset.model import Optics, Tomogram


@dataclass(frozen=True, eq=False)
class Stack:
    """Images in memory that can be read as those of a file."""

    images: np.ndarray

    @property
    def size(self) -> tuple[int, int]:
        return self.images.shape[2], self.images.shape[1]

    def __len__(self) -> int:
        return len(self.images)

    def read(self, i: int) -> np.ndarray:
        return np.asarray(self.images[i], dtype=np.float32)


def tilted(tilts: np.ndarray, axis: float, centre: np.ndarray, edge: int) -> np.ndarray:
    """Projections about an axis through the middle of images and tomogram."""
    made = geometry.rotation_z(axis) @ geometry.rotation_y(tilts)
    made = made @ geometry.translation(-centre)
    made[:, :2, 3] += (edge - 1) / 2
    return np.asarray(made)


def slab_images(
    projections: np.ndarray, edge: int, thickness: float, centre: np.ndarray, seed: int = 1
) -> np.ndarray:
    """Images of random points in a slab about a centre: mean 0, variance 1, no noise."""
    import scipy.ndimage

    rng = np.random.default_rng(seed)
    half = np.array([1.3 * edge, 1.3 * edge, thickness / 2])
    points = centre + rng.uniform(-half, half, (round(0.5 * edge**2), 3))
    strength = rng.normal(size=len(points))
    images = np.empty((len(projections), edge, edge), np.float32)
    for image, projection in zip(images, projections, strict=True):
        at = geometry.apply(projection[None], points)[0, :, :2]
        total = np.zeros((edge, edge))
        low = np.floor(at).astype(int)
        for corner in ((0, 0), (0, 1), (1, 0), (1, 1)):
            there = low + corner
            weight = np.prod(1 - np.abs(at - there), axis=1) * strength
            inside = ((there >= 0) & (there < edge)).all(axis=1)
            x, y = there[inside].T
            np.add.at(total, (y, x), weight[inside])
        image[:] = scipy.ndimage.gaussian_filter(total, 1.0)
        image /= image.std()
    return images


def series(
    projections: np.ndarray, edge: int, depth: int, pixel_size: float, name: str = "a"
) -> Tomogram:
    """A tomogram of square images."""
    return Tomogram(
        name=name,
        n_tilts=len(projections),
        projections=projections,
        size=(edge, edge, depth),
        image_size=(edge, edge),
        optics=Optics(pixel_size=pixel_size),
    )
