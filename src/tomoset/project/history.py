"""What was done in a folder: a line for each command that wrote there, and what it replaced.

The history of a folder is ``.tomoset/history.jsonl`` in it, a JSON object a line; files that were
replaced are in ``.tomoset/kept``, so that `undo` puts them back. Both come into place with the
files that they tell of, or not at all.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from tomoset.errors import FileAccessError, FileFormatError, typed
from tomoset.files import Guard, Transaction, locked, read_bytes, stamp, together
from tomoset.model.io import StrPath
from tomoset.project._record import is_record, listened
from tomoset.run import VERSION

#: Where it is, in the folder that it is of.
FOLDER = ".tomoset"
_LEDGER, _KEPT = "history.jsonl", "kept"
#: Larger files that are replaced are not kept [bytes].
MAX_KEPT = 64 << 20


@dataclass(frozen=True, kw_only=True)
class Entry:
    """What one command did.

    Parameters
    ----------
    number : int
        From 1.
    time, version : str
        When (UTC), and by which tomoset.
    command : tuple of str
        What was typed; ``Python`` where a function was called.
    reads, writes : dict of str to str
        Hashes of content, by path from the folder.
    kept : dict of str to (str or None)
        Where copies are of files that were replaced, by path; None: not kept, it was too large.
    said : tuple of str
        What was assumed or lost.
    undoes : int or None
        The entry that this one took back.
    """

    number: int
    time: str
    version: str
    command: tuple[str, ...]
    reads: dict[str, str]
    writes: dict[str, str]
    kept: dict[str, str | None]
    said: tuple[str, ...] = ()
    undoes: int | None = None


def read_history(folder: StrPath) -> list[Entry]:
    """What was done in a folder, the earliest first; nothing where nobody kept a history.

    Raises
    ------
    FileFormatError
        If a line of it is damaged.
    """
    path = os.path.join(folder, FOLDER, _LEDGER)
    entries = []
    with contextlib.suppress(FileNotFoundError):
        for number, line in enumerate(read_bytes(path).splitlines(), 1):
            try:
                entries.append(_entry(json.loads(line)))
            except (ValueError, TypeError, LookupError):
                raise FileFormatError(
                    "this line of the history is damaged; put it right, or remove the file: then "
                    "nothing of before can be undone",
                    path=path,
                    line=number,
                ) from None
    return entries


def _entry(said: dict[str, Any]) -> Entry:
    lists = {name: tuple(said[name]) for name in ("command", "said")}
    return Entry(**{**said, **lists})


@contextlib.contextmanager
def writing(
    home: StrPath, guard: Guard, reads: Callable[[], Iterable[str]], *, undoes: int | None = None
) -> Iterator[tuple[Transaction, list[str]]]:
    """Files that take their places together, with a line of history in the folder of the set.

    Another process that writes there waits. What is warned of is in the history.

    Parameters
    ----------
    home : path-like
        The folder of the set.
    guard : Guard
        What may be replaced.
    reads : callable
        Gives the files of sets that are read, at the end.
    undoes : int, optional
        The entry that is taken back.
    """
    home = os.fspath(home) or "."
    with (
        locked(os.path.join(home, FOLDER)),
        together(guard, home=home) as files,
        listened() as said,
    ):
        yield files, said
        remember(files, home, reads(), said, undoes=undoes)


def remember(
    files: Transaction,
    home: str,
    reads: Iterable[str],
    said: Iterable[str] = (),
    *,
    undoes: int | None = None,
) -> None:
    """Add a line to the history of a folder, which comes into place with these files."""
    changes = files.changes()
    if not changes:
        return
    before = read_history(home)
    number = len(before) + 1
    root = os.path.realpath(home)
    kept: dict[str, str | None] = {}
    for change in changes:
        if change.old is None:
            continue
        name = os.path.join(FOLDER, _KEPT, f"{number:04d}", str(len(kept)))
        small = change.old.is_file() and change.old.stat().st_size <= MAX_KEPT
        if small:
            with files.open(os.path.join(root, name)) as new, change.old.open("rb") as old:
                shutil.copyfileobj(old, new)
        kept[os.path.relpath(change.target, root)] = name if small else None
    entry = Entry(
        number=number,
        time=datetime.now(UTC).isoformat(timespec="milliseconds"),
        version=VERSION,
        command=typed.get(),
        reads={os.path.relpath(path, root): _hash(path) for path in dict.fromkeys(reads)},
        writes={os.path.relpath(c.target, root): _hash(c.new) for c in changes},
        kept=kept,
        said=tuple(said),
        undoes=undoes,
    )
    lines = [json.dumps(vars(one), allow_nan=False) + "\n" for one in (*before, entry)]
    files.write(os.path.join(root, FOLDER, _LEDGER), "".join(lines).encode())


def _hash(path: StrPath) -> str:
    """Of a file's content; nothing of a folder, or of what is not there."""
    try:
        return str(stamp(path)[2])
    except OSError:
        return ""


def last_to_undo(entries: list[Entry]) -> Entry | None:
    """The last entry that was not taken back, and takes none back."""
    undone = {entry.undoes for entry in entries}
    left = [e for e in entries if e.undoes is None and e.number not in undone]
    return left[-1] if left else None


def undo(folder: StrPath) -> Entry:
    """Take back what the last command wrote in a folder: old files come back, new ones go.

    Parameters
    ----------
    folder : path-like
        Of the set.

    Returns
    -------
    Entry
        What was taken back.

    Raises
    ------
    FileAccessError
        If there is nothing to take back, a file has changed since, or one that was replaced is not
        kept. Nothing is changed then.
    """
    home = os.fspath(folder) or "."
    entry = last_to_undo(read_history(home))
    if entry is None:
        raise FileAccessError(f"{home}: there is no history of a command that could be undone")
    mine = {os.path.realpath(os.path.join(home, path)) for path in entry.writes}
    guard = Guard(ours=lambda path: os.path.realpath(path) in mine)
    new = [path for path in entry.writes if path not in entry.kept]
    with writing(home, guard, tuple, undoes=entry.number) as (files, _):
        if last_to_undo(read_history(home)) != entry:  # somebody wrote there meanwhile
            raise FileAccessError(f"{home}: another command has written there meanwhile; try again")
        _refuse_changed(home, entry)
        for path, copy in entry.kept.items():
            old = open(os.path.join(home, copy or ""), "rb")  # noqa: SIM115
            with old, files.open(os.path.join(home, path)) as again:
                shutil.copyfileobj(old, again)
        for path in new:
            files.remove(os.path.join(home, path))
    return entry


def _refuse_changed(home: str, entry: Entry) -> None:
    """Refuse to take back what has been changed since, or cannot come back."""
    what = f"{home}: {' '.join(entry.command[:4])} cannot be undone: "
    for path, was in entry.writes.items():
        if _hash(os.path.join(home, path)) != was:
            raise FileAccessError(f"{what}{path} has been changed, or is gone, since then")
    for path, copy in entry.kept.items():
        if copy is None:
            raise FileAccessError(f"{what}{path} was replaced, and was too large to be kept")
        if not os.path.isfile(os.path.join(home, copy)):
            raise FileAccessError(f"{what}the copy of {path} is not there any more: {copy}")


@dataclass(frozen=True, kw_only=True, eq=False)
class Step:
    """A line of the history of a folder, and whether it was taken back."""

    folder: str
    entry: Entry
    undone: bool


def ancestry(path: StrPath) -> list[Step]:
    """What was done to make a set, in all folders; of a folder, all that was done there.

    What a command read was made by an earlier one, in this folder or another, if that wrote files
    of the very same content there.

    Returns
    -------
    list of Step
        The earliest first.
    """
    name = os.fspath(path)
    if os.path.isdir(name):
        return list(_steps(name).values())
    found: dict[tuple[str, int], Step] = {}
    waiting = [(os.path.realpath(name), _hash(name))]
    while waiting:
        file, content = waiting.pop()
        folder = os.path.dirname(file)
        for step in _makers(folder, file, content):
            key = (os.path.realpath(step.folder), step.entry.number)
            if key not in found:
                found[key] = step
                waiting += [
                    (os.path.realpath(os.path.join(step.folder, read)), was)
                    for read, was in step.entry.reads.items()
                ]
    return sorted(found.values(), key=lambda step: (step.entry.time, step.entry.number))


def _steps(folder: str) -> dict[int, Step]:
    entries = read_history(folder)
    undone = {entry.undoes for entry in entries}
    shown = os.path.relpath(folder)
    return {e.number: Step(folder=shown, entry=e, undone=e.number in undone) for e in entries}


def _makers(folder: str, file: str, content: str) -> list[Step]:
    """The commands that have written a file with this content, here or in a folder above."""
    above = folder
    for _ in range(4):
        steps = _steps(above)
        name = os.path.relpath(file, os.path.realpath(above))
        made = [step for step in steps.values() if step.entry.writes.get(name) == content]
        if made:
            return made[-1:]
        above = os.path.dirname(above)
    return []


def compared_by(step: Step) -> Mapping[str, Mapping[str, Any]]:
    """What a conversion or an import has kept of each tomogram, by name: what was lost, verified.

    Nothing where a step was neither, or its record was replaced since.
    """
    for name, content in step.entry.writes.items():
        path = os.path.join(step.folder, name)
        if is_record(name) and _hash(path) == content:
            with contextlib.suppress(OSError, ValueError, LookupError, TypeError, AttributeError):
                rows = json.loads(read_bytes(path))["tomograms"]
                return {str(k): dict(row) for k, row in rows.items()}
    return {}


def forget(folder: StrPath, days: float) -> int:
    """Remove copies of files that were replaced so many days ago; how many."""
    root, gone = os.path.join(folder, FOLDER, _KEPT), 0
    before = time.time() - days * 86400
    for name in sorted(os.listdir(root)) if os.path.isdir(root) else []:
        if os.path.getmtime(path := os.path.join(root, name)) < before:
            gone += len(os.listdir(path))
            shutil.rmtree(path)
    return gone
