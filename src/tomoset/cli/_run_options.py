"""What all commands that work tomogram by tomogram share.

SET, --i, --o, --tn; --j, --workers, --engine, --continue; what they print at the end.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from tomoset.cli._groups import choice, flag, number, path
from tomoset.cli._shell import collected_warnings, print_json, print_warnings, say, the_set

if TYPE_CHECKING:
    from tomoset.programs._program import Done
    from tomoset.project import Project
    from tomoset.run import Resources

NAMES = click.Option(
    ["--tn", "names"], multiple=True, metavar="NAME", help="Only this tomogram; again for more."
)
#: Where and how jobs run.
RUN_OPTIONS = (
    number(
        "--j",
        click.IntRange(1),
        None,
        "N",
        "Threads: on this machine altogether, on a cluster for each tomogram.  [default: all "
        "cores]",
    ),
    number(
        "--workers",
        click.IntRange(1),
        None,
        "M",
        "Tomograms at once; on SLURM, the number of jobs.  [default: 1; on a Dask cluster, as many "
        "as it has workers]",
    ),
    number(
        "--engine",
        str,
        "local",
        "ENGINE",
        "Where: local, dask://HOST:PORT, slurm, or slurm?cores=8&memory=32GB.",
    ),
    flag(
        "--continue --only_do_unfinished resume",
        "Do only what an earlier run with the same options has not done.",
    ),
    flag(
        "--overwrite",
        "Replace files in DIR that are there, and were not made by this command of this set.",
    ),
)
#: Of commands that draw.
FIGURES = choice(
    "--figures",
    ["png", "pdf", "svg", "none"],
    "png",
    "Files of figures: for screens (png), for print, or none.",
)
DEVICE = choice(
    "--device", ["cpu", "cuda"], "cpu", "What computes: the processor, or a GPU (cuda)."
)


def folder_option(help: str, *, required: bool = True) -> click.Option:
    """The option --o, for a folder."""
    kind = click.Path(file_okay=False)
    return click.Option(
        ["--o", "-o", "--output", "folder"], required=required, metavar="DIR", type=kind, help=help
    )


def set_options(folder_help: str, *, required: bool = True) -> tuple[click.Parameter, ...]:
    """The set that a command reads, SET, --t or --i, and --o and --tn.

    Parameters
    ----------
    folder_help : str
        What --o is the folder for.
    required : bool
        Whether there must be one.
    """
    return (
        click.Argument(["path"], metavar="SET", required=False, type=click.Path()),
        path("--t given", "STAR", "The set, as RELION says it."),
        path("--i linked", "STAR", "Or an optimisation set; its other links go on in DIR."),
        folder_option(folder_help, required=required),
        NAMES,
    )


def asked_project(given: dict[str, Any]) -> Project:
    """The set that was given, read.

    Parameters
    ----------
    given : dict
        As `set_options` names them.

    Raises
    ------
    click.UsageError
        There is none, or several; no such tomogram is in it; the folder is no name.
    TomosetError
        It cannot be read.
    """
    chosen = the_set(given["path"], given["given"], given["linked"])
    if given["folder"] == "":
        raise click.UsageError("--o is empty: name a folder")
    from tomoset.project import open_tomograms

    project = open_tomograms(chosen)
    refuse_other_names(project, given["names"])
    return project


def refuse_other_names(project: Project, names: Sequence[str]) -> None:
    """Refuse names that no tomogram has, as wrong use."""
    from tomoset.programs._request import refuse_unknown

    with usage_errors("--tn: "):
        refuse_unknown(project.tomograms, names)


def carry_out(
    given: dict[str, Any],
    program: Callable[..., Done[Any]],
    options: object,
    read: Callable[[dict[str, Any]], tuple[Project, dict[str, Any]]] | None = None,
) -> int:
    """Have a program do what was asked, and print what became of it.

    Parameters
    ----------
    given : dict
        As options of the command name them.
    program : callable
        The function of `tomoset.programs`.
    options : object
        What is wanted.
    read : callable, optional
        Reads the project, and what else the program takes; by default the set.

    Returns
    -------
    int
        The exit code.
    """
    resources = resources_from(given)
    with collected_warnings(strict=given["strict"]) as warned:
        project, others = (asked_project(given), {}) if read is None else read(given)
        names = given["names"]
        done = program(
            project, given["folder"], options, resources=resources, names=names, **others
        )
    if given["as_json"]:
        print_warnings(warned)
        print_json({**done.summary(), "warnings": warned})
        return done.report.exit_code
    for line in done.lines():
        say(line)
    print_warnings(warned)
    for line in [*done.report.lines(done.program.verb, "tomogram", told=True), *done.ending()]:
        say(line)
    return done.report.exit_code


def resources_from(given: dict[str, Any]) -> Resources:
    """Where and how to run, from what was given on the command line.

    Parameters
    ----------
    given : dict
        As `RUN_OPTIONS` name them; maybe ``device`` and ``figures``.

    Raises
    ------
    click.UsageError
        There is no such engine, or the numbers do not go together.
    """
    from dataclasses import replace

    from tomoset.run import Resources

    with usage_errors("--engine: "):
        resources = Resources(given["engine"], given["workers"], resume=given["resume"])
        resources = replace(resources, overwrite=given["overwrite"])
    threads = _threads(resources, given["j"])
    kept = {name: given[name] for name in ("device", "figures") if name in given}
    return replace(resources, threads=threads, **kept)


@contextlib.contextmanager
def usage_errors(prefix: str = "") -> Iterator[None]:
    """Have values that contradict each other be wrong use of the command."""
    from tomoset.errors import ModelError

    try:
        yield
    except ModelError as problem:
        raise click.UsageError(f"{prefix}{problem}") from None


def _threads(resources: Resources, j: int | None) -> int:
    """Threads of each job."""
    if resources.engine != "local":
        return j or _threads_there(resources.engine)
    workers = resources.workers or 1
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
