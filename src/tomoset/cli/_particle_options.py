"""What commands that compare particles with a reference share: the sets, and the reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from tomoset.cli._groups import flag, number, path
from tomoset.cli._run_options import NAMES, folder_option, refuse_other_names, usage_errors

if TYPE_CHECKING:
    from tomoset.project import Project

REFERENCE = (
    path("--ref1", "MRC", "First half map, with the pixels of the tilt images."),
    path("--ref2", "MRC", "Second half map, the same; goes with --ref1."),
    path("--mask", "MRC", "Mask of both."),
    path("--fsc", "STAR", "Their correlation.  [default: computed from them]"),
)
BOX = click.Option(
    ["--b", "box"],
    type=click.IntRange(8),
    required=True,
    metavar="PX",
    help="Box that is compared, px: even, 1.5 to 2 times the particle.",
)
NO_WHITEN = flag("--no_whiten", "Do not make the noise white.")
CUTOFF = number(
    "--cutoff_fract",
    click.FloatRange(0, 1, max_open=True),
    0.02,
    "F",
    "Leave out frequencies of less weight than this part.",
)


def particle_sets(folder_help: str) -> tuple[click.Parameter, ...]:
    """The sets that a command reads, --o and --tn.

    Parameters
    ----------
    folder_help : str
        What --o is the folder for.
    """
    return (
        path("--i linked", "STAR", "Optimisation set: sets and reference in one."),
        path("--t given", "STAR", "Tomogram set, instead."),
        path("--p particles", "STAR", "Particle set, instead."),
        path("--mot trajectories", "STAR", "Trajectories so far, instead."),
        folder_option(folder_help),
        NAMES,
    )


def refuse_idle(without: Mapping[str, tuple[bool, Sequence[click.Option]]]) -> None:
    """Refuse options of the command line that would do nothing.

    Parameters
    ----------
    without : mapping
        What options need, as ``--motion``; whether it is there, and the options.

    Raises
    ------
    click.UsageError
        One of them was given.
    """
    context = click.get_current_context()
    for needed, (there, options) in without.items():
        for option in options:
            typed = context.get_parameter_source(str(option.name)) is ParameterSource.COMMANDLINE
            if typed and not there:
                raise click.UsageError(f"{option.opts[0]} does nothing without {needed}")


def particle_project(given: dict[str, Any]) -> tuple[Project, dict[str, Any]]:
    """Tomograms, particles, trajectories and reference, from wherever they are given.

    Parameters
    ----------
    given : dict
        As `particle_sets` and `REFERENCE` name them.

    Raises
    ------
    click.UsageError
        There is no set, or no particles, or no map; --ref2 is alone; the folder is no name; no
        such tomogram.
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
    from tomoset.programs._particles import ReferenceFiles
    from tomoset.project import open_tomograms

    if given["linked"]:
        project = open_tomograms(given["linked"], tomograms=given["given"])
    else:
        project = open_tomograms(given["given"])
    refuse_other_names(project, given["names"])
    if given["particles"] is None and "particles" not in project.unread:
        raise click.UsageError(
            "there are no particles: give a particle set (--p), or an optimisation set that names "
            "one (--i)"
        )
    project = project.load(particles=given["particles"], trajectories=given["trajectories"])
    files = ReferenceFiles(
        half1=given["ref1"], half2=given["ref2"], mask=given["mask"], fsc=given["fsc"]
    )
    with usage_errors():
        return project, {"reference": files.completed(project)}
