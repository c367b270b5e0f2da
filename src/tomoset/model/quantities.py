"""What numbers of a set can be: one table of units, of what is possible, and of what is usual.

The model refuses what is impossible when it is made, so no file and no program can bring it in.
What is unusual is kept, and said: by `tomoset.check`, and by programs before they compute with it.
Of a tilt image NaN means that a number is not known.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from tomoset.errors import ImpossibleValueError
from tomoset.images.tilt_series import tilt_images

Range = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """A number that files say.

    Parameters
    ----------
    unit : str
        Of the ranges.
    possible, usual : (float, float)
        The lowest and the highest value, both included.
    cure : str
        What is most likely wrong with a value beyond.
    """

    unit: str
    possible: Range
    usual: Range
    cure: str

    def expected(self, ends: Range) -> str:
        """A range for messages."""
        low, high = (f"{end:g}" for end in ends)
        return f"from {low} to {high} {self.unit}".rstrip()


_ANGLE = Quantity(unit="°", possible=(-720, 720), usual=(-360, 360), cure="angles are in degrees")
_DOSE = Quantity(
    unit="e/Å²",
    possible=(0, 1e5),
    usual=(0, 500),
    cure="doses are those on the specimen, counted from 0",
)
_DEFOCUS = Quantity(
    unit="Å",
    possible=(-1e6, 1e6),
    usual=(2000, 150000),
    cure="defocus is in Å, underfocus above 0; measure it again, or exclude the images",
)
_SIZE = Quantity(
    unit="px", possible=(1, 1e6), usual=(8, 32768), cure="sizes are in pixels of the tilt images"
)
_PLACE = Quantity(
    unit="voxels",
    possible=(-1e7, 1e7),
    usual=(-32768, 65536),
    cure="places are in voxels of the tilt images' pixel size",
)
_LENGTH = Quantity(unit="Å", possible=(-1e7, 1e7), usual=(-20000, 20000), cure="shifts are in Å")
_FACTOR = Quantity(
    unit="", possible=(-1e7, 1e7), usual=(-1e7, 1e7), cure="write a number of moderate size"
)

#: By the names of the model's fields.
QUANTITIES = MappingProxyType(
    {
        "voltage": Quantity(
            unit="kV",
            possible=(10, 5000),
            usual=(80, 400),
            cure="voltages are in kV: 300, not 300000 or 0.3",
        ),
        "spherical_aberration": Quantity(
            unit="mm",
            possible=(-0.5, 20),
            usual=(0, 5),
            cure="Cs is in mm and above 0: 2.7, not 2.7e7 or -2.7",
        ),
        "amplitude_contrast": Quantity(
            unit="", possible=(0, 1), usual=(0, 0.3), cure="it is a fraction: 0.1, not 10 %"
        ),
        "pixel_size": Quantity(
            unit="Å",
            possible=(1e-3, 1e4),
            usual=(0.1, 100),
            cure="it is in Å and above 0, of the tilt images as they are stored",
        ),
        "beam_tilt": Quantity(
            unit="mrad", possible=(-1e3, 1e3), usual=(-50, 50), cure="beam tilts are in mrad"
        ),
        "magnification": Quantity(
            unit="", possible=(-100, 100), usual=(-2, 2), cure="it is near the unit matrix"
        ),
        "aberrations": _FACTOR,
        "pre_exposure": _DOSE,
        "exposure": _DOSE,
        "fractional_dose": Quantity(
            unit="e/Å²",
            possible=(0, 1e5),
            usual=(0, 100),
            cure="it is the dose of one tilt image on the specimen",
        ),
        "defocus_u": _DEFOCUS,
        "defocus_v": _DEFOCUS,
        "defocus_angle": _ANGLE,
        "defocus_slope": Quantity(
            unit="", possible=(-100, 100), usual=(0.5, 2), cure="it is 1 unless measured"
        ),
        "phase_shift": Quantity(
            unit="°", possible=(-720, 720), usual=(-180, 180), cure="phase shifts are in degrees"
        ),
        "ctf_scale": Quantity(
            unit="",
            possible=(0, 1e6),
            usual=(0.01, 100),
            cure="it is near 1; an image of scale 0 shows nothing: exclude it",
        ),
        "b_factor": Quantity(
            unit="Å²", possible=(-1e6, 1e6), usual=(-1e4, 1e4), cure="B-factors are in Å²"
        ),
        "ctf_max_resolution": Quantity(
            unit="Å", possible=(0, 1e6), usual=(0, 1000), cure="it is the finest period, in Å"
        ),
        "ctf_figure_of_merit": Quantity(
            unit="", possible=(-1e6, 1e6), usual=(-1, 1), cure="it is a correlation, 0 to 1"
        ),
        "nominal_tilts": _ANGLE,
        "nominal_axis": _ANGLE,
        "angles": _ANGLE,
        "shifts": _LENGTH,
        "projections": Quantity(
            unit="px",
            possible=(-1e7, 1e7),
            usual=(-65536, 65536),
            cure="check the alignment of these images",
        ),
        "depth_origin": _PLACE,
        "size": _SIZE,
        "image_size": _SIZE,
        "n_tilts": Quantity(
            unit="", possible=(0, 1e5), usual=(1, 1000), cure="is the table of one series?"
        ),
        "image_index": Quantity(
            unit="", possible=(0, 1e6), usual=(0, 1000), cure="images of a stack are counted from 1"
        ),
        "acquisition": Quantity(
            unit="", possible=(0, 1e6), usual=(0, 1000), cure="images are counted from 1"
        ),
        "coefficients": _FACTOR,
        "deviations": Quantity(
            unit="", possible=(0, math.inf), usual=(0, math.inf), cure="a deviation is not below 0"
        ),
        "hand_log_odds": _FACTOR,
        "luminance": _FACTOR,
        "thickness": _FACTOR,
        "normal": _FACTOR,
        "binning": Quantity(
            unit="",
            possible=(1e-3, 1e4),
            usual=(0.5, 64),
            cure="it is the voxel size over the pixel size of the tilt images, above 0",
        ),
        "coordinates": _PLACE,
        "centred": _LENGTH,
        "origins": _LENGTH,
        "beads": _LENGTH,
        "points": _PLACE,
        "subtomogram_angles": _ANGLE,
        "trajectory": _LENGTH,
        "pixel_sizes": Quantity(
            unit="Å", possible=(1e-3, 1e4), usual=(0.1, 100), cure="it is in Å and above 0"
        ),
    }
)

#: What a CTF is made of, in the optics and in the tomogram.
OF_OPTICS = ("pixel_size", "voltage", "spherical_aberration", "amplitude_contrast")
OF_CTF = (*OF_OPTICS, "defocus_u", "defocus_v", "defocus_angle", "phase_shift", "ctf_scale",
          "b_factor", "defocus_slope")  # fmt: skip
#: Of a tomogram as a whole, of several numbers.
_OF_ALL = ("size", "image_size", "beam_tilt", "magnification")
#: All of which unusual values are said.
OF_TOMOGRAM = (*OF_CTF, "pre_exposure", "fractional_dose", "exposure", "nominal_tilts",
               "nominal_axis", "angles", "shifts", "size", "image_size", "n_tilts", "image_index",
               "acquisition", "beam_tilt", "magnification")  # fmt: skip


def refuse_impossible(
    field: str,
    values: Any,
    of: str = "",
    *,
    each: str = "tilt image",
    unknown: bool = False,
) -> None:
    """Refuse what a number cannot be.

    Parameters
    ----------
    field : str
        Of the model.
    values : float, array-like or None
        What it is to be; arrays have a row for each tilt image.
    of : str
        What says so, for the message.
    each : str
        What rows are for, if not tilt images; nothing if they are not told.
    unknown : bool
        Whether NaN may stand for what is not known.

    Raises
    ------
    ImpossibleValueError
        With the first row of them that is impossible.

    Examples
    --------
    >>> refuse_impossible("voltage", 300000.0)
    Traceback (most recent call last):
    tomoset.errors.ImpossibleValueError: voltage: expected from 10 to 5000 kV, found 300000; \
voltages are in kV: 300, not 300000 or 0.3
    """
    if values is None:
        return
    asked = QUANTITIES[field]
    low, high = asked.possible
    if isinstance(values, float | int) and low <= values <= high:  # most are, and NumPy is slow
        return
    array: npt.NDArray[np.float64] = np.asarray(values, dtype=np.float64)
    if not array.size or (low <= array.min() and array.max() <= high):
        return
    good = (array >= low) & (array <= high)
    if unknown:
        good |= np.isnan(array)
        if good.all():
            return
    bad = np.argwhere(~good)
    where, row, place = tuple(bad[0].tolist()), None, [of] * bool(of)
    if where and each:
        row, rows = where[0], len(np.unique(bad[:, 0]))
        place += [f"{each} {row + 1}" + f" (of {rows} such)" * (rows > 1)]
    found, finite = float(array[where]), "" if np.isfinite(array[where]) else "a finite number "
    raise ImpossibleValueError(
        f"{', '.join(place)}{': ' * bool(place)}{field.replace('_', ' ')}: expected {finite}"
        f"{asked.expected(asked.possible)}, found {found:g}; {asked.cure}",
        field=field,
        row=row,
    )


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Values of a field that are not known, or unusual.

    Parameters
    ----------
    field : str
        Of a tomogram or its optics.
    rows : (n,) bool array or None
        Tilt images that have them; None: it is a value of the whole tomogram.
    found : float
        The one that is furthest off; NaN if it is not known.
    """

    field: str
    rows: npt.NDArray[np.bool_] | None
    found: float

    def text(self, label: Callable[[str], str] = lambda field: field.replace("_", " ")) -> str:
        """For a message; `label` is what a format calls a field."""
        asked, where = QUANTITIES[self.field], ""
        if self.rows is not None:
            where = f"{listed(self.rows)}: "
        if math.isnan(self.found):
            return f"{where}{label(self.field)} is not known"
        return (
            f"{where}{label(self.field)} is {self.found:g} {asked.unit}".rstrip()
            + f", usual is {asked.expected(asked.usual)}; {asked.cure}"
        )


def listed(mask: npt.NDArray[np.bool_]) -> str:
    """Which tilt images, from 1."""
    return tilt_images(np.flatnonzero(mask).tolist())


def unusual(tomogram: Any, fields: Iterable[str] = OF_TOMOGRAM) -> Iterator[Finding]:
    """Values of a tomogram that are not usual, field by field.

    Parameters
    ----------
    tomogram : Tomogram
        With its optics.
    fields : iterable of str
        Of either.
    """
    for field in fields:
        low, high = QUANTITIES[field].usual
        values = _values(tomogram, field)
        off = np.maximum(low - values, values - high)
        if (off > 0).any():
            yield _finding(field, values, off > 0, int(np.nanargmax(off)))


def unknown(tomogram: Any, fields: Iterable[str] = OF_TOMOGRAM) -> Iterator[Finding]:
    """Values that are known of some tilt images of a tomogram and not of others."""
    for field in fields:
        values = _values(tomogram, field)
        if np.isnan(values).any():
            yield _finding(field, values, np.isnan(values), int(np.isnan(values).argmax()))


def _finding(
    field: str, values: npt.NDArray[np.float64], mask: npt.NDArray[np.bool_], worst: int
) -> Finding:
    found = float(values.ravel()[worst])
    if values.ndim == 0 or field in _OF_ALL:
        return Finding(field=field, rows=None, found=found)
    return Finding(
        field=field, rows=np.asarray(mask.reshape(len(mask), -1).any(axis=1)), found=found
    )


def _values(tomogram: Any, field: str) -> npt.NDArray[np.float64]:
    """What a tomogram, its optics or its waiting alignment says; nothing: an empty array."""
    for holder in (tomogram, tomogram.optics, tomogram.alignment):
        if hasattr(holder, field):
            value = getattr(holder, field)
            return np.asarray([] if value is None else value, dtype=np.float64)
    return np.empty(0)
