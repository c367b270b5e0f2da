"""``tomoset convert``: a set or a project in another format, verified."""

from __future__ import annotations

import os
from typing import Any

import click

from tomoset.cli._shell import (
    OVERWRITE,
    F,
    FormatName,
    collected_warnings,
    common_options,
    contradicting_losses,
    count,
    loss_options,
    print_json,
    print_losses,
    print_verification,
    print_warnings,
    quick_start,
    say,
    target_argument,
    the_target,
    tolerance_of,
)


def linked_options(command: F) -> F:
    """Give a command files to take instead of those that an optimisation set names."""
    for spelled, name, what in (
        ("--mot", "trajectories", "Trajectories"),
        ("--man", "manifolds", "Manifold set"),
        ("--p", "particles", "Particle set"),
        ("--t", "tomograms", "Tomogram set"),
    ):
        told = f"{what}, instead of the one that SRC names."
        command = click.option(spelled, name, metavar="STAR", type=click.Path(), help=told)(command)
    return command


@click.command()
@click.argument("source", metavar="SRC", type=click.Path())
@target_argument("DST", "What is written, instead of naming it after SRC.")
@click.option("--to", required=True, type=FormatName())
@loss_options
@click.option(
    "--size",
    type=int,
    nargs=3,
    metavar="W H D",
    help="Size of the tomograms, where the set does not say it, px.",
)
@click.option(
    "--image-size",
    type=int,
    nargs=2,
    metavar="W H",
    help="Size of the tilt images, where they are not there, px.",
)
@OVERWRITE
@click.option(
    "--angpix",
    "pixel_size",
    type=click.FloatRange(0, min_open=True),
    metavar="A",
    help="Pixel size of the tilt images, where the set does not say it, Å.",
)
@linked_options
@common_options
def convert(source: str, as_json: bool, strict: bool, **given: Any) -> int:
    """Write a set or a project in another format, and verify it.

    \b
        tomoset convert tomograms.star relion5/tomograms.star --to relion5
        tomoset convert optimisation_set.star relion5 --to relion5
        tomoset convert tomograms.star aretomo --to aretomo
        tomoset convert tomograms.star warp --to warp
        tomoset convert optimisation_set.star dynamo --to dynamo

    SRC and DST are the paths of global STAR files; or SRC is an optimisation set, or a
    folder with one, and DST a folder. Other packages' files of tilt series go into a folder.
    At the end a grid of points, and the particles, are projected through the source and
    through what was written: the largest differences are printed. More than 0.001 px or
    0.1 Å of defocus is an error, unless it was announced as a loss, and DST is as it was
    then.
    """
    contradicting_losses(given)
    target = the_target("DST", given.pop("target"), given.pop("output"))
    if os.path.realpath(source) == os.path.realpath(target):
        raise click.UsageError("SRC and DST are the same file")
    quick_start()
    from tomoset.project.convert import Options
    from tomoset.project.convert import convert as convert_to
    from tomoset.project.convert_particles import ParticleResult
    from tomoset.run import shown

    with collected_warnings(strict=strict) as warned:
        losses = ("max_loss", "nearest", "keep_matrices")
        others = {name: value for name, value in given.items() if name not in losses}
        options = Options(tolerance=tolerance_of(given), **others)
        with shown():
            result = convert_to(source, target, options)
    print_warnings(warned)
    if as_json:
        print_json({**result.summary(), "warnings": warned})
        return 0
    if isinstance(result, ParticleResult):
        for path in result.written:
            say(path)
        if result.names is not None:
            say(f"tomograms are numbers there; their names: {result.names}")
        say(
            f"verified: {count(result.particles, 'particle')} in "
            f"{count(result.tomograms, 'tomogram')} read again: positions within "
            f"{result.position:.1e} px, orientations within {result.angle:.1e} degrees"
        )
        return 0
    say(f"{result.written}: {count(result.tomograms, 'tomogram')}")
    print_losses(result)
    print_verification(result)
    return 0
