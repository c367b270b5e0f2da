"""Several projects as one."""

from __future__ import annotations

import re
import warnings
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from tomoset.errors import LossyWarning, ModelError, some_of
from tomoset.formats import working_format
from tomoset.model import ManifoldSet, Optics, Project, Tomogram, TomogramSet
from tomoset.project.edit._follow import renamed
from tomoset.project.edit._merge_particles import (
    groups_of,
    joined_motion,
    joined_particles,
    joined_source,
    with_groups,
)


def merge(
    projects: Sequence[Project], *, prefixes: Sequence[str] = (), to: str | None = None
) -> Project:
    """One project of several, with all that refers to their tomograms.

    Optics groups that have one name, or one number, but other values are told apart by new ones;
    those that are the same are one. Half maps, and what else is of a whole project, are those of
    the first.

    Parameters
    ----------
    projects : sequence of Project
        At least two, all of them read; their formats may differ.
    prefixes : sequence of str
        Put before the names of tomograms, one for each project; nothing where it is "".
    to : str, optional
        The format of the result; that of the first project if not given.

    Raises
    ------
    ModelError
        If two tomograms, or two particles, would have one name.

    Examples
    --------
    >>> from tomoset import Optics
    >>> one = Tomogram(name="a", n_tilts=1, optics=Optics(pixel_size=1.0))
    >>> single = Project(tomograms=TomogramSet([one]))
    >>> list(merge([single, single], prefixes=["s1_", "s2_"]).tomograms)
    ['s1_a', 's2_a']
    """
    if len(projects) < 2:
        raise ModelError("it takes at least two projects to merge")
    if prefixes and len(prefixes) != len(projects):
        raise ModelError(
            f"{len(projects)} projects need {len(projects)} prefixes, not {len(prefixes)} "
            "(`prefixes`)"
        )
    ready = [
        _prefixed(project, prefix) if prefix else project
        for project, prefix in zip(projects, prefixes or [""] * len(projects), strict=True)
    ]
    _refuse_twice("tomograms", [list(p.tomograms) for p in ready])
    ready = _apart(_own_particle_names(ready, prefixes))
    first = ready[0]
    manifolds = [p.manifolds for p in ready if p.manifolds is not None]
    _warn_of_references(ready)
    return first.with_sets(
        tomograms=TomogramSet(
            (t for p in ready for t in p.tomograms.values()),
            format=to or working_format(first.tomograms).name,
            files=[file for p in ready for file in p.tomograms.files],
            source=first.tomograms.source,
        ),
        particles=joined_particles(ready),
        trajectories=joined_motion(ready),
        manifolds=_joined_manifolds(manifolds),
        fiducials={name: beads for p in ready for name, beads in p.fiducials.items()},
    )


def _refuse_twice(what: str, names: Sequence[Iterable[str]]) -> None:
    counts = Counter(name for each in names for name in each)
    twice = [name for name, count in counts.items() if count > 1]
    if twice:
        raise ModelError(
            f"{what} of more than one project are called {some_of(twice)}; give each project a "
            "prefix (`prefixes`), or other names: tomoset rename"
        )


def _prefixed(project: Project, prefix: str) -> Project:
    return renamed(project, lambda name: f"{prefix}{name}")


def _own_particle_names(ready: Sequence[Project], prefixes: Sequence[str]) -> list[Project]:
    """Particles whose names others have too, called after their tomograms' new names."""
    seen, out = set[str](), []
    for i, project in enumerate(ready):
        prefix = prefixes[i] if prefixes else ""
        if prefix and _particle_names(project) & seen:
            project = _with_prefixed_particles(project, prefix)
        seen |= _particle_names(project)
        out.append(project)
    _refuse_twice("particles", [_particle_names(project) for project in out])
    return out


def _particle_names(project: Project) -> set[str]:
    particles, motion = project.particles, project.trajectories
    found = set() if particles is None else set(particles.particle_names.tolist())
    return found | set(() if motion is None else motion)


def _with_prefixed_particles(project: Project, prefix: str) -> Project:
    """``TS_01/1`` becomes ``s1_TS_01/1``, and so does any other name that has no such prefix."""
    particles, motion = project.particles, project.trajectories
    if particles is not None and particles.names is not None:
        new = np.array([f"{prefix}{name}" for name in particles.names.tolist()], dtype=np.str_)
        particles = replace(particles, names=new)
        if motion is not None:
            motion = motion.with_trajectories({f"{prefix}{n}": t for n, t in motion.items()})
    return project.with_sets(particles=particles, trajectories=motion)


def _apart(projects: Sequence[Project]) -> list[Project]:
    """The projects with other names for optics groups that earlier ones have otherwise."""
    any_particles = sum(p.particles is not None for p in projects) > 1
    known: dict[str, _Kinds] = {}
    out = []
    for project in projects:
        if any_particles and project.particles is not None:
            project = project.with_sets(particles=with_groups(project.particles, project.tomograms))
        kinds = _kinds(project)
        new: dict[str, str] = {}
        for name, kind in kinds.items():
            new[name] = _free(name, kind, known, set(kinds) | set(new.values()))
        for name, kind in kinds.items():
            old = known.get(new[name], {})
            known[new[name]] = {**kind, **old}
        out.append(_with_group_names(project, new))
    return out


#: What an optics group is: for tomograms, and for particles, all that is said of it.
_Kinds = dict[str, frozenset[object]]


def _kinds(project: Project) -> dict[str, _Kinds]:
    """Optics groups of a project, by name."""
    found: dict[str, dict[str, set[object]]] = {}
    for t in project.tomograms.values():
        of = found.setdefault(t.optics.group, {})
        of.setdefault("tomograms", set()).add(replace(t.optics, group=""))
    for optics, more in groups_of(project.particles).values():
        of = found.setdefault(optics.group, {})
        of.setdefault("particles", set()).add((replace(optics, group=""), more))
    return {name: {k: frozenset(v) for k, v in of.items()} for name, of in found.items()}


def _fits(kind: _Kinds, known: _Kinds) -> bool:
    return all(known.get(what, some) == some for what, some in kind.items())


def _free(name: str, kind: _Kinds, known: Mapping[str, _Kinds], own: set[str]) -> str:
    """The name, or the next one whose number is free, or has the same values."""
    match = re.fullmatch(r"(.*?)(\d*)", name, re.DOTALL)
    assert match is not None
    stem, number, tried = match[1], int(match[2] or 1), name
    while not _fits(kind, known.get(tried, {})) or (tried != name and tried in own):
        number += 1
        tried = f"{stem}{number}"
    return tried


def _with_group_names(project: Project, new: Mapping[str, str]) -> Project:
    if all(old == now for old, now in new.items()):
        return project

    def named(optics: Optics) -> Optics:
        return replace(optics, group=new.get(optics.group, optics.group))

    def tomogram(t: Tomogram) -> Tomogram:
        return replace(t, optics=named(t.optics)).with_excluded(tomogram)

    particles = project.particles
    if particles is not None:
        optics = {number: named(o) for number, o in particles.optics.items()}
        particles = replace(particles, optics=optics)
    tomograms = project.tomograms
    return project.with_sets(
        tomograms=tomograms.with_tomograms(map(tomogram, tomograms.values())),
        particles=particles,
    )


def _joined_manifolds(sets: Sequence[ManifoldSet]) -> ManifoldSet | None:
    if len(sets) < 2:
        return sets[0] if sets else None
    first, *others = (one.source for one in sets)
    found = {name: some for one in sets for name, some in one.items()}
    return ManifoldSet(found, source=joined_source(first, others))


def _warn_of_references(projects: Sequence[Project]) -> None:
    first, *others = projects
    lost = {what for p in others for what, path in p.references.items()
            if first.references.get(what) != path}  # fmt: skip
    if lost:
        warnings.warn(
            f"the projects have other references ({', '.join(sorted(lost))}); those of the first "
            "are kept",
            LossyWarning,
            stacklevel=3,
        )
