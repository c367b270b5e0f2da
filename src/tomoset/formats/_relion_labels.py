"""RELION's labels for what the model holds, and texts that stay as they were.

Specification 2.1, 2.2 and 3.1. Both dialects write most of these alike.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tomoset import star
from tomoset.images.mrc import stack_path
from tomoset.images.tiff import TIFF_ENDINGS
from tomoset.model import Deformation, Reconstruction, Tomogram, TomogramSet

Array = npt.NDArray[np.float64]
Value = str | int | float | None


@dataclass(frozen=True)
class GlobalColumn:
    """A column of data_global: its label, and what a tomogram says there (None: nothing).

    A `default` is what readers take where the column is absent: then it stays absent. New
    sets have it all the same if RELION's import writes it (`usual`).
    """

    label: str
    get: Callable[[Tomogram], Value]
    default: Value = None
    usual: bool = False


@dataclass(frozen=True)
class TiltColumn:
    """A column of numbers, one per tilt image: its label and the model's field."""

    label: str
    field: str


def _made(tomogram: Tomogram) -> Reconstruction:
    return tomogram.reconstruction or _NO_RECONSTRUCTION


_NO_RECONSTRUCTION = Reconstruction()

BINNING = "rlnTomoTomogramBinning"
VOLUMES = (
    "rlnTomoReconstructedTomogram",
    "rlnTomoReconstructedTomogramHalf1",
    "rlnTomoReconstructedTomogramHalf2",
)

#: In the order in which RELION's import writes them.
GLOBAL_COLUMNS = (
    GlobalColumn("rlnTomoName", lambda t: t.name),
    GlobalColumn("rlnTomoTiltSeriesName", lambda t: t.stack),
    GlobalColumn("rlnTomoFrameCount", lambda t: t.n_tilts),
    GlobalColumn("rlnTomoSizeX", lambda t: t.size and t.size[0]),
    GlobalColumn("rlnTomoSizeY", lambda t: t.size and t.size[1]),
    GlobalColumn("rlnTomoSizeZ", lambda t: t.size and t.size[2]),
    GlobalColumn("rlnTomoHand", lambda t: t.hand),
    GlobalColumn("rlnOpticsGroupName", lambda t: t.optics.group, "opticsGroup1", usual=True),
    GlobalColumn("rlnTomoTiltSeriesPixelSize", lambda t: t.optics.pixel_size),
    GlobalColumn("rlnVoltage", lambda t: t.optics.voltage),
    GlobalColumn("rlnSphericalAberration", lambda t: t.optics.spherical_aberration),
    GlobalColumn("rlnAmplitudeContrast", lambda t: t.optics.amplitude_contrast),
    GlobalColumn("rlnTomoImportFractionalDose", lambda t: t.fractional_dose),
    GlobalColumn("rlnTomoFiducialsStarFile", lambda t: t.fiducials),
    GlobalColumn("rlnTomoDefocusSlope", lambda t: t.defocus_slope, default=1.0),
    GlobalColumn(BINNING, lambda t: _made(t).binning, default=1.0),
    GlobalColumn(VOLUMES[0], lambda t: _made(t).path),
    GlobalColumn(VOLUMES[1], lambda t: _made(t).half1),
    GlobalColumn(VOLUMES[2], lambda t: _made(t).half2),
)

#: Numbers per tilt image, besides the projections.
TILT_COLUMNS = (
    TiltColumn("rlnDefocusU", "defocus_u"),
    TiltColumn("rlnDefocusV", "defocus_v"),
    TiltColumn("rlnDefocusAngle", "defocus_angle"),
    TiltColumn("rlnPhaseShift", "phase_shift"),
    TiltColumn("rlnCtfScalefactor", "ctf_scale"),
    TiltColumn("rlnCtfBfactor", "b_factor"),
    TiltColumn("rlnMicrographPreExposure", "pre_exposure"),
)

PROJECTION_LABELS = ("rlnTomoProjX", "rlnTomoProjY", "rlnTomoProjZ", "rlnTomoProjW")
#: RELION 5's alignment: turns about x, y, z [deg], shifts [Å].
ALIGNMENT_LABELS = (
    "rlnTomoXTilt",
    "rlnTomoYTilt",
    "rlnTomoZRot",
    "rlnTomoXShiftAngst",
    "rlnTomoYShiftAngst",
)
STAR_FILE = "rlnTomoTiltSeriesStarFile"
GRID_LABELS = ("rlnTomoDeformationGridSizeX", "rlnTomoDeformationGridSizeY")
DEFORMATION_TYPE = "rlnTomoDeformationType"
DEFORMATION_COEFFICIENTS = "rlnTomoDeformationCoefficients"
IMAGE_NAME = "rlnMicrographName"

#: What RELION puts into a text column of rows that had no value.
NO_TEXT = "empty"


def global_text(tomogram: Tomogram, column: GlobalColumn) -> str | None:
    """The text of a global value: the one it was read from, as long as it says the same."""
    value = column.get(tomogram)
    old = None if tomogram.source is None else tomogram.source.row.get(column.label)
    if value is None:
        # A text that means "nothing", such as an empty path, is still what the file said.
        return old if old in ("", NO_TEXT) else None
    if old is None and value == column.default and (tomogram.source or not column.usual):
        return None
    if old is not None and not isinstance(value, str) and _as_float(old) == value:
        return old
    return plain_text(value)


def plain_text(value: Value) -> str | None:
    """A value as text, in the shortest way that gives it back."""
    return value if value is None or isinstance(value, str) else star.format_number(value)


def _as_float(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def tilt_texts(tomogram: Tomogram, column: TiltColumn) -> Sequence[str] | None:
    """Texts of numbers per tilt image; those that nobody changed as they were read."""
    values = getattr(tomogram, column.field)
    if values is None:
        return None
    source = tomogram.source
    old = None if source is None else source.tilts.get(column.label)
    if source is None or old is None:
        return number_texts(values)
    if source.values.get(column.label) is values:
        return old
    new = number_texts(values)
    return [
        text if _as_float(text) == value else now
        for text, value, now in zip(old, values.tolist(), new, strict=True)
    ]


#: Decimals of what tomoset computes: degrees, Å and e/Å² beyond any meaning, and no 1e-17.
DECIMALS = 9


def number_texts(values: Array) -> list[str]:
    """Texts of many numbers; a column of one value is made once."""
    numbers = (values.round(DECIMALS) + 0.0).tolist()  # + 0.0: no -0.0
    if numbers and numbers.count(numbers[0]) == len(numbers):
        return [star.format_number(numbers[0])] * len(numbers)
    return list(map(repr, numbers))  # star.format_number of floats, without 100,000 calls


def vector_texts(values: Array) -> list[str]:
    """Texts of many vectors; those that are all one, as the last row of matrices, are made once."""
    if len(values) and (values == values[0]).all():
        return star.format_vectors(values[:1]) * len(values)
    return star.format_vectors(values)


def read_floats(table: star.Table, label: str) -> Array | None:
    """A column of numbers, read-only, or None where the table has no such column."""
    if label not in table:
        return None
    values = table.floats(label)
    values.flags.writeable = False
    return values


def same_rows(new: Array, old: Array) -> npt.NDArray[np.bool_]:
    """Which rows of two arrays of one shape are equal to the last bit."""
    return np.asarray((new == old).reshape(len(new), -1).all(axis=1))


def pick(old: Sequence[str], new: Sequence[str], keep: npt.NDArray[np.bool_]) -> list[str]:
    """Old texts where they are kept, new ones elsewhere."""
    return [o if k else n for o, n, k in zip(old, new, keep.tolist(), strict=True)]


def image_names(stack: str, index: Any) -> list[str]:
    """RELION's names of single images in a stack, counted from 1: ``000003@TS.mrc:mrcs``.

    By such a name RELION 5 reads a stack only if it is called .mrcs, or told to be one
    (``image.h``: "stacks of images in MRC-format should have extension .mrcs"); TIFF it knows by
    its ending.
    """
    plain = stack_path(stack)
    file = plain if plain.endswith((".mrcs", *TIFF_ENDINGS)) else f"{plain}:mrcs"
    return [f"{i + 1:06d}@{file}" for i in index.tolist()]


def deformation_columns(tomograms: TomogramSet) -> dict[str, list[str | None]]:
    """Grid and kind for all, as soon as one has a deformation: RELION asks for all."""
    if not any(t.deformation for t in tomograms.values()):
        return {}
    of = [t.deformation or _NO_DEFORMATION for t in tomograms.values()]
    return {
        GRID_LABELS[0]: [str(d.grid[0]) for d in of],
        GRID_LABELS[1]: [str(d.grid[1]) for d in of],
        DEFORMATION_TYPE: [d.kind for d in of],
    }


_NO_DEFORMATION = Deformation(kind="linear", grid=(3, 3), coefficients=np.zeros((0, 3)))


def coefficient_texts(tomogram: Tomogram, *, needed: bool) -> Sequence[str] | None:
    """Coefficients of the deformation; zeros where there is none but others have one."""
    source = tomogram.source
    old = None if source is None else source.tilts.get(DEFORMATION_COEFFICIENTS)
    if tomogram.deformation is None:
        return ["[0,0,0]"] * tomogram.n_tilts if old is None and needed else old
    new = star.format_vectors(tomogram.deformation.coefficients)
    if old is None:
        return new
    table = star.Table(tomogram.name, {DEFORMATION_COEFFICIENTS: old})
    before = table.vectors(DEFORMATION_COEFFICIENTS)
    after = tomogram.deformation.coefficients
    if before.shape != after.shape:
        return new
    return pick(old, new, same_rows(after, before))
