"""RELION's rows read into values, each error with its place. Both dialects read most alike."""

from __future__ import annotations

import contextlib
import math
import os
import warnings
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from tomoset import star
from tomoset.errors import AssumptionWarning, ImpossibleValueError, ModelError
from tomoset.formats._files import header_of
from tomoset.formats._numbers import UNKNOWN, known_floats, read_floats, refuse_in_column
from tomoset.formats._relion_labels import (
    ACQUISITION,
    ALIGNMENT_LABELS,
    ANGLES,
    BINNING,
    DEFORMATION_COEFFICIENTS,
    DEFORMATION_TYPE,
    DEVIATIONS,
    EXCLUDED_REASON,
    EXCLUDED_ROW,
    FIDUCIALS,
    FRAME_COUNT,
    GRID_LABELS,
    HALF_NAMES,
    HAND_LOG_ODDS,
    IMAGE_NAME,
    LABELS,
    LUMINANCE,
    MOVIE,
    NO_TEXT,
    NORMAL,
    NUMBERS,
    OTHER_VOLUMES,
    STACK,
    THICKNESS,
    UNFINISHED,
    VOLUMES,
)
from tomoset.formats._relion_optics import CONTRAST, CS, PIXEL, VOLTAGE, read_aberrations
from tomoset.images.mrc import stack_path
from tomoset.model import (
    Alignment,
    Deformation,
    Exclusion,
    Ice,
    Optics,
    Reconstruction,
    Source,
    Tomogram,
)
from tomoset.model.quantities import QUANTITIES
from tomoset.paths import Finder

Array = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]


#: Of one stack.
_MOST_IMAGES = int(QUANTITIES["image_index"].possible[1])


class GlobalRow:
    """Typed access to one row of data_global, with the place in every error."""

    def __init__(self, table: star.Table, row: int, finder: Finder) -> None:
        self.table, self.row, self.finder = table, row, finder

    def text(self, label: str) -> str | None:
        return self.table[label][self.row] if label in self.table else None

    def number(self, label: str) -> float | None:
        """None where there is no such column, or RELION's word for nothing in it."""
        return self.known(label) if self.says(label) else None

    def known(self, label: str) -> float | None:
        """A number that must be said; None where it is said to be not known."""
        value = self.required(label)
        return None if math.isnan(value) or value == UNKNOWN else value

    def says(self, label: str) -> bool:
        """Whether there is such a column with something in it."""
        return label in self.table and self.table[label][self.row] not in ("", NO_TEXT)

    def said(self, label: str) -> str | None:
        """A text; None as `number`."""
        return self.text(label) if self.says(label) else None

    def path(self, label: str) -> str | None:
        """A path, from the working folder; None as `number`. OME-Zarr is a folder."""
        said = self.said(label)
        return None if said is None else self.finder.here(said, os.path.exists)

    def images(self, tilts: star.Table, label: str) -> tuple[str, ...]:
        """A column of names of images, from the working folder; none if it is absent."""
        names = tilts.get(label) or ()
        for row, name in enumerate(names):
            number, at, _ = name.partition("@")
            if at and not (number.isdecimal() and 1 <= int(number[:9]) <= _MOST_IMAGES):
                raise tilts.error(
                    f"expected a number from 1 to {_MOST_IMAGES} before the @, found {name!r}; "
                    "images of a stack are counted from 1",
                    row,
                    label,
                )
        return tuple(map(self.finder.image_here, names))

    def required(self, label: str) -> float:
        text = self.table[label][self.row]
        try:
            if "_" in text or not text.isascii():
                raise ValueError
            return float(text)
        except ValueError:
            raise self.table.error(
                f"expected a number, found {text!r}", row=self.row, label=label
            ) from None

    def integer(self, label: str) -> int:
        value = self.required(label)
        if not value.is_integer():
            raise self.table.error(
                f"expected a whole number, found {value:g}", row=self.row, label=label
            )
        return int(value)

    def hand(self) -> int:
        value = self.required("rlnTomoHand")
        if value not in (1.0, -1.0):
            raise self.table.error(
                f"expected +1 or -1, found {value:g}; the hand is the sign of defocus against "
                "depth, to be found by experiment",
                row=self.row,
                label="rlnTomoHand",
            )
        return int(value)

    def size(self) -> tuple[int, int, int] | None:
        labels = [f"rlnTomoSize{axis}" for axis in "XYZ"]
        if any(self.number(label) is None for label in labels):
            return None
        x, y, z = (self.integer(label) for label in labels)
        return x, y, z

    @contextlib.contextmanager
    def errors(self, tilts: star.Table) -> Iterator[None]:
        """Give what the model refuses its place: in this row, or in that of a tilt image."""
        try:
            yield
        except ImpossibleValueError as problem:
            label = LABELS.get(problem.field)
            if problem.row is not None and problem.row < len(tilts):
                there = label if label in tilts else None
                raise tilts.error(str(problem), problem.row, there) from problem
            raise self.table.error(str(problem), self.row, label) from problem
        except ModelError as problem:
            raise self.table.error(str(problem), self.row) from problem

    def optics(self) -> Optics:
        def number(label: str, default: float) -> float:
            return default if (said := self.number(label)) is None else said

        return Optics(
            pixel_size=self.number(PIXEL),
            voltage=self.known(VOLTAGE),
            spherical_aberration=self.known(CS),
            amplitude_contrast=self.known(CONTRAST),
            group=self.text("rlnOpticsGroupName") or "opticsGroup1",
            **read_aberrations(self.table, self.row, number),
        )


def read_common(reader: GlobalRow, tilts: star.Table, name: str, **own: Any) -> Tomogram:
    """A tomogram with all that both dialects say alike, and fields that only one of them says."""
    names = reader.images(tilts, IMAGE_NAME)
    stack, index, images = _images(names)
    said = reader.said(STACK)
    if said is not None and EXCLUDED_ROW not in tilts:
        in_rows, stack = stack, reader.finder.image_here(said)
        if in_rows is not None and in_rows != stack_path(stack):
            warnings.warn(
                f"{tilts.path}: rows of data_{tilts.name} name images of {in_rows}, but {STACK} is "
                f"{stack}; row i is taken for image i of the latter, as RELION takes it",
                AssumptionWarning,
                stacklevel=4,
            )
            index, images = None, names
    header = header_of(stack)
    fields: dict[str, Any] = {field: known_floats(tilts, label) for label, field in NUMBERS.items()}
    deviations = {what: read_floats(tilts, label) for what, label in DEVIATIONS.items()}
    even, odd = (reader.images(tilts, label) for label in HALF_NAMES)
    slope = reader.number("rlnTomoDefocusSlope")
    with reader.errors(tilts):
        return Tomogram(
            name=name,
            n_tilts=len(tilts),
            optics=reader.optics(),
            hand=reader.hand(),
            stack=stack,
            image_index=index,
            images=images,
            half_images=(even, odd),
            movies=reader.images(tilts, MOVIE) or None,
            image_size=None if header is None else header.size,
            size=reader.size(),
            fractional_dose=reader.number("rlnTomoImportFractionalDose"),
            acquisition=None if ACQUISITION not in tilts else tilts.ints(ACQUISITION) - 1,
            defocus_slope=1.0 if slope is None else slope,
            fiducials=reader.path(FIDUCIALS),
            deformation=read_deformation(reader, tilts),
            reconstruction=_reconstruction(reader),
            deviations={what: v for what, v in deviations.items() if v is not None},
            hand_log_odds=reader.number(HAND_LOG_ODDS),
            ice=_ice(reader),
            unfinished=_unfinished(reader),
            **fields,
            **own,
        )


def with_exclusions(tomogram: Tomogram, out: star.Table, excluded: Tomogram) -> Tomogram:
    """The tomogram with the tilt images that a table of their own says were taken out."""
    rows, last = (out.ints(EXCLUDED_ROW) - 1).tolist(), tomogram.n_tilts + len(out)
    seen: set[int] = set()
    for i, row in enumerate(rows):
        if not 0 <= row < last or row in seen:
            raise out.error(
                f"expected a row from 1 to {last}, each once, found {row + 1}", i, EXCLUDED_ROW
            )
        seen.add(row)
    bare = replace(excluded, reconstruction=None, fiducials=None)
    exclusions = tuple(
        Exclusion(row=row, reason=out[EXCLUDED_REASON][i], tilt=bare.select([i]))
        for i, row in enumerate(rows)
    )
    return replace(tomogram, exclusions=exclusions)


def read_alignment(tilts: star.Table) -> Alignment | None:
    """Angles and shifts, if all but the tilt about x are there.

    See docs/relion.md, 'Files of RELION 5'. Angles without shifts are directions.
    """
    said = {label: known_floats(tilts, label) for label in ALIGNMENT_LABELS}
    if any(said[label] is None for label in ANGLES):
        return None
    columns = np.zeros((len(tilts), len(said)))
    for i, (label, values) in enumerate(said.items()):
        if values is not None:
            refuse_in_column(tilts, label, "angles" if i < 3 else "shifts", values)
            columns[:, i] = values
    directions_only = any(said[label] is None for label in ALIGNMENT_LABELS[3:])
    if directions_only:
        columns[:, 3:] = 0.0
    return Alignment(angles=columns[:, :3], shifts=columns[:, 3:], directions_only=directions_only)


def source_of(reader: GlobalRow, tilts: star.Table, format: str) -> Source:
    """The texts of a tomogram."""
    row = {label: texts[reader.row] for label, texts in reader.table.columns.items()}
    return Source(format=format, row=row, tilts=tilts.columns)


def _reconstruction(reader: GlobalRow) -> Reconstruction | None:
    path, half1, half2 = (reader.path(label) for label in VOLUMES)
    others = {w: text for w, label in OTHER_VOLUMES.items() if (text := reader.path(label))}
    if not (reader.says(BINNING) or path or half1 or half2 or others):
        return None
    binning = reader.number(BINNING)
    return Reconstruction(
        binning=1.0 if binning is None else binning,
        path=path,
        half1=half1,
        half2=half2,
        others=others,
    )


def _ice(reader: GlobalRow) -> Ice | None:
    luminance, thickness, x, y, z = map(reader.number, (LUMINANCE, THICKNESS, *NORMAL))
    normal = None if x is None or y is None or z is None else (x, y, z)
    if (luminance, thickness, normal) == (None, None, None):
        return None
    return Ice(luminance=luminance, thickness=thickness, normal=normal)


def check_count(reader: GlobalRow, tilts: star.Table) -> None:
    if FRAME_COUNT not in reader.table:
        return
    count = reader.integer(FRAME_COUNT)
    if count != len(tilts):
        raise reader.table.error(
            f"{count} tilt images are announced, but table data_{tilts.name} has {len(tilts)} "
            "rows; correct the count or the table",
            row=reader.row,
            label=FRAME_COUNT,
        )


def _images(
    names: tuple[str, ...],
) -> tuple[str | None, Index | None, tuple[str, ...] | None]:
    """Stack and slices where every row says ``000003@stack``, or else single images."""
    if not names:
        return None, None, None
    parts = [name.partition("@") for name in names]
    stacks = {stack for _, _, stack in parts}
    if len(stacks) == 1 and all(n.isdecimal() and int(n) > 0 for n, _, _ in parts):
        index = np.array([int(n) - 1 for n, _, _ in parts], dtype=np.int64)
        return stack_path(stacks.pop()), index, None
    return None, None, names


def check_images(names: tuple[str, ...], tilts: star.Table) -> tuple[int, int] | None:
    """Width and height of single images, None if the first is not there; all must agree."""
    size: tuple[int, int] | None = None
    for row, name in enumerate(names):
        header = header_of(name.rpartition("@")[2])
        if header is None:
            if row == 0:
                return None
            continue
        if size is None:
            size = header.size
        if header.size != size:
            raise tilts.error(
                f"{name} has {header.size[0]} x {header.size[1]} px, the images before it "
                f"{size[0]} x {size[1]}; all images of a tilt series have one size",
                row=row,
                label=IMAGE_NAME,
            )
    return size


def _unfinished(reader: GlobalRow) -> tuple[str, ...]:
    """Names of programs, which have no blanks there."""
    said = reader.said(UNFINISHED)
    return tuple(name.replace("_", " ") for name in said.split(",")) if said else ()


def read_deformation(reader: GlobalRow, tilts: star.Table) -> Deformation | None:
    kind = reader.text(DEFORMATION_TYPE)
    if kind in (None, "", NO_TEXT) or DEFORMATION_COEFFICIENTS not in tilts:
        return None
    grid = (reader.integer(GRID_LABELS[0]), reader.integer(GRID_LABELS[1]))
    coefficients = tilts.vectors(DEFORMATION_COEFFICIENTS)
    return Deformation(kind=kind or "", grid=grid, coefficients=coefficients)
