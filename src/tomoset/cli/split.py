"""``tomoset split``: several projects of one."""

from __future__ import annotations

import os
from typing import Any

import click

from tomoset.cli._edits import edit_options, say_made, summary
from tomoset.cli._shell import collected_warnings, print_json, print_warnings, quick_start


@click.command()
@click.option(
    "--into",
    type=click.IntRange(min=1),
    metavar="N",
    help="Into so many parts, in the set's order.",
)
@click.option(
    "--by", metavar="QUANTITY", help="A part for each value, such as optics_group or pixel_size."
)
@click.option(
    "--part",
    "lists",
    multiple=True,
    metavar="NAME=PATTERNS",
    help="A part of tomograms by names or patterns, such as 'good=TS_0*,TS_12'; again for more.",
)
@edit_options
def split(into: int | None, by: str | None, lists: tuple[str, ...], **given: Any) -> int:
    """Make several sets or projects of one, each in a folder of its name in DST.

    \b
        tomoset split optimisation_set.star --into 4 -o parts/
        tomoset split tomograms.star --by pixel_size -o parts/
    """
    parts: dict[str, list[str]] = {}
    for text in lists:
        name, equals, patterns = text.partition("=")
        if not equals or not patterns or name in ("", ".", "..") or os.sep in name:
            raise click.UsageError(f"--part is NAME=PATTERNS, such as good=TS_0*, not {text!r}")
        parts.setdefault(name, []).extend(patterns.split(","))
    if sum((into is not None, by is not None, bool(parts))) != 1:
        raise click.UsageError("say one way to split: --into, --by or --part")
    quick_start()
    from tomoset.project import split_files
    from tomoset.project.edit import split as parts_of

    with collected_warnings(strict=given["strict"]) as warned:
        made = split_files(
            given["source"],
            given["target"],
            lambda project: parts_of(project, into=into, by=by, parts=parts or None),
            overwrite=given["overwrite"],
        )
    print_warnings(warned)
    if given["as_json"]:
        told = {name: summary(part) for name, part in made.items()}
        print_json({"parts": told, "warnings": warned})
        return 0
    for part in made.values():
        say_made(part)
    return 0
