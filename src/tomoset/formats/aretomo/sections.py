"""Which image of the raw stack each line of a ``.aln`` file means.

SEC counts from 0 or 1, in the raw stack or in what is left of it without dark images, and lines
may come in any order. Of AreTomo 3 it is the section of the raw stack from 1, and so is that of
DarkFrame; before, both counted from 0, or DarkFrame had no section. Only a reading in which lines
and dark images together are the whole stack, each image once, is taken.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tomoset.errors import FileFormatError
from tomoset.formats.aretomo.aln import Aln

Ints = npt.NDArray[np.int64]


def images_of(aln: Aln) -> Ints:
    """The image of the raw stack, from 0, of each line.

    Raises
    ------
    FileFormatError
        If there is no reading in which each image comes once.

    Examples
    --------
    >>> file = Aln(path="a.aln", image_size=(9, 9), n_images=3, sections=np.array([3, 1]),
    ...            darks=[(1, 2, 0.0)], axes=np.zeros(2), shifts=np.zeros((2, 2)),
    ...            tilts=np.array([3.0, -3.0]), magnifications=np.ones(2))
    >>> images_of(file).tolist()
    [2, 0]
    """
    every = set(range(aln.n_images))
    dark = [d for d in _dark_images(aln) if len(d) == len(aln.darks) and d <= every]
    for base in (1, 0):
        found = aln.sections - base
        if any(_are(found, every - images) for images in dark):
            return found
    # counted without the dark ones
    for base in (1, 0):
        found = aln.sections - base
        if dark and _are(found, set(range(len(found)))):
            return np.array(sorted(every - dark[0]), dtype=np.int64)[found]
    twice = len(set(aln.sections.tolist())) < len(aln.sections)
    raise FileFormatError(
        f"SEC and DarkFrame do not name each of the {aln.n_images} images once"
        + (": a SEC comes twice" if twice else ""),
        path=aln.path,
    )


def _dark_images(aln: Aln) -> list[set[int]]:
    """What DarkFrame may mean, as AreTomo itself takes it first (CDarkFrames::bZeroBased)."""
    places = {place for place, _, _ in aln.darks}
    sections = {section - 1 for _, section, _ in aln.darks}
    from_zero = -1 in sections or any(place == section for place, section, _ in aln.darks[:1])
    return [places, sections] if from_zero else [sections, places]


def _are(found: Ints, expected: set[int]) -> bool:
    return len(found) == len(expected) and set(found.tolist()) == expected
