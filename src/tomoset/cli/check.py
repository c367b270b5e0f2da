"""``tomoset check``: what is wrong with a tomogram set, and what belongs to it."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from shlex import quote
from typing import TYPE_CHECKING, Any

import click

from tomoset.cli._shell import (
    OVERWRITE,
    collected_warnings,
    common_options,
    count,
    print_json,
    print_warnings,
    quick_start,
    say,
    set_argument,
    the_set,
)
from tomoset.errors import UnsupportedError, some_of, spelling

if TYPE_CHECKING:
    from tomoset.check import Problem
    from tomoset.check.fixes import Fixed


@dataclass(frozen=True)
class Asked:
    """What is looked for: rules by their codes (None: all), the next program, every image."""

    codes: frozenset[str] | None
    target: str | None
    images: bool


@dataclass(frozen=True)
class Answer:
    """What was found in a number of tomograms, and said in reading."""

    path: str
    tomograms: int
    problems: list[Problem]
    warnings: list[str]

    def number(self, severity: str) -> int:
        """Of problems as bad as this."""
        return sum(p.severity == severity for p in self.problems)


_SEVERITIES = ("error", "warning", "note")


@click.command()
@set_argument
@click.option("--rules", is_flag=True, help="List the rules, with their codes.")
@click.option("--notes", is_flag=True, help="Show notes too: what is good to know, and not wrong.")
@click.option(
    "--images",
    is_flag=True,
    help="Read images too: outlier pixels, blank images, tilt axis, Thon rings.",
)
@click.option(
    "--for",
    "target",
    metavar="PROGRAM",
    help="What this program needs must be there: warp, imod ... (another name lists them)",
)
@click.option("--select", metavar="CODES", help="Rules to ask, such as F,D01: by their codes.")
@click.option("--ignore", metavar="CODES", help="Rules not to ask; the longer code wins.")
@click.option("--fix", is_flag=True, help="Repair what is safe, and write the set to DST.")
@click.option(
    "--o",
    "-o",
    "--output",
    "output",
    metavar="DST",
    type=click.Path(),
    help="With --fix: the set to write, or a folder for it.",
)
@OVERWRITE
@common_options
def check(path: str | None, given: str | None, rules: bool, **options: Any) -> int:
    """Find what is wrong with a tomogram set, where, and what to do.

    SET is a tomogram set, an optimisation set, whose other sets are looked at too, or a folder.
    Exit code 1 when there is an error; with --strict also when there is a warning.

    \b
        tomoset check optimisation_set.star --for warp
        tomoset check tomograms.star --fix -o repaired/
    """
    from tomoset.check import RULES

    if rules:
        for rule in RULES:
            say(f"{rule.code}  {rule.severity:8} {rule.asks}")
        return 0
    if options["fix"] != (options["output"] is not None):
        raise click.UsageError("--fix and --o go together: what is repaired is written elsewhere")
    path, asked = the_set(path, given), _asked(options)
    fixed: list[Fixed] = []
    written = ""
    if options["fix"]:
        written, fixed = _repair(path, asked, options)
    answer = _answer(written or path, asked, strict=options["strict"])
    if options["as_json"]:
        print_json(_summary(answer, fixed, written))
    else:
        _print_fixed(fixed, path, written, fix=options["fix"])
        _print(answer, notes=options["notes"])
    bad = answer.number("error") or (options["strict"] and answer.number("warning"))
    return 1 if bad else 0


def _asked(options: dict[str, Any]) -> Asked:
    from tomoset.check import chosen_codes, targets

    select, ignore = (
        [code.strip() for code in (options[name] or "").split(",") if code.strip()]
        for name in ("select", "ignore")
    )
    target = options["target"]
    if target is not None and target not in targets():
        known = ", ".join(targets())
        raise click.UsageError(f"--for: no program is called {target!r}; there are {known}")
    try:
        return Asked(chosen_codes(select, ignore), target, options["images"])
    except UnsupportedError as problem:
        raise click.UsageError(str(problem)) from None


def _repair(path: str, asked: Asked, options: dict[str, Any]) -> tuple[str, list[Fixed]]:
    quick_start()
    from tomoset.check.fixes import repair_files

    with collected_warnings(strict=options["strict"]) as warned:
        written, fixed = repair_files(
            path, options["output"], asked.codes, overwrite=options["overwrite"]
        )
    print_warnings(warned)
    return written, fixed


def _answer(path: str, asked: Asked, *, strict: bool) -> Answer:
    from tomoset.check import check_reading
    from tomoset.formats import open_parts

    with collected_warnings(strict=strict) as warned:
        reading = open_parts(path)
        problems = check_reading(
            reading, images=asked.images, codes=asked.codes, target=asked.target
        )
    print_warnings(warned)
    return Answer(os.fspath(path), len(reading.project.tomograms), problems, warned)


def _summary(answer: Answer, fixed: list[Fixed], written: str) -> dict[str, Any]:
    return {
        "path": answer.path,
        "tomograms": answer.tomograms,
        **{severity: answer.number(severity) for severity in _SEVERITIES},
        "problems": [asdict(p) for p in answer.problems],
        "written": written or None,
        "fixed": [asdict(one) for one in fixed],
        "warnings": answer.warnings,
    }


def _print_fixed(fixed: list[Fixed], path: str, written: str, *, fix: bool) -> None:
    for one in fixed:
        say(f"fixed   {one.code}  {some_of(one.where, 3)}: {one.does}")
    if fix:
        say(f"{written}: written" if fixed else f"{path}: nothing to fix, so nothing is written")


def _print(answer: Answer, *, notes: bool) -> None:
    path = answer.path
    _print_problems([p for p in answer.problems if notes or p.severity != "note"], path)
    said = ", ".join(count(n, what) for what in _SEVERITIES if (n := answer.number(what)))
    more = " (--notes shows them)" if answer.number("note") and not notes else ""
    say(f"{path}: {count(answer.tomograms, 'tomogram')}, {said or 'nothing found'}{more}")


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
