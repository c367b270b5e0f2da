"""What became of one job, and why it failed."""

from __future__ import annotations

import json
import os
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from tomoset.errors import TomosetError, TomosetWarning

T = TypeVar("T")

#: Does one task, and returns what JSON can say of it.
Work = Callable[[Any], Mapping[str, Any]]

KILLED = "the process that worked on it was killed (out of memory?)"


@dataclass(frozen=True)
class Outcome:
    """What became of one job.

    Parameters
    ----------
    result : dict, optional
        What it returned, as JSON gives it back; none if it failed.
    message : str
        Why it failed.
    seconds : float
        How long it took.
    warned : tuple of (type, str)
        Warnings that it gave, to be given again where the user sees them.
    """

    result: dict[str, Any] | None = None
    message: str = ""
    seconds: float = 0.0
    warned: tuple[tuple[type[Warning], str], ...] = ()


def perform(work: Callable[[T], Mapping[str, Any]], task: T) -> Outcome:
    """Do one job and say what became of it; only an interruption is raised."""
    begin = time.perf_counter()
    result, message = None, ""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", TomosetWarning)
        try:
            result = json.loads(json.dumps(dict(work(task)), allow_nan=False))
        except (Exception, SystemExit) as problem:
            message = explain(problem)
    warned = dict.fromkeys((warning.category, str(warning.message)) for warning in caught)
    return Outcome(result, message, time.perf_counter() - begin, tuple(warned))


def explain(problem: BaseException) -> str:
    """A problem as a line for the user; with TOMOSET_DEBUG a traceback comes along."""
    if isinstance(problem, TomosetError):
        return str(problem)
    if isinstance(problem, MemoryError):
        return f"not enough memory ({problem})".replace(" ()", "")
    if isinstance(problem, OSError) and problem.strerror:
        place = f"{problem.filename}: " if problem.filename else ""
        return place + problem.strerror
    message = f"{type(problem).__name__}: {problem}"
    if os.environ.get("TOMOSET_DEBUG"):
        import traceback

        message += "\n" + "".join(traceback.format_exception(problem)).rstrip()
    return message
