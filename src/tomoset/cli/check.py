"""``tomoset check``: what is wrong with a tomogram set."""

from __future__ import annotations

import os
from dataclasses import asdict
from typing import Any

import click

from tomoset.cli._shell import (
    collected_warnings,
    common_options,
    count,
    print_json,
    print_warnings,
    set_argument,
    the_set,
)
from tomoset.errors import some_of


@click.command()
@set_argument
@click.option("--rules", is_flag=True, help="List the rules, with their codes.")
@common_options
def check(path: str | None, given: str | None, rules: bool, as_json: bool, strict: bool) -> int:
    """Find what is wrong with a tomogram set, where, and what to do.

    Exit code 1 when there is an error; with --strict also when there is a warning.
    """
    from tomoset.check import RULES
    from tomoset.check import check as find_problems
    from tomoset.formats import read

    if rules:
        for rule in RULES:
            click.echo(f"{rule.code}  {rule.severity:8} {rule.asks}")
        return 0
    path = the_set(path, given)
    with collected_warnings(strict=strict) as warned:
        tomograms = read(path)
        problems = find_problems(tomograms)
    print_warnings(warned)
    counts = {
        severity: sum(p.severity == severity for p in problems)
        for severity in ("error", "warning", "note")
    }
    if as_json:
        print_json({"path": os.fspath(path), **counts, "problems": [asdict(p) for p in problems]})
    else:
        _print_problems(problems)
        said = ", ".join(count(n, what) for what, n in counts.items() if n)
        click.echo(f"{path}: {count(len(tomograms), 'tomogram')}, {said or 'nothing found'}")
    return 1 if counts["error"] or (strict and counts["warning"]) else 0


def _print_problems(problems: list[Any]) -> None:
    """One line a problem; what many tomograms share is said once."""
    shared: dict[tuple[str, str], list[Any]] = {}
    for problem in problems:
        shared.setdefault((problem.code, problem.message), []).append(problem)
    for (code, message), same in shared.items():
        first = same[0]
        names = [p.tomogram for p in same if p.tomogram is not None]
        place = f"{some_of(names, 3)}: " if names else ""
        click.echo(f"{first.severity:7} {code}  {place}{message}. {first.cure}")
