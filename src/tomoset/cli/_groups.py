"""A command's many options: said briefly, in the groups in which its help shows them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click

Groups = Mapping[str, Sequence[click.Parameter]]


class GroupedCommand(click.Command):
    """A command whose help shows its options in groups.

    Parameters
    ----------
    groups : mapping
        Titles, and the options below each. What is in no group comes last.
    """

    def __init__(self, *args: Any, groups: Groups, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._groups = groups

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options to the help."""
        grouped = {id(option) for options in self._groups.values() for option in options}
        others = [option for option in self.get_params(ctx) if id(option) not in grouped]
        for title, options in (*self._groups.items(), ("Other", others)):
            shown = [o.get_help_record(ctx) for o in options if isinstance(o, click.Option)]
            if shown:
                with formatter.section(title):
                    formatter.write_dl([record for record in shown if record])


def grouped_command(
    groups: Groups, name: str | None = None
) -> Callable[[Callable[..., Any]], click.Command]:
    """A command with these options, and those of its other decorators."""
    options = [option for options in groups.values() for option in options]
    return click.command(name, cls=GroupedCommand, groups=groups, params=options)


def path(spelled: str, metavar: str, help: str) -> click.Option:
    """An option for a file; spellings, and the name of its parameter, stand in one text."""
    return click.Option(spelled.split(), metavar=metavar, type=click.Path(), help=help)


def flag(spelled: str, help: str) -> click.Option:
    """An option that is there or not."""
    return click.Option(spelled.split(), is_flag=True, help=help)


def number(spelled: str, type: Any, default: Any, metavar: str, help: str) -> click.Option:
    """An option for a number, whose default help shows, unless it is None."""
    return click.Option(
        spelled.split(),
        type=type,
        default=default,
        show_default=default is not None,
        metavar=metavar,
        help=help,
    )


def choice(spelled: str, values: Sequence[str], default: str, help: str) -> click.Option:
    """An option for one of some words."""
    kind = click.Choice(values)
    return click.Option(spelled.split(), type=kind, default=default, show_default=True, help=help)
