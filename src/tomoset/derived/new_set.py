"""The jobs of all tomograms of a set, and the new set that names what they made.

The new set is right at any time: it is written before the first job without what will be made
again, and after the last one, or a stop, with all that is there.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt

from tomoset.derived.job import Task, identity, set_path
from tomoset.derived.linked import Carried, Followers, Linked, forget_moves, links_file
from tomoset.errors import FileAccessError, LossyWarning, ModelError, TomosetError
from tomoset.files import AtomicFiles, refuse_unless_star
from tomoset.formats._files import refuse_unless_set
from tomoset.model import Tomogram, TomogramSet
from tomoset.project import Project
from tomoset.run import Records, Report, RunOptions, run
from tomoset.tilt_series import found_from_here

T = TypeVar("T", bound=Task)
Result = dict[str, Any]
Array = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Recipe(Generic[T]):
    """How a command makes a new set of another.

    Parameters
    ----------
    command : str
        As a user types it, such as ``reconstruct``.
    records : str
        Folder of the records below that of the new set. Each command has its own: it shows
        which of them made a set that is there.
    work : callable
        The job of one task. Its result, which must go through JSON, has ``files``, as
        `file_sizes` says them, and ``of``, the `identity` of what they were made of.
    describe : callable
        All that the result of a task depends on, options included, ready for JSON.
    updated : callable
        The tomogram with what a result says.
    cleared : callable
        The tomogram without what the set said of it before, as it is where a job failed; by
        default it stays as it was.
    identity : callable
        What a result is of, whatever the options; images, alignment, CTF and doses by default.
    links : bool
        Write an optimisation set even if none was read.
    moved : callable
        By what matrix, (4, 4), a result has moved its tomogram: from voxels of before, 0-based
        at bin 1, to those of after; None if it has not, the default. Of every result that is
        there, also of a run with other options. `updated` then gives the tomogram in its new
        frame (`tomoset.project.transform.move_tomogram`); sets that refer to it, and fiducials if
        it names no others, are carried along.
    may_move : bool
        Whether results of this run move tomograms: then what is linked to them is read, and
        what cannot follow is refused, before the first job.
    followers : callable, optional
        Of the project and the folder: the sets that are written with the tomograms because
        results say something of them too, such as particles. Where tomograms move, it is
        `moved` that carries sets along.
    """

    command: str
    records: str
    work: Callable[[T], Mapping[str, Any]]
    describe: Callable[[T], object]
    updated: Callable[[Tomogram, Result], Tomogram]
    cleared: Callable[[Tomogram], Tomogram] = lambda tomogram: tomogram
    identity: Callable[[T], str] = identity
    links: bool = False
    moved: Callable[[Result], Array | None] = lambda _: None
    may_move: bool = False
    followers: Callable[[Project, str], Followers] | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Derived:
    """What became of a set.

    Parameters
    ----------
    report : Report
        Of every tomogram that was asked for.
    path : str or None
        The set that names what was made; None if there is nothing.
    """

    report: Report
    path: str | None


def as_project(given: TomogramSet | Project) -> Project:
    """A tomogram set as a project, of which nothing else is known."""
    return given if isinstance(given, Project) else Project(tomograms=given)


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


def derive(
    recipe: Recipe[T],
    project: Project,
    tasks: Mapping[str, T],
    folder: str | os.PathLike[str],
    running: RunOptions | None = None,
    names: Sequence[str] = (),
) -> Derived:
    """Do the jobs, and write the set that names what they made.

    Parameters
    ----------
    recipe : Recipe
        What the command makes.
    project : Project
        The set, and the optimisation set that names it if there is one: its other links go on
        in a new one.
    tasks : mapping of str to Task
        By tomogram name. A tomogram without one stays as it is.
    folder : path-like
        Made when missing. The set goes to ``tomograms.star``, links to
        ``optimisation_set.star``, what became of each to ``summary.json``. Where tomograms move,
        sets that go with them go to ``particles.star``, ``manifolds.star``, ``motion.star`` and
        ``fiducials_NAME.star``, and the matrices to ``moves.star`` (`tomoset.project.transform`).
    running : RunOptions, optional
        Where and how to run.
    names : sequence of str
        Only these tomograms; all if empty. Others keep what was made of them before.

    Returns
    -------
    Derived
        A tomogram that fails stops no other.

    Raises
    ------
    ModelError
        If no tomogram has such a name, or there is none.
    FileAccessError
        If the new set would replace another than one of an earlier run.
    TomosetError
        If tomograms may move, and a set that is linked to them is not there or does not fit.
    """
    running = running or RunOptions()
    refuse_unknown(project.tomograms, names)
    if not tasks:
        raise ModelError("the set holds no tomogram, so there is nothing to do")
    asked = {name: task for name, task in tasks.items() if not names or name in names}
    records = Records(Path(folder) / recipe.records, recipe.describe, _is_there)
    new = _NewSet(recipe, project, tasks, records, os.fspath(folder))
    new.refuse()
    new.forget(list(asked), resume=running.resume)
    try:
        report = run(recipe.work, asked, running, records)
    finally:
        path = new.write()
    report.write(os.path.join(folder, "summary.json"))
    return Derived(report=report, path=path)


def _is_there(result: Result) -> bool:
    """Whether all files of a result are there, as large as they were."""
    return all(
        os.path.exists(path) and size in (None, os.path.getsize(path))
        for path, size in result["files"].items()
    )


def _folder(path: str) -> str:
    return os.path.dirname(os.path.realpath(path))


class _NewSet(Generic[T]):
    """The set that names what is in the records, and else what nobody asked for anew."""

    def __init__(
        self,
        recipe: Recipe[T],
        project: Project,
        tasks: Mapping[str, T],
        records: Records[T],
        folder: str,
    ) -> None:
        self._recipe, self._project = recipe, project
        self._tasks, self._records = tasks, records
        self._path = os.path.join(folder, "tomograms.star")
        self._folder = folder
        self._linked = Linked(project, folder) if recipe.may_move else None
        self._followers = recipe.followers(project, folder) if recipe.followers else None
        linked = project.source is not None or recipe.links
        self._links = os.path.join(folder, "optimisation_set.star") if linked else None
        self._asked: frozenset[str] = frozenset()

    def refuse(self) -> None:
        """Refuse to replace a set that no earlier run has made."""
        links = getattr(self._project.source, "path", None)
        for source in (set_path(self._project.tomograms), links):
            if source is None or _folder(source) != _folder(self._path):
                continue
            if os.path.realpath(source) == os.path.realpath(self._path):
                raise FileAccessError(
                    f"{self._path} is the set that is read: give another folder for what is made "
                    "of it"
                )
            raise FileAccessError(
                f"{_folder(source)} is the folder of the set that is read, whose files would be "
                "replaced: give another folder for what is made of it"
            )
        refuse_unless_set(self._path)
        more = [
            target
            for beside in (self._linked, self._followers)
            if beside is not None
            for target in beside.targets
        ]
        for path in filter(None, (self._path, self._links, *more)):
            if os.path.exists(path) and not self._records.folder.is_dir():
                raise FileAccessError(
                    f"{path} is there, and was not made by tomoset {self._recipe.command}: give "
                    "another folder, or move it away"
                )

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

    def _known(self) -> dict[str, Result]:
        """Results that are there and were made of these images and this alignment."""
        found = {}
        for name, task in self._tasks.items():
            result = self._records.last(name)
            try:
                if result is not None and result["of"] == self._recipe.identity(task):
                    found[name] = result
            except (TomosetError, OSError, LookupError):
                continue  # made of images that are not there any more, or by another version
        return found

    def write(self) -> str | None:
        """Write the set if there is something to name; its path."""
        known = self._known()
        if not known:
            return None
        self._write(known)
        return self._path

    def _write(self, known: Mapping[str, Result]) -> None:
        moves = self._moves_of(known)
        source = set_path(self._project.tomograms)
        updated = [found_from_here(t, source) for t in self._updated(known, moves)]
        carried = Carried(tomograms=self._project.tomograms.with_tomograms(updated))
        if moves:
            self._linked = self._linked or Linked(self._project, self._folder)
            carried = self._linked.carried(carried.tomograms, moves)
        elif self._followers is not None:
            carried = self._followers.carried(carried.tomograms, known)
        contents = dict(carried.contents)
        if self._links is not None:
            contents[self._links] = links_file(self._project, self._path, carried.entries)
        with AtomicFiles() as files:  # all of it is there, or nothing, but for an instant
            for path, content in contents.items():
                refuse_unless_star(path)
                files.write(path, content)
            carried.tomograms.write(self._path)
        if not moves:
            forget_moves(self._folder)

    def _moves_of(self, known: Mapping[str, Result]) -> dict[str, Array]:
        """By what matrices tomograms have moved."""
        found = {name: self._recipe.moved(result) for name, result in known.items()}
        return {n: np.asarray(move, np.float64) for n, move in found.items() if move is not None}

    def _updated(
        self, known: Mapping[str, Result], moves: Mapping[str, Array]
    ) -> Iterator[Tomogram]:
        """The tomograms, with what is known of them."""
        for t in self._project.tomograms.values():
            if t.name in known:
                new = self._recipe.updated(t, known[t.name])
                old_beads = t.name in moves and new.fiducials == t.fiducials
                yield replace(new, fiducials=None) if old_beads else new
            elif t.name in self._asked:  # what the set said of it would be an older one
                yield self._recipe.cleared(t)
            else:
                yield t
