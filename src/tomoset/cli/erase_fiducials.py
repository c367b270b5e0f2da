"""``tomoset erase-fiducials``: tilt images without their gold beads."""

from __future__ import annotations

from typing import Any

from tomoset.cli._groups import grouped_command, number
from tomoset.cli._run_options import RUN_OPTIONS, carry_out, set_options, usage_errors
from tomoset.cli._shell import FINITE, common_options

_GROUPS = {
    "What": (
        *set_options("Folder for stacks and the new set."),
        number(
            "--r radius",
            FINITE,
            None,
            "A",
            "Radius of a bead, Å.  [default: what the set says, else 50]",
        ),
        number(
            "--margin",
            FINITE,
            1.6,
            "F",
            "So many times that radius is erased, with the fringes of the bead.",
        ),
    ),
    "Where it runs": RUN_OPTIONS,
}


@grouped_command(_GROUPS)
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
