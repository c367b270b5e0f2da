"""Who refers to which tomogram."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from tomoset.errors import ModelError
from tomoset.formats._names import meant
from tomoset.formats._texts import Array, Ints, some
from tomoset.model import Tomogram, TomogramSet
from tomoset.model.particles import distinct


@dataclass(frozen=True, kw_only=True, eq=False)
class Links:
    """The tomograms that rows of a table are in.

    Parameters
    ----------
    tomograms : list of Tomogram
        Each once, in the order of the rows.
    codes : (n,) int array
        Which of them each row is in.
    """

    tomograms: list[Tomogram]
    codes: Ints

    @classmethod
    def of(cls, names: Sequence[str], tomograms: TomogramSet) -> Links:
        """Find the tomograms; ModelError if one is not in the set."""
        once, codes = distinct(names)
        lost = unknown(once, tomograms)
        if lost:
            raise ModelError(unknown_message(lost, tomograms))
        return cls(tomograms=[tomograms[name] for name in once], codes=codes)

    @property
    def pixel_sizes(self) -> Array:
        """Of each of the tomograms [Å], NaN where it is not known."""
        sizes = [t.optics.pixel_size for t in self.tomograms]
        return np.array([np.nan if size is None else size for size in sizes], dtype=np.float64)

    @property
    def n_tilts(self) -> Ints:
        """Of each of the tomograms."""
        return np.array([t.n_tilts for t in self.tomograms], dtype=np.int64)

    @property
    def centres(self) -> Array:
        """Size / 2 of each of the tomograms, a real division: (k, 3).

        See docs/relion.md, 'Particles of RELION 5'.
        """
        sizes = [(np.nan,) * 3 if t.size is None else t.size for t in self.tomograms]
        return np.array(sizes, dtype=np.float64).reshape(-1, 3) / 2


def unknown(names: Iterable[str], tomograms: TomogramSet) -> list[str]:
    """The names that no tomogram has."""
    return [name for name in names if name not in tomograms]


def unknown_message(lost: Sequence[str], tomograms: TomogramSet) -> str:
    """What to say of names that no tomogram has: those there are, and the nearest."""
    hint, there = meant(lost, [*tomograms]), some(tomograms, 8) or "none"
    return (
        f"no tomogram is called {some(lost)}; the tomogram set has {there}"
        f"{f'; {hint}' if hint else '.'} Give the tomogram set that belongs to this file, or "
        "correct the names"
    )
