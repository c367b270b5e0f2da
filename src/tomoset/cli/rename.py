"""``tomoset rename``: other names of tomograms, in all sets of a project."""

from __future__ import annotations

from typing import Any

import click

from tomoset.cli._edits import carry_out, edit_options


@click.command()
@click.option(
    "--map",
    "table",
    metavar="MAP",
    type=click.Path(dir_okay=False),
    help="A file of lines of an old and a new name.",
)
@click.option(
    "--strip",
    multiple=True,
    metavar="TEXT",
    help="Taken off the end, or the beginning, of names, such as _Vol; may come again.",
)
@edit_options
def rename(table: str | None, strip: tuple[str, ...], **given: Any) -> int:
    """Give tomograms other names, in every set that refers to them.

    \b
        tomoset rename optimisation_set.star --map names.txt -o renamed/
        tomoset rename tomograms.star --strip .tomostar -o renamed.star
    """
    if table is None and not strip:
        raise click.UsageError("say the new names: by --map or --strip")
    from tomoset.formats import Renaming, read_renaming
    from tomoset.project.edit import rename as renamed

    names = Renaming(strip=strip, names={} if table is None else read_renaming(table))
    return carry_out(lambda project: renamed(project, names), given)
