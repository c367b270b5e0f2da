"""What resolution an alignment leaves, by how far it may be off."""

from __future__ import annotations

import math


def supported_resolution(error: float) -> float:
    """The spacing of which an alignment with such an error keeps half of the amplitude.

    A Gaussian error of standard deviation s along a wave of spacing d leaves exp(-2 pi² s² / d²)
    of its amplitude: half where d = pi s sqrt(2 / ln 2), which is 5.3 s. An error that all images
    have in common blurs nothing, and is not in s.

    Parameters
    ----------
    error : float
        Rms length of the 2D vectors by which projections are off [Å]: sqrt(2) times s.

    Returns
    -------
    float
        [Å]

    Examples
    --------
    >>> round(supported_resolution(1.0), 2)
    3.77
    """
    return math.pi * (error / math.sqrt(2)) * math.sqrt(2 / math.log(2))
