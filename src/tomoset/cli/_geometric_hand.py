"""``tomoset hand --geometric``: a map of known hand against particles."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from tomoset.cli._run_options import asked_project, carry_out, usage_errors
from tomoset.cli._shell import FINITE

if TYPE_CHECKING:
    from tomoset.project import Project

F = TypeVar("F", bound=Callable[..., Any])

#: Options that are for one question only, by the names of their parameters.
_GEOMETRIC = {
    "particles": "--p",
    "ref": "--ref",
    "mask": "--mask",
    "box": "--b",
    "lowpass": "--lowpass",
}
_DEFOCUS = {"apply": "--apply", "defocus": "--defocus", "flat": "--flat"}
_NEEDED = (
    "--geometric compares particles with a map of known hand: give both, such as "
    "--i optimisation_set.star --ref map.mrc --b 64"
)


def geometric_options(command: F) -> F:
    """Give a command --geometric and what it needs."""
    path = click.Path()
    for option in (
        click.option(
            "--lowpass",
            type=FINITE,
            metavar="A",
            help="Leave out finer waves than this, Å.  [default: 20, or 3 pixels]",
        ),
        click.option("--b", "box", type=int, metavar="PX", help="Box about a particle in images."),
        click.option("--mask", type=path, metavar="MRC", help="Mask of the map."),
        click.option(
            "--ref",
            type=path,
            metavar="MRC",
            help="Map of known hand, with the pixels of the tilt images.",
        ),
        click.option(
            "--p",
            "particles",
            type=path,
            metavar="STAR",
            help="Particle set, instead of that of --i.",
        ),
        click.option(
            "--geometric",
            is_flag=True,
            help="Are volumes mirror images? By particles with orientations, and a map.",
        ),
    ):
        command = option(command)
    return command


def asked_geometric(given: dict[str, Any]) -> bool:
    """Whether the geometric hand is asked for; usage errors for what does not go together."""
    if not given["geometric"]:
        for name, option in _GEOMETRIC.items():
            if given[name] is not None:
                raise click.UsageError(f"{option} is for the geometric hand: give --geometric too")
        return False
    for name, option in _DEFOCUS.items():
        if given[name]:
            raise click.UsageError(f"{option} is for the defocus hand, not for --geometric")
    if given["ref"] is None:
        raise click.UsageError(f"there is no map (--ref). {_NEEDED}")
    if given["linked"] is None and given["particles"] is None and given["path"] is None:
        raise click.UsageError(f"there are no particles (--i, or --p and --t). {_NEEDED}")
    if given["box"] is None:
        raise click.UsageError(
            "--geometric needs the box about a particle (--b), 1.5 to 2 times its diameter [px]"
        )
    if not given["folder"]:
        if given["resume"]:
            raise click.UsageError("--continue goes on in a folder: name it, --o DIR")
        if given["engine"] != "local":
            raise click.UsageError(f"--engine {given['engine']} needs a folder: name it, --o DIR")
    return True


def geometric_hand(given: dict[str, Any]) -> int:
    """Find it, and print it; the exit code."""
    from tomoset.programs.find_geometric_hand import GeometricOptions, find_geometric_hand

    with usage_errors():
        options = GeometricOptions(
            box=given["box"], lowpass=given["lowpass"], error_rate=given["error_rate"]
        )
    return carry_out(given, find_geometric_hand, options, _read)


def _read(given: dict[str, Any]) -> tuple[Project, dict[str, Any]]:
    from tomoset.programs._particles import ReferenceFiles

    project = asked_project(given).load(particles=given["particles"])
    return project, {"reference": ReferenceFiles(half1=given["ref"], mask=given["mask"])}
