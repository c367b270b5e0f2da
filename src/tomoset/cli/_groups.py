"""Help that shows a command's many options in groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click


class GroupedCommand(click.Command):
    """A command whose help shows its options in groups.

    Parameters
    ----------
    groups : mapping
        Titles, and the names of the options below each. What is in no group comes last.
    """

    def __init__(self, *args: Any, groups: Mapping[str, Sequence[str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._groups = groups

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options to the help."""
        named = {o.name: o for o in self.get_params(ctx) if isinstance(o, click.Option)}
        grouped = {name for names in self._groups.values() for name in names}
        others = [name for name in named if name not in grouped]
        for title, names in (*self._groups.items(), ("Other", others)):
            records = [named[name].get_help_record(ctx) for name in names]
            shown = [record for record in records if record]
            if shown:
                with formatter.section(title):
                    formatter.write_dl(shown)
