"""How far values of one set are from those of another, in a few numbers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Spread:
    """Differences of one kind.

    Parameters
    ----------
    median, worst : float
        Of their sizes.
    mean : float or None
        Of themselves, with their signs; None where they have none.
    row : int
        Which is the worst, from 0.
    """

    median: float
    worst: float
    mean: float | None
    row: int

    @staticmethod
    def of(differences: Array | None, *, signed: bool = True) -> Spread | None:
        """Of an array, NaN being what is not known; None if nothing is."""
        if differences is None or not np.isfinite(differences).any():
            return None
        sizes = np.abs(differences)
        row = int(np.nanargmax(sizes))
        return Spread(
            median=float(np.nanmedian(sizes)),
            worst=float(sizes.flat[row]),
            mean=float(np.nanmean(differences)) if signed else None,
            row=row,
        )


def spread_of(
    name: str, differences: Array | None, *, signed: bool = True
) -> Iterator[tuple[str, Spread]]:
    """The spread with its name; nothing where nothing is known."""
    spread = Spread.of(differences, signed=signed)
    if spread is not None:
        yield name, spread
