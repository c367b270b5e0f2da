"""``tomoset crop`` and ``tomoset pad``: another box of tomograms."""

from __future__ import annotations

from typing import Any

import click

from tomoset.cli._edits import OF_TOMOGRAMS, carry_out, edit_options
from tomoset.cli._shell import F


def _box_options(command: F) -> F:
    for option in (
        edit_options,
        OF_TOMOGRAMS,
        click.option(
            "--offset",
            type=(int, int, int),
            default=(0, 0, 0),
            metavar="X Y Z",
            help="How far the middle of the new box lies from that of the old one [px].",
        ),
        click.option(
            "--size",
            type=(int, int, int),
            required=True,
            metavar="W H D",
            help="x, y, z of the new box, in pixels of the tilt images.",
        ),
    ):
        command = option(command)
    return command


@click.command()
@click.option("--drop-outside", is_flag=True, help="Leave out particles outside of the tomograms.")
@_box_options
def crop(
    size: tuple[int, int, int],
    offset: tuple[int, int, int],
    names: tuple[str, ...],
    drop_outside: bool,
    **given: Any,
) -> int:
    """Give tomograms a smaller box, about the middle of the old one.

    Images stay; particles, manifolds and beads stay where they are in them.

    \b
        tomoset crop optimisation_set.star --size 3000 3000 900 -o cropped/
    """
    from tomoset.project.edit import crop as cropped

    def edit(p: Any) -> Any:
        return cropped(p, size, offset=offset, names=names, drop_outside=drop_outside)

    return carry_out(edit, given)


@click.command()
@_box_options
def pad(
    size: tuple[int, int, int], offset: tuple[int, int, int], names: tuple[str, ...], **given: Any
) -> int:
    """Give tomograms a larger box, about the middle of the old one.

    \b
        tomoset pad optimisation_set.star --size 4096 4096 2000 -o padded/
    """
    from tomoset.project.edit import pad as padded

    return carry_out(lambda p: padded(p, size, offset=offset, names=names), given)
