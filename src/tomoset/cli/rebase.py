"""``tomoset rebase``: other paths in all sets of a project."""

from __future__ import annotations

from typing import Any

import click

from tomoset.cli._edits import carry_out, edit_options


@click.command()
@click.option("--absolute", is_flag=True, help="Make paths absolute.")
@click.option(
    "--relative-to",
    metavar="DIR",
    type=click.Path(file_okay=False),
    help="Make paths start in this folder, such as '.'.",
)
@click.option(
    "--moved",
    multiple=True,
    metavar="OLD=NEW",
    help="Folders that were moved: paths that begin with OLD begin with NEW; again for more.",
)
@edit_options
def rebase(absolute: bool, relative_to: str | None, moved: tuple[str, ...], **given: Any) -> int:
    """Name the same files by other paths, in all sets of a project.

    \b
        tomoset rebase optimisation_set.star --moved /old/disk=/data -o here/
        tomoset rebase tomograms.star --absolute -o anywhere/
    """
    pairs = {}
    for text in moved:
        old, equals, new = text.partition("=")
        if not (old and equals and new):
            raise click.UsageError(f"--moved is OLD=NEW, such as /old/disk=/data, not {text!r}")
        pairs[old] = new
    if sum((absolute, relative_to is not None, bool(pairs))) != 1:
        raise click.UsageError("say one way: --absolute, --relative-to or --moved")
    from tomoset.project.edit import rebase as rebased

    def edit(p: Any) -> Any:
        return rebased(p, absolute=absolute, relative_to=relative_to, moved=pairs)

    return carry_out(edit, given)
