"""``tomoset reconstruct``: tomograms from the tilt series of a set."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from tomoset.cli._groups import choice, flag, grouped_command, number
from tomoset.cli._run_options import (
    DEVICE,
    FIGURES,
    RUN_OPTIONS,
    carry_out,
    set_options,
    usage_errors,
)
from tomoset.cli._shell import FINITE, common_options

if TYPE_CHECKING:
    from tomoset.reconstruct import Options

_SIZE = click.Option(
    ["--size"],
    type=int,
    nargs=3,
    metavar="W H D",
    help="Of the tomogram, unbinned px, about the set's middle.",
)
_GROUPS = {
    "What": (
        *set_options("Folder for volumes, figures and the new set."),
        number("--bin binning", FINITE, None, "B", "Voxels of so many pixels.  [default: 4]"),
        number("--pixel-size --binned_angpix", FINITE, None, "A", "Or voxels of this size, Å."),
        _SIZE,
        number("--w", int, None, "W", "The same as RELION says it: width,"),
        number("--h", int, None, "H", "height,"),
        number("--d", int, None, "D", "depth."),
    ),
    "How": (
        choice(
            "--method",
            ["wbp", "wiener", "sirt"],
            "wbp",
            "Weighted back-projection, the same as Wiener filter, or iterations.",
        ),
        choice(
            "--ctf",
            ["none", "2d", "3d"],
            "none",
            "Corrected for the middle of the tomogram (2d), or the depth of each voxel (3d).",
        ),
        flag("--dose", "Damp what radiation has destroyed."),
        flag(
            "--halves --generate_split_tomograms",
            "Two more, of even and odd frames, or of every other tilt.",
        ),
        number("--iterations", int, 40, "N", "Of SIRT, at most."),
        number("--snr --SNR", FINITE, 10.0, "F", "Of the Wiener filter."),
        number("--taper", FINITE, 3.0, "PX", "Soft edge of images, px of the volume."),
        number(
            "--thickness",
            FINITE,
            None,
            "A",
            "Of the specimen, for the filter, Å.  [default: the tomogram's]",
        ),
    ),
    "Files": (
        choice(
            "--type data_type",
            ["float32", "float16", "int8"],
            "float32",
            "Of the voxels in the file.",
        ),
        flag("--zarr", "OME-Zarr instead of MRC."),
    ),
    "Where it runs": (*RUN_OPTIONS, DEVICE, FIGURES),
}


@grouped_command(_GROUPS)
@common_options
def reconstruct(**given: Any) -> int:
    """Make tomograms of the tilt series of a set.

    \b
        tomoset reconstruct tomograms.star --o Tomograms --bin 4
        tomoset reconstruct tomograms.star --o Fine --pixel-size 5 --ctf 3d

    Volumes go to DIR/tomograms/rec_NAME.mrc, with a figure beside each; voxel i lies at voxel
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
