"""What reads files into the model, and writes them from it; the list of formats is in `_list`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tomoset.errors import UnsupportedError
from tomoset.formats._common_tilts import CommonTilts, common_tilts
from tomoset.formats._ctf_tables import defocus_texts, read_defocus_of
from tomoset.formats._destination import Destination
from tomoset.formats._files import refuse_unless_set
from tomoset.formats._format import Format
from tomoset.formats._importing import larger_first
from tomoset.formats._list import (
    FORMATS,
    beads_format,
    format_named,
    format_of,
    refuse_unable,
    working_format,
)
from tomoset.formats._names import Renaming, bare, read_listed, read_renaming, suggested_map
from tomoset.formats._open import (
    check_images,
    is_linked,
    open_linked,
    open_parts,
    other_importer,
    read,
    read_without_images,
    series_inside,
    wrong_images,
)
from tomoset.formats._particle_files import (
    is_particle_set,
    picks_format,
    read_particles,
    table_format,
)
from tomoset.formats._pick_frames import Picked
from tomoset.formats._pick_names import names_path, read_names
from tomoset.formats._picks import joined as joined_particles
from tomoset.formats._point_files import POINT_FILES, PointFile, read_points
from tomoset.formats._relion_sets.fsc import read_fsc
from tomoset.formats._words import (
    BEYOND_RIGID,
    Ability,
    Failure,
    LinkedFiles,
    Loss,
    Motion,
    Option,
    Reading,
    StrPath,
    Tolerance,
)
from tomoset.formats.imod.commands import format_list
from tomoset.formats.mdoc.tell import tell
from tomoset.model import ParticleSet, Project, TomogramSet
from tomoset.model.io import enter

__all__ = [
    "BEYOND_RIGID",
    "FORMATS",
    "POINT_FILES",
    "Ability",
    "CommonTilts",
    "Destination",
    "Failure",
    "Format",
    "LinkedFiles",
    "Loss",
    "Motion",
    "Option",
    "ParticleSet",
    "Picked",
    "PointFile",
    "Project",
    "Reading",
    "Renaming",
    "Tolerance",
    "TomogramSet",
    "bare",
    "beads_format",
    "check_images",
    "common_tilts",
    "defocus_texts",
    "format_list",
    "format_named",
    "format_of",
    "is_linked",
    "is_particle_set",
    "joined_particles",
    "larger_first",
    "names_path",
    "open_linked",
    "open_parts",
    "other_importer",
    "picks_format",
    "read",
    "read_defocus_of",
    "read_fsc",
    "read_listed",
    "read_names",
    "read_particles",
    "read_points",
    "read_renaming",
    "read_without_images",
    "refuse_unable",
    "refuse_unless_set",
    "series_inside",
    "suggested_map",
    "table_format",
    "tell",
    "working_format",
    "wrong_images",
]


def _chosen(tomograms: TomogramSet, format: str | None) -> Format:
    """The format in which something is to be written."""
    if format is None:
        return working_format(tomograms)
    able = [f.name for f in FORMATS if f.writes and f.alignments]
    if format not in able:
        *others, last = able
        raise UnsupportedError(
            f"a project is written as {', '.join(others)} or {last}, not {format!r}"
        )
    return format_named(format)


def write_set(tomograms: TomogramSet, path: StrPath, format: str | None = None) -> None:
    """Write a tomogram set: `TomogramSet.write`."""
    _chosen(tomograms, format).write_set(tomograms, path)


def write_particles(
    particles: ParticleSet, path: StrPath, tomograms: TomogramSet, format: str | None = None
) -> None:
    """Write particles: `ParticleSet.write`."""
    if format is not None and format_named(format).particle_files:
        format_named(format).write_picks(particles, path, tomograms, Picked())
        return
    _chosen(tomograms, format).write_particles(particles, path, tomograms)


def write_project(project: Project, folder: StrPath, format: str | None = None) -> Path:
    """Write a project: `Project.write`."""
    return Path(_chosen(project.tomograms, format).write(project, folder))


def load(project: Project, given: Mapping[str, StrPath], *, check_links: bool = True) -> Project:
    """Read what is unread: `Project.load`."""
    return working_format(project.tomograms).load(project, given, check_links=check_links)


enter(write_set=write_set, write_particles=write_particles, write_project=write_project, load=load)
