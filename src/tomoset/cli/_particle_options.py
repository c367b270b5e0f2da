"""What commands that compare particles with a reference share: the sets, and the reference."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

if TYPE_CHECKING:
    from tomoset.particles.task import ReferenceFiles
    from tomoset.project import Project


#: What help says of options that both commands have.
BOX_HELP = "Box that is compared, px: even, 1.5 to 2 times the particle."
REF1_HELP = "First half map, with the pixels of the tilt images."
REF2_HELP = "Second half map, the same; goes with --ref1."
_NO_REFERENCE = (
    "there is no reference map: give --ref1 and --ref2 (half maps), or an optimisation set that "
    "names them (--i)"
)


def refuse_idle(without: Mapping[str, tuple[bool, Sequence[str]]]) -> None:
    """Refuse options of the command line that would do nothing.

    Parameters
    ----------
    without : mapping
        What options need, as ``--motion``; whether it is there, and the options' parameters.

    Raises
    ------
    click.UsageError
        One of them was given.
    """
    context = click.get_current_context()
    spelled = {option.name: option.opts[0] for option in context.command.params}
    for needed, (there, names) in without.items():
        for name in names:
            typed = context.get_parameter_source(name) is ParameterSource.COMMANDLINE
            if typed and not there:
                raise click.UsageError(f"{spelled[name]} does nothing without {needed}")


def gain_text(gain: float, error: float | None) -> str:
    """``+0.5 +- 0.2``: digits by the error, which is None where nobody can tell."""
    if error is None:
        return "too few particles to tell"
    digits = 1 if error < 10 else 0
    return f"{gain:+.{digits}f} +- {error:.{digits}f} ln likelihood"


def particle_project(given: dict[str, Any]) -> Project:
    """Tomograms, particles and trajectories, from wherever they are given.

    Parameters
    ----------
    given : dict
        Has ``linked`` (--i), ``given`` (--t), ``particles``, ``motions``, ``folder``, ``names``,
        ``ref1`` and ``ref2``.

    Raises
    ------
    click.UsageError
        There is no set, or no particles; --ref2 is alone; the folder is no name; no such tomogram.
    TomosetError
        Something cannot be read.
    """
    if not (given["linked"] or given["given"]):
        raise click.UsageError(
            "give an optimisation set (--i), or tomograms and particles (--t --p)"
        )
    if given["ref2"] is not None and given["ref1"] is None:
        raise click.UsageError("--ref2 needs --ref1: half maps belong together")
    if not given["folder"]:
        raise click.UsageError("--o is empty: name a folder")
    from tomoset.derived import refuse_unknown
    from tomoset.errors import ModelError
    from tomoset.project import open_tomograms

    if given["linked"]:
        project = open_tomograms(given["linked"], tomograms=given["given"])
    else:
        project = open_tomograms(given["given"])
    try:
        refuse_unknown(project.tomograms, given["names"])
    except ModelError as problem:
        raise click.UsageError(f"--tn: {problem}") from None
    if given["particles"] is None and "particles" not in project.unread:
        raise click.UsageError(
            "there are no particles: give a particle set (--p), or an optimisation set that names "
            "one (--i)"
        )
    return project.load(particles=given["particles"], trajectories=given["motions"])


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
    click.UsageError
        If there is no first map.
    """
    from tomoset.errors import MissingFileError
    from tomoset.formats import working_format
    from tomoset.particles.task import ENTRIES, ReferenceFiles

    label = working_format(project.tomograms).label
    origin = getattr(project.source, "path", None)
    paths: dict[str, str | None] = {field: given[field] for field in ENTRIES.values()}
    for name, field in ENTRIES.items():
        path = project.references.get(name)
        if paths[field] is not None or path is None:
            continue
        # Half maps belong together: one that is given goes with no other of the set.
        if field == "ref2" and given["ref1"] is not None:
            continue
        if not os.path.isfile(path):
            raise MissingFileError(
                f"{origin}: {label(name)} is {path!r}, and there is no such file; give another "
                f"(--{field})"
            )
        paths[field] = path
    ref1 = paths.pop("ref1")
    if ref1 is None:
        empty = f"; {label('half1')} of {origin} is empty or absent"
        raise click.UsageError(_NO_REFERENCE + empty * (origin is not None))
    return ReferenceFiles(ref1=ref1, **paths)
