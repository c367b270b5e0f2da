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
    required=True,
    metavar="NAME",
    help="A name, or a pattern such as 'TS_0*'; again for more.",
)
@edit_options
def select(names: tuple[str, ...], **given: Any) -> int:
    """Keep some tomograms of a set or a project, with all that refers to them.

    \b
        tomoset select tomograms.star --tn 'TS_0*' --tn TS_12 -o some/
    """
    from tomoset.project.edit import select as selected

    return carry_out(lambda project: selected(project, names), given)
