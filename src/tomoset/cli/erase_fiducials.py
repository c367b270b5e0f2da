"""``tomoset erase-fiducials``: tilt images without their gold beads."""

from __future__ import annotations

from typing import Any

import click

from tomoset.cli._groups import GroupedCommand
from tomoset.cli._run_options import (
    asked_project,
    new_set_options,
    print_derived,
    run_options,
    run_options_from,
)
from tomoset.cli._shell import FINITE, collected_warnings, common_options

#: Titles of the help, and the options below each.
_GROUPS = {
    "What": ("given", "linked", "folder", "names", "radius", "margin"),
    "Where it runs": ("j", "workers", "engine", "resume"),
}


@click.command(cls=GroupedCommand, groups=_GROUPS)
@new_set_options("Folder for stacks and the new set.")
@click.option(
    "--r",
    "radius",
    type=FINITE,
    metavar="A",
    help="Radius of a bead, Å.  [default: what the set says, else 50]",
)
@click.option(
    "--margin",
    type=FINITE,
    default=1.6,
    show_default=True,
    metavar="F",
    help="So many times that radius is erased, with the fringes of the bead.",
)
@run_options
@common_options
def erase_fiducials(**given: Any) -> int:
    """Take the gold beads out of the tilt images of a set.

    \b
        tomoset find-fiducials tomograms.star --o Beads
        tomoset erase-fiducials Beads/tomograms.star --o Erased

    Each bead is replaced by noise that continues what is around it: its mean, variance and
    spectrum. Everything else stays to the last bit. Images go to DIR/stacks/NAME.mrc, in the
    order of the set, and DIR/tomograms.star names them.
    """
    running = run_options_from(given)
    from tomoset.errors import ModelError
    from tomoset.fiducials.erase_job import EraseOptions
    from tomoset.fiducials.erase_set import erase_set

    try:
        options = EraseOptions(radius=given["radius"], margin=given["margin"])
    except ModelError as problem:
        raise click.UsageError(str(problem)) from None
    with collected_warnings(strict=given["strict"]) as warned:
        project = asked_project(given)
        done = erase_set(project, given["folder"], options, running, given["names"])
    return print_derived(done, warned, "erased the beads of", as_json=given["as_json"])
