"""Hidden folders in which files wait beside their places, and what becomes of those left behind.

A staging folder ``.tomoset-XXXX`` is locked as long as its owner lives, on whatever machine: a lock
that can be had tells that the owner is dead, and what it has left is taken back and removed.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import threading
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tomoset.errors import TomosetWarning

PREFIX = ".tomoset-"
#: Files in it; the first folder of a transaction has the journal, and names the others.
_LOCK, _JOURNAL, _OTHERS = "lock", "journal", "others"
#: Errors of file systems that know no locks: there is nothing to be told of owners then.
_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)

_busy = threading.Lock()
#: Staging folders of this process, and folders that it has looked at for those of dead ones.
_own: set[Path] = set()
_swept: set[Path] = set()


class Staging:
    """A hidden folder in the folder of files that are to be put there.

    Parameters
    ----------
    folder : Path
        Where they are to be put; it is made if it is not there.
    first : Path or None
        The staging folder that holds the journal of a transaction; None: it is this one.
    """

    def __init__(self, folder: Path, first: Path | None = None) -> None:
        self._made = _made_folders(folder)
        if Path(os.path.realpath(folder)) not in _swept:
            recover(folder)
        try:
            self.path, self._descriptor = _locked_folder(folder, first)
        except BaseException:
            self._remove_made()
            raise
        try:
            if first is not None:
                relative = os.path.relpath(first, self.path)
                os.write(self._descriptor, os.fsencode(relative))
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Remove it, and folders that were made for files which did not come."""
        try:
            _remove(self.path)
        finally:
            with _busy:
                _own.discard(self.path)
            os.close(self._descriptor)
            self._remove_made()

    def _remove_made(self) -> None:
        for folder in self._made:
            with contextlib.suppress(OSError):  # it is in use
                folder.rmdir()


def _made_folders(folder: Path) -> list[Path]:
    """Make a folder; those that were missing, from within."""
    missing = []
    while not folder.exists():
        missing.append(folder)
        folder = folder.parent
    for one in reversed(missing):
        with contextlib.suppress(FileExistsError):  # another process was faster
            one.mkdir()
    return missing


def _locked_folder(folder: Path, first: Path | None) -> tuple[Path, int]:
    """A new staging folder, and the descriptor that holds its lock."""
    while True:
        path = folder / f"{PREFIX}{os.urandom(6).hex()}"
        with _busy:
            _own.add(path)
        try:
            if first is not None:
                with open(first / _OTHERS, "ab") as stream:
                    stream.write(os.fsencode(os.path.relpath(path, first)) + b"\0")
            path.mkdir()
            descriptor = _lock(path, own=True)
        except FileNotFoundError:  # taken for one left behind, before it was locked
            continue
        except BaseException:
            _remove(path)
            raise
        if descriptor is not None:
            return path, descriptor


def _lock(path: Path, *, own: bool) -> int | None:
    """Lock a staging folder; None if somebody else has it, or may have, or it is gone meanwhile."""
    lock = path / _LOCK
    descriptor = os.open(lock, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        if not _flock(descriptor) and not own:
            os.close(descriptor)
            return None  # nothing tells whether its owner lives
        if os.path.samestat(os.fstat(descriptor), os.stat(lock)):
            return descriptor
    except (BlockingIOError, FileNotFoundError):
        pass
    except BaseException:
        os.close(descriptor)
        raise
    os.close(descriptor)
    return None


def _flock(descriptor: int) -> bool:
    """Lock a file, if its file system has locks; whether it has."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as problem:
        if problem.errno not in _NO_LOCKS:
            raise
        return False
    return True


@dataclass(frozen=True)
class Entry:
    """A file, or a folder, that is put in place.

    Parameters
    ----------
    new, old, target : str
        Paths: where it waits, where what it replaces is kept, and its place.
    replaces : bool
        Whether there is something to be replaced.
    inode : int
        Of the new one.
    """

    new: str
    old: str
    target: str
    replaces: bool
    inode: int


def write_journal(first: Path, entries: Sequence[Entry]) -> None:
    """Write down what is about to be put in place: from now on it can be taken back."""
    import json

    relative = []
    for entry in entries:
        said = asdict(entry)
        for name in ("new", "old", "target"):
            said[name] = os.path.relpath(said[name], first)
        relative.append(said)
    beside = first / f"{_JOURNAL}.new"
    with open(beside, "w", encoding="utf-8", errors="surrogateescape") as stream:
        json.dump(relative, stream)
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(beside, first / _JOURNAL)
    sync_folder(first)


def end_journal(first: Path) -> None:
    """All is in place, and stays there."""
    os.unlink(first / _JOURNAL)
    sync_folder(first)


def take_back(first: Path) -> None:
    """Undo what a journal lists, as far as it was done; nothing if there is none.

    Raises
    ------
    OSError
        It cannot be undone; the journal stays.
    """
    try:
        text = (first / _JOURNAL).read_text(encoding="utf-8", errors="surrogateescape")
    except FileNotFoundError:
        return
    import json

    entries = []
    for said in json.loads(text):
        paths = {k: os.path.normpath(first / said[k]) for k in ("new", "old", "target")}
        entries.append(Entry(**{**said, **paths}))
    for entry in reversed(entries):
        _undo(entry)
    end_journal(first)


def _undo(entry: Entry) -> None:
    """Have the old file, or none, in the place of the new one."""
    is_new = _inode(entry.target) == entry.inode
    if entry.replaces and os.path.lexists(entry.old):
        if is_new:
            os.rename(entry.target, entry.new)
        os.replace(entry.old, entry.target)
    elif not entry.replaces and is_new:
        os.rename(entry.target, entry.new)


def _inode(path: str) -> int | None:
    try:
        return os.lstat(path).st_ino
    except FileNotFoundError:
        return None


def recover(folder: str | os.PathLike[str]) -> None:
    """Take back what a run that was killed has left half done in a folder, and remove its files.

    It is done where a set is read, and once by each process in every folder that it writes to. What
    belongs to a run that still goes on is left alone, also if that is on another machine.
    """
    where = Path(os.path.realpath(folder))
    with _busy:
        _swept.add(where)
    for path in _left_behind(where):
        try:
            descriptor = _lock(path, own=False)
        except OSError as problem:
            if (path / _JOURNAL).exists():
                _warn(where, problem)
            continue
        if descriptor is None:
            continue
        try:
            first = Path(os.path.normpath(path / os.fsdecode(os.read(descriptor, 1 << 16))))
            take_back(path)
            for other in _others(path):
                _remove(other)
            if first != path:
                recover(first.parent)
            if not (first / _JOURNAL).exists():
                _remove(path)
        except (OSError, ValueError, TypeError, LookupError) as problem:
            _warn(where, problem)
        finally:
            os.close(descriptor)


def _others(first: Path) -> list[Path]:
    """The other staging folders of a transaction."""
    try:
        names = (first / _OTHERS).read_bytes().split(b"\0")
    except FileNotFoundError:
        return []
    return [Path(os.path.normpath(first / os.fsdecode(name))) for name in names if name]


def _left_behind(folder: Path) -> Iterator[Path]:
    """Staging folders of other processes."""
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if entry.name.startswith(PREFIX)]
    except OSError:
        return
    for name in names:
        path = folder / name
        with contextlib.suppress(OSError):
            if path not in _own and stat.S_ISDIR(os.lstat(path).st_mode):
                yield path


def _warn(folder: Path, problem: BaseException) -> None:
    warnings.warn(
        f"{folder}: a run that was killed while it put files in place has left sets of before and "
        f"after side by side, and they cannot be taken back ({problem}); run tomoset there as the "
        "user that owns them",
        TomosetWarning,
        stacklevel=4,
    )


def _remove(path: Path) -> None:
    """Remove a staging folder, its lock last."""
    with contextlib.suppress(FileNotFoundError):
        for name in os.listdir(path):
            if name != _LOCK:
                remove(path / name)
    remove(path)


def remove(path: Path) -> None:
    """Remove a file or a folder, in which threads of a job that was stopped may still write."""
    if path.is_symlink() or not path.is_dir():
        with contextlib.suppress(OSError):
            path.unlink()
        return
    import shutil

    for _ in range(20):
        shutil.rmtree(path, ignore_errors=True)
        if not path.exists():
            return
        time.sleep(0.05)


def sync_folder(folder: Path) -> None:
    """Have the names in a folder on disk, where its file system can do that."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
