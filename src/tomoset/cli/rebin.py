"""``tomoset rebin``: a project for binned tilt images."""

from __future__ import annotations

from typing import Any

import click

from tomoset.cli._edits import carry_out, edit_options
from tomoset.cli._shell import FINITE

_SIZE = click.Tuple([click.IntRange(min=1), click.IntRange(min=1)])


@click.command()
@click.option(
    "--bin",
    "--factor",
    "factor",
    type=FINITE,
    required=True,
    metavar="B",
    help="Pixels of now in one of then.",
)
@click.option(
    "--images",
    metavar="PATTERN",
    help="What the binned images are called; {name} is the tomogram, and {folder}, {image} and "
    "{ending} are parts of the old path. '{folder}{image}_binB{ending}' if not given.",
)
@click.option(
    "--averaged",
    is_flag=True,
    help="A pixel is the mean of those that it covers (newstack -bin), not Fourier cropped.",
)
@click.option(
    "--image-size",
    type=_SIZE,
    metavar="W H",
    help="Of the tilt images as they were, where they are not there [px].",
)
@click.option(
    "--binned-size",
    type=_SIZE,
    metavar="W H",
    help="Of the binned images [px]; that of the files, or the whole pixels that fit.",
)
@edit_options
def rebin(factor: float, **given: Any) -> int:
    """Change all numbers of a project to those for tilt images that were binned.

    Images are not made: those that are not there are named in a warning.

    \b
        tomoset rebin optimisation_set.star --bin 4 --images 'bin4/{name}.mrc' -o bin4/
    """
    from tomoset.project.edit import rebin as rebinned

    names = ("images", "averaged", "image_size", "binned_size")
    options = {name: given.pop(name) for name in names}
    return carry_out(lambda project: rebinned(project, factor, **options), given)
