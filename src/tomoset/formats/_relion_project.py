"""Sets that belong together, as RELION's files (docs/relion.md, 'Sets that refer to tomograms')."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace

from tomoset import star
from tomoset.errors import ModelError
from tomoset.formats import _relion_sets as sets
from tomoset.formats._relion_labels import LABELS
from tomoset.formats._words import LinkedFiles
from tomoset.model import TomogramSet
from tomoset.model.project import LINKED, Project
from tomoset.paths import Finder, file_names, from_here

#: What RELION calls the files of linked sets.
_NAMES = {
    "particles": "particles.star",
    "manifolds": "manifolds.star",
    "trajectories": "motion.star",
}


def linked_files(project: Project, folder: str, dialect: str) -> LinkedFiles:
    """The sets of a project that have been read, as files of a folder; see `Format`."""
    read = {name: getattr(project, name) for name in LINKED if name not in project.unread}
    texts: dict[str, star.StarFile] = {}
    if (particles := read.get("particles")) is not None:
        texts["particles"] = sets.particles_to_star(particles, dialect, project.tomograms)
    if (manifolds := read.get("manifolds")) is not None:
        texts["manifolds"] = sets.manifolds_to_star(manifolds, dialect)
    if (trajectories := read.get("trajectories")) is not None:
        texts["trajectories"] = sets.trajectories_to_star(trajectories, dialect)
    paths = {name: os.path.join(folder, _NAMES[name]) for name in texts}
    tomograms, beads = _with_fiducials(project, folder, dialect)
    contents = {paths[name]: b"".join(star.encode(text)) for name, text in texts.items()}
    return LinkedFiles(tomograms=tomograms, contents=contents | beads, paths=paths)


def _with_fiducials(
    project: Project, folder: str, dialect: str
) -> tuple[TomogramSet, dict[str, bytes]]:
    """The tomograms, naming their files of fiducials, and those files by path."""
    texts: dict[str, bytes] = {}
    tomograms = []
    names = file_names(project.tomograms)
    for name, tomogram in project.tomograms.items():
        fiducials = project.fiducials.get(name)
        if fiducials is None:
            tomograms.append(tomogram)
            continue
        pixel_size = tomogram.optics.pixel_size
        if pixel_size is None:
            raise ModelError(f"tomogram {name!r} has fiducials but no pixel size, to say them in Å")
        path = os.path.join(folder, f"fiducials_{names[name]}.star")
        text = sets.fiducials_to_star(fiducials, dialect=dialect, pixel_size=pixel_size)
        texts[path] = b"".join(star.encode(text))
        tomograms.append(replace(tomogram, fiducials=from_here(path)))
    return project.tomograms.with_tomograms(tomograms), texts


def links_file(project: Project, paths: Mapping[str, str], dialect: str) -> bytes:
    """The optimisation set of a project whose sets are in these files; see `Format`."""
    old = project.source if isinstance(project.source, star.StarFile) else None
    entries: dict[str, str] = {}
    if old is not None:
        finder, said = Finder(old.path), sets.read_optimisation_set(old).entries
        entries = {label: finder.here(name) for label, name in said.items()}
    for name in (name for name in LINKED if name not in project.unread):
        own, text = getattr(getattr(project, name), "path", None), entries.get(LABELS[name], "")
        if own is not None and os.path.realpath(own) != os.path.realpath(text):
            entries[LABELS[name]] = own  # another was taken
    named = {**project.unread, **project.references, **paths}
    entries |= {LABELS[name]: path for name, path in named.items()}
    entries = {label: from_here(path) if path else path for label, path in entries.items()}
    return b"".join(star.encode(sets.optimisation_set_to_star(entries, old, dialect)))
