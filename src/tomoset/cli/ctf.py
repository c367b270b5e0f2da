"""``tomoset ctf``: defocus, astigmatism and phase shift of tilt images, from the images alone."""

from __future__ import annotations

from typing import Any

import click

from tomoset.cli._groups import flag, grouped_command, path
from tomoset.cli._run_options import FIGURES, RUN_OPTIONS, carry_out, set_options, usage_errors
from tomoset.cli._shell import FINITE, common_options

_GROUPS = {
    "What": (
        *set_options("Folder for the new set, reports and figures."),
        flag("--tables", "Write NAME_ctf.txt (as of CTFFIND) and NAME.defocus (of ctfplotter)."),
        path("--compare", "TABLE", "Say how a table of another program differs; {name} in its "
             "path stands for the tomogram's name."),
    ),
    "Defocus": (
        click.Option(
            ["--defocus"],
            nargs=2,
            type=FINITE,
            default=(0.5, 10.0),
            show_default=True,
            metavar="MIN MAX",
            help="Between these lies the defocus that all images have in common, µm.",
        ),
        flag("--phase-plate", "There is a phase shift, of 0 to 180 degrees. Takes some three times "
             "as long, less with a narrow --defocus."),
        flag("--no-astigmatism", "There is no astigmatism."),
    ),
    "Where it runs": (*RUN_OPTIONS, FIGURES),
}  # fmt: skip


@grouped_command(_GROUPS)
@common_options
def ctf(**given: Any) -> int:
    """Find defocus, astigmatism and phase shift by the Thon rings of all images of a series.

    \b
        tomoset ctf --t tomograms.star --o Ctf
        tomoset ctf tomograms.star --o Ctf --defocus 1 5 --phase-plate

    The images of a series help each other: one likelihood has the defocus of each image, its
    course over the tilts, astigmatism, and the plane of the specimen. DIR/tomograms.star has what
    was found with its standard deviations, DIR/ctf_NAME.star says all of it. Where an image cannot
    tell, what the others predict is written, and said. The set may be aligned or not.
    """
    from tomoset.programs.estimate_ctf import EstimateCtfOptions, estimate_ctf

    low, high = given["defocus"]
    with usage_errors():
        options = EstimateCtfOptions(
            low=1e4 * low,
            high=1e4 * high,
            phase_plate=given["phase_plate"],
            astigmatism=not given["no_astigmatism"],
            compare=given["compare"],
            tables=given["tables"],
        )
    return carry_out(given, estimate_ctf, options)
