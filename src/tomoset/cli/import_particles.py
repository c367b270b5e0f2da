"""``tomoset import particles``: particle tables of other packages."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

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

if TYPE_CHECKING:
    from tomoset.formats import Picked
    from tomoset.model import ParticleSet, TomogramSet

_LINKS = "optimisation_set.star"
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
    from tomoset.formats import Picked, read_names

    words = ("pixel_size", "binning", "volume", "averaged", "first_voxel", "allow_outside")
    with collected_warnings(strict=strict) as warned:
        names = {} if given["names"] is None else read_names(given["names"])
        try:
            picked = Picked(names=names, **{word: given[word] for word in words})
        except ModelError as problem:
            raise click.UsageError(str(problem)) from None
        summary = _import(sources, picked, given)
    print_warnings(warned)
    if as_json:
        print_json({**summary, "warnings": warned})
        return 0
    say(
        f"{summary['output']}: {count(summary['particles'], 'particle')} in "
        f"{count(summary['tomograms'], 'tomogram')}"
    )
    return 0


def _import(sources: tuple[str, ...], picked: Picked, given: dict[str, Any]) -> dict[str, Any]:
    """Read the tables, write the sets, and say what they hold."""
    from tomoset.errors import UnknownFormatError
    from tomoset.files import Guard
    from tomoset.formats import (
        FORMATS,
        format_named,
        joined_particles,
        picks_format,
        read_particles,
        working_format,
    )
    from tomoset.project import open_tomograms
    from tomoset.project.history import writing

    project = open_tomograms(given["tomograms"])
    tomograms = project.tomograms
    for source in sources:
        if picks_format(source, given["format"]) is None and not source.endswith(".star"):
            endings = [ending for format in FORMATS for ending in format.particle_files]
            raise UnknownFormatError(
                f"not a particle table that is known: these end in {', '.join(endings)}; say whose "
                "it is (`format`)",
                path=source,
            )
    found = joined_particles(
        [read_particles(source, tomograms, given["format"], picked) for source in sources]
    )
    target = working_format(tomograms) if given["to"] is None else format_named(given["to"])
    output, links = _outputs(given["output"])
    read_from = (*sources, *filter(None, [given["names"]]))
    guard = Guard(lambda: [*project.named_files(), *read_from], overwrite=given["overwrite"])
    reads = [*project.set_files(), *read_from]
    with writing(os.path.dirname(output), guard, lambda: reads):
        target.write_particles(found, output, tomograms)
        if links is not None:
            _write_links(found, tomograms, (output, links), target.name)
    return {
        "output": output,
        "optimisation_set": links,
        "particles": len(found),
        "tomograms": len(found.by_tomogram()),
    }


def _outputs(output: str) -> tuple[str, str | None]:
    """The particles' file, and that of what ties the sets where it is asked for."""
    folder = output
    if os.path.basename(output) == _LINKS:
        folder = os.path.dirname(output)
    elif not os.path.isdir(output) and not output.endswith("/"):
        return output, None
    return os.path.join(folder, "particles.star"), os.path.join(folder, _LINKS)


def _write_links(
    found: ParticleSet, tomograms: TomogramSet, paths: tuple[str, str], format: str
) -> None:
    """Write what ties the particles to their tomograms."""
    from tomoset.files import write
    from tomoset.formats import format_named
    from tomoset.model import Project

    particles, links = paths
    project = Project(tomograms=tomograms, particles=found)
    named = {"particles": particles, "tomograms": os.path.relpath(tomograms.path or "")}
    write(links, format_named(format).links_file(project, named))
