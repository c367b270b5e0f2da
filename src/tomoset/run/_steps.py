"""How far one long piece of work is: whoever does it says so, and who listens shows it."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator

from tomoset.errors import printable

#: Seconds between two lines where there is no terminal, and between two changes on one.
RARELY, OFTEN = 30.0, 0.2

_listeners: list[Callable[[str], None]] = []


def doing(text: str) -> None:
    """Say what is done now, such as ``image 12 of 41``: to the last who listens, if any."""
    if _listeners:
        _listeners[-1](text)


@contextlib.contextmanager
def listening(listener: Callable[[str], None]) -> Iterator[None]:
    """Have a function hear what `doing` says within the block."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.pop()


@contextlib.contextmanager
def shown() -> Iterator[None]:
    """Show on standard error what is done within the block, where it takes long."""
    ticker = _Ticker()
    try:
        with listening(ticker.tell):
            yield
    finally:
        ticker.clear()


def on_terminal() -> bool:
    """Whether standard error is a terminal whose lines can be written again."""
    return sys.stderr.isatty() and os.environ.get("TERM") not in (None, "", "dumb", "unknown")


class Rarely:
    """Whether it is time for another line."""

    def __init__(self, every: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._every, self._clock, self._last = every, clock, clock()

    def now(self) -> bool:
        """True once in the time that was asked for."""
        if self._clock() - self._last < self._every:
            return False
        self._last = self._clock()
        return True


class _Ticker:
    def __init__(self) -> None:
        self._terminal, self._written = on_terminal(), False
        self._rarely = Rarely(OFTEN if self._terminal else RARELY)

    def tell(self, text: str) -> None:
        if not self._rarely.now():
            return
        text = printable(text)
        if self._terminal:
            self._written = True
            print(f"\r{text}\x1b[K", end="", file=sys.stderr, flush=True)
        else:
            print(text, file=sys.stderr, flush=True)

    def clear(self) -> None:
        if self._written:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
