"""Where series that are read go."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from tomoset.errors import ModelError, some_of
from tomoset.formats._names import UNCHANGED, Renaming
from tomoset.model import Tomogram, TomogramSet


@dataclass(frozen=True, kw_only=True, eq=False)
class Destination:
    """What series that are read will be part of.

    Parameters
    ----------
    target : path-like, optional
        The set that will be made of them, beside which further files may be made.
    before : TomogramSet, optional
        To which they are added.
    names : Renaming
        What becomes of the names that series have.
    particles : bool
        Whether particles come along, whose trajectories carry what moves.
    """

    target: str | os.PathLike[str] | None = None
    before: TomogramSet | None = None
    names: Renaming = UNCHANGED
    particles: bool = False

    def refuse_duplicates(self, names: Iterable[str]) -> None:
        """Refuse names that come twice, or are there already; ModelError with them."""
        every = Counter([*names, *(self.before or ())])
        twice = [name for name, count in every.items() if count > 1]
        if twice:
            raise ModelError(
                f"more than one tomogram would be called {some_of([*map(repr, twice)])}; names "
                "must be unique: give another one (`rename`), or only one file of each series"
            )

    def joined(self, tomograms: Iterable[Tomogram], format: str) -> TomogramSet:
        """The set with these tomograms; ModelError if names come twice."""
        made = [*tomograms]
        self.refuse_duplicates(t.name for t in made)
        before = TomogramSet(format=format) if self.before is None else self.before
        return before.with_tomograms([*before.values(), *made])


#: A new set, of which no file is written.
NOWHERE = Destination()
