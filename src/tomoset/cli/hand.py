"""``tomoset hand``: the sign of defocus against depth, from the images; the geometric hand."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from tomoset.cli._geometric_hand import asked_geometric, geometric_hand, geometric_options
from tomoset.cli._groups import GroupedCommand
from tomoset.cli._run_options import (
    asked_project,
    new_set_options,
    run_options,
    run_options_from,
)
from tomoset.cli._shell import (
    FINITE,
    collected_warnings,
    common_options,
    print_json,
    print_warnings,
)

if TYPE_CHECKING:
    from tomoset.hand.hand_set import SetHand
    from tomoset.hand.options import HandOptions
    from tomoset.run import RunOptions

_GROUPS = {
    "What": ("given", "linked", "folder", "names", "apply", "error_rate"),
    "Defocus": ("defocus", "flat"),
    "Geometric hand": ("geometric", "particles", "ref", "mask", "box", "lowpass"),
    "Where it runs": ("j", "workers", "engine", "resume"),
}


def _explain(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        from tomoset.hand.explain import EXPLANATION

        click.echo(EXPLANATION.rstrip("\n"))
        ctx.exit()


@click.command(cls=GroupedCommand, groups=_GROUPS)
@new_set_options(
    "Folder for reports, pictures and the new set; without it they are only told.", required=False
)
@click.option("--apply", is_flag=True, help="Write DIR/tomograms.star with the hand.")
@click.option(
    "--error-rate",
    type=FINITE,
    default=0.001,
    show_default=True,
    metavar="P",
    help="How often a verdict may be wrong.",
)
@click.option(
    "--defocus",
    type=FINITE,
    metavar="UM",
    help="Roughly that of all images, µm, instead of the table's; without a table it is measured.",
)
@click.option(
    "--flat",
    is_flag=True,
    help="The specimen lies as the tomogram does; else it may be inclined.",
)
@geometric_options
@run_options
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
    running = run_options_from(given)
    if asked_geometric(given):
        return geometric_hand(given, running)
    return _defocus_hand(given, running)


def _defocus_hand(given: dict[str, Any], running: RunOptions) -> int:
    options = _options(given)
    if given["apply"] and not given["folder"]:
        raise click.UsageError("--apply writes a new set: name a folder for it, --o DIR")
    if given["resume"] and not given["folder"]:
        raise click.UsageError("--continue goes on in a folder: name it, --o DIR")
    from tomoset.hand.hand_set import find_hand

    with collected_warnings(strict=given["strict"]) as warned:
        project = asked_project(given)
        done = find_hand(
            project, given["folder"], options, running, given["names"], apply=given["apply"]
        )
    if given["as_json"]:
        print_warnings(warned)
        print_json({**_summary(done, options), "warnings": warned})
        return done.report.exit_code
    _print(done, given["folder"])
    print_warnings(warned)
    return done.report.exit_code


def _options(given: dict[str, Any]) -> HandOptions:
    """What is wanted; usage errors for what cannot be."""
    from tomoset.errors import ModelError
    from tomoset.hand.options import HandOptions

    defocus = given["defocus"]
    try:
        return HandOptions(
            error_rate=given["error_rate"],
            defocus=None if defocus is None else 1e4 * defocus,
            inclined=not given["flat"],
        )
    except ModelError as problem:
        raise click.UsageError(str(problem)) from None


def _summary(done: SetHand, options: HandOptions) -> dict[str, Any]:
    found = done.verdict
    return {
        **done.report.summary(),
        "hand": found.hand,
        "log_odds": round(found.log_odds, 4),
        "error_rate": options.error_rate,
        "hands": found.series,
        "against": list(found.against),
        "set": done.path,
    }


def _print(done: SetHand, folder: str | None) -> None:
    """A line for each series, and the verdict."""
    results, found = done.report.results, done.verdict
    width = max((len(name) for name in results), default=0)
    for name, result in results.items():
        was = result["in_set"]
        contradicts = found.of(name) is not None and found.of(name) != was
        click.echo(
            f"{name:{width}}  {_said(found.series[name]):11}  odds {_odds(result['log_odds'])}; "
            f"rings in {result['rings_seen']} of {len(result['rings'])} images"
            + f"; the set has {was:+d}"
            * contradicts
        )
    if len(results) > 1:
        click.echo(f"the set: {_said(found.hand)}, odds {_odds(found.log_odds)}")
    for line in done.report.lines("looked at", "tomogram"):
        click.echo(line, err=line.startswith("  "))
    if done.path is not None:
        click.echo(f"set: {done.path}")
    elif folder is not None and results:
        click.echo(f"reports: {os.path.join(folder, 'hand_NAME.star')}; the set stays as it is")


def _said(hand: int | None) -> str:
    return "cannot tell" if hand is None else f"hand {hand:+d}"


def _odds(log_odds: float) -> str:
    """Odds as people say them: ``1200 : 1 for +1``."""
    import math

    favoured = "+1" if log_odds >= 0 else "-1"
    size = abs(log_odds) / math.log(10)
    if size >= 6:
        return f"over a million to 1 for {favoured}"
    return (
        f"{10**size:.3g} to 1 for {favoured}" if size < 3 else f"{10**size:.0f} to 1 for {favoured}"
    )
