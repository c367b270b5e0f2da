"""``tomoset select``: some tomograms of a project."""

from __future__ import annotations

from typing import Any

import click

from tomoset.cli._edits import carry_out, edit_options


@click.command()
@click.option(
    "--tn",
    "names",
    multiple=True,
    metavar="NAME",
    help="A name, or a pattern such as 'TS_0*'; again for more.",
)
@click.option(
    "--where",
    metavar="CONDITION",
    help="On quantities of a series, such as 'tilts > 30 and defocus < 50000'.",
)
@edit_options
def select(names: tuple[str, ...], where: str | None, **given: Any) -> int:
    """Keep some tomograms of a set or a project, with all that refers to them.

    \b
        tomoset select tomograms.star --tn 'TS_0*' --tn TS_12 -o some/
        tomoset select tomograms.star --where 'tilts > 30 and defocus < 50000' -o some/
    """
    if not names and where is None:
        raise click.UsageError("say which tomograms: by --tn or --where")
    from tomoset.project.edit import select as selected

    return carry_out(lambda project: selected(project, names, where=where), given)
