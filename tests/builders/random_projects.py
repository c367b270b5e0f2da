"""Projects of several series, with all that may refer to them, from a seed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from tests.builders.image_stacks import write_stack
from tomoset import geometry as g
from tomoset.model import (
    Deformation,
    Fiducials,
    Manifold,
    ManifoldSet,
    Optics,
    ParticleSet,
    Project,
    Tomogram,
    TomogramSet,
    TrajectorySet,
)

Array = npt.NDArray[np.float64]


def random_project(seed: int, dialect: str = "relion4", series: int = 3) -> Project:
    """Rigid series of odd and even sizes, particles that move, manifolds, beads."""
    rng = np.random.default_rng(seed)
    tomograms = TomogramSet(
        [random_series(rng, f"TS_{i + 1:02d}") for i in range(series)], format=dialect
    )
    rows = rng.integers(0, series, 4 * series)
    names = np.array([list(tomograms)[i] for i in rows])
    sizes = np.array([tomograms[name].need_size() for name in names.tolist()], dtype=float)
    particles = ParticleSet(
        tomogram_names=names,
        coordinates=rng.uniform(0.2, 0.8, sizes.shape) * sizes,
        names=np.array([f"{name}/{i + 1}" for i, name in enumerate(names.tolist())]),
        origins=rng.normal(0, 3, sizes.shape),
        subtomogram_angles=rng.uniform(-90, 90, sizes.shape),
        angles=rng.uniform(0, 180, sizes.shape),
        pixel_sizes=np.array([tomograms[name].need_pixel_size() for name in names.tolist()]),
    )
    motion = {
        name: np.cumsum(rng.normal(0, 1, (tomograms[of].n_tilts, 3)), axis=0)
        for name, of in zip(particles.names.tolist(), names.tolist(), strict=True)  # type: ignore[union-attr]
    }
    manifolds = {
        name: [Manifold(index=1, kind="sphere", params=[*rng.uniform(10, 20, 3), 7.0])]
        for name in tomograms
    }
    return Project(
        tomograms=tomograms,
        particles=particles,
        trajectories=TrajectorySet(motion),
        manifolds=ManifoldSet(manifolds),
        fiducials={name: Fiducials(points=rng.uniform(5, 25, (4, 3))) for name in tomograms},
    )


def random_series(rng: np.random.Generator, name: str) -> Tomogram:
    """One of 4 to 8 tilts, bent."""
    n = int(rng.integers(4, 9))
    size = tuple(int(side) for side in rng.integers((60, 50, 30), (70, 60, 40)))
    image = tuple(int(side) for side in rng.integers((64, 50), (75, 60)))
    angles = np.stack(
        [rng.normal(0, 1, n), np.linspace(-50, 50, n), 85 + rng.normal(0, 0.3, n)], axis=1
    )
    return Tomogram(
        name=name,
        n_tilts=n,
        optics=Optics(pixel_size=float(rng.choice([1.35, 2.0, 3.1]))),
        hand=int(rng.choice([-1, 1])),
        size=size,  # type: ignore[arg-type]
        image_size=image,  # type: ignore[arg-type]
        stack=f"{name}.mrc",
        projections=g.rigid_projections(
            angles, rng.normal(0, 3, (n, 2)), size=size, image_size=image
        ),
        defocus_u=rng.uniform(2e4, 3e4, n),
        defocus_v=rng.uniform(2e4, 3e4, n),
        defocus_angle=rng.uniform(0, 90, n),
        pre_exposure=3.0 * rng.permutation(n),
        nominal_tilts=np.linspace(-50, 50, n),
        deformation=Deformation(
            kind="linear", grid=(3, 3), coefficients=rng.normal(0, 0.01, (n, 3))
        ),
    )


def seen(project: Project) -> dict[str, Array]:
    """Where each particle is seen, moved and bent, by its number in the set [px]."""
    particles, motion = project.particles, project.trajectories
    assert particles is not None
    found = {}
    for name, rows in particles.by_tomogram().items():
        t = project.tomograms[name]
        for row in rows.tolist():
            shifts = np.zeros((t.n_tilts, 3))
            if motion is not None:
                shifts = motion[str(particles.particle_names[row])] / t.need_pixel_size()
            moved = particles.positions[row] + shifts
            found[str(row)] = np.diagonal(t.project(moved)).T
    return found


def write_random_project(seed: int, dialect: str, folder: str, series: int = 3) -> str:
    """One in files of the working folder, with its stacks; its optimisation set."""
    project = random_project(seed, dialect, series)
    for t in project.tomograms.values():
        write_stack(Path(t.stack or ""), t.n_tilts, t.need_image_size(), t.need_pixel_size())
    return str(project.write(folder))
