"""Files with some words changed, cut or lost, by chance."""

from __future__ import annotations

import random
import re

_WORDS = (
    *(b"nan", b"inf", b"1e308", b"-1e308", b"", b"\0", b"#", b"-", b"99999999999", b"\xff"),
    *(b"0", b"1", b"-0.5", b"300"),
)


def mutated(chance: random.Random, whole: bytes) -> bytes:
    """A file with one to five mistakes, from one of which on it may be cut off."""
    spots = [m.span() for m in re.finditer(rb"\S+", whole)]
    for _ in range(chance.choice([1, 1, 2, 5])):
        start, end = chance.choice(spots)
        kind = chance.randrange(4)
        if kind == 0:
            whole = whole[:start] + chance.choice(_WORDS) + whole[end:]
        elif kind == 1:
            whole = whole[:start]
        elif kind == 2:
            whole = whole[:start] + whole[end:]
        else:
            whole = whole[:end] + bytes([chance.randrange(256)]) + whole[end:]
    return whole
