"""Tables for people: a row for each series."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tomoset.errors import printable

#: Characters of a line: a name that is cut or broken cannot be copied, whatever the terminal.
_WIDEST = 10_000


def print_table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table; its first column is names, the others are numbers."""
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold", collapse_padding=True)
    first, *others = titles
    table.add_column(first, no_wrap=True, min_width=8)
    for title in others:
        table.add_column(title, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(*map(printable, row))
    Console(highlight=False, width=_WIDEST).print(table)
