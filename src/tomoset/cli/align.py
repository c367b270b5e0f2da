"""``tomoset align``: better alignments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from tomoset.cli._groups import flag, grouped_command, number
from tomoset.cli._run_options import FIGURES, RUN_OPTIONS, carry_out, set_options, usage_errors
from tomoset.cli._shell import common_options
from tomoset.cli.align_images import images
from tomoset.cli.align_particles import particles
from tomoset.cli.find_fiducials import CONTRAST, Radius, find_options

if TYPE_CHECKING:
    from tomoset.fiducials.align_options import AlignOptions

#: Parameter groups, and what each is.
_GROUP_NAMES = {
    "rotation": "Direction of the tilt axis.",
    "tilt": "Tilt angles.",
    "magnification": "Magnification.",
    "stretch": "Stretch across the tilt axis.",
    "skew": "Skew.",
    "x_tilt": "Tilt about the axis across.",
    "beam_tilt": "Angle of beam and tilt axis: fixed or common.",
}

_GROUPS = {
    "What": (
        *set_options("Folder for the new set, beads, reports and figures."),
        flag("--level", "Rotate the specimen flat, and all sets with it."),
        flag(
            "--deformation",
            "Fit a 2D deformation too, where beads that are left out support it.",
        ),
    ),
    "Beads": (
        number(
            "--r radius",
            Radius(),
            None,
            "A|auto",
            "Radius of a bead, Å, or auto: measured.  [default: what the set says, else 50]",
        ),
        CONTRAST,
        flag("--keep", "Take the set's observations as they are; search no others."),
    ),
    "What may change: auto, fixed, common, grouped:N or free": tuple(
        number(f"--{name.replace('_', '-')} {name}", str, "auto", "HOW", help)
        for name, help in _GROUP_NAMES.items()
    ),
    "Where it runs": (*RUN_OPTIONS, FIGURES),
}


@click.group(name="align")
def align() -> None:
    """Improve the alignment of the tilt series of a set."""


align.add_command(images)
align.add_command(particles)


@grouped_command(_GROUPS, "fiducials")
@common_options
def fiducials(**given: Any) -> int:
    """Align tilt series by their gold beads.

    \b
        tomoset align fiducials tomograms.star --o Aligned --r 50
        tomoset align fiducials Fiducials/tomograms.star --o Aligned --level

    Beads are found in the images, their positions in space and the alignment fitted to them, and
    found again by the better alignment. How much may change is chosen by how well beads that are
    left out are predicted. The tomogram stays where it was, so that particles keep their
    positions. Where beads do not support an alignment, the old one stays, with the reason.
    """
    from tomoset.programs.align_fiducials import align_fiducials

    return carry_out(given, align_fiducials, _options(given))


align.add_command(fiducials)


def _options(given: dict[str, Any]) -> AlignOptions:
    from tomoset.fiducials.align_options import AlignOptions
    from tomoset.fiducials.options import FindOptions

    with usage_errors():
        return AlignOptions(
            groups={name: given[name] for name in _GROUP_NAMES if given[name] != "auto"},
            find=FindOptions(**find_options({**given, "radius": given["radius"] or "50"})),
            radius_given=given["radius"] is not None,
            keep=given["keep"],
            level=given["level"],
            deformation=given["deformation"],
        )
