"""The sets that are written with aligned tomograms: particles, trajectories, references."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from tomoset.derived import Carried, source_path, targets_beside
from tomoset.errors import AssumptionWarning
from tomoset.formats import working_format
from tomoset.model import ParticleSet, TomogramSet, TrajectorySet
from tomoset.particles.align.findings import Findings
from tomoset.project import Project

Array = npt.NDArray[np.float64]


class ParticleFollowers:
    """Particles where results have them, and how they move.

    Parameters
    ----------
    project : Project
        Tomograms and particles as they were; trajectories if there are any.
    folder : str
        Of the new set.
    entries : mapping of str to str
        Of the optimisation set, besides those: the references.

    Attributes
    ----------
    targets : sequence of str
        The files that may be written.

    Raises
    ------
    FileAccessError
        If one of them is a file that is read.
    """

    targets: Sequence[str]

    def __init__(self, project: Project, folder: str, entries: Mapping[str, str]) -> None:
        self._project, self._folder, self._entries = project, folder, dict(entries)
        sources = {"particles.star": source_path(project.particles)}
        sources["motion.star"] = source_path(project.trajectories)
        self.targets = targets_beside(folder, sources)

    def carried(self, tomograms: TomogramSet, results: Mapping[str, dict[str, Any]]) -> Carried:
        """Particles and trajectories that go with these tomograms."""
        particles = self._project.particles
        assert particles is not None
        found = {name: Findings.read(result["found"]) for name, result in results.items()}
        placed = {name: found[name].positions for name in found if results[name]["particles_moved"]}
        moving = {name: found[name].trajectories for name in found if results[name]["trajectories"]}
        project = self._project.with_sets(
            tomograms=tomograms,
            particles=_placed(particles, placed),
            trajectories=self._trajectories(particles, moving),
            manifolds=None,
            fiducials={},
        )
        linked = working_format(tomograms).linked_files(project, self._folder)
        entries = {**self._entries, **linked.paths}
        return Carried(tomograms=linked.tomograms, contents=linked.contents, entries=entries)

    def _trajectories(
        self, particles: ParticleSet, found: Mapping[str, Array]
    ) -> TrajectorySet | None:
        """The old ones and those that were found; 0 for particles that have neither."""
        old = self._project.trajectories
        if not found:
            return old
        shifts: dict[str, Array] = {} if old is None else dict(old)
        names = particles.particle_names
        for tomogram, rows in particles.by_tomogram().items():
            n_tilts = self._project.tomograms[tomogram].n_tilts
            new = found.get(tomogram)
            for i, name in enumerate(names[rows].tolist()):
                if new is not None:
                    shifts[name] = new[i]
                elif name not in shifts:
                    shifts[name] = np.zeros((n_tilts, 3))
        _say_of_zeros(particles, found, old)
        return TrajectorySet(shifts) if old is None else old.with_trajectories(shifts)


def _say_of_zeros(
    particles: ParticleSet, found: Mapping[str, Array], old: TrajectorySet | None
) -> None:
    others = [name for name in particles.by_tomogram() if name not in found]
    if others and old is None:
        warnings.warn(
            f"no motion was found in {len(others)} tomograms ({', '.join(others[:3])}); RELION "
            "wants a trajectory of every particle, and theirs is 0",
            AssumptionWarning,
            stacklevel=5,
        )


def _placed(particles: ParticleSet, positions: Mapping[str, Array]) -> ParticleSet:
    """The particles at new places of some tomograms, where origins are 0."""
    if not positions:
        return particles
    coordinates = particles.coordinates.copy()
    origins = None if particles.origins is None else particles.origins.copy()
    rows = particles.by_tomogram()
    for name, places in positions.items():
        coordinates[rows[name]] = places
        if origins is not None:
            origins[rows[name]] = 0.0
    return replace(particles, coordinates=coordinates, origins=origins)
