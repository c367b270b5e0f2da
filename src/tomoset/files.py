"""Files that are either whole or not there: write beside, sync, rename. And small ones, fast."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from tomoset.errors import FileAccessError


@contextlib.contextmanager
def atomic_write(
    path: str | os.PathLike[str], mode: str = "wb", **kwargs: Any
) -> Iterator[IO[Any]]:
    """Open a file that takes the place of `path` only when the block ends well.

    The new file is made beside the old one, flushed to disk and renamed over it, so
    that a reader sees the old file or the new one, whole. When the block raises, the
    old file stays and the new one is removed. Missing folders are made. A symbolic link
    is followed, and the mode of an existing file is kept.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> target = pathlib.Path(tempfile.mkdtemp()) / "deep" / "note.txt"
    >>> with atomic_write(target, "w") as f:
    ...     _ = f.write("whole")
    >>> target.read_text()
    'whole'
    """
    files = AtomicFiles()
    with files, files.open(path, mode, **kwargs) as stream:
        yield stream


class AtomicFiles:
    """Several files that take the place of others together, when a block ends well.

    Each is written beside its target; the renames come at the end, in the order of writing.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> with AtomicFiles() as files:
    ...     files.write(folder / "a", b"1")
    ...     (folder / "a").exists()
    False
    >>> (folder / "a").read_bytes()
    b'1'
    """

    def __init__(self) -> None:
        self._pending: list[tuple[Path, Path]] = []

    def __enter__(self) -> AtomicFiles:
        return self

    @contextlib.contextmanager
    def open(
        self, path: str | os.PathLike[str], mode: str = "wb", **kwargs: Any
    ) -> Iterator[IO[Any]]:
        """A stream to what the file will be when the block of the files has ended.

        What was written is forgotten if this inner block raises, even if others go on.
        """
        target = _replaceable(path)
        beside = target.with_name(f".{target.name}.{os.urandom(6).hex()}.tmp")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            self._pending.append((beside, target))
            with open(beside, mode.replace("w", "x"), **kwargs) as stream:
                yield stream
                stream.flush()
                os.fsync(stream.fileno())
            beside.chmod(_mode_for(target))
        except BaseException as problem:
            beside.unlink(missing_ok=True)
            self._pending = [pair for pair in self._pending if pair[0] != beside]
            if isinstance(problem, OSError) and problem.filename in (None, os.fspath(beside)):
                problem.filename = os.fspath(path)  # the user's word, not ours
            raise

    def write(self, path: str | os.PathLike[str], content: bytes) -> None:
        """Have a file with this content when the block has ended."""
        with self.open(path) as stream:
            stream.write(content)

    def commit(self) -> None:
        """Put the files in place now; what is opened later comes with the end of the block."""
        while self._pending:
            new, target = self._pending[0]
            new.replace(target)
            del self._pending[0]

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self.commit()
        finally:
            self.discard()

    def discard(self) -> None:
        """Remove what waits: the files that it was to replace stay."""
        while self._pending:
            self._pending.pop()[0].unlink(missing_ok=True)


def part_of(files: AtomicFiles | None) -> contextlib.AbstractContextManager[AtomicFiles]:
    """These files, whose own block puts them in place; or, if there are none, new ones."""
    return AtomicFiles() if files is None else contextlib.nullcontext(files)


def _replaceable(path: str | os.PathLike[str]) -> Path:
    """The file that a path means, if it may be replaced: never a device or a folder."""
    if not os.fspath(path):
        raise FileAccessError("the path of a file to write is empty")
    target = Path(os.path.realpath(path))
    if target.exists() and not target.is_file():
        what = "a folder" if target.is_dir() else "no regular file"
        raise FileAccessError(f"{os.fspath(path)} is {what} and cannot be written")
    return target


def refuse_unless_star(path: str | os.PathLike[str]) -> None:
    """Refuse to replace a file that is no STAR file: most likely the path is a slip."""
    target = _replaceable(path)
    if not target.exists():
        return
    head = read_bytes(target, 1 << 16)
    if head.strip() and (b"data_" not in head or b"\0" in head):
        raise FileAccessError(
            f"{os.fspath(path)} is there and is no STAR file; it is not replaced by one: give "
            "another path, or remove it"
        )


def _mode_for(target: Path) -> int:
    if target.exists():
        return target.stat().st_mode & 0o7777
    umask = os.umask(0)
    os.umask(umask)
    return 0o666 & ~umask


def read_bytes(path: str | os.PathLike[str], limit: int | None = None) -> bytes:
    """The first bytes of a file, or all of it.

    An import reads thousands of small files: this takes a third of the time of ``open``.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        if limit is not None:
            return os.read(descriptor, limit)
        pieces = []
        while piece := os.read(descriptor, 1 << 14):
            pieces.append(piece)
            if len(piece) < 1 << 14:
                break
        return b"".join(pieces)
    finally:
        os.close(descriptor)
