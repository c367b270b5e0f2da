"""``tomoset diff``: what changed between two projects."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import click

from tomoset.cli._shell import (
    collected_warnings,
    common_options,
    count,
    print_json,
    print_warnings,
    quick_start,
    say,
)
from tomoset.cli._table import print_table
from tomoset.errors import some_of

if TYPE_CHECKING:
    from tomoset.project._spread import Spread
    from tomoset.project.diff import ProjectDiff, SeriesDiff

_TITLES = (
    *("name", "tilts", "images px", "worst Å", "tilt °", "axis °", "magn. %"),
    *("defocus Å", "astigm. Å", "dose e/Å²", "particles Å"),
)


@click.command()
@click.argument("old", metavar="OLD", type=click.Path())
@click.argument("new", metavar="NEW", type=click.Path())
@click.option(
    "--rename",
    metavar="MAP",
    type=click.Path(dir_okay=False),
    help="A file of lines of a name in OLD and one in NEW.",
)
@click.option(
    "--tolerance",
    type=click.FloatRange(min=0),
    metavar="PX",
    help="Exit code 1 if a series is in one alone, or moved by more in the images.",
)
@common_options
def diff(old: str, new: str, as_json: bool, strict: bool, **given: Any) -> int:
    """Show what changed between two tomogram sets or projects, the worst series first.

    \b
        tomoset diff Tomograms/job006/tomograms.star CtfRefine/job027

    Two alignments are compared by where points of the specimen are in the images, after the best
    common motion in space is taken off. Numbers are the median and the largest difference. The
    exit code is 0 whether or not there are differences, unless --tolerance asks.
    """
    quick_start()
    from tomoset.formats import read_renaming
    from tomoset.project import open_readable
    from tomoset.project.diff import diff as compared

    rename = {} if given["rename"] is None else read_renaming(given["rename"])
    with collected_warnings(strict=strict) as warned:
        found = compared(open_readable(old), open_readable(new), rename)
    print_warnings(warned)
    tolerance = given["tolerance"]
    beyond = [] if tolerance is None else found.beyond(tolerance)
    if as_json:
        print_json(
            {"old": old, "new": new, **found.summary(), "beyond": beyond, "warnings": warned}
        )
    else:
        _tell(found, old, new)
        if beyond:
            say(f"beyond the tolerance of {tolerance:g} px: {some_of(beyond)}")
    return 1 if beyond else 0


def _tell(found: ProjectDiff, old: str, new: str) -> None:
    say(f"{old} -> {new}: {len(found.series)} series in both")
    for where, alone in ((old, found.only_old), (new, found.only_new)):
        if alone:
            say(f"only in {where}: {count(len(alone), 'tomogram')}: {some_of(alone)}")
    if found.series:
        print_table(_TITLES, map(_cells, found.series))
    for said, names in _grouped(found.series).items():
        say(f"{some_of(names, 3)}: {said}")
    for where, columns in ((old, found.columns_old), (new, found.columns_new)):
        if columns:
            say(f"columns only in {where}: {some_of(columns, 10)}")
    say("no differences" if found.same else "there are differences")


def _cells(one: SeriesDiff) -> list[str]:
    from tomoset.check.shown import short

    old, new, both = one.tilts
    found, values = one.geometry, one.values
    tilts = str(both) if old == new == both else f"{both} of {old}, {new}"
    cells = [one.name, tilts]
    if found is None:
        cells += ["-"] * 5
    else:
        size = found.pixel_size
        worst = "-" if size is None else short(found.pixels.worst * size)
        moved = (_both(found.values.get(name)) for name in ("tilt", "axis"))
        cells += [_both(found.pixels), worst, *moved]
        cells.append(_both(found.values.get("magnification"), scale=100.0))
    cells += [_both(values.get(name)) for name in ("defocus", "astigmatism", "dose")]
    return [*cells, _particles(one)]


def _particles(one: SeriesDiff) -> str:
    from tomoset.check.shown import short

    found = one.particles
    if found is None:
        return "-"
    alone = "" if found.old == found.new == found.both else f" ({found.both} of {found.old}, "
    alone += f"{found.new})" if alone else ""
    turned = "" if found.turned is None else f", {short(found.turned.worst)}°"
    return f"{_both(found.moved)}{turned}{alone}"


def _grouped(series: tuple[SeriesDiff, ...]) -> dict[str, list[str]]:
    """Names of series by what is said of them."""
    found: dict[str, list[str]] = {}
    for one in series:
        said = [
            f"{k.replace('_', ' ')} {_text(a)} -> {_text(b)}" for k, (a, b) in one.fields.items()
        ]
        if one.problem is not None:
            said.append(f"cannot be compared: {one.problem}")
        if one.geometry is not None:
            said += _frames(one)
        for what in said:
            found.setdefault(what, []).append(one.name)
    return found


def _frames(one: SeriesDiff) -> list[str]:
    """What is said of the motion that was taken off."""
    found, said = one.geometry, []
    assert found is not None
    if found.mirrored:
        said.append(
            "the new tomogram is a mirror image of the old one (geometric hand): no motion leads "
            "from one to the other, and distances are after the best mirrored one"
        )
    far = math.hypot(*found.shift)
    if found.rotation > 1e-3 or far > 1e-2:
        said.append(
            f"taken off: its frame turns by {found.rotation:.3g}°, and its middle moves by "
            f"{far:.3g} voxels"
        )
    return said


def _text(value: Any) -> str:
    if isinstance(value, tuple):
        return "x".join(map(str, value))
    return (
        "not known" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
    )


def _both(spread: Spread | None, scale: float = 1.0) -> str:
    from tomoset.check.shown import short

    if spread is None:
        return "-"
    return f"{short(spread.median * scale)}, {short(spread.worst * scale)}"
