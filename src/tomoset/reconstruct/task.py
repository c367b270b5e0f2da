"""What one process needs to know to reconstruct a tomogram."""

from __future__ import annotations

from dataclasses import dataclass

from tomoset.model import Tomogram
from tomoset.reconstruct.options import Options


@dataclass(frozen=True, kw_only=True, eq=False)
class Task:
    """What one process needs to reconstruct a tomogram.

    Parameters
    ----------
    tomogram : Tomogram
        As the set has it.
    set_path : str or None
        The STAR file of the set, from which paths are found.
    root : str
        Folder in which the program was started, absolute: where relative paths begin, also on
        another machine.
    target : str
        Path of the volume without its suffix, as sets will name it.
    options : Options
        What is wanted.
    """

    tomogram: Tomogram
    set_path: str | None
    root: str
    target: str
    options: Options
