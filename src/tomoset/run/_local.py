"""Processes on this machine, which end when they are told to, and with their parent."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait
from typing import Any

from tomoset.run._outcome import Outcome, Work, explain, perform
from tomoset.run._resources import thread_variables

#: Seconds in which a process that was told to end may remove its unfinished files.
GRACE = 10.0


class LocalPool:
    """A pool of processes that can be ended in the middle of their jobs.

    Parameters
    ----------
    workers : int
        Processes at once.
    threads : int
        Threads of numba, OpenMP and BLAS in each.
    """

    patience = None

    def __init__(self, workers: int, threads: int) -> None:
        self._workers = workers
        self._threads = threads
        self._others = set(multiprocessing.active_children())
        self._executor = self._new()

    def _new(self) -> ProcessPoolExecutor:
        context = multiprocessing.get_context("spawn")
        return ProcessPoolExecutor(self._workers, context, initializer=_begin)

    def slots(self) -> int:
        """How many jobs run at once."""
        return self._workers

    def submit(self, work: Work, task: Any) -> Future[Outcome]:
        """Have a job done."""
        # Pickled here: what cannot be read back in a child would break the whole pool.
        parcel = pickle.dumps((work, task))
        try:
            with _birth(self._threads):
                return self._executor.submit(_in_child, parcel)
        except BrokenProcessPool:
            self.renew()
        with _birth(self._threads):
            return self._executor.submit(_in_child, parcel)

    def explain(self, problem: BaseException) -> str:
        """Why there is no outcome."""
        return explain(problem)

    def renew(self) -> None:
        """Start anew after a process was killed."""
        self.abandon()
        self._executor = self._new()

    def close(self) -> None:
        """End the processes, which have nothing to do."""
        self._executor.shutdown()

    def abandon(self) -> None:
        """End the processes, whatever they do: first they are asked, then they are killed."""
        children = [p for p in multiprocessing.active_children() if p not in self._others]
        try:
            for child in children:
                child.terminate()
            left, end = [child.sentinel for child in children], time.monotonic() + GRACE
            while left and (remaining := end - time.monotonic()) > 0:
                gone = wait(left, remaining)
                left = [sentinel for sentinel in left if sentinel not in gone]
        finally:
            for child in children:
                child.kill()
            self._executor.shutdown(cancel_futures=True)


@contextlib.contextmanager
def _birth(threads: int) -> Iterator[None]:
    """What processes that are started in this block inherit.

    Libraries read their number of threads when they are loaded. A child must not see Ctrl-C,
    which reaches the whole group of processes: its parent decides, and sends SIGTERM, which
    is held back until the child can answer it.
    """
    variables = thread_variables(threads)
    before = {name: os.environ.get(name) for name in variables}
    held = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, held)
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _begin() -> None:
    """In a new child, before its first job."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A parent that was killed cannot end its children."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(GRACE)
        os.kill(os.getpid(), signal.SIGKILL)


def _in_child(parcel: bytes) -> Outcome:
    try:
        signal.signal(signal.SIGTERM, _interrupt)
        return perform(_unpacked, parcel)
    except KeyboardInterrupt:  # all that the job had open is closed and removed by now
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTERM)
        raise
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _unpacked(parcel: bytes) -> Any:
    work, task = pickle.loads(parcel)
    return work(task)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt
