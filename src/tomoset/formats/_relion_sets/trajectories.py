"""RELION's trajectories, ``motion.star``: a table a particle, named like it.

See docs/relion.md, 'Trajectories'.

Both dialects say the same: shifts in Å, a row a tilt image, in the order of the tilt table.
https://relion.readthedocs.io/en/release-5.0/Reference/STA/Datatypes/trajectory_set.html
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from tomoset import star
from tomoset.errors import AssumptionWarning, LossyWarning, MissingFieldError
from tomoset.formats._numbers import possible_floats
from tomoset.formats._relion_sets._columns import ORIGINS
from tomoset.formats._texts import VERSIONS, Array, float_texts, some
from tomoset.model import ParticleSet, TomogramSet, TrajectorySet

GENERAL = "general"
COUNT = "rlnParticleNumber"


@dataclass(frozen=True, kw_only=True, eq=False)
class TrajectorySource:
    """The file that trajectories came from, and the particle each of its tables is for.

    None stands for a table that is no trajectory, or the second of a name.
    """

    file: star.StarFile
    particles: tuple[str | None, ...]

    def joined(self, others: Sequence[TrajectorySource]) -> TrajectorySource:
        """The tables of several files; what is no trajectory is the first one's."""
        tables, particles = list(self.file.tables), list(self.particles)
        for other in others:
            for table, particle in zip(other.file.tables, other.particles, strict=True):
                if particle is not None:
                    tables.append(table)
                    particles.append(particle)
        file = replace(self.file, tables=tuple(tables))
        return TrajectorySource(file=file, particles=tuple(particles))


def read_trajectories(
    path: str | os.PathLike[str],
    particles: ParticleSet | None = None,
    tomograms: TomogramSet | None = None,
) -> TrajectorySet:
    """Read the trajectories of particles.

    Parameters
    ----------
    path : path-like
        ``motion.star``.
    particles : ParticleSet, optional
        Every one must have a trajectory, by `ParticleSet.particle_names`. Tables may also be
        numbered from 0 in the order of these particles, as they once were.
    tomograms : TomogramSet, optional
        A trajectory has a row for every tilt image of its particle's tomogram.

    Returns
    -------
    TrajectorySet
        Also of particles that are not in `particles`.

    Raises
    ------
    FileFormatError
        If a particle has none, a number of rows is wrong, or the file is not whole.
    """
    file = star.read(path)
    tables = [i for i, t in enumerate(file.tables) if all(label in t for label in ORIGINS)]
    _check_count(file, len(tables), particles)
    names = [file.tables[i].name for i in tables]
    wanted = [] if particles is None else particles.particle_names.tolist()
    if particles is not None and set(wanted) - set(names):
        names = _numbered(file, names, wanted)
    meant: list[str | None] = [None] * len(file)
    found: dict[str, star.Table] = {}
    for i, name in zip(tables, names, strict=True):
        if name not in found:
            found[name] = file.tables[i]
            meant[i] = name
    if particles is not None and tomograms is not None:
        _check_rows(found, particles, tomograms)
    trajectories = {name: _shifts(table) for name, table in found.items()}
    return TrajectorySet(
        trajectories, source=TrajectorySource(file=file, particles=tuple(meant))
    ).in_file(file.path)


def _check_count(file: star.StarFile, there: int, particles: ParticleSet | None) -> None:
    general = next((t for t in file.tables if t.name == GENERAL and COUNT in t and len(t)), None)
    if general is None:
        if not there:
            labels = ", ".join(ORIGINS)
            raise MissingFieldError(
                f"not a trajectory set: expected data_general with {COUNT}, and tables named "
                f"like particles with {labels}",
                path=file.path,
            )
        warnings.warn(
            f"{file.path}: data_general with {COUNT} is missing; the {there} tables that are "
            "there are taken to be all",
            AssumptionWarning,
            stacklevel=3,
        )
        return
    count = int(general.ints(COUNT)[0])
    if count != there:
        raise general.error(
            f"{count} trajectories are announced, but the file has {there}; it may be cut off: "
            "make it again",
            0,
            COUNT,
        )
    if particles is not None and count < len(particles):
        raise general.error(
            f"there are {count} trajectories for {len(particles)} particles; give the particles "
            "that were polished with them, or leave the trajectories out",
            0,
            COUNT,
        )


def _numbered(file: star.StarFile, names: list[str], wanted: list[str]) -> list[str]:
    """The particles that tables of the legacy names 0, 1, ... are for."""
    if names == [str(i) for i in range(len(names))] and len(names) == len(wanted):
        warnings.warn(
            f"{file.path}: tables data_0 ... are taken for particles {wanted[0]!r} ..., by their "
            "place: the file has the legacy names of tables",
            AssumptionWarning,
            stacklevel=3,
        )
        return wanted
    there = set(names)
    lost = [name for name in wanted if name not in there]
    raise MissingFieldError(
        f"{len(lost)} of {len(wanted)} particles have no trajectory: {some(lost)}; the tables are "
        f"named {some(names)}. Give the particles that belong to this file",
        path=file.path,
    )


def _check_rows(
    found: dict[str, star.Table], particles: ParticleSet, tomograms: TomogramSet
) -> None:
    of = zip(particles.particle_names.tolist(), particles.tomogram_names.tolist(), strict=True)
    n_tilts = {name: tomogram.n_tilts for name, tomogram in tomograms.items()}
    for particle, tomogram in of:
        table = found[particle]
        if len(table) != n_tilts[tomogram]:
            raise table.error(
                f"expected {n_tilts[tomogram]} rows, one for each tilt image of tomogram "
                f"{tomogram!r}, found {len(table)}; excluding tilt images makes old trajectories "
                "invalid: polish again, or leave them out",
                0,
            )


def _shifts(table: star.Table) -> Array:
    out = np.empty((len(table), 3))
    for axis, label in enumerate(ORIGINS):
        out[:, axis] = possible_floats(table, label, "trajectory")
    out.flags.writeable = False
    return out


def trajectories_to_star(trajectories: TrajectorySet, dialect: str) -> star.StarFile:
    """The tables of a trajectory file; what nobody changed keeps its text."""
    source = trajectories.source if isinstance(trajectories.source, TrajectorySource) else None
    tables: list[star.Table] = []
    done: set[str] = set()
    if source is not None:
        for table, particle in zip(source.file.tables, source.particles, strict=True):
            if particle is None:
                tables.append(table)
            elif particle in trajectories:
                tables.append(_changed(table, particle, trajectories[particle]))
                done.add(particle)
    for particle, shifts in trajectories.items():
        if particle not in done:
            tables.append(_new_table(particle, shifts, None, VERSIONS[dialect]))
    count = sum(all(label in t for label in ORIGINS) for t in tables)
    comments = () if source is None else source.file.comments
    return star.StarFile(_with_count(tables, count, dialect), comments=comments)


def _with_count(tables: list[star.Table], count: int, dialect: str) -> tuple[star.Table, ...]:
    for i, table in enumerate(tables):
        if table.name == GENERAL:
            if COUNT not in table or table.ints(COUNT).tolist() != [count]:
                tables[i] = table.with_columns({COUNT: [str(count)]})
            return tuple(tables)
    columns = {COUNT: [str(count)]}
    general = star.Table(GENERAL, columns, is_loop=False, comments=(VERSIONS[dialect],))
    return (general, *tables)


def _changed(table: star.Table, particle: str, shifts: Array) -> star.Table:
    if len(table) != len(shifts):
        return _new_table(particle, shifts, table, *table.comments)
    columns: dict[str, Sequence[str]] = {
        label: float_texts(table, label, shifts[:, axis]) for axis, label in enumerate(ORIGINS)
    }
    if table.name == particle and all(columns[label] is table[label] for label in ORIGINS):
        return table
    return replace(table.with_columns(columns), name=particle)


def _new_table(particle: str, shifts: Array, old: star.Table | None, *comments: str) -> star.Table:
    """A trajectory of another length: its rows are not those of the old one."""
    if old is not None and len(old.labels) > len(ORIGINS):
        further = ", ".join(label for label in old.labels if label not in ORIGINS)
        warnings.warn(
            f"the trajectory of {particle!r} has {len(shifts)} rows, no longer {len(old)}: the "
            f"columns that tomoset does not know are dropped: {further}",
            LossyWarning,
            stacklevel=4,
        )
    columns = {
        label: float_texts(None, label, shifts[:, axis]) for axis, label in enumerate(ORIGINS)
    }
    return star.Table(particle, columns, comments=comments)
