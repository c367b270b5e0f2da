"""What all commands share: warnings as lines, --strict, --json."""

from __future__ import annotations

import contextlib
import gc
import json
import math
import os
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

import click

from tomoset.errors import TomosetError, TomosetWarning, printable, spelling

if TYPE_CHECKING:
    from tomoset.formats import Ability, Tolerance

F = TypeVar("F", bound=Callable[..., Any])

#: So many different warnings are printed; all of them are in the JSON summary.
SHOWN = 25


class _Finite(click.ParamType[float]):
    """A number that is not infinite."""

    name = "number"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if not math.isfinite(number) or "_" in str(value):
            self.fail(f"{value!r} is not a number.", param, ctx)
        return number


FINITE = _Finite()


class FormatName(click.ParamType[str]):
    """The name of a format that is written; the formats are loaded when one is asked for.

    Parameters
    ----------
    ability : str, optional
        What it has to be able to say.
    """

    name = "format"

    def __init__(self, ability: Ability | None = None) -> None:
        self._ability = ability

    def _names(self) -> list[str]:
        from tomoset.formats import FORMATS

        able = self._ability
        return [f.name for f in FORMATS if f.writes and (able is None or f.can(able))]

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:  # noqa: ARG002
        """The names, for help."""
        return f"[{'|'.join(self._names())}]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The name, if there is such a format."""
        names = self._names()
        if value not in names:
            self.fail(f"{value!r} is not one of {', '.join(map(repr, names))}.", param, ctx)
        return str(value)


def say(text: str, *, err: bool = False) -> None:
    """Print a line; what could drive a terminal is shown, not obeyed."""
    click.echo(printable(text), err=err)


def common_options(command: F) -> F:
    """Give a command --json and --strict."""
    command = click.option(
        "--strict", is_flag=True, help="Take every assumption and every loss for an error."
    )(command)
    return click.option(
        "--json", "as_json", is_flag=True, help="Print a summary that a program can read."
    )(command)


def set_argument(command: F) -> F:
    """Give a command the set it is about, as an argument or as RELION says it."""
    command = click.option(
        "--t", "given", metavar="STAR", type=click.Path(), help="The set, as RELION says it."
    )(command)
    return click.argument("path", metavar="SET", required=False, type=click.Path())(command)


def the_set(path: str | None, *given: str | None) -> str:
    """The set that was given, one way or the other."""
    chosen = [text for text in (path, *given) if text is not None]
    if len(chosen) > 1:
        raise click.UsageError("give the set once, as SET or by an option")
    if not "".join(chosen):
        raise click.UsageError("give a tomogram set, such as tomograms.star")
    return chosen[0]


def target_argument(metavar: str, what: str) -> Callable[[F], F]:
    """Give a command what it writes, as an argument or as other commands have it, by --o."""

    def give(command: F) -> F:
        command = click.option(
            "--o", "-o", "--output", "output", metavar=metavar, type=click.Path(), help=what
        )(command)
        return click.argument("target", metavar=f"[{metavar}]", required=False, type=click.Path())(
            command
        )

    return give


def the_target(metavar: str, *given: str | None) -> str:
    """What is written, that was given one way or the other."""
    chosen = [text for text in given if text is not None]
    if len(chosen) != 1 or not chosen[0]:
        raise click.UsageError(f"say once what to write: as {metavar}, or by --o")
    return chosen[0]


def loss_options(command: F) -> F:
    """Give a command that may write RELION 5's dialect what it may lose there."""
    for option in (
        click.option(
            "--keep-matrices",
            is_flag=True,
            help="RELION 5: or write the matrices next to the angles.",
        ),
        click.option(
            "--nearest", is_flag=True, help="RELION 5: beyond that, take the nearest rigid one."
        ),
        click.option(
            "--max-loss",
            type=click.FloatRange(min=0),
            default=0.1,
            show_default=True,
            metavar="PX",
            help="RELION 5 knows rigid projections only: how far one may be from it.",
        ),
    ):
        command = option(command)
    return command


def contradicting_losses(given: dict[str, Any]) -> None:
    """Refuse two answers to one question."""
    if given["nearest"] and given["keep_matrices"]:
        raise click.UsageError("--nearest and --keep-matrices contradict each other")


def tolerance_of(given: dict[str, Any]) -> Tolerance:
    """What may be lost, as `loss_options` name it."""
    from tomoset.formats import Tolerance

    names = ("max_loss", "nearest", "keep_matrices")
    return Tolerance(**{name: given[name] for name in names})


#: Of commands that write sets.
OVERWRITE = click.option(
    "--overwrite",
    is_flag=True,
    help="Replace files that are there, and were not made by this command of this set.",
)


def print_verification(result: Any) -> None:
    """Print what a conversion lost and how it was verified."""
    points = sum(verification.points for verification in result.verifications.values())
    if not points:
        say("not aligned, so there are no projections to compare")
    else:
        say(
            f"verified: {count(points, 'point')} through source and target: images within "
            f"{result.position:.1e} px, defocus within {result.defocus:.1e} Å"
        )


def print_losses(result: Any) -> None:
    """Print how much a conversion lost, and how volumes of the target lie."""
    lost = {n: loss.pixels.max(initial=0.0) for n, loss in result.losses.items()}
    if lost:
        worst = max(lost, key=lost.__getitem__)
        far = f", up to {lost[worst]:.3g} px ({worst})" if lost[worst] > 1e-3 else ", nothing in px"
        say(f"lost: something of {count(len(lost), 'tomogram')}{far}; as warned")
    for text in dict.fromkeys(result.geometric_hands.values()):
        say(f"geometric hand: {text}")


def quick_start() -> None:
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
            say(f"{category.__name__}: {message}", err=True)

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
        say(f"warning: {spelling.get()(message)}", err=True)
    if len(messages) > SHOWN:
        say(f"... and {len(messages) - SHOWN} more warnings (--json has all)", err=True)


def print_errors(messages: Iterable[str]) -> None:
    """Print errors to standard error, a line each."""
    for message in messages:
        for line in spelling.get()(message).split("\n"):
            say(f"error: {line}", err=True)


def print_json(summary: dict[str, Any]) -> None:
    """Print a summary as JSON."""
    click.echo(json.dumps(summary, indent=2, allow_nan=False))


def count(number: int, what: str, plural: str = "s") -> str:
    """A number of things: ``1 tomogram``, ``2 tomograms``."""
    return f"{number} {what}{plural * (number != 1)}"
