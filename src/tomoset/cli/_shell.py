"""What all commands share: warnings as lines, --strict, --json."""

from __future__ import annotations

import contextlib
import gc
import json
import os
import warnings
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import click

from tomoset.errors import TomosetError, TomosetWarning

F = TypeVar("F", bound=Callable[..., Any])

#: So many different warnings are printed; all of them are in the JSON summary.
SHOWN = 25


def common_options(command: F) -> F:
    """Give a command --json and --strict."""
    command = click.option(
        "--strict", is_flag=True, help="Take every assumption and every loss for an error."
    )(command)
    return click.option(
        "--json", "as_json", is_flag=True, help="Print a summary that a program can read."
    )(command)


def lean_start() -> None:
    """For commands that end within a second: leave out what costs more than it brings.

    BLAS threads take 50 ms to start and matrices are 4x4 here; the collector of reference
    cycles looks in vain at what hundreds of series leave in memory.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    gc.disable()


class StrictError(TomosetError):
    """A warning, where --strict asks for none."""


@contextlib.contextmanager
def collected_warnings(*, strict: bool) -> Iterator[list[str]]:
    """Gather our warnings instead of printing each; with `strict` the first is an error."""
    messages: dict[str, None] = {}

    def keep(message: Warning | str, category: type[Warning], *_: object, **__: object) -> None:
        if issubclass(category, TomosetWarning):
            if strict:
                raise StrictError(f"{message} (--strict)")
            messages[str(message)] = None
        else:
            click.echo(f"{category.__name__}: {message}", err=True)

    gathered: list[str] = []
    with warnings.catch_warnings():
        warnings.simplefilter("always", TomosetWarning)
        warnings.showwarning = keep
        try:
            yield gathered
        finally:
            gathered.extend(messages)


def print_warnings(messages: list[str]) -> None:
    """Print warnings to standard error, not more than a screen of them."""
    for message in messages[:SHOWN]:
        click.echo(f"warning: {message}", err=True)
    if len(messages) > SHOWN:
        click.echo(f"... and {len(messages) - SHOWN} more warnings (--json has all)", err=True)


def print_json(summary: dict[str, Any]) -> None:
    """Print a summary as JSON."""
    click.echo(json.dumps(summary, indent=2))


def count(number: int, what: str) -> str:
    """A number of things: ``1 tomogram``, ``2 tomograms``."""
    return f"{number} {what}{'s' * (number != 1)}"
