"""``tomoset align``: better alignments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

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
from tomoset.cli._shell import common_options
from tomoset.cli.align_particles import particles
from tomoset.cli.find_fiducials import CONTRAST, Radius, find_options

if TYPE_CHECKING:
    from tomoset.fiducials.align_options import AlignOptions

#: Classes of parameters, and what each is.
_CLASSES = {
    "rotation": "Direction of the tilt axis.",
    "tilt": "Tilt angles.",
    "magnification": "Magnification.",
    "stretch": "Stretch across the tilt axis.",
    "skew": "Skew.",
    "x_tilt": "Tilt about the axis across.",
    "beam_tilt": "Angle of beam and tilt axis: fixed or common.",
}

_GROUPS = {
    "What": (*SET_OPTIONS, "level", "deformation"),
    "Beads": ("radius", "contrast", "keep"),
    "What may change: auto, fixed, common, grouped:N or free": tuple(_CLASSES),
    "Where it runs": RUN_OPTIONS,
}


@click.group(name="align")
def align() -> None:
    """Improve the alignment of the tilt series of a set."""


align.add_command(particles)


def _class_options(command: click.decorators.FC) -> click.decorators.FC:
    for name, help in reversed(_CLASSES.items()):
        option = f"--{name.replace('_', '-')}"
        command = click.option(
            option, name, default="auto", show_default=True, metavar="HOW", help=help
        )(command)
    return command


@align.command(name="fiducials", cls=GroupedCommand, groups=_GROUPS)
@new_set_options("Folder for the new set, beads, reports and pictures.")
@click.option("--level", is_flag=True, help="Turn the specimen flat, and all sets along with it.")
@click.option(
    "--deformation",
    is_flag=True,
    help="Bend images in 2D too, where beads that are left out support it.",
)
@click.option(
    "--r",
    "radius",
    type=Radius(),
    metavar="A|auto",
    help="Radius of a bead, Å, or auto: measured.  [default: what the set says, else 50]",
)
@CONTRAST
@click.option(
    "--keep", is_flag=True, help="Take the set's observations as they are; search no others."
)
@_class_options
@run_options
@common_options
def fiducials(**given: Any) -> int:
    """Align tilt series by their gold beads.

    \b
        tomoset align fiducials tomograms.star --o Aligned --r 50
        tomoset align fiducials Fiducials/tomograms.star --o Aligned --level

    Beads are found in the images, their places in space and the alignment fitted to them, and found
    again by the better alignment. How much may change is chosen by how well beads that are left
    out are predicted. The tomogram stays where it was, so that particles keep their places. Where
    beads do not support an alignment, the old one stays, and the reason is said.
    """
    from tomoset.programs.align_fiducials import align_fiducials

    return carry_out(given, align_fiducials, _options(given))


def _options(given: dict[str, Any]) -> AlignOptions:
    from tomoset.fiducials.align_options import AlignOptions
    from tomoset.fiducials.options import FindOptions

    with usage_errors():
        return AlignOptions(
            classes={name: given[name] for name in _CLASSES if given[name] != "auto"},
            find=FindOptions(**find_options({**given, "radius": given["radius"] or "50"})),
            radius_given=given["radius"] is not None,
            keep=given["keep"],
            level=given["level"],
            deformation=given["deformation"],
        )
