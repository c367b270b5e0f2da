"""What commands that compare particles with a reference share: the sets, and the reference."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource

from tomoset.cli._run_options import folder_option, names_option, refuse_other_names, usage_errors

if TYPE_CHECKING:
    from tomoset.project import Project

F = TypeVar("F", bound=Callable[..., Any])

#: Titles of the help that all have, and the options below each.
WHAT = ("linked", "given", "particles", "motions", "folder", "names")
REFERENCE = ("ref1", "ref2", "mask", "fsc")


def path(option: str, name: str, metavar: str, help: str) -> Any:
    """An option for a file."""
    return click.option(option, name, metavar=metavar, type=click.Path(), help=help)


def flag(option: str, help: str) -> Any:
    """An option that is there or not."""
    return click.option(option, is_flag=True, help=help)


def number(option: str, type: Any, default: Any, metavar: str, help: str) -> Any:
    """An option for a number, whose default is shown."""
    return click.option(
        option, type=type, default=default, show_default=True, metavar=metavar, help=help
    )


def particle_options(folder_help: str, others: Sequence[Any]) -> Callable[[F], F]:
    """Give a command the sets and the reference, --b, and its own options after these.

    Parameters
    ----------
    folder_help : str
        What --o is the folder for.
    others : sequence of decorators
        In the order of the help.
    """
    options = (
        path("--i", "linked", "STAR", "Optimisation set: sets and reference in one."),
        path("--t", "given", "STAR", "Tomogram set, instead."),
        path("--p", "particles", "STAR", "Particle set, instead."),
        path("--mot", "motions", "STAR", "Trajectories so far, instead."),
        folder_option(folder_help),
        names_option,
        path("--ref1", "ref1", "MRC", "First half map, with the pixels of the tilt images."),
        path("--ref2", "ref2", "MRC", "Second half map, the same; goes with --ref1."),
        path("--mask", "mask", "MRC", "Mask of both."),
        path("--fsc", "fsc", "STAR", "Their correlation.  [default: computed from them]"),
        click.option(
            "--b",
            "box",
            type=click.IntRange(8),
            required=True,
            metavar="PX",
            help="Box that is compared, px: even, 1.5 to 2 times the particle.",
        ),
        flag("--no_whiten", "Do not make the noise white."),
        number(
            "--cutoff_fract",
            click.FloatRange(0, 1, max_open=True),
            0.02,
            "F",
            "Leave out frequencies of less weight than this part.",
        ),
        *others,
    )

    def decorate(command: F) -> F:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


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


def particle_project(given: dict[str, Any]) -> tuple[Project, dict[str, Any]]:
    """Tomograms, particles, trajectories and reference, from wherever they are given.

    Parameters
    ----------
    given : dict
        As `particle_options` names them.

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
    project = project.load(particles=given["particles"], trajectories=given["motions"])
    files = ReferenceFiles(
        half1=given["ref1"], half2=given["ref2"], mask=given["mask"], fsc=given["fsc"]
    )
    with usage_errors():
        return project, {"reference": files.completed(project)}
