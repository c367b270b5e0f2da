"""Projects in other frames, and a series long enough for statistics."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tests.builders.random_projects import seen
from tomoset import geometry as g
from tomoset.model import Optics, Project, Tomogram
from tomoset.project.transform import transform_project

Array = npt.NDArray[np.float64]


def random_motion(rng: np.random.Generator) -> Array:
    motion = g.translation(rng.normal(0, 4, 3))
    motion[:3, :3] = g.rotation_about(rng.normal(0, 0.3, 3))
    return motion


def moved_set(project: Project, seed: int) -> Project:
    """The same project in other frames."""
    rng = np.random.default_rng(seed)
    return transform_project(project, {name: random_motion(rng) for name in project.tomograms})


def long_series(n: int = 61) -> Tomogram:
    size, image = (900, 900, 300), (1000, 960)
    tilts = np.linspace(-60, 60, n)
    angles = np.stack([np.zeros(n), tilts, np.full(n, 85.0)], axis=1)
    return Tomogram(
        name="a",
        n_tilts=n,
        optics=Optics(pixel_size=2.0),
        size=size,
        image_size=image,
        stack="a.mrc",
        nominal_tilts=tilts,
        projections=g.rigid_projections(angles, np.zeros((n, 2)), size=size, image_size=image),
    )


def same_places(one: Project, other: Project, tolerance: float = 1e-6) -> None:
    a, b = seen(one), seen(other)
    assert a.keys() == b.keys()
    for key, value in a.items():
        np.testing.assert_allclose(b[key], value, rtol=0, atol=tolerance)
