"""Jobs one after the other, or several at once: what ends is handed out as it ends."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from tomoset.run._outcome import KILLED, Outcome, Work, perform
from tomoset.run._resources import Engine, Resources

if TYPE_CHECKING:
    from concurrent.futures import Future

Ended = Generator[tuple[str, Outcome], None, None]


class Pool(Protocol):
    """Processes that jobs are given to."""

    @property
    def patience(self) -> float | None:
        """Seconds after which to look whether there are more processes than before."""

    def slots(self) -> int:
        """How many jobs it can do at once now."""

    def submit(self, work: Work, task: Any) -> Future[Outcome]:
        """Have a job done."""

    def explain(self, problem: BaseException) -> str:
        """Why there is no outcome, for the user."""

    def renew(self) -> None:
        """Take new processes, as one was killed and all others ended with it."""

    def close(self) -> None:
        """End, as all jobs are done."""

    def abandon(self) -> None:
        """End in the middle: nothing goes on, nothing stays behind."""


def outcomes(
    work: Work, tasks: Mapping[str, Any], resources: Resources, started: Callable[[str], None]
) -> Ended:
    """Do all jobs; names and outcomes in the order in which they end.

    Parameters
    ----------
    started : callable
        Is told the name of each job before it begins. What it raises ends everything.

    Raises
    ------
    TomosetError
        The engine cannot be had.
    """
    if resources.is_alone:
        for name, task in tasks.items():
            started(name)
            yield name, perform(work, task)
    elif tasks:
        engine = Engine.parse(resources.engine)
        yield from _Jobs(_pool(engine, resources, len(tasks)), work, tasks, started).outcomes()


def _pool(engine: Engine, resources: Resources, n_jobs: int) -> Pool:
    if engine.kind == "local":
        from tomoset.run._local import LocalPool

        return LocalPool(min(resources.workers or 1, n_jobs), resources.threads)
    from tomoset.run._cluster import dask_pool, slurm_pool

    if engine.kind == "dask":
        return dask_pool(engine.address, resources.workers)
    return slurm_pool(engine.settings, min(resources.workers or 1, n_jobs), resources.threads)


def cores_of_engine(text: str) -> int | None:
    """How many cores a job gets on an engine, where that can be known from here.

    Raises
    ------
    ModelError
        It is none of the engines.
    UnsupportedError
        dask-jobqueue, whose configuration decides, is not installed.
    """
    engine = Engine.parse(text)
    if engine.kind != "slurm":
        return None
    from tomoset.run._cluster import slurm_cores

    return slurm_cores(engine.settings)


class _Jobs:
    """Jobs given to a pool, never more than it works on: so it is known which ones run."""

    def __init__(
        self, pool: Pool, work: Work, tasks: Mapping[str, Any], started: Callable[[str], None]
    ) -> None:
        self._pool = pool
        self._work = work
        self._tasks = tasks
        self._started = started

    def outcomes(self) -> Ended:
        try:
            yield from self._all()
        except BaseException:
            self._pool.abandon()
            raise
        self._pool.close()

    def _all(self) -> Ended:
        from concurrent.futures import FIRST_COMPLETED, wait

        waiting, running = deque(self._tasks), dict[str, "Future[Outcome]"]()
        while waiting or running:
            while waiting and len(running) < self._pool.slots():
                running[waiting[0]] = self._start(waiting[0])
                waiting.popleft()
            wait(running.values(), self._pool.patience, FIRST_COMPLETED)
            if any(self._outcome(future) is None for future in running.values() if future.done()):
                wait(running.values())  # a broken pool ends them all
            ended = {name: future for name, future in running.items() if future.done()}
            lost = []
            for name, future in ended.items():
                del running[name]
                if outcome := self._outcome(future):
                    yield name, outcome
                else:
                    lost.append(name)
            if lost:
                yield from self._one_at_a_time(lost)

    def _one_at_a_time(self, suspects: list[str]) -> Ended:
        """One of these got its process killed, and it cannot be known which: until it is alone."""
        self._pool.renew()
        if len(suspects) == 1:
            yield suspects[0], Outcome(message=KILLED)
            return
        for name in suspects:
            outcome = self._outcome(self._start(name))
            if outcome is None:
                self._pool.renew()
            yield name, outcome or Outcome(message=KILLED)

    def _start(self, name: str) -> Future[Outcome]:
        self._started(name)
        try:
            return self._pool.submit(self._work, self._tasks[name])
        except Exception as problem:
            from concurrent.futures import Future

            refused: Future[Outcome] = Future()
            refused.set_exception(problem)
            return refused

    def _outcome(self, future: Future[Outcome]) -> Outcome | None:
        """What became of a job; None if it was lost with its process, or with a neighbour's."""
        from concurrent.futures import BrokenExecutor

        try:
            return future.result()
        except BrokenExecutor:
            return None
        except Exception as problem:
            return Outcome(message=self._pool.explain(problem))
