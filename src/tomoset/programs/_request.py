"""What a user asks of a program, and how it is carried out: one job a tomogram, a new set.

The new set is right at any time: it is written before the first job without what will be made
again, and after the last one, or a stop, with all that is there. What is not there is marked.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt

from tomoset.errors import AssumptionWarning, LossyWarning, ModelError, TomosetError
from tomoset.figures import prepare
from tomoset.files import locked, refuse_unless_star, together, write
from tomoset.formats import refuse_unless_set, working_format
from tomoset.images.device import open_device
from tomoset.model import Tomogram, TomogramSet
from tomoset.model.image_use import used_twice
from tomoset.paths import file_names
from tomoset.programs._linked import (
    changed_sets,
    follow_motions,
    forget_motions,
    linked_files,
    motions_file,
    transformed,
    without_files,
    without_images,
)
from tomoset.programs._made import Made
from tomoset.programs._program import Done, Program, Result
from tomoset.programs._results import summary
from tomoset.programs._task import Task
from tomoset.project import Project, has_links
from tomoset.project.history import FOLDER as HISTORY
from tomoset.project.history import remember
from tomoset.run import Resources, run

O = TypeVar("O")  # noqa: E741 - options
R = TypeVar("R", bound=Result)
Array = npt.NDArray[np.float64]
StrPath = str | os.PathLike[str]


def refuse_unknown(tomograms: TomogramSet, names: Sequence[str]) -> None:
    """Refuse names that no tomogram has.

    Raises
    ------
    ModelError
        With names that there are.
    """
    unknown = [name for name in names if name not in tomograms]
    if unknown:
        some = ", ".join(list(tomograms)[:5]) + (" ..." if len(tomograms) > 5 else "")
        raise ModelError(f"no tomogram is called {unknown[0]!r}; there are {some}")


def _warn_of_unfinished(tomograms: TomogramSet) -> None:
    """Tell of tomograms with which an earlier program was not ready."""
    for program in dict.fromkeys(name for t in tomograms.values() for name in t.unfinished):
        names = [name for name, t in tomograms.items() if program in t.unfinished]
        some = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
        warnings.warn(
            f"tomoset {program} has failed or was stopped for {some}, which are as they were "
            "before: run it again with --continue, or go on if that is right",
            AssumptionWarning,
            stacklevel=4,
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Request(Generic[O]):
    """What is asked of a program.

    Parameters
    ----------
    project : Project
        The set, and what is linked to it: it goes on in a new optimisation set.
    folder : str or None
        Where files go; None: none are written, whatever else is asked for.
    options : object
        What is wanted.
    resources : Resources
        Where and how jobs run.
    names : sequence of str
        Only these tomograms; all if empty. Others keep what was made of them before.
    """

    project: Project
    folder: str | None
    options: O
    resources: Resources
    names: Sequence[str]

    @classmethod
    def of(
        cls,
        given: TomogramSet | Project,
        folder: StrPath | None,
        options: O,
        resources: Resources | None,
        names: Sequence[str],
    ) -> Request[O]:
        """What was given to the function of a program.

        Raises
        ------
        ModelError
            If no tomogram has such a name, or there is nothing to resume from.
        UnsupportedError
            If there is no such device.
        """
        project = given if isinstance(given, Project) else Project(tomograms=given)
        _warn_of_unfinished(project.tomograms)
        resources = resources or Resources()
        refuse_unknown(project.tomograms, names)
        if resources.resume and folder is None:
            raise ModelError("there is nothing to resume from: no folder is given")
        if resources.device != "cpu" and resources.engine == "local":  # nodes of a cluster: others
            open_device(resources.device)
        where = None if folder is None else os.fspath(folder)
        return cls(project=project, folder=where, options=options, resources=resources, names=names)

    @property
    def asked(self) -> list[Tomogram]:
        """The tomograms that are asked for."""
        names = frozenset(self.names or self.project.tomograms)
        return [t for t in self.project.tomograms.values() if t.name in names]

    def tasks(self, inputs: Mapping[str, object] | None = None) -> dict[str, Task[O]]:
        """A task for each tomogram that there are inputs of, or for every one if none needs any."""
        tomograms = self.project.tomograms
        files = file_names(tomograms)
        inputs = dict.fromkeys(tomograms) if inputs is None else inputs
        shared = dict(used_twice(tomograms, "image"))
        return {
            name: Task(
                tomogram=tomogram,
                options=self.options,
                inputs=inputs[name],
                resources=self.resources,
                folder=self.folder,
                file_name=files[name],
                format=working_format(tomograms).name,
                beads=self.project.fiducials.get(name),
                shared_images=shared.get(name),
            )
            for name, tomogram in tomograms.items()
            if name in inputs
        }

    def carry_out(
        self,
        program: Program[O, R],
        inputs: Mapping[str, object] | None = None,
        *,
        new_set: bool = True,
        may_write: Collection[str] = (),
    ) -> Done[R]:
        """Do the jobs, and write the set that names what they made.

        Parameters
        ----------
        program : Program
            What is done.
        inputs : mapping of str to object, optional
            What tasks need, by tomogram name. A tomogram without any stays as it is.
        new_set : bool
            Whether a set is written: ``tomograms.star``, links in ``optimisation_set.star``.
        may_write : collection of str
            Files besides the set, such as linked sets.

        Returns
        -------
        Done
            A tomogram that fails stops no other; ``summary.json`` has what became of each.

        Raises
        ------
        ModelError
            If there is no tomogram.
        FileAccessError
            If a file would be replaced that is read, or that no earlier run of this program made of
            this set.
        """
        tasks = self.tasks(inputs)
        if not tasks:
            raise ModelError("the set holds no tomogram, so there is nothing to do")
        asked = {t.name: tasks[t.name] for t in self.asked if t.name in tasks}
        with contextlib.ExitStack() as stack:
            where = self.folder or stack.enter_context(tempfile.TemporaryDirectory())
            records = program.records(where) if self.folder else None
            new = None
            if records is not None and self.folder:
                reads = [path for task in asked.values() for path in program.reads(task)]
                made = Made(records, self.project, reads, overwrite=self.resources.overwrite)
                made.refuse([path for task in asked.values() for path in records.outputs(task)])
                if new_set:
                    new = _NewSet(program, self.project, tasks, self.folder, made)
                    new.refuse(may_write)
                made.begin()
                if new is not None:
                    new.forget(list(asked), resume=self.resources.resume)
            if not self.resources.resume:  # what is there already takes no room
                program.refuse_beyond(asked, where)
            if program.draws and self.resources.figures != "none" and not self.resources.is_alone:
                prepare()  # fonts are searched once, not by all processes at once
            try:
                report = run(program.work(where), asked, self.resources, records)
            finally:
                path = new.write() if new else None
            results = {name: program.read(found) for name, found in report.results.items()}
        summaries = {name: summary(result) for name, result in results.items()}
        report = replace(report, results=summaries)
        if self.folder:
            report.write(os.path.join(self.folder, "summary.json"))
        return Done(program=program, report=report, results=results, path=path)


class _NewSet(Generic[O, R]):
    """The set that names what is in the records, and else what nobody asked for anew."""

    def __init__(
        self,
        program: Program[O, R],
        project: Project,
        tasks: Mapping[str, Task[O]],
        folder: str,
        made: Made,
    ) -> None:
        self._program, self._project, self._tasks, self._made = program, project, tasks, made
        self._records = program.records(folder)
        self._path, self._folder = os.path.join(folder, "tomograms.star"), folder
        linked = program.links or has_links(project)
        self._links = os.path.join(folder, "optimisation_set.star") if linked else None
        self._asked: frozenset[str] = frozenset()

    def refuse(self, others: Collection[str]) -> None:
        """Refuse to replace a set, or others of these files, that no earlier run has made."""
        refuse_unless_set(self._path)
        linked = linked_files(self._project, self._folder, without_files(self._project))
        format = working_format(self._project.tomograms)
        sets = format.files(self._project.tomograms, self._path)
        self._made.refuse(filter(None, (*sets, self._links, *others, *linked)))

    def forget(self, names: Sequence[str], *, resume: bool) -> None:
        """What will be made again is not named any more, also in a set that is there."""
        self._asked = frozenset(names)
        if os.path.exists(self._path):
            again = [name for name in names if not (resume and self._holds(name))]
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", LossyWarning)  # the last set says it
                self._write({k: v for k, v in self._known().items() if k not in again})

    def _holds(self, name: str) -> bool:
        try:
            fingerprint = self._records.fingerprint(self._tasks[name])
        except (TomosetError, OSError):
            return False
        return not isinstance(self._records.read(name, fingerprint), str)

    def _known(self) -> dict[str, R]:
        """Results that are there and were made of these images and this alignment."""
        found = {}
        for name, task in self._tasks.items():
            recorded = self._records.last(name)
            try:
                if recorded is not None and recorded["of"] == self._program.identity(task):
                    found[name] = self._program.read(recorded)
            except (TomosetError, OSError, LookupError, TypeError, ValueError):
                continue  # made of images that are not there any more, or by another version
        return found

    def write(self) -> str | None:
        """Write the set if there is something to name; its path."""
        known = self._known()
        if not known:
            return None
        self._write(known, history=True)
        return self._path

    def _write(self, known: Mapping[str, R], *, history: bool = False) -> None:
        found = {name: self._program.motion(result) for name, result in known.items()}
        motions = {name: motion for name, motion in found.items() if motion is not None}
        before = follow_motions(self._project, self._folder)[0] if motions else self._project
        updated = before.tomograms.with_tomograms(self._updated(known, motions))
        after = before.with_sets(tomograms=updated)
        after = self._program.linked(after, known)
        if motions:
            after = transformed(before, after, motions)
        out = {name: self._program.taken_out(result) for name, result in known.items()}
        after = without_images(after, {name: rows for name, rows in out.items() if rows})
        linked = changed_sets(before, after, self._folder)
        contents = {**linked.contents, **motions_file(motions, self._folder)}
        format = working_format(after.tomograms)
        if self._links is not None:
            paths = {**linked.paths, "tomograms": self._path}
            contents[self._links] = format.links_file(after, paths)
        lock = locked(os.path.join(self._folder, HISTORY))
        with lock, together(home=self._folder) as files:  # all of it is there, or nothing
            for path, content in contents.items():
                refuse_unless_star(path)
                write(path, content)
            format.write_set(linked.tomograms, self._path)
            self._made.record(files)
            if history:
                remember(files, self._folder, before.set_files())
        if not motions:
            forget_motions(self._folder)

    def _updated(self, known: Mapping[str, R], motions: Mapping[str, Any]) -> Iterator[Tomogram]:
        """The tomograms, with what is known of them."""
        for t in self._project.tomograms.values():
            if t.name in known:
                new = self._marked(self._program.updated(t, known[t.name]), finished=True)
                old_beads = t.name in motions and new.fiducials == t.fiducials
                yield replace(new, fiducials=None) if old_beads else new
            elif t.name in self._asked:  # what the set said of it would be an older one
                yield self._marked(self._program.cleared(t), finished=False)
            else:
                yield t

    def _marked(self, tomogram: Tomogram, *, finished: bool) -> Tomogram:
        """The tomogram, which says whether it waits for the program."""
        others = tuple(name for name in tomogram.unfinished if name != self._program.name)
        return replace(tomogram, unfinished=others + (self._program.name,) * (not finished))
