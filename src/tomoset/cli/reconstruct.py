"""``tomoset reconstruct``: tomograms from the tilt series of a set."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from tomoset.cli._groups import GroupedCommand
from tomoset.cli._run_options import (
    RUN_OPTIONS,
    SET_OPTIONS,
    carry_out,
    device_option,
    new_set_options,
    run_options,
    usage_errors,
)
from tomoset.cli._shell import FINITE, common_options

if TYPE_CHECKING:
    from tomoset.reconstruct import Options


#: Titles of the help, and the options below each.
_GROUPS = {
    "What": (*SET_OPTIONS, "binning", "pixel_size", "size", "w", "h", "d"),
    "How": ("method", "ctf", "dose", "halves", "iterations", "snr", "taper", "thickness"),
    "Files": ("data_type", "zarr"),
    "Where it runs": (*RUN_OPTIONS, "device"),
}


@click.command(cls=GroupedCommand, groups=_GROUPS)
@new_set_options("Folder for volumes, pictures and the new set.")
@click.option(
    "--bin", "binning", type=FINITE, metavar="B", help="Voxels of so many pixels.  [default: 4]"
)
@click.option(
    "--pixel-size", "--binned_angpix", type=FINITE, metavar="A", help="Or voxels of this size, Å."
)
@click.option(
    "--size",
    type=int,
    nargs=3,
    metavar="W H D",
    help="Of the tomogram, unbinned px, about the set's middle.",
)
@click.option("--w", type=int, metavar="W", help="The same as RELION says it: width,")
@click.option("--h", type=int, metavar="H", help="height,")
@click.option("--d", type=int, metavar="D", help="depth.")
@click.option(
    "--method",
    type=click.Choice(["wbp", "wiener", "sirt"]),
    default="wbp",
    show_default=True,
    help="Weighted back-projection, the same as Wiener filter, or iterations.",
)
@click.option(
    "--ctf",
    type=click.Choice(["none", "2d", "3d"]),
    default="none",
    show_default=True,
    help="Corrected for the middle of the tomogram (2d), or the depth of each voxel (3d).",
)
@click.option("--dose", is_flag=True, help="Damp what radiation has destroyed.")
@click.option(
    "--halves",
    "--generate_split_tomograms",
    is_flag=True,
    help="Two more, of even and odd frames, or of every other tilt.",
)
@click.option(
    "--iterations", type=int, default=40, show_default=True, metavar="N", help="Of SIRT, at most."
)
@click.option(
    "--snr", "--SNR", type=FINITE, default=10.0, show_default=True, help="Of the Wiener filter."
)
@click.option(
    "--taper",
    type=FINITE,
    default=3.0,
    show_default=True,
    metavar="PX",
    help="Soft edge of images, px of the volume.",
)
@click.option(
    "--thickness",
    type=FINITE,
    metavar="A",
    help="Of the specimen, for the filter, Å.  [default: the tomogram's]",
)
@click.option(
    "--type",
    "data_type",
    type=click.Choice(["float32", "float16", "int8"]),
    default="float32",
    show_default=True,
    help="Of the voxels in the file.",
)
@click.option("--zarr", is_flag=True, help="OME-Zarr instead of MRC.")
@device_option
@run_options
@common_options
def reconstruct(**given: Any) -> int:
    """Make tomograms of the tilt series of a set.

    \b
        tomoset reconstruct tomograms.star --o Tomograms --bin 4
        tomoset reconstruct tomograms.star --o Fine --pixel-size 5 --ctf 3d

    Volumes go to DIR/tomograms/rec_NAME.mrc, with a picture beside each; voxel i lies at voxel
    BIN x i of the tomogram. DIR/tomograms.star is the set with their paths, from which RELION
    goes on.
    """
    from tomoset.programs.reconstruct import reconstruct

    return carry_out(given, reconstruct, _options(given))


def _options(given: dict[str, Any]) -> Options:
    """What is wanted, checked: two answers to one question are refused."""
    from tomoset.reconstruct import Options

    if given["binning"] is not None and given["pixel_size"] is not None:
        raise click.UsageError("give --bin or --pixel-size, not both")
    sides = [given[side] for side in "whd"]
    if any(side is not None for side in sides):
        if None in sides or given["size"] is not None:
            raise click.UsageError("give the size once: --size W H D, or all of --w --h --d")
        given["size"] = tuple(sides)
    plain = ("pixel_size", "size", "method", "ctf", "dose", "halves", "iterations", "snr")
    chosen = {name: given[name] for name in (*plain, "taper", "thickness", "data_type")}
    if given["binning"] is not None:
        chosen["binning"] = given["binning"]
    with usage_errors():
        return Options(**chosen, file=".zarr" if given["zarr"] else ".mrc")
