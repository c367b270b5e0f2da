"""Disks that fail, and processes that end, at any operation."""

from __future__ import annotations

import builtins
import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import tomoset.files._staging as staging
from tomoset.files import recover


def contents(folder: Path) -> dict[str, bytes]:
    """All files below a folder, hidden ones too, but for the history of what was done there."""
    files = (p for p in folder.rglob("*") if p.is_file() and ".tomoset" not in p.parts)
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


class Stopped(BaseException):
    """The process ends here: nothing more is done by it."""


class Faults:
    """Counts what is done to the disk, and fails at one of these operations, or from there on."""

    NAMES = ("fsync", "replace", "link", "rename", "unlink", "mkdir", "chmod", "rmdir")

    def __init__(self, monkeypatch: pytest.MonkeyPatch, at: int, *, ends: bool) -> None:
        self.count, self._at, self._ends = 0, at, ends
        for name in self.NAMES:
            monkeypatch.setattr(os, name, self._wrapped(getattr(os, name)))
        self._open = builtins.open
        monkeypatch.setattr(builtins, "open", self._opened)

    def _wrapped(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            self._step()
            return real(*args, **kwargs)

        return call

    def _opened(self, file: Any, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
        if set(mode) & set("wxa+"):
            self._step()
        return self._open(file, mode, *args, **kwargs)

    def _step(self) -> None:
        self.count += 1
        if self._ends and self.count > self._at:
            raise Stopped
        if not self._ends and self.count == self._at + 1:
            raise OSError(errno.EIO, os.strerror(errno.EIO))


def attempt(
    monkeypatch: pytest.MonkeyPatch, work: Callable[[], None], at: int, *, ends: bool
) -> bool:
    """Do some work with a fault; whether the fault came."""
    with monkeypatch.context() as patch:
        faults = Faults(patch, at, ends=ends)
        try:
            work()
        except (Stopped, OSError):
            return True
        return faults.count > at


def next_run(folder: Path) -> None:
    """What a new process does where it reads or writes."""
    own = list(staging._own)
    staging._own.clear()
    staging._swept.clear()
    for descriptor in _locks(own):
        os.close(descriptor)
    for where in [folder, *(p for p in folder.rglob("*") if p.is_dir() and p.name[0] != ".")]:
        recover(where)


def _locks(own: list[Path]) -> Iterator[int]:
    """Locks that a process which has ended would not hold any more."""
    for number in map(int, os.listdir("/proc/self/fd")):
        try:
            path = Path(os.readlink(f"/proc/self/fd/{number}").removesuffix(" (deleted)"))
        except OSError:
            continue
        if path.name == "lock" and path.parent in own:
            yield number
