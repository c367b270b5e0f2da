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
    tolerance_of,
)

if TYPE_CHECKING:
    from tomoset.formats import Format, Option, Reading
    from tomoset.model import Tomogram


class _Imports(click.Group):
    """A command for each format that has options of reading."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return [format.name for format in _formats()]

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:  # noqa: ARG002
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
            ["--overwrite"], is_flag=True, help="Replace files that are there and are others."
        ),
    ]


def _run(format: Format, sources: tuple[str, ...], given: dict[str, Any]) -> int:
    from tomoset.errors import ModelError, said_of, some_of
    from tomoset.files import Guard, together
    from tomoset.formats import other_importer, read, series_inside
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
    verified = None
    with collected_warnings(strict=given["strict"]) as warned:
        before = None if given["append"] is None else read(given["append"])
        files = set() if before is None else {os.path.realpath(file) for file in before.files}
        read_from = [p for p in (*sources, options.get("table")) if p and os.path.isfile(p)]
        guard = Guard(
            lambda: read_from,
            overwrite=given["overwrite"],
            ours=lambda path: os.path.realpath(path) in files,
        )
        with together(guard, home=os.path.dirname(output) or "."):
            with shown():
                reading = format.read(sources, target=output, before=before, **options)
            tomograms = reading.project.tomograms
            imported = [t for t in tomograms.values() if t.name not in (before or ())]
            if imported:
                verified = _write(reading, output, given)
    print_warnings(warned)
    for failure in reading.failures:
        print_errors([f"{failure.name}: {said_of(failure.name, str(failure.error))}"])
        if other := other_importer(failure.name, format):
            told = f"tomoset import {other.name} {failure.name}"
            say(f"  it is of {other.package}: {told}", err=True)
        elif os.path.isdir(failure.name) and (inside := series_inside(Path(failure.name))):
            say(f"  it holds {some_of([*inside])}: give {failure.name}/*", err=True)
    if given["as_json"]:
        print_json(_summary(reading, imported, output, warned, verified))
    else:
        _report(reading, imported, output)
        if verified is not None:
            print_verification(verified)
    return 1 if reading.failures else 0


def _same(one: str, other: str | None) -> bool:
    return other is not None and os.path.realpath(one) == os.path.realpath(other)


def _write(reading: Reading, output: str, given: dict[str, Any]) -> Any:
    """Write the set; in a format that cannot say all of an alignment, verified."""
    from tomoset.formats import BEYOND_RIGID, format_named
    from tomoset.model import TomogramSet
    from tomoset.project.convert import Options, write_and_verify
    from tomoset.project.stacks import with_stacks

    target, tomograms = format_named(given["to"]), reading.project.tomograms
    if not target.can("single images"):
        stacked = with_stacks(
            TomogramSet(t for t in tomograms.values() if t.images is not None), output
        )
        tomograms = tomograms.with_tomograms(stacked.get(n, t) for n, t in tomograms.items())
    if all(map(target.can, BEYOND_RIGID)):
        target.write_set(tomograms, output)
        return None
    options = Options(to=target.name, tolerance=tolerance_of(given))
    return write_and_verify(tomograms, output, options)


def _summary(
    reading: Reading, imported: list[Tomogram], output: str, warned: list[str], verified: Any
) -> dict[str, Any]:
    """For a program to read."""
    return {
        "output": output if imported else None,
        "imported": [
            {"name": t.name, "tilt_images": t.n_tilts, "stack": t.stack} for t in imported
        ],
        "failed": [{"name": f.name, "error": str(f.error)} for f in reading.failures],
        "verification": None if verified is None else verified.summary(),
        "warnings": warned,
    }


def _report(reading: Reading, imported: list[Tomogram], output: str) -> None:
    for line in reading.notes:
        say(line)
    images = sum(t.n_tilts for t in imported)
    others = len(reading.project.tomograms) - len(imported)
    if imported:
        say(
            f"{output}: {count(len(imported), 'tomogram')}, {count(images, 'tilt image')}"
            + (f", added to {others} that were there" if others else "")
        )
    if reading.failures:
        say(
            f"{len(reading.failures)} of {len(reading.failures) + len(imported)} series failed"
            + ("" if imported else "; nothing was written"),
            err=True,
        )
