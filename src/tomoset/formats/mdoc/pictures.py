"""The images of a series of an ``.mdoc`` file, and what is said where they are not all there."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tomoset.errors import some_of
from tomoset.formats._matching import stem_of
from tomoset.formats.mdoc.document import assume
from tomoset.formats.mdoc.series import Series
from tomoset.images.stack import ImageHeader

Ints = npt.NDArray[np.int64]
Halves = tuple[tuple[str, ...], tuple[str, ...]]


@dataclass(frozen=True, kw_only=True, eq=False)
class Pictures:
    """The images of a series.

    Parameters
    ----------
    header : ImageHeader
        Of one of them.
    kept : (k,) int array
        Sections that have an image, in the order of the images.
    stack : str or None
        Of all, whose images `index` are those of the kept sections.
    index : (k,) int array or None
    single : tuple of str or None
        A file for each kept section.
    halves : (tuple of str, tuple of str)
        Images of the even and of the odd frames of each; empty where there are none.
    notes : tuple of str
    """

    header: ImageHeader
    kept: Ints
    stack: str | None = None
    index: Ints | None = None
    single: tuple[str, ...] | None = None
    halves: Halves = ((), ())
    notes: tuple[str, ...] = ()

    @property
    def files(self) -> tuple[str, ...]:
        """The files that are the series' own."""
        return self.single or (self.stack or "",)


def say_left(series: Series, kept: Collection[int], place: str) -> None:
    """Say which sections have no image in a place."""
    gone = [s for i, s in enumerate(series.sections) if i not in kept]
    if gone:
        names = [stem_of(s.frames) if s.frames else f"{s.kind} {s.name}" for s in gone]
        assume(
            f"{series.path}: {len(gone)} of {len(series.sections)} sections have no image in "
            f"{place} and are left out: {some_of(names, 3)}"
        )
