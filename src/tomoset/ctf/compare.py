"""What a table of defocus says against what the images show, in units of the error."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tomoset.ctf.measure import MeasuredCtf

Array = npt.NDArray[np.float64]

#: A table contradicts an image from so many standard deviations and Å on.
SURE, AWAY = 4.0, 500.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Compared:
    """A table less what was measured.

    Parameters
    ----------
    defocus : (n_tilts,) array
        Difference of the means of U and V [Å].
    astigmatism : (n_tilts,) array
        Length of the difference of both astigmatisms, U - V along their angles [Å].
    deviations : (n_tilts,) array
        The first one, in standard deviations of what was measured.
    contradicts : (n_tilts,) bool array
        Images that show another defocus than the table has.
    """

    defocus: Array
    astigmatism: Array
    deviations: Array
    contradicts: npt.NDArray[np.bool_]


def compare(measured: MeasuredCtf, u: Array, v: Array, angle: Array) -> Compared:
    """Compare a table with what was measured.

    Parameters
    ----------
    measured : MeasuredCtf
        Of the series.
    u, v, angle : (n_tilts,) arrays
        Defocus along and across the angle [Å], and the angle [deg].
    """
    defocus = (u + v) / 2 - measured.defocus
    deviations = defocus / measured.defocus_error
    own = measured.astigmatism * np.exp(2j * np.deg2rad(measured.angle))
    astigmatism = np.abs((u - v) * np.exp(2j * np.deg2rad(angle)) - own)
    away = (np.abs(deviations) > SURE) & (np.abs(defocus) > AWAY)
    return Compared(
        defocus=defocus,
        astigmatism=astigmatism,
        deviations=deviations,
        contradicts=measured.told & away,
    )
