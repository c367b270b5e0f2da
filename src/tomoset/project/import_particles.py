"""Particle tables of other packages as particles of a set, in files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from tomoset.errors import UnknownFormatError
from tomoset.files import Guard, write
from tomoset.formats import (
    FORMATS,
    Format,
    Picked,
    format_named,
    joined_particles,
    picks_format,
    read_names,
    read_particles,
    working_format,
)
from tomoset.model import ParticleSet, Project
from tomoset.model.io import StrPath
from tomoset.project._read import open_tomograms
from tomoset.project._write import LINKS_FILE
from tomoset.project.history import writing


@dataclass(frozen=True, kw_only=True)
class Options:
    """What an import of particle tables is told.

    Parameters
    ----------
    picked : Picked
        What tables do not say.
    format : str, optional
        Whose tables these are; found from their content if not given.
    to : str, optional
        Format of the particles; that of the set if not given.
    names : str, optional
        A file of what tables call tomograms, and their names in the set, instead of those of
        `picked`.
    overwrite : bool
        Whether files that are there, and are others, are replaced.
    """

    picked: Picked = field(default_factory=Picked)
    format: str | None = None
    to: str | None = None
    names: str | None = None
    overwrite: bool = False


@dataclass(frozen=True, kw_only=True, eq=False)
class ImportedParticles:
    """Particles that came in, their file, and what ties them to the set if it was asked for."""

    path: str
    links: str | None
    particles: ParticleSet


def import_particles(
    sources: Sequence[StrPath], tomograms: StrPath, target: StrPath, options: Options
) -> ImportedParticles:
    """Make particles of a set from particle tables of other packages.

    Parameters
    ----------
    sources : sequence of path-like
        The tables.
    tomograms : path-like
        The set, or its project.
    target : path-like
        ``particles.star``; a folder, or ``optimisation_set.star``, also gets what ties both sets.
    options : Options
        What tables do not say, and what is wanted.

    Raises
    ------
    TomosetError
        If a table is none, does not fit the set, or a file may not be replaced. Nothing is written.
    """
    project, names = open_tomograms(tomograms), options.names
    _refuse_others(sources, options.format)
    picked = options.picked if names is None else replace(options.picked, names=read_names(names))
    found = joined_particles(
        [read_particles(path, project.tomograms, options.format, picked) for path in sources]
    )
    own = working_format(project.tomograms)
    format = own if options.to is None else format_named(options.to)
    path, links = _outputs(os.fspath(target))
    read_from = [os.fspath(path) for path in (*sources, *([] if names is None else [names]))]
    guard = Guard(lambda: [*project.named_files(), *read_from], overwrite=options.overwrite)
    reads = [*project.set_files(), *read_from]
    with writing(os.path.dirname(path), guard, lambda: reads):
        format.write_particles(found, path, project.tomograms)
        if links is not None:
            write(links, _links(project, found, path, format))
    return ImportedParticles(path=path, links=links, particles=found)


def _refuse_others(sources: Sequence[StrPath], format: str | None) -> None:
    """Refuse files that are no particle tables by their names."""
    for source in sources:
        if picks_format(source, format) is None and not os.fspath(source).endswith(".star"):
            endings = [ending for format in FORMATS for ending in format.particle_files]
            raise UnknownFormatError(
                f"not a particle table that is known: these end in {', '.join(endings)}; say whose "
                "it is (`format`)",
                path=source,
            )


def _outputs(output: str) -> tuple[str, str | None]:
    """The particles' file, and that of what ties the sets where it is asked for."""
    folder = output
    if os.path.basename(output) == LINKS_FILE:
        folder = os.path.dirname(output)
    elif not os.path.isdir(output) and not output.endswith("/"):
        return output, None
    return os.path.join(folder, "particles.star"), os.path.join(folder, LINKS_FILE)


def _links(project: Project, found: ParticleSet, path: str, format: Format) -> bytes:
    """What ties the particles to their tomograms."""
    tied = Project(tomograms=project.tomograms, particles=found)
    named = {"particles": path, "tomograms": os.path.relpath(project.tomograms.path or "")}
    return format.links_file(tied, named)
