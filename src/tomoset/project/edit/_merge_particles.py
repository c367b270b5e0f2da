"""Particles of several projects as one set, their optics groups told apart."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from tomoset.errors import AssumptionWarning, LossyWarning
from tomoset.model import Optics, ParticleSet, Project, TomogramSet, TrajectorySet, VisibleTilts

#: What an optics group is, but for its number: values, and what else its file says.
Group = tuple[Optics, frozenset[tuple[str, str]]]


def with_groups(particles: ParticleSet, tomograms: TomogramSet) -> ParticleSet:
    """The particles with optics groups: those of their tomograms where nobody gave them any."""
    if particles.optics:
        return particles
    numbers, optics = dict[Optics, int](), dict[int, Optics]()
    groups = np.ones(len(particles), np.int64)
    for name, rows in particles.by_tomogram().items():
        own = tomograms[name].optics
        groups[rows] = numbers.setdefault(own, len(numbers) + 1)
        optics[numbers[own]] = own
    if len({o.group for o in optics.values()}) < len(optics):
        optics = {n: replace(o, group=f"opticsGroup{n}") for n, o in optics.items()}
    sizes = particles.pixel_sizes
    if sizes is None and all(o.pixel_size for o in optics.values()):
        sizes = np.array([optics[number].pixel_size for number in groups.tolist()])
    return replace(particles, optics_groups=groups, optics=optics, pixel_sizes=sizes)


def groups_of(particles: ParticleSet | None) -> dict[int, Group]:
    """Optics groups of particles, by number."""
    if particles is None:
        return {}
    source = particles.source
    return {
        number: (optics, frozenset(() if source is None else source.group(number).items()))
        for number, optics in particles.optics.items()
    }


def joined_particles(projects: Sequence[Project]) -> ParticleSet | None:
    """Particles of all projects, those of the first first; same optics groups are one."""
    pairs = [(p.particles, p.tomograms) for p in projects if p.particles is not None]
    sets = [particles for particles, _ in pairs]
    if len(sets) < 2:
        return sets[0] if sets else None
    optics, numbers = _renumbered(sets)
    groups = []
    for one, new in zip(sets, numbers, strict=True):
        old = np.zeros(len(one), np.int64) if one.optics_groups is None else one.optics_groups
        found, which = np.unique(old, return_inverse=True)
        alone = next(iter(new.values()), 1)
        groups.append(np.array([new.get(n, alone) for n in found.tolist()], np.int64)[which])
    named = any(one.names is not None for one in sets)
    return ParticleSet(
        tomogram_names=np.concatenate([one.tomogram_names for one in sets]),
        coordinates=np.concatenate([one.coordinates for one in sets]),
        names=np.concatenate([one.particle_names for one in sets]) if named else None,
        visible=_visible(pairs),
        optics_groups=np.concatenate(groups),
        optics=optics,
        source=_source(sets, numbers),
        **{field: _triples(sets, field) for field in ("origins", "subtomogram_angles", "angles")},
        **{field: _of_all(sets, field) for field in ("halves", "classes", "scores", "pixel_sizes")},
    )


def _renumbered(
    sets: Sequence[ParticleSet],
) -> tuple[dict[int, Optics], list[dict[int, int]]]:
    """All groups by new numbers, which are the old ones where they are free; and those of each."""
    number_of: dict[Group, int] = {}
    optics: dict[int, Optics] = {}
    every = []
    for one in sets:
        new: dict[int, int] = {}
        for old, group in groups_of(one).items():
            if group not in number_of:
                number_of[group] = old if old not in optics else max(optics) + 1
                optics[number_of[group]] = group[0]
            new[old] = number_of[group]
        every.append(new)
    return optics, every


def _visible(pairs: Sequence[tuple[ParticleSet, TomogramSet]]) -> VisibleTilts | None:
    if all(particles.visible is None for particles, _ in pairs):
        return None
    flat, lengths = list[npt.NDArray[np.bool_]](), [np.zeros(1, np.int64)]
    for particles, tomograms in pairs:
        if particles.visible is None:
            n_tilts = {name: t.n_tilts for name, t in tomograms.items()}
            lengths.append(np.array([n_tilts[n] for n in particles.tomogram_names.tolist()]))
            flat.append(np.ones(int(lengths[-1].sum()), np.bool_))
        else:
            masks = VisibleTilts.of(particles.visible)
            lengths.append(masks.lengths)
            flat.append(masks.flat)
    return VisibleTilts(np.concatenate(flat), np.cumsum(np.concatenate(lengths)))


def _triples(sets: Sequence[ParticleSet], field: str) -> Any:
    """Three columns, 0 where a set has none, as readers take them."""
    values = [getattr(one, field) for one in sets]
    if all(value is None for value in values):
        return None
    return np.concatenate(
        [np.zeros((len(one), 3)) if v is None else v for one, v in zip(sets, values, strict=True)]
    )


def _of_all(sets: Sequence[ParticleSet], field: str) -> Any:
    """A column that all sets have; where only some have it, that is said, and it is dropped."""
    values = [getattr(one, field) for one in sets]
    lacking = sum(value is None for value in values)
    if 0 < lacking < len(sets):
        warnings.warn(
            f"particles of {lacking} of {len(sets)} projects have no {field.replace('_', ' ')}, so "
            "those of the others are dropped",
            LossyWarning,
            stacklevel=5,
        )
    return None if lacking else np.concatenate(values)


def _source(sets: Sequence[ParticleSet], numbers: Sequence[Mapping[int, int]]) -> Any:
    first, *others = (one.source for one in sets)
    if first is None or not all(type(other) is type(first) for other in others):
        return None
    return first.joined(others, numbers)


def joined_motion(
    projects: Sequence[Project],
) -> TrajectorySet | None:
    """Trajectories of all projects; particles of those that have none do not move."""
    sets = [p.trajectories for p in projects if p.trajectories is not None]
    if not sets:
        return None
    found: dict[str, npt.ArrayLike] = {}
    for project in projects:
        if project.trajectories is not None:
            found |= project.trajectories
        elif project.particles is not None and len(project.particles):
            found |= _still(project.particles, project.tomograms)
            warnings.warn(
                f"the {len(project.particles)} particles of a project without trajectories are "
                "taken not to move, as others have some",
                AssumptionWarning,
                stacklevel=4,
            )
    first, *others = (one.source for one in sets)
    return TrajectorySet(found, source=joined_source(first, others))


def _still(particles: ParticleSet, tomograms: TomogramSet) -> dict[str, npt.ArrayLike]:
    pairs = zip(particles.particle_names.tolist(), particles.tomogram_names.tolist(), strict=True)
    return {name: np.zeros((tomograms[of].n_tilts, 3)) for name, of in pairs}


def joined_source(first: Any, others: Sequence[Any]) -> Any:
    """Texts of several sets as those of one, where all were read alike; else the first's."""
    join: Callable[[Sequence[Any]], Any] | None = getattr(first, "joined", None)
    alike = [other for other in others if type(other) is type(first)]
    return first if join is None or len(alike) < len(others) else join(others)
