"""Files that take their places together, when a block ends well."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from tomoset.errors import FileAccessError
from tomoset.files._guard import Guard, replaceable
from tomoset.files._read import forget
from tomoset.files._staging import (
    PREFIX,
    Entry,
    Staging,
    end_journal,
    remove,
    sync_folder,
    take_back,
    write_journal,
)

StrPath = str | os.PathLike[str]


@dataclass(frozen=True)
class _Waiting:
    """What waits to be put in place: where, its place, and the path as the user said it."""

    new: Path
    target: Path
    said: str
    goes: bool = False

    def entry(self) -> Entry:
        return Entry(
            new=str(self.new),
            old=str(self.new.with_suffix(".old")),
            target=str(self.target),
            replaces=os.path.lexists(self.target),
            inode=0 if self.goes else os.lstat(self.new).st_ino,
        )


@dataclass(frozen=True, kw_only=True)
class Change:
    """A file that takes a place: which, where it is now, and where what it replaces is, if any."""

    target: Path
    new: Path
    old: Path | None


class Transaction:
    """Files and folders that are put in place together, or not at all; made by `together`.

    Parameters
    ----------
    guard : Guard, optional
        What they may replace; any regular files if not given, but never a link.
    home : path-like, optional
        The folder where the next run looks for what this one may leave: that of the set.
    """

    def __init__(self, guard: Guard | None = None, home: StrPath | None = None) -> None:
        self.guard, self._home = guard, home
        self._number = 0
        self._waiting: list[_Waiting] = []
        self._placed: list[Entry] = []
        self._stagings: dict[Path, Staging] = {}

    @contextlib.contextmanager
    def open(self, path: StrPath, mode: str = "wb", **kwargs: Any) -> Iterator[IO[Any]]:
        """A stream to what the file will be when the block of the files has ended.

        What was written is forgotten if this inner block raises, even if others go on.
        """
        with self._making(path, folder=False) as one:
            with open(one.new, mode.replace("w", "x"), **kwargs) as stream:
                yield stream
                stream.flush()
                os.fsync(stream.fileno())
            one.new.chmod(_mode_for(one.target))

    @contextlib.contextmanager
    def folder(self, path: StrPath) -> Iterator[Path]:
        """A folder to fill, which takes the place of another when the block has ended."""
        with self._making(path, folder=True) as one:
            one.new.mkdir()
            yield one.new

    def write(self, path: StrPath, content: bytes) -> None:
        """Have a file with this content when the block has ended."""
        with self.open(path) as stream:
            stream.write(content)

    @contextlib.contextmanager
    def _making(self, path: StrPath, *, folder: bool) -> Iterator[_Waiting]:
        """Something that will wait to be put in place, if it can be made."""
        said = os.fspath(path)
        target = self._replaceable(said, folder=folder)
        self._number += 1
        name = f"{self._number}.new"
        try:
            one = _Waiting(self._staging(target.parent) / name, target, said)
            yield one
        except BaseException as problem:
            if target.parent in self._stagings:
                remove(self._staging(target.parent) / name)
            _in_the_users_words(problem, said)
            raise
        self._waiting.append(one)

    def _replaceable(self, path: str, *, folder: bool) -> Path:
        links = self.guard is not None and self.guard.overwrite
        return replaceable(path, links=links, folder=folder)

    def _staging(self, folder: Path) -> Path:
        if not self._stagings and self._home is not None:
            home = Path(os.path.realpath(self._home))
            self._stagings[home] = Staging(home)
        if folder not in self._stagings:
            self._stagings[folder] = Staging(folder, self._first)
        return self._stagings[folder].path

    @property
    def _first(self) -> Path | None:
        """The staging folder of the journal."""
        return next((staging.path for staging in self._stagings.values()), None)

    def remove(self, path: StrPath) -> None:
        """Have no file there when the block has ended."""
        target = self._replaceable(os.fspath(path), folder=False)
        self._number += 1
        gone = self._staging(target.parent) / f"{self._number}.new"
        self._waiting.append(_Waiting(gone, target, os.fspath(path), goes=True))

    def changes(self) -> list[Change]:
        """What has been put in place, or will be."""
        found: dict[Path, Change] = {}
        for placed in self._placed:
            old = Path(placed.old) if placed.replaces else None
            target = Path(placed.target)
            found.setdefault(target, Change(target=target, new=target, old=old))
        for one in self._waiting:
            there = one.target if os.path.lexists(one.target) else None
            first = found.get(one.target)
            found[one.target] = Change(
                target=one.target, new=one.new, old=there if first is None else first.old
            )
        return list(found.values())

    def waiting(self) -> list[tuple[Path, Path]]:
        """What will be put in place: where, and where it waits."""
        return [(one.target, one.new) for one in self._waiting]

    def place(self) -> None:
        """Put what waits in place; it is taken back if the block does not end well.

        Raises
        ------
        FileAccessError
            The guard refuses one of the files.
        OSError
            It cannot be done; all is as it was then.
        """
        entries = self._entries()
        if self._first is None or not entries:
            return
        write_journal(self._first, [*self._placed, *entries])
        self._placed += entries
        self._waiting = []
        for entry in entries:
            try:
                if entry.replaces:
                    _keep(entry)
                if entry.inode:
                    os.replace(entry.new, entry.target)
                elif os.path.lexists(entry.target):
                    os.unlink(entry.target)
            except OSError as problem:
                _in_the_users_words(problem, entry.target)
                raise
        for folder in self._stagings:
            sync_folder(folder)

    def _entries(self) -> list[Entry]:
        """What waits, if all of it may be put in place; of what was written twice, the last."""
        last = {one.target: one for one in self._waiting}
        for one in last.values():
            self._replaceable(one.said, folder=one.new.is_dir())
            if self.guard is not None:
                self.guard.refuse(one.said, None if one.goes else one.new)
        return [one.entry() for one in last.values()]

    def end(self) -> None:
        """Put in place what waits, for good."""
        entries = self._entries()
        simple = len(entries) == 1 and not self._placed and entries[0].inode != 0
        if simple and not os.path.isdir(entries[0].new):
            os.replace(entries[0].new, entries[0].target)  # one step, or nothing
            forget(entries[0].target)
            return
        self.place()
        if self._placed and self._first is not None:
            end_journal(self._first)
            for one in self._placed:
                forget(one.target)
            self._placed = []

    def close(self) -> None:
        """Take back what was not put in place for good, and remove what waits."""
        if self._placed and self._first is not None:
            try:
                take_back(self._first)
            except OSError as problem:
                raise FileAccessError(
                    f"{problem}: not all files could be put in place or taken back; the next run "
                    f"of tomoset that reads or writes there takes them back ({self._first})"
                ) from problem
        with contextlib.ExitStack() as exits:
            for staging in self._stagings.values():
                exits.callback(staging.close)
        self._stagings = {}


def _keep(entry: Entry) -> None:
    """Keep what is replaced: by another name of it, or else by moving it."""
    if not stat.S_ISDIR(os.lstat(entry.target).st_mode):
        try:
            os.link(entry.target, entry.old, follow_symlinks=False)
        except (OSError, NotImplementedError):  # a file system without such names
            pass
        else:
            return
    os.rename(entry.target, entry.old)


def _in_the_users_words(problem: BaseException, path: str) -> None:
    """Have an error of a file name where it was to go, not where it waited."""
    if isinstance(problem, OSError) and problem.errno is not None:  # the system's, not ours
        of = problem.filename
        if of is None or (isinstance(of, str | Path) and PREFIX in str(of)):
            problem.filename, problem.filename2 = path, None


def _mode_for(target: Path) -> int:
    if target.exists():
        return target.stat().st_mode & 0o7777
    umask = os.umask(0)
    os.umask(umask)
    return 0o666 & ~umask


_current: ContextVar[Transaction | None] = ContextVar("transaction", default=None)


@contextlib.contextmanager
def together(guard: Guard | None = None, home: StrPath | None = None) -> Iterator[Transaction]:
    """All files that are written in the block take their places when it ends well, or none do.

    A block within another one joins it: its files are put in place with the others.

    Parameters
    ----------
    guard : Guard, optional
        What may be replaced; of a block within another, that one's holds.
    home : path-like, optional
        The folder where the next run looks first for what this one may leave: that of the set.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> with together():
    ...     write(folder / "a", b"1")
    ...     write(folder / "b", b"2")
    ...     (folder / "a").exists()
    False
    >>> (folder / "a").read_bytes()
    b'1'
    """
    outer = _current.get()
    if outer is not None:
        yield outer
        return
    transaction = Transaction(guard, home)
    token = _current.set(transaction)
    try:
        yield transaction
        transaction.end()
    finally:
        _current.reset(token)
        transaction.close()


@contextlib.contextmanager
def atomic_write(path: StrPath, mode: str = "wb", **kwargs: Any) -> Iterator[IO[Any]]:
    """Open a file that takes the place of `path` only when the block ends well.

    The new file is made beside the old one, flushed to disk and renamed over it, so that a reader
    sees the old file or the new one, whole. When the block raises, the old file stays and the new
    one is removed. Missing folders are made. A symbolic link is refused, and the mode of an
    existing file is kept. In a block of `together` the file waits for the others.

    Examples
    --------
    >>> import tempfile
    >>> target = Path(tempfile.mkdtemp()) / "deep" / "note.txt"
    >>> with atomic_write(target, "w") as f:
    ...     _ = f.write("whole")
    >>> target.read_text()
    'whole'
    """
    with together() as transaction, transaction.open(path, mode, **kwargs) as stream:
        yield stream


@contextlib.contextmanager
def atomic_folder(path: StrPath) -> Iterator[Path]:
    """A folder to fill, which takes the place of `path` only when the block ends well."""
    with together() as transaction, transaction.folder(path) as folder:
        token = _current.set(None)  # what is written into it is there at once
        try:
            yield folder
        finally:
            _current.reset(token)


def write(path: StrPath, content: bytes) -> None:
    """Have a file with this content, whole; in a block of `together`, when that ends."""
    with together() as transaction:
        transaction.write(path, content)
