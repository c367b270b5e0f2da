"""``tomoset check``: what is wrong with a tomogram set."""

from __future__ import annotations

import os
from dataclasses import asdict
from shlex import quote
from typing import TYPE_CHECKING

import click

from tomoset.cli._shell import (
    collected_warnings,
    common_options,
    count,
    print_json,
    print_warnings,
    say,
    set_argument,
    the_set,
)
from tomoset.errors import some_of, spelling

if TYPE_CHECKING:
    from tomoset.check import Problem


@click.command()
@set_argument
@click.option("--rules", is_flag=True, help="List the rules, with their codes.")
@click.option("--notes", is_flag=True, help="Show notes too: what is good to know, and not wrong.")
@click.option(
    "--images", is_flag=True, help="Read every image too: outlier pixels, blank images, tilt axis."
)
@common_options
def check(
    path: str | None,
    given: str | None,
    rules: bool,
    notes: bool,
    images: bool,
    as_json: bool,
    strict: bool,
) -> int:
    """Find what is wrong with a tomogram set, where, and what to do.

    SET is a tomogram set, an optimisation set, whose other sets are looked at too, or a folder.
    Exit code 1 when there is an error; with --strict also when there is a warning.
    """
    from tomoset.check import RULES, check_reading
    from tomoset.formats import open_parts

    if rules:
        for rule in RULES:
            say(f"{rule.code}  {rule.severity:8} {rule.asks}")
        return 0
    path = the_set(path, given)
    with collected_warnings(strict=strict) as warned:
        reading = open_parts(path)
        problems = check_reading(reading, images=images)
    print_warnings(warned)
    counts = {
        severity: sum(p.severity == severity for p in problems)
        for severity in ("error", "warning", "note")
    }
    if as_json:
        print_json({"path": os.fspath(path), **counts, "problems": [asdict(p) for p in problems]})
    else:
        _print_problems([p for p in problems if notes or p.severity != "note"], path)
        said = ", ".join(count(n, what) for what, n in counts.items() if n)
        number = count(len(reading.project.tomograms), "tomogram")
        more = " (--notes shows them)" if counts["note"] and not notes else ""
        say(f"{path}: {number}, {said or 'nothing found'}{more}")
    return 1 if counts["error"] or (strict and counts["warning"]) else 0


def _print_problems(problems: list[Problem], path: str) -> None:
    """One line a problem; what many tomograms share is said once."""
    shared: dict[tuple[str, str], list[Problem]] = {}
    for problem in problems:
        shared.setdefault((problem.code, problem.message), []).append(problem)
    for (code, message), same in shared.items():
        first = same[0]
        names = [p.tomogram for p in same if p.tomogram is not None]
        place = f"{some_of(names, 3)}: " if names else ""
        command = "" if first.command is None else f" {first.command.replace('SET', quote(path))}"
        said = spelling.get()(f"{place}{message}. {first.cure}{command}")
        say(f"{first.severity:7} {code}  {said}")
