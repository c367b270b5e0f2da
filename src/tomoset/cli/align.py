"""``tomoset align``: better alignments."""

from __future__ import annotations

from collections.abc import Iterator
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
from tomoset.cli._shell import collected_warnings, common_options
from tomoset.cli.align_particles import particles
from tomoset.cli.find_fiducials import CONTRAST, Radius, find_options_from

if TYPE_CHECKING:
    from tomoset.derived import Derived
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

#: Of a result: what is in the set, and not for a summary.
_BULK = ("projections", "deviations", "deformation", "of")

_GROUPS = {
    "What": ("given", "linked", "folder", "names", "level", "deformation"),
    "Beads": ("radius", "contrast", "keep"),
    "What may change: auto, fixed, common, grouped:N or free": tuple(_CLASSES),
    "Where it runs": ("j", "workers", "engine", "resume"),
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
    running = run_options_from(given)
    options = _options(given)
    from tomoset.fiducials.align_set import align_set

    with collected_warnings(strict=given["strict"]) as warned:
        project = asked_project(given)
        done = align_set(project, given["folder"], options, running, given["names"])
    if not given["as_json"]:
        _print_alignments(done)
    return print_derived(done, warned, "aligned", as_json=given["as_json"], without=_BULK)


def _options(given: dict[str, Any]) -> AlignOptions:
    from tomoset.errors import ModelError
    from tomoset.fiducials.align_options import AlignOptions

    find = find_options_from({**given, "radius": given["radius"] or "50"})
    classes = {name: given[name] for name in _CLASSES if given[name] != "auto"}
    try:
        return AlignOptions(
            classes=classes,
            find=find,
            radius_given=given["radius"] is not None,
            keep=given["keep"],
            level=given["level"],
            deformation=given["deformation"],
        )
    except ModelError as problem:
        raise click.UsageError(str(problem)) from None


def _print_alignments(done: Derived) -> None:
    """Some lines for each tomogram: how much better it is, and what has changed."""
    for name, result in done.report.results.items():
        for i, line in enumerate(_lines(result)):
            click.echo(f"{name}  {line}" if i == 0 else f"    {line}")


def _lines(result: dict[str, Any]) -> Iterator[str]:
    beads = f"{result['beads']} beads"
    if result["kept"] is not None:
        yield f"{beads}; the alignment stays as it is: {result['kept'].partition(': ')[2]}"
    else:
        outliers = f", {result['outliers']} outliers" * bool(result["outliers"])
        yield f"{beads}, {result['observations']} times seen{outliers}"
        yield (
            f"error of what is left out {result['leave_out_before']:.2f} -> "
            f"{result['leave_out']:.2f} px, residual {result['residual']:.2f} px "
            f"({result['residual_nm']:.2f} nm)"
        )
        yield f"alignment known to {result['expected']:.2f} px, but for a common move"
        yield result["model"]
        if result["deformation"] is not None:
            yield f"images bent in 2D ({result['deformation']['kind']})"
        if result["unsupported"]:
            views = ", ".join(map(str, result["unsupported"]))
            yield f"no beads seen in images {views}: they keep their place"
    if result["level"] is not None:
        angle, error = result["level"]
        turned = f"{angle:.2f} degrees (+- {error:.2f})"
        if result["motion"] is None:
            yield f"not turned to be level: beads say {turned}, which is not known well enough"
        else:
            yield f"turned by {turned} to be level"
