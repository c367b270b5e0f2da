"""What one process needs to know to reconstruct a tomogram."""

from __future__ import annotations

from dataclasses import dataclass

from tomoset import derived
from tomoset.reconstruct.options import Options


@dataclass(frozen=True, kw_only=True, eq=False)
class Task(derived.Task):
    """What one process needs to reconstruct a tomogram.

    Parameters
    ----------
    target : str
        Path of the volume without its suffix, as sets will name it.
    options : Options
        What is wanted.
    """

    target: str
    options: Options
