"""What all commands that work tomogram by tomogram share.

SET, --i, --o, --tn; --j, --workers, --engine, --continue; what they print at the end.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from tomoset.cli._shell import print_json, print_warnings, set_argument, the_set

if TYPE_CHECKING:
    from tomoset.derived import Derived
    from tomoset.project import Project
    from tomoset.run import RunOptions

F = TypeVar("F", bound=Callable[..., Any])


def new_set_options(folder_help: str, *, required: bool = True) -> Callable[[F], F]:
    """Give a command the set that it reads, SET, --t or --i, and --o and --tn.

    Parameters
    ----------
    folder_help : str
        What --o is the folder for.
    required : bool
        Whether there must be one.
    """

    def decorate(command: F) -> F:
        for option in (
            click.option(
                "--tn",
                "names",
                multiple=True,
                metavar="NAME",
                help="Only this tomogram; again for more.",
            ),
            click.option(
                "--o",
                "-o",
                "folder",
                required=required,
                metavar="DIR",
                type=click.Path(file_okay=False),
                help=folder_help,
            ),
            click.option(
                "--i",
                "linked",
                metavar="STAR",
                type=click.Path(),
                help="Or an optimisation set; its other links go on in DIR.",
            ),
        ):
            command = option(command)
        return set_argument(command)

    return decorate


def asked_project(given: dict[str, Any]) -> Project:
    """The set that was given, read.

    Parameters
    ----------
    given : dict
        Has ``path``, ``given``, ``linked``, ``folder`` and ``names``, as `new_set_options`
        names them.

    Raises
    ------
    click.UsageError
        There is none, or several; no such tomogram is in it; the folder is no name.
    TomosetError
        It cannot be read.
    """
    path = the_set(given["path"], given["given"], given["linked"])
    if given["folder"] == "":
        raise click.UsageError("--o is empty: name a folder")
    from tomoset.derived import refuse_unknown
    from tomoset.errors import ModelError
    from tomoset.project import open_tomograms

    project = open_tomograms(path)
    try:
        refuse_unknown(project.tomograms, given["names"])
    except ModelError as problem:
        raise click.UsageError(f"--tn: {problem}") from None
    return project


def print_derived(
    done: Derived, warned: list[str], verb: str, *, as_json: bool, without: tuple[str, ...] = ()
) -> int:
    """Print what became of a set: ``reconstructed 48 of 50 tomograms ...``; the exit code."""
    print_warnings(warned)
    if as_json:
        summary = done.report.summary()
        results = {
            name: {k: v for k, v in result.items() if k not in without}
            for name, result in summary["results"].items()
        }
        print_json({**summary, "results": results, "set": done.path, "warnings": warned})
        return done.report.exit_code
    for line in done.report.lines(verb, "tomogram"):
        click.echo(line, err=line.startswith("  "))
    click.echo("no set was written" if done.path is None else f"set: {done.path}")
    return done.report.exit_code


def run_options(command: F) -> F:
    """Give a command --j, --workers, --engine and --continue."""
    for option in (
        click.option(
            "--continue",
            "--only_do_unfinished",
            "resume",
            is_flag=True,
            help="Do only what an earlier run with the same options has not done.",
        ),
        click.option(
            "--engine",
            default="local",
            show_default=True,
            metavar="ENGINE",
            help="Where: local, dask://HOST:PORT, slurm, or slurm?cores=8&memory=32GB.",
        ),
        click.option(
            "--workers",
            type=click.IntRange(1),
            metavar="M",
            help="Tomograms at once; on SLURM, the number of jobs.  [default: 1; on a Dask "
            "cluster, as many as it has workers]",
        ),
        click.option(
            "--j",
            "j",
            type=click.IntRange(1),
            metavar="N",
            help="Threads: on this machine altogether, on a cluster for each tomogram.  "
            "[default: all cores]",
        ),
    ):
        command = option(command)
    return command


def run_options_from(given: dict[str, Any]) -> RunOptions:
    """How to run, from what was given on the command line.

    Parameters
    ----------
    given : dict
        Has ``j``, ``workers``, ``engine`` and ``resume``, as `run_options` names them.

    Raises
    ------
    click.UsageError
        There is no such engine, or the numbers do not go together.
    """
    from tomoset.errors import ModelError
    from tomoset.run import RunOptions

    try:
        options = RunOptions(given["engine"], given["workers"], resume=given["resume"])
    except ModelError as problem:
        raise click.UsageError(f"--engine: {problem}") from None
    threads = _threads(options, given["j"])
    return RunOptions(options.engine, options.workers, threads, options.resume)


def _threads(options: RunOptions, j: int | None) -> int:
    """Threads of each job."""
    if options.engine != "local":
        return j or _threads_there(options.engine)
    workers = options.workers or 1
    if j is not None and j < workers:
        raise click.UsageError(
            f"--workers {workers} needs a thread for each tomogram: give --j {workers} or more, "
            f"or --workers {j}"
        )
    return max(1, (j or usable_cores()) // workers)


def _threads_there(engine: str) -> int:
    """Threads on a cluster: how many cores this machine has says nothing about it."""
    from tomoset.run import cores_of_engine

    cores = cores_of_engine(engine)
    if cores is None:
        raise click.UsageError(
            f"--engine {engine}: it cannot be seen from here how many threads a tomogram may take "
            "there; give --j, such as --j 8"
            + (", or --engine 'slurm?cores=8'" * engine.startswith("slurm"))
        )
    return cores


def usable_cores() -> int:
    """How many cores this process may use, which on a shared machine are often not all."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
