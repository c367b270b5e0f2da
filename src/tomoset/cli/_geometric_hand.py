"""``tomoset hand --geometric``: a map of known hand against particles."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from tomoset.cli._groups import flag, number, path
from tomoset.cli._run_options import asked_project, carry_out, usage_errors
from tomoset.cli._shell import FINITE

if TYPE_CHECKING:
    from tomoset.project import Project

#: --geometric, and what it needs.
GEOMETRIC = (
    flag(
        "--geometric",
        "Are volumes mirror images? By particles with orientations, and a map.",
    ),
    path("--p particles", "STAR", "Particle set, instead of that of --i."),
    path("--ref", "MRC", "Map of known hand, with the pixels of the tilt images."),
    path("--mask", "MRC", "Mask of the map."),
    number("--b box", int, None, "PX", "Box about a particle in images."),
    number(
        "--lowpass",
        FINITE,
        None,
        "A",
        "Leave out finer waves than this, Å.  [default: 20, or 3 pixels]",
    ),
)
_NEEDED = (
    "--geometric compares particles with a map of known hand: give both, such as "
    "--i optimisation_set.star --ref map.mrc --b 64"
)


def asked_geometric(given: dict[str, Any]) -> bool:
    """Whether the geometric hand is asked for; usage errors for what does not go together."""
    if not given["geometric"]:
        for option in GEOMETRIC[1:]:
            if given[str(option.name)] is not None:
                raise click.UsageError(
                    f"{option.opts[0]} is for the geometric hand: give --geometric too"
                )
        return False
    for name in ("apply", "defocus", "flat"):
        if given[name]:
            raise click.UsageError(f"--{name} is for the defocus hand, not for --geometric")
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
