"""What files of something are called by its name."""

from __future__ import annotations

import hashlib

#: Of a name in those of files [bytes]: they have more letters and endings, and 255 are the most.
_LONGEST = 180


def file_name(name: str) -> str:
    """A name as files can have it: without slashes; if it is too long, cut, with a hash of it.

    Examples
    --------
    >>> file_name("TS/01"), len(file_name("x" * 300))
    ('TS_01', 180)
    """
    plain = name.replace("/", "_")
    raw = plain.encode("utf-8", "surrogateescape")
    if len(raw) <= _LONGEST:
        return plain
    end = f"~{hashlib.sha256(raw).hexdigest()[:8]}"
    return raw[: _LONGEST - len(end)].decode("utf-8", "ignore") + end
