"""``tomoset report``: what is known of a set, as a page to look at."""

from __future__ import annotations

from typing import Any

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


@click.command()
@set_argument
@click.option(
    "--o",
    "-o",
    "--output",
    "target",
    metavar="HTML",
    type=click.Path(dir_okay=False),
    default="report.html",
    show_default=True,
    help="The page.",
)
@click.option("--compare", metavar="OLD", type=click.Path(), help="An older set, shown beside it.")
@click.option(
    "--results",
    metavar="DIR",
    type=click.Path(file_okay=False, exists=True),
    multiple=True,
    help="A folder with further results of programs; again for more.",
)
@click.option(
    "--images",
    type=click.Choice(["all", "central", "none"]),
    help="Tilt images that are shown. By default all if they are no more than 20,000 and 8 GB, "
    "else the central ones.",
)
@click.option("--paths", is_flag=True, help="Keep absolute paths; else names alone are shown.")
@OVERWRITE
@common_options
def report(
    path: str | None, given: str | None, target: str, as_json: bool, strict: bool, **more: Any
) -> int:
    """Write what is known of a set as one page that opens in any browser, offline.

    \b
        tomoset report Aligned/tomograms.star -o report.html
        tomoset report Aligned -o report.html --compare tomograms.star

    All series in a table that sorts and filters, with pictures, plots over the set, and a page
    for each. Results of programs are found in the folders in which the set, and those that it was
    made of, were written. With more than 200 series each has a file of its own, in a folder
    beside the page. What cannot be read is said there, and stops nothing.
    """
    from tomoset.report import Options, write_report

    with collected_warnings(strict=strict) as warned:
        made = write_report(the_set(path, given), target, Options(**more))
    print_warnings(warned)
    if as_json:
        print_json({**vars(made), "warnings": warned})
    else:
        say(f"{made.path}: {count(made.series, 'series', '')}, {made.size / 1e6:.1f} MB")
        if made.pages is not None:
            say(f"pages of single series: {made.pages}")
        if made.remarks:
            say(f"said while reading: {count(len(made.remarks), 'remark')}, on the page")
    print_errors(made.failures)
    return 1 if made.failures else 0
