"""A tomogram set in a file, and what belongs to it beside it."""

from __future__ import annotations

import os

from tomoset.files import together, write
from tomoset.formats import Tolerance, working_format
from tomoset.model import Project

#: What ties the sets of a folder together.
LINKS_FILE = "optimisation_set.star"


def has_links(project: Project) -> bool:
    """Whether there is more than tomograms, or a file that ties sets together."""
    held = vars(project)
    sets = any(held[name] is not None for name in ("particles", "manifolds", "trajectories"))
    return sets or bool(project.path or project.unread or project.references)


def write_at(
    project: Project, path: str | os.PathLike[str], tolerance: Tolerance | None = None
) -> str:
    """Write a project: its tomograms to a file, all else under RELION's names beside it.

    Sets that have not been read stay where they are, and are named. In a block of
    `tomoset.files.together` all files take their places when that ends.

    Parameters
    ----------
    project : Project
        In the format of its tomograms, or RELION 4's where that has no files of whole sets.
    path : path-like
        Of the file that lists the tomograms.
    tolerance : Tolerance, optional
        What may be lost.

    Returns
    -------
    str
        What ties the sets together: an optimisation set, or the tomograms alone.

    Raises
    ------
    UnsupportedError
        If the format cannot say what the set holds.
    ModelError
        If sets contradict each other.
    """
    format, path = working_format(project.tomograms), os.fspath(path)
    folder = os.path.dirname(path)
    linked = format.linked_files(project, folder)
    links = os.path.join(folder, LINKS_FILE)
    with together():
        format.write_set(linked.tomograms, path, tolerance)
        for file, content in linked.contents.items():
            write(file, content)
        if not has_links(project):
            return path
        write(links, format.links_file(project, {**linked.paths, "tomograms": path}))
    return links
