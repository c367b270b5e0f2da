"""``tomoset exclude`` and ``tomoset include``: tilt images taken out, and put back."""

from __future__ import annotations

from typing import Any

import click

from tomoset.cli._edits import OF_TOMOGRAMS, carry_out, edit_options


@click.command()
@click.option(
    "--index",
    "numbers",
    default="",
    metavar="LIST",
    help="By place in the whole series, from 1, such as 1-3,40.",
)
@click.option("--tilts", metavar="TEST", help="By tilt angle of the alignment, such as '>50'.")
@click.option("--dose", metavar="TEST", help="By dose before the image, such as '>100'.")
@click.option(
    "--where",
    metavar="CONDITION",
    help="On quantities of a tilt image, such as 'abs(tilt) > 50 or ctf_max_resolution > 20'.",
)
@click.option(
    "--images",
    multiple=True,
    metavar="NAME",
    help="By name of the image or movie, or a pattern of it; again for more.",
)
@click.option(
    "--images-from",
    "lists",
    multiple=True,
    metavar="FILE",
    type=click.Path(dir_okay=False),
    help="By names, one a line of a file; again for more.",
)
@click.option("--reason", default="", metavar="TEXT", help="Why; what was asked if not given.")
@OF_TOMOGRAMS
@edit_options
def exclude(
    names: tuple[str, ...], lists: tuple[str, ...], reason: str, images: tuple[str, ...],
    **given: Any,
) -> int:  # fmt: skip
    """Take tilt images out of a set or a project, with all that refers to them.

    Their rows leave the tables, and are kept aside with the reason: tomoset include puts them
    back. What fits any of the options is taken out.

    \b
        tomoset exclude tomograms.star --tn TS_01 --index 1-3,40 -o less/
        tomoset exclude tomograms.star --where 'ctf_max_resolution > 20' -o less/
    """
    from tomoset.formats import read_listed
    from tomoset.project.edit import Tilts
    from tomoset.project.edit import exclude as without

    listed = [name for path in lists for name in read_listed(path)]
    which = {name: given.pop(name) for name in ("numbers", "tilts", "dose", "where")}
    tilts = Tilts(images=(*images, *listed), **which)
    return carry_out(lambda p: without(p, tilts, names=names, reason=reason), given)


@click.command()
@click.option(
    "--index",
    "numbers",
    default="",
    metavar="LIST",
    help="Which, by place in the whole series, from 1, such as 1-3,40; all if not given.",
)
@OF_TOMOGRAMS
@edit_options
def include(names: tuple[str, ...], numbers: str, **given: Any) -> int:
    """Put tilt images back that were taken out, where they stood.

    They are visible for all particles, whose trajectories are interpolated there in order of
    acquisition.

    \b
        tomoset include less/ -o whole/
    """
    from tomoset.project.edit import include as put_back

    return carry_out(lambda p: put_back(p, numbers, names=names), given)
