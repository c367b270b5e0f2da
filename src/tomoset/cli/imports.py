"""``tomoset import``: tomogram sets from other programs' alignments."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tomoset.cli._shell import (
    FINITE,
    FormatName,
    collected_warnings,
    common_options,
    contradicting_losses,
    count,
    loss_options,
    print_errors,
    print_json,
    print_verification,
    print_warnings,
    quick_start,
    say,
)

if TYPE_CHECKING:
    from tomoset.formats import Format, Option
    from tomoset.project.importing import Imported


#: Options of every import, and of formats that cannot say every alignment.
_GENERAL = (
    *("to", "append", "strip", "rename", "mdoc", "particles", "overwrite"),
    *("max_loss", "nearest", "keep_matrices"),
)


class _Imports(click.Group):
    """A command for each format that has options of reading."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return [*(format.name for format in _formats()), "particles"]

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:  # noqa: ARG002
        if name == "particles":
            from tomoset.cli.import_particles import particles

            return particles
        return next((_command(format) for format in _formats() if format.name == name), None)


def _formats() -> list[Format]:
    quick_start()
    from tomoset.formats import FORMATS

    return [format for format in FORMATS if format.options]


@click.group(name="import", cls=_Imports)
def imports() -> None:
    """Make a tomogram set from another program's alignment."""


def _command(format: Format) -> click.Command:
    """``tomoset import NAME``."""

    def run(sources: tuple[str, ...], **given: Any) -> int:
        return _run(format, sources, given)

    shared = vars(loss_options(common_options(lambda: None)))["__click_params__"]
    return click.Command(
        format.name,
        callback=run,
        params=[
            click.Argument(["sources"], nargs=-1, type=click.Path(), metavar="[SOURCES]..."),
            *_general(),
            *map(_option, format.options),
            *reversed(shared),
        ],
        help=format.about,
        short_help=f"{format.package}: {format.reads.replace('`', '')}.",
        epilog="Options in RELION's spelling mean what they mean there.",
    )


def _option(option: Option) -> click.Option:
    kinds: dict[str, Any] = {"number": FINITE, "text": str, "path": click.Path(dir_okay=False)}
    flag = option.kind == "flag"
    return click.Option(
        [option.spelling, option.name],
        type=None if flag else kinds[option.kind],
        is_flag=flag,
        default=option.default,
        show_default=bool(option.default),
        metavar=option.metavar,
        help=option.help,
    )


def _general() -> list[click.Option]:
    """What every import is told."""
    from tomoset.formats import FORMATS

    return [
        click.Option(
            ["-o", "--o", "--output", "output"],
            required=True,
            type=click.Path(),
            metavar="STAR",
            help="The set to write, such as tomograms.star.",
        ),
        click.Option(
            ["--to"],
            type=FormatName("linked sets"),
            default=FORMATS[0].name,
            show_default=True,
            help="Format of the set.",
        ),
        click.Option(
            ["--t", "append"],
            type=click.Path(dir_okay=False),
            metavar="STAR",
            help="A set to which the new tomograms are added.",
        ),
        click.Option(
            ["--strip"],
            multiple=True,
            metavar="TEXT",
            help="Taken off the end, or the beginning, of names, such as _Vol; may come again.",
        ),
        click.Option(
            ["--rename"],
            type=click.Path(dir_okay=False),
            metavar="MAP",
            help="New names: a file of lines of an old and a new one.",
        ),
        click.Option(
            ["--mdoc"],
            type=click.Path(),
            metavar="PATH",
            help="The .mdoc, or a folder of them called like the series: order, doses, movies.",
        ),
        click.Option(
            ["--p", "particles"],
            type=click.Path(dir_okay=False),
            metavar="STAR",
            help="Particles in the tomograms, which come along, with trajectories if they move.",
        ),
        click.Option(
            ["--overwrite"], is_flag=True, help="Replace files that are there and are others."
        ),
    ]


def _run(format: Format, sources: tuple[str, ...], given: dict[str, Any]) -> int:
    from tomoset.errors import ModelError, said_of, some_of
    from tomoset.formats import other_importer, series_inside
    from tomoset.project.importing import import_series
    from tomoset.run import shown

    options = {option.name: given[option.name] for option in format.options}
    contradicting_losses(given)
    try:
        format.refuse_options(sources, options)
    except ModelError as problem:
        raise click.UsageError(str(problem)) from None
    output = given["output"]
    if any(_same(output, path) for path in (*sources, options.get("table"))):
        raise click.UsageError("the output would replace what is read")
    if os.path.isdir(output) or output.endswith("/"):
        output = os.path.join(output, "tomograms.star")
    general = {name: given[name] for name in _GENERAL}
    with collected_warnings(strict=given["strict"]) as warned, shown():
        done = import_series(format.name, sources, output, **general, **options)
    print_warnings(warned)
    for failure in done.reading.failures:
        print_errors([f"{failure.name}: {said_of(failure.name, str(failure.error))}"])
        if other := other_importer(failure.name, format):
            told = f"tomoset import {other.name} {failure.name}"
            say(f"  it is of {other.package}: {told}", err=True)
        elif os.path.isdir(failure.name) and (inside := series_inside(Path(failure.name))):
            say(f"  it holds {some_of([*inside])}: give {failure.name}/*", err=True)
    if given["as_json"]:
        print_json(_summary(done, output, warned))
    else:
        _report(done, output)
    return 1 if done.reading.failures else 0


def _same(one: str, other: str | None) -> bool:
    return other is not None and os.path.realpath(one) == os.path.realpath(other)


def _summary(done: Imported, output: str, warned: list[str]) -> dict[str, Any]:
    """For a program to read."""
    return {
        "output": done.path and output,
        "imported": [
            {"name": t.name, "tilt_images": t.n_tilts, "stack": t.stack} for t in done.tomograms
        ],
        "failed": [{"name": f.name, "error": str(f.error)} for f in done.reading.failures],
        "verification": None if done.verified is None else done.verified.summary(),
        "warnings": warned,
    }


def _report(done: Imported, output: str) -> None:
    new, failures = len(done.tomograms), len(done.reading.failures)
    for line in done.reading.notes:
        say(line)
    others = len(done.reading.project.tomograms) - new
    if new:
        images = sum(t.n_tilts for t in done.tomograms)
        say(
            f"{output}: {count(new, 'tomogram')}, {count(images, 'tilt image')}"
            + (f", added to {others} that were there" if others else "")
        )
    if failures:
        say(
            f"{failures} of {failures + new} series failed"
            + ("" if new else "; nothing was written"),
            err=True,
        )
    if done.verified is not None:
        print_verification(done.verified)
