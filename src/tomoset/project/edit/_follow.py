"""How sets that refer to tomograms follow them."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from tomoset.model import ManifoldSet, ParticleSet, Project, TrajectorySet


def of_tomograms(project: Project, names: Collection[str]) -> Project:
    """The project with these of its tomograms only, in this order, and what refers to them."""
    particles, manifolds = project.particles, project.manifolds
    if particles is not None:
        project = of_particles(project, np.isin(particles.tomogram_names, list(names)))
    if manifolds is not None:
        kept = {name: found for name, found in manifolds.items() if name in names}
        manifolds = manifolds.with_manifolds(kept)
    tomograms = project.tomograms
    return project.with_sets(
        tomograms=tomograms.with_tomograms(tomograms[name] for name in names),
        manifolds=manifolds,
        fiducials={name: beads for name, beads in project.fiducials.items() if name in names},
    )


def of_particles(project: Project, rows: npt.NDArray[np.bool_]) -> Project:
    """The project with these of its particles only, and their trajectories."""
    particles, motion = project.particles, project.trajectories
    if particles is None or rows.all():
        return project
    if motion is not None:
        gone = set(particles.particle_names[~rows].tolist())
        motion = motion.with_trajectories({n: t for n, t in motion.items() if n not in gone})
    # As they are called now: a number may be part of a name.
    kept = replace(particles, names=particles.particle_names).select(rows)
    return project.with_sets(particles=kept, trajectories=motion)


def renamed(project: Project, new: Callable[[str], str]) -> Project:
    """The project with other names of its tomograms."""
    tomograms = project.tomograms
    manifolds: ManifoldSet | None = project.manifolds
    if manifolds is not None:
        found = {new(name): some for name, some in manifolds.items()}
        manifolds = manifolds.with_manifolds(found)
    particles, motion = _renamed_particles(project.particles, project.trajectories, new)
    return project.with_sets(
        tomograms=tomograms.with_tomograms(
            t if new(t.name) == t.name else replace(t, name=new(t.name)) for t in tomograms.values()
        ),
        particles=particles,
        trajectories=motion,
        manifolds=manifolds,
        fiducials={new(name): beads for name, beads in project.fiducials.items()},
    )


def _renamed_particles(
    particles: ParticleSet | None, motion: TrajectorySet | None, new: Callable[[str], str]
) -> tuple[ParticleSet | None, TrajectorySet | None]:
    """Particles in tomograms of other names; their own follow where nobody gave them any."""
    if particles is None:
        return None, motion
    table = {name: new(name) for name in dict.fromkeys(particles.tomogram_names.tolist())}
    after = replace(
        particles, tomogram_names=np.array([table[n] for n in particles.tomogram_names.tolist()])
    )
    if motion is not None and particles.names is None:
        pairs = zip(particles.particle_names.tolist(), after.particle_names.tolist(), strict=True)
        names = dict(pairs)
        motion = motion.with_trajectories({names.get(n, n): t for n, t in motion.items()})
    return after, motion
