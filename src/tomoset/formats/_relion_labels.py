"""RELION's labels for what the model holds, and texts that stay as they were.

docs/relion.md, 'Global table of RELION 4', 'Tilt tables of RELION 4' and 'Files of RELION 5'. Both
dialects write most of these alike. A column is known by what a tomogram says there; its text in a
file is good for as long as that is what it said when it was read (`recorded`), and all that RELION
ignores has labels of our own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Any

import numpy as np
import numpy.typing as npt

from tomoset import star
from tomoset.formats._relion_optics import (
    ABERRATIONS,
    CONTRAST,
    CS,
    PIXEL,
    USUAL,
    VOLTAGE,
    OpticsColumn,
)
from tomoset.formats._texts import exact_texts, kept, number_texts, vector_texts, whole_texts
from tomoset.images.mrc import stack_path
from tomoset.images.tiff import TIFF_ENDINGS
from tomoset.model import Deformation, Ice, Reconstruction, Source, Tomogram
from tomoset.paths import Finder, image_place

Array = npt.NDArray[np.float64]
Value = str | int | float | tuple[float, ...] | None


@dataclass(frozen=True)
class GlobalColumn:
    """A column of data_global: its label, and what a tomogram says there (None: nothing).

    A `default` is what readers take where the column is absent: then it stays absent. New
    sets have it all the same if RELION's import writes it (`usual`). Of a file, a `path`.
    """

    label: str
    get: Callable[[Tomogram], Value]
    default: Value = None
    usual: bool = False
    path: bool = False


@dataclass(frozen=True)
class TiltColumn:
    """A column with a value per tilt image: its label, what a tomogram says there, as text.

    `get` gives an array or a tuple of texts, None for nothing. Where the same text means
    something else in the other dialect, `own` is the dialect in which it means this. Of images,
    or of other files, `path`.
    """

    label: str
    get: Callable[[Tomogram], Any]
    texts: Callable[[Any], Iterable[str]] = number_texts
    own: str | None = None
    path: bool = False


def _made(tomogram: Tomogram) -> Reconstruction:
    return tomogram.reconstruction or _NO_RECONSTRUCTION


def _other_volume(what: str) -> Callable[[Tomogram], str | None]:
    return lambda t: _made(t).others.get(what)


def _ice(tomogram: Tomogram) -> Ice:
    return tomogram.ice or _NO_ICE


def _normal(axis: int) -> Callable[[Tomogram], float | None]:
    return lambda t: None if (normal := _ice(t).normal) is None else normal[axis]


def _of_optics(column: OpticsColumn) -> Callable[[Tomogram], Value]:
    return lambda t: column.get(t.optics)


def _grid(axis: int) -> Callable[[Tomogram], int | None]:
    return lambda t: None if t.deformation is None else t.deformation.grid[axis]


_NO_RECONSTRUCTION, _NO_ICE = Reconstruction(), Ice()

BINNING = "rlnTomoTomogramBinning"
VOLUMES = (
    "rlnTomoReconstructedTomogram",
    "rlnTomoReconstructedTomogramHalf1",
    "rlnTomoReconstructedTomogramHalf2",
)
#: Of `Reconstruction.others`; RELION has spelled the last one so.
OTHER_VOLUMES = {
    "reconstructed_denoised": "rlnTomoReconstructedTomogramDenoised",
    "denoised": "rlnTomoDenoisedTomogram",
    "projection": "rlnTomogramProjection",
    "projection_half1": "rlnTomogramProjectionHalf1",
    "projection_half2": "rlnTomogramHProjectionalf2",
}
STACK, FRAME_COUNT = "rlnTomoTiltSeriesName", "rlnTomoFrameCount"
FIDUCIALS = "rlnTomoFiducialsStarFile"
HAND_LOG_ODDS, UNFINISHED = "tomosetHandLogOdds", "tomosetUnfinished"
#: What RELION 4's refinement of scales leaves (docs/relion.md, 'relion_tomo_refine_ctf').
LUMINANCE, THICKNESS = "rlnTomoRelativeLuminance", "rlnTomoRelativeIceThickness"
NORMAL = ("rlnTomoIceNormalX", "rlnTomoIceNormalY", "rlnTomoIceNormalZ")
GRID_LABELS = ("rlnTomoDeformationGridSizeX", "rlnTomoDeformationGridSizeY")
DEFORMATION_TYPE = "rlnTomoDeformationType"

#: In the order in which RELION's import writes them.
GLOBAL_COLUMNS = (
    GlobalColumn("rlnTomoName", lambda t: t.name),
    GlobalColumn(STACK, lambda t: t.stack, path=True),
    GlobalColumn(FRAME_COUNT, lambda t: t.n_tilts),
    GlobalColumn("rlnTomoSizeX", lambda t: t.size and t.size[0]),
    GlobalColumn("rlnTomoSizeY", lambda t: t.size and t.size[1]),
    GlobalColumn("rlnTomoSizeZ", lambda t: t.size and t.size[2]),
    GlobalColumn("rlnTomoHand", lambda t: t.hand),
    GlobalColumn("rlnOpticsGroupName", lambda t: t.optics.group, "opticsGroup1", usual=True),
    *(GlobalColumn(c.label, _of_optics(c), c.default) for c in (*USUAL[1:], *ABERRATIONS)),
    GlobalColumn("rlnTomoImportFractionalDose", lambda t: t.fractional_dose),
    GlobalColumn(FIDUCIALS, lambda t: t.fiducials, path=True),
    GlobalColumn("rlnTomoDefocusSlope", lambda t: t.defocus_slope, default=1.0),
    GlobalColumn(BINNING, lambda t: t.reconstruction.binning if t.reconstruction else None, 1.0),
    GlobalColumn(VOLUMES[0], lambda t: _made(t).path, path=True),
    GlobalColumn(VOLUMES[1], lambda t: _made(t).half1, path=True),
    GlobalColumn(VOLUMES[2], lambda t: _made(t).half2, path=True),
    *(GlobalColumn(label, _other_volume(what), path=True) for what, label in OTHER_VOLUMES.items()),
    GlobalColumn(LUMINANCE, lambda t: _ice(t).luminance),
    GlobalColumn(THICKNESS, lambda t: _ice(t).thickness),
    *(GlobalColumn(label, _normal(axis)) for axis, label in enumerate(NORMAL)),
    GlobalColumn(HAND_LOG_ODDS, lambda t: t.hand_log_odds),
    GlobalColumn(UNFINISHED, lambda t: ",".join(p.replace(" ", "_") for p in t.unfinished) or None),
    *(GlobalColumn(label, _grid(axis)) for axis, label in enumerate(GRID_LABELS)),
    GlobalColumn(DEFORMATION_TYPE, lambda t: t.deformation.kind if t.deformation else None),
)

#: Numbers per tilt image, and the model's fields.
NUMBERS = {
    "rlnDefocusU": "defocus_u",
    "rlnDefocusV": "defocus_v",
    "rlnDefocusAngle": "defocus_angle",
    "rlnPhaseShift": "phase_shift",
    "rlnCtfScalefactor": "ctf_scale",
    "rlnCtfBfactor": "b_factor",
    "rlnCtfMaxResolution": "ctf_max_resolution",
    "rlnCtfFigureOfMerit": "ctf_figure_of_merit",
    "rlnMicrographPreExposure": "pre_exposure",
    "tomosetExposure": "exposure",
    "rlnTomoNominalStageTiltAngle": "nominal_tilts",
    "rlnTomoNominalTiltAxisAngle": "nominal_axis",
}
#: Of `Tomogram.deviations`.
DEVIATIONS = {
    "x_tilt": "tomosetXTiltError",
    "tilt": "tomosetTiltError",
    "rotation": "tomosetRotationError",
    "shift_x": "tomosetShiftXError",
    "shift_y": "tomosetShiftYError",
    "magnification": "tomosetMagnificationError",
    "stretch": "tomosetStretchError",
    "skew": "tomosetSkewError",
    "defocus": "tomosetDefocusError",
    "astigmatism": "tomosetAstigmatismError",
    "defocus_angle": "tomosetDefocusAngleError",
    "phase_shift": "tomosetPhaseShiftError",
    "ctf_scale": "tomosetCtfScaleError",
}
DEFORMATION_COEFFICIENTS = "rlnTomoDeformationCoefficients"
ACQUISITION = "tomosetAcquisition"
MOVIE = "rlnMicrographMovieName"
IMAGE_NAME = "rlnMicrographName"
#: Images made of the even and of the odd frames of each movie (docs/relion.md,
#: 'Files of RELION 5').
HALF_NAMES = ("rlnMicrographNameEven", "rlnMicrographNameOdd")

PROJECTION_LABELS = ("rlnTomoProjX", "rlnTomoProjY", "rlnTomoProjZ", "rlnTomoProjW")
#: RELION 5's alignment: turns about x, y, z [deg], shifts [Å].
ALIGNMENT_LABELS = (
    "rlnTomoXTilt",
    "rlnTomoYTilt",
    "rlnTomoZRot",
    "rlnTomoXShiftAngst",
    "rlnTomoYShiftAngst",
)
#: Without these there are no directions.
ANGLES = ALIGNMENT_LABELS[1:3]
STAR_FILE = "rlnTomoTiltSeriesStarFile"

#: What messages call fields of the model.
LABELS = {
    **{field: label for label, field in NUMBERS.items()},
    "name": "rlnTomoName",
    "size": "rlnTomoSizeX, Y and Z",
    "hand": "rlnTomoHand",
    "stack": "rlnTomoTiltSeriesName",
    "images": IMAGE_NAME,
    "fiducials": "rlnTomoFiducialsStarFile",
    "pixel_size": PIXEL,
    "voltage": VOLTAGE,
    "spherical_aberration": CS,
    "amplitude_contrast": CONTRAST,
    "fractional_dose": "rlnTomoImportFractionalDose",
    "defocus_slope": "rlnTomoDefocusSlope",
    "hand_log_odds": HAND_LOG_ODDS,
    "luminance": LUMINANCE,
    "thickness": THICKNESS,
    "normal": "rlnTomoIceNormalX, Y and Z",
    "binning": BINNING,
    "acquisition": ACQUISITION,
    "coefficients": DEFORMATION_COEFFICIENTS,
    "projections": "rlnTomoProjX, Y and Z",
    "tilts": "rlnTomoXTilt, YTilt and ZRot",
    "shifts": "rlnTomoXShiftAngst and YShiftAngst",
    "tomograms": "rlnTomoTomogramsFile",
    "particles": "rlnTomoParticlesFile",
    "manifolds": "rlnTomoManifoldsFile",
    "trajectories": "rlnTomoTrajectoriesFile",
    "half1": "rlnTomoReferenceMap1File",
    "half2": "rlnTomoReferenceMap2File",
    "mask": "rlnTomoReferenceMaskFile",
    "fsc": "rlnTomoReferenceFscFile",
    "halves": "rlnRandomSubset",
    "angles": "rlnAngleRot, rlnAngleTilt and rlnAnglePsi",
}

#: Of tilt images that were taken out, in a table of their own: their row from 1, and why.
EXCLUDED_ROW, EXCLUDED_REASON = "tomosetRow", "tomosetReason"


def excluded_name(tomogram: str) -> str:
    """The name of that table."""
    return f"tomoset_excluded_{tomogram}"


#: What RELION puts into a text column of rows that had no value.
NO_TEXT = "empty"


def image_texts(tomogram: Tomogram) -> tuple[str, ...] | None:
    """Names of single images, or of slices of the stack."""
    if tomogram.images is not None or tomogram.stack is None:
        return tomogram.images
    index = tomogram.image_index
    return image_names(tomogram.stack, np.arange(tomogram.n_tilts) if index is None else index)


def image_names(stack: str, index: Any) -> tuple[str, ...]:
    """RELION's names of single images in a stack, counted from 1: ``000003@TS.mrc:mrcs``.

    By such a name RELION 5 reads a stack only if it is called .mrcs, or told to be one
    (``image.h``: "stacks of images in MRC-format should have extension .mrcs"); TIFF it knows by
    its ending.
    """
    plain = stack_path(stack)
    file = plain if plain.endswith((".mrcs", *TIFF_ENDINGS)) else f"{plain}:mrcs"
    return tuple(f"{i + 1:06d}@{file}" for i in index.tolist())


def _deviations(what: str) -> Callable[[Tomogram], Array | None]:
    return lambda t: t.deviations.get(what)


def _half_images(half: int) -> Callable[[Tomogram], tuple[str, ...] | None]:
    return lambda t: (t.half_images[half] if t.half_images else None) or None


def _numbered(acquisition: Any) -> list[str]:
    return whole_texts(acquisition + 1)


#: What both dialects say alike of each tilt image, but for its name and alignment.
TILT_COLUMNS = (
    *(TiltColumn(label, attrgetter(field)) for label, field in NUMBERS.items()),
    *(TiltColumn(label, _deviations(what), exact_texts) for what, label in DEVIATIONS.items()),
    TiltColumn(ACQUISITION, lambda t: t.acquisition, _numbered),
    TiltColumn(MOVIE, lambda t: t.movies, iter, path=True),
    *(
        TiltColumn(label, _half_images(half), iter, path=True)
        for half, label in enumerate(HALF_NAMES)
    ),
    TiltColumn(
        DEFORMATION_COEFFICIENTS,
        lambda t: t.deformation and t.deformation.coefficients,
        vector_texts,
    ),
)


def poses(tomogram: Tomogram) -> Array | None:
    """The alignment as one array, an entry per tilt image: matrices, or angles with shifts."""
    if tomogram.projections is not None or tomogram.alignment is None:
        return tomogram.projections
    return np.concatenate([tomogram.alignment.angles, tomogram.alignment.shifts], axis=1)


def recorded(
    tomogram: Tomogram,
    source: Source,
    columns: Iterable[GlobalColumn],
    tilt_columns: Iterable[TiltColumn],
) -> Tomogram:
    """The tomogram with its texts, and with what it says where they are."""
    rows: dict[str, Any] = {}
    tilts: dict[str, Any] = {}
    # What it says may depend on which columns the file has.
    read = tomogram.with_source(replace(source, row_values=rows, tilt_values=tilts))
    rows |= {c.label: c.get(read) for c in columns if c.label in source.row}
    tilts |= {c.label: c.get(read) for c in tilt_columns if c.label in source.tilts}
    return read


def global_text(tomogram: Tomogram, column: GlobalColumn, finder: Finder) -> str | None:
    """The text of a global value: the one it was read from, as long as it says the same.

    A path says the same if it finds the same file from where the new set will be.
    """
    value, source = column.get(tomogram), tomogram.source
    if source is not None and column.label in source.row:
        old = source.row[column.label]
        if source.row_values.get(column.label) == value and not (
            column.path and value is not None and _moved(old, str(value), finder)
        ):
            return old
    elif value == column.default and (source or not column.usual):
        return None
    return plain_text(value)


def _moved(old: str, now: str, finder: Finder) -> bool:
    """Whether the old name of a file finds another one from where a new set will be.

    One that names none was no name then, and is none now.
    """
    if old in ("", NO_TEXT):
        return False
    place = image_place(now)
    return image_place(old) != place and image_place(finder.image_here(old)) != place


def plain_text(value: Value) -> str | None:
    """A value as text, in the shortest way that gives it back; coefficients that are none are 0."""
    if isinstance(value, tuple):
        return "[" + ",".join(map(star.format_number, value or (0.0,))) + "]"
    return value if value is None or isinstance(value, str) else star.format_number(value)


def tilt_texts(tomogram: Tomogram, column: TiltColumn, finder: Finder) -> Sequence[str] | None:
    """Texts of a value per tilt image; those that nobody changed as they were read."""
    now, source = column.get(tomogram), tomogram.source
    if source is not None and column.own in (None, source.format):
        old, before = source.tilts.get(column.label), source.tilt_values.get(column.label)
    else:
        old, before = None, None
    if now is None:  # what a text says that means nothing here is still what the file said
        return old if before is None else None
    if column.path and old is not None and before is not None:
        pairs = zip(old, before, strict=True)
        before = tuple(None if _moved(text, name, finder) else name for text, name in pairs)
    return kept(old, before, now, column.texts)


def with_deformations(tomograms: Iterable[Tomogram]) -> list[Tomogram]:
    """The tomograms, each with a deformation as soon as one has one: RELION asks for all."""
    every = list(tomograms)
    if not any(t.deformation for t in every):
        return every
    return [_with_deformation(t, _NO_DEFORMATION) for t in every]


def _with_deformation(tomogram: Tomogram, like: Deformation) -> Tomogram:
    """With one that does nothing, of the kind of another, where there is none."""
    own = tomogram.deformation
    if own is None:
        zeros = np.zeros((tomogram.n_tilts, like.coefficients.shape[1]))
        own = replace(like, coefficients=zeros)
        tomogram = replace(tomogram, deformation=own)
    return tomogram.with_excluded(lambda tilt: _with_deformation(tilt, own))


_NO_DEFORMATION = Deformation(kind="linear", grid=(3, 3), coefficients=np.zeros((0, 3)))
