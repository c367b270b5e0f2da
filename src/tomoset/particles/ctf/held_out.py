"""By how much changes make particles more likely that they were not found with, and how sure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

#: Natural logarithm of likelihood that a change must gain at least, and in standard deviations.
_LEAST, _DEVIATIONS = 6.0, 1.5


@dataclass(frozen=True)
class HeldOut:
    """What a change of a whole series gains.

    Parameters
    ----------
    gain : float
        Natural logarithm of the likelihood of particles that were left out, both ways.
    error : float
        Its standard deviation, by how far batches of particles differ.
    """

    gain: float
    error: float

    @classmethod
    def of(cls, gains: Array) -> HeldOut:
        """The sum of the gains of batches, (n_batches,).

        Examples
        --------
        >>> HeldOut.of(np.array([3.0, 5.0, 3.0, 5.0]))
        HeldOut(gain=16.0, error=2.309401076758503)
        """
        n = len(gains)
        error = float(np.sqrt(n) * gains.std(ddof=1)) if n > 1 else float("inf")
        return cls(float(gains.sum()), error)

    @property
    def clear(self) -> bool:
        """Whether it is more than chance makes of no change at all."""
        return self.gain > max(_LEAST, _DEVIATIONS * self.error)


def beyond_errors(changes: Array, deviations: Array) -> bool:
    """Whether changes are larger than their standard deviations, on the mean square.

    Parameters
    ----------
    changes, deviations : (n, m) arrays
        Where deviations are 0 nothing could change.
    """
    known = deviations > 0
    return bool(known.any()) and float(np.square(changes[known] / deviations[known]).mean()) > 1.0
