"""Tilt images of a rough needle, made by projecting points one by one."""

from __future__ import annotations

import numpy as np

from tomoset import geometry


def needle_points(
    length: float, radius: float, centre: np.ndarray, seed: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """Grains of a needle about y, tapered to a tip and a little bent, and how dense each is.

    Of many small grains and fewer strong ones, so that no two sections are alike.
    """
    rng = np.random.default_rng(seed)
    number = 20000
    y = rng.uniform(-0.7, 0.35, number) * length
    widest = radius * np.clip((0.35 - y / length) / 0.4, 0, 1) ** 0.6
    kept = rng.uniform(0, 1, number) < (widest / radius) ** 2
    y, widest, number = y[kept], widest[kept], int(kept.sum())
    # Another cross-section than a circle: three lobes.
    angle = rng.uniform(0, 2 * np.pi, number)
    away = widest * (1 + 0.15 * np.cos(3 * angle)) * np.sqrt(rng.uniform(0, 1, number))
    x, z = away * np.cos(angle), away * np.sin(angle)
    x, z = x + 0.05 * y, z - 0.04 * y + 2e-4 * y**2
    strength = rng.exponential(1.0, number) * (1 + 8 * (rng.uniform(0, 1, number) < 0.02))
    strength *= 1 + 0.5 * np.sign(np.sin(y / length * 25))
    return centre + np.stack([x, y, z], axis=1), strength


def needle_images(
    projections: np.ndarray, edge: int, points: np.ndarray, strength: np.ndarray
) -> np.ndarray:
    """Images of grains, with nothing around them; the densest pixel of all is 1."""
    import scipy.ndimage

    images = np.zeros((len(projections), edge, edge))
    for image, projection in zip(images, projections, strict=True):
        at = geometry.apply(projection[None], points)[0, :, :2]
        low = np.floor(at).astype(int)
        for corner in ((0, 0), (0, 1), (1, 0), (1, 1)):
            there = low + corner
            weight = np.prod(1 - np.abs(at - there), axis=1) * strength
            inside = ((there >= 0) & (there < edge)).all(axis=1)
            x, y = there[inside].T
            np.add.at(image, (y, x), weight[inside])
        image[:] = scipy.ndimage.gaussian_filter(image, 0.8, mode="nearest")
    return np.asarray(images / images.max(), dtype=np.float32)
