"""``tomoset info``: a tomogram set at a glance."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from tomoset.cli._shell import (
    OVERWRITE,
    collected_warnings,
    common_options,
    count,
    print_errors,
    print_json,
    print_warnings,
    say,
    set_argument,
    the_set,
)
from tomoset.cli._table import print_table
from tomoset.errors import some_of

if TYPE_CHECKING:
    from tomoset.project import Project

_TITLES = (
    *("name", "tilts", "angles °", "axis °", "dose e/Å²"),
    *("defocus µm", "size px", "Å/px", "hand"),
)


@click.command()
@set_argument
@click.option(
    "--csv", "series_csv", metavar="FILE", type=click.Path(), help="A table with a row a series."
)
@click.option("--tilts-csv", metavar="FILE", type=click.Path(), help="... with a row a tilt image.")
@OVERWRITE
@common_options
def info(path: str | None, given: str | None, as_json: bool, strict: bool, **more: Any) -> int:
    """Show a tomogram set at a glance: series, tilts, doses, defocus, what is missing.

    SET is a tomogram set, an optimisation set, or a folder with one of them. Of a project also
    particles, volumes, halves; tables have all that is known, with its errors.
    """
    path = the_set(path, given)
    from tomoset.check.overview import overview
    from tomoset.check.summary import summarise
    from tomoset.formats import open_parts, wrong_images
    from tomoset.project import with_linked

    with collected_warnings(strict=strict) as warned:
        reading = open_parts(path)
        tomograms = reading.project.tomograms
        rows = [summarise(t) for t in tomograms.values()]
        wrong = [*reading.failures, *wrong_images(tomograms, tomograms.path or path)]
        # What refers to series that cannot be read is no fault of its own.
        with collected_warnings(strict=strict and not reading.failures) as of_linked:
            project, unreadable = with_linked(reading.project)
        _write_tables(project, more)
    linked = [] if reading.failures else unreadable
    print_warnings(warned if reading.failures else [*warned, *of_linked])
    errors = [*(str(failure.error) for failure in wrong), *map(str, linked)]
    about_project = overview(project)
    if as_json:
        about = {"path": os.fspath(path), "format": tomograms.format}
        print_json({**about, "tomograms": rows, **about_project, "errors": errors})
    else:
        _print_table(path, tomograms.format, rows)
        _print_project(about_project)
    print_errors(errors)
    return 1 if errors else 0


def _print_table(path: str, format_name: str, rows: list[dict[str, Any]]) -> None:
    images = sum(row["tilt_images"] for row in rows)
    say(f"{path}: {format_name}, {count(len(rows), 'tomogram')}, {count(images, 'tilt image')}")
    if not rows:
        return
    print_table(_TITLES, map(_cells, rows))
    if any(row["tilt_angles"] is None and row["nominal_tilts"] for row in rows):
        say("in brackets: as the microscope has them, not aligned")
    made: dict[str, list[str]] = {}
    for row in rows:
        if row["volume"] is not None:
            made.setdefault(f"{row['binning']:.4g}", []).append(row["name"])
    for binning, names in made.items():
        say(f"volumes at bin {binning}: {some_of(names, 3)}")
    for missing, names in _grouped(rows, "missing").items():
        say(f"missing: {missing}: {some_of(names, 3)}")
    for note, names in _grouped(rows, "note").items():
        say(f"{some_of(names, 3)}: {note}")


def _write_tables(project: Project, given: dict[str, Any]) -> None:
    """The tables that were asked for."""
    wanted = [given[name] for name in ("series_csv", "tilts_csv")]
    if not any(wanted):
        return
    from tomoset.check import check
    from tomoset.files import Guard, together, write
    from tomoset.project import with_fiducials
    from tomoset.project.metrics import csv_text, series_table, tilt_table

    series, tilts = wanted
    project = with_fiducials(project)
    with together(Guard(project.named_files, overwrite=given["overwrite"])):
        if series:
            write(series, csv_text(series_table(project, check(project.tomograms))).encode())
        if tilts:
            write(tilts, csv_text(tilt_table(project)).encode())


def _print_project(about: dict[str, Any]) -> None:
    """What belongs to the tomograms, and what is not there."""
    found = about["particles"]
    if found is not None:
        halves = found["halves"]
        parts = [count(found["count"], "particle")]
        inside = [f"{name} {number}" for name, number in found["tomograms"].items()]
        parts.append(f"in {some_of(inside)}" if inside else "in none")
        parts += [] if halves is None else [f"halves of {halves[0]} and {halves[1]}"]
        parts += [] if found["classes"] is None else [count(found["classes"], "class", "es")]
        parts += [] if found["oriented"] else ["no orientations"]
        say(f"particles: {', '.join(parts)}")
    for name in ("manifolds", "trajectories"):
        if about[name] is not None:
            say(f"{name}: {about[name]}")
    for name in ("fiducials", "volumes"):
        if named := about[name]["named"]:
            away = named - about[name]["there"]
            halves = about[name].get("halves")
            parts = [f"of {count(named, 'tomogram')}"]
            parts += [f"{halves} with halves"] if halves else []
            parts += [f"{away} not there"] if away else []
            say(f"{name}: {', '.join(parts)}")
    for name, file in {**about["references"], **about["unread"]}.items():
        say(f"{name}: {file['path']}{'' if file['there'] else ' (not there)'}")


def _cells(row: dict[str, Any]) -> list[str]:
    from tomoset.check.shown import FORMS, UNKNOWN

    size, aligned = row["size"], row["tilt_angles"] is not None
    angles = _range(row["tilt_angles" if aligned else "nominal_tilts"], "angle")
    axis = row["tilt_axis" if aligned else "nominal_axis"]
    direction = FORMS["axis"](axis)
    return [
        row["name"],
        FORMS["count"](row["tilt_images"]),
        angles if aligned or angles == UNKNOWN else f"({angles})",
        direction if aligned or axis is None else f"({direction})",
        _range(row["doses"], "dose"),
        _range(row["defocus"], "defocus"),
        UNKNOWN if size is None else "x".join(map(str, size)),
        FORMS["pixel_size"](row["pixel_size"]),
        FORMS["hand"](row["hand"]),
    ]


def _range(values: list[float] | None, quantity: str) -> str:
    from tomoset.check.shown import FORMS, UNKNOWN

    if values is None:
        return UNKNOWN
    low, high = map(FORMS[quantity], values)
    return low if low == high else f"{low}..{high}"


def _grouped(rows: list[dict[str, Any]], key: str) -> dict[str, list[str]]:
    """Names by what is said of them."""
    found: dict[str, list[str]] = {}
    for row in rows:
        said = row[key] or []
        for what in [said] if isinstance(said, str) else said:
            found.setdefault(what, []).append(row["name"])
    return found
