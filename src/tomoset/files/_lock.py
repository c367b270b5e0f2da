"""One process at a time in a folder."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import time
from collections.abc import Iterator

from tomoset.errors import FileAccessError

#: So long another process is waited for [s].
PATIENCE = 30.0
_LOCK = "lock"


@contextlib.contextmanager
def locked(folder: str | os.PathLike[str], patience: float = PATIENCE) -> Iterator[None]:
    """Be the only process in a block that has locked this folder.

    The folder is made for it, and removed again if nothing else came into it. Where a file system
    knows no locks, there is none.

    Parameters
    ----------
    folder : path-like
        A folder for this purpose.
    patience : float
        So long another process is waited for [s].

    Raises
    ------
    FileAccessError
        If another one has it that long.
    """
    made = _made(os.fspath(folder))
    try:
        descriptor = _wait(os.fspath(folder), patience)
        try:
            yield
        finally:
            try:
                if len(os.listdir(folder)) == 1:  # nothing was written here
                    with contextlib.suppress(OSError):
                        os.unlink(os.path.join(folder, _LOCK))
            finally:
                os.close(descriptor)
    finally:
        for path in made:
            with contextlib.suppress(OSError):  # it is in use
                os.rmdir(path)


def _made(folder: str) -> list[str]:
    """The folder, and those above it that were not there, from within; all of them made."""
    missing, path = [], os.path.abspath(folder)
    while not os.path.isdir(path):
        missing.append(path)
        path = os.path.dirname(path)
    os.makedirs(folder, exist_ok=True)
    return missing


def _wait(folder: str, patience: float) -> int:
    """The descriptor that holds the lock."""
    until = time.monotonic() + patience
    path = os.path.join(folder, _LOCK)
    while True:
        os.makedirs(folder, exist_ok=True)
        try:
            descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o666)
        except FileNotFoundError:  # the folder went meanwhile
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is(descriptor, path):
                return descriptor
        except OSError as problem:
            if problem.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                return descriptor  # no locks here
        os.close(descriptor)
        if time.monotonic() > until:
            raise FileAccessError(
                f"{os.path.dirname(os.path.abspath(folder))}: another tomoset writes there, since "
                f"{patience:g} s; wait for it, or give another folder"
            )
        time.sleep(0.02)


def _is(descriptor: int, path: str) -> bool:
    """Whether a path still leads to an open file."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False
