"""The history of one series: what was done to make its set, and what each step says of it."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from tomoset.check.shown import short
from tomoset.errors import said_of
from tomoset.files import file_name
from tomoset.project.history import Step, compared_by
from tomoset.report._results import Found, Results


@dataclass(frozen=True, kw_only=True, eq=False)
class Event:
    """A step of the history of a set, as one of its series has it.

    Parameters
    ----------
    step : Step
        What was done.
    said : tuple of str
        What is kept of it about this series.
    """

    step: Step
    said: tuple[str, ...] = ()


class History:
    """What was done to make a set.

    Parameters
    ----------
    steps : sequence of Step
        The earliest first.
    names : sequence of str
        Of the series of the set.
    results : Results
        What programs have left.
    """

    def __init__(self, steps: Sequence[Step], names: Sequence[str], results: Results) -> None:
        self._names = frozenset(names)
        self._records = {folder: results.recorded(folder) for folder in {s.folder for s in steps}}
        known = [(step, self._program(step)) for step in steps]
        self._steps = [(step, program, self._meant(step, program)) for step, program in known]
        self._compared = cache(compared_by)

    def of(self, name: str, found: Sequence[Found]) -> tuple[Event, ...]:
        """The steps that were about a series, and what they say of it.

        Parameters
        ----------
        name : str
            Of the series.
        found : sequence of Found
            What programs have found of it.
        """
        mine = [one for one in self._steps if not one[2] or name in one[2]]
        # The last run of a program in a folder is the one whose result is there.
        last = {(step.folder, program): step for step, program, _ in mine if not step.undone}
        events = []
        for step, program, _ in mine:
            said = list(self._said(step, name))
            if program is not None and last.get((step.folder, program)) is step:
                said += _by_result(
                    [o for o in found if (o.folder, o.program) == (step.folder, program)]
                )
            events.append(Event(step=step, said=tuple(dict.fromkeys(said))))
        return tuple(events)

    def _program(self, step: Step) -> str | None:
        """The program that a command ran, of those that have left something in its folder."""
        words = step.entry.command[1:]
        ran = [
            name
            for name in self._records[step.folder]
            if words[:1] == (name.split()[0],) and set(name.split()) <= set(words)
        ]
        return max(ran, key=len, default=None)

    def _meant(self, step: Step, program: str | None) -> frozenset[str]:
        """The series that a command named, or has records of; none if it was about all.

        Names that no series has now, for example as it was renamed since, say nothing.
        """
        given = set(_values("--tn", step.entry.command))
        if program is not None and not given:
            there = self._records[step.folder][program]
            return frozenset(name for name in self._names if file_name(name) in there)
        patterns = [one for one in given if any(sign in one for sign in "*?[")]
        fits = (n for p in patterns for n in self._names if fnmatch.fnmatchcase(n, p))
        return frozenset([*(given & self._names), *fits])

    def _said(self, step: Step, name: str) -> Iterator[str]:
        """What a command said of a series."""
        for text in step.entry.said:
            if repr(name) in text:
                yield said_of(name, text)
        yield from _by_conversion(self._compared(step).get(name, {}))


def _by_result(found: Sequence[Found]) -> Iterator[str]:
    """What a program found of a series, in short."""
    for one in found:
        yield from one.lines[:1]
        yield from one.warned
    if not found:
        yield "no result of this series is there: it failed, is not done, or cannot be read"


def _by_conversion(row: Mapping[str, Any]) -> Iterator[str]:
    """What a conversion or an import lost of a series, and how far it was compared."""
    for text in row.get("lost", ()):
        yield f"lost: {text}"
    if row.get("verified_points"):
        far = short(row["verified_px"])
        yield f"read back: {row['verified_points']} points within {far} px of where they were"
    for text in row.get("differs", ()):
        yield f"another than in the source: {text}"


def _values(option: str, command: Sequence[str]) -> Iterator[str]:
    """What an option of a command was given."""
    for word, following in zip(command, (*command[1:], ""), strict=True):
        if word == option:
            yield following
        elif word.startswith(f"{option}="):
            yield word.removeprefix(f"{option}=")
