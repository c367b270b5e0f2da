"""``tomoset merge``: several projects as one."""

from __future__ import annotations

from typing import Any

import click

from tomoset.cli._edits import TARGET, say_edited
from tomoset.cli._shell import (
    OVERWRITE,
    FormatName,
    collected_warnings,
    common_options,
    quick_start,
)


@click.command()
@click.argument("sources", metavar="SRC...", nargs=-1, required=True, type=click.Path())
@click.option(
    "--prefix",
    "prefixes",
    multiple=True,
    metavar="TEXT",
    help="Put before names of tomograms: once for each SRC, in their order, or as s1_,s2_.",
)
@click.option(
    "--to", type=FormatName("linked sets"), help="The format to write; that of the first SRC."
)
@TARGET
@OVERWRITE
@common_options
def merge(sources: tuple[str, ...], prefixes: tuple[str, ...], to: str | None, **given: Any) -> int:
    """Make one set or project of several, with all that refers to their tomograms.

    \b
        tomoset merge session1/ session2/ --prefix s1_,s2_ -o both/
    """
    if len(sources) < 2:
        raise click.UsageError("give at least two sets or projects to merge")
    each = [text for part in prefixes for text in part.split(",")]
    quick_start()
    from tomoset.project import merge_files
    from tomoset.project.edit import merge as merged

    with collected_warnings(strict=given["strict"]) as warned:
        made = merge_files(
            sources,
            given["target"],
            lambda projects: merged(projects, prefixes=each, to=to),
            overwrite=given["overwrite"],
        )
    return say_edited(made, warned, as_json=given["as_json"])
