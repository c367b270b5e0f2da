"""Tilt series of files that are read one by one: what all such imports do."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import numpy as np

from tomoset.errors import FileFormatError, ModelError
from tomoset.files import together
from tomoset.formats._destination import Destination
from tomoset.formats._importing import Imported, culled
from tomoset.formats._words import Failures, Reading, StrPath, part
from tomoset.model import ParticleSet, Project


def read_files(
    sources: Sequence[StrPath],
    find: Callable[[StrPath], Iterable[StrPath]],
    read: Callable[[str, bool], Iterable[Imported]],
    format: str,
    destination: Destination,
    *,
    cull: bool,
) -> Reading:
    """Read all tilt series of files and folders; what is wrong with one stops no other.

    Parameters
    ----------
    sources : sequence of path-like
        As users give them.
    find : callable
        The files that a source stands for.
    read : callable
        The tilt series of a file, which is told whether it is the only one. What the model
        refuses of them names the file.
    format : str
        The name of theirs.
    destination : Destination
        The set that they are part of.
    cull : bool
        Whether stacks are made without the excluded images, in the folder ``culled`` beside it.

    Raises
    ------
    ModelError
        If two tomograms have one name.
    """
    failures: Failures = []
    files: list[str] = []
    for source in sources:
        with part(failures, os.fspath(source)):
            files += [os.fspath(file) for file in find(source)]
    made: list[Imported] = []
    with together():
        for file in dict.fromkeys(files):
            with part(failures, file):
                try:
                    made += [_renamed(one, destination) for one in read(file, len(files) == 1)]
                except ModelError as problem:
                    raise FileFormatError(str(problem), path=file) from problem
        tomograms = [one.tomogram for one in made]
        destination.refuse_duplicates(t.name for t in tomograms)
        if destination.target is not None and cull:
            tomograms = culled(tomograms, destination.target)
    return Reading(
        project=Project(
            tomograms=destination.joined(tomograms, format),
            particles=_particles(made),
        ),
        notes=[note for one in made for note in one.notes],
        failures=failures,
    )


def _renamed(one: Imported, destination: Destination) -> Imported:
    """With the name that its tomogram is given, in its particles too."""
    name, particles = destination.names(one.tomogram.name), one.particles
    if particles is not None:
        names = np.full(len(particles), name)
        particles = replace(particles, tomogram_names=names)
    return replace(one, tomogram=replace(one.tomogram, name=name), particles=particles)


def _particles(made: Sequence[Imported]) -> ParticleSet | None:
    there = [one.particles for one in made if one.particles is not None]
    if not there:
        return None
    return ParticleSet(
        tomogram_names=np.concatenate([one.tomogram_names for one in there]),
        coordinates=np.concatenate([one.coordinates for one in there]),
    )
