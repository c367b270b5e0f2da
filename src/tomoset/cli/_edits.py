"""What commands that change a project share: what is read, where it goes, what is said."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from tomoset.cli._shell import (
    OVERWRITE,
    F,
    collected_warnings,
    common_options,
    count,
    print_json,
    print_warnings,
    quick_start,
    say,
)

if TYPE_CHECKING:
    from tomoset.project import Edited, Project

_SOURCE = click.argument("source", metavar="SRC", type=click.Path())
TARGET = click.option(
    "--o",
    "-o",
    "--output",
    "target",
    required=True,
    metavar="DST",
    type=click.Path(),
    help="The set to write, or a folder for it; what belongs to it goes beside it.",
)


#: The tomograms that a change is of.
OF_TOMOGRAMS = click.option(
    "--tn",
    "names",
    multiple=True,
    metavar="NAME",
    help="Only in tomograms of this name, or pattern such as 'TS_0*'; again for more.",
)


def edit_options(command: F) -> F:
    """Give a command SRC, --o, --overwrite, --json and --strict."""
    for option in (common_options, OVERWRITE, TARGET, _SOURCE):
        command = option(command)
    return command


def carry_out(edit: Callable[[Project], Project], given: dict[str, Any]) -> int:
    """Read a project, change it, write it, and say what was made.

    Parameters
    ----------
    edit : callable
        Gives the changed project.
    given : dict
        As `edit_options` name it.
    """
    quick_start()
    from tomoset.project import edit_files

    with collected_warnings(strict=given["strict"]) as warned:
        made = edit_files(given["source"], given["target"], edit, overwrite=given["overwrite"])
    return say_edited(made, warned, as_json=given["as_json"])


def say_edited(made: Edited, warned: list[str], *, as_json: bool) -> int:
    """Say what was made, and of what was warned."""
    print_warnings(warned)
    if as_json:
        print_json({**summary(made), "warnings": warned})
    else:
        say_made(made)
    return 0


def summary(made: Edited) -> dict[str, Any]:
    """What was made, for a program to read."""
    particles = made.after.particles
    return {
        "written": made.path,
        "tomograms": list(made.after.tomograms),
        "tilt_images": sum(t.n_tilts for t in made.after.tomograms.values()),
        "particles": None if particles is None else len(particles),
    }


def say_made(made: Edited) -> None:
    """Say what was made, in a line."""
    told = summary(made)
    parts = [count(len(told["tomograms"]), "tomogram"), count(told["tilt_images"], "tilt image")]
    parts += [] if told["particles"] is None else [count(told["particles"], "particle")]
    say(f"{os.fspath(made.path)}: {', '.join(parts)}")
