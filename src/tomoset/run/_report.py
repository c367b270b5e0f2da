"""What became of all jobs."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from typing import Any

from tomoset.errors import said_of, some_of
from tomoset.files import atomic_write


@dataclass(frozen=True)
class Report:
    """What became of all jobs, in the order of the tasks.

    Parameters
    ----------
    results : dict
        Of each job that is done, now or before.
    failed : dict
        Why, of each that failed.
    skipped : tuple of str
        Those that an earlier run had done.
    seconds : float
        How long it took altogether.
    notes : dict
        What is to be known of some that were done, such as why they were done again.

    Examples
    --------
    >>> report = Report({"TS_01": {}}, {"TS_02": "TS_02.mrc: No such file"}, (), 80.0)
    >>> print("\\n".join(report.lines("reconstructed", "tomogram")))
    reconstructed 1 of 2 tomograms in 1 min 20 s; 1 failed:
      TS_02: TS_02.mrc: No such file
    """

    results: dict[str, dict[str, Any]]
    failed: dict[str, str]
    skipped: tuple[str, ...]
    seconds: float
    notes: dict[str, str] = field(default_factory=dict)

    @property
    def exit_code(self) -> int:
        """0 if all are done, 1 if any failed."""
        return 1 if self.failed else 0

    def summary(self) -> dict[str, Any]:
        """All of it, ready for JSON."""
        return {
            "done": list(self.results),
            "failed": self.failed,
            "skipped": list(self.skipped),
            "seconds": round(self.seconds, 3),
            "notes": self.notes,
            "results": self.results,
        }

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write the summary as JSON; the file is whole or not there.

        Raises
        ------
        OSError
            It cannot be written.
        """
        with atomic_write(path, "w", encoding="utf-8") as stream:
            json.dump(self.summary(), stream, indent=2, allow_nan=False)
            stream.write("\n")

    def lines(self, verb: str, noun: str, *, told: bool = False) -> list[str]:
        """What to print: ``reconstructed 48 of 50 tomograms in 5 min 20 s`` and each failure.

        Those that have been told while the jobs ran are named only.
        """
        total = len(self.results) + len(self.failed)
        first = f"{verb} {len(self.results)} of {total} {noun}{'s' * (total != 1)}"
        if self.skipped:
            first += f" ({len(self.skipped)} {_were(len(self.skipped))} there already)"
        first += f" in {duration(self.seconds)}"
        if self.failed and told:
            return [f"{first}; {len(self.failed)} failed, as said above: {some_of([*self.failed])}"]
        if self.failed:
            first += f"; {len(self.failed)} failed:"
        said = ((name, said_of(name, message)) for name, message in self.failed.items())
        return [first, *(f"  {name}: {message}" for name, message in said)]


def _were(number: int) -> str:
    return "was" if number == 1 else "were"


def duration(seconds: float) -> str:
    """A time as people say it.

    Examples
    --------
    >>> [duration(s) for s in (0.25, 12.3, 320, 540, 7500)]
    ['0.2 s', '12 s', '5 min 20 s', '9 min', '2 h 5 min']
    """
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        parts = ((whole // 60, "min"), (whole % 60, "s"))
    else:
        parts = ((whole // 3600, "h"), (whole % 3600 // 60, "min"))
    return " ".join(f"{number} {unit}" for number, unit in parts if number)
