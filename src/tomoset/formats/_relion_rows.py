"""RELION's rows read into values, each error with its place. Both dialects read most alike."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tomoset import star
from tomoset.errors import FileFormatError, MissingFileError
from tomoset.formats._relion_labels import (
    DEFORMATION_COEFFICIENTS,
    DEFORMATION_TYPE,
    GRID_LABELS,
    IMAGE_NAME,
    NO_TEXT,
)
from tomoset.images import mrc
from tomoset.model import Deformation, Optics


class GlobalRow:
    """Typed access to one row of data_global, with the place in every error."""

    def __init__(self, table: star.Table, row: int) -> None:
        self.table, self.row = table, row

    def text(self, label: str) -> str | None:
        return self.table[label][self.row] if label in self.table else None

    def number(self, label: str) -> float | None:
        return self.required(label) if label in self.table else None

    def required(self, label: str) -> float:
        text = self.table[label][self.row]
        try:
            if "_" in text:
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
        if not all(label in self.table for label in labels):
            return None
        x, y, z = (self.integer(label) for label in labels)
        return x, y, z

    def optics(self) -> Optics:
        return Optics(
            pixel_size=self.required("rlnTomoTiltSeriesPixelSize"),
            voltage=self.required("rlnVoltage"),
            spherical_aberration=self.required("rlnSphericalAberration"),
            amplitude_contrast=self.required("rlnAmplitudeContrast"),
            group=self.text("rlnOpticsGroupName") or "opticsGroup1",
        )


def check_count(reader: GlobalRow, tilts: star.Table) -> None:
    label = "rlnTomoFrameCount"
    if label not in reader.table:
        return
    count = reader.integer(label)
    if count != len(tilts):
        raise reader.table.error(
            f"{count} tilt images are announced, but table data_{tilts.name} has {len(tilts)} "
            "rows; correct the count or the table",
            row=reader.row,
            label=label,
        )


def check_stack(
    reader: GlobalRow,
    n_tilts: int,
    header: mrc.MrcHeader | None,
    index: npt.NDArray[np.int64] | None,
) -> None:
    if header is None:
        return
    images = header.size[2]
    if index is not None and index.size and index.max() >= images:
        what = f"image {index.max() + 1} is asked for"
    elif index is None and images != n_tilts:
        what = f"the table has {n_tilts} tilt images"
    else:
        return
    raise reader.table.error(
        f"{what}, but the stack {header.path} holds {images} images",
        row=reader.row,
        label="rlnTomoTiltSeriesName",
    )


def find_stack(stack: str | None, star_path: str | None) -> mrc.MrcHeader | None:
    """The stack's header, from the working folder or one above the STAR file; None if not there.

    RELION's paths start in the project folder, which is the working folder of its programs;
    a set is often looked at from elsewhere.
    """
    if not stack:
        return None
    folders = [Path()]
    if star_path is not None and not os.path.isabs(mrc.stack_path(stack)):
        folders += list(Path(star_path).absolute().parents)[:4]
    for folder in folders:
        try:
            return mrc.read_header(folder / stack)
        except MissingFileError:
            continue
        except FileFormatError:
            return None
    return None


def image_index(tilts: star.Table) -> npt.NDArray[np.int64] | None:
    """Slices of the stack, from 0, where every row says ``000003@stack``."""
    names = tilts.get(IMAGE_NAME)
    if not names:
        return None
    numbers = [name.partition("@")[0] if "@" in name else "" for name in names]
    if not all(n.isdecimal() and int(n) > 0 for n in numbers):
        return None
    return np.array([int(n) - 1 for n in numbers], dtype=np.int64)


def read_deformation(reader: GlobalRow, tilts: star.Table) -> Deformation | None:
    kind = reader.text(DEFORMATION_TYPE)
    if kind in (None, "", NO_TEXT) or DEFORMATION_COEFFICIENTS not in tilts:
        return None
    grid = (reader.integer(GRID_LABELS[0]), reader.integer(GRID_LABELS[1]))
    coefficients = tilts.vectors(DEFORMATION_COEFFICIENTS)
    return Deformation(kind=kind or "", grid=grid, coefficients=coefficients)
