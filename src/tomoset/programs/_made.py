"""Which files of a folder a program has made, and of what: no other is replaced."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from tomoset.errors import FileAccessError
from tomoset.files import Guard, Transaction, atomic_write, stamp
from tomoset.model import Project
from tomoset.run import Records


class Made:
    """What earlier runs of a program have made in a folder, kept beside their records.

    Parameters
    ----------
    records : Records
        Of the program in that folder.
    project : Project
        Of which it is made now.
    reads : sequence of str
        Further files that are read.
    overwrite : bool
        Whether anything but what is read may be replaced.
    """

    def __init__(
        self, records: Records[Any], project: Project, reads: Sequence[str], *, overwrite: bool
    ) -> None:
        self._records, self._project = records, project
        self._path = os.path.join(records.folder, "set.json")
        source = project.tomograms.path
        self._source = None if source is None else os.path.relpath(source, records.folder)
        self._guard = Guard(
            lambda: [*project.named_files(), *reads], overwrite=overwrite, ours=self._is_ours
        )
        self._links: list[str] = []

    @cached_property
    def _before(self) -> dict[str, Any]:
        """Of which set the folder is, and what its sets were as they were written."""
        with contextlib.suppress(OSError, ValueError):
            before = json.loads(Path(self._path).read_bytes())
            if isinstance(before, dict) and before.keys() == {"set", "files"}:
                return before
        return {"set": self._source, "files": {}}

    @cached_property
    def _of_jobs(self) -> set[str]:
        return self._records.made(self._project.tomograms)

    def _is_ours(self, path: str) -> bool:
        if self._before["set"] != self._source:
            return False
        known = self._before["files"].get(os.path.relpath(path, self._records.folder))
        if known is None:
            return os.path.realpath(path) in self._of_jobs
        if known != stamp(path)[::2]:
            raise FileAccessError(
                f"{path} was changed after tomoset had written it: give another folder, move it "
                "away, or replace it (--overwrite)"
            )
        return True

    def refuse(self, paths: Iterable[str]) -> None:
        """Refuse to replace any of these files that is read, or was not made here.

        Raises
        ------
        FileAccessError
            One of them is read, or others made it, or it was made of another set.
        """
        for path in paths:
            self._guard.refuse(path)
            if os.path.islink(path):
                self._links.append(path)

    def begin(self) -> None:
        """From now on the folder is of this set; links in place of files are removed."""
        if self._before["set"] != self._source:
            self._before.update({"set": self._source, "files": {}})
        for link in self._links:
            os.unlink(link)
        self._store()

    def record(self, files: Transaction) -> None:
        """Remember what is about to be put in place with these files."""
        for target, new in files.waiting():
            name = os.path.relpath(target, self._records.folder)
            self._before["files"][name] = stamp(new)[::2]
        self._store()

    def _store(self) -> None:
        with atomic_write(self._path, "w", encoding="utf-8") as stream:
            json.dump(self._before, stream, indent=1)
