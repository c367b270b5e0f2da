"""What all commands that work tomogram by tomogram share: --j, --workers, --engine, --continue."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from tomoset.run import RunOptions

F = TypeVar("F", bound=Callable[..., Any])


def run_options(command: F) -> F:
    """Give a command --j, --workers, --engine and --continue."""
    for option in (
        click.option(
            "--continue",
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
