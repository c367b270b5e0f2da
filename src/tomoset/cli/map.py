"""``tomoset map``: particles, and all else, from one alignment to another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from tomoset.cli._shell import (
    OVERWRITE,
    collected_warnings,
    common_options,
    count,
    print_json,
    print_warnings,
    quick_start,
    say,
)
from tomoset.cli._table import print_table
from tomoset.cli.import_particles import volume_options

if TYPE_CHECKING:
    from tomoset.project.mapping import Mapped

_TITLES = ("name", "tilts", "turned °", "moved px", "residual px", "± Å", "particles")


@click.command(name="map")
@click.argument("sources", nargs=-1, type=click.Path(), metavar="[PARTICLES]...")
@click.option(
    "--from", "old", required=True, metavar="OLD", type=click.Path(), help="The set they are of."
)
@click.option(
    "--to",
    "new",
    required=True,
    metavar="NEW",
    type=click.Path(),
    help="The set of the same series, aligned otherwise.",
)
@click.option(
    "-o",
    "--o",
    "--output",
    "output",
    required=True,
    metavar="OUT",
    type=click.Path(),
    help="A folder; or a file, of one source.",
)
@click.option(
    "--pointwise",
    is_flag=True,
    help="Project each point by OLD and triangulate it by NEW, instead of moving all as one body.",
)
@click.option(
    "--max-residual",
    type=click.FloatRange(min=0),
    default=10.0,
    show_default=True,
    metavar="PX",
    help="Refuse a series if the median distance in its images stays larger.",
)
@click.option(
    "--rename",
    metavar="MAP",
    type=click.Path(dir_okay=False),
    help="A file of lines of a name in OLD and one in NEW.",
)
@click.option(
    "--names",
    metavar="MAP",
    type=click.Path(dir_okay=False),
    help="Two columns: what a table calls a tomogram, its name in OLD, or -.",
)
@click.option(
    "--tn", "tomogram", metavar="NAME", help="The tomogram of points, if no file says it."
)
@click.option("--man", "manifolds", metavar="STAR", type=click.Path(), help="Manifolds of OLD.")
@click.option("--mot", "trajectories", metavar="STAR", type=click.Path(), help="Its trajectories.")
@volume_options
@OVERWRITE
@common_options
def map_sets(sources: tuple[str, ...], as_json: bool, strict: bool, **given: Any) -> int:
    """Carry particles and all else from one alignment of the series to another.

    \b
        tomoset map --from old/tomograms.star --to new/tomograms.star particles.star -o mapped/
        tomoset map --from old --to new -o mapped/            # all that belongs to OLD
        tomoset map --from old --to new TS_01.mod -o new.mod --binning 8

    PARTICLES are particles.star of RELION, tables of other packages, or points: text (x y z, or a
    name before them), IMOD's .mod, STAR with coordinates. The rotation and shift that best explain
    both alignments, over points of the specimen in all images, carry them; what it leaves is said.
    """
    quick_start()
    from tomoset.errors import ModelError
    from tomoset.formats import Picked, read_names, read_renaming
    from tomoset.project.map_files import MapOptions, map_files

    said = ("pixel_size", "binning", "volume", "averaged", "first_voxel", "allow_outside")
    words = {word: given.pop(word) for word in said}
    old, new, output = (given.pop(name) for name in ("old", "new", "output"))
    names, rename = given.pop("names"), given.pop("rename")
    with collected_warnings(strict=strict) as warned:
        try:
            picked = Picked(names={} if names is None else read_names(names), **words)
        except ModelError as problem:
            raise click.UsageError(str(problem)) from None
        renaming = {} if rename is None else read_renaming(rename)
        options = MapOptions(rename=renaming, picked=picked, **given)
        made = map_files(old, new, sources, output, options)
    print_warnings(warned)
    if as_json:
        print_json(
            {
                "written": made.written,
                "tomograms": [report.summary() for report in made.reports],
                "warnings": warned,
            }
        )
        return 0
    print_table(_TITLES, map(_cells, made.reports))
    particles = sum(report.particles for report in made.reports)
    say(f"{', '.join(made.written)}: {count(particles, 'particle')}")
    return 0


def _cells(one: Mapped) -> list[str]:
    from tomoset.check.shown import short

    found = one.residual
    return [
        one.name if one.name == one.new_name else f"{one.name} -> {one.new_name}",
        str(one.tilts),
        short(one.rotation),
        short(one.shift),
        f"{short(found.median)}, {short(found.worst)}",
        "-" if one.uncertainty is None else short(one.uncertainty),
        str(one.particles),
    ]
