"""Methods of the model that formats carry out: they enter their functions, the model knows none."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from tomoset.errors import UnsupportedError

StrPath = str | os.PathLike[str]

_entered: dict[str, Callable[..., Any]] = {}


def enter(**functions: Callable[..., Any]) -> None:
    """Have these functions be the methods ``write_set``, ``write_particles`` and so on."""
    _entered.update(functions)


def entered(name: str) -> Callable[..., Any]:
    """The function of a name; UnsupportedError if `tomoset.formats` has not been imported."""
    if name not in _entered:
        raise UnsupportedError("no format is there to read or write with: import tomoset.formats")
    return _entered[name]
