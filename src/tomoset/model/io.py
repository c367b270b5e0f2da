"""What methods of the model ask of the formats, which enter themselves: the model knows none."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tomoset.errors import UnsupportedError

StrPath = str | os.PathLike[str]


@dataclass(frozen=True, kw_only=True)
class Formats:
    """The functions of `tomoset.formats` that are methods of the model, which comes first.

    Parameters
    ----------
    write_set, write_particles, write_project, load : callable
        `TomogramSet.write`, `ParticleSet.write`, `Project.write` and `Project.load`.
    """

    write_set: Callable[..., None]
    write_particles: Callable[..., None]
    write_project: Callable[..., Path]
    load: Callable[..., Any]


_entered: list[Formats] = []


def enter(formats: Formats) -> None:
    """Have these formats read and write."""
    _entered[:] = [formats]


def entered() -> Formats:
    """The formats that have entered themselves.

    Raises
    ------
    UnsupportedError
        If `tomoset.formats` has not been imported.
    """
    if not _entered:
        raise UnsupportedError("no format is there to read or write with: import tomoset.formats")
    return _entered[0]
