"""Projectors over 120° of tilt."""

from __future__ import annotations

import numpy as np

from tomoset import geometry
from tomoset.images.device import open_device
from tomoset.images.projector import Projector

CPU = open_device("cpu")


def projection_rows(
    n: int, axis: float, size: tuple[int, int, int], image: tuple[int, int]
) -> np.ndarray:
    """Rows x and y of projections over 120°, and a row of zeros: (n, 3, 4)."""
    angles = np.column_stack([np.full(n, 2.0), np.linspace(-60, 60, n), np.full(n, axis)])
    shifts = np.random.default_rng(n).normal(0, 2, (n, 2))
    matrices = geometry.rigid_projections(angles, shifts, size=size, image_size=image)[:, :3]
    matrices[:, 2] = 0
    return matrices


def make_projector(
    n: int, axis: float, size: tuple[int, int, int], image: tuple[int, int]
) -> Projector:
    return Projector(
        matrices=projection_rows(n, axis, size, image), image_size=image, size=size, device=CPU
    )
