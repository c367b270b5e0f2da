"""``tomoset hand``: the sign of defocus against depth, from the images; the geometric hand."""

from __future__ import annotations

from typing import Any

import click

from tomoset.cli._geometric_hand import GEOMETRIC, asked_geometric, geometric_hand
from tomoset.cli._groups import flag, grouped_command, number
from tomoset.cli._run_options import FIGURES, RUN_OPTIONS, carry_out, set_options, usage_errors
from tomoset.cli._shell import FINITE, common_options

_FOLDER = "Folder for reports, figures and the new set; without it they are only told."
_GROUPS = {
    "What": (
        *set_options(_FOLDER, required=False),
        flag("--apply", "Write DIR/tomograms.star with the hand."),
        number("--error-rate", FINITE, 0.001, "P", "How often a verdict may be wrong."),
    ),
    "Defocus": (
        number(
            "--defocus",
            FINITE,
            None,
            "UM",
            "Roughly that of all images, µm, instead of the table's; without a table it is "
            "measured.",
        ),
        flag("--flat", "The specimen lies as the tomogram does; else it may be inclined."),
    ),
    "Geometric hand": GEOMETRIC,
    "Where it runs": (*RUN_OPTIONS, FIGURES),
}


def _explain(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        from tomoset.hand.explain import EXPLANATION

        click.echo(EXPLANATION.rstrip("\n"))
        ctx.exit()


@grouped_command(_GROUPS)
@click.option(
    "--explain",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_explain,
    help="Say what the sign means, here and in other programs, and end.",
)
@common_options
def hand(**given: Any) -> int:
    """Find the defocus hand, rlnTomoHand, from the Thon rings of tilted images.

    \b
        tomoset hand tomograms.star
        tomoset hand tomograms.star --o Hand --apply

    Tells the odds of +1 against -1 for each series and for the set, and a verdict where they are
    good enough. DIR/hand_NAME.star has them tilt by tilt, with the defocus that was measured;
    DIR/NAME.png shows it.

    Whether volumes are mirror images of the specimen is another question (--explain). It needs
    particles with orientations, and a map of known hand:

    \b
        tomoset hand --geometric --i optimisation_set.star --ref map.mrc --b 64

    The answer is in words: as the map, mirror image, or cannot tell.
    """
    if asked_geometric(given):
        return geometric_hand(given)
    if given["apply"] and not given["folder"]:
        raise click.UsageError("--apply writes a new set: name a folder for it, --o DIR")
    if given["resume"] and not given["folder"]:
        raise click.UsageError("--continue goes on in a folder: name it, --o DIR")
    from tomoset.programs.find_hand import FindHandOptions, find_hand

    with usage_errors():
        options = FindHandOptions(
            error_rate=given["error_rate"],
            defocus=None if given["defocus"] is None else 1e4 * given["defocus"],
            inclined=not given["flat"],
            apply=given["apply"],
        )
    return carry_out(given, find_hand, options)
