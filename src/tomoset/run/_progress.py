"""How far the jobs are: a bar on a terminal, a line for each job elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from tomoset.errors import printable, said_of, spelling
from tomoset.run._outcome import Outcome
from tomoset.run._report import duration
from tomoset.run._steps import RARELY, Rarely, on_terminal

if TYPE_CHECKING:
    from rich.table import Table

#: So many names of running jobs stand beside the bar.
NAMES = 4


class Pace:
    """How many jobs are done, and how long the rest will take.

    Parameters
    ----------
    total : int
        All jobs.
    there : int
        Those that were done before; they tell nothing of how long a job takes.
    clock : callable
        The time, in seconds.

    Examples
    --------
    >>> now = iter([0, 10]).__next__
    >>> pace = Pace(3, clock=now)
    >>> pace.start("a")
    >>> pace.end("a", failed=False)
    >>> pace.left()
    20.0
    """

    def __init__(
        self, total: int, there: int = 0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.total = total
        self.ended = there
        self.failed = 0
        self._timed = 0
        self._clock = clock
        self._running: dict[str, float] = {}
        self._spent = 0.0
        self._at_once = 1

    def start(self, name: str) -> None:
        """A job begins, maybe not for the first time."""
        self._running[name] = self._clock()
        self._at_once = max(self._at_once, len(self._running))

    def end(self, name: str, *, failed: bool) -> None:
        """A job is done, or failed."""
        begin = self._running.pop(name)
        if not failed:  # one that failed at once says nothing of the others
            self._spent += self._clock() - begin
            self._timed += 1
        self.ended += 1
        self.failed += failed

    def running(self) -> list[str]:
        """Names of the jobs that run now."""
        return list(self._running)

    def left(self) -> float | None:
        """Seconds until all are done, from the mean of those that are; None before the first."""
        if not self._timed:
            return None
        mean, ages = self._spent / self._timed, list(self._running.values())
        waiting = self.total - self.ended - len(ages)
        now = self._clock() if ages else 0.0
        begun = sum(max(0.0, mean - (now - age)) for age in ages)
        return (waiting * mean + begun) / self._at_once


def about(seconds: float) -> str:
    """A time that is an estimate.

    Examples
    --------
    >>> about(564), about(42.3), about(9000)
    ('about 9 min', 'about 42 s', 'about 2 h 30 min')
    """
    if seconds < 90:
        return f"about {max(1, round(seconds))} s"
    return f"about {duration(60 * round(seconds / 60))}"


class Silent:
    """Keeps count, and says nothing."""

    def __init__(self, pace: Pace) -> None:
        self.pace = pace

    def __enter__(self) -> Silent:
        return self

    def __exit__(self, *_: object) -> None:
        return

    def start(self, name: str) -> None:
        """A job begins."""
        self.pace.start(name)

    def end(self, name: str, outcome: Outcome) -> None:
        """A job has ended."""
        self.pace.end(name, failed=bool(outcome.message))

    def say(self, line: str) -> None:
        """Tell the user."""

    def note(self, text: str) -> None:
        """What a job does now."""


class Lines(Silent):
    """A line for each job that has ended, and now and then what a long one does."""

    def __init__(self, pace: Pace) -> None:
        super().__init__(pace)
        self._rarely = Rarely(RARELY)

    def note(self, text: str) -> None:
        """What a job does now."""
        if self._rarely.now():
            self.say(f"{', '.join(self.pace.running()[:1])}: {text}")

    def end(self, name: str, outcome: Outcome) -> None:
        """A job has ended."""
        super().end(name, outcome)
        line = f"{self.pace.ended}/{self.pace.total} {name} "
        if outcome.message:
            line += _failure(name, outcome.message)
        else:
            line += f"done in {duration(outcome.seconds)}"
        left = self.pace.left()
        if left is not None and self.pace.ended < self.pace.total:
            line += f" ({about(left)} left)"
        self.say(line)

    def say(self, line: str) -> None:
        """Tell the user."""
        print(printable(line), file=sys.stderr, flush=True)


class Bar(Silent):
    """A bar on a terminal, which is gone at the end; failures stay above it."""

    def __init__(self, pace: Pace) -> None:
        from rich.console import Console
        from rich.live import Live

        super().__init__(pace)
        self._begin, self._note = time.monotonic(), ""
        self._console = Console(file=sys.stderr, highlight=False)
        self._live = Live(
            console=self._console, get_renderable=self._draw, refresh_per_second=4, transient=True
        )

    def __enter__(self) -> Bar:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def end(self, name: str, outcome: Outcome) -> None:
        """A job has ended."""
        super().end(name, outcome)
        self._note = ""
        if outcome.message:
            self.say(f"{name} {_failure(name, outcome.message)}")

    def note(self, text: str) -> None:
        """What a job does now."""
        self._note = text

    def say(self, line: str) -> None:
        """Tell the user, above the bar."""
        self._console.print(printable(line), markup=False, soft_wrap=True)

    def _draw(self) -> Table:
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        line = Table.grid(padding=(0, 1))
        words = Text(self.words(time.monotonic() - self._begin), no_wrap=True, overflow="ellipsis")
        bar = ProgressBar(self.pace.total, self.pace.ended, width=24)
        line.add_row(bar, words)
        return line

    def words(self, elapsed: float) -> str:
        """What stands beside the bar."""
        pace = self.pace
        parts = [f"{pace.ended}/{pace.total}", duration(elapsed) if elapsed >= 10 else ""]
        if pace.failed:
            parts.append(f"{pace.failed} failed")
        left = pace.left()
        if left is not None:
            parts.append(f"{about(left)} left")
        names = pace.running()
        more = f" and {len(names) - NAMES} more" * (len(names) > NAMES)
        parts += [printable(", ".join(names[:NAMES])) + more, printable(self._note)]
        return "  ".join(filter(None, parts))


def _failure(name: str, message: str) -> str:
    first = message.split("\n", 1)[0]
    return spelling.get()(f"failed: {said_of(name, first)}")


def progress_for(pace: Pace, *, quiet: bool) -> Silent:
    """What fits the standard error stream."""
    if quiet:
        return Silent(pace)
    if on_terminal():
        return Bar(pace)
    return Lines(pace)
