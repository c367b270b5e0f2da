"""A small file for each job that is done, so that a later run need not do it again."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from tomoset import __version__, errors
from tomoset.errors import ModelError, TomosetWarning
from tomoset.files import atomic_write, file_name
from tomoset.run._outcome import Outcome

T = TypeVar("T")

#: Of this tomoset.
VERSION = __version__

OTHER_OPTIONS = "made with other options or from other files, done again"
DAMAGED = "its record is damaged, done again"
GONE = "what its record names is not there any more, done again"


@dataclass(frozen=True)
class Records(Generic[T]):
    """Where to keep what is done, and when it still holds.

    Parameters
    ----------
    folder : path
        Where the records are: one ``NAME.json`` for each job.
    describe : callable
        All that the result of a task depends on, ready for JSON: options, and the
        `tomoset.files.stamp` of each input. A record holds as long as it stays equal.
    is_there : callable
        Whether what a recorded result names, such as the file that was made, is there.
    outputs : callable
        Paths of the files that a task may make. They are recorded before they are made: nothing
        else that is there under such a name is of an earlier run.

    Examples
    --------
    >>> Records(Path("Tomograms/run"), lambda task: [task], lambda result: True).path("a/b")
    PosixPath('Tomograms/run/a_b.json')
    """

    folder: Path
    describe: Callable[[T], object]
    is_there: Callable[[dict[str, Any]], bool]
    outputs: Callable[[T], Iterable[str]] = lambda _: ()

    def path(self, name: str) -> Path:
        """The file of the record of a job."""
        return self.folder / f"{file_name(name)}.json"

    def refuse_collisions(self, names: Iterable[str]) -> None:
        """Refuse two names with one record.

        Raises
        ------
        ModelError
            Two names differ only in ``/`` and ``_``.
        """
        taken: dict[Path, str] = {}
        for name in names:
            other = taken.setdefault(self.path(name), name)
            if other != name:
                raise ModelError(
                    f"{other} and {name} would have one record, {self.path(name)}: rename one, or "
                    "run them into different folders"
                )

    def fingerprint(self, task: T) -> str:
        """A short text that differs when the description of a task does."""
        import hashlib

        text = json.dumps(self.describe(task), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def write(self, name: str, fingerprint: str, outcome: Outcome) -> None:
        """Record a job that is done."""
        record = {
            "name": name,
            "fingerprint": fingerprint,
            "files": self._files(name),
            "result": outcome.result,
            "seconds": round(outcome.seconds, 3),
            "version": VERSION,
            "warnings": [
                [category.__name__, text]
                for category, text in outcome.warned
                if issubclass(category, TomosetWarning)
            ],
        }
        self._store(record)

    def begin(self, name: str, task: T) -> None:
        """Forget what is recorded but names of files: a job is done again, and replaces them."""
        made = [os.path.relpath(path, self.folder) for path in self.outputs(task)]
        files = list(dict.fromkeys([*self._files(name), *made]))
        if files:
            self._store({"name": name, "files": files})
        else:
            self.path(name).unlink(missing_ok=True)

    def _store(self, record: Mapping[str, Any]) -> None:
        with atomic_write(self.path(record["name"]), "w", encoding="utf-8") as stream:
            json.dump(record, stream, indent=1, allow_nan=False)

    def _files(self, name: str) -> list[str]:
        """Files of a job, as its record names them: from the folder of records."""
        with contextlib.suppress(OSError, ValueError, TypeError, LookupError):
            return [str(path) for path in json.loads(self.path(name).read_bytes())["files"]]
        return []

    def made(self, names: Iterable[str]) -> set[str]:
        """Real paths of files that earlier runs made, or were about to make, for some jobs."""
        files = (os.path.join(self.folder, path) for name in names for path in self._files(name))
        return {os.path.realpath(path) for path in files}

    def last(self, name: str) -> dict[str, Any] | None:
        """The result that was recorded last, with whatever options, if it is still there."""
        try:
            record = json.loads(self.path(name).read_bytes())
        except (FileNotFoundError, ValueError):
            return None
        with contextlib.suppress(LookupError, TypeError):
            if _is_whole(record, name) and self.is_there(record["result"]):
                result: dict[str, Any] = record["result"]
                return result
        return None

    def read(self, name: str, fingerprint: str) -> Outcome | str:
        """What an earlier run recorded, if it holds; if not, why; "" if there is nothing."""
        try:
            record = json.loads(self.path(name).read_bytes())
        except FileNotFoundError:
            return ""
        except ValueError:
            return DAMAGED
        if isinstance(record, dict) and record.keys() == {"name", "files"}:
            return ""  # it was begun
        if not _is_whole(record, name):
            return DAMAGED
        if record["fingerprint"] != fingerprint:
            return OTHER_OPTIONS
        there = False
        with contextlib.suppress(LookupError, TypeError):  # a result of another version
            there = self.is_there(record["result"])
        if not there:
            return GONE
        warned = tuple((_category(kind), text) for kind, text in record["warnings"])
        return Outcome(record["result"], seconds=record["seconds"], warned=warned)


def _is_whole(record: object, name: str) -> bool:
    kinds: dict[str, type | tuple[type, ...]] = {
        "name": str,
        "fingerprint": str,
        "result": dict,
        "seconds": (int, float),
        "version": str,
        "warnings": list,
    }
    if not isinstance(record, dict):
        return False
    right = all(isinstance(record.get(key), kind) for key, kind in kinds.items())
    return right and record["name"] == name


def _category(name: str) -> type[Warning]:
    category: type[Warning] = getattr(errors, name, TomosetWarning)
    return category
