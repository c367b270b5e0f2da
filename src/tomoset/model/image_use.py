"""An image shows one tilt of one tomogram: which sets say otherwise."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Iterable
from functools import cache
from typing import Literal

from tomoset.images.tilt_series import tilt_images
from tomoset.model.rules import Found
from tomoset.model.tomogram import Tomogram
from tomoset.model.tomogram_set import TomogramSet
from tomoset.paths import image_place

#: File and section of what a tilt is of.
Place = tuple[str, int]


def used_twice(tomograms: TomogramSet, what: Literal["image", "movie"]) -> Found:
    """Tomograms with an image, or a movie, that stands for several tilts or for several of them.

    Yields
    ------
    (str, str)
        The tomogram, and which of its tilts. Files count by their real paths.
    """
    real = cache(os.path.realpath)
    uses: dict[Place, list[tuple[str, int]]] = defaultdict(list)
    named: dict[Place, str] = {}
    for name, t in tomograms.items():
        for row, (path, section) in enumerate(_places(t, what)):
            uses[real(path), section].append((name, row))
            named[real(path), section] = f"image {section + 1} of {path}" if section else path
    twice: dict[str, list[int]] = defaultdict(list)
    shared: dict[tuple[str, str], list[int]] = defaultdict(list)
    such: dict[str, str] = {}
    for place, found in uses.items():
        if len(found) < 2:
            continue
        counts = Counter(name for name, _ in found)
        for name, row in found:
            such.setdefault(name, named[place])
            if counts[name] > 1:
                twice[name].append(row)
            other = next((n for n in counts if n != name), None)
            if other is not None:
                shared[name, other].append(row)
    for name, of in twice.items():
        which = tilt_images(sorted(of))
        yield name, f"{which}: the {what} is also that of another tilt, such as {such[name]}"
    for (name, other), of in shared.items():
        which = tilt_images(sorted(of))
        yield name, f"{which}: the {what} is also one of {other}, such as {such[name]}"


def _places(t: Tomogram, what: str) -> Iterable[Place]:
    if what == "movie":
        return (image_place(movie) for movie in t.movies or () if movie not in _NOTHING)
    return () if t.stack is None and t.images is None else t.image_sections()


#: What stands for no movie.
_NOTHING = ("", "None")
