"""The text that a tomogram was read from.

A format keeps it beside the values, so that columns which nobody knows come back, and
values which nobody changed are written with the same text. The model only carries it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

#: Our column of what the images say of the hand: natural logarithm of the odds of +1 against -1.
HAND_LOG_ODDS = "tomosetHandLogOdds"


@dataclass(frozen=True, kw_only=True, eq=False)
class Source:
    """Texts of one tomogram, by column.

    Parameters
    ----------
    format : str
        Name of the format that reads these columns.
    row : mapping of str to str
        What the global table says of this tomogram.
    tilts : mapping of str to sequence of str
        What the tomogram's own table says, one text per tilt image.
    values : mapping of str to array
        The arrays that were read from `tilts`: as long as the model still holds the very
        same array, its text is good.
    """

    format: str
    row: Mapping[str, str] = field(default_factory=dict)
    tilts: Mapping[str, Sequence[str]] = field(default_factory=dict)
    values: Mapping[str, npt.NDArray[np.float64]] = field(default_factory=dict)

    def take(self, rows: Sequence[int]) -> Source:
        """The texts of some tilt images, in the order asked for."""
        tilts = {label: [texts[i] for i in rows] for label, texts in self.tilts.items()}
        return replace(self, tilts=tilts, values={})
