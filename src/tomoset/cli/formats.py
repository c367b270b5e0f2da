"""``tomoset formats``: what can be read and written."""

from __future__ import annotations

import click

from tomoset.cli._shell import print_json, say


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print a table that a program can read.")
def formats(as_json: bool) -> None:
    """List the formats: what is read, what is written, and what each can say."""
    from tomoset.formats import FORMATS

    rows = [
        {
            "name": format.name,
            "package": format.package,
            "url": format.url,
            "reads": format.reads,
            "writes": format.writes,
            "can": sorted(format.abilities),
            "import": bool(format.options),
        }
        for format in FORMATS
    ]
    if as_json:
        print_json({"formats": rows})
        return
    for format in FORMATS:
        say(f"{format.name}  ({format.package}, {format.url})")
        for what, text in (("reads", format.reads), ("writes", format.writes)):
            say(f"  {what:6}  {text.replace('`', '') or 'nothing'}")
        if format.abilities:
            say(f"  says    {', '.join(sorted(format.abilities))}")
