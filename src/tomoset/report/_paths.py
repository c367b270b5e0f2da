"""Absolute paths tell of people and machines: a page that is passed on shows names alone."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable

#: An absolute path in a text, or one that leads upwards, which says as much: not part of another
#: one, of an address or of a fraction. Blanks end it.
_ABSOLUTE = re.compile(
    r"(?<![\w.…/<:~-])(?:\.\./)*/?(?<=/)(?:[^\s/'\"`,;:()<>\[\]{}|]+/)*[^\s/'\"`,;:()<>\[\]{}|]+"
)


class Shortened:
    """Texts without absolute paths.

    Parameters
    ----------
    known : iterable of str
        Paths that may be in texts: those with blanks are found by being known.
    keep : bool
        Whether they stay.

    Examples
    --------
    >>> Shortened()("/home/me/TS_01.mrc: is not there, a/b.star is; 1/2")
    '…/TS_01.mrc: is not there, a/b.star is; 1/2'
    """

    def __init__(self, known: Iterable[str] = (), *, keep: bool = False) -> None:
        folders = {os.path.dirname(path) for path in known if os.path.isabs(path)}
        folders |= {os.path.realpath(folder) for folder in folders}
        folders -= {"/"}
        places = sorted(folders, key=len, reverse=True)
        self._known = re.compile("|".join(f"{re.escape(p)}/" for p in places)) if places else None
        self._keep = keep

    def __call__(self, text: str) -> str:
        """The text, each absolute path as ``…/`` and its last name."""
        if self._keep:
            return text
        if self._known is not None:
            text = self._known.sub("…/", text)
        return _ABSOLUTE.sub(lambda found: f"…/{found.group().rsplit('/', 1)[1]}", text)
