"""``tomoset import particles``: particle tables of other packages."""

from __future__ import annotations

from typing import Any

import click

from tomoset.cli._shell import (
    FINITE,
    F,
    FormatName,
    collected_warnings,
    common_options,
    count,
    print_json,
    print_warnings,
    quick_start,
    say,
)

#: As `tomoset.formats.Picked` has them.
_VOLUMES = ("same", "mirrored", "turned", "unrotated", "exchanged")
_VOLUME = (
    click.option(
        "--angpix",
        "pixel_size",
        type=FINITE,
        metavar="A",
        help="Pixel size of the volume that they were picked in, Å.",
    ),
    click.option("--binning", type=FINITE, metavar="B", help="Or its binning."),
    click.option(
        "--volume",
        type=click.Choice(_VOLUMES),
        default=_VOLUMES[0],
        show_default=True,
        help="How that volume lies against the tomograms: mirrored in z, turned about x by 180 "
        "degrees, unrotated as IMOD's tilt writes it, or y and z exchanged.",
    ),
    click.option(
        "--averaged",
        is_flag=True,
        help="Its voxels are means of smaller ones, as IMOD's and AreTomo's.",
    ),
    click.option(
        "--first-voxel",
        type=click.IntRange(0, 1),
        metavar="0|1",
        help="What the package calls the first voxel, if not as usual.",
    ),
    click.option(
        "--allow-outside", is_flag=True, help="Most of them may be outside their tomograms."
    ),
)


def volume_options(command: F) -> F:
    """Give a command what is said of the volume that particles were picked in."""
    for option in reversed(_VOLUME):
        command = option(command)
    return command


@click.command()
@click.argument("sources", nargs=-1, required=True, type=click.Path(), metavar="FILES...")
@click.option(
    "--t", "tomograms", required=True, metavar="STAR", type=click.Path(), help="The tomogram set."
)
@click.option(
    "-o",
    "--o",
    "--output",
    "output",
    required=True,
    metavar="STAR",
    type=click.Path(),
    help="particles.star; a folder, or optimisation_set.star, also gets what ties both sets.",
)
@click.option(
    "--from", "format", metavar="FORMAT", help="Whose tables these are, if not as they look."
)
@click.option("--to", type=FormatName("linked sets"), help="Format, if not that of the set.")
@click.option(
    "--names",
    "--rename",
    "names",
    metavar="MAP",
    type=click.Path(),
    help="Two columns: what the table calls a tomogram, its name in the set, or -.",
)
@volume_options
@click.option("--overwrite", is_flag=True, help="Replace files that are there and are others.")
@common_options
def particles(sources: tuple[str, ...], as_json: bool, strict: bool, **given: Any) -> int:
    """Make particles of a set from particle tables of other packages.

    \b
        tomoset import particles crop.tbl --t tomograms.star -o particles.star --binning 4
        tomoset import particles allmotl_3.star --t tomograms.star -o Particles/ --angpix 10

    Tables are recognised by their content. Dynamo: .tbl, with the map .doc beside it. STOPGAP:
    motive lists. PEET: _MOTL.csv, with the model .mod beside it. TOM and AV3: .em. copick:
    picks in .json. CryoET Data Portal: points in .ndjson. docs/formats.md says what their
    numbers are taken for.
    """
    quick_start()
    from tomoset.errors import ModelError
    from tomoset.formats import Picked
    from tomoset.project.import_particles import Options, import_particles

    words = ("pixel_size", "binning", "volume", "averaged", "first_voxel", "allow_outside")
    with collected_warnings(strict=strict) as warned:
        try:
            picked = Picked(**{word: given[word] for word in words})
        except ModelError as problem:
            raise click.UsageError(str(problem)) from None
        wanted = {name: given[name] for name in ("format", "to", "names", "overwrite")}
        options = Options(picked=picked, **wanted)
        done = import_particles(sources, given["tomograms"], given["output"], options)
    print_warnings(warned)
    found, tomograms = len(done.particles), len(done.particles.by_tomogram())
    if as_json:
        print_json(
            {
                "output": done.path,
                "optimisation_set": done.links,
                "particles": found,
                "tomograms": tomograms,
                "warnings": warned,
            }
        )
        return 0
    say(f"{done.path}: {count(found, 'particle')} in {count(tomograms, 'tomogram')}")
    return 0
