"""What a file format is to tomoset."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

from tomoset import star
from tomoset.model import TomogramSet

Path = str | os.PathLike[str]


@dataclass(frozen=True, kw_only=True)
class Format:
    """A format of whole tomogram sets.

    Parameters
    ----------
    name : str
        As the command line says it.
    package : str
        The program it belongs to.
    url : str
        Its manual.
    detect : callable
        Whether a STAR file is of this format.
    read, write : callable
        From a STAR file into the model; from the model to a path.
    """

    name: str
    package: str
    url: str
    detect: Callable[[star.StarFile], bool]
    read: Callable[[star.StarFile], TomogramSet]
    write: Callable[[TomogramSet, Path], None]
