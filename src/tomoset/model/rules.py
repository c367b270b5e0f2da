"""A rule over tomogram sets, and what it finds: `tomoset.check` applies them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from tomoset.model.project import Project
from tomoset.model.tomogram import Tomogram
from tomoset.model.tomogram_set import TomogramSet

Severity = Literal["error", "warning", "note"]
Found = Iterator[tuple[str | None, str]]


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One thing that is wrong, or may be.

    Parameters
    ----------
    code : str
        Of the rule; never reused for another.
    severity : {"error", "warning", "note"}
        An error will stop or spoil later work; a warning may; a note is good to know.
    tomogram : str or None
        Which; None: the set as a whole.
    message : str
        What is wrong, with the values.
    cure : str
        What to do.
    command : str or None
        What carries that out: a command line of ``tomoset``, with SET for the set, and other
        capitals for what the user knows.
    """

    code: str
    severity: Severity
    tomogram: str | None
    message: str
    cure: str
    command: str | None = None


@dataclass(frozen=True)
class Rule:
    """A rule: its code, how bad a break of it is, what it asks, what to do, and its test.

    The command that carries out the cure, if there is one, is ``tomoset`` and this. `linked` is
    its test of the sets that refer to tomograms, where it asks of those.
    """

    code: str
    severity: Severity
    asks: str
    cure: str
    test: Callable[[TomogramSet], Iterator[tuple[str | None, str]]]
    command: str | None = None
    linked: Callable[[Project], Iterator[tuple[str | None, str]]] | None = None

    def problem(self, tomogram: str | None, message: str) -> Problem:
        """One break of it."""
        return Problem(
            code=self.code,
            severity=self.severity,
            tomogram=tomogram,
            message=message,
            cure=self.cure,
            command=None if self.command is None else f"tomoset {self.command}",
        )


def nowhere(_: TomogramSet) -> Found:
    """Of a rule that is asked of files, not of a set that was read."""
    yield from ()


def each(test: Callable[[Tomogram], str | None]) -> Callable[[TomogramSet], Found]:
    """A test of single tomograms as a test of sets."""

    def over(tomograms: TomogramSet) -> Found:
        for tomogram in tomograms.values():
            message = test(tomogram)
            if message:
                yield tomogram.name, message

    return over


def mixed(what: str, value: Callable[[Tomogram], float | None]) -> Callable[[TomogramSet], Found]:
    def over(tomograms: TomogramSet) -> Found:
        values = {name: value(t) for name, t in tomograms.items()}
        for most, _ in Counter(values.values()).most_common(1):
            for name, found in values.items():
                if found != most:
                    yield name, f"{what} is {_number(found)}, that of most others {_number(most)}"

    return over


def _number(value: float | None) -> str:
    return "not known" if value is None else f"{value:g}"
