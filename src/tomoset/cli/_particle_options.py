"""What commands that compare particles with a reference share: the sets, and the reference."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from tomoset.particles.align.task import ReferenceFiles
    from tomoset.project import Project


def particle_project(given: dict[str, Any]) -> Project:
    """Tomograms, particles and trajectories, from wherever they are given.

    Parameters
    ----------
    given : dict
        Has ``linked`` (--i), ``given`` (--t), ``particles``, ``motions``, ``folder``, ``names``.

    Raises
    ------
    click.UsageError
        There is no set; the folder is no name; no such tomogram is in it.
    TomosetError
        Something cannot be read.
    """
    if not (given["linked"] or given["given"]):
        raise click.UsageError(
            "give an optimisation set (--i), or tomograms and particles (--t --p)"
        )
    if not given["folder"]:
        raise click.UsageError("--o is empty: name a folder")
    from tomoset.derived import refuse_unknown
    from tomoset.errors import ModelError
    from tomoset.project import open_tomograms, read_linked

    if given["linked"]:
        project = open_tomograms(given["linked"], tomograms=given["given"])
    else:
        project = open_tomograms(given["given"])
    try:
        refuse_unknown(project.tomograms, given["names"])
    except ModelError as problem:
        raise click.UsageError(f"--tn: {problem}") from None
    return read_linked(project, particles=given["particles"], trajectories=given["motions"])


def reference_files(given: dict[str, Any], project: Project) -> ReferenceFiles:
    """The maps that are given, and else those of the optimisation set.

    Parameters
    ----------
    given : dict
        Has ``ref1``, ``ref2``, ``mask`` and ``fsc``: paths or None.
    project : Project
        May come from an optimisation set.

    Raises
    ------
    MissingFileError
        If the optimisation set names one that is not there.
    MissingFieldError
        If there is no first map.
    """
    from tomoset.errors import MissingFieldError, MissingFileError
    from tomoset.formats._files import find_file
    from tomoset.formats._relion_sets import read_optimisation_set
    from tomoset.particles.align.task import ReferenceFiles
    from tomoset.particles.ctf.whole_set import ENTRIES

    text = project.optimisation_set
    path = None if text is None else text.path
    said = {} if text is None else read_optimisation_set(text).entries
    paths: dict[str, str | None] = {field: given[field] for field in ENTRIES.values()}
    for label, field in ENTRIES.items():
        if paths[field] is not None or label not in said:
            continue
        # Half maps belong together: one that is given goes with no other of the set.
        if field == "ref2" and given["ref1"] is not None:
            continue
        found = find_file(said[label], path)
        if found is None:
            raise MissingFileError(
                f"{path}: {label} is {said[label]!r}, and there is no such file; give another "
                f"(--{field})"
            )
        paths[field] = os.path.relpath(found)
    ref1 = paths.pop("ref1")
    if ref1 is None:
        raise MissingFieldError(
            "there is no reference map: give --ref1 and --ref2"
            + (" (rlnTomoReferenceMap1File is empty or absent)" if text is not None else ""),
            path=path,
        )
    return ReferenceFiles(ref1=ref1, **paths)
