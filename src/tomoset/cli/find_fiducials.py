"""``tomoset find-fiducials``: the gold beads of a set."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

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

if TYPE_CHECKING:
    from tomoset.derived import Derived
    from tomoset.fiducials.options import FindOptions

_GROUPS = {
    "What": ("given", "linked", "folder", "names", "radius", "contrast", "false_discovery"),
    "Files": ("beads", "models"),
    "Where it runs": ("j", "workers", "engine", "resume"),
}


class Radius(click.ParamType[str]):
    """A number of Å, or ``auto``; its text."""

    name = "radius"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if value != "auto":
            FINITE.convert(value, param, ctx)
        return str(value)


CONTRAST = click.option(
    "--contrast",
    type=click.Choice(["auto", "dark", "bright"]),
    default="auto",
    show_default=True,
    help="Of beads against the ice.",
)


@click.command(cls=GroupedCommand, groups=_GROUPS)
@new_set_options("Folder for beads, pictures and the new set.")
@click.option(
    "--r",
    "radius",
    type=Radius(),
    default="50",
    show_default=True,
    metavar="A|auto",
    help="Radius of a bead, Å, or auto: measured.",
)
@CONTRAST
@click.option(
    "--fdr",
    "false_discovery",
    type=FINITE,
    default=0.01,
    show_default=True,
    metavar="F",
    help="Part of the beads that may be there by chance.",
)
@click.option(
    "--beads",
    metavar="FILE",
    help="Take beads that IMOD has tracked: .fid, .mod or .resid; {name} is that of a tomogram.",
)
@click.option("--fid", "models", is_flag=True, help="Write IMOD models too: DIR/NAME.fid.")
@run_options
@common_options
def find_fiducials(**given: Any) -> int:
    """Find gold beads in the tilt images and in space.

    \b
        tomoset find-fiducials tomograms.star --o Fiducials --r 50
        tomoset find-fiducials tomograms.star --o Fiducials --r auto --fid

    The alignment may be off by several pixels. DIR/fiducials_NAME.star has the beads in space, as
    RELION reads them, and where each was seen in every image, to a fraction of a pixel;
    DIR/NAME.png shows them; DIR/tomograms.star names them.
    """
    running = run_options_from(given)
    options = find_options_from(given)
    from tomoset.fiducials.find_set import Sources, find_set

    sources = Sources(beads=given["beads"], models=given["models"])
    with collected_warnings(strict=given["strict"]) as warned:
        project = asked_project(given)
        asked = given["names"] or list(project.tomograms)
        if given["beads"] and "{name}" not in given["beads"] and len(asked) > 1:
            raise click.UsageError(
                f"--beads names one file for {len(asked)} tomograms: write {{name}} where it has "
                "the name of each, or choose one by --tn"
            )
        done = find_set(project, given["folder"], options, sources, running, given["names"])
    if not given["as_json"]:
        _print_beads(done)
    return print_derived(done, warned, "searched", as_json=given["as_json"])


def find_options_from(given: dict[str, Any]) -> FindOptions:
    """What to find, from what was given on the command line; usage errors for what cannot be."""
    from tomoset.errors import ModelError
    from tomoset.fiducials.options import FindOptions

    rate = given.get("false_discovery")
    try:
        return FindOptions(
            radius=None if given["radius"] == "auto" else float(given["radius"]),
            contrast=given["contrast"],
            **({} if rate is None else {"false_discovery": rate}),
        )
    except ModelError as problem:
        raise click.UsageError(str(problem)) from None


def _print_beads(done: Derived) -> None:
    """A line for each tomogram."""
    results = done.report.results
    width = max((len(name) for name in results), default=0)
    for name, result in results.items():
        if not result["beads"]:
            click.echo(f"{name:{width}}  no beads")
            continue
        line = f"{name:{width}}  {result['beads']:3} beads, {result['observations']} times seen"
        if result["uncertainty"] is not None:
            line += f" to {result['uncertainty']:.2f} px"
        click.echo(f"{line}, {result['residual']:.2f} px rms off the alignment")
