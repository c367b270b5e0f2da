"""``tomoset find-fiducials``: the gold beads of a set."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from tomoset.cli._groups import choice, flag, grouped_command, number
from tomoset.cli._run_options import (
    FIGURES,
    RUN_OPTIONS,
    asked_project,
    carry_out,
    set_options,
    usage_errors,
)
from tomoset.cli._shell import FINITE, common_options

if TYPE_CHECKING:
    from tomoset.project import Project


class Radius(click.ParamType[str]):
    """A number of Å, or ``auto``; its text."""

    name = "radius"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if value != "auto":
            FINITE.convert(value, param, ctx)
        return str(value)


CONTRAST = choice("--contrast", ["auto", "dark", "bright"], "auto", "Of beads against the ice.")
_GROUPS = {
    "What": (
        *set_options("Folder for beads, figures and the new set."),
        number("--r radius", Radius(), "50", "A|auto", "Radius of a bead, Å, or auto: measured."),
        CONTRAST,
        number(
            "--fdr false_discovery",
            FINITE,
            0.01,
            "F",
            "Part of the beads that may be there by chance.",
        ),
    ),
    "Files": (
        number(
            "--beads",
            str,
            None,
            "FILE",
            "Take beads that IMOD has tracked: .fid, .mod or .resid; {name} is that of a tomogram.",
        ),
        flag("--fid models", "Write IMOD models too: DIR/NAME.fid."),
    ),
    "Where it runs": (*RUN_OPTIONS, FIGURES),
}


@grouped_command(_GROUPS)
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
    from tomoset.programs.find_fiducials import FindFiducialsOptions, find_fiducials

    with usage_errors():
        options = FindFiducialsOptions(
            **find_options(given), beads=given["beads"], models=given["models"]
        )
    return carry_out(given, find_fiducials, options, _read)


def _read(given: dict[str, Any]) -> tuple[Project, dict[str, Any]]:
    """The set, if there are files of beads for all of it."""
    project = asked_project(given)
    asked = given["names"] or list(project.tomograms)
    if given["beads"] and "{name}" not in given["beads"] and len(asked) > 1:
        raise click.UsageError(
            f"--beads names one file for {len(asked)} tomograms: write {{name}} where it has "
            "the name of each, or choose one by --tn"
        )
    return project, {}


def find_options(given: dict[str, Any]) -> dict[str, Any]:
    """Fields of `tomoset.fiducials.options.FindOptions`, from what was given."""
    rate = {k: v for k, v in given.items() if k == "false_discovery"}
    radius = None if given["radius"] == "auto" else float(given["radius"])
    return {"radius": radius, "contrast": given["contrast"], **rate}
