"""Options in messages: those of the command that prints them, or with the name of one that has it.

What is raised below the command line names parameters, in backticks and brackets, as in ``give it
(`size`)``. A command puts in its own option, or leaves the brackets out where it has none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cache

import click

from tomoset.cli._commands import LazyGroup

_PARAMETERS = re.compile(r" ?\(([^()`]*(?:`\w+`[^()`]*)+)\)")
_PARAMETER = re.compile(r"`(\w+)`")
#: Command lines in a text, of ours and of others, whose options are their own; or an option.
_OPTION = re.compile(
    r"(?:tomoset|relion_\w+) [^;:()`\n]*?(?=[;:()`\n]|, |\.?$)|(?<![\w-])--?[A-Za-z][\w-]*"
)
#: What parameters are called in commands that have another name for them.
_ALSO = {"tomograms": "given"}


def command_named(words: Sequence[str]) -> click.Command:
    """The command that a command line begins with, or the group where it names none."""
    found: click.Command = LazyGroup("tomoset")
    for word in words:
        if not isinstance(found, click.Group):
            break
        inner = None if word.startswith("-") else found.get_command(click.Context(found), word)
        if inner is None:
            break
        found = inner
    return found


def spelled(text: str, words: Sequence[str]) -> str:
    """A message as the command of a command line says it.

    Examples
    --------
    >>> spelled("no size: give it (`size`), or go", ["reconstruct", "set.star"])
    'no size: give it (--size), or go'
    >>> spelled("no size: give it (`size`), or go", ["hand", "set.star"])
    'no size: give it, or go'
    >>> spelled("take a larger --bin", ["hand"])
    'take a larger tomoset reconstruct --bin'
    """
    if "`" not in text and "--" not in text:
        return text
    command = command_named(words)
    own = _options(command)

    def parameters(match: re.Match[str]) -> str:
        names = _PARAMETER.findall(match[1])
        options = {name: _option_of(command, name) for name in names}
        if not any(options.values()):
            return ""
        return _PARAMETER.sub(lambda m: options[m[1]] or m[0], match[0])

    def option(match: re.Match[str]) -> str:
        if not match[0].startswith("--") or match[0] in own:
            return match[0]
        return next((f"{name} {match[0]}" for name in _who_has(match[0])), match[0])

    return _OPTION.sub(option, _PARAMETERS.sub(parameters, text))


def _options(command: click.Command) -> set[str]:
    return {
        name
        for parameter in command.params
        if isinstance(parameter, click.Option)
        for name in (*parameter.opts, *parameter.secondary_opts)
    } | {"--help", "--version"}


def _option_of(command: click.Command, name: str) -> str | None:
    """The option of a parameter: what RELION or the help calls it first."""
    for parameter in command.params:
        if isinstance(parameter, click.Option) and parameter.name in (name, _ALSO.get(name)):
            return next((o for o in parameter.opts if o.startswith("--")), parameter.opts[0])
    return None


@cache
def _who_has(option: str) -> list[str]:
    return [name for name, command in every_command() if option in _options(command)]


def every_command() -> Iterator[tuple[str, click.Command]]:
    """All commands, by what is typed."""
    yield from _below("tomoset", LazyGroup("tomoset"))


def _below(name: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    if not isinstance(command, click.Group):
        yield name, command
        return
    context = click.Context(command)
    for inner in command.list_commands(context):
        found = command.get_command(context, inner)
        if found is not None:
            yield from _below(f"{name} {inner}", found)
