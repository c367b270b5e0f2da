"""All jobs from beginning to end: what is there already, what is done now, what failed."""

from __future__ import annotations

import contextlib
import sys
import time
import warnings
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from tomoset.errors import ModelError, said_of, spelling
from tomoset.run._engines import outcomes
from tomoset.run._outcome import Outcome, explain
from tomoset.run._progress import Pace, Silent, progress_for
from tomoset.run._records import Records
from tomoset.run._report import Report
from tomoset.run._resources import Resources
from tomoset.run._steps import listening

T = TypeVar("T")

#: A note on a stop of which the user has been told.
TOLD = "told"


def run(
    work: Callable[[T], Mapping[str, Any]],
    tasks: Mapping[str, T],
    resources: Resources | None = None,
    records: Records[T] | None = None,
) -> Report:
    """Do one job for each name; one that fails does not stop the others.

    Parameters
    ----------
    work : callable
        Does one task and returns what JSON can say of it. With more than one worker it runs in
        another process: it must be a function at the top of a module, and tasks must be
        picklable. Warnings that it gives are given again here.
    tasks : mapping
        Names and tasks.
    resources : Resources, optional
        Where to run, and how many at once.
    records : Records, optional
        Where to keep what is done.

    Returns
    -------
    Report
        What became of each.

    Raises
    ------
    ModelError
        Two names would have one record; or it is to resume, and there are no records.
    TomosetError
        The engine cannot be had, or is lost: no Dask scheduler answers, there is no SLURM.
    OSError
        The folder of records cannot be made.
    KeyboardInterrupt
        It was told to stop. No process goes on, and the records of what is done are there.

    Examples
    --------
    >>> report = run(lambda n: {"square": n * n}, {"a": 2, "b": 3}, Resources(quiet=True))
    >>> report.results
    {'a': {'square': 4}, 'b': {'square': 9}}
    """
    begin = time.monotonic()
    resources = resources or Resources()
    if resources.resume and records is None:
        raise ModelError("there is nothing to resume from: no folder of records is given")
    jobs = _Jobs(tasks, records)
    try:
        jobs.look(resume=resources.resume)
        pace = Pace(len(tasks), len(tasks) - len(jobs.todo))
        pace.failed = len(jobs.failed)
        with (
            progress_for(pace, quiet=resources.quiet) as progress,
            listening(progress.note),
        ):
            for line in jobs.to_say_first():
                progress.say(line)
            jobs.do(work, resources, progress)
    except KeyboardInterrupt as stop:
        stop.add_note(TOLD)
        cure = "; --continue does the rest" if records else ""
        print(f"stopped: {len(jobs.results)} of {len(tasks)} are done{cure}", file=sys.stderr)
        raise
    return jobs.report(time.monotonic() - begin)


class _Jobs:
    """What is to be done, and what became of it so far."""

    def __init__(self, tasks: Mapping[str, T], records: Records[T] | None) -> None:
        self._tasks = tasks
        self._records = records
        self._fingerprints: dict[str, str] = {}
        self.todo: dict[str, T] = {}
        self.results: dict[str, dict[str, Any]] = {}
        self.failed: dict[str, str] = {}
        self.skipped: list[str] = []
        self.notes: dict[str, str] = {}

    def look(self, *, resume: bool) -> None:
        """See what is done already and what is to be done."""
        if self._records is None:
            self.todo = dict(self._tasks)
            return
        self._records.refuse_collisions(self._tasks)
        self._records.folder.mkdir(parents=True, exist_ok=True)
        for name, task in self._tasks.items():
            try:
                self._fingerprints[name] = self._records.fingerprint(task)
                found = self._records.read(name, self._fingerprints[name]) if resume else ""
                if isinstance(found, Outcome):
                    self._keep(name, found)
                    self.skipped.append(name)
                    continue
            except Exception as problem:
                self.failed[name] = explain(problem)
                continue
            if found:
                self.notes[name] = found
            self.todo[name] = task

    def do(
        self,
        work: Callable[[T], Mapping[str, Any]],
        resources: Resources,
        progress: Silent,
    ) -> None:
        """Do what is to be done."""

        def start(name: str) -> None:
            # From now on the record could be about a file that is not the one it describes.
            if self._records is not None:
                self._records.begin(name, self._tasks[name])
            progress.start(name)

        with contextlib.closing(outcomes(work, self.todo, resources, start)) as ending:
            for name, outcome in ending:
                progress.end(name, self._settle(name, outcome))

    def _settle(self, name: str, outcome: Outcome) -> Outcome:
        """Keep what became of a job; a record that cannot be written makes it fail."""
        try:
            self._keep(name, outcome)
            if outcome.result is not None and self._records is not None:
                self._records.write(name, self._fingerprints[name], outcome)
        except Exception as problem:
            self.results.pop(name, None)
            message = outcome.message or explain(problem)
            outcome = Outcome(message=message, seconds=outcome.seconds)
        if outcome.message:
            self.failed[name] = outcome.message
        return outcome

    def _keep(self, name: str, outcome: Outcome) -> None:
        for category, text in outcome.warned:
            warnings.warn(text, category, stacklevel=1)
        if outcome.result is not None:
            self.results[name] = outcome.result

    def to_say_first(self) -> list[str]:
        """What is known before any job is done: which fail, which are done again and why."""
        lines = [
            spelling.get()(f"{name} failed: {said_of(name, message)}")
            for name, message in self.failed.items()
        ]
        if self.skipped:
            lines.append(f"{len(self.skipped)} of {len(self._tasks)} are there already")
        for reason in dict.fromkeys(self.notes.values()):
            names = [name for name, why in self.notes.items() if why == reason]
            more = f" and {len(names) - 3} more" * (len(names) > 3)
            lines.append(f"{', '.join(names[:3])}{more}: {reason}")
        return lines

    def report(self, seconds: float) -> Report:
        """All of it, in the order of the tasks."""
        order = list(self._tasks)
        return Report(
            {name: self.results[name] for name in order if name in self.results},
            {name: self.failed[name] for name in order if name in self.failed},
            tuple(self.skipped),
            seconds,
            self.notes,
        )
