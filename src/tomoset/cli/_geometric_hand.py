"""``tomoset hand --geometric``: a map of known hand against particles."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from tomoset.cli._run_options import asked_project
from tomoset.cli._shell import FINITE, collected_warnings, print_json, print_warnings

if TYPE_CHECKING:
    from tomoset.particles.geometric.hand import GeometricOdds
    from tomoset.particles.geometric.whole_set import GeometricHand, GeometricOptions
    from tomoset.run import RunOptions

F = TypeVar("F", bound=Callable[..., Any])

#: Options that are for one question only, by the names of their parameters.
_GEOMETRIC = {
    "particles": "--p",
    "ref": "--ref",
    "mask": "--mask",
    "box": "--b",
    "lowpass": "--lowpass",
}
_DEFOCUS = {"apply": "--apply", "defocus": "--defocus", "flat": "--flat"}
_NEEDED = (
    "--geometric compares particles with a map of known hand: give both, such as "
    "--i optimisation_set.star --ref map.mrc --b 64"
)


def geometric_options(command: F) -> F:
    """Give a command --geometric and what it needs."""
    path = click.Path()
    for option in (
        click.option(
            "--lowpass",
            type=FINITE,
            metavar="A",
            help="Leave out finer waves than this, Å.  [default: 20, or 3 pixels]",
        ),
        click.option("--b", "box", type=int, metavar="PX", help="Box about a particle in images."),
        click.option("--mask", type=path, metavar="MRC", help="Mask of the map."),
        click.option(
            "--ref",
            type=path,
            metavar="MRC",
            help="Map of known hand, with the pixels of the tilt images.",
        ),
        click.option(
            "--p",
            "particles",
            type=path,
            metavar="STAR",
            help="Particle set, instead of that of --i.",
        ),
        click.option(
            "--geometric",
            is_flag=True,
            help="Are volumes mirror images? By particles with orientations, and a map.",
        ),
    ):
        command = option(command)
    return command


def asked_geometric(given: dict[str, Any]) -> bool:
    """Whether the geometric hand is asked for; usage errors for what does not go together."""
    if not given["geometric"]:
        for name, option in _GEOMETRIC.items():
            if given[name] is not None:
                raise click.UsageError(f"{option} is for the geometric hand: give --geometric too")
        return False
    for name, option in _DEFOCUS.items():
        if given[name]:
            raise click.UsageError(f"{option} is for the defocus hand, not for --geometric")
    if given["ref"] is None:
        raise click.UsageError(f"there is no map (--ref). {_NEEDED}")
    if given["linked"] is None and given["particles"] is None and given["path"] is None:
        raise click.UsageError(f"there are no particles (--i, or --p and --t). {_NEEDED}")
    if given["box"] is None:
        raise click.UsageError(
            "--geometric needs the box about a particle (--b), 1.5 to 2 times its diameter [px]"
        )
    if not given["folder"]:
        if given["resume"]:
            raise click.UsageError("--continue goes on in a folder: name it, --o DIR")
        if given["engine"] != "local":
            raise click.UsageError(f"--engine {given['engine']} needs a folder: name it, --o DIR")
    return True


def geometric_hand(given: dict[str, Any], running: RunOptions) -> int:
    """Find it, and print it; the exit code."""
    options = _options(given)
    from tomoset.particles.geometric.whole_set import find_geometric_hand
    from tomoset.particles.reference import Reference

    with collected_warnings(strict=given["strict"]) as warned:
        reference = Reference.read(given["ref"], mask=given["mask"])
        project = asked_project(given).load(particles=given["particles"])
        done = find_geometric_hand(
            project, given["folder"], reference, options, running, given["names"]
        )
    if given["as_json"]:
        print_warnings(warned)
        print_json({**_summary(done), "warnings": warned})
        return done.report.exit_code
    _print(done)
    print_warnings(warned)
    return done.report.exit_code


def _options(given: dict[str, Any]) -> GeometricOptions:
    from tomoset.errors import ModelError
    from tomoset.particles.geometric.whole_set import GeometricOptions

    try:
        return GeometricOptions(
            box=given["box"], lowpass=given["lowpass"], error_rate=given["error_rate"]
        )
    except ModelError as problem:
        raise click.UsageError(str(problem)) from None


def _summary(done: GeometricHand) -> dict[str, Any]:
    from tomoset.particles.geometric.report import numbers

    report = done.report.summary()
    particles = {name: result["particles"] for name, result in report.pop("results").items()}
    return {
        **report,
        "geometric_hand": done.answer,
        "reason": done.reason,
        **({} if done.odds is None else numbers(done.odds)),
        "error_rate": done.error_rate,
        "lowpass": done.lowpass,
        "tomograms": {
            name: {
                "particles": particles[name],
                "geometric_hand": done.answers[name],
                **numbers(odds),
            }
            for name, odds in done.tomograms.items()
        },
        "against": list(done.against),
        "report": done.path,
    }


def _print(done: GeometricHand) -> None:
    """A line for each tomogram, and the verdict."""
    width = max((len(name) for name in done.tomograms), default=0)
    for name, odds in done.tomograms.items():
        click.echo(f"{name:{width}}  geometric hand: {done.answers[name]:12}  {_said(odds)}")
    if done.odds is not None:
        click.echo(f"geometric hand: {done.answer}; {_said(done.odds)}")
    if done.reason:
        click.echo(f"why: {done.reason}")
    for line in done.report.lines("looked at", "tomogram"):
        click.echo(line, err=line.startswith("  "))
    if done.path is not None:
        click.echo(f"report: {done.path}")


def _said(odds: GeometricOdds) -> str:
    """``odds 1200 to 1 for as the map; correlation 0.93, mirror image 0.71``."""
    favoured = "as the map" if odds.log_odds >= 0 else "mirror image"
    size = abs(odds.log_odds) / math.log(10)
    times = "over a million" if size >= 6 else f"{10**size:.3g}"
    return (
        f"odds {times} to 1 for {favoured!r}; correlation with the map {odds.explained[0]:.2f}, "
        f"with its mirror image {odds.explained[1]:.2f}"
    )
