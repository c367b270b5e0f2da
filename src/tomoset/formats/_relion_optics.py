"""The microscope in RELION's tables: of optics groups of particles, and of tomograms.

RELION asks for aberrations in data_optics only (docs/relion.md, 'Particles'). In data_global they
have the same labels, and it passes them on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tomoset import star
from tomoset.model import Optics

NAME, PIXEL = "rlnOpticsGroupName", "rlnTomoTiltSeriesPixelSize"
VOLTAGE, CS, CONTRAST = "rlnVoltage", "rlnSphericalAberration", "rlnAmplitudeContrast"
_EVEN, _ODD = "rlnEvenZernike", "rlnOddZernike"
_TILT = ("rlnBeamTiltX", "rlnBeamTiltY")
_MATRIX = ("rlnMagMat00", "rlnMagMat01", "rlnMagMat10", "rlnMagMat11")
_NO_VECTOR = ("", "None", "[]", "empty")


@dataclass(frozen=True)
class OpticsColumn:
    """A column, what the microscope says there, and what it says if the column is absent."""

    label: str
    get: Callable[[Optics], Any]
    default: Any = None


#: Those that all tables of RELION have.
USUAL = (
    OpticsColumn(NAME, lambda o: o.group),
    OpticsColumn(PIXEL, lambda o: o.pixel_size),
    OpticsColumn(VOLTAGE, lambda o: o.voltage),
    OpticsColumn(CS, lambda o: o.spherical_aberration),
    OpticsColumn(CONTRAST, lambda o: o.amplitude_contrast),
)
#: What a CTF's table does not say.
ABERRATIONS = (
    OpticsColumn(_TILT[0], lambda o: o.beam_tilt[0], 0.0),
    OpticsColumn(_TILT[1], lambda o: o.beam_tilt[1], 0.0),
    OpticsColumn(_MATRIX[0], lambda o: o.magnification[0][0], 1.0),
    OpticsColumn(_MATRIX[1], lambda o: o.magnification[0][1], 0.0),
    OpticsColumn(_MATRIX[2], lambda o: o.magnification[1][0], 0.0),
    OpticsColumn(_MATRIX[3], lambda o: o.magnification[1][1], 1.0),
    OpticsColumn(_EVEN, lambda o: o.aberrations[0], ()),
    OpticsColumn(_ODD, lambda o: o.aberrations[1], ()),
)


def read_aberrations(
    table: star.Table, row: int, number: Callable[[str, float], float]
) -> dict[str, Any]:
    """Fields of `Optics` that columns of `ABERRATIONS` say.

    Parameters
    ----------
    table : Table
        Of the columns.
    row : int
        Of the table.
    number : callable
        What a column says in that row, or else a default.
    """
    xx, xy, yx, yy = (number(label, float(i in (0, 3))) for i, label in enumerate(_MATRIX))
    return {
        "aberrations": (_coefficients(table, row, _EVEN), _coefficients(table, row, _ODD)),
        "beam_tilt": (number(_TILT[0], 0.0), number(_TILT[1], 0.0)),
        "magnification": ((xx, xy), (yx, yy)),
    }


def _coefficients(table: star.Table, row: int, label: str) -> tuple[float, ...]:
    """Nothing where they are all 0, as RELION writes them for groups that have none."""
    if label not in table or table[label][row].strip() in _NO_VECTOR:
        return ()
    found = table.take([row]).vectors(label)[0]
    if not np.isfinite(found).all():
        raise table.error(f"expected numbers, found {table[label][row]}", row, label)
    return tuple(found.tolist()) if found.any() else ()
