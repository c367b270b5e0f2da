"""What is wrong with the sets and maps that are linked to a tomogram set, one by one."""

from __future__ import annotations

import os
from collections.abc import Iterator

from tomoset.errors import TomosetError
from tomoset.formats import working_format
from tomoset.model import Project


def problems(project: Project, *, whole: bool) -> Iterator[str]:
    """Of each set and map that the project names: what is wrong with it.

    Parameters
    ----------
    project : Project
        Whose linked sets have not been read.
    whole : bool
        Whether all of its tomograms are there: what refers to others is wrong only then.
    """
    label, read = working_format(project.tomograms).label, project.with_sets(unread={})
    for name, path in {**project.unread, **project.references}.items():
        if not os.path.isfile(path):
            yield f"{label(name)} is {path!r}, and there is no such file"
        elif whole and name in project.unread:
            try:
                read = read.with_sets(unread={name: path}).load()
            except TomosetError as problem:
                yield str(problem)
