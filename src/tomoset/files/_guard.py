"""What may be replaced: no input, nothing that others made, no link."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from tomoset.errors import FileAccessError
from tomoset.files._read import has_changed, read_bytes

StrPath = str | os.PathLike[str]

#: Files of so many bytes are looked at whole; of larger ones pieces of so many bytes, so many.
_WHOLE, _PIECE, _PIECES = 1 << 20, 1 << 12, 16


@dataclass(frozen=True, eq=False)
class Guard:
    """Which files may be replaced by those of one command.

    Parameters
    ----------
    inputs : callable
        Gives the paths of all that is read: none of them is ever replaced.
    overwrite : bool
        Whether files that others made may be replaced; links are replaced, not followed.
    ours : callable
        Whether a path is that of a file which may be replaced anyhow: the same command made it,
        of the same set; or the user named it as what is to be changed.
    """

    inputs: Callable[[], Iterable[StrPath]] = tuple
    overwrite: bool = False
    ours: Callable[[str], bool] = lambda _: False

    @cached_property
    def _read(self) -> tuple[frozenset[str], frozenset[tuple[int, int]]]:
        """Real paths, and identities, of what is read: a hard link has only the latter."""
        paths = [os.fspath(path) for path in self.inputs()]
        there = filter(None, map(identity_of, paths))
        return frozenset(map(os.path.realpath, paths)), frozenset(there)

    def refuse_inputs(self, paths: Iterable[StrPath]) -> None:
        """Refuse to replace any file that is read; this is known before anything is done."""
        real, identities = self._read
        for path in paths:
            if os.path.realpath(path) in real or identity_of(path) in identities:
                raise FileAccessError(
                    f"{os.fspath(path)} is read by this command, and would be replaced by what is "
                    "made of it: give another folder or path for the output"
                )

    def refuse(self, path: StrPath, new: StrPath | None = None) -> None:
        """Refuse to replace a file that may not be replaced; one like the new one may be.

        Raises
        ------
        FileAccessError
            It is read by this command, or is not ours and is not to be overwritten.
        """
        if not os.path.lexists(path) or ".tomoset" in os.fspath(path).split(os.sep):
            return  # the history, which is ours, and only grows
        self.refuse_inputs([path])
        if self.overwrite or (not os.path.islink(path) and self.ours(os.fspath(path))):
            return
        if os.path.islink(path):
            raise FileAccessError(
                f"{os.fspath(path)} is a link to {os.readlink(path)}: it is not followed, so that "
                "nothing elsewhere is replaced; remove it, give another path, or replace the link "
                "(--overwrite)"
            )
        if new is None or not _alike(path, new):
            raise FileAccessError(
                f"{os.fspath(path)} is there, and was not made by this command of this set: give "
                "another path, move it away, or replace it (--overwrite)"
            )


def _alike(one: StrPath, other: StrPath) -> bool:
    import filecmp

    return os.path.isfile(one) and os.path.isfile(other) and filecmp.cmp(one, other, shallow=False)


def identity_of(path: StrPath) -> tuple[int, int] | None:
    """Device and inode of what a path leads to; None if nothing is there."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def stamp(path: StrPath) -> list[str | int]:
    """What a file is: size, time of change, and a hash of its content.

    Of files over a megabyte, 16 pieces of 4 kB are looked at, spread evenly from the beginning to
    the end: other images of one size and time differ there. A change between these pieces is seen
    by the time alone.

    Raises
    ------
    OSError
        It is not there.
    """
    import hashlib

    text = hashlib.sha256()
    with open(path, "rb", buffering=0) as file:
        status = os.fstat(file.fileno())
        if status.st_size <= _WHOLE:
            text.update(file.read())
        else:
            last = status.st_size - _PIECE
            for i in range(_PIECES):
                file.seek(last * i // (_PIECES - 1))
                text.update(file.read(_PIECE))
    return [status.st_size, status.st_mtime_ns, text.hexdigest()[:32]]


def replaceable(path: StrPath, *, links: bool = False, folder: bool = False) -> Path:
    """Where a path leads, if what is there may be replaced: no device, no link, no folder.

    Parameters
    ----------
    path : path-like
        To be written.
    links : bool
        Whether a link may be replaced (it is never followed).
    folder : bool
        Whether a folder is to be written, instead of a file.

    Raises
    ------
    FileAccessError
        If not, or if the name is too long for a file.
    """
    if not os.fspath(path):
        raise FileAccessError("the path of a file to write is empty")
    target = Path(os.path.realpath(os.path.dirname(os.path.abspath(path)))) / os.path.basename(
        os.path.abspath(path)
    )
    if len(os.fsencode(target.name)) > 255:
        raise FileAccessError(
            f"{os.fspath(path)[:60]}... cannot be written: names of files have 255 bytes at most, "
            f"and this has {len(os.fsencode(target.name))}; give a shorter name"
        )
    if target.is_symlink():
        if not links:
            raise FileAccessError(
                f"{os.fspath(path)} is a link to {os.readlink(target)}, which is not followed, so "
                "that nothing elsewhere is replaced: write to that path itself, or remove the link"
            )
    elif target.exists() and not (target.is_dir() if folder else target.is_file()):
        what = "a folder" if target.is_dir() else "no regular file" if not folder else "no folder"
        raise FileAccessError(f"{os.fspath(path)} is {what} and cannot be written")
    if has_changed(target):
        raise FileAccessError(
            f"{os.fspath(path)} has changed since it was read, and would lose what is new: read it "
            "again, or write to another path"
        )
    return target


def refuse_unless_star(path: StrPath) -> None:
    """Refuse to replace a file that is no STAR file: most likely the path is a slip."""
    target = replaceable(path, links=True)
    if not target.exists():
        return
    head = read_bytes(target, 1 << 16)
    if head.strip() and (b"data_" not in head or b"\0" in head):
        raise FileAccessError(
            f"{os.fspath(path)} is there and is no STAR file; it is not replaced by one: give "
            "another path, or remove it"
        )
