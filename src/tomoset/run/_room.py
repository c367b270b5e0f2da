"""Memory and disk that there are, against what a plan would take: asked before it begins."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tomoset.errors import ModelError

_GIB = 1 << 30


@dataclass(frozen=True, kw_only=True)
class Need:
    """What a piece of work takes.

    Parameters
    ----------
    memory, disk : int
        At once, and to be written [bytes]. Known to a factor of two or so.
    cure : str
        What makes it less.
    """

    memory: int = 0
    disk: int = 0
    cure: str = ""


def available_memory() -> int:
    """What this process may still take: of the machine, its control groups and its limits [bytes].

    Examples
    --------
    >>> available_memory() > 0
    True
    """
    return max(min(_bounds()), 0)


def free_disk(folder: str | os.PathLike[str]) -> int:
    """What may still be written into a folder, which need not be there yet [bytes]."""
    there = Path(folder).absolute()
    while not there.is_dir():
        there = there.parent
    found = os.statvfs(there)
    return found.f_bavail * found.f_frsize


def refuse_beyond(what: str, need: Need, folder: str | os.PathLike[str] | None = None) -> None:
    """Refuse what there is no room for.

    Parameters
    ----------
    what : str
        That would need it, such as ``tomogram 'TS_01'``.
    need : Need
        Of memory, and of disk in `folder`.
    folder : path-like, optional
        Where files go.

    Raises
    ------
    ModelError
        With what it would need, what there is, and what makes it less.
    """
    there = available_memory()
    if need.memory > there:
        raise _beyond(what, need.memory, "memory", there, need.cure)
    if folder is not None and need.disk > (there := free_disk(folder)):
        raise _beyond(what, need.disk, f"disk in {os.fspath(folder)}", there, need.cure)


def _beyond(what: str, needed: int, of: str, there: int, cure: str) -> ModelError:
    return ModelError(
        f"{what} would need {needed / _GIB:,.0f} GiB of {of}, {there / _GIB:,.1f} are available"
        + (f": {cure}" if cure else "")
    )


def _bounds() -> Iterator[int]:
    yield _of_machine()
    yield from _of_groups()
    yield _of_process()


def _of_machine() -> int:
    for line in _lines("/proc/meminfo"):
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) << 10
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _of_groups() -> Iterator[int]:
    """Of the control groups that this process is in, of both versions, and those above."""
    for line in _lines("/proc/self/cgroup"):
        _, controllers, path = line.strip().split(":", 2)
        if controllers in ("", "memory"):
            root = Path("/sys/fs/cgroup", controllers)
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
            if not controllers:
                names = ("memory.max", "memory.current", "inactive_file")
            folder = root / path.lstrip("/")
            for group in (folder, *folder.parents):
                if not group.is_relative_to(root):
                    break
                yield from _of_group(group, *names)


def _of_group(folder: Path, limit: str, usage: str, cache: str) -> Iterator[int]:
    """What a group leaves: its limit less what is used and cannot be let go."""
    values = [*_lines(folder / limit), *_lines(folder / usage)]
    if len(values) == 2 and all(value.strip().isdecimal() for value in values):
        stat = dict(line.split() for line in _lines(folder / "memory.stat"))
        yield int(values[0]) - int(values[1]) + int(stat.get(cache, 0))


def _of_process() -> int:
    import resource

    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit == resource.RLIM_INFINITY:
        return 1 << 62
    pages = next(iter(_lines("/proc/self/statm")), "0").split()[0]
    return limit - int(pages) * os.sysconf("SC_PAGE_SIZE")


def _lines(path: str | Path) -> list[str]:
    """Of a file of the system; none where it is not there."""
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []
