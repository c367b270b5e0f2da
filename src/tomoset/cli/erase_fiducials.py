"""``tomoset erase-fiducials``: tilt images without their gold beads."""

from __future__ import annotations

from typing import Any

import click

from tomoset.cli._groups import GroupedCommand
from tomoset.cli._run_options import (
    RUN_OPTIONS,
    SET_OPTIONS,
    carry_out,
    new_set_options,
    run_options,
    usage_errors,
)
from tomoset.cli._shell import FINITE, common_options

#: Titles of the help, and the options below each.
_GROUPS = {
    "What": (*SET_OPTIONS, "radius", "margin"),
    "Where it runs": RUN_OPTIONS,
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
    from tomoset.fiducials.options import EraseOptions
    from tomoset.programs.erase_fiducials import erase_fiducials

    with usage_errors():
        options = EraseOptions(radius=given["radius"], margin=given["margin"])
    return carry_out(given, erase_fiducials, options)
