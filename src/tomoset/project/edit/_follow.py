"""How sets that refer to tomograms follow them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from tomoset.model import (
    Fiducials,
    Manifold,
    ManifoldSet,
    ParticleSet,
    Project,
    TrajectorySet,
)
from tomoset.model.particles import distinct


def of_tomograms(project: Project, names: Collection[str]) -> Project:
    """The project with these of its tomograms only, in this order, and what refers to them."""
    return parts_of(project, [names])[0]


def parts_of(project: Project, parts: Sequence[Collection[str]]) -> list[Project]:
    """Parts of a project, each of some of its tomograms, which no two share.

    Trajectories of particles that are not there are in all of them.
    """
    part = {name: i for i, names in enumerate(parts) for name in names}
    tomograms, manifolds = project.tomograms, project.manifolds
    surfaces: list[dict[str, tuple[Manifold, ...]]] = [{} for _ in parts]
    for name, found in () if manifolds is None else manifolds.items():
        if name in part:
            surfaces[part[name]][name] = found
    beads: list[dict[str, Fiducials]] = [{} for _ in parts]
    for name, some in project.fiducials.items():
        if name in part:
            beads[part[name]][name] = some
    particles = project.particles
    linked = [(particles, project.trajectories)] * len(parts)
    if particles is not None:
        once, codes = distinct(particles.tomogram_names.tolist())
        where = np.array([part.get(name, -1) for name in once], np.int64)[codes]
        linked = _apart(particles, project.trajectories, where, len(parts))
    return [
        project.with_sets(
            tomograms=tomograms.with_tomograms(tomograms[name] for name in names),
            particles=linked[i][0],
            trajectories=linked[i][1],
            manifolds=None if manifolds is None else manifolds.with_manifolds(surfaces[i]),
            fiducials=beads[i],
        )
        for i, names in enumerate(parts)
    ]


def of_particles(project: Project, rows: npt.NDArray[np.bool_]) -> Project:
    """The project with these of its particles only, and their trajectories."""
    particles = project.particles
    if particles is None:
        return project
    ((kept, motion),) = _apart(particles, project.trajectories, np.where(rows, 0, -1), 1)
    return project.with_sets(particles=kept, trajectories=motion)


def _apart(
    particles: ParticleSet, motion: TrajectorySet | None, where: npt.NDArray[np.int64], n: int
) -> list[tuple[ParticleSet | None, TrajectorySet | None]]:
    """Particles by the part that each is in, -1 for none, and their trajectories."""
    if n == 1 and not where.any():
        return [(particles, motion)]
    names = particles.particle_names
    named = replace(particles, names=names)  # as now: a number may be part of a name
    order = np.argsort(where, kind="stable")
    edges = np.searchsorted(where[order], np.arange(n + 1))
    kept = [named.select(order[a:b]) for a, b in itertools.pairwise(edges.tolist())]
    if motion is None:
        return [(one, None) for one in kept]
    of = dict(zip(names.tolist(), where.tolist(), strict=True))
    found: list[dict[str, npt.ArrayLike]] = [{} for _ in range(n)]
    for name, shifts in motion.items():
        mine = of.get(name)
        for i in range(n) if mine is None else [mine] * (mine >= 0):
            found[i][name] = shifts
    return [(one, motion.with_trajectories(t)) for one, t in zip(kept, found, strict=True)]


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
