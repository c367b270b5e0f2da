"""What a program is: what it finds of one tomogram, and what that changes."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt

from tomoset import run
from tomoset.errors import TomosetError
from tomoset.model import Tomogram
from tomoset.model.quantities import OF_CTF
from tomoset.programs._results import encode, layout, load, store
from tomoset.programs._task import Task, contents, identity, in_folder, need_of_images
from tomoset.project import Project, refuse_unknown, warn_of_unusual
from tomoset.run import Need, Records, Report, refuse_beyond

O = TypeVar("O")  # noqa: E741 - options
Array = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Result:
    """What a program found of a tomogram; each program adds its own.

    Parameters
    ----------
    files : tuple of str
        Paths of the files that were written.
    """

    files: tuple[str, ...] = ()


R = TypeVar("R", bound=Result)
F = TypeVar("F", bound=Callable[..., Any])

#: What functions of programs say alike, by its name in their docstrings.
_ALIKE = {
    "tomograms": """tomograms : TomogramSet or Project
        As it was read, aligned. Links of a project's optimisation set go on in a new one.""",
    "project": """project : Project
        With particles, and trajectories if there are any.""",
    "reference": """reference : ReferenceFiles, optional
        What the particles look like, where it is not what the optimisation set names; its paths
        ``half1``, ``half2``, ``mask`` and ``fsc`` can be given by name.""",
    "running": """resources : Resources, optional
        Where and how to run.
    names : sequence of str
        Only these tomograms; all if empty. Others keep what was found of them before.
    **by_name
        Fields of `Resources`, such as ``threads=8``, and of the options:

        {options}""",
    "refusals": """ModelError
        If no tomogram has such a name, or there is none.
    FileAccessError
        If the new set would replace another than one of an earlier run.
    UnsupportedError
        If there is no such device.
    TomosetError
        If a file that is needed is missing or not what it should be.""",
}


def documented(options: type) -> Callable[[F], F]:
    """Fill in what docstrings of all programs say alike, such as ``{running}``, and options."""

    def fill(function: F) -> F:
        for name, alike in _ALIKE.items():
            function.__doc__ = (function.__doc__ or "").replace(f"{{{name}}}", alike)
        return run.documented(options)(function)

    return fill


def nothing(_: object) -> tuple[str, ...]:
    """Projections and images are all that goes into it."""
    return ()


def ctf_and_doses(_: object) -> tuple[str, ...]:
    """All quantities that images are weighed by."""
    return (*OF_CTF, "pre_exposure")


@dataclass(frozen=True, kw_only=True, eq=False)
class Program(Generic[O, R]):
    """What is done with every tomogram of a set, and what the new set says of it.

    Records, resuming, the new set, its links and summaries follow from this
    (`tomoset.programs._request`).

    Parameters
    ----------
    name : str
        As a user types it, such as ``align fiducials``.
    verb : str
        What has been done with tomograms: ``reconstructed``.
    result : type
        A dataclass, `Result` and more: what `tomoset.programs._results` can encode.
    run : callable
        The work on one task, a function at the top of a module.
    outputs : callable
        Paths of the files that a task may write: none that is there is replaced unless an earlier
        run made it.
    reads : callable
        Paths of files that a task reads besides those of the project: none is ever replaced.
    lines : callable
        What people want to know of a result: the first line goes beside the tomogram's name.
    updated : callable
        The tomogram with what a result says; as it was if not given.
    cleared : callable
        The tomogram without what the set said of it before, as it is where a job failed; by
        default it stays as it was.
    linked : callable
        The project with these new tomograms, and with what results say of the sets that are
        linked to them. What is another object than before is written.
    motion : callable
        By what matrix, (4, 4), a result gives its tomogram another frame: from voxels before,
        0-based at bin 1, to those after; None if it does not. `updated` then gives the tomogram in
        its new frame (`tomoset.project.transform.transform_tomogram`); sets that refer to it, and
        fiducials if it names no others, go along.
    taken_out : callable
        Tilt images that show nothing by a result, rows from 0, and why: the new set keeps them
        aside (`tomoset include` puts them back), and what refers to them follows.
    identity : callable
        What a result is of, whatever the options: images, alignment, CTF and doses by default.
        The new set names results of earlier runs as long as this is the same.
    depends : callable
        What else a result depends on, by default the task's options: for `encode`.
    need : callable
        Memory and disk that a task takes; by default what single images take.
    computes_with : callable, a function at the top of a module
        Of the options: quantities of a tomogram that go into what is computed
        (`tomoset.model.quantities`). Unusual ones are said first; each must be known of all tilt
        images or of none.
    links : bool
        Write an optimisation set even if none was read.
    draws : bool
        Jobs draw figures.
    """

    name: str
    verb: str
    result: type[R]
    run: Callable[[Task[O]], R]
    outputs: Callable[[Task[O]], Iterable[str]]
    reads: Callable[[Task[O]], Iterable[str]] = lambda _: ()
    lines: Callable[[R], Iterable[str]] = lambda _: ()
    updated: Callable[[Tomogram, R], Tomogram] = lambda tomogram, _: tomogram
    cleared: Callable[[Tomogram], Tomogram] = lambda tomogram: tomogram
    linked: Callable[[Project, Mapping[str, R]], Project] = lambda project, _: project
    motion: Callable[[R], Array | None] = lambda _: None
    taken_out: Callable[[R], Mapping[int, str]] = lambda _: {}
    identity: Callable[[Task[O]], str] = identity
    depends: Callable[[Task[O]], object] = lambda task: task.options
    need: Callable[[Task[O]], Need] = need_of_images
    computes_with: Callable[[O], Iterable[str]] = nothing
    links: bool = False
    draws: bool = False

    def records(self, folder: str) -> Records[Task[O]]:
        """Where it is kept what was found, below the folder of the new set.

        Each program has its own folder: it shows which of them made a set that is there.
        """
        name = "run_" + re.sub(r"\W+", "_", self.name)
        made = partial(_outputs, self)
        return Records(Path(folder) / name, self._description, _is_there, made)

    def _description(self, task: Task[O]) -> object:
        """All that a result depends on, ready for JSON."""
        where = [task.folder, task.file_name, task.format]
        return [encode(self.depends(task)), where, self.identity(task), layout(self.result)]

    def work(self, folder: str) -> Callable[[Task[O]], dict[str, Any]]:
        """The job of one task, which puts the arrays of results beside their records."""
        folder = str(self.records(folder).folder)
        return partial(_job, self.run, self.identity, self.need, self.computes_with, folder)

    def refuse_beyond(self, tasks: Mapping[str, Task[O]], folder: str) -> None:
        """Refuse tasks that together need more than there is, before any of them begins.

        Raises
        ------
        ModelError
            If the disk cannot hold what all of them write, or the memory those that run at once.
        """
        needs = list(filter(None, map(self._known_need, tasks.values())))
        if len(needs) < 2:
            return  # its job asks for itself
        most = sorted((need.memory for need in needs), reverse=True)
        resources = next(iter(tasks.values())).resources
        at_once = 1 if resources.engine != "local" else resources.workers or 1
        if at_once > 1:
            together = Need(memory=sum(most[:at_once]), cure="take fewer --workers")
            refuse_beyond(f"{min(at_once, len(most))} tomograms at once", together)
        disk = Need(disk=sum(need.disk for need in needs), cure=needs[0].cure)
        refuse_beyond(f"{len(needs)} tomograms", disk, folder)

    def _known_need(self, task: Task[O]) -> Need | None:
        """What a task needs, if its files can be looked at: else its job says why not."""
        try:
            return self.need(task)
        except (TomosetError, OSError):
            return None

    def read(self, recorded: Mapping[str, Any]) -> R:
        """A result that was recorded."""
        return load(self.result, recorded)


def _job(
    run: Callable[[Task[O]], R],
    of: Callable[[Task[O]], str],
    need: Callable[[Task[O]], Need],
    computes_with: Callable[[O], Iterable[str]],
    folder: str,
    task: Task[O],
) -> dict[str, Any]:
    """What a record keeps: a result, the files that it names, and what these were made of."""
    with in_folder(task.root):
        fields = tuple(computes_with(task.options))
        refuse_unknown(task.tomogram, task.format, fields)
        warn_of_unusual(task.tomogram, task.format, fields)
        made_of = of(task)
        refuse_beyond(f"tomogram {task.tomogram.name!r}", need(task), task.folder)
        result = run(task)
        stored = store(result, os.path.join(folder, f"{task.file_name}.npz"))
        files = [*result.files, *filter(None, [stored["arrays"]])]
        return {**stored, "files": contents(files), "of": made_of}


def _outputs(program: Program[O, R], task: Task[O]) -> Iterable[str]:
    """Files that a task may write, if it writes any."""
    return () if task.folder is None else program.outputs(task)


def _is_there(recorded: Mapping[str, Any]) -> bool:
    """Whether all files of a result are there, as they were."""
    files = recorded["files"]
    return all(map(os.path.exists, files)) and contents(files) == files


@dataclass(frozen=True, kw_only=True, eq=False)
class Done(Generic[R]):
    """What became of a set.

    Parameters
    ----------
    program : Program
        What was done.
    report : Report
        Of every tomogram that was asked for, with summaries of the results.
    results : mapping of str to Result
        By tomogram name, of those that did not fail.
    path : str or None
        The set that names what was made; None if there is nothing, or none was asked for.
    """

    program: Program[Any, R]
    report: Report
    results: Mapping[str, R]
    path: str | None

    def summary(self) -> dict[str, Any]:
        """All of it, ready for JSON."""
        return {**self.report.summary(), "set": self.path}

    def lines(self) -> Iterator[str]:
        """What to tell of each tomogram, and at the end."""
        width = max(map(len, self.results), default=0)
        for name, result in self.results.items():
            for i, line in enumerate(self.program.lines(result)):
                yield f"    {line}" if i else f"{name:{width}}  {line}"

    def ending(self) -> Sequence[str]:
        """What to tell last: where the set is."""
        return ["no set was written" if self.path is None else f"set: {self.path}"]
