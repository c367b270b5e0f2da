"""Files of particles and of points, carried from one alignment to another."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tomoset.errors import LossyWarning, ModelError
from tomoset.files import Guard
from tomoset.formats import (
    Format,
    Picked,
    is_particle_set,
    joined_particles,
    read_points,
    table_format,
    working_format,
)
from tomoset.model import ParticleSet, Project, TomogramSet
from tomoset.model.io import StrPath
from tomoset.project._read import open_readable
from tomoset.project._write import write_at
from tomoset.project.history import writing
from tomoset.project.mapping import MAX_RESIDUAL, Mapped, map_project


@dataclass(frozen=True, kw_only=True)
class MapOptions:
    """How things are carried over.

    Parameters
    ----------
    rename, max_residual, pointwise
        As of `map_project`.
    picked : Picked
        The volumes that points were picked in: their binning, and how they lie.
    tomogram : str, optional
        The one that points are in, where their file does not say it.
    manifolds, trajectories : str, optional
        Files to take instead of those of the old project.
    overwrite : bool
        Whether files that are there are replaced.
    """

    rename: Mapping[str, str] = field(default_factory=dict)
    max_residual: float = MAX_RESIDUAL
    pointwise: bool = False
    picked: Picked = field(default_factory=Picked)
    tomogram: str | None = None
    manifolds: str | None = None
    trajectories: str | None = None
    overwrite: bool = False


@dataclass(frozen=True, kw_only=True, eq=False)
class MappedFiles:
    """What was written, and how each tomogram was carried over."""

    written: list[str]
    reports: list[Mapped]


def map_files(
    old: StrPath,
    new: StrPath,
    sources: Sequence[str],
    target: StrPath,
    options: MapOptions | None = None,
) -> MappedFiles:
    """What lies in tomograms of one set, written in the frames of another set: all or nothing.

    Parameters
    ----------
    old, new : path-like
        Two sets of the same series, aligned otherwise.
    sources : sequence of str
        RELION's particles, particle tables of other packages, or files of points; if none are
        given, all that belongs to the old project.
    target : path-like
        A folder; or a file, of one source.
    options : MapOptions, optional
        How.

    Raises
    ------
    TomosetError
        If something cannot be read, carried or written.
    """
    options = options or MapOptions()
    path = os.fspath(target)
    whole = [source for source in sources if _is_whole(source, options.picked)]
    others = [source for source in sources if source not in whole]
    is_file = bool(os.path.splitext(path)[1]) and not os.path.isdir(path)
    if len(whole) > 1 or (is_file and len(sources) != 1):
        raise ModelError(
            "a file is made of one source"
            if is_file
            else f"particles are in {len(whole)} files; give one particles.star at a time"
        )
    given = {name: getattr(options, name) for name in ("manifolds", "trajectories")}
    sets = bool(whole) or not sources
    project = open_readable(
        old, linked=sets, **({"particles": whole[0] if whole else None, **given} if sets else {})
    )
    into = open_readable(new, linked=False)
    reads = [*project.set_files(), *into.set_files(), *sources]
    inputs = [*project.named_files(), *into.named_files(), *sources]
    guard = Guard(lambda: inputs, overwrite=options.overwrite)
    with writing(os.path.dirname(path) if is_file else path, guard, lambda: reads):
        made = MappedFiles(written=[], reports=[])
        if sets:
            _map_sets(project, into.tomograms, (path, is_file), options, made)
        tables: dict[Format, list[str]] = {}
        for source in others:
            format = table_format(source)
            if format is not None:
                tables.setdefault(format, []).append(source)
                continue
            place = path if is_file else os.path.join(path, os.path.basename(source))
            _map_points((source, place), project.tomograms, into.tomograms, options, made)
        for format, some in tables.items():
            _map_tables((format, some, path), project.tomograms, into.tomograms, options, made)
        return made


def _is_whole(source: str, picked: Picked) -> bool:
    """Whether a file is a particle set of RELION, in voxels of bin 1 or in Å."""
    if not is_particle_set(source) or table_format(source) is not None:
        return False
    said = picked.binning or picked.pixel_size or picked.volume != "same"
    return not said


def _mapped(project: Project, new: TomogramSet, options: MapOptions, made: MappedFiles) -> Project:
    there, reports = map_project(
        project,
        new,
        rename=options.rename,
        max_residual=options.max_residual,
        pointwise=options.pointwise,
    )
    made.reports.extend(reports)
    return there


def _map_sets(
    project: Project,
    new: TomogramSet,
    where: tuple[str, bool],
    options: MapOptions,
    made: MappedFiles,
) -> None:
    """A whole project into a folder, or its particles into a file."""
    path, is_file = where
    held = vars(project)
    if not any(held[n] is not None for n in ("particles", "manifolds")) and not project.fiducials:
        raise ModelError(
            "nothing lies in the tomograms of the old set: give particles or points, or the "
            "optimisation set that names them"
        )
    there = _mapped(project, new, options, made)
    if not is_file:
        made.written.append(write_at(there, os.path.join(path, "tomograms.star")))
        return
    if there.particles is None:
        raise ModelError(f"there are no particles for {path}; give a folder for all that there is")
    if there.trajectories is not None or there.manifolds is not None or there.fiducials:
        warnings.warn(
            f"{path} has the particles alone; give a folder, and trajectories, manifolds and "
            "fiducials come along",
            LossyWarning,
            stacklevel=4,
        )
    working_format(new).write_particles(there.particles, path, new)
    made.written.append(path)


def _map_points(
    files: tuple[str, str],
    old: TomogramSet,
    new: TomogramSet,
    options: MapOptions,
    made: MappedFiles,
) -> None:
    """One file of points into another of its kind."""
    source, target = files
    points = read_points(source)
    particles = points.particles(old, options.picked, options.tomogram)
    moved = _moved(particles, old, new, options, made)
    points.write(moved, target, new, options.picked)
    made.written.append(target)


def _map_tables(
    tables: tuple[Format, list[str], str],
    old: TomogramSet,
    new: TomogramSet,
    options: MapOptions,
    made: MappedFiles,
) -> None:
    """Tables of one package into one, or into its folder."""
    format, sources, target = tables
    read = [format.read_picks(source, old, options.picked) for source in sources]
    moved = _moved(joined_particles(read), old, new, options, made)
    written = format.write_picks(moved, target, new, options.picked)
    if os.path.splitext(target)[1] and written != [target]:
        raise ModelError(f"{format.package} has a file for each tomogram; give a folder")
    made.written.extend(written)


def _moved(
    particles: ParticleSet,
    old: TomogramSet,
    new: TomogramSet,
    options: MapOptions,
    made: MappedFiles,
) -> ParticleSet:
    moved = _mapped(Project(tomograms=old, particles=particles), new, options, made).particles
    assert moved is not None
    return moved
